"""Earlier runs, whose finished trials a search knows from the beginning."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.jobs import stored
from hpc.jobs.user_files import Sources, Stamps
from hpc.models import MODELS, ModelError
from hpc.results import Run, RunError, TrialState
from hpc.sweeps import SIZES, Sweep, SweepError


def problems(sweep: Sweep) -> Iterator[str]:
    """Problems of the runs that a search is to begin with; one that has begun does without them."""
    if sweep.defaults:
        return
    for index, folder in enumerate(sweep.search.runs):
        try:
            problem = _problem(sweep, Run(sweep.folder / Path(folder).expanduser()))
        except (RunError, SweepError) as error:
            problem = str(error)
        if problem:
            yield sweep.problem(("search", "from", index), problem)


def _problem(sweep: Sweep, run: Run) -> str:
    its = stored.load(run.folder, run.sweep_texts)
    if differences := sweep.data_differences(its):
        return f"{run.folder} was trained on other data: here {'; here '.join(differences)}."
    if its.folds is not None:
        return (
            f"{run.folder} has trained every setting once for each of its folds, of which a search has none."
        )
    finished = [trial for trial in run.trials.values() if trial.state == "finished"]
    if not _holds_equal_data(sweep, its, run, finished):
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


def _holds_equal_data(sweep: Sweep, its: Sweep, run: Run, trials: Sequence[TrialState]) -> bool:
    """Whether files of data with one name have, and had, the same content, as far as that can be told."""
    try:
        here, there = Sources.of_data(sweep), Sources.of_data(its)
    except (ModelError, OSError):  # the other's are gone
        return True
    mine = _contents(here)
    if _contents(there) != mine:
        return False
    launched = [launch["files"] for launch in run.launches if "files" in launch]
    if launched:
        return all(
            _contents({name: files[name] for name in there if name in files}) == mine for files in launched
        )
    models = {its.model, *(baseline["model"] for baseline in its.baselines)}
    if here and models <= MODELS.keys():  # then the code that an earlier version has recorded is of the data
        (first, *_) = here.values()
        code = hashlib.sha256(str(first[2]).encode()).hexdigest()
        return all(trial.attempt.code in ("", code) for trial in trials)
    return True


def _contents(stamps: Stamps) -> list[str]:
    return sorted(str(digest) for size, _, digest in stamps.values() if size)


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
        sizes = {"parameters": attempt.workload.get("parameters"), "seconds": attempt.seconds}
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
