"""Horovod's rendezvous server, for the seconds in which ranks join through Gloo.

It has no authentication of its own, and one that was left open was the subject of CVE-2024-10190.
So it listens on one address only, carries no pickles, is gone when all have joined, and hears
none but the hosts of the job; on one machine, none but processes of the same user. What a key
holds can't be overwritten, and half a message is none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_VALUE = 1 << 20


@contextmanager
def rendezvous(hosts: Sequence[str], address: str, clients: Sequence[str] = ()) -> Iterator[int]:
    """The port of a rendezvous server, for the length of the block.

    Args:
        hosts: the host of every rank, in the order of the ranks; those of one host in a row.
        address: the one to listen on.
        clients: addresses that are heard; ``address`` alone unless given.
    """
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousHTTPServer

    server = RendezvousHTTPServer((address, 0), _handler({address, *clients}), 0)
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


def _handler(clients: set[str]) -> type[Any]:
    from horovod.runner.http.http_server import RendezvousHandler

    class Handler(RendezvousHandler):  # type: ignore[misc]
        """Hears ranks of the job only, and takes every value once and whole."""

        def do_GET(self) -> None:  # noqa: N802
            """Give a value."""
            if self._is_heard():
                super().do_GET()

        def do_PUT(self) -> None:  # noqa: N802
            """Take a value."""
            if not self._is_heard():
                return
            length = self.headers.get("Content-Length", "")
            parts = self.path.split("/")
            if len(parts) != 3 or not length.isdigit() or int(length) > LONGEST_VALUE:
                self.send_status_code(400)
                return
            try:
                value = self.rfile.read(int(length))
            except (TimeoutError, OSError):
                return
            if len(value) < int(length):  # the sender has left
                return
            _, scope, key = parts
            with self.server.cache_lock:
                is_new = self.server.cache.setdefault(scope, {}).setdefault(key, value) is value
            self.send_status_code(200 if is_new else 409)

        def do_DELETE(self) -> None:  # noqa: N802
            """Forget nothing, in these seconds; then the server is gone."""
            if self._is_heard():
                self.send_status_code(200)

        def do_HEAD(self) -> None:  # noqa: N802
            """Tell nothing of the files here, which the base class would."""
            self.send_status_code(403)

        def _is_heard(self) -> bool:
            host, port = self.client_address[:2]
            if host in clients and (not host.startswith("127.") or _is_mine(port)):
                return True
            self.send_status_code(403)
            return False

    return Handler


def _is_mine(port: int, table: Path = Path("/proc/net/tcp")) -> bool:
    """Whether the process at a local port is of this user, as Linux's table of connections says."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return True  # no Linux: a laptop
    wanted = f":{port:04X}"
    users = {int(line.split()[7]) for line in lines if line.split()[1].endswith(wanted)}
    return users <= {os.getuid()}
