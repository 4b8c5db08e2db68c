"""The command: what it says, and how it ends."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from typer.main import get_command

from benchmarks.reading import make_run
from hpc import watching
from hpc.cli.app import app
from hpc.cli.display.status import format_jobs
from hpc.jobs.node import Holder, identity, is_running
from hpc.jobs.spec import Task
from hpc.lock import holder, lock
from hpc.orphans import clear, living_workers
from hpc.profile import BUILTIN, Resources, find, resources
from hpc.request import RunRequest
from hpc.results import Records, Run, RunError
from hpc.schedulers.local import deal
from hpc.sweeps import SweepError, Trial
from tests.conftest import ROOT, Hpc
from tests.hpc.started import until
from tests.jobs.working import planned

DIGITS = ROOT / "sweeps" / "digits.yaml"


@pytest.mark.slow
def test_every_command_has_help_with_an_example(hpc: Hpc) -> None:
    overview = hpc("--help").stdout
    for name in ("run", "resume", "status", "cancel", "table", "list", "cost", "compare", "export", "report",
                 "scaling", "plot"):  # fmt: skip
        assert name in overview
        shown = hpc(name, "--help")
        assert shown.returncode == 0
        assert f"Example: hpc {name}" in shown.stdout
    assert "Usage: hpc run [OPTIONS] {SWEEP}" in hpc("run", "--help").stdout
    assert "to print and to mail." in overview  # whole sentences, none cut
    assert "(default: runs/NAME)" in hpc("run", "--help").stdout  # brackets would be taken for markup


def test_an_option_is_the_same_in_every_command_that_has_it() -> None:
    found: dict[str, set[str | None]] = {}
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        if {"run", "submit", "resume", "extend", "verify-resume"} & {command.name}:
            for parameter in command.params:
                found.setdefault(f"{parameter.opts}", set()).add(parameter.help)
    assert {name for name, helps in found.items() if len(helps) > 1} == {"['--on']", "['--dry-run']"}
    assert {"['--workers']", "['--set']", "['--mixed-code']"} <= found.keys()


def test_a_request_names_the_folder_of_the_run() -> None:
    assert RunRequest().folder_of("digits") == Path("runs/digits")
    assert RunRequest(folder=Path("mine")).folder_of("digits") == Path("mine")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["run", DIGITS, "--on", "locla"], "there is no profile 'locla' (did you mean \"local\"?)"),
        (["run", DIGITS, "--workers", "0"], "--workers 0: must be at least 1"),
        (["run", DIGITS, "--on", "debug", "--ranks", "2"], "--on debug: runs in one process"),
        (
            ["run", DIGITS, "--set", "fixed.epochs=-1"],
            "--set fixed.epochs=-1: fixed.epochs: -1 is not a whole",
        ),
        (["run", DIGITS, "--set", "objective=test_accuracy"], "is measured once, when a trial has ended"),
        (["status", "nowhere"], "nowhere is not the folder of a run: it does not exist"),
        (["resume", "nowhere"], "nowhere is not the folder of a run"),
        (["cancel", "nowhere"], "nowhere is not the folder of a run"),
        (["table", "nowhere"], "nowhere is not the folder of a run"),
        (["table", "nowhere", "--format", "xls"], "'xls' is not a format"),
        (["cost", "nowhere"], "nowhere is not the folder of a run"),
        (["cost", "nowhere", "--format", "parquet"], "'parquet' is not a format"),
        (["compare", "nowhere", "else"], "nowhere is not the folder of a run"),
        (["export", "nowhere", "--to", "tensorboard"], "nowhere is not the folder of a run"),
        (["export", "nowhere", "--to", "tensorbord"], 'exported to (did you mean "tensorboard"?); there are'),
        (["list", "model"], "'model' can't be listed (did you mean \"models\"?); there are models, data"),
    ],
)
def test_wrong_use_is_answered_on_stderr_and_ends_with_2(
    hpc: Hpc, tmp_path: Path, arguments: list[str | Path], said: str
) -> None:
    done = hpc(*arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_the_trials_and_leaves_nothing(hpc: Hpc, tmp_path: Path) -> None:
    done = hpc("run", DIGITS, "--dry-run", "--workers", "1", "--ranks", "2")
    assert done.returncode == 0
    assert done.stdout.count("\nt") >= 27
    assert "27 trials; 1 worker (local), 2 ranks each" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("models", ["mlp", "hidden_size: a whole number", "learning_rate: a number above 0"]),
        ("data", ["digits", "mnist", "train: a number of samples"]),
        ("searches", ["grid", "random"]),
        ("sweeps", ["digits", "mnist_mlp", "about a minute"]),
        ("profiles", ["local", "debug"]),
    ],
)
def test_what_a_sweep_may_name_is_listed(hpc: Hpc, what: str, names: list[str]) -> None:
    done = hpc("list", what)
    assert done.returncode == 0
    for name in names:
        assert name in done.stdout


@pytest.mark.slow
def test_tables_are_written_in_every_format(hpc: Hpc, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", trials=4, epochs=2)
    assert pd.read_csv(out(hpc, run, "csv")).shape[0] == 4
    assert len(pd.read_json(out(hpc, run, "json"))) == 4
    assert len(pd.read_parquet(out(hpc, run, "parquet"))) == 4
    assert out(hpc, run, "markdown").read_text().startswith("| trial_id")
    assert out(hpc, run, "latex").read_text().startswith(r"\begin{tabular}")
    assert out(hpc, run, "table").read_text().startswith("trial_id")
    assert hpc("table", run, "--format", "parquet").returncode == 2
    both = hpc("table", run, run, "--format", "csv").stdout.splitlines()
    assert both[0].startswith("run,trial_id,")
    assert len(both) == 9


def test_watching_ends_with_the_run(hpc: Hpc, tmp_path: Path) -> None:
    done = hpc("status", make_run(tmp_path / "run", trials=4, epochs=2), "--watch")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("made-up: 4 trials: 4 finished\nbest so far: val_accuracy=0.7")


def out(hpc: Hpc, run: Path, form: str) -> Path:
    path = run.parent / f"table.{form}"
    done = hpc("table", run, "--format", form, "--out", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return path


@pytest.mark.parametrize(
    ("asked", "cpus", "gpus", "expected"),
    [
        ({}, 8, [], Resources("local", 8, 1, 1)),
        ({"workers": 2}, 8, [], Resources("local", 2, 1, 4)),
        ({"ranks": 2}, 8, [], Resources("local", 4, 2, 1)),
        ({"ranks": 2, "workers": 1}, 8, [], Resources("local", 1, 2, 4)),
        ({"ranks": 4}, 2, [], Resources("local", 1, 4, 1)),
        ({}, 8, [0, 1], Resources("local", 2, 1, 4, (0, 1))),
        ({"ranks": 2}, 8, [0, 1], Resources("local", 1, 2, 4, (0, 1))),
    ],
)
def test_a_machine_is_shared_among_workers_and_ranks(
    asked: dict[str, int], cpus: int, gpus: list[int], expected: Resources
) -> None:
    assert resources(BUILTIN["local"], cpus=cpus, gpus=gpus, **asked) == expected


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(SweepError, match="there are local, debug"):
        find("a100")


def test_tasks_are_dealt_in_turn_and_no_worker_is_without() -> None:
    tasks = [Task(Trial(index, f"t{index}", {}, 0, "mlp"), 1) for index in range(5)]
    assert [[t.trial.index for t in hand] for hand in deal(tasks, 2)] == [[0, 2, 4], [1, 3]]
    assert len(deal(tasks, 8)) == 5


def test_a_run_has_one_runner_at_a_time(tmp_path: Path) -> None:
    with lock(tmp_path):
        pid, started, mark = identity(os.getpid())
        assert holder(tmp_path) == Holder(socket.gethostname(), pid, started, 0.0, mark)
        with (
            pytest.raises(RunError, match=f"being carried out by process {os.getpid()}"),
            lock(tmp_path),
        ):
            pass
        assert holder(tmp_path) is not None
    assert holder(tmp_path) is None
    assert not list((tmp_path / "jobs").iterdir())


def test_a_process_is_told_from_a_later_one_of_the_same_number() -> None:
    pid, started, mark = identity(os.getpid())
    assert is_running(pid, started)  # as runs of earlier versions tell it
    assert is_running(pid, started, mark)
    assert not is_running(pid, started, f"{mark}1")
    assert not is_running(pid, started - 1000)
    process = subprocess.Popen([sys.executable, "-c", ""])
    found = identity(process.pid)
    until(lambda: not is_running(*found), 30)  # a zombie first, since nobody has waited for it
    process.wait()
    assert not is_running(*found)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of this machine, by which processes reckon when they have started."""
    reckoned = psutil.Process.create_time

    def set_by(seconds: float) -> None:
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: reckoned(process) + seconds)

    return set_by


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a start that no clock changes")
def test_a_process_is_the_same_whatever_the_clock_is_set_to(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    me = identity(os.getpid())
    run = planned(tmp_path, {"name": "x", "model": "mlp", "data": "digits", "space": {"dropout": [0.1]}})
    host = socket.gethostname()
    records = Records(run / "records" / "run.jsonl")
    records.append("submitted", job="local-1-0", host=host, log="x", ranks=1, **me._asdict())
    records.close()
    with lock(run):
        clock(86400.0)
        assert identity(os.getpid()).started == me.started + 86400
        assert is_running(*me)
        who = holder(run)
        assert who is not None
        assert who.is_alive()
        assert watching.status(run)["jobs"][0]["state"] == "running"
        assert [process.pid for process in living_workers(Run(run))] == [me.pid]
        with pytest.raises(RunError, match=f"being carried out by process {me.pid}"), lock(run):
            pass


def test_a_run_in_its_command_s_own_process_is_told_as_it_is(tmp_path: Path) -> None:
    run = planned(tmp_path, {"name": "x", "model": "mlp", "data": "digits", "space": {"dropout": [0.1, 0.2]}})
    first = next(iter(Run(run).trials))

    def write(job: str, *records: tuple[str, dict[str, Any]]) -> None:
        file = Records(run / "records" / f"{job}.jsonl")
        for record, entries in records:
            file.append(record, **entries)
        file.close()

    def told() -> tuple[str, dict[str, Any]]:
        facts = watching.status(run)
        return "\n".join(format_jobs(facts)), facts

    begun = {"attempt": 1, "params": {}, "seed": 0, "ranks": 1, "node": "n", "code": ""}
    ready = ("ready", {"job": "debug-1-0", "backend": "none", "gpu": None})
    write("debug-1-0", ready, ("started", {**begun, "trial": first, "index": 0, "job": "debug-1-0"}))
    with lock(run):
        said, facts = told()
        assert said == (
            f"debug-1-0: running (process {os.getpid()} on {socket.gethostname()}): {first}, epoch 0"
        )
        assert (facts["lost"], facts["jobs"][0]["trial"], watching.is_busy(facts)) == (0, first, True)
    said, facts = told()  # killed: nobody has written down how it ended
    assert said == "debug-1-0: lost"
    assert (facts["lost"], watching.is_busy(facts)) == (1, False)
    records = Records(run / "records" / "run.jsonl")
    clear(Run(run), records, "the command was killed")  # as the next command does
    records.close()
    write("debug-2-0", ("ready", {**ready[1], "job": "debug-2-0"}))
    with lock(run):
        states = [job["state"] for job in told()[1]["jobs"]]
        assert states == ["lost", "running"]
    write("debug-2-0", ("left", {"job": "debug-2-0", "label": "", "how": "done"}))
    with lock(run):
        states = [job["state"] for job in told()[1]["jobs"]]
        assert states == ["lost", "done"]


def leave_behind(folder: Path, who: Holder) -> None:
    (folder / "jobs").mkdir()
    path = folder / "jobs" / "runner.json"
    path.write_text(f'{{"host": "{who.host}", "pid": {who.pid}, "started": {who.started}}}')


def test_a_lock_that_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    pid, started, mark = identity(os.getpid())
    leave_behind(tmp_path, Holder(socket.gethostname(), pid, started - 1000))  # the number is ours by now
    with lock(tmp_path):
        assert holder(tmp_path) == Holder(socket.gethostname(), pid, started, 0.0, mark)


def test_a_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    leave_behind(tmp_path, Holder("elsewhere", 1, 0.0))
    with (
        pytest.raises(RunError, match=r"process 1 on elsewhere.*If that is no longer so, delete"),
        lock(tmp_path),
    ):
        pass
    assert holder(tmp_path) == Holder("elsewhere", 1, 0.0)
    assert holder(tmp_path / "nowhere") is None


@pytest.mark.slow
def test_a_table_is_chosen_grouped_and_sorted_by_what_is_typed(hpc: Hpc, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", trials=12, epochs=2)
    some = hpc("table", run, "--where", "dropout == 0.5", "--sort", "-learning_rate", "--columns",
               "trial_id,learning_rate,dropout", "--format", "csv")  # fmt: skip
    assert some.returncode == 0, some.stderr
    head, *rows = some.stdout.splitlines()
    assert head == "trial_id,learning_rate,dropout"
    assert {row.split(",")[2] for row in rows} == {"0.5"}
    rates = [float(row.split(",")[1]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    grouped = hpc("table", run, "--group-by", "dropout", "--format", "csv")
    assert [line.split(",")[0] for line in grouped.stdout.splitlines()] == ["dropout", "0.0", "0.5"]
    assert "best_val_accuracy_low" in grouped.stdout
    for wrong, said in (
        (["--where", "drop == 1"], "there is no column 'drop' (did you mean \"dropout\"?)"),
        (["--group-by", "drop"], "there is no column 'drop'"),
        (["--points", "--group-by", "dropout"], "not of several"),
    ):
        refused = hpc("table", run, *wrong)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_what_could_not_be_read_is_said_on_stderr(hpc: Hpc, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", trials=3, epochs=2)
    with (run / "records" / "local-1-0.jsonl").open("a") as file:
        file.write('{"record": "dreamt"}\n')
    for command in (["table", run, "--format", "csv"], ["table", run, "--epochs", "--format", "csv"]):
        done = hpc(*command)
        assert done.returncode == 0
        assert done.stderr == (
            f"{run}/records/local-1-0.jsonl: skipped 1 records of a kind that this version does not know: "
            "dreamt\n"
        )
    shown = hpc("status", run)
    assert "records/local-1-0.jsonl: skipped 1 records of a kind" in shown.stdout


@pytest.mark.slow
def test_the_bill_two_runs_and_an_export_are_printed(hpc: Hpc, tmp_path: Path) -> None:
    make_run(tmp_path / "a", trials=4, epochs=2)
    make_run(tmp_path / "b", trials=4, epochs=3)
    bill = hpc("cost", "a").stdout
    assert [line.split()[0] for line in bill.splitlines()] == [
        "outcome", "-----------------", "finished", "start-up", "known"
    ]  # fmt: skip
    rows = pd.read_csv(io.StringIO(hpc("cost", "a", "--trials", "--format", "csv").stdout))
    assert rows.outcome.tolist() == ["finished"] * 4
    assert len(json.loads(hpc("cost", "a", "--jobs", "--format", "json").stdout)) == 4
    both = hpc("cost", "a", "--jobs", "--trials")
    assert both.returncode == 2
    said = hpc("compare", "a", "b").stdout
    assert "fixed.epochs  2 → 3" in said
    assert "over 4 trials of equal hyperparameters and seed" in said
    facts = json.loads(hpc("compare", "a", "b", "--json").stdout)
    assert facts["effect"]["number"] == 4
    done = hpc("export", "a", "--to", "tensorboard", "--out", "tb", "--watch")
    assert done.stdout == "tb: 4 trials, 4 of them with something new (8 epochs).\n"
    assert len(list((tmp_path / "tb").rglob("*tfevents*"))) == 4


def test_a_thousand_equal_failures_are_one_line(hpc: Hpc, tmp_path: Path) -> None:
    make_run(tmp_path / "a", trials=1000, epochs=1)
    lines = []
    for trial in Run(tmp_path / "a").trials.values():
        words = "TypeError: odd" if trial.index == 7 else f"ValueError: no {trial.index}\nTraceback"
        who = {"trial": trial.trial_id, "attempt": 2, "index": trial.index, "params": trial.params, "seed": 0,
               "job": "local-2-0", "ranks": 1, "node": "n", "time": 0.0}  # fmt: skip
        lines += [{"record": "failed", **who, "reason": "error", "error": words}]
    for path in (tmp_path / "a" / "records").glob("local-*"):
        path.unlink()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "a" / "records" / "local-2-0.jsonl").write_text(text)
    said = hpc("status", "a").stdout
    assert "failed: 1000 error" in said
    first = next(iter(Run(tmp_path / "a").trials))
    assert f"    999 × error: ValueError: no 0 (first {first})\n    1 × error: TypeError: odd (" in said
    assert len(said.splitlines()) < 8
    facts = json.loads(hpc("status", "a", "--json").stdout)
    assert facts["failures"] == {"error": 1000}
    assert len(facts["failed"]) == 10


def test_a_terminal_of_latin_1_ends_no_command(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", trials=3, epochs=4)
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [str(Path(sys.executable).with_name("hpc")), "show", str(run)]
    done = subprocess.run(command, env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Metrics, first to last epoch" in done.stdout
    assert b" ... " in done.stdout  # instead of the sign for it
