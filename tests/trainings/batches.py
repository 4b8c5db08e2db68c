"""A PyDataset that draws by NumPy's own random numbers, and changes its order after each epoch."""

import math

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, size):
        super().__init__()
        self.x, self.y, self.size = x, y, size
        self.order = np.arange(len(x))

    def __len__(self):
        return math.ceil(len(self.x) / self.size)

    def __getitem__(self, index):
        rows = self.order[index * self.size : (index + 1) * self.size]
        noise = np.random.normal(scale=0.1, size=self.x[rows].shape)
        return (self.x[rows] + noise).astype("float32"), self.y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.order)


def samples():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 2
    return (draw.normal(size=(60, 5)) + y[:, None]).astype("float32"), y.astype("float32")[:, None]


def data(batch_size):
    x, y = samples()
    return Batches(x[:40], y[:40], batch_size), (x[40:], y[40:])


def model():
    network = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")]
    )
    network.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC()])
    return network


def plain(seed):
    keras.utils.set_random_seed(seed)
    train, validation = data(8)
    network = model()
    return network, network.fit(train, epochs=3, validation_data=validation, batch_size=8, verbose=0)
