"""Rows and columns by what a person types."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

import results
from results import Run, RunError, create, estimate, selection
from tests.results.test_results import Worker, plan


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    params = [
        {"width": width, "kind": kind, "odd name": width / 2} for width in (8, 16) for kind in ("a", "b")
    ]
    create(tmp_path / "r", plan(params, seeds=2))
    worker = Worker(tmp_path / "r")
    for trial, value in {"t00": 0.5, "t01": 0.6, "t02": 0.7, "t10": 0.8, "t11": 0.9}.items():
        worker.finish(trial, [value])
    worker.start("t12")
    worker.epoch("t12", 1, 0.99)
    worker.fail("t12", "error", "no")
    return results.table(Run(tmp_path / "r"))


@pytest.mark.parametrize(
    ("condition", "trials"),
    [
        ("width > 8 and state == 'finished'", ["t02"]),
        ("kind == 'b'", ["t01", "t03", "t11", "t13"]),
        ("`odd name` == 4 and seed == 1", ["t10", "t11"]),
        ("best_val_accuracy >= 0.8 or reason == 'error'", ["t10", "t11", "t12"]),
        ("epochs == 0", ["t03", "t13"]),
    ],
)
def test_rows_of_which_a_condition_holds(table: pd.DataFrame, condition: str, trials: list[str]) -> None:
    chosen = selection.where(table, condition)
    assert chosen.trial_id.tolist() == trials
    assert chosen.attrs == table.attrs


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("widht > 8", "there is no column 'widht' (did you mean 'width'?)"),
        ("zzz > 8", "there is no column 'zzz'; there are trial_id, state"),
        ("width >", "is no condition on columns (invalid syntax"),
        ("width", "is neither true nor false of a row; write it as pandas does, like 'learning_rate > 0.001"),
        ("1", "is neither true nor false of a row"),
        ("@x > 1", "it holds an @"),
        ("kind < 3", "is no condition on columns"),
        ("__import__('os').system('true')", "is no condition on columns"),
    ],
)
def test_what_is_no_condition_is_refused(table: pd.DataFrame, condition: str, said: str) -> None:
    with pytest.raises(RunError) as error:
        selection.where(table, condition)
    assert said in str(error.value)
    assert repr(condition) in str(error.value)


def test_rows_in_order_with_unknown_values_last(table: pd.DataFrame) -> None:
    rising = selection.sort(table, ["best_val_accuracy"]).trial_id.tolist()
    assert rising[:6] == ["t00", "t01", "t02", "t10", "t11", "t12"]
    falling = selection.sort(table, ["-width", "best_val_accuracy"]).trial_id.tolist()
    assert falling[:2] == ["t02", "t12"]
    assert falling[4:] == ["t00", "t01", "t10", "t11"]
    with pytest.raises(RunError, match="there is no column 'nothing'"):
        selection.sort(table, ["-nothing"])


def test_columns_in_the_order_asked_for(table: pd.DataFrame) -> None:
    assert list(selection.columns(table, ["seed", "trial_id"])) == ["seed", "trial_id"]
    with pytest.raises(RunError, match=r"no column 'sed' \(did you mean 'seed'\?\)"):
        selection.columns(table, ["sed"])


def test_groups_are_means_of_trials_that_ended_well_with_their_interval(table: pd.DataFrame) -> None:
    grouped = selection.group(table, ["width"])
    assert grouped.width.tolist() == [8, 16]
    assert grouped.trials.tolist() == [4, 1]
    interval = estimate([0.5, 0.6, 0.8, 0.9])
    row = grouped.iloc[0]
    assert row.best_val_accuracy == pytest.approx(interval.mean)
    assert row.best_val_accuracy_std == pytest.approx(interval.std)
    assert row.best_val_accuracy_low == pytest.approx(interval.low)
    assert row.best_val_accuracy_high == pytest.approx(interval.high)
    assert row.seconds == 1.0
    assert math.isnan(grouped.best_val_accuracy_low[1])
    assert selection.group(table, ["width", "kind"]).trials.tolist() == [2, 2, 1]
    with pytest.raises(RunError, match="no column 'widht'"):
        selection.group(table, ["widht"])


def test_only_trials_are_grouped(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(RunError, match="only a table of trials can be grouped"):
        selection.group(results.points(table.attrs["run"]), ["width"])
