"""The grammar of conditions: which parts of Python's syntax may stand in one, and the function of each."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc.sweeps import operations
from hpc.sweeps.operations import Operation, Part, Test

MAX_ENTRIES = 1_000
_OF_PATTERNS = "|*+?[](){}^$\\"
MAY_STAND = (
    "there may be names, numbers, 'texts', True, False, None, comparisons, in [1, 2], and, or, not, + - * / "
    "// % ** of numbers, and isna, notna, isin, contains, startswith, endswith"
)

_TEXT_TESTS: dict[str, Test] = {
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_VALUE_TESTS = {
    "isna": "isna(name)",
    "isnull": "isnull(name)",
    "notna": "notna(name)",
    "notnull": "notnull(name)",
    "isin": "isin(name, [1, 2])",
}
_TESTS = {*_TEXT_TESTS, *_VALUE_TESTS}


@dataclass(frozen=True)
class _Constant:
    value: Any

    def __call__(self, _: Sequence[Any]) -> Any:
        return self.value


class Reader:
    """Makes functions of the parts of a tree, and collects the names in it."""

    def __init__(self, source: str, in_backticks: Mapping[str, str], rows: bool) -> None:
        self._source, self._in_backticks, self._rows = source, in_backticks, rows
        self.names: list[str] = []

    def truth(self, node: ast.expr) -> Part:
        """A part that is true or false."""
        part = self._part(node)
        if isinstance(node, (ast.Compare, ast.BoolOp, ast.Call)):
            return part
        told = operations.is_true if self._rows else bool
        return lambda row: told(part(row))

    def _part(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant(value=value):
                return _Constant(self._constant(node, value))
            case ast.Name(id=name):
                return operator.itemgetter(self._place(self._in_backticks.get(name, name)))
            case ast.List(elts=entries) | ast.Tuple(elts=entries) | ast.Set(elts=entries):
                return _Constant(self._list(entries))
            case ast.BoolOp(op=op, values=values):
                return operations.all_or_any([self.truth(value) for value in values], isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                part = self.truth(operand)
                return lambda row: not part(row)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                part = self._part(operand)
                return lambda row: not operations.is_true(part(row))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._calculated(operator.sub, _Constant(0), self._part(operand), node)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._calculated(operator.add, _Constant(0), self._part(operand), node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in operations.ARITHMETIC:
                return self._calculated(
                    operations.ARITHMETIC[type(op)], self._part(left), self._part(right), node
                )
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared([left, *others], ops)
            case ast.Subscript(value=ast.expr() as of, slice=place):
                return self._entry(self._part(of), place)
            case ast.Call():
                return self._tested(node)
        raise self._refused(node)

    def _refused(self, node: ast.AST, why: str = "can't stand in a condition") -> ValueError:
        word = ast.get_source_segment(self._source, node) or type(node).__name__
        for name, written in self._in_backticks.items():
            word = word.replace(name, f"`{written}`")
        return ValueError(f"{word if len(word) <= 60 else word[:50] + '…'} {why}; {MAY_STAND}")

    def _place(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def _constant(self, node: ast.expr, value: object) -> bool | int | float | str | None:
        if isinstance(value, (int, float)) and not abs(value) <= operations.LARGEST:
            raise self._refused(node, "is a number that is too large")
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise self._refused(node)

    def _list(self, entries: Sequence[ast.expr]) -> list[Any]:
        if len(entries) > MAX_ENTRIES:
            raise ValueError(f"a list has {len(entries):,} entries, and may have {MAX_ENTRIES:,}")
        parts = [(entry, self._part(entry)) for entry in entries]
        for entry, part in parts:
            if not isinstance(part, _Constant):
                raise self._refused(entry, "stands in a list, which may hold numbers and texts only")
        return [part(()) for _, part in parts]

    def _calculated(self, op: Operation, left: Part, right: Part, node: ast.expr) -> Part:
        if isinstance(left, _Constant) and isinstance(right, _Constant):
            try:
                return _Constant(operations.calculate(op, left.value, right.value))
            except (ArithmeticError, ValueError) as error:
                raise self._refused(node, f"can't be calculated ({error})") from None
        if not self._rows:
            return lambda row: operations.calculate_or_refuse(op, left(row), right(row))
        return lambda row: operations.calculate_or_miss(op, left(row), right(row))

    def _compared(self, nodes: Sequence[ast.expr], ops: Sequence[ast.cmpop]) -> Part:
        parts = [self._part(node) for node in nodes]
        tests = [
            self._comparison(op, left, right, node)
            for op, left, right, node in zip(ops, parts, parts[1:], nodes[1:], strict=False)
        ]
        if len(tests) > 1:
            return operations.chain(parts, tests)
        left, right, test = parts[0], parts[1], tests[0]
        if isinstance(right, _Constant):
            value = right.value
            return lambda row: test(left(row), value)
        return lambda row: test(left(row), right(row))

    def _comparison(self, op: ast.cmpop, left: Part, right: Part, node: ast.expr) -> Test:
        nothing = _is_nothing(left) or _is_nothing(right)
        test: Test
        match op:
            case ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE():
                if nothing:
                    raise self._refused(node, "is compared with None, which is neither small nor large")
                return operations.ordered(operations.ORDERS[type(op)], self._rows)
            case ast.In() | ast.NotIn():
                if isinstance(right, _Constant) and not isinstance(right.value, (list, str)):
                    raise self._refused(node, "is no list; write in [1, 2]")
                entries = _listed(right)
                test = self._within if entries is None else operations.within(entries)
            case ast.Is() | ast.IsNot() if not (nothing or _is_truth(left) or _is_truth(right)):
                raise self._refused(node, "stands after is, which is for None, True and False; write ==")
            case _:
                test = self._equality(left, right)
        return operations.opposite(test) if isinstance(op, (ast.NotEq, ast.IsNot, ast.NotIn)) else test

    def _equality(self, left: Part, right: Part) -> Test:
        if not self._rows or _is_nothing(left) or _is_nothing(right):
            return operator.eq
        before, after = _listed(left), _listed(right)
        if before is None and after is not None:
            return operations.within(after)
        if after is None and before is not None:
            within = operations.within(before)
            return lambda left, right: within(right, left)
        return operations.equal

    def _within(self, value: Any, there: Any) -> bool:
        if self._rows and (value is None or there is None):
            return False
        if isinstance(there, str) and isinstance(value, str):
            return value in there
        if not operations.is_list(there):
            raise ValueError(
                f"{operations.shown(value)} can't be in {operations.shown(there)}, which is no list"
            )
        return value in there

    def _entry(self, part: Part, place: ast.expr) -> Part:
        index = self._part(place)
        if not isinstance(index, _Constant) or type(index.value) is not int:
            raise self._refused(place, "is no place in a list")
        number = index.value

        def entry(row: Sequence[Any]) -> Any:
            value = part(row)
            if not operations.is_list(value) or not -len(value) <= number < len(value):
                raise ValueError(f"{operations.shown(value)} has no entry {number}")
            return value[number]

        return entry

    def _tested(self, call: ast.Call) -> Part:
        match call:
            case ast.Call(func=ast.Name(id=name), args=[of, *others]) if name in _TESTS:
                pass
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(value=of, attr="str"), attr=name), args=others
            ) if name in _TEXT_TESTS:
                pass
            case ast.Call(func=ast.Attribute(value=of, attr=name), args=others) if name in _VALUE_TESTS:
                pass
            case _:
                raise self._refused(call)
        part = self._part(of)
        if name in _TEXT_TESTS:
            return self._text_tested(call, part, _TEXT_TESTS[name], others)
        if call.keywords or len(others) != (name == "isin"):
            raise self._refused(call, f"has other arguments than {_VALUE_TESTS[name]}")
        if name == "isin":
            entries = _listed(self._part(others[0]))
            if entries is None:
                raise self._refused(others[0], "is no list")
            within = operations.within(entries)
            return lambda row: within(part(row), None)
        is_not = name.startswith("not")
        return lambda row: (part(row) is None) is not is_not

    def _text_tested(self, call: ast.Call, part: Part, test: Test, others: Sequence[ast.expr]) -> Part:
        wanted = [self._part(other) for other in others]
        options = {word.arg: self._part(word.value) for word in call.keywords}
        given = {name: option.value for name, option in options.items() if isinstance(option, _Constant)}
        case = given.pop("case", True)
        if len(wanted) != 1 or not isinstance(wanted[0], _Constant) or not isinstance(wanted[0].value, str):
            raise self._refused(call, "asks for no text; write contains(name, 'text')")
        if (
            len(given) + ("case" in options) != len(options)
            or any(name not in ("regex", "na") or value is not False for name, value in given.items())
            or not isinstance(case, bool)
        ):
            raise self._refused(call, "has options, which may be case=False, regex=False and na=False")
        is_pattern = set(wanted[0].value) & set(_OF_PATTERNS) and "regex" not in given  # as pandas takes it
        if is_pattern and isinstance(call.func, ast.Attribute) and test is operator.contains:
            raise self._refused(
                call,
                "would be a pattern in pandas, and a plain text is looked for here: write two tests with or "
                "between them, or regex=False if just that text is meant",
            )
        text = wanted[0].value if case else wanted[0].value.casefold()

        def tested(row: Sequence[Any]) -> bool:
            value = part(row)
            if value is None:
                return False
            if not isinstance(value, str):
                raise ValueError(f"{operations.shown(value)} is no text")
            return test(value if case else value.casefold(), text)

        return tested


def _is_nothing(part: Part) -> bool:
    return isinstance(part, _Constant) and part.value is None


def _is_truth(part: Part) -> bool:
    return isinstance(part, _Constant) and isinstance(part.value, bool)


def _listed(part: Part) -> list[Any] | None:
    """The entries of a list that the condition holds."""
    return part.value if isinstance(part, _Constant) and isinstance(part.value, list) else None
