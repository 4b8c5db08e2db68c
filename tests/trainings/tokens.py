"""A tag for each token of texts of unequal length: what is padding is masked, in loss and metrics."""

import keras
import numpy as np


def data():
    draw = np.random.default_rng(0)
    words = draw.integers(1, 9, size=(48, 6))
    for row, length in enumerate(draw.integers(1, 7, size=48)):
        words[row, length:] = 0
    tags = words % 3
    return (words[:32], tags[:32], np.ones((32, 6), "float32")), (words[32:], tags[32:])


def model():
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.GRU(4, return_sequences=True),
            layers.Dense(3, "softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def plain(seed):
    (x, y, weight), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    return network, network.fit(
        x, y, sample_weight=weight, epochs=3, batch_size=16, validation_data=validation, verbose=0
    )
