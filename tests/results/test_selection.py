"""Rows and columns by what a person types."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpc import results
from hpc.results import Run, RunError, create, estimate, selection
from tests.results.written import Worker, plan
from tests.sweeps.attacks import ATTACKS
from tests.sweeps.conditions import TRIAL, examples


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
        ("widht > 8", "there is no column 'widht' (did you mean \"width\"?)"),
        ("zzz > 8", "there is no column 'zzz'; there are trial_id, state"),
        ("width >", "is no condition on columns (invalid syntax"),
        ("width", "(8 is neither true nor false); write for example 'learning_rate > 0.001 and state =="),
        ("1", "it names no column"),
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


@pytest.mark.parametrize(("text", "said"), ATTACKS, ids=[ascii(text)[:40] for text, _ in ATTACKS])
def test_what_would_run_code_or_take_all_memory_is_refused(text: str, said: str) -> None:
    frame = pd.DataFrame({"seed": [1, 2, 3], "error": ["a", None, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]})
    with pytest.raises(RunError, match="is no condition on columns") as error:
        selection.where(frame, text)
    message = str(error.value)
    assert said in message
    assert "; write for example 'learning_rate > 0.001 and state ==" in message
    assert len(message) < 700
    assert message.isprintable()


@pytest.mark.parametrize(("condition", "is_true"), examples())
def test_the_examples_of_the_docs_choose_rows(condition: str, is_true: bool) -> None:
    frame = pd.DataFrame([TRIAL, TRIAL]).astype({"optimizer": "category", "momentum": "float64"})
    assert len(selection.where(frame, condition)) == (2 if is_true else 0)


COLUMNS: dict[str, Any] = {
    "number": [1.0, np.nan, 3.0, np.inf],
    "whole": pd.array([1, None, 3, 0], "Int64"),
    "kind": pd.Categorical(["a", None, "b", "a"]),
    "error": ["x|y", None, "it's `y` @ 3", ""],
    "front": pd.array([True, None, False, True], "boolean"),
    "front too": [True, None, False, True],
    "seed": [0, 1, 2, 3],
    "small": np.array([0.5, 1.5, 2.5, 3.5], "float32"),
    "started": pd.to_datetime(["2026-11-01T08", "2026-11-02T00", "NaT", "2026-11-30T00"], utc=True).as_unit(
        "ms"
    ),
    "sizes": ["[64, 32]", "128", None, "[64, 32]"],
    "mixed": [1, np.int64(2), np.float64("nan"), [1]],
}


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("number > 0", [0, 2, 3]),
        ("number > 5 and number == number", [3]),
        ("number != 1", [1, 2, 3]),  # NaN is not 1, as in pandas
        ("whole != 1", [1, 2, 3]),
        ("not whole > 1", [0, 1, 3]),
        ("number != number", [1]),
        ("whole == None", [1]),
        ("whole is not None and kind.notna()", [0, 2, 3]),
        ("whole in [0, None]", [1, 3]),
        ("whole not in [0, 1]", [1, 2]),
        ("whole == [0, 3]", [2, 3]),
        ("[0, 3] != seed", [1, 2]),
        ("kind == 'a'", [0, 3]),
        ("kind != 'a'", [1, 2]),
        ("kind > 'a'", [2]),
        ("'a' == kind & seed < 3", [0]),
        ("kind == 'b' | seed == 3", [2, 3]),
        ("front", [0, 3]),
        ("~front", [1, 2]),
        ("not `front too`", [1, 2]),
        ("front == True", [0, 3]),
        ("front == `front too` and not front", [2]),
        ("seed + number > 1", [2, 3]),
        ("1 / whole > 0.5", [0]),  # nothing is known of 1 / 0
        ("-whole < 0", [0, 2]),
        ("number - number == 0", [0, 2]),
        ("seed ** seed ** seed ** seed > 1", [2]),  # nor of what is too large
        ("0 < seed < 3", [1, 2]),
        ("small == 0.5 or small * 2 == 5", [0, 2]),
        ("error.str.contains('|', regex=False)", [0]),
        ("contains(error, '|')", [0]),
        ("error.str.contains('.')", []),
        ("contains(error, '@')", [2]),
        ("error.str.startswith('x') or endswith(error, '3')", [0, 2]),
        ("error == ''", [3]),
        ("error.isna()", [1]),
        ("started >= '2026-11-02'", [1, 3]),
        ("'2026-11-02 00:00' <= started < '2026-11-03T12:30:15'", [1]),
        ("started == '2026-11-01 08:00:00' or started.isnull()", [0, 2]),
        ("sizes == '[64, 32]'", [0, 3]),
        ("mixed == 2 or mixed == '[1]'", [1, 3]),
        ("mixed.isna()", [2]),
    ],
)
def test_conditions_choose_these_rows_of_columns_of_every_kind(condition: str, rows: list[int]) -> None:
    assert selection.where(pd.DataFrame(COLUMNS), condition).seed.tolist() == rows


@pytest.mark.parametrize(
    "condition",
    [
        "seed > 1",
        "number > 0 and kind == 'a'",
        "seed > 1 & whole <= 3 | kind == 'b'",
        "number != 1",
        "kind in ['a', 'c'] and not seed == 3",
        "seed == [1, 2]",
        "`front too` == True",
        "(seed + 1) ** 2 // 3 % 2 == 1",
        "-seed / 2 < -0.5",
        "number.isna() or error.str.contains('y')",
        "0 <= seed < 2",
    ],
)
def test_conditions_choose_what_pandas_chooses(condition: str) -> None:
    frame = pd.DataFrame(COLUMNS)
    wanted = frame.query(condition, engine="python").seed.tolist()
    assert 0 < len(wanted) < 4
    assert selection.where(frame, condition).seed.tolist() == wanted


def test_conditions_on_other_indexes_and_no_rows() -> None:
    frame = pd.DataFrame(COLUMNS, index=[7, 7, 8, 8])
    assert selection.where(frame, "seed > 1").seed.tolist() == [2, 3]
    assert selection.where(frame[:0], "seed > 1").empty
    with pytest.raises(RunError, match="there are several columns 'seed'"):
        selection.where(pd.concat([frame, frame[["seed"]]], axis=1), "seed > 1")


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
    with pytest.raises(RunError, match=r"no column 'sed' \(did you mean \"seed\"\?\)"):
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


@pytest.mark.parametrize("text", ["1.12.2026", "30/11/2026", "22:22", "now"])
def test_a_time_is_compared_with_times_only(text: str) -> None:
    frame = pd.DataFrame({"started": pd.to_datetime(["2026-11-30 20:15", "2026-11-30 20:20"], utc=True)})
    with pytest.raises(RunError, match=r"is no time as it is compared with; write '2026-11-30 20:15'"):
        selection.where(frame, f"started > '{text}'")
    assert len(selection.where(frame, "started > '2026-11-30 20:15:30'")) == 1
