"""Tables of a run, as pandas DataFrames."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from hpc.results.stats.cost import by_trial
from hpc.results.stats.pareto import front
from hpc.results.stats.verdicts import half_width
from hpc.results.store.epochs import Epochs
from hpc.results.store.records import encodable
from hpc.results.store.run import Run, RunError, replacing
from hpc.results.store.trial import STATES, Attempt, TrialState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Array = np.ndarray[Any, np.dtype[Any]]

_TABULATE = {"table": "simple", "markdown": "pipe", "latex": "latex_booktabs"}
Runs = str | Path | Run | Sequence[str | Path | Run]
CODE_LETTERS = 8
"""Of a digest, by which tables tell codes apart."""
_COSTS = ("node_hours", "core_hours", "gpu_hours", "energy_joules")
READ = "bytes_of_records"
"""The attribute of a gathered table that says how much of the records it was gathered from."""
FORMATS = ("table", "csv", "json", "parquet", "markdown", "latex")


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
        trials that confirm a point. ``code`` is the beginning of the digest of the user's code and data,
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
    return _each(runs, lambda run: _one(run, epochs))


def _each(runs: Runs, make: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    if isinstance(runs, (str, Path, Run)):
        run = _opened(runs)
        frame = make(run)
        frame.attrs = _facts(run, frame) | frame.attrs
        return frame
    frames = [_each(run, make) for run in runs]
    if not frames:
        raise RunError("no run is given.")
    facts = [frame.attrs for frame in frames]
    for frame in frames:
        frame.insert(0, "run", pd.Series(frame.attrs["run"], frame.index, "category"))
    whole = frames[0] if len(frames) == 1 else _joined(frames)
    whole.attrs = {"runs": facts}
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


def _facts(run: Run, frame: pd.DataFrame) -> dict[str, Any]:
    columns = {name: f"param_{name}" if f"param_{name}" in frame else name for name in run.space}
    return {
        "run": encodable(str(run.folder)),
        "sweep": run.name,
        "objective": {"metric": run.metric, "mode": run.mode},
        "space": list(columns.values()),
        "skipped": run.skipped(),
        "faults": run.faults(),
    }


def _one(run: Run, epochs: bool) -> pd.DataFrame:
    trials = sorted(run.trials.values(), key=lambda trial: trial.index)
    return _by_epoch(run, trials) if epochs else _by_trial(run, trials)


def _by_trial(run: Run, trials: list[TrialState]) -> pd.DataFrame:
    attempts = [trial.attempt for trial in trials]
    metrics = list(dict.fromkeys(name for attempt in attempts for name in attempt.metrics))
    best = f"best_{run.metric}"
    stage, code, pareto = _stage(trials), _code(attempts), _pareto(run, trials)
    after = ["seed", "fold", *stage, *code, "epochs", *metrics, best, *pareto, "seconds", "ranks", "job_id",
             "node", "error", "started", *_COSTS]  # fmt: skip
    names = _columns(run, {"trial_id", "state", "reason", "model", *after})
    columns: dict[str, list[Any]] = {
        "trial_id": [trial.trial_id for trial in trials],
        "state": [attempt.state for attempt in attempts],
        "reason": [attempt.reason or None for attempt in attempts],
        **_model(run, trials),
        **{names[name]: [trial.params.get(name) for trial in trials] for name in names},
        "seed": [trial.seed for trial in trials],
        **_fold(run, trials),
        **stage,
        **code,
        "epochs": [attempt.epochs for attempt in attempts],
        **{name: [attempt.metrics.get(name) for attempt in attempts] for name in metrics},
        best: [attempt.best for attempt in attempts],
        **pareto,
        "seconds": [attempt.seconds for attempt in attempts],
        "ranks": [attempt.ranks for attempt in attempts],
        "job_id": [attempt.job_id or None for attempt in attempts],
        "node": [attempt.node or None for attempt in attempts],
        "error": [attempt.error or None for attempt in attempts],
        "started": [attempt.started or None for attempt in attempts],
    }
    frame = _frame(
        columns, whole=["seed", "fold", "epochs", "ranks", "parameters"], real=[*metrics, best, "seconds"]
    )
    costs = by_trial(run)  # which has the same order
    return frame.assign(**{name: costs[name] for name in _COSTS})


def _by_epoch(run: Run, trials: list[TrialState]) -> pd.DataFrame:
    import pandas as pd

    epochs = Epochs(run)
    gathered, places = counted_epochs(epochs, trials)
    columns = {name: gathered.column(name) for name in gathered.schema.names}
    metrics = [name for name in columns if name.startswith("metrics.")]
    metrics = [name.removeprefix("metrics.") for name in metrics if columns[name].null_count < len(places)]
    names = _columns(run, {"trial_id", "model", "seed", "fold", "epoch", *metrics, "seconds"})
    facts: dict[str, Any] = {
        "trial_id": [trial.trial_id for trial in trials],
        **_model(run, trials),
        **{names[name]: [trial.params.get(name) for trial in trials] for name in names},
        "seed": [trial.seed for trial in trials],
        **_fold(run, trials),
    }
    facts["trial_id"] = pd.Categorical(facts["trial_id"], facts["trial_id"])
    frame = _frame(facts, whole=["seed", "fold"], real=[]).iloc[places].reset_index(drop=True)
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
    is_last = np.ones(len(rows), bool)  # of those that were told twice, as after a crash of a disk
    is_last[:-1] = (np.diff(places[rows]) != 0) | (np.diff(epochs[rows]) != 0)
    return places[rows[is_last]], rows[is_last]


def _model(run: Run, trials: Iterable[TrialState]) -> dict[str, list[Any]]:
    """The column that tells the model from its baselines, if there are any."""
    return {"model": [trial.model for trial in trials]} if run.has_models else {}


def _stage(trials: Sequence[TrialState]) -> dict[str, list[Any]]:
    """The column that tells trials which confirm a point, if there are any."""
    stages = [trial.stage or None for trial in trials]
    return {"stage": stages} if any(stages) else {}


def _code(attempts: Sequence[Attempt]) -> dict[str, list[Any]]:
    """The column that tells trials of one code from those of another, where the user's files have changed."""
    codes = [attempt.code[:CODE_LETTERS] or None for attempt in attempts]
    return {"code": codes} if len(set(codes) - {None}) > 1 else {}


def _pareto(run: Run, trials: Sequence[TrialState]) -> dict[str, list[Any]]:
    """Of several objectives: the number of weights, if it is one, and which trials no other dominates."""
    if len(run.objectives) < 2:
        return {}
    best = front(run)
    names = [name for name, _ in run.objectives]
    weights = {"parameters": [trial.attempt.facts.get("parameters") for trial in trials]}
    return {
        **(weights if "parameters" in names else {}), "pareto": [trial.trial_id in best for trial in trials]
    }  # fmt: skip


def _fold(run: Run, trials: Iterable[TrialState]) -> dict[str, list[Any]]:
    """The column of folds, if there are any."""
    return {"fold": [trial.fold for trial in trials]} if run.has_folds else {}


def _frame(columns: dict[str, Any], whole: list[str], real: list[str]) -> pd.DataFrame:
    import pandas as pd

    series: dict[str, Any] = {}
    for name, values in columns.items():
        if name in real:
            series[name] = pd.array(values, dtype="float64")
        elif name in whole:
            series[name] = pd.array(values, dtype="Int64" if None in values else "int64")
        elif name == "started":
            series[name] = (
                pd.to_datetime(pd.array(values, dtype="float64"), unit="s", utc=True)
                .round("ms")
                .as_unit("ms")
            )
        elif name == "state":
            series[name] = pd.Categorical(values, STATES)
        elif name in ("trial_id", "reason", "error"):  # texts that people fill, cut and search
            series[name] = values
        else:
            series[name] = _typed(values)
    return pd.DataFrame(series)


def _typed(values: list[Any]) -> Any:
    """Values of a hyperparameter, as a column that CSV and Parquet can hold; lists become JSON.

    What is of several kinds becomes text: "adam" beside 3, True beside 0.5.
    """
    import pandas as pd

    kinds = {type(value) for value in values}
    some = kinds - {type(None)}
    if not some:
        return values
    if some & {list, dict}:
        values = [None if value is None else json.dumps(value) for value in values]  # [64, 32] beside 128
    elif some == {bool}:
        return pd.array(values, dtype="bool" if kinds == some else "boolean")
    elif some == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pd.array(values, dtype="int64" if kinds == some else "Int64")
    elif some <= {int, float}:
        return pd.array(values, dtype="float64")
    elif some != {str}:
        values = [None if value is None else str(value) for value in values]
    return pd.Categorical(values)


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


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as a file of Parquet."""
    with replacing(path) as scratch, scratch.open("wb") as file:  # pyarrow opens no path that is no UTF-8
        frame.to_parquet(file, index=False)


def render(frame: pd.DataFrame, form: str) -> str:
    """A table as text in one of ``FORMATS`` (except parquet, which is no text).

    Raises:
        ValueError: there is no such format.
    """
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return str(frame.to_json(orient="records", indent=2, date_format="iso")) + "\n"
    short = frame.drop(columns=["error"], errors="ignore")
    short = short.assign(error=frame["error"].map(_first_line)) if "error" in frame else short
    if form not in _TABULATE:
        raise ValueError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    if form == "table":
        short = short.dropna(axis="columns", how="all")
    return (
        str(
            tabulate(
                [[_for(form, value) for value in row] for row in short.itertuples(index=False)],
                headers=[_for(form, name) for name in short.columns],
                tablefmt=_TABULATE[form],
                disable_numparse=True,
                colalign=["right" if short[name].dtype.kind in "if" else "left" for name in short.columns],
            )
        )
        + "\n"
    )


def _for(form: str, value: Any) -> str:
    """A cell of a table; in Markdown, what would end it or be taken for HTML is escaped."""
    text = cell(value)
    if form != "markdown":
        return text
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")


def _first_line(text: object) -> str | None:
    return text.splitlines()[0] if isinstance(text, str) and text else None


def cell(value: Any) -> str:
    """A value as a person reads it, on one line: whole, or with four digits; empty where nothing is known."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' NA, without importing pandas
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    if type(value).__name__ == "Timestamp":
        return str(value.isoformat(sep=" ", timespec="seconds")).removesuffix("+00:00")
    return "".join(char if char.isprintable() else _unprintable(char) for char in str(value))


def _unprintable(char: str) -> str:
    """What stands for an end of a line, and for what might make a terminal do something."""
    return "↵" if char == "\n" else "�"


def points(runs: Runs) -> pd.DataFrame:
    """One row per point, its trials over seeds and folds taken together, in the order of the sweep.

    Args:
        runs: the folder of a run, or several; with several, a first column ``run`` names them.

    Returns:
        ``model`` (with baselines), a column per hyperparameter, ``trials`` (finished ones), then
        for the last value of every metric, ``best_`` of the objective, ``epochs`` and ``seconds``
        the mean and, called ``_std``, the standard deviation over the trials (n - 1; nothing for
        a single one); for ``best_`` of the objective also ``_low`` and ``_high``, the ends of the 95%
        interval of the mean (:func:`hpc.results.estimate`).

    Raises:
        RunError: one of them is not the folder of a run.
    """
    return _each(runs, _points)


def _points(run: Run) -> pd.DataFrame:
    import pandas as pd

    best = f"best_{run.metric}"
    frame = _one(run, epochs=False).set_index("trial_id")
    names = [str(name) for name in frame]
    seed = names.index("seed")  # hyperparameters stand before it, what was measured after
    point, after = frame[names[2:seed]], frame.loc[:, "seed":"seconds"]
    measured = ["epochs", *after.select_dtypes("float64")]
    taken = {"trials", *measured, *(f"{name}_std" for name in measured), f"{best}_low", f"{best}_high"}
    groups = [[trial.trial_id for trial in trials] for trials in by_point(run, run.counted())]
    made = point.loc[[group[0] for group in groups]].reset_index(drop=True)
    made = made.rename(columns={name: f"param_{name}" for name in point if name in taken})
    made["trials"] = pd.array([len(group) for group in groups], dtype="int64")
    numbers = {name: number for number, group in enumerate(groups) for name in group}
    parts = after.loc[list(numbers), measured].astype("float64").groupby(list(numbers.values()))
    means, deviations = parts.mean(), parts.std()
    for name in measured:
        made[name], made[f"{name}_std"] = means[name], deviations[name]
        if name == best:
            half = half_width(deviations[name], made["trials"], folds=run.folds)
            made[f"{name}_low"], made[f"{name}_high"] = means[name] - half, means[name] + half
    return made


def by_point(run: Run, trials: Iterable[TrialState]) -> list[list[TrialState]]:
    """Trials that have ended well and differ in seed and fold only; pruned ones where there are no others."""
    groups: dict[str, list[TrialState]] = {}
    for trial in trials:
        if trial.state in ("finished", "pruned"):
            key = json.dumps([trial.model, trial.params], sort_keys=True)
            groups.setdefault(key, []).append(trial)
    whole = [[trial for trial in group if trial.state == "finished"] for group in groups.values()]
    return [finished or group for finished, group in zip(whole, groups.values(), strict=True)]


def leaderboard(run: Run, top: int = 10) -> pd.DataFrame:
    """The best points, seeds and folds taken together, best first.

    A point's value is the best of the objective that each of its trials reached, on average
    over its seeds and folds; points of which no trial has finished come last.

    Args:
        run: as read.
        top: how many points at most.

    Returns:
        One row per point: ``rank`` (from 1), ``model`` (with baselines), the hyperparameters that vary,
        ``best_`` of the objective, its standard deviation over the trials (``std``, with more than one) and
        the 95% interval of its mean (``low``, ``high``; :func:`hpc.results.estimate`), ``test_`` of the
        objective's metric (with a test part), ``trials`` (finished ones), ``epochs`` and ``seconds`` on
        average, and ``trial_id`` of the best trial.
    """
    import numpy as np
    import pandas as pd

    best = f"best_{run.metric}"
    test = f"test_{run.metric.removeprefix('val_')}"
    after = [best, "std", "low", "high", test, "trials", "epochs", "seconds", "trial_id"]
    names = _columns(run, {"rank", "model", *after})
    varying = {name: names[name] for name in run.varying}
    means = [
        (_mean([trial.attempt.best for trial in trials]), trials) for trials in by_point(run, run.ranked())
    ]
    sign = -1.0 if run.mode == "max" else 1.0
    means.sort(key=lambda row: (row[1][0].tier, sign * row[0]))
    rows: list[dict[str, Any]] = []
    for mean, trials in means[:top]:
        attempts: list[Attempt] = [trial.attempt for trial in trials]
        std = (
            float(np.std([attempt.best or 0.0 for attempt in attempts], ddof=1))
            if len(trials) > 1
            else math.nan
        )
        half = float(half_width(std, len(trials), folds=run.folds)) if len(trials) > 1 else math.nan
        row = {varying[name]: trials[0].params.get(name) for name in varying}
        row |= {"model": trials[0].model, best: mean, "std": std, "low": mean - half, "high": mean + half}
        row |= {test: _mean([attempt.metrics.get(test) for attempt in attempts]), "trials": len(trials)}
        row |= {"epochs": round(sum(a.epochs for a in attempts) / len(attempts), 1)}
        row |= {"seconds": round(sum(a.seconds or 0.0 for a in attempts) / len(attempts), 2)}
        row |= {"trial_id": trials[0].trial_id}
        rows.append(row)
    columns = ["model", *varying.values(), *after]
    frame = pd.DataFrame(rows, columns=columns)
    if not run.has_models:
        frame = frame.drop(columns=["model"])
    if frame[test].isna().all():
        frame = frame.drop(columns=[test])
    if frame["trials"].max() == 1 or frame.empty:
        frame = frame.drop(columns=["std", "low", "high", "trials"])
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return frame


def _mean(values: Sequence[float | None]) -> float:
    """Of those that are known; NaN of none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan
