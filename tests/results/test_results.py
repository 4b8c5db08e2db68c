"""Records, runs and tables."""

from __future__ import annotations

import io
import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpc import results
from hpc.results import Plan, Records, Run, RunError, create, moments
from hpc.results import stats as statistics
from tests.results.written import WHO, Worker, metrics, plan


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


def compared(widths: list[Any]) -> Plan:
    """A sweep over widths and a baseline, with two seeds and two folds each: ``m0-s0-f1``, ``k-s1-f0``."""
    points: list[tuple[str, str, dict[str, Any]]] = [(f"m{i}", "mlp", {"width": w, "epochs": 3})
                                                     for i, w in enumerate(widths)]  # fmt: skip
    trials: list[dict[str, Any]] = []
    for group in (points, [("k", "knn", {"n_neighbors": 3})]):
        for seed, fold in product(range(2), range(2)):
            for name, model, params in group:
                trials.append({"trial": f"{name}-s{seed}-f{fold}", "index": len(trials), "params": params,
                               "seed": seed, "model": model, "fold": fold})  # fmt: skip
    return plan([], space=["width"], trials=trials)


def test_a_table_has_one_row_per_trial_with_the_columns_promised(folder: Path) -> None:
    table = results.table(folder)
    assert list(table.columns) == [
        "trial_id", "state", "reason", "width", "rate", "param_epochs", "seed", "epochs", "loss",
        "val_accuracy", "best_val_accuracy", "seconds", "ranks", "job_id", "node", "error",
        "started", "node_hours", "core_hours", "gpu_hours", "energy_joules",
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
    assert board.trials.tolist() == [2, 2, 1]
    assert board.trial_id.tolist() == ["t01", "t10", "t02"]
    assert list(board.columns) == [
        "rank", "width", "best_val_accuracy", "std", "low", "high", "trials", "epochs", "seconds",
        "trial_id",
    ]  # fmt: skip


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


def test_a_run_with_folds_and_baselines_says_so_in_columns_of_their_own(tmp_path: Path) -> None:
    create(tmp_path / "r", compared([8]))
    worker = Worker(tmp_path / "r")
    worker.finish("m0-s0-f1", [0.5, 0.6])
    worker.finish("k-s1-f0", [0.7])
    table = results.table(tmp_path / "r")
    assert list(table.columns) == [
        "trial_id", "state", "reason", "model", "width", "param_epochs", "n_neighbors", "seed", "fold",
        "epochs", "loss", "val_accuracy", "best_val_accuracy", "seconds", "ranks", "job_id", "node", "error",
        "started", "node_hours", "core_hours", "gpu_hours", "energy_joules",
    ]  # fmt: skip
    assert table.model.tolist() == ["mlp"] * 4 + ["knn"] * 4
    assert table.seed.tolist() == [0, 0, 1, 1] * 2
    assert table.fold.tolist() == [0, 1] * 4
    assert table.fold.dtype == "int64"
    assert table.n_neighbors.fillna(0).tolist() == [0] * 4 + [3] * 4
    assert table.set_index("trial_id").state[["m0-s0-f1", "k-s1-f0", "k-s0-f0"]].tolist() == [
        "finished", "finished", "waiting",
    ]  # fmt: skip
    back = pd.read_csv(io.StringIO(results.render(table, "csv")))
    assert back.fold.dtype == "int64"
    assert back.model.tolist() == table.model.tolist()

    epochs = results.table(tmp_path / "r", epochs=True)
    assert list(epochs.columns) == [
        "trial_id", "model", "width", "epochs", "n_neighbors", "seed", "fold", "epoch", "loss",
        "val_accuracy", "seconds",
    ]  # fmt: skip
    assert epochs.model.tolist() == ["mlp", "mlp", "knn"]
    assert epochs.fold.tolist() == [1, 1, 0]
    assert epochs.fold.dtype == "int64"


@pytest.mark.parametrize("column", ["model", "fold"])
def test_what_is_the_same_in_all_trials_has_no_column(tmp_path: Path, column: str) -> None:
    """Every record names the model; and folds may come without baselines, and these without folds."""
    trials = [dict(trial) for trial in compared([8]).trials]
    for trial in trials:
        trial[column] = {"model": "mlp", "fold": None}[column]
    create(tmp_path / "r", plan([], space=["width"], trials=trials))
    Worker(tmp_path / "r").finish("m0-s0-f0", [0.5])
    for frame in (results.table(tmp_path / "r"), results.table(tmp_path / "r", epochs=True)):
        assert column not in frame
        assert {"model", "fold"} - {column} < set(frame.columns)


def test_records_of_an_earlier_version_which_name_no_model_are_read(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"width": 8}, {"width": 16}]))
    Worker(tmp_path / "r").finish("t00", [0.5])
    later = Records(tmp_path / "r" / "records" / "local-2-0.jsonl")  # gone on with by this version
    later.append("started", trial="t01", attempt=1, index=1, params={"width": 16}, seed=0, model="mlp", **WHO)
    run = Run(tmp_path / "r")
    assert [(t.model, t.fold) for t in run.trials.values()] == [("", None)] * 2
    assert run.trials["t00"].attempt.confusion == {}
    assert (run.has_models, run.has_folds) == (False, False)
    assert list(results.table(run).columns[:5]) == ["trial_id", "state", "reason", "width", "seed"]
    assert results.points(run).width.tolist() == [8]
    assert results.leaderboard(run).trial_id.tolist() == ["t00"]


def test_a_trial_that_only_its_worker_names_has_its_model_and_fold(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"width": 8}]))
    records = Records(tmp_path / "r" / "records" / "local-1-0.jsonl")
    records.append("started", trial="k", attempt=1, index=1, params={}, seed=0, model="knn", fold=2, **WHO)
    trial = Run(tmp_path / "r").trials["k"]
    assert (trial.model, trial.fold) == ("knn", 2)


SCORES = {
    "m0-s0-f0": [0.5, 0.75], "m0-s0-f1": [0.875], "m0-s1-f0": [0.25, 0.5, 0.375], "m1-s0-f0": [0.5],
    "m1-s1-f1": [0.125, 0.25], "k-s0-f0": [0.75], "k-s0-f1": [0.5],
}  # fmt: skip
"""Values of the objective by trial and epoch; the others of the run have not ended well."""


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """A run with seeds, folds and a baseline, not all of whose trials have ended well."""
    folder = tmp_path / "comparison"
    create(folder, compared([[16, 8], 8]))
    worker = Worker(folder)
    for number, (trial, values) in enumerate(SCORES.items()):
        worker.finish(trial, values, seconds=number + 0.5)
    worker.start("m0-s1-f1")
    worker.epoch("m0-s1-f1", 1, 0.99)
    worker.fail("m0-s1-f1", "diverged", "loss is nan after epoch 2")
    worker.start("m1-s0-f1")
    worker.epoch("m1-s0-f1", 1, 0.99)
    return folder


def test_points_are_means_and_deviations_over_seeds_and_folds_of_the_trials_that_ended_well(
    comparison: Path,
) -> None:
    points = results.points(comparison)
    assert list(points.columns) == [
        "model", "width", "param_epochs", "n_neighbors", "trials", "epochs", "epochs_std", "loss",
        "loss_std", "val_accuracy", "val_accuracy_std", "best_val_accuracy", "best_val_accuracy_std",
        "best_val_accuracy_low", "best_val_accuracy_high", "seconds", "seconds_std",
    ]  # fmt: skip
    assert points.model.tolist() == ["mlp", "mlp", "knn"]  # as in the sweep, not the best first
    assert points.width.tolist()[:2] == ["[16, 8]", "8"]
    assert points.param_epochs.tolist()[:2] == [3, 3]
    assert points.trials.tolist() == [3, 2, 2]
    assert points.epochs.tolist() == [2, 1.5, 1]
    assert points.val_accuracy[0] == pytest.approx((0.75 + 0.875 + 0.375) / 3)
    assert points.best_val_accuracy[0] == pytest.approx((0.75 + 0.875 + 0.5) / 3)
    assert points.val_accuracy_std[1] == pytest.approx(0.25 / 2**0.5)  # of 0.5 and 0.25, by n - 1
    for place, values in enumerate([[0.75, 0.875, 0.5], [0.5, 0.25]]):  # of two folds each
        interval = statistics.estimate(values, folds=2)
        found = [points[f"best_val_accuracy_{end}"][place] for end in ("low", "high")]
        assert found == pytest.approx([interval.low, interval.high])


def test_points_agree_with_the_table(comparison: Path) -> None:
    table, points = results.table(comparison), results.points(comparison)
    ended = table[table.state == "finished"]
    groups = ended.groupby(["model", "width", "n_neighbors"], dropna=False, sort=False)
    for name in ("epochs", "loss", "val_accuracy", "best_val_accuracy", "seconds"):
        assert points[name].tolist() == pytest.approx(groups[name].mean().tolist())
        assert points[f"{name}_std"].tolist() == pytest.approx(groups[name].std(ddof=1).tolist())
    assert points.trials.tolist() == groups.size().tolist()


def test_a_point_of_one_trial_has_no_deviation(folder: Path) -> None:
    points = results.points(folder)
    assert points[["width", "rate", "param_epochs", "trials"]].values.tolist() == [[8, 0.1, 3, 1]]
    assert points.best_val_accuracy.tolist() == [0.9]
    assert points.filter(regex="_std$").isna().all(axis=None)
    assert "model" not in points


def test_points_of_several_runs_stand_in_one_table(comparison: Path, folder: Path, tmp_path: Path) -> None:
    create(tmp_path / "new", plan([{"depth": 1}]))  # where nothing has ended yet
    points = results.points([comparison, folder, Run(tmp_path / "new")])
    assert points.run.tolist() == [str(comparison)] * 3 + [str(folder)]
    assert points.columns[0] == "run"
    assert points.trials.tolist() == [3, 2, 2, 1]
    assert points.trials.dtype == "int64"
    assert points.seconds.tolist() == [1.5, 4.0, 6.0, 3.0]


def test_points_of_a_run_where_nothing_has_ended_are_none(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"width": 8}]))
    points = results.points(tmp_path / "r")
    assert points.empty
    assert list(points.columns)[:2] == ["width", "trials"]
    assert results.render(points, "csv").startswith("width,trials,")


def test_a_hyperparameter_called_as_a_column_of_the_points_stands_beside_it(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"trials": 50, "loss_std": 7}, {"trials": 100, "loss_std": 7}], seeds=2))
    for trial in ("t00", "t01", "t10"):
        Worker(tmp_path / "r").finish(trial, [0.5])
    points = results.points(tmp_path / "r")
    assert points.columns.is_unique
    assert points.param_trials.tolist() == [50, 100]
    assert points.param_loss_std.tolist() == [7, 7]
    assert points.trials.tolist() == [2, 1]


def test_a_leaderboard_takes_folds_together_and_tells_baselines_apart(comparison: Path) -> None:
    board = results.leaderboard(Run(comparison))
    assert list(board.columns) == [
        "rank", "model", "width", "best_val_accuracy", "std", "low", "high", "trials", "epochs", "seconds",
        "trial_id",
    ]  # fmt: skip
    assert board.model.tolist() == ["mlp", "knn", "mlp"]
    assert board.width.tolist() == [[16, 8], None, 8]
    assert board.best_val_accuracy.tolist() == pytest.approx([(0.75 + 0.875 + 0.5) / 3, 0.625, 0.375])
    assert board["std"][1] == pytest.approx(0.25 / 2**0.5)
    assert board.trials.tolist() == [3, 2, 2]
    assert board.trial_id.tolist() == ["m0-s0-f1", "k-s0-f0", "m1-s0-f0"]
    assert results.leaderboard(Run(comparison), top=1).trial_id.tolist() == ["m0-s0-f1"]
    for form in ("table", "markdown", "latex"):
        assert "knn" in results.render(board, form)


def test_baselines_that_differ_in_what_the_space_does_not_name_are_points_of_their_own(
    tmp_path: Path,
) -> None:
    trials = [
        {"trial": f"k{k}", "index": k, "params": {"n_neighbors": k}, "seed": 0, "model": "knn"}
        for k in (1, 2)
    ]
    create(tmp_path / "r", plan([], space=["width"], trials=trials))
    worker = Worker(tmp_path / "r")
    worker.finish("k1", [0.5])
    worker.finish("k2", [0.75])
    assert results.leaderboard(Run(tmp_path / "r")).trial_id.tolist() == ["k2", "k1"]
    assert results.points(tmp_path / "r").n_neighbors.tolist() == [1, 2]


@pytest.mark.parametrize("metric", ["val_accuracy", "accuracy"])
def test_a_leaderboard_has_the_test_value_where_there_is_a_test_part(tmp_path: Path, metric: str) -> None:
    create(tmp_path / "r", plan([{"width": 8}, {"width": 16}], seeds=2, metric=metric))
    worker = Worker(tmp_path / "r")
    for trial, value, test in (("t00", 0.8, 0.5), ("t10", 0.6, 0.75), ("t01", 0.9, 0.25)):
        worker.finish(trial, [value], metrics={**metrics(value), "test_accuracy": test, "test_loss": 9.0})
    board = results.leaderboard(Run(tmp_path / "r"))
    assert list(board.columns) == [
        "rank", "width", f"best_{metric}", "std", "low", "high", "test_accuracy", "trials", "epochs",
        "seconds", "trial_id",
    ]  # fmt: skip
    assert board.test_accuracy.tolist() == [0.25, 0.625]  # its means; the order is by the objective
    assert board[f"best_{metric}"].tolist() == pytest.approx([0.9, 0.7])


def test_a_leaderboard_of_a_space_over_epochs_is_shown(tmp_path: Path) -> None:
    create(tmp_path / "r", plan([{"epochs": 1}, {"epochs": 2}], space=["epochs"]))
    worker = Worker(tmp_path / "r")
    worker.finish("t00", [0.5])
    worker.finish("t01", [0.5, 0.75])
    board = results.leaderboard(Run(tmp_path / "r"))
    assert list(board.columns) == [
        "rank", "param_epochs", "best_val_accuracy", "epochs", "seconds", "trial_id",
    ]  # fmt: skip
    assert board.param_epochs.tolist() == [2, 1]
    assert board.epochs.tolist() == [2, 1]
    text = results.render(board, "table")
    assert text.split()[:3] == ["rank", "param_epochs", "best_val_accuracy"]
    assert results.points(tmp_path / "r").param_epochs.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "found"), [("tkj", "tkjvvrahfo5"), ("tkjvvrahfo5", "tkjvvrahfo5"), ("ta", "tabc")]
)
def test_a_trial_is_found_by_how_its_name_begins(tmp_path: Path, text: str, found: str) -> None:
    assert named(tmp_path).find(text).trial_id == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "no trial begins with 'x'; "),
        ("kjv", "no trial begins with 'kjv'; "),  # in the middle of a name
        ("tq", "3 trials begin with 'tq': tqa, tqb, tqc; "),
        ("", "6 trials begin with '': tkjvvrahfo5, tabc, tqa, tqb, tqc; "),  # no more than five
    ],
)
def test_what_names_no_trial_or_several_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RunError) as refused:
        named(tmp_path).find(text)
    folder = tmp_path / "r"
    assert str(refused.value) == f"{folder}: {said}`hpc table {folder}` names them all."


def named(folder: Path) -> Run:
    names = ("tkjvvrahfo5", "tabc", "tqa", "tqb", "tqc", "tzz")
    trials = [{"trial": name, "index": i, "params": {}, "seed": i} for i, name in enumerate(names)]
    create(folder / "r", plan([], trials=trials))
    return Run(folder / "r")


def test_a_model_is_where_it_is_kept(folder: Path) -> None:
    run = Run(folder)
    assert run.model_file(run.trials["t00"]) is None
    (folder / "models").mkdir()
    (folder / "models" / "t00.keras").write_bytes(b"")
    assert run.model_file(run.trials["t00"]) == folder / "models" / "t00.keras"
    assert run.model_file(run.trials["t01"]) is None


def test_confusions_are_read_with_the_end_of_a_trial(folder: Path) -> None:
    counts = {"validation": [[3, 1], [0, 4]], "test": [[2, 0], [1, 1]]}
    Worker(folder, "local-2-0").finish("t04", [0.5], confusion=counts)
    run = Run(folder)
    assert run.trials["t04"].attempt.confusion == counts
    assert run.trials["t03"].attempt.confusion == {}


# Where the time went


def test_the_bill_is_that_of_the_last_launch(tmp_path: Path) -> None:
    now = 0.0
    with moments.by(lambda: now):
        create(tmp_path / "r", plan([{"width": w} for w in range(5)]))
        assert Run(tmp_path / "r").bill() is None
        records = Records(tmp_path / "r" / "records" / "run.jsonl")
        for launch, begin in ((1, 100.0), (2, 200.0)):
            now = begin + 1
            records.append("launched", began=begin)
            for number in (0, 1):
                now = begin + 4 + number
                worker = Worker(tmp_path / "r", f"local-{launch}-{number}")
                worker.records.append("ready", job=worker.job)
                now += 1
                if launch == 1:
                    worker.start(f"t0{number}")  # killed: it has left nothing to reckon with
                    continue
                worker.finish(f"t0{number}", [0.5], attempt=2, training_seconds=3.0, drawing_seconds=2.0)
                worker.finish(f"t0{number + 2}", [0.5], training_seconds=4.0, drawing_seconds=0.0)
                now = begin + 14
                worker.records.append("left", job=worker.job, how="done")
    bill = Run(tmp_path / "r").bill()
    assert bill is not None
    assert bill == results.Bill(
        start_seconds=5.0,
        workers=2,
        seconds=10.0 + 9.0,
        training_seconds=14.0,
        tracing_seconds=4.0,
        graphs=2,
        lanes=1,
    )


def test_workers_that_left_in_no_time_have_no_bill(tmp_path: Path) -> None:
    with moments.by(lambda: 7.0):
        create(tmp_path / "r", plan([{"width": 1}]))
        Records(tmp_path / "r" / "records" / "run.jsonl").append("launched", began=7.0)
        worker = Worker(tmp_path / "r", "local-1-0")
        worker.records.append("ready", job=worker.job)
        worker.finish("t00", [0.5], training_seconds=0.0, drawing_seconds=0.0)
        worker.records.append("left", job=worker.job, how="done")
    assert Run(tmp_path / "r").bill() is None


def test_half_a_pair_of_surrogates_in_an_error_loses_no_record(folder: Path) -> None:
    """A traceback names files, whose names may be no UTF-8."""
    records = Records(folder / "records" / "x.jsonl")
    for _ in range(2):  # two workers say so
        records.append("note", text="in /data/\udce9t\u00e9.py")
    assert Run(folder).notes == ["in /data/\\xe9t\u00e9.py"]
