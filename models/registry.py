"""The models and datasets that have a name of their own, and the files that are read: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.models.datasets.csv_file import csv, csv_problem
from hpc.models.datasets.digits import digits
from hpc.models.datasets.generated import (
    blobs,
    circles,
    classification,
    classification_problem,
    moons,
    regression,
    worked_example,
)
from hpc.models.datasets.mnist import mnist, mnist_problem
from hpc.models.datasets.npz_file import npz, npz_problem
from hpc.models.families import baselines
from hpc.models.families.convolutional import cnn, cnn_problem
from hpc.models.families.linear import linear
from hpc.models.families.mlp import mlp, mlp_problem
from hpc.models.reference import Entry, Reader, Reference


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A model.

    Attributes:
        is_baseline: whether it is an estimator of scikit-learn, to compare networks with.
    """

    is_baseline: bool = False


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A dataset.

    Attributes:
        is_split: whether it comes with a test part of its own; other datasets come whole.
        has_classes: whether its targets are classes, not numbers to predict.
    """

    is_split: bool = False
    has_classes: bool = True


MODELS: Mapping[str, ModelEntry] = {
    "linear": ModelEntry(linear),
    "mlp": ModelEntry(mlp, mlp_problem),
    "cnn": ModelEntry(cnn, cnn_problem),
    "knn": ModelEntry(baselines.knn, is_baseline=True),
    "logistic_regression": ModelEntry(baselines.logistic_regression, is_baseline=True),
    "sgd_classifier": ModelEntry(baselines.sgd_classifier, is_baseline=True),
    "svm": ModelEntry(baselines.svm, is_baseline=True),
    "decision_tree": ModelEntry(baselines.decision_tree, is_baseline=True),
    "random_forest": ModelEntry(baselines.random_forest, is_baseline=True),
    "linear_regression": ModelEntry(baselines.linear_regression, is_baseline=True),
    "ridge": ModelEntry(baselines.ridge, is_baseline=True),
    "lasso": ModelEntry(baselines.lasso, is_baseline=True),
}
DATASETS: Mapping[str, DatasetEntry] = {
    "digits": DatasetEntry(digits),
    "mnist": DatasetEntry(mnist, mnist_problem, is_split=True),
    "blobs": DatasetEntry(blobs),
    "circles": DatasetEntry(circles),
    "moons": DatasetEntry(moons),
    "classification": DatasetEntry(classification, classification_problem),
    "regression": DatasetEntry(regression, has_classes=False),
    "worked_example": DatasetEntry(worked_example, has_classes=False),
}
READERS: Mapping[str, Reader] = {".csv": Reader(csv, csv_problem), ".npz": Reader(npz, npz_problem)}
"""The readers of files of data, by suffix."""

BASELINES = {name: entry.build for name, entry in MODELS.items() if entry.is_baseline}
"""Estimators of scikit-learn, to compare networks with."""
SPLIT_DATASETS = tuple(name for name, entry in DATASETS.items() if entry.is_split)
"""Datasets that come with a test part of their own."""
NUMBERS = tuple(name for name, entry in DATASETS.items() if not entry.has_classes)
"""Datasets whose targets are numbers to predict."""


def model_reference(text: str, folder: Path) -> Reference:
    """The model of that name, seen from ``folder``."""
    return Reference(text, "model", MODELS, folder)


def dataset_reference(text: str, folder: Path) -> Reference:
    """The dataset of that name, seen from ``folder``."""
    return Reference(text, "dataset", DATASETS, folder, READERS)


def function_reference(text: str, folder: Path) -> Reference:
    """The function of the user's of that name, seen from ``folder``."""
    return Reference(text, "function", {}, folder)
