"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    import keras

Width = Annotated[int, Field(ge=1)]
HiddenSize = Annotated[
    Width | Annotated[list[Width], Field(min_length=1)],
    Field(description="a whole number of at least 1, or a list of them"),
]
Depth = Annotated[int, Field(ge=0, description="a whole number of at least 0")]
Dropout = Annotated[float, Field(ge=0, lt=1, description="a number from 0 up to, but not including, 1")]
Penalty = Annotated[float, Field(ge=0, description="a number of at least 0")]
Activation = Literal[
    "relu", "tanh", "sigmoid", "softplus", "elu", "selu", "gelu", "silu", "leaky_relu", "linear"
]  # fmt: skip
Initializer = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "orthogonal", "random_normal", "random_uniform", "zeros",
]  # fmt: skip


def mlp(
    input_shape: tuple[int, ...],
    output_size: int,
    num_classes: int | None,
    *,
    hidden_size: HiddenSize = 32,
    depth: Depth | None = None,
    activation: Activation = "relu",
    dropout: Dropout = 0.0,
    l2: Penalty = 0.0,
    initializer: Initializer = "glorot_uniform",
) -> keras.Model:
    """A multilayer perceptron: dense layers, each with its activation and dropout.

    The last layer is a softmax over classes, or linear where numbers are predicted. A depth of
    0 is softmax (or linear) regression, 1 has one hidden layer, 2 has two.

    Args:
        input_shape: shape of one sample; more than one axis is flattened.
        output_size: classes, or numbers to predict.
        num_classes: None where numbers are predicted.
        hidden_size: units of every hidden layer, or a list with the units of each.
        depth: number of hidden layers, 1 unless given; not together with a list.
        activation: of the hidden layers.
        dropout: share of units dropped after each hidden layer, in [0, 1).
        l2: factor of the sum of squared kernels that is added to the loss; biases are free.
        initializer: of the kernels; biases start at zero.

    Raises:
        ValueError: ``depth`` together with a list of sizes.
    """
    import keras

    model = keras.Sequential([keras.Input(input_shape)], name="mlp")
    if len(input_shape) > 1:
        model.add(keras.layers.Flatten())
    penalty = keras.regularizers.L2(l2) if l2 else None
    for size in layer_sizes(hidden_size, depth):
        model.add(
            keras.layers.Dense(size, activation, kernel_initializer=initializer, kernel_regularizer=penalty)
        )
        if dropout:
            model.add(keras.layers.Dropout(dropout))
    output = "softmax" if num_classes else "linear"
    model.add(
        keras.layers.Dense(output_size, output, kernel_initializer=initializer, kernel_regularizer=penalty)
    )
    return model


def layer_sizes(hidden_size: int | list[int], depth: int | None) -> list[int]:
    """Units of each hidden layer.

    Raises:
        ValueError: ``depth`` together with a list.
    """
    problem = mlp_problem({"hidden_size": hidden_size, "depth": depth})
    if problem:
        raise ValueError(problem)
    if isinstance(hidden_size, list):
        return hidden_size
    return [hidden_size] * (1 if depth is None else depth)


def mlp_problem(params: Mapping[str, Any]) -> str | None:
    """What is wrong with hyperparameters that are right one by one, or None."""
    hidden_size, depth = params.get("hidden_size"), params.get("depth")
    if isinstance(hidden_size, list) and depth is not None:
        return (
            f"depth={depth} stands beside hidden_size={hidden_size}, whose length is the depth; "
            "give one number as hidden_size, or leave depth out"
        )
    return None
