"""Reads conditions, each in little time and memory, in a process that says what else it does.

Started by ``test_drawn_conditions.py``; a line of JSON comes in per text, and one goes out.

- Memory: the limit of its address space is what it has after importing pandas, and 1 GB.
- Time: a timer of its own processor time ends it after 2 s of one text, however busy the machine is.
- All else: an audit hook notes and forbids files to write, processes, connections and imports.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpc.results import RunError, selection
from hpc.sweeps import SweepError, expression
from hpc.sweeps.space import dimension

MEMORY_BYTES, SECONDS = 2**30, 2.0
MOST_PEAK_BYTES = 100 * 2**20
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "signal.", "exec", "import")
POINT: dict[str, Any] = {
    "seed": 3, "learning_rate": 0.01, "error": "too large", "state": "finished",
    "odd name": None, "flag": True, "sizes": [64, 32],
}  # fmt: skip
FRAME = pd.DataFrame(
    {
        "seed": [0, 1, 2],
        "learning_rate": [0.01, np.nan, np.inf],
        "error": [None, "(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "x" * 1000],
        "state": pd.Categorical(["finished", "failed", None]),
        "odd name": pd.array([None, 3, 2**62], "Int64"),
        "flag": pd.array([True, None, False], "boolean"),
        "sizes": ["[64, 32]", None, "128"],
    }
)
done: list[str] = []
"""What has been done that no condition should."""


def forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """Forbid what writes, starts or loads something; reading is nobody's harm."""
    if event in ("os.listdir", "os.scandir"):
        return
    is_write = event == "open" and bool(
        any(letter in str(arguments[1]) for letter in "wax+")
        or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    )
    if is_write or event.startswith(FORBIDDEN):
        done.append(f"{event} {arguments!r:.200}")
        raise PermissionError(event)


def choose(text: str) -> None:
    """As ``hpc table --where`` does."""
    selection.where(FRAME, text)


def depend(text: str) -> None:
    """As ``when`` and ``constraints`` do."""
    when = dimension({"choices": [1], "when": text}).when
    for point in (POINT, {**POINT, "error": None, "seed": -0.5}, dict.fromkeys(expression.names(when), 7)):
        expression.holds(when, point)


def answered(ask: Callable[[str], None], text: str) -> str:
    """What comes of it: ``told``, ``refused``, or what went wrong."""
    try:
        ask(text)
    except (RunError, SweepError, ValueError) as error:
        kinds = (RunError,) if ask is choose else (ValueError,)
        message = str(error)
        if type(error) not in kinds or len(message) > 1_000 or not message.isprintable():
            return f"{type(error).__name__} with the message {message!r:.2000}"
        return "refused"
    except BaseException:
        return traceback.format_exc()
    return "told"


def memory_bytes(name: str) -> int:
    """Of this process, as Linux counts it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if name in line)
    return int(line.split()[1]) * 1024


def main() -> None:
    """Answer until there are no more texts."""
    for ask in (choose, depend):  # what is imported once only, and what pandas makes at first
        for text in ("seed > 1 and error.str.contains('\\N{DASH}x')", "seed > 'x'", "seed >"):
            answered(ask, text)
    limit = memory_bytes("VmSize") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = memory_bytes("VmHWM")
    sys.addaudithook(forbid)
    print("ready", flush=True)
    for line in sys.stdin:
        text = json.loads(line)
        answer: dict[str, Any] = {}
        for ask in (choose, depend):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
            answer[ask.__name__] = answered(ask, text)
            signal.setitimer(signal.ITIMER_PROF, 0)
        answer["done"] = [*done, *(f"wrote {name}" for name in os.listdir())]
        answer["peak"] = memory_bytes("VmHWM") - before
        done.clear()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
