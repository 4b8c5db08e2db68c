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
from sklearn.metrics import confusion_matrix

from hpc.results import Run
from hpc.sweeps import load_stored
from tests.conftest import ROOT, environment
from tests.jobs.ranks import CASES, REFUSED, UNEVEN, alone, assert_same, by_gloo, load
from tests.jobs.users import FIT
from tests.jobs.working import carried_out, planned, predicted_elsewhere, raw_data

__all__ = ["alone"]  # the fixture

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

# a batch of 16, the last of 6, and what a metric sees of whole batches; models as people write them
CASES |= {name: {**UNEVEN, "user": name} for name in FIT}
RANDOM["most_sure, resumed"] = {**CASES["most_sure"], "stop": [1, 32]}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks come to that meet through Gloo."""
    folder = tmp_path_factory.mktemp("two ranks")
    by_gloo(2, str(folder), json.dumps({**CASES, **RANDOM, **REFUSED}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_take_the_steps_of_one(two: Path, alone: Any, case: str) -> None:
    assert_same(two, 2, case, alone, "gloo")
    assert not list(two.glob("*meeting*"))  # the rendezvous leaves nothing behind


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("contrast", "it depends on which samples come together"),
        ("kept_metric", "Kept keeps the metric mine by itself"),
        ("balanced", "it depends on which samples come together"),
        ("synchronized", "ranks do not synchronize statistics"),
    ],
)
def test_what_does_not_add_up_over_ranks_is_refused_by_all_of_them(two: Path, case: str, said: str) -> None:
    for rank in (0, 1):
        assert said in (two / f"{case}-{rank}.txt").read_text()
        assert not (two / f"{case}-{rank}.npz").exists()


@pytest.mark.slow
def test_what_two_ranks_have_confused_is_counted_once(two: Path) -> None:
    _, told = load(two, "measured rarely, and tested", 1)
    assert {part: int(np.sum(counts)) for part, counts in told["confusion"].items()} == {
        "validation": 101, "test": 33,
    }  # fmt: skip
    for part, prefix in (("validation", "val_"), ("test", "test_")):
        counts = np.array(told["confusion"][part])
        assert counts.trace() / counts.sum() == pytest.approx(told["metrics"][f"{prefix}accuracy"], abs=1e-6)


@pytest.mark.slow
def test_random_masks_and_batch_statistics_leave_ranks_equal(two: Path) -> None:
    (first, told), (second, _) = load(two, "random", 0), load(two, "random", 1)
    for mine, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert np.isfinite(told["metrics"]["loss"])


@pytest.mark.slow
@pytest.mark.parametrize(("case", "stopped"), [("random", "resumed"), ("most_sure", "most_sure, resumed")])
def test_two_ranks_that_were_stopped_inside_an_epoch_end_with_the_very_weights(
    two: Path, case: str, stopped: str
) -> None:
    for rank in (0, 1):
        (whole, told), (resumed, again) = load(two, case, rank), load(two, stopped, rank)
        for mine, other in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(mine, other)
        assert (told["metrics"], told["confusion"]) == (again["metrics"], again["confusion"])


@pytest.mark.slow
def test_ranks_that_end_apart_are_found_out(two: Path) -> None:
    for rank in (0, 1):  # all ranks hear of it
        said = (two / f"spoiled-{rank}.txt").read_text()
        assert said.startswith("ranks [1] ended with other weights than rank 0")


@pytest.mark.slow
def test_three_ranks_take_the_steps_of_one_where_nothing_divides(tmp_path: Path, alone: Any) -> None:
    by_gloo(3, str(tmp_path), json.dumps(CASES))
    for case in CASES:
        assert_same(tmp_path, 3, case, alone, "gloo")


@pytest.mark.slow
def test_two_ranks_that_reduce_by_horovod_take_the_steps_of_one(
    tmp_path: Path, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_SHARED_MEMORY", "0")
    compressed = {"compressed": {**CASES["even"], "compression": "fp16"}}
    by_gloo(2, str(tmp_path), json.dumps(CASES | compressed))
    for case in CASES:
        assert_same(tmp_path, 2, case, alone, "gloo")
    # In half precision the ranks stay equal, and near.
    (first, told), (second, _) = (load(tmp_path, "compressed", rank) for rank in (0, 1))
    whole, expected = load(tmp_path, "even", 0)
    for mine, other, exact in zip(first, second, whole, strict=True):
        np.testing.assert_array_equal(mine, other)
        np.testing.assert_allclose(mine, exact, rtol=0, atol=0.01)
    assert any(np.any(mine != exact) for mine, exact in zip(first, whole, strict=True))
    assert told["metrics"] == pytest.approx(expected["metrics"], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["0", "1"])
def test_two_ranks_under_mpirun_take_the_steps_of_one(
    tmp_path: Path, alone: Any, mpirun: list[str], memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_SHARED_MEMORY", memory)
    cases = {name: CASES[name] for name in ("even", "uneven", "apart", "one by one")}
    command = [*mpirun, sys.executable, "-m", "tests.jobs.rank", str(tmp_path), json.dumps(cases)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for case in cases:
        assert_same(tmp_path, 2, case, alone, "mpi")


@pytest.mark.slow
def test_a_worker_of_two_ranks_comes_to_what_one_of_one_rank_does(tmp_path: Path) -> None:
    entries = {
        "name": "x",
        "model": "mlp",
        "data": {"name": "digits", "train": 80, "validation": 31, "test_split": 0.3, "test": 41},
        "fixed": {"epochs": 2, "batch_size": 1, "scale": "standard", "hidden_size": 8},
        "folds": 2,
        "baselines": [{"model": "knn", "n_neighbors": 3}],
        "objective": "val_accuracy",
    }
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, run = carried_out(tmp_path / "one", entries), planned(tmp_path / "two", entries)
    by_gloo(2, "worker", str(run), "2-0")
    two = Run(run, keep_epochs=True)
    assert two.counts()["finished"] == 4
    inputs = raw_data(load_stored(two.sweep_file), whole=True).parts()["test"]
    for name, trial in two.trials.items():
        alone = one.trials[name].attempt
        assert trial.attempt.ranks == 2
        assert trial.attempt.metrics == pytest.approx(alone.metrics, rel=0, abs=1e-4)
        assert trial.attempt.confusion == alone.confusion
        assert len(trial.history()) == (2 if trial.model == "mlp" else 1)  # told once, not by each rank
    (note,) = two.notes  # of the first trial, not of each
    assert note == "batch_size=1 is the batch of all 2 ranks: some of them only wait"
    assert one.notes == []
    best = next(trial for trial in two.ranked() if trial.model == "mlp")
    (path,) = (run / "models").iterdir()
    assert path == two.model_file(best)
    taken = predicted_elsewhere(tmp_path, {path: inputs.x})[path].argmax(axis=1)
    assert confusion_matrix(inputs.y, taken, labels=range(10)).tolist() == best.attempt.confusion["test"]


@pytest.mark.slow
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
