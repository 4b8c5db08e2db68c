"""Steps of Adam by TensorFlow's own kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc.jobs.training import keras_private

if TYPE_CHECKING:
    pass


def is_adam(optimizer: Any) -> bool:
    """Whether its steps are those of Keras' Adam, as AdamW's are; not for a subclass of the user's."""
    import keras

    known = keras.optimizers.Adam, keras.optimizers.AdamW
    return type(optimizer) in known and "update_step" not in vars(optimizer) and not optimizer.amsgrad


def adam_step(optimizer: Any, by_keras: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """A step of Adam by TensorFlow's own kernel, which goes through memory once.

    Source: D. P. Kingma, J. Ba, Adam, ICLR 2015, section 2, the order of computation at its end, as
    both Keras' ``update_step`` and the kernel have it.
    """
    import tensorflow as tf

    is_dense = isinstance(gradient, tf.Tensor)
    if not is_dense or variable.dtype != gradient.dtype:
        by_keras(gradient, variable, learning_rate)
        return
    (first, second), dtype = keras_private.adam_moments(optimizer, variable), variable.dtype
    beta_1, beta_2 = tf.cast(optimizer.beta_1, dtype), tf.cast(optimizer.beta_2, dtype)
    steps = tf.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=first.value.handle,
        v=second.value.handle,
        beta1_power=tf.pow(beta_1, steps),
        beta2_power=tf.pow(beta_2, steps),
        lr=tf.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(optimizer.epsilon, dtype),
        grad=gradient,
    )
