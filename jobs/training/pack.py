"""Trials of equal shapes that one rank trains at once, as one stacked model; each is a lane of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives.world import World
from hpc.jobs.options import OWN_FUNCTIONS, Options
from hpc.jobs.training import keras_private
from hpc.jobs.training.checkpoint import Position, State
from hpc.jobs.training.fingerprint import UnprovedError, fingerprint
from hpc.jobs.training.loop import (
    Loop,
    Slice,
    adam_step,
    confused,
    counted_classes,
    digest,
    is_adam,
    make_metrics,
)
from hpc.jobs.training.parts import is_by_sample
from hpc.models import Array, Dataset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ELEMENTWISE = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "celu", "mish", "tanh",
    "sigmoid", "hard_sigmoid", "hard_silu", "softplus", "softsign", "exponential",
)  # fmt: skip
"""Activations for which it doesn't matter how outputs are arranged."""
OPTIMIZERS = ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adadelta", "Adagrad", "Lion")
"""Optimizers each of whose steps is the learning rate times what does not depend on it."""
LOSSES = (
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error", "huber", "log_cosh", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy", "kl_divergence", "poisson", "hinge", "squared_hinge",
    "categorical_hinge", "cosine_similarity",
)  # fmt: skip
"""Losses of Keras that are one of each sample, whatever the others are."""
NUMBERS = ("input_dropout", "dropout", "l1", "l2")
"""Hyperparameters of ``mlp`` and ``linear`` that are numbers in their models, if they are not 0."""
WITH_RATE = ("SGD", "RMSprop")
"""Optimizers whose momentum has the learning rate in it."""


class PackError(ValueError):
    """A model can't be a lane, or not of this pack; says why."""


@dataclass
class Plan:
    """What a model consists of.

    Attributes:
        shapes: all that lanes of one pack must have in common, as JSON.
        dense: the dense layers.
        outputs: for each of them the activations that follow it, itself included.
        dropout: the dropout layer before each dense layer that has one.
        weights: of the model as it begins.
        drop_rates: of the dropout layers.
        drop_states: of their random numbers.
        penalties: L1 and L2 of each dense layer's kernel.
        rate: learning rate, that of the whole of a schedule.
        weight_decay: per step and learning rate.
        clip_norm: greatest norm of the gradient; infinite for none.
        momentum: of SGD.
    """

    model: keras.Model
    shapes: str = ""
    dense: list[Any] = field(default_factory=list)
    outputs: list[list[Any]] = field(default_factory=list)
    dropout: dict[int, Any] = field(default_factory=dict)
    weights: list[Array] = field(default_factory=list)
    drop_rates: dict[int, float] = field(default_factory=dict)
    drop_states: dict[int, Array] = field(default_factory=dict)
    penalties: list[tuple[float, float]] = field(default_factory=list)
    rate: float = 1.0
    weight_decay: float = 0.0
    clip_norm: float = math.inf
    momentum: float = 0.0

    def with_numbers(self, params: Mapping[str, Any], chosen: Options) -> Plan:
        """The plan of a model with the same weights, made with other numbers.

        Args:
            params: hyperparameters of the trial; those of ``NUMBERS`` are taken.
            chosen: of its training.
        """
        first, others = params.get("input_dropout", 0.0), params.get("dropout", 0.0)
        penalty = float(params.get("l1", 0.0)), float(params.get("l2", 0.0))
        return replace(
            self,
            drop_rates={place: others if place else first for place in self.drop_rates},
            penalties=[penalty for _ in self.penalties],
            rate=chosen.learning_rate or self.rate,
            weight_decay=chosen.weight_decay or self.weight_decay,
            clip_norm=chosen.clip_norm or math.inf,
            momentum=chosen.momentum if chosen.optimizer == "sgd" else 0.0,
        )

    def filled(self, weights: Sequence[Array]) -> keras.Model:
        """The model with the numbers of this plan and these weights."""
        for variable, values in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(values)
        for place, layer in self.dropout.items():
            layer.rate = self.drop_rates[place]
        for layer, numbers in zip(self.dense, self.penalties, strict=True):
            for name, number in zip(("l1", "l2"), numbers, strict=True):
                if hasattr(layer.kernel_regularizer, name):
                    setattr(layer.kernel_regularizer, name, number)
        return self.model


def plan(model: keras.Model) -> Plan:
    """Take a compiled model to pieces.

    Raises:
        PackError: it is not made of what can be stacked.
    """
    import keras

    if type(model) is not keras.Sequential:
        raise PackError(f"{type(model).__name__} is no keras.Sequential")
    found, shapes = Plan(model), []
    for layer in model.layers:
        kind = type(layer)
        if layer.activity_regularizer is not None:
            raise PackError("a layer has an activity_regularizer")
        if kind is keras.layers.Flatten and not found.dense and layer.data_format == "channels_last":
            continue
        if kind is keras.layers.Dropout and layer.noise_shape is None:
            if len(found.dense) in found.dropout:
                raise PackError("two dropout layers follow each other")
            if layer.rate:
                found.dropout[len(found.dense)] = layer
        elif kind is keras.layers.Dense:
            shapes.append(_dense(layer))
            found.dense.append(layer)
            found.outputs.append([layer.activation])
        elif kind is keras.layers.Activation and found.dense and len(found.dense) not in found.dropout:
            shapes.append(["activation", _name(layer.activation)])
            found.outputs[-1].append(layer.activation)
        else:
            raise PackError(f"it has a layer {kind.__name__}, or has it at that place")
    if not found.dense or len(found.dense) in found.dropout:
        raise PackError("its last layer is not dense")
    if len({layer.compute_dtype for layer in model.layers}) > 1:
        raise PackError("its layers compute in several precisions")
    for activations in found.outputs[:-1]:
        for activation in activations:
            if _name(activation) not in ELEMENTWISE:
                raise PackError(f"the activation {_name(activation)} is within the network")
    if len(model.inputs) != 1:
        raise PackError("it has several inputs")
    if len(model.output_shape) != 2:
        raise PackError(f"its outputs have the shape {model.output_shape[1:]}")
    found.weights = [np.array(variable) for variable in model.trainable_variables]
    found.drop_rates = {place: float(layer.rate) for place, layer in found.dropout.items()}
    found.drop_states = {
        place: np.array(layer.seed_generator.state) for place, layer in found.dropout.items()
    }
    penalties = [layer.kernel_regularizer for layer in found.dense]
    found.penalties = [(float(getattr(p, "l1", 0)), float(getattr(p, "l2", 0))) for p in penalties]
    if keras_private.loss_weights(model) is not None:
        raise PackError("its loss has a weight")
    optimizer = _optimizer(found, model.optimizer)
    whole = {
        "input": model.input_shape, "layers": shapes, "optimizer": optimizer, "rest": _rest(model, found),
    }  # fmt: skip
    found.shapes = json.dumps(whole, sort_keys=True)
    return found


def _rest(model: keras.Model, found: Plan) -> str:
    """All else that a model does, but for the numbers that a plan has.

    Raises:
        PackError: it can't be known, since there is code of the user's.
    """
    import keras

    masked: list[tuple[Any, str]] = [(model, "_layers"), (model, "_functional")]
    parts: list[Any] = [model]  # and its layers in order; those without dropout have no such layer
    for layer in model.layers:
        if type(layer) is not keras.layers.Dropout:
            parts.append(layer)
        elif "call" in vars(layer):
            raise PackError("a dropout layer has a call of its own")
    for layer in found.dense:
        masked += [(layer, "kernel_regularizer"), (layer.kernel, "regularizer")]
    optimizer = model.optimizer
    masked += [(optimizer, name) for name in ("weight_decay", "global_clipnorm", "momentum")]
    rate = keras_private.learning_rate(optimizer)  # of a variable the value counts nowhere
    masked += [(rate, name) for name in ("initial_learning_rate", "warmup_target")]
    masks = {(id(owner), name): "a number" for owner, name in masked}
    try:
        return fingerprint(parts, [*model.trainable_variables, *optimizer.variables], masks, OWN_FUNCTIONS)
    except UnprovedError as error:
        raise PackError(str(error)) from None


def _dense(layer: Any) -> list[Any]:
    import keras

    for name in ("bias_regularizer", "kernel_constraint", "bias_constraint"):
        if getattr(layer, name) is not None:
            raise PackError(f"a dense layer has a {name}")
    known = (type(None), keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
    if type(layer.kernel_regularizer) not in known:
        raise PackError(f"a dense layer has the penalty {type(layer.kernel_regularizer).__name__}")
    if not layer.trainable or layer.compute_dtype != layer.variable_dtype:
        raise PackError("a dense layer is frozen, or computes in another precision than its weights have")
    return ["dense", layer.units, layer.use_bias, layer.compute_dtype, _name(layer.activation)]


def _name(activation: Any) -> str:
    import keras

    name: str = getattr(activation, "__name__", "")
    if activation is not getattr(keras.activations, name, None):
        raise PackError("an activation is not of Keras")
    return name


def _optimizer(found: Plan, optimizer: Any) -> dict[str, Any]:
    """How an optimizer is made, but for numbers, which are put into the plan."""
    import keras

    kind = type(optimizer)
    if kind.__name__ not in OPTIMIZERS or kind is not getattr(keras.optimizers, kind.__name__):
        raise PackError(f"the optimizer {kind.__name__} does not go with several learning rates")
    config = optimizer.get_config()
    for name in ("clipnorm", "clipvalue", "loss_scale_factor", "gradient_accumulation_steps"):
        if config.pop(name, None) is not None:
            raise PackError(f"its optimizer has {name}")
    if config.get("use_ema"):
        raise PackError("its optimizer averages weights")
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    if any(getattr(optimizer, name, None) for name in names):
        raise PackError("some of its weights don't decay")
    del config["name"]
    found.weight_decay = float(config.pop("weight_decay") or 0.0)
    found.clip_norm = float(config.pop("global_clipnorm") or math.inf)
    if kind is keras.optimizers.SGD:
        found.momentum = float(config["momentum"])
        config["momentum"] = found.momentum > 0
    schedule = keras_private.learning_rate(optimizer)
    if type(schedule) is keras.optimizers.schedules.CosineDecay:
        found.rate = float(schedule.warmup_target or schedule.initial_learning_rate)
        parts = config["learning_rate"]["config"]
        for name in ("initial_learning_rate", "warmup_target"):
            parts[name] = parts[name] and parts[name] / found.rate
    elif isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        if type(schedule).__module__.partition(".")[0] != "keras":
            raise PackError("its learning rate's schedule is not of Keras")
    else:
        found.rate = float(config.pop("learning_rate"))
        config["learning_rate"] = 1.0
    if not found.rate > 0:
        raise PackError("its learning rate is 0")
    return {"class": kind.__name__, **config}


@dataclass(frozen=True)
class Shape:
    """What the graphs of a pack depend on, but for the shapes of its lanes.

    Attributes:
        lanes: how many.
        orders: in how many orders they see the samples: one, or one for each.
        dropout: before which dense layers there is dropout; whether all lanes draw the same numbers.
        penalized: which dense layers have a penalty on their kernels.
        decays: whether there is decay of weights.
        clips: whether gradients are clipped.
    """

    lanes: int
    orders: int
    dropout: tuple[tuple[int, bool], ...]
    penalized: tuple[bool, ...]
    decays: bool
    clips: bool

    @staticmethod
    def of(plans: Sequence[Plan], seeds: Sequence[int]) -> Shape:
        """That of a pack of these lanes.

        Raises:
            PackError: they have not the same shapes.
        """
        if len({one.shapes for one in plans}) > 1:
            raise PackError("they differ in more than numbers")
        places = sorted({place for one in plans for place in one.dropout})
        return Shape(
            lanes=len(plans),
            orders=len(plans) if len(set(seeds)) > 1 else 1,
            dropout=tuple((place, _draws_the_same(plans, place)) for place in places),
            penalized=tuple(
                any(sum(one.penalties[layer]) for one in plans) for layer in range(len(plans[0].dense))
            ),
            decays=any(one.weight_decay for one in plans),
            clips=any(one.clip_norm < math.inf for one in plans),
        )


def _draws_the_same(plans: Sequence[Plan], place: int) -> bool:
    return len({one.drop_states[place].tobytes() for one in plans if place in one.drop_states}) == 1


class Pack(Loop):
    """Several models as one, whose variables have an axis of lanes in front.

    A lane's weights are kept divided by its learning rate: steps of an optimizer are proportional to
    that, so all lanes take theirs by one optimizer with a learning rate of 1. Outputs of layers have
    the shape (lanes, units, samples), so that the kernels of all lanes over the same samples are one
    matrix, as they lie.

    Args:
        plans: of the models.
        shape: of the pack.
        world: of one rank.
        data: of which shapes and types count.
    """

    def __init__(self, plans: Sequence[Plan], shape: Shape, world: World, data: Dataset) -> None:
        import keras
        import tensorflow as tf

        first = plans[0]
        super().__init__(world, data, lanes=shape.lanes, orders=shape.orders)
        self._shape = shape
        self._dtype = first.dense[0].compute_dtype
        self._outputs = [list(activations) for activations in first.outputs]
        self._has_bias = [layer.use_bias for layer in first.dense]

        def numbers() -> tf.Variable:
            return tf.Variable(np.zeros((self.lanes, 1, 1)), trainable=False, dtype=self._dtype)

        self._rates, self._decays, self._clip_norms, self._momentums = (numbers() for _ in range(4))
        self._penalties = [(numbers(), numbers()) for _ in first.dense]
        self._drop_rates = {place: numbers() for place, _ in shape.dropout}
        self._generators = {
            place: [keras.random.SeedGenerator(0) for _ in range(1 if same else self.lanes)]
            for place, same in shape.dropout
        }
        self._scaled = [
            keras.Variable(np.zeros((self.lanes, *_turned(np.empty(v.shape)).shape)), dtype=self._dtype)
            for v in first.model.trainable_variables
        ]
        config = json.loads(first.shapes)["optimizer"]
        if config["class"] == "SGD":
            config["momentum"] = float(config["momentum"])
        kind = getattr(keras.optimizers, config.pop("class"))
        self._optimizer = kind.from_config(config)
        self._optimizer.weight_decay = None  # each lane has its own
        self._optimizer.build(self._scaled)
        if is_adam(self._optimizer):
            self._step_by(partial(adam_step, self._optimizer, self._optimizer.update_step))
        elif type(self._optimizer) is keras.optimizers.SGD and self._optimizer.momentum:
            self._step_by(self._step_with_momentum)
        self._first_values = [np.ravel(v)[0] for v in self._optimizer.variables]
        make_metrics(first.model, data)
        self._model = first.model
        self._metrics = _metrics_of(first.model)
        self._names = ["loss", *(metric.name for metric in self._metrics)]
        self._loss, self._sums_losses = _loss_of(first.model)
        self._totals = [tf.Variable(tf.zeros(self.lanes), trainable=False) for _ in self._names]
        self._counts = [tf.Variable(0.0, trainable=False) for _ in self._names]
        classes = counted_classes(data)
        self._confusion = tf.Variable(tf.zeros((self.lanes, classes, classes), tf.int32), trainable=False)
        self.take(plans)

    def _step_by(self, step: Any) -> None:
        object.__setattr__(self._optimizer, "update_step", step)

    def _step_with_momentum(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """What ``keras.optimizers.SGD`` does, which wants its momentum as a number."""
        import tensorflow as tf

        optimizer = self._optimizer
        momentum = optimizer.momentums[keras_private.index_of(optimizer, variable)]
        step = tf.cast(learning_rate, self._dtype) * gradient
        value = self._momentums * momentum - step
        momentum.assign(value)
        variable.assign_add(self._momentums * value - step if optimizer.nesterov else value)

    def take(self, plans: Sequence[Plan]) -> None:
        """Be the pack of other models, whose pack has the same shape."""
        self.restart()
        self._plans = list(plans)
        self._put(self._rates, [one.rate for one in plans])
        self._put(self._decays, [one.weight_decay * one.rate for one in plans])
        self._put(self._clip_norms, [one.clip_norm for one in plans])
        self._put(self._momentums, [one.momentum for one in plans])
        for layer, (l1, l2) in enumerate(self._penalties):
            self._put(l1, [one.penalties[layer][0] for one in plans])
            self._put(l2, [one.penalties[layer][1] for one in plans])
        for place, rates in self._drop_rates.items():
            self._put(rates, [one.drop_rates.get(place, 0.0) for one in plans])
            for lane, one in enumerate(plans):
                if place in one.drop_states:
                    self._generator(place, lane).state.assign(one.drop_states[place])
        for variable, value in zip(self._optimizer.variables, self._first_values, strict=True):
            variable.assign(np.full(variable.shape, value))
        self._put_weights([one.weights for one in plans])
        self.reset()

    def _put(self, variable: tf.Variable, values: Sequence[float]) -> None:
        variable.assign(np.reshape(np.asarray(values, self._dtype), (-1, 1, 1)))

    def _put_weights(self, lanes: Sequence[Sequence[Array]]) -> None:
        for index, scaled in enumerate(self._scaled):
            scaled.assign(np.stack([_turned(arrays[index]) for arrays in lanes]) / self._rates.numpy())

    def _generator(self, place: int, lane: int) -> Any:
        generators = self._generators[place]
        return generators[lane if len(generators) > 1 else 0]

    @property
    def nbytes(self) -> int:
        """Of the weights and the optimizer's state."""
        variables = [*self._scaled, *self._optimizer.variables]
        return sum(math.prod(v.shape) * v.value.dtype.size for v in variables)

    def reset(self) -> None:
        """Begin to measure anew."""
        import tensorflow as tf

        for variable in (*self._totals, *self._counts):
            variable.assign(tf.zeros_like(variable))

    def finish(self) -> list[Callable[[], keras.Model]]:
        """For each lane what gives its model; lanes may have one in common."""
        kernels = [np.asarray(v.value * self._rates) for v in self._scaled]
        shapes = [v.shape for v in self._model.trainable_variables]
        return [
            partial(
                one.filled, [_turned_back(k[lane], shape) for k, shape in zip(kernels, shapes, strict=True)]
            )
            for lane, one in enumerate(self._plans)
        ]

    def digests(self) -> list[str]:
        """For each lane SHA-256 of its weights and its optimizer's variables, to the last bit."""
        return [digest(arrays) for arrays in self._arrays()]

    def confusion(self) -> list[list[list[int]]]:
        """What was counted in the last evaluation; empty if nothing was. For each lane."""
        return [counts.tolist() if counts.any() else [] for counts in self._confusion.numpy()]

    def finalize(self) -> None:
        """Do nothing: no optimizer of a pack averages weights."""

    def average_statistics(self) -> None:
        """Do nothing: one rank has seen all samples."""

    def states(self, at: Position) -> list[State]:
        """For each lane what it needs to go on from here, alone or in a pack."""
        totals, counts = [v.numpy() for v in self._totals], [v.numpy() for v in self._counts]
        places = self._measured_in()
        states = []
        for lane, (one, shared) in enumerate(zip(self._plans, self._arrays(), strict=True)):
            own = [np.array(self._generator(place, lane).state) for place in sorted(one.dropout)]
            own += [totals[0][lane], counts[0]]
            for found in places:
                name, is_total = found or (0, True)
                value = totals[name][lane] if is_total else counts[name]
                own.append(value if found else np.zeros_like(value))
            states.append(State(at, shared, [own]))
        return states

    def restore(self, states: Sequence[State]) -> None:
        """Go on from there.

        Raises:
            PackError: one was left by several ranks.
        """
        if any(len(state.own) != 1 for state in states):
            raise PackError("one was trained by several ranks before")
        size, owners = len(self._scaled), self._owners()
        self._put_weights([state.shared[:size] for state in states])
        for place, variable in enumerate(self._optimizer.variables):
            values = [state.shared[size + place] for state in states]
            if id(variable) in owners:
                slots = np.stack([_turned(value) for value in values])
                variable.assign(slots / self._in_slot(variable))
            elif variable is not keras_private.learning_rate(self._optimizer):
                variable.assign(values[0])
        measured = self._measured_in()
        totals = np.zeros((len(self._names), self.lanes), np.float32)
        for lane, (one, state) in enumerate(zip(self._plans, states, strict=True)):
            own = list(state.own[0])
            for place in sorted(one.dropout):
                self._generator(place, lane).state.assign(own.pop(0))
            totals[0, lane], count = own[:2]
            self._counts[0].assign(count)
            for place_of, value in zip(measured, own[2:], strict=True):
                if place_of and place_of[1]:
                    totals[place_of[0], lane] = value
                elif place_of:
                    self._counts[place_of[0]].assign(value)
        for variable, values in zip(self._totals, totals, strict=True):
            variable.assign(values)

    def _arrays(self) -> list[list[Array]]:
        """For each lane the weights and its optimizer's variables, as alone."""
        weights = [np.asarray(v.value * self._rates) for v in self._scaled]
        owners, shapes = self._owners(), [v.shape for v in self._model.trainable_variables]
        optimizer = self._optimizer
        slots = [np.asarray(v.value) for v in optimizer.variables]
        lanes = []
        for lane, one in enumerate(self._plans):
            arrays = [
                _turned_back(values[lane], shape) for values, shape in zip(weights, shapes, strict=True)
            ]
            for variable, values in zip(optimizer.variables, slots, strict=True):
                owner = owners.get(id(variable))
                if owner is not None:
                    factor = self._in_slot(variable)
                    value = values[lane] * (factor[lane] if isinstance(factor, np.ndarray) else factor)
                    arrays.append(_turned_back(value.astype(values.dtype), shapes[owner]))
                elif variable is keras_private.learning_rate(optimizer):
                    arrays.append(np.asarray(one.rate, values.dtype))
                else:
                    arrays.append(values)
            lanes.append(arrays)
        return lanes

    def _owners(self) -> dict[int, int]:
        """For each variable of the optimizer that belongs to one of the weights, to which."""
        lists = [values for values in vars(self._optimizer).values() if isinstance(values, list)]
        whole = [values for values in lists if len(values) == len(self._scaled)]
        known = {id(variable) for variable in self._optimizer.variables}
        return {
            id(variable): index
            for values in whole
            for index, variable in enumerate(values)
            if id(variable) in known
        }

    def _in_slot(self, variable: Any) -> Any:
        """The learning rates, where a slot has them as a factor."""
        momentums = keras_private.momentums(self._optimizer) or getattr(self._optimizer, "momentums", None)
        if type(self._optimizer).__name__ in WITH_RATE and any(variable is v for v in momentums or ()):
            return self._rates.numpy()
        return 1

    def _measured_in(self) -> list[tuple[int, bool] | None]:
        """For each variable of the metrics of a model which of ours it is, and whether it is a total."""
        found: list[tuple[int, bool] | None] = []
        for variable in self._model.metrics_variables:
            of = [i for i, m in enumerate(self._metrics, 1) if variable is m.total or variable is m.count]
            found.append((of[0], variable is self._metrics[of[0] - 1].total) if of else None)
        return found

    def _take(self, values: Any, rows: tf.Tensor) -> Any:
        import tensorflow as tf

        return tf.gather(values, rows if self.orders == 1 else tf.transpose(rows))

    def _gradients(self, x: Any, y: Any, mine: Slice) -> list[Any]:
        import tensorflow as tf

        weights = [variable.value * self._rates for variable in self._scaled]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            y, y_pred = self._spread(y, self.orders > 1), self._predict(x, weights, training=True)
            losses = self._lane_losses(y, y_pred, weights)
            total = tf.reduce_sum(losses)
        self._measure(y, y_pred, losses, mine.samples)
        return list(tape.gradient(total, weights))

    def _apply(self, gradients: Sequence[Any]) -> None:
        import tensorflow as tf

        if self._shape.clips:
            gradients = self._clipped(gradients)
        if self._shape.decays:
            now = self._decays * tf.cast(self._optimizer.learning_rate, self._dtype)
            for variable in self._scaled:
                variable.assign(variable - variable * now)
        self._optimizer.apply(gradients, self._scaled)

    def _evaluate_batch(self, x: Any, y: Any, mine: Slice) -> None:
        import tensorflow as tf

        weights = [variable.value * self._rates for variable in self._scaled]
        y, y_pred = self._spread(y, False), self._predict(x, weights, training=False)
        self._measure(y, y_pred, self._lane_losses(y, y_pred, weights), mine.samples)
        classes = self._confusion.shape[1]
        cells = confused(y, y_pred, classes)
        if cells is not None:
            cells += tf.repeat(tf.range(self.lanes) * classes**2, tf.shape(x)[0])
            counts = tf.math.unsorted_segment_sum(tf.ones_like(cells), cells, self.lanes * classes**2)
            self._confusion.assign_add(tf.reshape(counts, self._confusion.shape))

    def _predict(self, x: Any, weights: Sequence[Any], *, training: bool) -> tf.Tensor:
        """The outputs, shape (lanes x samples, units)."""
        import tensorflow as tf

        weights = list(weights)
        laned = training and self.orders > 1
        samples = tf.shape(x)[1 if laned else 0]
        h = tf.reshape(x, (self.lanes, samples, weights[0].shape[-1]) if laned else (samples, -1))
        h = tf.cast(h, self._dtype)
        if training and 0 in self._drop_rates:
            h = (h if laned else h[None]) * self._mask(0, samples, weights[0].shape[-1])
        for layer, activations in enumerate(self._outputs):
            kernel = weights.pop(0)
            if layer:
                if training and layer in self._drop_rates:
                    h *= tf.transpose(self._mask(layer, samples, kernel.shape[-1]), (0, 2, 1))
                h = tf.matmul(kernel, h)
            elif len(h.shape) == 2:
                whole = tf.matmul(tf.reshape(kernel, (-1, kernel.shape[-1])), h, transpose_b=True)
                h = tf.reshape(whole, (self.lanes, kernel.shape[1], samples))
            else:
                h = tf.matmul(kernel, h, transpose_b=True)
            if self._has_bias[layer]:
                h += weights.pop(0)
            if layer == len(self._outputs) - 1:
                h = tf.reshape(tf.transpose(h, (0, 2, 1)), (-1, kernel.shape[1]))
            for activation in activations:
                h = activation(h)
        return h

    def _mask(self, place: int, samples: Any, units: int) -> tf.Tensor:
        """What outputs are multiplied by, shape (lanes, samples, units)."""
        import keras
        import tensorflow as tf

        draws = [
            keras.random.uniform((samples, units), dtype=self._dtype, seed=generator)
            for generator in self._generators[place]
        ]
        rates = self._drop_rates[place]
        return tf.where(tf.stack(draws) >= rates, 1 / (1 - rates), 0)

    def _spread(self, y: Any, laned: bool) -> tf.Tensor:
        """The targets of all lanes, shape (lanes x samples, ...)."""
        import tensorflow as tf

        if laned:
            return tf.reshape(y, (-1, *y.shape[2:]))
        return tf.tile(y, [self.lanes] + [1] * (len(y.shape) - 1))

    def _lane_losses(self, y: Any, y_pred: Any, weights: Sequence[Any]) -> tf.Tensor:
        """The loss of each lane, penalties included; shape (lanes,)."""
        import tensorflow as tf

        by_sample = tf.reshape(self._loss(y, y_pred), (self.lanes, -1))
        losses = (tf.reduce_sum if self._sums_losses else tf.reduce_mean)(by_sample, axis=1)
        kernels = [w for w, v in zip(weights, self._model.trainable_variables, strict=True) if v.ndim == 2]
        for penalized, kernel, (l1, l2) in zip(self._shape.penalized, kernels, self._penalties, strict=True):
            if penalized:
                each = l1 * tf.abs(kernel) + l2 * tf.square(kernel)
                losses += tf.cast(tf.reduce_sum(each, axis=(1, 2)), losses.dtype)
        return losses

    def _clipped(self, gradients: Sequence[Any]) -> list[Any]:
        """Each lane's gradients, scaled down to its greatest norm as Keras does it."""
        import tensorflow as tf

        squares = [tf.reduce_sum(tf.square(g), axis=(1, 2), keepdims=True) for g in gradients]
        norm, most = tf.sqrt(tf.add_n(squares)), self._clip_norms
        scale = most * tf.minimum(1 / norm, 1 / most) + (norm - norm)
        scale = tf.where(tf.math.is_inf(most), tf.ones_like(scale), scale)
        return [gradient * scale for gradient in gradients]

    def _measure(self, y: Any, y_pred: Any, losses: Any, samples: tf.Tensor) -> None:
        import tensorflow as tf

        self._totals[0].assign_add(tf.cast(losses, tf.float32) * samples)
        self._counts[0].assign_add(samples)
        for metric, total, count in zip(self._metrics, self._totals[1:], self._counts[1:], strict=True):
            function, further = keras_private.metric_function(metric)
            values = tf.cast(function(y, y_pred, **further), tf.float32)
            values = tf.reduce_mean(tf.reshape(values, (self.lanes, tf.cast(samples, tf.int32), -1)), axis=2)
            total.assign_add(tf.reduce_sum(values, axis=1))
            count.assign_add(samples)

    def _values(self) -> tf.Tensor:
        import tensorflow as tf

        results = [tf.math.divide_no_nan(t, c) for t, c in zip(self._totals, self._counts, strict=True)]
        return tf.cast(tf.stack(results), tf.float64)


def _turned(values: Any) -> Any:
    """A kernel or a bias as it is kept: (units, inputs) or (units, 1)."""
    return values.T if values.ndim == 2 else values[:, None]


def _turned_back(values: Any, shape: Any) -> Any:
    """The same as Keras has it, of that shape."""
    return values.T if len(shape) == 2 else values[:, 0]


def check_measures(model: keras.Model, data: Dataset) -> None:
    """Make sure that the loss and the metrics of a model can be those of lanes.

    Raises:
        PackError: they can't.
    """
    make_metrics(model, data)
    _metrics_of(model)
    _loss_of(model)


def _metrics_of(model: keras.Model) -> list[Any]:
    """Those of a model that has been compiled and has seen a sample.

    Raises:
        PackError: one is not the mean of a number for each sample.
    """
    import keras

    compiled = keras_private.compiled_metrics(model)
    found = list(compiled.metrics) if compiled is not None else []
    for metric in found:
        kind = type(metric)
        means = keras.metrics.MeanMetricWrapper
        if (
            not isinstance(metric, means)
            or any(getattr(kind, name) is not getattr(means, name) for name in ("update_state", "result"))
            or not is_by_sample(metric)
        ):
            raise PackError(f"the metric {metric.name} is no mean over samples")
    return found


def _loss_of(model: keras.Model) -> tuple[Any, bool]:
    """The loss as a function that gives each sample's; and whether they are summed up.

    Raises:
        PackError: it is none of Keras' by sample.
    """
    import keras

    loss = keras.losses.get(model.loss) if isinstance(model.loss, str) else model.loss
    if not isinstance(loss, keras.losses.Loss):
        if not callable(loss):
            raise PackError("its loss is not one for one output")
        if loss.__name__ not in LOSSES:
            raise PackError(f"its loss {loss.__name__} may not be one of each sample")
        return keras_private.loss_of_function(loss), False
    more = keras_private.loss_arguments(loss)
    by_sample = more is not None and loss.fn.__name__ in LOSSES
    more = more or {}
    by_sample = by_sample and more.get("axis", -1) == -1 and more.get("ignore_class") is None
    if not by_sample or loss.reduction not in ("sum", "sum_over_batch_size"):
        raise PackError(f"its loss {type(loss).__name__} is not a mean or sum over samples")
    each = type(loss).from_config({**loss.get_config(), "reduction": None})
    return each, loss.reduction == "sum"
