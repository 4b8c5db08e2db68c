"""Models of scikit-learn, measured as networks are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.options import compile_model, options, targets
from hpc.jobs.training.base import Trained
from hpc.jobs.training.estimator import fit, is_estimator, regresses
from hpc.models import BASELINES, Dataset, Split, mlp, signature_of
from tests.jobs.working import train

ALONE = World(RankInfo(), Path(), "")
CLASSIFY = ("knn", "logistic_regression", "sgd_classifier", "svm", "decision_tree", "random_forest")
PREDICT = ("knn", "linear_regression", "ridge", "lasso", "svm", "decision_tree", "random_forest")


def data_of(classes: int | None, targets: int = 1, present: tuple[int, ...] = (0, 1, 2)) -> Dataset:
    """Images of 2 x 2 pixels, of classes that overlap, or with numbers to predict."""
    random = np.random.default_rng(4)
    centres = random.normal(size=(4, 4)) * 1.5

    def split(n: int, chosen: tuple[int, ...]) -> Split:
        y = random.choice(chosen[:classes], n).astype(np.int32)
        x = (centres[y] + random.normal(size=(n, 4))).astype(np.float32)
        if classes is None:
            weights = np.arange(4 * targets).reshape(4, targets)
            y = np.squeeze(x @ weights + random.normal(size=(n, targets)), 1) if targets == 1 else x @ weights
            y = y.astype(np.float32)
        return Split(x.reshape(n, 2, 2), y)

    everything = tuple(range(classes or 1))
    return Dataset(split(120, present), split(80, everything), classes, split(60, everything))


def made(name: str, data: Dataset) -> Any:
    facts = {"output_size": data.output_size, "num_classes": data.num_classes}
    taken = signature_of(BASELINES[name]).parameters
    return BASELINES[name](**{fact: value for fact, value in facts.items() if fact in taken})


def measured(estimator: Any, data: Dataset, **params: Any) -> Trained:
    """What the worker records of an estimator."""
    chosen = options({"epochs": 0, **params})
    model, scored = fit(estimator, data)
    compile_model(model, chosen, num_classes=data.num_classes, samples=len(data.train))
    encoded = {
        name: Split(part.x, targets(part.y, chosen, model, data.num_classes))
        for name, part in scored.parts().items()
    }
    return train(model, scored.with_parts(encoded), ALONE, epochs=0, batch_size=32, seed=0)


PREFIXES = {"train": "", "validation": "val_", "test": "test_"}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFY)
def test_the_accuracy_of_a_baseline_is_its_score_in_scikit_learn(name: str, classes: int) -> None:
    from sklearn.metrics import confusion_matrix

    data = data_of(classes)
    np.random.seed(0)
    estimator = made(name, data)
    trained = measured(estimator, data)
    for part, prefix in PREFIXES.items():
        split = data.parts()[part]
        flat = split.x.reshape(len(split), -1)
        wanted = estimator.score(flat, split.y)
        assert trained.metrics[f"{prefix}accuracy"] == pytest.approx(wanted, abs=1e-6), part
        if part != "train":
            matrix = confusion_matrix(split.y, estimator.predict(flat), labels=range(classes))
            assert trained.confusion[part] == matrix.tolist()


def test_the_loss_of_a_baseline_is_the_log_loss_of_its_probabilities() -> None:
    from sklearn.metrics import log_loss

    data = data_of(3)
    estimator = made("logistic_regression", data)
    trained = measured(estimator, data)
    assert data.test is not None
    probabilities = estimator.predict_proba(data.test.x.reshape(60, 4))
    assert trained.metrics["test_loss"] == pytest.approx(log_loss(data.test.y, probabilities), abs=1e-5)


@pytest.mark.parametrize("name", ["knn", "svm", "sgd_classifier"])  # by probabilities, by decisions
def test_a_class_without_training_samples_leaves_the_others_in_their_places(name: str) -> None:
    data = data_of(4, present=(0, 2, 3))
    np.random.seed(0)
    estimator = made(name, data)
    trained = measured(estimator, data)
    for part in ("validation", "test"):
        split = data.parts()[part]
        wanted = estimator.score(split.x.reshape(len(split), -1), split.y)
        assert 0.3 < trained.metrics[f"{PREFIXES[part]}accuracy"] == pytest.approx(wanted, abs=1e-6)
        assert np.isfinite(trained.metrics[f"{PREFIXES[part]}loss"])
        assert np.array(trained.confusion[part])[:, 1].sum() == 0


@pytest.mark.parametrize(
    ("name", "numbers"), [*((name, 1) for name in PREDICT), ("knn", 3), ("lasso", 3), ("svm", 3)]
)
def test_a_baseline_that_predicts_numbers_has_the_r2_of_scikit_learn(name: str, numbers: int) -> None:
    data = data_of(None, numbers)
    np.random.seed(0)
    estimator = made(name, data)
    trained = measured(estimator, data, metrics=["r2_score", "mean_squared_error"])
    assert trained.confusion == {}
    for part, prefix in PREFIXES.items():
        split = data.parts()[part]
        flat = split.x.reshape(len(split), -1)
        assert trained.metrics[f"{prefix}r2_score"] == pytest.approx(estimator.score(flat, split.y), abs=1e-4)
        error = np.mean((estimator.predict(flat).reshape(split.y.shape) - split.y) ** 2)
        assert trained.metrics[f"{prefix}loss"] == pytest.approx(error, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(("name", "classes"), [("lasso", 2), ("lasso", 3), ("ridge", 3)])
def test_a_regression_on_classes_ranks_them(name: str, classes: int) -> None:
    from sklearn.metrics import label_ranking_average_precision_score

    data = data_of(classes)
    estimator = made(name, data)
    assert regresses(estimator)
    metrics = ["accuracy", "label_ranking_average_precision"]
    trained = measured(estimator, data, loss="mean_squared_error", metrics=metrics)
    assert data.test is not None
    y = np.eye(classes)[data.test.y]
    scores = estimator.predict(data.test.x.reshape(60, 4))
    assert trained.metrics["test_loss"] == pytest.approx(np.mean((scores - y) ** 2), abs=1e-6)
    ranking = label_ranking_average_precision_score(y, scores.astype(np.float32))
    assert trained.metrics["test_label_ranking_average_precision"] == pytest.approx(ranking, abs=1e-6)
    accuracy = np.mean(scores.argmax(axis=1) == data.test.y)
    assert trained.metrics["test_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_what_is_an_estimator() -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    right = [SVC(), LinearRegression(), make_pipeline(SVC())]
    wrong = [mlp((3,), 2, 2), SVC, "knn", None, 3]
    assert [is_estimator(value) for value in right] == [True] * 3
    assert [is_estimator(value) and not isinstance(value, type) for value in wrong] == [False] * 5
    assert [regresses(value) for value in right] == [False, True, False]
