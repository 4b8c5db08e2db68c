"""Models drawn from all that Keras has, in pairs that differ in one thing, and what ``fit`` makes of them.

``python -m tests.jobs.drawn fit`` answers each line of JSON, a drawing and a value, with what Keras' own
``fit`` comes to in a process of its own; ``rank FOLDER`` is one of two ranks that train them here.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpc.jobs.collectives.world import World
from hpc.jobs.launchers import find_rank_info
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.training.base import Lane
from hpc.jobs.training.graph import train_lanes
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.keras_settings import KerasSettings
from hpc.jobs.training.pack import PackError, check_measures, plan
from hpc.models import Array, Dataset, Split
from tests.jobs.working import train

Drawing = dict[str, Any]
SAMPLES, VALIDATION, CLASSES, BATCH, EPOCHS = 22, 9, 4, 8, 2
SHAPES: dict[str, tuple[int, ...]] = {"vectors": (6,), "images": (6, 6, 2), "words": (5,)}
WORDS = 9


def samples(kind: str, targets: str) -> Dataset:
    """What drawings of a kind are trained on, the same at every call."""
    draw = np.random.default_rng(3)

    def split(n: int) -> Split:
        y = draw.integers(0, CLASSES, n).astype(np.int32)
        shape = (n, *SHAPES[kind])
        words = draw.integers(0, WORDS, shape).astype(np.int32)
        x: Array = words if kind == "words" else draw.normal(size=shape).astype(np.float32)
        return Split(x, np.eye(CLASSES, dtype=np.float32)[y] if targets == "one-hot" else y)

    return Dataset(split(SAMPLES), split(VALIDATION), CLASSES)


REGULARIZERS = [None, "l1", "l2", "l1_l2", "orthogonal", "shared"]
CONSTRAINTS = [None, "max_norm", "non_neg", "unit_norm"]
ACTIVATIONS = [
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "celu",
    "mish",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "softplus",
    "softsign",
    "softmax",
    "glu",
    "tanh_shrink",
    "log_sigmoid",
]
LAYERS: dict[str, list[str]] = {
    "vectors": [
        "Dense",
        "Activation",
        "PReLU",
        "LeakyReLU",
        "ELU",
        "BatchNormalization",
        "LayerNormalization",
        "UnitNormalization",
        "Rescaling",
        "ActivityRegularization",
        "Dropout",
        "Conv1D",
        "Normalization",
    ],
    "images": [
        "Conv2D",
        "DepthwiseConv2D",
        "SeparableConv2D",
        "MaxPooling2D",
        "AveragePooling2D",
        "ZeroPadding2D",
        "GroupNormalization",
        "BatchNormalization",
        "Conv2DTranspose",
        "Cropping2D",
        "UpSampling2D",
    ],
    "words": [
        "LSTM",
        "GRU",
        "SimpleRNN",
        "Bidirectional",
        "GlobalAveragePooling1D",
        "GlobalMaxPooling1D",
        "Conv1D",
    ],
}
OPTIMIZERS = [
    "SGD",
    "RMSprop",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Adadelta",
    "Adagrad",
    "Ftrl",
    "Lion",
    "Lamb",
    "Adafactor",
]
MORE = [
    {},
    {"clipnorm": 0.5},
    {"global_clipnorm": 0.5},
    {"clipvalue": 0.1},
    {"weight_decay": 0.1},
    {"use_ema": True},
    {"use_ema": True, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 2},
    {"loss_scale_factor": 4.0},
]
SCHEDULES = [
    None,
    "ExponentialDecay",
    "CosineDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "InverseTimeDecay",
]
LOSSES = {
    "classes": ["sparse_categorical_crossentropy"],
    "one-hot": [
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "binary_crossentropy",
        "mean_squared_error",
        "mean_absolute_error",
        "huber",
        "log_cosh",
        "kl_divergence",
        "poisson",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "cosine_similarity",
        "smoothed",
        "sum",
    ],
}
METRICS = {
    "classes": ["accuracy", "sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy"],
    "one-hot": [
        "accuracy",
        "AUC",
        "Precision",
        "Recall",
        "F1Score",
        "R2Score",
        "MeanSquaredError",
        "CosineSimilarity",
        "RootMeanSquaredError",
        "KLDivergence",
        "TopKCategoricalAccuracy",
        "OneHotMeanIoU",
    ],
}
NUMBERS = ("rate", "penalty", "dropout", "decay")
"""What pairs differ in that is a number of a config, and an input of the graphs."""
HIDDEN = (
    "exempt",
    "exempt by variable",
    "adapted",
    "discretized",
    "closure",
    "namesake",
    "partial",
    "lambda",
    "subclass",
    "attribute",
    "global",
    "own loss",
    "own metric",
    "own penalty",
    "own constraint",
    "own schedule",
    "own optimizer",
    "constant",
    "frozen",
    "method",
    "own model",
)
"""What pairs differ in that no config says."""
SCALE = 0.5


def build(drawing: Drawing, value: int) -> Any:
    """The model of a drawing, compiled, of one of its pair of values."""
    return _Maker(drawing, value).model()


class _Maker:
    """Makes one model of a drawing."""

    def __init__(self, drawing: Drawing, value: int) -> None:
        import keras

        self.drawing = drawing
        self.keras = keras
        self.difference = drawing["difference"]
        self.value = value
        self.shared = keras.regularizers.L2(0.03)

    def either(self, name: str, first: Any, second: Any) -> Any:
        """The one of a pair that this model has, if the pair differs in that; else the first."""
        return second if self.value and self.difference == name else first

    def is_(self, name: str) -> bool:
        return bool(self.difference == name)

    def model(self) -> Any:
        keras, kind = self.keras, self.drawing["kind"]
        inputs = keras.Input(SHAPES[kind], dtype="int32" if kind == "words" else "float32")
        h: Any = inputs
        if kind == "words":
            h = keras.layers.Embedding(WORDS, 4, mask_zero=self.drawing["masked"])(h)
        for entry in self.drawing["layers"]:
            h = self.layer(entry, h)
        h = self.own(h)
        if len(h.shape) > 2:
            h = (
                keras.layers.Flatten()(h)
                if None not in h.shape[1:]
                else keras.layers.GlobalAveragePooling1D()(h)
            )
        last = keras.layers.Dense(CLASSES, "softmax", kernel_regularizer=self.penalty())
        outputs = last(h)
        self.kernel = last.kernel
        if self.is_("frozen"):
            last.trainable = not self.value
        kind_of = self.kind_of_model()
        if kind_of is None and self.drawing["sequential"]:
            model = keras.Sequential(keras.Model(inputs, outputs).layers)
        else:
            model = (kind_of or keras.Model)(inputs, outputs)
        loss, metrics = self.loss(), [self.metric(name) for name in self.drawing["metrics"]]
        if self.is_("own metric"):
            factor = self.either("own metric", 1.0, 3.0)
            metrics.append(lambda y, p: keras.ops.mean(factor * p, axis=-1))
        model.compile(self.optimizer(), loss, metrics=metrics, jit_compile=False)
        return model

    def kind_of_model(self) -> Any:
        if not self.is_("own model"):
            return None
        power = self.either("own model", 1.0, 3.0)

        class Own(self.keras.Model):  # type: ignore[misc, name-defined]
            def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
                return super().call(inputs, training=training) ** power

        return Own

    def penalty(self) -> Any:
        keras = self.keras
        factor = self.either("penalty", 0.01, 0.3)
        if self.is_("own penalty"):
            size = self.either("own penalty", 0.01, 0.3)
            return lambda w: size * keras.ops.sum(keras.ops.square(w))
        kinds = {
            "l1": lambda: keras.regularizers.L1(factor),
            "l2": lambda: keras.regularizers.L2(factor),
            "l1_l2": lambda: keras.regularizers.L1L2(factor, 0.01),
            "orthogonal": lambda: keras.regularizers.OrthogonalRegularizer(factor),
            "shared": lambda: self.shared,
        }
        return kinds.get(self.drawing["regularizer"], lambda: None)()

    def constraint(self) -> Any:
        if self.is_("own constraint"):
            most = self.either("own constraint", 1.0, 0.1)
            return lambda w: self.keras.ops.clip(w, -most, most)
        return self.drawing["constraint"]

    def layer(self, entry: Sequence[str], h: Any) -> Any:
        name, activation = entry
        layers = self.keras.layers
        dense = {"activation": activation, "kernel_regularizer": self.penalty()}
        if name in ("MaxPooling2D", "AveragePooling2D", "Cropping2D", "Conv2D", "SeparableConv2D") and (
            len(h.shape) != 4 or min(h.shape[1:3]) < 3
        ):
            return h
        recurrent = ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "Conv1D")
        if self.drawing["kind"] == "words" and name in recurrent and len(h.shape) != 3:
            return h
        if name.startswith("Global") and len(h.shape) != 3:
            return h
        if activation == "glu" and name not in ("Dense", "Activation"):
            dense["activation"] = "relu"
        made: dict[str, Callable[[], Any]] = {
            "Dense": lambda: layers.Dense(6, **dense, kernel_constraint=self.constraint()),
            "Activation": lambda: layers.Activation(activation),
            "PReLU": layers.PReLU,
            "LeakyReLU": layers.LeakyReLU,
            "ELU": layers.ELU,
            "BatchNormalization": layers.BatchNormalization,
            "LayerNormalization": layers.LayerNormalization,
            "UnitNormalization": layers.UnitNormalization,
            "Rescaling": lambda: layers.Rescaling(0.5, 0.1),
            "ActivityRegularization": lambda: layers.ActivityRegularization(l2=0.01),
            "Dropout": lambda: layers.Dropout(self.either("dropout", 0.2, 0.6)),
            "Conv1D": lambda: layers.Conv1D(4, 2, padding="same", **dense),
            "Normalization": lambda: layers.Normalization(mean=0.1, variance=2.0),
            "Conv2D": lambda: layers.Conv2D(3, 3, **dense),
            "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, padding="same"),
            "SeparableConv2D": lambda: layers.SeparableConv2D(3, 3),
            "MaxPooling2D": layers.MaxPooling2D,
            "AveragePooling2D": layers.AveragePooling2D,
            "ZeroPadding2D": layers.ZeroPadding2D,
            "GroupNormalization": lambda: layers.GroupNormalization(1),
            "Conv2DTranspose": lambda: layers.Conv2DTranspose(2, 3, **dense),
            "Cropping2D": layers.Cropping2D,
            "UpSampling2D": layers.UpSampling2D,
            "LSTM": lambda: layers.LSTM(3),
            "GRU": lambda: layers.GRU(3),
            "SimpleRNN": lambda: layers.SimpleRNN(3),
            "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(2)),
            "GlobalAveragePooling1D": layers.GlobalAveragePooling1D,
            "GlobalMaxPooling1D": layers.GlobalMaxPooling1D,
        }
        if name == "Conv1D" and len(h.shape) == 2:
            h = layers.Reshape((h.shape[1], 1))(h)
            return layers.Flatten()(made[name]()(h))
        return made[name]()(h)

    def own(self, h: Any) -> Any:
        """The layer in which a pair differs."""
        keras, value, what = self.keras, self.value, self.difference
        layers, ops = keras.layers, keras.ops
        slope = (0.1, 0.9)[value]
        if what == "closure":
            return layers.Dense(4, activation=lambda x: ops.leaky_relu(x, slope))(h)
        if what == "namesake":

            def leaky_relu(x: Any) -> Any:
                return ops.leaky_relu(x, slope)

            leaky_relu.__module__ = keras.activations.leaky_relu.__module__
            return layers.Dense(4, activation=leaky_relu)(h)
        if what == "partial":
            return layers.Dense(4, activation=functools.partial(ops.leaky_relu, negative_slope=slope))(h)
        if what == "lambda":
            return layers.Lambda(lambda x: slope * x)(h)
        if what == "global":
            global SCALE
            SCALE = slope
            return layers.Activation(_scaled)(h)
        if what in ("subclass", "attribute", "constant"):
            return _own_layer(keras, what, slope)(h)
        if what == "method":
            layer = layers.Dense(4)
            layer.build(h.shape)
            by_keras = layer.call
            layer.call = lambda x, training=None: slope * by_keras(x)
            return layer(h)
        if what == "adapted":
            layer = layers.Normalization(axis=None)
            layer.adapt(np.arange(5.0) * (1 + 9 * value))
            return layer(h)
        if what == "discretized":
            layer = layers.Discretization(num_bins=3)
            layer.adapt(np.linspace(-1, 1, 9) * (0.1 if value else 2))
            if len(h.shape) > 2:
                h = layers.Flatten()(h) if None not in h.shape[1:] else layers.GlobalAveragePooling1D()(h)
            return layers.Flatten()(layers.Embedding(3, 2)(layer(h)))
        return h

    def loss(self) -> Any:
        keras, name = self.keras, self.drawing["loss"]
        if self.is_("own loss"):
            factor = self.either("own loss", 1.0, 0.1)
            whole = keras.losses.get("mean_squared_error" if self.drawing["targets"] == "one-hot" else name)
            return lambda y, p: factor * whole(y, p)
        if name == "smoothed":
            return keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
        if name == "sum":
            return keras.losses.MeanSquaredError(reduction="sum")
        return name

    def metric(self, name: str) -> Any:
        if name[0].islower():
            return name
        kinds = {"OneHotMeanIoU": {"num_classes": CLASSES}}
        return getattr(self.keras.metrics, name)(name=name.lower(), **kinds.get(name, {}))

    def rate(self) -> Any:
        keras, rate = self.keras, self.either("rate", 0.01, 0.05)
        schedules = keras.optimizers.schedules
        if self.is_("own schedule"):
            power = self.either("own schedule", 0.5, 3.0)

            class Falling(schedules.LearningRateSchedule):  # type: ignore[misc, name-defined]
                def __call__(self, step: Any) -> Any:
                    return 0.05 / (1 + keras.ops.cast(step, "float32")) ** power

            return Falling()
        made: dict[str | None, Callable[[], Any]] = {
            None: lambda: rate,
            "ExponentialDecay": lambda: schedules.ExponentialDecay(rate, 2, 0.9),
            "CosineDecay": lambda: schedules.CosineDecay(rate, 6),
            "PiecewiseConstantDecay": lambda: schedules.PiecewiseConstantDecay([2], [rate, rate / 2]),
            "PolynomialDecay": lambda: schedules.PolynomialDecay(rate, 6),
            "InverseTimeDecay": lambda: schedules.InverseTimeDecay(rate, 2, 0.5),
        }
        return made[self.drawing["schedule"]]()

    def optimizer(self) -> Any:
        keras, more = self.keras, dict(self.drawing["more"])
        if self.is_("decay"):
            more["weight_decay"] = self.either("decay", 0.1, 2.0)
        if self.difference.startswith("exempt"):
            more["weight_decay"] = 5.0
        kind = getattr(keras.optimizers, self.drawing["optimizer"])
        if self.is_("own optimizer"):
            shrink = self.either("own optimizer", 1.0, 0.1)

            class Own(kind):  # type: ignore[misc, valid-type]
                def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
                    super().update_step(gradient * shrink, variable, learning_rate * shrink)

            kind = Own
        found = kind(self.rate(), **more)
        if self.is_("exempt") and self.value:
            found.exclude_from_weight_decay(var_names=["kernel"])
        if self.is_("exempt by variable") and self.value:
            found.exclude_from_weight_decay(var_list=[self.kernel])
        return found


def _scaled(x: Any) -> Any:
    return SCALE * x


def _own_layer(keras: Any, what: str, slope: float) -> Any:
    class Own(keras.layers.Layer):  # type: ignore[misc]
        factor = 1.0

        def build(self, shape: Any) -> None:
            if what == "constant":
                self.scale = np.full((1,), slope, np.float32)

        def call(self, x: Any) -> Any:
            return x * (self.scale if what == "constant" else self.factor)

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name}

    if what == "subclass":

        class Other(Own):
            def call(self, x: Any) -> Any:
                return slope * x

        return Other()
    layer = Own()
    if what == "attribute":
        layer.factor = slope
    return layer


Result = dict[str, Any]


def _result(metrics: dict[str, Any], model: Any) -> Result:
    weights = [
        np.asarray(v, np.float64).ravel().tolist() for v in model.weights if v.dtype.startswith("float")
    ]
    return {"metrics": {name: float(value) for name, value in metrics.items()}, "weights": weights}


def _begun(drawing: Drawing, value: int) -> Any:
    """The model as a worker builds it for a user's function."""
    return build(drawing, value)


def kept(drawing: Drawing, values: Sequence[int], world: World) -> list[Result]:
    """What a worker comes to that trains the pair one after the other, with kept graphs."""
    data, graphs, settings, found = (
        samples(drawing["kind"], drawing["targets"]),
        Graphs(),
        KerasSettings.now(),
        [],
    )
    for value in values:
        graphs.begin(5)
        settings.put()
        model = _begun(drawing, value)
        trained = train(
            model,
            data,
            world,
            epochs=EPOCHS,
            batch_size=BATCH,
            seed=0,
            shuffle=False,
            graphs=graphs,
        )
        found.append(_result(trained.metrics, trained.model))
    settings.put()
    return found


def shares(drawing: Drawing) -> bool:
    """Whether the pair would be trained by the same graphs."""
    data, graphs, settings, loops = (
        samples(drawing["kind"], drawing["targets"]),
        Graphs(),
        KerasSettings.now(),
        [],
    )
    for value in (0, 1):
        graphs.begin(5)
        settings.put()
        model = _begun(drawing, value)
        model.optimizer.build(model.trainable_variables)
        loops.append(graphs.of(model, data, World(RankInfo(), Path(), "")))
    settings.put()
    return loops[0] is loops[1]


def packed(drawing: Drawing) -> list[Result] | None:
    """What a worker comes to that trains the pair as one stacked model; None if it would not."""
    data, graphs, settings = samples(drawing["kind"], drawing["targets"]), Graphs(), KerasSettings.now()
    lanes = []
    try:
        for value in (0, 1):
            graphs.begin(5)
            settings.put()
            model = _begun(drawing, value)
            lanes.append(Lane(model, 0, plan=plan(model)))
        check_measures(lanes[0].model, data)
        if lanes[0].plan is None or lanes[1].plan is None or lanes[0].plan.shapes != lanes[1].plan.shapes:
            return None
        trained = train_lanes(
            lanes,
            data,
            world=World(RankInfo(), Path(), ""),
            epochs=EPOCHS,
            batch_size=BATCH,
            shuffle=False,
            graphs=graphs,
        )
    except PackError:
        return None
    finally:
        settings.put()
    return [_result(one.metrics, one.model) for one in trained if one is not None]


def fitted(drawing: Drawing, value: int) -> Result:
    """What ``fit`` comes to."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(5)
    model, data = build(drawing, value), samples(drawing["kind"], drawing["targets"])
    model.run_eagerly = True  # the same steps, which need no graphs for so few of them
    assert data.validation is not None
    history = model.fit(
        data.train.x,
        data.train.y,
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        validation_data=(data.validation.x, data.validation.y),
    ).history
    metrics: dict[str, float] = {}
    for name, values in history.items():
        last = np.asarray(values[-1])
        metrics |= (
            {name: float(last)}
            if not last.shape
            else {f"{name}_{i}": float(one) for i, one in enumerate(last)}
        )
    return _result(metrics, model)


def main(arguments: Sequence[str]) -> None:
    """EpochDecision lines of JSON: with what ``fit`` comes to, each in a process of its own; or as a rank."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: F401

    if arguments[0] == "fit":
        for line in sys.stdin:
            reader, writer = os.pipe()
            child = os.fork()  # before TensorFlow has computed anything: as a process that has just begun
            if not child:
                try:
                    answer = json.dumps(fitted(*json.loads(line)))
                except BaseException as error:
                    answer = json.dumps({"error": f"{type(error).__name__}: {error}"})
                with os.fdopen(writer, "w") as pipe:
                    pipe.write(answer)
                os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as pipe:
                answer = pipe.read()
            os.waitpid(child, 0)
            print(answer, flush=True)
        return
    from hpc.jobs.node import device

    device.prepare(os.environ, 1)
    place = find_rank_info(os.environ)
    device.start(1, place.local_rank, 0, place.local_size)
    world = World(place, Path(arguments[1]), "job")
    for line in sys.stdin:
        try:
            answer = json.dumps(kept(json.loads(line), (0, 1), world))
        except Exception as error:
            world.rejoin()
            answer = json.dumps({"error": f"{type(error).__name__}: {error}"})
        print(answer, flush=True)
    world.leave()


class Answering:
    """A process of this file that answers lines."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.drawn", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )

    def ask(self, question: Any) -> None:
        """Hand it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Its answer to it."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    @staticmethod
    def end(*processes: Answering) -> None:
        """End them; ranks wait for each other."""
        for one in processes:
            assert one._process.stdin is not None
            one._process.stdin.close()
        for one in processes:
            assert one._process.stdout is not None
            one._process.stdout.close()
            one._process.wait(60)


if __name__ == "__main__":
    main(sys.argv[1:])
