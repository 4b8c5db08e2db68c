"""Ragged tensors as inputs, and sparse ones for validation alike: of unlike lengths."""

import keras
import numpy as np
import tensorflow as tf


def data():
    draw = np.random.default_rng(0)
    rows = [draw.normal(size=draw.integers(1, 5)).astype("float32").tolist() for _ in range(48)]
    x = tf.ragged.constant(rows)
    y = np.array([sum(row) for row in rows], "float32")[:, None]
    return (x[:32], y[:32]), (x[32:], y[32:])


class Summed(keras.layers.Layer):
    def call(self, x):
        return tf.reduce_sum(x, axis=1, keepdims=True) if isinstance(x, tf.RaggedTensor) else x


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        if isinstance(x, tf.RaggedTensor):
            x = tf.reduce_sum(x, axis=1, keepdims=True)
        return self.dense(tf.reshape(x, (-1, 1)))


def model():
    network = Net()
    network.compile("sgd", "mse")
    return network


def plain(seed):
    (x, y), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    return network, network.fit(x, y, epochs=3, batch_size=8, validation_data=validation, verbose=0)
