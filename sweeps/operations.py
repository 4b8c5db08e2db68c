"""The operations of conditions, on the values of one setting or row."""

from __future__ import annotations

import ast
import math
import operator
import reprlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

LARGEST = sys.float_info.max
Part = Callable[[Sequence[Any]], Any]
"""A part of a condition: gives its value for the values of the names, in the order of the names."""
Test = Callable[[Any, Any], bool]
Operation = Callable[[Any, Any], Any]


def power(base: float, exponent: float) -> Any:
    """``**``, which of large whole numbers would take all time and memory."""
    is_whole = isinstance(base, int) and isinstance(exponent, int)
    if is_whole and abs(base) > 1 and exponent * math.log2(abs(base)) > sys.float_info.max_exp:
        raise OverflowError("it is too large")
    try:
        return base**exponent
    except OverflowError:
        raise OverflowError("it is too large") from None


ARITHMETIC: dict[type[ast.operator], Operation] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
}
ORDERS: dict[type[ast.cmpop], Test] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def shown(value: Any) -> str:
    """A value as messages show it, not too long."""
    return reprlib.repr(value)


def is_list(value: object) -> bool:
    """Whether it is a list."""
    return isinstance(value, (list, tuple))


def is_true(value: Any) -> bool:
    """Whether a value is true; a missing value is not."""
    if value is True or value is False:
        return value is True
    if value is None:
        return False
    raise ValueError(f"{shown(value)} is neither true nor false")


def all_or_any(parts: Sequence[Part], any_of_them: bool) -> Part:
    """``and`` or ``or`` of parts that are true or false."""

    def told(row: Sequence[Any]) -> bool:
        for part in parts:
            if part(row) == any_of_them:
                return any_of_them
        return not any_of_them

    return told


def calculate(op: Operation, left: Any, right: Any) -> Any:
    """The result of an operation.

    Raises:
        ValueError: one is no number.
        ArithmeticError: there is no finite result.
    """
    for value in (left, right):
        if not isinstance(value, (int, float)):
            raise ValueError(f"{shown(value)} is no number")
    result = op(left, right)
    if isinstance(result, complex):
        raise ArithmeticError("it is no real number")
    if not abs(result) <= LARGEST and math.isfinite(left) and math.isfinite(right):
        raise OverflowError("it is too large")
    return result


def calculate_or_refuse(op: Operation, left: Any, right: Any) -> Any:
    """The result of an operation.

    Raises:
        ValueError: there is none.
    """
    try:
        return calculate(op, left, right)
    except ArithmeticError as error:
        raise ValueError(str(error)) from None


def calculate_or_miss(op: Operation, left: Any, right: Any) -> Any:
    """The result of an operation; None if there is none."""
    if left is None or right is None:
        return None
    try:
        result = calculate(op, left, right)
    except ArithmeticError:
        return None
    return None if result != result else result


def ordered(compare: Test, rows: bool) -> Test:
    """Whether one value is smaller or larger; of the rows of a table one that is missing is neither."""

    def test(left: Any, right: Any) -> bool:
        try:
            return compare(left, right)
        except TypeError:
            if rows and (left is None or right is None):
                return False
            raise ValueError(f"{shown(left)} can't be compared with {shown(right)}") from None

    return test


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; one that is missing is none of them."""
    return left is not None and bool(left == right)


def within(entries: Sequence[Any]) -> Test:
    """Whether the first value is one of them."""
    known = entries if any(map(is_list, entries)) else frozenset(entries)

    def test(value: Any, _: Any) -> bool:
        return not (known is not entries and is_list(value)) and value in known

    return test


def opposite(test: Test) -> Test:
    """The negation of a test."""
    return lambda left, right: not test(left, right)


def chain(parts: Sequence[Part], tests: Sequence[Test]) -> Part:
    """Whether all of neighbours compare so; each part is looked at once, and none after a false one."""

    def told(row: Sequence[Any]) -> bool:
        left = parts[0](row)
        for part, test in zip(parts[1:], tests, strict=True):
            right = part(row)
            if not test(left, right):
                return False
            left = right
        return True

    return told
