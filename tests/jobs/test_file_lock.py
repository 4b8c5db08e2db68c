"""Taking turns: one at a time, whoever is killed, wherever it ran."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpc.jobs.node import FileLock, Holder, LockedError, LostError, identity
from hpc.jobs.node.holder import Found
from tests.conftest import ROOT

COUNT = """
import sys; from pathlib import Path; from hpc.jobs.node import FileLock
path, number, is_file = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4] == "file"
turn = FileLock(path, lambda holder: 60, is_file=is_file)
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    turn.acquire()
    number.write_text(str(int(number.read_text() or 0) + 1))
    turn.release()
"""
HERE = socket.gethostname()
both = pytest.mark.parametrize("is_file", [False, True], ids=["link", "file"])
kinds = pytest.mark.parametrize("kind", ["link", "file"])


def counting(folder: Path, times: int, kind: str) -> subprocess.Popen[str]:
    """A process that counts up in a file, so many times, each time in a turn of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, str(folder / "turn"), str(folder / "number"), str(times), kind],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


class Passing:
    """Time that passes by sleeping only.

    Attributes:
        passed: seconds.
        meanwhile: happens at each sleep.
    """

    def __init__(self) -> None:
        self.passed = 0.0
        self.meanwhile: Callable[[], object] = lambda: None

    def now(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds
        self.meanwhile()


@pytest.fixture
def clock() -> Passing:
    return Passing()


def turn_by(clock: Passing, path: Path, patience: float = math.inf, **options: Any) -> FileLock:
    return FileLock(path, lambda holder: patience, now=clock.now, sleep=clock.sleep, **options)


def leave(path: Path, who: Holder, *, is_file: bool) -> None:
    """A lock as earlier versions have it."""
    if is_file:
        path.write_text(json.dumps(asdict(who)))
    else:
        os.symlink(f"{who.host}:{who.pid}:{who.started},{who.mark}:3", path)


def at_once(holder: Holder | None) -> float:
    return 0.0


@pytest.mark.slow
@kinds
def test_four_processes_and_a_turn_each(tmp_path: Path, kind: str) -> None:
    (tmp_path / "number").write_text("0")
    processes = [counting(tmp_path, 200, kind) for _ in range(4)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert (tmp_path / "number").read_text() == "800"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["number"]


@pytest.mark.slow
@kinds
def test_whoever_is_killed_the_others_go_on_at_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / "number").write_text("0")
    rng, stalls = random.Random(0), 0
    for _ in range(5):
        victim, other = counting(tmp_path, 100_000, kind), counting(tmp_path, 300, kind)
        for process in (victim, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.005, 0.03))
        victim.send_signal(signal.SIGKILL)
        start = time.monotonic()
        victim.communicate()
        other.communicate()
        assert other.returncode == 0  # the number may be torn by the kill, but is one again
        stalls += time.monotonic() - start > 20
    assert stalls == 0


# --- what lies there


@both
def test_a_lock_lies_there_as_earlier_versions_read_it(tmp_path: Path, is_file: bool) -> None:
    path = tmp_path / "turn"
    turn = FileLock(path, at_once, is_file=is_file)
    turn.acquire()
    pid, started, mark = identity(os.getpid())
    if is_file:
        assert json.loads(path.read_text()) == {
            "host": HERE, "pid": pid, "started": started, "until": 0.0, "mark": mark,
        }  # fmt: skip
    else:
        text, _, number = os.readlink(path).rpartition(":")
        assert text == f"{HERE}:{pid}:{started},{mark}"
        assert number.isdigit()
    assert Holder.at(path) == Holder(HERE, pid, started, 0.0, mark)
    turn.release()
    assert list(tmp_path.iterdir()) == []
    assert Holder.at(path) is None


@both
def test_a_lock_of_an_earlier_version_is_respected_while_its_process_lives(
    tmp_path: Path, clock: Passing, is_file: bool
) -> None:
    path = tmp_path / "turn"
    leave(path, Holder.this_process(), is_file=is_file)
    turn = turn_by(clock, path, is_file=is_file)
    with pytest.raises(LockedError) as refused:
        turn.acquire(at_once)
    assert refused.value.holder == Holder.this_process()
    assert Holder.at(path) == Holder.this_process()
    path.unlink()
    leave(path, Holder(HERE, os.getpid(), 0.0), is_file=is_file)  # another of this number, long ago
    turn.acquire(at_once)
    turn.release()
    assert (list(tmp_path.iterdir()), clock.passed) == ([], 0.0)


def test_a_file_in_the_place_of_a_turn_is_nobody_s(tmp_path: Path, clock: Passing) -> None:
    """A copy of a folder that follows links has one."""
    path = tmp_path / "turn"
    path.write_text("x")
    turn = turn_by(clock, path)
    turn.acquire()
    turn.release()
    assert (list(tmp_path.iterdir()), clock.passed) == ([], 0.0)


def test_a_holder_is_known_by_its_start_whatever_the_clock_is_set_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_gone(text: str) -> bool:
        return Found(text, True, 0).is_gone()

    turn = FileLock(tmp_path / "turn", at_once)
    turn.acquire()
    holder = os.readlink(tmp_path / "turn")
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: 86400.0)
    assert not is_gone(holder)
    turn.release()
    host, pid, _, number = holder.split(":")
    assert not is_gone(f"{host}:{pid}:86400.0:{number}")  # as earlier versions wrote it
    assert is_gone(f"{host}:{pid}:0.0:{number}")
    assert is_gone(f"{host}:{pid}:86400.0,another-boot/7:{number}")


# --- waiting


@both
def test_one_on_another_machine_is_waited_for_and_then_no_more(
    tmp_path: Path, clock: Passing, is_file: bool
) -> None:
    path = tmp_path / "turn"
    leave(path, Holder("elsewhere", 1, 2.0), is_file=is_file)
    turn = turn_by(clock, path, 30, is_file=is_file)
    turn.acquire()
    assert 30 < clock.passed < 31
    turn.release()
    assert list(tmp_path.iterdir()) == []


@both
def test_one_on_another_machine_that_gives_signs_of_life_is_left_alone(
    tmp_path: Path, clock: Passing, is_file: bool
) -> None:
    path = tmp_path / "turn"
    leave(path, Holder("elsewhere", 1, 2.0), is_file=is_file)
    clock.meanwhile = lambda: os.utime(path, (clock.passed, clock.passed), follow_symlinks=False)
    with pytest.raises(LockedError, match="turn is held by Holder"):
        turn_by(clock, path, 30, is_file=is_file).acquire(lambda holder: 100)
    assert 100 <= clock.passed < 101
    assert Holder.at(path) == Holder("elsewhere", 1, 2.0)


def test_what_was_seen_of_a_holder_counts_for_the_next_who_looks(tmp_path: Path, clock: Passing) -> None:
    path = tmp_path / "turn"
    leave(path, Holder("elsewhere", 1, 2.0), is_file=True)
    for _ in range(3):
        with pytest.raises(LockedError):
            turn_by(clock, path, 30, is_file=True).acquire(at_once)
        clock.sleep(15)
    turn_by(clock, path, 30, is_file=True).acquire(at_once)
    assert Holder.at(path) == Holder.this_process()
    path.unlink()


def test_one_hears_for_whom_one_waits(tmp_path: Path, clock: Passing) -> None:
    path, said = tmp_path / "turn", list[str]()
    os.symlink("elsewhere:17:2.0,x:3", path)
    turn = turn_by(clock, path, 30, note=said.append)
    turn.acquire()
    turn.release()
    (text,) = said
    assert text.startswith(f"Waiting for process 17 on elsewhere, which has had {path} since 20")
    assert "taken away after 30 s" in text
    assert "you may remove it" in text


@pytest.mark.parametrize("text", [f"{HERE}:nobody", f"{HERE}:1:x:2", "?"])
def test_a_holder_s_name_that_says_nothing_is_waited_for_and_then_no_more(
    tmp_path: Path, clock: Passing, text: str
) -> None:
    path, said = tmp_path / "turn", list[str]()
    os.symlink(text, path)
    turn = turn_by(clock, path, 30, note=said.append)
    turn.acquire()
    turn.release()
    assert clock.passed > 30
    assert said[0].startswith(f"Waiting for process ? on {text.partition(':')[0]}, ")
    assert list(tmp_path.iterdir()) == []


@both
def test_one_that_lives_here_is_waited_for_and_told_if_it_was_too_slow(
    tmp_path: Path, clock: Passing, is_file: bool
) -> None:
    path = tmp_path / "turn"
    slow, quick = (turn_by(clock, path, 30, is_file=is_file) for _ in range(2))
    slow.acquire()

    def release() -> None:
        if clock.passed > 20 and os.path.lexists(path):
            slow.release()

    clock.meanwhile = release
    quick.acquire()  # within its patience
    assert 20 < clock.passed < 21
    clock.meanwhile = lambda: None
    quick.release()
    slow.acquire()
    quick.acquire()
    assert clock.passed > 50
    with pytest.raises(LostError, match="was taken away from"):
        slow.release()
    quick.release()
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_link_that_is_meant_and_not_what_it_says(tmp_path: Path, clock: Passing) -> None:
    """Another who makes his while somebody has the turn."""
    first = FileLock(tmp_path / "turn", at_once)
    first.acquire()
    second = turn_by(clock, tmp_path / "turn")
    with pytest.raises(LockedError):
        second.acquire(lambda holder: 10)
    first.release()
    second.acquire(at_once)
    second.release()


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_who_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, clock: Passing, is_file: bool, error: type[BaseException]
) -> None:
    path = tmp_path / "turn"
    leave(path, Holder("elsewhere", 1, 2.0), is_file=is_file)

    def interrupt() -> None:
        raise error

    clock.meanwhile = interrupt
    with pytest.raises(error):
        turn_by(clock, path, is_file=is_file).acquire()
    assert list(tmp_path.iterdir()) == [path]
    assert Holder.at(path) == Holder("elsewhere", 1, 2.0)


@both
def test_a_turn_that_is_another_s_by_now_is_left_to_it(
    tmp_path: Path, clock: Passing, monkeypatch: pytest.MonkeyPatch, is_file: bool
) -> None:
    """Two see that a holder is gone; the slower one must not remove the lock of the faster one."""
    path, real = tmp_path / "turn", os.rename
    leave(path, Holder(HERE, os.getpid(), 0.0), is_file=is_file)

    def slower(source: Path, target: Path) -> None:
        if Holder.at(path) == Holder(HERE, os.getpid(), 0.0):
            path.unlink()
            leave(path, Holder("elsewhere", 7, 2.0), is_file=is_file)
        real(source, target)

    monkeypatch.setattr(os, "rename", slower)
    with pytest.raises(LockedError) as refused:
        turn_by(clock, path, is_file=is_file).acquire(at_once)
    assert refused.value.holder == Holder("elsewhere", 7, 2.0)
    assert Holder.at(path) == Holder("elsewhere", 7, 2.0)
    assert list(tmp_path.iterdir()) == [path]


@both
def test_a_server_that_asks_twice_hears_of_its_own_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_file: bool
) -> None:
    name = "link" if is_file else "symlink"
    real = getattr(os, name)

    def twice(source: Path | str, target: Path) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, name, twice)
    turn = FileLock(tmp_path / "turn", at_once, is_file=is_file)
    turn.acquire(at_once)
    turn.release()
    assert list(tmp_path.iterdir()) == []


# --- leases


def test_a_lease_is_kept_alive_for_as_long_as_it_takes(tmp_path: Path) -> None:
    path, beaten = tmp_path / "turn", threading.Event()

    def touch(file: Path) -> None:
        os.utime(file)
        beaten.set()

    turn = FileLock(path, at_once, is_file=True, touch=touch, beat_seconds=0.01)
    turn.acquire(lease_seconds=60)
    found = Holder.at(path)
    assert found is not None
    assert found.until > time.time()
    beaten.wait(10)
    os.utime(path, (1, 1))
    beaten.clear()
    assert beaten.wait(10)
    assert path.stat().st_mtime != 1
    turn.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_is_kept_alive_though_the_file_system_did_not_answer_once(tmp_path: Path) -> None:
    tried, later = [], threading.Event()

    def touch(path: Path) -> None:
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.EIO, "Input/output error")
        later.set()

    turn = FileLock(tmp_path / "turn", at_once, is_file=True, touch=touch, beat_seconds=0.01)
    turn.acquire(lease_seconds=60)
    assert later.wait(10)
    turn.release()
