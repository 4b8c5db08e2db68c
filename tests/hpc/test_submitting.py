"""Submitting, watching and cancelling by the command, against a SLURM that only remembers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner, Result

from hpc import reconcile, slurm_watch, submitting, sweeps, waiting, watching
from hpc.cli.app import app
from hpc.doctor import write_doctor_cache
from hpc.jobs.launch import Launch
from hpc.jobs.node import Holder
from hpc.jobs.supervisor import supervise
from hpc.lock import holder, lock
from hpc.outcome import Outcome, View
from hpc.profile import Named, Profile, find
from hpc.request import RunRequest
from hpc.results import Records, Run, RunError
from hpc.schedulers import slurm as scheduler
from hpc.schedulers.base import QueueSnapshot, UnreachableError
from hpc.schedulers.slurm import Slurm
from hpc.submitting import Submission
from hpc.sweeps import Sweep
from hpc.sweeps.document import write
from tests.conftest import ROOT
from tests.house import HEAVY
from tests.hpc.fake_slurm import FakeSlurm

FOUR = {
    "name": "small",
    "model": "mlp",
    "data": "digits",
    "space": {"dropout": [0.0, 0.1, 0.2, 0.3]},
    "fixed": {"epochs": 1},
    "objective": "val_accuracy",
}
PROFILES = """
two: {cluster: slurm, workers: 2}
gpus: {cluster: slurm, workers: 2, nodes: 2, gpus_per_node: 4, time_min: 90, partition: gpu, python: python3}
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A SLURM, and a folder to work in with a sweep of four trials and profiles."""
    fake = FakeSlurm.install(tmp_path / "slurm", monkeypatch)
    work = tmp_path / "work"
    work.mkdir()
    (work / "small.yaml").write_text(write(FOUR))
    (work / "profiles.yaml").write_text(PROFILES)
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return fake


@pytest.fixture
def slurm(commands: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """The same, which answers in this process."""
    commands.quick(monkeypatch)
    return commands


class Sleeper(waiting.Clock):
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


@pytest.fixture
def clock() -> Iterator[None]:
    """Commands that wait by time that passes by sleeping only."""
    with waiting.by(Sleeper()):
        yield


def hpc(*arguments: str | Path) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


def sweep() -> Sweep:
    return sweeps.load(Path("small.yaml"))


def submit(folder: str | Path = "run", **options: Any) -> Submission:
    return submitting.submit(sweep(), on="two", folder=folder, **options)


def held(slurm: FakeSlurm) -> Counter[int]:
    """How many living jobs each trial is with, by what their scripts say."""
    found: Counter[int] = Counter()
    for array in slurm.arrays.values():
        command = shlex.split(array["script"].split("# command\n")[1])
        folder, first = command[-2:]
        launch, run = Launch.read(Path(folder)), Run(Path(folder).parents[1])
        for index, job in array["jobs"].items():
            if job["state"] in ("PENDING", "RUNNING"):
                found.update(trial.index for trial in launch.trials(int(first) + int(index), run))
    return found


def writes(folder: str | Path, job: str) -> Records:
    return Records(Path(folder) / "records" / f"{job}.jsonl")


def begins(folder: str | Path, job: str, index: int, state: str = "running", attempt: int = 1) -> str:
    """Write what a job does that takes up a trial; the trial's id."""
    trial = next(t for t in Run(folder).trials.values() if t.index == index)
    who = {"trial": trial.trial_id, "attempt": attempt}
    records = writes(folder, job)
    records.append(
        "started", **who, index=index, params=trial.params, seed=trial.seed, ranks=1, job=job, node="n1"
    )
    if state == "finished":
        records.append(
            "finished", **who, epochs=1, metrics={"val_accuracy": 0.9}, best=0.9, seconds=2.0, weights=""
        )
    if state == "stopped":
        records.append("stopped", **who, why="SIGUSR2", seconds=1.0)
    records.close()
    return trial.trial_id


def states(folder: str | Path) -> list[str]:
    trials = sorted(Run(folder).trials.values(), key=lambda trial: trial.index)
    return [t.attempt.reason or t.state for t in trials]


# --- submitting


def test_submitting_returns_though_no_job_has_run(commands: FakeSlurm) -> None:
    done = hpc("submit", "small.yaml", "--on", "two")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "small: 4 trials submitted in 2 jobs, SLURM 1 array 101.",
        "How it stands:  hpc status runs/small --watch",
        "The results:    hpc table runs/small",
        "Stop, go on:    hpc cancel runs/small;  hpc resume runs/small",
    ]
    assert [call[0] for call in commands.calls()] == ["scontrol", "sbatch"]
    assert held(commands) == Counter({0: 1, 1: 1, 2: 1, 3: 1})
    assert commands.arrays["101"]["cwd"] == str(Path("runs/small/jobs/1").resolve())
    assert states("runs/small") == ["waiting"] * 4


def test_submitting_again_submits_nothing(commands: FakeSlurm) -> None:
    hpc("submit", "small.yaml", "--on", "two")
    commands.forget_calls()
    again = hpc("submit", "small.yaml", "--on", "two")
    assert again.exit_code == 0
    assert again.stdout.startswith("Nothing to submit: 4 trials are with jobs already.")
    assert [call[0] for call in commands.calls()] == ["scontrol", "squeue"]
    for index in range(4):
        begins("runs/small", "101_0", index, "finished")
    commands.set("101", "COMPLETED")
    over = hpc("submit", "small.yaml", "--on", "two")
    assert over.stdout.startswith("Nothing to submit: no trial of runs/small is left to train.")
    assert commands.count("sbatch") == 0


def test_a_dry_run_shows_what_would_be_submitted_and_submits_nothing(slurm: FakeSlurm) -> None:
    slurm.change(config={"MaxArraySize": "3"})
    done = hpc("submit", "small.yaml", "--on", "gpus", "--workers", "4", "--dry-run")
    assert done.exit_code == 0
    for said in (
        "#SBATCH --array=0-2%3",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --partition=gpu",
        f"exec python3 -u -m hpc.jobs job {Path('runs/small/jobs/1').resolve()} 0",
        "# it starts the ranks by: srun ",
        "4 trials; into runs/small\n",
        "2 arrays (3 + 1 jobs; MaxArraySize is 3), at most 3 jobs at once, with profile gpus",
        "each job: 2 nodes, 8 ranks, 8 GPUs, 90 min; at once: 24 ranks, 24 GPUs",
        "at most 12.0 node-hours, and anew for each time that a job is requeued (20 at most)",
        "Nothing was submitted (--dry-run).",
    ):
        assert said in done.stdout
    assert len(re.findall(r"^t\w{10} ", done.stdout, re.MULTILINE)) == 4
    assert [call[0] for call in slurm.calls()] == ["scontrol"]
    assert not Path("runs").exists()


def test_a_dry_run_needs_no_slurm(slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = hpc("run", "small.yaml", "--on", "two", "--dry-run")
    assert done.exit_code == 0
    assert "1 array (2 jobs; MaxArraySize is 1001)" in done.stdout


@pytest.mark.parametrize("name", ["a b", "it's", 'say "so"', "two\nlines", "$HOME `id`", "#x", "100%j"])
def test_folders_may_have_any_name(slurm: FakeSlurm, name: str) -> None:
    submitted = submit(Path("runs") / name)
    assert (submitted.job_ids, submitted.trials) == (["101"], 4)
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})
    assert submit(Path("runs") / name).covered == 4


def test_long_arrays_are_split_and_wait_for_each_other(commands: FakeSlurm) -> None:
    commands.change(config={"MaxArraySize": "1"})
    done = hpc("submit", "small.yaml", "--on", "two", "--workers", "3")
    assert "4 trials submitted in 3 jobs, SLURM 3 arrays 101, 103, 105." in done.stdout
    options = [array["options"] for array in commands.arrays.values()]
    assert [o["array"] for o in options] == ["0-0%1"] * 3
    assert [o.get("dependency") for o in options] == [None, "afterany:101", "afterany:103"]
    assert held(commands) == Counter({0: 1, 1: 1, 2: 1, 3: 1})


def test_what_is_unfinished_after_a_cancel_is_resumed(commands: FakeSlurm) -> None:
    submit()
    begins("run", "101_0", 0, "finished")
    begins("run", "101_0", 2)
    commands.set("101_0", "RUNNING", nodes="n1")
    assert "SLURM jobs 101 are cancelled. `hpc resume run`" in hpc("cancel", "run").stdout
    assert states("run") == ["finished", "waiting", "cancelled", "waiting"]
    resumed = hpc("resume", "run")
    assert resumed.exit_code == 0
    assert "small: 3 trials submitted in 2 jobs, SLURM 1 array 104." in resumed.stdout
    assert held(commands) == Counter({1: 1, 2: 1, 3: 1})


def test_more_workers_are_not_taken_than_the_profile_says(slurm: FakeSlurm) -> None:
    first = submit(workers=1)
    slurm.set("101_0", "RUNNING")
    run = first.run
    with lock(run.folder):  # its jobs hold two trials, say
        folder = run.jobs_folder / "1"
        launch = Launch.read(folder)
        replace(launch, jobs=(launch.jobs[0][:2],)).write(folder)
    second = submit(workers=2)
    assert (second.trials, second.covered, second.jobs) == (2, 2, 1)


@pytest.mark.slow
def test_submitting_loads_nothing_heavy(commands: FakeSlurm) -> None:
    code = (
        "import sys\nfrom hpc.cli.app import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "submit", "small.yaml", "--on", "two"],
        capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "hpc.submitting" in loaded
    assert not loaded & (HEAVY | {"hpc.jobs.worker", "pandas"})
    assert "SLURM 1 array 101." in done.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SBATCH_JOB_NAME", "mine"), ("SBATCH_PARTITION", "short"), ("SBATCH_ARRAY_INX", "5-6")],
)
def test_a_variable_of_the_users_does_not_undo_the_profile(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    submitting.submit(sweep(), on="gpus", folder="run")
    options = slurm.arrays["101"]["options"]
    assert (options["partition"], options["array"]) == ("gpu", "0-1%2")
    assert options["job-name"] == next(iter(Run("run").arrays))


# --- what SLURM may do


def test_a_slurm_that_comes_back_is_waited_for(slurm: FakeSlurm, clock: None) -> None:
    slurm.fail("scontrol", "unreachable", "unreachable")
    slurm.fail("sbatch", "unreachable", "unreachable")
    notes: list[str] = []
    assert submit(note=notes.append).job_ids == ["101"]
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})
    assert notes == [
        "scontrol: Unable to contact slurm controller (connect failure) Trying again.",
        "scontrol: Unable to contact slurm controller (connect failure) Trying again.",
        "sbatch: Batch job submission failed: Unable to contact slurm controller (connect failure) "
        "Trying again.",
        "sbatch: Batch job submission failed: Unable to contact slurm controller (connect failure) "
        "Trying again.",
    ]


def test_a_job_whose_id_was_lost_on_the_way_is_found_and_not_submitted_twice(
    slurm: FakeSlurm, clock: None
) -> None:
    slurm.fail("sbatch", "lost")
    assert submit().job_ids == ["101"]
    assert slurm.count("sbatch") == 1
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})
    assert submit().covered == 4


def test_a_lost_answer_is_not_submitted_twice_though_squeue_fails_too(slurm: FakeSlurm, clock: None) -> None:
    slurm.fail("sbatch", "lost")
    slurm.fail("squeue", "unreachable", "unreachable")
    assert submit().job_ids == ["101"]
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})


def test_the_array_after_one_whose_answer_was_lost_waits_for_it(slurm: FakeSlurm, clock: None) -> None:
    slurm.change(config={"MaxArraySize": "1"})
    slurm.fail("sbatch", "lost", "ok")
    assert submit().job_ids == ["101", "103"]
    assert slurm.arrays["103"]["options"]["dependency"] == "afterany:101"


def test_a_slurm_that_stays_away_is_told_of_and_the_same_command_goes_on(
    slurm: FakeSlurm, clock: None
) -> None:
    slurm.change(config={"MaxArraySize": "1"})
    slurm.fail("sbatch", "ok", "unreachable", always=True)
    done = hpc("submit", "small.yaml", "--on", "two", "--dir", "run")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "hpc: sbatch: Batch job submission failed: Unable to contact slurm controller (connect failure) "
        "What was submitted before is in the queue; the same command again submits the rest."
    )
    assert held(slurm) == Counter({0: 1, 2: 1})
    slurm.fail("sbatch")
    assert submit().trials == 2
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})


def test_an_array_that_was_queued_after_all_is_adopted(slurm: FakeSlurm, clock: None) -> None:
    slurm.fail("sbatch", "lost")
    slurm.fail("squeue", "unreachable", always=True)
    with pytest.raises(UnreachableError):
        submit()
    slurm.fail("sbatch")
    slurm.fail("squeue")
    again = hpc("submit", "small.yaml", "--on", "two", "--dir", "run")
    assert again.stdout.splitlines()[:2] == [
        "Job 101 was submitted by a command that did not live to write it down: adopted.",
        "Nothing to submit: 4 trials are with jobs already.",
    ]
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})


@pytest.mark.parametrize("lines", [0, 1, 3, 5, 6])
def test_arrays_that_the_records_have_lost_are_asked_for(slurm: FakeSlurm, clock: None, lines: int) -> None:
    slurm.change(config={"MaxArraySize": "1"})
    assert submit().job_ids == ["101", "103"]
    path = Path("run/records/run.jsonl")
    whole = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["record"] for line in whole[:6]] == ["sweep", *["planned"] * 4, "launched"]
    path.write_bytes(b"".join(whole[:lines]))
    if lines < 6:
        refused = hpc("resume", "run")
        assert refused.exit_code == 2
        assert "has lost by which profile of SLURM the run was submitted; name it" in refused.stderr
    again = hpc("resume", "run", "--on", "two")
    assert again.exit_code == 0
    assert "2 arrays of jobs. It is written again, from what else the folder holds." in again.stderr
    assert again.stdout.count("was submitted by a command that did not live to write it down: adopted.") == 2
    assert "Nothing to submit: 4 trials are with jobs already." in again.stdout
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})
    assert Run("run").faults() == []


def test_an_array_that_was_queued_though_the_next_try_was_refused_is_adopted(
    slurm: FakeSlurm, clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Slurm()
    asked = late.queue
    answers = iter([QueueSnapshot()])  # the first sbatch is in the queue a little later
    monkeypatch.setattr(late, "queue", lambda names: next(answers, None) or asked(names))
    slurm.fail("sbatch", "lost", "Job violates accounting/QOS policy (job submit limit)")
    with pytest.raises(Exception, match="job submit limit"):
        submit(slurm=late)
    assert submit().covered == 4
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})


def test_a_refusal_is_told_in_slurms_words_and_a_better_profile_goes_on(slurm: FakeSlurm) -> None:
    slurm.change(partitions=["main"])
    Path("profiles.yaml").write_text("two: {cluster: slurm, partition: mian}\n")
    refused = hpc("submit", "small.yaml", "--on", "two", "--dir", "run")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("hpc: sbatch: Batch job submission failed: Invalid partition name spec")
    assert "Mend the profile two (`hpc doctor --on two` says more)" in refused.stderr
    assert held(slurm) == Counter()
    Path("profiles.yaml").write_text("two: {cluster: slurm, partition: main}\n")
    assert hpc("submit", "small.yaml", "--on", "two", "--dir", "run").exit_code == 0
    assert held(slurm) == Counter({0: 1, 1: 1, 2: 1, 3: 1})
    assert slurm.count("sbatch") == 2


@pytest.mark.parametrize("arguments", [("submit", "small.yaml"), ("run", "small.yaml", "--on", "slurm")])
def test_a_machine_without_slurm_says_so(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = hpc(*arguments)
    assert done.exit_code == 1
    assert done.stderr == (
        "hpc: scontrol is not on the PATH of this machine, so it is no login node of a SLURM cluster; "
        "--on local runs here.\n"
    )
    assert not Path("runs").exists()


def test_only_a_profile_of_slurm_is_submitted_to(slurm: FakeSlurm) -> None:
    done = hpc("submit", "small.yaml", "--on", "local")
    assert done.exit_code == 2
    assert "--on local: is not of SLURM, so there is nothing to submit to; `hpc run` runs it" in done.stderr
    assert slurm.calls() == []


def test_another_sweep_is_not_submitted_into_the_folder(slurm: FakeSlurm) -> None:
    submit()
    done = hpc("submit", "small.yaml", "--on", "two", "--dir", "run", "--set", "fixed.epochs=2")
    assert done.exit_code == 2
    assert "run holds another sweep" in done.stderr
    assert slurm.count("sbatch") == 1


# --- killed at every point


@dataclass
class Deadly:
    """Ends the process before the n-th thing that it does to the world."""

    at: int
    count: int = 0

    def __call__(self, target: object, name: str) -> None:
        """Count the calls of a function."""
        real: Callable[..., Any] = getattr(target, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                os._exit(9)
            return real(*arguments, **options)

        setattr(target, name, counted)


def forked(body: Callable[[], None]) -> int:
    """Run something in a process of its own; its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests may have left threads
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        signal.alarm(20)
        body()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def submit_and_die(folder: Path, at: int) -> None:
    deadly = Deadly(at)
    deadly(Records, "append")
    deadly(vars(scheduler)["subprocess"], "run")
    deadly(os, "replace")
    deadly(os, "link")
    deadly(Path, "write_text")
    deadly(Path, "unlink")
    submit(folder)


@pytest.mark.slow
def test_a_submit_that_is_killed_anywhere_leaves_each_trial_with_one_job(
    slurm: FakeSlurm, clock: None
) -> None:
    Path("small.yaml").write_text(write({**FOUR, "space": {"dropout": [0.0, 0.1]}}))
    slurm.change(config={"MaxArraySize": "1"})
    died = 0
    for at in range(1, 100):
        slurm.change(arrays={})
        folder = Path(f"killed-{at}")
        code = forked(lambda at=at, folder=folder: submit_and_die(folder, at))  # type: ignore[misc]
        before = len(slurm.arrays)
        submitted = submit(folder)
        assert held(slurm) == Counter({0: 1, 1: 1}), f"killed at {at}"
        assert submitted.trials + submitted.covered == 2
        assert len(submitted.said) <= 1
        assert len(slurm.arrays) == 2, f"killed at {at}, when there were {before}"
        assert not (folder / "jobs" / "runner.json").exists()
        if code == 0:
            break
        assert code == 9
        died += 1
    assert died > 20


def test_a_killed_command_is_followed_by_status_and_cancel_too(slurm: FakeSlurm, clock: None) -> None:
    def answer_lost(self: Records, record: str, **entries: Any) -> None:
        if record == "array":
            os._exit(9)
        real(self, record, **entries)

    def die() -> None:
        Records.append = answer_lost  # type: ignore[method-assign]
        submit()

    real = Records.append
    assert forked(die) == 9
    (array,) = Run("run").arrays.values()
    assert "job" not in array
    facts = json.loads(hpc("status", "run", "--json").stdout)
    assert [job["state"] for job in facts["jobs"]] == ["PENDING", "PENDING"]
    assert slurm.alive()
    hpc("cancel", "run")
    assert slurm.alive() == []


def test_a_trial_that_runs_in_an_orphan_goes_on(slurm: FakeSlurm, clock: None) -> None:
    slurm.fail("sbatch", "lost")
    slurm.fail("squeue", "unreachable", always=True)
    with pytest.raises(UnreachableError):
        submit()
    slurm.fail("sbatch")
    slurm.fail("squeue")
    name = slurm.arrays["101"]["name"]
    slurm.set("101_0", "RUNNING", nodes="n1")
    records = writes("run", "101_0")
    records.append("began", job="101_0", launch=1, number=0, name=name, restart=0, node="n1")
    records.close()
    begins("run", "101_0", 0)
    assert submit().covered == 4
    assert states("run") == ["running", "waiting", "waiting", "waiting"]


# --- two at once


def test_a_status_in_the_midst_of_a_submit_does_not_give_its_arrays_up(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks squeue before sbatch has answered, and writes after that."""
    looks: list[reconcile.News] = []
    real_submit = Slurm.sbatch

    def slow_submit(self: Slurm, *arguments: Any) -> str:
        looks.append(reconcile.ask(Run("run"), Slurm()))
        return real_submit(self, *arguments)

    monkeypatch.setattr(Slurm, "sbatch", slow_submit)
    run = submit().run
    (news,) = looks
    records = Records(run.records / "run.jsonl")
    reconcile.settle(Run("run"), news, records)
    records.close()
    assert list(reconcile.open_arrays(Run("run"))) == list(run.arrays)
    assert hpc("cancel", "run").exit_code == 0
    assert slurm.alive() == []


def test_submitting_waits_for_a_command_that_has_the_folder_for_a_moment(
    slurm: FakeSlurm, clock: None
) -> None:
    submit()
    held_elsewhere(Path("run"), time.time() + 60)
    assert submit().covered == 4


def held_elsewhere(folder: Path, until: float) -> Path:
    """The lock of a run as a command of another host has it."""
    path = folder / "jobs" / "runner.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Holder("elsewhere", 7, 0.0, until).as_json())
    return path


class Living(Sleeper):
    """Time in which a command of another host gives signs of life, for so long."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self.path = path
        self.seconds = seconds

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.passed < self.seconds:
            os.utime(self.path, (self.passed, self.passed))


@pytest.mark.parametrize("until", [1.0, 1e12], ids=["long ago", "in a far future"])
def test_a_command_on_another_host_is_told_by_its_signs_of_life_and_not_by_the_clock(
    tmp_path: Path, until: float
) -> None:
    """What it has written down says nothing: one of the two clocks may have been set."""
    path = held_elsewhere(tmp_path, until)
    other = holder(tmp_path)
    with waiting.by(Living(path, 50)):
        with pytest.raises(RunError, match="process 7 on elsewhere"), lock(tmp_path, wait_seconds=30):
            pass
        assert holder(tmp_path) == other
        with lock(tmp_path, wait_seconds=60):
            assert holder(tmp_path) != other


def test_a_command_on_another_host_that_carries_a_run_out_is_never_taken_for_gone(
    tmp_path: Path, clock: None
) -> None:
    held_elsewhere(tmp_path, 0.0)
    with pytest.raises(RunError, match="process 7 on elsewhere"), lock(tmp_path, wait_seconds=1000):
        pass
    assert holder(tmp_path) == Holder("elsewhere", 7, 0.0)


@pytest.mark.parametrize("wait_seconds", [0, 5])
def test_a_lock_is_taken_though_it_vanishes_while_one_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_seconds: float
) -> None:
    path, real = held_elsewhere(tmp_path, time.time() + 60), os.link

    def vanishing(source: Path, target: Path) -> None:
        try:
            real(source, target)
        except FileExistsError:
            path.unlink()
            raise

    monkeypatch.setattr(os, "link", vanishing)
    with lock(tmp_path, lease_seconds=60, wait_seconds=wait_seconds):
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()


def test_a_lock_that_another_has_just_taken_over_is_not_taken_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both see a dead holder's lock; the slower of them must not remove the faster one's."""
    path = held_elsewhere(tmp_path, 0.0)
    path.write_text(Holder(socket.gethostname(), os.getpid(), 0.0).as_json())
    real, raced = os.rename, [False]

    def slower(source: Path, target: Path) -> None:
        if not raced[0]:
            raced[0] = True
            held_elsewhere(tmp_path, time.time() + 60)
        real(source, target)

    monkeypatch.setattr(os, "rename", slower)
    with pytest.raises(RunError, match="process 7 on elsewhere"), lock(tmp_path, lease_seconds=60):
        pass
    assert json.loads(path.read_text())["pid"] == 7


def test_a_local_run_leaves_alone_what_is_with_jobs_of_slurm(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_worker(*arguments: object) -> NoReturn:
        raise AssertionError("it would be trained twice")

    submit()
    monkeypatch.setattr("hpc.schedulers.local.LocalJob", no_worker)
    hpc("run", "small.yaml", "--dir", "run")
    assert states("run") == ["waiting"] * 4


# --- how it stands


def test_the_status_costs_one_squeue(slurm: FakeSlurm) -> None:
    submit()
    slurm.set("101_0", "RUNNING", nodes="n1")
    trial = begins("run", "101_0", 0)
    slurm.forget_calls()
    facts = json.loads(hpc("status", "run", "--json").stdout)
    assert [call[0] for call in slurm.calls()] == ["squeue"]
    assert facts["run"] == "run"
    assert facts["trials"] == {
        "waiting": 3, "running": 1, "finished": 0, "pruned": 0, "failed": 0, "total": 4,
    }  # fmt: skip
    assert (facts["best"], facts["lost"], facts["scheduler"]) == (None, 0, "")
    running, pending = facts["jobs"]
    assert (running["job_id"], running["state"], running["host"]) == ("101_0", "RUNNING", "n1")
    assert (running["trial"], running["epoch"], running["log"]) == (trial, 0, "jobs/1/101_0_log.out")
    assert (pending["state"], pending["why"], pending["trial"]) == ("PENDING", "Resources", None)


def test_the_status_costs_one_sacct_more_where_squeue_has_forgotten(commands: FakeSlurm) -> None:
    submit()
    trial = begins("run", "101_0", 0)
    commands.set("101_0", "NODE_FAIL", nodes="n1", squeue=False)
    Path("run/jobs/1/101_0_log.out").write_text("a log\n")
    commands.forget_calls()
    shown = hpc("status", "run").stdout
    assert [call[0] for call in commands.calls()] == ["squeue", "sacct"]
    assert "small: 4 trials: 3 waiting, 1 failed" in shown
    assert "failed: 1 node-failure" in shown
    way = "1 × node-failure: a node of the job failed (SLURM job 101_0: NODE_FAIL on n1)"
    assert f"{way} ({trial}; log: run/jobs/1/101_0_log.out)" in shown
    assert "jobs: 1 NODE_FAIL, 1 PENDING (Resources)" in shown
    commands.forget_calls()
    hpc("status", "run")
    assert [call[0] for call in commands.calls()] == ["squeue"]


def test_a_run_that_is_over_costs_no_question(slurm: FakeSlurm) -> None:
    submit()
    slurm.set("101", "COMPLETED")
    assert "nobody is at it; go on with: hpc resume run" in hpc("status", "run", "--watch").stdout
    slurm.forget_calls()
    hpc("status", "run")
    assert slurm.calls() == []


@pytest.mark.parametrize("fault", ["unreachable", "no SLURM at all"])
def test_where_slurm_does_not_answer_the_status_is_the_last_known(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    submit()
    begins("run", "101_0", 0)
    if fault == "unreachable":
        slurm.fail("squeue", fault, always=True)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    shown = hpc("status", "run")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "4 trials: 3 waiting, 1 running" in shown.stdout
    assert "SLURM does not answer, so jobs are shown as last known: squeue" in shown.stdout
    assert "lost" not in shown.stdout
    facts = json.loads(hpc("status", "run", "--json").stdout)
    assert facts["lost"] == 0
    assert facts["scheduler"].startswith("squeue")
    assert states("run") == ["running", "waiting", "waiting", "waiting"]


def test_where_only_the_accounts_are_down_what_squeue_says_is_shown(slurm: FakeSlurm) -> None:
    submit()
    slurm.set("101_0", "RUNNING", nodes="n1")
    slurm.set("101_1", "COMPLETED", squeue=False)
    slurm.fail("sacct", "Problem talking to the database: Connection refused", always=True)
    facts = json.loads(hpc("status", "run", "--json").stdout)
    assert [job["state"] for job in facts["jobs"]] == ["RUNNING", "UNKNOWN"]
    assert "sacct" in facts["scheduler"]


def test_trials_whose_job_is_gone_are_failed_with_a_reason(slurm: FakeSlurm) -> None:
    submit()
    begins("run", "101_0", 0, "finished")
    begins("run", "101_0", 2)
    begins("run", "101_1", 1)
    Path("run/jobs/1/101_1_log.out").write_text("slurmstepd: error: Detected 1 oom_kill event\n")
    slurm.fail("sacct", "disabled", always=True)
    slurm.set("101", "", squeue=False)
    hpc("status", "run")
    assert states("run") == ["finished", "out-of-memory", "error", "waiting"]
    assert submit().trials == 3


def test_a_table_has_what_slurm_says(slurm: FakeSlurm) -> None:
    submit()
    begins("run", "101_0", 0)
    slurm.set("101", "TIMEOUT")
    rows = hpc("table", "run", "--format", "csv").stdout.splitlines()
    assert [row.split(",")[1:3] for row in rows[1:]].count(["failed", "timeout"]) == 1


# --- cancelling


def test_cancelling_ends_exactly_this_runs_jobs(slurm: FakeSlurm, clock: None) -> None:
    slurm.change(config={"MaxArraySize": "1"})
    submit("run")
    submit("other")
    said = hpc("cancel", "run")
    assert said.exit_code == 0
    assert slurm.calls("scancel") == [["scancel", "101", "103"]]
    assert slurm.alive() == ["105_0", "107_0"]
    assert hpc("cancel", "run").stdout.startswith("nothing of run is running; 4 trials are not finished")
    assert slurm.count("scancel") == 1


def test_jobs_that_take_their_time_to_end_are_told_of(slurm: FakeSlurm, clock: None) -> None:
    submit()
    slurm.change(cancelled="COMPLETING")
    done = hpc("cancel", "run")
    assert done.exit_code == 1
    assert "SLURM was asked to cancel 101 90 seconds ago, and they are not gone yet" in done.stderr
    assert "hpc status run" in done.stderr


def test_nothing_is_cancelled_where_slurm_does_not_answer(slurm: FakeSlurm) -> None:
    submit()
    slurm.fail("squeue", "unreachable", always=True)
    done = hpc("cancel", "run")
    assert done.exit_code == 1
    assert "Unable to contact slurm controller (connect failure) Nothing was cancelled; try" in done.stderr
    assert len(slurm.alive()) == 2


def test_jobs_are_cancelled_though_the_accounts_are_down(slurm: FakeSlurm, clock: None) -> None:
    submit()
    slurm.set("101_1", "COMPLETED", squeue=False)
    slurm.fail("sacct", "Problem talking to the database: Connection refused", always=True)
    hpc("cancel", "run")
    assert slurm.alive() == []


def test_both_of_two_arrays_of_one_name_are_cancelled(slurm: FakeSlurm, clock: None) -> None:
    """A sbatch that was heard late, and again, has made two."""
    submit()
    Slurm().sbatch(next(Path("run/jobs/1").glob("*.sh")).resolve())
    assert len(slurm.alive()) == 4
    hpc("cancel", "run")
    assert slurm.alive() == []


@pytest.mark.parametrize(("trials", "ranks"), [(4, 1), (400, 1), (4, 16)])
def test_a_run_leaves_files_by_the_number_of_its_jobs(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, trials: int, ranks: int
) -> None:
    entries = {**FOUR, "space": {"dropout": {"low": 0.0, "high": 0.5}},
               "search": {"method": "random", "trials": trials}}  # fmt: skip
    submitting.submit(sweeps.parse(entries), on="two", folder="run", ranks=ranks)
    monkeypatch.setattr("hpc.jobs.supervisor.mpi_vendor", lambda: "")
    monkeypatch.setattr("hpc.jobs.supervisor.signal.signal", lambda number, handler: None)
    slurm.change(steps=[f"finish(); [log('hello', rank) for rank in range({ranks})]"] * 2)
    for job in ("0", "1"):
        slurm.set(f"101_{job}", "RUNNING", nodes="n1")
        for name, value in {"ARRAY_JOB_ID": "101", "ARRAY_TASK_ID": job, "JOB_ID": f"20{job}"}.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
        with contextlib.chdir("run/jobs/1"):
            assert supervise(Path.cwd(), 0) == 0
    files = [path for path in Path("run").rglob("*") if path.is_file()]
    names = [re.sub(r"-\w{6}\.0\.sh", ".sh", str(path.relative_to("run"))) for path in files]
    assert sorted(names) == [
        "jobs/1/101_0_ranks_log.out", "jobs/1/101_1_ranks_log.out", "jobs/1/hpc-small.sh",
        "jobs/1/launch.json", "provenance.json", "records/101_0.jsonl", "records/101_1.jsonl",
        "records/run.jsonl", "sweep.yaml",
    ]  # fmt: skip
    said = [path.read_text() for path in files if path.name.endswith("_log.out")]
    assert sum(text.count("hello") for text in said) == 2 * ranks


@pytest.mark.parametrize(
    ("jobs", "pauses"),
    [(1, [2, 3, 4.5, 2]), (100, [2, 3, 4.5, 2]), (1000, [20, 30, 45, 20]), (10_000, [60, 60, 60, 60])],
)
def test_the_more_jobs_the_more_rarely_slurm_is_asked(jobs: int, pauses: list[float]) -> None:
    pause = watching.Pause()
    assert [pause.after(news, jobs) for news in ("a", "a", "a", "b")] == pauses


# --- logs


def test_the_logs_of_a_trial_are_those_of_its_job(slurm: FakeSlurm) -> None:
    submit()
    trial = begins("run", "101_0", 0)
    (Path("run") / "jobs/1/101_0_log.out").write_text("the job\n")
    (Path("run") / "jobs/1/101_0_ranks_log.out").write_text("0: one\n1: another\n")
    (Path("run") / "jobs/1/101_1_log.out").write_text("another job\n")
    shown = hpc("logs", "run", trial[:8]).stdout
    assert shown.splitlines() == [
        "==> run/jobs/1/101_0_log.out <==", "the job",
        "==> run/jobs/1/101_0_ranks_log.out <==", "0: one", "1: another",
    ]  # fmt: skip
    assert "another job" in hpc("logs", "run").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "there is no log of run yet"),
        (["run", "nosuch"], "no trial begins with 'nosuch'"),
        (["run", "t"], "4 trials begin with 't': "),
        (["nowhere"], "nowhere is not the folder of a run: it does not exist"),
    ],
)
def test_logs_that_there_are_not(slurm: FakeSlurm, arguments: list[str], said: str) -> None:
    submit()
    done = hpc("logs", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


# --- watching, for hpc run


class Deeds(Sleeper):
    """A clock by which something happens at each second that hpc run watches."""

    def __init__(self, deeds: Sequence[Callable[[], None]]) -> None:
        super().__init__()
        self.left = list(deeds)

    def sleep(self, seconds: float) -> None:
        super().sleep(100)
        if self.left:
            self.left.pop(0)()
        elif self.passed > 5000:
            raise AssertionError("it watches for ever")


@contextlib.contextmanager
def jobs_do(*deeds: Callable[[], None]) -> Iterator[None]:
    """Let something happen at each second that hpc run watches."""
    clock = Deeds(deeds)
    with waiting.by(clock):
        yield
    assert not clock.left


class Notes(View):
    """A view that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def follow(retry: dict[str, int] | None = None) -> tuple[Outcome, list[str]]:
    profile = Profile.model_validate({"cluster": "slurm", "workers": 2, "retry": retry or {}})
    view = Notes()
    named = Named("two", profile)
    return slurm_watch.run(sweep(), named, RunRequest(folder="run"), view), view.notes


def all_finish(slurm: FakeSlurm, array: int, *indices: int) -> Callable[[], None]:
    def finish() -> None:
        for index in indices:
            begins("run", f"{array}_0", index, "finished", attempt=array)
        slurm.set(str(array), "COMPLETED")

    return finish


def test_watching_ends_with_the_last_job(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        slurm.fail("squeue", "unreachable", "unreachable")

    with jobs_do(down, lambda: None, lambda: None, all_finish(slurm, 101, 0, 1, 2, 3)):
        outcome, notes = follow()
    assert outcome.is_good
    assert (outcome.trained, outcome.error) == (4, "")
    assert notes == [
        "SLURM does not answer: squeue: slurm_load_jobs error: Unable to contact slurm controller "
        "(connect failure) Waiting."
    ]


def test_what_failed_for_a_reason_of_the_profile_is_tried_again(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def node_fails() -> None:
        for index in (0, 1, 2):
            begins("run", "101_0", index, "finished")
        begins("run", "101_1", 3)
        slurm.set("101_0", "COMPLETED")
        slurm.set("101_1", "NODE_FAIL")

    with jobs_do(node_fails, all_finish(slurm, 104, 3)):
        outcome, notes = follow({"node-failure": 1})
    assert outcome.is_good
    assert [note.split(":")[0] for note in notes] == ["Trying again, as the profile says"]


def test_jobs_that_were_cancelled_are_not_submitted_again(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trial failed with its node, and the rest has not begun when a person cancels."""

    def cancel() -> None:
        begins("run", "101_0", 0)
        slurm.set("101_0", "NODE_FAIL")
        slurm.set("101_1", "CANCELLED")

    with jobs_do(cancel):
        outcome, _ = follow({"node-failure": 1})
    assert slurm.count("sbatch") == 1
    assert states("run") == ["node-failure", "waiting", "waiting", "waiting"]
    assert not outcome.is_good


def test_watching_outlives_another_command_that_settles(slurm: FakeSlurm) -> None:
    path = Path("run/jobs/runner.json")

    def busy() -> None:
        slurm.set("101_0", "COMPLETED")
        held_elsewhere(Path("run"), time.time() + 60)

    def lives_on() -> None:
        os.utime(path, (1, 1))

    with jobs_do(busy, lives_on, path.unlink, all_finish(slurm, 101, 0, 1, 2, 3)):
        outcome, _ = follow()
    assert outcome.is_good


# --- what a check-up has found out


def test_a_submission_keeps_to_what_the_check_up_has_found(slurm: FakeSlurm) -> None:
    named = find("two")
    write_doctor_cache("fake", named, {"max_submit": 1, "backend": "gloo", "mpi": "none"})
    refused = hpc("submit", "small.yaml", "--on", "two", "--dir", "run")
    assert refused.exit_code == 2
    assert "2 jobs are more than the 1 that you may have in the queue at once" in refused.stderr
    assert "Raise trials_per_job" in refused.stderr
    assert held(slurm) == Counter()
    assert submit(workers=1).jobs == 1
    assert Launch.read(Path("run/jobs/1")).backend == "gloo"


@pytest.mark.parametrize(
    ("cluster", "facts"),
    [("another", {"max_submit": 1, "backend": "gloo"}), ("fake", {"max_submit": None, "backend": "mpi"})],
)
def test_what_was_found_elsewhere_or_works_by_itself_changes_nothing(
    slurm: FakeSlurm, cluster: str, facts: dict[str, Any]
) -> None:
    write_doctor_cache(cluster, find("two"), facts)
    assert submit().jobs == 2
    assert Launch.read(Path("run/jobs/1")).backend == "auto"


def test_a_check_up_of_another_profile_of_that_name_counts_no_longer(slurm: FakeSlurm) -> None:
    write_doctor_cache("fake", find("two"), {"max_submit": 1, "backend": "gloo"})
    Path("profiles.yaml").write_text("two: {cluster: slurm, workers: 2, time_min: 5}\n")
    assert submit().jobs == 2
    assert Launch.read(Path("run/jobs/1")).backend == "auto"


def test_a_resumed_run_keeps_the_workers_and_ranks_that_were_asked_for(slurm: FakeSlurm) -> None:
    submit(workers=3, ranks=2)
    slurm.set("101_0", "CANCELLED")
    slurm.set("101_1", "CANCELLED")
    slurm.set("101_2", "CANCELLED")
    again = submitting.resubmit("run")
    assert again.jobs == 3
    assert Launch.read(Path("run/jobs/2")).ranks == 2
