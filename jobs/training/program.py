"""Trainings that are a program: it is started, its metrics are read, and it is ended when it is time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.jobs.collectives import World
from hpc.jobs.training.base import (
    BoundaryRequest,
    DivergedError,
    Epoch,
    Guarantees,
    Lane,
    Pruned,
    Stopped,
    Trained,
    Training,
    TrainingBackend,
)
from hpc.jobs.training.calls import Enough, ProgramCall, ProgramError, not_finite
from hpc.jobs.training.checkpoint import METADATA, Checkpoints, Position, State
from hpc.jobs.training.child import Child
from hpc.jobs.training.guardian import Guardian
from hpc.jobs.training.program_folders import ProgramFolders
from hpc.jobs.training.program_metrics import FILE, MetricsFile, Steps, found_in
from hpc.jobs.training.program_output import ProgramOutput
from hpc.jobs.training.rank_variables import rank_variables

_OURS = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDI_", "HOROVOD_", "HPC_", "SUBMITIT_")
"""Beginnings of variables that say which rank of ours this is: the program is none."""
_FOR_WORKERS = ("PYTHONSAFEPATH",)
LOOK_SECONDS = 0.25
"""The longest time between two looks at what a program has written."""
SAVE_SECONDS = 5.0
"""Between two looks whether a program has written a checkpoint."""


class ProgramBackend(TrainingBackend):
    """Starts a program on every rank, and reads the metrics of that of rank 0.

    What it comes to with several ranks, and whether it goes on exactly where it was, is its own affair.

    Args:
        world: the ranks that start it together.
    """

    name = "program"
    guarantees = Guarantees(equal_ranks=False, exact_resume=False, mid_epoch=False)

    def __init__(self, world: World) -> None:
        self._world = world
        self._guardian: Guardian | None = None
        self._folders: ProgramFolders | None = None
        self._base: dict[str, str] | None = None

    def accepts(self, training: Training) -> str:
        """Why it can't train that: it is no program."""
        if isinstance(training.model, ProgramCall):
            return ""
        return f"{type(training.model).__name__} is no program of a sweep's command"

    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        """Start the program once; its boundaries are where it is looked at."""
        (lane,) = lanes
        call: ProgramCall = training.model
        began = time.perf_counter()
        environment = self._environment(call)
        assert self._folders is not None
        run = _ProgramRun(call, lane, self._world, request, environment, self._folders)
        try:
            metrics = run.carry_out()
        except Enough:
            metrics = run.metrics
        except DivergedError as diverged:
            lane.failure = diverged
            return [None]
        finally:
            run.close()
        return [Trained(metrics, {}, time.perf_counter() - began, 0.0, lambda: call, "")]

    def close(self) -> None:
        """End the process that watches over this one, and remove what was for the time being."""
        if self._guardian is not None and self._folders is not None:
            self._guardian.close()
            self._folders.close()
            self._guardian = self._folders = self._base = None

    def _environment(self, call: ProgramCall) -> dict[str, str]:
        if self._base is None:
            mine = {
                name: value for name, value in os.environ.items()
                if not name.startswith(_OURS) and name not in _FOR_WORKERS
            }  # fmt: skip
            mine.setdefault("PYTHONUNBUFFERED", "1")  # else what it prints comes at its end
            # Last, so that `python` is found where no environment is active.
            mine["PATH"] = os.pathsep.join([mine.get("PATH", os.defpath), str(Path(sys.executable).parent)])
            self._guardian, self._folders = Guardian(call.grace_seconds), ProgramFolders(call.run)
            self._base = mine | self._guardian.variables
        return self._base


class _ProgramRun:
    """One program at work on one trial, on this rank."""

    def __init__(
        self,
        call: ProgramCall,
        lane: Lane,
        world: World,
        request: Callable[[Position], BoundaryRequest],
        environment: Mapping[str, str],
        folders: ProgramFolders,
    ) -> None:
        self._call, self._lane, self._world, self._request = call, lane, world, request
        self._began = time.monotonic()
        before = lane.begin.position.epochs if lane.begin else 0
        self._steps = Steps(call.objectives, before)
        self._last = before
        self.metrics: dict[str, float] = dict(lane.begin.metadata.get("metrics", {})) if lane.begin else {}
        self._folders = folders
        self._metrics_path, self._params_path = (
            folders.scratch / name for name in ("metrics.jsonl", "params.json")
        )
        self._scratch = folders.scratch / call.trial_id
        self._file = MetricsFile(self._metrics_path, lane.note)
        self._is_file = not call.patterns
        self._checkpoint = self._place_of_checkpoint()
        self._looked, self._saved = time.monotonic(), ""
        for folder in (call.folder, self._checkpoint):
            folders.take(folder)
        of_rank = f"-rank{world.rank}" if world.rank else ""
        log = call.folder / f"output-{lane.attempt}{of_rank}.log"
        self._output = ProgramOutput(log, is_read=bool(call.patterns) and world.rank == 0)
        self._child: Child | None = None
        self._environment = {**environment, **self._variables()}
        self._deadline = 0.0
        self._is_only_told = False

    def _place_of_checkpoint(self) -> Path:
        begin = self._lane.begin
        if begin is not None and begin.folder is not None:
            return begin.folder
        return Checkpoints(self._call.run).place(self._call.trial_id, self._lane.attempt)

    def _variables(self) -> dict[str, str]:
        call, world = self._call, self._world
        return {
            "HPC_TRIAL": call.trial_id,
            "HPC_SEED": str(call.seed),
            "HPC_ATTEMPT": str(self._lane.attempt),
            "HPC_PARAMS": json.dumps(call.params),
            "HPC_FOLDER": str(call.folder),
            "HPC_METRICS": str(self._metrics_path),
            "HPC_CHECKPOINT": str(self._checkpoint),
            **(rank_variables(world) if world.size > 1 else {}),
        }

    def _arguments(self) -> list[str]:
        call, params_file = self._call, self._params_path
        if "params_file" in call.command.names:
            params_file.write_text(json.dumps(call.params) + "\n")
        if "scratch" in call.command.names:
            self._scratch.mkdir()
        return call.command.filled({
            **call.params, "seed": call.seed, "folder": str(call.folder), "scratch": str(self._scratch),
            "checkpoint": str(self._checkpoint), "params": json.dumps(call.params),
            "params_file": str(params_file), "trial_id": call.trial_id, "attempt": self._lane.attempt,
            "rank": self._world.rank, "size": self._world.size,
        })  # fmt: skip

    def carry_out(self) -> dict[str, float]:
        """Start the program and see it through.

        Returns:
            The metrics of its last step.

        Raises:
            ProgramError: it does not do what it is to do; likewise on all ranks if it is so on one.
            Pruned, Stopped, DivergedError: on all ranks alike.
        """
        error = ""
        try:
            self._child = Child(self._arguments(), self._call.command.folder, self._environment, self._output)
        except ProgramError as raised:
            error = str(raised)
        why: Exception | None = None
        pause = 0.01
        while True:
            steps: list[tuple[int, dict[str, float]]] = []
            try:
                steps = self._look(pause, is_read=not error)
            except ProgramError as raised:
                error = f"{raised}{self._last_lines()}"
            code = self._child.code if self._child is not None else 0
            if not error and code and why is None:
                error = f"{_ending(code)}.{self._last_lines()}"
            pause = min(LOOK_SECONDS, 2 * pause)
            stop = self._request(Position(self._last)).stop
            told = {"steps": steps, "over": code is not None, "error": error, "stop": stop}
            everyone = self._world.gather(told) if self._world.size > 1 else [told]
            why = self._take(everyone, why)
            if all(one["over"] for one in everyone):
                break
        if why is None and self._world.rank == 0:
            why = self._missing()
        missing = self._world.agree(str(why) if isinstance(why, ProgramError) else "")
        if missing and why is None:
            why = ProgramError(missing)
        if why is not None:
            raise why
        return self.metrics

    def _take(self, everyone: Sequence[Mapping[str, Any]], why: Exception | None) -> Exception | None:
        """Why the trial ends, if it does, the same on all ranks; the program has been told so."""
        if why is None:
            ended = self._stepped(everyone[0]["steps"])  # told before it failed, they count
            why = self._failed(everyone) or ended
            if why is None and any(one["stop"] for one in everyone):
                why = Stopped()
            if why is not None:
                self._deadline = time.monotonic() + self._call.grace_seconds
                self._ask_to_end(is_stop=isinstance(why, Stopped))
        else:
            self._stepped(everyone[0]["steps"] if isinstance(why, Stopped) else [])
        self._look_for_checkpoint(at_once=isinstance(why, Stopped))
        child = self._child
        if why is not None and child is not None and child.code is None:
            left = self._deadline - time.monotonic()
            if left < 0:
                child.send(signal.SIGKILL)
            elif self._is_only_told and left < self._call.grace_seconds / 2:
                self._is_only_told = False
                child.send(signal.SIGTERM)
        return why

    def _ask_to_end(self, *, is_stop: bool) -> None:
        """SIGTERM; of a stop SIGUSR2 first, if it has a handler for that."""
        child = self._child
        if child is None or child.code is not None:
            return
        if is_stop and child.send(signal.SIGUSR2, if_caught=True):
            self._is_only_told = True
            return
        child.send(signal.SIGTERM)

    def _failed(self, everyone: Sequence[Mapping[str, Any]]) -> ProgramError | None:
        failed = [(rank, one["error"]) for rank, one in enumerate(everyone) if one["error"]]
        if not failed:
            return None
        mine = everyone[self._world.rank]["error"]
        rank, error = failed[0]
        return ProgramError(mine or f"the program of rank {rank} has failed: {error}", follows=not mine)

    def _stepped(self, steps: Sequence[tuple[int, dict[str, float]]]) -> Exception | None:
        for number, metrics in steps:
            try:
                decision = self._lane.on_epoch(Epoch(number, metrics, time.monotonic() - self._began))
            except Pruned as pruned:
                return pruned
            self._last, self.metrics = number, metrics
            name = not_finite(metrics, self._call.objectives)
            if name:
                return DivergedError(f"{name} is {metrics[name]} after step {number}")
            if decision is not None and decision.is_enough:
                return Enough()
        return None

    def _look(self, pause: float, *, is_read: bool) -> list[tuple[int, dict[str, float]]]:
        """Wait a while, and read what has come; only rank 0's metrics count."""
        child, found = self._child, list[tuple[int, dict[str, float]]]()
        if child is None or child.is_over():
            if self._world.size > 1:
                time.sleep(pause)  # others are at work still
            return found
        lines = child.wait(pause)
        if child.is_over():
            lines += self._output.close()
        if self._world.rank or not is_read:
            return found
        for line in lines:
            for values in found_in(line, self._call.patterns, self._call.objectives):
                found += self._steps.take(values)
        if self._is_file:
            for values, step in self._file.read(is_over=child.is_over()):
                found += self._steps.take(values, step)
        return found

    def _look_for_checkpoint(self, *, at_once: bool = False) -> None:
        """Let what the program has written count as a checkpoint from now on."""
        now = time.monotonic()
        if self._world.rank or (now - self._looked < SAVE_SECONDS and not at_once):
            return
        self._looked = now
        with os.scandir(self._checkpoint) as entries:
            files = sorted((one.name, one.stat().st_mtime_ns) for one in entries if one.name != METADATA)
        if files and str(files) != self._saved:
            self._saved = str(files)
            self._lane.save(State(Position(self._last), [], [], folder=self._checkpoint))

    def _missing(self) -> ProgramError | None:
        """What an objective lacks that has never come."""
        objectives, seen = self._call.objectives, self._steps.seen
        if self.metrics:
            return None
        names = " and ".join(objectives)
        told = f"it has told {', '.join(seen)}" if seen else "it has told nothing"
        where = (
            "a pattern under metrics has to match what it prints"
            if self._call.patterns
            else f'it has to append a line like {{"{objectives[0]}": 0.5}} to the file that {FILE} names, or '
            "print it, with a pattern under metrics"
        )
        return ProgramError(
            f"the program has ended well, but {names} never came: {told}; {where}.{self._last_lines()}"
        )

    def _last_lines(self) -> str:
        lines = self._output.last_lines()
        return f"\nIts last lines:\n{lines}" if lines else " It has printed nothing."

    def close(self) -> None:
        """End what is left of it, and remove what was there for the time being."""
        try:
            if self._child is not None:
                was_running = self._child.code is None
                left = self._child.close(1.0)
                if was_running:  # an interrupt has come between
                    self._look_for_checkpoint(at_once=True)
                elif left:
                    some = "a process" if left == 1 else f"{left} processes"
                    self._lane.note(f"the program of {self._call.trial_id} has left {some} behind, now ended")
        finally:
            self._output.close()
            self._metrics_path.unlink(missing_ok=True)
            if "scratch" in self._call.command.names:
                shutil.rmtree(self._scratch, ignore_errors=True)
            for folder in (self._checkpoint, self._call.folder) if self._world.rank == 0 else ():
                self._folders.give_back(folder)


def _ending(code: int) -> str:
    if code > 0:
        return f"the program has ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ", as where memory is short" if name == "SIGKILL" else ""
    return f"the program was ended by {name}{why}"
