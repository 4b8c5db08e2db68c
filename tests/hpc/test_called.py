"""Runs of functions and programs: what commands make of them that know trainings as models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hpc import rerunning, running, scaling, sweeps, verifying
from hpc.cli.app import app
from hpc.results import Run, table
from hpc.sweeps import Sweep, SweepError
from hpc.trial_summary import trial_summary

TRAININGS = Path(__file__).parents[1] / "trainings"


@pytest.fixture(params=["rosenbrock", "prints"])
def sweep(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    shutil.copytree(TRAININGS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return sweeps.load(tmp_path / f"{request.param}.yaml")


@pytest.fixture
def run(sweep: Sweep, tmp_path: Path) -> Run:
    outcome = running.run(sweep, on="debug", folder=tmp_path / "r")
    assert outcome.is_good
    return outcome.run


def said(*command: str) -> str:
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_run_is_shown_and_told_in_tables(run: Run, sweep: Sweep) -> None:
    rows: Any = table(run.folder)
    assert set(rows["state"]) == {"finished"}
    assert len(rows) == len(sweep.trials)
    best = trial_summary(run.folder)
    assert (best["model"], best["data"]) == (sweep.training, {})
    assert best["params"] == run.ranked()[0].params
    assert f"\n{sweep.training}, seed 0\n" in said("show", "r")
    assert "finished" in said("cost", "r")
    assert f"{len(rows)} finished" in said("compare", "r", "r")
    assert (run.folder / said("report", "r").strip()).name == "report.html"
    does = "calls" if sweep.kind == "function" else "starts"
    assert f"each {does}: {sweep.training}\n" in said("run", f"{sweep.name}.yaml", "--dry-run")


def test_a_trial_is_trained_again(run: Run) -> None:
    name = run.ranked()[0].trial_id
    again = rerunning.rerun(run.folder, name, on="debug")
    assert again.comparison == "It ended as in its run, to the last bit: metrics are the same."
    with pytest.raises(SweepError, match="a profile of the second epoch goes with models only"):
        rerunning.rerun(run.folder, name, on="debug", profile=True)


def test_what_is_of_models_is_refused(sweep: Sweep) -> None:
    with pytest.raises(SweepError, match="and stopping in the middle of an epoch goes with models only"):
        verifying.verify_resume(sweep)
    with pytest.raises(SweepError, match="and timing the steps of a training goes with models only"):
        scaling.probe_of(sweep, 1, None, 1)
