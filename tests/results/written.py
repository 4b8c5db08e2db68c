"""Runs that are written line by line, as a worker does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.results import Plan, Records

WHO = {"ranks": 2, "job": "local-1-0", "node": "n1", "code": ""}


def plan(params: list[dict[str, Any]], seeds: int = 1, **changes: Any) -> Plan:
    trials = [
        {"trial": f"t{seed}{index}", "index": seed * len(params) + index, "params": p, "seed": seed}
        for seed in range(seeds)
        for index, p in enumerate(params)
    ]
    names = list(dict.fromkeys(name for p in params for name in p if name != "epochs"))
    parts: dict[str, Any] = {"name": "x", "metric": "val_accuracy", "mode": "max", "space": names}
    parts |= {"trials": trials, **changes}
    sweep = f"name: x\nobjective: {{metric: {parts['metric']}, mode: {parts['mode']}}}\n"
    return Plan(**{"sweep": sweep, "provenance": "{}\n", **parts})


def metrics(value: float) -> dict[str, float]:
    return {"loss": 1 - value, "val_accuracy": value}


class Worker:
    """Writes records as a worker does."""

    def __init__(self, folder: Path, job: str = "local-1-0") -> None:
        self.records, self.job = Records(folder / "records" / f"{job}.jsonl"), job

    def start(self, trial: str, attempt: int = 1) -> None:
        self.records.append("started", trial=trial, attempt=attempt, index=0, params={}, seed=0,
                            **{**WHO, "job": self.job})  # fmt: skip

    def epoch(self, trial: str, number: int, value: float, attempt: int = 1) -> None:
        self.records.append("epoch", trial=trial, attempt=attempt, epoch=number,
                            metrics=metrics(value), seconds=number * 1.0)  # fmt: skip

    def finish(self, trial: str, values: list[float], attempt: int = 1, **changes: Any) -> None:
        self.start(trial, attempt)
        for number, value in enumerate(values, 1):
            self.epoch(trial, number, value, attempt)
        parts = {"epochs": len(values), "best": max(values), "metrics": metrics(values[-1])}
        parts |= {"seconds": len(values) * 1.0, **changes}
        self.records.append("finished", trial=trial, attempt=attempt, **parts)

    def fail(self, trial: str, reason: str, error: str, attempt: int = 1) -> None:
        self.records.append("failed", trial=trial, attempt=attempt, reason=reason, error=error, seconds=3.0)
