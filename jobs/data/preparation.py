"""The data of a trial: loaded once per worker, divided into folds and scaled as the trial says."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.arguments import WORLD_NAMES, asked_names, given_by_name
from hpc.jobs.data.loose import FitData, article, fit_data, takes_fit
from hpc.jobs.references import data_of, data_options, function_options, split_options_of
from hpc.jobs.training import KerasSettings
from hpc.models import Array, Dataset, Importer, ModelError, Signature, Split, collect_notes, dataset
from hpc.sweeps import Folds, Sweep, Trial

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Scaling:
    """Takes ``shift`` from every feature and divides it by ``spread``, both of a sample's shape."""

    shift: Array
    spread: Array

    def apply(self, split: Split, dtype: str) -> Split:
        """The samples, scaled."""
        return Split(((split.x - self.shift) / self.spread).astype(dtype), split.y)

    def layers(self) -> list[keras.layers.Layer]:
        """The preparation as layers, so that a saved model takes the data as they come."""
        import keras

        axes = tuple(range(1, self.shift.ndim + 1))
        # Keras divides by no less than 1e-7; by what is smaller, the inverse is multiplied.
        factor = np.where(self.spread < 1e-6, 1 / self.spread, 1.0)
        layers = [keras.layers.Normalization(axes, self.shift, (self.spread * factor) ** 2)]
        if (factor > 1).any():
            layers.append(keras.layers.Normalization(axes, 0 * self.shift, factor**2, invert=True))
        return layers


@dataclass(frozen=True)
class Prepared:
    """The data of a trial, and how they were scaled; None if they were not.

    Attributes:
        data: the samples.
        scaling: of them.
        said: what a person should know of how they were read, one sentence each.
    """

    data: Dataset | FitData
    scaling: Scaling | None = None
    said: tuple[str, ...] = ()


class Preparation:
    """Loads the data of a sweep, and prepares them for its trials.

    A function of the user's is called once per worker, before the first trial. It is called for each trial,
    after all random numbers have begun with the trial's seed, where it asks for something of the trial, and
    where what it gives keeps in mind how much of it was taken, as ``tf.data`` does.

    Args:
        sweep: checked.
        importer: of the user's modules.
        rank: of this process, which the function may ask for, like ``size``.
        size: how many ranks train together.

    Attributes:
        digest: SHA-256 of what a function of the user's has given, by which it is noticed if it gives
            other samples elsewhere; empty for data that are ours or in a file, and for those of one trial.
        dtype: of real-valued inputs and targets.
        said: what a person should know of how the data were read, one sentence each.
        is_loose: whether the data are for ``fit`` alone; False where only a trial will tell.

    Raises:
        ModelError: the dataset is not one; see :func:`hpc.models.dataset`.
    """

    def __init__(self, sweep: Sweep, importer: Importer | None = None, rank: int = 0, size: int = 1) -> None:
        self._sweep = sweep
        self._folds = sweep.folds
        self._name = f"the dataset {sweep.data['name']}"
        self._world = {"rank": rank, "size": size}
        drawn = sweep.dimensions["dtype"].ends() if "dtype" in sweep.dimensions else ()
        types = [*drawn, *(trial.params.get("dtype") for trial in sweep.trials), sweep.fixed.get("dtype")]
        reference = data_of(sweep)
        self._function = reference.resolve(importer)
        self._asked = (
            asked_names(reference.signature(), data_options(sweep)) if reference.is_users_code else []
        )
        random.seed(0)
        np.random.seed(0)  # so that a function that draws by these gives all workers the same
        # The user's files, which are imported now, may have set it, too.
        self.dtype = "float64" if "float64" in (*types, KerasSettings.now().floatx) else "float32"
        kept = self._kept_defaults(reference.signature()) if reference.is_users_code else []
        self.said: list[str] = kept
        self._whole: Dataset | FitData | None = None
        if set(self._asked) <= set(WORLD_NAMES):
            self._whole, said = self._load({name: self._world[name] for name in self._asked})
            self.said = [*kept, *said]
        self.is_loose = isinstance(self._whole, FitData)
        is_known = reference.is_users_code and self._whole is not None and "rank" not in self._asked
        self.digest = _digest(self._whole) if is_known else ""
        self._last: tuple[tuple[int | None, str], Prepared] | None = None

    def of(self, trial: Trial, scale: str) -> Prepared:
        """The data of a trial, scaled by what its training samples say.

        Args:
            trial: whose fold counts, and what the data's function asks for.
            scale: one of ``Options.scale``.

        Raises:
            ModelError: there are too few samples for the folds, or the data can't be scaled.
        """
        whole = self._whole
        if whole is None or (isinstance(whole, FitData) and whole.is_stream):
            whole, said = self._load(given_by_name(self._asked, self._sweep, trial, self._world))
            return replace(self._prepared(whole, trial, scale), said=tuple(said))
        key = (trial.fold, scale)
        if self._last is None or self._last[0] != key:
            self._last = key, self._prepared(whole, trial, scale)
        return self._last[1]

    def _load(self, arguments: dict[str, Any]) -> tuple[Dataset | FitData, list[str]]:
        options = split_options_of(self._sweep)
        with collect_notes() as said:
            value = self._function(**function_options(self._sweep), **arguments)
            if takes_fit(value):
                found = fit_data(value, options, self._name, is_shard="rank" in self._asked)
                return replace(found, again=lambda: self._again(arguments)), said
            whole = self._sweep.folds is not None
            return dataset(value, options, name=self._name, dtype=self.dtype, whole=whole), said

    def _again(self, arguments: dict[str, Any]) -> FitData:
        found, _ = self._load(arguments)
        assert isinstance(found, FitData)
        return found

    def _kept_defaults(self, signature: Signature) -> list[str]:
        """A note, if arguments with a default have the names of hyperparameters, which they don't get."""
        sweep = self._sweep
        given = {*sweep.dimensions, *sweep.fixed} - {*data_options(sweep)}
        names = [name for name, one in signature.parameters.items() if not one.required and name in given]
        if not names:
            return []
        return [
            f"{self._name} keeps its own default of {', '.join(names)}, which the sweep gives to the model "
            "or the training; an argument without a default would get the sweep's"
        ]

    def _prepared(self, data: Dataset | FitData, trial: Trial, scale: str) -> Prepared:
        if isinstance(data, FitData):
            what = "folds" if self._folds else f"scale: {scale}" if scale != "none" else ""
            if what:
                raise ModelError(
                    f"{self._name} gives {article(data.kind)}, and {what} is for one array of inputs; "
                    "leave it out"
                )
            return Prepared(data)
        if self._folds is not None and trial.fold is not None:
            data = fold(data, self._folds, trial.fold, self._name)
        scaling = fit(data.train.x, scale)
        if scaling:
            parts = data.parts().items()
            data = data.with_parts({name: scaling.apply(part, self.dtype) for name, part in parts})
        return Prepared(data, scaling)


def _digest(data: Dataset | FitData | None) -> str:
    if not isinstance(data, Dataset):
        return ""
    found = hashlib.sha256()
    for name, split in data.parts().items():
        for array in (split.x, split.y):
            found.update(f"{name} {array.shape} {array.dtype} ".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def fold(data: Dataset, folds: Folds, number: int, name: str = "the dataset") -> Dataset:
    """The data with one fold of the training samples for validation.

    The folds are those of scikit-learn's ``KFold`` or ``StratifiedKFold``.

    Args:
        data: whose training and validation samples are together in ``train``.
        folds: how they are made.
        number: which, from 0.
        name: what to call the data in messages.

    Raises:
        ModelError: there are too few samples.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = StratifiedKFold if folds.stratify else KFold
    splitter = kind(folds.n_splits, shuffle=folds.shuffle, random_state=0 if folds.shuffle else None)
    try:
        parts = list(splitter.split(data.train.x, data.train.y))
    except ValueError as error:
        raise ModelError(f"{name} can't be split into {folds.n_splits} folds: {error}") from None
    rest, left_out = parts[number]
    return replace(data, train=data.train.take(rest), validation=data.train.take(left_out))


def fit(x: Array, scale: str) -> Scaling | None:
    """The scaling that these samples need, each feature by itself; a constant one is only shifted.

    Args:
        x: the training samples, shape (n, …).
        scale: standard, minmax, center; none gives None.
    """
    if scale == "none":
        return None
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    rows: Any = x.reshape(len(x), -1).astype(np.float64)
    if scale == "minmax":
        scaler = MinMaxScaler().fit(rows)
        shift, spread = scaler.data_min_, 1 / scaler.scale_
    else:
        scaler = StandardScaler(with_std=scale == "standard").fit(rows)
        shift = scaler.mean_
        spread = np.ones_like(shift) if scaler.scale_ is None else scaler.scale_
    return Scaling(shift.reshape(x.shape[1:]), spread.reshape(x.shape[1:]))
