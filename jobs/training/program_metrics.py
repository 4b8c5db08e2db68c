"""The metrics of a program: from a file of JSON lines that it writes, or from what it prints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hpc.jobs.training.base import Metrics
from hpc.jobs.training.calls import ProgramError, number_of

FILE = "$HPC_METRICS"
MAX_SHOWN = 80


class Steps:
    """Puts metrics together to steps: one is complete when all objectives have a new value.

    Args:
        objectives: names of metrics.
        last: number of the last step, if an earlier attempt had any; else 0.

    Attributes:
        seen: names of all metrics that have come.
    """

    def __init__(self, objectives: Sequence[str], last: int) -> None:
        self._objectives = objectives
        self._last = last
        self._step: int | None = None
        self._values: Metrics = {}
        self.seen: dict[str, None] = {}

    def take(self, values: Metrics, step: int | None = None) -> Iterator[tuple[int, Metrics]]:
        """Take in new values; the step that is complete by them, if one is.

        Args:
            values: by their names.
            step: its number, if the program tells it; else the next one.
        """
        self._values |= values
        self.seen |= dict.fromkeys(values)
        self._step = self._step if step is None else step
        if all(name in self._values for name in self._objectives):
            self._last = self._last + 1 if self._step is None else self._step
            found, self._values, self._step = self._values, {}, None
            yield self._last, found


class MetricsFile:
    """Reads the lines that a program appends to a file.

    Args:
        path: of it; the program makes it.
        note: hears what is left out.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note
        self._place = 0
        self._number = 0
        self._rest = b""
        self._noted: set[str] = set()

    def read(self, *, is_over: bool = False) -> Iterator[tuple[Metrics, int | None]]:
        """The metrics, and the step if it is told, of each line since the last time.

        Args:
            is_over: whether nothing follows, so that the last line needs no end.

        Raises:
            ProgramError: a line is none of metrics.
        """
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size < self._place:  # opened anew with "w"
            self._place, self._rest = 0, b""
        if size > self._place:
            with self._path.open("rb") as file:
                file.seek(self._place)
                data = file.read()
            self._place += len(data)
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        if is_over:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._number += 1
            if line.strip():
                yield self._read(line)

    def _read(self, line: bytes) -> tuple[Metrics, int | None]:
        text = line.decode(errors="replace")
        shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
        try:
            entries = json.loads(text)
        except ValueError as error:
            raise ProgramError(f"line {self._number} of {FILE} is no JSON ({error}): {shown}") from None
        if not isinstance(entries, dict):
            raise ProgramError(
                f'line {self._number} of {FILE} is no object, as {{"step": 1, "val_loss": 0.5}}: {shown}'
            )
        step = entries.pop("step", None)
        if isinstance(step, float) and step.is_integer():
            step = int(step)
        if step is not None and (not isinstance(step, int) or isinstance(step, bool) or step < 0):
            raise ProgramError(
                f"line {self._number} of {FILE} has the step {step!r}, which is no whole number"
            )
        found: Metrics = {}
        for name, value in entries.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[name] = number_of(name, value)
            elif value is None:  # as JSON has NaN where it is kept strictly
                found[name] = math.nan
            elif name not in self._noted:
                self._noted.add(name)
                self._note(f"{name} in {FILE} is {value!r}, which is no number, and is left out")
        return found, step


def found_in(
    line: str, patterns: Mapping[str, re.Pattern[str]], objectives: Sequence[str]
) -> Iterator[Metrics]:
    """The values in a line of output; those of objectives come last, so that they complete a step.

    Raises:
        ProgramError: what a pattern has matched is no number.
    """
    names = sorted(patterns, key=lambda name: name in objectives)
    matches = [(name, match[1]) for name in names for match in patterns[name].finditer(line)]
    for name, text in matches:
        try:
            yield {name: float(text)}
        except (TypeError, ValueError):
            raise ProgramError(
                f"the pattern of {name} has found {text!r}, which is no number, in this line: "
                f"{line[:MAX_SHOWN]}"
            ) from None
