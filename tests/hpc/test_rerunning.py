"""One trial of a run, trained again in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc import running, sweeps
from hpc.jobs import stored
from hpc.request import RunRequest
from hpc.rerunning import rerun, sweep_of
from hpc.results import Run, RunError
from hpc.sweeps import SweepError
from tests.conftest import environment
from tests.hpc import standin

FOLDS: dict[str, Any] = {
    "name": "s", "model": "mlp", "data": "digits",
    "space": {"hidden_size": [4, 8]},
    "fixed": {"epochs": 2, "learning_rate": 0.01},
    "folds": {"n_splits": 3, "shuffle": True},
    "seeds": [3, 4],
    "baselines": [{"model": "knn", "n_neighbors": 3}],
    "objective": {"metric": "val_accuracy", "mode": "max"},
    "constraints": ["hidden_size < 100"],
}  # fmt: skip
SEARCH: dict[str, Any] = {
    **{name: FOLDS[name] for name in ("name", "model", "data", "fixed", "objective")},
    "space": {"hidden_size": {"low": 2, "high": 64}},
    "search": {"method": "tpe", "trials": 3, "pruner": "median"},
    "confirm": {"best": 1, "seeds": 1},
    "budget": {"core_hours": 10},
}
NET = """
import os, keras

def build(input_shape, num_classes, width=4):
    dense = keras.layers.Dense
    if "STOP_HERE" in os.environ:
        breakpoint()
    return keras.Sequential([keras.Input(input_shape), dense(width), dense(num_classes, "softmax")])
"""


@pytest.fixture(params=["folds", "search"])
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    standin.use(monkeypatch)
    sweep = sweeps.parse({"folds": FOLDS, "search": SEARCH}[request.param])
    running.run(sweep, on="local", workers=1, folder=tmp_path / "r")
    return tmp_path / "r"


def test_a_sweep_of_one_trial_calls_it_as_its_run_does(run: Path) -> None:
    whole = stored.load(run)
    for trial in Run(run).trials.values():
        one = sweep_of(whole, trial)
        assert [again.trial_id for again in one.trials] == [trial.trial_id]
        (again,) = sweeps.parse(one.entries()).trials
        assert (again.trial_id, again.fold, again.seed) == (trial.trial_id, trial.fold, trial.seed)
        assert again.params == trial.params
        assert (one.objective, one.data) == (whole.objective, whole.data)
        assert (one.is_adaptive, one.budget, one.confirm) == (False, None, None)


def test_a_rerun_has_a_folder_of_its_own_and_leaves_the_run_as_it_is(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    name = next(iter(Run(run).trials))
    first, second = rerun(run, name), rerun(run, name[:8])
    assert (first.outcome.is_good, second.outcome.is_good) == (True, True)
    assert first.outcome.run.folder == run.with_name(f"r-rerun-{name}")
    assert second.outcome.run.folder == run.with_name(f"r-rerun-{name}-2")
    assert list(second.outcome.run.trials) == [name]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_what_can_not_be_rerun_is_told_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    name = next(iter(Run(run).trials))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("1")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match="taken is not empty; name another folder"):
        rerun(run, name, folder=tmp_path / "taken")
    with pytest.raises(RunError, match="zzz"):
        rerun(run, "zzz")
    with pytest.raises(SweepError, match="submits to SLURM, and a rerun is on this machine"):
        rerun(run, name, RunRequest(on="slurm"))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a user's own model, in folds, each trial by itself."""
    place = tmp_path_factory.mktemp("trained")
    (place / "net.py").write_text(NET)
    entries = {**FOLDS, "model": "net.py:build", "space": {"width": [4]}, "seeds": [3], "pack": "off"}
    del entries["baselines"], entries["constraints"]
    (place / "s.yaml").write_text(json.dumps(entries))
    done = command(place, "run", "s.yaml", "--on", "debug", "--dir", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def command(place: Path, *words: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("hpc")), *words], cwd=place, input=typed, timeout=120,
        env={**environment(), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_rerun_ends_as_its_trial_to_the_last_bit(trained: Path) -> None:
    trial = next(trial for trial in Run(trained / "r").trials.values() if trial.fold == 1)
    done = command(trained, "rerun", "r", trial.trial_id, "--profile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It ended as in its run, to the last bit" in done.stdout
    again = Run(trained / f"r-rerun-{trial.trial_id}")
    assert again.trials[trial.trial_id].attempt.weights == trial.attempt.weights
    place = again.folder / "tensorflow-profile"
    assert f"tensorboard --logdir {place.relative_to(trained)}" in done.stdout
    assert [path.stat().st_size > 1000 for path in place.rglob("*.xplane.pb")] == [True]


@pytest.mark.slow
def test_in_a_rerun_that_is_debugged_breakpoint_stops_where_it_stands(trained: Path) -> None:
    name = next(iter(Run(trained / "r").trials))
    done = command(
        trained, "rerun", "r", name, "--debug", "--dir", "debugged", typed="p width * 1000\nc\n" * 9,
        STOP_HERE="1",
    )  # fmt: skip
    assert "net.py" in done.stdout
    assert "(Pdb) 4000" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert "to the last bit" in done.stdout
    refused = command(trained, "rerun", "r", name, "--debug", "--on", "slurm")
    assert (refused.returncode, "goes on in this process, not 'slurm'" in refused.stderr) == (2, True)
    assert not os.path.lexists(trained / f"r-rerun-{name}")


def test_a_trial_of_a_function_is_called_again(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def f(x, seed):\n    return x * seed\n")
    entries: dict[str, Any] = {"name": "f", "train": "f.py:f", "space": {"x": [1, 2]}, "seeds": [5]}
    entries |= {"objective": {"metric": "y", "mode": "min"}}
    running.run(sweeps.parse(entries, tmp_path), on="debug", folder=tmp_path / "r")
    (name,) = [one.trial_id for one in Run(tmp_path / "r").trials.values() if one.params["x"] == 2]
    again = rerun(tmp_path / "r", name, on="debug")
    (trial,) = again.outcome.run.trials.values()
    assert (trial.trial_id, trial.params, trial.attempt.metrics) == (name, {"x": 2}, {"y": 10})
