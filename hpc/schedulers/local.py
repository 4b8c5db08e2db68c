"""Jobs that are processes of this machine, started and watched through submitit."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from hpc.jobs.node.processes import Identity, identity, is_running, stop
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.worker import Worker
from hpc.profile import Resources
from hpc.results import RunError
from hpc.schedulers.base import JobArray, JobState, Limits, QueueSnapshot, Scheduler, SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import submitit

YEAR_MIN = 365 * 24 * 60
GRACE_SECONDS = 10.0
"""How long the other ranks of a job may go on when one has ended."""
STOP_SECONDS = 2.0
"""How long a job may take to stop before its processes are killed."""


class LocalJob:
    """One local job: a process of submitit's and the ranks it has started.

    Args:
        spec: what each rank is told.
        folder: for submitit's files, new for every launch.
        resources: of the job.
    """

    def __init__(self, spec: WorkerSpec, folder: Path, resources: Resources) -> None:
        import submitit

        self.spec = spec
        self._ranks = resources.ranks
        executor = submitit.LocalExecutor(folder)
        executor.update_parameters(
            tasks_per_node=resources.ranks,
            timeout_min=YEAR_MIN,  # submitit's default is two minutes
            stderr_to_stdout=True,
            gpus_per_node=len(resources.gpus),  # with none asked for, submitit hides them all
            visible_gpus=resources.gpus,
        )
        folder.mkdir(parents=True, exist_ok=True)
        # PYTHONSAFEPATH: a folder `hpc` of the user's is not ours, nor their json.py Python's.
        with _environment(PYTHONSAFEPATH="1"), _output_into(folder / "controller.log"):
            self._job: submitit.Job[int] = executor.submit(Worker(spec))
        self.process = identity(int(self._job.job_id))
        self._controller = psutil.Process(self.process.pid)
        self._family: dict[Identity, psutil.Process] = {}
        self._short_since: float | None = None

    @property
    def job_id(self) -> str:
        """The name of its file of records."""
        return self.spec.job_id

    def log(self, rank: int = 0) -> Path:
        """Where a rank's output goes."""
        return Path(str(self._job.paths.stdout).replace("_0_log", f"_{rank}_log"))

    def is_done(self) -> bool:
        """Whether all its processes have ended; ends those that a dead one has left behind."""
        if self._job.done():
            self.stop(0.0)
            return True
        self._remember()
        alive = [who for who in self._family if is_running(*who)]
        if len(self._family) < self._ranks or len(alive) >= self._ranks:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = time.monotonic()
        elif time.monotonic() - self._short_since > GRACE_SECONDS:
            self.stop(1.0)
        return False

    def stop(self, grace_seconds: float) -> None:
        """End all its processes."""
        self._remember()
        stop([self._controller, *self._family.values()], grace_seconds)
        self._job.done()

    def has_succeeded(self) -> bool:
        """Whether every rank has come to a good end."""
        ranks = [self._job.task(rank) if self._ranks > 1 else self._job for rank in range(self._ranks)]
        return all(rank.paths.result_pickle.exists() for rank in ranks) and not self.failure()

    def failure(self) -> str:
        """Why its processes ended, from submitit's result and the logs of its ranks."""
        found: list[str] = []
        for rank in range(self._ranks):
            job = self._job.task(rank) if self._ranks > 1 else self._job
            if not job.paths.result_pickle.exists():
                continue  # the process ended without a word; submitit would wait for one
            error = job.exception()
            if error is not None:
                found.append(_last_error(str(error)))
        # What Horovod complains of is mostly that another rank has left: the cause is told there.
        return min(found, key=lambda words: "Horovod" in words, default="")

    def tail(self, lines: int = 20) -> str:
        """The last lines of the logs, those of later ranks after those of rank 0."""
        texts = []
        for rank in range(self._ranks):
            try:
                text = self.log(rank).read_text(errors="replace").splitlines()[-lines:]
            except OSError:
                continue
            texts.append("\n".join([f"{self.log(rank)}:", *text]))
        return "\n".join(texts)

    def _remember(self) -> None:
        try:
            for child in self._controller.children(recursive=True):
                if child not in self._family.values():
                    self._family[identity(child.pid)] = child
        except psutil.NoSuchProcess:
            pass


class Local(Scheduler):
    """This machine.

    Args:
        resources: that each job takes of it.
    """

    name = "local"
    outlives = False
    launcher = "submitit"

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._jobs: dict[str, tuple[str, LocalJob]] = {}
        self._cancelled: set[str] = set()

    def limits(self) -> Limits:
        """As many jobs as one likes; how many at once says ``workers`` of the profile."""
        return Limits(sys.maxsize)

    def render(self, array: JobArray, folder: Path) -> str:
        """The commands that start the ranks of each job, a line each."""
        command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(folder.resolve())])
        lines = [f"{command}  # {spec.job_id}, rank {rank}" for spec in array.specs
                 for rank in range(self._resources.ranks)]  # fmt: skip
        return "".join(f"{line}\n" for line in [f"# {array.name}", *lines])

    def submit(self, array: JobArray, folder: Path, after: str = "") -> list[str]:
        """Start the jobs, all at once.

        Raises:
            SchedulerError: they are to wait for others, or it is not said what their workers do.
        """
        if after:
            raise SchedulerError(
                f"jobs of this machine wait for no others, as for {after}: start them later."
            )
        if len(array.specs) != array.size:
            raise SchedulerError(
                f"{array.size} jobs are to be started, and {len(array.specs)} have a worker."
            )
        for spec in array.specs:
            self._jobs[spec.job_id] = array.name, LocalJob(spec, folder, self._resources)
        return [spec.job_id for spec in array.specs]

    @property
    def jobs(self) -> list[str]:
        """All that it has started."""
        return list(self._jobs)

    def of(self, job: str) -> LocalJob:
        """One of its jobs."""
        return self._jobs[job][1]

    def queue(self, names: Iterable[str], user: int | None = None) -> QueueSnapshot:
        """How jobs stand that this command has started."""
        wanted, found = set(names), QueueSnapshot(knows_ended=True)
        for job, (name, process) in self._jobs.items():
            if name in wanted:
                state = "RUNNING" if not process.is_done() else self._end_of(job, process)
                found.jobs[job] = JobState(job, name, state, nodes=socket.gethostname())
        return found

    def _end_of(self, job: str, process: LocalJob) -> str:
        if job in self._cancelled:
            return "CANCELLED"
        return "COMPLETED" if process.has_succeeded() else "FAILED"

    def cancel(self, jobs: Sequence[str]) -> None:
        """Stop their processes, and kill those that don't end within two seconds."""
        for job in jobs:
            if job in self._jobs:
                self._cancelled.add(job)
                self.of(job).stop(STOP_SECONDS)

    def requeue(self, job: str) -> None:
        """Refuse.

        Raises:
            SchedulerError: always.
        """
        raise SchedulerError(
            f"{job} is a job of this machine, which has no queue: `hpc resume` goes on with it."
        )


def _last_error(text: str) -> str:
    """The last line of a traceback, and what belongs to it, without what submitit adds."""
    text = text.partition("\nYou can check full logs")[0]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("----")]
    last = max((i for i, line in enumerate(lines) if not line.startswith(" ")), default=0)
    return "\n".join(lines[last:])


def check_folder(folder: Path) -> None:
    """Make sure that submitit can work in the folder of a run.

    Raises:
        RunError: its path holds what submitit puts numbers of jobs and ranks for, and can't be told not to.
    """
    whole = str(folder.absolute())
    for pattern in ("%j", "%t", "%A", "%a"):
        if pattern in whole:
            raise RunError(
                f"{folder} can't hold a run on this machine: submitit, which starts its workers, takes the "
                f"{pattern} in {whole} for the place of a number. Choose a folder without it with --dir."
            )


def deal(tasks: Sequence[Task], workers: int) -> list[tuple[Task, ...]]:
    """Worker *w* of *W* takes tasks *w*, *w* + *W*, *w* + 2 *W*, …; no worker is without."""
    workers = min(workers, len(tasks))
    return [tuple(tasks[w::workers]) for w in range(workers)]


@contextmanager
def _output_into(file: Path) -> Iterator[None]:
    """Keep what submitit's process says (a traceback at Ctrl-C) off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    log = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(log)


@contextmanager
def _environment(**values: Any) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
