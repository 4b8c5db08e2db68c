"""Conditions in words of a sweep, as ``depth >= 2`` or ``parameters <= 100000``."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


def check(text: str) -> None:
    """Make sure that a condition can be read.

    Raises:
        ValueError: with what is wrong.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ValueError(
            f"{text!r} is no condition ({error.msg}); write for example optimizer == 'sgd'"
        ) from None
    if not names(text):
        raise ValueError(f"{text!r} names no hyperparameter; write for example depth >= 2")
    if any(isinstance(node, (ast.Call, ast.Attribute, ast.Lambda)) for node in ast.walk(tree)):
        raise ValueError(f"{text!r} calls something; a condition compares hyperparameters")


def names(text: str) -> list[str]:
    """The names that a condition has, each once."""
    tree = ast.parse(text.strip(), mode="eval")
    return list(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))


def holds(text: str, values: Mapping[str, Any]) -> bool:
    """Whether a condition is true of hyperparameters; not if one that it names is not there.

    Raises:
        ValueError: it can't be told, as where a word is compared with a number.
    """
    if any(name not in values for name in names(text)):
        return False
    from simpleeval import EvalWithCompoundTypes, InvalidExpression

    try:
        return bool(EvalWithCompoundTypes(names=dict(values), functions={}).eval(text.strip()))
    except (InvalidExpression, TypeError, ArithmeticError, SyntaxError) as error:
        raise ValueError(f"{text!r} can't be told of {dict(values)}: {error}") from None
