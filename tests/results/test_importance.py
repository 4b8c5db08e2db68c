"""Which hyperparameters matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from hpc.results import RunError
from hpc.results.analysis import importance, is_log
from tests.results.made import Params, grid, make

WIDE: dict[str, list[Any]] = {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4], "c": ["x", "y"]}


def test_shares_are_those_of_the_variance_that_each_explains(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(**WIDE), lambda p, seed, epoch: 3 * p["a"] + p["b"])
    found = importance(run).set_index("hyperparameter")
    assert list(found.index) == ["a", "b", "c"]
    # of a function without interactions; Var(3a) = 9 Var(b), and every tree sees another draw of 32 settings
    assert found["importance"].tolist() == pytest.approx([0.9, 0.1, 0.0], abs=0.05)
    assert 0 < found["std"]["a"] < 0.1


def test_what_only_matters_together_is_nobodys_share(tmp_path: Path) -> None:
    points = grid(a=[1, 2], b=["x", "y"], c=range(10))
    run = make(tmp_path / "r", points, lambda p, seed, epoch: float((p["a"] == 1) == (p["b"] == "x")))
    assert importance(run)["importance"].sum() < 0.3


def test_categories_count_the_same_each_in_any_order(tmp_path: Path) -> None:
    worth = {"adam": 1.0, "[64, 32]": 0.0, "none": 0.5, "sgd": 0.0}
    points = grid(kind=list(worth), other=range(8))
    run = make(tmp_path / "r", points, lambda p, seed, epoch: worth[p["kind"]] + 0.05 * p["other"])
    found = importance(run).set_index("hyperparameter")["importance"]
    # of four values the variance is 11/64, of eight steps of 0.05 it is 0.0025 * 63 / 12
    whole = 11 / 64 + 0.0025 * 63 / 12
    assert found["kind"] == pytest.approx(11 / 64 / whole, abs=0.05)


def test_categories_are_split_by_what_they_came_to(tmp_path: Path) -> None:
    """Where a draw of settings lacks some of them, those come to what their neighbours do."""
    points = grid(kind=[f"k{number:02}" for number in range(20)], other=[1, 2])
    run = make(tmp_path / "r", points, lambda p, seed, epoch: float(p["kind"][1:]) % 2)
    assert importance(run)["importance"][0] > 0.99


def test_few_numbers_count_the_same_each(tmp_path: Path) -> None:
    points = grid(a=[1, 2, 30], b=[1, 2], c=range(20))
    run = make(tmp_path / "r", points, lambda p, seed, epoch: float(p["a"] == 30) + 0.5 * (p["b"] == 2))
    found = importance(run).set_index("hyperparameter")["importance"]
    assert found["a"] == pytest.approx((2 / 9) / (2 / 9 + 1 / 16), abs=0.005)


def test_a_learning_rate_counts_by_its_logarithm(tmp_path: Path) -> None:
    rates = np.geomspace(1e-4, 1, 60).tolist()
    points: list[Params] = [{"rate": rate, "width": place * 37 % 60} for place, rate in enumerate(rates)]
    run = make(tmp_path / "r", points, lambda p, seed, epoch: float(p["rate"] > 0.01) + p["width"] / 60)
    found = importance(run).set_index("hyperparameter")["importance"]
    # half of the rates are above 0.01; by themselves they would be 99%, and the rate of no importance
    assert found["rate"] == pytest.approx(0.25 / (0.25 + 1 / 12), abs=0.1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.geomspace(1e-4, 0.1, 50), True),
        (np.linspace(0.001, 0.5, 50), False),  # a dropout that happens to begin near 0
        (np.geomspace(16, 256, 50), False),
        (np.append(np.geomspace(1e-4, 0.1, 50), 0.0), False),
        (np.array([0.5, 0.5]), False),
    ],
)
def test_numbers_are_logarithmic_if_they_are_more_even_so(
    values: NDArray[np.float64], expected: bool
) -> None:
    assert is_log(pd.Series(values)) is expected


def test_the_same_run_gives_the_same_numbers_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path / "r", grid(**WIDE), lambda p, seed, epoch: p["a"] * p["b"] + seed, seeds=2)
    first = importance(run)
    assert first.equals(importance(run))
    assert first.attrs == {"points": 32, "of": 32}
    assert capfd.readouterr() == ("", "")


def test_of_more_points_some_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpc.results.analysis.fanova.MAX_POINTS", 20)
    run = make(tmp_path / "r", grid(**WIDE), lambda p, seed, epoch: p["a"] + p["b"])
    assert importance(run).attrs == {"points": 20, "of": 32}


def test_baselines_are_no_points_of_the_search(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(**WIDE), lambda p, seed, epoch: p["a"], baseline=100.0)
    found = importance(run)
    assert found.attrs["of"] == 32
    assert found["importance"][0] > 0.95


@pytest.mark.parametrize(
    ("points", "value", "said"),
    [
        (grid(a=range(20)), 1.0, "fewer than two hyperparameters vary"),
        (
            grid(a=[1, 2, 3], b=[1, 2, 3]),
            1.0,
            "importance takes at least 10 settings that have ended, there are 9",
        ),
        (grid(a=[1, 2, 3], b=[1, 2, 3, 4]), 0.0, "all 12 settings came to the same val_accuracy"),
    ],
)
def test_too_little_to_tell_is_said(tmp_path: Path, points: list[Params], value: float, said: str) -> None:
    run = make(tmp_path / "r", points, lambda p, seed, epoch: value * p["a"])
    with pytest.raises(RunError) as refused:
        importance(run)
    assert str(refused.value) == said


def test_points_of_which_one_alone_differs_can_be_told(tmp_path: Path) -> None:
    """Some draws of them are all the same, and of those no tree can be grown."""
    run = make(
        tmp_path / "r", grid(a=[1, 2, 3], b=[1, 2, 3, 4]),
        lambda p, seed, epoch: float(p == {"a": 3, "b": 4, "epochs": 3}),
    )  # fmt: skip
    found = importance(run)
    assert found["importance"].between(0, 1).all()
    assert found["importance"].sum() > 0.1
