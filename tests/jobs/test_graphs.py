"""Graphs that trials share train each as it would be trained alone."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from hpc.jobs.training import graphs as graphs_module
from hpc.jobs.training.base import Trained
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.loop import FIRST_STEPS
from hpc.jobs.training.model_numbers import drop_by_tensor
from hpc.models import Dataset, Split
from tests.jobs.networks import ALONE, Trial, network
from tests.jobs.rank import made_up
from tests.jobs.working import train, weights_digest
from tests.marks import slow_but


def trained(trial: Trial, graphs: Graphs | None = None) -> Trained:
    data = made_up(trial.get("samples", 150), 41, 30)
    epochs, batch_size = trial.get("epochs", 3), trial.get("batch_size", 32)
    return train(
        network(data, trial), data, ALONE, epochs=epochs, batch_size=batch_size, seed=trial.get("seed", 0),
        graphs=graphs,
    )  # fmt: skip


NUMBERS: list[list[Trial]] = [
    [
        {"learning_rate": 0.01},
        {"learning_rate": 0.1, "seed": 3},
        {"learning_rate": 0.01},
        {"batch_size": 50, "epochs": 2},
        {"samples": 97, "batch_size": 1000},
    ],
    [
        {"dropout": 0.5, "l2": 0.01, "input_dropout": 0.2},
        {"dropout": 0.1, "l2": 0.1, "input_dropout": 0.3, "seed": 1},
        {"dropout": 0.5, "l2": 0.001, "input_dropout": 0.2, "learning_rate": 0.03},
    ],
    [{"l1": 0.001, "weight_decay": 0.1}, {"l1": 0.01, "weight_decay": 0.01}],
    [
        {"schedule": "cosine", "learning_rate": 0.1, "optimizer": "sgd", "momentum": 0.9},
        {"schedule": "cosine", "learning_rate": 0.2, "optimizer": "sgd", "momentum": 0.9, "epochs": 5},
    ],
    [
        {"schedule": "cosine", "warmup_epochs": 1.0, "epochs": 4, "optimizer": "adagrad"},
        {"schedule": "cosine", "warmup_epochs": 0.4, "optimizer": "adagrad", "learning_rate": 0.1},
    ],
]


KINDS = ["rates", "dropout", "penalties", "cosine", "warm-up"]


@pytest.mark.parametrize("kind", slow_but(["penalties"], KINDS))
def test_trials_that_differ_in_numbers_share_their_graphs_and_end_as_alone(kind: str) -> None:
    trials = NUMBERS[KINDS.index(kind)]
    graphs = Graphs()
    first = None
    for trial in trials:
        together, alone = trained(trial, graphs), trained(trial)
        assert weights_digest(together.model) == weights_digest(alone.model), trial
        assert together == alone
        assert together.model.get_config() == alone.model.get_config()
        assert not any("call" in vars(layer) for layer in together.model.layers)
        first = first or together.model
        assert together.model is first
    assert graphs.traced == 1


@pytest.mark.slow
def test_what_is_no_number_has_graphs_of_its_own() -> None:
    trials: list[Trial] = [
        {},
        {"hidden_size": 17},
        {"activation": "tanh"},
        {"dropout": 0.5},
        {"l2": 0.1},
        {"l1": 0.1},
        {"max_norm": 3.0},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.9},
        {"clip_norm": 1.0},
        {"loss": "mean_squared_error"},
        {"metrics": ["accuracy", "sparse_top_k_categorical_accuracy"]},
        {"schedule": "cosine"},
    ]
    graphs = Graphs()
    data = made_up(20, 0)
    for trial in trials:
        model = network(data, trial)
        model.optimizer.build(model.trainable_variables)
        assert graphs.of(model, data, ALONE).model is model, trial
    assert graphs.traced == len(trials)
    model = network(data, {"hidden_size": 17, "seed": 5})
    model.optimizer.build(model.trainable_variables)
    assert graphs.of(model, data, ALONE).model is not model
    other = made_up(20, 0, dtype="float64")
    model = network(other, {})
    model.optimizer.build(model.trainable_variables)
    assert graphs.of(model, other, ALONE).model is model


def test_what_keras_can_not_tell_of_a_model_is_never_shared() -> None:
    """Two lambdas, or two objects of a user's class, may look alike and do different things."""
    import keras

    class Times(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def call(self, x: Any) -> Any:
            return self.factor * x

    def of(*layers: Any, loss: Any = "mean_squared_error") -> Any:
        model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(5, "softmax")])
        model.compile("sgd", loss)
        model.optimizer.build(model.trainable_variables)
        return model

    graphs, data = Graphs(), made_up(20, 0)
    for factor in (1.0, 2.0):
        for model in (
            of(Times(factor)),
            of(keras.layers.Lambda(lambda x, factor=factor: factor * x)),
            of(keras.layers.Activation(lambda x, factor=factor: factor * x)),
            of(loss=lambda y, p, factor=factor: factor * keras.losses.mean_squared_error(y, p)),
        ):
            assert graphs.of(model, data, ALONE).model is model
    assert graphs.traced == 8


@pytest.mark.slow
def test_two_penalties_of_one_factor_are_not_one_penalty() -> None:
    import keras

    def of(first: Any, second: Any) -> Any:
        keras.utils.clear_session()
        dense = [keras.layers.Dense(5, kernel_regularizer=penalty) for penalty in (first, second)]
        model = keras.Sequential([keras.Input((8,)), *dense])
        model.compile("sgd", "mean_squared_error")
        model.optimizer.build(model.trainable_variables)
        return model

    l2 = keras.regularizers.L2
    graphs, data, one = Graphs(), made_up(20, 0), l2(0.1)
    graphs.of(of(one, one), data, ALONE)
    graphs.of(of(l2(0.1), l2(0.2)), data, ALONE)
    assert graphs.traced == 2
    graphs.of(of(l2(0.3), l2(0.4)), data, ALONE)
    assert graphs.traced == 2


def test_dropout_is_that_of_keras_in_number_and_scale() -> None:
    import keras

    x = np.ones((20_000, 8), np.float32)
    keras.utils.set_random_seed(1)
    for shape in (None, (None, 1)):
        layer = keras.layers.Dropout(0.3, noise_shape=shape)
        found = np.asarray(drop_by_tensor(layer, x, training=True))
        its = np.asarray(layer(x, training=True))
        assert set(np.unique(found)) == set(np.unique(its)) == {0, np.float32(1 / 0.7)}
        assert found.mean() == pytest.approx(1, abs=0.02)
        assert (found == found[:, :1]).all() == (its == its[:, :1]).all() == (shape is not None)
        np.testing.assert_array_equal(drop_by_tensor(layer, x), x)


@pytest.mark.slow
@pytest.mark.parametrize("how", slow_but(["adam"], ["adam", "adamw", "amsgrad", "embedding", "subclass"]))
def test_steps_of_adam_are_those_that_keras_takes(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By TensorFlow's kernel, where that does the same: not for AMSGrad, sparse gradients, users' steps."""
    import keras
    import tensorflow as tf

    class Lazy(keras.optimizers.Adam):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_sub(variable, 0.1 * learning_rate * gradient)

    kinds: dict[str, Any] = {
        "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, epsilon=1e-3),
        "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
        "subclass": lambda: Lazy(0.01),
    }
    draw = np.random.default_rng(0)
    x = draw.integers(0, 5, (100, 3)) if how == "embedding" else draw.normal(size=(100, 3))
    split = Split(x.astype(np.float32), draw.integers(0, 2, 100).astype(np.int32))
    data = Dataset(split, None, 2)

    def model() -> Any:
        keras.utils.set_random_seed(0)
        first = [keras.layers.Embedding(5, 4), keras.layers.Flatten()] if how == "embedding" else []
        made = keras.Sequential([keras.Input((3,)), *first, keras.layers.Dense(2, "softmax")])
        adam = kinds.get(how, lambda: keras.optimizers.Adam(0.01, beta_1=0.8))()
        made.compile(adam, "sparse_categorical_crossentropy", jit_compile=False)
        return made

    kernels, kernel = [], tf.raw_ops.ResourceApplyAdam

    def counted(**inputs: Any) -> Any:
        kernels.append(1)
        return kernel(**inputs)

    monkeypatch.setattr(tf.raw_ops, "ResourceApplyAdam", counted)
    mine = train(model(), data, ALONE, epochs=4, batch_size=16, seed=0, shuffle=False).model
    twin = model()
    twin.fit(split.x, split.y, batch_size=16, epochs=4, shuffle=False, verbose=0)
    for found, wanted in zip(_variables(mine), _variables(twin), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert len(kernels) == {"adam": 2, "adamw": 2, "embedding": 2}.get(how, 0)
    assert "update_step" not in vars(mine.optimizer)


def _variables(model: Any) -> list[Any]:
    return [np.asarray(variable) for variable in [*model.weights, *model.optimizer.variables]]


@pytest.mark.slow
def test_only_so_many_graphs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made_up(20, 0)

    def drawn(sizes: list[int]) -> int:
        graphs = Graphs()
        for size in sizes:
            model = network(data, {"hidden_size": size})
            model.optimizer.build(model.trainable_variables)
            graphs.of(model, data, ALONE)
        return graphs.traced

    monkeypatch.setattr(graphs_module, "MAX_KEPT", 2)
    assert drawn([1, 2, 1, 2, 1]) == 2
    assert drawn([1, 2, 1, 3, 1]) == 3  # the one used longest ago is given up
    assert drawn([1, 2, 3, 1]) == 4
    monkeypatch.setattr(graphs_module, "MAX_KEPT_BYTES", 1)
    assert drawn([1, 1, 2, 1]) == 3


@pytest.mark.slow
def test_a_trial_of_long_steps_does_not_take_as_many_as_one_of_short_steps_did() -> None:
    graphs, data = Graphs(), made_up(400, 0)
    train(network(data, {}), data, ALONE, epochs=3, batch_size=1, seed=0, graphs=graphs)
    model = network(data, {})
    model.optimizer.build(model.trainable_variables)
    loop = graphs.of(model, data, ALONE)
    assert (loop.model is model, loop.stride) == (False, FIRST_STEPS)


def test_data_are_copied_once_and_others_take_their_place() -> None:
    graphs, data = Graphs(), np.arange(12.0).reshape(6, 2)
    graphs.begin(0)
    first = graphs.tensor(data[:3])
    assert graphs.tensor(data[:3]) is first
    assert graphs.tensor(data[3:]) is not first
    graphs.begin(1)
    assert graphs.tensor(data[:3]) is first  # of the trial before
    graphs.begin(2)
    np.testing.assert_array_equal(graphs.tensor(data[::2]), data[::2])
    again = graphs.tensor(data[:3])
    assert again is not first  # given up when other data came
    np.testing.assert_array_equal(again, data[:3])
    np.testing.assert_array_equal(graphs.tensor(data.astype(np.float32)), data)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_trials() -> None:
    import psutil

    graphs, process, seen = Graphs(), psutil.Process(os.getpid()), []
    for index in range(25):
        trained({"learning_rate": 0.001 * (1 + index), "seed": index, "epochs": 1}, graphs)
        seen.append(process.memory_info().rss)
    assert seen[-1] < 1.05 * seen[9]
