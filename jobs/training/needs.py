"""Which trainings only Keras' own ``fit`` can carry out, and why."""

from __future__ import annotations

from hpc.jobs.data import FitData, article
from hpc.jobs.options import OF_FIT
from hpc.jobs.training.base import Training
from hpc.jobs.training.parts import own_steps


def needs_fit(training: Training) -> bool:
    """Whether a model of Keras is to be trained by Keras' own ``fit``."""
    import keras

    return isinstance(training.model, keras.Model) and bool(why_not_in_graph(training))


def why_not_in_graph(training: Training) -> str:
    """Why a training can't be one graph per epoch; empty if it can."""
    import keras

    model, chosen = training.model, training.options
    if not isinstance(model, keras.Model):
        return f"{type(model).__name__} is no model of Keras"
    if training.backend == "fit":
        return "the sweep says backend: fit"
    if isinstance(training.data, FitData):
        return f"{training.data.name} gives {article(training.data.kind)}"
    own = own_steps(model)
    if own:
        return f"{type(model).__name__} has a {own[0]} of its own"
    if training.callbacks is not None:
        return "the sweep has callbacks"
    given = [name for name in OF_FIT if getattr(chosen, name) is not None]
    if given:
        return f"{given[0]} is given"
    if model.compiled and model.steps_per_execution > 1:
        return "it is compiled with steps_per_execution"
    return ""
