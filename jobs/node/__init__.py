"""What a process knows of its machine and its scheduler, and how it is started, stopped and measured."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.node.processes import Identity, begun, identity, is_running
    from hpc.jobs.node.rank import RankSpec, complete, run_rank
    from hpc.jobs.node.rank_info import RankInfo, WorldError, find_rank_info, for_jobs, for_ranks, leftover
    from hpc.jobs.node.stop import StopRequest
    from hpc.jobs.node.streams import print_anything

__all__ = [
    "Identity",
    "RankInfo",
    "RankSpec",
    "StopRequest",
    "WorldError",
    "begun",
    "complete",
    "find_rank_info",
    "for_jobs",
    "for_ranks",
    "identity",
    "is_running",
    "leftover",
    "print_anything",
    "run_rank",
]

__getattr__ = lazily(
    __name__,
    {
        "processes": ["Identity", "begun", "identity", "is_running"],
        "rank": ["RankSpec", "complete", "run_rank"],
        "rank_info": ["RankInfo", "WorldError", "find_rank_info", "for_jobs", "for_ranks", "leftover"],
        "stop": ["StopRequest"],
        "streams": ["print_anything"],
    },
)
