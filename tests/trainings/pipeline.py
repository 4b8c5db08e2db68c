"""A pipeline of tf.data: shuffled, augmented, in batches; a network with dropout and batch normalization."""

import keras
import numpy as np
import tensorflow as tf


def data(batch_size):
    draw = np.random.default_rng(0)
    y = np.arange(72) % 3
    x = (draw.normal(size=(72, 6, 6, 1)) + y[:, None, None, None]).astype("float32")

    def flipped(image, label):
        return tf.image.random_flip_left_right(image), label

    train = tf.data.Dataset.from_tensor_slices((x[:48], y[:48])).shuffle(48).map(flipped)
    validation = tf.data.Dataset.from_tensor_slices((x[48:], y[48:]))
    return train.batch(batch_size).prefetch(2), validation.batch(batch_size)


def model(learning_rate):
    layers = keras.layers
    network = keras.Sequential([
        keras.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
        layers.Flatten(), layers.Dropout(0.2), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    network.compile(
        keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return network


def plain(seed):
    keras.utils.set_random_seed(seed)
    train, validation = data(16)
    network = model(0.01)
    return network, network.fit(train, epochs=3, validation_data=validation, shuffle=False, verbose=0)
