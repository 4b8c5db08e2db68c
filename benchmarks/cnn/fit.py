"""The course's code for row 16, Keras' own example, until its test accuracy is reached.

    python fit.py TARGET SEED EPOCHS [IMAGES]

prints a line per epoch and, last, the epochs it took, the test accuracy, and the CPU seconds of its
evaluations. It fails if no epoch gets there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np


class Until(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training after the first epoch that is good enough, and times the evaluations."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target, self.began, self.evaluating = target, 0.0, 0.0
        self.epochs, self.accuracy = 0, 0.0

    def on_test_begin(self, logs: Any = None) -> None:
        self.began = time.process_time()

    def on_test_end(self, logs: Any = None) -> None:
        self.evaluating += time.process_time() - self.began

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs, self.accuracy = epoch + 1, logs["val_accuracy"]
        print(f"epoch {self.epochs}: test accuracy {self.accuracy:.4f}", flush=True)
        self.model.stop_training = self.is_there

    @property
    def is_there(self) -> bool:
        """Whether the last epoch was good enough, at four digits."""
        return round(self.accuracy, 4) >= self.target


def main(target: float, seed: int, epochs: int, images: int | None = None) -> None:
    keras.utils.set_random_seed(seed)
    with np.load(Path(os.environ["HPC_DATA"]) / "mnist.npz") as arrays:
        x_train, y_train = arrays["x_train"][:images], arrays["y_train"][:images]
        x_test, y_test = arrays["x_test"][:images], arrays["y_test"][:images]
    x_train, x_test = (x[..., None].astype("float32") / 255 for x in (x_train, x_test))
    y_train, y_test = (keras.utils.to_categorical(y, 10) for y in (y_train, y_test))
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adadelta(1.0), "categorical_crossentropy", metrics=["accuracy"])
    until = Until(target)
    model.fit(
        x_train, y_train, batch_size=128, epochs=epochs, verbose=0,
        validation_data=(x_test, y_test), callbacks=[until],
    )  # fmt: skip
    if not until.is_there:
        raise SystemExit(f"{epochs} epochs end at {until.accuracy:.4f}, not at {target}")
    print(until.epochs, until.accuracy, until.evaluating)


if __name__ == "__main__":
    main(float(sys.argv[1]), *map(int, sys.argv[2:]))
