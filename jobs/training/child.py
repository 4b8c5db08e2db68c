"""A program that is started, watched and ended with all that it has started itself."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpc.jobs.training.calls import ProgramError
from hpc.jobs.training.program_output import ProgramOutput

READ_BYTES = 2**16
_PR_SET_CHILD_SUBREAPER = 36
KILL_SECONDS = 5.0
"""How long what was killed may take to be gone."""


class Child:
    """A program at work, in a session of its own, with nothing on its standard input.

    Args:
        arguments: the program first.
        folder: to work in.
        env: all of its environment; ``HPC_TRIAL`` marks what it starts.
        output: takes what it prints.

    Attributes:
        code: its exit code, minus the signal that has ended it; None while it runs.

    Raises:
        ProgramError: it can't be started.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], output: ProgramOutput
    ) -> None:
        self.code: int | None = None
        self._output = output
        self._mark = f"HPC_TRIAL={env['HPC_TRIAL']}".encode()
        self._pipe, write = os.pipe()
        os.set_blocking(self._pipe, False)
        _adopt(is_on=True)
        try:
            self._process = subprocess.Popen(
                arguments, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=write,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(self._pipe)
            _adopt(is_on=False)
            raise ProgramError(_why_not_started(error, arguments, folder, env)) from None
        finally:
            os.close(write)
        self._has_pipe = True
        self._ended = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else -1
        self._poll = select.poll()
        for file in (self._pipe, self._ended):
            if file >= 0:
                self._poll.register(file, select.POLLIN)

    @property
    def pid(self) -> int:
        """Of the program; its group bears it, too."""
        return self._process.pid

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.code is not None

    def wait(self, seconds: float) -> list[str]:
        """Wait until it prints something or ends, so long at most; the lines that it has printed."""
        if self._ended < 0:
            seconds = min(seconds, 0.02)
        self._poll.poll(1000 * seconds)
        lines = self._read()
        if self.code is None:
            self.code = self._process.poll()
            if self.code is not None:
                lines += self._read()
        return lines

    def _read(self) -> list[str]:
        lines: list[str] = []
        for _ in range(64 if self._has_pipe else 0):  # then others have their turn
            try:
                data = os.read(self._pipe, READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self._has_pipe = False
                self._poll.unregister(self._pipe)
                break
            lines += self._output.take(data)
        return lines

    def send(self, number: signal.Signals, *, if_caught: bool = False) -> bool:
        """Send a signal to the program and all of its group.

        Args:
            number: of the signal.
            if_caught: only to those that have a handler for it, and would not be ended by it.

        Returns:
            Whether anything got it.
        """
        if if_caught:
            found = [pid for pid in _of_group(self.pid) if _catches(pid, number)]
            return sum(_sent(os.kill, pid, number) for pid in found) > 0  # to each of them
        return _sent(os.killpg, self.pid, number)

    def close(self, grace_seconds: float = 0.0) -> int:
        """End all that it has left behind; how many processes that were.

        Args:
            grace_seconds: between SIGTERM and SIGKILL.
        """
        try:
            if self.code is None:
                self._end(grace_seconds)
            left = self._left()
            if left:
                self._end_left(left)
            self._read()
            return len(left)
        finally:
            _adopt(is_on=False)
            os.close(self._pipe)
            if self._ended >= 0:
                os.close(self._ended)

    def _end(self, grace_seconds: float) -> None:
        deadline = time.monotonic() + grace_seconds
        self.send(signal.SIGTERM)
        while self.code is None and time.monotonic() < deadline:
            self.wait(max(0.0, min(0.1, deadline - time.monotonic())))
        self.send(signal.SIGKILL)
        if self.code is None:
            self.code = self._process.wait(KILL_SECONDS)

    def _left(self) -> list[int]:
        """Processes of its group, and those that have left the group, but bear its mark and are ours now."""
        group = _of_group(self.pid) if _sent(os.killpg, self.pid, 0) else []
        return list(dict.fromkeys([*group, *(pid for pid in _children() if self._is_marked(pid))]))

    def _is_marked(self, pid: int) -> bool:
        try:
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def _end_left(self, left: Sequence[int]) -> None:
        deadline = time.monotonic() + KILL_SECONDS
        while left and time.monotonic() < deadline:
            for pid in left:
                _sent(os.kill, pid, signal.SIGKILL)
            _sent(os.killpg, self.pid, signal.SIGKILL)
            for pid in left:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass  # of another process, which has been told
            left = self._left()
            if left:
                time.sleep(0.01)


def _sent(send: object, pid: int, number: int) -> bool:
    try:
        send(pid, number)  # type: ignore[operator]
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _children() -> list[int]:
    """The children of this process."""
    found: list[int] = []
    try:
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    except OSError:  # no Linux, or a thread that has ended
        pass
    return found


def _of_group(group: int) -> list[int]:
    """The processes of a group that are not ended yet."""
    import psutil

    found = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (ProcessLookupError, PermissionError, psutil.Error):
            pass
    return found


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def _adopt(*, is_on: bool) -> None:
    """Let orphans of what this process has started be its children, so that none is lost; Linux only."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_CHILD_SUBREAPER, int(is_on), 0, 0, 0)


_LIBC: list[ctypes.CDLL] = []


def _libc() -> ctypes.CDLL:
    if not _LIBC:
        _LIBC.append(ctypes.CDLL(None))
    return _LIBC[0]


def _why_not_started(error: Exception, arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    program = arguments[0]
    why = str(error)
    if isinstance(error, FileNotFoundError):
        path = folder / program if "/" in program else shutil.which(program, path=env.get("PATH"))
        if path is None:
            why = "there is no program of that name on the PATH"
        elif not folder.is_dir():
            why = f"the folder {folder} is gone"
        else:
            why = (
                "there is no such file" if not Path(path).exists() else "its first line names no interpreter"
            )
    elif isinstance(error, PermissionError):
        why = f"it may not be executed: chmod +x {program}, or name its interpreter before it"
    elif isinstance(error, OSError) and error.errno == 8:
        why = "it is neither a program, nor does its first line name an interpreter: name one before it"
    elif isinstance(error, OSError) and error.errno == 7:
        why = "its arguments and its environment are too long; let it read {params_file}"
    return f"{program} could not be started: {why}."
