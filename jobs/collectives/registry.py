"""Which collective the ranks of a worker use."""

from __future__ import annotations

import os
from pathlib import Path

from hpc.jobs.collectives.base import Collective
from hpc.jobs.collectives.file_rendezvous import FileRendezvous, join_seconds, presence
from hpc.jobs.collectives.none import NoCollective
from hpc.jobs.collectives.over_horovod import HorovodCollective
from hpc.jobs.collectives.shared_memory import MAX_RANKS, SharedMemoryCollective
from hpc.jobs.node import RankInfo, device


def join(info: RankInfo, folder: Path, label: str) -> Collective:
    """Meet the other ranks.

    Args:
        info: of this process.
        folder: that all ranks see, in which they meet.
        label: of the job, so that two jobs never meet.

    Raises:
        WorldError: they don't come, or don't belong together.
        RanksUnavailableError: what several ranks need is not installed.
    """
    if info.size == 1:
        return NoCollective()
    me = presence(info.rank, os.environ)
    label = f"{label}-g{info.group}" if info.groups > 1 else label
    meetings = 0

    def meet() -> FileRendezvous:
        nonlocal meetings
        meetings += 1
        return FileRendezvous(folder / f".meeting-{label}-{meetings}", me, info.size)

    # Before TensorFlow and MPI are loaded, where a missing rank would show as a hang.
    first = meet()
    everyone = first.gather(join_seconds(os.environ))
    is_on_one = len({one.host for one in everyone}) == 1 and not device.local_gpus(os.environ)
    is_allowed = os.environ.get("HPC_SHARED_MEMORY") != "0"
    shares = is_on_one and is_allowed and info.size <= MAX_RANKS
    kind = SharedMemoryCollective if shares else HorovodCollective
    found = kind(info, me.node, meet)
    if info.rank == 0:
        first.close()
    return found
