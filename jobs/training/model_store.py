"""Trained models that are kept in the folder of a run, as plain Keras files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.results import replacing
from hpc.sweeps import Trial

if TYPE_CHECKING:
    import keras

    from hpc.jobs.data import Scaling


class ModelStore:
    """The models that one worker keeps.

    With ``best`` that is the model of the best of its trials so far, of equals the first of the
    sweep, so the best of the run is always there, and with W workers no more than W are.

    Args:
        folder: of the run.
        keep: ``none``, ``best`` or ``all``.
        mode: of the objective, ``min`` or ``max``.
    """

    def __init__(self, folder: Path, keep: str, mode: str) -> None:
        self._folder = folder / "models"
        self._keep = keep
        self._sign = 1 if mode == "max" else -1
        self._best: tuple[tuple[float, int], Path] | None = None

    def wants(self, trial: Trial, value: float | None) -> bool:
        """Whether a trial that reached this value of the objective is to be kept."""
        if self._keep != "best":
            return self._keep == "all"
        return value is not None and (self._best is None or self._rank(trial, value) > self._best[0])

    def _rank(self, trial: Trial, value: float) -> tuple[float, int]:
        return self._sign * value, -trial.index

    def save(self, trial: Trial, model: keras.Model, value: float | None, scaling: Scaling | None) -> Path:
        """Write ``models/TRIAL.keras``, which plain Keras loads, without this project or Horovod.

        The file holds no optimizer. Its model takes the data as they come: its first layers scale
        them.
        """
        path = self._folder / f"{trial.trial_id}.keras"
        self._folder.mkdir(exist_ok=True)
        with replacing(path) as scratch, _without_optimizer(model):
            _taking(model, scaling).save(scratch)
        if self._keep == "best" and value is not None:
            if self._best is not None and self._best[1] != path:
                self._best[1].unlink(missing_ok=True)
            self._best = self._rank(trial, value), path
        return path


@contextmanager
def _without_optimizer(model: keras.Model) -> Iterator[None]:
    """For a while; on many ranks it is of a class that is unknown elsewhere."""
    before = model.compiled, getattr(model, "optimizer", None)
    model.compiled, model.optimizer = False, None
    try:
        yield
    finally:
        model.compiled, model.optimizer = before


def _taking(model: keras.Model, scaling: Scaling | None) -> keras.Model:
    import keras

    if scaling is None:
        return model
    return keras.Sequential([keras.Input(scaling.shift.shape), *scaling.layers(), model])
