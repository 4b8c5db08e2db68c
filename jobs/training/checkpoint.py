"""Checkpoints: all that a trial needs to go on exactly where it was."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc.results import replacing

Array = NDArray[Any]


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        epochs: completed, and measured.
        samples: trained on since then, over all ranks together; of the epoch under way, or of several
            that are measured together.
    """

    epochs: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Best:
    """The best epoch of a training so far.

    Attributes:
        metrics: of it.
        weights: after it, the same on all ranks.
    """

    metrics: Mapping[str, float]
    weights: Sequence[Array]


@dataclass(frozen=True)
class State:
    """A training at one position.

    Attributes:
        position: of it.
        shared: arrays that are the same on all ranks: weights, and the optimizer's variables.
        own: arrays of each rank: its states of random numbers, its sums of metrics.
        metadata: of the trial so far, as plain values.
        best: its best epoch, if the training is to end with that.
        folder: what a training that is not ours has written to go on from, if it is one.
    """

    position: Position
    shared: Sequence[Array]
    own: Sequence[Sequence[Array]]
    metadata: dict[str, Any] = field(default_factory=dict)
    best: Best | None = None
    folder: Path | None = None


def to_bytes(arrays: Sequence[Array]) -> bytes:
    """Arrays as bytes, exactly."""
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    return buffer.getvalue()


def from_bytes(data: bytes) -> list[Array]:
    """Undo :func:`to_bytes`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return [archive[f"arr_{index}"] for index in range(len(archive.files))]


_NAME = re.compile(r"(\.tmp-.+-)?(?P<trial>\w+)-\d+-\d+(\.npz)?")
METADATA = ".hpc.json"
"""In a folder that is a checkpoint: what else is to be known of the trial."""


class Checkpoints:
    """The checkpoints of a run: one file per trial that is under way; or a folder, of a user's own.

    It is written under a temporary name and renamed, then the one before it is removed: at every moment
    there is a whole one.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkpoints"

    def save(self, trial: str, state: State) -> Path:
        """Write a state; the trial's earlier ones are removed.

        Raises:
            OSError: it can't be written; the earlier one is kept.
        """
        self._folder.mkdir(exist_ok=True)
        path = (
            self._write(trial, state) if state.folder is None else self._publish(trial, state, state.folder)
        )
        self.remove(trial, but=path)
        return path

    def place(self, trial: str, number: int) -> Path:
        """A folder which a training writes to as it likes, and which is a checkpoint once it is saved."""
        return self._folder / f"{trial}-0-{number}"

    def scratch(self, trial: str, position: Position) -> Path:
        """A folder to write to, which becomes a checkpoint when it is saved."""
        return self._folder / f".tmp-{os.getpid()}-{trial}-{position.epochs}-{position.samples}"

    def _publish(self, trial: str, state: State, folder: Path) -> Path:
        position, path = state.position, folder
        if folder.name.startswith("."):
            places = (f"{trial}-{position.epochs}-{n}" for n in itertools.count(position.samples))
            path = next(one for name in places if not (one := self._folder / name).exists())
        with replacing(folder / METADATA) as scratch:
            scratch.write_text(json.dumps({"position": asdict(position), "facts": state.metadata}) + "\n")
        if path != folder:
            os.rename(folder, path)
        return path

    def _write(self, trial: str, state: State) -> Path:
        position = state.position
        path = self._folder / f"{trial}-{position.epochs}-{position.samples}.npz"
        arrays = {f"shared{i}": array for i, array in enumerate(state.shared)}
        for rank, own in enumerate(state.own):
            arrays |= {f"rank{rank}.{i}": array for i, array in enumerate(own)}
        head = {"position": asdict(position), "shared": len(state.shared), "facts": state.metadata,
                "own": [len(own) for own in state.own]}  # fmt: skip
        if state.best is not None:
            arrays |= {f"best{i}": array for i, array in enumerate(state.best.weights)}
            head |= {"best": [dict(state.best.metrics), len(state.best.weights)]}
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez(file, head=np.array(json.dumps(head)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        return path

    def newest_first(self, trial: str) -> list[Path]:
        """The files of a trial; a killed writer may have left the one before, too."""
        whole = [
            path for path in self._files(trial)
            if not path.name.startswith(".") and (path.suffix or (path / METADATA).is_file())
        ]  # fmt: skip
        return sorted(whole, key=_position, reverse=True)

    def remove(self, trial: str, but: Path | None = None) -> None:
        """Forget a trial that has ended, or what it had before.

        Args:
            trial: its id.
            but: which is kept.
        """
        for path in self._files(trial):
            if path == but:
                continue
            if path.suffix:
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path, ignore_errors=True)

    def _files(self, trial: str) -> list[Path]:
        """The files of a trial; torn ones, too, if a rank was killed while it wrote."""
        try:
            names = os.listdir(self._folder)  # most runs have no such folder
        except FileNotFoundError:
            return []
        found = [match for match in map(_NAME.fullmatch, names) if match and match["trial"] == trial]
        return [self._folder / match.string for match in found]


def _position(path: Path) -> tuple[int, int]:
    _, epochs, samples = path.stem.split("-")
    return int(epochs), int(samples)


def read(path: Path) -> State:
    """Read the state from a file.

    Raises:
        Exception: it can't be read, or is none; zipfile and numpy have errors of their own.
    """
    if not path.suffix:
        head = json.loads((path / METADATA).read_text())
        return State(Position(**head["position"]), [], [], head["facts"], folder=path)
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        head = json.loads(str(archive["head"]))
        shared = [archive[f"shared{i}"] for i in range(head["shared"])]
        own = [[archive[f"rank{r}.{i}"] for i in range(n)] for r, n in enumerate(head["own"])]
        metrics, count = head.get("best", (None, 0))
        best = None if metrics is None else Best(metrics, [archive[f"best{i}"] for i in range(count)])
    return State(Position(**head["position"]), shared, own, head["facts"], best)


def metadata_of(path: Path) -> dict[str, Any]:
    """The metadata that a file holds, without its arrays."""
    if not path.suffix:
        return read(path).metadata
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        metadata: dict[str, Any] = json.loads(str(archive["head"]))["facts"]
    return metadata
