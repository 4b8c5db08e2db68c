"""Functions and programs on two ranks: they meet, average, stop and fail together."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc.results import Run, TrialState
from hpc.sweeps import read
from tests.conftest import ROOT, environment
from tests.jobs.called import TRAININGS, function_sweep, ready
from tests.jobs.working import planned

pytestmark = pytest.mark.slow


def start(rank: int, run: Path, job: str) -> subprocess.Popen[str]:
    """One of two ranks, as submitit's local executor starts it."""
    env = environment() | {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_GLOBALID": str(rank),
        "SUBMITIT_LOCAL_LOCALID": str(rank),
        "SUBMITIT_LOCAL_NTASKS": "2",
    }
    command = [sys.executable, "-m", "tests.jobs.plain_rank", str(run), job, "2"]
    return subprocess.Popen(
        command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def by_two(folder: Path, entries: dict[str, Any], attempts: int = 1) -> Run:
    """A run that two ranks have carried out, in so many attempts."""
    run = planned(folder, entries)
    for number in range(attempts):
        ranks = [start(rank, run, f"test-2-{number}") for rank in range(2)]
        outputs = [rank.communicate(timeout=300)[0] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(outputs)
    return Run(run, keep_epochs=True)


def stands_ready(folder: Path, name: str) -> Run:
    """A training that stands ready, carried out by two ranks."""
    shutil.copytree(TRAININGS, folder, dirs_exist_ok=True)
    return by_two(folder, read(TRAININGS / f"{name}.yaml").entries)


@pytest.mark.parametrize("name", ["meets", "meets-program"])
def test_ranks_of_any_framework_find_each_other(tmp_path: Path, name: str) -> None:
    run = stands_ready(tmp_path, name)
    for trial in run.trials.values():
        assert trial.attempt.error == ""
        assert trial.attempt.ranks == 2
        assert trial.attempt.metrics == {"val_loss": trial.params["rate"], "ranks": 2} | (
            {"local": 0} if name == "meets" else {}
        )
        assert len(trial.history()) == 1  # of rank 0, told once


def test_two_ranks_of_a_loop_of_ones_own_come_to_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = ready(tmp_path / "one", "gradient_tape"), stands_ready(tmp_path / "two", "gradient_tape")
    for name, trial in two.trials.items():
        assert (trial.state, trial.attempt.error) == ("finished", "")
        alone = one.trials[name].history()
        assert len(alone) == 4
        for mine, other in zip(trial.history(), alone, strict=True):
            assert mine["metrics"] == pytest.approx(other["metrics"], rel=0, abs=1e-5)


FUNCTION = """
import os, signal

import hpc

def train(trial, how):
    begin = int((trial.restored / "step").read_text()) if trial.restored else 0
    for step in range(begin + 1, 5):
        if how == "fails" and trial.rank == 1 and step == 2:
            raise OSError("no such data")
        if how == "differ" and step == 2:
            trial.report(step + trial.rank, val_loss=1.0)
        if how == "diverges" and step == 2:
            trial.report(step, val_loss=float("nan") if trial.rank == 0 else 1.0)
        if how == "apart" and step == 2 and trial.rank:
            trial.average(loss=1)
        trial.report(step, val_loss=1.0 / step + trial.rank)
        if how == "stops" and step == 2 and trial.attempt == 1 and trial.rank == 1:
            os.kill(os.getpid(), signal.SIGUSR2)
        if trial.should_stop:
            with trial.checkpoint() as folder:
                (folder / f"rank{trial.rank}").touch()
                if trial.rank == 0:
                    (folder / "step").write_text(str(step))
"""
ENDS = {
    "fails": ("failed", "rank 1: OSError: no such data"),
    "differ": ("failed", "rank 0: RuntimeError: ranks have reported different steps: [2, 3]; all must"),
    "diverges": ("failed", "rank 0: val_loss is nan after step 2"),
    "apart": ("failed", "rank 0: RuntimeError: ranks have called different things of their trial:"),
    "stops": ("finished", ""),
    "ends": ("finished", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrialState]:
    """One trial after the other that ends as its name says, in two attempts."""
    folder = tmp_path_factory.mktemp("called")
    run = by_two(folder, function_sweep(folder, FUNCTION, space={"how": list(ENDS)}), attempts=2)
    return {trial.params["how"]: trial for trial in run.trials.values()}


@pytest.mark.parametrize("how", ENDS)
def test_ranks_of_a_function_end_together(called: dict[str, TrialState], how: str) -> None:
    state, error = ENDS[how]
    trial = called[how]
    first = next(iter(trial.attempts.values()))
    assert (trial.state if how == "stops" else first.state) == state
    assert first.error.startswith(error)
    if state == "finished":
        assert [one["epoch"] for one in trial.history()] == [1, 2, 3, 4]
        assert trial.attempt.metrics == {"val_loss": 0.25}  # those of rank 0


def test_ranks_of_a_function_go_on_from_their_checkpoint(called: dict[str, TrialState]) -> None:
    first, second = called["stops"].attempts.values()
    assert first.state == "waiting"
    assert second.after == (1, 3)


PROGRAM = r"""
how=$1
tell() { echo "{\"step\": $1, \"val_loss\": 1}" >> $HPC_METRICS; }
if test $how = fails; then test $RANK = 0 && tell 1 && sleep 100; echo "no such data"; exit 3; fi
if test $how = stops && test $HPC_ATTEMPT = 1; then
    trap 'echo $RANK > $HPC_CHECKPOINT/$RANK; exit 0' TERM
    tell 1
    touch $HPC_FOLDER/up
    test $RANK = 1 && kill -USR2 $PPID
    while :; do sleep 0.1; done
fi
test $how = ends || test "$(cat $HPC_CHECKPOINT/0 $HPC_CHECKPOINT/1 | tr -d '\n')" = 01 || exit 5
tell 2
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrialState]:
    """As :func:`called`, of programs."""
    folder = tmp_path_factory.mktemp("started")
    command = ["sh", "-c", PROGRAM.replace("{", "{{").replace("}", "}}"), "sh", "{how}"]
    entries = {"name": "s", "command": command, "space": {"how": ["fails", "ends", "stops"]}}
    run = by_two(folder, {**entries, "objective": "val_loss", "grace_seconds": 10}, attempts=2)
    return {trial.params["how"]: trial for trial in run.trials.values()}


def test_ranks_of_a_program_end_together(started: dict[str, TrialState]) -> None:
    first = next(iter(started["fails"].attempts.values()))
    assert (first.state, first.reason) == ("failed", "error")
    assert first.error.startswith("rank 1: the program has ended with exit code 3.\nIts last lines:\nno such")
    assert (started["ends"].state, started["ends"].attempt.error) == ("finished", "")


def test_ranks_of_a_program_go_on_from_their_checkpoint(started: dict[str, TrialState]) -> None:
    trial = started["stops"]
    assert [attempt.state for attempt in trial.attempts.values()] == ["waiting", "finished"]
    assert [one["epoch"] for one in trial.history()] == [1, 2]


def test_loops_for_horovod_s_own_interface_train_one_model(tmp_path: Path) -> None:
    """Under Keras 3, which Horovod does not know, each rank would train a model of its own."""
    run = stands_ready(tmp_path / "two", "horovod_api")
    found = {trial.params["how"]: trial.attempt for trial in run.trials.values()}
    assert [attempt.error for attempt in found.values()] == ["", ""]
    assert [attempt.metrics["spread"] for attempt in found.values()] == pytest.approx([0, 0], abs=1e-9)
    assert found["tape"].metrics["weights"] == pytest.approx(found["fit"].metrics["weights"], rel=1e-5)
