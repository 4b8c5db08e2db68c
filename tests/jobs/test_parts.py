"""One rank trains a model of the user's as ``fit`` does; and it is known what can be taken in parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.training.base import Epoch
from hpc.jobs.training.keras_settings import KerasSettings
from hpc.jobs.training.parts import COUNTS, MEANS, names_of, whole_batch_metrics
from tests.jobs.rank import made_up
from tests.jobs.users import FIT, ONE_RANK, REFUSED
from tests.jobs.working import train
from tests.marks import slow_but

ALONE = World(RankInfo(), Path(), "")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = KerasSettings.now()
    yield
    before.put()


def made(make: Callable[[], Any]) -> Any:
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    return make()


@pytest.mark.parametrize("name", slow_but(["masked"], [*FIT, *ONE_RANK]))
def test_one_rank_records_and_ends_as_fit_does(name: str) -> None:
    data, make, epochs = made_up(70, 37), {**FIT, **ONE_RANK}[name], list[Epoch]()
    mine = train(
        made(make), data, ALONE, epochs=3, batch_size=16, seed=0, shuffle=False, on_epoch=epochs.append
    ).model
    twin = made(make)
    assert data.validation is not None
    history = twin.fit(
        data.train.x, data.train.y, batch_size=16, epochs=3, shuffle=False, verbose=0,
        validation_data=(data.validation.x, data.validation.y),
    ).history  # fmt: skip
    tolerance = 2e-3 if name == "half_precision" else 2e-5
    wanted = {
        one: value
        for key, values in history.items()
        for one, value in zip(names_of(key, np.shape(values[-1])), np.ravel(values[-1]), strict=True)
    }
    assert epochs[-1].metrics == pytest.approx(wanted, abs=tolerance)
    for found, other in zip(mine.weights, twin.weights, strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(other), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_would_not_be_called_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"has a {name.removeprefix('own_')} of its own"):
        train(made(REFUSED[name]), made_up(20, 0), ALONE, epochs=1, batch_size=16, seed=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("contrast", "it depends on which samples come together"),
        ("most_sure", "the metric most is not of Keras"),
        ("kept_metric", "keeps the metric mine by itself"),
        ("balanced", "it depends on which samples come together"),
    ],
)
def test_batches_that_can_not_be_taken_in_parts_are_not(name: str, said: str) -> None:
    model = made({**FIT, **ONE_RANK}[name])
    with pytest.raises(ValueError, match=said):
        train(model, made_up(70, 0), ALONE, epochs=1, batch_size=16, seed=0, accumulate_steps=2)


def _metrics() -> list[str]:
    import keras

    found = {
        name: kind
        for name, kind in vars(keras.metrics).items()
        if inspect.isclass(kind) and kind is not keras.metrics.Metric
    }
    return sorted(found)


def test_it_is_known_of_every_metric_of_keras_how_it_adds_up() -> None:
    assert sorted([*MEANS, *COUNTS]) == _metrics()


NEEDS: dict[str, dict[str, Any]] = {
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "BinaryIoU": {"target_class_ids": [0, 1]},
    "IoU": {"num_classes": 3, "target_class_ids": [0, 1], "sparse_y_pred": False},
    "MeanIoU": {"num_classes": 3, "sparse_y_pred": False},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 1]},
    "OneHotMeanIoU": {"num_classes": 3},
}
SPARSE = (
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "IoU",
    "MeanIoU",
)


@pytest.mark.parametrize("name", sorted({*MEANS, *COUNTS} - {"MeanMetricWrapper"}))
def test_the_variables_of_metrics_of_keras_add_up_over_parts_of_batches(name: str) -> None:
    import keras

    draw = np.random.default_rng(0)
    classes = draw.integers(0, 3, 23)
    y = classes if name in SPARSE else np.eye(3, dtype=np.float32)[classes]
    p = draw.dirichlet([1, 1, 1], 23).astype(np.float32)

    def metric() -> Any:
        return getattr(keras.metrics, name)(**NEEDS.get(name, {}))

    def update(one: Any, rows: slice) -> Any:
        one.update_state(*([p[rows]] if name in ("Mean", "Sum") else [y[rows], p[rows]]))
        return one

    whole = update(metric(), slice(None))
    parts = [update(metric(), rows) for rows in (slice(0, 9), slice(9, 10), slice(10, 23))]
    joined = update(metric(), slice(0, 1))
    for variable, *those in zip(joined.variables, *(part.variables for part in parts), strict=True):
        variable.assign(sum(np.asarray(one) for one in those))
    np.testing.assert_allclose(np.asarray(joined.result()), np.asarray(whole.result()), rtol=1e-5, atol=1e-6)
    for found, wanted in zip(joined.variables, whole.variables, strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-5, atol=1e-6)


def test_metrics_that_may_depend_on_a_whole_batch_are_told_from_those_that_do_not() -> None:
    import keras

    def own(y: Any, p: Any) -> Any:
        return keras.ops.mean(p)

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    means = keras.metrics
    metrics = [
        "accuracy", "sparse_top_k_categorical_accuracy", own, means.CosineSimilarity(axis=0, name="across"),
        means.CosineSimilarity(name="along"), means.MeanMetricWrapper(own, name="wrapped"),
    ]  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    data = made_up(8, 0)
    x, y = data.train.x, data.train.y.reshape(-1, 1)
    model.compute_metrics(x, y, model(x))
    assert whole_batch_metrics(model) == ["own", "across", "wrapped"]


def test_a_vector_is_recorded_by_its_numbers() -> None:
    assert names_of("f1", ()) == ["f1"]
    assert names_of("f1", (3,)) == ["f1_0", "f1_1", "f1_2"]
    assert names_of("f1", (2, 1)) == ["f1_0_0", "f1_1_0"]


def test_what_takes_a_step_of_its_own_at_each_call_is_not_called_twice_a_step() -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((8,)), layers.SpectralNormalization(layers.Dense(5, "softmax"))])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    with pytest.raises(ValueError, match="takes a step of its own each time it is called"):
        train(model, made_up(70, 0), ALONE, epochs=1, batch_size=16, seed=0, accumulate_steps=2)


@pytest.mark.parametrize("name", ["dice", "tversky", "circle"])
def test_functions_of_keras_that_compare_samples_see_whole_batches(name: str) -> None:
    import keras

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(5, "softmax")])
    model.compile("sgd", "mse", metrics=[getattr(keras.losses, name)])
    data = made_up(8, 0)
    one_hot = np.eye(5, dtype=np.float32)[data.train.y] if name != "circle" else data.train.y
    model.compute_metrics(data.train.x, one_hot, model(data.train.x))
    assert whole_batch_metrics(model) == [name]
