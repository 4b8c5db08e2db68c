"""What SLURM's commands answer, and what it means when they don't."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpc.results import REASONS as KNOWN_REASONS
from hpc.schedulers.base import ALIVE, JobState, SchedulerError, UnreachableError
from hpc.schedulers.slurm import REASONS, Slurm, is_unreachable, plain_environment
from tests.hpc.fake_slurm import FakeSlurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    return FakeSlurm.install(tmp_path / "slurm", monkeypatch)


def says(slurm: FakeSlurm, command: str, text: str, code: int = 0) -> None:
    """Let a command print just this."""
    stream = "" if code == 0 else " >&2"
    (slurm.bin / command).write_text(f"#!/bin/sh\ncat{stream} <<'END'\n{text}\nEND\nexit {code}\n")


def batch(folder: Path, size: int = 2, name: str = "hpc-a.0") -> Path:
    path = folder / f"{name}.sh"
    path.write_text(f"#!/bin/bash\n#SBATCH --job-name={name}\n#SBATCH --array=0-{size - 1}%{size}\ntrue\n")
    return path


# --- sbatch


BANNER = "3 nodes are down until Monday\n2026 | 11 | 30 | a | b | c | d | e | f | g | h\n1|2|3|4\npmix = 4\n"
"""What a site's wrapper may say before the answer of any command."""


@pytest.mark.parametrize(
    "answer",
    [
        "4711",
        "4711;cluster",
        "4711\n",
        f"{BANNER}4711",
        f"17\n{BANNER}4711;cluster-2",
        "4711\n3 jobs are ahead",
    ],
)
def test_the_number_of_a_job_is_what_sbatch_answers(slurm: FakeSlurm, tmp_path: Path, answer: str) -> None:
    says(slurm, "sbatch", answer)
    assert Slurm().sbatch(batch(tmp_path)) == "4711"


@pytest.mark.parametrize("answer", ["3 nodes are down", "Submitted batch job 7", "", "7 8", "7_1"])
def test_a_number_among_words_is_no_job(slurm: FakeSlurm, tmp_path: Path, answer: str) -> None:
    says(slurm, "sbatch", answer)
    with pytest.raises(UnreachableError, match="which is no job id"):
        Slurm().sbatch(batch(tmp_path))


def test_an_answer_that_is_no_number_may_mean_anything(slurm: FakeSlurm, tmp_path: Path) -> None:
    says(slurm, "sbatch", "welcome to our cluster")
    with pytest.raises(
        UnreachableError, match=r"sbatch answered 'welcome to our cluster.*which is no job id"
    ):
        Slurm().sbatch(batch(tmp_path))


def test_scripts_are_submitted_from_their_folder_with_further_options(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    folder = tmp_path / "it's a\nfolder"
    folder.mkdir()
    assert Slurm().sbatch(batch(folder), ["--dependency=afterany:7"]) == "101"
    array = slurm.arrays["101"]
    assert (array["cwd"], array["file"]) == (str(folder), "hpc-a.0.sh")
    assert array["options"]["dependency"] == "afterany:7"


# --- squeue


def test_every_job_of_a_waiting_array_is_told_of(slurm: FakeSlurm, tmp_path: Path) -> None:
    Slurm().sbatch(batch(tmp_path, 3))
    slurm.set("101_0", "RUNNING", nodes="n[1-2]", reason="None")
    slurm.set("101_2", "FAILED")
    answers = Slurm().queue(["hpc-a.0"])
    assert answers.problem == ""
    assert answers.jobs == {
        "101_0": JobState("101_0", "hpc-a.0", "RUNNING", "None", "n[1-2]", "", "1:00:00", "N/A"),
        "101_1": JobState("101_1", "hpc-a.0", "PENDING", "Resources", "", "", "1:00:00", "N/A"),
        "101_2": JobState("101_2", "hpc-a.0", "FAILED", "Resources", "", "", "1:00:00", "N/A"),
    }
    assert [job.is_alive for job in answers.jobs.values()] == [True, True, False]


def test_reasons_may_have_any_words(slurm: FakeSlurm) -> None:
    says(slurm, "squeue", "7|0|a|PENDING|ReqNodeNotAvail, UnavailableNodes:n1||2:00|2026-01-01T00:00:00")
    assert Slurm().queue(["a"]).jobs["7_0"].reason == "ReqNodeNotAvail, UnavailableNodes:n1"


def test_no_names_cost_no_question(slurm: FakeSlurm) -> None:
    assert Slurm().queue([]).jobs == {}
    assert slurm.calls() == []


def test_all_names_are_asked_for_by_one_squeue(slurm: FakeSlurm) -> None:
    Slurm().queue(["b", "a"])
    ((_, *arguments),) = slurm.calls("squeue")
    assert "--name=a,b" in arguments
    assert {"--noheader", "--array", "--states=all"} <= set(arguments)


@pytest.mark.parametrize(("user", "questions"), [(os.getuid(), 1), (os.getuid() + 1, 2), (None, 1)])
def test_slurmctld_chooses_by_the_user_unless_that_leaves_an_array_out(
    slurm: FakeSlurm, tmp_path: Path, user: int | None, questions: int
) -> None:
    number = Slurm().sbatch(batch(tmp_path, name="a"))
    assert list(Slurm().queue(["a"], user).jobs) == [f"{number}_0", f"{number}_1"]
    asked = slurm.calls("squeue")
    assert (f"--user={user}" in asked[0], len(asked)) == (user is not None, questions)


def test_lines_that_are_no_jobs_are_no_crash(slurm: FakeSlurm) -> None:
    says(slurm, "squeue", f"maintenance tonight\n{BANNER}7|0|a|RUNNING|None|n1|2:00|N/A")
    assert list(Slurm().queue(["a"]).jobs) == ["7_0"]
    says(slurm, "sacct", f"{BANNER}7_0|a|FAILED|1:0|0||0|2026-01-01T10:00:00|Unknown|Unknown|n1")
    assert list(Slurm().account(["a"], 0.0).jobs) == ["7_0"]
    says(slurm, "scontrol", f"{BANNER}Configuration data as of today\nMaxArraySize            = 77")
    assert Slurm().config()["MaxArraySize"] == "77"


# --- sacct


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7_0|a|COMPLETED|0:0|n1", {"7_0": ("COMPLETED", "0:0", "n1")}),
        ("7_0|a|CANCELLED by 0|0:15|n1", {"7_0": ("CANCELLED", "0:15", "n1")}),
        ("7_0|a|OUT_OF_MEMORY|0:125|n[1-2]", {"7_0": ("OUT_OF_MEMORY", "0:125", "n[1-2]")}),
        ("7_0|a|NODE_FAIL|1:0|n1\n7_0|a|TIMEOUT|0:0|n2", {"7_0": ("TIMEOUT", "0:0", "n2")}),
        ("7_0|a|FAILED|1:0|n1\n7_1|a|RUNNING|0:0|n2", {"7_0": ("FAILED", "1:0", "n1"),
                                                      "7_1": ("RUNNING", "0:0", "n2")}),
        ("7_[2-3%2]|a|CANCELLED by 0|0:0|None assigned", {"7_2": ("CANCELLED", "0:0", "None assigned"),
                                                         "7_3": ("CANCELLED", "0:0", "None assigned")}),
        ("7_[0,2-3]|a|CANCELLED by 0|0:0|x", {"7_0": ("CANCELLED", "0:0", "x"),
                                              "7_2": ("CANCELLED", "0:0", "x"),
                                              "7_3": ("CANCELLED", "0:0", "x")}),
        ("7_1|a|CANCELLED|0:0|n1\n7_[2]|a|PENDING|0:0|x", {"7_1": ("CANCELLED", "0:0", "n1"),
                                                          "7_2": ("PENDING", "0:0", "x")}),
        ("", {}),
    ],
)  # fmt: skip
def test_what_sacct_says_of_jobs(
    slurm: FakeSlurm, text: str, expected: dict[str, tuple[str, str, str]]
) -> None:
    told = []
    for line in text.splitlines():
        job, name, state, code, nodes = line.split("|")
        told.append(
            f"{job}|{name}|{state}|{code}|5|cpu=1,node=1|0|2026-01-01T00:00:00|Unknown|Unknown|{nodes}"
        )
    say(slurm, *told)
    answers = Slurm().account(["a"], 0.0)
    assert answers.problem == ""
    assert answers.knows_ended
    assert {job: (s.state, s.exit_code, s.nodes) for job, s in answers.jobs.items()} == expected


def say(slurm: FakeSlurm, *lines: str) -> None:
    """Let sacct answer with these lines."""
    text = "\n".join(lines)
    (slurm.bin / "sacct").write_text(f"#!/bin/sh\nprintf '%s' '{text}'\n")


@pytest.mark.parametrize(
    ("tres", "energy", "expected"),
    [
        ("billing=8,cpu=8,gres/gpu=2,mem=16G,node=2", "0", (2, 8, 2, None)),
        ("billing=8,cpu=8,energy=500,gres/gpu:a100=2,gres/gpu=2,node=1", "500", (1, 8, 2, 500.0)),
        ("cpu=8,gres/gpu:a100=2,gres/gpu:v100=1,node=1", "18446744073709551614", (1, 8, 3, None)),
        ("cpu=1,mem=500M,node=1", "", (1, 1, 0, None)),
    ],
)
def test_what_sacct_says_that_a_job_has_cost(
    slurm: FakeSlurm, tres: str, energy: str, expected: tuple[int, int, int, float | None]
) -> None:
    times = "2026-01-01T10:00:00|2026-01-01T10:01:30|2026-01-01T10:31:30"
    say(slurm, f"7_0|a|COMPLETED|0:0|1800|{tres}|{energy}|{times}|n1",
        f"7_1|a|RUNNING|0:0|1800|{tres}|{energy}|{times}|n1")  # fmt: skip
    jobs = Slurm().account(["a"], 0.0).jobs
    assert jobs["7_1"].account is None  # it is not over
    account = jobs["7_0"].account
    assert account is not None
    nodes, cores, gpus, joules = expected
    assert account.entries() == {
        "elapsed_seconds": 1800, "nodes": nodes, "cores": cores, "gpus": gpus, "energy_joules": joules,
        "queue_seconds": 90,
    }  # fmt: skip
    assert account.end == time.mktime((2026, 1, 1, 10, 31, 30, 0, 0, -1))


def test_a_requeued_job_has_cost_all_its_runs_and_ended_as_the_last(slurm: FakeSlurm) -> None:
    line = "7_0|a|{}|0:0|{}|cpu=4,node=2|10|2026-01-01T{}|n1"
    say(slurm, line.format("COMPLETED", 600, "11:00:00|2026-01-01T11:05:00|2026-01-01T11:15:00"),
        line.format("NODE_FAIL", 300, "10:00:00|2026-01-01T10:01:00|2026-01-01T10:06:00"))  # fmt: skip
    job = Slurm().account(["a"], 0.0).jobs["7_0"]
    assert job.state == "COMPLETED"
    cost = job.account
    assert cost is not None
    assert (cost.elapsed_seconds, cost.queue_seconds, cost.energy_joules) == (900, 360, 20)
    assert cost.end == time.mktime((2026, 1, 1, 11, 15, 0, 0, 0, -1))


def test_a_job_that_was_cancelled_in_the_queue_has_cost_nothing(slurm: FakeSlurm) -> None:
    say(slurm, "7_[0-1]|a|CANCELLED by 0|0:0|0||0|2026-01-01T10:00:00|None|2026-01-01T10:02:00|None assigned")
    account = Slurm().account(["a"], 0.0).jobs["7_1"].account
    assert account is not None
    assert (account.elapsed_seconds, account.cores, account.queue_seconds) == (0, 0, 120)


def test_sacct_is_asked_by_names_and_since_when(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    Slurm().account(["b", "a"], 1767225660.0)
    ((_, *arguments),) = slurm.calls("sacct")
    assert {"--name=a,b", "--parsable2", "--allocations", "--duplicates"} <= set(arguments)
    # Only so does it tell of jobs that never began: the states named, and an end.
    assert "--endtime=now" in arguments
    assert any(a.startswith("--state=") and "CANCELLED" in a for a in arguments)
    start = next(a for a in arguments if a.startswith("--starttime="))
    assert len(start) == len("--starttime=2026-01-01T00:00:00")


def test_a_site_without_accounts_is_no_problem(slurm: FakeSlurm) -> None:
    slurm.fail("sacct", "disabled", always=True)
    client = Slurm()
    for _ in range(2):
        answers = client.account(["a"], 0.0)
        assert (answers.jobs, answers.problem, answers.knows_ended) == ({}, "", False)
    assert slurm.count("sacct") == 1


def test_accounts_that_are_down_are_a_problem_and_asked_again(slurm: FakeSlurm) -> None:
    slurm.fail("sacct", "Problem talking to the database: Connection refused")
    client = Slurm()
    assert client.account(["a"], 0.0).problem == (
        "sacct: Problem talking to the database: Connection refused"
    )
    assert client.account(["a"], 0.0).problem == ""


# --- states


@pytest.mark.parametrize("state", sorted(ALIVE))
def test_states_in_which_a_job_may_yet_do_something(state: str) -> None:
    assert JobState("7_0", "a", state).is_alive
    assert state not in REASONS


@pytest.mark.parametrize(
    "state",
    ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED",
     "DEADLINE", "REVOKED", "UNKNOWN", "LAUNCH_FAILED", "RECONFIG_FAIL"],
)  # fmt: skip
def test_states_that_are_final(state: str) -> None:
    assert not JobState("7_0", "a", state).is_alive


def test_reasons_are_those_of_the_records() -> None:
    assert set(REASONS.values()) <= set(KNOWN_REASONS)


# --- when it does not answer


@pytest.mark.parametrize(
    "words",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "Batch job submission failed: Socket timed out on send/recv operation",
        "Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "slurm_persist_conn_open_without_init: failed to open persistent connection to host:n0:6819: "
        "Connection refused",
        "Problem talking to the database: Connection refused",
        "slurm_receive_msg: Zero Bytes were transmitted or received",
        "Batch job submission failed: Slurm backup controller in standby mode, try again",
        "Batch job submission failed: Resource temporarily unavailable, try again later",
        "Job submit/allocate failed: Unexpected message received",
        "slurmctld: Connection timed out",
        "Communication connection failure",
    ],
)
def test_complaints_of_a_slurm_that_is_out_of_reach(words: str) -> None:
    assert is_unreachable(words)


@pytest.mark.parametrize(
    "words",
    [
        "Batch job submission failed: Invalid partition name specified",
        "Batch job submission failed: Invalid account or account/partition combination specified",
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size)",
        "Batch job submission failed: Requested node configuration is not available",
        "Batch job submission failed: Invalid job array specification",
        "Batch job submission failed: Memory specification can not be satisfied",
        "Slurm accounting storage is disabled",
        "unrecognized option '--gpus-per-nod=4'",
        "Kill job error on job id 7: Invalid job id specified",
        "",
    ],
)
def test_complaints_that_are_a_refusal(words: str) -> None:
    assert not is_unreachable(words)


@pytest.mark.parametrize(
    ("said", "kind", "expected"),
    [
        ("sbatch: error: Batch job submission failed: Invalid qos specification", SchedulerError,
         "sbatch: Batch job submission failed: Invalid qos specification"),
        ("sbatch: error: a\nsbatch: error: Socket timed out on send/recv operation", UnreachableError,
         "sbatch: a sbatch: error: Socket timed out on send/recv operation"),
        ("", SchedulerError, "sbatch: exit code 3"),
    ],
)  # fmt: skip
def test_slurms_words_are_kept(
    slurm: FakeSlurm, tmp_path: Path, said: str, kind: type[SchedulerError], expected: str
) -> None:
    says(slurm, "sbatch", said, code=3)
    with pytest.raises(SchedulerError) as caught:
        Slurm().sbatch(batch(tmp_path))
    assert type(caught.value) is kind
    assert str(caught.value) == expected


def test_a_command_that_hangs_is_given_up(slurm: FakeSlurm, tmp_path: Path) -> None:
    slurm.fail("sbatch", "hang")
    slurm.fail("squeue", "hang")
    client = Slurm(timeout_seconds=0.2)
    with pytest.raises(UnreachableError, match="sbatch did not answer within 0 seconds"):
        client.sbatch(batch(tmp_path))
    assert client.queue(["a"]).problem == "squeue did not answer within 0 seconds."


def test_a_command_that_takes_its_time_is_waited_for(slurm: FakeSlurm, tmp_path: Path) -> None:
    slurm.fail("sbatch", "slow")
    assert Slurm().sbatch(batch(tmp_path)) == "101"


@pytest.mark.parametrize("command", ["sbatch", "squeue", "sacct", "scancel", "scontrol"])
def test_a_command_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = (
        f"{command} is not on the PATH of this machine, so it is no login node of a SLURM cluster; --on loc"
    )
    with pytest.raises(SchedulerError) as caught:
        Slurm().output(command)
    assert str(caught.value).startswith(said)
    assert not isinstance(caught.value, UnreachableError)


def test_missing_commands_are_a_problem_of_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "squeue is not on the PATH" in Slurm().queue(["a"]).problem
    assert "sacct is not on the PATH" in Slurm().account(["a"], 0.0).problem


# --- scontrol, scancel, the environment


def test_the_configuration_is_read_by_names(slurm: FakeSlurm) -> None:
    config = Slurm().config()
    assert config["MaxArraySize"] == "1001"
    assert config["MinJobAge"] == "300 sec"
    assert "Configuration data as of 2026-01-01T00:00:00" not in config


def test_values_of_the_configuration_may_have_equals_signs(slurm: FakeSlurm) -> None:
    says(slurm, "scontrol", "SlurmctldParameters     = a=1,b=2\nMaxArraySize=77")
    assert Slurm().config() == {"SlurmctldParameters": "a=1,b=2", "MaxArraySize": "77"}


def test_nothing_to_cancel_costs_no_question(slurm: FakeSlurm) -> None:
    Slurm().cancel([])
    assert slurm.calls() == []
    Slurm().cancel(["7", "8"])
    assert slurm.calls() == [["scancel", "7", "8"]]


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("PATH", True),
        ("SBATCH_ACCOUNT", True),
        ("SLURM_CONF", True),
        ("SLURM_CLUSTERS", True),
        ("SLURM_CONF_SERVER", False),
        ("SLURM_JOB_ID", False),
        ("SLURM_NTASKS", False),
        ("SLURM_TIME_FORMAT", False),
        ("SQUEUE_FORMAT", False),
        ("SQUEUE_STATES", False),
        ("SACCT_FORMAT", False),
        ("MY_SLURM_JOB_ID", True),
    ],
)
def test_the_environment_changes_no_answer(name: str, stays: bool) -> None:
    assert plain_environment({name: "x"}) == ({name: "x"} if stays else {})


def test_a_command_typed_inside_a_job_is_not_that_job(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SBATCH_ACCOUNT", "me")
    (slurm.bin / "scontrol").write_text(
        '#!/bin/sh\necho "Id=$SLURM_JOB_ID"\necho "Account=$SBATCH_ACCOUNT"\n'
    )
    assert Slurm().config() == {"Id": "", "Account": "me"}


def test_commands_of_slurm_without_a_cluster_are_told_in_a_sentence(slurm: FakeSlurm) -> None:
    slurm.fail("scontrol", "error: fetch_config: DNS SRV lookup failed\nfatal: Could not establish a "
               "configuration source")  # fmt: skip
    with pytest.raises(
        SchedulerError, match="scontrol knows of no SLURM cluster on this machine; submit from"
    ):
        Slurm().config()
