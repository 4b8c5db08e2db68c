"""Measurements that are made up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from hpc.results import Plan, Records, create

C0, C1, ALPHA, BETA, BYTES = 2e-3, 5e-5, 2e-5, 1e9, 4_000_000


SAMPLES = 1000


def step(ranks: int, batch: int, rest: float = 0.0) -> float:
    """Seconds of a step, by the formulas of the pages of a textbook."""
    ring = 2 * (ranks - 1) * ALPHA + 2 * (ranks - 1) / ranks * BYTES / BETA
    return C0 + C1 * batch / ranks + (ring + rest if ranks > 1 else 0)


def written(
    folder: Path,
    *,
    ranks: int = 1,
    batch: int = 100,
    seconds: float | None = None,
    trials: int = 1,
    jobs: int = 1,
    timed: bool = True,
    first: float = 9.0,
    epochs: int = 4,
    further: dict[str, Any] | None = None,
    **cost: Any,
) -> Path:
    """A run whose trials took these seconds a step, after a long first epoch."""
    seconds = step(ranks, batch) if seconds is None else seconds
    names = [f"t{number}" for number in range(trials)]
    facts = [{"trial": name, "index": i, "params": {}, "seed": i} for i, name in enumerate(names)]
    create(folder, Plan("x", "loss", "min", [], facts, "x\n", "{}\n"))
    steps = math.ceil(SAMPLES / batch)
    for job in range(jobs):
        records = Records(folder / "records" / f"job-{job}.jsonl")
        for number, name in list(enumerate(names))[job::jobs]:
            who = {"trial": name, "attempt": 1, "index": number, "params": {}, "seed": number}
            records.append("started", **who, ranks=ranks, job=f"job-{job}", node="here", **(further or {}))
            for epoch in range(1, epochs + 1):
                took = first * seconds if epoch == 1 else seconds
                times = {"steps": steps, "steps_seconds": steps * took, "input_seconds": steps * took / 10}
                times |= {"collective_seconds": steps * took / 5, "waiting_seconds": 0.0}
                since = steps * seconds * (first + epoch - 1)
                records.append(
                    "epoch",
                    **who,
                    epoch=epoch,
                    metrics={"loss": 1.0},
                    seconds=since,
                    **(times if timed else {}),
                )
            size = {
                "samples": SAMPLES,
                "batch_size": batch,
                "parameters": 10,
                "gradient_bytes": BYTES,
                "nodes": 1,
            }
            whole = {"epochs": epochs, "metrics": {"loss": 1.0}, "best": 1.0, "seconds": 1000.0}
            records.append("finished", **who, **whole, **size, **cost)
        records.close()
    return folder


def ring(*ranks: int) -> pd.DataFrame:
    """Sums over ranks, as they would be measured."""
    rows = [
        {"ranks": n, "nodes": 1, "reduces_by": "gloo", "bytes": size,
         "seconds": 2 * (n - 1) * ALPHA + 2 * (n - 1) / n * size / BETA}
        for n in ranks for size in (1000, 100_000, 10_000_000)
    ]  # fmt: skip
    return pd.DataFrame(rows)
