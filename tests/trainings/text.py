"""Texts: a TextVectorization that has adapted, an LSTM with a mask, a loss for each token."""

import keras
import numpy as np

WORDS = ["up", "down", "left", "right", "still"]


def texts():
    draw = np.random.default_rng(0)
    return np.array([" ".join(draw.choice(WORDS, size=draw.integers(2, 6))) for _ in range(48)], object)


def data():
    x = texts()
    y = np.array([float("up" in one) for one in x], "float32")[:, None]
    return (x[:32], y[:32]), (x[32:], y[32:])


def model():
    layers = keras.layers
    words = layers.TextVectorization(output_sequence_length=6)
    words.adapt(texts()[:32])
    network = keras.Sequential([
        keras.Input((), dtype="string"), words, layers.Embedding(10, 4, mask_zero=True), layers.LSTM(4),
        layers.Dense(1, "sigmoid"),
    ])  # fmt: skip
    network.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return network


def plain(seed):
    (x, y), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    return network, network.fit(x, y, epochs=3, batch_size=16, validation_data=validation, verbose=0)
