"""Loops as they are written for Horovod's own interface: its tape, and its optimizer under ``fit``."""

from __future__ import annotations

from typing import Any

import horovod.tensorflow as hvd
import horovod.tensorflow.keras as hvd_keras
import keras
import numpy as np
import tensorflow as tf


def train(how: str, trial: Any) -> None:
    hvd.init()
    keras.utils.set_random_seed(hvd.rank())  # each begins with other weights
    if hvd.rank() == 0:
        keras.utils.set_random_seed(1)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(64, 3)).astype(np.float32)
    y = (x @ draw.normal(size=(3, 1))).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    mine = slice(hvd.rank(), None, hvd.size())
    (_by_tape if how == "tape" else _by_fit)(model, optimizer, x[mine], y[mine])
    weights = float(sum(np.sum(np.asarray(one) * (1 + place)) for place, one in enumerate(model.weights)))
    means = trial.average(weights=weights, squares=weights**2)
    trial.report(1, loss=0.0, weights=means["weights"], spread=means["squares"] - means["weights"] ** 2)


def _by_tape(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    def step(first: bool) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - y) ** 2)
        gradients = hvd.DistributedGradientTape(tape).gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        if first:
            hvd.broadcast_variables(model.variables, root_rank=0)
            hvd.broadcast_variables(optimizer.variables, root_rank=0)

    hvd.broadcast_variables(model.variables, root_rank=0)
    train_step = tf.function(step)
    for number in range(5):
        train_step(number == 0)


def _by_fit(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    model.compile(hvd_keras.DistributedOptimizer(optimizer), "mse", jit_compile=False)
    model.fit(x, y, batch_size=len(x), epochs=5, verbose=0, shuffle=False)
