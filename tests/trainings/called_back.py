"""Callbacks: Keras' own, with options, and the user's."""

import keras
import numpy as np


class Noted(keras.callbacks.Callback):
    """Keeps a count, and halves the rate in the second epoch."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.epochs = factor, 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        if self.epochs == 2:
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate * self.factor


def noted(factor, trial):
    assert trial.folder.parent.name == "trials"
    return Noted(factor)


def fallen(epoch, rate):
    return rate * 0.9


def data():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (draw.normal(size=(60, 4)) + y[:, None]).astype("float32")
    return (x[:40], y[:40]), (x[40:], y[40:])


def model(learning_rate):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    network.compile(
        keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return network


def plain(seed):
    (x, y), validation = data()
    keras.utils.set_random_seed(seed)
    network = model(0.02)
    callbacks = [
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=1, min_delta=0.5),
        keras.callbacks.LearningRateScheduler(fallen),
        keras.callbacks.EarlyStopping(patience=3, min_delta=1.0, restore_best_weights=True),
        Noted(0.5),
    ]
    return network, network.fit(
        x, y, epochs=6, batch_size=16, validation_data=validation, callbacks=callbacks, verbose=0
    )
