"""Searches from the command on: trained, pruned, killed, gone on with, extended, confirmed."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpc import results, running, sweeps
from hpc.extending import extend
from hpc.jobs.source.study import open_study
from hpc.results import Run, RunError
from hpc.results.plots import ChartData as Subject
from hpc.sweeps import Sweep, load_stored
from hpc.sweeps.document import write
from tests.conftest import Hpc, environment

SWEEP: dict[str, Any] = {
    "name": "s",
    "model": "mlp",
    "data": "digits",
    "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "hidden_size": [8, 16, 32]},
    "fixed": {"epochs": 9, "batch_size": 64},
    "search": {"method": "tpe", "trials": 10, "sampler": {"n_startup_trials": 4},
               "pruner": {"name": "asha", "reduction_factor": 3}},
    "objective": "val_accuracy",
}  # fmt: skip


def sweep_of(**changes: Any) -> Sweep:
    return sweeps.parse({**SWEEP, **changes})


def zombies(folder: Path) -> int:
    """Tries that the study still takes for running."""
    study = open_study(load_stored(folder / "sweep.yaml"), Run(folder))
    return sum(
        one.state.name == "RUNNING"
        for which in (study.studies.search, study.studies.confirm)
        for one in which.trials
    )


def points(folder: Path) -> list[tuple[str, int, float | None, int]]:
    """What was tried and what came of it, in the order in which it was asked for."""
    trials = sorted(Run(folder).trials.values(), key=lambda trial: trial.index)
    return [(t.trial_id, t.seed, t.attempt.best, t.attempt.epochs) for t in trials]


@pytest.mark.slow
def test_a_search_prunes_confirms_goes_on_and_is_extended(hpc: Hpc, tmp_path: Path) -> None:
    path, folder = tmp_path / "s.yaml", tmp_path / "r"
    path.write_text(write({**SWEEP, "confirm": {"best": 2, "seeds": 2}}))
    done = hpc("run", "s.yaml", "--dir", "r", "--workers", "2")
    assert done.returncode == 0, done.stderr
    run = Run(folder)
    counts = run.counts()
    assert counts["finished"] + counts["pruned"] == counts["total"] == 14
    assert counts["pruned"] >= 3
    assert "on average over 2 trainings" in done.stdout.replace("\n", " ")
    confirmed = [trial for trial in run.trials.values() if trial.stage]
    assert Counter(trial.seed for trial in confirmed) == {1: 2, 2: 2}
    frame = results.table(folder)
    assert list(frame["stage"].dropna()) == ["confirm"] * 4
    assert set(frame[frame["state"] == "pruned"]["epochs"]) <= {1, 3}
    assert "Nothing to do" in hpc("resume", "r").stdout
    assert json.loads(hpc("status", "r", "--json").stdout)["trials"]["total"] == 14

    # Two settings more; of the best settings then, those that were not confirmed yet are.
    before = points(folder)
    done = hpc("extend", "r", "--trials", "+2")
    assert done.returncode == 0, done.stderr
    assert "r has 12 settings now." in done.stdout
    run = Run(folder)
    assert {one[0] for one in before} < set(run.trials)
    assert sum(not trial.stage for trial in run.trials.values()) == 12
    assert run.counts()["waiting"] == 0
    assert load_stored(folder / "sweep.yaml").search.trials == 12
    assert zombies(folder) == 0
    assert hpc("report", "r").returncode == 0
    page = (folder / "report.html").read_text()
    assert "pruned" in page
    assert "more are in" not in page  # all settings are on it
    drawn = Subject(Run(folder)).best_first  # charts and leaderboard have the same settings in the same order
    assert [trials[0] for trials in drawn["trials"]] == list(results.leaderboard(Run(folder), 99)["trial_id"])
    for value, trials in zip(drawn["best_val_accuracy"], drawn["trials"], strict=True):
        assert value == pytest.approx(statistics.mean(run.trials[one].attempt.best or 0 for one in trials))


@pytest.mark.slow
def test_the_same_sweep_with_one_worker_gives_the_same_trials_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert running.run(sweep_of(), folder=tmp_path / name, workers=1).is_good
    assert points(tmp_path / "a") == points(tmp_path / "b")
    assert len(points(tmp_path / "a")) == 10


@pytest.mark.slow
def test_two_ranks_prune_at_the_same_epoch(tmp_path: Path) -> None:
    """Were they to differ, one would wait for the other in the next step."""
    assert running.run(sweep_of(), folder=tmp_path / "two", workers=1, ranks=2).is_good
    assert running.run(sweep_of(), folder=tmp_path / "one", workers=1, ranks=1).is_good
    trials = Run(tmp_path / "two").trials.values()
    assert {trial.attempt.ranks for trial in trials} == {2}
    assert sum(trial.state == "pruned" for trial in trials) >= 3
    # Sums are rounded otherwise, so that from some trial on the sampler may choose otherwise.
    assert [one[0] for one in points(tmp_path / "two")[:4]] == [
        one[0] for one in points(tmp_path / "one")[:4]
    ]


@pytest.mark.slow
def test_ctrl_c_and_resume(tmp_path: Path) -> None:
    """The trials under way are taken up again, and the search goes on with what it knew."""
    long = sweep_of(fixed={"epochs": 120, "batch_size": 8}, search={"method": "tpe", "trials": 4})
    (tmp_path / "s.yaml").write_text(long.as_yaml().replace("defaults: {}", ""))
    command = [str(Path(sys.executable).with_name("hpc")), "run", "s.yaml", "--dir", "r", "--workers", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "r" / "sweep.yaml").exists() or not any(
        trial.attempt.epochs > 2 for trial in Run(tmp_path / "r").trials.values()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
    stopped = {name for name, trial in Run(tmp_path / "r").trials.items() if trial.state != "finished"}
    assert stopped
    outcome = running.resume(tmp_path / "r", workers=2)
    assert outcome.is_good
    run = Run(tmp_path / "r")
    assert len(run.trials) == 4
    assert stopped <= set(run.trials)
    assert zombies(tmp_path / "r") == 0


@pytest.mark.slow
def test_workers_killed_at_random_cost_no_trial_and_leave_no_zombie(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        write(
            {**SWEEP, "fixed": {"epochs": 60, "batch_size": 2}, "search": {**SWEEP["search"], "trials": 20}}
        )
    )
    command = [str(Path(sys.executable).with_name("hpc")), "run", "s.yaml", "--dir", "r", "--workers", "2"]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=out, stderr=out)
    rng, killed = random.Random(0), 0
    struck: set[str] = set()
    while killed < 6 and process.poll() is None:
        time.sleep(rng.uniform(0.1, 1.0))
        if killed < 2:  # these are only starting
            if workers := _ranks(process.pid):
                os.kill(rng.choice(workers), signal.SIGKILL)
                killed += 1
            continue
        # No trial twice: one that costs three workers in a row is given up, and rightly so.
        found = [(t, rank) for t, rank in _training(tmp_path / "r") if t not in struck]
        if found:
            trial, rank = rng.choice(found)
            os.kill(rank, signal.SIGKILL)
            struck.add(trial)
            killed += 1
    assert process.wait(300) == 0, (tmp_path / "out").read_text()
    run = Run(tmp_path / "r")
    counts = run.counts()
    assert killed == 6
    assert counts["finished"] + counts["pruned"] == counts["total"] == len(run.trials) == 20
    assert zombies(tmp_path / "r") == 0
    assert max(len(trial.attempts) for trial in run.trials.values()) > 1


def _ranks(pid: int) -> list[int]:
    """Processes that train under a command: those that have no child."""
    try:
        family = psutil.Process(pid).children(recursive=True)
        return [one.pid for one in family if not one.children() and "submitit" in " ".join(one.cmdline())]
    except psutil.NoSuchProcess:
        return []


def _training(folder: Path) -> list[tuple[str, int]]:
    """Trials that are being trained in a run, and by which living process."""
    run = Run(folder)
    running = [trial for trial in run.trials.values() if trial.state == "running"]
    pids = [(trial.trial_id, run.jobs[trial.attempt.job_id].get("pid")) for trial in running]
    return [(trial, rank) for trial, pid in pids if pid for rank in _ranks(pid)]


@pytest.mark.slow
def test_points_with_too_many_parameters_are_left_out(tmp_path: Path) -> None:
    limit = ["parameters <= 1000"]
    search = {"method": "tpe", "trials": 4}
    sizes = [2, 4, 8, 64, 128]
    space = {"hidden_size": sizes, "learning_rate": [0.01, 0.02]}
    sweep = sweep_of(space=space, constraints=limit, search=search, fixed={"epochs": 1})
    assert running.run(sweep, folder=tmp_path / "tpe", workers=1).is_good
    trials = Run(tmp_path / "tpe").trials.values()
    assert len(trials) == 4
    assert all(trial.attempt.workload["parameters"] <= 1000 for trial in trials)
    # A search that learns has one seed: it is confirmation that would tell settings apart.
    found = results.winner(Run(tmp_path / "tpe"))
    assert found is not None
    assert "`confirm: {best: 5, seeds: 3}` could" in found.format()
    # In a grid it is a trial nevertheless, which was not trained.
    grid = sweep_of(space=space, constraints=limit, search="grid", fixed={"epochs": 1})
    assert running.run(grid, folder=tmp_path / "grid", workers=1).is_good
    states = {
        (t.params["hidden_size"], t.state, t.attempt.epochs) for t in Run(tmp_path / "grid").trials.values()
    }
    assert states == {
        (2, "finished", 1), (4, "finished", 1), (8, "finished", 1), (64, "pruned", 0), (128, "pruned", 0)
    }  # fmt: skip


@pytest.mark.slow
def test_a_budget_ends_a_search_and_that_is_well(tmp_path: Path) -> None:
    """Of ten trials there is time for some; how many depends on the machine."""
    sweep = sweep_of(
        budget={"core_hours": 45 / 3600}, search={"method": "tpe", "trials": 2000},
        fixed={"epochs": 30, "batch_size": 32},
    )  # fmt: skip
    outcome = running.run(sweep, folder=tmp_path / "r", workers=1)
    run = outcome.run
    assert outcome.is_good
    assert 1 <= len(run.trials) < 2000
    assert run.over.startswith("budget: 0.0125 core_hours, of which ")
    from hpc.results.stats import allocated

    assert allocated(run, time.time())["core_hours"] < 60 / 3600
    assert running.resume(tmp_path / "r", workers=1).trained == 0


@pytest.mark.slow
def test_patience_ends_a_trial_and_its_best_weights_are_kept(tmp_path: Path) -> None:
    fixed = {
        "epochs": 200,
        "batch_size": 64,
        "patience": 3,
        "restore_best_weights": True,
        "learning_rate": 0.03,
    }
    sweep = sweep_of(space={"hidden_size": [32]}, fixed=fixed, search="grid", keep="all")
    assert running.run(sweep, folder=tmp_path / "r", workers=1).is_good
    run = Run(tmp_path / "r", keep_epochs=True)
    (trial,) = run.trials.values()
    curve = [record["metrics"]["val_accuracy"] for record in trial.history()]
    best = curve.index(max(curve))
    assert len(curve) == best + 1 + 3 == trial.attempt.epochs < 200
    assert trial.attempt.metrics["val_accuracy"] == trial.attempt.best == max(curve)
    counts = trial.attempt.confusion["validation"]
    right = sum(counts[place][place] for place in range(10)) / sum(map(sum, counts))
    assert right == pytest.approx(max(curve))


@pytest.mark.slow
def test_patience_and_best_weights_go_on_to_the_bit(hpc: Hpc, tmp_path: Path) -> None:
    fixed = {
        "epochs": 12,
        "batch_size": 64,
        "patience": 3,
        "restore_best_weights": True,
        "learning_rate": 0.03,
    }
    (tmp_path / "s.yaml").write_text(write({**SWEEP, "fixed": fixed, "space": {"hidden_size": [32]},
                                            "search": "grid"}))  # fmt: skip
    said = hpc("verify-resume", "s.yaml")
    assert said.stdout.count("identical to the last bit") == 2, said.stdout + said.stderr


@pytest.mark.slow
def test_a_storage_that_does_not_answer_is_said_before_anything_is_trained(hpc: Hpc, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(write(SWEEP))
    done = hpc("run", "s.yaml", "--dir", "r", "--storage", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert done.returncode == 2
    assert "hpc: the storage of the search, postgresql+psycopg://nobody@127.0.0.1:1/none, can't be used:" in (
        done.stderr
    )


@pytest.mark.slow
def test_a_run_is_extended_only_where_that_makes_sense(tmp_path: Path) -> None:
    sweep = sweep_of(search={"method": "random", "trials": 2}, fixed={"epochs": 1})
    assert running.run(sweep, folder=tmp_path / "r", workers=1).is_good
    before = points(tmp_path / "r")
    assert extend(tmp_path / "r", "3") == 3
    assert running.resume(tmp_path / "r", workers=1).is_good
    assert points(tmp_path / "r")[:2] == before
    assert len(points(tmp_path / "r")) == 3
    with pytest.raises(
        RunError, match=r"search.trials is 2, .* `hpc resume .*/r` goes on with it; `hpc extend"
    ):
        running.run(sweep, folder=tmp_path / "r", workers=1)
    wrong = [("3", "has 3 trials already"), ("+x", "neither so many more"), ("+0", "neither")]
    for trials, said in [*wrong, ("+1000000", "1,000,003 settings, and a run may have 1,000,000 trials")]:
        with pytest.raises(RunError, match=said.replace("+", r"\+")):
            extend(tmp_path / "r", trials)
    grid = sweep_of(search="grid", fixed={"epochs": 1}, space={"hidden_size": [8]})
    assert running.run(grid, folder=tmp_path / "g", workers=1).is_good
    with pytest.raises(RunError, match="is a grid, which has no number of trials"):
        extend(tmp_path / "g", "+2")


@pytest.mark.slow
def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    search = {"method": "tpe", "trials": 6}
    sweep = sweep_of(objective=["val_accuracy", "parameters"], search=search, fixed={"epochs": 2})
    assert running.run(sweep, folder=tmp_path / "r", workers=1).is_good
    frame = results.table(tmp_path / "r")
    best = frame[frame["pareto"]]
    for row in frame.itertuples():
        better = (frame["val_accuracy"] >= row.val_accuracy) & (frame["parameters"] <= row.parameters)
        strictly = (frame["val_accuracy"] > row.val_accuracy) | (frame["parameters"] < row.parameters)
        assert row.pareto == (not (better & strictly).any())
    assert 1 <= len(best) <= 6
