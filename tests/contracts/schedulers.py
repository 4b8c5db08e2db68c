"""What every scheduler must do; and one that takes jobs and does nothing, which takes one class."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from hpc import sweeps
from hpc.jobs.check import check
from hpc.jobs.launch import Launch
from hpc.jobs.spec import WorkerSpec
from hpc.profile import Profile, Resources
from hpc.results import Plan, create
from hpc.schedulers.base import (
    JobArray,
    JobState,
    Limits,
    QueueSnapshot,
    Scheduler,
    SchedulerError,
)
from hpc.schedulers.local import Local
from hpc.schedulers.slurm import Slurm
from tests.hpc.fake_slurm import FakeSlurm

WAIT_SECONDS = 120


class NullScheduler(Scheduler):
    """Takes jobs and does nothing with them: a new scheduler is one class."""

    name = "null"
    outlives = True
    launcher = "null"

    def __init__(self) -> None:
        self.jobs: dict[str, JobState] = {}

    def limits(self) -> Limits:
        return Limits(10)

    def render(self, array: JobArray, folder: Path) -> str:
        return f"# {array.name}: {array.size} × nothing in {folder}\n"

    def submit(self, array: JobArray, folder: Path, after: str = "") -> list[str]:
        found = [f"{array.name}/{index}" for index in range(array.size)]
        self.jobs |= {job: JobState(job, array.name, "PENDING") for job in found}
        return found

    def queue(self, names: Iterable[str], user: int | None = None) -> QueueSnapshot:
        wanted = set(names)
        return QueueSnapshot({job: state for job, state in self.jobs.items() if state.name in wanted})

    def cancel(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if job in self.jobs:
                self.jobs[job] = JobState(job, self.jobs[job].name, "CANCELLED")

    def requeue(self, job: str) -> None:
        if job not in self.jobs:
            raise SchedulerError(f"there is no job {job}")
        self.jobs[job] = JobState(job, self.jobs[job].name, "PENDING")


class Site(ABC):
    """A scheduler, and how its jobs come to their end."""

    scheduler: Scheduler

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launch_folder = folder / "run" / "jobs" / "1"
        self.launch_folder.mkdir(parents=True)

    def submit(self, name: str, size: int = 1) -> list[str]:
        return self.scheduler.submit(self.array(name, size), self.launch_folder)

    @abstractmethod
    def array(self, name: str, size: int = 1) -> JobArray:
        """Jobs of workers that have nothing to train, or much."""

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.rglob("*log*") if path.is_file())

    @abstractmethod
    def finish(self, jobs: Sequence[str]) -> None:
        """Let jobs come to a good end."""

    def state(self, name: str, job: str) -> JobState:
        found = self.scheduler.queue([name])
        assert found.problem == ""
        return found.jobs.get(job, JobState(job, name, "FORGOTTEN"))

    def begun(self, name: str, job: str) -> None:  # noqa: B027  # where jobs begin at once
        """Wait until a job has begun: one that waits can't begin anew."""

    def ended(self, name: str, job: str) -> JobState:
        """How a job stands once it has ended."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (state := self.state(name, job)).is_alive:
            assert time.monotonic() < deadline, state
            time.sleep(0.2)
        return state


class OfNothing(Site):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.scheduler = self.null = NullScheduler()

    def array(self, name: str, size: int = 1) -> JobArray:
        return JobArray(name, 0, size, size)

    def finish(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            self.null.jobs[job] = JobState(job, self.null.jobs[job].name, "COMPLETED")


class OfThisMachine(Site):
    """Its workers wait for a file before they have anything to say."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.scheduler = Local(Resources("local", 2, 1, 1))
        (folder / "net.py").write_text(
            "import os, time\nfrom pathlib import Path\nwaits = 'SUBMITIT_EXECUTOR' in os.environ\n"
            f"while waits and not Path({str(folder / 'finish')!r}).exists():\n    time.sleep(0.1)\n"
            "def build(input_shape, num_classes):\n    raise ValueError('not to be trained')\n"
        )
        sweep = check(sweeps.parse({"name": "s", "model": "net.py:build", "data": "digits"}, folder), 1)
        trials = [trial.to_record() for trial in sweep.trials]
        plan = Plan("s", "val_loss", "min", [], trials, sweep.as_yaml(), "{}")
        create(folder / "of workers", plan)

    def array(self, name: str, size: int = 1) -> JobArray:
        run = str(self.folder / "of workers")
        specs = tuple(WorkerSpec(run, f"{name}-{index}", number=index) for index in range(size))
        return JobArray(name, 0, size, size, specs=specs)

    def finish(self, jobs: Sequence[str]) -> None:
        (self.folder / "finish").touch()


class OfFakeSlurm(Site):
    def __init__(self, folder: Path, fake: FakeSlurm) -> None:
        super().__init__(folder)
        self._fake = fake
        self.scheduler = Slurm(Profile(cluster="slurm", time_min=5))

    def array(self, name: str, size: int = 1) -> JobArray:
        return JobArray(name, 0, size, size)

    def finish(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            self._fake.set(job, "COMPLETED")


class OfRealSlurm(Site):
    """Its jobs wait for a file; then their supervisor finds no trial that is left."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        wait = f"until [ -e '{folder}/finish' ]; do sleep 0.2; done"
        profile = Profile(cluster="slurm", time_min=5, cpus_per_rank=1, setup=[wait])
        self.scheduler = Slurm(profile)
        (folder / "run" / "sweep.yaml").write_text("name: s\nobjective: {metric: val_loss, mode: min}\n")
        (folder / "run" / "records").mkdir()

    def begun(self, name: str, job: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self.state(name, job).state != "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def array(self, name: str, size: int = 1) -> JobArray:
        Launch(1, ((),) * size, WorkerSpec(ranks=1), "python3", "/").write(self.launch_folder)
        return JobArray(name, 0, size, size)

    def finish(self, jobs: Sequence[str]) -> None:
        (self.folder / "finish").touch()


def says_what_it_takes(site: Site) -> None:
    assert site.scheduler.limits().array_size >= 1


def renders_the_same_array_the_same(site: Site) -> None:
    array = site.array("hpc-a.0", 2)
    text = site.scheduler.render(array, site.launch_folder)
    assert "hpc-a.0" in text
    assert site.scheduler.render(array, site.launch_folder) == text
    assert site.scheduler.render(site.array("hpc-b.0", 2), site.launch_folder) != text


def runs_a_job_to_its_end(site: Site) -> None:
    (job,) = site.submit("hpc-one.0")
    state = site.state("hpc-one.0", job)
    assert (state.job_id, state.name, state.is_alive) == (job, "hpc-one.0", True)
    site.finish([job])
    assert site.ended("hpc-one.0", job).state == "COMPLETED", site.logs()


def tells_of_every_job_of_an_array_and_of_no_other(site: Site) -> None:
    jobs, others = site.submit("hpc-two.0", 2), site.submit("hpc-other.0")
    assert len(set(jobs)) == 2
    assert site.scheduler.queue(["hpc-two.0"]).jobs.keys() == set(jobs)
    assert site.scheduler.queue(["hpc-two.0", "hpc-other.0"]).jobs.keys() == {*jobs, *others}
    site.scheduler.cancel([*jobs, *others])


def knows_nothing_of_what_was_never_submitted(site: Site) -> None:
    for names in ([], ["hpc-never.0"]):
        found = site.scheduler.queue(names)
        assert (found.jobs, found.problem) == ({}, "")


def ends_the_jobs_that_are_cancelled_and_no_other(site: Site) -> None:
    first, second = site.submit("hpc-cancel.0", 2)
    site.scheduler.cancel([first])
    assert site.ended("hpc-cancel.0", first).state != "COMPLETED"
    assert site.state("hpc-cancel.0", second).is_alive
    site.finish([second])
    assert site.ended("hpc-cancel.0", second).state == "COMPLETED"


def may_cancel_nothing_and_what_has_ended(site: Site) -> None:
    site.scheduler.cancel([])
    (job,) = site.submit("hpc-twice.0")
    site.scheduler.cancel([job])
    site.ended("hpc-twice.0", job)
    site.scheduler.cancel([job])


def lets_a_job_begin_anew_or_says_why_not(site: Site) -> None:
    (job,) = site.submit("hpc-again.0")
    if not site.scheduler.outlives:
        with pytest.raises(SchedulerError, match=f"{job} is a job of this machine"):
            site.scheduler.requeue(job)
    else:
        site.begun("hpc-again.0", job)
        site.scheduler.requeue(job)
        assert site.state("hpc-again.0", job).is_alive
    site.scheduler.cancel([job])
    site.ended("hpc-again.0", job)


CHECKS: list[Callable[[Site], None]] = [
    says_what_it_takes, renders_the_same_array_the_same, runs_a_job_to_its_end,
    tells_of_every_job_of_an_array_and_of_no_other, knows_nothing_of_what_was_never_submitted,
    ends_the_jobs_that_are_cancelled_and_no_other, may_cancel_nothing_and_what_has_ended,
    lets_a_job_begin_anew_or_says_why_not,
]  # fmt: skip
