"""Everything that there is to know of one trial, as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.jobs import stored
from hpc.results import Run, RunError, TrialState
from hpc.sweeps import Sweep, Trial


def find_trial(run: Run, trial: str | None) -> TrialState:
    """Find the trial of that name, or the best one if none is named.

    Raises:
        RunError: there is none.
    """
    if trial is not None:
        return run.find(trial)
    best = run.ranked()
    if not best:
        raise RunError(f"no trial of {run.folder} has a value of {run.metric} yet; name one.")
    return best[0]


def trial_summary(folder: str | Path, trial: str | None = None) -> dict[str, Any]:
    """Gather what there is to know of a trial.

    Args:
        folder: the folder of the run.
        trial: the trial's id, or the beginning of it; the best trial unless given.

    Returns:
        Plain values: ``trial_id``, ``state``, ``reason``, ``error``, ``model`` (or the function, or the
        program that trained it), ``data`` (empty if these load their own),
        ``params`` (as given), ``defaults`` (of everything else), ``seed``, ``fold``, ``rank`` among
        the trials of the run (from 1), ``objective``, ``best``, ``metrics`` (the last ones),
        ``history`` (per epoch), ``confusion``, ``seconds``, ``epochs``, ``lanes`` (trials
        trained at once), ``ranks``, ``node``, ``job``, ``attempts``, ``log``, ``model_file``, ``folder``
        (what a function or a program has kept).

    Raises:
        RunError: there is no such run or trial.
    """
    run = Run(folder, keep_epochs=True)
    chosen = find_trial(run, trial)
    sweep, attempt = stored.load(run.folder, run.sweep_texts), chosen.attempt
    ranked = [other.trial_id for other in run.ranked()]
    log, kept = run.jobs.get(attempt.job_id, {}).get("log"), run.model_file(chosen)
    own = run.folder / "trials" / chosen.trial_id
    is_main = trial_of(sweep, chosen).model in (
        sweep.model,
        sweep.train,
    )  # records name a user's file otherwise
    return {
        "run": str(run.folder),
        "trial_id": chosen.trial_id,
        "state": attempt.state,
        "reason": attempt.reason,
        "error": attempt.error,
        "model": chosen.model or sweep.training,
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
        "folder": str(own) if own.is_dir() else None,
    }


def trial_of(sweep: Sweep, state: TrialState) -> Trial:
    """Give a trial of a run as its sweep has it."""
    if not state.stage and not sweep.is_adaptive:
        return sweep.trials[state.index]
    return Trial(
        state.index, state.trial_id, state.params, state.seed, sweep.model or sweep.train, state.fold,
        state.stage,
    )  # fmt: skip
