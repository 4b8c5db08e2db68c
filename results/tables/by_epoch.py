"""The table with one row per trial and epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc.results.store import Epochs, Run, TrialState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Array = np.ndarray[Any, np.dtype[Any]]

from hpc.results.tables.columns import case_column, fold_column, make_frame, model_column, parameter_columns


def epoch_table(run: Run, trials: list[TrialState]) -> pd.DataFrame:
    """One row per trial and epoch."""
    import pandas as pd

    epochs = Epochs(run)
    gathered, places = counted_epochs(epochs, trials)
    columns = {name: gathered.column(name) for name in gathered.schema.names}
    metrics = [name for name in columns if name.startswith("metrics.")]
    metrics = [name.removeprefix("metrics.") for name in metrics if columns[name].null_count < len(places)]
    case = case_column(trials)
    names = parameter_columns(run, {"trial_id", "model", *case, "seed", "fold", "epoch", *metrics, "seconds"})
    by_trial: dict[str, Any] = {
        "trial_id": [trial.trial_id for trial in trials],
        **model_column(run, trials),
        **case,
        **{names[name]: [trial.params.get(name) for trial in trials] for name in names},
        "seed": [trial.seed for trial in trials],
        **fold_column(run, trials),
    }
    by_trial["trial_id"] = pd.Categorical(by_trial["trial_id"], by_trial["trial_id"])
    frame = make_frame(by_trial, whole=["seed", "fold"], real=[]).iloc[places].reset_index(drop=True)
    frame["epoch"] = columns["epoch"].to_numpy()
    for name in metrics:
        frame[name] = columns[f"metrics.{name}"].to_numpy()
    frame["seconds"] = columns["seconds"].to_numpy()
    frame.attrs["skipped"] = _with_epochs(run.skipped(), epochs.skipped)
    return frame


def _is_range(rows: Array, number: int) -> bool:
    """Whether they are all of so many, in their order."""
    import numpy as np

    return len(rows) == number and bool((rows == np.arange(number)).all())


def _with_epochs(skipped: dict[str, dict[str, int]], epochs: dict[str, int]) -> dict[str, dict[str, int]]:
    """What a run has skipped, and what of its epochs could not be read."""
    for file, number in epochs.items():
        skipped.setdefault(file, {})["records of epochs that can't be read"] = number
    return skipped


def counted_epochs(epochs: Epochs, trials: list[TrialState]) -> tuple[pa.Table, Array]:
    """The epochs that count, as gathered, by trial and epoch; and for each the place of its trial.

    Args:
        epochs: of a run.
        trials: of it.
    """
    gathered = epochs.table()
    places, rows = _counted(gathered, trials)
    return gathered if _is_range(rows, gathered.num_rows) else gathered.take(rows), places


def _counted(gathered: pa.Table, trials: list[TrialState]) -> tuple[Array, Array]:
    """For each trial and epoch that counts the place of the trial and the row, in their order."""
    import numpy as np

    names = gathered.column("trial").combine_chunks().dictionary_encode()
    attempts, epochs = (gathered.column(name).to_numpy() for name in ("attempt", "epoch"))
    known = {trial.trial_id: place for place, trial in enumerate(trials)}
    places = np.array([known.get(name.as_py(), -1) for name in names.dictionary], np.intp)
    places = places[names.indices.to_numpy()]
    most = np.full((len(trials) + 1, int(attempts.max(initial=0)) + 1), -np.inf)  # the last row: unknown ones
    for place, trial in enumerate(trials):
        for attempt, end in trial.spans():
            if attempt < most.shape[1]:
                most[place, attempt] = end
    rows = np.flatnonzero(epochs <= most[places, attempts])
    rows = rows[np.lexsort((rows, epochs[rows], places[rows]))]
    is_last = np.ones(len(rows), bool)  # of those that were recorded twice, as after a crash of a disk
    is_last[:-1] = (np.diff(places[rows]) != 0) | (np.diff(epochs[rows]) != 0)
    return places[rows[is_last]], rows[is_last]
