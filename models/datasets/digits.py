"""Scanned digits of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np

from hpc.models.arrays import Array


def digits(*, raw: bool = False) -> tuple[Array, Array]:
    """1,797 scanned digits of 8 x 8 pixels that ship with scikit-learn: nothing to download.

    Pixels are scaled to [0, 1] and flattened. Unless the sweep splits them otherwise, a fixed
    shuffle gives 1,437 samples for training and 360 for validation.

    Args:
        raw: whether pixels are left as they were scanned, from 0 to 16.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x if raw else x / 16).astype(np.float32), y.astype(np.int32)
