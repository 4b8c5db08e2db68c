"""What a worker loads before its first trial: TensorFlow, the user's code and data; or as good as nothing."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.calling import CallBuilder, TrialBuilder
from hpc.jobs.hidden_modules import HiddenModules
from hpc.jobs.node import RankInfo, device
from hpc.jobs.references import data_of, function_of, model_of
from hpc.jobs.spec import WorkerSpec
from hpc.jobs.training import mend_horovod
from hpc.jobs.user_files import Sources
from hpc.models import Importer
from hpc.sweeps import Sweep

if TYPE_CHECKING:
    from hpc.jobs.callbacks import CallbackEntry
    from hpc.jobs.collectives import World
    from hpc.jobs.data import Preparation
    from hpc.jobs.training import Graphs


class Loading(ABC):
    """What a worker loads.

    Args:
        sweep: of the run, as stored.

    Attributes:
        digest: SHA-256 of the samples that a function of the user's has given; else empty.
        said: what a person should know of how data were read.
    """

    digest: str = ""
    said: Sequence[str] = ()

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def prepare(self, threads: int) -> None:
        """Set what libraries read when they are imported.

        Args:
            threads: that this rank may use.
        """
        device.prepare(os.environ, threads)

    @abstractmethod
    def start(self, threads: int, info: RankInfo, number: int) -> str | None:
        """Take the processor that this rank uses.

        Args:
            threads: that it may use.
            info: of this rank.
            number: of the worker on this machine.

        Returns:
            The name of the GPU, the same for no two ranks of a node; None on a CPU.
        """

    @abstractmethod
    def load(self, importer: Importer) -> None:
        """Import the user's code, and load their data.

        Raises:
            Exception: whatever that raises.
        """

    @abstractmethod
    def builder(
        self,
        spec: WorkerSpec,
        importer: Importer,
        sources: Sources,
        graphs: Graphs,
        world: World,
        note: Callable[[str], None],
    ) -> TrialBuilder:
        """What builds the trials; arguments as of ``Builder``."""


class ModelLoading(Loading):
    """TensorFlow, the functions that make models, and the data."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep)
        names = {sweep.model, *(baseline["model"] for baseline in sweep.baselines)}
        self._models = {name: model_of(sweep, name) for name in names}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._preparation: Preparation | None = None
        self._callbacks: Sequence[CallbackEntry] = ()
        self._info = RankInfo()

    def start(self, threads: int, info: RankInfo, number: int) -> str | None:
        """Import TensorFlow."""
        self._info = info
        known = (*self._models.values(), data_of(self._sweep))
        is_ours = not any(one.is_users_code for one in known)
        return device.start(threads, info.local_rank, number, info.local_size, only_ours=is_ours)

    def load(self, importer: Importer) -> None:
        """Import what makes the models, and load the data."""
        from hpc.jobs.callbacks import resolve
        from hpc.jobs.data import Preparation

        self._functions = {name: model.resolve(importer) for name, model in self._models.items()}
        self._callbacks = resolve(self._sweep, importer)
        self._preparation = Preparation(self._sweep, importer, self._info.rank, self._info.size)
        self.digest, self.said = self._preparation.digest, self._preparation.said

    def builder(
        self,
        spec: WorkerSpec,
        importer: Importer,
        sources: Sources,
        graphs: Graphs,
        world: World,
        note: Callable[[str], None],
    ) -> TrialBuilder:
        """What builds models."""
        from hpc.jobs.build import Builder

        assert self._preparation is not None
        return Builder(
            spec, self._sweep, self._functions, self._preparation, importer, sources, graphs, world, note,
            self._callbacks,
        )  # fmt: skip


class CallLoading(Loading):
    """The function that a sweep names, with whatever that loads; nothing for a program."""

    _function: Callable[..., Any] | None = None

    def prepare(self, threads: int) -> None:
        """Set what any library reads; which one Keras computes by is for the user to say."""
        device.prepare_any(os.environ, threads)

    def start(self, threads: int, info: RankInfo, number: int) -> str | None:
        """Let this process see the GPU that it is to use; whatever computes is loaded by the user's code."""
        gpu = device.claim(os.environ, info.local_rank, number, info.local_size)
        if "tensorflow" not in sys.modules:
            return gpu
        if self._sweep.kind == "program":  # it would take memory of the GPU that the program is to have
            device.leave_gpus()
        else:
            device.start(threads, info.local_rank, number, info.local_size)
        return gpu

    def load(self, importer: Importer) -> None:
        """Import the function."""
        if self._sweep.train:
            mend_horovod()
            self._function = function_of(self._sweep).resolve(importer)

    def builder(
        self,
        spec: WorkerSpec,
        importer: Importer,
        sources: Sources,
        graphs: Graphs,
        world: World,
        note: Callable[[str], None],
    ) -> TrialBuilder:
        """What makes calls."""
        hidden = HiddenModules(spec, importer, sources, note)
        hidden.tell()
        return CallBuilder(self._sweep, Path(spec.folder), self._function, hidden.tell)


def loading_of(sweep: Sweep) -> Loading:
    """What a worker of a sweep loads."""
    return ModelLoading(sweep) if sweep.kind == "model" else CallLoading(sweep)
