"""Searches in a sweep file: what is asked for, what may depend on what, what is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc import sweeps
from hpc.sweeps import SEARCHES, Choices, Range, SweepError
from hpc.sweeps.searches.grid import Grid
from hpc.sweeps.searches.samplers import decoded, distribution, encoded
from hpc.sweeps.space import Dimension, combinations, dimension

BASE: dict[str, Any] = {
    "name": "s", "model": "mlp", "data": "digits",
    "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "hidden_size": [8, 16]},
    "search": {"method": "tpe", "trials": 10},
}  # fmt: skip


def problems(**changes: Any) -> str:
    with pytest.raises(SweepError) as error:
        sweeps.parse({**BASE, **changes})
    return str(error.value)


TPE: dict[str, Any] = {"method": "tpe", "trials": 3}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"search": "tpe"}, "search: does not say how many trials; write search: {method: tpe, trials: 60}."),
    ({"search": {"method": "tpee", "trials": 3}}, "there is no search 'tpee' (did you mean \"tpe\"?)"),
    ({"search": {**TPE, "pruner": "ahsa"}}, "no pruner 'ahsa' (did you mean \"asha\"?)"),
    ({"search": {**TPE, "pruner": {"name": "asha", "reduction_factor": 1}}},
     "reduction_factor=1 is not a whole number of at least 2"),
    ({"search": {**TPE, "pruner": {"name": "median", "min_resource": 1}}},
     "median has no parameter 'min_resource'; it has n_startup_trials"),
    ({"search": {**TPE, "pruner": {"reduction_factor": 3}}}, "names no pruner; write asha"),
    ({"search": {"method": "gp", "trials": 3, "sampler": {"n_candidate": 3}}},
     "search.sampler.n_candidate: is no parameter of gp (did you mean \"n_candidates\"?)"),
    ({"search": {"method": "random", "trials": 3, "sampler": {"n_candidates": 3}}},
     "search.sampler: is of no effect: random learns nothing"),
    ({"search": {"method": "random", "trials": 3, "from": ["r"]}}, "search.from: is of no effect"),
    ({"search": {**TPE, "timeout_min": 0}}, "search.timeout_min: 0 is not a number above 0"),
    ({"seeds": 3}, "seeds: 3 seeds for every setting would be spent on bad settings, too; tpe takes one"),
    ({"folds": 3}, "folds: go with grid, random, qmc, not with tpe."),
    ({"baselines": ["knn"]}, "baselines: go with grid, random, qmc, not with tpe."),
    ({"space": {}}, "space: is empty, so there is nothing for tpe to search."),
    ({"space": {"hidden_size": [8, 16]}}, "10 different settings are asked for, but the space has only 2."),
    ({"search": "grid", "space": {"hidden_size": [8]}, "baselines": ["knn"], "budget": {"gpu_hours": 1}},
     "baselines: go with a search that needs no pruner, budget"),
    ({"objective": ["val_accuracy", "parameters"], "search": {**TPE, "pruner": "asha"}},
     "search.pruner: can't say of several objectives which trial is worse"),
    ({"objective": ["val_accuracy", "val_accuracy"]}, "one stands there twice"),
    ({"objective": ["val_accuracy", "parameters"], "search": {"method": "gp", "trials": 3}},
     "objective: are several, which gp can't search by; tpe can."),
    ({"budget": {"hours": 3}}, "budget.hours: is not known here"),
    ({"budget": {}}, "budget: has no limit; write budget: {node_hours: 10}"),
    ({"budget": {"gpu_hours": 0}}, "budget.gpu_hours: 0 is not a number above 0"),
    ({"confirm": {"best": 3}}, "confirm.seeds: is missing"),
    ({"constraints": ["hidden_sizes <= 3"]}, "names 'hidden_sizes' (did you mean \"hidden_size\"?)"),
    ({"constraints": ["hidden_size <"]}, "'hidden_size <' is no condition"),
    ({"constraints": ["__import__('os')"]}, "__import__('os') can't stand in a condition; there may be"),
    ({"constraints": "hidden_size < 3"}, "is no list of conditions"),
    ({"space": {"a": {"low": 0, "high": 1, "when": "b == 1"}, "b": [1, 2]}},
     "when: b == 1 names b, which does not stand before it; there are none."),
    ({"space": {"a": {"choices": 3, "when": "b == 1"}}}, "is no group of choices"),
    ({"space": {"a": {"low": 0, "high": 1, "when": 3}}}, "when: 3 is no condition"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), WRONG, ids=[str(place) for place in range(len(WRONG))])
def test_a_wrong_search_is_answered_with_place_value_and_remedy(changes: dict[str, Any], said: str) -> None:
    assert said in problems(**changes)


def test_a_search_is_stored_as_it_was_written() -> None:
    entries: dict[str, Any] = {
        **BASE,
        "search": {"method": "tpe", "trials": 10, "seed": 3, "sampler": {"n_startup_trials": 4},
                   "timeout_min": 5.0, "from": ["/runs/other"]},
        "objective": [{"metric": "val_loss", "mode": "min"}, {"metric": "parameters", "mode": "min"}],
        "constraints": ["parameters <= 100"], "budget": {"node_hours": 2.0},
        "confirm": {"best": 2, "seeds": 3},
        "space": {**BASE["space"], "b": {"choices": [1, 2], "when": "learning_rate > 1"},
                  "a": {"low": 0.0, "high": 1.0, "when": "b == 1"}},
    }  # fmt: skip
    sweep = sweeps.parse(entries)
    stored = sweep.entries()
    assert {name: stored[name] for name in entries if name not in ("data",)} == {
        name: value for name, value in entries.items() if name != "data"
    }
    assert sweeps.parse(stored).entries() == stored
    assert sweep.size == 16
    assert sweep.fresh_seeds == [1, 2, 3]


def test_a_sweep_without_a_search_is_stored_as_it_always_was() -> None:
    entries = sweeps.parse({**BASE, "search": {"method": "random", "trials": 3}}).entries()
    assert entries["search"] == {"method": "random", "trials": 3, "seed": 0}
    assert not {"constraints", "budget", "confirm"} & set(entries)


@pytest.mark.parametrize(
    ("entries", "uses_ask_tell"),
    [
        ({}, True),
        ({"search": {"method": "random", "trials": 3}}, False),
        ({"search": {"method": "random", "trials": 3, "pruner": "median"}}, True),
        ({"search": {"method": "random", "trials": 3, "pruner": "none"}}, False),
        ({"search": {"method": "qmc", "trials": 3, "timeout_min": 1}}, True),
        ({"search": {"method": "qmc", "trials": 3}, "budget": {"node_hours": 1}}, True),
        ({"search": {"method": "qmc", "trials": 3}, "confirm": {"best": 1, "seeds": 1}}, True),
        ({"search": {"method": "qmc", "trials": 3}, "constraints": ["parameters < 9"]}, True),
        ({"search": {"method": "qmc", "trials": 3}, "constraints": ["hidden_size < 9"]}, False),
    ],
)
def test_workers_ask_only_where_they_must(entries: dict[str, Any], uses_ask_tell: bool) -> None:
    assert sweeps.parse({**BASE, **entries}).uses_ask_tell is uses_ask_tell


def test_a_grid_with_conditions_has_each_point_once() -> None:
    space = {
        "optimizer": dimension(["adam", "sgd"]),
        "momentum": dimension({"choices": [0.0, 0.9], "when": {"optimizer": "sgd"}}),
        "deep": dimension({"choices": [1, 2, 3], "when": "optimizer == 'sgd' and momentum > 0"}),
    }
    points = list(SEARCHES["grid"].settings(space, None, 0))
    assert points == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.0},
        *({"optimizer": "sgd", "momentum": 0.9, "deep": deep} for deep in (1, 2, 3)),
    ]


def test_constraints_on_hyperparameters_leave_points_out() -> None:
    sweep = sweeps.parse(
        {**BASE, "space": {"hidden_size": [8, 16, 32], "depth": [1, 2]}, "search": "grid",
         "constraints": ["hidden_size * depth <= 32"]}
    )  # fmt: skip
    found = [(trial.params["hidden_size"], trial.params["depth"]) for trial in sweep.trials]
    assert found == [(8, 1), (8, 2), (16, 1), (16, 2), (32, 1)]


def test_sobols_points_leave_no_gaps_and_are_the_same_again() -> None:
    """Of 64 points every 64th of each axis has one, which random draws have about 40 of."""
    space: dict[str, Dimension] = {name: Range(0.0, 1.0) for name in "abc"}
    points = list(SEARCHES["qmc"].settings(space, 64, 5))
    for name in space:
        assert len({int(64 * point[name]) for point in points}) >= 63  # one may be rounded into the next
    assert points == list(SEARCHES["qmc"].settings(space, 64, 5))
    assert points[:10] == list(SEARCHES["qmc"].settings(space, 10, 5))
    assert points != list(SEARCHES["qmc"].settings(space, 64, 6))


def test_points_of_sobol_stay_what_they_were() -> None:
    """Trials of a run that is gone on with must be those that it began with."""
    found = list(SEARCHES["qmc"].settings({"x": Range(0.0, 1.0), "n": Range(1, 64, log=True)}, 4, 0))
    assert found == POINTS


POINTS = [
    {"x": 0.932842, "n": 10},
    {"x": 0.432842, "n": 1},
    {"x": 0.682842, "n": 35},
    {"x": 0.182842, "n": 3},
]

DIMENSIONS = st.one_of(
    st.lists(st.integers(-50, 50), min_size=1, max_size=6, unique=True).map(lambda v: Choices(tuple(v))),
    st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True).map(lambda v: Choices(tuple(v))),
    st.just(Choices(([8], [8, 8], None, True, 1.5))),
    st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans()).map(
        lambda v: Range(v[0], v[0] + v[1], v[2])
    ),
    st.tuples(st.integers(-9, 9), st.integers(0, 9), st.integers(1, 4)).map(
        lambda v: Range(v[0], v[0] + v[1], step=v[2])
    ),
    st.tuples(st.floats(0.001, 1), st.floats(0.001, 10), st.booleans()).map(
        lambda v: Range(v[0], v[0] + v[1], v[2])
    ),
    st.integers(1, 9).map(lambda n: Range(0.0, n / 10, step=0.1)),
)


@given(DIMENSIONS, st.integers(0, 2**32))
def test_every_value_goes_to_optuna_and_back(dimension: Dimension, seed: int) -> None:
    """And lies in the distribution that Optuna is told of."""
    value = dimension.draw(random.Random(seed).random())
    theirs = encoded(dimension, value)
    assert decoded(dimension, theirs) == value
    one = distribution(dimension)
    assert one._contains(one.to_internal_repr(theirs)) or dimension.size == 1


@pytest.mark.parametrize("value", [17, "a", None, 0.05])
def test_what_a_space_does_not_have_is_not_taken_over(value: Any) -> None:
    for one in (Choices((1, 2)), Range(0.1, 0.2), Choices((True,)), Range(0.0, 1.0, step=0.2)):
        with pytest.raises(ValueError, match=r"is none of|is not from|is no step"):
            encoded(one, value)
    with pytest.raises(ValueError, match="is none of"):
        encoded(Choices((True,)), 1)


def test_the_ready_made_search_can_be_read() -> None:
    sweep = sweeps.load(Path(sweeps.__file__).parent / "mnist_search.yaml")
    assert sweep.is_adaptive
    assert sweep.size == 49


TENS = {name: list(range(10)) for name in "abcdefgh"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space": TENS}, "space: a grid of 100,000,000 combinations, and a run may have 1,000,000 trials; "
         "draw some by search: {method: random, trials: 1000}, or give fewer values."),
        ({"space": {name: TENS[name] for name in "abcde"}, "seeds": 5, "folds": 3},
         "space: a grid of 100,000 combinations, each with 5 seeds and 3 folds, would be 1,500,000 trials,"),
        ({"space": {**TENS, "i": {"choices": [1, 2], "when": "a >= 5"}}},
         "a grid of 150,000,000 combinations, and"),
        ({"search": {"method": "random", "trials": 10**9}}, "search.trials: 1,000,000,000 settings, and"),
        ({"search": {"method": "tpe", "trials": 10**9}}, "search.trials: 1,000,000,000 settings, and"),
        ({"search": {"method": "tpe", "trials": 9}, "confirm": {"best": 3000, "seeds": 1000}},
         "9 settings would be 3,000,009 trials with those of the confirmation, and a run may have 1,000,000"),
        ({"seeds": 10**9}, "seeds: 1,000,000,000 seeds are more than the 1,000,000 trials that a run may"),
        ({"folds": 10**9}, "combinations, each with 1,000,000,000 folds, would be 1,000,000,000 trials"),
        ({"space": {"a": ["x", 2], "b": {"choices": [1], "when": "a > 1"}}},
         "space: 'a > 1' can't be told of {'a': 'x'}"),
        ({"space": {"a": ["x", 2]}, "constraints": ["a > 1"]},
         "constraints[0]: 'a > 1' can't be told of {'a': 'x'}"),
        ({"space": {"a": ["x", 2], "b": [1, 2]}, "constraints": ["a > 1"],
          "search": {"method": "random", "trials": 2}}, "constraints[0]: 'a > 1' can't be told of"),
    ],
    ids=str,
)  # fmt: skip
def test_more_trials_than_a_run_may_have_are_counted_and_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError) as error:
        _ = sweeps.parse({"name": "x", "model": "mlp", "data": "digits", **changes}).trials
    assert said in str(error.value)


def test_combinations_are_counted_as_a_grid_makes_them() -> None:
    space = {
        "a": Choices((1, 2, 3)),
        "b": Choices((1, 2), "a >= 2"),
        "c": Choices((1, 2, 3, 4, 5)),
        "d": Choices((True, False), "b == 2 or a == 3"),
        "e": Choices((1, 2), "d"),
    }
    assert combinations(space) == len(list(Grid().settings(space, None, 0)))
    assert combinations({}) == 1
