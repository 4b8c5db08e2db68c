"""Conditions of a sweep's points: right values, and a sentence for everything else."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from hpc import sweeps
from hpc.sweeps import SweepError, expression
from hpc.sweeps.space import dimension
from tests.conftest import ROOT
from tests.sweeps.attacks import ATTACKS
from tests.sweeps.conditions import TRIAL, examples


@pytest.mark.parametrize(("condition", "is_true"), examples())
def test_the_examples_of_the_docs_are_what_they_are_said_to_be(condition: str, is_true: bool) -> None:
    expression.check(condition)
    assert expression.holds(condition, TRIAL) is is_true


POINT = {
    "depth": 2, "rate": 0.5, "kind": "sgd", "sizes": [64, 32], "either": [64, [64, 32]], "none": None,
    "on": True, "zero": 0, "gap": "a b", "und": "a & b", "class": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("depth >= 2", True),
        (" depth >= 2 ", True),
        ("1 < depth < 3 <= 3.0", True),
        ("1 < depth < 2", False),
        ("depth == 2.0 and not rate > 0.5", True),
        ("kind == 'adam' or kind == 'sgd' and depth == 1", False),
        ("kind == 'sgd' | rate > 9 & depth == 1", True),
        ("(kind == 'sgd' | rate > 9) & depth == 1", False),
        ("und == 'a & b' and gap == 'a b'", True),
        ("`class` == 3 & `gap` == \"a b\"", True),
        ("und == '''a & b''' # a comment | isn't `read`", True),
        ("kind < 'b'", False),
        ("kind in ('adam', 'sgd')", True),
        ("kind in {'adam'}", False),
        ("depth not in [1, -2, 2**1]", False),
        ("depth in [True, 1]", False),
        ("sizes == [64, 32]", True),
        ("sizes != (64, 32)", False),
        ("sizes in [[64, 32], [8]]", True),
        ("sizes in [8, 16]", False),
        ("sizes[0] == 64 and sizes[-1] == 32", True),
        ("64 in sizes", True),
        ("16 in sizes", False),
        ("either[1] == [64, 32]", True),
        ("depth == [2, 3]", False),
        ("'g' in kind", True),
        ("none == None and none is None and not none != None", True),
        ("none in [None, 3]", True),
        ("none == 0", False),
        ("none != 0", True),
        ("depth is not None", True),
        ("on", True),
        ("not on", False),
        ("~on", False),
        ("depth", True),
        ("zero", False),
        ("kind and zero", False),
        ("depth * rate == 1", True),
        ("7 // depth == 3 and 7 % depth == 1 and -7 // depth == -4 and -7 % 4 == 1", True),
        ("depth ** 3 == 8 and depth ** -1 == 0.5 and +depth == 2", True),
        ("2 ** 1000 > depth ** 900", True),
        ("on + on == 2", True),
        ("kind.str.contains('gd') and startswith(kind, 's') and endswith(kind, 'd')", True),
        ("contains(kind, 'GD')", False),
        ("contains(kind, 'GD', case=False)", True),
        ("contains(none, 'x', na=False, regex=False)", False),
        ("none.isnull() and isnull(none) and kind.notnull() and notnull(kind)", True),
        ("missing > 1", False),
        ("missing > 1 or depth == 2", False),
    ],
)  # fmt: skip
def test_conditions_have_these_values(condition: str, is_true: bool) -> None:
    expression.check(condition)
    assert expression.holds(condition, POINT) is is_true


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("kind > 1", "'sgd' can't be compared with 1"),
        ("none > 1", "None can't be compared with 1"),
        ("kind + 'x' == 1", "'sgd' is no number"),
        ("kind * depth == 1", "'sgd' is no number"),
        ("kind % depth == 1", "'sgd' is no number"),
        ("none + 1 == 1", "None is no number"),
        ("depth / zero > 1", "division by zero"),
        ("depth % zero > 1", "zero"),
        ("zero ** -1 > 1", "zero"),
        ("(-depth) ** 0.5 > 1", "it is no real number"),
        ("(depth * 999) ** (depth * 999) > 1", "it is too large"),
        ("(rate + 1e300) ** depth > 1", "too large"),
        ("2.0 ** 1023 * depth * depth > 1", "it is too large"),
        ("2 ** 1023 * depth * depth > 1", "it is too large"),
        ("~depth == 1", "2 is neither true nor false"),
        ("depth[0] == 1", "2 has no entry 0"),
        ("sizes[2] == 1", "[64, 32] has no entry 2"),
        ("1 in depth", "1 can't be in 2, which is no list"),
        ("contains(depth, 'x')", "2 is no text"),
    ],
)
def test_what_can_not_be_told_is_said_with_the_values(condition: str, why: str) -> None:
    expression.check(condition)
    with pytest.raises(ValueError, match="can't be told of") as error:
        expression.holds(condition, POINT)
    told = {name: POINT[name] for name in expression.names(condition)}
    assert str(error.value).startswith(f"{condition!r} can't be told of {told}: ")
    assert why in str(error.value)


def test_what_can_not_be_told_is_said_in_short() -> None:
    point = {"kind": "x" * 10_000}
    with pytest.raises(ValueError, match="can't be told of") as error:
        expression.holds("kind > 1", point)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(("text", "said"), ATTACKS, ids=[ascii(text)[:40] for text, _ in ATTACKS])
def test_what_is_no_condition_of_a_sweep_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="is no condition") as error:
        expression.check(text)
    message = str(error.value)
    assert said in message
    assert message.endswith("; write for example optimizer == 'sgd'")
    assert len(message) < 700
    assert message.isprintable()
    with pytest.raises(SweepError, match="is no condition"):
        sweeps.parse({"name": "x", "model": "mlp", "data": "digits", "constraints": [text]})


def test_conditions_are_read_without_pandas() -> None:
    code = (
        "import sys\nfrom hpc.sweeps import expression\n"
        "assert expression.holds('depth >= 2', {'depth': 2})\nassert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_names_are_those_of_hyperparameters_each_once() -> None:
    condition = "kind.str.contains('x') and depth < 3 < `a b` and isin(depth, [1])"
    assert expression.names(condition) == ["kind", "depth", "a b"]


def test_a_condition_in_a_mapping_may_be_on_names_that_are_none_of_pythons() -> None:
    when = {"my-size": [1, -0.5], "lambda": "it's `x`", "on": True, "not set": None}
    found = dimension({"choices": [1], "when": when})
    point: dict[str, Any] = {"my-size": -0.5, "lambda": "it's `x`", "on": True, "not set": None}
    assert expression.names(found.when) == list(point)
    assert expression.holds(found.when, point)
    for name in point:
        assert not expression.holds(found.when, {**point, name: 7})


@pytest.mark.parametrize("condition", ["lambda > 0.1", "depth > 1 and class == 'import'", "from <= 3"])
def test_a_name_that_is_a_word_of_python_is_to_stand_in_backticks(condition: str) -> None:
    with pytest.raises(ValueError, match=r"a name as (lambda|class|from), which is a word of Python, stands"):
        expression.read(condition)


@pytest.mark.parametrize("condition", ["depth == 'lambda", "depth == 'class' and"])
def test_what_is_wrong_for_another_reason_is_not_laid_to_a_name(condition: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*backticks)"):
        expression.read(condition)
