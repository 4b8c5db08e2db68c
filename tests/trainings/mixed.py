"""Half precision, set at the top of the file, with the loss scaled; some steps at a time."""

import keras
import numpy as np

keras.config.set_dtype_policy("mixed_float16")


def data():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (draw.normal(size=(60, 4)) + y[:, None]).astype("float32")
    return (x[:40], y[:40]), (x[40:], y[40:])


def model():
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "relu"),
            layers.Dense(3),
            layers.Activation("softmax", dtype="float32"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], steps_per_execution=2)
    return network


def plain(seed):
    (x, y), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    return network, network.fit(x, y, epochs=3, batch_size=8, validation_data=validation, verbose=0)
