"""One rank of a world: trains what a JSON text says and saves the weights. Started by tests.

With ``worker RUN… JOB``, it is one rank of a worker that carries out all trials of one run after another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hpc.jobs.collectives.world import World
from hpc.jobs.launchers import find_rank_info
from hpc.jobs.node import device
from hpc.jobs.options import compile_model, options
from hpc.jobs.training.base import BoundaryRequest, Epoch, Stopped, UnequalWeightsError
from hpc.jobs.training.checkpoint import Checkpoints, Position, State, read
from hpc.models import Dataset, Split
from tests.jobs.users import FIT, ONE_RANK
from tests.jobs.working import train, worker_of

SETTINGS = ("epochs", "batch_size", "validation_freq", "accumulate_steps", "compression")


def made_up(samples: int, validation: int, test: int = 0, dtype: str = "float32") -> Dataset:
    """Five classes of points in eight dimensions, the same at every call; a part of 0 is not there."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(5, 8))

    def split(n: int) -> Split:
        y = random.integers(0, 5, n).astype(np.int32)
        return Split((centres[y] + random.normal(size=(n, 8))).astype(dtype), y)

    parts = [split(n) if n else None for n in (samples, validation, test)]
    assert parts[0] is not None
    return Dataset(parts[0], parts[1], 5, parts[2])


def build(case: dict[str, Any]) -> Any:
    """The model of a case, its weights started apart on every rank."""
    import keras

    layers: list[Any] = [keras.Input((8,))]
    layers.append(keras.layers.Dense(16, "tanh", kernel_regularizer=keras.regularizers.L2(0.01)))
    if case.get("normalise"):
        layers.append(keras.layers.BatchNormalization())
    if case.get("dropout"):
        layers.append(keras.layers.Dropout(case["dropout"]))
    return keras.Sequential([*layers, keras.layers.Dense(5, "softmax")])


def prepare(case: dict[str, Any], seed: int = 7) -> tuple[Any, Dataset]:
    """The compiled model and the data of a case; Keras is left set to its dtype."""
    import keras

    dtype = case.get("dtype", "float32")
    keras.utils.clear_session()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    keras.utils.set_random_seed(seed)
    data = made_up(case["samples"], case["validation"], case.get("test", 0), dtype)
    if "user" in case:
        return {**FIT, **ONE_RANK}[case["user"]](), data
    model = build(case)
    compile_model(model, options(case), num_classes=data.num_classes, samples=len(data.train))
    return model, data


def settings(case: dict[str, Any]) -> dict[str, Any]:
    """How the model of a case is trained."""
    return {"epochs": 3, "seed": 5} | {name: case[name] for name in SETTINGS if name in case}


def _stopped(
    model: Any, data: Dataset, world: World, how: dict[str, Any], at: Position, folder: Path, name: str
) -> State:
    """Where a training is when it is stopped there; as every rank reads it from the file."""
    paths: list[str] = []
    try:
        train(
            model, data, world, **how, stride=1,
            request=lambda position: BoundaryRequest(stop=position == at),
            save=lambda state: paths.append(str(Checkpoints(folder).save(name, state))),
        )  # fmt: skip
    except Stopped:
        return read(Path(world.agree(paths[0] if paths else None)))
    raise AssertionError(f"it was over before {at}")


def main(folder: Path, cases: dict[str, dict[str, Any]]) -> None:
    """Train every case and save ``<case>-<rank>.npz``: weights, what was measured, the backend."""
    device.prepare(os.environ, 1)
    place = find_rank_info(os.environ)
    device.start(1, place.local_rank, 0, place.local_size)
    world = World(place, folder, "job")
    for name, case in cases.items():
        model, data = prepare(case, 7 if case.get("same_start", True) else 7 + world.rank)
        epochs: list[tuple[int, dict[str, float]]] = []

        def on_epoch(
            epoch: Epoch,
            case: dict[str, Any] = case,
            model: Any = model,
            epochs: list[tuple[int, dict[str, float]]] = epochs,
        ) -> None:
            epochs.append((epoch.number, epoch.metrics))
            if case.get("spoil") and world.rank == 1 and epoch.number == 3:
                weight = model.weights[0]
                weight.assign(weight + 1e-6)

        begin = None
        if "stop" in case:
            begin = _stopped(model, data, world, settings(case), Position(*case["stop"]), folder, name)
            model, data = prepare(case)
        try:
            trained = train(model, data, world, **settings(case), on_epoch=on_epoch, begin=begin)
        except (UnequalWeightsError, ValueError) as error:
            (folder / f"{name}-{world.rank}.txt").write_text(str(error))
            continue
        arrays = {f"w{index}": np.array(weight) for index, weight in enumerate(model.weights)}
        facts = {"epochs": epochs, "backend": world.backend, "size": world.size}
        np.savez(
            folder / f"{name}-{world.rank}.npz",
            **arrays,
            told=json.dumps({"metrics": trained.metrics, "confusion": trained.confusion, **facts}),
        )
        if "user" not in case:
            model.save(folder / f"{name}-{world.rank}.keras")
    world.leave()


def work(run: Path, job_id: str) -> None:
    """Carry out all trials of a run."""
    worker_of(run, job_id)()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        for run in sys.argv[2:-1]:
            work(Path(run), sys.argv[-1])
    else:
        main(Path(sys.argv[1]), json.loads(sys.argv[2]))
