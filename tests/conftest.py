"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Sets logging up when it is imported, which closes what absl, imported with TensorFlow, writes to: under
# pytest that is pytest's own file, unless this comes first.
import submitit.core.logger  # noqa: F401

from tests import postgresql

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parent.parent
REQUIRED = "HPC_TESTS_REQUIRE"
"""Names what must not be missing, by commas, so that a skip becomes a failure, and what is left out
otherwise; CI sets it to all of them."""
LEFT_OUT = ("slow", "slurm", "browser", "postgresql")
"""Markers of tests that are left to CI, to ``-m`` and to those who ask for one by name."""
ALL = "mpi,mnist,slow,slurm,hosts,browser,postgresql,torch"

if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):
    # A shell's background job and pytest-xdist's workers ignore Ctrl-C, and so would all that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long or needs much, unless it is asked for; SLURM takes longest, and begins."""
    _leave_out(config, items)
    items.sort(key=lambda item: item.get_closest_marker("slurm") is None)


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any("::" in name for name in config.args):
        return
    required = os.environ.get(REQUIRED, "").split(",")
    chosen = config.option.markexpr
    left_out = {marker for marker in LEFT_OUT if marker not in required and not chosen}
    if "course" not in required and "course" not in chosen:
        left_out.add("course")
    left = [item for item in items if left_out & {mark.name for mark in item.iter_markers()}]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]
        _told["left out"] = len(left)


_told: dict[str, Any] = {"left out": 0, "missing": {}}
"""What the end of a run says."""


def missing(what: str, message: str) -> None:
    """Skip a test for want of something, or fail where it must be there."""
    if what in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{message} ({REQUIRED} names {what})")
    _told["missing"][message] = _told["missing"].get(message, 0) + 1
    pytest.skip(message)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what was found, in a process of pytest-xdist's."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = _told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a process of pytest-xdist's has found; each has left out the same tests."""
    told = getattr(node, "workeroutput", {}).get("told", {"left out": 0, "missing": {}})
    _told["left out"] = max(_told["left out"], told["left out"])
    for message, tests in told["missing"].items():
        _told["missing"][message] = _told["missing"].get(message, 0) + tests


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line each what was missing, and how many tests that has cost."""
    for message, tests in _told["missing"].items():
        terminalreporter.write_line(f"{tests} tests skipped: {message}")
    if _told["left out"]:
        terminalreporter.write_line(f"{_told['left out']} tests left out; all: {REQUIRED}={ALL} pytest")


@pytest.fixture
def mnist_folder() -> Path:
    """The folder that holds mnist.npz."""
    folder = Path(os.environ.get("HPC_DATA", "/nonexistent"))
    if not (folder / "mnist.npz").is_file():
        missing("mnist", "MNIST is missing: HPC_DATA names no folder with mnist.npz")
    return folder


@pytest.fixture
def mpirun() -> list[str]:
    """The command that starts two ranks by MPI."""
    found = Path(sys.executable).with_name("mpirun")
    command = str(found) if found.exists() else shutil.which("mpirun")
    if command is None:
        missing("mpi", "mpirun is missing")
    return [str(command), "-np", "2", "--oversubscribe"]


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URL of an empty database of a PostgreSQL."""
    if postgresql.programs() is None:
        missing("postgresql", "PostgreSQL is missing: neither on the PATH nor in /usr/lib/postgresql")
    with postgresql.server() as url:
        yield url


Hpc = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hpc(tmp_path: Path) -> Hpc:
    """Runs the command as a user does, in an empty folder."""

    def run(*arguments: str | Path, prefix: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [*(prefix or []), str(Path(sys.executable).with_name("hpc")), *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=900
        )

    return run


def environment() -> dict[str, str]:
    """For commands that a test starts: wide lines, and MPI as root, as CI is."""
    return {
        **os.environ,
        "COLUMNS": "200",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
