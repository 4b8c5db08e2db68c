"""The tables of runs, and the one that is kept in the folder of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

from hpc.results.tables.base import Runs, each_run
from hpc.results.tables.by_epoch import epoch_table
from hpc.results.tables.by_trial import trial_table
from hpc.results.tables.formats import write_parquet

READ = "bytes_of_records"
"""The attribute of a gathered table that says how much of the records it was gathered from."""


def table(runs: Runs, *, epochs: bool = False) -> pd.DataFrame:
    """One row per trial, in the order of the sweep; or one per trial and epoch.

    Args:
        runs: the folder of a run, or several; with several, a first column ``run`` names them.
        epochs: one row per completed epoch of each trial's deciding attempt.

    Returns:
        Per trial: ``trial_id``, ``state``, ``reason``, a column per hyperparameter, ``seed``,
        ``epochs`` (completed), the last value of every metric, ``best_`` of the objective,
        ``seconds``, ``ranks``, ``job_id``, ``node``, ``error``, ``started``, ``node_hours``, ``core_hours``,
        ``gpu_hours``, ``energy_joules`` (:func:`hpc.results.stats.by_trial`). Per epoch: ``trial_id``, the
        hyperparameters, ``seed``, ``epoch`` (from 1), the metrics, ``seconds`` since the start.
        Of several objectives ``pareto`` says which trials no other is better than in all of them, by their
        last values, and ``parameters`` counts weights, if that is an objective. ``stage`` is ``confirm`` of
        trials that confirm a setting. ``code`` is the beginning of the digest of the user's code and data,
        where trials were trained with several (``--mixed-code``). Of a sweep with baselines ``model`` comes
        before the hyperparameters, of one with folds ``fold`` after the seed. A hyperparameter whose name is
        that of another column is called ``param_`` and its name.

        Texts are categories (but for ``trial_id``, ``reason`` and ``error``), whole numbers that may be
        missing are ``Int64``, and ``started`` is a time, UTC. ``attrs`` says what the run was: ``run`` (its
        folder), ``sweep`` (its name), ``objective`` (``metric`` and ``mode``), ``space`` (the columns of the
        hyperparameters that were searched), ``skipped`` (what of its records could not be read, by file
        and why) and ``faults`` (what of its folder is not as the run has left it, in sentences); of several
        runs ``runs`` is a list of such.

    What has been read is kept in ``gathered/`` of the run's folder; to read it again costs what is new.

    Raises:
        RunError: one of them is not the folder of a run.
    """
    return each_run(runs, lambda run: _one(run, epochs))


def _one(run: Run, epochs: bool) -> pd.DataFrame:
    trials = sorted(run.trials.values(), key=lambda trial: trial.index)
    return epoch_table(run, trials) if epochs else trial_table(run, trials)


def save(run: Run, frame: pd.DataFrame | None = None) -> None:
    """Bring ``table.parquet`` in the folder of a run up to date.

    Args:
        run: as read.
        frame: its table, if there is one already.

    A folder that can't be written is left as it is.
    """
    path = run.folder / "table.parquet"
    if _bytes_read(path) == run.bytes_read:
        return
    frame = (table(run) if frame is None else frame).copy(deep=False)
    frame.attrs = {**frame.attrs, READ: run.bytes_read}
    try:
        write_parquet(path, frame)
    except OSError:  # read-only, or a full disk: there is the table all the same
        pass


def _bytes_read(path: Path) -> int | None:
    """How much of the records a file was gathered from; the times of files change with the clock."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            entries = pq.read_schema(file).metadata or {}
        found: int | None = json.loads(entries[b"PANDAS_ATTRS"])[READ]
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None
    return found
