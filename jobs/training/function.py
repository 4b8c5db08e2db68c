"""Trainings that are a function of the user's, in any framework: it is called, and tells what it comes to."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.training.base import (
    BoundaryRequest,
    DivergedError,
    Guarantees,
    Lane,
    Metrics,
    Trained,
    Training,
    TrainingBackend,
)
from hpc.jobs.training.calls import Enough, FunctionCall
from hpc.jobs.training.checkpoint import Position
from hpc.jobs.training.horovod_keras import mend_horovod
from hpc.jobs.training.process_state import ProcessState
from hpc.jobs.training.rank_variables import rank_variables
from hpc.jobs.training.user_trial import Trial


class FunctionBackend(TrainingBackend):
    """Calls a function on every rank.

    What it comes to with several ranks, and whether it goes on exactly where it was, is its own affair.

    Args:
        world: the ranks that call it together.
    """

    name = "function"
    guarantees = Guarantees(equal_ranks=False, exact_resume=False, mid_epoch=False)

    def __init__(self, world: World) -> None:
        self._world = world
        mend_horovod(world)
        self._process = ProcessState()

    def accepts(self, training: Training) -> str:
        """Why it can't train that: it is no call of a function."""
        if isinstance(training.model, FunctionCall):
            return ""
        return f"{type(training.model).__name__} is no function of a sweep's train"

    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        """Call the function once; its boundaries are where it reports."""
        (lane,) = lanes
        call: FunctionCall = training.model
        trial = Trial(call, lane, self._world, request)
        began = time.perf_counter()
        try:
            metrics = self._called(call, trial)
        except Enough:
            metrics = trial.metrics
        except DivergedError as diverged:
            if diverged is not trial.over:
                raise
            lane.failure = diverged
            return [None]
        finally:
            trial.close()
        seconds = time.perf_counter() - began
        return [Trained(metrics, {}, seconds, 0.0, lambda: call, "")]

    def _called(self, call: FunctionCall, trial: Trial) -> Metrics:
        with self._process.kept(self._variables()):
            random.seed(call.seed)
            np.random.seed(call.seed)
            try:
                returned = call.function(**call.arguments, **self._wanted(call, trial))
            except BaseException:
                if trial.over is not None:  # whatever the function has made of it
                    raise trial.over from None
                raise
        return trial.take(returned)

    def _wanted(self, call: FunctionCall, trial: Trial) -> dict[str, Any]:
        told = {"trial": trial, "seed": call.seed, "rank": trial.rank, "size": trial.size}
        return {name: told[name] for name in call.wants}

    def _variables(self) -> dict[str, str]:
        """The environment by which PyTorch's processes find each other, as torchrun sets it."""
        world = self._world
        return {} if world.size == 1 else rank_variables(world)
