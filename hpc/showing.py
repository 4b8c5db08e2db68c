"""Everything about one trial, as facts and as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hpc.jobs import stored
from hpc.results import Run, RunError, TrialState, cell
from hpc.sweeps import Sweep, Trial


def the_trial(run: Run, trial: str | None) -> TrialState:
    """The trial of that name, or the best one.

    Raises:
        RunError: there is none.
    """
    if trial is not None:
        return run.find(trial)
    best = run.ranked()
    if not best:
        raise RunError(f"no trial of {run.folder} has a value of {run.metric} yet; name one.")
    return best[0]


def facts_of(folder: str | Path, trial: str | None = None) -> dict[str, Any]:
    """What there is to know of a trial.

    Args:
        folder: of the run.
        trial: its id, or the beginning of it; the best one unless given.

    Returns:
        Plain values: ``trial_id``, ``state``, ``reason``, ``error``, ``model``, ``data``,
        ``params`` (as given), ``defaults`` (of everything else), ``seed``, ``fold``, ``rank`` among
        the trials of the run (from 1), ``objective``, ``best``, ``metrics`` (the last ones),
        ``history`` (per epoch), ``confusion``, ``seconds``, ``epochs``, ``lanes`` (trials
        trained at once), ``ranks``, ``node``, ``job``, ``attempts``, ``log``, ``model_file``.

    Raises:
        RunError: there is no such run or trial.
    """
    run = Run(folder, keep_epochs=True)
    chosen = the_trial(run, trial)
    sweep, attempt = stored.load(run.folder, run.sweep_texts), chosen.attempt
    ranked = [other.trial_id for other in run.ranked()]
    log, kept = run.jobs.get(attempt.job_id, {}).get("log"), run.model_file(chosen)
    is_main = trial_of(sweep, chosen).model == sweep.model  # records name a user's file otherwise
    return {
        "run": str(run.folder),
        "trial_id": chosen.trial_id,
        "state": attempt.state,
        "reason": attempt.reason,
        "error": attempt.error,
        "model": chosen.model or sweep.model,
        "data": sweep.data,
        "params": chosen.params,
        "defaults": {k: v for k, v in sweep.defaults.items() if k not in chosen.params} if is_main else {},
        "seed": chosen.seed,
        "fold": chosen.fold,
        "rank": ranked.index(chosen.trial_id) + 1 if chosen.trial_id in ranked else None,
        "trials": len(run.trials),
        "stage": chosen.stage,
        "objective": run.metric,
        "best": attempt.best,
        "metrics": attempt.metrics,
        "history": [
            {"epoch": record["epoch"], **record["metrics"], "seconds": record["seconds"]}
            for record in chosen.history()
        ],
        "confusion": attempt.confusion,
        "epochs": attempt.epochs,
        "seconds": attempt.seconds,
        "lanes": attempt.lanes,
        "ranks": attempt.ranks,
        "node": attempt.node,
        "job": attempt.job_id,
        "attempts": len(chosen.attempts),
        "log": str(run.folder / log) if log else None,
        "model_file": str(kept) if kept else None,
    }


def trial_of(sweep: Sweep, state: TrialState) -> Trial:
    """A trial of a run as its sweep has it."""
    if not state.stage and not sweep.is_adaptive:
        return sweep.trials[state.index]
    return Trial(
        state.index, state.trial_id, state.params, state.seed, sweep.model, state.fold, state.stage
    )  # fmt: skip


def lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Those facts for people."""
    place = f", number {facts['rank']} of {facts['trials']}" if facts["rank"] else ""
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    yield f"{facts['trial_id']}: {facts['state']}{reason}{place}"
    if facts["best"] is not None:
        yield f"best {facts['objective']}: {facts['best']:.6g}"
    fold = "" if facts["fold"] is None else f", fold {facts['fold']}"
    yield f"{facts['model']} on {_data(facts['data'])}, seed {facts['seed']}{fold}"
    if facts["seconds"] is not None:
        more = f", one of {facts['lanes']} at once" if facts["lanes"] > 1 else ""
        more += f", {facts['attempts']} attempts" if facts["attempts"] > 1 else ""
        ranks = "1 rank" if facts["ranks"] == 1 else f"{facts['ranks']} ranks"
        epochs = "1 epoch" if facts["epochs"] == 1 else f"{facts['epochs']} epochs"
        yield (f"{epochs} in {facts['seconds']:.1f} s, {ranks} on {facts['node']}, job {facts['job']}{more}")
    yield from _group("Hyperparameters", {name: _value(v) for name, v in facts["params"].items()})
    yield from _group("Left as they are", {name: _value(v) for name, v in facts["defaults"].items()})
    yield from _group("Metrics, first to last epoch", dict(_curves(facts)))
    for part, matrix in facts["confusion"].items():
        yield ""
        yield f"Confusion on the {part} part (a row per class, a column per answer)"
        yield from _matrix(matrix)
    yield ""
    if facts["model_file"]:
        yield f'Model: keras.saving.load_model("{facts["model_file"]}")'
        yield f"Pictures: hpc plot {facts['run']} {facts['trial_id']}"
    else:
        yield (
            "Model: not kept. `keep: all` in the sweep keeps every network, `keep: best` the best one; "
            "estimators of scikit-learn never are."
        )
    if facts["log"]:
        yield f"Log: {facts['log']}"
    if facts["error"]:
        yield ""
        yield facts["error"]


def _data(data: Mapping[str, Any]) -> str:
    options = ", ".join(f"{name}={value}" for name, value in data.items() if name != "name")
    return f"{data['name']} ({options})" if options else str(data["name"])


def _value(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _group(title: str, entries: Mapping[str, str]) -> Iterator[str]:
    if entries:
        yield ""
        yield title
        width = max(map(len, entries))
        for name, text in entries.items():
            yield f"  {name:{width}}  {text}"


def _curves(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    history = facts["history"]
    for name, last in facts["metrics"].items():
        values = [record[name] for record in history if record.get(name) is not None]
        if len(values) > 1:
            yield name, f"{sparkline(values)}  {cell(values[0])} … {cell(last) or 'not a number'}"
        else:
            yield name, cell(last) or "not a number"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Values as a line of blocks, the lowest and the highest from bottom to top.

    Args:
        values: at least one, finite.
        width: at most so many blocks; each is the mean of its share of the values.
    """
    blocks = "▁▂▃▄▅▆▇█"
    count = min(width, len(values))
    cuts = [round(i * len(values) / count) for i in range(count + 1)]
    means = [math.fsum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(blocks[min(7, int(8 * (mean - low) / span))] for mean in means)


def _matrix(matrix: Sequence[Sequence[int]]) -> Iterator[str]:
    width = max(len(str(count)) for row in matrix for count in [*row, len(matrix) - 1])
    yield "  " + " " * width + " " + " ".join(f"{column:>{width}}" for column in range(len(matrix)))
    for number, row in enumerate(matrix):
        cells = " ".join(f"{count or '.':>{width}}" for count in row)
        yield f"  {number:>{width}} {cells}"
