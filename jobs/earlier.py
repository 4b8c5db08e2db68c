"""Earlier runs, whose finished trials a search knows from the beginning."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models import MODELS, ModelError, dataset_reference
from results import Run, RunError, TrialState
from sweeps import SIZES, Sweep, SweepError, load_stored


def problems(sweep: Sweep) -> Iterator[str]:
    """What is wrong with the runs that a search is to begin with."""
    for index, folder in enumerate(sweep.search.runs):
        try:
            problem = _problem(sweep, Run(sweep.folder / Path(folder).expanduser()))
        except (RunError, SweepError) as error:
            problem = str(error)
        if problem:
            yield sweep.problem(("search", "from", index), problem)


def _problem(sweep: Sweep, run: Run) -> str:
    its = load_stored(run.sweep_file)
    if sweep.defaults:  # the search has begun, and knows them or not
        return ""
    if differences := sweep.data_differences(its):
        return f"{run.folder} was trained on other data: here {'; here '.join(differences)}."
    if its.folds is not None:
        return f"{run.folder} has trained every point once for each of its folds, of which a search has none."
    finished = [trial for trial in run.trials.values() if trial.state == "finished"]
    if not _holds_equal_data(sweep, its, finished):
        return (
            f"{run.folder} was trained on other data: {Path(its.data['name']).name} was not what it is here."
        )
    for objective in sweep.objectives:
        if (
            objective.metric not in SIZES
            and finished
            and not any(_has(t, objective.metric) for t in finished)
        ):
            known = sorted({name for trial in finished for name in trial.attempt.metrics})
            return (
                f"{run.folder} has not recorded {objective.metric}, the objective; it has {', '.join(known)}."
            )
    return ""


def _holds_equal_data(sweep: Sweep, its: Sweep, trials: Sequence[TrialState]) -> bool:
    """Whether files of data with one name have the same content, as far as that can be told."""
    try:
        mine, other = (dataset_reference(one.data["name"], one.folder).digest() for one in (sweep, its))
    except (ModelError, OSError):  # the other is gone
        return True
    models = {its.model, *(baseline["model"] for baseline in its.baselines)}
    if mine and models <= MODELS.keys():  # then the code that is recorded is that of the data alone
        code = hashlib.sha256(mine.encode()).hexdigest()
        return mine == other and all(trial.attempt.code in ("", code) for trial in trials)
    return mine == other


def _has(trial: TrialState, metric: str) -> bool:
    return trial.attempt.metrics.get(metric) is not None


def values(sweep: Sweep, run: Run, trial: TrialState) -> list[float] | None:
    """The values of a sweep's objectives that a trial of another run has come to; None if one is missing.

    Of one objective that is its best over the epochs, of several it is the last ones.

    Args:
        sweep: whose search is to know them.
        run: read with its epochs.
        trial: of that run, finished.
    """
    attempt, objective = trial.attempt, sweep.objective
    if sweep.further_objectives:
        sizes = {"parameters": attempt.facts.get("parameters"), "seconds": attempt.seconds}
        return known({**sizes, **attempt.metrics}, [one.metric for one in sweep.objectives])
    if (run.metric, run.mode) == (objective.metric, objective.mode):
        return None if attempt.best is None else [float(attempt.best)]
    every = [record["metrics"].get(objective.metric) for record in trial.history()]
    finite = [float(value) for value in every if value is not None and math.isfinite(value)]
    return [(max if objective.mode == "max" else min)(finite)] if finite else None


def known(metrics: Mapping[str, Any], names: list[str]) -> list[float] | None:
    """The values of those names, if all are there and finite."""
    found = [metrics.get(name) for name in names]
    finite = [float(value) for value in found if value is not None and math.isfinite(value)]
    return finite if len(finite) == len(names) else None
