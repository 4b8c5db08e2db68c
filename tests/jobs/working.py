"""Runs that workers carry out here, and what they have kept as plain Keras sees it. Used by tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc import sweeps
from hpc.jobs.check import check
from hpc.jobs.references import data_of, function_options, split_options_of
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.training.base import Epoch, EpochDecision, Lane, Trained
from hpc.jobs.training.checkpoint import State
from hpc.jobs.training.graph import train_lanes
from hpc.jobs.training.samples import digest
from hpc.jobs.worker import Worker
from hpc.models import Array, Dataset, dataset
from hpc.results import Plan, Run, create
from hpc.sweeps import Sweep

if TYPE_CHECKING:
    import keras

    from hpc.jobs.collectives.world import World


def planned(folder: Path, entries: dict[str, Any]) -> Path:
    """A run, not begun, of a sweep that stands in that folder."""
    sweep = check(sweeps.parse(entries, folder), 1)
    trials = [trial.to_record() for trial in sweep.trials]
    run, goal = folder / "r", sweep.objective
    create(run, Plan("x", goal.metric, goal.mode, list(sweep.space), trials, sweep.as_yaml(), "{}\n"))
    return run


def carried_out(folder: Path, entries: dict[str, Any], **worker: Any) -> Run:
    """A run all of whose trials a worker has trained in this process."""
    run = planned(folder, entries)
    worker_of(run, "test-1-0", **worker)()
    return Run(run, keep_epochs=True)


def worker_of(run: Path, job_id: str, **settings: Any) -> Worker:
    """A worker that makes the next attempt at each trial of a run."""
    trials = sorted(Run(run).trials.values(), key=lambda trial: trial.index)
    return Worker(WorkerSpec(str(run), job_id, tuple(map(Task.next_of, trials)), **settings))


def raw_data(sweep: Sweep, **how: Any) -> Dataset:
    """The data of a sweep as they come, unscaled."""
    return dataset(data_of(sweep).resolve()(**function_options(sweep)), split_options_of(sweep), **how)


PREDICT = """
import sys, warnings
sys.modules.update(dict.fromkeys(["hpc", "jobs", "models", "results", "sweeps", "horovod", "tests"]))
import keras, numpy
warnings.simplefilter("error")
with numpy.load("inputs.npz") as inputs:
    # predict() would turn doubles into floats, unless keras.config.set_floatx() says otherwise
    outputs = {path: keras.saving.load_model(path)(inputs[path]) for path in inputs.files}
numpy.savez("outputs.npz", **outputs)
"""


def predicted_elsewhere(folder: Path, inputs: Mapping[Path, Array]) -> dict[Path, Array]:
    """What kept models predict in a process that has Keras, but neither this project nor Horovod.

    Args:
        folder: to work in.
        inputs: for each file of a model the samples, as they come.
    """
    np.savez(folder / "inputs.npz", **{str(path): x for path, x in inputs.items()})
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PREDICT],
        cwd=folder, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(folder / "outputs.npz") as outputs:
        return {path: outputs[str(path)] for path in inputs}


def train(
    model: keras.Model,
    data: Dataset,
    world: World,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], EpochDecision | None] = lambda epoch: None,
    begin: State | None = None,
    save: Callable[[State], None] = lambda state: None,
    **settings: Any,
) -> Trained:
    """Train one model; arguments as of ``Lane`` and ``train_lanes``.

    Raises:
        DivergedError: a loss is NaN or infinite, on all ranks at the same epoch.
    """
    lane = Lane(model, seed, on_epoch, begin, save)
    (trained,) = train_lanes([lane], data, world, **settings)
    if trained is None:
        assert lane.failure is not None
        raise lane.failure
    return trained


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of the weights and of the optimizer's variables, to the last bit."""
    return digest([np.asarray(variable) for variable in [*model.weights, *model.optimizer.variables]])
