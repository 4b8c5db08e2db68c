"""The calls that train a trial: of a user's function, or of a program."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc.jobs.commands import Command
from hpc.jobs.training.base import Metrics


class ProgramError(RuntimeError):
    """A program has not done what it was to do; the message has its last lines.

    Args:
        message: what, in words.
        follows: whether another rank's failure has brought it about.
    """

    def __init__(self, message: str, *, follows: bool = False) -> None:
        super().__init__(message)
        self.follows = follows


class Enough(Exception):  # noqa: N818  # not an error: it ends as if this had been its last step
    """Nothing better is to be expected of the trial."""


@dataclass(frozen=True)
class Call:
    """What is called for a trial, and what it is told.

    Attributes:
        run: folder of the run.
        trial_id: of the trial.
        params: its hyperparameters.
        seed: of it.
        objectives: names of the metrics that it must tell.
    """

    run: Path
    trial_id: str
    params: Mapping[str, Any]
    seed: int
    objectives: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The trial's own folder, which is kept; it is made by whoever needs it."""
        return self.run / "trials" / self.trial_id


@dataclass(frozen=True)
class FunctionCall(Call):
    """A function of the user's.

    Attributes:
        name: of the function, as the sweep gives it.
        function: to call.
        arguments: hyperparameters as it takes them, its own to do with as it likes.
        wants: names of further arguments that it has, of ``OF_FUNCTIONS``.
    """

    name: str = ""
    function: Callable[..., Any] = print
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wants: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProgramCall(Call):
    """A program.

    Attributes:
        command: with its placeholders.
        patterns: by which metrics are found in what it prints, by their names; without any, it writes
            them to a file.
        grace_seconds: that it may take to end.
    """

    command: Command = field(default_factory=lambda: Command((), Path()))
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    grace_seconds: float = 30.0


def number_of(name: str, value: object) -> float:
    """A metric as a number.

    Args:
        name: of the metric.
        value: a number of Python, NumPy or any framework: whatever ``float`` takes, but no text.

    Raises:
        TypeError: it is none.
    """
    if type(value) is float:
        return value
    if not isinstance(value, (bool, str, bytes)) and hasattr(value, "__float__"):
        try:
            return float(value)
        except Exception as error:  # of an array with several entries, by whatever its framework raises
            raise TypeError(f"the metric {name} is {_shown(value)}, which is no single number") from error
    if isinstance(value, int):  # True and False
        raise TypeError(f"the metric {name} is {value}, which is no number; write float({value})")
    raise TypeError(f"the metric {name} is {_shown(value)}, which is no number")


def not_finite(metrics: Metrics, objectives: tuple[str, ...]) -> str:
    """The name of the loss or of an objective that is no finite number; empty if all are."""
    for name in ("loss", *objectives):
        if not math.isfinite(metrics.get(name, 0.0)):
            return name
    return ""


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:50] + '…'}"
