"""Handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hpc.models.arrays import Array
from hpc.models.dataset import Dataset, Split
from hpc.models.reference import ModelError
from hpc.models.splitting import Samples

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"

HeldOut = Annotated[int, Field(ge=0, lt=60_000, description="a number of images from 0 to 59999")]
Folder = Annotated[str, Field(description="the folder that holds mnist.npz")]


def mnist(
    *,
    held_out: HeldOut = 10_000,
    flat: bool = False,
    folder: Folder | None = None,
    train: Samples | None = None,
    validation: Samples | None = None,
    test: Samples | None = None,
) -> Dataset:
    """MNIST: 70,000 handwritten digits of 28 x 28 pixels, scaled to [0, 1].

    The first 50,000 of the 60,000 training images are for training, the other 10,000 for
    validation, the 10,000 test images for the test. ``mnist.npz`` is looked for in ``folder``, in
    the folder that the environment variable HPC_DATA names, in Keras' cache, and is downloaded
    into that cache where it is nowhere.

    Args:
        held_out: how many of the training images, the last ones, are kept for validation.
        flat: whether a sample is a row of 784 pixels instead of a square.
        folder: where ``mnist.npz`` lies.
        train: take only the first so many training images; all unless given.
        validation: likewise for validation.
        test: likewise for the test.

    Raises:
        ModelError: the file is not in the folder given, or can't be downloaded; there are fewer
            images than asked for.

    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database, 1998.
    """
    # keras.datasets.mnist.load_data() is avoided for a file that is there: it checks the hash of
    # the zip rather than of the arrays, and deletes a copy that was packed differently.
    with np.load(_find(folder) or _download(_cached()), allow_pickle=False) as arrays:
        pixels, classes = arrays["x_train"], arrays["y_train"]
        tested = Split(arrays["x_test"], arrays["y_test"])
    cut = len(pixels) - held_out
    held = Split(pixels[cut:], classes[cut:])
    return Dataset(
        train=_images("training", Split(pixels[:cut], classes[:cut]), train, flat),
        validation=_images("validation", held, validation, flat) if held_out else None,
        num_classes=10,
        test=_images("test", tested, test, flat),
    )


def _images(name: str, pixels: Split, number: int | None, flat: bool) -> Split:
    """The first so many images of a part, scaled: to scale them takes longer than to read them."""
    try:
        first = pixels.first(number)
    except ModelError as error:
        raise ModelError(f"mnist, {name} part: {error}") from None
    x: Array = np.divide(first.x, np.float32(255), dtype=np.float32)
    return Split(x.reshape(len(x), -1) if flat else x, first.y.astype(np.int32))


def mnist_problem(options: Mapping[str, Any]) -> str | None:
    """Why the data can't be had where the options say, or None."""
    try:
        _find(options.get("folder"))
    except ModelError as error:
        return str(error)
    return None


def _find(folder: str | None) -> Path | None:
    """The file; None if it has to be downloaded."""
    named = folder or os.environ.get("HPC_DATA")
    if named:
        path = Path(named).expanduser() / "mnist.npz"
        if path.is_file():
            return path
        origin = "data.folder" if folder else "HPC_DATA"
        raise ModelError(f"there is no mnist.npz in {named}, the folder that {origin} names")
    return _cached() if _cached().is_file() else None


def _cached() -> Path:
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    return home / "datasets" / "mnist.npz"


def _download(cached: Path) -> Path:
    """Fetch the file into Keras' cache; several workers may do so at once, by atomic renames."""
    import keras

    cached.parent.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=".mnist-", dir=cached.parent)
    try:
        path = keras.utils.get_file("mnist.npz", ORIGIN, file_hash=SHA256, cache_dir=scratch)
        os.replace(path, cached)
    except Exception as error:
        raise ModelError(
            f"mnist.npz is not in {cached.parent} and can't be downloaded ({error}); put it into a "
            "folder and name that in the environment variable HPC_DATA, or in the sweep: "
            "data: {name: mnist, folder: …}"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return cached
