"""What a model is trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hpc.models.reference import ModelError, Parameter, parameters_of

Array = NDArray[Any]
Samples = Annotated[int, Field(ge=1, description="a number of samples, at least 1")]
Share = Annotated[float, Field(ge=0, lt=1, description="a share from 0 up to, but not including, 1")]
Classes = Annotated[Literal["auto"] | bool, Field(description="auto, true or false")]
PARTS = ("train", "validation", "test")
MOST_CLASSES = 100
"""More different whole numbers than that may be classes or not, which only the user knows."""
MOST_UNSAID = 20
"""More classes than that are said, though nothing speaks against them."""

_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """What whoever loads data says meanwhile that a person should know, in words."""
    said: list[str] = []
    token = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(token)


def say(text: str) -> None:
    """Say what data were taken for, if anybody is hearing."""
    said = _said.get()
    if said is not None:
        said.append(text)


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
        one_hot: whether the user gives the classes as rows of zeros with a 1, as a model that is compiled
            already takes them.
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
        """The same with other samples in its parts, given for those that there are."""
        return replace(self, train=parts["train"], validation=parts.get("validation"), test=parts.get("test"))

    def as_given(self) -> Dataset:
        """The same with targets of the form in which the user gives them."""
        if not self.one_hot or self.num_classes is None:
            return self
        rows = np.eye(self.num_classes, dtype=np.float32)
        return self.with_parts({name: Split(part.x, rows[part.y]) for name, part in self.parts().items()})

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
    numbers to predict, unless ``division.classes`` says otherwise. Samples are divided as
    scikit-learn's ``train_test_split`` does it: first the test part is taken from all, then the
    validation part from the rest.

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
            numbers that are complex or beyond the dtype, fewer samples than asked for; whole-numbered
            targets may be classes or numbers to predict.
    """
    division = division or Division()
    decided = not isinstance(value, Dataset) or division.classes != "auto"
    parts = _parts(value, name)
    one_hot = decided and division.classes is not False and _is_one_hot(parts)
    width = 0
    if one_hot:
        width = np.shape(next(iter(parts.values()))[1])[1]
        parts = {part: (x, np.argmax(_array(y, name), axis=1)) for part, (x, y) in parts.items()}
    elif decided:
        parts = _decided(parts, division.classes, name)
    if WHOLE in parts:
        x, y = parts[WHOLE]
        parts = _divided(x, y, division, name, validated=not whole)
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
    classes = _classes(splits, name)
    if one_hot:
        classes = width
        say(f"{name}: the targets are rows of zeros with a 1, taken as {classes} classes; classes: false "
            "takes them as numbers to predict")  # fmt: skip
    data = Dataset(splits["train"], splits.get("validation"), classes, splits.get("test"), one_hot)
    if isinstance(value, Dataset) and not decided:
        data = replace(data, num_classes=value.num_classes)
    if whole and data.validation is not None:
        both = [data.train, data.validation]
        joined = Split(np.concatenate([s.x for s in both]), np.concatenate([s.y for s in both]))
        data = replace(data, train=joined, validation=None)
    return data


def _why_not_divided(classes: Array, stratify: bool) -> str:
    """What to do where a part can't have its share of every class; empty if that is not why."""
    if not stratify:
        return ""
    values, counts = np.unique(classes, return_counts=True)
    rare = [str(value) for value in values[counts < 2][:3]]
    if not rare:
        return ""
    return (
        f", since there is one sample only of class {', '.join(rare)} (stratify: false under data divides "
        "without regard to classes; or leave that sample out)"
    )


def _is_one_hot(parts: Mapping[str, Any]) -> bool:
    """Whether all targets are rows of zeros with a single 1, of two numbers at least."""
    widths = set()
    for _, y in parts.values():
        try:
            array = np.asarray(y)
        except ValueError:  # of rows of different lengths, which is said later
            return False
        if array.ndim != 2 or array.shape[1] < 2 or not len(array) or array.dtype.kind not in "biuf":
            return False
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            return False
        widths.add(array.shape[1])
    return len(widths) == 1


WHOLE = "whole"
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


def _parts(value: Any, name: str) -> dict[str, Any]:
    """The arrays of each part, or the whole, whatever the structure they came in."""
    if isinstance(value, Dataset):
        return {part: (split.x, split.y) for part, split in value.parts().items()}
    _refuse_no_arrays(value, name)
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
        return {WHOLE: tuple(value)}
    if isinstance(value, (tuple, list)) and len(value) in (2, 3) and all(map(_is_pair, value)):
        return dict(zip(PARTS, map(tuple, value), strict=False))
    raise ModelError(
        f"{name} must return (x, y), or ((x_train, y_train), (x_validation, y_validation)) and perhaps "
        f"(x_test, y_test), but it returned {_shown(value)}"
    )


FORMS = {"DatasetV2": "tf.data.Dataset", "PyDataset": "keras.utils.PyDataset", "DataLoader": "DataLoader"}
"""What streams samples, by the name of a class."""


def _refuse_no_arrays(value: Any, name: str) -> None:
    """Raise ModelError if it holds what Keras' ``fit`` takes, and this project does not so far."""
    values = list(value.values()) if isinstance(value, Mapping) else value
    values = list(values) if isinstance(values, (tuple, list)) else [values]
    for one in [*values, *(inner for part in values if isinstance(part, (tuple, list)) for inner in part)]:
        forms = [FORMS[kind.__name__] for kind in type(one).__mro__ if kind.__name__ in FORMS]
        if forms or isinstance(one, Iterator):
            form = forms[0] if forms else "generator"
            raise ModelError(
                f"{name} gives a {form}, and only arrays are taken so far: (x, y), or such pairs for "
                "training and validation; collect its samples into arrays"
            )
    pairs = values if all(isinstance(part, (tuple, list)) for part in values) else [value]
    for pair in [*pairs, value]:
        if isinstance(pair, (tuple, list)) and 2 <= len(pair) <= 3:
            _refuse_further_arrays(pair, name)


def _refuse_further_arrays(pair: Sequence[Any], name: str) -> None:
    lengths = [len(one) if hasattr(one, "shape") and np.ndim(one) else 0 for one in pair]
    if len(pair) == 3 and lengths[0] and len(set(lengths)) == 1 and np.ndim(pair[2]) == 1:
        raise ModelError(f"{name} gives (x, y, sample weights), and weights are not taken so far")
    x = pair[0]
    arrays = list(x.values()) if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else []
    are_inputs = bool(arrays) and all(hasattr(one, "shape") and np.ndim(one) for one in arrays)
    if are_inputs and len(arrays) != lengths[1] and {len(one) for one in arrays} == {lengths[1]}:
        raise ModelError(
            f"{name} gives {len(arrays)} arrays as x, and models of several inputs are not taken so far; "
            "join them to one array, which the model takes apart"
        )


def _shown(value: object) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def _decided(parts: Mapping[str, Any], classes: bool | Literal["auto"], name: str) -> dict[str, Any]:
    """The parts with targets that are class numbers if they are whole numbers, else numbers to predict.

    Raises:
        ModelError: they may be either, or are not what ``classes`` says.
    """
    targets = {part: _array(y, name) for part, (_, y) in parts.items()}
    is_single = all(y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1) for y in targets.values())
    if not all(y.dtype.kind in "biuf" and y.size for y in targets.values()) or not is_single:
        if classes is True and not is_single:
            raise ModelError(f"{name}: classes: true is for targets of shape (n,) or (n, 1)")
        return dict(parts)
    every = np.concatenate([y.ravel() for y in targets.values()])
    is_real = [y.dtype.kind == "f" for y in targets.values()]
    if classes is False:
        targets = {part: y if y.dtype.kind == "f" else y.astype(np.float64) for part, y in targets.items()}
    elif all(is_real) and classes == "auto":
        if _counts_from_0(every):
            say(f"{name}: the targets are real numbers, all whole, from 0 to {every.max():.0f}: they are "
                "taken as numbers to predict; classes: true takes them as classes")  # fmt: skip
    elif any(is_real):
        if not _is_finite(every):
            return dict(parts)  # which is said of the part
        bad = every[every != np.floor(every)]
        if len(bad):
            why = "classes: true" if classes is True else "the targets of some parts are whole numbers"
            raise ModelError(f"{name}: {why}, but a target is {bad[0]}")
        targets = {part: y.astype(np.int64) for part, y in targets.items()}
    elif classes == "auto":
        _refuse_doubtful(every, name)
    return {part: (x, targets[part]) for part, (x, _) in parts.items()}


def _refuse_doubtful(y: Array, name: str) -> None:
    """Raise ModelError if whole numbers may as well be numbers to predict; say it where that is less likely.

    Classes are counted from 0 with few gaps, and there are several samples of each.
    """
    least, classes = int(y.min()), int(y.max()) + 1
    if least < 0:
        return  # which is said of the part
    different = len(np.unique(y))
    if classes > MOST_CLASSES and (different < classes / 2 or classes > len(y) / 2):
        raise ModelError(
            f"{name}: the targets are whole numbers from {least} to {classes - 1}, {different} different "
            f"ones in {len(y)} samples; say classes: false under data if they are numbers to predict, "
            "classes: true if each is a class, counted from 0"
        )
    if (different < classes or classes > MOST_UNSAID) and not _said.get():  # else their reader has said it
        gaps = f", of which {classes - different} have no sample" if different < classes else ""
        say(f"{name}: the targets, whole numbers from {least} to {classes - 1}, are taken as {classes} "
            f"classes{gaps}; classes: false takes them as numbers to predict")  # fmt: skip


def _counts_from_0(y: Array) -> bool:
    """Whether real numbers are such as the numbers of classes are."""
    if not _is_finite(y) or y.min() != 0 or not 1 <= y.max() < MOST_CLASSES:
        return False
    return bool((y == np.floor(y)).all()) and len(np.unique(y)) == y.max() + 1


def _divided(
    x: Array, y: Array, division: Division, name: str, *, validated: bool
) -> dict[str, tuple[Array, Array]]:
    x, y = _array(x, name), _array(y, name)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ModelError(f"{name}: x has shape {x.shape}, y has {y.shape}, not as many samples")
    rest, parts = np.arange(len(x)), {}
    classes = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    stratify = division.stratify and classes.ndim == 1 and not np.issubdtype(y.dtype, np.floating)
    shares = {"test": division.test_split, "validation": division.validation_split if validated else 0.0}
    for part, share in shares.items():
        if share:
            from sklearn.model_selection import train_test_split

            try:
                rest, taken = train_test_split(
                    rest,
                    test_size=share,
                    random_state=division.split_seed,
                    stratify=classes[rest] if stratify else None,
                )
            except ValueError as error:
                raise ModelError(
                    f"{name}: {part}_split={share} of {len(rest)} samples can't be taken"
                    f"{_why_not_divided(classes[rest], stratify)}: {error}"
                ) from None
            parts[part] = (x[taken], y[taken])
    return {"train": (x[rest], y[rest]), **parts}


def _classes(splits: Mapping[str, Split], name: str) -> int | None:
    y = splits["train"].y
    if not np.issubdtype(y.dtype, np.integer) or y.ndim > 1:
        return None
    least = min(split.y.min() for split in splits.values())
    if least < 0:
        raise ModelError(
            f"{name}: classes are counted from 0, but a target is {least}; say classes: false under data if "
            "the targets are numbers to predict"
        )
    return int(max(split.y.max() for split in splits.values())) + 1


def _is_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite; a sum tells that faster, unless it is too great itself."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def _array(value: object, name: str) -> Array:
    if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):  # NumPy drops the mask
        raise ModelError(f"{name}: values are masked; fill in what is missing, or take the samples out")
    return np.asarray(value)


def _split(x: object, y: object, name: str, dtype: str) -> Split:
    inputs, targets = _array(x, name), _array(y, name)
    if targets.dtype == bool:
        targets = targets.astype(np.int32)
    if targets.ndim == 2 and targets.shape[1] == 1 and np.issubdtype(targets.dtype, np.integer):
        targets = targets[:, 0]
    for what, array in (("x", inputs), ("y", targets)):
        if array.ndim == 0 or len(array) == 0:
            raise ModelError(f"{name}: {what} holds no samples (shape {array.shape})")
        if array.dtype.kind not in "biuf":
            raise ModelError(f"{name}: {what} holds {_kind(array)}, not real numbers{_remedy(array, what)}")
        if np.issubdtype(array.dtype, np.floating) and not _is_finite(array):
            raise ModelError(f"{name}: {what} holds NaN or infinity")
    if len(inputs) != len(targets):
        raise ModelError(f"{name}: x has {len(inputs)} samples, y has {len(targets)}")
    return Split(_cast(inputs, dtype, f"{name}: x"), _cast(targets, dtype, f"{name}: y"))


def _kind(array: Array) -> str:
    kinds = {"c": "complex numbers", "M": "dates", "m": "durations", "U": "text", "S": "text"}
    return f"{kinds[array.dtype.kind]} ({array.dtype})" if array.dtype.kind in kinds else str(array.dtype)


def _remedy(array: Array, what: str) -> str:
    remedies = {
        "c": "; give the real and the imaginary part as two features",
        "M": "; take what matters of a date as numbers, like the seconds since the first",
        "m": "; divide by a duration, as x / np.timedelta64(1, 's')",
    }
    if array.dtype.kind in "OSU" and what == "y":
        return "; number the classes from 0, as np.unique(y, return_inverse=True)[1] does"
    return remedies.get(array.dtype.kind, "")


def _cast(array: Array, dtype: str, name: str) -> Array:
    """Real numbers in the dtype of the training, whole ones as they are; what is lost is said."""
    great = 2 ** (np.finfo(dtype).nmant + 1)  # from here on not all whole numbers are there
    may_be_great = array.dtype != dtype and array.dtype.kind in "iuf" and array.dtype.itemsize > 2
    if may_be_great and max(-float(array.min()), float(array.max())) >= great:
        with np.errstate(over="ignore", invalid="ignore"):
            other = array.astype(dtype)
            back = other.astype(array.dtype)
        if not _is_finite(other):
            raise ModelError(f"{name} holds {np.abs(array).max():.3g}, which {dtype} can't hold; scale it")
        lost = (np.abs(array.astype(np.float64)) >= great) & (array == np.floor(array)) & (back != array)
        if lost.any():
            say(f"{name} holds whole numbers like {int(array[lost][0])}, which {dtype} takes for "
                f"{int(other[lost][0])}; subtract what they have in common, or scale them")  # fmt: skip
    return array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
