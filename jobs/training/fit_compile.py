"""Models made ready for Keras' own ``fit``: compiled as the sweep says, unless they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.data import FitData, article, classes_of
from hpc.jobs.optimizers import optimizer_of
from hpc.jobs.options import SPARSE, Options, begin_with, make_ready, metric_of, metrics_of
from hpc.jobs.training.base import Training
from hpc.models import Dataset

if TYPE_CHECKING:
    import keras


def compile_for_fit(training: Training, note: Callable[[str], None], *, built: bool = False) -> Training:
    """Make a model ready for ``fit``; one that is compiled stays as it is, and is built by ``fit`` itself.

    Args:
        training: whose model it is.
        note: hears how targets were read.
        built: whether the model must have its weights.

    Raises:
        ValueError: the loss, the targets or the weights don't fit.
    """
    model, data, chosen = training.model, training.data, training.options
    needs_weights = built or chosen.initial_weights is not None or not model.compiled
    is_stream = isinstance(data, FitData) and data.train.kind
    if needs_weights and not model.built and not is_stream:
        model(first_inputs(data))
    if isinstance(data, Dataset):
        data = make_ready(model, data, chosen)
    else:
        if not model.compiled:
            _compile(model, data, chosen, note)
        if chosen.initial_weights is not None:
            begin_with(model, chosen.initial_weights)
    if chosen.steps_per_execution is not None:
        model.steps_per_execution = chosen.steps_per_execution
    if chosen.jit_compile is not None:
        model.jit_compile = chosen.jit_compile
    return replace(training, data=data)


def first_inputs(data: Dataset | FitData) -> Any:
    """One sample of each input, of data that are arrays."""
    if isinstance(data, Dataset):
        return data.train.x[:1]
    return data.train.take(np.arange(1)).x


def _compile(model: keras.Model, data: FitData, options: Options, note: Callable[[str], None]) -> None:
    loss, is_class = _loss_and_kind(model, data, options, note)
    steps = options.steps_per_epoch or options.steps(len(data.train)) or data.train.batches
    if options.schedule != "constant" and not steps:
        raise ValueError(
            f"schedule: {options.schedule} goes by the steps of an epoch, which are not known of "
            f"{article(data.kind)}; give steps_per_epoch, or compile the model in its function"
        )
    metrics = [metric_of(name, loss) for name in metrics_of(options, is_class)]
    model.compile(optimizer_of(options, steps), loss, metrics=metrics, jit_compile=False)


def _loss_and_kind(
    model: keras.Model, data: FitData, options: Options, note: Callable[[str], None]
) -> tuple[str, bool]:
    """The loss by its name, and whether targets are classes."""
    advice = "name the loss under fixed, or compile the model in its function"
    width, rank, is_whole = _targets(data, advice)
    outputs = getattr(model, "output_shape", None)
    if isinstance(outputs, (list, dict)):
        raise ValueError(f"the model has {len(outputs)} outputs: compile it in its function")
    one_hot = rank > 1 and width is not None and width > 1 and _is_one_hot(data)
    is_class = is_whole and not (rank > 1 and (width or 2) > 1)
    if options.loss != "auto":
        return options.loss, is_class or one_hot
    if one_hot:
        note(
            f"{data.name}: the targets are rows of zeros with a 1, so that the loss is "
            "categorical_crossentropy; one that is named is taken instead"
        )
        return "categorical_crossentropy", True
    if is_class:
        if outputs is None:
            raise ValueError(f"the loss of a model that is not built can't be told by its targets; {advice}")
        return ("binary_crossentropy" if outputs[-1] == 1 else SPARSE), True
    if data.train.kind and rank > 1 and width != 1:
        raise ValueError(
            f"the targets of {article(data.kind)} may be classes, as rows of zeros with a 1, or numbers to "
            f"predict; {advice}"
        )
    return "mean_squared_error", False


def _targets(data: FitData, advice: str) -> tuple[int | None, int, bool]:
    """Of the targets of a batch the last axis, the number of axes, and whether they are whole numbers."""
    y: Any = data.train.y
    if data.train.kind:
        spec = getattr(data.train.x, "element_spec", None)
        y = spec[1] if isinstance(spec, tuple) and len(spec) > 1 else None
    if y is None or not hasattr(y, "dtype") or y.shape is None:
        what = "several targets" if y is not None else f"targets of {article(data.kind)}"
        raise ValueError(f"the loss can't be told by {what}; {advice}")
    shape = tuple(y.shape)
    name = getattr(y.dtype, "name", str(y.dtype))
    return shape[-1] if len(shape) > 1 else None, len(shape), name.startswith(("int", "uint", "bool"))


def _is_one_hot(data: FitData) -> bool:
    if data.is_stream:
        return False
    return classes_of([np.asarray(part.y) for part in data.parts().values()]) is not None
