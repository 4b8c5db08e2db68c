"""The parts of a worker that all of its trials share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc.jobs.collectives import World
from hpc.jobs.node import StopRequest, device, energy, is_running
from hpc.jobs.source.base import TrialSource
from hpc.jobs.spec import WorkerSpec
from hpc.jobs.training import ModelStore
from hpc.jobs.training.base import Stopped
from hpc.results import Records
from hpc.sweeps import Sweep

LOOK_SECONDS = 0.2
"""Between two looks whether the command that watches is still there."""


@dataclass
class WorkerContext:
    """A worker at work.

    Attributes:
        spec: what it was told.
        sweep: of the run, as stored.
        world: the ranks that train together.
        records: of the job; None above rank 0.
        source: where its trials come from.
        models: that it keeps.
        request: to stop.
        meter: of energy.
        code: digest of the user's files.
        data: digest of the samples; empty where they are of no function of the user's.
        reduced: how long sums over all ranks take, by their size; empty until it is measured.
    """

    spec: WorkerSpec
    sweep: Sweep
    world: World
    records: Records | None
    source: TrialSource
    models: ModelStore
    request: StopRequest
    meter: energy.Meter
    code: str
    data: str
    reduced: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._look_at, self._parent_is_gone = 0.0, False
        # Told once by each, so that trials need not ask whether there is anything to add up.
        ranks = self.world.gather([self.world.node, self.meter.joules is not None])
        self.nodes = len({node for node, _ in ranks})
        self._can_tell_energy = all(can for _, can in ranks)

    @cached_property
    def folder(self) -> Path:
        """The folder of the run."""
        return Path(self.spec.folder)

    @property
    def arithmetic(self) -> dict[str, Any]:
        """The properties that the last bits of a training depend on, beside code, data and versions."""
        return {**device.arithmetic(), "ranks": self.world.size, "sums": self.world.reduces_by}

    def record(self, record: str, **entries: Any) -> None:
        """Append a record, on rank 0."""
        if self.records is not None:
            self.records.append(record, **entries)

    def note(self, text: str) -> None:
        """Say what a person should know, on rank 0."""
        self.record("note", text=text)

    def joules(self) -> float | None:
        """Energy of all ranks so far; None if a node can't measure it. All ranks ask at once."""
        if not self._can_tell_energy:
            return None
        everyone = self.world.gather(self.meter.look())
        return None if None in everyone else float(sum(everyone))

    def measured(self) -> Mapping[str, Any]:
        """The way sums are made and their seconds, measured once; empty unless times are taken."""
        clock = self.world.clock
        if clock is None:
            return {}
        self.reduced = self.reduced or clock.reductions(self.world)
        return {"reduces_by": self.world.reduces_by, "reduced": self.reduced}

    def require_no_stop(self) -> None:
        """Make sure that a trial may begin.

        Raises:
            Stopped: on all ranks, if any of them is to stop.
        """
        if self.world.add([self.is_asked_to_stop()])[0]:
            raise Stopped(self.why_stopped())

    def is_asked_to_stop(self) -> bool:
        """Whether this rank is to stop."""
        return bool(self.request.signal) or self._is_abandoned()

    def why_stopped(self) -> str:
        """Why this rank stops, in words."""
        if self._is_abandoned():
            return "the command that watched this worker is gone"
        return self.request.signal or "another rank was asked to"

    def _is_abandoned(self) -> bool:
        parent = self.spec.parent
        if parent is None:
            return False
        now = time.monotonic()
        if now >= self._look_at:  # a look takes a fifth of a millisecond, and trials may be shorter
            self._look_at = now + LOOK_SECONDS
            self._parent_is_gone = not is_running(*parent)
        return self._parent_is_gone
