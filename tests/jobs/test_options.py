"""Hyperparameters of the training: losses and their targets, metrics, schedules."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from hpc.jobs.options import (
    METRICS,
    PARAMETERS,
    TOP_K,
    Loss,
    Metric,
    check_metrics,
    check_outputs,
    compile_model,
    label_ranking_average_precision,
    loss_of,
    options,
    targets,
)
from hpc.models import mlp
from tests.marks import slow


def network(classes: int | None, output: Any = "auto") -> Any:
    return mlp((3,), classes or 2, classes, output=output)


def subclassed(units: int) -> Any:
    """A model that tells the width of its outputs only when it is called."""
    import keras

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(units, "sigmoid")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Net()
    model(np.zeros((1, 3), np.float32))
    return model


# Losses and targets

CLASSES = np.array([1, 0, 1], np.int32)
ONE_HOT = [[0, 1], [1, 0], [0, 1]]
COLUMN = [[1], [0], [1]]


@pytest.mark.parametrize(
    ("loss", "make", "classes", "resolved", "encoded"),
    [
        ("auto", lambda: network(2), 2, "sparse_categorical_crossentropy", CLASSES.tolist()),
        ("auto", lambda: network(2, "sigmoid"), 2, "binary_crossentropy", COLUMN),
        ("auto", lambda: subclassed(2), 2, "sparse_categorical_crossentropy", CLASSES.tolist()),
        ("auto", lambda: subclassed(1), 2, "binary_crossentropy", COLUMN),
        ("auto", lambda: network(3), 3, "sparse_categorical_crossentropy", CLASSES.tolist()),
        ("auto", lambda: network(3, "sigmoid"), 3, "sparse_categorical_crossentropy", CLASSES.tolist()),
        ("mean_squared_error", lambda: network(2), 2, "mean_squared_error", ONE_HOT),
        ("mean_squared_error", lambda: network(2, "sigmoid"), 2, "mean_squared_error", COLUMN),
        ("categorical_crossentropy", lambda: network(2), 2, "categorical_crossentropy", ONE_HOT),
        ("binary_crossentropy", lambda: network(2, "sigmoid"), 2, "binary_crossentropy", COLUMN),
        ("binary_crossentropy", lambda: network(3, "sigmoid"), 3, "binary_crossentropy",
         [[0, 1, 0], [1, 0, 0], [0, 1, 0]]),
    ],
)  # fmt: skip
def test_classes_are_encoded_as_the_loss_takes_them(
    loss: str, make: Any, classes: int, resolved: str, encoded: list[Any]
) -> None:
    model, chosen = make(), options({"loss": loss})
    assert loss_of(chosen, model, classes) == resolved
    assert targets(CLASSES, chosen, model, classes).tolist() == encoded


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_encoded_classes_have_the_dtype_of_the_training(dtype: str) -> None:
    for model in (network(2), network(2, "sigmoid")):
        chosen = options({"loss": "mean_squared_error", "dtype": dtype})
        assert targets(CLASSES, chosen, model, 2).dtype == dtype


def test_numbers_to_predict_stay_as_they_are() -> None:
    y = np.array([[0.5], [2.0]], np.float32)
    for loss in ("auto", "huber"):
        assert targets(y, options({"loss": loss}), network(None), None) is y
    assert loss_of(options({}), network(None), None) == "mean_squared_error"
    assert loss_of(options({"loss": "huber"}), network(None), None) == "huber"


@pytest.mark.parametrize(
    ("units", "y", "loss", "classes", "said"),
    [
        (2, CLASSES, "sparse_categorical_crossentropy", 2, ""),
        (3, CLASSES, "sparse_categorical_crossentropy", 2, ""),
        (2, CLASSES, "sparse_categorical_crossentropy", 3, "is 2, that of classes 3: too few"),
        (2, np.array(ONE_HOT), "mean_squared_error", 2, ""),
        (3, np.array(ONE_HOT), "mean_squared_error", 2, "is 3, that of classes of a sample 2"),
        (1, np.array(COLUMN), "binary_crossentropy", 2, ""),
        (1, np.zeros(3), "mean_squared_error", None, ""),
        (1, np.zeros((3, 1)), "mean_squared_error", None, ""),
        (
            10,
            np.zeros(3),
            "mean_squared_error",
            None,
            "is 10, that of targets of a sample 1; if the targets are",
        ),
        (1, np.zeros((3, 2)), "huber", None, "is 1, that of targets of a sample 2"),
    ],
)
def test_outputs_that_targets_would_be_repeated_for_are_refused(
    units: int, y: Any, loss: str, classes: int | None, said: str
) -> None:
    for model in (mlp((3,), units, None), subclassed(units)):
        if not said:
            check_outputs(model, y, loss, classes)
            continue
        with pytest.raises(ValueError, match=said):
            check_outputs(model, y, loss, classes)


OF_EACH_CLASS = ("sparse_categorical_crossentropy", "categorical_crossentropy")
"""Losses that need an output for each class."""


@pytest.mark.parametrize(
    ("loss", "classes", "output"),
    [
        *((loss, 3, "softmax") for loss in get_args(Loss)),
        *((loss, 2, "sigmoid") for loss in get_args(Loss) if loss not in OF_EACH_CLASS),
    ],
)
def test_every_loss_can_be_had_of_classes(loss: str, classes: int, output: str) -> None:
    model, chosen = network(classes, output), options({"loss": loss})
    compile_model(model, chosen, num_classes=classes, samples=3)
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    y = targets(CLASSES, chosen, model, classes)
    value = float(model.compute_loss(x=x, y=y, y_pred=model(x)))
    assert np.isfinite(value)
    other = targets(1 - CLASSES, chosen, model, classes)
    assert float(model.compute_loss(x=x, y=other, y_pred=model(x))) != value


# Metrics


def evaluated(model: Any, x: Any, y: Any) -> dict[str, float]:
    return dict(model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True))


@pytest.mark.parametrize(
    ("classes", "output", "loss"),
    [
        (10, "softmax", "auto"),
        slow(10, "softmax", "mean_squared_error"),
        slow(2, "softmax", "sparse_categorical_crossentropy"),
        slow(2, "sigmoid", "auto"),
    ],
)
def test_every_metric_of_classes_is_what_keras_makes_of_one_hot_targets(
    classes: int, output: str, loss: str
) -> None:
    import keras

    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 3)).astype(np.float32), random.integers(0, classes, 64)
    model, names = network(classes, output), list(get_args(Metric))
    chosen = options({"metrics": names, "loss": loss})
    compile_model(model, chosen, num_classes=classes, samples=64)
    encoded = targets(y, chosen, model, classes)
    check_metrics(chosen, encoded, classes)
    found = evaluated(model, x, encoded)

    one_hot = y[:, None] if output == "sigmoid" else np.eye(classes)[y]
    kinds = {
        "binary_accuracy": "BinaryAccuracy",
        "mean_squared_error": "MeanSquaredError",
        "mean_absolute_error": "MeanAbsoluteError",
        **dict.fromkeys(TOP_K, "TopKCategoricalAccuracy"),
        **METRICS,
    }
    its = ["accuracy", *(getattr(keras.metrics, kind)(name=name) for name, kind in kinds.items())]
    binary = "binary_crossentropy" if output == "sigmoid" else "categorical_crossentropy"
    model.compile(loss=binary if loss != "mean_squared_error" else loss, metrics=its)
    wanted = evaluated(model, x, one_hot.astype(np.float32))
    assert {"accuracy", *kinds, "label_ranking_average_precision"} == set(names)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "y", "said"),
    [
        (
            "auc",
            [0.5, 1.0],
            "auc is measured where targets are zeros and ones, but a number to predict is 0.5",
        ),
        ("precision", [[0, 3]], "precision is measured where .* is 3; if the targets are classes, say cl"),
        ("top_k_categorical_accuracy", [0, 1], "measured of several outputs, but the targets are single"),
        ("auc", [[0, 1]], ""),
        ("sparse_top_k_categorical_accuracy", [[0, 1]], ""),
        ("r2_score", [0.5], ""),
    ],
)
def test_metrics_that_mean_nothing_of_numbers_to_predict_are_refused(metric: str, y: Any, said: str) -> None:
    chosen, numbers = options({"metrics": [metric]}), np.asarray(y)
    if not said:
        check_metrics(chosen, numbers, None)
        return
    with pytest.raises(ValueError, match=said):
        check_metrics(chosen, numbers, None)


# Label-ranking average precision


def many_labels() -> tuple[Any, Any]:
    """Labels of which some rows have none and some have all, and scores with many ties."""
    random = np.random.default_rng(3)
    y = (random.random((200, 6)) < 0.3).astype(np.float32)
    y[:5], y[5:10] = 0, 1
    return y, np.round(random.random((200, 6)) * 4).astype(np.float32) / 4


def test_the_label_ranking_average_precision_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import label_ranking_average_precision_score as wanted

    y, scores = many_labels()
    found = np.asarray(label_ranking_average_precision(y, scores))
    for row, value in enumerate(found):
        assert value == pytest.approx(wanted(y[row : row + 1], scores[row : row + 1]), abs=1e-6)
    assert found.mean() == pytest.approx(wanted(y, scores), abs=1e-6)


def test_the_label_ranking_average_precision_of_classes_is_that_of_their_one_hot_vectors() -> None:
    from sklearn.metrics import label_ranking_average_precision_score as wanted

    _, scores = many_labels()
    classes = np.arange(200, dtype=np.int32) % 6
    value = wanted(np.eye(6)[classes], scores)
    for y in (classes, classes[:, None], np.eye(6, dtype=np.float32)[classes]):
        found = np.asarray(label_ranking_average_precision(y, scores)).mean()
        assert found == pytest.approx(value, abs=1e-6)


def test_the_label_ranking_average_precision_counts_every_sample_alike() -> None:
    model, chosen = network(3), options({"metrics": ["label_ranking_average_precision"]})
    compile_model(model, chosen, num_classes=3, samples=4)
    # 1/3, 1, 1/2 and 1, in batches of one and of three
    scores = np.array([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7], [0.3, 0.1, 0.6], [0.5, 0.3, 0.2]], np.float32)
    for rows, classes in (([0], [0]), ([1, 2, 3], [2, 0, 0])):
        found = model.compute_metrics(None, np.array(classes), scores[rows])
    value = float(found["label_ranking_average_precision"])
    assert value == pytest.approx((1 / 3 + 1 + 1 / 2 + 1) / 4)


# Batches and schedules


@pytest.mark.parametrize(
    ("batch_size", "samples", "steps", "batch"),
    [
        (32, 64, 2, 32),
        (32, 65, 3, 32),
        (1, 3, 3, 1),
        (100, 64, 1, 100),
        ("full", 64, 1, 64),
        ("full", 1, 1, 1),
    ],
)
def test_an_epoch_has_so_many_steps(batch_size: Any, samples: int, steps: int, batch: int) -> None:
    chosen = options({"batch_size": batch_size})
    assert (chosen.steps(samples), chosen.global_batch(samples)) == (steps, batch)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("batch_size", [1, 128, "full"], [0, -1, 2.5, "half", True]),
        ("epochs", [0, 1], [-1, 1.5]),
        ("validation_freq", [1, 10], [0, 2.5]),
        ("scale", ["none", "standard", "minmax", "center"], ["log", 1]),
        ("dtype", ["float32", "float64"], ["float16", "double"]),
        ("initial_weights", [None, [], [[[1.0, 2]], [0]]], [3, "zeros"]),
        ("warmup_epochs", [0, 0.5], [-1]),
        ("metrics", ["auto", ["label_ranking_average_precision", "auc"]], ["auc", ["lrap"]]),
    ],
)
def test_values_are_checked_one_by_one(name: str, right: list[Any], wrong: list[Any]) -> None:
    assert [PARAMETERS[name].problem(value) for value in right] == [None] * len(right)
    assert all(PARAMETERS[name].problem(value) for value in wrong)


def rates(params: dict[str, Any], steps: list[int], samples: int = 100) -> list[float]:
    """The learning rate before each of these steps, of ten per epoch."""
    model = network(2)
    chosen = options({"schedule": "cosine", "epochs": 4, "batch_size": 10, **params})
    compile_model(model, chosen, num_classes=2, samples=samples)
    found = []
    for step in steps:
        model.optimizer.iterations.assign(step)
        found.append(float(model.optimizer.learning_rate))
    return found


def test_a_cosine_falls_from_the_learning_rate_to_nothing() -> None:
    found = rates({"learning_rate": 0.8}, [0, 10, 20, 30, 40])
    half = np.sqrt(0.5)
    assert found == pytest.approx([0.8, 0.4 * (1 + half), 0.4, 0.4 * (1 - half), 0.0], abs=1e-6)
    assert rates({"learning_rate": 0.8}, [0, 8, 16], samples=31) == pytest.approx([0.8, 0.4, 0.0], abs=1e-6)
    assert rates({"learning_rate": 0.8, "batch_size": "full"}, [0, 2, 4]) == pytest.approx(
        [0.8, 0.4, 0.0], abs=1e-6
    )


def test_a_cosine_rises_from_nothing_first_where_it_is_to_warm_up() -> None:
    found = rates({"learning_rate": 0.8, "warmup_epochs": 1}, [0, 5, 10, 25, 40])
    assert found == pytest.approx([0.0, 0.4, 0.8, 0.4, 0.0], abs=1e-6)
    found = rates({"learning_rate": 0.8, "warmup_epochs": 0.5}, [0, 5, 40])
    assert found == pytest.approx([0.0, 0.8, 0.0], abs=1e-6)


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.001), ("sgd", 0.01)])
def test_a_cosine_begins_with_the_optimizers_own_rate_unless_another_is_given(
    optimizer: str, rate: float
) -> None:
    assert rates({"optimizer": optimizer}, [0, 20]) == pytest.approx([rate, rate / 2], abs=1e-8)


def test_a_constant_rate_stays() -> None:
    params = {"schedule": "constant", "learning_rate": 0.5}
    assert rates(params, [0, 20, 40]) == [0.5, 0.5, 0.5]
