"""A model whose trials end in every way there is; sweeps of the tests name it by its path."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from hpc.jobs.launchers import find_rank_info


def build(input_shape: tuple[int, ...], num_classes: int, fault: str = "none", log: str = "") -> Any:
    """A softmax regression, unless ``fault`` says otherwise.

    ``log``: a file that gets a line for every trial that is built on rank 0.
    """
    import keras

    rank = find_rank_info(os.environ).rank if "HPC_BACKEND" in os.environ else 0
    rank = int(os.environ.get("SUBMITIT_LOCAL_GLOBALID", rank))
    if log and rank == 0:
        with Path(log).open("a") as file:
            file.write(f"{fault}\n")
    if fault == "raises":
        raise RuntimeError("this model can't be built")
    if fault == "killed" or (fault == "killed on rank 1" and rank == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hungry":
        ballast = b"x" * 1_500_000_000
        time.sleep(5)  # those who watch memory look at it every few seconds
        del ballast
    if fault == "raises on rank 1" and rank == 1:
        raise RuntimeError("only here")
    if fault == "memory":
        raise MemoryError("too large")
    layers: list[Any] = [keras.Input(input_shape)]
    if fault in ("nan", "raises in training on rank 1", "slow"):
        layers.append(_layer(fault, rank))
    return keras.Sequential([*layers, keras.layers.Dense(num_classes, "softmax")])


def _layer(fault: str, rank: int) -> Any:
    import keras
    import tensorflow as tf

    def spoil(x: Any) -> Any:
        if fault == "nan":
            return x * float("nan")
        if fault == "slow":
            time.sleep(0.2)
        elif rank == 1:
            raise RuntimeError("in the middle of a step")
        return x

    class Spoil(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any, training: bool = False) -> Any:
            if not training:
                return x
            y = tf.stop_gradient(tf.numpy_function(spoil, [x], tf.float32, stateful=True))
            y.set_shape(x.shape)
            return y

    return Spoil()
