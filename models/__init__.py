"""What is trained: one file per family of models, and the datasets.

A model is a function that returns an uncompiled Keras model, or for a baseline an estimator of
scikit-learn. It names the hyperparameters it takes as its arguments, and may name what the data
decide: ``input_shape``, ``output_size``, ``num_classes``. A dataset is a function that returns
arrays. To add one of ours, write the function in a file beside ``families/mlp.py`` or
``datasets/digits.py`` and enter it in ``registry.py``.
"""

from __future__ import annotations

from hpc.models.arrays import Array
from hpc.models.dataset import Dataset, Split, dataset
from hpc.models.families.mlp import mlp
from hpc.models.importing import Importer, in_house, project_of
from hpc.models.notes import collect_notes
from hpc.models.reference import (
    Entry,
    ModelError,
    Parameter,
    Reader,
    Reference,
    Signature,
    files_of,
    parameters_of,
    signature_of,
    signature_of_source,
)
from hpc.models.registry import (
    BASELINES,
    DATASETS,
    MODELS,
    NUMBERS,
    READERS,
    SPLIT_DATASETS,
    dataset_reference,
    function_reference,
    model_reference,
)
from hpc.models.splitting import SPLIT_OPTIONS, WHOLE_DATA_OPTIONS, SplitOptions, split_samples
from hpc.models.structures import PARTS, WHOLE

FROM_DATA = ("input_shape", "output_size", "num_classes")
"""Arguments of a model that the dataset decides, not the sweep."""

__all__ = [
    "BASELINES",
    "DATASETS",
    "FROM_DATA",
    "MODELS",
    "NUMBERS",
    "PARTS",
    "READERS",
    "SPLIT_DATASETS",
    "SPLIT_OPTIONS",
    "WHOLE",
    "WHOLE_DATA_OPTIONS",
    "Array",
    "Dataset",
    "Entry",
    "Importer",
    "ModelError",
    "Parameter",
    "Reader",
    "Reference",
    "Signature",
    "Split",
    "SplitOptions",
    "collect_notes",
    "dataset",
    "dataset_reference",
    "files_of",
    "function_reference",
    "in_house",
    "mlp",
    "model_reference",
    "parameters_of",
    "project_of",
    "signature_of",
    "signature_of_source",
    "split_samples",
]

if __name__ != "hpc.models":  # where the checkout's own folder is on the path
    raise ImportError("models is a part of hpc here: import hpc.models")
