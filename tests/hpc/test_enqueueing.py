"""Settings of a sweep's own, by the command: listed in the file, and put into a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hpc import results, running, sweeps
from hpc.cli.app import app
from hpc.enqueueing import enqueue
from hpc.jobs.source.study import open_study
from hpc.results import Run, RunError
from hpc.sweeps import load_stored
from hpc.sweeps.document import write
from tests.hpc import standin

SEARCH: dict[str, Any] = {
    "name": "s", "model": "mlp", "data": "digits",
    "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "hidden_size": [8, 16, 32]},
    "fixed": {"epochs": 2},
    "search": {"method": "tpe", "trials": 3},
    "objective": "val_accuracy",
}  # fmt: skip


def hpc(*arguments: object) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search of three trials, which have ended, and which may have five."""
    standin.use(monkeypatch)
    running.run(sweeps.parse(SEARCH), on="local", workers=1, folder=tmp_path / "r")
    assert hpc("extend", tmp_path / "r", "--trials", "5", "--on", "nowhere").exit_code == 2  # nothing trains
    return tmp_path / "r"


def given(folder: Path) -> list[tuple[float, int]]:
    """What was tried, in order."""
    trials = sorted(Run(folder).trials.values(), key=lambda trial: trial.index)
    return [(trial.params["learning_rate"], trial.params["hidden_size"]) for trial in trials]


def test_an_enqueued_setting_is_tried_before_what_the_search_chooses(run: Path) -> None:
    first = hpc("enqueue", run, "learning_rate=0.0123", "hidden_size=16").stdout
    assert (
        first
        == f"learning_rate=0.0123 hidden_size=16 is tried next. If no worker is at it: hpc resume {run}\n"
    )
    assert "is tried after 1 others that wait" in enqueue(run, ["hidden_size=32"])
    running.resume(run, workers=1)
    tried = given(run)
    assert tried[3] == (0.0123, 16)
    assert tried[4][1] == 32
    assert len(tried) == 5  # they count among the trials that were asked for
    assert results.table(run).state.tolist() == ["finished"] * 5


def test_what_is_enqueued_beyond_the_trials_of_a_search_needs_more_of_them(run: Path) -> None:
    running.resume(run, workers=1)
    assert enqueue(run, ["hidden_size=8"]).endswith(
        f"once there are more trials: hpc extend {run} --trials +1"
    )


def test_a_worker_that_is_killed_at_once_does_not_lose_it(run: Path) -> None:
    enqueue(run, ["learning_rate=0.05", "hidden_size=8"])
    study = open_study(load_stored(run / "sweep.yaml"), Run(run))
    study.studies.search.ask()  # and is killed
    running.resume(run, workers=1)
    assert (0.05, 8) in given(run)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("hidden_size=64", "can't try hidden_size=64: 64 is none of [8, 16, 32]."),
        ("learning_rate=3", "can't try learning_rate=3: 3 is not from 0.0001 to 0.1."),
        (
            "hiden_size=8",
            'no hiden_size (did you mean "hidden_size"?); it has learning_rate, hidden_size.',
        ),
        ("hidden_size", "'hidden_size' is no setting; write name=value"),
        ("hidden_size=[", "hidden_size: '[' is not a YAML value."),
    ],
)
def test_what_is_no_setting_of_the_search_is_refused(run: Path, setting: str, said: str) -> None:
    done = hpc("enqueue", run, setting)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_setting_that_was_there_is_refused(run: Path) -> None:
    rate, size = given(run)[0]
    with pytest.raises(RunError, match="has had this setting before, as trial t"):
        enqueue(run, [f"learning_rate={rate}", f"hidden_size={size}"])


def test_a_grid_is_told_where_settings_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.use(monkeypatch)
    grid = {**SEARCH, "space": {"hidden_size": [8]}, "search": "grid"}
    running.run(sweeps.parse(grid), on="local", workers=1, folder=tmp_path / "r")
    with pytest.raises(RunError, match="is a grid, whose settings are known beforehand; list further ones"):
        enqueue(tmp_path / "r", ["hidden_size=16"])


def test_named_settings_of_a_file_are_trained_and_stand_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.use(monkeypatch)
    plain = {name: entry for name, entry in SEARCH.items() if name not in ("space", "search")}
    (tmp_path / "s.yaml").write_text(
        write({**plain, "search": {"method": "grid", "pruner": "median"}, "seeds": 2})
    )
    (tmp_path / "cases.csv").write_text("case,hidden_size,dropout\nsmall,8,0.0\nlarge,64,0.1\n")
    planned = hpc("run", tmp_path / "s.yaml", "--settings", tmp_path / "cases.csv", "--dry-run").stdout
    assert planned.count("small") == planned.count("large") == 2
    done = hpc("run", tmp_path / "s.yaml", "--settings", tmp_path / "cases.csv", "--dir", tmp_path / "r")
    assert done.exit_code == 0
    table = results.table(tmp_path / "r")
    assert table["case"].tolist() == ["small", "large", "small", "large"]
    assert table.hidden_size.tolist() == [8, 64, 8, 64]
    assert results.points(tmp_path / "r")["case"].tolist() == ["small", "large"]
    assert set(results.leaderboard(Run(tmp_path / "r"))["case"]) == {"small", "large"}
    assert results.table(tmp_path / "r", epochs=True)["case"].value_counts().to_dict() == {
        "small": 4,
        "large": 4,
    }
