"""Which setting is the best, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpc import results
from hpc.results import Plan, Records, Run, create


def make(folder: Path, values: dict[tuple[int, float], list[float]], **changes: Any) -> Run:
    """A finished run: the values of the objective by setting (width, dropout), one for each seed."""
    trials: list[dict[str, Any]] = [
        {"trial": f"w{width}-{dropout}-s{seed}", "index": 0, "seed": seed, "model": "mlp",
         "params": {"width": width, "dropout": dropout, "epochs": 2}}
        for width, dropout in values for seed in range(len(values[width, dropout]))
    ]  # fmt: skip
    trials = [{**trial, "index": index} for index, trial in enumerate(trials)]
    parts = {"name": "x", "metric": "val_accuracy", "mode": "max", "space": ["width", "dropout"]}
    create(folder, Plan(**{**parts, "trials": trials, "sweep": "name: x\n", "provenance": "{}\n", **changes}))
    records = Records(folder / "records" / "local-1-0.jsonl")
    for trial in trials:
        value = values[trial["params"]["width"], trial["params"]["dropout"]][trial["seed"]]
        who = {"trial": trial["trial"], "attempt": 1}
        records.append("started", **trial, attempt=1, ranks=1, job="local-1-0", node="n")
        records.append("finished", **who, epochs=2, best=value, metrics={"val_accuracy": value}, seconds=1.0)
    records.close()
    return Run(folder)


def words(run: Run) -> str:
    found = results.winner(run)
    assert found is not None
    return found.format()


def test_the_best_point_is_named_with_its_interval_and_its_ties(tmp_path: Path) -> None:
    run = make(tmp_path / "r", {
        (8, 0.0): [0.90, 0.91, 0.92], (16, 0.0): [0.91, 0.92, 0.92], (32, 0.5): [0.5, 0.51, 0.52],
    })  # fmt: skip
    said = words(run)
    assert said.startswith(
        "Best: width=16 dropout=0 with val_accuracy 0.9167 on average over 3 trainings "
        "(95% interval 0.9023 to 0.931)."
    )
    assert "One other setting is not separable from it at 95%" in said
    assert "the closest width=8 dropout=0 (worse by" in said
    assert "more seeds of both would tell these two apart." in said
    found = results.winner(run)
    assert found is not None
    assert [trials[0].params["width"] for trials in found.ties] == [8]


def test_a_winner_without_ties_is_said_to_be_better(tmp_path: Path) -> None:
    run = make(tmp_path / "r", {(8, 0.0): [0.90, 0.91, 0.92], (16, 0.0): [0.2, 0.21, 0.22]})
    assert words(run).endswith("It is better than the other setting at 95%.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({(8, 0.0): [0.9], (16, 0.0): [0.8]}, "One training per setting can't tell it from the others"),
        ({(8, 0.0): [0.9]}, "from one training."),
        ({(8, 0.0): [0.9, 0.9], (16, 0.0): [0.8, 0.7]}, "with val_accuracy 0.9 in each of 2 trainings."),
        ({(8, 0.0): [0.9, 0.8], (16, 0.0): [0.8, 0.9]}, "no number of seeds in reach would tell these two"),
    ],
)
def test_what_can_not_be_told_is_said(
    tmp_path: Path, values: dict[tuple[int, float], list[float]], said: str
) -> None:
    assert said in words(make(tmp_path / "r", values))


def test_nothing_wins_where_nothing_has_finished(tmp_path: Path) -> None:
    assert results.winner(make(tmp_path / "r", {})) is None
