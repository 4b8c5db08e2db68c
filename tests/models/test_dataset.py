"""What arrays of all kinds become: a dataset, split into parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpc.models import (
    SPLIT_OPTIONS,
    WHOLE_DATA_OPTIONS,
    Array,
    Dataset,
    ModelError,
    Split,
    SplitOptions,
    collect_notes,
    dataset,
)

X, Y = np.zeros((6, 2)), np.array([0, 1, 2, 0, 1, 2])


def test_arrays_of_a_users_dataset_become_a_dataset() -> None:
    data = dataset(((X, Y), (X[:2], Y[:2])))
    assert (data.num_classes, data.output_size, data.input_shape) == (3, 3, (2,))
    assert data.train.x.dtype == np.float32
    assert dataset(((X, Y[:, None]), (X, Y[:, None]))).train.y.shape == (6,)
    assert dataset(((X, Y == 1), (X, Y == 1))).num_classes == 2
    numbers = dataset(((X, X * 1.0), (X, X)))
    assert (numbers.num_classes, numbers.output_size) == (None, 2)
    assert dataset(((X, Y * 1.0), (X, Y * 1.0))).output_size == 1


def test_a_dataset_stays_what_it_is() -> None:
    split = Split(X.astype(np.float32), Y)
    for validation, test in ((split, split), (split, None), (None, split), (None, None)):
        given = Dataset(split, validation, 7, test)
        found = dataset(given)
        assert found.num_classes == 7  # though only three of them are there
        assert found.parts().keys() == given.parts().keys()
        for name, part in found.parts().items():
            assert part.x is given.parts()[name].x
            assert part.y is given.parts()[name].y


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (((X, Y), (X, Y)), ["train", "validation"]),
        ([[X, Y], [X, Y]], ["train", "validation"]),
        (((X, Y), (X, Y), (X, Y)), ["train", "validation", "test"]),
        ({"train": (X, Y)}, ["train"]),
        ({"train": (X, Y), "test": (X, Y)}, ["train", "test"]),
        ({"test": (X, Y), "validation": [X, Y], "train": (X, Y)}, ["train", "validation", "test"]),
    ],
    ids=["pairs", "lists", "three pairs", "only train", "no validation", "all, in any order"],
)
def test_data_may_come_in_parts_which_are_left_as_they_are(value: Any, parts: list[str]) -> None:
    found = dataset(value).parts()
    assert list(found) == parts
    assert [len(part) for part in found.values()] == [6] * len(parts)
    defaults = SplitOptions().model_dump(include=set(WHOLE_DATA_OPTIONS))
    for option, default in defaults.items():  # of no effect, even with the default
        with pytest.raises(ModelError, match=f"comes split, so {option} is of no effect"):
            dataset(value, SplitOptions(**{option: default}))


def test_each_part_gets_its_own_samples() -> None:
    names = ("train", "validation", "test")
    parts = {name: (np.full((4, 2), i), np.full(4, i)) for i, name in enumerate(names)}
    values: list[Any] = [parts, tuple(parts.values())]
    for value in values:
        found = dataset(value, SplitOptions(train=1, validation=2, test=3)).parts()
        assert [(name, part.y.tolist()) for name, part in found.items()] == [
            ("train", [0]), ("validation", [1, 1]), ("test", [2, 2, 2]),
        ]  # fmt: skip
        assert [part.x[0, 0] for part in found.values()] == [0, 1, 2]


def test_classes_are_counted_over_all_parts() -> None:
    assert dataset({"train": (X, Y), "test": (X, Y + 2)}).num_classes == 5


# Wholes, which are split


def whole(n: int = 200, seed: int = 0) -> tuple[Array, Array]:
    """Samples that can be told apart, of three classes of unequal size."""
    y = np.sort(np.random.default_rng(seed).choice(3, n, p=[0.6, 0.3, 0.1]))
    return np.arange(n, dtype=np.float64)[:, None], y.astype(np.int32)


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize(
    ("shares", "seed"), [((0.2, 0.0), 0), ((0.25, 0.3), 42), ((0.0, 0.3), 1), ((0.5, 0.015), 2**32 - 1)]
)
def test_a_whole_is_split_as_scikit_learn_does_it(
    stratify: bool, shares: tuple[float, float], seed: int
) -> None:
    from sklearn.model_selection import train_test_split

    x, y = whole()
    options = SplitOptions(
        validation_split=shares[0], test_split=shares[1], split_seed=seed, stratify=stratify
    )
    found = dataset((x, y), options).parts()
    wanted: dict[str, tuple[Array, Array]] = {}
    for name, share in (("test", shares[1]), ("validation", shares[0])):
        if share:
            x, taken, y, classes = train_test_split(
                x, y, test_size=share, random_state=seed, stratify=y if stratify else None
            )
            wanted[name] = taken, classes
    wanted["train"] = x, y
    assert found.keys() == wanted.keys()
    for name, part in found.items():
        np.testing.assert_array_equal(part.x, wanted[name][0])
        np.testing.assert_array_equal(part.y, wanted[name][1])
    assert sorted(np.concatenate([part.x[:, 0] for part in found.values()])) == list(range(200))


def test_a_whole_is_split_by_four_to_one_unless_said_otherwise() -> None:
    found = dataset(whole()).parts()
    assert {name: len(part) for name, part in found.items()} == {"train": 160, "validation": 40}
    assert dataset(whole(), SplitOptions(validation_split=0)).parts().keys() == {"train"}


def test_a_whole_that_is_not_split_keeps_its_order() -> None:
    x, _ = whole()
    found = dataset(whole(), SplitOptions(validation_split=0)).train.x
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("column", [False, True], ids=["(n,)", "(n, 1)"])
def test_every_part_has_the_same_share_of_every_class(column: bool) -> None:
    x, y = whole(300)
    data = dataset((x, y[:, None] if column else y), SplitOptions(test_split=0.3, validation_split=0.5))
    shares = np.bincount(y) / 300
    for part in data.parts().values():
        np.testing.assert_allclose(np.bincount(part.y) / len(part), shares, atol=1.5 / len(part))


def test_numbers_to_predict_are_split_without_regard_to_their_values() -> None:
    from sklearn.model_selection import train_test_split

    x, _ = whole()
    for y in (x[:, 0] * 0.5, x * [1, 2]):
        found = dataset((x, y), SplitOptions(test_split=0.25, validation_split=0)).train
        wanted = train_test_split(x, y, test_size=0.25, random_state=0)
        np.testing.assert_array_equal(found.x, wanted[0])
        np.testing.assert_array_equal(found.y, wanted[2])


def test_the_test_part_is_the_same_whatever_is_kept_for_validation() -> None:
    parts = [
        dataset(whole(), SplitOptions(test_split=0.3, validation_split=share)).parts()["test"].x
        for share in (0.0, 0.2, 0.5)
    ]
    np.testing.assert_array_equal(parts[0], parts[1])
    np.testing.assert_array_equal(parts[0], parts[2])
    folded = dataset(whole(), SplitOptions(test_split=0.3), whole=True)
    assert folded.test is not None
    np.testing.assert_array_equal(parts[0], folded.test.x)


def test_for_folds_training_and_validation_samples_stay_together() -> None:
    data = dataset(whole(), SplitOptions(test_split=0.25), whole=True)
    assert {name: len(part) for name, part in data.parts().items()} == {"train": 150, "test": 50}
    in_parts = dataset(((X, Y), (X[:2] + 1, Y[:2]), (X[:3], Y[:3])), whole=True)
    assert {name: len(part) for name, part in in_parts.parts().items()} == {"train": 8, "test": 3}
    assert in_parts.train.x[:, 0].tolist() == [0] * 6 + [1] * 2
    assert in_parts.train.y.tolist() == [*Y, 0, 1]
    assert in_parts.num_classes == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_numbers_get_the_dtype_of_the_training_and_whole_ones_stay(dtype: str) -> None:
    data = dataset((X + 0.1, Y * 0.1), SplitOptions(validation_split=0), dtype=dtype)
    assert [data.train.x.dtype, data.train.y.dtype] == [np.dtype(dtype)] * 2
    pixels = dataset((np.zeros((6, 2), np.uint8), Y), SplitOptions(validation_split=0), dtype=dtype)
    assert [pixels.train.x.dtype, pixels.train.y.dtype] == [np.dtype(np.uint8), Y.dtype]
    exact = dataset((X + 0.1, Y), SplitOptions(validation_split=0), dtype="float64")
    assert exact.train.x[0, 0] == 0.1


# Classes or numbers to predict


def targets(y: Any, classes: Any = "auto", n: int = 1) -> tuple[Dataset, list[str]]:
    """What targets become, ``n`` times over, and what is said of it."""
    y = np.tile(np.asarray(y), n)
    with collect_notes() as said:
        found = dataset((np.zeros((len(y), 1)), y), SplitOptions(validation_split=0, classes=classes))
    return found, said


@pytest.mark.parametrize(
    ("y", "n", "said"),
    [
        ([0, 1, 2], 1, ""),
        (range(20), 1, ""),
        (range(21), 1, "whole numbers from 0 to 20, are taken as 21 classes; classes: false takes them as"),
        (
            [1, 5, 3, 2, 4],
            9,
            "from 1 to 5, are taken as 6 classes, of which 1 have no sample; classes: false",
        ),
        (range(1000), 2, "whole numbers from 0 to 999, are taken as 1000 classes; classes: false"),
        ([True, False], 1, ""),
    ],
)
def test_whole_numbers_are_classes_and_it_is_said_where_that_is_less_than_plain(
    y: Any, n: int, said: str
) -> None:
    found, heard = targets(list(y), n=n)
    assert found.num_classes == max(y) + 1
    assert [said in one for one in heard] == ([True] if said else [])
    assert targets(list(y), True, n)[1] == []


@pytest.mark.parametrize(
    ("y", "n", "said"),
    [
        (
            [*range(100_000, 100_060)],
            1,
            "whole numbers from 100000 to 100059, 60 different ones in 60 samples",
        ),
        (range(101), 1, "from 0 to 100, 101 different ones in 101 samples; say classes: false under data if"),
        ([0, 1000], 50_000, "whole numbers from 0 to 1000, 2 different ones in 100000 samples"),
    ],
)
def test_whole_numbers_that_may_be_numbers_to_predict_are_refused(y: Any, n: int, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        targets(list(y), n=n)
    assert targets(list(y), True, n)[0].num_classes == max(y) + 1
    numbers, _ = targets(list(y), False, n)
    assert (numbers.num_classes, numbers.output_size) == (None, 1)
    assert numbers.train.y.tolist() == [float(value) for value in y] * n


def test_few_samples_taken_of_many_classes_are_no_reason_to_ask() -> None:
    y = np.arange(3000) % 300
    assert dataset((y[:, None], y), SplitOptions(train=10)).num_classes is not None


def test_negative_numbers_may_be_predicted() -> None:
    assert targets([-1, 0, 1], False)[0].train.y.tolist() == [-1.0, 0.0, 1.0]
    with pytest.raises(ModelError, match="a target is -1; say classes: false under data"):
        targets([-1, 0, 1])


def test_numbers_to_predict_are_split_as_such_though_they_are_whole() -> None:
    x, y = whole()
    found = dataset((x, y), SplitOptions(classes=False)).parts()
    wanted = dataset((x, y * 1.0)).parts()
    for name, part in wanted.items():
        np.testing.assert_array_equal(found[name].x, part.x)
        assert found[name].y.dtype == np.float32


def test_real_numbers_that_look_like_classes_are_said_and_may_be_made_classes() -> None:
    found, said = targets([0.0, 2.0, 1.0])
    assert found.num_classes is None
    assert said == [
        "the dataset: the targets are real numbers, all whole, from 0 to 2: they are taken as numbers to "
        "predict; classes: true takes them as classes"
    ]
    found, said = targets([[0.0], [2.0], [1.0]], True)
    assert (found.num_classes, found.train.y.tolist(), said) == (3, [0, 2, 1], [])
    assert np.issubdtype(found.train.y.dtype, np.integer)
    assert targets([0.0, 2.0])[1] == targets([1.0, 2.0])[1] == targets([0.5, 1.0])[1] == []
    with pytest.raises(ModelError, match=r"classes: true, but a target is 0\.5"):
        targets([0.0, 0.5], True)
    with pytest.raises(ModelError, match=r"classes: true is for targets of shape \(n,\) or \(n, 1\)"):
        dataset((X, X), SplitOptions(classes=True))


def test_parts_have_targets_of_one_kind() -> None:
    data = dataset(((X, Y), (X, Y * 1.0)))
    assert data.validation is not None
    assert (data.num_classes, data.validation.y.tolist()) == (3, Y.tolist())
    with pytest.raises(ModelError, match=r"some parts are whole numbers, but a target is 0\.1"):
        dataset(((X, Y), (X, Y + 0.1)))


def test_classes_of_a_dataset_may_be_taken_as_numbers() -> None:
    given = Dataset(Split(X, Y), None, 7)
    found = dataset(given, SplitOptions(classes=False))
    assert found.num_classes is None
    assert found.train.y.dtype == np.float32


# What a cast would change


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (
            X + 1j,
            r"x holds complex numbers \(complex128\), not real numbers; give the real and the imaginary part",
        ),
        (
            np.full((6, 2), "2024-01-01", "datetime64[D]"),
            r"x holds dates \(datetime64\[D\]\), not real numbers; take",
        ),
        (
            np.full((6, 2), 5, "timedelta64[s]"),
            r"x holds durations \(timedelta64\[s\]\), not real numbers; divide",
        ),
        (np.zeros(6, [("a", float)]), r"x holds \[\('a', '<f8'\)\], not real numbers"),
        (X.astype(object), "x holds object, not real numbers"),
        (np.ma.MaskedArray(X, X == 0), "values are masked; fill in what is missing"),  # type: ignore[no-untyped-call]
        (X + 1e300, "x holds 1e\\+300, which float32 can't hold; scale it"),
    ],
)
def test_inputs_that_are_no_real_numbers_are_refused(x: Array, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dataset((x, Y), SplitOptions(validation_split=0))


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (
            np.array(["a", "b"] * 3),
            r"y holds text \(<U1\), not real numbers; number the classes from 0, as np.unique\(y",
        ),
        (np.array(["a", "b"] * 3, object), "y holds object, not real numbers; number the classes from 0"),
        (Y + 1j, "y holds complex numbers"),
    ],
)
def test_targets_that_are_no_real_numbers_are_refused(y: Array, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dataset((X, y), SplitOptions(validation_split=0))


@pytest.mark.parametrize(
    ("x", "dtype", "said"),
    [
        (
            [2**24 + 1],
            "float32",
            "x holds whole numbers like 16777217, which float32 takes for 16777216; sub",
        ),
        ([2**24 + 2, 2**24], "float32", ""),
        ([2**24 + 1], "float64", ""),
        ([float(2**24 + 1)], "float32", "x holds whole numbers like 16777217"),
        ([-(2**24) - 1], "float32", "whole numbers like -16777217, which float32 takes for -16777216"),
        ([2**53 + 1], "float64", "which float64 takes for 9007199254740992"),
        ([2**24 + 0.5], "float32", ""),
        (np.array([2**63 + 1], np.uint64), "float32", "x holds whole numbers like 9223372036854775809"),
    ],
)
def test_whole_numbers_of_too_many_digits_are_said(x: Any, dtype: str, said: str) -> None:
    x = np.asarray(x)[:, None]
    with collect_notes() as heard:
        dataset({"train": (x, np.zeros(len(x)))}, dtype=dtype)
    assert [said in one for one in heard] == ([True] if said else [])


# Wrong values


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "must return"),
        (((X, Y),), "must return"),
        ((X, Y, X), "must return .* but it returned tuple of 3"),
        (((X, Y),) * 4, "must return .* but it returned tuple of 4"),
        ((3, 4), "must return"),
        (((X, Y[:3]), (X, Y)), "training part: x has 6 samples, y has 3"),
        (((X, Y), (X[:0], Y[:0])), "validation part: x holds no samples"),
        (((X, Y), (np.zeros((6, 3)), Y)), r"training samples have shape \(2,\)"),
        (((X, Y), (X, Y), (np.zeros((6, 3)), Y)), r"test samples \(3,\)"),
        (((X, Y - 1), (X, Y)), "classes are counted from 0, but a target is -1"),
        (((X, Y), (X, Y), (X, Y - 1)), "classes are counted from 0, but a target is -1"),
        (((X * np.nan, Y), (X, Y)), "training part: x holds NaN or infinity"),
        (((X, Y), (X, Y), (X, np.full(6, np.inf))), "test part: y holds NaN or infinity"),
        (((np.array([["a"]] * 6), Y), (X, Y)), "x holds text \\(<U1\\), not real numbers"),
        ((X, Y[:3]), r"x has shape \(6, 2\), y has \(3,\), not as many samples"),
        ({"validation": (X, Y)}, "parts called train, validation, test, but it returned validation"),
        ({"train": (X, Y), "valid": (X, Y)}, "but it returned train, valid"),
        ({"train": (X, Y), 3: (X, Y)}, "but it returned train, 3"),
        ({"train": (X, Y), "validation": None}, r"validation must be a pair \(x, y\), but is NoneType"),
        ({"train": (X, Y), "test": (X, Y, Y)}, r"gives \(x, y, sample weights\)"),
        ({"train": (X, Y), "test": (X, Y, X)}, r"test must be a pair \(x, y\), but is tuple of 3"),
        ({"train": X}, r"train must be a pair \(x, y\), but is ndarray"),
        ({}, "but it returned none of them"),
    ],
)
def test_a_wrong_dataset_is_answered(value: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dataset(value)


EVEN = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("y", "options", "said"),
    [
        (
            EVEN,
            SplitOptions(train=5),
            "the lab's data, training part: 5 samples are asked for, but there are only 4",
        ),
        (EVEN, SplitOptions(validation=3), "validation part: 3 samples are asked for, but there are only 2"),
        (EVEN, SplitOptions(test_split=0.5, validation_split=0, test=4), "test part: 4 .* there are only 3"),
        (Y, SplitOptions(test_split=0.1), "test_split=0.1 of 6 samples can't be taken: .* number of classes"),
        (Y, SplitOptions(test_split=0.9), "test_split=0.9 of 6 samples can't be taken"),
        (Y * 1.0, SplitOptions(test_split=0.8), "validation_split=0.2 of 1 samples can't be taken"),
    ],
)
def test_parts_that_can_not_be_had_are_answered(y: Array, options: SplitOptions, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dataset((X, y), options, name="the lab's data")


@pytest.mark.parametrize(
    ("option", "right", "wrong"),
    [
        ("train", [1, None], [0, 2.5, True]),
        ("validation_split", [0, 0.5], [1, -0.1, 1.0]),
        ("test_split", [0, 0.99], [1, "0.2"]),
        ("split_seed", [0, 2**32 - 1], [-1, 2**32, 0.5]),
        ("stratify", [True, False], [1, "yes"]),
        ("classes", [True, False, "auto"], [1, "yes"]),
    ],
)
def test_options_are_checked_one_by_one(option: str, right: list[Any], wrong: list[Any]) -> None:
    assert [SPLIT_OPTIONS[option].problem(value) for value in right] == [None] * len(right)
    assert all(SPLIT_OPTIONS[option].problem(value) for value in wrong)


class PyDataset:
    """Known by its name, as Keras' is, without loading Keras."""


INPUTS, TARGETS = np.ones((30, 4)), np.arange(30) % 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((PyDataset(), PyDataset()), "gives a keras.utils.PyDataset, and only arrays are taken so far"),
        (PyDataset(), "gives a keras.utils.PyDataset"),
        (iter([(INPUTS, TARGETS)]), "gives a generator"),
        ((INPUTS, TARGETS, np.ones(30)), r"gives \(x, y, sample weights\), and weights are not taken so far"),
        (((INPUTS, TARGETS, np.ones(30)), (INPUTS, TARGETS, np.ones(30))), "sample weights"),
        (
            ([INPUTS, INPUTS], TARGETS),
            "gives 2 arrays as x, and models of several inputs are not taken so far",
        ),
        ((([INPUTS, INPUTS, INPUTS], TARGETS), ([INPUTS, INPUTS, INPUTS], TARGETS)), "gives 3 arrays as x"),
        ({"train": ({"a": INPUTS, "b": INPUTS}, TARGETS)}, "gives 2 arrays as x"),
    ],
    ids=[
        "pairs",
        "alone",
        "generator",
        "weights",
        "weights twice",
        "inputs",
        "inputs twice",
        "inputs by name",
    ],
)
def test_what_fit_takes_and_this_project_does_not_is_named(value: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dataset(value)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_rows_of_zeros_with_a_1_are_classes(classes: int) -> None:
    y = np.arange(60) % classes
    with collect_notes() as said:
        rows = dataset((np.ones((60, 2)), np.eye(classes)[y]), name="mine")
    numbers = dataset((np.ones((60, 2)), y))
    assert said == [
        f"mine: the targets are rows of zeros with a 1, taken as {classes} classes; classes: false takes "
        "them as numbers to predict"
    ]
    assert (rows.num_classes, rows.output_size, rows.one_hot) == (classes, classes, True)
    assert rows.train.y.tolist() == numbers.train.y.tolist()
    assert rows.as_given().train.y.tolist() == np.eye(classes)[numbers.train.y].tolist()
    assert numbers.as_given() is numbers
    predicted = dataset((np.ones((60, 2)), np.eye(classes)[y]), SplitOptions(classes=False))
    assert (predicted.num_classes, predicted.output_size, predicted.train.y.shape[1]) == (
        None,
        classes,
        classes,
    )


@pytest.mark.parametrize("y", [[[1, 1], [0, 1]], [[1, 0], [0, 0]], [[0.5, 0.5], [1, 0]], [[2, -1], [1, 0]]])
def test_rows_of_anything_else_are_numbers_to_predict(y: Any) -> None:
    data = dataset((np.ones((40, 2)), np.array(y * 20, float)))
    assert (data.num_classes, data.one_hot, data.output_size) == (None, False, 2)
