"""Convolutional networks on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from hpc.models.families.mlp import Activation, Dropout, Initializer, Penalty, Width, kernel_penalty
from hpc.models.families.output import Output, output_layer

if TYPE_CHECKING:
    import keras

Filters = Annotated[
    Width | Annotated[list[Width], Field(min_length=1)],
    Field(description="a whole number of at least 1, or a list of them"),
]
DenseSize = Annotated[
    Width | list[Width],
    Field(description="a whole number of at least 1, or a list of them, which may be empty"),
]
Shift = Annotated[float, Field(ge=0, lt=1, description="a share from 0 up to, but not including, 1")]
Padding = Literal["valid", "same"]
Pool = Literal["each", "pairs", "last", "none"]


def cnn(
    input_shape: tuple[int, ...],
    output_size: int,
    num_classes: int | None,
    *,
    random_shift: Shift = 0.0,
    filters: Filters = [32, 64],  # noqa: B006  # a list, as a sweep file has it; never changed
    kernel_size: Width = 3,
    padding: Padding = "valid",
    pool: Pool = "each",
    pool_size: Width = 2,
    conv_dropout: Dropout = 0.0,
    hidden_size: DenseSize = 128,
    activation: Activation = "relu",
    hidden_activation: Activation | None = None,
    dropout: Dropout = 0.0,
    batch_normalization: bool = False,
    l2: Penalty = 0.0,
    initializer: Initializer = "glorot_uniform",
    output: Output = "auto",
) -> keras.Model:
    """A convolutional network: convolutions with max-pooling, then dense layers.

    Args:
        input_shape: (height, width), or (height, width, channels).
        output_size: classes, or numbers to predict.
        num_classes: None where numbers are predicted.
        random_shift: in training, each image is moved up to this share of its height and width, down
            or up and to either side, differently every time; zeros fill what comes in.
        filters: maps of the one convolution, or a list with the maps of each.
        kernel_size: height and width of the kernels, in pixels.
        padding: of the convolutions: valid makes the maps smaller by ``kernel_size - 1``, same
            keeps their size. Pooling leaves out what does not fill its last window.
        pool: each pools after each convolution, pairs after every second one, last after the last
            one only, none never.
        pool_size: height and width of what one maximum is taken of.
        conv_dropout: share of the maps' pixels dropped after each pooling, in [0, 1); after the
            last convolution where nothing is pooled.
        hidden_size: units of the one dense layer before the last, or a list with the units of
            each; an empty list for none.
        activation: of the convolutions.
        hidden_activation: of the dense layers; that of the convolutions unless given.
        dropout: share of units dropped after each of these dense layers, in [0, 1).
        batch_normalization: whether each convolution is normalized before its activation. The
            normalization then has the biases, and the convolution none, which it would subtract.
        l2: factor of the sum of squared kernels that is added to the loss; biases are free.
        initializer: of the kernels; biases start at zero.
        output: activation of the last layer; a sigmoid for two classes is one unit, for more of
            them one unit each.

    Raises:
        ValueError: samples are no images, or too small for these convolutions and poolings; every
            second of one convolution is to be pooled; a softmax over one number.

    Sources: Y. LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE
    86(11), 1998; S. Ioffe, C. Szegedy, Batch normalization, ICML 2015, section 3.2.
    """
    import keras

    problem = cnn_problem({"filters": filters, "pool": pool})
    problem = problem or _image_problem(input_shape, _listed(filters), kernel_size, padding, pool, pool_size)
    if problem:
        raise ValueError(problem)
    layers = keras.layers
    kernel = {"kernel_initializer": initializer, "kernel_regularizer": kernel_penalty(0.0, l2)}
    order = {"data_format": "channels_last"}  # even if a keras.json in the home folder differs
    stack = [keras.Input(input_shape)]
    if len(input_shape) == 2:
        stack.append(layers.Reshape((*input_shape, 1)))
    if random_shift:
        how = {"fill_mode": "constant", "interpolation": "nearest"}
        stack.append(layers.RandomTranslation(random_shift, random_shift, **how, **order))
    pooled = _pooled(pool, len(_listed(filters)))
    for index, maps in enumerate(_listed(filters)):
        stack.append(
            layers.Conv2D(
                maps,
                kernel_size,
                padding=padding,
                activation=None if batch_normalization else activation,
                use_bias=not batch_normalization,
                **kernel,
                **order,
            )
        )
        if batch_normalization:
            stack.append(layers.BatchNormalization())
            stack.append(layers.Activation(activation))
        if pooled[index]:
            stack.append(layers.MaxPooling2D(pool_size, **order))
        if conv_dropout and (pooled[index] or (not any(pooled) and index == len(pooled) - 1)):
            stack.append(layers.Dropout(conv_dropout))
    stack.append(layers.Flatten(**order))
    for size in _listed(hidden_size):
        stack.append(layers.Dense(size, hidden_activation or activation, **kernel))
        if dropout:
            stack.append(layers.Dropout(dropout))
    stack.append(output_layer(output, output_size, num_classes, **kernel))
    return keras.Sequential(stack, name="cnn")


def cnn_problem(params: Mapping[str, Any]) -> str | None:
    """A sentence about hyperparameters that are right one by one but not together, or None."""
    filters = params.get("filters", [])
    if params.get("pool") == "pairs" and filters and len(_listed(filters)) == 1:
        return (
            f"pool=pairs stands beside filters={filters}, a single convolution, and would never pool; "
            "take pool: each, or a list of at least two filters"
        )
    return None


def _listed(sizes: int | list[int]) -> list[int]:
    return sizes if isinstance(sizes, list) else [sizes]


def _pooled(pool: Pool, convolutions: int) -> list[bool]:
    """For each convolution, whether pooling comes after it."""
    last = convolutions - 1
    return [
        pool == "each" or (pool == "pairs" and index % 2 == 1) or (pool == "last" and index == last)
        for index in range(convolutions)
    ]


def _image_problem(
    input_shape: tuple[int, ...],
    filters: list[int],
    kernel_size: int,
    padding: Padding,
    pool: Pool,
    pool_size: int,
) -> str | None:
    """Why samples of that shape can't go through, or None."""
    if len(input_shape) not in (2, 3):
        return (
            "cnn takes images of shape (height, width) or (height, width, channels), "
            f"but a sample has the shape {input_shape}; take mlp, or data that come as images"
        )
    height, width = input_shape[:2]
    side = min(height, width)
    for number, pooled in enumerate(_pooled(pool, len(filters)), 1):
        convolved = side if padding == "same" else side - kernel_size + 1
        after = convolved // pool_size if pooled else convolved
        if after < 1:
            step, left, needed = (
                (f"convolution {number}", side, f"kernel_size={kernel_size}")
                if convolved < 1
                else (f"the pooling after convolution {number}", convolved, f"pool_size={pool_size}")
            )
            return (
                f"images of {height} x {width} pixels are too small for filters={filters}: at {step} "
                f"the shorter side has come down to {left}, less than {needed}; take fewer filters, "
                "a smaller kernel_size or pool_size, padding: same, or pool: last"
            )
        side = after
    return None
