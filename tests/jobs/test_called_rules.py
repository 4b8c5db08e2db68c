"""What is wrong with a sweep of a function or a program is told before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpc import planning, sweeps
from hpc.jobs.check import check
from hpc.profile import Profile
from hpc.sweeps import Sweep, SweepError
from tests.jobs.called import function_sweep

TRAIN = "def train(rate, epochs=3, trial=None):\n    return 0.0\n"


def checked(folder: Path, entries: dict[str, Any]) -> Sweep:
    return check(sweeps.parse(entries, folder), 1)


def program(*arguments: str, **entries: Any) -> dict[str, Any]:
    return {"name": "s", "command": ["sh", *arguments], "objective": "val_loss", **entries}


def test_defaults_of_a_function_are_stored(tmp_path: Path) -> None:
    entries = function_sweep(tmp_path, TRAIN, fixed={"rate": 0.5})
    assert checked(tmp_path, entries).defaults == {"epochs": 3}
    assert checked(tmp_path, program("-c", "true")).defaults == {}


def test_entries_of_a_list_may_be_hyperparameters(tmp_path: Path) -> None:
    entries = function_sweep(tmp_path, "def train(units):\n    return 0\n", space={"units_0": [1, 2]})
    assert checked(tmp_path, {**entries, "fixed": {"units_1": 3}}).size == 2


FUNCTIONS: list[tuple[dict[str, Any], str]] = [
    ({"fixed": {"rat": 1}}, 'fixed.rat: is no argument of mine.py:train (did you mean "rate"?); it takes'),
    ({"fixed": {"epochs": 1}}, "mine.py:train needs rate; give it under fixed or space, or give the"),
    ({"space": {"epochs": [1], "rate": {"choices": [1], "when": "epochs == 1"}}},
     "mine.py:train needs rate in every trial, and it has a condition (when); give it under fixed"),
    ({"settings": [{"rate": 1}, {"epochs": 2}]},
     "mine.py:train needs rate in every trial, and some of settings do not give it; give it under fixed"),
    ({"fixed": {"rate": 1, "trial": 2}}, "fixed.trial: is what a function is told of its trial, by that"),
    ({"train": "mine.py:trian"}, "mine.py (did you mean \"train\"?)"),
    ({"train": "our.py:train"}, "there is no file"),
    ({"train": "train"}, "there is no function 'train'; name yours as file.py:function or package.module:"),
    ({"fixed": {"rate": 1}, "objective": {"metric": "parameters", "mode": "min"}},
     "parameters are the weights of a model; here nobody counts them."),
    ({"fixed": {"rate": 1}, "objective": {"metric": "seconds", "mode": "min"}},
     "seconds can be a further objective, behind one that is measured."),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "said"), FUNCTIONS)
def test_what_a_function_can_t_take_is_told(tmp_path: Path, entries: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError) as caught:
        checked(tmp_path, {**function_sweep(tmp_path, TRAIN), **entries})
    assert said in str(caught.value)


def test_a_function_that_takes_none_says_so(tmp_path: Path) -> None:
    entries = function_sweep(tmp_path, "def train():\n    return 0\n", fixed={"rate": 1})
    with pytest.raises(SweepError, match=r"rate: is no argument of mine\.py:train; it takes none"):
        checked(tmp_path, entries)


PROGRAMS: list[tuple[dict[str, Any], str]] = [
    (program("{rat}", fixed={"rate": 1}),
     'no hyperparameter fills {rat} (did you mean "rate"?); there are rate, and of each trial seed, folder'),
    (program("{rate}", space={"n": [1], "rate": {"choices": [1], "when": "n == 1"}}),
     "in some trials nothing fills {rate}: it has a condition (when); take {params}"),
    (program("{rate}", settings=[{"rate": 1}, {"n": 2}]),
     "in some trials nothing fills {rate}: some of settings do not give it; take {params}"),
    (program("-c", "f() { true; }"), "has braces that are no placeholder, as {learning_rate} is one; write"),
    (program("-c", "{"), "has braces that are no placeholder (Single '{' encountered in format string"),
    (program("{rate:.2f}", fixed={"rate": 1}), "has braces that are no placeholder"),
    (program(fixed={"folder": 1}), "fixed.folder: is what a command is told of its trial, as {folder};"),
    ({**program(), "command": ["no-such-program"]}, "there is no program 'no-such-program' on the PATH."),
    ({**program(), "command": ["mine.py"]},
     "there is no program 'mine.py' on the PATH; one beside the sweep file is written ./mine.py."),
    ({**program(), "command": ["./mime.py"]}, 'mime.py (did you mean "mine.py"?).'),
    (program("mime.sh"), "there is no file "),
    (program(metrics={"val_los": "(.)"}), 'val_loss has no pattern under metrics (did you mean "val_los"?)'),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "said"), PROGRAMS)
def test_what_a_command_can_t_be_filled_with_is_told(
    tmp_path: Path, entries: dict[str, Any], said: str
) -> None:
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(SweepError) as caught:
        checked(tmp_path, entries)
    assert said in str(caught.value)


def test_a_program_has_to_end_before_its_job_does(tmp_path: Path) -> None:
    profile = Profile(cluster="slurm", time_min=60, signal_seconds=60)
    sweep = sweeps.parse(program("-c", "true", grace_seconds=60), tmp_path)
    with pytest.raises(SweepError, match="grace_seconds: 60 s is as long as jobs of this profile have from"):
        planning.checked(sweep, profile)
    assert planning.checked(sweeps.parse(program("-c", "true"), tmp_path), profile).grace_seconds == 30


def test_a_change_of_what_trains_is_noticed(tmp_path: Path) -> None:
    from hpc.jobs.user_files import Sources

    (tmp_path / "helper.py").write_text("A = 1\n")
    function = function_sweep(tmp_path, f"import helper\n{TRAIN}", fixed={"rate": 1})
    (tmp_path / "prog.py").write_text("import helper\n")
    command = {**program(), "command": ["python", "prog.py"]}
    for entries, main in ((function, "mine.py"), (command, "prog.py")):
        sweep = checked(tmp_path, entries)
        before = Sources.of(sweep)
        assert [*before.stamps] == [main, "helper.py"]
        (tmp_path / "helper.py").write_text((tmp_path / "helper.py").read_text() + "B = 2\n")
        assert Sources.of(sweep).digest != before.digest
