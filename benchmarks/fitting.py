"""What the ``fit`` backend costs beside plain ``model.fit``, and what a warm worker saves.

    HPC_DATA=FOLDER uv run python -m benchmarks.fitting

trains a small convolutional network on MNIST for two epochs: by a script of one's own in a process for each
seed, and by one worker for all seeds with ``backend: fit``, in turn. Prints the seconds inside ``fit``, of
the first training and of the later ones, and those of the whole commands.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hpc.results import Run
from hpc.sweeps.document import write

NET = """
import os
import keras
import numpy as np
from keras import layers

def data(train: int):
    with np.load(os.environ["HPC_DATA"] + "/mnist.npz") as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    x = (x[..., None] / 255).astype("float32")
    return (x[:train], y[:train]), (x[-2000:], y[-2000:])

def build():
    model = keras.Sequential([
        keras.Input((28, 28, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model
"""
PLAIN = """
import sys, time
import keras
import net
keras.utils.set_random_seed(int(sys.argv[1]))
(train, validation) = net.data(int(sys.argv[2]))
model = net.build()
began = time.perf_counter()
model.fit(*train, validation_data=validation, batch_size=64, epochs=2, verbose=0)
print(time.perf_counter() - began)
"""


def plain(folder: Path, seeds: int, train: int) -> tuple[list[float], float]:
    """Seconds inside ``fit`` of each process, and of all processes together."""
    began, inside = time.perf_counter(), []
    for seed in range(seeds):
        command = [sys.executable, "-c", PLAIN, str(seed), str(train)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=_one())
        inside.append(float(done.stdout.split()[-1]))
    return inside, time.perf_counter() - began


def worker(folder: Path, seeds: int, train: int) -> tuple[list[float], float]:
    """Seconds of each training by one worker, and of the whole command."""
    entries = {
        "name": "fitting", "model": "net.py:build", "data": {"name": "net.py:data", "train": train},
        "fixed": {"epochs": 2, "batch_size": 64}, "seeds": seeds, "objective": "val_loss", "backend": "fit",
        "pack": "off", "keep": "none",
    }  # fmt: skip
    (folder / "sweep.yaml").write_text(write(entries))
    with tempfile.TemporaryDirectory(dir=folder) as run:
        command = [str(Path(sys.executable).with_name("hpc")), "run", "sweep.yaml", "--on", "debug"]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--dir", f"{run}/r"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=_one(),
        )
        whole = time.perf_counter() - began
        assert done.returncode == 0, done.stdout + done.stderr
        trials = sorted(Run(f"{run}/r").trials.values(), key=lambda trial: trial.index)
        tries = [trial.attempt for trial in trials]
        return [one.training_seconds + one.tracing_seconds for one in tries], whole


def _one() -> dict[str, str]:
    """One thread for each, so that none has more than the other."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1"), "TF_CPP_MIN_LOG_LEVEL": "3"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=int, default=20_000, help="samples")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("--seeds: at least 2, since the first training of a worker is not like the later ones")
    found: dict[str, list[float]] = {}
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "net.py").write_text(NET)
            for how, measure in (("plain fit", plain), ("the worker", worker)):
                inside, whole = measure(Path(place), given.seeds, given.train)
                found.setdefault(f"{how}: first", []).append(inside[0])
                found.setdefault(f"{how}: later", []).append(statistics.median(inside[1:]))
                found.setdefault(f"{how}: all", []).append(whole)
    for name, values in found.items():
        print(f"{name:18s} {statistics.median(values):7.2f} s (from {min(values):.2f} to {max(values):.2f})")
    for what in ("first", "later", "all"):
        pairs = zip(found[f"plain fit: {what}"], found[f"the worker: {what}"], strict=True)
        ratios = [here / there for there, here in pairs]
        print(f"the worker takes {statistics.median(ratios):.3f} x of plain fit: {what}")


if __name__ == "__main__":
    main()
