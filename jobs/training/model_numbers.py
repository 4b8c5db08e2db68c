"""Numbers of a model (dropout rates, penalties, decay) that are inputs of its graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc.jobs.training import keras_private

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Number:
    """A number that is an input of a model's graphs: the attribute of one of its objects."""

    owner: Any
    name: str
    dtype: str

    @property
    def value(self) -> Any:
        """The value of the number."""
        return getattr(self.owner, self.name)

    def put(self, value: Any) -> None:
        """Set the value of the number."""
        setattr(self.owner, self.name, value)


def numbers_of(model: keras.Model) -> list[Number]:
    """The numbers of a model that can be inputs, in the order of the layers."""
    import keras

    found = [
        Number(layer, "rate", layer.compute_dtype)
        for layer in keras_private.layers_of(model, itself=False)
        if type(layer) is keras.layers.Dropout and layer.rate > 0 and "call" not in vars(layer)
    ]
    names = {keras.regularizers.L1: "l1", keras.regularizers.L2: "l2"}
    for variable in penalized(model).values():
        if type(variable.regularizer) in names:
            found.append(Number(variable.regularizer, names[type(variable.regularizer)], variable.dtype))
    optimizer, floatx = model.optimizer, keras.config.floatx()
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    schedule = keras_private.learning_rate(optimizer)  # a variable unless it is a schedule
    if type(schedule) is keras.optimizers.schedules.CosineDecay:
        found.append(Number(schedule, "initial_learning_rate", floatx))
        found.append(Number(schedule, "decay_steps", "int64"))
        if schedule.warmup_target is not None:
            found.append(Number(schedule, "warmup_target", floatx))
            found.append(Number(schedule, "warmup_steps", "int64"))
    if optimizer.weight_decay is not None:
        found.append(Number(optimizer, "weight_decay", floatx))
    return found


def penalized(model: keras.Model) -> dict[int, Any]:
    """One of the variables of each regularizer, by the regularizer's identity."""
    variables = [v for v in model.trainable_variables if v.regularizer is not None]
    return {id(v.regularizer): v for v in reversed(variables)}


@contextmanager
def in_place(numbers: Sequence[Number], values: Sequence[Any]) -> Iterator[None]:
    """Replace the values of a model's numbers while the context is open."""
    before = [number.value for number in numbers]
    try:
        for number, value in zip(numbers, values, strict=True):
            number.put(value)
        yield
    finally:
        for number, value in zip(numbers, before, strict=True):
            number.put(value)


def drop_by_tensor(layer: Any, inputs: Any, training: bool = False) -> Any:
    """Do what ``keras.layers.Dropout`` does, with a tensor as the rate."""
    import keras
    import tensorflow as tf

    if not training:
        return inputs
    shape = tf.shape(inputs)
    if layer.noise_shape is not None:
        shape = [shape[axis] if size is None else size for axis, size in enumerate(layer.noise_shape)]
    kept = keras.random.uniform(shape, dtype=inputs.dtype, seed=layer.seed_generator) >= layer.rate
    return inputs * tf.where(kept, 1 / (1 - layer.rate), 0)
