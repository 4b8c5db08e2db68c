"""Horovod in a user's own code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.jobs.collectives import horovod
from hpc.jobs.collectives.horovod import MpiFirst, RanksUnavailableError
from hpc.jobs.launchers.slurm import OF_SRUN
from hpc.jobs.node.rank_info import FOR_RANKS
from tests.conftest import ROOT

NET = """
import sys

import keras

at_first = {"horovod", "mpi4py"} & sys.modules.keys()

import horovod.tensorflow.keras as hvd

def build(input_shape, num_classes):
    assert not at_first, at_first  # nothing of it is loaded before somebody wants it
    hvd.init()
    from mpi4py import MPI
    assert (hvd.size(), hvd.rank(), hvd.local_rank(), MPI.Is_initialized()) == (1, 0, 0, False)
    softmax = keras.layers.Dense(num_classes, "softmax")
    model = keras.Sequential([keras.Input(input_shape), softmax])
    optimizer = hvd.DistributedOptimizer(keras.optimizers.SGD(0.05 * hvd.size()))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
RUN = """
import json, pathlib
from tests.jobs.working import carried_out

run = carried_out(pathlib.Path.cwd(), {
    "name": "x", "model": "net.py:build", "data": {"name": "digits", "train": 100}, "space": {},
    "fixed": {"epochs": 1}, "objective": "val_accuracy",
})
print(json.dumps([[trial.state, trial.attempt.error] for trial in run.trials.values()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "env",
    [
        {},
        # A rank that trains alone beside another, both started by an MPI.
        {
            "HPC_BACKEND": "mpi",
            "HPC_GROUPS": "2",
            **dict(zip(OF_SRUN.names, ["1", "2", "1", "0", "2"], strict=True)),
        },
    ],
)
def test_a_user_s_code_may_use_horovod_in_a_worker_of_one_rank(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "net.py").write_text(NET)
    kept = {name: v for name, v in os.environ.items() if not name.startswith("HOROVOD_")}
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env={**kept, "PYTHONPATH": str(ROOT), **env},
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [["finished", ""]]


@pytest.fixture
def before_horovod(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As before anybody has imported it; what was loaded since."""
    loaded: list[str] = []
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if not isinstance(one, MpiFirst)])
    monkeypatch.delitem(sys.modules, "horovod", raising=False)
    monkeypatch.setattr(horovod, "load_mpi", lambda: loaded.append("mpi"))
    for name in [*FOR_RANKS, *OF_SRUN.names, *(n for n in os.environ if n.startswith("HOROVOD_"))]:
        monkeypatch.setenv(name, "")  # so that it is as it was, in the end
        monkeypatch.delenv(name)
    return loaded


def test_mpi_is_loaded_once_and_only_for_horovod(
    before_horovod: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for _ in range(2):
        horovod.ease_import()
    (finder,) = [one for one in sys.meta_path if isinstance(one, MpiFirst)]
    for name in ("json", "horovodx", "horovod"):
        assert before_horovod == []
        finder.find_spec(name)
    assert before_horovod == ["mpi"]
    assert os.environ["HOROVOD_CONTROLLER"] == "gloo"
    assert finder not in sys.meta_path


def test_a_world_of_several_keeps_what_it_has_met_by(
    before_horovod: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        os,
        "environ",
        {"HPC_BACKEND": "mpi", **dict(zip(OF_SRUN.names, ["1", "2", "1", "0", "2"], strict=True))},
    )
    finder = MpiFirst()
    sys.meta_path.insert(0, finder)
    finder.find_spec("horovod")
    assert before_horovod == ["mpi"]
    assert not [name for name in os.environ if name.startswith("HOROVOD_")]


def test_without_mpi_horovod_says_itself_what_it_lacks(
    before_horovod: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise RanksUnavailableError("there is no MPI")

    monkeypatch.setattr(horovod, "load_mpi", missing)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    finder = MpiFirst()
    sys.meta_path.insert(0, finder)
    finder.find_spec("horovod")  # raises nothing
    assert finder not in sys.meta_path


@pytest.mark.slow
def test_horovod_is_imported_by_python_itself(tmp_path: Path) -> None:
    code = "import sys, horovod.tensorflow as hvd; hvd.init(); print(hvd.size(), 'hpc' in sys.modules)"
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("1 False\n", 0), done.stderr
