"""The environment by which the processes of one trial find each other, as torchrun sets it."""

from __future__ import annotations

import socket

from hpc.jobs.collectives import World


def rank_variables(world: World) -> dict[str, str]:
    """Variables by which the processes of a trial find each other; all ranks ask at once.

    Source: https://docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables".
    """
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    hosts = world.gather([socket.gethostname(), port])
    name, port = hosts[0]
    is_on_one = len({host for host, _ in hosts}) == 1
    return {
        "MASTER_ADDR": "127.0.0.1" if is_on_one else name,
        "MASTER_PORT": str(port),
        "RANK": str(world.rank),
        "WORLD_SIZE": str(world.size),
        "LOCAL_RANK": str(world.info.local_rank),
        "LOCAL_WORLD_SIZE": str(world.info.local_size),
    }
