"""Earlier runs that a search begins with: of the same data, judged by the objective of the search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.jobs.check import check
from hpc.jobs.source.entries import entries_of
from hpc.jobs.source.study import Study
from hpc.jobs.user_files import Sources
from hpc.results import Plan, Records, Run, create
from hpc.sweeps import Sweep

LOSSES = {0: [0.9, 0.4, 0.6], 1: [0.8, 0.7, 0.5]}
"""Of two trials, the validation loss by epoch; their accuracy is one less it."""


def sweep_of(folder: Path, **changes: Any) -> Sweep:
    entries: dict[str, Any] = {
        "name": "s", "model": "linear", "data": "table.csv", "space": {"l2": {"low": 0.0, "high": 1.0}},
        "fixed": {"epochs": 3}, "search": {"method": "tpe", "trials": 4}, "objective": "val_loss",
    }  # fmt: skip
    return sweeps.parse({**entries, **changes}, folder)


def trained(folder: Path, sweep: Sweep) -> Run:
    """A run of that sweep with two finished trials."""
    objective = sweep.objective
    create(folder, Plan("s", objective.metric, objective.mode, ["l2"], [], sweep.as_yaml(), "{}", sweep.size))
    records = Records(folder / "records" / "a.jsonl")
    for index, losses in LOSSES.items():
        trial = sweep.trial({"l2": index / 4}, 0, index)
        who = {"trial": trial.trial_id, "attempt": 1}
        records.append(
            "started",
            **{**trial.to_record(), **who},
            ranks=1,
            job="a",
            node="n",
            code=Sources.of(sweep).digest,
        )
        for epoch, loss in enumerate(losses, 1):
            metrics = {"val_loss": loss, "val_accuracy": 1 - loss}
            records.append("epoch", **who, epoch=epoch, metrics=metrics, seconds=1.0)
        best = {"val_loss": min(losses), "val_accuracy": 1 - min(losses)}[objective.metric]
        records.append(
            "finished", **who, epochs=3, metrics=metrics, best=best, seconds=3.0, parameters=10 + index
        )
    records.close()
    return Run(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("a,y\n1,0\n2,1\n1,0\n2,1\n")
    trained(tmp_path / "runs" / "first", sweep_of(tmp_path))
    return tmp_path


def search(folder: Path, **changes: Any) -> Sweep:
    return sweep_of(folder, **{"search": {"method": "tpe", "trials": 4, "from": ["runs/first"]}, **changes})


def begun(folder: Path, sweep: Sweep) -> tuple[list[list[float]], list[str]]:
    """The values that the search of a sweep begins with, and what it says of them."""
    objective, notes = sweep.objective, list[str]()
    create(folder / "r", Plan("s", objective.metric, objective.mode, ["l2"], [], sweep.as_yaml(), "{}", 4))
    study = Study(sweep, folder / "r", note=notes.append)
    study.prepare()
    return sorted(trial.values for trial in entries_of(study.studies.search)), notes


@pytest.mark.parametrize(
    ("objective", "values"),
    [
        ("val_loss", [[0.4], [0.5]]),
        ("val_accuracy", [[0.5], [0.6]]),
        ({"metric": "val_loss", "mode": "max"}, [[0.8], [0.9]]),
        (["val_loss", "parameters"], [[0.5, 11.0], [0.6, 10.0]]),
    ],
)
def test_trials_of_another_run_are_known_by_the_objective_of_this_search(
    folder: Path, objective: Any, values: list[list[float]]
) -> None:
    sweep = search(folder, objective=objective)
    check(sweep, 1)
    found, notes = begun(folder, sweep)
    assert found == [pytest.approx(one) for one in values]
    assert notes == [f"The search begins with 2 finished trials of {folder}/runs/first."]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "val_auc", "fixed": {"epochs": 3, "metrics": ["auc"]}},
         "runs/first has not recorded val_auc, the objective; it has val_accuracy, val_loss."),
        ({"data": {"name": "table.csv", "classes": True}},
         "runs/first was trained on other data: here data.classes is True, there absent."),
        ({"data": "digits"}, "was trained on other data: here data.name is digits, there table.csv."),
    ],
)  # fmt: skip
def test_runs_on_other_data_or_without_the_objective_are_refused(
    folder: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(sweeps.SweepError) as caught:
        check(search(folder, **changes), 1)
    assert str(caught.value).startswith("search.from[0]: ")
    assert said in str(caught.value)


def test_a_table_of_the_same_name_that_holds_something_else_is_other_data(folder: Path) -> None:
    said = "runs/first was trained on other data: table.csv was not what it is here"
    other = folder / "other"
    other.mkdir()
    (other / "table.csv").write_text("a,y\n1,1\n2,0\n1,1\n2,0\n")
    path = str(folder / "runs" / "first")
    elsewhere = sweep_of(other, search={"method": "tpe", "trials": 4, "from": [path]})
    with pytest.raises(sweeps.SweepError, match=said):
        check(elsewhere, 1)
    (folder / "table.csv").write_text((other / "table.csv").read_text())  # the records know the one before
    with pytest.raises(sweeps.SweepError, match=said):
        check(search(folder), 1)


def test_a_run_with_folds_is_refused_and_one_that_has_begun_goes_on(folder: Path) -> None:
    folds = sweep_of(folder, search={"method": "random", "trials": 2}, folds=2)
    trained(folder / "runs" / "folds", folds)
    sweep = search(folder, search={"method": "tpe", "trials": 4, "from": ["runs/folds"]})
    with pytest.raises(sweeps.SweepError, match="once for each of its folds, of which a search has none"):
        check(sweep, 1)
    check(sweep.model_copy(update={"defaults": {"batch_size": 32}}), 1)


def test_a_trial_without_the_value_is_passed_over_and_counted(folder: Path) -> None:
    records = folder / "runs" / "first" / "records" / "a.jsonl"
    lines = records.read_text().splitlines(keepends=True)
    of_first = sweep_of(folder).trial({"l2": 0.0}, 0, 0).trial_id
    kept = [line.replace("val_accuracy", "val_acc") if of_first in line else line for line in lines]
    records.write_text("".join(kept))
    sweep = search(folder, objective="val_accuracy")
    check(sweep, 1)
    found, notes = begun(folder, sweep)
    assert found == [pytest.approx([0.5])]
    assert notes == [
        f"The search begins with 1 finished trials of {folder}/runs/first; 1 have no value of the objective."
    ]
