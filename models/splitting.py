"""Options of every dataset, and the random split of samples into parts."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hpc.models.arrays import Array, as_array
from hpc.models.reference import ModelError, Parameter, parameters_of

Samples = Annotated[int, Field(ge=1, description="a number of samples, at least 1")]
Share = Annotated[float, Field(ge=0, lt=1, description="a share from 0 up to, but not including, 1")]
Classes = Annotated[Literal["auto"] | bool, Field(description="auto, true or false")]


class SplitOptions(BaseModel):
    """Options of any dataset, given under ``data``, unless its function takes them itself.

    Attributes:
        train: take only the first so many training samples.
        validation: the same for validation.
        test: the same for the test.
        validation_split: share of the training samples that is kept for validation, of data that
            come whole.
        test_split: share of all samples that is kept for the test, of data that come whole.
        split_seed: the seed of the shuffling before data that come whole are split.
        stratify: whether each part has the same share of every class.
        classes: whether targets of shape (n,) or (n, 1) are classes, counted from 0; with auto whole
            numbers are, but those that may as well be numbers to predict are refused. With auto, rows of
            zeros with a single 1 are classes, too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    train: Samples | None = None
    validation: Samples | None = None
    test: Samples | None = None
    validation_split: Share = 0.2
    test_split: Share = 0.0
    split_seed: Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0")] = 0
    stratify: bool = True
    classes: Classes = "auto"


SPLIT_OPTIONS: dict[str, Parameter] = parameters_of(SplitOptions)
"""The options by name, each with its type and default."""
WHOLE_DATA_OPTIONS = ("validation_split", "test_split", "split_seed", "stratify")
"""The options that are of no effect on data that come split."""


def split_samples(
    x: Array, y: Array, options: SplitOptions, name: str, *, validated: bool
) -> dict[str, tuple[Array, Array]]:
    """The parts of samples that come whole.

    Args:
        x: inputs, of shape (n, …).
        y: targets, of shape (n,) or (n, …).
        options: the shares of the parts.
        name: of the dataset, for messages.
        validated: whether a validation part is split off.

    Raises:
        ModelError: unequal lengths, or too few samples for the parts.
    """
    x, y = as_array(x, name), as_array(y, name)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ModelError(f"{name}: x has shape {x.shape}, y has {y.shape}, not as many samples")
    rest, parts = np.arange(len(x)), {}
    classes = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    stratify = options.stratify and classes.ndim == 1 and not np.issubdtype(y.dtype, np.floating)
    shares = {"test": options.test_split, "validation": options.validation_split if validated else 0.0}
    for part, share in shares.items():
        if share:
            from sklearn.model_selection import train_test_split

            try:
                rest, taken = train_test_split(
                    rest,
                    test_size=share,
                    random_state=options.split_seed,
                    stratify=classes[rest] if stratify else None,
                )
            except ValueError as error:
                raise ModelError(
                    f"{name}: {part}_split={share} of {len(rest)} samples can't be taken"
                    f"{_why_not_split(classes[rest], stratify)}: {error}"
                ) from None
            parts[part] = (x[taken], y[taken])
    return {"train": (x[rest], y[rest]), **parts}


def _why_not_split(classes: Array, stratify: bool) -> str:
    """The remedy where a part can't have its share of every class; empty for other causes."""
    if not stratify:
        return ""
    values, counts = np.unique(classes, return_counts=True)
    rare = [str(value) for value in values[counts < 2][:3]]
    if not rare:
        return ""
    return (
        f", since there is one sample only of class {', '.join(rare)} (stratify: false under data splits "
        "without regard to classes; or leave that sample out)"
    )
