"""The supervisor of a job, over ranks that only write records, and a SLURM that only remembers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest

from hpc.jobs import job_logs
from hpc.jobs.launch import Launch
from hpc.jobs.launchers import choose_backend
from hpc.jobs.launchers.base import Job
from hpc.jobs.launchers.slurm import Slurm
from hpc.jobs.spec import WorkerSpec
from hpc.jobs.supervisor import supervise
from hpc.results import Run
from hpc.results.store import parse
from tests.hpc.fake_slurm import FakeSlurm
from tests.hpc.queued import new_run, queue, start, submitting, write


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """The environment of job 101_0, which runs."""
    fake = FakeSlurm.install(tmp_path / "slurm", monkeypatch)
    fake.quick(monkeypatch)
    run = new_run(tmp_path / "run")
    submitting(run)
    queue(fake, run.folder)
    fake.set("101_0", "RUNNING", nodes="n1")
    write(run, "run", ("array", {"name": "hpc-small-a.0", "job": "101"}))
    fake.forget_calls()
    for name, value in {
        "SLURM_ARRAY_JOB_ID": "101", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "102",
        "SLURMD_NODENAME": "n1", "SLURM_JOB_NAME": "hpc-small-a.0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(run.folder / "jobs" / "1")
    monkeypatch.setattr("hpc.jobs.supervisor.mpi_vendor", lambda: "Open MPI")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield fake
    for number, handler in before.items():
        signal.signal(number, handler)


def supervised(slurm: FakeSlurm, *steps: str, **options: Any) -> int:
    """Run the job, whose calls of srun do these steps; its exit code."""
    folder = slurm.folder.parent / "run" / "jobs" / "1"
    launch(**options).write(folder)
    slurm.change(steps=list(steps))
    return carry_out(folder)


def carry_out(folder: Path, first: int = 0) -> int:
    """The supervisor, which waits for nothing; its exit code."""
    slept: list[float] = []
    return supervise(folder, first, launchers={"slurm": Slurm(sleep=slept.append)}, sleep=slept.append)


def launch(ranks: int = 1, **options: Any) -> Launch:
    mine = {"jobs": (("t0", "t1", "t2"), ("t3",)), "python": "python3", "cwd": "/", **options}
    fault = mine.pop("inject_fault", "")
    return Launch(1, worker=WorkerSpec(ranks=ranks, threads=0, inject_fault=fault), **mine)


def run_of(slurm: FakeSlurm) -> Run:
    return Run(slurm.folder.parent / "run")


def states(slurm: FakeSlurm) -> list[str]:
    return [t.attempt.reason or t.state for t in run_of(slurm).trials.values()]


def records(slurm: FakeSlurm, kind: str) -> list[dict[str, Any]]:
    path = slurm.folder.parent / "run" / "records" / "101_0.jsonl"
    found = [parse(line) for line in path.read_bytes().splitlines()]
    return [record for record in found if record.get("record") == kind]


def sruns(slurm: FakeSlurm) -> list[list[str]]:
    return [call for call in slurm.calls("srun") if call[1] != "--mpi=list"]


# --- how ranks are started


@pytest.mark.parametrize(
    ("asked", "offered", "vendor", "expected"),
    [
        (("auto", "auto"), ["none", "pmi2", "pmix"], "Open MPI", ("mpi", "pmix")),
        (("auto", "auto"), ["none", "pmix_v4", "pmi2"], "Open MPI", ("mpi", "pmix_v4")),
        (("auto", "auto"), ["none", "pmix_v4", "pmix"], "MPICH", ("mpi", "pmix")),
        (("auto", "auto"), ["none", "pmi2"], "MPICH", ("mpi", "pmi2")),
        (("auto", "auto"), ["none", "pmi2"], "Intel MPI", ("mpi", "pmi2")),
        (("auto", "auto"), ["none", "pmi2"], "Open MPI", ("gloo", "none")),
        (("auto", "auto"), ["none", "pmix"], "", ("gloo", "none")),
        (("auto", "auto"), [], "Open MPI", ("gloo", "none")),
        (("auto", "pmi2"), [], "", ("mpi", "pmi2")),
        (("mpi", "auto"), ["none", "pmi2"], "Open MPI", ("mpi", "pmi2")),
        (("mpi", "auto"), [], "", ("mpi", "pmix")),
        (("mpi", "auto"), ["pmix"], "", ("mpi", "pmix")),
        (("gloo", "auto"), ["none", "pmix"], "Open MPI", ("gloo", "none")),
        (("gloo", "pmix"), ["none", "pmix"], "Open MPI", ("gloo", "none")),
    ],
)
def test_ranks_meet_by_what_the_site_and_the_mpi_both_speak(
    asked: tuple[str, str], offered: list[str], vendor: str, expected: tuple[str, str]
) -> None:
    assert choose_backend(*asked, offered, vendor) == expected


@pytest.mark.parametrize(
    "said",
    [
        "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\nspecific pmix plugin versions available: pmix_v4",
        "pmix_v3 is gone, none of 3 nodes has it\nMPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\n\tpmix_v4",
        "srun: MPI types are...\nsrun: none\nsrun: pmi2\nsrun: pmix\nsrun: pmix_v4",
    ],
)
def test_what_srun_offers_is_heard_through_what_a_site_has_to_say(
    said: str,
) -> None:
    def run(command: list[str], **options: Any) -> CompletedProcess[str]:
        return CompletedProcess(command, 0, said, "")

    offered = Slurm(run=run).offered()
    assert list(dict.fromkeys(offered)) == ["none", "pmi2", "pmix", "pmix_v4"]


def srun(launch: Launch, job_id: str, mpi: str, step: str, **env: str) -> list[str]:
    """The command that starts the ranks of a job."""
    return Slurm().command(launch, job_id, mpi, ["rank", step], env)


def test_the_command_of_the_ranks() -> None:
    mine = launch(8, python="apptainer exec image.sif python", srun=("--exclusive", "--overlap"))
    assert srun(mine, "101_0", "pmix", "a b.json") == [
        "srun", "--kill-on-bad-exit=1", "--mpi=pmix", "--export=ALL", "--open-mode=append",
        "--output=101_0_ranks_log.out", "--ntasks=8", "--label", "--exclusive", "--overlap",
        "apptainer", "exec", "image.sif", "python", "-u", "-m", "hpc.jobs", "rank", "a b.json",
    ]  # fmt: skip
    assert "--cpus-per-task=4" in srun(mine, "101_0", "pmix", "step", SLURM_CPUS_PER_TASK="4")


def test_what_ranks_need_of_the_environment_stands_in_the_file_of_their_step(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_DATA", "")
    monkeypatch.delenv("HPC_DATA")  # and is so again, after the job has set it
    monkeypatch.setenv("HOROVOD_CYCLE_TIME", "7")
    monkeypatch.setenv("HPC_SHARED_MEMORY", "1")
    step = "[record('note', text=f'{name}={value}') for name, value in environment.items()]; finish()"
    code = supervised(
        slurm, f"record('note', text=f'ranks={{ranks}}'); {step}", ranks=4, groups=2, backend="gloo",
        environment={"HPC_DATA": "/data", "HPC_SHARED_MEMORY": "0"},
    )  # fmt: skip
    assert code == 0
    told = {record["text"] for record in records(slurm, "note")}
    assert {"ranks=4", "HPC_BACKEND=gloo", "HPC_GROUPS=2", "HOROVOD_CYCLE_TIME=7"} <= told
    assert {"HPC_DATA=/data", "HPC_SHARED_MEMORY=1"} <= told  # what the job has itself counts more


def test_a_python_with_a_blank_in_its_path_is_one_word() -> None:
    from hpc.profile import Profile
    from hpc.schedulers.batch import python

    given = Profile(cluster="slurm", python="'/opt/my python/bin/python3' -E")
    command = srun(launch(python=python(given)), "101_0", "none", "step")
    assert command[command.index("-u") - 2 : command.index("-u")] == ["/opt/my python/bin/python3", "-E"]


def test_a_job_knows_itself_by_the_environment() -> None:
    env = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "11"}
    assert Slurm().job(env) == Job("7_3", "11", 3, 0, "")
    again = {**env, "SLURM_RESTART_COUNT": "2", "SLURMD_NODENAME": "n4", "SLURM_JOB_NAME": "a"}
    assert Slurm().job(again) == Job("7_3", "11", 3, 2, "n4", "a")


# --- what becomes of the trials


def test_all_trials_of_the_job_are_trained_by_one_srun(slurm: FakeSlurm) -> None:
    assert supervised(slurm) == 0
    assert states(slurm) == ["finished", "finished", "finished", "waiting"]
    (call,) = sruns(slurm)
    assert "--mpi=none" in call
    (began,) = records(slurm, "began")
    assert (began["name"], began["job"], began["node"]) == ("hpc-small-a.0", "101_0", "n1")
    assert not list(Path.cwd().glob(".*.json"))
    assert slurm.count("scontrol") == 0


def test_a_job_with_nothing_left_to_do_starts_no_ranks(slurm: FakeSlurm) -> None:
    supervised(slurm)
    assert supervised(slurm) == 0
    assert len(sruns(slurm)) == 1


def test_the_second_array_of_a_launch_takes_its_own_trials(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path.cwd()
    launch().write(folder)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    assert carry_out(folder, 1) == 0
    assert states(slurm) == ["waiting", "waiting", "waiting", "finished"]


def test_a_job_reads_no_records_of_the_others_of_its_launch(slurm: FakeSlurm) -> None:
    run = run_of(slurm)
    write(run, "run", ("submitting", {"name": "old", "launch": 0, "first": 0, "size": 1, "ranks": 1}),
          ("array", {"name": "old", "job": "99"}))  # fmt: skip
    for job in ("101_0", "101_0-g1", "101_1", "101_1-g3", "99_0", "local-1-0"):
        write(run, job, ("note", {"text": job}))
    assert Run(run.folder, job="101_0").notes == ["101_0", "101_0-g1", "99_0", "local-1-0"]
    assert len(Run(run.folder).notes) == 6


def test_a_killed_rank_costs_one_trial_and_the_rest_goes_on(slurm: FakeSlurm) -> None:
    code = supervised(
        slurm,
        "finish(0); start(1); log('epoch 3'); say('srun: error: n1: task 0: Killed'); end(137)",
    )
    assert code == 0
    assert states(slurm) == ["finished", "error", "finished", "waiting"]
    assert len(sruns(slurm)) == 2
    error = run_of(slurm).trials["t1"].attempt.error
    assert error.splitlines()[0] == "srun: error: n1: task 0: Killed"
    assert error.endswith("rank 0:\nepoch 3")


def test_the_error_of_a_lost_trial_quotes_the_ranks_that_tell_one(slurm: FakeSlurm) -> None:
    said = "; ".join(
        [f"log('epoch {rank}', rank={rank})" for rank in range(12)]
        + ["log('ValueError: no', rank=10)", "log('at work', rank=11)", "log('KeyError: 3', rank=2)"]
    )
    supervised(slurm, f"start(0); {said}; end(1)", ranks=12)
    error = run_of(slurm).trials["t0"].attempt.error
    assert error.splitlines()[0] == "ValueError: no"
    assert error.endswith("rank 2:\nepoch 2\nKeyError: 3\nrank 10:\nepoch 10\nValueError: no")
    logs = sorted(path.name for path in Path.cwd().glob("*_log.out"))
    assert logs == ["101_0_ranks_log.out"]


@pytest.mark.parametrize(
    ("said", "logged", "reason", "first"),
    [
        ("srun: error: n1: task 0: Out Of Memory", "", "out-of-memory", "srun: error: n1: task 0: Out Of"),
        ("slurmstepd: error: Detected 1 oom_kill event", "", "out-of-memory", "slurmstepd: error: Detected"),
        ("srun: error: Node failure on n1", "", "node-failure", "srun: error: Node failure on n1"),
        ("srun: error: nodes n1 not responding", "", "node-failure", "srun: error: nodes n1 not responding"),
        ("srun: error: n1: task 0: Segmentation fault", "", "error", "srun: error: n1: task 0: Segmentation"),
        ("srun: error: node fails, it is down", "", "node-failure", "srun: error: node fails, it is down"),
        ("srun: error: down, not responding nodes ", "", "error", "srun: error: down, not responding nodes"),
        ("srun: error: node n1", "x down", "error", "srun: error: node n1"),
        ("", "", "error", "srun ended with exit code 1"),
        ("", "Traceback:\nValueError: it broke\nbye", "error", "ValueError: it broke"),
    ],
)
def test_the_reason_of_a_lost_trial_is_read_from_what_srun_says(
    slurm: FakeSlurm, said: str, logged: str, reason: str, first: str
) -> None:
    supervised(slurm, f"start(0); log({logged!r}); say({said!r}); end(1)")
    assert states(slurm)[:3] == [reason, "finished", "finished"]
    assert run_of(slurm).trials["t0"].attempt.error.splitlines()[0].startswith(first)


def test_long_lines_of_a_users_program_are_read_at_once() -> None:
    """Of patterns that take n² of them each would be hours."""
    assert Slurm().reason_in("node " * 1_000_000) == "error"
    assert job_logs.last_error("ValueError: no\n" + "Error." * 1_000_000) == "ValueError: no"


@pytest.mark.parametrize(
    ("reason", "retry", "tries"),
    [
        ("error", {}, 1),
        ("error", {"error": 1}, 2),
        ("error", {"error": 2, "timeout": 5}, 3),
        ("error", {"node-failure": 5}, 1),
        ("diverged", {}, 1),
        ("out-of-memory", {"out-of-memory": 3}, 1),  # the next job has more
    ],
)
def test_a_failed_trial_is_tried_as_often_as_the_profile_says(
    slurm: FakeSlurm, reason: str, retry: dict[str, int], tries: int
) -> None:
    fails = f"fail(0, {reason!r}); left('done')"
    code = supervised(slurm, f"finish(1, 2); {fails}".replace("fail(0", "fail(0"), *[fails] * 5, retry=retry)
    assert code == 0
    assert len(run_of(slurm).trials["t0"].attempts) == tries
    assert states(slurm) == [reason, "finished", "finished", "waiting"]
    assert len(sruns(slurm)) == tries


def test_a_trial_that_failed_in_an_earlier_launch_is_tried_again(slurm: FakeSlurm) -> None:
    run = run_of(slurm)
    start(run, "90_0", 0)
    write(run, "90_0", ("failed", {"trial": "t0", "attempt": 1, "reason": "error", "error": "no"}))
    assert supervised(slurm) == 0
    assert states(slurm)[0] == "finished"
    assert sorted(run_of(slurm).trials["t0"].attempts) == [1, 2]


def test_what_was_running_when_slurm_started_the_job_anew_goes_on(slurm: FakeSlurm) -> None:
    start(run_of(slurm), "101_0", 1)
    start(run_of(slurm), "101_1", 3)
    assert supervised(slurm) == 0
    (stopped,) = records(slurm, "stopped")
    assert (stopped["trial"], stopped["why"]) == ("t1", "the job was started anew by SLURM")
    attempt = run_of(slurm).trials["t1"].attempts[1]
    assert stopped["ended"] == attempt.started == attempt.ended  # the last that was heard of it
    assert stopped["epochs"] == 0
    assert states(slurm) == ["finished", "finished", "finished", "running"]


# --- jobs that can't work


def test_ranks_that_never_begin_a_trial_make_the_job_unfit(slurm: FakeSlurm) -> None:
    log = "log('Traceback (most recent call last):\\nImportError: libcuda.so.1 is missing')"
    assert supervised(slurm, f"{log}; say('srun: error: n1: task 0: Exited with exit code 1'); end(1)") == 1
    (unfit,) = records(slurm, "unfit")
    assert unfit["error"].splitlines()[0] == "ImportError: libcuda.so.1 is missing"
    assert "srun: error: n1: task 0: Exited with exit code 1" in unfit["error"]
    assert states(slurm) == ["waiting"] * 4
    assert len(sruns(slurm)) == 1


def test_ranks_that_end_well_without_a_trial_make_the_job_unfit(slurm: FakeSlurm) -> None:
    """A wrapper around Python that swallows its exit code, say."""
    assert supervised(slurm, *["end(0)"] * 4) == 1
    assert len(records(slurm, "unfit")) == 1
    assert len(sruns(slurm)) == 1


@pytest.mark.parametrize(("failures", "code"), [(2, 0), (3, 1)])
def test_ranks_that_end_at_their_start_are_started_again_where_earlier_ones_could_work(
    slurm: FakeSlurm, failures: int, code: int
) -> None:
    worked = "record('ready', job='101_0'); finish(0); end(1)"
    assert supervised(slurm, worked, *["end(1)"] * failures) == code
    assert len(records(slurm, "unfit")) == code
    assert len(sruns(slurm)) == 4


def test_what_dead_ranks_had_of_a_search_is_put_back_at_once(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when the job's next ranks begin, which they may not."""
    put_back = []

    def settle(run: Run, is_gone: Callable[[str], bool]) -> None:
        put_back.append([owner for owner in ("101_0", "101_0-g1", "101_1", "101_01") if is_gone(owner)])

    monkeypatch.setattr("hpc.jobs.stored.load", lambda *given: None)
    monkeypatch.setattr("hpc.jobs.source.study.open_study", lambda sweep, run: SimpleNamespace(settle=settle))
    assert supervised(slurm, "end(1)", jobs=((), ()), asks=True) == 1
    assert put_back == [["101_0", "101_0-g1"]]
    assert supervised(slurm, "left('done')", jobs=((), ()), asks=True) == 0
    assert put_back == [["101_0", "101_0-g1"]] * 2  # started anew by SLURM


def test_a_trial_of_a_search_that_has_cost_three_jobs_has_failed(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever they were: what one puts back another takes up."""
    monkeypatch.setattr("hpc.jobs.source.study.put_back", lambda folder, jobs: None)
    for attempt in (1, 2):
        start(run_of(slurm), "101_1", 0, attempt)
        lost = {"trial": "t0", "attempt": attempt, "why": "killed", "seconds": 1.0, "lost": True}
        write(run_of(slurm), "101_1", ("stopped", lost))
    third = (
        "record('started', trial='t0', index=0, params={}, seed=0, attempt=3, ranks=1, job='101_0', node='n')"
    )
    assert supervised(slurm, f"{third}; end(1)", "left('done')", jobs=((), ()), asks=True) == 0
    (failed,) = records(slurm, "failed")
    assert (failed["trial"], failed["attempt"]) == ("t0", 3)
    assert states(slurm) == ["error", "waiting", "waiting", "waiting"]


def test_a_storage_that_does_not_answer_does_not_end_the_job(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("hpc.jobs.stored.load", lambda *given: None)
    monkeypatch.setattr("hpc.jobs.source.study.open_study", refuse)
    worked = "record('ready', job='101_0'); start(); end(1)"
    assert supervised(slurm, worked, "left('done')", jobs=((), ()), asks=True) == 0
    (note,) = records(slurm, "note")
    assert note["text"] == "what job 101_0 had of the search waits for `hpc resume`: no route to host"


def test_where_mpi_does_not_work_the_ranks_meet_by_gloo(slurm: FakeSlurm) -> None:
    broken = "log('RuntimeError: MPI_Init_thread failed: PMIx is not there'); end(1)"
    code = supervised(slurm, broken, "record('note', text=backend); finish()", ranks=2)
    assert code == 0
    assert [note["text"] for note in records(slurm, "note")] == [
        "MPI did not work, so the ranks meet by Gloo: "
        "RuntimeError: MPI_Init_thread failed: PMIx is not there",
        "gloo",
    ]
    assert [call[2] for call in sruns(slurm)] == ["--mpi=pmix", "--mpi=none"]
    assert states(slurm) == ["finished", "finished", "finished", "waiting"]


@pytest.mark.parametrize(
    ("options", "log"),
    [({"backend": "mpi"}, "RuntimeError: MPI_Init failed"), ({}, "ImportError: no module named jobs")],
)
def test_gloo_is_not_tried_against_the_profile_or_for_another_error(
    slurm: FakeSlurm, options: dict[str, str], log: str
) -> None:
    assert supervised(slurm, f"log({log!r}); end(1)", ranks=2, **options) == 1
    assert len(sruns(slurm)) == 1
    assert records(slurm, "unfit")[0]["error"].splitlines()[0] == log


def test_gloo_that_does_not_work_either_is_the_end(slurm: FakeSlurm) -> None:
    broken = "log('RuntimeError: MPI could not join'); end(1)"
    assert supervised(slurm, broken, broken, broken, ranks=2) == 1
    assert len(sruns(slurm)) == 2


def test_a_run_that_was_moved_says_so(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert carry_out(tmp_path / "run" / "jobs" / "1") == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'run'} is no longer the folder of a run; was it moved? Resume it there" in said
    assert not (tmp_path / "run").exists()
    assert slurm.calls() == []


@pytest.mark.parametrize("given_up", ["dropped", "twice"])
def test_a_job_that_was_given_up_or_heard_twice_leaves_the_trials_alone(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, given_up: str
) -> None:
    """Its trials are with another: sbatch was heard later than hpc could know."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "104")
    name = "hpc-small-a.0"
    if given_up == "dropped":
        name = "hpc-small-b.0"
        submitting(run_of(slurm), name)
        write(run_of(slurm), "run", ("dropped", {"name": name}))
        monkeypatch.setenv("SLURM_JOB_NAME", name)
    assert supervised(slurm) == 0
    assert sruns(slurm) == []
    assert states(slurm) == ["waiting"] * 4
    assert "104_0" not in run_of(slurm).jobs


# --- stopping, and going back into the queue


def requeued(slurm: FakeSlurm) -> list[int]:
    """How often each job of the array went back into the queue."""
    return [job["restart"] for job in slurm.arrays["101"]["jobs"].values()]


def test_a_job_that_was_stopped_goes_back_into_the_queue(slurm: FakeSlurm) -> None:
    assert supervised(slurm, "finish(0); start(1); stop(1)") == 0
    assert requeued(slurm) == [1, 0]
    assert slurm.count("scontrol") == 2
    assert states(slurm) == ["finished", "waiting", "waiting", "waiting"]
    assert [(r["job"], r["restart"]) for r in records(slurm, "requeued")] == [("101_0", 0)]
    assert len(sruns(slurm)) == 1


def test_the_last_job_of_an_array_goes_back_alone(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its raw number is the array's, by which `scontrol requeue` takes all jobs, in the midst of work."""
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "101")
    slurm.set("101_1", "RUNNING", nodes="n1")
    supervised(slurm, "start(0); stop(0)")
    assert requeued(slurm) == [0, 1]


def test_the_last_job_of_an_array_does_not_take_another_for_itself(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "101")
    slurm.set("101_1", "CANCELLED")
    supervised(slurm, "start(0); stop(0)")
    assert requeued(slurm) == [0, 0]


def test_after_the_requeue_it_goes_on_where_it_was(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    supervised(slurm, "finish(0); start(1); stop(1)")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert supervised(slurm) == 0
    assert states(slurm) == ["finished", "finished", "finished", "waiting"]
    assert [len(t.attempts) for t in run_of(slurm).trials.values()] == [1, 2, 1, 0]


def test_other_groups_of_a_stopped_job_stop_with_it(slurm: FakeSlurm) -> None:
    supervised(slurm, "start(0, 1); stop(0); end(143)", groups=2, ranks=2)
    assert states(slurm) == ["waiting"] * 4
    assert slurm.count("scontrol") == 2


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "TIMEOUT", "PREEMPTED", "NODE_FAIL"])
def test_a_job_that_slurm_is_ending_does_not_go_back(slurm: FakeSlurm, state: str) -> None:
    slurm.set("101_0", state)
    assert supervised(slurm, "start(0); stop(0)") == 0
    assert requeued(slurm) == [0, 0]
    assert records(slurm, "unfit") == []


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "TIMEOUT", "NODE_FAIL"])
@pytest.mark.parametrize("begun", ["start(0); ", ""])
def test_the_verdict_on_a_job_that_slurm_is_ending_is_left_to_slurm(
    slurm: FakeSlurm, state: str, begun: str
) -> None:
    """Ranks that did not stop in time, or that had not begun to listen, are no errors of a trial."""
    slurm.set("101_0", state)
    supervised(slurm, f"{begun}say('slurmstepd: error: *** STEP 102.0 ON n1 CANCELLED ***'); end(143)")
    assert states(slurm) == ["running" if begun else "waiting", "waiting", "waiting", "waiting"]
    assert records(slurm, "unfit") == []
    assert len(sruns(slurm)) == 1


def test_a_job_is_not_requeued_more_often_than_the_profile_says(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    assert supervised(slurm, "start(0); stop(0)", requeues=3) == 0
    assert requeued(slurm) == [0, 0]
    (unfit,) = records(slurm, "unfit")
    assert "requeued 3 times, and the profile allows no more (requeues)" in unfit["error"]
    assert states(slurm) == ["timeout", "waiting", "waiting", "waiting"]


def test_a_time_limit_is_the_reason_where_no_requeue_is_allowed(slurm: FakeSlurm) -> None:
    assert supervised(slurm, "finish(0); start(1); stop(1)", requeues=0) == 0
    assert requeued(slurm) == [0, 0]
    assert states(slurm) == ["finished", "timeout", "waiting", "waiting"]
    assert "the profile allows no requeue (requeues: 0)" in records(slurm, "unfit")[0]["error"]


def test_a_job_that_slurm_restarts_more_often_than_that_does_nothing(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "4")
    assert supervised(slurm, "finish(0)", requeues=3) == 1
    assert sruns(slurm) == []
    assert "requeued 4 times" in records(slurm, "unfit")[0]["error"]


@pytest.mark.parametrize(("epochs", "state"), [((0, 0, 0), "node-failure"), ((1, 4, 5), "finished")])
def test_a_trial_in_which_the_job_ends_again_and_again_fails_unless_it_gets_on(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, epochs: tuple[int, ...], state: str
) -> None:
    run = run_of(slurm)
    for attempt, done in enumerate(epochs, start=1):
        start(run, "101_0", 0, attempt)
        who = {"trial": "t0", "attempt": attempt}
        write(run, "101_0", ("epoch", {**who, "epoch": done, "metrics": {}, "seconds": 1.0}))
        if attempt < len(epochs):
            write(run, "101_0", ("stopped", {**who, "why": "", "lost": True, "seconds": 1.0}))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    assert supervised(slurm, retry={"node-failure": 2}) == 0
    assert states(slurm) == [state, "finished", "finished", "waiting"]


def test_a_requeue_that_is_refused_is_told(slurm: FakeSlurm) -> None:
    slurm.fail("scontrol", "ok", "Requested operation is presently disabled")
    supervised(slurm, "start(0); stop(0)")
    (unfit,) = records(slurm, "unfit")
    assert unfit["error"] == (
        "the job could not be requeued: scontrol: error: Requested operation is presently disabled. "
        "`hpc resume` goes on with it"
    )
    assert states(slurm)[0] == "waiting"


def test_a_signal_to_the_whole_job_does_not_end_the_supervisor(slurm: FakeSlurm) -> None:
    pid = os.getpid()
    assert supervised(slurm, f"import os; os.kill({pid}, 15); os.kill({pid}, 12); finish()") == 0
    assert states(slurm) == ["finished", "finished", "finished", "waiting"]


# --- groups of ranks


def test_trials_are_dealt_to_groups_of_ranks(slurm: FakeSlurm) -> None:
    supervised(slurm, "record('note', text=str(groups())); finish()", groups=2, ranks=2)
    assert [note["text"] for note in records(slurm, "note")] == ["[[[0, 1], [2, 1]], [[1, 1]]]"]


def test_a_rank_that_is_killed_costs_its_own_group_a_trial_only(slurm: FakeSlurm) -> None:
    """srun ends all groups with it (--kill-on-bad-exit)."""
    supervised(slurm, "start(0, 2); say('srun: error: n1: task 1: Out Of Memory'); end(137)",
               groups=2, ranks=2)  # fmt: skip
    assert states(slurm) == ["finished", "out-of-memory", "finished", "waiting"]


def test_a_pack_that_ends_its_whole_job_again_is_tried_lane_by_lane(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or all of its lanes would be taken for what kills jobs."""
    run = run_of(slurm)
    for attempt in (1, 2):
        for index in range(3):
            start(run, "101_0", index, attempt, lanes=3)
            who = {"trial": f"t{index}", "attempt": attempt}
            if attempt == 1:
                write(run, "101_0", ("stopped", {**who, "why": "", "lost": True, "seconds": 1.0}))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert supervised(slurm, "record('note', text=str(alone())); finish()") == 0
    assert [note["text"] for note in records(slurm, "note")] == ["[True, True, True]"]
    assert states(slurm) == ["finished", "finished", "finished", "waiting"]


def test_trials_of_a_pack_that_dies_are_tried_by_themselves(slurm: FakeSlurm) -> None:
    steps = [
        "start(0, 1, 2, lanes=3); end(139)",
        "record('note', text=str(alone())); finish(0); start(1); end(139)",
    ]
    supervised(slurm, *steps, "record('note', text=str(alone())); finish()")
    assert [note["text"] for note in records(slurm, "note")] == ["[True, True, True]", "[True]"]
    assert states(slurm) == ["finished", "error", "finished", "waiting"]
    assert all(record["alone"] for record in records(slurm, "stopped"))
