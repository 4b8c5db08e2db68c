"""Keras' own ``fit`` on two ranks: what one rank comes to, or a note that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs.fit_trials import end_of, history_of, notes_of, planned_training, records_of
from tests.jobs.ranks import by_gloo
from tests.jobs.working import planned, worker_of

EQUAL = [
    "two", "called_back", "batches", "generator", "records", "text", "weighted", "mixed", "uneven", "frame",
]  # fmt: skip
"""Trainings whose loss is a mean over samples, without random numbers of layers."""
NOTED = {
    "pipeline": "batch normalization sees in each step the samples of one of 2 ranks",
    "gan": "Gan has a train_step of its own: each of 2 ranks takes it on its share of a batch",
    "vae": "Vae has a test_step of its own: what it returns, and no metric keeps, is averaged over 2 ranks",
    "tokens": "it depends on which samples come together (masks of tokens, samples that are compared)",
    "pairs": "it depends on which samples come together (masks of tokens, samples that are compared)",
}
TOLERANCE = {"mixed": 1e-2}
STEPS_OF_RANKS = """
import keras
import numpy as np

def data(rank, size, short):
    x = np.random.default_rng(rank).normal(size=(16 - 8 * (rank < short), 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    return (x, y, np.ones(len(x), "float32")), (x, y)

class Odd(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.kept = keras.layers.Dense(1), Most()

    def call(self, x):
        return self.dense(x)

class Most(keras.metrics.Metric):
    def __init__(self):
        super().__init__(name="greatest")
        self.value = self.add_variable((), "zeros", name="value")

    def update_state(self, value, sample_weight=None):
        self.value.assign(keras.ops.maximum(self.value, value))

    def result(self):
        return self.value

def keeps():
    network = Odd()
    network.compile("sgd", "mse")
    return network

def plain():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    return network
"""
REFUSED = {
    "short": ({"short": 1}, "plain", "ranks have 1, 2 steps of the train part, and must take equally many"),
    "kept": ({"short": 0}, "keeps", "Odd keeps the metric greatest by itself"),
    "shards": ({"short": 0}, "plain", ""),
}


def entries_of(case: str) -> dict[str, Any]:
    options, model, _ = REFUSED[case]
    return {
        "name": "x", "model": f"odd.py:{model}", "data": {"name": "odd.py:data", **options},
        "fixed": {"epochs": 2, "batch_size": 8}, "objective": "val_loss", "keep": "none",
    }  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two ranks come to, by one worker for all trainings."""
    folder = tmp_path_factory.mktemp("two")
    runs = {name: planned_training(folder / name, name) for name in (*EQUAL, *NOTED)}
    for case in REFUSED:
        (folder / case).mkdir()
        (folder / case / "odd.py").write_text(STEPS_OF_RANKS)
        runs[case] = planned(folder / case, entries_of(case))
    by_gloo(2, "worker", *map(str, runs.values()), "2-0")
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_two_ranks_come_to_what_one_does(tmp_path: Path, two: dict[str, Path], name: str) -> None:
    run = planned_training(tmp_path, name)
    worker_of(run, "1-0")()
    found, wanted = history_of(two[name]), history_of(run)
    assert found.keys() == wanted.keys()
    for metric, values in wanted.items():
        assert found[metric] == pytest.approx(values, rel=0, abs=TOLERANCE.get(name, 1e-5)), metric
    assert end_of(two[name])["weights"]  # the same on both ranks, or it would have failed


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTED)
def test_where_two_ranks_do_not_come_to_what_one_does_a_note_says_so(two: dict[str, Path], name: str) -> None:
    assert NOTED[name] in notes_of(two[name])
    assert end_of(two[name])["weights"]


@pytest.mark.slow
def test_equal_trainings_have_no_such_note(two: dict[str, Path]) -> None:
    for name in EQUAL:
        assert "comes together" not in notes_of(two[name])
        assert "come together" not in notes_of(two[name])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["short", "kept"])
def test_what_ranks_can_not_do_together_is_refused(two: dict[str, Path], case: str) -> None:
    (end,) = [one for one in records_of(two[case]) if one["record"] in ("finished", "failed")]
    assert REFUSED[case][2] in end["error"]


@pytest.mark.slow
def test_ranks_may_have_samples_of_their_own(two: dict[str, Path]) -> None:
    assert "the data's function asks for rank" in notes_of(two["shards"])
    assert len(history_of(two["shards"])["val_loss"]) == 2


@pytest.mark.slow
def test_files_are_written_once(two: dict[str, Path]) -> None:
    (folder,) = (two["called_back"] / "trials").iterdir()
    lines = (folder / "curve.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["epoch", *map(str, range(len(lines) - 1))]
    assert len(lines) - 1 == len(history_of(two["called_back"])["loss"])
