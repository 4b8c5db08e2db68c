"""Two inputs and two outputs by name, with weights of samples."""

import keras
import numpy as np


def data():
    draw = np.random.default_rng(0)
    n = 60
    x = {
        "image": draw.normal(size=(n, 4)).astype("float32"),
        "place": draw.normal(size=(n, 2)).astype("float32"),
    }
    y = {"kind": np.arange(n) % 3, "height": draw.normal(size=(n, 1)).astype("float32")}
    weight = np.linspace(0.5, 1.5, n).astype("float32")

    def part(low, high):
        return (
            {name: one[low:high] for name, one in x.items()},
            {name: one[low:high] for name, one in y.items()},
            dict.fromkeys(y, weight[low:high]),
        )

    return part(0, 40), part(40, 60)


def model():
    layers = keras.layers
    image, place = keras.Input((4,), name="image"), keras.Input((2,), name="place")
    both = layers.Dense(5, "relu")(layers.Concatenate()([image, place]))
    outputs = {
        "kind": layers.Dense(3, "softmax", name="kind")(both),
        "height": layers.Dense(1, name="height")(both),
    }
    network = keras.Model({"image": image, "place": place}, outputs)
    network.compile(
        "adam",
        {"kind": "sparse_categorical_crossentropy", "height": "mse"},
        loss_weights={"kind": 1.0, "height": 0.5},
        metrics={"kind": ["accuracy"]},
    )
    return network


def plain(seed):
    (x, y, w), validation = data()
    keras.utils.set_random_seed(seed)
    network = model()
    return network, network.fit(
        x, y, sample_weight=w, epochs=3, batch_size=16, validation_data=validation, verbose=0
    )
