"""Scanned digits of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np

from models.dataset import Dataset, Samples, Split


def digits(*, train: Samples | None = None, validation: Samples | None = None) -> Dataset:
    """1,797 scanned digits of 8 x 8 pixels that ship with scikit-learn: nothing to download.

    Pixels are scaled to [0, 1] and flattened; a fixed shuffle gives 1,437 samples for training
    and 360 for validation.

    Args:
        train: take only the first so many training samples.
        validation: take only the first so many validation samples.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    x_train, x_validation, y_train, y_validation = train_test_split(
        x, y.astype(np.int32), test_size=0.2, random_state=0, stratify=y
    )
    return Dataset(
        train=Split(x_train, y_train).first(train),
        validation=Split(x_validation, y_validation).first(validation),
        num_classes=10,
    )
