"""The optimizer of a training, and its learning rate, as the options name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from hpc.jobs.options import Options

TAKES_MOMENTUM = ("sgd", "rmsprop")
"""Optimizers with an option ``momentum``."""


def optimizer_of(options: Options, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer that options name, with so many steps per epoch."""
    import keras

    config: dict[str, Any] = {}
    if options.learning_rate is not None:
        config["learning_rate"] = options.learning_rate
    if options.schedule == "cosine":
        config["learning_rate"] = _schedule(options, steps)
    if options.optimizer in TAKES_MOMENTUM and options.momentum:
        config["momentum"] = options.momentum
    if options.weight_decay:
        config["weight_decay"] = options.weight_decay
    if options.clip_norm is not None:
        config["global_clipnorm"] = options.clip_norm
    return keras.optimizers.get({"class_name": options.optimizer, "config": config})


def _schedule(options: Options, steps: int) -> Any:
    """The learning rate of every step, of so many per epoch.

    Source: I. Loshchilov, F. Hutter, SGDR: Stochastic gradient descent with warm restarts, 2017.
    """
    import keras

    rate = options.learning_rate
    if rate is None:
        rate = float(keras.optimizers.get(options.optimizer).learning_rate)
    rising = round(options.warmup_epochs * steps)
    falling = max(1, options.epochs * steps - rising)
    if not rising:
        return keras.optimizers.schedules.CosineDecay(rate, falling)
    return keras.optimizers.schedules.CosineDecay(0.0, falling, warmup_target=rate, warmup_steps=rising)
