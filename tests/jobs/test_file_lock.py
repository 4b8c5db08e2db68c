"""Taking turns: one at a time, whoever is killed, wherever it ran."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from hpc.jobs.source.file_lock import FileLock, _is_gone
from tests.conftest import ROOT

COUNT = """
import sys; from pathlib import Path; from hpc.jobs.source.file_lock import FileLock
path, number = Path(sys.argv[1]), Path(sys.argv[2])
turn = FileLock(path, 60)
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    turn.acquire()
    number.write_text(str(int(number.read_text() or 0) + 1))
    turn.release()
"""


def counting(folder: Path, times: int) -> subprocess.Popen[str]:
    """A process that counts up in a file, so many times, each time in a turn of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, str(folder / "turn"), str(folder / "number"), str(times)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_four_processes_and_a_turn_each(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    processes = [counting(tmp_path, 200) for _ in range(4)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert (tmp_path / "number").read_text() == "800"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["number"]


@pytest.mark.slow
def test_whoever_is_killed_the_others_go_on_at_once(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    rng, stalls = random.Random(0), 0
    for _ in range(5):
        victim, other = counting(tmp_path, 100_000), counting(tmp_path, 300)
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


def test_one_on_another_machine_is_waited_for_and_then_no_more(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    os.symlink("elsewhere:1:2.0:3", path)
    start = time.monotonic()
    turn = FileLock(path, 0.5)
    turn.acquire()
    assert time.monotonic() - start > 0.5
    turn.release()
    assert not path.is_symlink()


def test_one_hears_for_whom_one_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpc.jobs.source.file_lock.SILENT_SECONDS", 0.2)
    path, said = tmp_path / "turn", list[str]()
    os.symlink("elsewhere:17:2.0,x:3", path)
    turn = FileLock(path, 0.8, said.append)
    turn.acquire()
    turn.release()
    (text,) = said
    assert text.startswith(f"Waiting for process 17 on elsewhere, which has had {path} since 20")
    assert "taken away after 1 s" in text
    assert "you may remove it" in text


@pytest.mark.parametrize("text", [f"{socket.gethostname()}:nobody", f"{socket.gethostname()}:1:x:2", "?"])
def test_a_holder_s_name_that_says_nothing_is_waited_for_and_then_no_more(tmp_path: Path, text: str) -> None:
    path = tmp_path / "turn"
    os.symlink(text, path)
    turn = FileLock(path, 0.1)
    turn.acquire()
    turn.release()
    assert not path.is_symlink()


def test_a_file_in_the_place_of_a_turn_is_nobody_s(tmp_path: Path) -> None:
    """A copy of a folder that follows links has one."""
    path = tmp_path / "turn"
    path.write_text("x")
    turn = FileLock(path, 60)
    turn.acquire()
    turn.release()
    assert list(tmp_path.iterdir()) == []


def test_one_that_lives_here_is_waited_for_and_told_if_it_was_too_slow(tmp_path: Path) -> None:
    slow, quick = FileLock(tmp_path / "turn", 60), FileLock(tmp_path / "turn", 0.3)
    slow.acquire()
    threading.Timer(0.1, slow.release).start()
    quick.acquire()  # within its patience
    quick.release()
    slow.acquire()
    quick.acquire()
    with pytest.raises(RuntimeError, match="was taken away from"):
        slow.release()
    quick.release()


def test_a_holder_is_known_by_its_start_whatever_the_clock_is_set_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = FileLock(tmp_path / "turn", 60)
    turn.acquire()
    holder = os.readlink(tmp_path / "turn")
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: 86400.0)
    assert not _is_gone(holder)
    turn.release()
    host, pid, _, number = holder.split(":")
    assert not _is_gone(f"{host}:{pid}:86400.0:{number}")  # as earlier versions wrote it
    assert _is_gone(f"{host}:{pid}:0.0:{number}")
    assert _is_gone(f"{host}:{pid}:86400.0,another-boot/7:{number}")


def test_a_turn_that_is_another_s_by_now_is_left_to_it(tmp_path: Path) -> None:
    """Two see that a holder is gone; the slower one must not remove the link of the faster one."""
    path = tmp_path / "turn"
    os.symlink("elsewhere:1:2.0:4", path)
    assert not FileLock(path, 60)._take_away("elsewhere:1:2.0:3")
    assert os.readlink(path) == "elsewhere:1:2.0:4"


def test_it_is_the_link_that_is_meant_and_not_what_it_says(tmp_path: Path) -> None:
    """Another who makes his while somebody has the turn."""
    first = FileLock(tmp_path / "turn", 60)
    first.acquire()
    with pytest.raises(TimeoutError):
        _within(0.3, FileLock(tmp_path / "turn", 60))
    first.release()
    _within(5, FileLock(tmp_path / "turn", 60))


def _within(seconds: float, turn: FileLock) -> None:
    def over(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        turn.acquire()
        turn.release()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
