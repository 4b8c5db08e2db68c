"""Tables of a run, as pandas DataFrames."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from results.run import Attempt, Run, RunError, TrialState, replacing

if TYPE_CHECKING:
    import pandas as pd

_TABULATE = {"table": "simple", "markdown": "pipe", "latex": "latex_booktabs"}
Runs = str | Path | Run | Sequence[str | Path | Run]
FORMATS = ("table", "csv", "json", "parquet", "markdown", "latex")


def table(runs: Runs, *, epochs: bool = False) -> pd.DataFrame:
    """One row per trial, in the order of the sweep; or one per trial and epoch.

    Args:
        runs: the folder of a run, or several; with several, a first column ``run`` names them.
        epochs: one row per completed epoch of each trial's deciding attempt.

    Returns:
        Per trial: ``trial_id``, ``state``, ``reason``, a column per hyperparameter, ``seed``,
        ``epochs`` (completed), the last value of every metric, ``best_`` of the objective,
        ``seconds``, ``ranks``, ``job_id``, ``node``, ``error``. Per epoch: ``trial_id``, the
        hyperparameters, ``seed``, ``epoch`` (from 1), the metrics, ``seconds`` since the start.
        Of a sweep with baselines ``model`` comes before the hyperparameters, of one with folds
        ``fold`` after the seed. A hyperparameter whose name is that of another column is called
        ``param_`` and its name.

    Raises:
        RunError: one of them is not the folder of a run.
    """
    return _each(runs, lambda run: _one(run, epochs))


def _each(runs: Runs, make: Callable[[str | Path | Run], pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    if isinstance(runs, (str, Path, Run)):
        return make(runs)
    frames = []
    for run in runs:
        frame = make(run)
        frame.insert(0, "run", str(run.folder if isinstance(run, Run) else run))
        frames.append(frame)
    if not frames:
        raise RunError("no run is given.")
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _one(folder: str | Path | Run, epochs: bool) -> pd.DataFrame:
    run = folder if isinstance(folder, Run) else Run(folder, keep_epochs=epochs)
    trials = sorted(run.trials.values(), key=lambda trial: trial.index)
    return _by_epoch(run, trials) if epochs else _by_trial(run, trials)


def _by_trial(run: Run, trials: list[TrialState]) -> pd.DataFrame:
    attempts = [trial.attempt for trial in trials]
    metrics = list(dict.fromkeys(name for attempt in attempts for name in attempt.metrics))
    best = f"best_{run.metric}"
    after = ["seed", "fold", "epochs", *metrics, best, "seconds", "ranks", "job_id", "node", "error"]
    names = _columns(run, {"trial_id", "state", "reason", "model", *after})
    columns: dict[str, list[Any]] = {
        "trial_id": [trial.trial_id for trial in trials],
        "state": [attempt.state for attempt in attempts],
        "reason": [attempt.reason or None for attempt in attempts],
        **_model(run, trials),
        **{names[name]: [trial.params.get(name) for trial in trials] for name in names},
        "seed": [trial.seed for trial in trials],
        **_fold(run, trials),
        "epochs": [attempt.epochs for attempt in attempts],
        **{name: [attempt.metrics.get(name) for attempt in attempts] for name in metrics},
        best: [attempt.best for attempt in attempts],
        "seconds": [attempt.seconds for attempt in attempts],
        "ranks": [attempt.ranks for attempt in attempts],
        "job_id": [attempt.job_id or None for attempt in attempts],
        "node": [attempt.node or None for attempt in attempts],
        "error": [attempt.error or None for attempt in attempts],
    }
    return _frame(columns, whole=["seed", "fold", "epochs", "ranks"], real=[*metrics, best, "seconds"])


def _by_epoch(run: Run, trials: list[TrialState]) -> pd.DataFrame:
    histories = [trial.history() for trial in trials]
    owners = [trial for trial, history in zip(trials, histories, strict=True) for _ in history]
    records = [record for history in histories for record in history]
    metrics = list(dict.fromkeys(name for record in records for name in record["metrics"]))
    names = _columns(run, {"trial_id", "model", "seed", "fold", "epoch", *metrics, "seconds"})
    columns: dict[str, list[Any]] = {
        "trial_id": [trial.trial_id for trial in owners],
        **_model(run, owners),
        **{names[name]: [trial.params.get(name) for trial in owners] for name in names},
        "seed": [trial.seed for trial in owners],
        **_fold(run, owners),
        "epoch": [record["epoch"] for record in records],
        **{name: [record["metrics"].get(name) for record in records] for name in metrics},
        "seconds": [record["seconds"] for record in records],
    }
    return _frame(columns, whole=["seed", "fold", "epoch"], real=[*metrics, "seconds"])


def _model(run: Run, trials: Iterable[TrialState]) -> dict[str, list[Any]]:
    """The column that tells the model from its baselines, if there are any."""
    return {"model": [trial.model for trial in trials]} if run.has_models else {}


def _fold(run: Run, trials: Iterable[TrialState]) -> dict[str, list[Any]]:
    """The column of folds, if there are any."""
    return {"fold": [trial.fold for trial in trials]} if run.has_folds else {}


def _frame(columns: dict[str, list[Any]], whole: list[str], real: list[str]) -> pd.DataFrame:
    import pandas as pd

    series: dict[str, Any] = {}
    for name, values in columns.items():
        if name in real:
            series[name] = pd.array(values, dtype="float64")
        elif name in whole:
            series[name] = pd.array(values, dtype="Int64" if None in values else "int64")
        else:
            series[name] = _of_one_kind(values)
    return pd.DataFrame(series)


def _of_one_kind(values: list[Any]) -> list[Any]:
    """Values that CSV and Parquet can hold in one column; lists become JSON."""
    kinds = {_kind(value) for value in values if value is not None}
    if list in kinds:
        return [None if value is None else json.dumps(value) for value in values]  # [64, 32] beside 128
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values


def _kind(value: Any) -> type:
    """Its type, where numbers are all of one and so are collections."""
    if isinstance(value, (list, dict)):
        return list
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)


def _columns(run: Run, taken: set[str]) -> dict[str, str]:
    """The column of each hyperparameter."""
    return {name: f"param_{name}" if name in taken else name for name in run.parameters()}


def save(run: Run, frame: pd.DataFrame | None = None) -> None:
    """Bring ``table.parquet`` in the folder of a run up to date.

    Args:
        run: as read.
        frame: its table, if there is one already.

    A folder that can't be written is left as it is.
    """
    path = run.folder / "table.parquet"
    written = max((file.stat().st_mtime for file in run.records.glob("*.jsonl")), default=0.0)
    if path.is_file() and path.stat().st_mtime > written:
        return
    frame = table(run) if frame is None else frame
    try:
        with replacing(path) as scratch:
            frame.to_parquet(scratch, index=False)
    except OSError:  # read-only, or a full disk: there is the table all the same
        pass


def render(frame: pd.DataFrame, form: str) -> str:
    """A table as text in one of ``FORMATS`` (except parquet, which is no text).

    Raises:
        ValueError: there is no such format.
    """
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return str(frame.to_json(orient="records", indent=2)) + "\n"
    short = frame.drop(columns=["error"], errors="ignore")
    short = short.assign(error=frame["error"].map(_first_line)) if "error" in frame else short
    if form not in _TABULATE:
        raise ValueError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    if form == "table":
        short = short.dropna(axis="columns", how="all")
    return (
        str(
            tabulate(
                [[cell(value) for value in row] for row in short.itertuples(index=False)],
                headers=list(short.columns),
                tablefmt=_TABULATE[form],
                disable_numparse=True,
                colalign=["right" if short[name].dtype.kind in "if" else "left" for name in short.columns],
            )
        )
        + "\n"
    )


def _first_line(text: object) -> str | None:
    return text.splitlines()[0] if isinstance(text, str) and text else None


def cell(value: Any) -> str:
    """A value as a person reads it: whole, or with four digits; nothing where nothing is known."""
    if value is None or type(value).__name__ == "NAType":  # pandas' NA, without importing pandas
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value)


def points(runs: Runs) -> pd.DataFrame:
    """One row per point, its trials over seeds and folds taken together, in the order of the sweep.

    Args:
        runs: the folder of a run, or several; with several, a first column ``run`` names them.

    Returns:
        ``model`` (with baselines), a column per hyperparameter, ``trials`` (finished ones), then
        for the last value of every metric, ``best_`` of the objective, ``epochs`` and ``seconds``
        the mean and, called ``_std``, the standard deviation over the trials (n - 1; nothing for
        a single one).

    Raises:
        RunError: one of them is not the folder of a run.
    """
    return _each(runs, _points)


def _points(run: str | Path | Run) -> pd.DataFrame:
    import pandas as pd

    run = run if isinstance(run, Run) else Run(run)
    frame = _one(run, epochs=False).set_index("trial_id")
    names = [str(name) for name in frame]
    seed = names.index("seed")  # hyperparameters stand before it, what was measured after
    point, after = frame[names[2:seed]], frame.iloc[:, seed:]
    measured = ["epochs", *after.select_dtypes("float64")]
    taken = {"trials", *measured, *(f"{name}_std" for name in measured)}
    groups = [[trial.trial_id for trial in trials] for trials in _by_point(run, run.trials.values())]
    made = point.loc[[group[0] for group in groups]].reset_index(drop=True)
    made = made.rename(columns={name: f"param_{name}" for name in point if name in taken})
    made["trials"] = pd.array([len(group) for group in groups], dtype="int64")
    numbers = {name: number for number, group in enumerate(groups) for name in group}
    parts = after.loc[list(numbers), measured].astype("float64").groupby(list(numbers.values()))
    means, deviations = parts.mean(), parts.std()
    for name in measured:
        made[name], made[f"{name}_std"] = means[name], deviations[name]
    return made


def _by_point(run: Run, trials: Iterable[TrialState]) -> list[list[TrialState]]:
    """Trials that have ended well and differ in seed and fold only."""
    groups: dict[str, list[TrialState]] = {}
    for trial in trials:
        if trial.state in ("finished", "pruned"):
            key = json.dumps([trial.model, trial.params], sort_keys=True)
            groups.setdefault(key, []).append(trial)
    return list(groups.values())


def leaderboard(run: Run, top: int = 10) -> pd.DataFrame:
    """The best points, seeds and folds taken together, best first.

    A point's value is the best of the objective that each of its trials reached, on average
    over its seeds and folds; points of which no trial has finished come last.

    Args:
        run: as read.
        top: how many points at most.

    Returns:
        One row per point: ``rank`` (from 1), ``model`` (with baselines), the hyperparameters that
        vary, ``best_`` of the objective, its standard deviation over the trials (``std``, with more
        than one), ``test_`` of the objective's metric (with a test part), ``trials`` (finished
        ones), ``epochs`` and ``seconds`` on average, and ``trial_id`` of the best trial.
    """
    import pandas as pd

    best = f"best_{run.metric}"
    test = f"test_{run.metric.removeprefix('val_')}"
    after = [best, "std", test, "trials", "epochs", "seconds", "trial_id"]
    names = _columns(run, {"rank", "model", *after})
    varying = {name: names[name] for name in run.varying}
    rows: list[dict[str, Any]] = []
    for trials in _by_point(run, run.ranked()):
        attempts: list[Attempt] = [trial.attempt for trial in trials]
        values = pd.Series([attempt.best for attempt in attempts], dtype="float64")
        tests = pd.Series([attempt.metrics.get(test) for attempt in attempts], dtype="float64")
        row = {varying[name]: trials[0].params.get(name) for name in varying}
        row |= {"model": trials[0].model, best: values.mean(), "std": values.std(), test: tests.mean()}
        row |= {"trials": len(trials)}
        row |= {"epochs": round(sum(a.epochs for a in attempts) / len(attempts), 1)}
        row |= {"seconds": round(sum(a.seconds or 0.0 for a in attempts) / len(attempts), 2)}
        row |= {"trial_id": trials[0].trial_id}
        rows.append(row)
    rows.sort(key=lambda row: row[best], reverse=run.mode == "max")
    columns = ["model", *varying.values(), *after]
    frame = pd.DataFrame(rows[:top], columns=columns)
    if not run.has_models:
        frame = frame.drop(columns=["model"])
    if frame[test].isna().all():
        frame = frame.drop(columns=[test])
    if frame["trials"].max() == 1 or frame.empty:
        frame = frame.drop(columns=["std", "trials"])
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return frame
