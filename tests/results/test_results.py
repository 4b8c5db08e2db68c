"""Records, runs and tables."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import results
from results import Plan, Records, Run, RunError, create

WHO = {"ranks": 2, "job": "local-1-0", "node": "n1", "code": ""}


def plan(params: list[dict[str, Any]], seeds: int = 1, **changes: Any) -> Plan:
    trials = [
        {"trial": f"t{seed}{index}", "index": seed * len(params) + index, "params": p, "seed": seed}
        for seed in range(seeds)
        for index, p in enumerate(params)
    ]
    names = list(dict.fromkeys(name for p in params for name in p if name != "epochs"))
    parts = {"name": "x", "metric": "val_accuracy", "mode": "max", "space": names, "trials": trials}
    return Plan(**{**parts, "sweep": "name: x\n", "provenance": "{}\n", **changes})


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

    def finish(self, trial: str, values: list[float], attempt: int = 1) -> None:
        self.start(trial, attempt)
        for number, value in enumerate(values, 1):
            self.epoch(trial, number, value, attempt)
        self.records.append("finished", trial=trial, attempt=attempt, epochs=len(values), best=max(values),
                            metrics=metrics(values[-1]), seconds=len(values) * 1.0)  # fmt: skip

    def fail(self, trial: str, reason: str, error: str, attempt: int = 1) -> None:
        self.records.append("failed", trial=trial, attempt=attempt, reason=reason, error=error, seconds=3.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with a trial of every kind."""
    folder = tmp_path / "a run's folder"
    params = [{"width": w, "rate": r, "epochs": 3} for w in (8, 16) for r in (0.1, 0.5)]
    create(folder, plan([*params, {"width": 32, "rate": 0.5, "epochs": 3}]))
    worker = Worker(folder)
    worker.finish("t00", [0.5, 0.9, 0.8])
    worker.start("t01")
    worker.fail("t01", "error", 'ValueError: no\nTraceback, with "quotes", commas\nValueError: no')
    worker.start("t02")
    worker.epoch("t02", 1, float("nan"))
    worker.fail("t02", "diverged", "loss is nan after epoch 1")
    worker.start("t03")
    worker.epoch("t03", 1, 0.4)
    return folder


def test_a_table_has_one_row_per_trial_with_the_columns_promised(folder: Path) -> None:
    table = results.table(folder)
    assert list(table.columns) == [
        "trial_id", "state", "reason", "width", "rate", "param_epochs", "seed", "epochs", "loss",
        "val_accuracy", "best_val_accuracy", "seconds", "ranks", "job_id", "node", "error",
    ]  # fmt: skip
    assert table.state.tolist() == ["finished", "failed", "failed", "running", "waiting"]
    assert table.reason.fillna("").tolist() == ["", "error", "diverged", "", ""]
    assert table.epochs.tolist() == [3, 0, 1, 1, 0]
    first = table.iloc[0]
    assert (first.val_accuracy, first.best_val_accuracy, first.seconds) == (0.8, 0.9, 3.0)
    assert table.error[1].endswith("ValueError: no")
    assert pd.isna(table.val_accuracy[2])
    assert table.ranks.dtype == "Int64"  # a waiting trial has none


def test_a_csv_is_read_back_with_the_right_types(folder: Path) -> None:
    table = results.table(folder)
    back = pd.read_csv(io.StringIO(results.render(table, "csv")))
    assert list(back.columns) == list(table.columns)
    kinds = {name: back[name].dtype.kind for name in back.columns}
    assert [kinds[name] for name in ("width", "seed", "epochs")] == ["i", "i", "i"]
    assert [kinds[name] for name in ("rate", "loss", "seconds", "best_val_accuracy")] == ["f"] * 4
    for name in ("trial_id", "state", "job_id", "error"):
        assert all(isinstance(value, str) for value in back[name].dropna())
    assert back.error[1] == table.error[1]
    assert back.trial_id.tolist() == table.trial_id.tolist()


def test_a_table_by_epochs_has_one_row_per_trial_and_epoch(folder: Path) -> None:
    table = results.table(folder, epochs=True)
    assert table.trial_id.tolist() == ["t00"] * 3 + ["t02", "t03"]
    assert table.epoch.tolist() == [1, 2, 3, 1, 1]
    assert list(table.columns) == [
        "trial_id", "width", "rate", "epochs", "seed", "epoch", "loss", "val_accuracy", "seconds",
    ]  # fmt: skip
    assert table.val_accuracy.tolist()[:3] == [0.5, 0.9, 0.8]


def test_several_runs_make_one_table_with_a_column_that_names_them(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    create(other, plan([{"depth": 1}]))
    table = results.table([folder, other])
    assert table.run.tolist() == [str(folder)] * 5 + [str(other)]
    assert pd.isna(table.depth[0])


def test_values_of_mixed_kinds_survive_parquet(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"size": 8, "x": 1, "y": "a"}, {"size": [8, 4], "x": 0.5, "y": 3}]))
    run = Run(tmp_path / "r")
    results.save(run)
    back = pd.read_parquet(tmp_path / "r" / "table.parquet")
    assert back["size"].tolist() == ["8", "[8, 4]"]
    assert back["x"].tolist() == [1.0, 0.5]
    assert back["y"].tolist() == ["a", "3"]


def test_the_stored_table_is_brought_up_to_date(folder: Path) -> None:
    results.save(Run(folder))
    path = folder / "table.parquet"
    assert pd.read_parquet(path).state.tolist().count("finished") == 1
    os.utime(path, (1, 1))  # as if the records had been written later
    Worker(folder).finish("t04", [0.7])
    results.save(Run(folder))
    assert pd.read_parquet(path).state.tolist().count("finished") == 2


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_tables_for_people_have_short_errors(folder: Path, form: str) -> None:
    text = results.render(results.table(folder), form)
    assert "ValueError: no" in text
    assert "Traceback" not in text
    assert "0.9" in text
    assert "nan" not in text.replace("loss is nan", "")
    json.loads(results.render(results.table(folder), "json"))


def test_an_unknown_format_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="there is no format 'xls'; there are table, csv"):
        results.render(results.table(folder), "xls")


def test_a_torn_line_is_passed_over_and_the_next_writer_starts_a_new_one(folder: Path) -> None:
    path = folder / "records" / "local-1-0.jsonl"
    with path.open("a") as file:
        file.write('{"record": "epoch", "trial": "t03", "atte')
    assert Run(folder).trials["t03"].attempt.epochs == 1
    Worker(folder).epoch("t03", 2, 0.6)
    assert Run(folder).trials["t03"].attempt.epochs == 2


def test_a_line_is_taken_in_when_it_is_complete(folder: Path) -> None:
    run = Run(folder)
    with (folder / "records" / "local-1-0.jsonl").open("a") as file:
        record = {"record": "epoch", "trial": "t03", "attempt": 1, "epoch": 2, "metrics": metrics(0.9),
                  "seconds": 2.0}  # fmt: skip
        line = json.dumps(record) + "\n"
        file.write(line[:40])
        file.flush()
        run.refresh()
        assert run.trials["t03"].attempt.epochs == 1
        file.write(line[40:])
    run.refresh()
    assert run.trials["t03"].attempt.epochs == 2


def test_a_later_attempt_replaces_a_failed_one_and_none_replaces_a_finished_one(folder: Path) -> None:
    second = Worker(folder, "local-2-0")
    second.finish("t01", [0.6], attempt=2)
    late = Worker(folder, "local-1-1")
    late.start("t01", attempt=3)
    late.fail("t01", "cancelled", "late", attempt=3)
    table = results.table(folder).set_index("trial_id")
    assert table.index.is_unique
    assert table.state["t01"] == "finished"
    assert table.job_id["t01"] == "local-2-0"


def test_a_verdict_that_is_read_before_the_start_still_counts(folder: Path) -> None:
    """The command that watches writes into run.jsonl, which is read first."""
    records = Records(folder / "records" / "run.jsonl")
    records.append("failed", trial="t03", attempt=1, reason="cancelled", error="stopped", seconds=1.0)
    attempt = Run(folder).trials["t03"].attempt
    assert (attempt.state, attempt.reason, attempt.job_id) == ("failed", "cancelled", "local-1-0")


def test_a_verdict_that_comes_too_late_changes_nothing(folder: Path) -> None:
    """The worker finished while the command was deciding that it had died."""
    run = Run(folder)
    records = Records(folder / "records" / "run.jsonl")
    records.append("failed", trial="t00", attempt=1, reason="cancelled", error="stopped", seconds=1.0)
    run.refresh()
    for reading in (run, Run(folder)):  # after the end of the trial, and before it
        attempt = reading.trials["t00"].attempt
        assert (attempt.state, attempt.reason, attempt.error, attempt.seconds) == ("finished", "", "", 3.0)


def test_counts_and_ranks(folder: Path) -> None:
    run = Run(folder)
    assert run.counts() == {
        "waiting": 1, "running": 1, "finished": 1, "pruned": 0, "failed": 2, "total": 5,
    }  # fmt: skip
    assert [t.trial_id for t in run.ranked()] == ["t00", "t03"]
    assert run.varying == ["width", "rate"]


def test_a_leaderboard_takes_seeds_together(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"width": 8}, {"width": 16}, {"width": 32}], seeds=2))
    worker = Worker(tmp_path / "r")
    for trial, values in {"t00": [0.7], "t10": [0.9], "t01": [0.85], "t11": [0.85], "t02": [0.1]}.items():
        worker.finish(trial, values)
    board = results.leaderboard(Run(tmp_path / "r"))
    assert board.width.tolist() == [16, 8, 32]
    assert board.best_val_accuracy.tolist() == pytest.approx([0.85, 0.8, 0.1])
    assert board["std"].tolist()[:2] == pytest.approx([0, 0.1414], abs=1e-4)
    assert board.seeds.tolist() == [2, 2, 1]
    assert board.trial_id.tolist() == ["t01", "t10", "t02"]


def test_a_smaller_value_leads_where_the_mode_is_min(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"width": 8}, {"width": 16}], metric="loss", mode="min"))
    worker = Worker(tmp_path / "r")
    worker.finish("t00", [0.7])
    worker.records.append("started", trial="t01", attempt=1, index=1, params={}, seed=0, **WHO)
    worker.records.append("finished", trial="t01", attempt=1, epochs=1, best=0.1, metrics={}, seconds=1.0)
    assert results.leaderboard(Run(tmp_path / "r")).width.tolist() == [16, 8]


def test_an_empty_run_has_an_empty_leaderboard_and_a_whole_table(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"width": 8}]))
    assert results.leaderboard(Run(tmp_path / "r")).empty
    assert results.table(tmp_path / "r").state.tolist() == ["waiting"]
    assert results.table(tmp_path / "r", epochs=True).empty


def test_a_folder_that_holds_something_else_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"neither empty nor the folder of a run: it holds 'thesis.tex'"):
        create(tmp_path, plan([{"width": 8}]))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_was_killed_while_it_was_made_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    create(folder, plan([{"width": 8}]))
    (folder / "sweep.yaml").unlink()  # it comes last
    create(folder, plan([{"width": 8}, {"width": 9}]))
    assert len(Run(folder).trials) == 2


@pytest.mark.parametrize(("make", "said"), [(True, "holds no sweep.yaml"), (False, "does not exist")])
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, make: bool, said: str) -> None:
    if make:
        (tmp_path / "r").mkdir()
    with pytest.raises(RunError, match=said):
        results.table(tmp_path / "r")
