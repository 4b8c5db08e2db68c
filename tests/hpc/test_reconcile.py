"""What SLURM says of jobs, and what the records say after that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from hpc import orphans, reconcile
from hpc.jobs.launch import Launch
from hpc.jobs.source.study import Asked, Study
from hpc.jobs.spec import WorkerSpec
from hpc.reconcile import News
from hpc.results import Records, Run, moments
from hpc.schedulers.base import JobState
from hpc.schedulers.slurm import Slurm
from hpc.watching import Scheduler
from tests.hpc.fake_slurm import FakeSlurm
from tests.hpc.queued import new_run, queue, start, submitting, write
from tests.jobs import studies

TIME = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***"
MEMORY = "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been OOM"
NODE = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE ***"
PREEMPTED = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***"
CANCELLED = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***"
REQUEUED = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO JOB REQUEUE ***"
STEP = "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***"
BEGUN = "srun --kill-on-bad-exit=1 --mpi=none python -u -m hpc.jobs rank x  # none"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm.install(tmp_path / "slurm", monkeypatch)
    fake.quick(monkeypatch)
    return fake


def submitted(slurm: FakeSlurm, folder: Path, size: int = 2) -> Run:
    """A run with an array in the queue."""
    run = new_run(folder)
    submitting(run, size=size)
    number = queue(slurm, folder, size=size)
    write(run, "run", ("array", {"name": "hpc-small-a.0", "job": number}))
    slurm.forget_calls()
    return run


def stop(run: Run, job: str, index: int) -> None:
    write(run, job, ("stopped", {"trial": f"t{index}", "attempt": 1, "why": "SIGUSR2", "seconds": 3.0}))


def settled(run: Run) -> tuple[News, list[str]]:
    """Ask and settle, as every command does."""
    news = reconcile.ask(run, Slurm())
    records = Records(run.records / "run.jsonl")
    said = reconcile.settle(run, news, records) if not news.problem else []
    records.close()
    return news, said


def states(run: Run) -> list[str]:
    return [t.attempt.reason or t.state for t in Run(run.folder).trials.values()]


def lines(run: Run) -> int:
    return len((run.records / "run.jsonl").read_bytes().splitlines())


# --- jobs that run on though nothing is left to do


def a_job_that_has_left(slurm: FakeSlurm, folder: Path, minutes: float, left: str, done: int) -> Run:
    """Its ranks have left so long ago; of its two trials so many are finished."""
    run = submitted(slurm, folder, size=1)
    launch = Launch(1, (("t0", "t1"),), WorkerSpec(ranks=1), "python", "/")
    launch.write(run.jobs_folder / "1")
    slurm.set("101_0", "RUNNING")
    now = time.time() - 60 * minutes
    with moments.by(lambda: now):
        write(run, "101_0", ("ready", {"job": "101_0"}))
        for index in range(done):
            start(run, "101_0", index)
            entries = {
                "trial": f"t{index}",
                "attempt": 1,
                "epochs": 1,
                "metrics": {},
                "best": 0.5,
                "seconds": 1.0,
            }
            write(run, "101_0", ("finished", entries))
        write(run, "101_0", ("left", {"job": "101_0", "label": "101_0.0.1", "how": left}))
    slurm.forget_calls()
    return run


@pytest.mark.parametrize(
    ("minutes", "left", "done", "cancelled"),
    [
        (11.0, "done", 2, True),
        (9.0, "done", 2, False),  # it may be about to end
        (11.0, "stopped", 2, False),  # it goes back into the queue
        (11.0, "done", 1, False),  # other ranks may be about to begin with the rest
    ],
)
def test_a_job_that_slurm_does_not_know_to_be_over_is_cancelled(
    slurm: FakeSlurm, tmp_path: Path, minutes: float, left: str, done: int, cancelled: bool
) -> None:
    """As where its slurmstepd was killed."""
    run = a_job_that_has_left(slurm, tmp_path / "run", minutes, left, done)
    for _ in range(2):
        Scheduler().look(run)
    assert [call for call in asked(slurm) if call == "scancel"] == ["scancel"] * cancelled
    words = "job 101_0 was cancelled: all of its trials have ended, and by SLURM it ran on all the same"
    assert run.notes == [words] * cancelled
    assert states(run)[:done] == ["finished"] * done


def test_a_trial_under_way_keeps_a_job(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = a_job_that_has_left(slurm, tmp_path / "run", 30, "done", 2)
    start(run, "101_0", 2)
    assert reconcile.idle(run, reconcile.ask(run, Slurm())) == []


def test_a_job_is_kept_as_long_as_one_of_its_groups_may_ask_for_a_trial(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    run = a_job_that_has_left(slurm, tmp_path / "run", 30, "done", 2)
    write_earlier(run, "101_0-g0", ("ready", {"job": "101_0", "groups": 2}))
    run = Run(run.folder)
    assert reconcile.idle(run, reconcile.ask(run, Slurm())) == []
    write_earlier(run, "101_0-g1", ("left", {"job": "101_0", "label": "101_0.0.1", "how": "done"}))
    run = Run(run.folder)
    assert reconcile.idle(run, reconcile.ask(run, Slurm())) == ["101_0"]


def write_earlier(run: Run, name: str, record: tuple[str, dict[str, Any]]) -> None:
    """As :func:`write`, 30 minutes ago."""
    now = time.time() - 60 * 30
    with moments.by(lambda: now):
        write(run, name, record)


# --- how a job ended, and why


@pytest.mark.parametrize(
    ("state", "log", "error", "how", "reason", "words"),
    [
        ("COMPLETED", "", "", "COMPLETED", "error", "the job ended in state COMPLETED, exit code 0:0"),
        ("FAILED", "", "", "FAILED", "error", "the job ended in state FAILED, exit code 0:0"),
        ("FAILED", "", "no MPI here", "FAILED", "error", "no MPI here (SLURM job 7_0: FAILED on n1)"),
        ("FAILED", MEMORY, "", "OUT_OF_MEMORY", "out-of-memory", "more memory than it was given; raise mem"),
        ("FAILED", "slurmstepd: Exceeded job memory limit", "", "OUT_OF_MEMORY", "out-of-memory", "raise"),
        ("FAILED", "slurmstepd: Exceeded memory limit", "", "OUT_OF_MEMORY", "out-of-memory", "raise"),
        ("FAILED", CANCELLED, "", "FAILED", "error", "the job ended in state FAILED"),
        ("OUT_OF_MEMORY", "", "", "OUT_OF_MEMORY", "out-of-memory", "raise mem_gb in the profile"),
        ("TIMEOUT", "", "", "TIMEOUT", "timeout", "ran into its time limit before it could write a check"),
        ("DEADLINE", "", "", "DEADLINE", "timeout", "the job ended in state DEADLINE"),
        ("CANCELLED", TIME, "", "TIMEOUT", "timeout", "its time limit"),
        ("CANCELLED", "", "", "CANCELLED", "cancelled", "the job was cancelled (SLURM job 7_0: CANCELLED"),
        ("CANCELLED", CANCELLED, "", "CANCELLED", "cancelled", "the job was cancelled"),
        ("NODE_FAIL", "", "", "NODE_FAIL", "node-failure", "a node of the job failed"),
        ("BOOT_FAIL", "", "", "BOOT_FAIL", "node-failure", "the job ended in state BOOT_FAIL"),
        ("PREEMPTED", "", "", "PREEMPTED", "cancelled", "the job was preempted"),
        ("UNKNOWN", "", "", "UNKNOWN", "error", "the job is gone, and SLURM does not know why"),
        ("UNKNOWN", TIME, "", "TIMEOUT", "timeout", "its time limit"),
        ("UNKNOWN", MEMORY, "", "OUT_OF_MEMORY", "out-of-memory", "raise mem_gb"),
        ("UNKNOWN", NODE, "", "NODE_FAIL", "node-failure", "a node of the job failed"),
        ("UNKNOWN", PREEMPTED, "", "PREEMPTED", "cancelled", "the job was preempted"),
        ("UNKNOWN", CANCELLED, "", "CANCELLED", "cancelled", "the job was cancelled"),
        # What was before the job's last start says nothing of its end, and a step is not the job.
        ("UNKNOWN", REQUEUED, "", "UNKNOWN", "error", "the job is gone"),
        ("UNKNOWN", STEP, "", "UNKNOWN", "error", "the job is gone"),
        ("UNKNOWN", f"{TIME}\n{BEGUN}", "", "UNKNOWN", "error", "the job is gone"),
        ("CANCELLED", f"{NODE}\n{BEGUN}\n{CANCELLED}", "", "CANCELLED", "cancelled", "was cancelled"),
        ("CANCELLED", NODE, "", "CANCELLED", "cancelled", "was cancelled"),
        ("FAILED", f"{MEMORY}\n{BEGUN}\nTraceback", "", "FAILED", "error", "the job ended in state FAILED"),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_told_by_slurm_or_its_log(
    state: str, log: str, error: str, how: str, reason: str, words: str
) -> None:
    job = JobState("7_0", "hpc-small-a.0", state, nodes="n1", exit_code="0:0")
    found = reconcile.verdict(job, log, error)
    assert found[:2] == (how, reason)
    assert words in found[2].splitlines()[0]
    assert found[2].endswith(log)


@pytest.mark.parametrize("nodes", ["", "None assigned"])
def test_a_job_that_never_had_a_node_names_none(nodes: str) -> None:
    words = reconcile.verdict(JobState("7_0", "a", "CANCELLED", nodes=nodes), "")[2]
    assert words == "the job was cancelled (SLURM job 7_0: CANCELLED)"


# --- trials of jobs that have ended


@pytest.mark.parametrize(
    ("state", "log", "expected"),
    [
        ("NODE_FAIL", "", "node-failure"),
        ("TIMEOUT", "", "timeout"),
        ("OUT_OF_MEMORY", "", "out-of-memory"),
        ("CANCELLED", "", "cancelled"),
        ("FAILED", "", "error"),
        ("COMPLETED", "", "error"),
        (None, "", "error"),
        (None, TIME, "timeout"),
        (None, MEMORY, "out-of-memory"),
        (None, CANCELLED, "cancelled"),
    ],
)
def test_a_trial_that_runs_by_its_records_though_its_job_is_gone_fails_with_the_reason(
    slurm: FakeSlurm, tmp_path: Path, state: str | None, log: str, expected: str
) -> None:
    run = submitted(slurm, tmp_path / "run")
    start(run, "101_0", 0)
    (run.folder / "jobs/1/101_0_log.out").write_text(f"...\n{log}\n")
    if state is None:
        slurm.fail("sacct", "disabled", always=True)
        slurm.set("101_0", "", squeue=False)
    else:
        slurm.set("101_0", state, nodes="n1")
    news, said = settled(run)
    assert (news.problem, said) == ("", [])
    assert states(run) == [expected, "waiting", "waiting", "waiting"]
    error = Run(run.folder).trials["t0"].attempt.error
    assert "(SLURM job 101_0: " in error.splitlines()[0]
    assert error.endswith(log)
    assert run.jobs["101_0"]["ended"]
    assert "ended" not in run.jobs["101_1"]


def test_reconcile_twice_writes_nothing_twice(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    start(run, "101_0", 0)
    slurm.set("101", "NODE_FAIL")
    news, _ = settled(run)
    before = lines(run)
    records = Records(run.records / "run.jsonl")
    reconcile.settle(run, news, records)
    reconcile.settle(Run(run.folder), news, records)
    records.close()
    assert lines(run) == before
    slurm.forget_calls()
    settled(run)
    assert (lines(run), slurm.calls()) == (before, [])


def test_a_trial_that_has_finished_stays_finished(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    start(run, "101_0", 0)
    write(run, "101_0", ("finished", {"trial": "t0", "attempt": 1, "epochs": 1, "metrics": {}, "best": 0.5,
                                      "seconds": 1.0}))  # fmt: skip
    start(run, "101_1", 1)
    slurm.set("101_0", "CANCELLED")
    settled(run)
    assert states(run) == ["finished", "running", "waiting", "waiting"]


def test_a_record_that_comes_after_the_verdict_counts(slurm: FakeSlurm, tmp_path: Path) -> None:
    """On NFS, the last record of a job may be seen later than its end."""
    run = submitted(slurm, tmp_path / "run")
    start(run, "101_0", 0)
    slurm.set("101_0", "COMPLETED")
    settled(run)
    write(run, "101_0", ("finished", {"trial": "t0", "attempt": 1, "epochs": 1, "metrics": {}, "best": 0.5,
                                      "seconds": 1.0}))  # fmt: skip
    assert states(run)[0] == "finished"
    assert Run(run.folder).trials["t0"].attempt.error == ""


@pytest.mark.parametrize(
    ("state", "expected"), [("CANCELLED", "cancelled"), ("TIMEOUT", "waiting"), ("NODE_FAIL", "waiting")]
)
def test_a_stopped_trial_is_cancelled_with_its_job_and_else_waits(
    slurm: FakeSlurm, tmp_path: Path, state: str, expected: str
) -> None:
    run = submitted(slurm, tmp_path / "run")
    start(run, "101_0", 0)
    stop(run, "101_0", 0)
    slurm.set("101_0", state)
    settled(run)
    assert states(run) == [expected, "waiting", "waiting", "waiting"]


def test_the_words_of_the_supervisor_are_kept(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    write(run, "101_0", ("unfit", {"job": "101_0", "error": "ranks can't meet\nand a log"}))
    slurm.set("101_0", "FAILED", nodes="n1")
    settled(run)
    assert run.jobs["101_0"]["why"].startswith("ranks can't meet\nand a log (SLURM job 101_0: FAILED on n1)")


# --- searches


def searching(slurm: FakeSlurm, folder: Path) -> tuple[Run, Study, Asked]:
    """A run whose two jobs ask a search for their trials; the first has one and has begun it."""
    study = studies.begin(folder, studies.sweep_of())
    (folder / "jobs" / "1").mkdir()
    run = Run(folder)
    submitting(run)
    write(run, "run", ("array", {"name": "hpc-small-a.0", "job": queue(slurm, folder)}))
    write(run, "101_0", ("began", {"name": "hpc-small-a.0", "job": "101_0", "restart": 0}))
    asked = study.ask("101_0-g0")
    assert asked is not None
    studies.started(folder, asked, "101_0")
    run.refresh()
    return run, study, asked


@pytest.mark.parametrize("state", ["FAILED", "NODE_FAIL", "UNKNOWN"])
def test_what_a_job_of_a_search_had_that_is_gone_without_a_word_goes_to_another(
    slurm: FakeSlurm, tmp_path: Path, state: str
) -> None:
    run, study, asked = searching(slurm, tmp_path / "run")
    slurm.set("101_1", "RUNNING")
    if state == "UNKNOWN":
        slurm.set("101_0", "RUNNING", squeue=False, sacct=None)
    else:
        slurm.set("101_0", state, nodes="n1")
    settled(run)
    (trial,) = run.trials.values()
    assert (trial.state, trial.losses, run.jobs["101_0"]["ended"]) == ("waiting", 1, state)
    assert study.ask("101_1-g0") == Asked(asked.trial, 2)
    assert studies.running(study) == 1


def test_a_trial_of_a_search_that_was_handed_out_and_never_begun_goes_to_another(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    run, study, first = searching(slurm, tmp_path / "run")
    studies.finish(study, first, run.folder, "101_0")
    second = study.ask("101_0-g0")
    assert second is not None
    slurm.set("101_0", "NODE_FAIL")
    settled(run)
    assert study.ask("101_1-g0") == second


def test_a_trial_of_a_search_that_needs_too_much_memory_is_not_tried_again(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    run, study, asked = searching(slurm, tmp_path / "run")
    slurm.set("101_0", "OUT_OF_MEMORY")
    settled(run)
    (trial,) = run.trials.values()
    assert (trial.state, trial.attempt.reason) == ("failed", "out-of-memory")
    again = study.ask("101_1-g0")
    assert again is not None
    assert again.trial != asked.trial
    assert studies.running(study) == 1


def test_a_trial_of_a_search_that_has_cost_three_jobs_has_failed(slurm: FakeSlurm, tmp_path: Path) -> None:
    run, _, asked = searching(slurm, tmp_path / "run")
    for attempt in (1, 2):
        who = {"trial": asked.trial.trial_id, "attempt": attempt, "why": "a node failed", "seconds": 1.0}
        write(run, "101_0", ("stopped", {**who, "lost": True}))
        write(run, "101_0", ("started", {**asked.trial.to_record(), "attempt": attempt + 1, "ranks": 1,
                                         "job": "101_0", "node": "n1"}))  # fmt: skip
    slurm.set("101_0", "NODE_FAIL")
    settled(run)
    (trial,) = run.trials.values()
    assert (trial.state, trial.attempt.reason) == ("failed", "node-failure")


def test_where_no_other_job_is_left_the_search_is_not_opened(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, study, _ = searching(slurm, tmp_path / "run")
    monkeypatch.setattr("hpc.jobs.source.study.put_back", lambda folder, jobs: pytest.fail("opened"))
    slurm.set("101", "NODE_FAIL")
    settled(run)
    assert studies.running(study) == 1  # until somebody resumes


def test_a_storage_that_does_not_answer_keeps_nobody_from_the_status(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, *_ = searching(slurm, tmp_path / "run")

    def refuse(folder: Path, jobs: list[str]) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("hpc.jobs.source.study.put_back", refuse)
    slurm.set("101_0", "NODE_FAIL")
    _, said = settled(run)
    assert said == ["what jobs 101_0 had of the search waits for `hpc resume`: no route to host"]
    assert run.jobs["101_0"]["ended"] == "NODE_FAIL"
    assert "no route to host" in (run.records / "run.jsonl").read_text()


# --- what SLURM knows no longer


def test_a_job_that_squeue_and_sacct_know_not_is_over(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    slurm.set("101_0", "RUNNING", squeue=False, sacct=None)
    news, _ = settled(run)
    assert [call[0] for call in slurm.calls()] == ["squeue", "sacct"]
    assert news.ended["101_0"].state == "UNKNOWN"
    assert news.jobs["101_1"].state == "PENDING"
    assert run.jobs["101_0"]["ended"] == "UNKNOWN"


def test_a_job_that_is_gone_though_sacct_still_calls_it_running_is_over(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path / "run")
    start(run, "101_0", 0)
    slurm.set("101_0", "COMPLETED", squeue=False, sacct="RUNNING")
    settled(run)
    assert states(run)[0] == "error"
    assert run.jobs["101_0"]["ended"] == "UNKNOWN"


def test_what_sacct_says_counts_where_squeue_has_forgotten(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    slurm.set("101_0", "CANCELLED", squeue=False, sacct="CANCELLED by 0")
    slurm.set("101_1", "RUNNING")
    news, _ = settled(run)
    assert run.jobs["101_0"]["ended"] == "CANCELLED"
    assert list(news.ended) == ["101_0"]


def test_without_accounts_sacct_is_asked_once_only(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    slurm.fail("sacct", "disabled", always=True)
    slurm.set("101_0", "RUNNING", squeue=False)
    client = Slurm()
    for _ in range(3):
        assert reconcile.ask(run, client).ended["101_0"].state == "UNKNOWN"
    assert (slurm.count("squeue"), slurm.count("sacct")) == (3, 1)


def test_a_job_that_ended_in_order_is_not_told_to_be_gone_for_no_reason(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    """Without accounts, SLURM forgets a job minutes after its end; its own records don't."""
    run = submitted(slurm, tmp_path / "run", size=1)
    start(run, "101_0", 0)
    write(run, "101_0", ("finished", {"trial": "t0", "attempt": 1, "epochs": 1, "metrics": {}, "best": 0.5,
                                      "seconds": 1.0}),
          ("left", {"job": "101_0", "label": "101_0.0.1", "how": "done"}))  # fmt: skip
    slurm.fail("sacct", "disabled", always=True)
    slurm.set("101_0", "", squeue=False)
    settled(run)
    assert (run.jobs["101_0"]["ended"], run.jobs["101_0"]["why"]) == ("COMPLETED", "")


# --- what jobs have cost

TOLD = {
    "ElapsedRaw": "60", "AllocTRES": "cpu=4,node=2", "Submit": "2026-01-01T10:00:00",
    "Start": "2026-01-01T10:00:05", "End": "2026-01-01T10:01:05",
}  # fmt: skip
COST = {"elapsed_seconds": 60, "nodes": 2, "cores": 4, "gpus": 0, "energy_joules": None, "queue_seconds": 5}


def asked(slurm: FakeSlurm) -> list[str]:
    """The commands called since the last time."""
    calls = [call[0] for call in slurm.calls()]
    slurm.forget_calls()
    return calls


def test_what_jobs_have_cost_is_asked_once_when_the_last_has_ended(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run")
    slurm.set("101_0", "COMPLETED", account=TOLD)
    slurm.set("101_1", "RUNNING")
    settled(run)
    assert asked(slurm) == ["squeue"]
    assert "account" not in run.jobs["101_0"]
    slurm.set("101_1", "COMPLETED", account=TOLD)
    settled(run)
    assert asked(slurm) == ["squeue", "sacct"]
    assert [run.jobs[job]["account"] for job in ("101_0", "101_1")] == [COST, COST]
    assert Run(run.folder).jobs["101_0"]["account"] == COST
    settled(run)
    assert asked(slurm) == []


def test_accounts_that_trail_are_asked_for_again_for_a_day(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted(slurm, tmp_path / "run", size=1)
    slurm.set("101_0", "COMPLETED", sacct="RUNNING")
    settled(run)
    settled(run)
    assert asked(slurm) == ["squeue", "sacct", "sacct"]
    assert "account" not in run.jobs["101_0"]
    now = time.time()
    with moments.by(lambda: now + 90000):  # the clock alone
        settled(run)
    assert asked(slurm) == ["sacct"]
    up = moments.uptime()
    with monkeypatch.context() as later:
        later.setattr(moments, "uptime", lambda: up + 90000)
        settled(run)
    assert asked(slurm) == []
    slurm.set("101_0", "COMPLETED", sacct="COMPLETED", account=TOLD)
    Scheduler().look(run)
    assert run.jobs["101_0"]["account"] == COST
    assert asked(slurm) == ["sacct"]


@pytest.mark.parametrize(("fault", "again"), [("disabled", []), ("Connection refused", ["sacct"])])
def test_without_accounts_nothing_else_is_amiss(
    slurm: FakeSlurm, tmp_path: Path, fault: str, again: list[str]
) -> None:
    run = submitted(slurm, tmp_path / "run", size=1)
    slurm.fail("sacct", fault, always=True)
    slurm.set("101_0", "COMPLETED")
    news, _ = settled(run)
    assert (news.problem, run.jobs["101_0"]["ended"]) == ("", "COMPLETED")
    asked(slurm)
    news, _ = settled(run)
    assert news.problem == ""
    assert asked(slurm) == again


def test_a_trial_whose_job_is_gone_ended_when_the_job_did(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run", size=1)
    start(run, "101_0", 0)
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3600))
    slurm.set("101_0", "TIMEOUT", account={**TOLD, "End": end})
    settled(run)
    attempt = run.trials["t0"].attempt
    assert attempt.reason == "timeout"
    assert 3590 < attempt.ended - attempt.started < 3610


def test_without_an_account_a_lost_trial_counts_until_it_was_last_heard_of(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path / "run", size=1)
    start(run, "101_0", 0)
    slurm.fail("sacct", "disabled", always=True)
    slurm.set("101_0", "TIMEOUT")
    now = time.time()
    with moments.by(lambda: now + 3600):  # when somebody looks
        settled(run)
    attempt = run.trials["t0"].attempt
    assert attempt.reason == "timeout"
    assert attempt.ended == attempt.started


def test_a_trial_whose_worker_here_is_gone_long_since_counts_until_it_was_last_heard_of(
    tmp_path: Path,
) -> None:
    run = new_run(tmp_path / "run")
    write(run, "run", ("submitted", {"job": "local-1-0", "host": "h", "pid": 1, "started": 0.0, "log": "x"}))
    start(run, "local-1-0", 0)
    now = time.time()
    records = Records(run.records / "run.jsonl")
    with moments.by(lambda: now + 3600):
        orphans.clear(run, records, "its command was killed")
    records.close()
    attempt = Run(run.folder).trials["t0"].attempt
    assert attempt.reason == "cancelled"
    assert attempt.ended == attempt.started


@pytest.mark.parametrize("command", ["squeue", "sacct"])
@pytest.mark.parametrize("fault", ["unreachable", "slurm_persist_conn_open: Something bad happened"])
def test_a_problem_changes_nothing(slurm: FakeSlurm, tmp_path: Path, command: str, fault: str) -> None:
    run = submitted(slurm, tmp_path / "run")
    submitting(run, "hpc-small-b.0")
    start(run, "101_0", 0)
    slurm.set("101", "", squeue=False)
    slurm.fail(command, fault, always=True)
    before = lines(run)
    news, said = settled(run)
    assert news.problem.startswith(command)
    assert (news.ended, news.never, news.orphans, said) == ({}, [], {}, [])
    assert lines(run) == before
    assert states(run)[0] == "running"


# --- submissions that nobody lived to write down


@pytest.mark.parametrize("known_by", ["squeue", "sacct", "its own record"])
def test_an_orphan_is_adopted(slurm: FakeSlurm, tmp_path: Path, known_by: str) -> None:
    run = new_run(tmp_path / "run")
    submitting(run)
    queue(slurm, run.folder)
    if known_by != "squeue":
        slurm.set("101", "COMPLETED", squeue=False)
    if known_by == "its own record":
        slurm.fail("sacct", "disabled", always=True)
        write(run, "101_0", ("began", {"job": "101_0", "launch": 1, "number": 0, "name": "hpc-small-a.0",
                                       "restart": 0, "node": "n1"}))  # fmt: skip
    start(run, "101_0", 0)
    news, said = settled(run)
    assert said == ["Job 101 was submitted by a command that did not live to write it down: adopted."]
    assert news.orphans == {"hpc-small-a.0": "101"}
    assert run.arrays["hpc-small-a.0"]["job"] == "101"
    assert run.jobs["101_1"]["log"] == "jobs/1/101_1_log.out"
    assert states(run)[0] == ("running" if known_by == "squeue" else "error")
    assert bool(reconcile.open_arrays(run)) == (known_by == "squeue")
    before = lines(run)
    settled(run)
    assert lines(run) == before


def test_a_submission_that_never_happened_is_dropped(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    submitting(run)
    slurm.fail("sacct", "disabled", always=True)
    news, said = settled(run)
    assert (news.never, said) == (["hpc-small-a.0"], [])
    assert reconcile.open_arrays(run) == {}
    slurm.forget_calls()
    settled(run)
    assert slurm.calls() == []


def test_what_was_written_down_since_slurm_was_asked_is_not_undone(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    submitting(run)
    stale = reconcile.ask(run, Slurm())
    assert stale.never == ["hpc-small-a.0"]
    number = queue(slurm, run.folder)
    write(run, "run", ("array", {"name": "hpc-small-a.0", "job": number}))
    records = Records(run.records / "run.jsonl")
    reconcile.settle(Run(run.folder), stale, records)
    assert reconcile.open_arrays(Run(run.folder))
    reconcile.settle(Run(run.folder), News(orphans={"hpc-small-a.0": number}), records)
    records.close()
    assert (run.records / "run.jsonl").read_text().count('"array"') == 1


def test_a_run_without_arrays_costs_no_question(slurm: FakeSlurm, tmp_path: Path) -> None:
    assert reconcile.ask(new_run(tmp_path / "run"), Slurm()) == News()
    assert slurm.calls() == []


def test_another_runs_jobs_are_not_asked_for(slurm: FakeSlurm, tmp_path: Path) -> None:
    mine, other = new_run(tmp_path / "mine"), new_run(tmp_path / "other")
    for run, name in ((mine, "hpc-small-a.0"), (other, "hpc-small-b.0")):
        submitting(run, name)
        number = queue(slurm, run.folder, name)
        write(run, "run", ("array", {"name": name, "job": number}))
    slurm.forget_calls()
    assert list(reconcile.ask(mine, Slurm()).jobs) == ["101_0", "101_1"]
    assert "--name=hpc-small-a.0" in slurm.calls("squeue")[0]


def test_no_log_is_opened_that_can_tell_nothing(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted(slurm, tmp_path / "run", size=4)
    start(run, "101_0", 0)
    write(run, "101_0", ("finished", {"trial": "t0", "attempt": 1, "epochs": 1, "metrics": {}, "best": 0.5,
                                      "seconds": 1.0}))  # fmt: skip
    slurm.set("101_0", "COMPLETED")
    slurm.set("101_1", "CANCELLED")  # before it began
    start(run, "101_2", 2)
    slurm.set("101_2", "CANCELLED", nodes="n1")
    start(run, "101_3", 3)
    slurm.set("101_3", "COMPLETED")  # though its trial runs by the records
    opened: list[str] = []

    def log(run: Run, job: str) -> str:
        opened.append(job)
        return ""

    monkeypatch.setattr(reconcile, "_log", log)
    settled(run)
    assert opened == ["101_2", "101_3"]
    assert [run.jobs[f"101_{index}"]["ended"] for index in range(4)] == [
        "COMPLETED", "CANCELLED", "CANCELLED", "COMPLETED",
    ]  # fmt: skip


def test_many_jobs_are_settled_at_once(slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path / "run", size=1000)
    slurm.set("101", "COMPLETED")
    began = time.monotonic()
    settled(run)
    assert time.monotonic() - began < 2
    assert reconcile.open_arrays(run) == {}
