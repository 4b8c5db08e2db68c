"""A plain function that takes no data and returns a number."""

from __future__ import annotations


def train(x: float, y: float) -> float:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2
