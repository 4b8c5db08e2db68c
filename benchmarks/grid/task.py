"""One trial of the grid as a user of another tool writes it: plain Keras, `fit`, one thread."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

RATES = (0.001, 0.003, 0.01, 0.03)
SIZES = (32, 64, 128)
DROPOUTS = (0.0, 0.25, 0.5)
EPOCHS = int(os.environ.get("GRID_EPOCHS", "5"))


@cache
def data() -> tuple[Any, Any, Any, Any]:
    """12,000 digits to train on and 2,000 to validate."""
    import numpy as np

    with np.load(Path(os.environ["HPC_DATA"]) / "mnist.npz") as arrays:
        x, y = arrays["x_train"], arrays["y_train"]
    x = (x.reshape(len(x), -1) / np.float32(255)).astype(np.float32)
    return x[:12_000], y[:12_000], x[50_000:52_000], y[50_000:52_000]


@cache
def one_thread() -> None:
    """As many as two trials at a time can have on two cores."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def train(learning_rate: float, hidden_size: int, dropout: float) -> float:
    """The best validation accuracy of a trial."""
    one_thread()
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    x, y, x_val, y_val = data()
    layers = [keras.Input((784,)), keras.layers.Dense(hidden_size, "relu")]
    if dropout:
        layers.append(keras.layers.Dropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    model.compile(
        keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(
        x, y, batch_size=128, epochs=EPOCHS, verbose=0, validation_data=(x_val, y_val)
    ).history  # fmt: skip
    return float(max(history["val_accuracy"]))
