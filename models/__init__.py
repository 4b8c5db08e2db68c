"""What is trained: one file per family of models, and the datasets.

A model is a function that returns an uncompiled Keras model. It names the hyperparameters it
takes as its arguments, and may name what the data decide: ``input_shape``, ``output_size``,
``num_classes``. A dataset is a function that returns arrays. To add one of ours, write the
function in a file beside ``mlp.py`` or ``datasets/digits.py`` and enter it below or there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.dataset import Dataset, Split, dataset
from models.datasets import DATASETS
from models.datasets import PROBLEMS as DATASET_PROBLEMS
from models.mlp import mlp, mlp_problem
from models.reference import ModelError, Parameter, Reference, Signature, signature_of

MODELS: dict[str, Callable[..., Any]] = {"mlp": mlp}
MODEL_PROBLEMS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {"mlp": mlp_problem}
FROM_DATA = ("input_shape", "output_size", "num_classes")
"""Arguments of a model that the dataset decides, not the sweep."""


def model_reference(text: str, folder: Path) -> Reference:
    """The model of that name, seen from ``folder``."""
    return Reference(text, "model", MODELS, MODEL_PROBLEMS, folder)


def dataset_reference(text: str, folder: Path) -> Reference:
    """The dataset of that name, seen from ``folder``."""
    return Reference(text, "dataset", DATASETS, DATASET_PROBLEMS, folder)


__all__ = [
    "DATASETS",
    "FROM_DATA",
    "MODELS",
    "Dataset",
    "ModelError",
    "Parameter",
    "Reference",
    "Signature",
    "Split",
    "dataset",
    "dataset_reference",
    "mlp",
    "model_reference",
    "signature_of",
]
