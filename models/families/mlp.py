"""Multilayer perceptrons, and the types of the hyperparameters that other networks share with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from hpc.models.families.output import Output, output_layer

if TYPE_CHECKING:
    import keras

Width = Annotated[int, Field(ge=1, description="a whole number of at least 1")]
HiddenSize = Annotated[
    Width | Annotated[list[Width], Field(min_length=1)],
    Field(description="a whole number of at least 1, or a list of them"),
]
Depth = Annotated[int, Field(ge=0, description="a whole number of at least 0")]
Dropout = Annotated[float, Field(ge=0, lt=1, description="a number from 0 up to, but not including, 1")]
Penalty = Annotated[float, Field(ge=0, description="a number of at least 0")]
Positive = Annotated[float, Field(gt=0, description="a number above 0")]
Activation = Literal[
    "relu", "tanh", "sigmoid", "softplus", "elu", "selu", "gelu", "silu", "leaky_relu", "linear"
]  # fmt: skip
Initializer = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "orthogonal", "random_normal", "truncated_normal", "random_uniform", "zeros",
]  # fmt: skip

NORMAL = ("random_normal", "truncated_normal")
"""Initializers whose standard deviation can be chosen."""


def mlp(
    input_shape: tuple[int, ...],
    output_size: int,
    num_classes: int | None,
    *,
    hidden_size: HiddenSize = 32,
    depth: Depth | None = None,
    activation: Activation = "relu",
    output: Output = "auto",
    use_bias: bool = True,
    input_dropout: Dropout = 0.0,
    dropout: Dropout = 0.0,
    batch_normalization: bool = False,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    max_norm: Positive | None = None,
    initializer: Initializer = "glorot_uniform",
    initializer_stddev: Positive | None = None,
) -> keras.Model:
    """A multilayer perceptron: dense layers, each with its activation and dropout.

    The last layer is a softmax over classes, or linear where numbers are predicted, unless
    ``output`` decides otherwise. A depth of 0 is softmax (or linear) regression, 1 has one hidden
    layer, 2 has two.

    Args:
        input_shape: shape of one sample; more than one axis is flattened.
        output_size: classes, or numbers to predict.
        num_classes: None where numbers are predicted.
        hidden_size: units of every hidden layer, or a list with the units of each.
        depth: number of hidden layers, 1 unless given; of a list its length.
        activation: of the hidden layers.
        output: activation of the last layer; a sigmoid for two classes is one unit, for more of
            them one unit each.
        use_bias: whether units have biases, in all layers.
        input_dropout: share of the inputs dropped, in [0, 1).
        dropout: share of units dropped after each hidden layer, in [0, 1).
        batch_normalization: whether each hidden layer is normalized before its activation. The
            normalization then has the biases, and the dense layer none, which it would subtract.
        l1: factor of the sum of absolute kernels that is added to the loss; biases are free.
        l2: factor of the sum of squared kernels, likewise.
        max_norm: greatest length of the vector of weights into a hidden unit.
        initializer: of the kernels; biases start at zero.
        initializer_stddev: standard deviation of random_normal and truncated_normal, 0.05 unless
            given; not together with other initializers.

    Raises:
        ValueError: ``depth`` is not the length of a list of sizes, ``initializer_stddev`` together with
            another initializer, or a softmax over one number.

    Sources: N. Srivastava et al., Dropout, JMLR 15, 2014 (``dropout``, ``input_dropout`` and
    ``max_norm``); S. Ioffe, C. Szegedy, Batch normalization, ICML 2015, section 3.2.
    """
    import keras

    problem = mlp_problem({"initializer": initializer, "initializer_stddev": initializer_stddev})
    if problem:
        raise ValueError(problem)
    layers = [keras.Input(input_shape)]
    if len(input_shape) > 1:
        layers.append(keras.layers.Flatten())
    if input_dropout:
        layers.append(keras.layers.Dropout(input_dropout))
    penalty = kernel_penalty(l1, l2)
    for size in layer_sizes(hidden_size, depth):
        layers.append(
            keras.layers.Dense(
                size,
                None if batch_normalization else activation,
                use_bias=use_bias and not batch_normalization,
                kernel_initializer=_initial(initializer, initializer_stddev),
                kernel_regularizer=penalty,
                kernel_constraint=keras.constraints.MaxNorm(max_norm, axis=0) if max_norm else None,
            )
        )
        if batch_normalization:
            layers.append(keras.layers.BatchNormalization(center=use_bias))
            layers.append(keras.layers.Activation(activation))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    layers.append(
        output_layer(
            output,
            output_size,
            num_classes,
            use_bias=use_bias,
            kernel_initializer=_initial(initializer, initializer_stddev),
            kernel_regularizer=penalty,
        )
    )
    return keras.Sequential(layers, name="mlp")  # built once, and not anew for every layer


def layer_sizes(hidden_size: int | list[int], depth: int | None) -> list[int]:
    """Units of each hidden layer.

    Raises:
        ValueError: ``depth`` is not the length of a list.
    """
    problem = mlp_problem({"hidden_size": hidden_size, "depth": depth})
    if problem:
        raise ValueError(problem)
    if isinstance(hidden_size, list):
        return hidden_size
    return [hidden_size] * (1 if depth is None else depth)


def mlp_problem(params: Mapping[str, Any]) -> str | None:
    """A sentence about hyperparameters that are right one by one but not together, or None."""
    hidden_size, depth = params.get("hidden_size"), params.get("depth")
    if isinstance(hidden_size, list) and depth not in (None, len(hidden_size)):
        return (
            f"depth={depth} stands beside hidden_size={hidden_size}, whose length is the depth; "
            "give one number as hidden_size, or leave depth out"
        )
    initializer, stddev = params.get("initializer", "glorot_uniform"), params.get("initializer_stddev")
    if stddev is not None and initializer not in NORMAL:
        return (
            f"initializer_stddev={stddev} stands beside initializer={initializer}, which has its own; "
            f"take {' or '.join(NORMAL)}, or leave initializer_stddev out"
        )
    return None


def kernel_penalty(l1: float, l2: float) -> keras.Regularizer | None:
    """The penalty on the kernels of a network; None where both factors are 0."""
    import keras

    if l1 and l2:
        return keras.regularizers.L1L2(l1, l2)
    if l1:
        return keras.regularizers.L1(l1)
    return keras.regularizers.L2(l2) if l2 else None


def _initial(initializer: str, stddev: float | None) -> Any:
    """An initializer for one layer: an object shared by two would give both the same weights."""
    import keras

    if stddev is None:
        return initializer
    return keras.initializers.get({"class_name": initializer, "config": {"stddev": stddev}})
