"""Trainings on several ranks, and what one rank comes to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from tests.conftest import ROOT, environment
from tests.jobs.rank import prepare, settings
from tests.jobs.users import ONE_RANK
from tests.jobs.working import train

CASES: dict[str, dict[str, Any]] = {
    "even": {"samples": 320, "validation": 100, "batch_size": 32, "optimizer": "adam"},
    # 290 samples and batches of 32: the last has 2, fewer than three ranks, and none divides by 3
    "uneven": {"samples": 290, "validation": 101, "batch_size": 32, "optimizer": "sgd", "momentum": 0.9},
    "apart": {"samples": 64, "validation": 2, "batch_size": 16, "same_start": False},
    # fewer samples per step than ranks
    "one by one": {"samples": 21, "validation": 5, "batch_size": 1, "optimizer": "sgd", "momentum": 0.5},
    "measured rarely, and tested": {
        "samples": 70,
        "validation": 101,
        "test": 33,
        "batch_size": 32,
        "epochs": 5,
        "validation_freq": 2,
        "schedule": "cosine",
        "warmup_epochs": 0.5,
        "learning_rate": 0.05,
    },
    # the ranks' shares of 33 samples, 16 / 33 and 17 / 33, are no numbers of single precision
    "in double precision": {
        "samples": 99,
        "validation": 7,
        "test": 5,
        "batch_size": 33,
        "dtype": "float64",
        "optimizer": "sgd",
    },
    # shares of 16 samples in 3 parts, and the last batch has 2 for two ranks' 6
    "in parts": {"samples": 290, "validation": 101, "batch_size": 32, "accumulate_steps": 3},
    "measured only": {"samples": 1, "validation": 2, "test": 1, "batch_size": 1, "epochs": 0},
}


PRECISION = {"in double precision": 1e-13, "half_precision": 2e-3}
"""How near two ranks have to come to one; 1e-5 unless said otherwise."""


UNEVEN = {"samples": 70, "validation": 37, "test": 9, "batch_size": 16}


REFUSED = {name: {**UNEVEN, "user": name} for name in ONE_RANK if name != "counting"}


def start(rank: int, size: int, *arguments: str) -> subprocess.Popen[str]:
    """A rank as submitit's local executor starts it."""
    env = environment() | {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_GLOBALID": str(rank),
        "SUBMITIT_LOCAL_LOCALID": str(rank),
        "SUBMITIT_LOCAL_NTASKS": str(size),
    }
    command = [sys.executable, "-m", "tests.jobs.rank", *arguments]
    return subprocess.Popen(
        command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def by_gloo(size: int, *arguments: str) -> None:
    processes = [start(rank, size, *arguments) for rank in range(size)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * size, "\n".join(outputs)


def load(folder: Path, case: str, rank: int) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    with np.load(folder / f"{case}-{rank}.npz") as arrays:
        weights = [arrays[name] for name in arrays.files if name != "told"]
        return weights, json.loads(str(arrays["told"]))


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[list[NDArray[Any]], dict[str, Any]]]:
    """What one rank comes to, in this process."""
    found = {}
    for name, case in (CASES | REFUSED).items():
        model, data = prepare(case)
        epochs: list[tuple[int, dict[str, float]]] = []
        trained = train(
            model, data, World(RankInfo(), Path(), ""), **settings(case),
            on_epoch=lambda epoch, epochs=epochs: epochs.append((epoch.number, epoch.metrics)),  # type: ignore[misc]
        )  # fmt: skip
        told = {"metrics": trained.metrics, "confusion": trained.confusion, "epochs": epochs}
        found[name] = ([np.array(weight) for weight in model.weights], told)
    return found


def assert_same(folder: Path, size: int, case: str, alone: Any, backend: str) -> None:
    weights, expected = alone[case]
    precision = PRECISION.get(case, 1e-5)
    first, _ = load(folder, case, 0)
    for rank in range(size):
        found, told = load(folder, case, rank)
        for mine, other in zip(found, first, strict=True):
            np.testing.assert_array_equal(mine, other, err_msg=f"rank {rank}")
        assert (told["backend"], told["size"]) == (backend, size)
        assert told["confusion"] == expected["confusion"]  # counts, which are exact
        assert told["metrics"] == pytest.approx(expected["metrics"], rel=0, abs=precision)
        for (number, metrics), (other_number, others) in zip(told["epochs"], expected["epochs"], strict=True):
            assert number == other_number
            assert metrics == pytest.approx(others, rel=0, abs=precision)
    for mine, other in zip(first, weights, strict=True):
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, rtol=0, atol=precision)
