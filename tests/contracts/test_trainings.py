"""The contract of training backends, over all of them, and over one that only counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.jobs.collectives.world import World
from hpc.jobs.commands import Command
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.options import make_ready, options
from hpc.jobs.training.base import (
    NO_DATA,
    BoundaryRequest,
    DivergedError,
    Epoch,
    EpochDecision,
    Guarantees,
    Lane,
    Stopped,
    Trained,
    Training,
    TrainingBackend,
)
from hpc.jobs.training.calls import FunctionCall, ProgramCall
from hpc.jobs.training.checkpoint import Position, State
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.registry import backends
from hpc.jobs.training.user_trial import Trial
from hpc.models import Dataset, Split, mlp
from hpc.models.families import baselines
from tests.marks import slow_but

ALONE = World(RankInfo(), Path(), "")
EPOCHS = 4


class CountingBackend(TrainingBackend):
    """Counts: a new kind of training is one class. Its model is a list of the numbers it has counted."""

    name = "counting"
    guarantees = Guarantees(equal_ranks=True, exact_resume=True, mid_epoch=False)

    def accepts(self, training: Training) -> str:
        return "" if isinstance(training.model, list) else f"{type(training.model).__name__} is no list"

    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        (lane,) = lanes
        numbers: list[float] = lane.begin.shared[0].tolist() if lane.begin else []
        metrics: dict[str, float] = {}
        for epoch in range(len(numbers) + 1, training.options.epochs + 1):
            numbers.append(epoch * float(training.data.train.x[0, 0]))
            metrics = {"loss": numbers[-1], "val_loss": numbers[-1]}
            decision = lane.on_epoch(Epoch(epoch, metrics, 0.0)) or EpochDecision()
            if not math.isfinite(metrics["loss"]):
                lane.failure = DivergedError(f"loss is {metrics['loss']} after epoch {epoch}")
                return [None]
            if decision.is_enough:
                break
            if epoch < training.options.epochs:
                asked = request(Position(epoch))
                if asked.stop or asked.save:
                    lane.save(State(Position(epoch), [np.array(numbers)], [[]]))
                if asked.stop:
                    raise Stopped
        lane.model[:] = numbers
        return [Trained(metrics, {}, 0.0, 0.0, lambda: lane.model, str(numbers))]


def data_of(worst: float = 1.0) -> Dataset:
    draw = np.random.default_rng(0)

    def split(size: int) -> Split:
        y = draw.integers(0, 3, size).astype(np.int32)
        x = draw.normal(size=(size, 4)).astype(np.float32) + y[:, None]
        return Split(x * np.float32(worst), y)

    return Dataset(split(64), split(32), 3, split(16))


@dataclass(frozen=True)
class Case:
    """How one backend is tried.

    Attributes:
        make: gives the model of a seed; of a call also by how much its loss is too large.
        options: of the training.
        epochs: after which its metrics are told.
        calls: whether it calls what has its own data.
        waits: whether it goes on from a boundary only when it has been asked there.
    """

    make: Callable[..., Any]
    options: dict[str, Any]
    epochs: list[int]
    calls: bool = False
    waits: bool = True


def network(seed: int) -> Any:
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = mlp((4,), 3, 3, hidden_size=5, dropout=0.2)
    model(np.zeros((1, 4), np.float32))
    return model


def function(seed: int, worst: float) -> FunctionCall:
    def train(trial: Trial) -> None:
        begin = 0 if trial.restored is None else int((trial.restored / "epoch").read_text())
        for epoch in range(begin + 1, EPOCHS + 1):
            trial.report(epoch, loss=worst / epoch, val_loss=trial.seed + 1 / epoch)
            if trial.should_stop or trial.is_checkpoint_due:
                with trial.checkpoint() as folder:
                    (folder / "epoch").write_text(str(epoch))

    told = (Path.cwd() / "r", "t1", {"worst": worst}, seed, ("val_loss",))
    return FunctionCall(*told, "mine.py:train", train, {}, frozenset({"trial"}))


def program(seed: int, worst: float) -> ProgramCall:
    told = (Path.cwd() / "r", "t1", {"worst": worst}, seed, ("val_loss",))
    text = 'for n in 1 2 3 4; do echo "{{\\"loss\\": $1, \\"val_loss\\": 0.$n}}" >> $HPC_METRICS; done'
    return ProgramCall(*told, Command(("sh", "-c", text, "sh", "{worst}"), Path.cwd()))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls write into a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


ALL = list(range(1, EPOCHS + 1))
CASES = {
    "graph": Case(network, {"epochs": EPOCHS, "batch_size": 16}, ALL),
    "pack": Case(network, {"epochs": EPOCHS, "batch_size": 16}, ALL),
    "fit": Case(network, {"epochs": EPOCHS, "batch_size": 16}, ALL),
    "estimator": Case(lambda seed: baselines.knn(3, n_neighbors=3), {"epochs": 0}, [0]),
    "function": Case(function, {}, ALL, calls=True),
    "program": Case(program, {}, ALL, calls=True, waits=False),
    "counting": Case(lambda seed: [], {"epochs": EPOCHS}, ALL),
}
QUICK = [name for name in CASES if name not in ("pack", "fit")]
WITH_EPOCHS = [name for name in CASES if CASES[name].epochs != [0] and CASES[name].waits]


def backend(name: str) -> TrainingBackend:
    known = backends(ALONE, Graphs())
    assert {*known, "counting"} == {*CASES}, "every backend of the registry is tried"
    return known.get(name) or CountingBackend()


def trainings(name: str, worst: float = 1.0) -> list[Training]:
    """Those that go together: two for a backend that takes several."""
    case, found = CASES[name], []
    count = 2 if backend(name).guarantees.lanes else 1
    if case.calls:
        return [Training(case.make(0, worst), NO_DATA, options(case.options))]
    for seed in range(count):
        model, data, chosen = case.make(seed), data_of(worst), options(case.options)
        if name in ("graph", "pack", "fit"):
            data = make_ready(model, data, chosen)
        found.append(Training(model, data, chosen, backend="fit" if name == "fit" else "auto"))
    return found


@dataclass
class Run:
    """One call of a backend."""

    trained: list[Trained | None]
    epochs: list[list[Epoch]]
    lanes: list[Lane]
    states: list[list[State]]


def run(
    name: str,
    *,
    begin: Sequence[State | None] = (None, None),
    request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
    enough_after: int = 99,
    stride: int | None = None,
    worst: float = 1.0,
) -> Run:
    tried = trainings(name, worst)
    epochs: list[list[Epoch]] = [[] for _ in tried]
    states: list[list[State]] = [[] for _ in tried]

    def hears(place: int) -> Callable[[Epoch], EpochDecision]:
        def on_epoch(epoch: Epoch) -> EpochDecision:
            epochs[place].append(replace(epoch, metrics=dict(epoch.metrics)))
            return EpochDecision(is_enough=epoch.number >= enough_after)

        return on_epoch

    lanes = [
        Lane(one.model, place, hears(place), begin[place], states[place].append)
        for place, one in enumerate(tried)
    ]
    with closing(backend(name)) as mine:
        try:
            trained = mine.train(lanes, tried[0], request, stride)
        except Stopped:
            trained = []
    return Run(trained, epochs, lanes, states)


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_a_backend_takes_its_own_and_says_why_it_takes_no_other(name: str) -> None:
    mine = backend(name)
    for one in trainings(name):
        assert mine.accepts(one) == ""
    (other, *_) = trainings("counting" if name != "counting" else "graph")
    assert type(other.model).__name__ in mine.accepts(other)


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_every_epoch_is_told_in_order_and_the_last_is_the_result(name: str) -> None:
    found = run(name)
    for trained, epochs in zip(found.trained, found.epochs, strict=True):
        assert [epoch.number for epoch in epochs] == CASES[name].epochs
        assert trained is not None
        last = {key: value for key, value in trained.metrics.items() if not key.startswith("test_")}
        assert last == epochs[-1].metrics
        assert {"loss", "val_loss"} <= last.keys()
        assert all(isinstance(value, float) for value in last.values())
        assert trained.training_seconds >= 0
        assert trained.model is not None


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_the_same_training_comes_to_the_same_again(name: str) -> None:
    first, second = run(name), run(name)
    assert first.trained == second.trained
    assert [[one.metrics for one in some] for some in first.epochs] == [
        [one.metrics for one in some] for some in second.epochs
    ]


@pytest.mark.parametrize("name", [name for name in CASES if not backend(name).guarantees.lanes])
def test_a_training_ends_where_an_epoch_was_enough(name: str) -> None:
    found = run(name, enough_after=2)
    assert [epoch.number for epoch in found.epochs[0]] == [one for one in CASES[name].epochs if one <= 2]
    (trained,) = found.trained
    assert trained is not None
    assert trained.metrics["loss"] == found.epochs[0][-1].metrics["loss"]


@pytest.mark.parametrize("name", slow_but(["function", "counting"], WITH_EPOCHS))
def test_a_training_goes_on_where_it_was_stopped(name: str) -> None:
    mine = backend(name)
    middle = Position(1, 16) if mine.guarantees.mid_epoch else Position(2)

    def stop(position: Position) -> BoundaryRequest:
        return BoundaryRequest(stop=(position.epochs, position.samples) >= (middle.epochs, middle.samples))

    stopped = run(name, request=stop, stride=1)
    assert stopped.trained == []
    states = [some[-1] for some in stopped.states]
    assert {state.position for state in states} == {middle}
    assert all(epoch.number <= middle.epochs for epochs in stopped.epochs for epoch in epochs)
    whole, rest = run(name), run(name, begin=states, stride=1)
    assert [epoch.number for epoch in rest.epochs[0]] == ALL[middle.epochs :]
    for once, twice in zip(whole.trained, rest.trained, strict=True):
        assert once is not None
        assert twice is not None
        if mine.guarantees.exact_resume:
            assert once == twice
        assert twice.metrics == pytest.approx(once.metrics, rel=1e-4)


@pytest.mark.parametrize("name", slow_but(["function", "counting"], WITH_EPOCHS))
def test_a_state_may_be_kept_without_a_stop(name: str) -> None:
    found = run(name, request=lambda position: BoundaryRequest(save=True))
    assert all(some for some in found.states)
    assert found.trained == run(name).trained


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_a_loss_that_is_no_number_ends_it(name: str) -> None:
    if name == "estimator":
        pytest.skip("scikit-learn refuses such data by an error of its own")
    found = run(name, worst=math.inf)
    assert found.trained == [None for _ in found.lanes]
    for lane, epochs in zip(found.lanes, found.epochs, strict=True):
        assert isinstance(lane.failure, DivergedError)
        assert "loss is " in str(lane.failure)
        assert len(epochs) == 1


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_a_backend_may_forget_what_it_keeps(name: str) -> None:
    backend(name).forget()


def test_nothing_is_trained_that_no_backend_takes() -> None:
    from hpc.jobs.training.registry import backend_of

    known = backends(ALONE, Graphs())
    for name in ("graph", "estimator", "function", "program"):
        assert backend_of(known, trainings(name)[0])[0].name == name
    with pytest.raises(ValueError, match="graph: list is no model"):
        backend_of(known, trainings("counting")[0])
