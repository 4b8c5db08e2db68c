"""Data as Keras' ``fit`` takes them: pipelines, generators, several inputs, sample weights, text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpc.models import PARTS, WHOLE, ModelError, SplitOptions, split_samples

STREAMS = {
    "DatasetV2": "tf.data.Dataset", "PyDataset": "keras.utils.PyDataset", "DataLoader": "torch DataLoader",
    "MapDataset": "grain dataset", "IterDataset": "grain dataset",
}  # fmt: skip
"""Objects that give batches, by the names of their classes, and what people call them."""
SPARSE = ("RaggedTensor", "SparseTensor")
MANY = "arrays other than one of inputs and one of targets"


@dataclass(frozen=True)
class Part:
    """The samples of one part, as the arguments of ``fit``.

    Attributes:
        x: inputs: arrays of shape (n, …), lists or groups of them; or what gives batches of all three.
        y: targets, likewise; None where ``x`` gives them, or where there are none.
        weight: of each sample.
    """

    x: Any
    y: Any = None
    weight: Any = None

    @property
    def kind(self) -> str:
        """What gives batches, as people call it; empty for arrays."""
        return stream_kind(self.x)

    @property
    def samples(self) -> int:
        """The number of samples; 0 where that is not known."""
        return 0 if self.kind else _length(self.x)

    @property
    def batches(self) -> int:
        """The number of batches of what gives some; 0 where that is not known, or without end."""
        if self.kind == "tf.data.Dataset":
            return max(0, int(self.x.cardinality()))
        count = getattr(self.x, "num_batches", None) if self.kind == "keras.utils.PyDataset" else None
        return int(count or 0)

    def __len__(self) -> int:
        return self.samples

    def take(self, rows: Any) -> Part:
        """The samples in those rows."""
        return Part(*(_rows(given, rows) for given in (self.x, self.y, self.weight)))

    def given(self) -> tuple[Any, ...]:
        """As ``validation_data`` takes it."""
        if self.weight is not None:
            return self.x, self.y, self.weight
        return (self.x,) if self.y is None else (self.x, self.y)


@dataclass(frozen=True)
class FitData:
    """The data of a trial that Keras' ``fit`` trains, in place of a ``Dataset``.

    Attributes:
        train: the samples that the weights are fitted to.
        validation: the samples that trials are compared by; None if there are none.
        test: the samples that a trained model is measured on, once; None if there are none.
        name: of the data, for messages.
        is_shard: whether each rank has samples of its own, since the data's function asked for its rank.
        again: gives the same anew, from the beginning.
    """

    train: Part
    validation: Part | None = None
    test: Part | None = None
    name: str = "the data"
    is_shard: bool = False
    again: Callable[[], FitData] | None = field(default=None, compare=False)

    def parts(self) -> dict[str, Part]:
        """The parts that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @property
    def kind(self) -> str:
        """What the data are, as people call it."""
        return next((part.kind for part in self.parts().values() if part.kind), MANY)

    @property
    def is_stream(self) -> bool:
        """Whether some part gives batches, and keeps in mind where it is."""
        return any(part.kind for part in self.parts().values())

    @property
    def input_shape(self) -> Any:
        """Shape of one sample; of several inputs a list or group of them.

        Raises:
            ModelError: it is not known beforehand.
        """
        return self._shapes(0, "input_shape")

    @property
    def num_classes(self) -> int | None:
        """The number of classes where targets are class numbers from 0 or rows of zeros with a 1, else None.

        Raises:
            ModelError: it is not known beforehand.
        """
        y = self.train.y
        if self.train.kind or not hasattr(y, "shape"):
            raise self._unknown("num_classes")
        return classes_of([np.asarray(part.y) for part in self.parts().values() if not part.kind])

    @property
    def output_size(self) -> int:
        """Width of a model's last layer: classes, or numbers to predict per sample.

        Raises:
            ModelError: it is not known beforehand.
        """
        return self.num_classes or math.prod(np.asarray(self.train.y).shape[1:])

    def _shapes(self, place: int, name: str) -> Any:
        import keras

        given = self.train.x
        if self.train.kind:
            spec = getattr(given, "element_spec", None)
            if spec is None:
                raise self._unknown(name)
            given = spec[place] if isinstance(spec, tuple) else spec
        return keras.tree.map_structure(lambda one: tuple(one.shape[1:]), given)

    def _unknown(self, name: str) -> ModelError:
        return ModelError(
            f"the model's function takes {name}, but of {self.name}, {article(self.kind)}, it is not known "
            "beforehand: leave the argument out, or give it a default"
        )


def article(kind: str) -> str:
    """A kind of data with its article."""
    return kind if kind == MANY else f"a {kind}"


def stream_kind(value: object) -> str:
    """What an object that gives batches is called; empty for any other."""
    names = [STREAMS[kind.__name__] for kind in type(value).__mro__ if kind.__name__ in STREAMS]
    return names[0] if names else "generator" if isinstance(value, Iterator) else ""


def takes_fit(value: object) -> bool:
    """Whether what a function gives is for ``fit`` alone, and not arrays of one input and one target."""
    try:
        parts = _parts(value)
    except ValueError:
        return False
    return any(_is_loose(part) for part in parts.values())


def fit_data(value: object, options: SplitOptions, name: str, *, is_shard: bool = False) -> FitData:
    """Make :class:`FitData` of what a function returned, for which :func:`takes_fit` holds.

    Args:
        value: ``(train, validation, test)``, or a group of them by name, of which only the first must be
            there; each is what gives batches, or ``(x, y)``, or ``(x, y, sample weights)``. Or one of these
            alone: arrays are then split as ``options`` say, and what gives batches is trained on as a whole.
        options: how samples are split.
        name: of the data, in messages.
        is_shard: whether each rank has samples of its own.

    Raises:
        ModelError: lengths differ, or too few samples.
    """
    parts = _parts(value)
    for part, one in parts.items():
        _check_lengths(one, f"{name}, {part} part" if part != WHOLE else name)
    if WHOLE in parts:
        whole = parts.pop(WHOLE)
        parts = {"train": whole} if whole.kind else _split(whole, options, name)
    taken = {
        part: _limited(one, getattr(options, part), f"{name}, {part} part") for part, one in parts.items()
    }
    return FitData(taken["train"], taken.get("validation"), taken.get("test"), name, is_shard)


def classes_of(targets: list[Any]) -> int | None:
    """The number of classes that targets are of; None where they are numbers to predict, or anything else.

    Args:
        targets: arrays; class numbers of shape (n,) or (n, 1), or rows of zeros with a single 1.
    """
    first = targets[0]
    if first.dtype.kind not in "biuf":
        return None
    if first.ndim == 2 and first.shape[1] > 1:
        is_one_hot = all(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all() for y in targets)
        return int(first.shape[1]) if is_one_hot else None
    if first.dtype.kind == "f" or first.ndim > 2 or min(y.min() for y in targets) < 0:
        return None
    return int(max(y.max() for y in targets)) + 1


# What a function may return


def _parts(value: Any) -> dict[str, Part]:
    """The parts, or the whole.

    Raises:
        ValueError: it is none of these structures.
    """
    if isinstance(value, Mapping) and "train" in value and set(value) <= set(PARTS):
        return {name: _part(one) for name, one in value.items() if one is not None}
    if stream_kind(value):
        return {WHOLE: Part(value)}
    if not isinstance(value, (tuple, list)) or not 2 <= len(value) <= 3:
        raise ValueError
    if all(_is_part(one) for one in value):
        return dict(zip(PARTS, map(_part, value), strict=False))
    return {WHOLE: Part(*value)}


def _is_part(value: object) -> bool:
    return bool(stream_kind(value)) or (isinstance(value, (tuple, list)) and 2 <= len(value) <= 3)


def _part(value: Any) -> Part:
    if stream_kind(value):
        return Part(value)
    if isinstance(value, (tuple, list)) and 1 <= len(value) <= 3:
        return Part(*value)
    raise ValueError


def _is_loose(part: Part) -> bool:
    if part.kind or isinstance(part.x, Mapping) or isinstance(part.y, Mapping):
        return True
    if part.weight is not None:
        return _length(part.x) > 0
    if part.y is None:  # (x,): a model that is its own target
        return True
    if _is_special(part.x) or _is_special(part.y):
        return True
    try:
        length = len(part.y)
    except TypeError:
        return False
    x = part.x if isinstance(part.x, (list, tuple)) else []
    are_inputs = bool(x) and all(hasattr(one, "shape") and np.ndim(one) for one in x)
    return are_inputs and len(x) != length and {len(one) for one in x} == {length}


def _is_special(value: Any) -> bool:
    """Whether these are tensors that no array holds, a frame with text, or text as the inputs of a model."""
    if any(kind.__name__ in SPARSE for kind in type(value).__mro__):
        return True
    if hasattr(value, "dtypes") and hasattr(value, "columns"):  # of pandas
        return not all(getattr(kind, "kind", "O") in "biuf" for kind in value.dtypes)
    if hasattr(value, "todense"):  # of SciPy
        return True
    kind = getattr(value, "dtype", None)
    if kind is not None and not isinstance(kind, np.dtype):  # a tensor of TensorFlow
        return bool(getattr(kind, "name", "") == "string")
    is_text = isinstance(value, np.ndarray) and value.ndim > 0 and len(value) > 0
    return is_text and (value.dtype.kind in "US" or _holds_text(value))


def _holds_text(array: Any) -> bool:
    return array.dtype.kind == "O" and all(isinstance(one, (str, bytes)) for one in array.ravel()[:100])


# Samples


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for one in value.values() for leaf in _leaves(one)]
    if isinstance(value, (list, tuple)):
        return [leaf for one in value for leaf in _leaves(one)]
    return [] if value is None else [value]


def _length(value: Any) -> int:
    leaves = _leaves(value)
    if not leaves:
        return 0
    shape = getattr(leaves[0], "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else len(leaves[0]) if shape is None else 0


def _check_lengths(part: Part, name: str) -> None:
    if part.kind:
        if part.y is not None:
            raise ModelError(f"{name}: {article(part.kind)} gives targets itself; y is one too many")
        return
    groups = {"x": part.x, "y": part.y, "the sample weights": part.weight}
    wanted = _length(part.x)
    if not wanted:
        raise ModelError(f"{name}: x holds no samples")
    for what, value in groups.items():
        for leaf in _leaves(value):
            if _length(leaf) != wanted:
                raise ModelError(f"{name}: x has {wanted} samples, {what} {_length(leaf)}")


def _rows(value: Any, rows: Any) -> Any:
    """These rows of every array."""
    if isinstance(value, Mapping):
        return {name: _rows(one, rows) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_rows(one, rows) for one in value)
    if value is None:
        return None
    if hasattr(value, "iloc"):
        return value.iloc[rows]
    if any(kind.__name__ == "SparseTensor" for kind in type(value).__mro__):
        import tensorflow as tf

        picked = [
            tf.sparse.slice(value, [row, *[0] * (len(value.shape) - 1)], [1, *value.shape[1:]])
            for row in rows
        ]
        return tf.sparse.concat(0, picked)
    if hasattr(value, "row_splits") or not isinstance(value, np.ndarray):
        import tensorflow as tf

        return tf.gather(value, rows) if tf.is_tensor(value) else value[rows]
    return value[rows]


def _split(whole: Part, options: SplitOptions, name: str) -> dict[str, Part]:
    """The parts of arrays that come whole, as those of a ``Dataset`` are split."""
    rows = np.arange(whole.samples)
    targets = _leaves(whole.y)
    is_plain = len(targets) == 1 and isinstance(targets[0], np.ndarray)
    y = targets[0] if is_plain and targets[0].dtype.kind in "biu" else np.zeros(len(rows))
    found = split_samples(rows, y, options, name, validated=True)
    return {part: whole.take(taken) for part, (taken, _) in found.items()}


def _limited(part: Part, count: int | None, name: str) -> Part:
    if count is None:
        return part
    if part.kind:
        raise ModelError(
            f"{name}: {count} samples of {article(part.kind)} can't be taken; let the function do it"
        )
    if count > part.samples:
        raise ModelError(f"{name}: {count} samples are asked for, but there are only {part.samples}")
    return part.take(np.arange(count))
