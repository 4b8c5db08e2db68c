"""What a trial hears of a training by ``fit``, and what it says to it: epochs, stops, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.training.base import (
    BoundaryRequest,
    DivergedError,
    Epoch,
    EpochDecision,
    Lane,
    Metrics,
    Pruned,
    Stopped,
)
from hpc.jobs.training.checkpoint import Best, Position, State
from hpc.jobs.training.fit_state import Keeper
from hpc.jobs.training.loop import FIRST_STEPS, LONGEST_SECONDS, SHORTEST_SECONDS
from hpc.jobs.training.parts import names_of

if TYPE_CHECKING:
    import keras


@dataclass
class Watcher:
    """Stands last among the callbacks of one training.

    Attributes:
        lane: the trial.
        model: that is trained.
        world: the ranks that train together.
        keeper: of states.
        epochs: that are to be trained.
        batch_size: samples of a step, for positions inside an epoch.
        request: asked at every boundary.
        stride: steps between two boundaries, if that is given.
        validate: measures the validation part; None if there is none.
        on_begin: called once the training has begun, and the callbacks with it.
        metrics: of the last epoch that was measured.
        best: the best epoch, if the training is to end with that.
        pruned: why it was ended, raised once ``fit`` has closed everything.
        first_seconds: of the first step, in which the graph is traced.
    """

    lane: Lane
    model: keras.Model
    world: World
    keeper: Keeper
    epochs: int
    batch_size: int
    request: Callable[[Position], BoundaryRequest]
    stride: int | None
    validate: Callable[[], Mapping[str, Any]] | None
    on_begin: Callable[[], None] = lambda: None
    metrics: Metrics = field(default_factory=dict)
    best: Best | None = None
    pruned: Exception | None = None
    first_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._begun = self._looked = time.perf_counter()
        self._last: State | None = None
        self._saved: Position | None = None
        self._done = self.lane.begin.position.epochs if self.lane.begin is not None else 0
        self._batches = self._next = 0
        self._every = self.stride or FIRST_STEPS
        self._next = self._every
        self._wishes_end = False
        self.best = self.lane.begin.best if self.lane.begin is not None else None

    def as_callback(self) -> Any:
        """As a callback of Keras."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_train_begin=self._train_begins, on_train_batch_begin=self._batch_begins,
            on_epoch_begin=self._epoch_begins, on_epoch_end=self._epoch_ends,
        )  # fmt: skip

    def _train_begins(self, logs: Any = None) -> None:
        self._begun = self._looked = time.perf_counter()
        if self.lane.begin is not None:
            self.keeper.put_rest(self.lane.begin)
        self.on_begin()

    def _epoch_begins(self, epoch: int, logs: Any = None) -> None:
        self._batches = 0
        self._next = self._every
        self._looked = time.perf_counter()

    def _batch_begins(self, batch: int, logs: Any = None) -> None:
        if self._batches == 1 and not self.first_seconds:
            self.first_seconds = time.perf_counter() - self._looked
        if self._batches >= self._next:
            self._boundary_inside()
        self._batches += 1

    def _boundary_inside(self) -> None:
        """Ask whether to stop, inside an epoch; it then goes on at the end of the epoch before."""
        mine = self.request(Position(self._done, self._batches * self.batch_size))
        seconds, self._looked = time.perf_counter() - self._looked, time.perf_counter()
        every = self._every
        if self.stride is None and seconds < SHORTEST_SECONDS:
            every *= 2
        elif self.stride is None and seconds > LONGEST_SECONDS and every > 1:
            every //= 2
        wants = [mine.stop, mine.save, every if self.world.rank == 0 else 0, self._wishes_end]
        stop, keep, self._every, ends = self.world.add(wants)
        self._next = self._batches + self._every
        self._decide(bool(stop), bool(keep))
        if ends:
            self.model.stop_training = True

    def _decide(self, stop: bool, keep: bool) -> None:
        state = self._last
        if (stop or keep) and state is not None and state.position != self._saved:
            whole = self.keeper.gathered(state)
            if self.world.rank == 0:
                self.lane.save(replace(whole, best=self.best))
            self._saved = state.position
        if stop:
            raise Stopped

    def _epoch_ends(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._done = number = epoch + 1
        metrics = numbers(logs or {})
        (ends,) = self.world.add([self.model.stop_training])
        ends = bool(ends) or number >= self.epochs
        if self.validate is not None and not any(name.startswith("val_") for name in metrics):
            if not ends:  # its user wants it to be validated less often
                self._keep(number)
                return
            metrics |= {f"val_{name}": value for name, value in numbers(self.validate()).items()}
        self.metrics = metrics
        times = self.world.clock.take(self.world) if self.world.clock else {}
        epoch_told = Epoch(number, metrics, time.perf_counter() - self._begun, times)
        try:
            decision = self.lane.on_epoch(epoch_told) or EpochDecision()
        except Pruned as error:
            self.pruned, self.model.stop_training = error, True
            return
        if decision.is_best:
            self.best = Best(dict(metrics), [np.array(variable) for variable in self.model.weights])
        bad = [name for name in ("loss", "val_loss") if not math.isfinite(metrics.get(name, 0.0))]
        if bad:
            self.lane.failure = DivergedError(f"{bad[0]} is {metrics[bad[0]]} after epoch {number}")
        self.model.stop_training = ends = bool(ends or bad or decision.is_enough)
        if not ends:
            self._keep(number)

    def _keep(self, number: int) -> None:
        """Keep the state in memory, and ask whether to write it, or to stop."""
        position = Position(number)
        self._last = self.keeper.take(position)
        mine = self.request(position)
        stop, keep = self.world.add([mine.stop, mine.save])
        self._decide(bool(stop), bool(keep))


def numbers(logs: Mapping[str, Any]) -> Metrics:
    """What was measured, as numbers: one for each of a vector."""
    found: Metrics = {}
    for name, value in logs.items():
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "biuf":
                array = array.astype(float)
        except (TypeError, ValueError):
            continue
        found |= dict(zip(names_of(name, array.shape), map(float, array.ravel()), strict=True))
    return found
