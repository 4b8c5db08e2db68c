"""Samples in a file of TFRecords, read as a stream."""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

FILE = Path(__file__).with_name("made.tfrecord")


def written():
    if not FILE.exists():
        draw = np.random.default_rng(0)
        mine = FILE.with_name(f".{id(draw)}.tfrecord")
        with tf.io.TFRecordWriter(str(mine)) as writer:
            for index in range(48):
                x = (draw.normal(size=4) + index % 2).astype("float32")
                writer.write(x.tobytes() + np.float32(index % 2).tobytes())
        mine.rename(FILE)
    return str(FILE)


def data(batch_size):
    def parsed(record):
        numbers = tf.io.decode_raw(record, tf.float32)
        return tf.ensure_shape(numbers[:4], (4,)), tf.ensure_shape(numbers[4:], (1,))

    whole = tf.data.TFRecordDataset(written()).map(parsed)

    def batches(samples, count):
        known = tf.data.experimental.assert_cardinality(math.ceil(count / batch_size))
        return samples.batch(batch_size).apply(known)

    return batches(whole.take(32).shuffle(32), 32), batches(whole.skip(32), 16)


def model():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    network.compile("adam", "binary_crossentropy")
    return network


def plain(seed):
    keras.utils.set_random_seed(seed)
    train, validation = data(8)
    network = model()
    return network, network.fit(train, epochs=3, validation_data=validation, shuffle=False, verbose=0)
