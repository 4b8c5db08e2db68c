"""A loop of one's own over a Keras model, with GradientTape, checkpoints and any number of ranks."""

from __future__ import annotations

import json
from typing import Any


def train(learning_rate: float, epochs: int, trial: Any, units: int = 8) -> dict[str, float]:
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(trial.seed)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(96, 4)).astype(np.float32)
    y = (x @ draw.normal(size=(4, 1)) + 1).astype(np.float32)
    x, y, held_x, held_y = x[:64], y[:64], x[64:], y[64:]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, "tanh"), keras.layers.Dense(1)])
    optimizer = trial.optimizer(keras.optimizers.SGD(learning_rate, momentum=0.9))
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    begin = 0
    if trial.restored is not None:
        with np.load(trial.restored / "state.npz") as arrays:
            for variable, name in zip(variables, arrays.files, strict=True):
                variable.assign(arrays[name])
        begin = json.loads((trial.restored / "epoch.json").read_text())
    mine = slice(trial.rank, None, trial.size)

    def step(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs, training=True) - targets) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    step = tf.function(step)
    metrics: dict[str, float] = {}
    for epoch in range(begin, epochs):
        losses = [float(step(x[i : i + 16][mine], y[i : i + 16][mine])) for i in range(0, 64, 16)]
        loss = trial.average(loss=sum(losses) / len(losses))["loss"]
        metrics = {"loss": loss, "val_loss": float(np.mean((model(held_x) - held_y) ** 2))}
        trial.report(epoch + 1, **metrics)
        if trial.should_stop:
            with trial.checkpoint() as folder:
                if trial.rank == 0:
                    np.savez(folder / "state.npz", *[np.asarray(one) for one in variables])
                    (folder / "epoch.json").write_text(json.dumps(epoch + 1))
    return metrics
