"""The images that most excite the first layer of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    import keras
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

from hpc.results.pictures.arrays import as_images, check_at_least, image_shape
from hpc.results.pictures.sheets import sheet_of

_NOISE, _STEP = 10 / 255, 5 / 255  # of the ascent, where black is 0 and white is 1


def filters(model: keras.Model, count: int = 16, steps: int = 20, seed: int = 0) -> Figure:
    """The images that most excite the first layer of a model, in a sheet: what its filters look for.

    The layer is the first that is a ``Conv2D`` or ``Dense``, also within a nested model; what
    excites it is taken before its activation. Each is shown with a brightness and a contrast of its
    own; where a ``Normalization`` comes first, as that layer hands it on.

    Args:
        model: whose input is one image of fixed size: (h, w), (h, w, 1), (h, w, 3) or a flat
            square such as 784. Where a ``Rescaling`` or ``Normalization`` comes first, the noise
            and the steps are as large as its input, else as if black were 0 and white 1.
        count: how many units at most, the first ones.
        steps: of the ascent.
        seed: of the noise it begins from.

    Raises:
        ValueError: the model's inputs are no images, it has no such layer, no gradient leads from
            the layer to the input, or ``count`` or ``steps`` is too small.

    Source: F. Chollet, "How convolutional neural networks see the world", The Keras Blog, 2016.
    """
    import numpy as np

    images = as_images(ascent(model, count, steps, seed)[0])
    axes = tuple(range(1, images.ndim))
    level, contrast = images.mean(axis=axes, keepdims=True), images.std(axis=axes, keepdims=True)
    shown = np.clip(0.5 + 0.2 * (images - level) / (contrast + 1e-8), 0.0, 1.0)
    captions = [str(number) for number in range(len(images))]
    return sheet_of(shown, captions, f"What excites the units of {_first(model).name} most")


def ascent(model: keras.Model, count: int = 16, steps: int = 20, seed: int = 0) -> tuple[Array, Array, Array]:
    """The images that most excite the first layer of a model, found by gradient ascent from grey noise.

    A unit of a dense layer is raised itself. Of a convolution's map those places are raised that are
    above the map's mean, on average: the average over all places is linear in the image, whose best
    is a plain grey. The gradient is divided by its root mean square.

    Args:
        model: as of :func:`filters`.
        count: how many units at most, the first ones.
        steps: of the ascent; 0 gives the noise.
        seed: of the noise.

    Returns:
        Images in units from grey, one for each unit, of the shape of the model's input; what is grey; how
        large a unit is, both in those of the input. Nothing is clipped to the input's range.

    Raises:
        ValueError: as :func:`filters`.

    Source: F. Chollet, "How convolutional neural networks see the world", The Keras Blog, 2016,
    where a map's mean is taken after its ReLU.
    """
    import numpy as np
    import tensorflow as tf

    check_at_least(1, count=count)
    check_at_least(0, steps=steps)
    shape, layer = _image_input(model), _first(model)
    grey, unit = _grey(model, layer, shape)
    noise = np.random.default_rng(seed).uniform(-_NOISE, _NOISE, (min(count, _units(layer)), *shape))
    images = tf.constant(noise, tf.float32)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(images)
            excitement = _excitement(model, layer, grey + unit * images)
        gradient = None if excitement is None else tape.gradient(excitement, images)
        if gradient is None:
            raise ValueError(f"no gradient leads from the layer {layer.name!r} to the model's input")
        axes = list(range(1, len(shape) + 1))
        size = tf.sqrt(tf.reduce_mean(tf.square(gradient), axes, keepdims=True))
        images += _STEP * gradient / (size + 1e-12)
    return images.numpy(), grey, unit


def _excitement(model: keras.Model, layer: keras.Layer, images: Any) -> Any:
    """The sum of what image i does to unit i, as a tensor; None if the layer wasn't reached.

    The layer is listened to through its activation while the model runs: to cut out a model that
    ends there would need Keras' private graph where models are nested.
    """
    import tensorflow as tf

    heard: list[Any] = []
    activation = layer.activation

    def listen(before: Any) -> Any:
        heard.append(before)
        return before if activation is None else activation(before)

    layer.activation = listen
    try:
        model(images, training=False)
    finally:
        layer.activation = activation
    if not heard:
        return None
    before = tf.cast(heard[0], tf.float32)
    own = tf.stack([tf.reshape(before[i, ..., i], [-1]) for i in range(len(images))])
    if own.shape[1] == 1:
        return tf.reduce_sum(own)
    mean = tf.stop_gradient(tf.reduce_mean(own, axis=1, keepdims=True))
    return tf.reduce_sum(tf.reduce_mean(tf.nn.relu(own - mean), axis=1))


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    """All layers in their order, those of nested models too."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _first(model: keras.Model) -> keras.Layer:
    """The first layer that is a two-dimensional convolution or dense."""
    import keras

    for layer in _layers(model):
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            return layer
    names = ", ".join(type(layer).__name__ for layer in _layers(model)) or "none"
    raise ValueError(f"the model has no Conv2D or Dense layer to excite; its layers are: {names}")


def _units(layer: keras.Layer) -> int:
    """How many maps or units it has."""
    import keras

    return int(layer.filters if isinstance(layer, keras.layers.Conv2D) else layer.units)


def _image_input(model: keras.Model) -> tuple[int, ...]:
    """Shape of the one image that a model takes."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        count = f"{len(inputs)} inputs" if inputs else "no inputs yet: it is not built"
        raise ValueError(f"the model has to take one image, but it has {count}")
    shape = tuple(inputs[0].shape[1:])
    if None in shape or image_shape(shape) is None:
        raise ValueError(
            f"the model's inputs are no images: they have shape {shape}; "
            "images are (h, w), (h, w, 1), (h, w, 3) or a flat square such as (784,)"
        )
    return shape


def _grey(model: keras.Model, layer: keras.Layer, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Middle grey of a model's input, and from black to white, as preprocessing before ``layer`` tells.

    The pixels of a ``Normalization`` have one each: where all images are black, the smallest
    change is huge to the model, and the ascent would see nothing else.
    """
    import keras
    import numpy as np

    grey, unit = np.full(shape, 0.5, "float32"), np.ones(shape, "float32")
    for other in _layers(model):
        if other is layer:
            break
        if isinstance(other, keras.layers.Rescaling):
            scale, offset = float(np.mean(other.scale)), float(np.mean(other.offset))
            return np.full_like(grey, (-offset if offset else 0.5) / scale), unit / abs(scale)
        if isinstance(other, keras.layers.Normalization):
            mean, deviation = (
                np.asarray(one, "float32") for one in (other.mean, keras.ops.sqrt(other.variance))
            )
            if mean.size == unit.size:
                return mean.reshape(shape), deviation.reshape(shape)
            return np.full_like(grey, mean.mean()), unit * deviation.mean()  # one for all, or for a channel
    return grey, unit
