"""A frame of pandas with numbers and words, column by column, through layers that have adapted."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf


def frame():
    draw = np.random.default_rng(0)
    age = draw.integers(20, 70, 60).astype("float32")
    return pd.DataFrame({"age": age, "town": draw.choice(["york", "leeds"], 60), "rich": (age > 45) * 1.0})


def parts():
    table = frame()
    x = {"age": table["age"].to_numpy()[:, None], "town": tf.constant(table[["town"]].to_numpy(str))}
    y = table["rich"].to_numpy("float32")[:, None]
    return [({name: one[rows] for name, one in x.items()}, y[rows]) for rows in (slice(40), slice(40, None))]


def data():
    return tuple(parts())


def model():
    layers = keras.layers
    inputs = {"age": keras.Input((1,), name="age"), "town": keras.Input((1,), name="town", dtype="string")}
    (x, _), _ = parts()
    scale, lookup = layers.Normalization(axis=-1), layers.StringLookup(output_mode="one_hot")
    scale.adapt(x["age"])
    lookup.adapt(x["town"])
    both = layers.Concatenate()([scale(inputs["age"]), lookup(inputs["town"])])
    network = keras.Model(inputs, layers.Dense(1, "sigmoid")(both))
    network.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return network


def plain(seed):
    (x, y), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    return network, network.fit(x, y, epochs=3, batch_size=8, validation_data=validation, verbose=0)
