"""Training on one rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from jobs.options import METRICS, Loss, Metric, Optimizer, compile_model, metric_names, options
from jobs.place import Place
from jobs.training import DivergedError, Epoch, draw_apart, order, train
from jobs.world import World
from models import Dataset, Split, mlp
from tests.jobs.rank import made_up

ALONE = World(Place(), Path(), "")


def network(data: Dataset, **params: Any) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    model = mlp(data.input_shape, data.output_size, data.num_classes, hidden_size=16, l2=0.01)
    compile_model(model, options(params), classes=data.num_classes is not None)
    return model


def numbers(samples: int) -> Dataset:
    """A linear relation with two targets."""
    x = np.random.default_rng(0).normal(size=(samples, 3)).astype(np.float32)
    y = x @ np.array([[1, 2], [0, -1], [3, 0]], np.float32)
    return Dataset(Split(x, y), Split(x[:7], y[:7]), None)


@pytest.mark.parametrize("batch_size", [32, 100, 1000])
def test_an_unshuffled_training_is_that_of_keras_fit(batch_size: int) -> None:
    data = made_up(250, 41)
    model, twin = network(data), network(data)
    epochs: list[Epoch] = []
    metrics = train(
        model, data, ALONE, epochs=3, batch_size=batch_size, seed=0, shuffle=False, on_epoch=epochs.append
    )
    history = twin.fit(
        data.train.x, data.train.y, batch_size=batch_size, epochs=3, shuffle=False, verbose=0,
        validation_data=(data.validation.x, data.validation.y),
    ).history  # fmt: skip
    for mine, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)
    assert metrics.keys() == history.keys()
    for epoch in epochs:
        for name, values in history.items():
            assert epoch.metrics[name] == pytest.approx(values[epoch.number - 1], abs=1e-5), name
    assert [epoch.number for epoch in epochs] == [1, 2, 3]


def test_numbers_are_predicted_with_squared_error() -> None:
    data = numbers(100)
    metrics = train(network(data, learning_rate=0.05), data, ALONE, epochs=40, batch_size=10, seed=0)
    assert set(metrics) == {"loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error"}
    assert metrics["val_mean_absolute_error"] < 0.5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    data = made_up(100, 20)

    def weights(seed: int) -> list[Any]:
        model = network(data)
        train(model, data, ALONE, epochs=2, batch_size=16, seed=seed)
        return list(model.get_weights())

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_an_epoch_has_an_order_of_its_own_and_takes_every_sample_once() -> None:
    first = order(50, seed=3, epoch=1)
    assert sorted(first) == list(range(50))
    assert not np.array_equal(first, order(50, seed=3, epoch=2))
    assert not np.array_equal(first, order(50, seed=4, epoch=1))
    assert np.array_equal(order(5, seed=3, epoch=1, shuffle=False), np.arange(5))


def test_each_rank_drops_units_of_its_own() -> None:
    import keras

    def dropped(rank: int) -> Any:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((1000,)), keras.layers.Dropout(0.5)])
        compile_model(model, options({}), classes=False)
        draw_apart(model, rank)
        return np.asarray(model(np.ones((1, 1000), np.float32), training=True)) == 0

    alike = [(dropped(0) == dropped(rank)).mean() for rank in (0, 1, 2)]
    assert alike[0] == 1
    assert max(alike[1:]) < 0.6


def test_a_loss_that_is_no_number_ends_the_trial_after_its_epoch_is_told() -> None:
    data = made_up(64, 16)
    model = network(data, optimizer="sgd", learning_rate=1e30)
    epochs: list[Epoch] = []
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) after epoch 1"):
        train(model, data, ALONE, epochs=3, batch_size=16, seed=0, on_epoch=epochs.append)
    assert len(epochs) == 1


def test_a_train_step_of_the_users_is_refused_rather_than_ignored() -> None:
    import keras

    class Own(keras.Sequential):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return {}

    model = Own([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    compile_model(model, options({}), classes=True)
    with pytest.raises(ValueError, match="Own has a train_step of its own"):
        train(model, made_up(10, 5), ALONE, epochs=1, batch_size=5, seed=0)


def test_a_batch_smaller_than_the_world_is_refused() -> None:
    world = World(Place(), Path(), "")
    world.place = Place(size=4)
    with pytest.raises(ValueError, match="batch_size=3 is the batch of all 4 ranks together"):
        train(network(made_up(10, 5)), made_up(10, 5), world, epochs=1, batch_size=3, seed=0)


def test_every_optimizer_loss_and_metric_that_we_name_is_one_of_keras() -> None:
    import keras

    for name in get_args(Optimizer):
        chosen = options({"optimizer": name, "learning_rate": 0.5, "weight_decay": 0.1, "clip_norm": 1.0})
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        compile_model(model, chosen, classes=False)
        assert type(model.optimizer).__name__.lower() == name
        assert float(model.optimizer.learning_rate) == 0.5
        assert model.optimizer.global_clipnorm == 1.0
    for name in get_args(Loss)[1:]:
        assert callable(keras.losses.get(name))
    for name in get_args(Metric):
        assert METRICS.get(name) is None or hasattr(keras.metrics, METRICS[name])


def test_metrics_are_recorded_under_the_names_we_say() -> None:
    data = numbers(20)
    wanted = ["r2_score", "root_mean_squared_error", "cosine_similarity"]
    model = network(data, metrics=wanted)
    metrics = train(model, data, ALONE, epochs=1, batch_size=5, seed=0)
    assert sorted(metrics) == sorted(metric_names(options({"metrics": wanted}), classes=False))


def test_momentum_reaches_the_optimizers_that_have_it() -> None:
    data = made_up(10, 5)
    assert network(data, optimizer="sgd", momentum=0.9).optimizer.momentum == 0.9
    assert type(network(data, optimizer="adam", momentum=0.9).optimizer).__name__ == "Adam"
