"""Which trials of a run are with jobs of SLURM that may yet come to them."""

from __future__ import annotations

from hpc.jobs.launch import Launch
from hpc.results import Run


def covered_trials(run: Run) -> set[str]:
    """Ids of trials that belong to a job which may yet come to them."""
    covered: set[str] = set()
    launches: dict[int, Launch] = {}
    for job in run.jobs.values():
        if "ended" in job or "array" not in job:
            continue
        number = job["launch"]
        if number not in launches:
            launches[number] = Launch.read(run.jobs_folder / str(number))
        covered.update(launches[number].names(job["number"], run))
    return covered


def asking_jobs(run: Run) -> list[str]:
    """Jobs that may yet ask the run's search for trials."""
    asks: dict[int, bool] = {}
    found = []
    for name, job in run.jobs.items():
        if "ended" in job or "array" not in job:
            continue
        number = job["launch"]
        if number not in asks:
            asks[number] = Launch.read(run.jobs_folder / str(number)).asks
        if asks[number]:
            found.append(name)
    return found


def may_live(run: Run, owner: str) -> bool:
    """Whether a worker of SLURM that asked for a trial may yet be heard of."""
    job = run.jobs.get(owner, run.jobs.get(owner.rpartition("-g")[0], {}))
    return "array" in job and "ended" not in job
