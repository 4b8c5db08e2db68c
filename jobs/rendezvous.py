"""Where the ranks of one job find each other when there is no MPI."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def rendezvous(
    file: Path, rank: int, hosts: Sequence[str], address: str, wait_seconds: float = 300
) -> Iterator[tuple[str, int]]:
    """Address and port of Horovod's rendezvous server, for the length of the block.

    Rank 0 runs the server and publishes where by renaming ``file`` into place; the others wait
    for the file. The server has no authentication (CVE-2024-10190), so it listens on one address
    only, carries no pickles, and is gone when the block ends.

    Args:
        file: in a folder that all ranks see, new for every meeting.
        rank: of this process.
        hosts: the host of every rank, in the order of the ranks.
        address: the one that rank 0 listens on.
        wait_seconds: how long the others wait.

    Raises:
        TimeoutError: rank 0 has published nothing in that time.
    """
    if rank:
        deadline = time.monotonic() + wait_seconds
        while not file.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"rank {rank} on {socket.gethostname()} waited {wait_seconds:.0f} seconds for rank 0 "
                    f"to publish its address in {file}; look into the log of rank 0, and whether both "
                    "hosts see that folder"
                )
            time.sleep(0.02)
        published, port = file.read_text().split()
        yield published, int(port)
        return
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    server = RendezvousHTTPServer((address, 0), RendezvousHandler, 0)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        slots = ",".join(f"{host}:{hosts.count(host)}" for host in dict.fromkeys(hosts))
        server.init(get_host_assignments(parse_hosts(slots), len(hosts)))
        scratch = file.with_name(f".tmp-{file.name}")
        scratch.write_text(f"{address} {server.server_port}")
        os.replace(scratch, file)
        yield address, server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        file.unlink(missing_ok=True)
