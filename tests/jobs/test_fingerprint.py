"""What proves that two models are the same but for numbers, and what does not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpc.jobs.training.fingerprint import UnprovedError, fingerprint_of
from tests.marks import slow

Made = Callable[[int], Any]


def compiled(*layers: Any, optimizer: Any = "adam", loss: Any = "mean_squared_error", **more: Any) -> Any:
    import keras

    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3, "softmax")])
    model.compile(optimizer, loss, **more)
    model.optimizer.build(model.trainable_variables)
    return model


def print_of(make: Made, which: int) -> str:
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(which)
    model = make(which)
    return fingerprint_of([model], [*model.variables, *model.optimizer.variables], {})


def same(which: int) -> Any:
    import keras

    return compiled(keras.layers.Dense(4, "relu", kernel_regularizer="l2"), keras.layers.Dropout(0.5))


def connected(which: int) -> Any:
    import keras

    inputs = keras.Input((6, 6, 2))
    first = keras.layers.Conv2D(3, 3)(inputs)
    outputs = keras.ops.mean(first, axis=(1, 2)) + keras.layers.GlobalMaxPooling2D()(first)
    model = keras.Model(inputs, keras.layers.Dense(3)(outputs))
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def recurrent(which: int) -> Any:
    import keras

    layers = keras.layers
    cells = layers.Bidirectional(layers.LSTM(3))
    model = keras.Sequential([keras.Input((5,)), layers.Embedding(7, 4, mask_zero=True), cells])
    model.compile("adamw", "mse", metrics=["mae", keras.metrics.AUC()])
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("make", [same, slow(connected), slow(recurrent)])
def test_models_that_are_made_alike_are_the_same(make: Made) -> None:
    assert print_of(make, 0) == print_of(make, 1)


def exempt(which: int) -> Any:
    import keras

    optimizer = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    if which:
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
    return compiled(optimizer=optimizer)


def exempt_by_variable(which: int) -> Any:
    import keras

    layer, optimizer = keras.layers.Dense(4), keras.optimizers.AdamW(0.01, weight_decay=5.0)
    layer.build((None, 4))
    optimizer.exclude_from_weight_decay(var_list=[layer.kernel, layer.bias][which : which + 1])
    return compiled(layer, optimizer=optimizer)


def adapted(which: int) -> Any:
    import keras

    layer = keras.layers.Normalization(axis=None)
    layer.adapt(np.arange(4.0) * (1 + which))
    return compiled(layer)


def cut(which: int) -> Any:
    import keras

    layer = keras.layers.Discretization(num_bins=3)
    layer.adapt(np.arange(10.0) * (1 + which))
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Embedding(3, 2)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def partly(which: int) -> Any:
    import keras

    slope = functools.partial(keras.activations.leaky_relu, negative_slope=(0.1, 0.9)[which])
    return compiled(keras.layers.Dense(4, activation=slope))


def with_attribute(which: int) -> Any:
    import keras

    layer = keras.layers.Dense(4)
    layer.supports_masking = bool(which)
    return compiled(layer)


def shared(which: int) -> Any:
    import keras

    first = keras.regularizers.L2(0.1)
    return compiled(
        keras.layers.Dense(4, kernel_regularizer=first),
        keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1) if which else first),
    )


def frozen(which: int) -> Any:
    import keras

    layer = keras.layers.Dense(4)
    model = compiled(layer)
    layer.trainable = not which
    return model


@pytest.mark.parametrize(
    "make",
    [exempt, *map(slow, (exempt_by_variable, adapted, cut, partly, with_attribute, shared, frozen))],
)
def test_what_no_config_says_tells_models_apart(make: Made) -> None:
    assert print_of(make, 0) != print_of(make, 1)
    assert print_of(make, 0) == print_of(make, 0)


@pytest.mark.slow
def test_what_keras_looks_up_when_it_computes_tells_models_apart() -> None:
    import keras

    before, epsilon = print_of(same, 0), keras.config.epsilon()
    try:
        keras.config.set_epsilon(1e-3)
        assert print_of(same, 0) != before
    finally:
        keras.config.set_epsilon(epsilon)
    assert print_of(same, 0) == before


def named_like_one_of_keras(which: int) -> Any:
    import keras

    def leaky_relu(x: Any) -> Any:
        return keras.ops.leaky_relu(x, 0.1)

    leaky_relu.__module__ = keras.activations.leaky_relu.__module__
    return compiled(keras.layers.Dense(4, activation=leaky_relu))


def subclass(which: int) -> Any:
    import keras

    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def call(self, x: Any, training: bool | None = None) -> Any:
            return 2 * super().call(x)

    Dense.__module__ = keras.layers.Dense.__module__
    return compiled(Dense(4))


def instance(which: int) -> Any:
    import keras

    layer = keras.layers.Dense(4)
    layer.call = lambda x, training=None: x
    return compiled(layer)


def own_loss(which: int) -> Any:
    return compiled(loss=lambda y, p: y - p)


def own_metric(which: int) -> Any:
    return compiled(metrics=[lambda y, p: y - p])


def own_penalty(which: int) -> Any:
    import keras

    return compiled(keras.layers.Dense(4, kernel_regularizer=lambda w: keras.ops.sum(w)))


def own_schedule(which: int) -> Any:
    import keras

    class Falling(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return 0.1 / (1 + keras.ops.cast(step, "float32"))

    return compiled(optimizer=keras.optimizers.SGD(Falling()))


def own_optimizer(which: int) -> Any:
    import keras

    class Half(keras.optimizers.SGD):  # type: ignore[misc]
        pass

    return compiled(optimizer=Half(0.1))


def looked_up(which: int) -> Any:
    import keras

    layers = keras.layers
    words = layers.IntegerLookup(vocabulary=[1, 2, 3 + which])
    inputs = keras.Input((4,), dtype="int64")
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Embedding(9, 2)(words(inputs)))))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize(
    "make",
    [
        named_like_one_of_keras, subclass,
        *map(slow, (instance, own_loss, own_metric, own_penalty, own_schedule, own_optimizer, looked_up)),
    ],
)  # fmt: skip
def test_what_is_not_keras_own_proves_nothing(make: Made) -> None:
    with pytest.raises(UnprovedError):
        print_of(make, 0)


@pytest.mark.slow
def test_a_method_that_somebody_has_put_into_a_class_of_keras_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras

    before, by_keras = print_of(same, 0), keras.layers.Dense.call

    @functools.wraps(by_keras)
    def wrapped(self: Any, x: Any, training: bool | None = None) -> Any:
        return x

    for patched in (lambda self, x, training=None: x, wrapped, functools.partialmethod(by_keras)):
        with monkeypatch.context() as patch:
            patch.setattr(keras.layers.Dense, "call", patched)
            with pytest.raises(UnprovedError, match=r"Dense\.call is not of Keras"):
                print_of(same, 0)
    assert print_of(same, 0) == before


@pytest.mark.slow
def test_a_function_of_keras_with_other_defaults_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    before = print_of(same, 0)
    monkeypatch.setattr(keras.activations.relu, "__defaults__", (0.5, None, 0.0))
    assert print_of(same, 0) != before
