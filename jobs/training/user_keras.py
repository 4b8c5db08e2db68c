"""What a user's function gets of Keras and Horovod: an optimizer that averages, a callback that reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc.jobs.collectives import World, horovod
from hpc.jobs.training.optimizer import reduced

if TYPE_CHECKING:
    from types import ModuleType

    import keras

    from hpc.jobs.training.user_trial import Trial

MODEL = "model.keras"
"""The file of a checkpoint that the callback writes."""


def initialised_horovod() -> ModuleType:
    """``horovod.tensorflow``; of a single rank, in a world of one.

    Raises:
        RanksUnavailableError: it is not installed, or does not load.
    """
    horovod.ease_import()
    hvd = horovod.load()
    if not hvd.is_initialized():
        hvd.init()
    return hvd


def averaging(optimizer: keras.optimizers.Optimizer, world: World) -> keras.optimizers.Optimizer:
    """An optimizer that averages gradients over all ranks before it applies them.

    Keras 3 calls ``apply``. The optimizer stays the object that it is, since a config does not say all of
    it (weights that are exempt from decay, say), and its class keeps its name, so that what is saved loads
    without us.
    """
    if world.size == 1:
        return optimizer
    kind: Any = type(optimizer)

    def apply(self: Any, grads: Any, trainable_variables: Any = None) -> Any:
        sums = reduced(list(grads), world)
        means = [None if one is None else one / world.size for one in sums]
        return kind.apply(self, means, trainable_variables)

    def build(self: Any, variables: Any) -> None:
        import tensorflow as tf

        kind.build(self, variables)
        # Inside the graph of `fit` the optimizer's own variables have no values yet; they begin alike anyway.
        those = (*variables, *self.variables) if tf.executing_eagerly() else variables
        with tf.init_scope():
            world.broadcast([one.value for one in those])

    parts = {"apply": apply, "build": build, "__module__": kind.__module__, "__doc__": kind.__doc__}
    optimizer.__class__ = type(kind.__name__, (kind,), parts)
    return optimizer


def reporting(trial: Trial, *, checkpoint: bool) -> keras.callbacks.Callback:
    """A callback that reports the logs of every epoch, averaged over ranks, and stops when it is time."""
    import keras

    class Reporting(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_train_begin(self, logs: Any = None) -> None:
            if trial.size > 1 and getattr(self.model, "jit_compile", False):
                raise ValueError(
                    "Horovod's sums have no kernels of XLA: compile the model with jit_compile=False where "
                    "several ranks train it"
                )

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            trial.report(epoch + 1, **trial.average(**(logs or {})))
            if checkpoint and (trial.should_stop or trial.is_checkpoint_due):
                with trial.checkpoint() as folder:
                    if trial.rank == 0:
                        self.model.save(folder / MODEL)

    return Reporting()
