"""Where and with what resources jobs run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs import device
from sweeps import SweepError, did_you_mean


class Profile(BaseModel):
    """A named place to run jobs.

    Attributes:
        cluster: ``local`` is processes of this machine, ``debug`` this very process.
        workers: jobs that run at once; as many as the machine has room for unless given.
        ranks: processes that train one trial together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: Literal["local", "debug"]
    workers: Annotated[int, Field(ge=1)] | None = None
    ranks: Annotated[int, Field(ge=1)] = 1


BUILTIN: Mapping[str, Profile] = {
    "local": Profile(cluster="local"),
    "debug": Profile(cluster="debug"),
}
"""Profiles that need no file. Profiles of one's own, for SLURM, are to come."""


@dataclass(frozen=True)
class Resources:
    """What a run takes of a machine.

    Attributes:
        cluster: as in the profile.
        workers: jobs that run at once.
        ranks: of each job.
        threads: of each rank.
        gpus: numbers of this machine's GPUs.
    """

    cluster: str
    workers: int
    ranks: int
    threads: int
    gpus: tuple[int, ...] = ()

    def describe(self) -> str:
        """In words: ``2 workers (local), 1 rank each, 1 thread a rank``."""

        def count(n: int, noun: str) -> str:
            return f"{n} {noun}{'' if n == 1 else 's'}"

        gpus = f", {count(len(self.gpus), 'GPU')}" if self.gpus else ""
        return (
            f"{count(self.workers, 'worker')} ({self.cluster}), {count(self.ranks, 'rank')} each, "
            f"{count(self.threads, 'thread')} a rank{gpus}"
        )


def find(name: str) -> Profile:
    """The profile of that name.

    Raises:
        SweepError: there is none.
    """
    if name not in BUILTIN:
        raise SweepError(
            f"--on {name}: there is no profile {name!r}{did_you_mean(name, BUILTIN)}; "
            f"there are {', '.join(BUILTIN)}."
        )
    return BUILTIN[name]


def resources(
    profile: Profile,
    *,
    workers: int | None = None,
    ranks: int | None = None,
    cpus: int | None = None,
    gpus: Sequence[int] | None = None,
) -> Resources:
    """What to take of this machine: one worker per core (or GPU), divided by the ranks of each.

    Args:
        profile: as found.
        workers: instead of the profile's.
        ranks: instead of the profile's.
        cpus: of this machine; asked for unless given.
        gpus: likewise.

    Raises:
        SweepError: fewer than one worker or rank, or several where the profile allows one.
    """
    for name, number in (("--workers", workers), ("--ranks", ranks)):
        if number is not None and number < 1:
            raise SweepError(f"{name} {number}: must be at least 1.")
    cpus = device.available_cpus() if cpus is None else cpus
    gpus = device.local_gpus(os.environ) if gpus is None else gpus
    ranks = ranks or profile.ranks
    workers = workers or profile.workers
    if profile.cluster == "debug":
        if (workers or 1) > 1 or ranks > 1:
            raise SweepError(
                "--on debug: runs in one process, so it takes --workers 1 --ranks 1; "
                "--on local has no such limit."
            )
        workers = 1
    workers = workers or max(1, (len(gpus) or cpus) // ranks)
    threads = max(1, cpus // (workers * ranks))
    return Resources(profile.cluster, workers, ranks, threads, tuple(gpus))
