"""Code of a user's that would end the process it runs in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.drawing import NoPictureError, TrialSubject
from hpc.jobs.training.leaving import LeavingError, an_error, contained
from hpc.results import Run
from tests.jobs.working import carried_out, planned

NET = """
import argparse
import sys

import keras

class Finished(BaseException):
    pass

class Leaves(keras.layers.Layer):
    def call(self, x, training=None):
        if training:
            sys.exit(3)
        return x

def build(input_shape, num_classes, way="none"):
    if way == "words":
        sys.exit("config file missing")
    if way == "nothing":
        exit()
    if way == "arguments":
        argparse.ArgumentParser().parse_args(["--no-such"])
    if way == "generator":
        raise GeneratorExit
    if way == "own":
        raise Finished("enough")
    own = [Leaves()] if way == "in training" else []
    softmax = keras.layers.Dense(num_classes, "softmax")
    return keras.Sequential([keras.Input(input_shape), *own, softmax])

"""

WAYS = {
    "words": "sys.exit('config file missing') was called by build (net.py, line 18)",
    "nothing": "sys.exit() was called by build (net.py, line 20)",
    "arguments": "sys.exit(2) was called by build (net.py, line 22)",
    "generator": "GeneratorExit, raised by build (net.py, line 24), is no Exception, and would have ended",
    "own": "Finished: enough, raised by build (net.py, line 26), is no Exception, and would have ended the w",
    "in training": "sys.exit(3) was called by call (net.py, line 13)",
}
ENTRIES = {
    "name": "x", "model": "net.py:build", "data": {"name": "digits", "train": 100}, "fixed": {"epochs": 1},
    "objective": "val_accuracy",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("leaving")
    (folder / "net.py").write_text(NET)
    return carried_out(folder, {**ENTRIES, "space": {"way": [*WAYS, "none"]}})


def test_a_model_that_leaves_costs_its_trial_and_no_other(run: Run) -> None:
    found = {trial.params["way"]: trial for trial in run.trials.values()}
    assert found["none"].state == "finished"
    for way, words in WAYS.items():
        attempt = found[way].attempt
        assert (found[way].state, attempt.reason, len(found[way].attempts)) == ("failed", "error", 1)
        assert attempt.error.splitlines()[0].startswith(words)
        assert 'net.py", line' in attempt.error  # the traceback, too
    left = json.loads((run.records / "test-1-0.jsonl").read_text().splitlines()[-1])
    assert (left["record"], left["how"]) == ("left", "done")


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({"model": "leaves.py:build"}, "import sys\nsys.exit('no licence')\ndef build(): ...\n"),
        ({"model": "mlp", "data": "leaves.py:load"}, "import sys\ndef load():\n    sys.exit('no licence')\n"),
    ],
)
def test_a_file_that_leaves_is_an_error_of_the_worker(
    tmp_path: Path, changes: dict[str, Any], file: str
) -> None:
    (tmp_path / "leaves.py").write_text(file)
    with pytest.raises(LeavingError, match=r"sys.exit\('no licence'\) was called by (code|load) \(leaves.py"):
        carried_out(tmp_path, {**ENTRIES, "space": {}, **changes})


def test_data_that_leave_keep_nobody_from_other_pictures(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("import sys\ndef load():\n    sys.exit(1)\n")
    run = Run(planned(tmp_path, {**ENTRIES, "model": "mlp", "data": "leaves.py:load", "space": {}}))
    with pytest.raises(NoPictureError, match=r"can't be loaded: sys.exit\(1\) was called by load"):
        _ = TrialSubject(run, next(iter(run.trials.values())), print, with_data=True).prepared


def test_an_error_stays_what_it_is_and_ctrl_c_is_for_the_whole_process() -> None:
    error = ValueError("no")
    assert an_error(error) is error
    with pytest.raises(ValueError, match="no"), contained():
        raise error
    with pytest.raises(KeyboardInterrupt), contained():
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        an_error(KeyboardInterrupt())
