"""Trials that no other is better than in all objectives."""

from __future__ import annotations

from hpc.results.store import Run, TrialState


def values(run: Run, trial: TrialState) -> list[float] | None:
    """The last values of all objectives of a finished trial, as the search gets them; None if one is unknown.

    ``parameters`` is its number of trainable weights, ``seconds`` how long it took.
    """
    attempt = trial.attempt
    known = {"parameters": attempt.workload.get("parameters"), "seconds": attempt.seconds, **attempt.metrics}
    found = [known.get(name) for name, _ in run.objectives]
    if trial.state != "finished":
        return None
    return [float(value) for value in found if value is not None] if None not in found else None


def front(run: Run) -> set[str]:
    """The trials of a run, by their ids, that no other dominates.

    One dominates another that is nowhere worse and somewhere better.
    """
    import numpy as np

    signs = np.array([-1.0 if mode == "max" else 1.0 for _, mode in run.objectives])
    known = {name: found for name, trial in run.trials.items() if (found := values(run, trial)) is not None}
    if not known:
        return set()
    costs = np.array(list(known.values())) * signs
    return {
        name
        for name, mine in zip(known, costs, strict=True)
        if not np.any(np.all(costs <= mine, axis=1) & np.any(costs < mine, axis=1))
    }
