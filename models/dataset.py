"""What a model is trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.reference import ModelError, Parameter, parameters_of

Array = NDArray[Any]
Samples = Annotated[int, Field(ge=1, description="a number of samples, at least 1")]
Share = Annotated[float, Field(ge=0, lt=1, description="a share from 0 up to, but not including, 1")]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Inputs ``x`` of shape (n, …) and targets ``y`` of shape (n,) or (n, …)."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def first(self, n: int | None) -> Split:
        """The first ``n`` samples; all where ``n`` is None.

        Raises:
            ModelError: there are fewer than ``n``.
        """
        if n is not None and n > len(self):
            raise ModelError(f"{n} samples are asked for, but there are only {len(self)}")
        return self if n is None else Split(self.x[:n], self.y[:n])

    def take(self, rows: NDArray[np.integer[Any]]) -> Split:
        """The samples in those rows."""
        return Split(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Dataset:
    """Data held in memory, in parts.

    Attributes:
        train: what the weights are fitted to.
        validation: what trials are compared by; None if everything is trained on.
        num_classes: number of classes where the targets are class numbers from 0, else None.
        test: what a trained model is measured on, once; None if nothing is kept for it.
    """

    train: Split
    validation: Split | None
    num_classes: int | None
    test: Split | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train.x.shape[1:])

    @property
    def output_size(self) -> int:
        """Width of a model's last layer: classes, or numbers to predict per sample."""
        return self.num_classes or int(np.prod(self.train.y.shape[1:], dtype=int))

    def with_parts(self, parts: Mapping[str, Split]) -> Dataset:
        """The same with other samples in its parts, given for those that there are."""
        return Dataset(parts["train"], parts.get("validation"), self.num_classes, parts.get("test"))

    def parts(self) -> dict[str, Split]:
        """The parts that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


class Division(BaseModel):
    """Options of any dataset, given under ``data``, unless its function takes them itself.

    Attributes:
        train: take only the first so many training samples.
        validation: likewise for validation.
        test: likewise for the test.
        validation_split: share of the training samples that is kept for validation, of data that
            come whole.
        test_split: share of all samples that is kept for the test, of data that come whole.
        split_seed: of the shuffling before data that come whole are divided.
        stratify: whether each part has the same share of every class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    train: Samples | None = None
    validation: Samples | None = None
    test: Samples | None = None
    validation_split: Share = 0.2
    test_split: Share = 0.0
    split_seed: Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0")] = 0
    stratify: bool = True


DIVISION: dict[str, Parameter] = parameters_of(Division)
"""Those options by name, to be checked one by one."""
OF_WHOLES = ("validation_split", "test_split", "split_seed", "stratify")
"""Those that say how data that come whole are divided."""


def dataset(
    value: object,
    division: Division | None = None,
    *,
    name: str = "the dataset",
    dtype: str = "float32",
    whole: bool = False,
) -> Dataset:
    """Make a :class:`Dataset` of what a function returned.

    Whole-numbered targets of shape (n,) or (n, 1) are class numbers from 0, real-valued ones are
    numbers to predict. Samples are divided as scikit-learn's ``train_test_split`` does it: first
    the test part is taken from all, then the validation part from the rest.

    Args:
        value: a Dataset; two or three pairs of arrays, ``((x_train, y_train), (x_validation,
            y_validation), (x_test, y_test))``; a mapping of such pairs by the names of the parts;
            or one pair ``(x, y)``, the whole, which is divided here.
        division: the options; Division's defaults unless given.
        name: what to call it in messages.
        dtype: of real-valued inputs and targets.
        whole: to keep training and validation samples together as ``train``, for folds.

    Raises:
        ModelError: another structure, no samples, unequal lengths or shapes, NaN or infinity,
            fewer samples than asked for.
    """
    division = division or Division()
    parts = _parts(value, division, name, validated=not whole)
    given = division.model_fields_set & set(OF_WHOLES)
    if given and not is_whole(value):
        raise ModelError(f"{name} comes divided, so {min(given)} is of no effect; leave it out")
    splits = {part: _split(x, y, f"{name}, {_NAMES[part]} part", dtype) for part, (x, y) in parts.items()}
    train = splits["train"]
    for part, split in splits.items():
        if (train.x.shape[1:], train.y.shape[1:]) != (split.x.shape[1:], split.y.shape[1:]):
            raise ModelError(
                f"{name}: training samples have shape {train.x.shape[1:]} and targets {train.y.shape[1:]}, "
                f"{part} samples {split.x.shape[1:]} and targets {split.y.shape[1:]}"
            )
        try:
            splits[part] = split.first(getattr(division, part))
        except ModelError as error:
            raise ModelError(f"{name}, {_NAMES[part]} part: {error}") from None
    data = Dataset(splits["train"], splits.get("validation"), _classes(splits, name), splits.get("test"))
    if isinstance(value, Dataset):
        data = replace(data, num_classes=value.num_classes)
    if whole and data.validation is not None:
        both = [data.train, data.validation]
        joined = Split(np.concatenate([s.x for s in both]), np.concatenate([s.y for s in both]))
        data = replace(data, train=joined, validation=None)
    return data


_NAMES = {"train": "training", "validation": "validation", "test": "test"}


def is_whole(value: Any) -> bool:
    """Whether it is one pair of arrays, ``(x, y)``, and not parts that are divided already."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and not all(_is_pair(part) for part in value)
        and all(hasattr(array, "__len__") for array in value)
    )


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _parts(value: Any, division: Division, name: str, *, validated: bool) -> dict[str, Any]:
    """The arrays of each part, whatever the structure they came in."""
    if isinstance(value, Dataset):
        return {part: (split.x, split.y) for part, split in value.parts().items()}
    if isinstance(value, Mapping):
        if "train" not in value or not set(value) <= set(PARTS):
            returned = ", ".join(map(str, value)) or "none of them"
            raise ModelError(
                f"{name} must return parts called {', '.join(PARTS)}, but it returned {returned}"
            )
        for part, pair in value.items():
            if not _is_pair(pair):
                raise ModelError(f"{name}: {part} must be a pair (x, y), but is {_shown(pair)}")
        return {part: tuple(pair) for part, pair in value.items()}
    if is_whole(value):
        return _divided(np.asarray(value[0]), np.asarray(value[1]), division, name, validated)
    if isinstance(value, (tuple, list)) and len(value) in (2, 3) and all(map(_is_pair, value)):
        return dict(zip(PARTS, map(tuple, value), strict=False))
    raise ModelError(
        f"{name} must return (x, y), or ((x_train, y_train), (x_validation, y_validation)) and perhaps "
        f"(x_test, y_test), but it returned {_shown(value)}"
    )


def _shown(value: object) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def _divided(x: Array, y: Array, division: Division, name: str, validated: bool) -> dict[str, Any]:
    from sklearn.model_selection import train_test_split

    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ModelError(f"{name}: x has shape {x.shape}, y has {y.shape}, not as many samples")
    rest, parts = np.arange(len(x)), {}
    classes = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    stratify = division.stratify and classes.ndim == 1 and not np.issubdtype(y.dtype, np.floating)
    shares = {"test": division.test_split, "validation": division.validation_split if validated else 0.0}
    for part, share in shares.items():
        if share:
            try:
                rest, taken = train_test_split(
                    rest,
                    test_size=share,
                    random_state=division.split_seed,
                    stratify=classes[rest] if stratify else None,
                )
            except ValueError as error:
                raise ModelError(
                    f"{name}: {part}_split={share} of {len(rest)} samples can't be taken: {error}"
                ) from None
            parts[part] = (x[taken], y[taken])
    return {"train": (x[rest], y[rest]), **parts}


def _classes(splits: Mapping[str, Split], name: str) -> int | None:
    y = splits["train"].y
    if not np.issubdtype(y.dtype, np.integer) or y.ndim > 1:
        return None
    least = min(split.y.min() for split in splits.values())
    if least < 0:
        raise ModelError(f"{name}: classes are counted from 0, but a target is {least}")
    return int(max(split.y.max() for split in splits.values())) + 1


def _is_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite; a sum tells that faster, unless it is too great itself."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def _split(x: object, y: object, name: str, dtype: str) -> Split:
    inputs, targets = np.asarray(x), np.asarray(y)
    if targets.dtype == bool:
        targets = targets.astype(np.int32)
    if targets.ndim == 2 and targets.shape[1] == 1 and np.issubdtype(targets.dtype, np.integer):
        targets = targets[:, 0]
    for what, array in (("x", inputs), ("y", targets)):
        if array.ndim == 0 or len(array) == 0:
            raise ModelError(f"{name}: {what} holds no samples (shape {array.shape})")
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            raise ModelError(f"{name}: {what} holds {array.dtype}, not numbers")
        if np.issubdtype(array.dtype, np.floating) and not _is_finite(array):
            raise ModelError(f"{name}: {what} holds NaN or infinity")
    if len(inputs) != len(targets):
        raise ModelError(f"{name}: x has {len(inputs)} samples, y has {len(targets)}")
    if np.issubdtype(inputs.dtype, np.floating):
        inputs = inputs.astype(dtype, copy=False)
    if np.issubdtype(targets.dtype, np.floating):
        targets = targets.astype(dtype, copy=False)
    return Split(inputs, targets)
