"""Models as people write them, each with what no config of Keras says. Eight features, five classes."""

from __future__ import annotations

from typing import Any


def _compiled(optimizer: Any, loss: Any = "sparse_categorical_crossentropy", **more: Any) -> Any:
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "tanh"), layers.Dense(5, "softmax")])
    model.compile(optimizer, loss, jit_compile=False, **more)
    return model


def exempt() -> Any:
    """Kernels and biases are exempt from a decay that would leave nothing of them."""
    import keras

    optimizer = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    return _compiled(optimizer)


def averaged() -> Any:
    """Ends with averages of its weights."""
    import keras

    return _compiled(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))


def scheduled() -> Any:
    """A schedule that can't say how it is made, as the paper on transformers has it."""
    import keras

    class Noam(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            step = keras.ops.cast(step, "float32") + 1
            return 0.1 * keras.ops.minimum(step**-0.5, step * 20**-1.5)

    return _compiled(keras.optimizers.Adam(Noam()))


def own_optimizer() -> Any:
    """An optimizer with an attribute that its config does not have."""
    import keras

    class Signed(keras.optimizers.SGD):  # type: ignore[misc]
        def __init__(self, rate: float) -> None:
            super().__init__(rate)
            self.shrink = 1.0

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_sub(variable, self.shrink * 0.1 * keras.ops.sign(gradient))

    optimizer = Signed(0.1)
    optimizer.shrink = 0.5
    return _compiled(optimizer)


def most_sure() -> Any:
    """A metric that is a maximum, and one that is the mean of what each batch comes to."""
    import keras

    class Most(keras.metrics.Metric):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="most")
            self.most = self.add_variable((), "zeros")

        def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
            self.most.assign(keras.ops.maximum(self.most, keras.ops.max(p)))

        def result(self) -> Any:
            return 1.0 * self.most  # the variable itself would change after fit has looked at it

    def spread(y: Any, p: Any) -> Any:
        return keras.ops.std(keras.ops.argmax(p, axis=-1))

    return _compiled(keras.optimizers.Adam(0.01), metrics=["accuracy", Most(), spread])


def vector() -> Any:
    """A metric with a number for each class."""
    import keras

    class Scores(keras.metrics.F1Score):  # type: ignore[misc]
        def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
            super().update_state(keras.ops.one_hot(keras.ops.reshape(y, (-1,)), 5), p)

    return _compiled("adam", metrics=[Scores(name="f1"), "accuracy"])


def old_compute_loss() -> Any:
    """As Keras' guide had it until 3.5, without ``training``."""
    import keras

    class Old(keras.Model):  # type: ignore[misc]
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
        ) -> Any:
            return keras.losses.SparseCategoricalCrossentropy()(y, y_pred) + 0.1

    inputs = keras.Input((8,))
    model = Old(inputs, keras.layers.Dense(5, "softmax")(inputs))
    model.compile("adam", jit_compile=False)
    return model


def half_precision() -> Any:
    """Computes in 16 bits, and scales its loss."""
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    return _compiled(keras.optimizers.Adam(0.01), metrics=["accuracy"])


def masked() -> Any:
    """Leaves out steps of a sequence in a metric; its loss is of all steps."""
    import keras

    layers, ops = keras.layers, keras.ops

    class Whole(keras.Model):  # type: ignore[misc]
        def compute_loss(
            self,
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
            training: bool = True,
        ) -> Any:
            each = keras.losses.sparse_categorical_crossentropy(y, ops.mean(y_pred, axis=1))
            return ops.mean(each)

    def certain(y: Any, p: Any) -> Any:
        return ops.max(p, axis=-1)

    inputs = keras.Input((8,))
    steps = layers.Masking(mask_value=0.0)(layers.Reshape((4, 2))(layers.ReLU()(inputs)))
    model = Whole(inputs, layers.Dense(5, "softmax")(steps))
    model.compile(keras.optimizers.Adam(0.01), metrics=[certain], jit_compile=False)
    return model


def summed() -> Any:
    """A loss that is a sum over samples, with a penalty, and metrics that see whole batches."""
    import keras

    layers = keras.layers
    dense = layers.Dense(5, "softmax", kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((8,)), dense])
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")

    def dice(y: Any, p: Any) -> Any:
        return keras.losses.dice(keras.ops.one_hot(keras.ops.reshape(y, (-1,)), 5), p)

    class Both(keras.metrics.Metric):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="both")
            self.total = self.add_variable((), "zeros")

        def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
            self.total.assign_add(keras.ops.max(p))

        def result(self) -> Any:
            return {"once": 1.0 * self.total, "twice": 2.0 * self.total}

    model.compile(keras.optimizers.SGD(0.001), [loss], metrics=[dice, Both()], jit_compile=False)
    return model


def counting() -> Any:
    """Counts how often it is called in training, and learns the faster for it."""
    import keras

    class Count(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="int32")

        def call(self, x: Any) -> Any:
            self.calls.assign_add(1)
            return x * (1 + keras.ops.cast(self.calls, x.dtype) / 100)

    model = keras.Sequential([keras.Input((8,)), Count(), keras.layers.Dense(5, "softmax")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=False)
    return model


FIT = {f.__name__: f for f in (
    exempt, averaged, scheduled, own_optimizer, most_sure, vector, old_compute_loss, half_precision, masked,
    summed,
)}  # fmt: skip
"""Models that are trained as ``fit`` trains them, on one rank or several."""


def contrast() -> Any:
    """A loss that compares the samples of a batch with each other."""
    import keras

    ops = keras.ops

    def loss(y: Any, p: Any) -> Any:
        p = ops.normalize(p, axis=-1)
        near = ops.matmul(p, ops.transpose(p)) / 0.5
        eye = ops.eye(ops.shape(near)[0])
        same = ops.cast(ops.equal(ops.reshape(y, (-1, 1)), ops.reshape(y, (1, -1))), near.dtype) - eye
        near = near - 1e9 * eye
        sums = ops.sum(same * (near - ops.logsumexp(near, axis=1, keepdims=True)), axis=1)
        return -sums / ops.maximum(ops.sum(same, axis=1), 1)

    return _compiled(keras.optimizers.SGD(0.05), loss)


def kept_metric() -> Any:
    """Keeps a metric that it has not handed to ``compile``."""
    import keras

    class Kept(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(5, "softmax")
            self.mine = keras.metrics.Mean(name="mine")

        def call(self, x: Any) -> Any:
            p = self.dense(x)
            self.mine.update_state(keras.ops.max(p))
            return p

    model = Kept()
    model(keras.ops.zeros((1, 8)))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    return model


def balanced() -> Any:
    """Adds to its loss, in training only, how unequal the batch's outputs are."""
    import keras

    class Balance(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any, training: bool | None = None) -> Any:
            if training:
                self.add_loss(keras.ops.sum(keras.ops.square(keras.ops.mean(x, axis=0))))
            return x

    model = keras.Sequential([keras.Input((8,)), Balance(), keras.layers.Dense(5, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    return model


def synchronized() -> Any:
    """Batch normalisation that asks for what no rank does."""
    import keras

    layers = keras.layers
    first = layers.BatchNormalization(synchronized=True)
    model = keras.Sequential([keras.Input((8,)), first, layers.Dense(5, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    return model


ONE_RANK = {f.__name__: f for f in (contrast, kept_metric, balanced, synchronized, counting)}
"""Models that one rank trains as ``fit`` does, and several refuse."""


def own_train_step() -> Any:
    """Takes steps of its own."""
    import keras

    class Stepping(keras.Sequential):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return {"loss": 0.0}

    model = Stepping([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def own_test_step() -> Any:
    """Is measured by steps of its own."""
    import keras

    class Tested(keras.Sequential):  # type: ignore[misc]
        def test_step(self, data: Any) -> Any:
            return {"loss": 42.0}

    model = Tested([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def own_compute_metrics() -> Any:
    """Measures as it likes."""
    import keras

    class Measured(keras.Sequential):  # type: ignore[misc]
        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return {**super().compute_metrics(x, y, y_pred, sample_weight), "three": 3.0}

    model = Measured([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    return model


REFUSED = {f.__name__: f for f in (own_train_step, own_test_step, own_compute_metrics)}
"""Models of which no rank would do what ``fit`` does."""
