"""Marks of cases: a few stand for the rest in the fast set, and CI takes all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(fast: Collection[str], cases: Iterable[str]) -> list[Any]:
    """Parameters by their names, of which all but the fast ones are slow."""
    names = list(cases)
    assert set(fast) <= set(names), f"no cases: {set(fast) - set(names)}"
    return [pytest.param(name, id=name, marks=[] if name in fast else pytest.mark.slow) for name in names]


def slow(*values: object, id: str | None = None) -> Any:
    """A case that is left to CI."""
    return pytest.param(*values, id=id, marks=pytest.mark.slow)
