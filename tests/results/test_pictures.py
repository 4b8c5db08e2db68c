"""Pictures of trained models."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hpc.results import pictures
from hpc.results.pictures.arrays import as_images
from hpc.results.pictures.excitation import ascent

Array = NDArray[Any]

if TYPE_CHECKING:
    import keras
else:

    class Later:
        """Keras, imported when it is used and not when tests are collected.

        What TensorFlow says when it is imported under pytest's collection is lost with its stderr.
        """

        def __getattr__(self, name):
            if name.startswith(("_", "pytest")):  # pytest looks for marks and fixtures
                raise AttributeError(name)
            import keras

            return getattr(keras, name)

    keras = Later()


def history() -> pd.DataFrame:
    """Three epochs of a trial, as the table by epochs has them."""
    return pd.DataFrame(
        {
            "trial_id": ["t1"] * 3,
            "width": [64] * 3,
            "seed": [7] * 3,
            "epoch": [1, 2, 3],
            "loss": [0.9, 0.5, 0.25],
            "val_loss": [1.0, math.nan, 0.75],
            "accuracy": [0.5, 0.625, 0.75],
            "seconds": [10.0, 20.0, 30.0],
        }
    )


def texts(figure: Figure) -> list[str]:
    """What a legend below the panels says."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_metric_has_a_panel_with_its_validation_in_it() -> None:
    figure = pictures.learning_curves(history(), ["loss", "accuracy"], "trial t1")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    drawn = [[line.get_xydata() for line in axes.lines] for axes in figure.axes]
    expected = [[[0.9, 0.5, 0.25], [1.0, math.nan, 0.75]], [[0.5, 0.625, 0.75]]]
    assert [len(lines) for lines in drawn] == [2, 1]  # neither the width nor the seconds
    for lines, columns in zip(drawn, expected, strict=True):
        for line, column in zip(lines, columns, strict=True):
            np.testing.assert_array_equal(line, np.column_stack([[1, 2, 3], column]))
    assert figure.get_suptitle() == "trial t1"
    assert texts(figure) == ["training", "validation"]
    assert figure.axes[0].lines[0].get_color() != figure.axes[0].lines[1].get_color()


def test_without_validation_there_is_only_training() -> None:
    figure = pictures.learning_curves(history(), ["accuracy"])
    assert len(figure.axes) == 1
    assert texts(figure) == ["training"]
    assert figure.get_suptitle() == ""


def test_an_epoch_without_a_value_is_a_gap_whatever_stands_for_it(tmp_path: Path) -> None:
    frame = history().assign(
        loss=pd.array([0.5, None, 0.25], dtype="Float64"), accuracy=pd.Series([None] * 3)
    )
    figure = pictures.learning_curves(frame, ["loss", "accuracy"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.5, math.nan, 0.25])
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [math.nan] * 3)
    pictures.save(figure, tmp_path / "curves.png")  # no warning either


def test_epochs_are_drawn_in_their_order() -> None:
    figure = pictures.learning_curves(history().iloc[::-1], ["loss"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[1, 0.9], [2, 0.5], [3, 0.25]])


@pytest.mark.parametrize(
    ("frame", "metrics", "error"),
    [
        (
            history(),
            ["f1"],
            "there is no column 'f1'; there are: trial_id, width, seed, epoch, loss, val_loss",
        ),
        (history().drop(columns="epoch"), ["loss"], "there is no column 'epoch'; there are: trial_id, width"),
        (pd.DataFrame(), ["loss"], "there is no column 'epoch'; there are: none"),
        (history(), [], "no metric is named"),
        (pd.concat([history()] * 2), ["loss"], "epoch 1 has more than one row; give the rows of one trial"),
    ],
)
def test_a_frame_that_is_no_trials_is_refused(frame: pd.DataFrame, metrics: list[str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        pictures.learning_curves(frame, metrics)


CORNERS = np.array([[-2.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [2.0, 1.0]])
SIDES = np.array([0, 0, 1, 1])


def right(points: Array) -> Array:
    """The probability to be right of x = 1.5, as a single sigmoid gives it."""
    assert points.dtype == "float32"
    assert points.shape == (len(points), 2)
    return np.asarray(1 / (1 + np.exp(-4 * (points[:, :1] - 1.5))))


def corners(points: Array) -> Array:
    """Probabilities of three classes: left of -1, from -1 to 1, right of 1."""
    middle = np.full(len(points), 1.0)
    scores = np.exp(np.column_stack([-points[:, 0], middle, points[:, 0]]))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def drawn_at(axes: Axes, x: float, y: float) -> float:
    """The value of the image that covers the axes, at a point of theirs."""
    values, (left, right, bottom, top) = np.asarray(axes.images[0].get_array()), axes.images[0].get_extent()
    row = int((y - bottom) / (top - bottom) * values.shape[0])
    column = int((x - left) / (right - left) * values.shape[1])
    return float(values[row, column])


def borders(axes: Axes) -> list[Array]:
    """The points of each line between regions."""
    lines = [one for one in axes.collections if isinstance(one, ContourSet)]
    vertices = [np.asarray(path.vertices) for line in lines for path in line.get_paths()]
    return [points for points in vertices if len(points)]


@pytest.mark.parametrize(
    "predict", [right, lambda p: right(p)[:, 0], lambda p: np.hstack([1 - right(p), right(p)])]
)
def test_two_classes_are_shaded_by_probability_with_a_line_at_one_half(
    predict: Callable[[Array], Array],
) -> None:
    figure = pictures.decision_boundary(predict, CORNERS, SIDES, "right or left")
    axes = figure.axes[0]
    for x in (-2.1, -0.5, 1.0, 1.4, 1.6, 2.1):
        expected = 1 / (1 + math.exp(-4 * (x - 1.5)))
        assert drawn_at(axes, x, -1.05) == pytest.approx(expected, abs=0.03)
        assert drawn_at(axes, x, 1.05) == pytest.approx(expected, abs=0.03)
    (line,) = borders(axes)
    assert np.abs(line[:, 0] - 1.5).max() < 0.002
    assert np.ptp(line[:, 1]) > 2
    assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (0, 1)
    assert figure.axes[1].get_ylabel() == "probability of class 1"
    assert texts(figure) == ["class 0", "class 1"]
    assert figure.get_suptitle() == "right or left"


def test_the_top_of_the_plane_is_at_the_top() -> None:
    above = pictures.decision_boundary(lambda p: (p[:, 1] > 0) * 1.0, CORNERS, np.array([0, 1, 0, 1]))
    axes = above.axes[0]
    assert [drawn_at(axes, 0, y) for y in (-1, 1)] == [0, 1]
    assert axes.images[0].origin == "lower"
    assert axes.get_ylim()[0] < -1 < 1 < axes.get_ylim()[1]


def test_of_more_classes_each_region_has_the_colour_of_its_class() -> None:
    figure = pictures.decision_boundary(corners, CORNERS, SIDES)
    axes = figure.axes[0]
    assert texts(figure) == ["class 0", "class 1", "class 2"]  # though no sample is of class 2
    assert [drawn_at(axes, x, 0) for x in (-2, -1.1, -0.9, 0, 0.9, 1.1, 2)] == [0, 0, 1, 1, 1, 2, 2]
    lines = borders(axes)
    assert {round(float(x)) for line in lines for x in line[:, 0]} == {-1, 1}
    assert max(abs(abs(float(x)) - 1) for line in lines for x in line[:, 0]) < 0.01
    colours = np.asarray(axes.images[0].to_rgba(np.arange(3)))[:, :3]
    for number, cloud in enumerate(one for one in axes.collections if not isinstance(one, ContourSet)):
        own = np.array(cloud.get_facecolor())[0, :3]  # which the region has on white
        tint = colours[number]
        np.testing.assert_allclose(
            (1 - tint) / (1 - own + 1e-9), (1 - tint).max() / (1 - own).max(), atol=0.02
        )


def test_the_samples_are_drawn_where_they_are_by_class() -> None:
    axes = pictures.decision_boundary(corners, CORNERS, np.array([2, 0, 0, 1])).axes[0]
    clouds = [one for one in axes.collections if not isinstance(one, ContourSet)]
    drawn = [np.asarray(cloud.get_offsets()).tolist() for cloud in clouds]
    assert drawn == [CORNERS[1:3].tolist(), CORNERS[3:].tolist(), CORNERS[:1].tolist()]
    assert len({tuple(np.array(cloud.get_facecolor())[0]) for cloud in clouds}) == 3


def test_a_model_that_is_never_in_doubt_has_no_line(tmp_path: Path) -> None:
    figure = pictures.decision_boundary(lambda p: np.full((len(p), 1), 0.9), CORNERS, SIDES)
    assert borders(figure.axes[0]) == []
    assert drawn_at(figure.axes[0], 0, 0) == 0.9
    pictures.save(figure, tmp_path / "sure.svg")


def test_a_single_point_and_a_column_of_classes_are_enough() -> None:
    axes = pictures.decision_boundary(right, CORNERS[:1], np.array([[0.0]])).axes[0]
    assert axes.get_xlim() == pytest.approx((-2.5, -1.5))
    assert axes.get_ylim() == pytest.approx((-1.5, -0.5))


@pytest.mark.parametrize(
    ("x", "y", "predict", "error"),
    [
        (
            CORNERS[:, :1],
            SIDES,
            right,
            r"x has to be points in the plane, of shape \(n, 2\), but .* \(4, 1\)",
        ),
        (CORNERS.ravel(), SIDES, right, r"x has to be points in the plane.*\(8,\)"),
        (CORNERS[:0], SIDES[:0], right, r"x has to be points in the plane.*\(0, 2\)"),
        (CORNERS * math.nan, SIDES, right, "x holds values that are not finite"),
        (CORNERS, SIDES[:3], right, r"y has to be one class for each of 4 samples, but it has shape \(3,\)"),
        (CORNERS, SIDES + 0.5, right, "y has to be class numbers, whole and from 0, but it holds 0.5"),
        (CORNERS, SIDES - 1, right, "y has to be class numbers, whole and from 0, but it holds -1"),
        (CORNERS, SIDES * math.nan, right, "whole and from 0, but it holds nan"),
        (CORNERS, np.array(list("abcd")), right, "whole and from 0, but it holds 'a'"),
        (CORNERS, SIDES * 2, right, "predict gives probabilities of 2 classes, but y holds class 2"),
        (
            CORNERS,
            SIDES,
            lambda p: p[:5],
            r"predict gives an array of shape \(5, 2\); it has to be \(40000, k\)",
        ),
        (CORNERS, SIDES, lambda p: right(p) * math.nan, "predict gives values that are not finite"),
    ],
)
def test_what_is_no_plane_or_no_classes_is_refused(
    x: Array, y: Array, predict: Callable[[Array], Array], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        pictures.decision_boundary(predict, x, y)


def adapted() -> keras.Layer:
    """A normalization of flat images whose border is always black, as MNIST's is."""
    digits = np.random.default_rng(0).uniform(0, 255, (50, 12, 12)).astype("float32")
    digits[:, :2] = 0
    layer = keras.layers.Normalization()
    layer.adapt(digits.reshape(50, 144))
    return layer


def nested(*inner: keras.Layer) -> keras.Layer:
    """A sequential model in a functional one in a sequential one."""
    inputs = keras.Input((12, 12, 1))
    outputs = keras.Sequential(inner)(inputs)
    return keras.Sequential([keras.Input((12, 12, 1)), keras.Model(inputs, outputs)])


# The input's shape, what comes before the layer, the layer, and whether it is wrapped up in models.
FIRST_LAYERS: dict[str, Callable[[], tuple[tuple[int, ...], list[keras.Layer], keras.Layer, bool]]] = {
    "a convolution": lambda: ((12, 12, 1), [], keras.layers.Conv2D(16, 3, activation="relu"), False),
    "a convolution of colours": lambda: (
        (12, 12, 3),
        [],
        keras.layers.Conv2D(4, 3, activation="relu"),
        False,
    ),
    "a convolution in nested models": lambda: (
        (12, 12, 1),
        [keras.layers.Rescaling(1 / 255)],
        keras.layers.Conv2D(6, 3, activation="tanh"),
        True,
    ),
    "a convolution whose activation is a layer": lambda: (
        (12, 12),
        [keras.layers.Reshape((12, 12, 1))],
        keras.layers.Conv2D(6, 3, activation=keras.layers.LeakyReLU()),
        False,
    ),
    "a dense layer": lambda: ((144,), [], keras.layers.Dense(32, "relu"), False),
    "a dense layer that is the last": lambda: (
        (12, 12),
        [keras.layers.Flatten(), keras.layers.Dropout(0.5)],
        keras.layers.Dense(10, "softmax"),
        False,
    ),
    "a dense layer of pixels, some always black": lambda: ((144,), [adapted()], keras.layers.Dense(8), False),
    "a dense layer of doubles": lambda: (
        (144,),
        [keras.layers.Normalization(mean=3.0, variance=4.0, dtype="float64")],
        keras.layers.Dense(8, "relu", dtype="float64"),
        False,
    ),
    "a dense layer after images between -1 and 1": lambda: (
        (12, 12, 1),
        [keras.layers.Rescaling(1 / 127.5, -1), keras.layers.Flatten()],
        keras.layers.Dense(8, "gelu"),
        True,
    ),
}


def responses(images: Array, before: list[keras.Layer], layer: keras.Layer) -> Array:
    """What every image does to every unit or place of a map, (images, places, units), by its formula."""
    values = keras.ops.convert_to_tensor(images, "float32")
    for one in before:
        values = one(values, training=False) if isinstance(one, keras.layers.Dropout) else one(values)
    kernel, bias = layer.kernel, layer.bias
    apply = keras.ops.conv if isinstance(layer, keras.layers.Conv2D) else keras.ops.matmul
    result = np.asarray(apply(values, kernel) + bias)
    return result.reshape(len(images), -1, result.shape[-1])


def exciting_inputs(model: keras.Model, count: int = 16, steps: int = 20, seed: int = 0) -> Array:
    """What the ascent finds, in the units of the model's input."""
    images, grey, unit = ascent(model, count, steps, seed)
    return as_images(grey + unit * images)


@pytest.mark.parametrize("kind", FIRST_LAYERS)
def test_the_ascent_excites_every_unit_far_beyond_the_noise(kind: str) -> None:
    keras.utils.set_random_seed(3)
    shape, before, layer, wrapped = FIRST_LAYERS[kind]()
    layers = [*before, layer, keras.layers.Flatten(), keras.layers.Dense(3)]
    model = nested(*layers) if wrapped else keras.Sequential([keras.Input(shape), *layers])
    units = layer.bias.shape[0]
    noise = exciting_inputs(model, steps=0)
    images = exciting_inputs(model)
    assert images.shape == (min(16, units), 12, 12, *([3] if shape[-1] == 3 else []))
    first, last = (responses(x.reshape(-1, *shape), before, layer) for x in (noise, images))
    for unit in range(len(images)):
        calm, excited = first[unit, :, unit], last[unit, :, unit]
        spread = calm.std() if calm.size > 1 else first[:, 0, unit].std()
        strongest = [one[one >= one.mean()].mean() for one in (calm, excited)]
        assert strongest[1] > strongest[0] + 5 * spread
    if isinstance(layer, keras.layers.Dense):  # each image is its own unit's favourite
        assert last[:, 0, : len(images)].argmax(axis=0).tolist() == list(range(len(images)))


def test_the_ascent_shows_the_direction_of_an_edge_detector() -> None:
    layer = keras.layers.Conv2D(2, (2, 2), activation="relu")
    model = keras.Sequential([keras.Input((16, 16, 1)), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    across = np.array([[1.0, -1.0], [1.0, -1.0]])  # changes from left to right
    layer.set_weights([np.stack([across, across.T], axis=-1)[:, :, None], np.array([-5.0, 5.0])])
    vertical, horizontal = exciting_inputs(model)
    for image, along, along_not in ((vertical, 1, 0), (horizontal, 0, 1)):
        inside = image[2:-2, 2:-2]  # a plain image has edges too: its own
        change = [np.abs(np.diff(inside, axis=axis)).mean() for axis in (along, along_not)]
        assert change[0] > 2 * change[1]
        assert inside.std() > 0.2


def test_always_black_pixels_stay_as_they_are() -> None:
    model = keras.Sequential([keras.Input((144,)), adapted(), keras.layers.Dense(4)])
    images = exciting_inputs(model)
    assert np.ptp(images[:, :2]) == 0
    assert np.ptp(images[:, 2:]) > 10


@pytest.mark.parametrize(
    ("before", "grey", "most"),
    [
        (list, 0.5, 0.04),
        (lambda: [keras.layers.Rescaling(1 / 255)], 127.5, 10),
        (lambda: [keras.layers.Rescaling(1 / 127.5, -1)], 127.5, 5),
        (lambda: [keras.layers.Normalization(mean=33.0, variance=100.0)], 33, 0.4),
    ],
)
def test_the_ascent_begins_from_grey_noise_of_the_inputs_range(
    before: Callable[[], list[keras.Layer]], grey: float, most: float
) -> None:
    model = keras.Sequential([keras.Input((12, 12, 1)), *before(), keras.layers.Conv2D(4, 3)])
    noise = exciting_inputs(model, steps=0, seed=1)
    assert noise.mean() == pytest.approx(grey, abs=most / 4)
    assert 0.9 * most < np.abs(noise - grey).max() < 1.01 * most
    assert not np.array_equal(noise[0], noise[1])
    np.testing.assert_array_equal(noise, exciting_inputs(model, steps=0, seed=1))
    assert not np.array_equal(noise, exciting_inputs(model, steps=0, seed=2))
    np.testing.assert_array_equal(noise[:2], exciting_inputs(model, 2, steps=0, seed=1))


def test_the_ascent_leaves_the_model_as_it_was() -> None:
    activation = keras.layers.LeakyReLU()
    layer = keras.layers.Conv2D(4, 3, activation=activation)
    moving, last = keras.layers.BatchNormalization(), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((12, 12, 1)), layer, moving, keras.layers.Flatten(), last])
    x = np.random.default_rng(0).random((5, 12, 12, 1), "float32")
    before, weights, names = model(x).numpy(), model.get_weights(), [w.path for w in model.weights]
    exciting_inputs(model)
    assert layer.activation is activation
    np.testing.assert_array_equal(before, model(x).numpy())
    assert [w.path for w in model.weights] == names
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("units", "count", "shown"), [(20, 16, 16), (6, 16, 6), (20, 3, 3), (1, 16, 1)])
def test_the_sheet_shows_the_first_units_and_no_more_than_there_are(
    units: int, count: int, shown: int
) -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(units, 3, name="edges")])
    figure = pictures.filters(model, count, steps=3, seed=5)
    images = exciting_inputs(model, count, steps=3, seed=5)
    assert [axes.get_title() for axes in figure.axes] == [str(unit) for unit in range(shown)]
    assert figure.get_suptitle() == "What excites the units of edges most"
    for axes, image in zip(figure.axes, images, strict=True):
        drawn = np.asarray(axes.images[0].get_array())
        assert (drawn.min() >= 0, drawn.max() <= 1) == (True, True)
        assert drawn.mean() == pytest.approx(0.5, abs=0.05)
        assert np.corrcoef(drawn.ravel(), image.ravel())[0, 1] > 0.98


def model_of(shape: tuple[int | None, ...], *layers: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers])


def two_inputs() -> keras.Model:
    inputs = [keras.Input((8, 8)), keras.Input((8, 8))]
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Add()(inputs)))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (
            lambda: model_of((2,), keras.layers.Dense(3)),
            r"inputs are no images: they have shape \(2,\); images are",
        ),
        (lambda: model_of((8, 8, 4), keras.layers.Dense(3)), r"they have shape \(8, 8, 4\)"),
        (lambda: model_of((None, None, 1), keras.layers.Conv2D(3, 3)), r"they have shape \(None, None, 1\)"),
        (
            lambda: model_of((8, 8), keras.layers.LSTM(3)),
            "has no Conv2D or Dense layer to excite; .* are: LSTM",
        ),
        (two_inputs, "the model has to take one image, but it has 2 inputs"),
        (
            lambda: keras.Sequential([keras.layers.Dense(3)]),
            "the model has to take one image, but .* is not built",
        ),
        (
            lambda: keras.Sequential([keras.Input((8, 8), dtype="uint8"), keras.layers.Dense(3, name="d")]),
            "no gradient leads from the layer 'd' to the model's input",
        ),
    ],
)
def test_a_model_that_takes_no_image_or_has_no_such_layer_is_refused(
    make: Callable[[], keras.Model], error: str
) -> None:
    model = make()
    with pytest.raises(ValueError, match=error):
        pictures.filters(model)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"count": 0}, "count has to be at least 1, but it is 0"),
     ({"steps": -1}, "steps has to be at least 0, but it is -1")],
)  # fmt: skip
def test_no_images_and_fewer_than_no_steps_are_refused(arguments: dict[str, int], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        pictures.filters(model_of((8, 8), keras.layers.Dense(3)), **arguments)


# Six images of four pixels, of which the second, fourth and last are misclassified.
FOUR = np.arange(24, dtype="uint8").reshape(6, 2, 2)
TRUE = np.array([0, 1, 2, 2, 1, 0])
GIVEN = np.array(
    [[0.9, 0.1, 0.0], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.0, 0.994, 0.006], [0.3, 0.4, 0.3], [0.3, 0.1, 0.6]]
)


def sheet(figure: Figure) -> list[tuple[str, Array]]:
    """What stands above each image, and the image."""
    return [(axes.get_title(), np.asarray(axes.images[0].get_array())) for axes in figure.axes]


def test_wrong_ones_are_ordered_by_the_probability_of_the_wrong_class() -> None:
    assert pictures.wrong_order(TRUE, GIVEN).tolist() == [3, 1, 5]
    assert pictures.wrong_order(TRUE[:, None], GIVEN).tolist() == [3, 1, 5]
    sigmoid = np.array([0.9, 0.3, 0.8, 0.05, 0.5])
    assert pictures.wrong_order(np.array([0, 1, 1, 1, 0]), sigmoid).tolist() == [3, 0, 1]
    assert pictures.wrong_order(np.array([0, 1, 1, 1, 0]), sigmoid[:, None]).tolist() == [3, 0, 1]


def test_those_that_are_equally_wrong_keep_their_order() -> None:
    assert pictures.wrong_order(np.ones(5, int), np.tile([0.75, 0.25], (5, 1))).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(6, 2, 2), (6, 2, 2, 1), (6, 4)])
def test_the_most_wrong_images_stand_first_with_what_they_were_taken_for(shape: tuple[int, ...]) -> None:
    figure = pictures.most_wrong(FOUR.reshape(shape), TRUE, GIVEN, title="worst")
    drawn = sheet(figure)
    assert [caption for caption, _ in drawn] == ["2 → 1, 0.99", "1 → 0, 0.70", "0 → 2, 0.60"]
    for (_, image), index in zip(drawn, [3, 1, 5], strict=True):
        np.testing.assert_allclose(image, FOUR[index] / 23, atol=1e-6)
    assert figure.get_suptitle() == "worst"
    assert [caption for caption, _ in sheet(pictures.most_wrong(FOUR, TRUE, GIVEN, 1))] == ["2 → 1, 0.99"]


def test_a_model_that_is_right_everywhere_is_told_so() -> None:
    figure = pictures.most_wrong(FOUR, GIVEN.argmax(axis=1), GIVEN)
    assert figure.axes == []
    assert [text.get_text() for text in figure.texts] == ["None of the 6 images is misclassified."]


def test_samples_are_the_first_images_with_their_classes() -> None:
    drawn = sheet(pictures.samples(FOUR.reshape(6, 4), TRUE.astype(float), 4))
    assert [caption for caption, _ in drawn] == ["0", "1", "2", "2"]
    for index, (_, image) in enumerate(drawn):
        np.testing.assert_allclose(image, FOUR[index] / 23, atol=1e-6)
    assert len(pictures.samples(FOUR, TRUE).axes) == 6


def test_samples_in_colour_and_of_any_range_are_shown_from_black_to_white() -> None:
    colours = np.random.default_rng(0).normal(0, 3, (6, 4, 5, 3))
    drawn = np.stack([image for _, image in sheet(pictures.samples(colours, TRUE))])
    assert drawn.shape == (6, 4, 5, 3)
    np.testing.assert_allclose(drawn, (colours - colours.min()) / np.ptp(colours), atol=1e-6)
    assert not np.any(sheet(pictures.samples(np.full((1, 4), 7.0), TRUE[:1]))[0][1])  # one plain value


@pytest.mark.parametrize(
    ("x", "y", "count", "error"),
    [
        (
            FOUR.reshape(2, 12),
            TRUE[:2],
            5,
            r"x has to be images, of shape \(n, h, w\).*but it has shape \(2, 12\)",
        ),
        (FOUR.reshape(6, 1, 2, 2), TRUE, 5, r"x has to be images.*\(6, 1, 2, 2\)"),
        (np.where(FOUR < 9, FOUR, math.inf), TRUE, 5, "x holds values that are not finite"),
        (FOUR, TRUE[:5], 5, r"y has to be one class for each of 6 samples, but it has shape \(5,\)"),
        (FOUR, TRUE - 1, 5, "whole and from 0, but it holds -1"),
        (FOUR, TRUE, 0, "count has to be at least 1, but it is 0"),
    ],
)
def test_what_is_no_images_or_no_classes_is_refused(x: Array, y: Array, count: int, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        pictures.samples(x, y, count)
    with pytest.raises(ValueError, match=error):
        pictures.most_wrong(x, y, GIVEN[: len(y)], count)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (GIVEN[:5], r"probabilities holds an array of shape \(5, 3\); it has to be \(6, k\) for k classes"),
        (GIVEN[:, :2], "probabilities holds probabilities of 2 classes, but y holds class 2"),
        (GIVEN * math.nan, "probabilities holds values that are not finite"),
    ],
)
def test_probabilities_that_do_not_fit_are_refused(given: Array, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        pictures.most_wrong(FOUR, TRUE, given)
    with pytest.raises(ValueError, match=error):
        pictures.wrong_order(TRUE, given)


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The contrast ratio of WCAG 2.2; 4.5 is asked of text."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_a_confusion_matrix_has_true_classes_in_rows_and_readable_numbers() -> None:
    matrix = [[50, 30, 0], [1, 44, 5], [12, 20, 99999]]
    figure = pictures.confusion(matrix, "three classes")
    (axes,) = figure.axes
    assert np.asarray(axes.images[0].get_array()).tolist() == matrix
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (column, row): str(matrix[row][column]) for row in range(3) for column in range(3)
    }
    assert figure.get_suptitle() == "three classes"


def test_every_number_stands_out_from_its_cell() -> None:
    matrix = [[row * 20 + column for column in range(20)] for row in range(20)]
    axes = pictures.confusion(matrix).axes[0]
    assert len(axes.texts) == 400
    ground = np.asarray(axes.images[0].to_rgba(np.array(matrix)))
    for text in axes.texts:
        column, row = text.get_position()
        assert contrast(to_rgb(text.get_color()), tuple(ground[int(row), int(column), :3])) >= 4.5


def test_numbers_stay_within_their_cells() -> None:
    figure = pictures.confusion([[999999] * 20] * 20)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    cell = axes.get_window_extent().width / 20
    widths = [text.get_window_extent().width for text in axes.texts]
    assert 0.5 * cell < max(widths) < cell


def test_more_than_twenty_classes_have_a_scale_in_place_of_numbers() -> None:
    figure = pictures.confusion(np.eye(21, dtype=int).tolist())
    assert [len(axes.texts) for axes in figure.axes] == [0, 0]
    assert figure.axes[1].get_ylabel() == "samples"


@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        ([[1, 2], [3, 4], [5, 6]], "a confusion matrix is square, but this has 3 rows of 2 columns"),
        ([[1, 2], [3]], "a confusion matrix is square, but this has 2 rows of 1 or 2 columns"),
        ([], "this has 0 rows of no columns"),
        ([[1, -2], [3, 4]], "a confusion matrix holds counts, but this holds -2"),
        ([[1, 0.5], [3, 4]], r"a confusion matrix holds counts, but this holds 0.5 \(float64\)"),
    ],
)
def test_what_is_no_square_of_counts_is_refused(matrix: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        pictures.confusion(matrix)


DRAWINGS: dict[str, Callable[[str], Figure]] = {
    "learning curves": lambda title: pictures.learning_curves(history(), ["loss", "accuracy"], title),
    "two classes": lambda title: pictures.decision_boundary(right, CORNERS, SIDES, title),
    "three classes": lambda title: pictures.decision_boundary(corners, CORNERS, SIDES, title),
    "wrong ones": lambda title: pictures.most_wrong(FOUR, TRUE, GIVEN, title=title),
    "no wrong ones": lambda title: pictures.most_wrong(FOUR, GIVEN.argmax(axis=1), GIVEN, title=title),
    "samples": lambda title: pictures.samples(FOUR, TRUE, title=title),
    "confusion": lambda title: pictures.confusion([[5, 1], [2, 7]], title),
}
TITLE = "rate < 0.5 & a prize of $5, $6 or 7 €"


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_picture_drawn_or_saved_again_is_the_same_file(drawing: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    figure, other = DRAWINGS[drawing](TITLE), DRAWINGS[drawing](TITLE)
    for suffix in (".png", ".svg", ".pdf"):
        files = [folder / f"{name}{suffix}" for name in ("one", "again", "other")]
        for path, drawn in zip(files, (figure, figure, other), strict=True):
            pictures.save(drawn, path)
        assert len({path.read_bytes() for path in files}) == 1, suffix
    assert len(list(folder.iterdir())) == 9  # and nothing beside them


def test_a_png_has_150_dots_per_inch(tmp_path: Path) -> None:
    figure = pictures.confusion([[5, 1], [2, 7]])
    pictures.save(figure, tmp_path / "matrix.PNG")
    data = (tmp_path / "matrix.PNG").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == tuple(int(150 * side) for side in figure.get_size_inches())


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_an_svg_keeps_its_text_as_text(drawing: str, tmp_path: Path) -> None:
    pictures.save(DRAWINGS[drawing](TITLE), tmp_path / "picture.svg")
    root = ElementTree.parse(tmp_path / "picture.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    written = " ".join(
        "".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")
    )
    assert TITLE in written
    assert "{http://purl.org/dc/elements/1.1/}date" not in {element.tag for element in root.iter()}


def test_a_long_title_is_broken_into_lines_that_fit() -> None:
    title = "trial 0123456789ab: " + ", ".join(f"width={64 * i}" for i in range(1, 13))
    figure = pictures.samples(FOUR, TRUE, title=title)
    figure.draw_without_rendering()
    (drawn,) = [text for text in figure.texts if text.get_text().startswith("trial")]
    assert drawn.get_text().replace("\n", " ") == title
    extent = drawn.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width


def test_a_pdf_is_one(tmp_path: Path) -> None:
    pictures.save(pictures.confusion([[5]]), tmp_path / "matrix.pdf")
    data = (tmp_path / "matrix.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"CreationDate" not in data


@pytest.mark.parametrize("name", ["picture.jpg", "picture", "picture.svgz", ".png"])
def test_another_suffix_is_refused_with_those_there_are(name: str, tmp_path: Path) -> None:
    error = f"'{name}' has no suffix of a picture; there are .png, .svg, .pdf"
    with pytest.raises(ValueError, match=error):
        pictures.save(pictures.confusion([[5]]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_can_not_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    path.write_text("old")
    figure = pictures.confusion([[5]])
    figure.text(0, 0, "$\\nonsense$")  # matplotlib finds out when it draws
    with pytest.raises(ValueError, match="nonsense"):
        pictures.save(figure, path)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["old"]


def test_importing_the_module_loads_nothing_heavy() -> None:
    code = "import sys, hpc.results.pictures; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'hpc'" in loaded
    assert not [
        name for name in ("matplotlib", "numpy", "keras", "tensorflow", "pandas") if f"'{name}'" in loaded
    ]


@pytest.mark.slow
def test_drawing_and_saving_touch_no_global_state(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib; from pathlib import Path; before = matplotlib.rcParams.copy()\n"
        "from hpc.results import pictures\n"
        f"pictures.save(pictures.confusion([[1]]), Path({str(tmp_path / 'x.svg')!r}))\n"
        "print('matplotlib.pyplot' in sys.modules, matplotlib.rcParams.copy() == before)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False True\n"
