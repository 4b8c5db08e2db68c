"""Jobs that are processes of this machine, started and watched through submitit."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from hpc.jobs.node.processes import Identity, identity, is_running, stop
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.worker import Worker
from hpc.profile import Resources
from hpc.results import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import submitit

YEAR_MIN = 365 * 24 * 60
GRACE_SECONDS = 10.0
"""How long the other ranks of a job may go on when one has ended."""


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
