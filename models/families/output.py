"""The last layer of a network, which defines the meaning of its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import keras

Output = Literal["auto", "softmax", "sigmoid", "linear", "tanh", "softplus", "exponential"]


def output_layer(
    output: Output,
    output_size: int,
    num_classes: int | None,
    **dense: Any,  # whatever else keras.layers.Dense takes, which is no matter of the output
) -> keras.layers.Dense:
    """The dense layer whose outputs, of shape (batch, units), are those of the model.

    Args:
        output: its activation; auto is softmax over classes, linear where numbers are predicted.
        output_size: classes, or numbers to predict.
        num_classes: None where numbers are predicted.
        dense: further arguments of ``keras.layers.Dense``.

    Raises:
        ValueError: a softmax over one number, which is always 1.
    """
    import keras

    units = output_units(output, output_size, num_classes)
    if output == "softmax" and num_classes is None and units == 1:
        raise ValueError(
            "output='softmax' over the one number to predict is always 1; "
            "take linear, or sigmoid for a number between 0 and 1"
        )
    if output == "auto":
        output = "softmax" if num_classes else "linear"
    return keras.layers.Dense(units, output, **dense)


def output_units(output: Output, output_size: int, num_classes: int | None) -> int:
    """Units of the last layer: one per class or number to predict.

    A sigmoid for two classes is the exception: one unit gives the probability of class 1.
    """
    return 1 if output == "sigmoid" and num_classes == 2 else output_size
