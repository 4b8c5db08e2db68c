"""Reading sweep files, right ones and wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.sweeps import Choices, Folds, Range, SweepError, read

GOOD = """\
name: digits-mlp
model: mlp
data: digits
space:
  learning_rate: [0.001, 1e-2]
  dropout: {low: 0.0, high: 0.5}
  width: {low: 16, high: 256, log: true}
fixed: {epochs: 20}
search: {method: random, trials: 5}
seeds: 3
objective: {metric: val_accuracy, mode: max}
"""


COMPARED = """\
name: compared
model: mlp
data: {name: digits, test_split: 0.3}
space: {depth: [1, 2]}
fixed: {epochs: 20}
folds: {n_splits: 4, stratify: true}
baselines:
  - knn
  - {model: lib/trees.py:forest, trees: 10}
keep: all
objective: val_accuracy
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "my sweep.yaml"
    path.write_text(text)
    return path


def test_a_sweep_file_is_read_as_written(tmp_path: Path) -> None:
    sweep = sweeps.load(write(tmp_path, GOOD))
    assert sweep.space == {
        "learning_rate": Choices((0.001, 0.01)),
        "dropout": Range(0.0, 0.5),
        "width": Range(16, 256, log=True),
    }
    assert sweep.data == {"name": "digits"}
    assert sweep.seeds == [0, 1, 2]
    assert (sweep.search.method, sweep.search.trials) == ("random", 5)
    assert len(sweep.trials) == 15
    assert sweep.trials[0].params.keys() == {"epochs", "learning_rate", "dropout", "width"}


def test_a_stored_sweep_has_the_same_trials(tmp_path: Path) -> None:
    sweep = sweeps.load(write(tmp_path, GOOD))
    (tmp_path / "sweep.yaml").write_text(sweep.as_yaml())
    stored = sweeps.load_stored(tmp_path / "sweep.yaml")
    assert stored.trials == sweep.trials
    assert stored.differences(sweep) == []
    assert stored.as_yaml() == sweep.as_yaml()


def test_a_model_file_is_stored_by_its_whole_path_and_keeps_the_names_of_trials(tmp_path: Path) -> None:
    sweep = sweeps.load(write(tmp_path, GOOD.replace("model: mlp", "model: lib/net.py:build")))
    entries = sweep.entries()
    assert entries["model"] == f"{tmp_path}/lib/net.py:build"
    elsewhere = sweeps.parse(entries, tmp_path / "other")
    assert [t.trial_id for t in elsewhere.trials] == [t.trial_id for t in sweep.trials]
    assert elsewhere.differences(sweep) == []


def test_folds_baselines_and_kept_models_are_read_as_written(tmp_path: Path) -> None:
    sweep = sweeps.load(write(tmp_path, COMPARED))
    assert sweep.folds == Folds(n_splits=4, shuffle=False, stratify=True)
    assert sweep.baselines == [{"model": "knn"}, {"model": "lib/trees.py:forest", "trees": 10}]
    assert sweep.keep == "all"
    assert len(sweep.trials) == 4 * (2 + 2)


def test_nothing_is_folded_or_compared_and_the_best_model_kept_unless_the_file_says_so(
    tmp_path: Path,
) -> None:
    sweep = sweeps.load(write(tmp_path, GOOD))
    assert (sweep.folds, sweep.baselines, sweep.keep) == (None, [], "best")
    assert not {"folds", "baselines"} & sweep.entries().keys()  # so that older versions read it


@pytest.mark.parametrize(
    ("written", "folds"),
    [
        ("4", Folds(n_splits=4)),
        ("{n_splits: 4, shuffle: true}", Folds(n_splits=4, shuffle=True)),
        ("", None),
    ],
)
def test_folds_are_a_number_or_say_more(tmp_path: Path, written: str, folds: Folds | None) -> None:
    assert sweeps.load(write(tmp_path, COMPARED), [f"folds={written}"]).folds == folds


def test_a_stored_comparison_has_the_same_trials_wherever_it_is_stored(tmp_path: Path) -> None:
    sweep = sweeps.load(write(tmp_path, COMPARED))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sweep.yaml").write_text(sweep.as_yaml())
    stored = sweeps.load_stored(tmp_path / "runs" / "sweep.yaml")
    assert [t.trial_id for t in stored.trials] == [t.trial_id for t in sweep.trials]
    assert stored.differences(sweep) == []
    assert stored.as_yaml() == sweep.as_yaml()
    assert (stored.folds, stored.keep) == (sweep.folds, "all")
    # the run is elsewhere than the sweep file, which the baseline's file lies beside
    assert stored.baselines[1] == {"model": f"{tmp_path}/lib/trees.py:forest", "trees": 10}


def test_which_models_are_kept_makes_no_other_experiment(tmp_path: Path) -> None:
    path = write(tmp_path, COMPARED)
    sweep = sweeps.load(path)
    for keep in ("none", "best", "all"):
        other = sweeps.load(path, [f"keep={keep}"])
        assert other.keep == keep
        assert other.trials == sweep.trials
        assert other.differences(sweep) == []


def test_other_folds_or_baselines_make_another_experiment(tmp_path: Path) -> None:
    path = write(tmp_path, COMPARED)
    sweep = sweeps.load(path)
    assert sweeps.load(path, ["folds=4"]).differences(sweep) == ["folds.stratify is False, there True"]
    assert sweeps.load(path, ["folds="]).differences(sweep) == [
        "folds is absent, there {'n_splits': 4, 'shuffle': False, 'stratify': True}"
    ]
    assert sweep.differences(sweeps.load(path, ["folds="])) == [
        "folds is {'n_splits': 4, 'shuffle': False, 'stratify': True}, there absent"
    ]
    (said,) = sweeps.load(path, ["baselines=[knn]"]).differences(sweep)
    assert said.startswith("baselines is [{'model': 'knn'}], there [{'model': 'knn'}, {'model': 'trees.py:")


def test_differences_name_the_entries(tmp_path: Path) -> None:
    sweep = sweeps.load(write(tmp_path, GOOD))
    other = sweeps.load(write(tmp_path, GOOD), ["fixed.epochs=5", "space.dropout.high=0.4", "name=other"])
    assert other.differences(sweep) == [
        "space.dropout.high is 0.4, there 0.5",
        "fixed.epochs is 5, there 20",
    ]


@pytest.mark.parametrize(
    ("written", "metric", "mode"),
    [
        ("val_accuracy", "val_accuracy", "max"),
        ("{metric: val_loss}", "val_loss", "min"),
        ("{metric: val_mean_absolute_error}", "val_mean_absolute_error", "min"),
        ("{metric: val_loss, mode: max}", "val_loss", "max"),
    ],
)
def test_the_mode_of_an_objective_is_guessed(tmp_path: Path, written: str, metric: str, mode: str) -> None:
    objective = sweeps.load(write(tmp_path, GOOD), [f"objective={written}"]).objective
    assert (objective.metric, objective.mode) == (metric, mode)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("fixed.epochs=5", "fixed", {"epochs": 5}),
        ("data.train=100", "data", {"name": "digits", "train": 100}),
        ("seeds=[4, 7]", "seeds", [4, 7]),
        ("space.width=[8]", "space", None),
    ],
)
def test_set_overrides_any_entry(tmp_path: Path, override: str, key: str, value: Any) -> None:
    sweep = sweeps.load(write(tmp_path, GOOD), [override])
    if value is None:
        assert sweep.space["width"] == Choices((8,))
    else:
        assert getattr(sweep, key) == value


WRONG = [
    # what is changed, and what the message must say
    (("space:", "spcae:"), ["line 4: spcae: is not known here", 'did you mean "space"?']),
    (("[0.001, 1e-2]", "[]"), ["line 5: space.learning_rate: [] is an empty list", "at least one"]),
    (("[0.001, 1e-2]", "[0.1, 0.1]"), ["line 5: space.learning_rate: 0.1 stands twice"]),
    (("[0.001, 1e-2]", "0.1"), ["space.learning_rate: 0.1 is a single value", "fixed"]),
    (("[0.001, 1e-2]", "[.nan]"), ["space.learning_rate: nan can't be a choice"]),
    (("low: 0.0, high: 0.5", "low: 0.5, high: 0.1"), ["line 6: space.dropout: low <= high must hold, "
                                                       "but got low=0.5, high=0.1"]),
    (("low: 16,", "low: 0,"), ["line 7: space.width: a log range must start above 0, but got low=0"]),
    (("low: 16,", "lwo: 16,"), ["space.width: a range has low, high, log, step and when, not 'lwo'",
                                'did you mean "low"?']),
    (("low: 16, ", ""), ["space.width: a range needs low"]),
    (("low: 16,", "low: few,"), ["space.width: low must be a number, but got low='few'"]),
    (("log: true", "log: 10"), ["space.width: log must be true or false, but got log=10"]),
    (("log: true", "log: true, step: 2"), ["space.width: a range has log or step, not both"]),
    (("log: true", "step: 0"), ["space.width: step must be above 0, but got step=0"]),
    (("{method: random, trials: 5}", "grid"), ["line 6: space.dropout: a grid needs a list of choices, "
                                               "but got a range from 0.0 to 0.5"]),
    (("method: random", "method: gird"), ["line 9: search: there is no search 'gird'",
                                          'did you mean "grid"?']),
    (("trials: 5", "trials: 0"), ["line 9: search.trials: 0 is not a number of at least 1"]),
    (("trials: 5", "trils: 5"), ["search.trils: is not known here", 'did you mean "trials"?']),
    ((", trials: 5", ""), ["search: does not say how many trials"]),
    (("seeds: 3", "seeds: 0"), ["line 10: seeds: 0 is not a number of seeds"]),
    (("seeds: 3", "seeds: [1, 1]"), ["seeds: [1, 1] holds a seed twice"]),
    (("mode: max", "mode: best"), ["objective.mode: 'best' is not 'min' or 'max'"]),
    (("digits-mlp", "a/b"), ["line 1: name: 'a/b' can't be the name of a folder"]),
    (("digits-mlp", ".."), ["name: '..' can't be the name of a folder"]),
    (("digits-mlp", "3"), ["name: 3 is not a word"]),
    (("name: digits-mlp\n", ""), ["name: is missing, for example `name: digits-mlp`"]),
    (("data: digits", "data: [digits]"), ["data: ['digits'] names no dataset"]),
    (("{epochs: 20}", "{epochs: 20, dropout: 0.1}"), ["fixed.dropout: stands under space and under fixed"]),
    (("{epochs: 20}", "{seed: 1}"), ["fixed.seed: is a column of every table; write seeds: 3"]),
    (("{epochs: 20}", "{epochs: {low: 1, high: 2}}"), ["fixed.epochs:", "looks like a range"]),
    (("  dropout:", "  learning_rate:"), ["line 6: learning_rate: is given twice"]),
    (("{epochs: 20}", "{epochs: 20"), ["is not YAML"]),
    ((GOOD, ""), ["is empty"]),
    ((GOOD, "- a\n"), ["not key: value lines"]),
    (("seeds: 3", "defaults: {}"), ["defaults: is written by hpc"]),
]  # fmt: skip


WRONG_COMPARISON = [
    (("{n_splits: 4, stratify: true}", "1"), ["line 6: folds.n_splits: 1 is not a number of at least 2"]),
    (("{n_splits: 4, stratify: true}", "four"), ["line 6: folds: 'four' is not a whole number, or a group "
                                                 "of `name: value` lines"]),
    (("{n_splits: 4, stratify: true}", "true"), ["line 6: folds: True is not a whole number"]),
    (("{n_splits: 4, stratify: true}", "2.5"), ["line 6: folds: 2.5 is not a whole number"]),
    (("n_splits: 4, ", ""), ["line 6: folds.n_splits: is missing"]),
    (("n_splits: 4", "n_splits: 2.5"), ["line 6: folds.n_splits: 2.5 is not a whole number"]),
    (("n_splits: 4", "splits: 4"), ["line 6: folds.splits: is not known here",
                                    "known are n_splits, shuffle, stratify"]),
    (("stratify: true", "stratfy: true"), ["folds.stratfy: is not known here", 'did you mean "stratify"?']),
    (("stratify: true", "stratify: 1"), ["line 6: folds.stratify: 1 is not true or false"]),
    (("  - knn\n", "  - 3\n"), ["line 7: baselines: 3 names no model; write {model: knn, n_neighbors: 3}"]),
    (("  - knn\n", "  - {n_neighbors: 3}\n"), ["line 7: baselines: {'n_neighbors': 3} names no model"]),
    (("  - knn\n  - {model: lib/trees.py:forest, trees: 10}\n", "  knn\n"),
     ["line 7: baselines: 'knn' is no list of models; write [knn]"]),
    (("trees: 10", "seed: 10"), ["line 9: baselines[1].seed: is a column of every table"]),
    (("trees: 10", "fold: 1"), ["line 9: baselines[1].fold: is a column of every table"]),
    (("  - knn\n", "  - knn\n  - {model: knn}\n"), ["line 9: baselines[1]: stands there twice"]),
    (("keep: all", "keep: some"), ["line 10: keep: 'some' is not 'none', 'best' or 'all'"]),
    (("keep: all", "keep: true"), ["line 10: keep: True is not 'none', 'best' or 'all'"]),
    (("{epochs: 20}", "{fold: 1}"), ["line 5: fixed.fold: is a column of every table"]),
    (("{epochs: 20}", "{model: mlp}"), ["line 5: fixed.model: is a column of every table"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"), WRONG_COMPARISON, ids=[str(change) for change, _ in WRONG_COMPARISON]
)
def test_a_wrong_comparison_is_answered_with_place_value_and_remedy(
    tmp_path: Path, change: tuple[str, str], said: list[str]
) -> None:
    assert change[0] in COMPARED
    with pytest.raises(SweepError) as error:
        sweeps.load(write(tmp_path, COMPARED.replace(*change)))
    for words in said:
        assert words in str(error.value)


def test_a_baseline_that_is_a_trial_of_the_sweep_already_is_refused(tmp_path: Path) -> None:
    text = COMPARED.replace("model: mlp", "model: knn").replace("depth: [1, 2]", "n_neighbors: [3, 5]")
    same = text.replace("  - knn\n", "  - {model: knn, n_neighbors: 3, epochs: 20}\n")
    with pytest.raises(SweepError, match=r"line 8: baselines\[0\]: is a trial that the sweep has"):
        sweeps.load(write(tmp_path, same))
    scaled = text.replace("epochs: 20", "scale: center").replace(
        "  - knn\n", "  - knn\n  - {model: knn, scale: center}\n"
    )
    with pytest.raises(SweepError, match=r"line 9: baselines\[1\]: is a trial that the sweep has"):
        sweeps.load(write(tmp_path, scaled))
    other = text.replace("  - knn\n", "  - {model: knn, n_neighbors: 7, epochs: 20}\n")
    names = [t.trial_id for t in sweeps.load(write(tmp_path, other)).trials]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_a_wrong_file_is_answered_with_place_value_and_remedy(
    tmp_path: Path, change: tuple[str, str], said: list[str]
) -> None:
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(SweepError) as error:
        sweeps.load(path)
    assert str(error.value).startswith(str(path))
    for words in said:
        assert words in str(error.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("seeds: 3", "seeds: 0").replace("low: 16", "low: 0")
    with pytest.raises(SweepError) as error:
        sweeps.load(write(tmp_path, text))
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("fixed.epochs", "must be KEY=VALUE"),
        ("fixed.epochs=[1", "'[1' is not a YAML value"),
        ("name.x=1", "name is 'digits-mlp', which has no entry 'x'"),
        ("seeds=0", "--set seeds=0: seeds: 0 is not a number of seeds"),
    ],
)
def test_a_wrong_override_is_answered(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(SweepError) as error:
        sweeps.load(write(tmp_path, GOOD), [override])
    assert said in str(error.value)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(SweepError, match=r"there is no such file \(did you mean \"my sweep.yaml\""):
        sweeps.load(tmp_path / "my sweeep.yaml")


def test_more_different_points_than_the_space_has_are_refused() -> None:
    entries = {"name": "x", "model": "mlp", "data": "digits", "space": {"depth": {"low": 1, "high": 3}}}
    with pytest.raises(SweepError, match="4 different settings are asked for, but the space has only 3"):
        sweeps.parse({**entries, "search": {"method": "random", "trials": 4}})
    assert len(sweeps.parse({**entries, "search": {"method": "random", "trials": 3}}).trials) == 3


def test_every_ready_made_sweep_can_be_read() -> None:
    folder = Path(sweeps.__file__).parent
    names = {path: path.stem.replace("_", "-") for path in folder.glob("*.yaml")}
    assert set(names.values()) >= {"digits", "mnist-mlp"}
    course = {path: f"course-{path.stem}" for path in folder.glob("course/*.yaml")}
    assert len(course) == 18
    for path, name in {**names, **course}.items():
        assert sweeps.load(path).name == name
        assert path.read_text().startswith("# ")  # what `hpc list sweeps` shows


MERGED = """\
name: merged
model: mlp
data: digits
fixed: &common
  epochs: 0.5
budget:
  <<: {node_hours: -1}
baselines:
  - <<: [{model: knn}, {model: svc, trees: 1}]
confirm:
  <<:
    <<: {best: 0}
    seeds: 2
"""


def test_what_is_merged_from_elsewhere_is_read_and_told_by_its_own_line(tmp_path: Path) -> None:
    document = read(write(tmp_path, MERGED))
    assert document.entries["budget"] == {"node_hours": -1}
    assert document.entries["baselines"] == [{"model": "knn", "trees": 1}]
    assert document.entries["confirm"] == {"best": 0, "seeds": 2}
    with pytest.raises(SweepError) as error:
        sweeps.load(write(tmp_path, MERGED))
    said = "\n".join(error.value.problems)
    assert "line 7: budget.node_hours: -1" in said
    assert "line 12: confirm.best: 0" in said
    anchored = read(write(tmp_path, "a: &a\n  x: 1\n  y: 2\nb:\n  <<: *a\n  y: 3\n"))
    assert anchored.entries["b"] == {"x": 1, "y": 3}
    assert (anchored.places["b", "x"], anchored.places["b", "y"]) == ("line 2", "line 6")


@pytest.mark.parametrize("value", ["2001-99-99", "!!int x", "9" * 5000])
def test_a_value_that_no_yaml_can_be_is_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(SweepError, match=r"my sweep\.yaml: is not YAML: "):
        sweeps.load(write(tmp_path, f"{GOOD}\nkeep: {value}\n"))
    with pytest.raises(SweepError, match="is not a YAML value"):
        sweeps.load(write(tmp_path, GOOD), [f"keep={value}"])


BOMB = "a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def test_aliases_that_stand_for_more_than_a_memory_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SweepError, match=r"has more than 1,000,000 entries, those that aliases repeat included"
    ):
        sweeps.load(write(tmp_path, BOMB))


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a {b: *a}\n"])
def test_aliases_that_stand_for_themselves_end_nothing(tmp_path: Path, text: str) -> None:
    with pytest.raises(SweepError, match="a: is not known here"):
        sweeps.load(write(tmp_path, text))
