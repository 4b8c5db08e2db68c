"""Conditions on trials."""

from __future__ import annotations

import re

from tests.conftest import ROOT

TRIAL = {"learning_rate": 0.01, "hidden_size": 64, "batch norm": True, "optimizer": "sgd", "momentum": None}


def examples() -> list[tuple[str, bool]]:
    """Those of the table in the docs, and what they are."""
    found: list[tuple[str, bool]] = []
    for line in (ROOT / "docs" / "conditions.md").read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| what", "| ---")):
            _, _, true, false, _ = re.split(r"(?<!\\)\|", line)
            for cell, value in ((true, True), (false, False)):
                spans = re.findall(r"`` (.+?) ``|`([^`]+)`", cell.replace("\\|", "|"))
                found += [(double or single, value) for double, single in spans]
    assert len(found) > 30
    return found
