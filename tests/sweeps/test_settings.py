"""Settings that a sweep lists by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.sweeps import SweepError

BASE: dict[str, Any] = {"name": "s", "model": "mlp", "data": "digits", "fixed": {"epochs": 2, "dropout": 0.3}}


def params(**entries: Any) -> list[dict[str, Any]]:
    """The hyperparameters of the trials, without those that never change."""
    found = sweeps.parse({**BASE, **entries}).trials
    return [{name: value for name, value in trial.params.items() if name != "epochs"} for trial in found]


def test_each_listed_setting_is_a_trial_and_counts_more_than_what_is_fixed() -> None:
    assert params(settings=[{"dropout": 0.0}, {"hidden_size": 64}]) == [
        {"dropout": 0.0},
        {"dropout": 0.3, "hidden_size": 64},
    ]


def test_each_is_combined_with_the_space_and_with_seeds() -> None:
    entries = {
        "settings": [{"dropout": 0.0}, {"dropout": 0.5}],
        "space": {"hidden_size": [16, 32]},
        "seeds": 2,
    }
    assert params(**entries) == 2 * [
        {"dropout": 0.0, "hidden_size": 16},
        {"dropout": 0.0, "hidden_size": 32},
        {"dropout": 0.5, "hidden_size": 16},
        {"dropout": 0.5, "hidden_size": 32},
    ]


def test_a_listed_setting_is_the_trial_that_a_grid_would_make_of_it() -> None:
    grid = sweeps.parse({**BASE, "fixed": {"epochs": 2}, "space": {"dropout": [0.0, 0.3]}})
    listed = sweeps.parse({**BASE, "settings": {"without": {"dropout": 0.0}, "as it is": None}})
    assert [trial.trial_id for trial in listed.trials] == [trial.trial_id for trial in grid.trials]


def test_settings_may_have_names() -> None:
    sweep = sweeps.parse(
        {**BASE, "settings": {"whole": None, "no dropout": {"dropout": 0.0}}, "seeds": [3, 5]}
    )
    assert [(trial.case, trial.seed, trial.params["dropout"]) for trial in sweep.trials] == [
        ("whole", 3, 0.3), ("no dropout", 3, 0.0), ("whole", 5, 0.3), ("no dropout", 5, 0.0),
    ]  # fmt: skip
    assert sweep.trials[0].to_record()["case"] == "whole"
    assert "case" not in sweep.trials[0].params


def test_zip_takes_lists_side_by_side() -> None:
    lists = {"hidden_size": [16, 32, 64], "dropout": [0.0, 0.1, 0.2]}
    assert params(settings={"zip": lists}) == [
        {"dropout": 0.0, "hidden_size": 16}, {"dropout": 0.1, "hidden_size": 32},
        {"dropout": 0.2, "hidden_size": 64},
    ]  # fmt: skip


def test_what_varies_has_all_values_of_the_settings_and_of_what_is_fixed() -> None:
    sweep = sweeps.parse(
        {**BASE, "settings": [{"dropout": 0.0}, {"hidden_size": 8}], "space": {"depth": [1, 2]}}
    )
    ends = {name: list(one.ends()) for name, one in sweep.dimensions.items()}
    assert ends == {"dropout": [0.0, 0.3], "hidden_size": [8], "depth": [1, 2]}


def test_a_stored_sweep_has_the_same_trials(tmp_path: Path) -> None:
    sweep = sweeps.parse({**BASE, "settings": {"a": {"dropout": 0.0}, "b": {"dropout": 0.1}}})
    (tmp_path / "sweep.yaml").write_text(sweep.as_yaml())
    assert sweeps.load_stored(tmp_path / "sweep.yaml").trials == sweep.trials


FILE = "case, hidden_size, dropout, activation\nsmall, 8, 0, relu\nlarge, 1e2, , tanh\n\n"


def test_a_table_in_a_file_lists_settings(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("﻿" + FILE, encoding="utf-8")
    (tmp_path / "s.yaml").write_text("name: s\nmodel: mlp\ndata: digits\nsettings: cases.csv\n")
    named = sweeps.load(tmp_path / "s.yaml")
    assert named.settings == [
        {"case": "small", "hidden_size": 8, "dropout": 0, "activation": "relu"},
        {"case": "large", "hidden_size": 100.0, "activation": "tanh"},
    ]
    (tmp_path / "s.yaml").write_text("name: s\nmodel: mlp\ndata: digits\n")
    assert sweeps.load(tmp_path / "s.yaml", settings=tmp_path / "cases.csv").trials == named.trials


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no settings; its first line names hyperparameters"),
        ("a,b\n", "has no settings; its first line names hyperparameters"),
        ("a,a\n1,2\n", "line 1: a: each column has a name of its own."),
        ("a,\n1,2\n", "line 1: a column without a name: each column has a name of its own."),
        ("a,b\n1\n", "row 2: has 1 cells, and the first line 2."),
        ("a\n[1\n", "row 2: '[1' is not a YAML value."),
    ],
)
def test_a_file_that_is_no_table_of_settings_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(SweepError) as refused:
        sweeps.load(Path(__file__).parents[2] / "sweeps" / "digits.yaml", settings=tmp_path / "cases.csv")
    assert f"{tmp_path}/cases.csv" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"settings": 3}, "3 is no list of settings; write [{dropout: 0.0}, {dropout: 0.5}]"),
        ({"settings": [3]}, "0: 3 is no group of hyperparameters"),
        ({"settings": {"a": [1]}}, "a: [1] is no group of hyperparameters"),
        ({"settings": {"zip": {"a": [1], "b": [1, 2]}}}, "equal length, but a has 1, b has 2 values"),
        ({"settings": {"zip": {"a": 1}}}, "zip: {'a': 1} is no group of lists"),
        ({"settings": [{"dropout": 0.1}], "search": {"method": "tpe", "trials": 3}, "space": {"a": [1, 2]}},
         "settings: are listed, so there is nothing for tpe to choose"),
        ({"settings": [{"dropout": 0.1}, {"dropout": 0.1}]}, "settings[1]: is setting 0 again"),
        ({"settings": [{"dropout": 0.3}, {}]}, "settings[1]: is setting 0 again"),
        ({"settings": [{"dropout": 0.1}], "space": {"dropout": [0.1]}}, "settings[0].dropout: stands under"),
        ({"settings": [{"case": 3}]}, "settings[0].case: 3 is no name of a setting"),
        ({"settings": [{"case": "a", "dropout": 0.1}, {"case": "a"}]}, "settings[1].case: a: another"),
        ({"settings": [{"seed": 3}]}, "settings[0].seed: is a column of every table; write seeds: 3"),
        ({"settings": [{"dropout": {"low": 0, "high": 1}}]}, "settings[0].dropout: {'low': 0, 'high': 1}"),
        ({"settings": [{"case": "a", "dropout": 0.1}], "space": {"case": [1]}}, "space.case: is a column"),
        ({"settings": [{"dropout": 0.1}, {"depth": 2}], "search": {"pruner": "median"}},
         "settings: give different hyperparameters, which goes with no pruner"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(entries: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError) as refused:
        sweeps.parse({**BASE, **entries})
    assert said in str(refused.value)


def test_ten_thousand_settings_are_enumerated_one_by_one() -> None:
    sweep = sweeps.parse(
        {**BASE, "settings": [{"case": f"c{n}", "hidden_size": n + 1} for n in range(10_000)]}
    )
    assert [trial.case for trial in sweep.trials[:2]] == ["c0", "c1"]
    assert len({trial.trial_id for trial in sweep.trials}) == 10_000
