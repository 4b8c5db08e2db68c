"""Data that scikit-learn draws."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from hpc.models.datasets import generated
from hpc.models.datasets.generated import classification, classification_problem, regression, worked_example
from hpc.models.reference import ModelError, Parameter, signature_of

NAMES = ["blobs", "circles", "moons", "regression", "classification"]


def theirs(name: str, **options: Any) -> tuple[Any, Any]:
    import sklearn.datasets

    if "center_box" in options:
        options["center_box"] = tuple(options["center_box"])
    x, y = getattr(sklearn.datasets, f"make_{name}")(**options)
    return x, y


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("blobs", {"n_samples": 500, "centers": 2, "center_box": [-3, 3], "random_state": 7}),
        ("blobs", {"n_samples": 30, "n_features": 5, "centers": 4, "cluster_std": 0.3}),
        ("circles", {"n_samples": 500, "noise": 0.1, "factor": 0.4, "random_state": 1}),
        ("moons", {"n_samples": 500, "noise": 0.2, "random_state": 12}),
        ("moons", {"n_samples": 1000, "noise": 0.04, "random_state": 3}),
        ("regression", {"n_samples": 100, "n_features": 3, "random_state": 1}),
        ("regression", {"n_samples": 20, "n_features": 9, "n_informative": 4, "bias": 3.0, "noise": 2.0}),
        ("regression", {"n_features": 4, "n_targets": 3}),
        ("classification", {"n_samples": 100, "n_features": 4, "random_state": 1}),
        (
            "classification",
            {"n_features": 9, "n_informative": 5, "n_redundant": 3, "n_classes": 4, "n_clusters_per_class": 1,
             "flip_y": 0.2, "class_sep": 2.0},
        ),
        *((name, {}) for name in NAMES),
    ],
)  # fmt: skip
def test_arrays_are_those_of_scikit_learn(name: str, options: dict[str, Any]) -> None:
    x, y = getattr(generated, name)(**options)
    x_there, y_there = theirs(name, **{"random_state": 0, **options})
    assert np.array_equal(x, x_there)
    assert np.array_equal(y, y_there)
    assert x.dtype == np.float64
    assert y.dtype == (np.float64 if name == "regression" else np.int32)


@pytest.mark.parametrize("name", NAMES)
def test_options_and_defaults_are_those_of_scikit_learn(name: str) -> None:
    import sklearn.datasets

    known = inspect.signature(getattr(sklearn.datasets, f"make_{name}")).parameters
    own = {"random_state": 0, "centers": 3, "noise": 0.0}  # what None means there, or is no fixed seed
    for option, parameter in signature_of(getattr(generated, name)).parameters.items():
        default = known[option].default
        expected = own[option] if default is None else list(default) if option == "center_box" else default
        assert parameter.default == expected, option


@pytest.mark.parametrize("name", [*NAMES, "worked_example"])
def test_every_option_is_described_and_its_default_is_right(name: str) -> None:
    function = getattr(generated, name)
    for option, parameter in signature_of(function).parameters.items():
        assert f"    {option}: " in (inspect.getdoc(function) or "")
        assert parameter.format_type()
        assert parameter.problem(parameter.default) is None


@pytest.mark.parametrize(
    ("name", "option", "right", "wrong"),
    [
        ("blobs", "n_samples", [1, 500], [0, -1, 2.5]),
        ("blobs", "center_box", [[-3, 3], [0.5, 1]], [[1], [1, 2, 3], 3, ["a", "b"]]),
        ("blobs", "cluster_std", [0, 1.5], [-1]),
        ("circles", "factor", [0, 0.99], [1, 1.0, -0.1]),
        ("moons", "noise", [0, 0.3], [-0.1, "some"]),
        ("moons", "random_state", [0, 2**32 - 1], [-1, 2**32, None]),
        ("regression", "n_informative", [0, 5], [-1]),
        ("classification", "flip_y", [0, 1], [1.1]),
        ("worked_example", "bias", [True, False], [0.1]),
    ],
)
def test_options_are_checked_one_by_one(name: str, option: str, right: list[Any], wrong: list[Any]) -> None:
    parameter: Parameter = signature_of(getattr(generated, name)).parameters[option]
    assert [value for value in right if parameter.problem(value) is not None] == []
    assert [value for value in wrong if parameter.problem(value) is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_is_enough(name: str) -> None:
    x, y = getattr(generated, name)(n_samples=1)
    assert (len(x), len(y)) == (1, 1)


def test_several_targets_stand_side_by_side() -> None:
    assert regression(n_samples=7, n_targets=1)[1].shape == (7,)
    assert regression(n_samples=7, n_targets=2)[1].shape == (7, 2)
    assert regression(n_samples=1, n_targets=2)[1].shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, None),
        ({"n_features": 4}, None),
        ({"n_features": 3, "n_redundant": 1}, None),
        ({"n_features": 3}, "n_informative=2 and n_redundant=2 are together more than n_features=3"),
        ({"n_classes": 2, "n_clusters_per_class": 2}, None),
        (
            {"n_classes": 3},
            "n_classes=3 times n_clusters_per_class=2 clusters need as many corners, but with ",
        ),
        ({"n_classes": 5, "n_clusters_per_class": 1}, "n_informative=2 there are 4; raise n_informative"),
        ({"n_classes": "many"}, None),
        ({"n_features": 10**9, "n_informative": 10**8}, None),
    ],
)
def test_options_of_a_classification_must_go_together(options: dict[str, Any], said: str | None) -> None:
    problem = classification_problem(options)
    assert (problem is None) == (said is None)
    if said is not None:
        assert said in str(problem)
        with pytest.raises(ModelError, match=said):
            classification(**options)


@pytest.mark.parametrize(("bias", "shift"), [(False, 0.0), (True, 0.1)])
def test_the_worked_example_is_computed_right(bias: bool, shift: float) -> None:
    def sigmoid(z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    x, y = worked_example(bias=bias)
    assert (x.shape, y.shape) == ((1, 3), (1, 2))
    hidden = sigmoid(np.array([[1, -2, 2], [2, 1, -4], [1, -1, 0]]) @ x[0] + shift)
    outputs = sigmoid(np.array([[-3, 1, -3], [0, 1, 2]]) @ hidden)
    assert np.abs(outputs - y[0]).max() < 5e-9
