"""Trials: which there are, and names that never change."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import sweeps
from sweeps import Choices, Range, Trial
from sweeps.searches.grid import Grid
from sweeps.searches.random import Random
from sweeps.trial import trial_id

STORED = Path(__file__).with_name("trial_ids.json")


def test_trials_have_the_names_they_have_always_had() -> None:
    """If this fails, tables of earlier versions no longer match: mend the code, not the file."""
    for stored in json.loads(STORED.read_text()):
        trials = sweeps.parse(stored["sweep"]).trials
        assert [{"trial_id": t.trial_id, "params": t.params, "seed": t.seed} for t in trials] == stored[
            "trials"
        ]


def test_a_name_starts_with_a_letter_and_depends_on_all_that_decides_the_outcome() -> None:
    base = ("mlp", {"name": "digits"}, {"dropout": 0.5}, 0)
    names = {
        trial_id(*base),
        trial_id("cnn", *base[1:]),
        trial_id("mlp", {"name": "digits", "train": 5}, *base[2:]),
        trial_id("mlp", base[1], {"dropout": 0.25}, 0),
        trial_id(*base[:3], 1),
    }
    assert len(names) == 5
    assert all(name[0] == "t" and len(name) == 11 and name.isalnum() for name in names)


def test_equal_numbers_and_other_orders_give_the_same_name() -> None:
    data = {"name": "digits"}
    assert trial_id("mlp", data, {"a": 1, "b": [2.0]}, 0) == trial_id("mlp", data, {"b": [2], "a": 1.0}, 0)


def test_a_grid_has_every_combination_the_last_name_fastest() -> None:
    space = {"a": Choices((1, 2)), "b": Choices(("x", "y", "z"))}
    points = [tuple(point.values()) for point in Grid().points(space, None, 0)]
    assert points == list(itertools.product((1, 2), ("x", "y", "z")))


def test_a_space_of_nothing_is_one_point() -> None:
    assert len(sweeps.parse({"name": "x", "model": "mlp", "data": "digits"}).trials) == 1


def test_every_point_comes_with_the_first_seed_before_any_with_the_second() -> None:
    sweep = sweeps.parse(
        {"name": "x", "model": "mlp", "data": "digits", "space": {"depth": [1, 2]}, "seeds": 2}
    )
    assert [(t.index, t.params["depth"], t.seed) for t in sweep.trials] == [
        (0, 1, 0), (1, 2, 0), (2, 1, 1), (3, 2, 1),
    ]  # fmt: skip
    assert len({t.trial_id for t in sweep.trials}) == 4


def test_one_parameter_more_leaves_random_draws_of_the_others_as_they_were() -> None:
    few = {"a": Range(0.0, 1.0)}
    more = {"b": Range(0.0, 1.0), **few}
    first = [p["a"] for p in Random().points(few, 10, seed=3)]
    assert first == [p["a"] for p in Random().points(more, 10, seed=3)]
    assert first != [p["a"] for p in Random().points(few, 10, seed=4)]


def test_random_points_are_all_different() -> None:
    space: dict[str, Choices | Range] = {"a": Choices((1, 2, 3)), "b": Range(1, 4)}
    points = list(Random().points(space, 12, seed=0))
    assert len({tuple(p.values()) for p in points}) == 12


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (Range(1, 3), {1, 2, 3}),
        (Range(1, 3, log=True), {1, 2, 3}),
        (Range(0.0, 0.5, step=0.25), {0.0, 0.25, 0.5}),
        (Range(0.0, 0.3, step=0.1), {0.0, 0.1, 0.2, 0.3}),
        (Range(2, 7, step=2), {2, 4, 6}),
        (Range(0.5, 0.5), {0.5}),
        (Choices((None, "a")), {None, "a"}),
    ],
)
def test_draws_reach_every_value_and_no_other(dimension: Range | Choices, values: set[object]) -> None:
    drawn = {dimension.draw(i / 1000) for i in range(1000)}
    assert drawn == values
    assert dimension.size == len(values)


def test_real_draws_stay_inside_and_spread_as_they_should() -> None:
    uniform = [Range(0.2, 0.4).draw(i / 1000) for i in range(1000)]
    assert all(isinstance(v, float) and 0.2 <= v <= 0.4 for v in uniform)
    log = [Range(1e-4, 1e-1, log=True).draw(i / 1000) for i in range(1000)]
    below = sum(1 for v in log if isinstance(v, float) and v < 1e-3)
    assert 320 < below < 350  # a third of the decades
    narrow = Range(100000.1, 100000.2).draw(0.5)
    assert isinstance(narrow, float)
    assert 100000.1 < narrow < 100000.2


def test_a_trial_is_a_plain_value() -> None:
    assert Trial(0, "t", {"a": 1}, 0) == Trial(0, "t", {"a": 1}, 0)
