"""What it takes to prove that two models are the same but for numbers, beside drawing a graph of one.

    uv run python -m benchmarks.proving

builds each model twice, and measures in one process, in turn: the fingerprint of all that it leads to
(``jobs/training/fingerprint.py``), and the drawing of a graph of one training step. Medians and ranges.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from hpc.jobs.training import fingerprint_of
from hpc.models import mlp


def _mlp() -> Any:
    return mlp((28, 28), 10, 10, hidden_size=[128, 64], dropout=0.2)


def _lstm() -> Any:
    from keras import Input, Sequential, layers

    cells = layers.Bidirectional(layers.LSTM(32))
    return Sequential([Input((20,)), layers.Embedding(100, 16), cells, layers.Dense(10, "softmax")])


def _resnet() -> Any:
    from keras.applications import ResNet50

    return ResNet50(weights=None, classes=10, input_shape=(32, 32, 3))


MODELS: dict[str, Callable[[], Any]] = {"mlp": _mlp, "LSTM": _lstm, "ResNet-50": _resnet}


def main() -> None:
    import tensorflow as tf

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    for name, make in MODELS.items():
        prints, proofs, drawings = set(), [], []
        for _ in range(given.repeats):
            import keras

            keras.utils.clear_session()
            model = make()
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
            model.optimizer.build(model.trainable_variables)
            start = time.perf_counter()
            prints.add(fingerprint_of([model], [*model.variables, *model.optimizer.variables], {}))
            proofs.append(1000 * (time.perf_counter() - start))

            def step(x: Any, y: Any, model: Any = model) -> Any:
                with tf.GradientTape() as tape:
                    loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True))
                gradients = tape.gradient(loss, model.trainable_variables)
                model.optimizer.apply(gradients, model.trainable_variables)
                return loss

            spec = [tf.TensorSpec((None, *model.input_shape[1:])), tf.TensorSpec((None,), tf.int32)]
            start = time.perf_counter()
            tf.function(step, spec, autograph=False).get_concrete_function()
            drawings.append(1000 * (time.perf_counter() - start))
        assert len(prints) == 1, "the same model has two fingerprints"
        proof, drawing = statistics.median(proofs), statistics.median(drawings)
        least, most = min(drawings), max(drawings)
        print(
            f"{name:10s} proof {proof:6.1f} ms (from {min(proofs):.1f} to {max(proofs):.1f}), drawing "
            f"{drawing:7.0f} ms (from {least:.0f} to {most:.0f}): {proof / drawing:.1%} of it"
        )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
