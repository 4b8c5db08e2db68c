"""The data of a training as the arguments of Keras' ``fit`` and ``evaluate``."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.data import FitData, Part, article
from hpc.jobs.options import Options
from hpc.jobs.training import keras_private
from hpc.jobs.training.base import Training
from hpc.models import Dataset

GENERATOR, PIPELINE, BATCHES = "generator", "tf.data.Dataset", "keras.utils.PyDataset"


class Pipeline:
    """A pipeline of ``tf.data`` that counts how often it was begun.

    ``shuffle`` draws another order each time that a pipeline is begun: to begin it as often again brings it
    to where it was.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.begun = 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += 1
        return iter(self._dataset)

    def begin_again(self, times: int) -> None:
        """Begin it so many times, and take nothing."""
        for _ in range(times):
            iter(self)


@dataclass
class Feeds:
    """The data of one training.

    Attributes:
        train: arguments of ``fit``.
        parts: for each part that there is the arguments of ``evaluate``.
        pipelines: of all parts, in a fixed order.
        sources: objects of the user's that give batches, and may change while they do.
        inexact: why a training that was stopped does not go on to the last bit; empty if it does.
    """

    train: dict[str, Any]
    parts: dict[str, dict[str, Any]]
    pipelines: list[Pipeline] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    inexact: str = ""

    def iterations(self) -> list[int]:
        """How often each pipeline was begun."""
        return [one.begun for one in self.pipelines]


Cut = Callable[[Any], Any]
"""Takes a pipeline of batches of all ranks, and gives that of this rank."""


def feeds_of(training: Training, world: World, cut: Cut | None = None, finished: int = 0) -> Feeds:
    """The data of a training, for one rank.

    Args:
        training: its data and options.
        world: the ranks that train together.
        cut: makes a pipeline that of this rank; None for one that takes everything.
        finished: epochs that are behind it.

    Raises:
        ValueError: the data have no end, or only one, where ``fit`` would go on for ever or without any.
    """
    chosen, feeds = training.options, Feeds({}, {})
    parts = _parts(training.data)
    train = parts["train"]
    steps = chosen.steps_per_epoch
    _check_end(train, steps, "steps_per_epoch", world, chosen.epochs)
    shuffle = chosen.shuffle and (not train.kind or (train.kind == BATCHES and train.batches > 0))
    feeds.train = {
        **_arguments(feeds, train, chosen, cut, shuffle=shuffle, steps=steps, finished=finished),
        "steps_per_epoch": steps,
    }
    validation = parts.get("validation")
    if validation is not None:
        _check_end(validation, chosen.validation_steps, "validation_steps", world, chosen.epochs)
        given = _arguments(feeds, validation, chosen, cut, steps=chosen.validation_steps)
        feeds.parts["validation"] = {**given, "steps": chosen.validation_steps}
        feeds.train |= {
            "validation_data": _tuple(given), "validation_steps": chosen.validation_steps,
            "validation_batch_size": given.get("batch_size"), "validation_freq": chosen.validation_freq,
        }  # fmt: skip
    test = parts.get("test")
    if test is not None:
        _check_end(test, None, "", world, 1)
        feeds.parts["test"] = _arguments(feeds, test, chosen, cut)
    if train.kind == PIPELINE and steps:
        feeds.inexact = "with steps_per_epoch its pipeline begins anew"
    return feeds


def check_equal_steps(training: Training, world: World) -> None:
    """Make sure that all ranks take equally many steps, where each has samples of its own.

    Raises:
        ValueError: they don't, on all of them.
    """
    chosen = training.options
    given = {"train": chosen.steps_per_epoch, "validation": chosen.validation_steps}
    mine = {
        name: given.get(name) or part.batches or math.ceil(part.samples / chosen.global_batch(part.samples))
        for name, part in _parts(training.data).items()
    }
    everyone = world.gather(mine)
    for name in mine:
        steps = [one.get(name) for one in everyone]
        if len(set(steps)) > 1:
            raise ValueError(
                f"ranks have {', '.join(map(str, steps))} steps of the {name} part, and must take equally "
                "many; let the data's function give each rank as many samples"
            )


def measured_again(training: Training, world: World, cut: Cut | None) -> dict[str, Any]:
    """The training part as the arguments of ``evaluate``, where nothing is trained."""
    return _arguments(Feeds({}, {}), _parts(training.data)["train"], training.options, cut)


def first_batch(training: Training) -> Any:
    """A batch as the training pipeline gives it, taken without touching that, or random numbers."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        return _first_batch(training)
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _first_batch(training: Training) -> Any:
    data, chosen = training.data, training.options
    part = _parts(data)["train"]
    if part.kind and isinstance(data, FitData) and data.again is not None:
        part = data.again().train
    elif not part.kind:
        part = part.take(np.arange(min(part.samples, chosen.global_batch(part.samples))))
    inner = keras_private.adapter_of(part.x, part.y, part.weight, class_weight=_class_weight(chosen))
    return next(iter(inner.get_tf_dataset()))


def _parts(data: Dataset | FitData) -> dict[str, Part]:
    if isinstance(data, FitData):
        return data.parts()
    return {name: Part(split.x, split.y) for name, split in data.parts().items()}


def _arguments(
    feeds: Feeds,
    part: Part,
    chosen: Options,
    cut: Cut | None,
    *,
    shuffle: bool | None = None,
    steps: int | None = None,
    finished: int = 0,
) -> dict[str, Any]:
    """The arguments for one part; ``shuffle`` is None for what is only measured."""
    measures = shuffle is None
    classes = None if measures else _class_weight(chosen)
    batch_size = chosen.global_batch(part.samples)
    if measures:
        batch_size = chosen.validation_batch_size or batch_size
    x = part.x
    if part.kind == GENERATOR:
        x = _after(x, finished * (steps or 0))
    elif part.kind and part.kind != PIPELINE:
        feeds.sources.append(x)
    if part.kind == PIPELINE or cut is not None:
        options = {"batch_size": batch_size, "steps_per_epoch": steps} if not part.kind else {}
        inner = keras_private.adapter_of(
            x, part.y, part.weight, shuffle=bool(shuffle), class_weight=classes, **options
        )
        dataset = inner.get_tf_dataset()
        pipeline = Pipeline(dataset if cut is None else cut(dataset))
        feeds.pipelines.append(pipeline)
        return {"x": keras_private.feed(inner, pipeline)}
    given: dict[str, Any] = {"x": x, "y": part.y, "sample_weight": part.weight}
    if not part.kind:
        given["batch_size"] = batch_size
    if not measures:
        given |= {"shuffle": shuffle, "class_weight": classes}
    return {name: value for name, value in given.items() if value is not None}


def _tuple(given: dict[str, Any]) -> tuple[Any, ...]:
    """As ``validation_data``."""
    values = [given.get(name) for name in ("x", "y", "sample_weight")]
    while values[-1] is None:
        values.pop()
    return tuple(values)


def _class_weight(chosen: Options) -> dict[int, float] | None:
    given = chosen.class_weight
    if given is None:
        return None
    pairs = enumerate(given) if isinstance(given, list) else given.items()
    return {int(number): float(weight) for number, weight in pairs}


def _after(generator: Iterator[Any], batches: int) -> Iterator[Any]:
    """A generator behind so many batches; ``fit`` takes nothing but a plain one."""
    for _ in islice(generator, batches):
        pass
    return (batch for batch in generator)


def _check_end(part: Part, steps: int | None, name: str, world: World, epochs: int) -> None:
    """Make sure that an epoch has an end, and that there are as many epochs as are asked for.

    Raises:
        ValueError: that is not so.
    """
    if steps or not part.kind:
        return
    advice = f"; give {name}" if name else ""
    kind = article(part.kind)
    if part.kind == GENERATOR and epochs > 1:
        raise ValueError(
            f"the data are {kind}, which can be gone through but once, for {epochs} epochs{advice}, "
            "or return a tf.data.Dataset or a keras.utils.PyDataset"
        )
    cardinality = int(part.x.cardinality()) if part.kind == PIPELINE else part.batches
    if cardinality == -1 or (part.kind == BATCHES and not cardinality):
        raise ValueError(f"the data are {kind} without end{advice}")
    if cardinality == -2 and world.size > 1:
        raise ValueError(
            f"the data are {kind} of unknown length, and {world.size} ranks must take equally many "
            f"steps{advice}, or tell the length by dataset.apply(tf.data.experimental.assert_cardinality(…))"
        )
