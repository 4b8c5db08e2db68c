"""What is wrong with a sweep is told before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.jobs.arguments import arguments
from hpc.jobs.check import check, digest
from hpc.jobs.references import data_of, function_options, split_options_of
from hpc.jobs.user_files import Sources
from hpc.models import SplitOptions, signature_of
from hpc.sweeps import SweepError

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

def sizes(input_shape, kernel=(3, 3), names={"a"}, code=b"x", known=[1, "b"], group={"of": [(1,)]}):
    """A model whose defaults YAML does not give back as they were."""

def load(kind: str, stratify="by size"):
    """A dataset with an option that others have, too."""

def loads(**more):
    """A dataset that takes anything."""
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
    {"data": {"name": "digits", "test_split": 0.3, "validation_split": 0.1, "split_seed": 42,
              "stratify": False, "train": 9, "validation": 9, "test": 9}},
    {"data": {"name": "moons", "n_samples": 50, "noise": 0.1, "validation_split": 0.5}},
    {"data": {"name": "net.py:load", "kind": "a", "test_split": 0.3}},
    {"data": {"name": "net.py:load", "kind": "a", "stratify": "by colour"}},
    {"data": {"name": "net.py:loads", "anything": 1, "train": 5}},
    {"data": {"name": "digits", "validation_split": 0}, "objective": "accuracy"},
    {"data": {"name": "digits", "validation_split": 0}, "folds": 4},
    {"fixed": {"epochs": 0}},
    {"fixed": {"batch_size": 1}},
    {"fixed": {"batch_size": "full", "validation_freq": 10, "scale": "standard", "dtype": "float64"}},
    {"space": {"batch_size": [32, "full"], "schedule": ["constant", "cosine"]},
     "fixed": {"warmup_epochs": 2}},
    {"space": {"initial_weights": [[[[1, 2]], [0, 0]], [[[3, 4]], [0, 0]]]}},
    {"fixed": {"metrics": ["label_ranking_average_precision"]},
     "objective": "val_label_ranking_average_precision"},
    {"baselines": ["knn", {"model": "knn", "n_neighbors": 3, "scale": "minmax"}, {"model": "svm", "C": 10}]},
    {"baselines": [{"model": "net.py:build", "units": 3}, {"model": "net.py:generous", "anything": 3}]},
    {"model": "knn", "space": {"n_neighbors": [1, 3]},
     "fixed": {"scale": "standard", "metrics": ["accuracy"]}},
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
    ({"fixed": {"epochs": -1}}, ["fixed.epochs: -1 is not a whole number of at least 0"]),
    ({"fixed": {"epochs": 2.5}}, ["fixed.epochs: 2.5 is not a whole number"]),
    ({"fixed": {"epochs": "ten"}}, ["fixed.epochs: 'ten' is not a whole number"]),
    ({"fixed": {"learning_rate": 0}}, ["fixed.learning_rate: 0 is not a number above 0"]),
    ({"fixed": {"momentum": 0.9}}, ["fixed.momentum: adam takes no momentum; sgd and rmsprop do"]),
    ({"fixed": {"input_shape": 3}}, ["fixed.input_shape: is decided by the data"]),
    ({"objective": "val_acuracy"}, ["objective: whether less or more of val_acuracy", '"val_accuracy"?']),
    ({"objective": {"metric": "val_acuracy", "mode": "max"}},
     ["objective.metric: no metric 'val_acuracy' is recorded", 'did you mean "val_accuracy"?']),
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
    ({"fixed": {"batch_size": "half"}},
     ["fixed.batch_size: 'half' is not a whole number of at least 1, or full"]),
    ({"fixed": {"batch_size": 0}}, ["fixed.batch_size: 0 is not a whole number of at least 1, or full"]),
    ({"fixed": {"validation_freq": 0}}, ["fixed.validation_freq: 0 is not a whole number of at least 1"]),
    ({"fixed": {"scale": "standrd"}}, ["fixed.scale: 'standrd' is not one of none, standard, minmax, center",
                                       'did you mean "standard"?']),
    ({"fixed": {"dtype": "float16"}}, ["fixed.dtype: 'float16' is not one of float32, float64"]),
    ({"fixed": {"warmup_epochs": 2}}, ["fixed.warmup_epochs: goes with schedule: cosine only"]),
    ({"space": {"warmup_epochs": [0, 2]}}, ["space.warmup_epochs: goes with schedule: cosine only"]),
    ({"fixed": {"metrics": ["accuracy", "lrap"]}}, ["fixed.metrics:", "label_ranking_average_precision"]),
    ({"objective": "test_accuracy"}, ["objective.metric: test_accuracy is measured once, when a trial has "
                                      "ended, and never chosen by; write val_accuracy"]),
    ({"data": {"name": "digits", "validation_split": 0}},
     ["objective.metric: there is no val_accuracy: data.validation_split=0 leaves nothing for validation",
      "judge by accuracy, of the training, or give folds"]),
    ({"data": {"name": "mnist", "held_out": 0}},
     ["there is no val_accuracy: data.held_out=0 leaves nothing"]),
    ({"data": {"name": "digits", "validation_split": 1.5}},
     ["data.validation_split: 1.5 is not a share from 0"]),
    ({"data": {"name": "digits", "test_split": 1}},
     ["data.test_split: 1 is not a share from 0 up to, but not "
                                                     "including, 1"]),
    ({"data": {"name": "digits", "split_sed": 1}}, ["data.split_sed: is no option of digits",
                                                    'did you mean "split_seed"?']),
    ({"data": {"name": "moons", "nois": 1}}, ["data.nois: is no option of moons", 'did you mean "noise"?']),
    ({"data": {"name": "mnist", "test_split": 0.1}},
     ["data.test_split: is of no effect: mnist comes split"]),
    ({"data": {"name": "net.py:load"}}, ["data: net.py:load needs the option kind"]),
    ({"data": {"name": "net.py:load", "kind": 3}}, ["data.kind: 3 is not a word"]),
    ({"data": {"name": "net.py:loads", "train": 0}},
     ["data.train: 0 is not a number of samples, at least 1"]),
    ({"model": "knn", "space": {"n_neighbors": [1, 3]}, "fixed": {"epochs": 5, "optimizer": "sgd"}},
     ["fixed.epochs: is of no effect: knn is not trained in steps", "fixed.optimizer: is of no effect"]),
    ({"model": "knn", "space": {"learning_rate": [0.1]}, "fixed": {}},
     ["space.learning_rate: is of no effect"]),
    ({"baselines": ["kn"]}, ["baselines[0].model: there is no model 'kn'", 'did you mean "knn"?']),
    ({"baselines": ["net.py:forest"]}, ["baselines[0].model: there is no function 'forest'"]),
    ({"baselines": ["svm", {"model": "knn", "n_neigbors": 3}]},
     ["baselines[1].n_neigbors: is no parameter of knn", 'did you mean "n_neighbors"?',
      "there are n_neighbors, weights, scale, loss, metrics, dtype"]),
    ({"baselines": [{"model": "knn", "n_neighbors": 0}]},
     ["baselines[0].n_neighbors: 0 is not a whole number of at least 1"]),
    ({"baselines": [{"model": "knn", "epochs": 3}]}, ["baselines[0].epochs: is no parameter of knn"]),
    ({"baselines": [{"model": "knn", "num_classes": 3}]},
     ["baselines[0].num_classes: is no parameter of knn"]),
    ({"baselines": [{"model": "knn", "scale": "log"}]}, ["baselines[0].scale: 'log' is not one of none"]),
    ({"baselines": [{"model": "net.py:build", "units": 2.5}]},
     ["baselines[0].units: 2.5 is not a whole number"]),
    ({"baselines": ["net.py:needy"]}, ["baselines[0]: net.py:needy needs units; write {model: net.py:needy, "
                                       "units: …}"]),
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


def test_a_batch_may_have_fewer_samples_than_there_are_ranks(folder: Path) -> None:
    """That two ranks then do what one does, tests/jobs/test_ranks.py shows."""
    assert problems(folder, {"fixed": {"batch_size": 2}}, ranks=3) == ""


def test_objectives_of_a_model_that_compiles_itself_are_left_to_the_worker(folder: Path) -> None:
    changes = {"model": "net.py:build", "objective": {"metric": "val_own", "mode": "max"}, "space": {}}
    assert "no metric 'val_own'" in problems(folder, changes)
    (folder / "net.py").write_text(MODEL + "\n    model.compile(metrics=[own])\n")
    assert problems(folder, changes) == ""


def test_a_problem_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nmodel: mlp\ndata: digits\nspace:\n  dropout:\n    - 0.1\n    - 1.0\n")
    with pytest.raises(SweepError, match=r"a\.yaml, line 7: space\.dropout\[1\]: 1\.0 is not"):
        check(sweeps.load(path), 1)


def test_a_default_that_yaml_would_change_stays_with_the_function(folder: Path) -> None:
    sweep = check(sweeps.parse({**ENTRIES, "model": "net.py:sizes", "space": {}}, folder), 1)
    assert sweep.defaults["known"] == [1, "b"]
    assert not {"kernel", "names", "code", "group"} & sweep.defaults.keys()
    assert len(digest(sweep)) == 64


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
    before = Sources.of(sweep).digest
    (folder / "net.py").write_text(MODEL + "\n# changed\n")
    assert Sources.of(sweep).digest != before
    assert Sources.of(sweeps.parse(ENTRIES)).digest == ""


def test_a_change_of_a_baselines_code_is_noticed(folder: Path) -> None:
    sweep = sweeps.parse({**ENTRIES, "baselines": ["net.py:build"]}, folder)
    before = Sources.of(sweep).digest
    assert before
    (folder / "net.py").write_text(MODEL + "\n# changed\n")
    assert Sources.of(sweep).digest != before


TABLE = "length,width,kind\n" + "1.5,2,a\n2.5,3,b\n" * 10


def test_a_file_of_data_is_looked_for_beside_the_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lab").mkdir()
    (folder / "lab" / "my table.csv").write_text(TABLE)
    (folder / "sweep.yaml").write_text(
        "name: x\nmodel: mlp\ndata: {name: lab/my table.csv, target: kind, test_split: 0.2}\n"
        "objective: val_accuracy\n"
    )
    monkeypatch.chdir("/")
    sweep = check(sweeps.load(folder / "sweep.yaml"), 1)
    assert sweep.entries()["data"]["name"] == f"{folder}/lab/my table.csv"
    x, y = data_of(sweep).resolve()(**function_options(sweep))
    assert (x.shape, y.tolist()) == ((20, 2), [0, 1] * 10)
    assert split_options_of(sweep).model_dump(exclude_unset=True) == {"test_split": 0.2}
    # wherever the run is, and wherever the project is moved to
    (folder / "runs").mkdir()
    (folder / "runs" / "sweep.yaml").write_text(sweep.as_yaml())
    stored = check(sweeps.load_stored(folder / "runs" / "sweep.yaml"), 1)
    assert data_of(stored).source() == folder / "lab" / "my table.csv"
    assert stored.trials == sweep.trials
    assert sweep.differences(stored) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("tabel.csv", ["data: there is no file", 'tabel.csv (did you mean "table.csv"?)']),
        ({"name": "table.csv", "target": "knd"}, ["data: target: there is no column 'knd'", '"kind"?']),
        ({"name": "table.csv", "taget": "kind"}, ["data.taget: is no option of table.csv", '"target"']),
        ({"name": "table.csv", "path": "x"}, ["data.path: is no option of table.csv"]),
        ({"name": "table.csv", "classes": 3}, ["data.classes: 3 is not auto, true or false"]),
        ({"name": "table.csv", "test_split": 2}, ["data.test_split: 2 is not a share"]),
        ("table.txt", ["data: there is no dataset 'table.txt'", "or a file .csv, or a file .npz"]),
    ],
)
def test_a_wrong_file_of_data_is_answered(folder: Path, data: Any, said: list[str]) -> None:
    (folder / "table.csv").write_text(TABLE)
    found = problems(folder, {"data": data})
    for words in said:
        assert words in found


def test_a_change_of_the_users_data_is_noticed(folder: Path) -> None:
    (folder / "table.csv").write_text(TABLE)
    sweep = sweeps.parse({**ENTRIES, "data": "table.csv"}, folder)
    before = Sources.of(sweep).digest
    assert before
    (folder / "table.csv").write_text(TABLE + "1,1,a\n")
    assert Sources.of(sweep).digest != before


def test_options_go_to_the_datasets_function_or_to_its_division(folder: Path) -> None:
    data = {"name": "net.py:load", "kind": "a", "stratify": "by colour", "train": 5, "test_split": 0.1}
    sweep = sweeps.parse({**ENTRIES, "data": data}, folder)
    assert function_options(sweep) == {"kind": "a", "stratify": "by colour"}
    assert split_options_of(sweep) == SplitOptions(train=5, test_split=0.1)


@pytest.mark.parametrize(
    "path", sorted(Path(sweeps.__file__).parent.rglob("*.yaml")), ids=lambda path: str(path.stem)
)
def test_every_ready_made_sweep_is_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPC_DATA", raising=False)  # where MNIST is found or not is told elsewhere
    check(sweeps.load(path), 1)


def test_a_small_file_of_data_is_read_before_anything_is_submitted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a larger one only the names of its columns are."""
    (folder / "prices.csv").write_text("a,price\n" + "1,0.5\n" * 5 + "1,?\n")
    np.savez(folder / "waves.npz", x=np.zeros((4, 2)) + 1j, y=[0, 1, 0, 1])
    np.savez(folder / "prices.npz", x=np.zeros((4, 2)), y=[100_000, 200_000, 150_000, 150_001])
    for data, said in (
        ({"name": "prices.csv", "train": 3}, "the target 'price' holds numbers, but text in line 7 ('?')"),
        ({"name": "waves.npz", "test_split": 0.5}, "x holds complex numbers"),
        (
            {"name": "prices.npz"},
            "the targets are whole numbers from 100000 to 200000, 4 different ones in 4",
        ),
    ):
        assert said in problems(folder, {"data": data, "objective": "val_loss"})
    assert not problems(folder, {"data": {"name": "prices.csv", "classes": True}})
    assert not problems(folder, {"data": {"name": "prices.npz", "classes": False}, "objective": "val_loss"})
    monkeypatch.setattr("hpc.jobs.rules.MAX_READ", 10)
    assert not problems(folder, {"data": "prices.csv"})


def test_what_targets_are_taken_for_decides_which_metrics_there_are(folder: Path) -> None:
    numbers = {"data": {"name": "digits", "classes": False}}
    assert not problems(folder, {**numbers, "objective": "val_mean_absolute_error"})
    assert "no metric 'val_accuracy' is recorded" in problems(
        folder, {**numbers, "objective": "val_accuracy"}
    )
    own = {"data": {"name": "net.py:loads", "classes": False}}
    assert "no metric 'val_accuracy' is recorded" in problems(folder, {**own, "objective": "val_accuracy"})


def test_classes_of_a_file_mean_the_same_to_its_reader_and_to_the_dataset(folder: Path) -> None:
    (folder / "names.csv").write_text("a,name\n" + "".join(f"1,n{i}\n" for i in range(150)))
    sweep = sweeps.parse({**ENTRIES, "data": {"name": "names.csv", "classes": True}}, folder)
    assert split_options_of(sweep).classes is function_options(sweep)["classes"] is True


def test_metrics_of_classes_are_refused_where_numbers_are_to_be_predicted(folder: Path) -> None:
    entries = {"data": "regression", "objective": "val_loss", "fixed": {"metrics": ["r2_score", "auc"]}}
    assert "fixed.metrics: auc is of classes, but regression has numbers to pred" in problems(folder, entries)
    assert not problems(folder, {**entries, "fixed": {"metrics": ["r2_score"]}})


def test_what_a_function_does_with_its_lists_is_no_matter_of_the_next_trial(folder: Path) -> None:
    def build(hidden: Any, kinds: Any = None, first: Any = None) -> None:
        hidden.pop()
        kinds[0].clear()
        first.append(2)

    entries = {**ENTRIES, "model": "net.py:generous", "data": {"name": "net.py:loads", "parts": {"a": [1]}},
               "space": {"hidden": [[64, 32], [16]], "learning_rate": [0.1, 0.2]}}  # fmt: skip
    sweep = sweeps.parse({**entries, "fixed": {"kinds": [[1]]}, "defaults": {"first": [1]}}, folder)
    first = sweep.trials[0]
    for _ in range(2):
        taken = arguments(signature_of(build), sweep, first)
        assert taken == {"hidden": [64, 32], "kinds": [[1]], "first": [1]}
        build(**taken)
        options = function_options(sweep)
        assert options == {"parts": {"a": [1]}}
        options["parts"]["a"].append(2)
    assert first.params["hidden"] == [64, 32]
    assert sweep.entries()["data"]["parts"] == {"a": [1]}


def test_a_sweep_stays_as_it_was_parsed_whatever_becomes_of_the_lists_it_was_made_of(folder: Path) -> None:
    sizes = [[64, 32]]
    sweep = sweeps.parse({**ENTRIES, "space": {"hidden_size": sizes}}, folder)
    sizes[0].pop()
    assert sweep.trials[0].params["hidden_size"] == [64, 32]
