"""Sweeps whose training is a function or a program: their entries, their ids, what they leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.sweeps import SweepError

FUNCTION: dict[str, Any] = {"name": "s", "train": "mine.py:train", "objective": "val_loss"}
PROGRAM: dict[str, Any] = {"name": "s", "command": ["./train", "--lr", "{lr}"], "objective": "val_loss"}
LR: dict[str, Any] = {"space": {"lr": [0.1, 0.5]}}


def test_a_sweep_has_one_kind_of_training() -> None:
    model = sweeps.parse({"name": "s", "model": "mlp", "data": "digits"})
    function, program = sweeps.parse(FUNCTION), sweeps.parse(PROGRAM | LR)
    assert [one.kind for one in (model, function, program)] == ["model", "function", "program"]
    assert [one.training for one in (model, function, program)] == [
        "mlp", "mine.py:train", "./train --lr '{lr}'",
    ]  # fmt: skip


def test_a_command_may_be_a_text_that_is_split_as_a_shell_would() -> None:
    sweep = sweeps.parse({**PROGRAM, "command": "python 'my train.py' --lr={lr} 3 > out", **LR})
    assert sweep.command == ["python", "my train.py", "--lr={lr}", "3", ">", "out"]
    assert sweeps.parse({**PROGRAM, "command": ["a", 1, 0.5]}).command == ["a", "1", "0.5"]


def test_ids_depend_on_what_trains_and_on_its_hyperparameters_only(tmp_path: Path) -> None:
    def ids(entries: dict[str, Any], folder: Path = tmp_path) -> list[str]:
        return [trial.trial_id for trial in sweeps.parse(entries, folder).trials]

    for base in (FUNCTION | LR, PROGRAM | LR):
        first = ids(base)
        assert len({*first}) == 2
        assert ids({**base, "name": "other", "objective": "loss", "budget": {"core_hours": 1}}) == first
        assert ids(base, tmp_path / "elsewhere") == first
        assert not {*ids({**base, "seeds": [7]})} & {*first}
    assert ids({**PROGRAM, **LR, "grace_seconds": 1}) == ids(PROGRAM | LR)
    assert ids({**PROGRAM, **LR, "metrics": {"val_loss": "(.)"}}) != ids(PROGRAM | LR)
    assert ids({**PROGRAM, **LR, "command": ["./train"]}) != ids(PROGRAM | LR)
    assert ids({**FUNCTION, **LR, "train": "mine.py:other"}) != ids(FUNCTION | LR)
    assert ids(FUNCTION | LR) == ["tq5kfdjm6po", "tajiz45ihuf"], "as in runs that there are"


@pytest.mark.parametrize("entries", [FUNCTION | LR, {**PROGRAM, **LR, "metrics": {"val_loss": "(.)"}}])
def test_what_is_stored_gives_the_same_trials(tmp_path: Path, entries: dict[str, Any]) -> None:
    sweep = sweeps.parse(entries, tmp_path)
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "sweep.yaml").write_text(sweep.as_yaml())
    again = sweeps.load_stored(tmp_path / "stored" / "sweep.yaml")
    assert [one.trial_id for one in again.trials] == [one.trial_id for one in sweep.trials]
    assert again.differences(sweep) == []
    assert again.as_yaml() == sweep.as_yaml()
    assert "data" not in again.entries()
    other = sweeps.parse({**entries, "objective": "loss"}, tmp_path)
    assert other.differences(sweep) == ["objective.metric is loss, there val_loss"]


def test_sweeps_of_different_kinds_are_different_experiments() -> None:
    found = sweeps.parse(FUNCTION).differences(sweeps.parse({**PROGRAM, "command": ["a"]}))
    assert found == ["train is mine.py:train, there absent", "command is absent, there ['a']"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "s"}, "model: is missing, for example `model: mlp`; or name a function by train, or a program"),
    ({**FUNCTION, "model": "mlp"}, "train: is one training too many, beside model: a sweep trains a model"),
    ({**PROGRAM, "train": "a.py:b"}, "command: is one training too many, beside train"),
    ({**FUNCTION, "data": "digits"}, "data: is for a model: a function loads its own"),
    ({**PROGRAM, "data": "digits"}, "data: is for a model: a program loads its own"),
    ({**FUNCTION, "folds": 3}, "folds: are parts of data that are loaded here, and a function loads its own"),
    ({**FUNCTION, "baselines": ["knn"]}, "baselines: are models that are trained on data that are loaded"),
    ({**FUNCTION, "pack": 4}, "pack: is for Keras models, which can be trained as one; a function is called"),
    ({**FUNCTION, "metrics": {"a": "(.)"}}, "metrics: are patterns on what a program prints, and go with"),
    ({**FUNCTION, "grace_seconds": 3}, "grace_seconds: is how long a program may take to end"),
    ({**FUNCTION, "constraints": ["parameters < 9"]}, "'parameters < 9' limits the weights of a model, and "),
    ({**PROGRAM, "command": []}, r"command: [] is no program with its arguments; write [python, train.py"),
    ({**PROGRAM, "command": "a 'b"}, "can't be split into a program and its arguments: No closing quotation"),
    ({**PROGRAM, "command": ["a", ["b"]]}, "['b'] is no argument of a program; write it in quotation marks"),
    ({**PROGRAM, "command": ["", "a"]}, "begins with an empty name of a program"),
    ({**PROGRAM, "metrics": "val_loss"}, "'val_loss' are no patterns by the names of metrics; write"),
    ({**PROGRAM, "metrics": {"a": "("}}, "the pattern of a, '(', can't be read: missing ), unterminated"),
    ({**PROGRAM, "metrics": {"a": "a"}}, "the pattern of a, 'a', has 0 groups, and must have one: the"),
    ({**PROGRAM, "metrics": {"a": "(a)(b)"}}, "the pattern of a, '(a)(b)', has 2 groups, and must have one"),
    ({**PROGRAM, "grace_seconds": -1}, "grace_seconds: "),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "said"), WRONG)
def test_what_makes_no_sense_is_refused_in_a_sentence(entries: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError) as caught:
        sweeps.parse(entries)
    assert said in str(caught.value)
