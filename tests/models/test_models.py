"""Models and datasets."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.models import DATASETS, ModelError, SplitOptions, dataset, mlp, model_reference
from hpc.models.datasets.mnist import mnist
from hpc.models.families.mlp import layer_sizes


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
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = dataset(DATASETS["digits"].build())
    assert data.validation is not None
    assert data.train.x.shape == (1437, 64)
    assert data.validation.x.shape == (360, 64)
    assert data.test is None
    assert (data.input_shape, data.num_classes, data.output_size) == ((64,), 10, 10)
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    raw = dataset(DATASETS["digits"].build(raw=True))
    np.testing.assert_array_equal(raw.train.x, 16 * data.train.x)
    # as the first version of this project split them, so that its tables still hold
    x, y = load_digits(return_X_y=True)
    wanted = train_test_split(x / 16, y, test_size=0.2, random_state=0, stratify=y)
    found = (data.train.x, data.validation.x, data.train.y, data.validation.y)
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine, other)
    few = dataset(DATASETS["digits"].build(), SplitOptions(train=50))
    assert np.array_equal(few.train.x, data.train.x[:50])
    with pytest.raises(ModelError, match="5000 samples are asked for, but there are only 1437"):
        dataset(DATASETS["digits"].build(), SplitOptions(train=5000))


@pytest.mark.mnist
def test_mnist_is_read_from_the_folder_named(mnist_folder: Path) -> None:
    whole = mnist(folder=str(mnist_folder))
    data = dataset(whole, SplitOptions(train=12_000, validation=2_000, test=500))
    assert data.validation is not None
    assert data.test is not None
    assert data.train.x.shape == (12_000, 28, 28)
    assert data.validation.x.shape == (2_000, 28, 28)
    assert data.test.x.shape == (500, 28, 28)
    assert data.train.x.dtype == np.float32
    assert data.train.x.max() == 1
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    flat = mnist(folder=str(mnist_folder), flat=True)
    assert np.array_equal(flat.train.x.reshape(-1, 28, 28), whole.train.x)


def small_mnist(path: Path) -> None:
    x, y = np.zeros((60_000, 2, 2), np.uint8), np.zeros(60_000, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])


def test_mnist_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("HPC_DATA", raising=False)
    module = importlib.import_module("hpc.models.datasets.mnist")
    monkeypatch.setattr(module, "_download", lambda path: pytest.fail("downloads"))
    small_mnist(tmp_path / "keras" / "datasets" / "mnist.npz")
    assert {name: len(part) for name, part in mnist().parts().items()} == {
        "train": 50_000, "validation": 10_000, "test": 5,
    }  # fmt: skip
    monkeypatch.setenv("HPC_DATA", str(tmp_path))
    with pytest.raises(ModelError, match="the folder that HPC_DATA names"):
        mnist()
    small_mnist(tmp_path / "mnist.npz")
    assert len(dataset(mnist(), SplitOptions(validation=7)).parts()["validation"]) == 7


def test_so_many_images_of_mnist_as_asked_for_are_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_DATA", str(tmp_path))
    small_mnist(tmp_path / "mnist.npz")
    assert {name: len(part) for name, part in mnist(held_out=5000).parts().items()} == {
        "train": 55_000, "validation": 5_000, "test": 5,
    }  # fmt: skip
    assert mnist(held_out=0).validation is None
    assert len(mnist(held_out=0).train) == 60_000
    assert mnist(flat=True).input_shape == (4,)


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


def test_a_file_is_imported_from_a_folder_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "net.py").write_text("def build():\n    return 'a model'\n")
    assert model_reference("net.py:build", folder).resolve()() == "a model"
