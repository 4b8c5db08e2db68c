"""The wheel on a SLURM, beside a user's own packages models, jobs, results, sweeps, tests and data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.installed import install, project
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Existing

pytestmark = pytest.mark.slurm


def test_a_sweep_of_a_project_whose_folders_are_named_as_ours(
    slurm: Cluster | Existing, tmp_path: Path
) -> None:
    python, folder = install(tmp_path / "installed"), project(tmp_path / "theirs", packages=True)
    (folder / "profiles.yaml").write_text(
        "one: {cluster: slurm, workers: 1, cpus_per_rank: 1, time_min: 10}\n"
    )
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python.with_name("hpc"), "run", "own.yaml", "--on", "one"],
        cwd=folder, env={**env, **slurm.environment}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 trials: 2 finished" in done.stdout
    (script,) = folder.glob("runs/own/jobs/1/*.sh")
    assert f"{python} -u -m hpc.jobs job " in script.read_text()
