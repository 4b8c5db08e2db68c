"""What ends a worker's programs if the worker is killed, and can do so no more."""

from __future__ import annotations

import os
import subprocess

MARK = "HPC_WORKER"
"""The variable by which a program, and whatever it starts, is known as this worker's."""
_SCRIPT = """
trap '' INT TERM HUP USR2
read -r line && exit 0
marked() { grep -lszxF "$1" /proc/[0-9]*/environ | cut -d/ -f3; }
pids=$(marked "$1")
[ -n "$pids" ] && kill -TERM $pids 2>/dev/null
left=$2
while [ -n "$pids" ] && [ "$left" -gt 0 ]; do sleep 1; left=$((left - 1)); pids=$(marked "$1"); done
[ -n "$pids" ] && kill -KILL $pids 2>/dev/null
"""
"""A line is the end of the worker as it should be; the end of its input without one, that it was killed."""


class Guardian:
    """A process that waits for the end of this one: a shell, so that it takes as good as no memory.

    Args:
        grace_seconds: between SIGTERM and SIGKILL.
    """

    def __init__(self, grace_seconds: float) -> None:
        read, self._pipe = os.pipe()
        self.variables = {MARK: f"{os.uname().nodename}-{os.getpid()}-{os.urandom(4).hex()}"}
        mark = f"{MARK}={self.variables[MARK]}"
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "sh", mark, str(int(grace_seconds))], stdin=read,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )  # fmt: skip
        finally:
            os.close(read)

    def close(self) -> None:
        """Let it go."""
        try:
            os.write(self._pipe, b"done\n")
        except BrokenPipeError:  # somebody has ended it
            pass
        os.close(self._pipe)
        self._process.wait()
