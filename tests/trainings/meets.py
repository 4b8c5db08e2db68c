"""What a training by several processes of any framework does first: they meet by what torchrun sets.

Rank 0 listens where ``MASTER_ADDR`` and ``MASTER_PORT`` say, as ``init_process_group("env://")`` does, and
hears from all others. As a function it is told its trial; as a program it writes its metrics to a file.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any


def meet() -> list[int]:
    """The ranks that have met, on rank 0; nothing on others."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank:
        for _ in range(600):  # rank 0 may not be there yet
            try:
                with socket.create_connection(place) as other:
                    other.sendall(bytes([rank]))
                return []
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise ConnectionError(f"nobody listens at {place}")
    with socket.create_server(place) as server:
        server.settimeout(60)
        found = [0]
        for _ in range(size - 1):
            with server.accept()[0] as other:
                found += other.recv(1)
    return sorted(found)


def train(rate: float, trial: Any) -> None:
    assert (trial.rank, trial.size) == (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    trial.report(1, val_loss=rate, ranks=len(meet()), local=int(os.environ["LOCAL_RANK"]))


if __name__ == "__main__":
    ranks = meet()
    with open(os.environ["HPC_METRICS"], "a") as file:
        print(
            json.dumps({"val_loss": json.loads(os.environ["HPC_PARAMS"])["rate"], "ranks": len(ranks)}),
            file=file,
        )
