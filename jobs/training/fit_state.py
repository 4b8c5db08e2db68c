"""The state of a training by ``fit``: weights, optimizers, random numbers, callbacks, the user's data."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.training import keras_private, plain_state
from hpc.jobs.training.checkpoint import Position, State, from_bytes, to_bytes
from hpc.models import Array

if TYPE_CHECKING:
    import keras


OF_OPEN_FILES = ("append", "append_header")
"""Attributes of ``CSVLogger`` that say whether its file is there already."""


def optimizers_of(model: keras.Model) -> list[Any]:
    """All optimizers of a model: of ``compile``, and those that its own steps use."""
    import keras

    found: dict[int, Any] = {}

    def look(value: Any) -> None:
        if isinstance(value, keras.optimizers.Optimizer):
            found[id(value)] = value
        elif isinstance(value, (list, tuple)):
            for one in value:
                look(one)
        elif isinstance(value, Mapping):
            for one in value.values():
                look(one)

    look(getattr(model, "optimizer", None))
    for layer in keras_private.layers_of(model):
        if layer is model or not isinstance(layer, keras.Model):
            for value in list(vars(layer).values()):
                look(value)
    inner = {id(one.inner_optimizer) for one in found.values() if hasattr(one, "inner_optimizer")}
    return [one for key, one in found.items() if key not in inner]


def shared_variables(model: keras.Model) -> list[Any]:
    """What is the same on all ranks: weights, and the optimizers' variables."""
    return [*model.weights, *(v for one in optimizers_of(model) for v in one.variables)]


def own_variables(model: keras.Model) -> list[Any]:
    """What each rank has for itself: the states of random numbers."""
    known = {id(v) for v in [*model.weights, *model.metrics_variables]}
    found = [v for v in model.variables if id(v) not in known]
    generator = keras_private.global_seed_generator()
    return [*found, *([generator.state] if generator is not None else [])]


class Keeper:
    """Takes the state of a training by ``fit``, and gives it back.

    Args:
        model: that is trained.
        callbacks: of the user's.
        sources: objects that give batches, whose attributes change.
        iterations: how often each pipeline was begun.
        world: the ranks that train together.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Sequence[Any],
        sources: Sequence[Any],
        iterations: Callable[[], list[int]],
        world: World,
    ) -> None:
        self._model = model
        self._callbacks = callbacks
        self._sources = sources
        self._iterations = iterations
        self._world = world
        self._before = [plain_state.digests(one) for one in sources]

    def take(self, at: Position) -> State:
        """The state, by which the training can go on from here; of other ranks only when they meet."""
        arrays = [np.array(variable) for variable in own_variables(self._model)]
        count = len(arrays)
        head: dict[str, Any] = {"seeds": count, "iterations": self._iterations()}
        head["generator"] = keras_private.global_seed_generator() is not None
        head["python"] = plain_state.encode(random.getstate(), arrays)
        head["numpy"] = plain_state.encode(np.random.get_state(legacy=False), arrays)
        head["callbacks"] = [self._of_callback(one, arrays) for one in self._callbacks]
        changed = zip(self._sources, self._before, strict=True)
        head["sources"] = [plain_state.attributes(one, arrays, before) for one, before in changed]
        text = np.frombuffer(json.dumps(head).encode(), np.uint8)
        shared = [np.array(v) for v in shared_variables(self._model)]
        return State(at, shared, [[text, *arrays]])

    def _of_callback(self, callback: Any, arrays: list[Array]) -> dict[str, Any]:
        found = plain_state.attributes(callback, arrays)
        for name in OF_OPEN_FILES:  # it finds them out anew, from the file that is there
            found.pop(name, None)
        return found

    def gathered(self, state: State) -> State:
        """The same with what every rank has for itself."""
        if self._world.size == 1:
            return state
        everyone = self._world.gather_bytes(to_bytes(state.own[0]))
        return State(state.position, state.shared, [from_bytes(data) for data in everyone])

    def put_variables(self, state: State) -> None:
        """Go on from there: weights, optimizers, random numbers of layers.

        Raises:
            ValueError: the model has others.
        """
        _assign(shared_variables(self._model), state.shared)
        head, arrays = self._own(state)
        if head["generator"]:
            keras_private.global_seed_generator(make=True)
        if len(state.own) == self._world.size:
            _assign(own_variables(self._model), arrays[: head["seeds"]])

    def put_rest(self, state: State) -> None:
        """Go on from there: random numbers of Python and NumPy, callbacks, the user's data."""
        head, arrays = self._own(state)
        for one, found in zip(self._callbacks, head["callbacks"], strict=True):
            plain_state.restore(one, found, arrays)
        for one, found in zip(self._sources, head["sources"], strict=True):
            plain_state.restore(one, found, arrays)
        random.setstate(plain_state.decode(head["python"], arrays))
        np.random.set_state(plain_state.decode(head["numpy"], arrays))

    def iterations(self, state: State) -> list[int]:
        """How often each pipeline was begun."""
        head, _ = self._own(state)
        return list(head["iterations"])

    def _own(self, state: State) -> tuple[dict[str, Any], list[Array]]:
        mine = state.own[self._world.rank if self._world.rank < len(state.own) else 0]
        return json.loads(bytes(mine[0])), list(mine[1:])


def _assign(variables: Sequence[Any], values: Sequence[Array]) -> None:
    if len(variables) != len(values):
        raise ValueError(
            f"the checkpoint has {len(values)} variables, the model {len(variables)}: its function builds "
            "another one at each call"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
