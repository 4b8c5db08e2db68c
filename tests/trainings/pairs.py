"""A contrastive loss: each sample is compared with all others of its batch."""

import keras
import numpy as np


class Pairs(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, views):
        return [self.dense(one) for one in views]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        first, second = (keras.ops.normalize(one) for one in y_pred)
        alike = keras.ops.matmul(first, keras.ops.transpose(second)) / 0.5
        own = keras.ops.arange(keras.ops.shape(alike)[0])
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(own, alike, from_logits=True))


def data():
    draw = np.random.default_rng(0)
    first = draw.normal(size=(48, 4)).astype("float32")
    second = (first + draw.normal(scale=0.3, size=first.shape)).astype("float32")
    return {"train": ([first[:32], second[:32]],), "validation": ([first[32:], second[32:]],)}


def model(learning_rate):
    network = Pairs()
    network.compile(keras.optimizers.SGD(learning_rate))
    return network


def plain(seed):
    parts = data()
    keras.utils.set_random_seed(seed)
    network = model(0.1)
    return network, network.fit(
        *parts["train"], epochs=3, batch_size=16, validation_data=parts["validation"], verbose=0
    )
