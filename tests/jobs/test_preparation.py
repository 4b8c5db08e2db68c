"""The data of a trial: folds and scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.jobs.data.loose import Part
from hpc.jobs.data.preparation import Preparation, Scaling, fit, fold
from hpc.models import Array, Dataset, ModelError, Split
from hpc.sweeps import Folds, Sweep

DATA = '''
import numpy as np

RANDOM = np.random.default_rng(0)
X = RANDOM.normal([3.0, -50.0, 1e3], [2.0, 0.5, 100.0], (90, 3))
X[:, 0] = np.arange(90)  # by which samples are told apart
Y = np.arange(90) % 3

def whole():
    return X, Y

def numbers():
    return X, X[:, 1]

def parts(spoil=0.0):
    """What is not for training can be moved."""
    return {
        "train": (X[:50], Y[:50]),
        "validation": (X[50:70] + spoil, Y[50:70]),
        "test": (X[70:] * (1 + spoil), Y[70:]),
    }

def images():
    pixels = RANDOM.integers(0, 256, (30, 2, 2)).astype(np.uint8)
    pixels[:, 0, 0] = 7
    return pixels, Y[:30]
'''
GROUPED = Folds(n_splits=4)


def prepared(folder: Path, data: dict[str, Any], **further: Any) -> tuple[Preparation, Sweep]:
    (folder / "my data.py").write_text(DATA)
    data = {**data, "name": f"my data.py:{data['name']}"}
    sweep = sweeps.parse({"name": "x", "model": "mlp", "data": data, **further}, folder)
    return Preparation(sweep), sweep


def rows(split: Split | Part | None) -> list[float]:
    """Which samples those are, unscaled."""
    assert split is not None
    return [float(value) for value in split.x[:, 0]]


# Folds


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("test_split", [0.0, 0.3])
def test_folds_are_those_of_scikit_learn_and_leave_the_test_part_alone(
    tmp_path: Path, shuffle: bool, stratify: bool, test_split: float
) -> None:
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

    folds = {"n_splits": 4, "shuffle": shuffle, "stratify": stratify}
    data = {"name": "whole", "test_split": test_split, "split_seed": 42, "stratify": False}
    preparation, sweep = prepared(tmp_path, data, folds=folds)
    x, y, test = np.arange(90.0), np.arange(90) % 3, None
    if test_split:
        x, test, y, _ = train_test_split(x, y, test_size=test_split, random_state=42)
    splitter = (StratifiedKFold if stratify else KFold)(
        4, shuffle=shuffle, random_state=0 if shuffle else None
    )
    wanted = list(splitter.split(x, y))
    assert len(sweep.trials) == 4
    for trial in sweep.trials:
        assert trial.fold is not None
        found = preparation.of(trial, "none").data
        rest, left_out = wanted[trial.fold]
        assert rows(found.train) == x[rest].tolist()
        assert rows(found.validation) == x[left_out].tolist()
        assert found.train.y.tolist() == y[rest].tolist()
        assert (rows(found.test) if found.test else None) == (None if test is None else test.tolist())
        assert found.num_classes == 3


def test_what_comes_in_parts_is_folded_over_training_and_validation_together(tmp_path: Path) -> None:
    preparation, sweep = prepared(tmp_path, {"name": "parts"}, folds=7)
    for trial in sweep.trials:
        data = preparation.of(trial, "none").data
        assert trial.fold is not None
        assert rows(data.validation) == list(range(10 * trial.fold, 10 * trial.fold + 10))
        assert sorted(rows(data.train) + rows(data.validation)) == list(range(70))
        assert rows(data.test) == list(range(70, 90))


def test_samples_are_left_out_before_they_are_folded(tmp_path: Path) -> None:
    preparation, sweep = prepared(
        tmp_path, {"name": "parts", "train": 6, "validation": 2, "test": 1}, folds=4
    )
    found = [preparation.of(trial, "none").data for trial in sweep.trials]
    assert [rows(data.validation) for data in found] == [[0, 1], [2, 3], [4, 5], [50, 51]]
    assert [rows(data.test) for data in found] == [[70]] * 4


def test_without_folds_validation_is_what_it_is(tmp_path: Path) -> None:
    preparation, sweep = prepared(tmp_path, {"name": "parts"})
    data = preparation.of(sweep.trials[0], "none").data
    assert [len(part) for part in data.parts().values()] == [50, 20, 20]


@pytest.mark.parametrize(
    ("data", "folds", "said"),
    [
        (
            {"name": "parts", "train": 2, "validation": 1},
            4,
            "can't be split into 4 folds: .* number of splits",
        ),
        ({"name": "whole"}, {"n_splits": 31, "stratify": True}, "can't be split into 31 folds: .* members"),
        (
            {"name": "numbers"},
            {"n_splits": 3, "stratify": True},
            "can't be split into 3 folds: .* Got 'continuous'",
        ),
    ],
)
def test_folds_that_can_not_be_had_are_answered(
    tmp_path: Path, data: dict[str, Any], folds: Any, said: str
) -> None:
    preparation, sweep = prepared(tmp_path, data, folds=folds)
    with pytest.raises(ModelError, match=f"the dataset my data.py:{data['name']} {said}"):
        preparation.of(sweep.trials[0], "none")


def test_a_fold_by_itself() -> None:
    split = Split(np.arange(8.0)[:, None], np.arange(8))
    data = fold(Dataset(split, None, 8, split), GROUPED, 1)
    assert (rows(data.train), rows(data.validation)) == ([0, 1, 4, 5, 6, 7], [2, 3])
    assert data.test is split


# Scaling


def by_hand(x: Array, scale: str) -> tuple[Array, Array]:
    """The shift and the spread that a kind of scaling takes."""
    x = x.astype(np.float64)
    low, ones = x.min(axis=0), np.ones(x.shape[1:])
    ranges = x.max(axis=0) - low
    deviations = x.std(axis=0)
    return {
        "standard": (x.mean(axis=0), np.where(deviations == 0, 1, deviations)),
        "minmax": (low, np.where(ranges == 0, 1, ranges)),
        "center": (x.mean(axis=0), ones),
    }[scale]


@pytest.mark.parametrize("scale", ["standard", "minmax", "center"])
@pytest.mark.parametrize("data", ["parts", "images"])
def test_features_are_scaled_each_by_itself_by_what_the_training_samples_say(
    tmp_path: Path, scale: str, data: str
) -> None:
    preparation, sweep = prepared(tmp_path, {"name": data})
    raw = preparation.of(sweep.trials[0], "none").data
    found = preparation.of(sweep.trials[0], scale)
    shift, spread = by_hand(raw.train.x, scale)
    assert found.scaling is not None
    np.testing.assert_allclose(found.scaling.shift, shift, rtol=1e-12)
    np.testing.assert_allclose(found.scaling.spread, spread, rtol=1e-12)
    for name, part in found.data.parts().items():
        np.testing.assert_allclose(part.x, (raw.parts()[name].x - shift) / spread, rtol=1e-6, atol=1e-6)
        assert part.x.dtype == np.float32
        assert part.y is raw.parts()[name].y
    assert found.data.input_shape == raw.input_shape


def test_scaled_samples_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    preparation, sweep = prepared(tmp_path, {"name": "parts"})
    x = {
        scale: preparation.of(sweep.trials[0], scale).data.train.x
        for scale in ("standard", "minmax", "center")
    }
    np.testing.assert_allclose(x["standard"].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x["standard"].std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(x["minmax"].min(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x["minmax"].max(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(x["center"].mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("scale", ["standard", "minmax", "center"])
def test_samples_that_are_not_for_training_have_no_part_in_the_scaling(tmp_path: Path, scale: str) -> None:
    found = []
    for spoil in (0.0, 1e6):
        preparation, sweep = prepared(tmp_path, {"name": "parts", "spoil": spoil})
        found.append(preparation.of(sweep.trials[0], scale))
    (mine, other) = (each.scaling for each in found)
    assert mine is not None
    assert other is not None
    np.testing.assert_array_equal(mine.shift, other.shift)
    np.testing.assert_array_equal(mine.spread, other.spread)
    np.testing.assert_array_equal(found[0].data.train.x, found[1].data.train.x)
    for part in ("validation", "test"):
        assert (found[0].data.parts()[part].x != found[1].data.parts()[part].x).all()


def test_each_fold_is_scaled_by_its_own_training_samples(tmp_path: Path) -> None:
    preparation, sweep = prepared(tmp_path, {"name": "parts"}, folds=7)
    raw = [preparation.of(trial, "none").data for trial in sweep.trials]
    for trial, data in reversed(list(zip(sweep.trials, raw, strict=True))):
        for scale in ("minmax", "standard"):  # one after the other, as workers take trials
            scaling = preparation.of(trial, scale).scaling
            assert scaling is not None
            shift, spread = by_hand(data.train.x, scale)
            np.testing.assert_allclose(scaling.shift, shift, rtol=1e-12)
            np.testing.assert_allclose(scaling.spread, spread, rtol=1e-12)
    shifts = [by_hand(data.train.x, "standard")[0].tolist() for data in raw]
    assert len({tuple(shift) for shift in shifts}) == 7  # there is something to tell apart


def test_constant_features_are_only_shifted() -> None:
    x = np.array([[5.0, 1.0], [5.0, 2.0]])
    for scale in ("standard", "minmax", "center"):
        scaling = fit(x, scale)
        assert scaling is not None
        assert (scaling.shift[0], scaling.spread[0]) == (5, 1)
        assert scaling.apply(Split(np.array([[7.0, 1.0]]), np.zeros(1)), "float64").x[0, 0] == 2


def test_without_scaling_nothing_is_done(tmp_path: Path) -> None:
    assert fit(np.eye(2), "none") is None
    preparation, sweep = prepared(tmp_path, {"name": "images"})
    found = preparation.of(sweep.trials[0], "none")
    assert found.scaling is None
    assert found.data.train.x.dtype == np.uint8


@pytest.mark.parametrize(
    ("further", "dtype"),
    [
        ({}, "float32"),
        ({"fixed": {"dtype": "float64"}}, "float64"),
        ({"space": {"dtype": ["float32", "float64"]}}, "float64"),
    ],
)
def test_data_are_as_precise_as_the_most_precise_trial(
    tmp_path: Path, further: dict[str, Any], dtype: str
) -> None:
    preparation, sweep = prepared(tmp_path, {"name": "numbers"}, **further)
    assert preparation.dtype == dtype
    for scale in ("none", "standard"):
        data = preparation.of(sweep.trials[0], scale).data
        assert [data.train.x.dtype, data.train.y.dtype] == [np.dtype(dtype)] * 2


# The same as a layer, for models that are kept

UNITS = [1.0, 1e-12, 1e15, 0.3]


@pytest.mark.parametrize("scale", ["standard", "minmax", "center"])
@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 4, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_scale_as_the_training_samples_were_scaled(
    scale: str, shape: tuple[int, ...], dtype: str
) -> None:
    import keras

    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    x = np.random.default_rng(0).normal([2.0, -1.0, 0.0, 40.0], 1.0, (50, 4)) * UNITS
    x[:, 3] = 0.3
    split = Split(x.reshape(-1, *shape).astype(dtype), np.zeros(50))
    scaling = fit(split.x, scale)
    assert scaling is not None
    wanted = scaling.apply(split, dtype).x
    model = keras.Sequential([keras.Input(shape), *scaling.layers()])
    tolerance = {"float32": 1e-5, "float64": 1e-13}[dtype]
    spans = np.abs(wanted).max(axis=0)
    assert (np.abs(np.asarray(model(split.x)) - wanted) <= tolerance * np.maximum(spans, 1e-30)).all()


def test_a_scaling_is_a_shift_and_a_spread() -> None:
    scaling = Scaling(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    assert scaling.apply(Split(np.array([[3.0, 10.0]]), np.zeros(1)), "float32").x.tolist() == [[1.0, 2.0]]
