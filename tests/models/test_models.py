"""Models and datasets."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import DATASETS, ModelError, dataset, mlp, model_reference
from models.datasets.mnist import mnist
from models.mlp import layer_sizes


def sizes(model: Any) -> list[int]:
    return [layer.units for layer in model.layers if hasattr(layer, "units")]


@pytest.mark.parametrize(
    ("params", "units"),
    [
        ({}, [32, 10]),
        ({"depth": 0}, [10]),
        ({"hidden_size": 5, "depth": 3}, [5, 5, 5, 10]),
        ({"hidden_size": [7, 3]}, [7, 3, 10]),
    ],
)
def test_an_mlp_has_the_layers_it_is_asked_for(params: dict[str, Any], units: list[int]) -> None:
    assert sizes(mlp((64,), 10, 10, **params)) == units


def test_dropout_comes_after_each_hidden_layer_and_the_penalty_on_kernels_only() -> None:
    model = mlp((4,), 2, 2, hidden_size=[3, 3], dropout=0.5, l2=0.1, activation="tanh")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [v.name for v in model.trainable_variables if v.regularizer] == ["kernel"] * 3
    assert model.layers[0].activation.__name__ == "tanh"


def test_images_are_flattened_and_numbers_predicted_linearly() -> None:
    assert type(mlp((4, 4), 10, 10).layers[0]).__name__ == "Flatten"
    assert mlp((4,), 2, None).layers[-1].activation.__name__ == "linear"
    assert mlp((4,), 2, 2).layers[-1].activation.__name__ == "softmax"


def test_a_depth_beside_a_list_of_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"depth=2 stands beside hidden_size=\[4\]"):
        layer_sizes([4], 2)


def test_every_activation_and_initializer_that_we_name_is_one_of_keras() -> None:
    signature = model_reference("mlp", Path()).signature()
    for name in signature.parameters["activation"].type.__args__:
        mlp((2,), 2, 2, activation=name)
    for name in signature.parameters["initializer"].type.__args__:
        mlp((2,), 2, 2, initializer=name)


def test_digits_are_split_and_scaled_and_always_the_same() -> None:
    data = DATASETS["digits"]()
    assert data.train.x.shape == (1437, 64)
    assert data.validation.x.shape == (360, 64)
    assert (data.input_shape, data.num_classes, data.output_size) == ((64,), 10, 10)
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    assert np.array_equal(DATASETS["digits"](train=50).train.x, data.train.x[:50])
    with pytest.raises(ModelError, match="5000 samples are asked for, but there are only 1437"):
        DATASETS["digits"](train=5000)


@pytest.mark.mnist
def test_mnist_is_read_from_the_folder_named(mnist_folder: Path) -> None:
    data = mnist(folder=str(mnist_folder), train=12_000, validation=2_000)
    assert data.train.x.shape == (12_000, 28, 28)
    assert data.validation.x.shape == (2_000, 28, 28)
    assert data.train.x.dtype == np.float32
    assert data.train.x.max() == 1
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]


def small_mnist(path: Path) -> None:
    x, y = np.zeros((60_000, 2, 2), np.uint8), np.zeros(60_000, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])


def test_mnist_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("HPC_DATA", raising=False)
    module = importlib.import_module("models.datasets.mnist")
    monkeypatch.setattr(module, "_download", lambda path: pytest.fail("downloads"))
    small_mnist(tmp_path / "keras" / "datasets" / "mnist.npz")
    assert len(mnist().train) == 50_000
    monkeypatch.setenv("HPC_DATA", str(tmp_path))
    with pytest.raises(ModelError, match="the folder that HPC_DATA names"):
        mnist()
    small_mnist(tmp_path / "mnist.npz")
    assert len(mnist(validation=7).validation) == 7


def test_a_download_goes_into_keras_cache_and_its_failure_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("HPC_DATA", raising=False)

    def fetch(name: str, origin: str, file_hash: str, cache_dir: str) -> str:
        assert origin.startswith("https://")
        assert len(file_hash) == 64
        path = Path(cache_dir) / name
        small_mnist(path)
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", fetch)
    assert len(mnist().train) == 50_000
    cache = tmp_path / "keras" / "datasets"
    assert [path.name for path in cache.iterdir()] == ["mnist.npz"]
    (cache / "mnist.npz").unlink()

    def fail(*arguments: Any, **options: Any) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(ModelError, match=r"can't be downloaded \(no route to host\); put it into a folder"):
        mnist()
    assert list(cache.iterdir()) == []


X, Y = np.zeros((6, 2)), np.array([0, 1, 2, 0, 1, 2])


def test_arrays_of_a_users_dataset_become_a_dataset() -> None:
    data = dataset(((X, Y), (X[:2], Y[:2])))
    assert (data.num_classes, data.output_size, data.input_shape) == (3, 3, (2,))
    assert data.train.x.dtype == np.float32
    assert dataset(((X, Y[:, None]), (X, Y[:, None]))).train.y.shape == (6,)
    assert dataset(((X, Y == 1), (X, Y == 1))).num_classes == 2
    numbers = dataset(((X, X * 1.0), (X, X)))
    assert (numbers.num_classes, numbers.output_size) == (None, 2)
    assert dataset(((X, Y * 1.0), (X, Y * 1.0))).output_size == 1
    assert dataset(data) is data


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "must return"),
        (((X, Y),), "must return"),
        (((X, Y[:3]), (X, Y)), "training part: x has 6 samples, y has 3"),
        (((X, Y), (X[:0], Y[:0])), "validation part: x holds no samples"),
        (((X, Y), (np.zeros((6, 3)), Y)), r"training samples have shape \(2,\)"),
        (((X, Y - 1), (X, Y)), "classes are counted from 0, but a target is -1"),
        (((X * np.nan, Y), (X, Y)), "training part: x holds NaN or infinity"),
        (((np.array([["a"]] * 6), Y), (X, Y)), "x holds <U1, not numbers"),
    ],
)
def test_a_wrong_dataset_is_answered(value: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dataset(value)
