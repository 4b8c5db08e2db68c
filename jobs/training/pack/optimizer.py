"""One optimizer of Keras that takes the steps of all lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.training import keras_private
from hpc.jobs.training.adam import adam_step, is_adam

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

WITH_RATE = ("SGD", "RMSprop")
"""Optimizers whose momentum has the learning rate in it."""


class LaneOptimizer:
    """An optimizer whose learning rate is 1, since the weights of a lane are kept divided by the lane's.

    Args:
        config: class and settings, as a plan has them.
        scaled: the weights of all lanes, each variable with an axis of lanes in front.
        rates: learning rate of each lane, shape (lanes, 1, 1).
        momentums: momentum of each lane, for SGD.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        scaled: Sequence[keras.Variable],
        rates: tf.Variable,
        momentums: tf.Variable,
    ) -> None:
        import keras

        settings = dict(config)
        kind = getattr(keras.optimizers, settings.pop("class"))
        if kind is keras.optimizers.SGD:
            settings["momentum"] = float(settings["momentum"])
        self._scaled = scaled
        self._rates = rates
        self._momentums = momentums
        self._keras = kind.from_config(settings)
        self._keras.weight_decay = None  # each lane has its own
        self._keras.build(scaled)
        if is_adam(self._keras):
            self._step_by(partial(adam_step, self._keras, self._keras.update_step))
        elif kind is keras.optimizers.SGD and self._keras.momentum:
            self._step_by(self._step_with_momentum)
        self._first_values = [np.ravel(v)[0] for v in self.variables]

    @property
    def variables(self) -> list[Any]:
        """All variables of the optimizer."""
        variables: list[Any] = self._keras.variables
        return variables

    @property
    def learning_rate(self) -> Any:
        """The variable of the learning rate, or its schedule."""
        return keras_private.learning_rate(self._keras)

    @property
    def current_rate(self) -> Any:
        """The factor of this step that all lanes have in common."""
        return self._keras.learning_rate

    def reset(self) -> None:
        """Begin another training."""
        for variable, value in zip(self.variables, self._first_values, strict=True):
            variable.assign(np.full(variable.shape, value))

    def apply(self, gradients: Sequence[Any]) -> None:
        """Take a step."""
        self._keras.apply(gradients, self._scaled)

    def _step_by(self, step: Any) -> None:
        object.__setattr__(self._keras, "update_step", step)

    def _step_with_momentum(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Step as ``keras.optimizers.SGD``, with a tensor as the momentum."""
        import tensorflow as tf

        optimizer = self._keras
        momentum = optimizer.momentums[keras_private.index_of(optimizer, variable)]
        step = tf.cast(learning_rate, self._momentums.dtype) * gradient
        value = self._momentums * momentum - step
        momentum.assign(value)
        variable.assign_add(self._momentums * value - step if optimizer.nesterov else value)

    def owners(self) -> dict[int, int]:
        """The number of the weights that each variable of the optimizer belongs to, by its identity."""
        lists = [values for values in vars(self._keras).values() if isinstance(values, list)]
        whole = [values for values in lists if len(values) == len(self._scaled)]
        known = {id(variable) for variable in self._keras.variables}
        return {
            id(variable): index
            for values in whole
            for index, variable in enumerate(values)
            if id(variable) in known
        }

    def factor_in(self, variable: Any) -> Any:
        """The learning rates, where a slot has them as a factor."""
        momentums = keras_private.momentums(self._keras) or getattr(self._keras, "momentums", None)
        if type(self._keras).__name__ in WITH_RATE and any(variable is v for v in momentums or ()):
            return self._rates.numpy()
        return 1


def clipped(gradients: Sequence[Any], max_norms: tf.Variable) -> list[Any]:
    """Scale the gradients of each lane down to its greatest norm, as Keras does it."""
    import tensorflow as tf

    squares = [tf.reduce_sum(tf.square(g), axis=(1, 2), keepdims=True) for g in gradients]
    norm, most = tf.sqrt(tf.add_n(squares)), max_norms
    scale = most * tf.minimum(1 / norm, 1 / most) + (norm - norm)
    scale = tf.where(tf.math.is_inf(most), tf.ones_like(scale), scale)
    return [gradient * scale for gradient in gradients]


def turned(values: Any) -> Any:
    """A kernel or a bias as it is kept: (units, inputs) or (units, 1)."""
    return values.T if values.ndim == 2 else values[:, None]


def turned_back(values: Any, shape: Any) -> Any:
    """A kernel or a bias as Keras has it, of that shape."""
    return values.T if len(shape) == 2 else values[:, 0]
