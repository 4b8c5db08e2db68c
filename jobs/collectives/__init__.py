"""How the ranks of a worker find each other and add up their numbers."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.collectives.clock import Clock
    from hpc.jobs.collectives.file_rendezvous import FileRendezvous, join_seconds, presence
    from hpc.jobs.collectives.horovod import INSTALL
    from hpc.jobs.collectives.shared_memory import LEFT
    from hpc.jobs.collectives.world import World

__all__ = [
    "INSTALL",
    "LEFT",
    "Clock",
    "FileRendezvous",
    "World",
    "join_seconds",
    "presence",
]

__getattr__ = lazily(
    __name__,
    {
        "clock": ["Clock"],
        "file_rendezvous": ["FileRendezvous", "join_seconds", "presence"],
        "horovod": ["INSTALL"],
        "shared_memory": ["LEFT"],
        "world": ["World"],
    },
)
