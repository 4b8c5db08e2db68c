"""Settings of Keras that hold for a process: what a user's file sets at its top, and what a trial changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KerasSettings:
    """The types that Keras computes with unless a layer sets its own.

    Attributes:
        floatx: type of numbers, as ``float32``.
        policy: of layers, as ``keras.config.dtype_policy`` gives it.
        epsilon: smallest number that some of Keras' functions divide by.
        image_data_format: ``channels_last`` or ``channels_first``.
    """

    floatx: str
    policy: Any
    epsilon: float
    image_data_format: str

    @staticmethod
    def now() -> KerasSettings:
        """The settings in force."""
        import keras

        config = keras.config
        return KerasSettings(
            config.floatx(), config.dtype_policy(), config.epsilon(), config.image_data_format()
        )

    def put(self, dtype: str | None = None) -> None:
        """Put them in force.

        Args:
            dtype: of all numbers and layers, instead of the settings'.
        """
        import keras

        keras.config.set_floatx(dtype or self.floatx)
        keras.config.set_dtype_policy(dtype or self.policy)
        keras.config.set_epsilon(self.epsilon)
        keras.config.set_image_data_format(self.image_data_format)
