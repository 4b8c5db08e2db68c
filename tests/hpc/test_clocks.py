"""The clock of the machine is set while a run is carried out, and between two commands: nobody notices."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc.jobs.node.processes import begun
from hpc.jobs.source.budget import BudgetGuard
from hpc.results import Records, Run, moments
from tests.conftest import Hpc
from tests.hpc.started import built, epochs_of, start, states, sweep, until
from tests.jobs.studies import begin, sweep_of, write

STEPS = pytest.mark.parametrize("step", [60.0, -60.0, 86400.0, -86400.0])
SET = """
import os, time

def by():
    try:
        with open(os.environ["CLOCK_IS_SET_BY"]) as file:
            return float(file.read() or 0)
    except OSError:
        return 0.0

told = time.time
time.time = lambda: told() + by()
import psutil, psutil._pslinux
booted = psutil._pslinux.boot_time
psutil.boot_time = psutil._pslinux.boot_time = lambda: booted() + by()
"""
"""A sitecustomize.py by which Python, and what the kernel tells of when the machine booted, follow a file."""


@dataclass
class Wall:
    """The clock of this process, which is set by so many seconds."""

    step: float = 0.0


@pytest.fixture
def wall() -> Iterator[Wall]:
    wall = Wall()
    with moments.by(lambda: time.time() + wall.step):
        yield wall


@STEPS
def test_moments_inside_a_command_go_on_evenly(wall: Wall, step: float) -> None:
    with moments.steady():
        shared, before = moments.zero(), moments.now()
        assert abs(before - time.time()) < 1
        wall.step = step
        assert 0 <= moments.now() - before < 1
        with moments.steady():  # another process, which knows nothing of it
            assert abs(moments.now() - before - step) < 1
        with moments.steady(shared):
            assert 0 <= moments.now() - before < 1
        with moments.steady(f"another boot/{before}"):
            assert abs(moments.now() - before - step) < 1
        assert 0 <= moments.now() - before < 1
    assert abs(moments.now() - before - step) < 1


@STEPS
def test_how_long_ago_a_record_was_written(tmp_path: Path, wall: Wall, step: float) -> None:
    record = {"time": time.time() - 100, **moments.stamp()}
    record["uptime"] -= 100
    wall.step = step
    assert 99 < moments.since(record) < 110
    elsewhere = {**record, "boot": "another"}  # there is nothing but the clock
    assert abs(moments.since(elsewhere) - max(0.0, 100 + step)) < 10
    assert moments.since({"time": time.time() + 200000}) == 0.0


def test_a_process_has_begun_before_now() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert -0.1 < moments.uptime() - begun(process.pid) < 10
        assert begun(os.getpid()) < begun(process.pid)
    finally:
        process.communicate(b"\n")


@STEPS
@pytest.mark.parametrize("minutes", [10, 30])
def test_a_search_s_time_is_over_when_it_is(tmp_path: Path, wall: Wall, step: float, minutes: int) -> None:
    """Twenty minutes after the launch, whatever the clock says, and whenever it is set."""
    folder, up = tmp_path / "r", moments.uptime
    begin(folder, sweep_of())
    write(folder, "launched", cluster="local", **{**moments.stamp(), "uptime": up() - 1200})
    search = {"method": "tpe", "trials": 12, "timeout_min": minutes}
    expected = "timeout_min: 10 minutes are over" if minutes == 10 else ""
    budget = BudgetGuard(sweep_of(search=search), Run(folder))
    assert budget.ends({}) == expected
    wall.step = step
    assert budget.ends({}) == expected
    assert BudgetGuard(sweep_of(search=search), Run(folder)).ends({}) == expected


@STEPS
def test_a_search_is_over_by_its_last_launch_and_not_by_the_clock(
    tmp_path: Path, wall: Wall, step: float
) -> None:
    folder = tmp_path / "r"
    begin(folder, sweep_of())
    write(folder, "launched", launch=1, cluster="local")
    records = Records(folder / "records" / "local-2-0.jsonl")
    wall.step = step
    records.append("over", job="local-2-0", why="budget: spent")
    records.close()
    assert Run(folder).over == "budget: spent"
    wall.step = 0.0
    write(folder, "launched", launch=3, cluster="local")
    assert Run(folder).over == ""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: the seconds in it are added to the clock of all processes that are started."""
    place, found = tmp_path / "site", tmp_path / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(SET)
    monkeypatch.setenv("CLOCK_IS_SET_BY", str(found))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a start that no clock changes")
def test_a_run_goes_on_whatever_the_clock_is_set_to(tmp_path: Path, hpc: Hpc, clock: Path) -> None:
    """Two workers train; the clock steps; a second command is refused; all ends once; a third has no more."""
    path, run = sweep(tmp_path, ["slow", "none"], epochs=40), tmp_path / "r"
    process = start(tmp_path, "run", path, "--workers", "2", "--dir", "r")
    until(lambda: (run / "sweep.yaml").exists() and epochs_of(run, "slow") > 0)
    for step in (60, -60, 86400):
        clock.write_text(str(step))
        epoch = epochs_of(run, "slow")
        second = hpc("run", path, "--workers", "2", "--dir", "r")
        assert (second.returncode, "is being carried out by process" in second.stderr) == (2, True)
        told = json.loads(hpc("status", "r", "--json").stdout)
        assert (told["lost"], told["trials"]["failed"]) == (0, 0)
        assert epochs_of(run, "slow") >= epoch
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    began = re.search(r"The first trial began after ([\d.-]+) s", said)
    assert began
    assert 0 < float(began[1]) < 120
    clock.write_text("-86400")
    third = hpc("resume", "r")
    assert third.returncode == 0, third.stdout + third.stderr
    assert states(run) == {"slow": "finished", "none": "finished"}
    assert Counter(built(tmp_path)) == {"slow": 1, "none": 1}
    found = Run(run, keep_epochs=True)
    assert [sorted(trial.attempts) for trial in found.trials.values()] == [[1], [1]]
    for trial in found.trials.values():
        moment = [record["time"] for record in trial.history()]
        assert moment == sorted(moment)
        assert trial.attempt.started <= moment[0] <= moment[-1] <= trial.attempt.ended < moment[0] + 120
    times = [job["left_time"] - job["ready"] for job in found.jobs.values()]
    assert all(0 < seconds < 120 for seconds in times)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a start that no clock changes")
@pytest.mark.parametrize("step", [60.0, -86400.0])
def test_a_killed_command_s_workers_are_found_though_the_clock_was_set(
    tmp_path: Path, hpc: Hpc, clock: Path, step: float
) -> None:
    run = tmp_path / "r"
    process = start(tmp_path, "run", sweep(tmp_path, ["slow"], epochs=20), "--workers", "1", "--dir", "r")
    until(lambda: (run / "sweep.yaml").exists() and epochs_of(run, "slow") > 0)
    clock.write_text(str(step))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = hpc("resume", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = Run(run).trials.values()
    assert [one.state for one in trial.attempts.values()].count("finished") == 1
    assert trial.attempt.epochs == 20
    assert "-" not in re.findall(r"began after (\S+) s", done.stdout)[0]
