"""Names and values for pages."""

from __future__ import annotations

import math
from typing import Any

SPACE: dict[str, list[Any]] = {
    "learning_rate": [0.001, 0.003, 0.01],
    "hidden_size": [16, 32, 64],
    "dropout": [0.0, 0.25],
}


def accuracy(params: dict[str, Any], seed: int) -> float:
    """Better with the learning rate and the size, and a little by chance."""
    chance = math.sin(37.0 * seed + 1000 * params["learning_rate"] + params["hidden_size"]) / 200
    rate: float = 0.02 * math.log10(params["learning_rate"] * 1000)
    return float(0.9 + rate + params["hidden_size"] / 2000 - params["dropout"] / 50 + chance)


EVIL = [
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "a\nb\tc", "🦊 naïve", "</style></svg>",
    "{{ 7 * 7 }}", "$x_1^2$", "-->", "&lt;b&gt;", "]]>", "back\\slash",
]  # fmt: skip
