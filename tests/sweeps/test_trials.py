"""Trials: which there are, and names that never change."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.sweeps import SHARED, Choices, Range, SweepError, Trial
from hpc.sweeps.searches.grid import Grid
from hpc.sweeps.searches.random import Random
from hpc.sweeps.trial import place_and_function, trial_id

STORED = Path(__file__).with_name("trial_ids.json")
FOLDS: list[dict[str, int | bool]] = [
    {"n_splits": 4, "shuffle": False, "stratify": False, "fold": 0},
    {"n_splits": 4, "shuffle": False, "stratify": False, "fold": 1},
    {"n_splits": 5, "shuffle": False, "stratify": False, "fold": 0},
    {"n_splits": 4, "shuffle": True, "stratify": False, "fold": 0},
    {"n_splits": 4, "shuffle": False, "stratify": True, "fold": 0},
]


def test_trials_have_the_names_they_have_always_had() -> None:
    """If this fails, tables of earlier versions no longer match: mend the code, not the file."""
    for stored in json.loads(STORED.read_text()):
        trials = sweeps.parse(stored["sweep"]).trials
        for trial, facts in zip(trials, stored["trials"], strict=True):
            assert {"trial_id", "params", "seed"} <= facts.keys()
            assert {name: vars(trial)[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"space": {"rate": np.logspace(-3, -1, 3)}}, {"space": {"rate": [0.001, 0.01, 0.1]}}),
        ({"space": {"rate": list(np.array([0.5, 2.0]))}}, {"space": {"rate": [0.5, 2.0]}}),
        ({"space": {"size": (np.int64(4), np.int32(8))}}, {"space": {"size": [4, 8]}}),
        ({"space": {"size": range(1, 4)}}, {"space": {"size": [1, 2, 3]}}),
        ({"space": {"size": [(8, 4), np.array([2, 2])]}}, {"space": {"size": [[8, 4], [2, 2]]}}),
        ({"space": {"b": [np.True_, np.False_], "a": {"choices": [np.str_("x")], "when": {"b": np.True_}}}},
         {"space": {"b": [True, False], "a": {"choices": ["x"], "when": "b == True"}}}),
        ({"space": {"rate": {"low": np.float64(0), "high": np.float32(0.5)}},
          "search": {"method": np.str_("random"), "trials": np.int64(3)}},
         {"space": {"rate": {"low": 0.0, "high": 0.5}}, "search": {"method": "random", "trials": 3}}),
        ({"fixed": {"epochs": np.array(3)}, "seeds": np.arange(2), "folds": np.int8(2)},
         {"fixed": {"epochs": 3}, "seeds": [0, 1], "folds": 2}),
        ({"data": {"name": Path("a.csv"), "train": np.int64(9)}}, {"data": {"name": "a.csv", "train": 9}}),
        ({"baselines": ({"model": "knn", "n_neighbors": np.int64(3)},), "objective": ("loss", "val_loss")},
         {"baselines": [{"model": "knn", "n_neighbors": 3}], "objective": ["loss", "val_loss"]}),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_of_numpy_make_the_trials_that_plain_ones_make(
    given: dict[str, Any], plain: dict[str, Any]
) -> None:
    base = {"name": "x", "model": "mlp", "data": "digits"}
    made, wanted = sweeps.parse({**base, **given}), sweeps.parse({**base, **plain})
    assert made.trials == wanted.trials
    assert made.as_yaml() == wanted.as_yaml()
    assert repr([trial.params for trial in made.trials]) == repr([trial.params for trial in wanted.trials])


@pytest.mark.parametrize("value", [b"adam", {1, 2}, 1j, np.datetime64("2001-01-01"), Decimal("0.1"), object])
def test_what_no_sweep_file_could_hold_is_refused(value: object) -> None:
    entries = {"name": "x", "model": "mlp", "data": "digits", "space": {"rate": [0.1, value]}}
    with pytest.raises(SweepError, match=r"^space\.rate\[1\]: .+; a sweep holds numbers, words, true"):
        sweeps.parse(entries)


def test_a_name_starts_with_a_letter_and_depends_on_all_that_decides_the_outcome() -> None:
    base = ("mlp", {"name": "digits"}, {"dropout": 0.5}, 0)
    names = {
        trial_id(*base),
        trial_id("cnn", *base[1:]),
        trial_id("mlp", {"name": "digits", "train": 5}, *base[2:]),
        trial_id("mlp", base[1], {"dropout": 0.25}, 0),
        trial_id(*base[:3], 1),
        *(trial_id(*base, fold) for fold in FOLDS),
    }
    assert len(names) == 5 + len(FOLDS)
    assert all(name[0] == "t" and len(name) == 11 and name.isalnum() for name in names)


def test_equal_numbers_and_other_orders_give_the_same_name() -> None:
    data = {"name": "digits"}
    assert trial_id("mlp", data, {"a": 1, "b": [2.0]}, 0) == trial_id("mlp", data, {"b": [2], "a": 1.0}, 0)


def test_a_grid_has_every_combination_the_last_name_fastest() -> None:
    space = {"a": Choices((1, 2)), "b": Choices(("x", "y", "z"))}
    points = [tuple(point.values()) for point in Grid().settings(space, None, 0)]
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


def cross_validated(**further: Any) -> sweeps.Sweep:
    entries = {"name": "x", "model": "mlp", "data": "digits", "space": {"depth": [1, 2]}, "seeds": 2}
    return sweeps.parse({**entries, "folds": 3, **further})


def test_every_point_comes_with_the_first_seed_and_fold_then_with_the_second_fold() -> None:
    trials = cross_validated().trials
    assert [(t.seed, t.fold, t.params["depth"]) for t in trials] == list(
        itertools.product((0, 1), (0, 1, 2), (1, 2))
    )
    assert [t.index for t in trials] == list(range(12))
    assert len({t.trial_id for t in trials}) == 12


def test_trials_of_folds_bear_other_names_than_those_without_and_of_other_folds() -> None:
    kinds: list[Any] = [None, 3, 4, {"n_splits": 3, "shuffle": True}, {"n_splits": 3, "stratify": True}]
    names = [t.trial_id for folds in kinds for t in cross_validated(folds=folds).trials]
    assert len(names) == len(set(names)) == 4 * (1 + 3 + 4 + 3 + 3)
    written_out = cross_validated(folds={"n_splits": 3, "shuffle": False, "stratify": False})
    assert written_out.trials == cross_validated(folds=3).trials


def test_baselines_come_last_with_the_same_seeds_and_folds() -> None:
    baselines = ["knn", {"model": "svm", "C": 10}]
    trials = cross_validated(baselines=baselines).trials
    assert trials[:12] == cross_validated().trials
    assert [(t.seed, t.fold, t.model, t.params) for t in trials[12:]] == [
        (seed, fold, model, params)
        for seed in (0, 1)
        for fold in (0, 1, 2)
        for model, params in (("knn", {}), ("svm", {"C": 10}))
    ]
    assert [t.index for t in trials] == list(range(24))
    assert len({t.trial_id for t in trials}) == 24


def test_of_what_is_fixed_baselines_share_only_how_data_are_scaled_and_results_measured() -> None:
    shared = {"scale": "standard", "loss": "hinge", "metrics": ["accuracy"], "dtype": "float64"}
    assert tuple(shared) == SHARED
    fixed = {**shared, "epochs": 3, "learning_rate": 0.1, "activation": "tanh"}
    baselines = ["knn", {"model": "svm", "C": 10, "scale": "none"}]
    sweep = cross_validated(fixed=fixed, baselines=baselines)
    params = {t.model: t.params for t in sweep.trials}
    assert params["mlp"] == {**fixed, "depth": 2}
    assert params["knn"] == shared
    assert params["svm"] == {**shared, "scale": "none", "C": 10}


def test_a_baseline_bears_the_name_of_the_same_model_in_a_sweep_of_its_own() -> None:
    with_baseline = cross_validated(fixed={"scale": "minmax", "epochs": 3}, baselines=[{"model": "knn"}])
    alone = sweeps.parse(
        {"name": "y", "model": "knn", "data": "digits", "fixed": {"scale": "minmax"}, "folds": 3, "seeds": 2}
    )
    assert [t.trial_id for t in with_baseline.trials[12:]] == [t.trial_id for t in alone.trials]


def test_what_records_say_of_a_trial() -> None:
    first = cross_validated(baselines=["knn"]).trials[0]
    assert first.to_record() == {
        "trial": first.trial_id, "index": 0, "params": {"depth": 1}, "seed": 0, "model": "mlp", "fold": 0,
    }  # fmt: skip
    assert "fold" not in cross_validated(folds=None).trials[0].to_record()


def test_one_parameter_more_leaves_random_draws_of_the_others_as_they_were() -> None:
    few = {"a": Range(0.0, 1.0)}
    more = {"b": Range(0.0, 1.0), **few}
    first = [p["a"] for p in Random().settings(few, 10, seed=3)]
    assert first == [p["a"] for p in Random().settings(more, 10, seed=3)]
    assert first != [p["a"] for p in Random().settings(few, 10, seed=4)]


def test_random_points_are_all_different() -> None:
    space: dict[str, Choices | Range] = {"a": Choices((1, 2, 3)), "b": Range(1, 4)}
    points = list(Random().settings(space, 12, seed=0))
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
    assert Trial(0, "t", {"a": 1}, 0, "mlp") == Trial(0, "t", {"a": 1}, 0, "mlp", None)


@pytest.mark.parametrize(
    ("folder", "given", "file"),
    [
        ("plain", "points.csv", "points.csv"),
        ("plain", "points.csv", "points-2024.csv"),
        ("plain", "points.csv", "cache/ab12cd34"),
        ("2024-05-01T10:30:00", "points.csv", "points.csv"),
        ("plain", "2024-05-01T10:30:00/points.csv", "points-2024.csv"),
        ("plain", "../plain/at 10:30.csv", "points.csv"),
    ],
)
def test_a_stored_sweep_names_its_trials_as_it_began_whatever_links_and_folders_are_called(
    tmp_path: Path, folder: str, given: str, file: str
) -> None:
    here = tmp_path / folder
    link, target = here / given, here / "sets" / file
    for path in (link, target, here / "runs"):
        path.parent.mkdir(parents=True, exist_ok=True)
    (here / "runs").mkdir()
    target.write_text("a,y\n1,0\n")
    link.symlink_to(target)
    entries = {
        "name": "x", "model": "net.py:build", "data": given, "baselines": [f"{given}.py:fit"], "seeds": 2,
    }  # fmt: skip
    begun = sweeps.parse(entries, here)
    (here / "runs" / "sweep.yaml").write_text(begun.as_yaml())
    link.unlink()
    stored = sweeps.load_stored(here / "runs" / "sweep.yaml")
    names = [trial.trial_id for trial in begun.trials]
    assert [trial.trial_id for trial in stored.trials] == names
    assert stored.data["name"].endswith(given)
    assert Path(stored.data["name"]).is_absolute()
    assert stored.differences(begun) == []
    assert stored.as_yaml() == begun.as_yaml()
    assert names == [trial.trial_id for trial in sweeps.parse(entries, tmp_path / "elsewhere").trials]


def test_colons_of_folders_are_no_part_of_what_is_asked_of_a_file() -> None:
    assert place_and_function("a/10:30:00/net.py:build") == ("a/10:30:00/net.py", "build")
    assert place_and_function("a/10:30:00/points.csv") == ("a/10:30:00/points.csv", "")
    assert place_and_function("package.module:function") == ("package.module", "function")
    assert place_and_function("digits") == ("digits", "")
