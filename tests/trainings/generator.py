"""A Python generator without end, and so many steps an epoch."""

import keras
import numpy as np


def batches(seed, size):
    draw = np.random.default_rng(seed)
    while True:
        x = draw.normal(size=(size, 3)).astype("float32")
        yield x, x.sum(axis=1, keepdims=True)


def data(seed, batch_size):
    x, y = next(batches(1000, 20))
    return batches(seed, batch_size), (x, y)


def model():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    network.compile("sgd", "mean_squared_error")
    return network


def plain(seed):
    keras.utils.set_random_seed(seed)
    train, validation = data(seed, 8)
    network = model()
    fitted = network.fit(
        train, epochs=3, steps_per_epoch=5, validation_data=validation, batch_size=8, shuffle=False, verbose=0
    )
    return network, fitted
