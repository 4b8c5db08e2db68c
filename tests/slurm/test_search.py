"""Searches on a real SLURM: jobs ask for their trials, two ranks train each."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hpc.jobs.outcome import MAX_LOSSES
from hpc.jobs.source.study import open_study
from hpc.results import Run, TrialState
from hpc.sweeps import load_stored
from hpc.sweeps.document import write
from tests.hpc import test_search_coordinator as searching
from tests.slurm.conftest import Site, until

pytestmark = pytest.mark.slurm
SWEEP = {**searching.SWEEP, "name": "search", "data": {"name": "digits", "train": 512, "validation": 128}}


def ask_for(site: Site, **changes: object) -> Path:
    path = site.folder / "search.yaml"
    path.write_text(write({**SWEEP, **changes}))
    return path


def states(run: Run) -> set[str]:
    """Of all tries in the run's study, to tell that none is left running."""
    study = open_study(load_stored(run.sweep_file), run)
    return {one.state.name for which in (study.studies.search, study.studies.confirm) for one in which.trials}


def test_two_jobs_of_two_ranks_ask_one_search_and_the_winner_is_confirmed(site: Site) -> None:
    site.profiles(
        "pairs: {cluster: slurm, nodes: 2, workers: 2, cpus_per_rank: 1, time_min: 10, backend: gloo}\n"
    )
    sweep = ask_for(site, confirm={"best": 2, "seeds": 2})
    said = site.hpc("submit", sweep, "--on", "pairs", "--dir", "r")
    assert "submitted in 2 jobs" in said
    assert "Nothing to submit" in site.hpc("submit", sweep, "--on", "pairs", "--dir", "r")
    until(lambda: not site.is_busy(), 300, lambda: site.hpc("status", "r", code=None) + site.logs())
    run = site.run()
    counts = run.counts()
    assert counts["total"] == counts["finished"] + counts["pruned"] == 14, site.logs()
    assert counts["pruned"] > 0
    assert {trial.attempt.ranks for trial in run.trials.values()} == {2}
    confirmed = [trial for trial in run.trials.values() if trial.stage]
    assert sorted(trial.seed for trial in confirmed) == [1, 1, 2, 2]
    assert len({trial.attempt.job_id for trial in run.trials.values()}) == 2
    assert "RUNNING" not in states(run)
    assert "on average over 2 trainings" in site.hpc("resume", "r") + _words(run)


def test_a_search_is_cancelled_resumed_and_extended(site: Site) -> None:
    site.profiles("two: {cluster: slurm, workers: 2, cpus_per_rank: 1, time_min: 10}\n")
    # Without a pruner, so that no machine is through before it is cancelled.
    sweep = ask_for(site, fixed={"epochs": 200, "batch_size": 8}, search={"method": "tpe", "trials": 6})
    site.hpc("submit", sweep, "--on", "two", "--dir", "r")
    until(lambda: any(trial.attempt.epochs for trial in site.run().trials.values()), 200, site.logs)
    site.hpc("cancel", "r")
    until(lambda: not site.is_busy(), 100, site.logs)
    before = site.run()
    assert len(before.trials) < 6 or any(trial.state == "waiting" for trial in before.trials.values())
    assert "RUNNING" not in {trial.state for trial in before.trials.values()}
    site.hpc("resume", "r")
    until(lambda: not site.is_busy(), 200, lambda: site.hpc("status", "r", code=None) + site.logs())
    run = site.run()
    counts = run.counts()
    assert counts["total"] == counts["finished"] + counts["pruned"] == len(run.trials) == 6, site.logs()
    assert set(before.trials) <= set(run.trials)
    assert "RUNNING" not in states(run)
    assert "r has 8 settings now." in site.hpc("extend", "r", "--trials", "+2")
    until(lambda: not site.is_busy(), 200, lambda: site.hpc("status", "r", code=None) + site.logs())
    counts = site.run().counts()
    assert counts["total"] == counts["finished"] + counts["pruned"] == 8, site.logs()
    assert "RUNNING" not in states(site.run())


def test_a_search_is_followed_to_its_end(site: Site) -> None:
    site.profiles("two: {cluster: slurm, workers: 2, cpus_per_rank: 1, time_min: 10}\n")
    said = site.hpc("run", ask_for(site), "--on", "two", "--dir", "r")
    assert not site.is_busy()
    assert site.run().counts()["waiting"] == 0
    assert len(site.run().trials) == 10
    assert "10 trials" in said
    assert "RUNNING" not in states(site.run())


def _words(run: Run) -> str:
    from hpc.results import winner

    found = winner(run)
    return found.format() if found else ""


@pytest.mark.slow
def test_ranks_that_are_killed_cost_no_trial_and_leave_no_zombie(site: Site) -> None:
    site.profiles(
        "pairs: {cluster: slurm, nodes: 2, workers: 2, cpus_per_rank: 1, time_min: 15, backend: gloo, "
        "checkpoint_min: 0.0}\n"
    )
    sweep = ask_for(
        site, data={"name": "digits"}, fixed={"epochs": 40, "batch_size": 8}, space={
            "learning_rate": {"low": 1e-4, "high": 0.01, "log": True}, "hidden_size": [8, 16, 32]}
    )  # fmt: skip
    site.hpc("submit", sweep, "--on", "pairs", "--dir", "r")
    rng = random.Random(0)
    for _ in range(4):
        until(lambda: bool(_training(site)), 200, site.logs)
        time.sleep(rng.uniform(0, 2))
        ranks = _training(site)
        if ranks:
            os.kill(rng.choice(ranks), signal.SIGKILL)
        time.sleep(1)
    until(lambda: not site.is_busy(), 500, lambda: site.hpc("status", "r", code=None) + site.logs())
    run = site.run()
    # All were tried; one that has cost three workers at the same epoch is given up, and rightly so.
    given_up = [trial for trial in run.trials.values() if trial.state not in ("finished", "pruned")]
    assert run.counts()["total"] == len(run.trials) == 10, site.logs()
    assert all(trial.losses > MAX_LOSSES for trial in given_up), site.logs()
    assert "RUNNING" not in states(run)
    assert any(len(trial.attempts) > 1 for trial in run.trials.values())


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["ranks", "job"])
def test_a_job_that_can_not_go_on_leaves_its_trial_to_others(site: Site, killed: str) -> None:
    """It sees to that itself; where it is gone without a word, whoever asks how things stand does."""
    site.profiles(
        "pairs: {cluster: slurm, nodes: 2, workers: 2, cpus_per_rank: 1, time_min: 15, backend: gloo, "
        "checkpoint_min: 0.0}\n"
    )
    sweep = ask_for(
        site, data={"name": "digits"}, fixed={"epochs": 80, "batch_size": 8},
        search={"method": "tpe", "trials": 3},
    )  # fmt: skip
    site.hpc("submit", sweep, "--on", "pairs", "--dir", "r")

    def its_trial() -> list[TrialState]:
        trials = site.run().trials.values()
        return [one for one in trials if one.attempts[1].job_id.endswith("_1") and one.attempts[1].epochs]

    until(lambda: bool(its_trial()), 200, site.logs)
    (trial,) = its_trial()
    job = trial.attempts[1].job_id
    end = {"ranks": "error", "job": "ended"}[killed]
    deadline = time.monotonic() + 120
    while end not in site.run().jobs[job] and time.monotonic() < deadline:
        ranks = _ranks(site, job)
        # Ranks that outlive their job's script stop in order, and see to it themselves.
        for process in ranks[:1] if killed == "ranks" else [*_supervisors(job), *ranks]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if killed == "job":
            site.hpc("status", "r")
        time.sleep(0.5)
    assert end in site.run().jobs[job], site.logs()
    until(lambda: not site.is_busy(), 500, lambda: site.hpc("status", "r", code=None) + site.logs())
    run = site.run()
    assert run.counts()["finished"] == run.counts()["total"] == 3, site.logs()
    last = run.trials[trial.trial_id].attempt
    assert (last.job_id != job, last.after is not None) == (True, True)
    assert states(run) <= {"COMPLETE", "FAIL"}


def _ranks(site: Site, job: str = "") -> list[int]:
    """Processes of ranks, of this run or of one job of it."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        is_rank = "rank" in command and "srun" not in command[0]
        if is_rank and str(site.folder / "r") in command[-1] and f"{job}." in command[-1]:
            found.append(process.pid)
    return found


def _supervisors(job: str) -> list[int]:
    """The process that sees to the ranks of one job."""
    array, _, task = job.partition("_")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if ["-m", "hpc.jobs", "job"] in (command[n : n + 3] for n in range(len(command))):
            env = process.environ()
            if (env.get("SLURM_ARRAY_JOB_ID"), env.get("SLURM_ARRAY_TASK_ID")) == (array, task):
                found.append(process.pid)
    return found


def _training(site: Site) -> list[int]:
    """Processes of ranks, while some trial of this run is under way."""
    trials = site.run().trials.values()
    return _ranks(site) if any(one.state == "running" and one.attempt.epochs for one in trials) else []
