"""The trial as a user's function sees it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives import World
from hpc.jobs.training.base import (
    BoundaryRequest,
    DivergedError,
    Epoch,
    Lane,
    Metrics,
    Pruned,
    Stopped,
)
from hpc.jobs.training.calls import Enough, FunctionCall, not_finite, number_of
from hpc.jobs.training.checkpoint import Checkpoints, Position, State

if TYPE_CHECKING:
    from types import ModuleType

    import keras


class Trial:
    """One trial, for the function that trains it; on several ranks each has its own.

    ``report``, ``average``, ``checkpoint`` and ``optimizer`` are for all ranks: if one calls them, all must.

    Attributes:
        params: the hyperparameters.
        seed: of the trial.
        id: its name in tables.
        attempt: number of the try, from 1.
        rank: of this process among those that train the trial together, from 0.
        size: how many there are.
        local_rank: of this process among those of its node, from 0.
        restored: folder of the last checkpoint, if the trial has left one; it is there until another is
            written.
        step: that was reported last, also by an earlier attempt whose checkpoint is ``restored``; None
            before the first.
    """

    def __init__(
        self,
        call: FunctionCall,
        lane: Lane,
        world: World,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
    ) -> None:
        begin = lane.begin
        self.params = dict(call.params)
        self.seed = call.seed
        self.id = call.trial_id
        self.attempt = lane.attempt
        self.rank, self.size, self.local_rank = world.rank, world.size, world.info.local_rank
        self.restored: Path | None = begin.folder if begin else None
        self.step: int | None = begin.position.epochs if begin and self.restored else None
        self._call, self._lane, self._world, self._request = call, lane, world, request
        self._began = time.monotonic()
        self._metrics: Metrics = dict(begin.metadata.get("metrics", {})) if begin else {}
        self._over: Exception | None = None
        self._is_asked = self._is_due = False
        self._saved = 0
        self._scratch: Path | None = None

    @property
    def folder(self) -> Path:
        """A folder of the trial's own, for whatever it wants to keep: ``trials/<id>`` in the run."""
        self._call.folder.mkdir(parents=True, exist_ok=True)
        return self._call.folder

    @property
    def scratch(self) -> Path:
        """An empty folder of this rank's own on the node's disk, which is removed when the trial ends."""
        if self._scratch is None:
            place = os.environ.get("SLURM_TMPDIR") or None
            self._scratch = Path(tempfile.mkdtemp(prefix=f"hpc-{self.id}-", dir=place))
        return self._scratch

    def report(self, /, step: int, **metrics: Any) -> None:
        """Tell the metrics after a step; with several ranks those of rank 0 count.

        When the trial was asked to stop, ``should_stop`` is true after this, and the next report ends it.

        Args:
            step: an epoch or whatever is counted; a whole number, larger each time.
            metrics: numbers by their names, the objective among them.

        Raises:
            Pruned: others are better.
            Stopped: it is time to stop, and the trial is taken up again later.
            DivergedError: the loss or the objective is no finite number.
            ValueError, TypeError: the step or a metric can't be, or there is no objective.
        """
        if self._over is not None:
            raise self._over
        number = self._next(step)
        found = {name: number_of(name, value) for name, value in metrics.items()}
        asked = self._request(Position(number))
        stop, self._is_due = asked.stop, asked.save
        if self.size > 1:
            everyone = self._meet("report", [number, found, stop, asked.save])
            self._require_same([told[0] for told in everyone])
            found, self._is_due = everyone[0][1], everyone[0][3]
            stop = any(told[2] for told in everyone)
        self.step = number
        self._record(number, found)
        if self._is_asked:
            self._end(Stopped())
        self._is_asked = self._is_asked or stop

    def average(self, **metrics: Any) -> Metrics:
        """The mean of each metric over all ranks, the same on all of them; for ranks with equal shares."""
        found = {name: number_of(name, value) for name, value in metrics.items()}
        everyone = self._meet("average", found)
        return {name: sum(told[name] for told in everyone) / self.size for name in found}

    @property
    def should_stop(self) -> bool:
        """Whether to write a checkpoint and end: the time limit is near, or the job is cancelled.

        With one rank that is so from the moment on; with several, all agree on it at each report.
        """
        if self.size == 1 and not self._is_asked:
            self._is_asked = self._request(Position(self.step or 0)).stop
        return self._is_asked

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """A folder to write to; at the end of the block it takes the place of the last checkpoint, whole.

        All ranks get the same folder, and it is published when all have left the block.

        Raises:
            Stopped: at the end of the block, if ``should_stop``: what is written is enough to go on.
        """
        position, self._saved = Position(self.step or 0), self._saved + 1
        checkpoints = Checkpoints(self._call.run)
        scratch = checkpoints.scratch(self.id, Position(position.epochs, self._saved))
        folder = Path(self._meet("checkpoint", str(scratch))[0])
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._meet("the end of checkpoint", None)
        if self.rank == 0:
            self._lane.save(State(position, [], [], folder=folder))
        if self._is_asked:
            self._end(Stopped())

    @property
    def horovod(self) -> ModuleType:
        """``horovod.tensorflow``, initialised.

        Raises:
            RanksUnavailableError: it is not installed.
        """
        from hpc.jobs.training.user_keras import initialised_horovod

        return initialised_horovod()

    def optimizer(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        """Let an optimizer of Keras average gradients over all ranks before it applies them.

        Before its first step, all ranks get the weights of rank 0. ``hvd.DistributedOptimizer`` does nothing
        under Keras 3, without a word.

        Args:
            optimizer: which it is made of; it stays the same object, and saved models load without us.
        """
        from hpc.jobs.training.user_keras import averaging

        return averaging(optimizer, self._world)

    def keras_callback(self, checkpoint: bool = True) -> keras.callbacks.Callback:
        """A callback for ``fit``: reports every epoch, stops when it is time, and keeps checkpoints.

        Args:
            checkpoint: whether it writes ``model.keras`` into a checkpoint every few minutes and before it
                stops; load it from ``restored``, and go on with ``initial_epoch=trial.step or 0``.
        """
        from hpc.jobs.training.user_keras import reporting

        return reporting(self, checkpoint=checkpoint)

    # What the backend does with it

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether, at the last report, ``checkpoint_min`` of the profile had gone by since it was so."""
        return self._is_due

    def take(self, returned: object) -> Metrics:
        """What the trial has come to, by what its function has returned.

        Raises:
            Exception: as of :meth:`report`; or it was over before, and the function has caught that.
        """
        if self._over is not None:
            raise self._over
        found = self._returned(returned)
        if self.size > 1:
            found = self._meet("return", found)[0]
        if self._metrics:
            name = not_finite(found, self._call.objectives)
            if name:
                raise DivergedError(f"{name} is {found[name]} at the end")
        elif found:
            self._record(0, found)
        else:
            raise ValueError(
                f"{self._call.name} has returned nothing, and reported nothing: return "
                f"{self._call.objectives[0]} as a number, or {{{self._call.objectives[0]!r}: …}}, or call "
                "trial.report"
            )
        return {**self._metrics, **found}

    @property
    def metrics(self) -> Metrics:
        """As they were reported last."""
        return self._metrics

    @property
    def over(self) -> Exception | None:
        """Why the trial has ended, if it has, whatever its function does about it."""
        return self._over

    def close(self) -> None:
        """Remove what it had for the time being."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _next(self, step: object) -> int:
        if not isinstance(step, int) or isinstance(step, bool):
            as_int = getattr(step, "__index__", None)
            if as_int is None or isinstance(step, bool):
                raise TypeError(f"report({step!r}, …): a step is a whole number")
            step = int(as_int())
        if step < 0 or (self.step is not None and step <= self.step):
            after = "negative" if step < 0 else f"not larger than {self.step}, the last one"
            raise ValueError(f"report({step}, …): the step is {after}; steps go up")
        return step

    def _record(self, number: int, metrics: Metrics) -> None:
        try:
            decision = self._lane.on_epoch(Epoch(number, metrics, time.monotonic() - self._began))
        except Pruned as pruned:
            self._over = pruned
            raise
        self._metrics = metrics
        name = not_finite(metrics, self._call.objectives)
        if name:
            self._end(
                DivergedError(f"{name} is {metrics[name]} after {f'step {number}' if number else 'all'}")
            )
        if decision is not None and decision.is_enough:
            self._end(Enough())

    def _end(self, why: Exception) -> None:
        self._over = why
        raise why

    def _returned(self, value: object) -> Metrics:
        if value is None:
            return {}
        if isinstance(value, dict):
            return {str(name): number_of(str(name), one) for name, one in value.items()}
        objective = self._call.objectives[0]
        try:
            return {objective: number_of(objective, value)}
        except TypeError as error:
            raise TypeError(
                f"{self._call.name} has returned {type(value).__name__}, which is neither a dict of metrics, "
                f"nor a number for {objective}, nor nothing ({error})"
            ) from None

    def _meet(self, what: str, value: Any) -> list[Any]:
        """Everyone's value.

        Raises:
            RuntimeError: another rank has called something else.
        """
        if self.size == 1:
            return [value]
        everyone = self._world.gather([what, value])
        if len({told[0] for told in everyone}) > 1:
            calls = ", ".join(f"rank {rank} {told[0]}" for rank, told in enumerate(everyone))
            raise RuntimeError(
                f"ranks have called different things of their trial: {calls}; all must do the same"
            )
        return [told[1] for told in everyone]

    def _require_same(self, steps: list[int]) -> None:
        if len(set(steps)) > 1:
            raise RuntimeError(f"ranks have reported different steps: {steps}; all must report the same")
