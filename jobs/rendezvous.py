"""Horovod's rendezvous server, for the seconds in which ranks join through Gloo."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def rendezvous(hosts: Sequence[str], address: str) -> Iterator[int]:
    """The port of a rendezvous server, for the length of the block.

    The server has no authentication (CVE-2024-10190), so it listens on one address only, carries
    no pickles, and is gone when the block ends.

    Args:
        hosts: the host of every rank, in the order of the ranks; those of one host in a row.
        address: the one to listen on.
    """
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    server = RendezvousHTTPServer((address, 0), RendezvousHandler, 0)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        slots = ",".join(f"{host}:{hosts.count(host)}" for host in dict.fromkeys(hosts))
        server.init(get_host_assignments(parse_hosts(slots), len(hosts)))
        yield int(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
