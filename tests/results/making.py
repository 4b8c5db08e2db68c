"""Runs that are made up, to be read, drawn and reported."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.results import Plan, Records, create

PROVENANCE = {
    "time": "2026-01-02T03:04:05+00:00",
    "host": "login1",
    "command": ["hpc", "run", "sweeps/made up.yaml"],
    "packages": {"keras": "3.12.0", "tensorflow": "2.18.1"},
    "git": {"commit": "0123456789abcdef", "diff": "-old\n+new <line>\n", "diff_is_cut": False},
}


def grid_run(
    folder: Path,
    space: Mapping[str, Sequence[Any]],
    value: Callable[[dict[str, Any], int], float],
    *,
    name: str = "made-up",
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int = 3,
    failing: Mapping[int, tuple[str, str]] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """A run of a grid that has ended.

    Args:
        folder: to make.
        space: values of each hyperparameter.
        value: the last val_accuracy by hyperparameters and seed.
        name: of the sweep.
        seeds: of each point.
        epochs: of each trial.
        failing: reason and error by the index of a trial.
        provenance: instead of ``PROVENANCE``.
    """
    points = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    planned: list[dict[str, Any]] = [
        {"trial": f"t{index:03}", "index": index, "params": params, "seed": seed}
        for index, (params, seed) in enumerate(itertools.product(points, seeds))
    ]
    text = json.dumps({"name": name, "space": {key: list(values) for key, values in space.items()}}) + "\n"
    facts = json.dumps(PROVENANCE if provenance is None else provenance)
    create(folder, Plan(name, "val_accuracy", "max", list(space), planned, text, facts))
    writer = Records(folder / "records" / "local-1-0.jsonl")
    for plan in planned:
        who = {"trial": plan["trial"], "attempt": 1}
        writer.append("started", **plan, attempt=1, ranks=1, job="local-1-0", node="node1", code="", lanes=1)
        if failing and plan["index"] in failing:
            reason, error = failing[plan["index"]]
            writer.append("failed", **who, reason=reason, error=error, seconds=0.5)
            continue
        last = value(plan["params"], plan["seed"])
        for epoch in range(1, epochs + 1):
            metrics = {"val_accuracy": last - 0.1 * (1 - epoch / epochs), "loss": 1 / epoch}
            writer.append("epoch", **who, epoch=epoch, metrics=metrics, seconds=float(epoch))
        writer.append("finished", **who, epochs=epochs, metrics=metrics, best=last, seconds=float(epochs))
    writer.close()
    return folder
