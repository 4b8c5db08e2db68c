"""The modes of metrics: whether less or more is better."""

from __future__ import annotations

import re
from typing import Literal

Mode = Literal["min", "max"]

MIN = (
    "bce", "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
    "categorical_focal_crossentropy", "categorical_generalized_cross_entropy", "categorical_hinge",
    "ce", "crossentropy", "ctc", "error", "false_negatives", "false_positives", "hinge", "huber",
    "kl_divergence", "kld", "log_cosh", "log_cosh_error", "logcosh", "loss", "mae", "mape",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
    "mean_squared_logarithmic_error", "mse", "msle", "poisson", "rmse",
    "root_mean_squared_error", "sparse_categorical_crossentropy", "squared_hinge",
)  # fmt: skip
"""Metrics of which less is better: the names under which Keras logs them, their aliases, and ours."""
MAX = (
    "acc", "accuracy", "auc", "binary_accuracy", "binary_io_u", "categorical_accuracy",
    "concordance_correlation", "cosine_similarity", "f1_score", "f_beta_score", "fbeta_score", "io_u",
    "label_ranking_average_precision", "mean_io_u", "one_hot_io_u", "one_hot_mean_io_u",
    "pearson_correlation", "precision", "precision_at_recall", "r2_score", "recall",
    "recall_at_precision", "sensitivity_at_specificity", "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy", "specificity_at_sensitivity", "top_k_categorical_accuracy",
    "true_negatives", "true_positives",
)  # fmt: skip
"""Metrics of which more is better."""
KNOWN = (*MIN, *MAX)
EITHER = (
    "circle", "dice", "loss_function_wrapper", "mean", "mean_metric_wrapper", "metric", "sum", "tversky",
)  # fmt: skip
"""Names that do not imply a mode: they are generic, or both a loss and a score bear them."""
SIZES = ("parameters", "seconds")
"""Further objectives that are no metrics: the number of weights, and the time of a trial."""
LAST_WORDS: dict[str, Mode] = {"loss": "min", "error": "min", "accuracy": "max", "acc": "max"}
"""Last words of names that imply a mode, as in ``contrastive_loss``."""


def mode_of(metric: str) -> Mode | None:
    """The mode of a metric; None if its name does not imply one.

    Args:
        metric: as it is recorded, perhaps with ``val_`` before it, or a number behind it, by which Keras
            tells apart two of a kind.
    """
    name = plain(metric)
    if name in MAX:
        return "max"
    if name in MIN or metric in SIZES:
        return "min"
    return LAST_WORDS.get(name.rpartition("_")[2])


def plain(metric: str) -> str:
    """Its name without ``val_``, ``test_`` and number; that of a class as Keras has it: ``kl_divergence``."""
    name = re.sub(r"_\d+$", "", metric.removeprefix("val_").removeprefix("test_"))
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
