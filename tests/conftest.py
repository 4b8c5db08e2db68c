"""What all tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import submitit  # noqa: F401  # it closes all handlers of logging, those of absl's on pytest's stderr, too

from tests import postgresql

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parent.parent
REQUIRED = "HPC_TESTS_REQUIRE"
"""Names what must not be missing, by commas, so that a skip becomes a failure; CI sets it to
``mpi,mnist,slow,slurm,hosts,browser,postgresql``, where ``slow`` are the tests that take minutes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests to CI, to ``-m slow`` and to those who ask for one by name."""
    required = os.environ.get(REQUIRED, "").split(",")
    if any("::" in name for name in config.args):
        return
    chosen = config.option.markexpr
    left_out = {"slow": not chosen, "course": "course" not in chosen}
    for marker, skips in left_out.items():
        if marker in required or not skips:
            continue
        reason = f"{marker}: run by `uv run pytest -m {marker}`, or where {REQUIRED} names {marker}"
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def missing(what: str, message: str) -> None:
    """Skip a test for want of something, or fail where it must be there."""
    if what in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(f"{message} ({REQUIRED} names {what})")
    _missing[message] = _missing.get(message, 0) + 1
    pytest.skip(message)


_missing: dict[str, int] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line each what was missing, and how many tests that has cost."""
    for message, tests in _missing.items():
        terminalreporter.write_line(f"{tests} tests skipped: {message}")


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
