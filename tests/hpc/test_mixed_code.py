"""Trials of two codes, or of two data, are not put into one table unless somebody says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import hpc
from hpc import results, sweeps
from hpc.extending import extend
from hpc.results import RunError

FILES = {
    "net.py": "import blocks\n\n\ndef build(input_shape, num_classes, units: int = 4):\n"
    "    import keras\n    if units in blocks.BROKEN:\n        raise ValueError('not yet')\n"
    "    dense = keras.layers.Dense\n    first = dense(units, blocks.ACTIVATION)\n"
    "    return keras.Sequential([keras.Input(input_shape), first, dense(num_classes, 'softmax')])\n",
    "blocks.py": "ACTIVATION = 'relu'\nBROKEN = [4]\n",
    "points.csv": "a,b,y\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(40)),
}
ENTRIES: dict[str, Any] = {
    "name": "own",
    "model": "net.py:build",
    "data": "points.csv",
    "space": {"units": [2, 4]},
    "fixed": {"epochs": 1},
    "objective": "val_accuracy",
}


def project(folder: Path, **files: str) -> sweeps.Sweep:
    folder.mkdir(exist_ok=True)
    for name, text in {**FILES, **files}.items():
        (folder / name).write_text(text)
    return sweeps.parse(ENTRIES, folder)


@pytest.mark.slow
def test_trials_of_two_codes_are_not_put_into_one_table(tmp_path: Path) -> None:
    sweep, run = project(tmp_path / "first"), tmp_path / "run"
    hpc.run(sweep, on="debug", folder=run)
    assert results.table(run).state.tolist() == ["finished", "failed"]
    assert "code" not in results.table(run)
    before = (run / "sweep.yaml").read_text()

    # The failed one is mended; what has been finished was of the code before.
    mended = "ACTIVATION = 'tanh'\nBROKEN = []\n"
    (tmp_path / "first" / "blocks.py").write_text(mended)
    said = r"blocks\.py has changed since they were trained.*--mixed-code"
    with pytest.raises(RunError, match=said):
        hpc.run(sweep, on="debug", folder=run)
    with pytest.raises(RunError, match=said):
        hpc.resume(run)
    assert hpc.run(sweep, on="debug", folder=run, mixed_code=True).is_good
    table = results.table(run)
    assert table.state.tolist() == ["finished", "finished"]
    assert len(set(table.code)) == 2
    assert hpc.resume(run, mixed_code=True).trained == 0

    # Another project whose files bear the same names, and whose data are others; all are finished.
    other = project(tmp_path / "second", **{"points.csv": FILES["points.csv"].replace("3", "4")})
    assert other.trials == sweep.trials
    with pytest.raises(RunError, match=r"points\.csv has changed"):
        hpc.run(other, on="debug", folder=run)
    assert (run / "sweep.yaml").read_text() == before


@pytest.mark.slow
def test_a_project_that_was_copied_goes_on_and_one_that_has_only_failed_may_be_mended(tmp_path: Path) -> None:
    sweep, run = (
        project(tmp_path / "first", **{"blocks.py": "ACTIVATION = 'relu'\nBROKEN = [2, 4]\n"}),
        tmp_path / "run",
    )
    hpc.run(sweep, on="debug", folder=run)
    assert set(results.table(run).state) == {"failed"}
    (tmp_path / "first" / "blocks.py").write_text("ACTIVATION = 'relu'\nBROKEN = []\n")
    assert hpc.resume(run).is_good
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    moved = sweeps.parse(ENTRIES, tmp_path / "copy")
    assert hpc.run(moved, on="debug", folder=run).trained == 0
    assert f"code_folder: {tmp_path / 'copy'}" in (run / "sweep.yaml").read_text()


def test_more_trials_of_another_code_are_refused_before_they_are_planned(tmp_path: Path) -> None:
    project(tmp_path)
    entries = {
        **ENTRIES,
        "space": {"units": {"low": 5, "high": 9}},
        "search": {"method": "random", "trials": 1},
    }
    run = tmp_path / "run"
    assert hpc.run(sweeps.parse(entries, tmp_path), on="debug", folder=run).is_good
    before = (run / "sweep.yaml").read_text()
    (tmp_path / "blocks.py").write_text("ACTIVATION = 'tanh'\nBROKEN = []\n")
    with pytest.raises(RunError, match=r"blocks\.py has changed"):
        extend(run, "+1")
    assert (run / "sweep.yaml").read_text() == before
    assert extend(run, "+1", mixed_code=True) == 2
    assert hpc.resume(run, mixed_code=True).is_good
    table = results.table(run)
    assert len(set(table.code)) == 2
    assert "model" not in table  # of the user's file there is one, whatever folder records say


@pytest.mark.slow
def test_an_empty_neighbour_that_gets_code_is_another_code(tmp_path: Path) -> None:
    net = FILES["net.py"].replace("blocks.BROKEN", "[]").replace("blocks.ACTIVATION", "'relu'")
    files = {"blocks.py": "", "net.py": net}
    sweep, run = project(tmp_path / "first", **files), tmp_path / "run"
    assert hpc.run(sweep, on="debug", folder=run).is_good
    (tmp_path / "first" / "blocks.py").write_text("ACTIVATION = 'tanh'\n")
    with pytest.raises(RunError, match=r"blocks\.py is new since they were trained"):
        hpc.run(sweep, on="debug", folder=run)
