"""Horovod's own interface to Keras, made to work under Keras 3 where a user's function imports it.

``hvd.DistributedOptimizer`` hooks ``compute_gradients``, and Keras 3 calls ``apply``: every rank would train
a model of its own, without a word. ``hvd.DistributedGradientTape`` asks Keras' variables for ``ref``, which
they no longer have (https://github.com/horovod/horovod/issues/4290), and ``hvd.broadcast_variables`` takes
them for tensors.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from hpc.jobs.collectives import World
from hpc.jobs.training.user_keras import averaging

_worlds: list[World] = []
"""The ranks of this process that train together, if that is known already."""


def mend_horovod(world: World | None = None) -> None:
    """Mend what of Horovod is imported from now on, or was before.

    Args:
        world: the ranks that train together.
    """
    if world is not None:
        _worlds[:] = [world]
    for name, mending in _MENDINGS.items():
        if name in sys.modules:
            mending(sys.modules[name])
    if not any(isinstance(one, KerasMender) for one in sys.meta_path):
        sys.meta_path.insert(0, KerasMender())


class KerasMender(MetaPathFinder):
    """Mends modules of Horovod when they are imported, by whoever it is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one of the modules that are to be mended."""
        spec = PathFinder.find_spec(fullname, path) if fullname in _MENDINGS else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Mending(spec.loader, _MENDINGS[fullname])
        return spec


class _Mending(Loader):
    def __init__(self, loader: Loader, mending: Callable[[ModuleType], None]) -> None:
        self._loader, self._mending = loader, mending

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._mending(module)


def _mend_optimizer(module: Any) -> None:
    module.create_distributed_optimizer = _distributed


def _mend_variables(module: Any) -> None:
    if hasattr(module.broadcast_variables, "__wrapped__"):
        return
    module.DistributedGradientTape = _with_refs(module.DistributedGradientTape)
    module.broadcast_variables = _of_values(module.broadcast_variables)


def _with_refs(tape: Callable[..., Any]) -> Callable[..., Any]:
    """A tape for which Keras' variables may be told apart."""

    @functools.wraps(tape)
    def made(*arguments: Any, **options: Any) -> Any:
        import keras

        if not hasattr(keras.Variable, "ref"):
            keras.Variable.ref = lambda self: self.value.ref()
        return tape(*arguments, **options)

    return made


def _of_values(broadcast: Callable[..., Any]) -> Callable[..., Any]:
    """A broadcast of TensorFlow's variables, which takes Keras', too."""

    @functools.wraps(broadcast)
    def broadcast_variables(variables: Any, *arguments: Any, **options: Any) -> Any:
        import keras

        plain = [one.value if isinstance(one, keras.Variable) else one for one in variables]
        return broadcast(plain, *arguments, **options)

    return broadcast_variables


_MENDINGS: dict[str, Callable[[Any], None]] = {
    "horovod._keras": _mend_optimizer,
    "horovod.tensorflow": _mend_variables,
}


def _distributed(
    keras: Any,
    optimizer: Any,
    name: str | None,
    device_dense: str,
    device_sparse: str,
    compression: Any,
    sparse_as_dense: bool,
    gradient_predivide_factor: float,
    op: Any,
    backward_passes_per_step: int = 1,
    average_aggregated_gradients: bool = False,
    groups: Any = None,
    **options: Any,
) -> Any:
    """``hvd.DistributedOptimizer`` under Keras 3: arguments as there.

    Before the first step, all ranks get the weights of rank 0.

    Raises:
        ValueError: an argument asks for what can't be done under Keras 3.
    """
    import horovod.tensorflow as hvd

    for what, value, usual in (
        ("op", op, hvd.Average),
        ("backward_passes_per_step", backward_passes_per_step, 1),
        ("gradient_predivide_factor", gradient_predivide_factor, 1.0),
        ("groups", groups, None),
    ):
        if value != usual:
            instead = "; give the optimizer gradient_accumulation_steps" if what[0] == "b" else ""
            raise ValueError(
                f"hvd.DistributedOptimizer({what}={value}) can't be done under Keras 3; leave it out{instead}"
            )
    return averaging(optimizer, _worlds[-1]) if _worlds else optimizer
