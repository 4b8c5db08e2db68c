"""The training backends, the fastest first."""

from __future__ import annotations

from hpc.jobs.collectives import World
from hpc.jobs.training.base import Training, TrainingBackend
from hpc.jobs.training.estimator import EstimatorBackend
from hpc.jobs.training.function import FunctionBackend
from hpc.jobs.training.graph import GraphBackend
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.packs import PackBackend
from hpc.jobs.training.program import ProgramBackend


def backends(world: World, graphs: Graphs) -> dict[str, TrainingBackend]:
    """The backends of a worker by their names, the fastest first; before them those that load nothing.

    Args:
        world: the ranks that train together.
        graphs: that they share.
    """
    graph = GraphBackend(world, graphs)
    found: list[TrainingBackend] = [
        FunctionBackend(world), ProgramBackend(world), PackBackend(world, graphs), graph,
        EstimatorBackend(graph),
    ]  # fmt: skip
    return {one.name: one for one in found}


def backend_of(known: dict[str, TrainingBackend], training: Training) -> TrainingBackend:
    """The backend that trains a single trial.

    Raises:
        ValueError: none does; says why of each.
    """
    refused = []
    for one in known.values():
        if one.guarantees.lanes:  # for several
            continue
        why = one.accepts(training)
        if not why:
            return one
        refused.append(f"{one.name}: {why}")
    raise ValueError(f"nothing can train this: {'; '.join(refused)}")
