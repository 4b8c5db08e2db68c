"""The families of networks, and scikit-learn's baselines."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from hpc.jobs.options import PARAMETERS
from hpc.models.datasets.generated import worked_example
from hpc.models.families import baselines
from hpc.models.families.convolutional import cnn, cnn_problem
from hpc.models.families.linear import linear
from hpc.models.families.mlp import mlp, mlp_problem
from hpc.models.families.output import Output, output_units
from hpc.models.reference import Parameter, signature_of


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def weights(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(variable.name, tuple(variable.shape)) for variable in model.weights]


def parameter(function: Callable[..., Any], name: str) -> Parameter:
    return signature_of(function).parameters[name]


# The last layer


@pytest.mark.parametrize(
    ("output", "output_size", "num_classes", "units", "activation"),
    [
        ("auto", 3, 3, 3, "softmax"),
        ("auto", 2, 2, 2, "softmax"),
        ("auto", 1, None, 1, "linear"),
        ("auto", 4, None, 4, "linear"),
        ("softmax", 4, None, 4, "softmax"),
        ("sigmoid", 2, 2, 1, "sigmoid"),
        ("sigmoid", 3, 3, 3, "sigmoid"),
        ("sigmoid", 2, None, 2, "sigmoid"),
        ("tanh", 2, 2, 2, "tanh"),
        ("exponential", 1, None, 1, "exponential"),
    ],
)
@pytest.mark.parametrize("family", [mlp, linear, cnn])
def test_all_families_end_in_the_same_way(
    family: Any, output: Output, output_size: int, num_classes: int | None, units: int, activation: str
) -> None:
    model = family((10, 10), output_size, num_classes, output=output)
    assert model.output_shape == (None, units)
    assert output_units(output, output_size, num_classes) == units
    assert model.layers[-1].activation.__name__ == activation


@pytest.mark.parametrize("family", [mlp, linear, cnn])
def test_a_softmax_over_one_number_is_refused(family: Any) -> None:
    with pytest.raises(
        ValueError, match=r"output='softmax' over the one number to predict is always 1; take"
    ):
        family((10, 10), 1, None, output="softmax")


def test_every_output_that_we_name_is_an_activation_of_keras() -> None:
    for name in parameter(linear, "output").type.__args__:
        assert linear((2,), 3, 3, output=name).output_shape == (None, 3)


# Multilayer perceptrons


def test_a_perceptron_with_defaults_is_the_plain_one() -> None:
    model = mlp((4,), 3, 3)
    assert kinds(model) == ["Dense", "Dense"]
    assert model.name == "mlp"
    for layer in model.layers:
        config = layer.get_config()
        assert config["kernel_initializer"]["class_name"] == "GlorotUniform"
        assert config["use_bias"]
        for unset in ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint"):
            assert config[unset] is None
    assert [layer.activation.__name__ for layer in model.layers] == ["relu", "softmax"]


def test_layers_come_in_the_order_of_srivastava_and_ioffe() -> None:
    options: dict[str, Any] = {"input_dropout": 0.2, "dropout": 0.5, "batch_normalization": True}
    model = mlp((2, 2), 3, 3, hidden_size=[5, 4], activation="tanh", **options)
    hidden = ["Dense", "BatchNormalization", "Activation", "Dropout"]
    assert kinds(model) == ["Flatten", "Dropout", *hidden, *hidden, "Dense"]
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [0.2, 0.5, 0.5]
    assert [model.layers[i].activation.__name__ for i in (2, 4, 10)] == ["linear", "tanh", "softmax"]


def test_the_normalization_has_the_biases_of_its_layer() -> None:
    with_bias = mlp((4,), 3, 3, hidden_size=5, batch_normalization=True)
    moving = [("moving_mean", (5,)), ("moving_variance", (5,))]
    last = [("kernel", (5, 3)), ("bias", (3,))]
    assert weights(with_bias) == [("kernel", (4, 5)), ("gamma", (5,)), ("beta", (5,)), *moving, *last]
    without = mlp((4,), 3, 3, hidden_size=5, batch_normalization=True, use_bias=False)
    assert weights(without) == [("kernel", (4, 5)), ("gamma", (5,)), *moving, last[0]]


@pytest.mark.parametrize("family", [mlp, linear])
def test_without_biases_there_are_only_kernels(family: Any) -> None:
    assert {name for name, _ in weights(family((4,), 3, 3, use_bias=False))} == {"kernel"}
    assert {name for name, _ in weights(family((4,), 3, 3))} == {"kernel", "bias"}


@pytest.mark.parametrize(
    ("l1", "l2", "expected"), [(0.0, 0.0, 0.0), (0.5, 0.0, 1.5), (0.0, 0.25, 1.25), (0.5, 0.25, 2.75)]
)
@pytest.mark.parametrize(("family", "layers"), [(linear, 1), (mlp, 2)])
def test_penalties_are_on_absolute_and_squared_kernels(
    family: Any, layers: int, l1: float, l2: float, expected: float
) -> None:
    model = family((2,), 1, None, l1=l1, l2=l2, **({"hidden_size": 1} if family is mlp else {}))
    model.set_weights([np.full(value.shape, 7.0) for value in model.get_weights()])
    for layer in model.layers:
        layer.kernel.assign(np.array([[1.0], [-2.0]])[: layer.kernel.shape[0]])
    # The first kernel is (1, -2): 3 and 5. The second of the perceptron is (1): 1 and 1.
    total = expected + (layers - 1) * (l1 + l2)
    assert sum(map(float, model.losses)) == pytest.approx(total)


def test_max_norm_holds_for_the_weights_into_each_hidden_unit() -> None:
    model = mlp((2,), 2, 2, hidden_size=[2], max_norm=2.0)
    constraint = model.layers[0].kernel.constraint
    # Into the first unit go (3, 4), of length 5, into the second (1, 0), of length 1.
    assert np.allclose(constraint(np.array([[3.0, 1.0], [4.0, 0.0]])), [[1.2, 1.0], [1.6, 0.0]])
    assert model.layers[-1].kernel.constraint is None
    assert mlp((2,), 2, 2).layers[0].kernel.constraint is None


def test_max_norm_is_held_to_in_the_training() -> None:
    model = mlp((2,), 1, None, hidden_size=4, max_norm=0.5)
    model.compile("sgd", "mean_squared_error")
    model.train_on_batch(np.full((4, 2), 9.0), np.full((4, 1), 50.0))
    assert np.linalg.norm(model.layers[0].kernel, axis=0).max() <= 0.5 + 1e-5


@pytest.mark.parametrize("initializer", ["random_normal", "truncated_normal"])
def test_the_spread_of_the_first_weights_can_be_chosen(initializer: Any) -> None:
    def kernels(**options: Any) -> list[Any]:
        model = mlp((100,), 2, 2, hidden_size=[100, 100], initializer=initializer, **options)
        return [layer.kernel.numpy() for layer in model.layers]

    first, second, last = kernels(initializer_stddev=1.0)
    assert [kernel.std() for kernel in (first, second)] == pytest.approx([1.0, 1.0], rel=0.15)
    assert last.std() > 0.6
    assert not np.array_equal(first, second)
    assert kernels()[0].std() == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, None),
        ({"initializer": "random_normal", "initializer_stddev": 1.0}, None),
        ({"initializer": "he_normal", "initializer_stddev": None}, None),
        ({"initializer_stddev": 1.0}, "initializer_stddev=1.0 stands beside initializer=glorot_uniform"),
        ({"initializer": "zeros", "initializer_stddev": 2.0}, "take random_normal or truncated_normal, or"),
    ],
)
def test_a_spread_beside_an_initializer_with_its_own_is_refused(
    params: dict[str, Any], said: str | None
) -> None:
    problem = mlp_problem(params)
    if said is None:
        assert problem is None
        mlp((2,), 2, 2, **params)
    else:
        assert said in str(problem)
        with pytest.raises(ValueError, match=said):
            mlp((2,), 2, 2, **params)


@pytest.fixture
def double_precision() -> Iterator[None]:
    import keras

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("bias", [False, True])
def test_the_forward_pass_by_hand_comes_out(bias: bool) -> None:
    x, y = worked_example(bias=bias)
    model = mlp((3,), 2, None, hidden_size=3, activation="sigmoid", output="sigmoid")
    hidden = np.array([[1, -2, 2], [2, 1, -4], [1, -1, 0]]).T
    outputs = np.array([[-3, 1, -3], [0, 1, 2]]).T
    model.set_weights([hidden, np.full(3, 0.1 * bias), outputs, np.zeros(2)])
    assert np.abs(model(x.astype("float64")).numpy() - y).max() < 5e-9


# Linear models


def test_a_linear_model_has_one_layer_over_flattened_inputs() -> None:
    model = linear((2, 3), 4, 4)
    assert kinds(model) == ["Flatten", "Dense"]
    assert weights(model) == [("kernel", (6, 4)), ("bias", (4,))]
    assert kinds(linear((6,), 1, None)) == ["Dense"]
    assert not np.any(linear((6,), 1, None, initializer="zeros").get_weights()[0])


# Convolutional networks


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (
            {"filters": 20, "kernel_size": 5, "hidden_size": 100, "hidden_activation": "tanh"},
            289_630,
        ),
        (
            {"filters": [32, 64], "pool": "last", "conv_dropout": 0.25, "hidden_size": 128, "dropout": 0.5},
            1_199_882,
        ),
        (
            {"filters": [32, 64], "kernel_size": 5, "padding": "same", "hidden_size": 1024, "dropout": 0.5},
            3_274_634,
        ),
    ],
    ids=["row 13", "row 16", "row 15"],
)
def test_the_networks_of_the_courses_have_their_numbers_of_parameters(
    options: dict[str, Any], parameters: int
) -> None:
    assert cnn((28, 28), 10, 10, **options).count_params() == parameters


CONV, POOL, DROP, DENSE = "Conv2D", "MaxPooling2D", "Dropout", "Dense"


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({}, [CONV, POOL, CONV, POOL, "Flatten", DENSE, DENSE]),
        ({"pool": "pairs"}, [CONV, CONV, POOL, "Flatten", DENSE, DENSE]),
        ({"pool": "none"}, [CONV, CONV, "Flatten", DENSE, DENSE]),
        (
            {"filters": [2, 2, 2], "pool": "pairs", "conv_dropout": 0.1},
            [CONV, CONV, POOL, DROP, CONV, "Flatten", DENSE, DENSE],
        ),
        (
            {"filters": [2, 2, 2], "pool": "last", "conv_dropout": 0.1},
            [CONV, CONV, CONV, POOL, DROP, "Flatten", DENSE, DENSE],
        ),
        ({"pool": "none", "conv_dropout": 0.1}, [CONV, CONV, DROP, "Flatten", DENSE, DENSE]),
        ({"conv_dropout": 0.1}, [CONV, POOL, DROP, CONV, POOL, DROP, "Flatten", DENSE, DENSE]),
        ({"filters": 2, "hidden_size": [], "dropout": 0.5}, [CONV, POOL, "Flatten", DENSE]),
        (
            {"filters": 2, "hidden_size": [4, 3], "dropout": 0.5},
            [CONV, POOL, "Flatten", DENSE, DROP, DENSE, DROP, DENSE],
        ),
        (
            {"filters": 2, "batch_normalization": True},
            [CONV, "BatchNormalization", "Activation", POOL, "Flatten", DENSE, DENSE],
        ),
    ],
)
def test_a_cnn_has_the_layers_it_is_asked_for(options: dict[str, Any], layers: list[str]) -> None:
    assert kinds(cnn((12, 12, 1), 2, 2, **options)) == layers


def test_images_without_channels_get_one() -> None:
    gray = cnn((9, 12), 2, 2, filters=5)
    assert kinds(gray)[0] == "Reshape"
    assert gray.layers[0].output.shape == (None, 9, 12, 1)
    colour = cnn((9, 12, 3), 2, 2, filters=5)
    assert colour.layers[0].kernel.shape == (3, 3, 3, 5)
    assert colour.output_shape == (None, 2)


def test_activations_go_where_they_are_asked_for() -> None:
    def activations(**options: Any) -> list[str]:
        layers = cnn((8, 8), 2, 2, filters=2, hidden_size=[3, 3], **options).layers
        return [layer.activation.__name__ for layer in layers if hasattr(layer, "activation")]

    assert activations() == ["relu", "relu", "relu", "softmax"]
    assert activations(activation="tanh") == ["tanh", "tanh", "tanh", "softmax"]
    assert activations(hidden_activation="tanh") == ["relu", "tanh", "tanh", "softmax"]
    assert activations(batch_normalization=True, activation="elu") == [
        "linear",
        "elu",
        "elu",
        "elu",
        "softmax",
    ]


def test_kernels_of_all_kinds_are_penalized_and_initialized_as_asked() -> None:
    model = cnn((8, 8), 2, 2, filters=2, hidden_size=3, l2=0.1, initializer="he_normal")
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert [type(layer).__name__ for layer in layers] == [CONV, DENSE, DENSE]
    for layer in layers:
        assert layer.kernel_regularizer.l2 == pytest.approx(0.1)
        assert layer.bias_regularizer is None
        assert type(layer.kernel_initializer).__name__ == "HeNormal"


def test_a_normalized_convolution_has_no_bias_of_its_own() -> None:
    names = [name for name, _ in weights(cnn((8, 8), 2, 2, filters=2, batch_normalization=True))]
    assert names[:3] == ["kernel", "gamma", "beta"]


def test_images_are_height_width_channels_whatever_keras_is_set_to() -> None:
    import keras

    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        assert cnn((28, 28), 10, 10, pool="last").count_params() == 1_199_882
    finally:
        keras.config.set_image_data_format(before)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 3), {"filters": 1, "pool": "none"}),
        ((4, 4), {"filters": 1}),
        ((10, 10), {"filters": [1, 1]}),
        ((6, 6), {"filters": [1, 1], "pool": "last"}),
        ((1, 1), {"filters": [1, 1, 1], "padding": "same", "pool": "none", "kernel_size": 5}),
        ((4, 4), {"filters": [1, 1], "padding": "same", "kernel_size": 5}),
        ((10, 99), {"filters": [1, 1]}),
    ],
)
def test_the_smallest_images_go_through(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    assert cnn(shape, 2, 2, hidden_size=1, **options).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((2, 2), {"filters": 1}, r"2 x 2 pixels are too small for filters=\[1\]: at convolution 1 the "),
        (
            (3, 9),
            {"filters": 1},
            "the pooling after convolution 1 the shorter .* to 1, less than pool_size=2",
        ),
        ((9, 3, 3), {"filters": 1}, "images of 9 x 3 pixels"),
        ((9, 9), {"filters": [1, 1]}, "the pooling after convolution 2 the shorter side has come down to 1,"),
        ((8, 8), {"filters": [1, 1, 1]}, "at the pooling after convolution 2 the"),
        ((5, 5), {"filters": [1, 1], "pool": "last"}, "at the pooling after convolution 2 the"),
        (
            (4, 4),
            {"kernel_size": 5},
            "convolution 1 the shorter .* to 4, less than kernel_size=5; take fewer",
        ),
        (
            (3, 3),
            {"padding": "same"},
            "at the pooling after convolution 2 the shorter side has come down to 1",
        ),
        ((64,), {}, r"a sample has the shape \(64,\); take mlp, or data that come as images"),
        ((4, 4, 4, 1), {}, r"but a sample has the shape \(4, 4, 4, 1\)"),
    ],
)
def test_what_a_cnn_can_not_take_is_said(shape: tuple[int, ...], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cnn(shape, 2, 2, **options)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, False),
        ({"pool": "pairs"}, False),
        ({"pool": "pairs", "filters": [4, 4]}, False),
        ({"pool": "each", "filters": 4}, False),
        ({"pool": "pairs", "filters": 4}, True),
        ({"pool": "pairs", "filters": [4]}, True),
    ],
)
def test_pairs_of_a_single_convolution_are_refused(params: dict[str, Any], problem: bool) -> None:
    assert (cnn_problem(params) is not None) == problem
    if problem:
        with pytest.raises(ValueError, match="a single convolution, and would never pool; take pool: each"):
            cnn((28, 28), 2, 2, **params)


# Arguments


@pytest.mark.parametrize(
    ("family", "name", "right", "wrong"),
    [
        (mlp, "max_norm", [None, 1, 0.5], [0, -1.0, "big"]),
        (mlp, "initializer_stddev", [None, 1.0], [0.0]),
        (mlp, "l1", [0, 0.1], [-0.1]),
        (mlp, "use_bias", [True, False], [1, "yes"]),
        (mlp, "input_dropout", [0, 0.9], [1, 1.0, -0.1]),
        (mlp, "output", ["auto", "sigmoid"], ["sigmoidal", None]),
        (cnn, "filters", [1, [1], [32, 64]], [0, [], [0], 1.5]),
        (cnn, "hidden_size", [1, [], [5, 5]], [0, [0], None]),
        (cnn, "hidden_activation", [None, "tanh"], ["tan"]),
        (cnn, "kernel_size", [1, 5], [0, 2.5]),
        (cnn, "pool", ["each", "pairs", "last", "none"], ["all", None]),
        (cnn, "padding", ["valid", "same"], ["full"]),
        (baselines.svm, "gamma", ["scale", "auto", 0.1], [0, -1.0, "auto!"]),
        (baselines.lasso, "variance_threshold", [None, 0, 0.01], [-0.01]),
        (baselines.sgd_classifier, "l1_ratio", [0, 1, 0.5], [1.1, -0.1]),
        (baselines.knn, "n_neighbors", [1, 3], [0, 2.0]),
        (baselines.random_forest, "max_depth", [None, 3], [0]),
    ],
)
def test_values_are_checked_before_anything_is_built(
    family: Any, name: str, right: list[Any], wrong: list[Any]
) -> None:
    kind = parameter(family, name)
    assert [value for value in right if kind.problem(value) is not None] == []
    assert [value for value in wrong if kind.problem(value) is None] == []


def test_every_hyperparameter_is_described_and_its_default_is_right() -> None:
    functions: list[Callable[..., Any]] = [mlp, linear, cnn, *baseline_functions()]
    for function in functions:
        doc = inspect.getdoc(function) or ""
        for name, kind in signature_of(function).parameters.items():
            assert f"    {name}: " in doc, (function, name)
            if not kind.required:
                assert kind.format_type(), (function, name)
                assert kind.problem(kind.default) is None, (function, name)


def test_no_hyperparameter_has_the_name_of_an_option_of_the_training() -> None:
    functions: list[Callable[..., Any]] = [mlp, linear, cnn, *baseline_functions()]
    for function in functions:
        assert not set(signature_of(function).parameters) & set(PARAMETERS), function


# Baselines


def baseline_functions() -> list[Callable[..., Any]]:
    names = (
        "knn logistic_regression sgd_classifier linear_regression ridge lasso decision_tree random_forest svm"
    )
    return [getattr(baselines, name) for name in names.split()]


def fitted(function: Callable[..., Any], x: Any, y: Any, num_classes: int | None, **options: Any) -> Any:
    known: dict[str, Any] = {
        "num_classes": num_classes, "output_size": num_classes or int(np.prod(y.shape[1:], dtype=int)),
    }  # fmt: skip
    taken = {name: value for name, value in known.items() if name in signature_of(function).parameters}
    np.random.seed(0)
    return function(**taken, **options).fit(x, y)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
CLASSES = X.argmax(axis=1)
NUMBERS = X @ [1.0, 2.0, 0.0]
CLASSIFIERS = ["knn", "logistic_regression", "sgd_classifier", "decision_tree", "random_forest", "svm"]
REGRESSORS = ["knn", "linear_regression", "ridge", "lasso", "decision_tree", "random_forest", "svm"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_baselines_tell_classes_apart(name: str) -> None:
    estimator = fitted(getattr(baselines, name), X, CLASSES, 3)
    assert estimator.predict(X).shape == (60,)
    assert estimator.score(X, CLASSES) > 0.8


@pytest.mark.parametrize("name", REGRESSORS)
def test_baselines_predict_a_number(name: str) -> None:
    options = {"alpha": 0.01} if name in ("ridge", "lasso") else {}
    estimator = fitted(getattr(baselines, name), X, NUMBERS, None, **options)
    assert estimator.predict(X).shape == (60,)
    assert estimator.score(X, NUMBERS) > 0.8


@pytest.mark.parametrize("name", REGRESSORS)
def test_baselines_predict_several_numbers(name: str) -> None:
    options = {"alpha": 0.01} if name in ("ridge", "lasso") else {}
    y = np.stack([NUMBERS, -NUMBERS], axis=1)
    estimator = fitted(getattr(baselines, name), X, y, None, **options)
    assert estimator.predict(X).shape == (60, 2)
    assert estimator.score(X, y) > 0.8


@pytest.mark.parametrize("name", ["logistic_regression", "sgd_classifier"])
def test_what_only_tells_classes_apart_refuses_numbers(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} tells classes apart, .*; take linear_regression, ridge"):
        getattr(baselines, name)(None)


@pytest.mark.parametrize("name", ["linear_regression", "ridge", "lasso"])
def test_linear_regression_of_one_hot_classes_ranks_them(name: str) -> None:
    options = {"alpha": 0.01} if name != "linear_regression" else {}
    estimator = fitted(getattr(baselines, name), X, np.eye(3)[CLASSES], 3, **options)
    assert np.mean(estimator.predict(X).argmax(axis=1) == CLASSES) > 0.6


def test_the_lasso_of_the_course_filters_and_scales_first() -> None:
    pipeline = baselines.lasso(alpha=0.1, variance_threshold=0.01)
    assert [type(step).__name__ for _, step in pipeline.steps] == [
        "VarianceThreshold",
        "StandardScaler",
        "Lasso",
    ]
    assert pipeline.steps[0][1].threshold == 0.01
    assert pipeline.steps[-1][1].alpha == 0.1
    x = np.concatenate([X, np.zeros((60, 2)), 0.05 * X[:, :1]], axis=1)
    assert pipeline.fit(x, NUMBERS).steps[-1][1].n_features_in_ == 3
    assert len(baselines.lasso(standardize=False).steps) == 1


def test_baselines_have_the_defaults_of_scikit_learn() -> None:
    import sklearn.linear_model
    import sklearn.neighbors
    import sklearn.svm

    pairs = [
        (baselines.knn(2), sklearn.neighbors.KNeighborsClassifier()),
        (baselines.logistic_regression(2, max_iter=100), sklearn.linear_model.LogisticRegression()),
        (baselines.sgd_classifier(2), sklearn.linear_model.SGDClassifier()),
        (baselines.linear_regression(), sklearn.linear_model.LinearRegression()),
        (baselines.ridge(), sklearn.linear_model.Ridge()),
        (baselines.lasso().steps[-1][1], sklearn.linear_model.Lasso()),
        (baselines.svm(2, 2), sklearn.svm.SVC()),
        (baselines.svm(1, None), sklearn.svm.SVR()),
    ]
    for ours, theirs in pairs:
        assert type(ours) is type(theirs)
        assert ours.get_params() == theirs.get_params()


def test_logistic_regression_without_a_penalty_is_the_limit_of_a_weak_one() -> None:
    y = (RNG.random(60) < 1 / (1 + np.exp(-NUMBERS))).astype(np.int32)
    free = fitted(baselines.logistic_regression, X, y, 2, penalty="none").coef_
    weak = fitted(baselines.logistic_regression, X, y, 2, C=1e8).coef_
    strong = fitted(baselines.logistic_regression, X, y, 2, C=1e-3).coef_
    assert np.allclose(free, weak, rtol=1e-2)
    assert np.abs(strong).max() < 0.1 * np.abs(free).max()


def test_a_seed_of_numpy_fixes_what_is_random() -> None:
    x = RNG.normal(size=(50, 3))
    first, second = [fitted(baselines.random_forest, X, CLASSES, 3, n_estimators=5) for _ in range(2)]
    assert first.random_state is None
    assert np.array_equal(first.predict_proba(x), second.predict_proba(x))
