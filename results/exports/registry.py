"""The tools to which a run can be exported."""

from __future__ import annotations

import os
from pathlib import Path

from hpc.results.exports.base import Exported
from hpc.results.exports.mlflow import to_mlflow
from hpc.results.exports.tensorboard import to_tensorboard
from hpc.results.store import Run, RunError

TARGETS = ("tensorboard", "mlflow")


def export(run: Run, to: str, out: str | Path | None = None) -> Exported:
    """Write a run for another tool; the next time only what is new since.

    Args:
        run: as read; it is brought up to date first.
        to: ``tensorboard`` or ``mlflow``.
        out: for TensorBoard a folder, ``tensorboard`` in that of the run unless given. For MLflow the
            address of a tracking server or store, or a folder for an SQLite file ``mlflow.db``; unless
            given MLFLOW_TRACKING_URI, else the run's folder.

    Raises:
        RunError: there is no such tool, it is not installed, or can't write there.
    """
    run.refresh()
    if to == "tensorboard":
        return to_tensorboard(run, Path(out or run.folder / "tensorboard"))
    if to == "mlflow":
        return to_mlflow(run, str(out or os.environ.get("MLFLOW_TRACKING_URI") or run.folder))
    raise RunError(f"a run can't be exported to {to!r}; there are {', '.join(TARGETS)}.")
