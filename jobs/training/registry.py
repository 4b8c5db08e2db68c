"""The training backends, the fastest first."""

from __future__ import annotations

from collections.abc import Callable

from hpc.jobs.collectives import World
from hpc.jobs.training.base import Training, TrainingBackend
from hpc.jobs.training.estimator import EstimatorBackend
from hpc.jobs.training.fit import FitBackend
from hpc.jobs.training.function import FunctionBackend
from hpc.jobs.training.graph import GraphBackend
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.packs import PackBackend
from hpc.jobs.training.program import ProgramBackend


def backends(
    world: World, graphs: Graphs, note: Callable[[str], None] = lambda text: None
) -> dict[str, TrainingBackend]:
    """The backends of a worker by their names, the fastest first; before them those that load nothing.

    Args:
        world: the ranks that train together.
        graphs: that they share.
        note: hears what a person should know of how a trial is trained.
    """
    graph = GraphBackend(world, graphs)
    found: list[TrainingBackend] = [
        FunctionBackend(world), ProgramBackend(world), PackBackend(world, graphs), graph,
        FitBackend(world, graphs, note), EstimatorBackend(graph),
    ]  # fmt: skip
    return {one.name: one for one in found}


def backend_of(known: dict[str, TrainingBackend], training: Training) -> tuple[TrainingBackend, str]:
    """The backend that trains a single trial, and a note about it where a faster one does not take it.

    Raises:
        ValueError: none does, or not the one that the sweep names; says why of each.
    """
    refused: dict[str, str] = {}
    for one in known.values():
        if one.guarantees.lanes:  # for several
            continue
        why = one.accepts(training)
        if not why:
            return one, _note(one, refused)
        refused[one.name] = why
    if refused.get(training.backend):
        raise ValueError(f"backend: {training.backend} can't train this: {refused[training.backend]}")
    raise ValueError(f"nothing can train this: {'; '.join(': '.join(one) for one in refused.items())}")


def _note(backend: TrainingBackend, refused: dict[str, str]) -> str:
    if backend.name != FitBackend.name or not refused:
        return ""
    return f"trained by Keras' own fit, since {refused[GraphBackend.name]}"
