"""The oracle of data-parallel training: N ranks take the steps that one rank takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.place import Place
from jobs.training import train
from jobs.world import World
from tests.conftest import ROOT, environment
from tests.jobs.rank import build, made_up

CASES: dict[str, dict[str, Any]] = {
    "even": {"samples": 320, "validation": 100, "batch_size": 32, "optimizer": "adam"},
    # 290 samples and batches of 32: the last has 2, fewer than three ranks, and none divides by 3
    "uneven": {"samples": 290, "validation": 101, "batch_size": 32, "optimizer": "sgd", "momentum": 0.9},
    "apart": {"samples": 64, "validation": 2, "batch_size": 16, "same_start": False},
}
RANDOM: dict[str, dict[str, Any]] = {
    "random": {"samples": 96, "validation": 32, "batch_size": 32, "dropout": 0.5, "normalise": True},
    "resumed": {
        "samples": 96,
        "validation": 32,
        "batch_size": 32,
        "dropout": 0.5,
        "normalise": True,
        "stop": [1, 64],
    },
    "spoiled": {"samples": 32, "validation": 32, "batch_size": 32, "spoil": True},
}


def load(folder: Path, case: str, rank: int) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    with np.load(folder / f"{case}-{rank}.npz") as arrays:
        weights = [arrays[name] for name in arrays.files if name != "metrics"]
        return weights, json.loads(str(arrays["metrics"]))


def start(folder: Path, rank: int, size: int, cases: dict[str, Any]) -> subprocess.Popen[str]:
    """A rank as submitit's local executor starts it."""
    env = environment() | {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_GLOBALID": str(rank),
        "SUBMITIT_LOCAL_LOCALID": str(rank),
        "SUBMITIT_LOCAL_NTASKS": str(size),
    }
    command = [sys.executable, "-m", "tests.jobs.rank", str(folder), json.dumps(cases)]
    return subprocess.Popen(
        command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def by_gloo(folder: Path, size: int, cases: dict[str, Any]) -> None:
    processes = [start(folder, rank, size, cases) for rank in range(size)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * size, "\n".join(outputs)


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[list[NDArray[Any]], dict[str, Any]]]:
    """What one rank comes to, in this process."""
    import keras

    from jobs.options import compile_model, options

    found = {}
    for name, case in CASES.items():
        keras.utils.set_random_seed(7)
        model = build(case)
        chosen = options({k: v for k, v in case.items() if k in ("optimizer", "momentum")})
        compile_model(model, chosen, classes=True)
        data = made_up(case["samples"], case["validation"])
        metrics = train(
            model, data, World(Place(), Path(), ""), epochs=3, batch_size=case["batch_size"], seed=5
        )
        found[name] = ([np.array(weight) for weight in model.weights], dict(metrics))
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks come to that meet through Gloo."""
    folder = tmp_path_factory.mktemp("two ranks")
    by_gloo(folder, 2, {**CASES, **RANDOM})
    return folder


def assert_same(folder: Path, size: int, alone: Any, backend: str) -> None:
    for case, (weights, metrics) in alone.items():
        first, _ = load(folder, case, 0)
        for rank in range(size):
            found, told = load(folder, case, rank)
            for mine, other in zip(found, first, strict=True):
                np.testing.assert_array_equal(mine, other, err_msg=f"{case}, rank {rank}")
            assert (told.pop("backend"), told.pop("size")) == (backend, size)
            for name, value in metrics.items():
                assert told[name] == pytest.approx(value, abs=1e-5), (case, name)
        for mine, other in zip(first, weights, strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5, err_msg=case)


def test_two_ranks_take_the_steps_of_one(two: Path, alone: Any) -> None:
    assert_same(two, 2, alone, "gloo")
    assert not list(two.glob("*meeting*"))  # the rendezvous leaves nothing behind


def test_random_masks_and_batch_statistics_leave_ranks_equal(two: Path) -> None:
    (first, told), (second, _) = load(two, "random", 0), load(two, "random", 1)
    for mine, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert np.isfinite(told["loss"])


def test_two_ranks_that_were_stopped_inside_an_epoch_end_with_the_very_weights(two: Path) -> None:
    for rank in (0, 1):
        (whole, told), (resumed, again) = load(two, "random", rank), load(two, "resumed", rank)
        for mine, other in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(mine, other)
        assert told == again


def test_ranks_that_end_apart_are_found_out(two: Path) -> None:
    for rank in (0, 1):  # all ranks hear of it
        said = (two / f"spoiled-{rank}.txt").read_text()
        assert said.startswith("ranks [1] ended with other weights than rank 0")


@pytest.mark.slow
def test_three_ranks_take_the_steps_of_one_where_nothing_divides(tmp_path: Path, alone: Any) -> None:
    by_gloo(tmp_path, 3, CASES)
    assert_same(tmp_path, 3, alone, "gloo")


def test_two_ranks_under_mpirun_take_the_steps_of_one(tmp_path: Path, alone: Any, mpirun: list[str]) -> None:
    command = [*mpirun, sys.executable, "-m", "tests.jobs.rank", str(tmp_path), json.dumps(CASES)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(tmp_path, 2, alone, "mpi")


def test_a_model_trained_on_ranks_loads_in_plain_keras(two: Path) -> None:
    code = (
        "import keras, sys; model = keras.saving.load_model(sys.argv[1]); "
        "assert type(model.optimizer) is keras.optimizers.Adam, type(model.optimizer); "
        "assert 'horovod' not in sys.modules and 'jobs' not in sys.modules; print(model.count_params())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(two / "even-0.keras")],
        env=dict(os.environ), cwd=two, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(8 * 16 + 16 + 16 * 5 + 5)
