"""The worker: what a job runs, on each of its ranks."""

from __future__ import annotations

import atexit
import faulthandler
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.jobs import stored
from hpc.jobs.check import digest
from hpc.jobs.collectives import Clock, World, horovod
from hpc.jobs.context import WorkerContext
from hpc.jobs.launchers import find_rank_info, launcher_of
from hpc.jobs.loading import Loading, loading_of
from hpc.jobs.node import RankInfo, StopRequest, device, energy
from hpc.jobs.snapshot import at_snapshot
from hpc.jobs.source import SearchSource, StaticSource
from hpc.jobs.source.base import TrialSource
from hpc.jobs.spec import Task, WorkerSpec
from hpc.jobs.trainer import Trainer
from hpc.jobs.training import Graphs, KerasSettings, ModelStore, contained
from hpc.jobs.training.base import Stopped
from hpc.jobs.user_files import Sources, require_same_data
from hpc.models import Importer
from hpc.results import Records, moments
from hpc.sweeps import Sweep


@dataclass(frozen=True)
class Worker:
    """Takes trials one after another until none is left. Every rank of a job runs it."""

    spec: WorkerSpec

    def __call__(self, request: StopRequest | None = None) -> int:
        """Train the trials.

        Args:
            request: to stop; none ever comes unless given.

        Returns:
            How many were finished.
        """
        with moments.steady(self.spec.zero):
            return self._work(request or StopRequest())

    def _work(self, request: StopRequest) -> int:
        with suppress(ValueError, RuntimeError, AttributeError):  # stderr may be a notebook's, and no file
            faulthandler.enable()
        info = find_rank_info(os.environ)
        info.require(self.spec.ranks, launcher_of(os.environ).between)
        sweep = stored.load(Path(self.spec.folder))
        if self.spec.snapshot is not None:
            sweep = at_snapshot(sweep, self.spec.snapshot)
        loading = loading_of(sweep)
        threads = self._prepare_device(info, loading)
        world = World(info, Path(self.spec.folder) / "jobs", self.spec.label or self.spec.job_id)
        try:
            return self._work_together(world, sweep, loading, info, threads, request)
        finally:
            world.leave()

    def _prepare_device(self, info: RankInfo, loading: Loading) -> int:
        """Settle which CPUs this rank uses, before TensorFlow is loaded; how many threads."""
        threads = self.spec.threads or launcher_of(os.environ).granted_cpus(os.environ, info.local_size)
        if self.spec.parent is not None:  # a command on this machine has dealt out all of its CPUs
            device.bind(threads, info.local_rank, info.local_size, self.spec.number, os.environ)
        loading.prepare(threads)
        horovod.ease_import()
        return threads

    def _work_together(
        self,
        world: World,
        sweep: Sweep,
        loading: Loading,
        info: RankInfo,
        threads: int,
        request: StopRequest,
    ) -> int:
        spec, folder, is_model = self.spec, Path(self.spec.folder), sweep.kind == "model"
        gpu = loading.start(threads, info, spec.number)
        sources = Sources.of(sweep, spec.files)
        world.verify(
            {"sweep": digest(sweep), "code": sources.digest, "gpu": gpu}, gpus=spec.gpus and is_model
        )
        sources.require(spec.files)
        held = world.held(threads, gpu)
        if spec.measure and is_model:
            world.clock = Clock()
        with _process_as_it_was():
            importer = Importer()
            with contained():
                loading.load(importer)
            world.require_equal_data(loading.digest)
            sources.require_executed(importer.executed)
            require_same_data(folder, sources.digest, loading.digest, spec.job_id)
            name = f"{spec.job_id}-g{info.group}" if info.groups > 1 else spec.job_id
            records = Records(folder / "records" / f"{name}.jsonl") if world.rank == 0 else None

            def record(kind: str, **entries: Any) -> None:
                if records is not None:
                    records.append(kind, **entries)

            def note(text: str) -> None:
                record("note", text=text)

            record("ready", job=spec.job_id, backend=world.backend, gpu=gpu, data=loading.digest, **held)
            for text in filter(None, (world.remark, *loading.said)):
                note(text)
            graphs = Graphs(note)
            builder = loading.builder(spec, importer, sources, graphs, world, note)
            context = WorkerContext(
                spec, sweep, world, records, self._source(sweep, name, world, held, record),
                ModelStore(folder, sweep.keep, sweep.objective.mode), request,
                energy.meter(threads, gpu, os.cpu_count() or 1), sources.digest, loading.digest,
            )  # fmt: skip
            with closing(Trainer(context, builder, graphs)) as trainer:
                return self._work_through(context, trainer)

    def _work_through(self, context: WorkerContext, trainer: Trainer) -> int:
        finished, who = 0, {"job": self.spec.job_id, "label": self.spec.label}
        try:
            while tasks := self._ask(context):
                finished += trainer.train(tasks)
        except Stopped as stopped:
            context.record("left", **who, how="stopped", why=str(stopped))
        else:
            context.record("left", **who, how="done")
        return finished

    def _ask(self, context: WorkerContext) -> Sequence[Task]:
        if context.sweep.uses_ask_tell:  # what a search has handed out is this worker's to train
            context.require_no_stop()
        return context.source.ask()

    def _source(
        self,
        sweep: Sweep,
        owner: str,
        world: World,
        held: Mapping[str, float],
        record: Callable[..., None],
    ) -> TrialSource:
        """Where the trials come from: this worker's own list, or the search of the run."""
        if not sweep.uses_ask_tell:
            return StaticSource(self.spec.tasks)
        return SearchSource(sweep, Path(self.spec.folder), owner, world, held, record)


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Leave Python and Keras as they were: a worker may be in the process of a notebook."""
    before = KerasSettings.now() if "keras" in sys.modules else None
    gc.collect()
    gc.freeze()  # what TensorFlow has loaded: to look through it takes a sixth of a second each time
    atexit.register(gc.freeze)  # and half a second at the end of the process
    try:
        yield
    finally:
        gc.unfreeze()
        if before is not None:
            before.put()
