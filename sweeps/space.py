"""The values that each hyperparameter of a sweep may take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpc.sweeps import expression
from hpc.sweeps.text import did_you_mean

Value = bool | int | float | str | list[Any] | None


@dataclass(frozen=True)
class Choices:
    """A list of values, each as likely as the others.

    ``when`` is a condition on dimensions before it, without which it has no value; mostly empty.
    """

    values: tuple[Value, ...]
    when: str = ""

    def draw(self, u: float) -> Value:
        """The value at position ``u`` in [0, 1)."""
        return self.values[int(u * len(self.values))]

    def ends(self) -> tuple[Value, ...]:
        """All values: what has to be right if every draw is to be right."""
        return self.values

    @property
    def size(self) -> float:
        """How many different values there are."""
        return len(self.values)

    @property
    def is_ordered(self) -> bool:
        """Whether they are numbers from small to large: then a search may take neighbours for alike."""
        numbers = [v for v in self.values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        return len(numbers) == len(self.values) > 1 and numbers == sorted(numbers)

    def as_written(self) -> list[Value] | dict[str, Value]:
        """The entry as a sweep file has it."""
        values = list(self.values)
        return {"choices": values, "when": self.when} if self.when else values


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, both included.

    Two whole numbers give whole numbers. ``log`` draws uniformly in the logarithm, ``step``
    draws from low, low + step, … Real numbers are rounded to six digits of the range's width
    (six significant ones with ``log``), so that a trial is the same on every machine. ``when`` is as
    that of ``Choices``.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None
    when: str = ""

    @property
    def whole(self) -> bool:
        """Whether it gives whole numbers."""
        return all(isinstance(v, int) for v in (self.low, self.high, self.step) if v is not None)

    @property
    def size(self) -> float:
        """How many different values there are; infinite for real numbers without a step."""
        if self.step is not None:
            return math.floor((self.high - self.low) / self.step + 1e-9) + 1
        if self.whole:
            return self.high - self.low + 1
        return 1 if self.low == self.high else math.inf

    def draw(self, u: float) -> Value:
        """The value at position ``u`` in [0, 1)."""
        if self.step is not None:
            return self.at_step(int(u * self.size))
        if self.whole:
            low, high = (self.low - 0.5, self.high + 0.5) if self.log else (self.low, self.high + 1)
            value = _between(low, high, u, self.log)
            return min(max(round(value) if self.log else math.floor(value), int(self.low)), int(self.high))
        return self.rounded(_between(self.low, self.high, u, self.log))

    def at_step(self, place: int) -> int | float:
        """The value so many steps above ``low``."""
        value = self.low + place * (self.step or 1)
        return value if self.whole else float(f"{value:.12g}")

    def rounded(self, value: float) -> float:
        """A real number of a range without steps as trials have it."""
        if self.log:
            value = float(f"{value:.6g}")
        elif self.high > self.low:
            value = round(value, 6 - math.floor(math.log10(self.high - self.low)))
        return min(max(value, float(self.low)), float(self.high))

    def holds(self, value: object) -> bool:
        """Whether a number lies in the range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high  # type: ignore[operator]

    def ends(self) -> tuple[Value, ...]:
        """Both ends: what has to be right if every draw is to be right."""
        return (self.low, self.high)

    def as_written(self) -> dict[str, Value]:
        """The entry as a sweep file has it."""
        written: dict[str, Value] = {"low": self.low, "high": self.high}
        if self.log:
            written["log"] = True
        if self.step is not None:
            written["step"] = self.step
        if self.when:
            written["when"] = self.when
        return written


def _between(low: float, high: float, u: float, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    return low + u * (high - low)


Dimension = Choices | Range


def make_setting(space: Mapping[str, Dimension], value: Callable[[str, Dimension], Value]) -> dict[str, Any]:
    """A setting: the values of the dimensions, in their order, whose condition holds."""
    found: dict[str, Any] = {}
    for name, dimension in space.items():
        if not dimension.when or expression.holds(dimension.when, found):
            found[name] = value(name, dimension)
    return found


def combinations(space: Mapping[str, Dimension]) -> int:
    """The number of settings that all values give, of ranges both ends; counted without making them.

    Raises:
        ValueError: a condition can't be told of some values.
    """
    conditions = [dimension.when for dimension in space.values() if dimension.when]
    decisive = {name for when in conditions for name in expression.names(when)}
    counts: list[tuple[dict[str, Any], int]] = [({}, 1)]  # by the values that conditions are about
    for name, dimension in space.items():
        ends, before, counts = dimension.ends(), counts, []
        for values, count in before:
            if dimension.when and not expression.holds(dimension.when, values):
                counts.append((values, count))
            elif name in decisive:
                counts += [({**values, name: value}, count) for value in ends]
            else:
                counts.append((values, count * len(ends)))
    return sum(count for _, count in counts)


def setting_at(space: Mapping[str, Dimension], units: Mapping[str, float]) -> dict[str, Any]:
    """The setting at a point of the unit cube, which has a number in [0, 1) for every name."""
    return make_setting(space, lambda name, dimension: dimension.draw(units[name]))


def dimension(value: object) -> Dimension:
    """Read one entry of ``space:``.

    Args:
        value: a list of choices, or a mapping with ``low`` and ``high`` and perhaps ``log``
            or ``step``, or with ``choices``; each mapping perhaps with ``when``.

    Raises:
        ValueError: with a message that gives the value and what would be right.
    """
    if isinstance(value, list):
        if not value:
            raise ValueError("[] is an empty list; give at least one value")
        seen: list[object] = []
        for item in value:
            if isinstance(item, Mapping):
                raise ValueError(f"{item!r} can't be a choice; choices are numbers, words or lists")
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"{item} can't be a choice; choices are finite")
            if any(item == other and isinstance(item, bool) == isinstance(other, bool) for other in seen):
                raise ValueError(f"{item!r} stands twice in the list; each choice may stand only once")
            seen.append(item)
        return Choices(tuple(value))
    if isinstance(value, Mapping):
        when = _condition(value["when"]) if "when" in value else ""
        rest = {name: entry for name, entry in value.items() if name != "when"}
        if "choices" not in rest:
            return replace(_range(rest), when=when)
        if set(rest) - {"choices"} or not isinstance(rest["choices"], list):
            raise ValueError(f"{value!r} is no group of choices; write {{choices: [1, 2], when: depth >= 2}}")
        return replace(dimension(rest["choices"]), when=when)
    raise ValueError(
        f"{value!r} is a single value; a list gives choices ([{value}]), {{low: …, high: …}} a range, "
        "and a value that stays the same belongs under fixed"
    )


def _condition(value: object) -> str:
    """The text of a condition, or of ``{name: value}`` and ``{name: [values]}``."""
    if isinstance(value, Mapping):
        parts = [
            f"{expression.named(str(name))} {'in' if isinstance(wanted, list) else '=='} {wanted!r}"
            for name, wanted in value.items()
        ]
        value = " and ".join(parts)
    if not isinstance(value, str):
        raise ValueError(f"when: {value!r} is no condition; write for example when: optimizer == 'sgd'")
    expression.check(value)
    return value


def _range(value: Mapping[str, Any]) -> Range:
    known = ("low", "high", "log", "step")
    for key in value:
        if key not in known:
            raise ValueError(
                f"a range has low, high, log, step and when, not {key!r}{did_you_mean(key, known)}"
            )
    for key in ("low", "high"):
        if key not in value:
            raise ValueError(f"a range needs {key}; it has only {', '.join(map(str, value)) or 'nothing'}")
    for key in ("low", "high", "step"):
        number = value.get(key)
        if key not in value:
            continue
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not math.isfinite(number):
            raise ValueError(f"{key} must be a number, but got {key}={number!r}")
    low, high, step = value["low"], value["high"], value.get("step")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, but got log={log!r}")
    if low > high:
        raise ValueError(f"low <= high must hold, but got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"a log range must start above 0, but got low={low}")
    if log and step is not None:
        raise ValueError(f"a range has log or step, not both, but got log=true, step={step}")
    if step is not None and step <= 0:
        raise ValueError(f"step must be above 0, but got step={step}")
    return Range(low, high, log, step)
