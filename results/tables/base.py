"""Tables of one run or of several, one below the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store import Run, RunError, encodable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]


Runs = str | Path | Run | Sequence[str | Path | Run]


def each_run(runs: Runs, make: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """Make the table of a run, or of several, one below the other."""
    import pandas as pd

    if isinstance(runs, (str, Path, Run)):
        run = _opened(runs)
        frame = make(run)
        frame.attrs = _metadata(run, frame) | frame.attrs
        return frame
    frames = [each_run(run, make) for run in runs]
    if not frames:
        raise RunError("no run is given.")
    metadata = [frame.attrs for frame in frames]
    for frame in frames:
        frame.insert(0, "run", pd.Series(frame.attrs["run"], frame.index, "category"))
    whole = frames[0] if len(frames) == 1 else _joined(frames)
    whole.attrs = {"runs": metadata}
    return whole


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One below the other; columns that are categories in all of them stay such."""
    import pandas as pd

    for name in {name for frame in frames for name in frame}:
        columns = [frame[name] for frame in frames if name in frame]
        if all(isinstance(column.dtype, pd.CategoricalDtype) for column in columns):
            values = dict.fromkeys(value for column in columns for value in column.cat.categories)
            kinds = pd.CategoricalDtype(list(values))
            for frame in frames:
                if name in frame:
                    frame[name] = frame[name].astype(kinds)
    return pd.concat(frames, ignore_index=True)


def _opened(run: str | Path | Run) -> Run:
    opened = run if isinstance(run, Run) else Run(run)
    opened.remember()
    return opened


def _metadata(run: Run, frame: pd.DataFrame) -> dict[str, Any]:
    columns = {name: f"param_{name}" if f"param_{name}" in frame else name for name in run.space}
    return {
        "run": encodable(str(run.folder)),
        "sweep": run.name,
        "objective": {"metric": run.metric, "mode": run.mode},
        "space": list(columns.values()),
        "skipped": run.skipped(),
        "faults": run.faults(),
    }
