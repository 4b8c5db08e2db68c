"""A GAN: a train_step of its own, two optimizers, metrics of its own, random numbers of Keras."""

import keras
import numpy as np
import tensorflow as tf


class Gan(keras.Model):
    def __init__(self):
        super().__init__()
        layers = keras.layers
        self.seeds = keras.random.SeedGenerator(7)
        self.critic = keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(1)])
        self.maker = keras.Sequential([keras.Input((2,)), layers.Dense(4, "relu"), layers.Dense(3)])
        self.d_loss, self.g_loss = keras.metrics.Mean("d_loss"), keras.metrics.Mean("g_loss")

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def call(self, x):
        return self.critic(x)

    def train_step(self, real):
        if isinstance(real, tuple):
            real = real[0]
        size = tf.shape(real)[0]
        made = self.maker(keras.random.normal((size, 2), seed=self.seeds))
        both = tf.concat([made, real], axis=0)
        labels = tf.concat([tf.ones((size, 1)), tf.zeros((size, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.entropy(labels, self.critic(both))
        grads = tape.gradient(d_loss, self.critic.trainable_weights)
        self.d_optimizer.apply_gradients(zip(grads, self.critic.trainable_weights, strict=True))
        with tf.GradientTape() as tape:
            made = self.maker(keras.random.normal((size, 2), seed=self.seeds))
            g_loss = self.entropy(tf.zeros((size, 1)), self.critic(made))
        grads = tape.gradient(g_loss, self.maker.trainable_weights)
        self.g_optimizer.apply_gradients(zip(grads, self.maker.trainable_weights, strict=True))
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


def data(batch_size):
    x = np.random.default_rng(0).normal(2.0, 0.5, size=(48, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices(x).shuffle(48).batch(batch_size)


def model(learning_rate):
    network = Gan()
    network.compile(keras.optimizers.Adam(learning_rate), keras.optimizers.Adam(learning_rate))
    return network


def plain(seed):
    keras.utils.set_random_seed(seed)
    train = data(16)
    network = model(0.01)
    return network, network.fit(train, epochs=3, shuffle=False, verbose=0)
