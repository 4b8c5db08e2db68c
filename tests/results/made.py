"""Runs that were never trained, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpc.results import Plan, Records, Run, create, moments

Params = dict[str, Any]


def make(
    folder: Path,
    points: Sequence[Params],
    value: Callable[[Params, int, int], float],
    *,
    seeds: int = 1,
    epochs: int = 3,
    failed: Sequence[int] = (),
    metric: str = "val_accuracy",
    mode: str = "max",
    baseline: float | None = None,
    order: Sequence[int] | None = None,
    seconds: Callable[[int], float] = lambda index: 10.0,
) -> Run:
    """A run of one job of four cores that took its trials one after another.

    Args:
        folder: of the run.
        points: the hyperparameters of each.
        value: of the metric, by hyperparameters, seed and epoch (from 1).
        seeds: of each point.
        epochs: of each trial.
        failed: indices of trials that failed after the first epoch.
        metric: of the objective.
        mode: likewise.
        baseline: what a trial of another model came to, if there is one; it comes last.
        order: indices of trials as they were trained.
        seconds: that a trial took, by its index.
    """
    trials: list[dict[str, Any]] = [
        {"trial": f"t{place}s{seed}", "index": place * seeds + seed, "seed": seed, "model": "mlp",
         "params": {**params, "epochs": epochs}}
        for place, params in enumerate(points) for seed in range(seeds)
    ]  # fmt: skip
    if baseline is not None:
        trials.append({"trial": "base", "index": len(trials), "seed": 0, "model": "knn", "params": {}})
    space = list(dict.fromkeys(name for params in points for name in params))
    create(folder, Plan("made", metric, mode, space, trials, "name: made\n", "{}\n"))
    now = 1e9
    with moments.by(lambda: now):
        records = Records(folder / "records" / "local-1-0.jsonl")
        records.append("ready", job="local-1-0", backend="none", nodes=1, cores=4, gpus=0, groups=1)
        for trial in [trials[index] for index in order or range(len(trials))]:
            took = seconds(trial["index"])
            who = {"trial": trial["trial"], "attempt": 1}
            records.append("started", **trial, attempt=1, ranks=1, job="local-1-0", node="n")
            values = [
                value(trial["params"], trial["seed"], epoch) if trial["model"] == "mlp" else baseline
                for epoch in range(1, epochs + 1)
            ]
            for epoch, one in enumerate(values, 1):
                records.append("epoch", **who, epoch=epoch, metrics={metric: one}, seconds=float(epoch))
                if trial["index"] in failed:
                    break
            now += took
            if trial["index"] in failed:
                records.append("failed", **who, reason="error", error="ValueError: x", seconds=took)
            else:
                best = max(values) if mode == "max" else min(values)  # type: ignore[type-var]
                records.append(
                    "finished", **who, epochs=epochs, best=best, metrics={metric: values[-1]}, seconds=took
                )
        records.append("left", job="local-1-0", how="done")
        records.close()
    return Run(folder)


def grid(**values: Sequence[Any]) -> list[Params]:
    """All combinations."""
    points: list[Params] = [{}]
    for name, some in values.items():
        points = [{**point, name: one} for point in points for one in some]
    return points
