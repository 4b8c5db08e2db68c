"""The wheel beside a user's own packages models, jobs, results, sweeps, tests and data."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.installed import install, project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"))


def run(*command: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    env["LD_LIBRARY_PATH"] = f"{sys.prefix}/lib"  # where the MPI of the libraries' environment is
    done = subprocess.run(
        [str(one) for one in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_package_is_installed_and_knows_the_checkout_by_nothing(python: Path, tmp_path: Path) -> None:
    code = "import hpc.jobs.worker, hpc.models; print(hpc.__file__, hpc.jobs.worker.__file__)"
    for path in run(python, "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(python.parents[1])
    for room in ("jobs", "models", "results", "sweeps"):
        code = f"import importlib.util; assert importlib.util.find_spec({room!r}) is None"
        run(python, "-c", code, cwd=tmp_path)
    assert "digits" in run(python.with_name("hpc"), "list", "sweeps", cwd=tmp_path)


@pytest.mark.parametrize("packages", [True, False])
def test_a_sweep_of_a_project_whose_folders_are_named_as_ours(
    python: Path, tmp_path: Path, *, packages: bool
) -> None:
    folder = project(tmp_path / "theirs", packages=packages)
    for sweep in ("own", "again"):
        said = run(python.with_name("hpc"), "run", f"{sweep}.yaml", "--workers", "1", cwd=folder)
        assert "2 trials: 2 finished" in said
    assert run(python, "script.py", cwd=folder).split()[-3:] == ["True", "2", "3"]


def test_two_ranks_train_such_a_sweep(python: Path, tmp_path: Path, mpirun: list[str]) -> None:
    folder = project(tmp_path / "theirs", packages=True)
    options = ("--workers", "1", "--ranks", "2")
    assert "2 finished" in run(python.with_name("hpc"), "run", "own.yaml", *options, cwd=folder)
    table = run(python.with_name("hpc"), "table", "runs/own", "--format", "csv", cwd=folder)
    assert [row["ranks"] for row in csv.DictReader(table.splitlines())] == ["2", "2"]


def test_a_checkout_s_folders_are_not_importable_by_their_own_names(tmp_path: Path) -> None:
    for room in ("jobs", "models", "results", "sweeps"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {room}"],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert f"ImportError: {room} is a part of hpc here: import hpc.{room}" in done.stderr
