"""Weights of classes, metrics that are vectors or keep a maximum, a penalty, weights that are averaged."""

import keras
import numpy as np


class Surest(keras.metrics.Metric):
    def __init__(self):
        super().__init__(name="surest")
        self.most = self.add_variable((), "zeros", name="most")

    def update_state(self, y, p, sample_weight=None):
        self.most.assign(keras.ops.maximum(self.most, keras.ops.max(p)))

    def result(self):
        return 1.0 * self.most


def data():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (draw.normal(size=(60, 4)) + y[:, None]).astype("float32")
    y = np.eye(3, dtype="float32")[y]
    return (x[:40], y[:40]), (x[40:], y[40:])


def model():
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "relu", kernel_regularizer="l2", activity_regularizer="l1"),
            layers.Dense(3, "softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9)
    network.compile(
        optimizer,
        "categorical_crossentropy",
        metrics=["accuracy", keras.metrics.F1Score(name="f1"), Surest()],
        weighted_metrics=["mse"],
    )
    return network


def plain(seed):
    (x, y), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    return network, network.fit(
        x, y, epochs=3, batch_size=16, validation_data=validation, class_weight=weights, verbose=0
    )
