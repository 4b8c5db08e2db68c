"""Training on one rank."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.options import METRICS, Loss, Metric, Optimizer, compile_model, metric_names, options, targets
from hpc.jobs.training.base import DivergedError, Epoch
from hpc.jobs.training.graph import order, seed_by_rank
from hpc.jobs.training.graphs import Graphs
from hpc.models import Dataset, Split, mlp
from hpc.models.families.output import Output
from tests.jobs.rank import made_up, prepare, settings
from tests.jobs.working import train, weights_digest

ALONE = World(RankInfo(), Path(), "")


def network(data: Dataset, **params: Any) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    model = mlp(data.input_shape, data.output_size, data.num_classes, hidden_size=16, l2=0.01)
    compile_model(model, options(params), num_classes=data.num_classes, samples=len(data.train))
    return model


def numbers(samples: int) -> Dataset:
    """A linear relation with two targets."""
    x = np.random.default_rng(0).normal(size=(samples, 3)).astype(np.float32)
    y = x @ np.array([[1, 2], [0, -1], [3, 0]], np.float32)
    return Dataset(Split(x, y), Split(x[:7], y[:7]), None)


@pytest.mark.parametrize("batch_size", [32, 100, "full", 1000])
def test_an_unshuffled_training_is_that_of_keras_fit(batch_size: int | str) -> None:
    data = made_up(250, 41)
    assert data.validation is not None
    batch_size = options({"batch_size": batch_size}).global_batch(250)
    model, twin = network(data), network(data)
    epochs: list[Epoch] = []
    metrics = train(
        model, data, ALONE, epochs=3, batch_size=batch_size, seed=0, shuffle=False, on_epoch=epochs.append
    ).metrics
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
    assert int(model.optimizer.iterations) == int(twin.optimizer.iterations)


def test_a_full_batch_is_one_step_per_epoch() -> None:
    data, chosen = made_up(250, 0), options({"batch_size": "full"})
    model = network(data)
    train(model, data, ALONE, epochs=3, batch_size=chosen.global_batch(250), seed=0)
    assert int(model.optimizer.iterations) == 3 * chosen.steps(250) == 3


def test_numbers_are_predicted_with_squared_error() -> None:
    data = numbers(100)
    trained = train(network(data, learning_rate=0.05), data, ALONE, epochs=40, batch_size=10, seed=0)
    metrics = trained.metrics
    assert trained.confusion == {}
    assert set(metrics) == {"loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error"}
    assert metrics["val_mean_absolute_error"] < 0.5


@pytest.mark.slow
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
        compile_model(model, options({}), num_classes=None, samples=1)
        seed_by_rank(model, rank)
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
    rarely: list[Epoch] = []
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) after epoch 2"):
        train(
            network(made_up(64, 0), optimizer="sgd", learning_rate=1e30), made_up(64, 0), ALONE, epochs=3,
            batch_size=16, seed=0, validation_freq=2, on_epoch=rarely.append,
        )  # fmt: skip
    assert [set(epoch.metrics) for epoch in rarely] == [{"loss", "accuracy"}]


def test_a_train_step_of_the_users_is_refused_rather_than_ignored() -> None:
    import keras

    class Own(keras.Sequential):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return {}

    model = Own([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    compile_model(model, options({}), num_classes=5, samples=10)
    with pytest.raises(ValueError, match="Own has a train_step of its own"):
        train(model, made_up(10, 5), ALONE, epochs=1, batch_size=5, seed=0)


@pytest.mark.parametrize("how", ["a layer asks for values", "compiled to be run eagerly"])
def test_a_model_without_graphs_is_trained_step_by_step_and_says_so(how: str) -> None:
    import keras

    class Asks(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x if float(keras.ops.max(x)) < 1e9 else x / 0

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    data = made_up(70, 41, 30)

    def trained(layer: Any, eagerly: bool, said: list[str]) -> Any:
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(9, "relu"), layer, keras.layers.Dropout(0.3)]
        model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(5, "softmax")])
        compile_model(model, options({"optimizer": "adam"}), num_classes=5, samples=70)
        model.run_eagerly = eagerly
        one = train(
            model, data, ALONE, epochs=2, batch_size=16, seed=0, accumulate_steps=2,
            graphs=Graphs(said.append),
        )  # fmt: skip
        assert (one.tracing_seconds == 0) == bool(said)
        return one.metrics, one.confusion, [np.array(weight) for weight in model.weights]

    said: list[str] = []
    of_graphs = trained(keras.layers.Identity(), False, [])
    layer = Asks() if how.startswith("a layer") else keras.layers.Identity()
    singly = trained(layer, how.startswith("compiled"), said)
    assert singly[0] == pytest.approx(of_graphs[0], rel=1e-5)
    assert singly[1] == of_graphs[1]
    for mine, other in zip(singly[2], of_graphs[2], strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)
    why = "TypeError: .*SymbolicTensor" if how.startswith("a layer") else r"\w+ is compiled with run_eagerly"
    (text,) = said
    assert text.isprintable()
    assert re.fullmatch(rf"no graph can be traced, so that steps are taken one by one.*: {why}.*", text)


def test_what_is_wrong_without_graphs_is_told_as_python_does() -> None:
    import keras

    class Wrong(keras.layers.Layer):  # type: ignore[misc]
        calls = 0

        def call(self, x: Any) -> Any:
            self.calls += 1
            if float(keras.ops.max(x)) < 1e9 and self.calls > 3:
                raise LookupError("too many calls")
            return x

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    model = keras.Sequential([keras.Input((8,)), Wrong(), keras.layers.Dense(5, "softmax")])
    compile_model(model, options({}), num_classes=5, samples=10)
    with pytest.raises(LookupError, match="too many calls"):
        train(model, made_up(10, 5), ALONE, epochs=1, batch_size=2, seed=0)


@pytest.mark.slow
def test_batches_in_parts_take_the_steps_of_whole_ones() -> None:
    """Also where a part has fewer samples than another, or none, and with penalties on weights."""
    case = {"samples": 33, "validation": 5, "batch_size": 16, "dtype": "float64"}
    found = []
    for parts in (1, 2, 3):
        model, data = prepare(case)
        metrics = train(model, data, ALONE, **settings(case), accumulate_steps=parts).metrics
        found.append((metrics, [np.array(weight) for weight in model.weights]))
    (expected, whole), *others = found
    for metrics, weights in others:
        assert metrics == pytest.approx(expected, abs=1e-6)  # sums of metrics are of single precision
        for mine, other in zip(weights, whole, strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-12)


def test_every_optimizer_loss_and_metric_that_we_name_is_one_of_keras() -> None:
    import keras

    for name in get_args(Optimizer):
        chosen = options({"optimizer": name, "learning_rate": 0.5, "weight_decay": 0.1, "clip_norm": 1.0})
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        compile_model(model, chosen, num_classes=None, samples=10)
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
    metrics = train(model, data, ALONE, epochs=1, batch_size=5, seed=0).metrics
    assert sorted(metrics) == sorted(metric_names(options({"metrics": wanted}), classes=False))


def test_momentum_reaches_the_optimizers_that_have_it() -> None:
    data = made_up(10, 5)
    assert network(data, optimizer="sgd", momentum=0.9).optimizer.momentum == 0.9
    assert type(network(data, optimizer="adam", momentum=0.9).optimizer).__name__ == "Adam"


def lively(data: Dataset) -> Any:
    """A network with all that has a state."""
    import keras

    keras.utils.set_random_seed(0)
    model = mlp(
        data.input_shape, data.output_size, data.num_classes, dropout=0.3, batch_normalization=True, l2=0.01
    )
    compile_model(model, options({}), num_classes=data.num_classes, samples=len(data.train))
    return model


@pytest.fixture(scope="module")
def measured_always() -> tuple[str, list[Epoch]]:
    """What seven epochs come to, each measured."""
    data = made_up(100, 41)
    model, epochs = lively(data), list[Epoch]()
    train(model, data, ALONE, epochs=7, batch_size=32, seed=5, on_epoch=epochs.append)
    return weights_digest(model), epochs


@pytest.mark.parametrize(
    ("validation_freq", "numbers"), [(2, [2, 4, 6, 7]), (3, [3, 6, 7]), (7, [7]), (100, [7])]
)
def test_rare_measurements_change_neither_the_weights_nor_what_is_measured(
    measured_always: tuple[str, list[Epoch]], validation_freq: int, numbers: list[int]
) -> None:
    data = made_up(100, 41)
    model, epochs = lively(data), list[Epoch]()
    train(
        model, data, ALONE, epochs=7, batch_size=32, seed=5, validation_freq=validation_freq,
        on_epoch=epochs.append, stride=3,
    )  # fmt: skip
    digest, always = measured_always
    assert weights_digest(model) == digest
    assert [epoch.number for epoch in epochs] == numbers
    for epoch in epochs:  # the metrics of that epoch alone, not of all since the last measurement
        assert epoch.metrics == always[epoch.number - 1].metrics


def test_without_epochs_a_model_is_only_measured() -> None:
    data = made_up(50, 41, 30)
    model, epochs = network(data), list[Epoch]()
    before = [weight.copy() for weight in model.get_weights()]
    trained = train(model, data, ALONE, epochs=0, batch_size=8, seed=0, on_epoch=epochs.append)
    for mine, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert [epoch.number for epoch in epochs] == [0]
    for part, prefix in (("train", ""), ("validation", "val_"), ("test", "test_")):
        split = data.parts()[part]
        for name, value in model.evaluate(split.x, split.y, verbose=0, return_dict=True).items():
            assert trained.metrics[f"{prefix}{name}"] == pytest.approx(value, abs=1e-6)


@pytest.mark.slow
def test_the_test_part_is_measured_once_when_all_is_done() -> None:
    data = made_up(50, 20, 30)
    model, epochs = network(data), list[Epoch]()
    metrics = train(model, data, ALONE, epochs=3, batch_size=8, seed=0, on_epoch=epochs.append).metrics
    assert [set(epoch.metrics) for epoch in epochs] == [{"loss", "accuracy", "val_loss", "val_accuracy"}] * 3
    assert set(metrics) == {*epochs[-1].metrics, "test_loss", "test_accuracy"}
    assert {name: metrics[name] for name in epochs[-1].metrics} == epochs[-1].metrics
    assert data.test is not None
    for name, value in model.evaluate(data.test.x, data.test.y, verbose=0, return_dict=True).items():
        assert metrics[f"test_{name}"] == pytest.approx(value, abs=1e-6)


def test_the_test_part_has_no_part_in_the_training() -> None:
    with_test, without = made_up(50, 20, 30), made_up(50, 20)
    digests = []
    for data in (with_test, without):
        model = network(data)
        train(model, data, ALONE, epochs=2, batch_size=8, seed=0)
        digests.append(weights_digest(model))
    assert digests[0] == digests[1]


def of_two_classes(data: Dataset) -> Dataset:
    parts = {name: Split(part.x, (part.y > 1).astype(np.int32)) for name, part in data.parts().items()}
    return Dataset(parts["train"], parts["validation"], 2, parts["test"])


@pytest.mark.parametrize(
    ("classes", "params", "output"),
    [
        (5, {}, "softmax"),
        (5, {"loss": "mean_squared_error"}, "softmax"),
        (5, {"loss": "binary_crossentropy"}, "sigmoid"),
        (2, {}, "softmax"),
        (2, {}, "sigmoid"),
        (2, {"loss": "hinge"}, "sigmoid"),
    ],
    ids=str,
)
def test_confusions_are_those_of_scikit_learn(classes: int, params: dict[str, Any], output: Output) -> None:
    import keras
    from sklearn.metrics import confusion_matrix

    data = made_up(60, 1100, 30)  # more than are measured at once
    if classes == 2:
        data = of_two_classes(data)
    keras.utils.set_random_seed(0)
    model, chosen = mlp(data.input_shape, classes, classes, output=output), options(params)
    compile_model(model, chosen, num_classes=classes, samples=60)
    encoded = data.with_parts(
        {name: Split(p.x, targets(p.y, chosen, model, classes)) for name, p in data.parts().items()}
    )
    trained = train(model, encoded, ALONE, epochs=2, batch_size=8, seed=0)
    for part in ("validation", "test"):
        split = data.parts()[part]
        scores = model.predict(split.x, verbose=0)
        taken = scores[:, 0] > 0.5 if scores.shape[1] == 1 else scores.argmax(axis=1)
        wanted = confusion_matrix(split.y, taken.astype(int), labels=range(classes))
        assert trained.confusion[part] == wanted.tolist()
        assert np.sum(trained.confusion[part]) == len(split)
        assert len(set(taken)) > 1  # the model does not take all for one class


@pytest.mark.slow
def test_very_many_classes_are_not_counted() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 3)).astype(np.float32), random.integers(0, 101, 20).astype(np.int32)
    for classes in (101, 100):
        data = Dataset(Split(x, y % classes), Split(x, y % classes), classes)
        confusion = train(network(data), data, ALONE, epochs=1, batch_size=20, seed=0).confusion
        assert bool(confusion) == (classes == 100)
