"""What a report says, computed anew from the records alone, by nothing of this project.

    python tests/results/recomputed.py RUN

prints the leaderboard of a run whose trials were each trained once.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats


def records(folder: Path) -> list[dict[str, Any]]:
    """All records, those of the plan first."""
    files = sorted((folder / "records").glob("*.jsonl"), key=lambda path: path.name != "run.jsonl")
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def shown(value: Any) -> str:
    """A value as tables for people have it: numbers with four digits."""
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


def exactly(value: float) -> str:
    """A number as the data of figures have it: seven digits."""
    return "" if math.isnan(value) else f"{value:.7g}"


def recomputed(folder: Path) -> dict[str, Any]:
    """What a run came to, as texts: ``states`` (a count of each), ``leaderboard`` (rows, best first),
    ``effects`` (mean and number of points by hyperparameter and value), ``means`` (by values of the
    hyperparameters) and ``curves`` (mean and ends of its interval, by these and the epoch).
    """  # fmt: skip
    told = records(folder)
    (sweep,) = [one for one in told if one["record"] == "sweep"]
    planned = {one["trial"]: one for one in told if one["record"] == "planned"}
    ended = {one["trial"]: one for one in told if one["record"] == "finished"}
    states = Counter("finished" if name in ended else "other" for name in planned)
    best = f"best_{sweep['metric']}"
    sign = -1 if sweep["mode"] == "max" else 1

    points: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name in sorted(ended, key=lambda name: int(planned[name]["index"])):
        points[tuple(planned[name]["params"][key] for key in sweep["space"])].append(name)
    rows = []
    for values, names in points.items():
        scores = np.array([ended[name]["best"] for name in names])
        mean, half = scores.mean(), math.nan
        if len(scores) > 1:
            half = float(stats.t.ppf(0.975, len(scores) - 1) * stats.sem(scores))
        tests = [ended[name]["metrics"].get(f"test_{sweep['metric'].removeprefix('val_')}") for name in names]
        row: dict[str, Any] = dict(zip(sweep["space"], values, strict=True))
        row |= {best: mean, "std": scores.std(ddof=1) if len(scores) > 1 else math.nan}
        row |= {"low": mean - half, "high": mean + half}
        if None not in tests:
            row |= {f"test_{sweep['metric'].removeprefix('val_')}": np.mean(tests)}
        row |= {"trials": len(names)}
        row |= {"epochs": round(float(np.mean([ended[name]["epochs"] for name in names])), 1)}
        row |= {"seconds": round(float(np.mean([ended[name]["seconds"] for name in names])), 2)}
        row |= {"trial_id": min(names, key=lambda name: (sign * ended[name]["best"], planned[name]["index"]))}
        rows.append(row)
    # Of equal means the one with the better best trial is first, then the one that is first in the sweep.
    rows.sort(key=lambda row: (sign * row[best], sign * ended[row["trial_id"]]["best"],
                               planned[row["trial_id"]]["index"]))  # fmt: skip
    effects: dict[tuple[str, str], tuple[str, str]] = {}
    for name in sweep["space"]:
        for value in dict.fromkeys(row[name] for row in rows):
            some = [row[best] for row in rows if row[name] == value]
            effects[name, shown(value)] = exactly(float(np.mean(some))), str(len(some))
    curves: dict[tuple[str, ...], tuple[str, str, str]] = {}
    told_epochs = {(one["trial"], one["epoch"]): one["metrics"] for one in told if one["record"] == "epoch"}
    for values, names in points.items():
        for epoch in range(1, min(ended[name]["epochs"] for name in names) + 1):
            reached = np.array([told_epochs[name, epoch][sweep["metric"]] for name in names])
            half = (
                float(stats.t.ppf(0.975, len(names) - 1) * stats.sem(reached)) if len(names) > 1 else math.nan
            )
            mean = float(reached.mean())
            curves[(*map(shown, values), str(epoch))] = (
                exactly(mean),
                exactly(mean - half),
                exactly(mean + half),
            )
    means = {tuple(shown(row[name]) for name in sweep["space"]): exactly(float(row[best])) for row in rows}
    board = [
        {"rank": str(place), **{key: shown(value) for key, value in row.items()}}
        for place, row in enumerate(rows, 1)
    ]  # fmt: skip
    parts = {"effects": effects, "curves": curves, "means": means}
    return {"states": dict(states), "leaderboard": board, **parts}


if __name__ == "__main__":
    print(
        json.dumps({**(found := recomputed(Path(sys.argv[1]))), "effects": str(found["effects"])}, indent=1)
    )
