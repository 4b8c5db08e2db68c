"""Measurements of the speed of trainings, by their number of ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.results.store import Attempt, Run, RunError

if TYPE_CHECKING:
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[np.float64]]


KEY = ["ranks", "nodes", "beside", "batch_size", "parameters", "samples"]


SHARES = ["input", "collective", "waiting"]


def measure(runs: Iterable[str | Path | Run]) -> pd.DataFrame:
    """What finished trials say of the speed of training, over runs, trials and epochs.

    Each attempt's first epoch is left out, in which graphs are drawn, and so are trials of packs.

    Args:
        runs: folders; one that was opened needs ``keep_epochs``.

    Returns:
        One row for all epochs of equal ``ranks``, ``nodes``, ``beside`` (trials that were trained on
        the machine at once, itself included), ``batch_size`` (global), ``parameters`` (trainable) and
        ``samples`` (of an epoch): ``trials``, ``epochs``; ``step_seconds`` (median) and its quartiles
        ``step_seconds_low`` and ``step_seconds_high``; ``samples_per_second`` (median);
        ``input_share``, ``collective_share``, ``waiting_share`` of the time, from 0 to 1;
        ``joules_per_sample``; ``gradient_bytes``; ``source``: ``steps`` where steps were timed, ``epochs``
        where only whole epochs are known, validation included.

    Raises:
        RunError: nothing of what is there can be used.
    """
    import pandas as pd

    found: list[dict[str, Any]] = []
    packs = old = 0
    names = []
    for given in runs:
        run = given if isinstance(given, Run) else Run(given, keep_epochs=True)
        names.append(str(run.folder))
        neighbours = _Neighbours(run)
        for trial in run.trials.values():
            attempt = trial.attempt
            if attempt.state != "finished":
                continue
            packs += attempt.lanes > 1
            old += "samples" not in attempt.workload
            if attempt.lanes == 1 and "samples" in attempt.workload:
                conditions = _conditions(attempt, neighbours.beside(attempt))
                found += [{**conditions, **times, "trial": trial.trial_id} for times in _epochs(attempt)]
    if not found:
        why = "no trial of theirs is finished with at least two epochs"
        if packs:
            why = "their trials were trained as packs, several at once; `--set pack=off` trains them singly"
        elif old:
            why = "their records are of an earlier version, and don't say how many samples an epoch has"
        raise RunError(f"{', '.join(names) or 'no run'}: the speed can't be told: {why}.")
    every = pd.DataFrame(found)
    if (every["source"] == "steps").any():  # what was timed step by step is not mixed with the rest
        every = every[every["source"] == "steps"]
    return pd.DataFrame([_row(group) for _, group in every.groupby(KEY)])


def _conditions(attempt: Attempt, beside: int) -> dict[str, Any]:
    workload, samples = attempt.workload, attempt.workload["samples"]
    trained = attempt.epochs - (attempt.after[1] if attempt.after else 0)
    joules = attempt.energy_joules
    return {
        "ranks": attempt.ranks or 1, "nodes": workload.get("nodes", 1), "beside": beside,
        "batch_size": workload["batch_size"], "parameters": workload["parameters"], "samples": samples,
        "gradient_bytes": workload["gradient_bytes"],
        "joules_per_sample": math.nan if joules is None else joules / max(1, samples * trained),
    }  # fmt: skip


def _epochs(attempt: Attempt) -> list[dict[str, Any]]:
    """For each epoch but the first the seconds of a step and the shares of what steps wait for."""
    steps = math.ceil(attempt.workload["samples"] / attempt.workload["batch_size"])
    history = [record for record in attempt.history if record["epoch"] > 0]
    timed = [record for record in history[1:] if record.get("steps")]
    if timed:
        return [
            {"source": "steps", "step_seconds": record["steps_seconds"] / record["steps"]}
            | {f"{name}_share": record[f"{name}_seconds"] / record["steps_seconds"] for name in SHARES}
            for record in timed
        ]
    shares = {f"{name}_share": math.nan for name in SHARES}
    between = [
        (after["seconds"] - before["seconds"], after["epoch"] - before["epoch"])
        for before, after in pairwise(history)
    ]
    if any(seconds <= 0 for seconds, _ in between):  # too short to be told one by one
        between = [(sum(seconds for seconds, _ in between), sum(epochs for _, epochs in between))]
    return [
        {"source": "epochs", "step_seconds": seconds / epochs / steps, **shares}
        for seconds, epochs in between
        if seconds > 0
    ]


def _row(group: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {name: int(group[name].iloc[0]) for name in KEY}
    low, middle, high = group["step_seconds"].quantile([0.25, 0.5, 0.75])
    row |= {"trials": group["trial"].nunique(), "epochs": len(group), "step_seconds": middle}
    row |= {"step_seconds_low": low, "step_seconds_high": high}
    per_step = row["samples"] / math.ceil(row["samples"] / row["batch_size"])
    row |= {"samples_per_second": per_step / middle}
    row |= {f"{name}_share": group[f"{name}_share"].median() for name in SHARES}
    each = group.groupby("trial")["joules_per_sample"].first()
    return row | {
        "joules_per_sample": each.median(), "gradient_bytes": int(group["gradient_bytes"].iloc[0]),
        "source": group["source"].iloc[0],
    }  # fmt: skip


class _Neighbours:
    """When the jobs of a run trained, and where."""

    def __init__(self, run: Run) -> None:
        self._spans: dict[str, list[Any]] = {}
        for trial in run.trials.values():
            for one in trial.attempts.values():
                span = self._spans.setdefault(one.job_id, [one.node, math.inf, 0.0])
                span[1] = min(span[1], one.started)
                span[2] = max(span[2], one.started + (one.seconds or 0.0))

    def beside(self, attempt: Attempt) -> int:
        """How many jobs of the run trained on its node in the middle of it."""
        middle = attempt.started + (attempt.seconds or 0.0) / 2
        return sum(
            node == attempt.node and (start <= middle <= end or job == attempt.job_id)
            for job, (node, start, end) in self._spans.items()
        )


def reductions(runs: Iterable[str | Path | Run]) -> pd.DataFrame:
    """How long sums over the ranks took, by their size, where trials have measured it at their end.

    Returns:
        Columns ``ranks``, ``nodes``, ``reduces_by`` (memory, gloo or mpi), ``bytes``, ``seconds``.
    """
    import pandas as pd

    rows = []
    for given in runs:
        run = given if isinstance(given, Run) else Run(given)
        for trial in run.trials.values():
            workload = trial.attempt.workload
            where = {"ranks": trial.attempt.ranks, "nodes": workload.get("nodes", 1)}
            rows += [
                {**where, "reduces_by": workload["reduces_by"], **one} for one in workload.get("reduced", [])
            ]
    return pd.DataFrame(rows, columns=["ranks", "nodes", "reduces_by", "bytes", "seconds"])


def speed_up(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`measure` with what more ranks have brought.

    Returns:
        With further columns. ``speed_up`` is the throughput over that of one rank alone (of the fewest
        ranks, where one was not measured). ``efficiency`` is the speed-up over the factor of ranks:
        strong scaling where the global batch is that of the baseline, weak scaling where the batch of
        each rank is, as ``scaling`` says (``strong``, ``weak``; empty for the baselines).
        ``efficiency_beside`` is the throughput over that of as many single ranks side by side, each
        with this batch per rank: what is lost to working together, not to sharing a machine.
    """
    made = frame.copy()
    alone = frame[(frame["beside"] == 1) | (frame["ranks"] > 1)]
    columns: dict[str, list[Any]] = {"scaling": [], "speed_up": [], "efficiency": [], "efficiency_beside": []}
    for row in rows_of(frame):
        same = alone[(alone["parameters"] == row.parameters) & (alone["samples"] == row.samples)]
        base = same[(same["ranks"] < row.ranks) & (same["nodes"] <= row.nodes)]
        kind, bases = "strong", base[base["batch_size"] == row.batch_size]
        if bases.empty:
            kind, bases = "weak", base[base["batch_size"] * row.ranks == row.batch_size * base["ranks"]]
        first = next(iter(rows_of(bases.sort_values("ranks"))), None)
        gain = row.samples_per_second / first.samples_per_second if first else math.nan
        columns["scaling"].append(kind if first else "")
        columns["speed_up"].append(gain)
        columns["efficiency"].append(gain * first.ranks / row.ranks if first else math.nan)
        columns["efficiency_beside"].append(_against_neighbours(frame, row))
    for name, values in columns.items():
        made[name] = values
    return made


def _against_neighbours(frame: pd.DataFrame, row: Any) -> float:
    """One row's throughput over that of as many single ranks side by side."""
    like = frame[(frame["ranks"] == 1) & (frame["beside"] == row.ranks) & (row.ranks > 1)]
    like = like[(like["parameters"] == row.parameters) & (like["batch_size"] * row.ranks == row.batch_size)]
    if like.empty:
        return math.nan
    return float(row.samples_per_second / (row.ranks * like["samples_per_second"].iloc[0]))


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """Its rows as named tuples; pandas' stubs take each value for anything that a cell may hold."""
    return list(frame.itertuples(index=False))
