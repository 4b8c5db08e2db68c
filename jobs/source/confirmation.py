"""Confirming the best settings of a search with fresh seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.jobs.source.entries import (
    CONFIRMED_FROM,
    ENDED,
    add_waiting,
    attributes_of,
    entries_of,
    latest_by_slot,
)
from hpc.jobs.source.studies import Studies
from hpc.results import Run
from hpc.sweeps import Sweep


def plan_confirmation(studies: Studies, folder: Path, *, is_over: bool) -> str:
    """Add the best settings with fresh seeds, once all trials of the search have ended.

    Args:
        studies: of the run.
        folder: of the run, whose records say which settings are the best.
        is_over: whether the search hands out no further trial, however few there were.

    Returns:
        Why there is less to confirm than was wanted; empty if there is not.
    """
    sweep, latest = studies.sweep, latest_by_slot(entries_of(studies.search))
    is_over = is_over or len(latest) >= studies.wanted
    if sweep.confirm is None or not is_over or any(one.state not in ENDED for one in latest.values()):
        return ""
    if studies.is_planned:
        return ""
    points = best_points(sweep, Run(folder))
    known = {attributes_of(entry)["trial"]: entry for entry in entries_of(studies.confirm)}
    slot = 1 + max((attributes_of(entry)["slot"] for entry in known.values()), default=-1)
    for seed in sweep.fresh_seeds:
        for here in points[: sweep.confirm.best]:
            index = CONFIRMED_FROM + slot
            trial_id = sweep.trial(here, seed, index).trial_id
            if trial_id in known:
                continue
            add_waiting(
                studies.confirm,
                {"slot": slot, "trial": trial_id, "index": index, "attempt": 1, "point": here, "seed": seed},
            )
            slot += 1
    studies.confirm.set_user_attr("planned", studies.wanted)
    if len(points) < sweep.confirm.best:
        return f"only {len(points)} settings have a value to confirm"
    return ""


def best_points(sweep: Sweep, run: Run) -> list[dict[str, Any]]:
    """Points that were searched, the best first, on average over their seeds; pruned ones come last."""
    values: dict[str, list[float]] = {}
    points: dict[str, tuple[int, dict[str, Any]]] = {}
    trials = [trial for trial in run.trials.values() if not trial.stage]
    for trial in sorted(trials, key=lambda trial: (trial.tier, trial.index)):
        value = trial.attempt.best
        here = {name: v for name, v in trial.params.items() if name in sweep.dimensions}
        tier, _ = points.get(repr(here), (trial.tier, here))
        if trial.state in ("finished", "pruned") and value is not None and trial.tier == tier:
            points[repr(here)] = tier, here
            values.setdefault(repr(here), []).append(value)
    sign = -1.0 if sweep.objective.mode == "max" else 1.0
    order = sorted(points, key=lambda name: (points[name][0], sign * sum(values[name]) / len(values[name])))
    return [points[name][1] for name in order]
