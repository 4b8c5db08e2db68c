"""A SLURM for the tests: one that is there already, or one that they boot themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc.results import Run, TrialState
from hpc.sweeps.document import write
from tests.conftest import environment, missing
from tests.slurm.cluster import Cluster, available

FAULTS = Path(__file__).parent.parent / "hpc" / "faults.py"


class Existing:
    """The SLURM that this machine is a login node of; it can't be broken on purpose."""

    environment: dict[str, str] = {}  # noqa: RUF012

    def run(self, *command: str) -> str:
        """What one of its commands prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _answers() -> bool:
    try:
        return subprocess.run(["sinfo"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _boot(*, accounting: bool, **options: Any) -> Iterator[Cluster]:
    lack = available(accounting=accounting, mpi=True)
    if lack:
        missing("slurm", f"SLURM is missing: {lack}")
    with Cluster(accounting=accounting, **options) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster | Existing]:
    """A SLURM, with slurmdbd if the tests have booted it; nothing in it may be broken."""
    if _answers():
        yield Existing()
    else:
        yield from _boot(accounting=True)


@pytest.fixture(scope="session")
def plain_slurm() -> Iterator[Cluster]:
    """A SLURM of the tests' own without slurmdbd, in which sacct says "disabled"."""
    yield from _boot(accounting=False)


@pytest.fixture
def own_slurm() -> Iterator[Cluster]:
    """A SLURM of one test's own, to be broken on purpose."""
    yield from _boot(accounting=True)


PROFILES = """
slurm:
  cluster: slurm
  workers: 4
  cpus_per_rank: 1
  time_min: 20
  setup: ["export OMPI_MCA_mpi_yield_when_idle=1"]  # MPI's ranks wait busily, and there are few cores
one:
  cluster: slurm
  workers: 1
  cpus_per_rank: 1
pair:
  cluster: slurm
  workers: 1
  nodes: 2
  cpus_per_rank: 1
  backend: gloo
  checkpoint_min: 0.0
"""


class Site:
    """A user's folder at a login node of a SLURM.

    Args:
        cluster: to submit to.
        folder: with the user's files; runs go there, too.
    """

    def __init__(self, cluster: Cluster | Existing, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.path = ""
        folder.mkdir(parents=True, exist_ok=True)
        self.profiles(PROFILES)

    @property
    def env(self) -> dict[str, str]:
        """For commands."""
        env = {**environment(), **self.cluster.environment}
        return {**env, "PATH": f"{self.path}{os.pathsep}{env['PATH']}"} if self.path else env

    def profiles(self, text: str) -> None:
        """Write the user's profiles."""
        (self.folder / "profiles.yaml").write_text(text)

    def sweep(self, faults: list[str], **fixed: Any) -> Path:
        """A sweep file over faults, ``sweep.yaml``."""
        path = self.folder / "sweep.yaml"
        entries = {
            "name": "faults",
            "model": f"{FAULTS}:build",
            "data": {"name": "digits", "train": 256, "validation": 64},
            "space": {"fault": faults},
            "fixed": {"log": str(self.folder / "built"), "epochs": 2, "batch_size": 64, **fixed},
            "objective": "val_accuracy",
        }
        path.write_text(write(entries))
        return path

    def hpc(self, *arguments: str | Path, code: int | None = 0) -> str:
        """Run the command to its end.

        Returns:
            What it printed, errors included.
        """
        done = subprocess.run(
            [str(Path(sys.executable).with_name("hpc")), *map(str, arguments)],
            cwd=self.folder, env=self.env, text=True, timeout=900,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def run(self, name: str = "r") -> Run:
        """A run as it stands."""
        return Run(self.folder / name)

    def states(self, name: str = "r") -> dict[str, str]:
        """How the trial of each fault stands: its state, and the reason if it failed."""
        trials = self.run(name).trials.values()
        return {t.params["fault"]: t.attempt.reason or t.state for t in trials}

    def trial(self, fault: str, name: str = "r") -> TrialState:
        """The trial of a fault."""
        return next(t for t in self.run(name).trials.values() if t.params["fault"] == fault)

    def arrays(self, name: str = "r") -> list[str]:
        """Numbers of the run's arrays."""
        return [array["job"] for array in self.run(name).arrays.values() if "job" in array]

    def queue(self) -> str:
        """The jobs that are not over."""
        return self.cluster.run("squeue", "--noheader", "--array", "--format=%F_%K %T %r %j")

    def settle(self, name: str = "r", seconds: float = 300) -> dict[str, str]:
        """Wait until no job of a run is left; how its trials stand then."""
        until(lambda: not self.is_busy(name), seconds, lambda: self.hpc("status", name, code=None))
        return self.states(name)

    def is_busy(self, name: str = "r") -> bool:
        """Whether a job of the run may yet do something."""
        self.hpc("status", name)
        return any("ended" not in job for job in self.run(name).jobs.values())

    def start_now(self, name: str = "r") -> None:
        """Don't let requeued jobs wait for two minutes."""
        pending = [line.split()[0] for line in self.queue().splitlines() if "BeginTime" in line]
        for job in pending:
            if job.partition("_")[0] in self.arrays(name):
                self.cluster.run("scontrol", "update", f"jobid={job}", "starttime=now")

    def wait_for_epoch(self, fault: str, epoch: int, name: str = "r", seconds: float = 120) -> None:
        """Wait until a trial has come so far."""
        until(
            lambda: (self.folder / name / "sweep.yaml").exists() and self._epochs(fault, name) >= epoch,
            seconds, lambda: self.hpc("status", name, code=None) + self.queue(),
        )  # fmt: skip

    def _epochs(self, fault: str, name: str) -> int:
        return self.trial(fault, name).attempt.epochs

    def logs(self, name: str = "r") -> str:
        """All that the run's jobs have written."""
        return "\n".join(p.read_text(errors="replace") for p in (self.folder / name).rglob("*_log.out"))


def until(condition: Callable[[], bool], seconds: float, state: Callable[[], str] = lambda: "") -> None:
    """Wait for something; if it does not happen, say how things stand."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} seconds\n{state()}"
        time.sleep(0.3)


@pytest.fixture
def site(slurm: Cluster | Existing, tmp_path: Path) -> Iterator[Site]:
    """A user's folder at the login node; jobs that a test leaves behind are cancelled."""
    yield from _site(slurm, tmp_path)


@pytest.fixture
def plain_site(plain_slurm: Cluster, tmp_path: Path) -> Iterator[Site]:
    """The same where no accounts are kept."""
    yield from _site(plain_slurm, tmp_path)


@pytest.fixture
def own_site(own_slurm: Cluster, tmp_path: Path) -> Iterator[Site]:
    """The same at a SLURM to be broken."""
    yield from _site(own_slurm, tmp_path)


def _site(cluster: Cluster | Existing, folder: Path) -> Iterator[Site]:
    site = Site(cluster, folder / "a user's folder")
    yield site
    for plan in site.folder.rglob("run.jsonl"):
        numbers = re.findall(r'"record": "array", .*?"job": "(\d+)"', plan.read_text())
        for number in numbers:
            subprocess.run(
                ["scancel", number], env={**os.environ, **cluster.environment}, capture_output=True
            )
