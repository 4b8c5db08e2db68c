"""Linear, logistic and softmax regression, as networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc.models.families.mlp import Initializer, Penalty, kernel_penalty
from hpc.models.families.output import Output, output_layer

if TYPE_CHECKING:
    import keras


def linear(
    input_shape: tuple[int, ...],
    output_size: int,
    num_classes: int | None,
    *,
    output: Output = "auto",
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    use_bias: bool = True,
    initializer: Initializer = "glorot_uniform",
) -> keras.Model:
    """Linear, logistic or softmax regression: a network with one dense layer.

    It is linear regression where numbers are predicted, softmax regression over classes, and
    logistic regression with ``output="sigmoid"`` over two classes.

    Args:
        input_shape: shape of one sample; more than one axis is flattened.
        output_size: classes, or numbers to predict.
        num_classes: None where numbers are predicted.
        output: activation of the layer; a sigmoid for two classes is one unit, for more of them
            one unit each.
        l1: factor of the sum of absolute weights that is added to the loss; biases are free.
        l2: factor of the sum of squared weights, likewise.
        use_bias: whether there are biases.
        initializer: of the weights; biases start at zero.

    Raises:
        ValueError: a softmax over one number.
    """
    import keras

    layers = [keras.Input(input_shape)]
    if len(input_shape) > 1:
        layers.append(keras.layers.Flatten())
    layers.append(
        output_layer(
            output,
            output_size,
            num_classes,
            use_bias=use_bias,
            kernel_initializer=initializer,
            kernel_regularizer=kernel_penalty(l1, l2),
        )
    )
    return keras.Sequential(layers, name="linear")
