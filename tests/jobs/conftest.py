"""What the tests of jobs share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def single_precision() -> Iterator[None]:
    """No test leaves another the precision that it has set."""
    yield
    if "keras" in sys.modules:
        import keras

        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
