"""Trials that start a program: what it is told, how its metrics are read, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpc.results import Run
from tests.jobs.called import WhenThere, notes_of, ready, searched, trial_of
from tests.jobs.working import planned, worker_of

TELL = 'echo \'{"val_loss": 0.5}\' >> "$HPC_METRICS"'


def shell(text: str, *arguments: str, **entries: Any) -> dict[str, Any]:
    """A sweep of a program that is a text of sh."""
    command = ["sh", "-c", text.replace("{", "{{").replace("}", "}}"), "sh", *arguments]
    return {"name": "s", "command": command, "objective": "val_loss", **entries}


def folder_of(folder: Path, trial: Any) -> Path:
    return folder / "r" / "trials" / str(trial.trial_id)


def log_of(folder: Path, trial: Any, attempt: int = 1) -> str:
    return (folder_of(folder, trial) / f"output-{attempt}.log").read_text()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_program_is_told_its_trial_by_placeholders_and_by_its_environment(tmp_path: Path) -> None:
    text = (
        'cat "$6" > "$HPC_FOLDER/file"; printf "%s|" "$@" "$HPC_PARAMS" "$HPC_TRIAL" "$HPC_SEED" '
        '"$HPC_FOLDER" "$PWD" "$HPC_CHECKPOINT" > "$HPC_FOLDER/told"; test -d "$7" && ' + TELL
    )
    arguments = [
        "a={rate}", "{{{words}}}", "{listed}", "{flag}", "{params}", "{params_file}", "{scratch}", "{seed}",
        "{folder}", "{trial_id}", "{attempt}", "{rank}", "{size}", "{checkpoint}",
    ]  # fmt: skip
    params = {"rate": 0.001, "words": "a b 'c'", "listed": [1, 2], "flag": True}
    trial = trial_of(tmp_path, shell(text, *arguments, fixed=params, seeds=[3]))
    assert trial.attempt.error == ""
    folder = folder_of(tmp_path, trial)
    told = (folder / "told").read_text().split("|")
    assert told[:5] == ["a=0.001", "{a b 'c'}", "[1, 2]", "true", json.dumps(params)]
    assert json.loads((folder / "file").read_text()) == params
    scratch = told[6]
    assert not Path(scratch).exists()
    assert told[7:13] == ["3", str(folder), trial.trial_id, "1", "0", "1"]
    place = told[13]
    assert told[14:-1] == [json.dumps(params), trial.trial_id, "3", str(folder), str(tmp_path), place]
    assert not Path(place).exists()
    assert sorted(path.name for path in folder.iterdir()) == ["file", "told"]


def test_one_that_leaves_nothing_leaves_no_folder(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, shell(TELL))
    assert (trial.state, trial.attempt.best) == ("finished", 0.5)
    assert not folder_of(tmp_path, trial).exists()
    assert not any((tmp_path / "r" / "checkpoints").iterdir())


def test_steps_are_lines_of_json(tmp_path: Path) -> None:
    text = r"""
printf '{"loss": 3, "val_loss": 0.5}\n\n{"step": 4, "loss": 2}\n{"val_loss": 0.25}\n' >> "$HPC_METRICS"
printf '{"step": 6.0, "val_loss": 0.75, "when": "now"}' >> "$HPC_METRICS"
"""
    trial = trial_of(tmp_path, shell(text))
    assert trial.attempt.error == ""
    assert [(one["epoch"], one["metrics"]) for one in trial.history()] == [
        (1, {"loss": 3.0, "val_loss": 0.5}),
        (4, {"loss": 2.0, "val_loss": 0.25}),
        (6, {"val_loss": 0.75}),
    ]
    assert (trial.attempt.epochs, trial.attempt.best) == (6, 0.25)
    assert notes_of(tmp_path) == ["when in $HPC_METRICS is 'now', which is no number, and is left out"]


def test_steps_are_what_patterns_find(tmp_path: Path) -> None:
    text = r"printf 'a=1 v=0.5 b=7\rv=1e-2\nb=8\nv=nothing v=.25'"
    patterns = {"a": r"a=(\d)", "val_loss": r"\bv=([0-9.e-]+)", "b": r"b=(\d)"}
    trial = trial_of(tmp_path, shell(text, metrics=patterns))
    assert trial.attempt.error == ""
    assert [(one["epoch"], one["metrics"]) for one in trial.history()] == [
        (1, {"a": 1.0, "val_loss": 0.5, "b": 7.0}),
        (2, {"val_loss": 0.01}),
        (3, {"b": 8.0, "val_loss": 0.25}),
    ]


WRONG: dict[str, tuple[str, str]] = {
    "exit": (
        "echo one; echo two >&2; exit 3",
        "the program has ended with exit code 3.\nIts last lines:\none\ntwo",
    ),
    "silent": ("exit 4", "the program has ended with exit code 4. It has printed nothing."),
    "signal": ("kill -SEGV $$", "the program was ended by SIGSEGV."),
    "killed": ("kill -KILL $$", "the program was ended by SIGKILL, as where memory is short."),
    "no metric": (
        "echo done",
        "the program has ended well, but val_loss never came: it has told nothing; it has to append a line "
        'like {"val_loss": 0.5} to the file that $HPC_METRICS names, or print it, with a pattern under '
        "metrics.\nIts last lines:\ndone",
    ),
    "another metric": (
        """echo '{"loss": 1}' >> "$HPC_METRICS" """,
        "the program has ended well, but val_loss never came: it has told loss; ",
    ),
    "no JSON": (
        "echo nothing >> $HPC_METRICS; sleep 60",
        "line 1 of $HPC_METRICS is no JSON (Expecting value",
    ),
    "no object": ("echo '[1]' >> $HPC_METRICS; sleep 60", "line 1 of $HPC_METRICS is no object, as "),
    "no step": (
        """echo '{"step": "a"}' >> $HPC_METRICS""",
        "line 1 of $HPC_METRICS has the step 'a', which is no whole number",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_program_does_wrong_is_told_in_a_sentence(tmp_path: Path, name: str) -> None:
    text, said = WRONG[name]
    attempt = trial_of(tmp_path, shell(text, grace_seconds=1)).attempt
    assert (attempt.state, attempt.reason) == ("failed", "error")
    assert attempt.error.startswith(said)


def test_a_pattern_that_finds_no_number_is_told(tmp_path: Path) -> None:
    attempt = trial_of(tmp_path, shell("echo v=1.2.3; sleep 60", metrics={"val_loss": "v=(.*)"})).attempt
    assert attempt.error.startswith(
        "the pattern of val_loss has found '1.2.3', which is no number, in this line: "
    )


def test_a_metric_that_is_no_number_is_a_divergence(tmp_path: Path) -> None:
    text = """echo '{"val_loss": NaN}' >> "$HPC_METRICS"; sleep 60"""
    attempt = trial_of(tmp_path, shell(text)).attempt
    assert (attempt.state, attempt.reason, attempt.error) == (
        "failed",
        "diverged",
        "val_loss is nan after step 1",
    )


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (
            "#!/bin/sh\n",
            0o644,
            "./mine could not be started: it may not be executed: chmod +x ./mine, or name its ",
        ),
        ("#!/no/such\n", 0o755, "./mine could not be started: its first line names no interpreter."),
        (
            "\x00\x01",
            0o755,
            "./mine could not be started: it is neither a program, nor does its first line name an ",
        ),
    ],
)
def test_a_program_that_can_t_be_started_is_told_why(
    tmp_path: Path, content: str, mode: int, said: str
) -> None:
    (tmp_path / "mine").write_text(content)
    (tmp_path / "mine").chmod(mode)
    attempt = trial_of(tmp_path, {"name": "s", "command": "./mine", "objective": "val_loss"}).attempt
    assert attempt.error.startswith(said)


def test_much_output_fills_neither_the_disk_nor_what_is_told(tmp_path: Path) -> None:
    text = "echo first; head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo last; exit 1"
    trial = trial_of(tmp_path, shell(text))
    log = log_of(tmp_path, trial)
    assert log.startswith("first\nxxx")
    assert log.endswith("xxx\nlast\n")
    assert len(log) < 7_000_000
    assert " bytes are left out here]" in log
    assert len(trial.attempt.error) < 5000
    assert trial.attempt.error.endswith("\nlast")


OUTLIVES = {
    "in its group": "sleep 100 & echo $! > $HPC_FOLDER/pid; ",
    "in a session of its own": "setsid sleep 100 & sleep 0.2; pgrep -f 'sleep 100' -n > $HPC_FOLDER/pid; ",
}


@pytest.mark.parametrize("how", OUTLIVES)
def test_a_child_that_outlives_its_program_is_ended(tmp_path: Path, how: str) -> None:
    trial = trial_of(tmp_path, shell(OUTLIVES[how] + TELL))
    assert (trial.state, trial.attempt.error) == ("finished", "")
    assert is_gone(int((folder_of(tmp_path, trial) / "pid").read_text()))
    assert notes_of(tmp_path) == [f"the program of {trial.trial_id} has left a process behind, now ended"]


def test_a_pruner_ends_a_program_and_what_it_has_started(tmp_path: Path) -> None:
    text = """
echo $$ >> "$HPC_FOLDER/pids"; sleep 100 & echo $! >> "$HPC_FOLDER/pids"
for step in 1 2 3; do echo "{\\"val_loss\\": $1}" >> "$HPC_METRICS"; done
test $1 = 1 || wait
kill $!
"""
    pruner = {"name": "median", "n_startup_trials": 1}
    run = searched(
        tmp_path,
        shell(text, "{loss}", space={"loss": [1, 2, 3]}, search={"method": "grid", "pruner": pruner}),
    )
    states = {trial.params["loss"]: trial.state for trial in run.trials.values()}
    assert states == {1: "finished", 2: "pruned", 3: "pruned"}
    for trial in run.trials.values():
        pids = (folder_of(tmp_path, trial) / "pids").read_text().split()
        assert len(pids) == 2
        assert all(is_gone(int(pid)) for pid in pids)


def test_one_that_does_not_heed_is_killed_after_its_time(tmp_path: Path) -> None:
    text = "trap '' TERM USR2; touch $HPC_FOLDER/up; while :; do sleep 0.05; done"
    entries = shell(text, grace_seconds=0.3)
    run = planned(tmp_path, entries)
    (folder,) = [run / "trials" / name for name in Run(run).trials]
    trial = trial_of_run(run, WhenThere(folder / "up"))
    assert trial.state == "waiting"


def trial_of_run(run: Path, *requests: WhenThere | None) -> Any:
    for number, request in enumerate(requests):
        worker_of(run, f"test-1-{number}")(request)
    (trial,) = Run(run, keep_epochs=True).trials.values()
    return trial


@pytest.mark.parametrize(
    ("traps", "heard"),
    [("TERM", "TERM\n"), ("USR2", "USR2\n")],
)
def test_a_program_hears_of_a_stop_and_goes_on_from_its_own_checkpoint(
    tmp_path: Path, traps: str, heard: str
) -> None:
    text = f"""
test -f "$HPC_CHECKPOINT/state" && cp "$HPC_CHECKPOINT/state" "$HPC_FOLDER/found"
save() {{ echo $HPC_ATTEMPT > "$HPC_CHECKPOINT/state"; echo {traps} >> "$HPC_FOLDER/heard"; exit 0; }}
trap save {traps}
echo '{{"val_loss": 0.5}}' >> "$HPC_METRICS"
touch "$HPC_FOLDER/up"
test $HPC_ATTEMPT = 2 && exit 0
while :; do sleep 0.05; done
"""
    run = planned(tmp_path, shell(text, grace_seconds=10))
    (name,) = Run(run).trials
    folder = run / "trials" / name
    trial = trial_of_run(run, WhenThere(folder / "up"), None)
    assert [attempt.state for attempt in trial.attempts.values()] == ["waiting", "finished"]
    assert (folder / "heard").read_text() == heard
    assert (folder / "found").read_text() == "1\n"
    assert [one["epoch"] for one in trial.history()] == [1, 2]
    assert not any((run / "checkpoints").iterdir())


def test_nothing_is_left_running_when_the_worker_is_killed(tmp_path: Path) -> None:
    text = 'echo $$ > "$HPC_FOLDER/pid"; ' + TELL + "; while :; do sleep 0.05; done"
    run = planned(tmp_path, shell(text, grace_seconds=2))
    (name,) = Run(run).trials
    worker = subprocess.Popen([sys.executable, "-m", "tests.jobs.plain_rank", str(run), "test-1-0"])
    file = run / "trials" / name / "pid"
    until(lambda: file.exists() and file.read_text().strip() != "")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    until(lambda: is_gone(int(file.read_text())))


def until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["prints", "appends"])
def test_the_programs_that_stand_ready_train(tmp_path: Path, name: str) -> None:
    run = ready(tmp_path, name)
    assert {trial.attempt.error for trial in run.trials.values()} == {""}
    assert {trial.attempt.epochs for trial in run.trials.values()} <= {3, 4}
    assert all(len(trial.history()) == trial.attempt.epochs for trial in run.trials.values())
