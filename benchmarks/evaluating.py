"""What memory a training takes whose validation part is large beside its batches, beside ``fit``.

    uv run python -m benchmarks.evaluating

trains a small U-Net for one epoch on 32 images, validated on 1,024, in batches of 8: by ``model.fit``, and
by this project's worker as a model of the user's. Each in a process of its own, in turn; prints the
peak of memory over that of a process which has only loaded TensorFlow and the data, in MiB.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

PROGRAM = """
import os, resource, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import keras
import numpy as np
from keras import layers
from hpc.jobs.node.rank_info import RankInfo
from tests.jobs.working import train
from hpc.jobs.collectives.world import World
from hpc.models import Dataset, Split

def split(n):
    draw = np.random.default_rng(0)
    x, y = draw.random((n, 64, 64, 3), dtype="float32"), draw.integers(0, 2, (n, 64, 64))
    return Split(x, y.astype("int32"))

data = Dataset(split(32), split(int(sys.argv[2])), None)
inputs = keras.Input((64, 64, 3))
h = inputs
for _ in range(2):
    h = layers.Conv2D(32, 3, padding="same", activation="relu")(h)
model = keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(h))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
if sys.argv[1] == "fit":
    model.fit(data.train.x, data.train.y, batch_size=8, verbose=0,
              validation_data=(data.validation.x, data.validation.y))
else:
    train(model, data, World(RankInfo(), Path(), ""), epochs=1, batch_size=8, seed=0)
print(peak() - before)
"""


def peak(how: str, validation: int) -> float:
    """MiB of one training."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(validation)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--validation", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[float]] = {"fit": [], "worker": []}
    for _ in range(given.repeats):
        for how, values in found.items():
            values.append(peak(how, given.validation))
    for how, values in found.items():
        print(f"{how:8s} {statistics.median(values):8.0f} MiB (from {min(values):.0f} to {max(values):.0f})")
    medians = {how: statistics.median(values) for how, values in found.items()}
    print(f"the worker takes {medians['worker'] / medians['fit']:.2f} of what fit takes")


if __name__ == "__main__":
    main()
