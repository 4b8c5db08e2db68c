"""PyTorch's own data-parallel training, as a function: on one rank and two, pruned, killed and resumed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hpc.results import Run
from tests.conftest import ROOT, Hpc, missing

pytestmark = pytest.mark.slow
DDP = ROOT / "tests" / "trainings" / "ddp.py"


@pytest.fixture(autouse=True)
def _torch() -> None:
    if find_spec("torch") is None:
        missing("torch", "PyTorch is missing: pip install torch")


def sweep(folder: Path, **entries: Any) -> Path:
    (folder / "ddp.py").write_text(DDP.read_text())
    path = folder / "s.yaml"
    given = {
        "name": "ddp", "train": "ddp.py:train", "space": {"learning_rate": [0.01, 0.1]},
        "fixed": {"epochs": 6}, "objective": "loss",
    }  # fmt: skip
    path.write_text(json.dumps(given | entries))
    return path


def losses(run: Path) -> dict[float, list[float]]:
    """Of each epoch, by the learning rate."""
    return {
        trial.params["learning_rate"]: [record["metrics"]["loss"] for record in trial.history()]
        for trial in Run(run, keep_epochs=True).trials.values()
    }


def test_two_ranks_train_what_one_trains(tmp_path: Path, hpc: Hpc) -> None:
    path = sweep(tmp_path)
    for ranks in ("1", "2"):
        done = hpc("run", path, "--ranks", ranks, "--workers", "1", "--dir", f"r{ranks}")
        assert done.returncode == 0, done.stdout + done.stderr
    one, two = losses(tmp_path / "r1"), losses(tmp_path / "r2")
    assert [len(found) for found in one.values()] == [6, 6]
    for rate, found in one.items():
        assert found[-1] < found[0]
        assert two[rate] == pytest.approx(found, rel=1e-5)
    assert {trial.attempt.ranks for trial in Run(tmp_path / "r2").trials.values()} == {2}


def test_a_rank_that_is_killed_costs_what_came_after_the_checkpoint(tmp_path: Path, hpc: Hpc) -> None:
    space, dead = {"learning_rate": [0.1]}, str(tmp_path / "dead")
    whole = hpc("run", sweep(tmp_path, space=space), "--ranks", "2", "--workers", "1", "--dir", "whole")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    path = sweep(tmp_path, space=space, fixed={"epochs": 6, "kill": dead})
    killed = hpc("run", path, "--ranks", "2", "--workers", "1", "--dir", "killed")
    again = hpc("resume", "killed") if killed.returncode else killed
    assert again.returncode == 0, killed.stdout + killed.stderr + again.stdout + again.stderr
    assert Path(dead).exists()
    (trial,) = Run(tmp_path / "killed").trials.values()
    assert len(trial.attempts) == 2
    assert trial.attempt.metrics["began"] == 2
    (before,) = losses(tmp_path / "whole").values()
    assert trial.attempt.metrics["loss"] == before[-1]


def test_a_pruner_ends_it_on_all_ranks(tmp_path: Path, hpc: Hpc) -> None:
    rates = {"low": 1e-5, "high": 0.2, "log": True}
    pruner = {"name": "asha", "min_resource": 1, "reduction_factor": 2}
    path = sweep(
        tmp_path, space={"learning_rate": rates}, search={"method": "random", "trials": 8, "pruner": pruner}
    )
    done = hpc("run", path, "--ranks", "2", "--workers", "1", "--dir", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    states = [trial.state for trial in Run(tmp_path / "r").trials.values()]
    assert len(states) == 8
    assert set(states) == {"finished", "pruned"}
