"""One rank of a world: trains what a JSON text says and saves the weights. Started by tests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jobs import device
from jobs.checkpoint import Checkpoints, Position, State, read
from jobs.options import compile_model, options
from jobs.place import find_place
from jobs.training import Epoch, Stopped, UnequalWeightsError, Wish, train
from jobs.world import World
from models import Dataset, Split


def made_up(samples: int, validation: int) -> Dataset:
    """Five classes of points in eight dimensions, the same at every call."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(5, 8))

    def split(n: int) -> Split:
        y = random.integers(0, 5, n).astype(np.int32)
        return Split((centres[y] + random.normal(size=(n, 8))).astype(np.float32), y)

    return Dataset(split(samples), split(validation), 5)


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


def _stopped(
    model: Any, data: Dataset, world: World, settings: dict[str, Any], at: Position, folder: Path, name: str
) -> State:
    """Where a training is when it is stopped there; as every rank reads it from the file."""
    paths: list[str] = []
    try:
        train(
            model, data, world, **settings, stride=1, wish=lambda position: Wish(stop=position == at),
            save=lambda state: paths.append(str(Checkpoints(folder).save(name, state))),
        )  # fmt: skip
    except Stopped:
        return read(Path(world.agree(paths[0] if paths else None)))
    raise AssertionError(f"it was over before {at}")


def main(folder: Path, cases: dict[str, dict[str, Any]]) -> None:
    """Train every case and save ``<case>-<rank>.npz``: weights, metrics, the backend."""
    import keras

    device.prepare(os.environ, 1)
    place = find_place(os.environ)
    device.start(1, place.local_rank, 0, place.local_size)
    world = World(place, folder, "job")
    for name, case in cases.items():
        data = made_up(case["samples"], case["validation"])
        keras.utils.set_random_seed(7 if case.get("same_start", True) else 7 + world.rank)
        model = build(case)
        compile_model(
            model, options({k: v for k, v in case.items() if k in ("optimizer", "momentum")}), classes=True
        )

        def on_epoch(epoch: Epoch, case: dict[str, Any] = case, model: Any = model) -> None:
            if case.get("spoil") and world.rank == 1 and epoch.number == 3:
                weight = model.weights[0]
                weight.assign(weight + 1e-6)

        settings = {"epochs": 3, "batch_size": case["batch_size"], "seed": 5}
        begin = None
        if "stop" in case:
            begin = _stopped(model, data, world, settings, Position(*case["stop"]), folder, name)
            keras.utils.clear_session()
            keras.utils.set_random_seed(7)
            model = build(case)
            compile_model(model, options({}), classes=True)
        try:
            metrics = train(model, data, world, **settings, on_epoch=on_epoch, begin=begin)
        except UnequalWeightsError as error:
            (folder / f"{name}-{world.rank}.txt").write_text(str(error))
            continue
        arrays = {f"w{index}": np.array(weight) for index, weight in enumerate(model.weights)}
        np.savez(
            folder / f"{name}-{world.rank}.npz",
            **arrays,
            metrics=json.dumps({**metrics, "backend": world.backend, "size": world.size}),
        )
        model.save(folder / f"{name}-{world.rank}.keras")
    world.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
