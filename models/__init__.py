"""What is trained: one file per family of models, and the datasets.

A model is a function that returns an uncompiled Keras model, or for a baseline an estimator of
scikit-learn. It names the hyperparameters it takes as its arguments, and may name what the data
decide: ``input_shape``, ``output_size``, ``num_classes``. A dataset is a function that returns
arrays. To add one of ours, write the function in a file beside ``mlp.py`` or
``datasets/digits.py`` and enter it below or there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpc.models import baselines
from hpc.models.convolutional import cnn, cnn_problem
from hpc.models.dataset import DIVISION, OF_WHOLES, Array, Dataset, Division, Split, dataset, hearing
from hpc.models.datasets import DATASETS, DIVIDED, NUMBERS, READERS
from hpc.models.datasets import PROBLEMS as DATASET_PROBLEMS
from hpc.models.importing import Importer
from hpc.models.linear import linear
from hpc.models.mlp import mlp, mlp_problem
from hpc.models.reference import (
    ModelError,
    Parameter,
    Reader,
    Reference,
    Signature,
    parameters_of,
    signature_of,
)

BASELINES: dict[str, Callable[..., Any]] = {
    "knn": baselines.knn,
    "logistic_regression": baselines.logistic_regression,
    "sgd_classifier": baselines.sgd_classifier,
    "svm": baselines.svm,
    "decision_tree": baselines.decision_tree,
    "random_forest": baselines.random_forest,
    "linear_regression": baselines.linear_regression,
    "ridge": baselines.ridge,
    "lasso": baselines.lasso,
}
"""Estimators of scikit-learn, to compare networks with."""
MODELS: dict[str, Callable[..., Any]] = {"linear": linear, "mlp": mlp, "cnn": cnn, **BASELINES}
MODEL_PROBLEMS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "mlp": mlp_problem,
    "cnn": cnn_problem,
}
FROM_DATA = ("input_shape", "output_size", "num_classes")
"""Arguments of a model that the dataset decides, not the sweep."""


def model_reference(text: str, folder: Path) -> Reference:
    """The model of that name, seen from ``folder``."""
    return Reference(text, "model", MODELS, MODEL_PROBLEMS, folder)


def dataset_reference(text: str, folder: Path) -> Reference:
    """The dataset of that name, seen from ``folder``."""
    return Reference(text, "dataset", DATASETS, DATASET_PROBLEMS, folder, READERS)


__all__ = [
    "BASELINES",
    "DATASETS",
    "DIVIDED",
    "DIVISION",
    "FROM_DATA",
    "MODELS",
    "NUMBERS",
    "OF_WHOLES",
    "READERS",
    "Array",
    "Dataset",
    "Division",
    "Importer",
    "ModelError",
    "Parameter",
    "Reader",
    "Reference",
    "Signature",
    "Split",
    "dataset",
    "dataset_reference",
    "hearing",
    "mlp",
    "model_reference",
    "parameters_of",
    "signature_of",
]

if __name__ != "hpc.models":  # where the checkout's own folder is on the path
    raise ImportError("models is a part of hpc here: import hpc.models")
