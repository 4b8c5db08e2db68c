"""Everything about one trial, as ``hpc show`` shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from hpc.results import cell

MAX_VALUE_CHARACTERS = 80
"""A longer value of a hyperparameter is cut."""


def format_trial(summary: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines that show a trial.

    Args:
        summary: what :func:`hpc.trial_summary.trial_summary` returns.
    """
    place = f", number {summary['rank']} of {summary['trials']}" if summary["rank"] else ""
    reason = f" ({summary['reason']})" if summary["reason"] else ""
    yield f"{summary['trial_id']}: {summary['state']}{reason}{place}"
    if summary["best"] is not None:
        yield f"best {summary['objective']}: {summary['best']:.6g}"
    fold = "" if summary["fold"] is None else f", fold {summary['fold']}"
    data = f" on {_format_data(summary['data'])}" if summary["data"] else ""
    yield f"{summary['model']}{data}, seed {summary['seed']}{fold}"
    if summary["seconds"] is not None:
        more = f", one of {summary['lanes']} at once" if summary["lanes"] > 1 else ""
        more += f", {summary['attempts']} attempts" if summary["attempts"] > 1 else ""
        ranks = "1 rank" if summary["ranks"] == 1 else f"{summary['ranks']} ranks"
        epochs = "1 epoch" if summary["epochs"] == 1 else f"{summary['epochs']} epochs"
        where = f"{ranks} on {summary['node']}, job {summary['job']}"
        yield f"{epochs} in {summary['seconds']:.1f} s, {where}{more}"
    yield from _format_group(
        "Hyperparameters", {name: _format_value(v) for name, v in summary["params"].items()}
    )
    yield from _format_group(
        "Left as they are", {name: _format_value(v) for name, v in summary["defaults"].items()}
    )
    yield from _format_group("Metrics, first to last epoch", dict(_format_curves(summary)))
    for part, matrix in summary["confusion"].items():
        yield ""
        yield f"Confusion on the {part} part (a row per class, a column per answer)"
        yield from _format_matrix(matrix)
    yield ""
    if summary["model_file"]:
        yield f'Model: keras.saving.load_model("{summary["model_file"]}")'
        yield f"Pictures: hpc plot {summary['run']} {summary['trial_id']}"
    elif summary["folder"]:
        yield f"Folder: {summary['folder']}"
    elif summary["data"]:
        yield (
            "Model: not kept. `keep: all` in the sweep keeps every network, `keep: best` the best one; "
            "estimators of scikit-learn never are."
        )
    if summary["log"]:
        yield f"Log: {summary['log']}"
    if summary["error"]:
        yield ""
        yield summary["error"]


def _format_data(data: Mapping[str, Any]) -> str:
    options = ", ".join(f"{name}={value}" for name, value in data.items() if name != "name")
    return f"{data['name']} ({options})" if options else str(data["name"])


def _format_value(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 3]}…"


def _format_group(title: str, entries: Mapping[str, str]) -> Iterator[str]:
    if entries:
        yield ""
        yield title
        width = max(map(len, entries))
        for name, text in entries.items():
            yield f"  {name:{width}}  {text}"


def _format_curves(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    history = summary["history"]
    for name, last in summary["metrics"].items():
        values = [record[name] for record in history if record.get(name) is not None]
        if len(values) > 1:
            yield name, f"{sparkline(values)}  {cell(values[0])} … {cell(last) or 'not a number'}"
        else:
            yield name, cell(last) or "not a number"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values as a line of blocks, the lowest and the highest from bottom to top.

    Args:
        values: at least one, finite.
        width: at most so many blocks; each is the mean of its share of the values.
    """
    blocks = "▁▂▃▄▅▆▇█"
    count = min(width, len(values))
    cuts = [round(i * len(values) / count) for i in range(count + 1)]
    means = [math.fsum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(blocks[min(7, int(8 * (mean - low) / span))] for mean in means)


def _format_matrix(matrix: Sequence[Sequence[int]]) -> Iterator[str]:
    width = max(len(str(count)) for row in matrix for count in [*row, len(matrix) - 1])
    yield "  " + " " * width + " " + " ".join(f"{column:>{width}}" for column in range(len(matrix)))
    for number, row in enumerate(matrix):
        cells = " ".join(f"{count or '.':>{width}}" for count in row)
        yield f"  {number:>{width}} {cells}"
