"""A training that was stopped goes on exactly where it was."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.jobs.check import check
from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.options import compile_model, options
from hpc.jobs.resuming import versions
from hpc.jobs.training.base import BoundaryRequest, Epoch, Stopped, Trained
from hpc.jobs.training.checkpoint import Checkpoints, Position, State, from_bytes, metadata_of, read, to_bytes
from hpc.jobs.training.loop import FIRST_STEPS
from hpc.jobs.worker import Worker
from hpc.models import Dataset
from hpc.results import Plan, Run, create, table
from tests.jobs.rank import made_up
from tests.jobs.stopping import After
from tests.jobs.working import train, weights_digest, worker_of
from tests.marks import slow

ALONE = World(RankInfo(), Path(), "")


def network(data: Dataset, optimizer: str) -> Any:
    """One with all that has a state: dropout, batch normalisation, L2, the optimizer's slots."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input(data.input_shape),
            keras.layers.Dense(16, "relu", kernel_regularizer=keras.regularizers.L2(0.01)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(5, "softmax"),
        ]
    )
    chosen = options({"optimizer": optimizer, "metrics": ["accuracy"]})
    compile_model(model, chosen, num_classes=5, samples=len(data.train))
    return model


@cache
def undisturbed(optimizer: str, validation_freq: int) -> tuple[str, Trained, list[Epoch]]:
    """What a training comes to that is never stopped."""
    data, epochs = made_up(250, 41, 30), list[Epoch]()
    model = network(data, optimizer)
    trained = train(
        model, data, ALONE, epochs=3, batch_size=32, seed=5, stride=2, validation_freq=validation_freq,
        on_epoch=epochs.append,
    )  # fmt: skip
    return weights_digest(model), trained, epochs


STOPS = (Position(0, 64), Position(1), Position(1, 128), Position(2, 192))


@pytest.mark.parametrize(
    ("optimizer", "validation_freq", "stop"),
    [
        ("adam", 1, STOPS[2]),
        *(slow("adam", 1, stop) for stop in (*STOPS[:2], STOPS[3])),
        *(slow("sgd", 1, stop) for stop in STOPS),
        # of 250 samples: in the first epoch of several, at its end, in the middle one, in the last one
        slow("adam", 3, Position(0, 64)),
        slow("adam", 2, Position(0, 250)),
        slow("adam", 3, Position(0, 250 + 128)),
        slow("adam", 2, Position(0, 250 + 64)),
        slow("adam", 2, Position(2)),
    ],
)
def test_a_stopped_training_ends_with_the_very_weights_and_metrics(
    tmp_path: Path, optimizer: str, validation_freq: int, stop: Position
) -> None:
    data = made_up(250, 41, 30)
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 32, "seed": 5, "stride": 2}
    settings["validation_freq"] = validation_freq
    saved: list[State] = []
    before: list[Epoch] = []
    with pytest.raises(Stopped):
        train(
            network(data, optimizer), data, ALONE, **settings, on_epoch=before.append,
            request=lambda position: BoundaryRequest(stop=position == stop), save=saved.append,
        )  # fmt: skip
    assert [state.position for state in saved] == [stop]
    path = Checkpoints(tmp_path).save("t1", saved[0])
    resumed = network(data, optimizer)
    after: list[Epoch] = []
    again = train(resumed, data, ALONE, **settings, begin=read(path), on_epoch=after.append)
    digest, trained, epochs = undisturbed(optimizer, validation_freq)
    assert weights_digest(resumed) == digest
    assert again == trained
    assert [(e.number, e.metrics) for e in [*before, *after]] == [(e.number, e.metrics) for e in epochs]


def test_a_checkpoint_on_the_way_changes_nothing() -> None:
    data = made_up(250, 41)
    models = [network(data, "adam") for _ in range(2)]
    saved: list[State] = []
    for number, model in enumerate(models):
        train(
            model, data, ALONE, epochs=2, batch_size=32, seed=5, stride=3,
            request=lambda position, number=number: BoundaryRequest(save=bool(number)), save=saved.append,
        )  # fmt: skip
    assert weights_digest(models[0]) == weights_digest(models[1])
    assert [s.position for s in saved] == [Position(0, 96), Position(0, 192), Position(1), Position(1, 96),
                                           Position(1, 192)]  # fmt: skip


def test_boundaries_come_more_rarely_the_faster_the_steps_are() -> None:
    data = made_up(2000, 41)
    seen: list[Position] = []

    def wish(position: Position) -> BoundaryRequest:
        seen.append(position)
        return BoundaryRequest()

    train(network(data, "sgd"), data, ALONE, epochs=4, batch_size=4, seed=0, request=wish)
    assert seen[0].samples == 4 * FIRST_STEPS
    of_epoch = [sum(p.epochs == epoch for p in seen) for epoch in range(4)]
    assert of_epoch[0] > of_epoch[-1]
    assert Position(3) in seen


def state(*, epochs: int, samples: int = 0, code: str = "c") -> State:
    return State(
        Position(epochs, samples),
        [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)],
        [[np.array([1, 2], np.uint32)], [np.array([3, 4], np.uint32)]],
        {"code": code, "best": 0.1, "made_with": versions()},
    )


def test_a_checkpoint_is_read_back_to_the_bit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save("t1", state(epochs=1, samples=30))
    again = read(path)
    assert (again.position, again.metadata["code"], again.metadata["best"]) == (Position(1, 30), "c", 0.1)
    for mine, its in zip(state(epochs=1).shared, again.shared, strict=True):
        np.testing.assert_array_equal(mine, its)
        assert mine.dtype == its.dtype
    assert [own[0].tolist() for own in again.own] == [[1, 2], [3, 4]]
    assert metadata_of(path)["best"] == 0.1
    np.testing.assert_array_equal(from_bytes(to_bytes([np.eye(2)]))[0], np.eye(2))


def test_only_the_newest_checkpoint_of_a_trial_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert not checkpoints.newest_first("t1")
    for epochs, samples in ((0, 64), (9, 0), (10, 0)):
        checkpoints.save("t1", state(epochs=epochs, samples=samples))
        checkpoints.save("t12", state(epochs=1))
    (newest,) = checkpoints.newest_first("t1")
    assert newest.name == "t1-10-0.npz"
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    checkpoints.remove("t1")
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["t12-1-0.npz"]


def test_a_checkpoint_that_can_not_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    before = checkpoints.save("t1", state(epochs=1))

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save("t1", state(epochs=2))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [before.name]
    assert read(before).position == Position(1)


def make_run(folder: Path, epochs: int = 4, **further: Any) -> Run:
    sweep = check(
        sweeps.parse(
            {
                "name": "resuming",
                "model": "mlp",
                "data": {"name": "digits", "train": 200, "validation": 50},
                "space": {"dropout": [0.3]},
                "fixed": {"epochs": epochs, "batch_size": 32, **further},
                "objective": "val_accuracy",
            }
        ),
        ranks=1,
    )
    trials = [trial.to_record() for trial in sweep.trials]
    create(folder, Plan(sweep.name, "val_accuracy", "max", ["dropout"], trials, sweep.as_yaml(), "{}"))
    return Run(folder, keep_epochs=True)


def worker(run: Run, attempt: int, job: str, **settings: Any) -> Worker:
    found = worker_of(run.folder, job, **settings)
    assert [task.attempt for task in found.spec.tasks] == [attempt]
    return found


@pytest.mark.slow
def test_a_trial_goes_on_in_a_later_attempt_and_its_table_is_that_of_one(tmp_path: Path) -> None:
    whole, parts = make_run(tmp_path / "whole"), make_run(tmp_path / "parts")
    assert worker(whole, 1, "1_0")() == 1
    assert worker(parts, 1, "9_0")(After(3)) == 0
    parts.refresh()
    (trial,) = parts.trials.values()
    done = trial.attempt.epochs
    assert trial.state == "waiting"
    assert 0 < done < 4
    assert len(list((parts.folder / "checkpoints").iterdir())) == 1
    assert worker(parts, 2, "10_0")() == 1  # whose records are read first
    for run in (whole, parts):
        run.refresh()
    (a,), (b,) = whole.trials.values(), parts.trials.values()
    assert (a.attempt.weights, a.attempt.best, a.attempt.metrics) == (
        b.attempt.weights, b.attempt.best, b.attempt.metrics,
    )  # fmt: skip
    assert b.attempt.after == (1, done)
    assert not list((parts.folder / "checkpoints").iterdir())
    columns = ["epoch", "loss", "val_loss", "val_accuracy"]
    one, two = (table(run.folder, epochs=True)[columns] for run in (whole, parts))
    assert one.equals(two)
    assert len(table(parts.folder)) == 1


@pytest.mark.slow
def test_a_checkpoint_of_other_code_or_a_broken_one_is_left_aside(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", epochs=2)
    (name,) = run.trials
    Checkpoints(run.folder).save(name, state(epochs=1, code="another"))
    assert worker(run, 1, "1_0")() == 1
    run.refresh()
    assert run.trials[name].attempt.after is None

    whole = Checkpoints(tmp_path).save("t1", state(epochs=1)).read_bytes()
    for number, broken in enumerate((b"", b"half a fi", whole[: len(whole) // 2])):
        other = make_run(tmp_path / f"other{number}", epochs=1)
        (other.folder / "checkpoints").mkdir()
        (other.folder / "checkpoints" / f"{name}-1-0.npz").write_bytes(broken)
        (other_name,) = other.trials
        (other.folder / "checkpoints" / f"{name}-1-0.npz").rename(
            other.folder / "checkpoints" / f"{other_name}-1-0.npz"
        )
        assert worker(other, 1, "1_0")() == 1
        other.refresh()
        assert "is left aside: it can't be read" in other.notes[0]


def checkpointed(folder: Path, hidden_size: int) -> tuple[Run, Path]:
    """A run of one trial that was stopped after its first epoch, and its checkpoint."""
    run = make_run(folder, hidden_size=hidden_size)
    assert worker(run, 1, "1_0")(After(2)) == 0
    (path,) = (run.folder / "checkpoints").iterdir()
    return run, path


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["another trial's", "another trial's of the same shapes", "cut", "zeros"])
def test_a_checkpoint_is_known_by_its_content_and_not_by_its_name(tmp_path: Path, damage: str) -> None:
    run, path = checkpointed(tmp_path / "a", 16)
    if damage.startswith("another"):
        state = read(path)
        foreign = Checkpoints(tmp_path).save("t0", replace(state, metadata={**state.metadata, "trial": "t0"}))
        if not damage.endswith("shapes"):
            foreign = checkpointed(tmp_path / "b", 8)[1]
        path.write_bytes(foreign.read_bytes())
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\0" * len(whole))
    assert worker(run, 2, "2_0")() == 1
    run.refresh()
    (trial,) = run.trials.values()
    assert (trial.state, trial.attempt.after) == ("finished", None)
    (note,) = run.notes
    words = "it is of another trial (t" if damage.startswith("another") else "it can't be read: "
    assert f"{path} is left aside: {words}" in note


@pytest.mark.slow
def test_it_is_told_that_a_trial_goes_on_with_other_arithmetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions have other last digits with two threads than with one."""
    run, path = checkpointed(tmp_path / "a", 16)
    before = read(path).metadata["arithmetic"]
    assert (before["ranks"], before["sums"]) == (1, "none")
    monkeypatch.setattr("hpc.jobs.node.device.arithmetic", lambda: {**before, "threads": 99})
    assert worker(run, 2, "2_0")() == 1
    run.refresh()
    name = path.stem.partition("-")[0]
    told = f"threads 99 (was {before['threads']}): its last digits may be others by that"
    assert run.notes == [f"{name} goes on with {told}"]


@pytest.mark.slow
def test_the_checkpoint_before_is_taken_where_the_newest_is_none(tmp_path: Path) -> None:
    """Both are there where a worker was killed between writing one and removing the other."""
    run, path = checkpointed(tmp_path / "a", 16)
    trial, epochs, samples = path.stem.split("-")
    later = path.with_name(f"{trial}-{int(epochs) + 1}-{samples}.npz")
    later.write_bytes(path.read_bytes()[:100])
    assert worker(run, 2, "2_0")() == 1
    run.refresh()
    assert run.trials[trial].attempt.after == (1, int(epochs))
    assert len(run.notes) == 1
    assert f"{later} is left aside" in run.notes[0]


@pytest.mark.slow
def test_a_rehearsed_stop_happens_in_the_middle_of_the_first_attempt_only(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    assert worker(run, 1, "1_0", inject_fault="stop")() == 0
    run.refresh()
    (trial,) = run.trials.values()
    assert trial.attempt.epochs == 2
    (path,) = (run.folder / "checkpoints").iterdir()
    assert read(path).position == Position(2, 32)
    assert worker(run, 2, "2_0", inject_fault="stop")() == 1


@pytest.mark.slow
def test_a_rehearsed_stop_happens_in_the_middle_of_a_trial_that_is_measured_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", validation_freq=4)
    assert worker(run, 1, "1_0", inject_fault="stop")() == 0
    (path,) = (run.folder / "checkpoints").iterdir()
    assert read(path).position == Position(0, 2 * 200 + 32)  # of 200 samples per epoch
    assert worker(run, 2, "2_0")() == 1
    run.refresh()
    (trial,) = run.trials.values()
    assert [record["epoch"] for record in trial.history()] == [4]
