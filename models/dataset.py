"""The data that a model is trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc.models.arrays import Array, as_array, checked_arrays
from hpc.models.notes import add_note
from hpc.models.reference import ModelError
from hpc.models.splitting import WHOLE_DATA_OPTIONS, SplitOptions, split_samples
from hpc.models.structures import WHOLE, is_whole, parts_of
from hpc.models.targets import count_classes, decide_targets, is_one_hot

_NAMES = {"train": "training", "validation": "validation", "test": "test"}


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
        train: the samples that the weights are fitted to.
        validation: the samples that trials are compared by; None if all others are trained on.
        num_classes: number of classes where the targets are class numbers from 0, else None.
        test: the samples that a trained model is measured on, once; None if there are none.
        one_hot: whether the user gives classes as one-hot rows, as a model that is already compiled takes
            them.
    """

    train: Split
    validation: Split | None
    num_classes: int | None
    test: Split | None = None
    one_hot: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train.x.shape[1:])

    @property
    def output_size(self) -> int:
        """Width of a model's last layer: classes, or numbers to predict per sample."""
        return self.num_classes or int(np.prod(self.train.y.shape[1:], dtype=int))

    def with_parts(self, parts: Mapping[str, Split]) -> Dataset:
        """The same dataset with other samples in its parts."""
        return replace(self, train=parts["train"], validation=parts.get("validation"), test=parts.get("test"))

    def as_given(self) -> Dataset:
        """The same dataset with targets in the form in which the user gives them."""
        if not self.one_hot or self.num_classes is None:
            return self
        rows = np.eye(self.num_classes, dtype=np.float32)
        return self.with_parts({name: Split(part.x, rows[part.y]) for name, part in self.parts().items()})

    def parts(self) -> dict[str, Split]:
        """The parts that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


def dataset(
    value: object,
    options: SplitOptions | None = None,
    *,
    name: str = "the dataset",
    dtype: str = "float32",
    whole: bool = False,
) -> Dataset:
    """Make a :class:`Dataset` of what a function returned.

    Whole-numbered targets of shape (n,) or (n, 1) are class numbers from 0, real-valued ones are
    numbers to predict, unless ``options.classes`` decides otherwise. Samples are split as
    scikit-learn's ``train_test_split`` does it: first the test part is taken from all, then the
    validation part from the rest.

    Args:
        value: a Dataset; two or three pairs of arrays, ``((x_train, y_train), (x_validation,
            y_validation), (x_test, y_test))``; a mapping of such pairs by the names of the parts;
            or one pair ``(x, y)``, the whole, which is split here.
        options: the options; the defaults of ``SplitOptions`` unless given.
        name: the name of the dataset in messages.
        dtype: the dtype of real-valued inputs and targets.
        whole: to keep training and validation samples together as ``train``, for folds.

    Raises:
        ModelError: another structure, no samples, unequal lengths or shapes, NaN or infinity,
            numbers that are complex or beyond the dtype, fewer samples than asked for; whole-numbered
            targets may be classes or numbers to predict.
    """
    options = options or SplitOptions()
    decided = not isinstance(value, Dataset) or options.classes != "auto"
    parts = _parts_of(value, name)
    one_hot = decided and options.classes is not False and is_one_hot(parts)
    width = 0
    if one_hot:
        width = np.shape(next(iter(parts.values()))[1])[1]
        parts = {part: (x, np.argmax(as_array(y, name), axis=1)) for part, (x, y) in parts.items()}
    elif decided:
        parts = decide_targets(parts, options.classes, name)
    if WHOLE in parts:
        x, y = parts[WHOLE]
        parts = split_samples(x, y, options, name, validated=not whole)
    given = options.model_fields_set & set(WHOLE_DATA_OPTIONS)
    if given and not is_whole(value):
        raise ModelError(f"{name} comes split, so {min(given)} is of no effect; leave it out")
    splits = {
        part: Split(*checked_arrays(x, y, f"{name}, {_NAMES[part]} part", dtype))
        for part, (x, y) in parts.items()
    }
    _check_shapes(splits, name)
    splits = {
        part: _limited(split, getattr(options, part), f"{name}, {_NAMES[part]} part")
        for part, split in splits.items()
    }
    classes = count_classes({part: split.y for part, split in splits.items()}, name)
    if one_hot:
        classes = width
        add_note(
            f"{name}: the targets are rows of zeros with a 1, taken as {classes} classes; classes: false "
            "takes them as numbers to predict"
        )
    if isinstance(value, Dataset) and not decided:
        classes = value.num_classes
    if whole and "validation" in splits:
        splits["train"] = _joined(splits["train"], splits.pop("validation"))
    return Dataset(splits["train"], splits.get("validation"), classes, splits.get("test"), one_hot)


def _check_shapes(splits: Mapping[str, Split], name: str) -> None:
    """Raise ModelError if samples of two parts have different shapes."""
    train = splits["train"]
    for part, split in splits.items():
        if (train.x.shape[1:], train.y.shape[1:]) != (split.x.shape[1:], split.y.shape[1:]):
            raise ModelError(
                f"{name}: training samples have shape {train.x.shape[1:]} and targets {train.y.shape[1:]}, "
                f"{part} samples {split.x.shape[1:]} and targets {split.y.shape[1:]}"
            )


def _limited(split: Split, n: int | None, name: str) -> Split:
    try:
        return split.first(n)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None


def _joined(first: Split, second: Split) -> Split:
    return Split(np.concatenate([first.x, second.x]), np.concatenate([first.y, second.y]))


def _parts_of(value: object, name: str) -> dict[str, Any]:
    if isinstance(value, Dataset):
        return {part: (split.x, split.y) for part, split in value.parts().items()}
    return parts_of(value, name)
