"""What is wrong with a sweep is told before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sweeps
from jobs.check import check, code_digest
from sweeps import SweepError

ENTRIES: dict[str, Any] = {
    "name": "x",
    "model": "mlp",
    "data": "digits",
    "space": {"hidden_size": [32, 64], "dropout": [0.0, 0.5]},
    "fixed": {"epochs": 5},
    "objective": "val_accuracy",
}

MODEL = '''
import tensorflow  # never imported before a worker starts
import nothing_of_that_name

def build(input_shape, num_classes, units: int = 64, rate: float = 0.0, kind="a"):
    """A model."""

def needy(input_shape, units):
    """A model that needs units."""

def generous(input_shape, **more):
    """A model that takes anything."""
'''


def problems(folder: Path, changes: dict[str, Any], ranks: int = 1) -> str:
    """What is said of the sweep with these entries changed; empty if it is right."""
    try:
        check(sweeps.parse({**ENTRIES, **changes}, folder), ranks)
    except SweepError as error:
        return str(error)
    return ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a project"
    folder.mkdir()
    (folder / "net.py").write_text(MODEL)
    (folder / "broken.py").write_text("def build(:\n")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "package" / "module.py").write_text(MODEL)
    return folder


RIGHT: list[dict[str, Any]] = [
    {},
    {"space": {"hidden_size": [[64, 32], 128]}},
    {"space": {"hidden_size": {"low": 8, "high": 64}}, "search": {"method": "random", "trials": 3}},
    {"space": {"dropout": {"low": 0.0, "high": 0.5}}, "search": {"method": "random", "trials": 3}},
    {"space": {"optimizer": ["sgd", "adam"]}, "fixed": {"momentum": 0.9}},
    {"objective": "val_r2_score", "fixed": {"metrics": ["r2_score"]}},
    {"model": "net.py:build", "space": {"units": [8], "rate": [0, 0.5]}},
    {"model": "package.module:build", "space": {"units": [8]}},
    {"model": "net.py:build", "space": {"kind": {"low": 1, "high": 9}},
     "search": {"method": "random", "trials": 3}},
    {"model": "net.py:generous", "space": {"anything": [1]}},
    {"model": "net.py:nothing_of_that_name", "space": {"anything": [1]}},
    {"data": {"name": "digits", "train": 100}},
]  # fmt: skip


@pytest.mark.parametrize("changes", RIGHT, ids=str)
def test_a_right_sweep_passes(folder: Path, changes: dict[str, Any]) -> None:
    assert problems(folder, changes) == ""


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"model": "mpl"}, ["model: there is no model 'mpl'", 'did you mean "mlp"?', "file.py:function"]),
    ({"data": "digit"}, ["data: there is no dataset 'digit'", 'did you mean "digits"?', "mnist"]),
    ({"data": {"name": "digits", "trian": 5}}, ["data.trian: is no option of digits", '"train"']),
    ({"data": {"name": "digits", "train": 0}}, ["data.train: 0 is not a number of samples, at least 1"]),
    ({"space": {"hiden_size": [3]}}, ["space.hiden_size: is a parameter neither of the model mlp nor of the "
                                      'training (did you mean "hidden_size"?)']),
    ({"space": {"dropout": [0.5, -0.1]}}, ["space.dropout[1]: -0.1 is not a number from 0 up to"]),
    ({"space": {"dropout": [1]}}, ["space.dropout[0]: 1 is not a number from 0 up to, but not including, 1"]),
    ({"fixed": {"dropout": 1.5}, "space": {}}, ["fixed.dropout: 1.5 is not a number from 0 up to"]),
    ({"space": {"dropout": {"low": 0.0, "high": 1.0}}, "search": {"method": "random", "trials": 2}},
     ["space.dropout: 1.0 is not"]),
    ({"space": {"l2": {"low": 0, "high": 1}}, "search": {"method": "random", "trials": 2}},
     ["space.l2: low=0, high=1 draws whole numbers only", "low: 0.0, high: 1.0"]),
    ({"space": {"hidden_size": {"low": 8.0, "high": 64.0}}, "search": {"method": "random", "trials": 2}},
     ["space.hidden_size: 8.0 is not a whole number of at least 1"]),
    ({"space": {"hidden_size": [0]}}, ["space.hidden_size[0]: 0 is not a whole number of at least 1"]),
    ({"space": {"hidden_size": [[8, 0]]}}, ["space.hidden_size[0]: [8, 0] is not a whole number"]),
    ({"space": {"depth": [1, 2], "hidden_size": [[8, 8]]}}, ["model: depth=1 stands beside "
                                                             "hidden_size=[8, 8]"]),
    ({"fixed": {"optimizer": "adm"}}, ["fixed.optimizer: 'adm' is not one of sgd", 'did you mean "adam"?']),
    ({"fixed": {"activation": "rleu"}}, ["fixed.activation: 'rleu' is not one of relu", '"relu"']),
    ({"fixed": {"epochs": 0}}, ["fixed.epochs: 0 is not a whole number of at least 1"]),
    ({"fixed": {"epochs": 2.5}}, ["fixed.epochs: 2.5 is not a whole number"]),
    ({"fixed": {"epochs": "ten"}}, ["fixed.epochs: 'ten' is not a whole number"]),
    ({"fixed": {"learning_rate": 0}}, ["fixed.learning_rate: 0 is not a number above 0"]),
    ({"fixed": {"momentum": 0.9}}, ["fixed.momentum: adam takes no momentum; sgd and rmsprop do"]),
    ({"fixed": {"input_shape": 3}}, ["fixed.input_shape: is decided by the data"]),
    ({"objective": "val_acuracy"}, ["objective.metric: no metric 'val_acuracy' is recorded",
                                    'did you mean "val_accuracy"?']),
    ({"objective": "val_accuracy", "fixed": {"metrics": ["auc"]}}, ["no metric 'val_accuracy' is recorded"]),
    ({"model": "ned.py:build"}, ["there is no file", 'did you mean "net.py"?']),
    ({"model": "net.py:biuld"}, ["there is no function 'biuld' in", 'did you mean "build"?']),
    ({"model": "broken.py:build"}, ["broken.py, line 1: "]),
    ({"model": "net.py"}, ["there is no model 'net.py'", "file.py:function"]),
    ({"model": "no_such_package.module:build"}, ["there is no module 'no_such_package.module'"]),
    ({"model": "package.modul:build"}, ["there is no module 'package.modul' ('modul' is not found)"]),
    ({"model": "net.py:build", "space": {"units": [8.5]}}, ["space.units[0]: 8.5 is not a whole number"]),
    ({"model": "net.py:build", "space": {"unit": [8]}}, ["space.unit: is a parameter neither", '"units"']),
    ({"model": "net.py:needy", "space": {}}, ["model: net.py:needy needs units"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), WRONG, ids=[str(changes) for changes, _ in WRONG])
def test_a_wrong_sweep_is_answered(folder: Path, changes: dict[str, Any], said: list[str]) -> None:
    found = problems(folder, changes)
    for words in said:
        assert words in found


def test_a_missing_mnist_is_told_where_its_folder_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_DATA", str(folder))
    assert "the folder that HPC_DATA names" in problems(folder, {"data": "mnist"})
    said = problems(folder, {"data": {"name": "mnist", "folder": "/nonexistent"}})
    assert "there is no mnist.npz in /nonexistent, the folder that data.folder names" in said


def test_a_batch_must_have_a_sample_for_every_rank(folder: Path) -> None:
    changes = {"fixed": {"batch_size": 2}}
    assert "fixed.batch_size: 2 samples can't be shared by 3 ranks" in problems(folder, changes, ranks=3)
    assert problems(folder, changes, ranks=2) == ""


def test_objectives_of_a_model_that_compiles_itself_are_left_to_the_worker(folder: Path) -> None:
    changes = {"model": "net.py:build", "objective": "val_own", "space": {}}
    assert "no metric 'val_own'" in problems(folder, changes)
    (folder / "net.py").write_text(MODEL + "\n    model.compile(metrics=[own])\n")
    assert problems(folder, changes) == ""


def test_a_problem_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nmodel: mlp\ndata: digits\nspace:\n  dropout:\n    - 0.1\n    - 1.0\n")
    with pytest.raises(SweepError, match=r"a\.yaml, line 7: space\.dropout\[1\]: 1\.0 is not"):
        check(sweeps.load(path), 1)


def test_defaults_are_filled_in_and_kept() -> None:
    sweep = check(sweeps.parse(ENTRIES), 1)
    assert sweep.defaults["batch_size"] == 32
    assert sweep.defaults["activation"] == "relu"
    assert not {"epochs", "dropout", "hidden_size"} & sweep.defaults.keys()
    older = sweeps.parse({**ENTRIES, "defaults": {"batch_size": 16}})
    assert check(older, 1).defaults == {"batch_size": 16}
    assert [t.trial_id for t in older.trials] == [t.trial_id for t in sweep.trials]


def test_a_change_of_the_users_code_is_noticed(folder: Path) -> None:
    sweep = sweeps.parse({**ENTRIES, "model": "net.py:build", "space": {}}, folder)
    before = code_digest(sweep)
    (folder / "net.py").write_text(MODEL + "\n# changed\n")
    assert code_digest(sweep) != before
    assert code_digest(sweeps.parse(ENTRIES)) == ""
