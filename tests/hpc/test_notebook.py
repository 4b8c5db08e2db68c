"""Functions and arrays of a notebook as the training of a sweep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpc
from hpc import sweeps
from hpc.fingerprint import fingerprint
from hpc.notebook import sweep_of, with_objects
from hpc.request import RunRequest
from hpc.results import Run, RunError
from hpc.sweeps import SweepError
from tests.conftest import environment

CELLS = """
import sys, json
import numpy as np
import hpc
from hpc.fingerprint import fingerprint

SCALE = {scale}
WORDS = {{"a", "b", "c"}}

class Shift:
    by = 1
    def __call__(self, value):
        return value + self.by

def scaled(value):
    return value * SCALE

def train(x, y=2, *, trial, shift=Shift()):
    trial.report(1, loss=shift(scaled(x)) + y if "a" in WORDS else 0.0)

"""
RUN = (
    CELLS
    + """
done = hpc.run(
    {{"name": "n", "train": train, "space": {{"x": [1, 2]}}, "objective": "loss"}}, folder="r", workers=1
)
print(json.dumps([done.is_good, fingerprint(train)]))
"""
)
SEARCH: dict[str, Any] = {"name": "n", "space": {"x": [1, 2]}, "objective": "loss"}


def carried_out(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """As the kernel of a notebook: its functions are those of ``__main__``."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_function_of_a_notebook_trains_and_goes_on_in_another_kernel(tmp_path: Path) -> None:
    first = carried_out(tmp_path, RUN.format(scale=10))
    assert first.returncode == 0, first.stderr
    is_good, digest = json.loads(first.stdout.splitlines()[-1])
    assert is_good
    losses = {
        trial.params["x"]: trial.attempt.metrics["loss"] for trial in Run(tmp_path / "r").trials.values()
    }
    assert losses == {1: 13.0, 2: 23.0}
    again = carried_out(tmp_path, "\n\n\n" + RUN.format(scale=10))  # elsewhere in the notebook
    assert json.loads(again.stdout.splitlines()[-1]) == [True, digest]
    other = carried_out(tmp_path, RUN.format(scale=11))
    assert "has trials of other code or data" in other.stderr
    assert Run(tmp_path / "r").counts()["finished"] == 2
    assert (tmp_path / "r" / "objects" / digest[:12] / "train.pickle").stat().st_mode & 0o777 == 0o600


def test_a_function_is_told_by_a_file_that_takes_what_it_takes(tmp_path: Path) -> None:
    default = object()

    def train(x: int, rate: float = 0.5, other: Any = default, **rest: Any) -> Any:
        return x, rate, other, rest

    sweep = with_objects({**SEARCH, "train": train}, tmp_path)
    path, _, name = sweep.train.rpartition(":")
    assert name == "train"
    text = Path(path).read_text()
    assert "def train(*, x, rate=0.5, other=_ITS_OWN, **rest):" in text


def test_settings_that_it_can_not_take_are_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r'is no argument of .*did you mean "rate"'):
        hpc.run({**SEARCH, "train": lambda rate: rate, "space": {"rat": [1]}}, folder=tmp_path / "r")


def test_arrays_are_data(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    entries = {**SEARCH, "model": "mlp", "space": {"hidden_size": [2]}}
    sweep = with_objects({**entries, "data": (x, y)}, tmp_path)
    with np.load(sweep.data["name"]) as found:
        np.testing.assert_array_equal(found["x"], x)
        np.testing.assert_array_equal(found["y"], y)
    parts = {"train": (x, y), "test": (x[:2], y[:2])}
    split = with_objects({**entries, "data": parts}, tmp_path)
    with np.load(split.data["name"]) as found:
        assert sorted(found) == ["x_test", "x_train", "y_test", "y_train"]
    assert len({trial.trial_id for one in (sweep, split) for trial in one.trials}) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((3, 2)), "data: ndarray is no pair"),
        ((np.zeros(3), np.array([object()] * 3)), "data: y holds Python objects"),
        ((1, 2, 3), "data: tuple is no pair"),
    ],
)
def test_other_data_are_refused(tmp_path: Path, data: object, said: str) -> None:
    with pytest.raises(SweepError, match=said):
        with_objects({**SEARCH, "model": "mlp", "data": data}, tmp_path)


def test_a_function_that_can_not_be_handed_on_is_told(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:

        def write(x: int) -> int:
            return file.write(str(x))

        said = r"train: write can't be handed to workers: .*put it into a file"
        with pytest.raises(SweepError, match=said):
            with_objects({**SEARCH, "train": write}, tmp_path / "r")


def test_objects_are_written_into_no_folder_of_somebody_else_s(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("1")
    with pytest.raises(RunError, match="neither empty nor the folder of a run"):
        sweep_of({**SEARCH, "train": lambda x: x}, RunRequest(folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_entries_without_objects_are_those_of_a_file(tmp_path: Path) -> None:
    entries = {**SEARCH, "model": "mlp", "data": "digits", "space": {"hidden_size": [2]}}
    assert sweep_of(entries, RunRequest(folder=tmp_path / "r")).trials == sweeps.parse(entries).trials
    assert not (tmp_path / "r").exists()


def one(a: int) -> int:
    return a + 1


def test_what_a_function_does_decides_its_fingerprint() -> None:
    def made(by: int, text: str = "a") -> Any:
        def inner(x: int) -> int:
            return x + by + len(text) + len({"p", "q", "r"})

        return inner

    assert fingerprint(made(1)) == fingerprint(made(1))
    values = [made(1), made(2), made(1, "bc"), one, made, lambda x: x, lambda x: x + 1]
    values += [np.zeros(2), np.ones(2)]
    assert len({fingerprint(value) for value in values}) == len(values)

    class Again:
        def me(self) -> type[Again]:
            return Again

    assert fingerprint(Again) == fingerprint(Again)
