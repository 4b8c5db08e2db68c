"""Horovod's rendezvous server, for the seconds in which ranks join through Gloo.

It has no authentication of its own, and one that was left open was the subject of CVE-2024-10190.
So it listens on one address only, carries no pickles, is gone when all have joined, and hears
none but the hosts of the job; on its own machine, none but processes of the same user. What a key
holds can't be overwritten, and half a message is none.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_VALUE = 1 << 20
ESTABLISHED = "01"
"""A state in Linux' tables of connections."""
MAPPED = f"{0:016X}{int.from_bytes(bytes([0, 0, 255, 255]), sys.byteorder):08X}"
"""The prefix of an IPv4 address among IPv6 ones, as the kernel's tables write it."""


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
            peer, here = self.client_address, self.connection.getsockname()
            is_local = peer[0] == here[0] or peer[0].startswith("127.")
            if peer[0] in clients and (not is_local or is_of_this_user(peer, here)):
                return True
            self.send_status_code(403)
            return False

    return Handler


def is_of_this_user(peer: tuple[str, int], here: tuple[str, int], tables: Path = Path("/proc/net")) -> bool:
    """Whether the process at the other end of a local connection is of this user.

    Linux' tables of connections say so. A socket of IPv6 reaches an address of IPv4, too, and stands in
    the other table then.

    Args:
        peer: IPv4 address and port of the other end.
        here: those of this end.
        tables: folder of the tables.
    """
    if sys.platform != "linux":
        return True  # a laptop, without such tables; and without Horovod, as pyproject.toml has it
    owners = set()
    for name, prefix in (("tcp", ""), ("tcp6", MAPPED)):
        ends = [f"{prefix}{_word(host)}:{port:04X}" for host, port in (peer, here)]
        try:
            lines = (tables / name).read_text().splitlines()[1:]
        except OSError:  # IPv6 is off
            continue
        fields = [line.split() for line in lines if line.strip()]
        owners |= {int(one[7]) for one in fields if one[1:4] == [*ends, ESTABLISHED]}
    return owners == {os.getuid()}


def _word(host: str) -> str:
    """An IPv4 address as Linux' tables have it: a word in the machine's own order."""
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
