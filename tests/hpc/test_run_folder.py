"""The folder of a run, found to be of a sweep or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.profile import Resources
from hpc.results import RunError, write_text
from hpc.run_folder import open_run

RESOURCES = Resources("local", 1, 1, 1)


def begun_by_an_earlier_version(tmp_path: Path, **further: Any) -> tuple[sweeps.Sweep, Path]:
    """A sweep of a link, and its run, whose sweep.yaml has what the link points to."""
    (tmp_path / "points-2024.csv").write_text("a,y\n1,0\n")
    (tmp_path / "points.csv").symlink_to("points-2024.csv")
    entries = {"name": "x", "model": "mlp", "data": "points.csv", "space": {"depth": [1, 2]}, **further}
    sweep, folder = sweeps.parse(entries, tmp_path), tmp_path / "run"
    open_run(folder, sweep, RESOURCES)
    write_text(folder / "sweep.yaml", sweep.through_links().as_yaml())  # without a seal, nor a copy
    records = folder / "records" / "run.jsonl"
    first, *others = records.read_text().splitlines(keepends=True)
    told = {name: value for name, value in json.loads(first).items() if name != "file"}
    records.write_text("".join([json.dumps(told) + "\n", *others]))
    return sweep, folder


def test_trials_that_were_planned_under_the_name_of_a_link_keep_it(tmp_path: Path) -> None:
    sweep, folder = begun_by_an_earlier_version(tmp_path)
    stored = sweeps.load_stored(folder / "sweep.yaml")
    assert stored.trials[0].trial_id != sweep.trials[0].trial_id
    with pytest.raises(RunError, match=r"trial 0 was planned as t\w+, but by sweep.yaml it is t.*hpc run"):
        open_run(folder, stored, RESOURCES)
    _, run, _ = open_run(folder, sweep, RESOURCES)
    names = [trial.trial_id for trial in sweeps.load_stored(folder / "sweep.yaml").trials]
    assert names == [trial.trial_id for trial in sweep.trials] == list(run.trials)


def test_a_search_goes_on_with_the_names_that_its_workers_gave(tmp_path: Path) -> None:
    search = {"search": {"method": "tpe", "trials": 4}, "space": {"depth": {"low": 1, "high": 4}}}
    sweep, folder = begun_by_an_earlier_version(tmp_path, **search)
    taken_up, _, _ = open_run(folder, sweep, RESOURCES)
    stored = sweeps.load_stored(folder / "sweep.yaml")
    assert stored.data["name"] == str(tmp_path / "points-2024.csv")
    names = {one.trial({"depth": 2}, 0, 0).trial_id for one in (taken_up, stored)}
    assert len(names) == 1


def test_a_link_that_points_elsewhere_than_then_is_another_sweep(tmp_path: Path) -> None:
    sweep, folder = begun_by_an_earlier_version(tmp_path)
    (tmp_path / "points.csv").unlink()
    (tmp_path / "points.csv").symlink_to("points-2025.csv")
    with pytest.raises(RunError, match=r"here data.name is points.csv, there points-2024.csv"):
        open_run(folder, sweep, RESOURCES)
