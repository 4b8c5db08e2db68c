"""What a process knows of its machine and its place in a job, and how it is stopped and measured."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.node.file_lock import BEAT_SECONDS, FileLock, LockedError, LostError
    from hpc.jobs.node.holder import Holder
    from hpc.jobs.node.processes import Identity, begun, identity, is_running
    from hpc.jobs.node.rank import RankSpec, complete, run_rank
    from hpc.jobs.node.rank_info import (
        FOR_RANKS,
        LauncherError,
        RankInfo,
        WorldError,
        for_jobs,
        for_ranks,
    )
    from hpc.jobs.node.stop import StopRequest
    from hpc.jobs.node.streams import print_anything

__all__ = [
    "BEAT_SECONDS",
    "FOR_RANKS",
    "FileLock",
    "Holder",
    "Identity",
    "LauncherError",
    "LockedError",
    "LostError",
    "RankInfo",
    "RankSpec",
    "StopRequest",
    "WorldError",
    "begun",
    "complete",
    "for_jobs",
    "for_ranks",
    "identity",
    "is_running",
    "print_anything",
    "run_rank",
]

__getattr__ = lazily(
    __name__,
    {
        "file_lock": ["BEAT_SECONDS", "FileLock", "LockedError", "LostError"],
        "holder": ["Holder"],
        "processes": ["Identity", "begun", "identity", "is_running"],
        "rank": ["RankSpec", "complete", "run_rank"],
        "rank_info": ["FOR_RANKS", "LauncherError", "RankInfo", "WorldError", "for_jobs", "for_ranks"],
        "stop": ["StopRequest"],
        "streams": ["print_anything"],
    },
)
