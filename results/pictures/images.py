"""Pictures of trained models, as matplotlib figures that no window and no global state holds.

Colours are those that people who are colour-blind can tell apart (M. Okabe and K. Ito, "Color
Universal Design", 2008). matplotlib, Keras and TensorFlow are imported where they are used, as
commands that draw nothing import this module too.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store.run import replacing

if TYPE_CHECKING:
    from typing import TypeAlias

    import keras
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

FORMATS = ("png", "svg", "pdf")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Of Okabe and Ito, the easiest to see on white first."""
_MARKERS = ("o", "s", "^", "D")  # of the first eight classes, of the next eight, …
INK, GRID, PAPER = "#333333", "#E5E5E5", "#FFFFFE"
"""Of text and axes, of lines to read values by, and of the ground: white, but for a page to know it from
a white that has to stay one."""
_GRID = 200  # predictions along each side of a decision boundary
_NUMBERED = 20  # classes up to which a confusion matrix has room for its numbers
_NOISE, _STEP = 10 / 255, 5 / 255  # of the ascent, where black is 0 and white is 1


def learning_curves(frame: pd.DataFrame, metrics: Sequence[str], title: str = "") -> Figure:
    """How the metrics of one trial went, epoch by epoch: a panel for each, with its validation.

    Args:
        frame: a row per epoch, with a column ``epoch`` (from 1) and one per metric; where a value
            is missing, its line has a gap. Other columns are not drawn.
        metrics: names of the training metrics to draw. Where ``val_`` and the name is a column,
            it is drawn beside it.
        title: above the panels.

    Raises:
        ValueError: no metric is named, a column is missing, or an epoch has more than one row.
    """
    from matplotlib.ticker import MaxNLocator

    missing = [name for name in ("epoch", *metrics) if name not in frame.columns]
    if missing:
        columns = ", ".join(map(str, frame.columns)) or "none"
        raise ValueError(f"there is no column {missing[0]!r}; there are: {columns}")
    if not metrics:
        raise ValueError("no metric is named; name some of the columns, as loss")
    if frame["epoch"].duplicated().any():
        epoch = frame["epoch"][frame["epoch"].duplicated()].iloc[0]
        raise ValueError(f"epoch {epoch} has more than one row; give the rows of one trial")
    frame = frame.sort_values("epoch")
    across = min(len(metrics), 3 if len(metrics) != 4 else 2)
    down = math.ceil(len(metrics) / across)
    figure = blank(max(4.8 * across, 6.0), 3.4 * down + 0.4, title)
    lines = {}
    for place, name in enumerate(metrics, 1):
        axes = figure.add_subplot(down, across, place)
        for column, label, colour in (
            (name, "training", COLOURS[0]),
            (f"val_{name}", "validation", COLOURS[1]),
        ):
            if column in frame.columns:
                values = frame[column].to_numpy(dtype="float64", na_value=math.nan)
                (lines[label],) = axes.plot(
                    frame["epoch"].to_numpy(), values, color=colour, label=label, marker=".", markersize=5
                )
        axes.set_ylabel(name, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if place > len(metrics) - across:  # nothing stands below
            axes.set_xlabel("epoch")
    figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=2, frameon=False)
    return arranged(figure)


def decision_boundary(predict: Callable[[Array], Array], x: Array, y: Array, title: str = "") -> Figure:
    """The classes that a model gives to the points of the plane, and the samples upon them.

    With two classes the shading is the probability of class 1 and the line is where it is 0.5;
    with more, each region has the colour of its most probable class.

    Args:
        predict: takes points of shape (m, 2), float32, and returns probabilities of shape (m, k),
            or (m, 1) with that of class 1 alone.
        x: samples, of shape (n, 2).
        y: their classes from 0, of shape (n,).
        title: above the picture.

    Raises:
        ValueError: ``x`` are not points in the plane, ``y`` are not classes, or what ``predict``
            returns are not probabilities of them.
    """
    import numpy as np

    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"x has to be points in the plane, of shape (n, 2), but it has shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("x holds values that are not finite")
    y = _classes(y, len(x))
    low, high = x.min(axis=0), x.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 0.5)
    low, high = low - margin, high + margin
    half = (high - low) / _GRID / 2
    across, up = (np.linspace(low[i] + half[i], high[i] - half[i], _GRID) for i in (0, 1))
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype("float32")
    probabilities = _probabilities(predict(points), len(points), y, "predict gives")
    probabilities = probabilities.reshape(_GRID, _GRID, -1)

    figure = blank(6.4, 5.4, title)
    axes = figure.add_subplot()
    classes = probabilities.shape[2]
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    if classes == 2:
        _shade(axes, probabilities[:, :, 1], extent)
    else:
        _regions(axes, probabilities, extent)
    for number in range(classes):
        axes.scatter(
            x[y == number, 0], x[y == number, 1], s=26, color=_colour(number),
            marker=_MARKERS[number // 8 % 4], edgecolors="white", linewidths=0.6, label=f"class {number}",
        )  # fmt: skip
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="feature 1", ylabel="feature 2")
    figure.legend(loc="outside lower center", ncols=min(classes, 5), handletextpad=0.1, frameon=False)
    return arranged(figure)


def _shade(axes: Axes, probability: Array, extent: tuple[float, float, float, float]) -> None:
    """The probability of class 1 from 0 (its rival's colour) to 1, with the line at 0.5."""
    from matplotlib.colors import LinearSegmentedColormap

    tints = [_tint(COLOURS[0], 0.45), "#FFFFFF", _tint(COLOURS[1], 0.45)]
    image = axes.imshow(
        probability, cmap=LinearSegmentedColormap.from_list("two", tints), vmin=0, vmax=1,
        extent=extent, origin="lower", aspect="auto", interpolation="bilinear",
    )  # fmt: skip
    axes.contour(probability, levels=[0.5], colors=INK, linewidths=1.5, extent=extent, origin="lower")
    bar = axes.figure.colorbar(image, ax=axes, label="probability of class 1", ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.outline.set_visible(False)


def _regions(axes: Axes, probabilities: Array, extent: tuple[float, float, float, float]) -> None:
    """The most probable class everywhere, with lines where it changes."""
    import numpy as np
    from matplotlib.colors import ListedColormap

    classes = probabilities.shape[2]
    axes.imshow(
        probabilities.argmax(axis=2), cmap=ListedColormap([_tint(_colour(i), 0.3) for i in range(classes)]),
        vmin=-0.5, vmax=classes - 0.5, extent=extent, origin="lower", aspect="auto", interpolation="nearest",
    )  # fmt: skip
    for number in range(classes):
        lead = probabilities[:, :, number] - np.delete(probabilities, number, axis=2).max(axis=2)
        axes.contour(lead, levels=[0], colors=INK, linewidths=1, extent=extent, origin="lower")


def filters(model: keras.Model, count: int = 16, steps: int = 20, seed: int = 0) -> Figure:
    """The images that most excite the first layer of a model, in a sheet: what its filters look for.

    Each is shown with a brightness and a contrast of its own; where a ``Normalization`` comes
    first, as that layer hands it on.

    Args:
        model: that takes images, see :func:`exciting_inputs`.
        count: how many units at most, the first ones.
        steps: of the ascent.
        seed: of the noise it begins from.

    Raises:
        ValueError: as :func:`exciting_inputs`.

    Source: F. Chollet, "How convolutional neural networks see the world", The Keras Blog, 2016.
    """
    import numpy as np

    images = _images(_ascent(model, count, steps, seed)[0])
    axes = tuple(range(1, images.ndim))
    level, contrast = images.mean(axis=axes, keepdims=True), images.std(axis=axes, keepdims=True)
    shown = np.clip(0.5 + 0.2 * (images - level) / (contrast + 1e-8), 0.0, 1.0)
    captions = [str(number) for number in range(len(images))]
    return _sheet(shown, captions, f"What excites the units of {_first(model).name} most")


def exciting_inputs(model: keras.Model, count: int = 16, steps: int = 20, seed: int = 0) -> Array:
    """The images that most excite the first layer of a model, found by gradient ascent from grey noise.

    The layer is the first that is a ``Conv2D`` or ``Dense``, also within a nested model; what
    excites it is taken before its activation. A unit of a dense layer is raised itself. Of a
    convolution's map those places are raised that are above the map's mean, on average: the
    average over all places is linear in the image, whose best is a plain grey. The gradient is
    divided by its root mean square.

    Args:
        model: whose input is one image of fixed size: (h, w), (h, w, 1), (h, w, 3) or a flat
            square such as 784. Where a ``Rescaling`` or ``Normalization`` comes first, the noise
            and the steps are as large as its input, else as if black were 0 and white 1.
        count: how many units at most, the first ones.
        steps: of the ascent; 0 gives the noise.
        seed: of the noise.

    Returns:
        Images of shape (count, h, w), or (count, h, w, 3) in colour, in the units of the model's
        input and not clipped to its range; fewer than ``count`` if the layer has fewer units.

    Raises:
        ValueError: the model's inputs are no images, it has no such layer, no gradient leads from
            the layer to the input, or ``count`` or ``steps`` is too small.

    Source: F. Chollet, "How convolutional neural networks see the world", The Keras Blog, 2016,
    where a map's mean is taken after its ReLU.
    """
    images, grey, unit = _ascent(model, count, steps, seed)
    return _images(grey + unit * images)


def _ascent(model: keras.Model, count: int, steps: int, seed: int) -> tuple[Array, Array, Array]:
    """What :func:`exciting_inputs` finds, in units from grey; what is grey, and how large a unit."""
    import numpy as np
    import tensorflow as tf

    _at_least(1, count=count)
    _at_least(0, steps=steps)
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
    if None in shape or _image_shape(shape) is None:
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


def most_wrong(x: Array, y: Array, probabilities: Array, count: int = 25, title: str = "") -> Figure:
    """The images that a model misclassifies with the most confidence, the worst first.

    Above each stand its class, the class it was given, and the probability it was given with.

    Args:
        x: images of shape (n, h, w), (n, h, w, 1), (n, h, w, 3), or (n, s²) for flat squares.
        y: their classes from 0, of shape (n,).
        probabilities: what the model gives them, of shape (n, k), or (n, 1) with that of class 1.
        count: how many at most.
        title: above the sheet.

    Raises:
        ValueError: the arrays have other shapes or lengths, ``y`` are not classes, or ``count``
            is less than 1.
    """
    import numpy as np

    _at_least(1, count=count)
    images = _scaled(x)
    y = _classes(y, len(images))
    probabilities = _probabilities(probabilities, len(y), y, "probabilities holds")
    order = wrong_order(y, probabilities)[:count]
    if not len(order):
        figure = blank(5.0, 2.0, title)
        figure.text(0.5, 0.5, f"None of the {len(y)} images is misclassified.", ha="center", va="center")
        return arranged(figure)
    given = np.argmax(probabilities, axis=1)
    captions = [f"{y[i]} → {given[i]}, {probabilities[i, given[i]]:.2f}" for i in order]
    return _sheet(images[order], captions, title)


def wrong_order(y: Array, probabilities: Array) -> Array:
    """Indices of the misclassified samples, the one with the most probable wrong class first.

    Args:
        y: classes from 0, of shape (n,).
        probabilities: of shape (n, k), or (n, 1) with that of class 1 alone.

    Raises:
        ValueError: the lengths differ, ``y`` are not classes, or there are not enough columns.
    """
    import numpy as np

    y = _classes(y, len(y))
    probabilities = _probabilities(probabilities, len(y), y, "probabilities holds")
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y)
    return wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")]


def samples(x: Array, y: Array, count: int = 25, title: str = "") -> Figure:
    """The first images of a dataset, with their classes above them.

    Args:
        x: images of shape (n, h, w), (n, h, w, 1), (n, h, w, 3), or (n, s²) for flat squares.
        y: their classes from 0, of shape (n,).
        count: how many at most.
        title: above the sheet.

    Raises:
        ValueError: the arrays have other shapes or lengths or are empty, ``y`` are not classes,
            or ``count`` is less than 1.
    """
    _at_least(1, count=count)
    images = _scaled(x)
    y = _classes(y, len(images))
    if not len(images):
        raise ValueError("x holds no images")
    return _sheet(images[:count], [str(number) for number in y[:count]], title)


def confusion(matrix: Sequence[Sequence[int]], title: str = "") -> Figure:
    """A confusion matrix: how many samples of each class were given each class.

    Args:
        matrix: counts, k rows of k columns; rows are the true classes, columns the predicted ones.
        title: above the picture.

    Raises:
        ValueError: it is no square of counts.
    """
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    sizes = sorted({len(row) for row in matrix})
    if sizes != [len(matrix)] or not sizes[0]:
        wide = " or ".join(map(str, sizes)) or "no"
        raise ValueError(f"a confusion matrix is square, but this has {len(matrix)} rows of {wide} columns")
    counts = np.asarray(matrix)
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise ValueError(f"a confusion matrix holds counts, but this holds {counts.min()} ({counts.dtype})")
    classes = len(counts)
    side = min(max(0.5 * classes + 1.6, 3.6), 10.0)
    numbered = classes <= _NUMBERED
    figure = blank(side if numbered else side + 1.2, side, title)
    axes = figure.add_subplot()
    shades = LinearSegmentedColormap.from_list("counts", ["#FFFFFF", COLOURS[0], "#00304B"])
    image = axes.imshow(counts, cmap=shades, vmin=0, vmax=max(int(counts.max()), 1), interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    if numbered:
        axes.set(xticks=range(classes), yticks=range(classes))
        digits = len(str(counts.max()))
        size = min(10.0, 80 * side / classes / digits)
        ground = np.asarray(shades(image.norm(counts)))
        for row, column in np.ndindex(counts.shape):
            ink = ink_on(*ground[row, column, :3])
            axes.text(
                column, row, str(counts[row, column]), color=ink, ha="center", va="center", fontsize=size
            )
    else:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(image, ax=axes, label="samples")
    axes.spines[:].set_color("#BBBBBB")
    axes.tick_params(color="#BBBBBB")
    return arranged(figure)


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file whose suffix says the format; it is there whole or not at all.

    The same figure gives the same bytes. Text stays text in SVG, and PNG has 150 dots per inch.

    Args:
        figure: as drawn.
        path: ends with ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        ValueError: it has another suffix.
        OSError: it can't be written.
    """
    import matplotlib

    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        known = ", ".join(f".{form}" for form in FORMATS)
        raise ValueError(f"{path.name!r} has no suffix of a picture; there are {known}")
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    settings = matplotlib.rc_context({"svg.hashsalt": "results", "svg.fonttype": "none"})
    with settings, any_glyph(), replacing(path) as scratch:
        figure.savefig(scratch, format=form, dpi=150, metadata=metadata)


def blank(width: float, height: float, title: str) -> Figure:
    """An empty figure, in inches, to which a title adds as many lines as it needs."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    lines = textwrap.wrap(title, int(width * 9))
    figure = Figure(figsize=(width, height + 0.25 * len(lines)), facecolor="white", layout=layout)
    if lines:
        figure.suptitle("\n".join(lines), fontsize=12, parse_math=False)
    return figure


def arranged(figure: Figure) -> Figure:
    """A figure whose parts have their places for good.

    Constrained layout moves them by a hair at every drawing; the same picture would be another file.
    """
    with any_glyph():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


@contextmanager
def any_glyph() -> Iterator[None]:
    """Hold back matplotlib's warning of letters that its font lacks; it draws boxes for them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def _sheet(images: Array, captions: Sequence[str], title: str) -> Figure:
    """Images from 0 (black) to 1 (white) in rows, as near to a square as they go."""
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    figure = blank(max(1.3 * across, 4.4), 1.5 * down, title)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True), 1):
        axes = figure.add_subplot(down, across, place)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(caption, fontsize=9, pad=3)
        axes.set_axis_off()
    return arranged(figure)


def _image_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """(h, w) or (h, w, 3) of what has this shape; None if it is no image."""
    if len(shape) == 1 and shape[0] > 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        return (math.isqrt(shape[0]),) * 2
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape if shape[2] == 3 else shape[:2]
    return shape if len(shape) == 2 else None


def _images(x: Array) -> Array:
    """As (n, h, w) or (n, h, w, 3)."""
    import numpy as np

    x = np.asarray(x)
    shape = _image_shape(x.shape[1:])
    if shape is None:
        raise ValueError(
            f"x has to be images, of shape (n, h, w), (n, h, w, 1), (n, h, w, 3) or (n, s²), "
            f"but it has shape {x.shape}"
        )
    return x.reshape(len(x), *shape)


def _scaled(x: Array) -> Array:
    """Images, from 0 for the least value of all to 1 for the largest."""
    import numpy as np

    images = _images(x).astype("float32")
    if not np.isfinite(images).all():
        raise ValueError("x holds values that are not finite")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
    return (images - low) / (high - low if high > low else 1.0)


def _classes(y: Array, count: int) -> Array:
    """As whole numbers of shape (n,)."""
    import numpy as np

    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (count,):
        raise ValueError(f"y has to be one class for each of {count} samples, but it has shape {y.shape}")
    whole = (y >= 0) & (y < np.inf) & (y == np.floor(y)) if y.dtype.kind in "biuf" else np.zeros(count, bool)
    if not whole.all():
        wrong = y[~whole].tolist()[0]
        raise ValueError(f"y has to be class numbers, whole and from 0, but it holds {wrong!r}")
    return y.astype("int64")


def _probabilities(values: Array, count: int, y: Array, whose: str) -> Array:
    """As (n, k) with k of at least 2, and enough for the classes in ``y``."""
    import numpy as np

    values = np.asarray(values)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != count or not values.shape[1]:
        raise ValueError(
            f"{whose} an array of shape {values.shape}; it has to be ({count}, k) for k classes, "
            f"or ({count}, 1) for the probability of class 1"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{whose} values that are not finite")
    values = np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values
    if len(y) and y.max() >= values.shape[1]:
        raise ValueError(f"{whose} probabilities of {values.shape[1]} classes, but y holds class {y.max()}")
    return values


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} has to be at least {least}, but it is {value}")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _tint(colour: str, share: float) -> str:
    """A colour on white, where it covers ``share``."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def ink_on(red: float, green: float, blue: float) -> str:
    """Black or white, whichever is easier to read on a colour (WCAG 2.2, contrast ratio)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"
