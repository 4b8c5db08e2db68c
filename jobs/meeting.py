"""Where the ranks of one job find each other: a folder that all of them see."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

JOIN_SECONDS = 60
"""How long ranks wait for each other to start; HPC_JOIN_SECONDS changes it."""


class WorldError(RuntimeError):
    """The ranks of a job don't form the world that was asked for."""


@dataclass(frozen=True)
class Presence:
    """What a rank tells of itself before it loads anything large.

    Attributes:
        rank: from 0.
        node: the scheduler's name of its node, or its host.
        host: as the machine calls itself.
        addresses: IPv4 addresses with prefix length of its network interfaces, by their names;
            ``10.0.0.3/16``.
        main: the address that its host name stands for, if any.
    """

    rank: int
    node: str
    host: str
    addresses: Mapping[str, str]
    main: str


def presence(rank: int, env: Mapping[str, str]) -> Presence:
    """What there is to tell of this process.

    Args:
        rank: of it.
        env: ``os.environ``.
    """
    host = socket.gethostname()
    addresses = {}
    states = psutil.net_if_stats()
    for name, entries in psutil.net_if_addrs().items():
        for entry in entries:
            if entry.family == socket.AF_INET and entry.netmask and name in states and states[name].isup:
                addresses[name] = str(ipaddress.ip_interface(f"{entry.address}/{entry.netmask}"))
                break
    try:
        main = socket.gethostbyname(host)
    except OSError:
        main = ""
    return Presence(rank, env.get("SLURMD_NODENAME", host), host, addresses, main)


class Meeting:
    """A folder in which every rank writes a file, and waits for those of the others.

    It is on the file system that all nodes share, asks nothing of MPI and takes a fraction of a
    second, so a rank that is missing is told by name before anything can hang.

    Args:
        folder: new for every meeting.
        me: this rank.
        size: how many ranks there are.
    """

    def __init__(self, folder: Path, me: Presence, size: int) -> None:
        self.folder = folder
        self._me = me
        self._size = size

    def gather(self, wait_seconds: float) -> list[Presence]:
        """Announce this rank and wait for all others.

        Returns:
            All of them, by rank.

        Raises:
            WorldError: some did not come in time; it says which.
        """
        names = [str(rank) for rank in range(self._size)]
        self._write(names[self._me.rank], json.dumps(asdict(self._me)))
        missing = self._wait(names, wait_seconds)
        if missing:
            there = [self._read(name) for name in names if name not in missing]
            nodes = ", ".join(dict.fromkeys(one.node for one in there))
            raise WorldError(
                f"rank {', '.join(missing)} of {self._size} did not come within {wait_seconds:.0f} seconds, "
                f"those on {nodes} did. Look into the missing rank's log; if it is empty, its node could not "
                f"start it, or does not see {self.folder.parent}: it must be on a file system that all "
                "nodes share (`hpc doctor --on PROFILE` checks this)."
            )
        return [self._read(name) for name in names]

    def publish(self, address: str, port: int) -> None:
        """Say where rank 0 listens."""
        self._write("address", f"{address} {port}")

    def address(self, wait_seconds: float) -> tuple[str, int]:
        """Where rank 0 listens.

        Raises:
            WorldError: it does not say so in time.
        """
        if self._wait(["address"], wait_seconds):
            raise WorldError(
                f"rank {self._me.rank} waited {wait_seconds:.0f} seconds for rank 0 to say where it listens; "
                "look into the log of rank 0."
            )
        address, port = (self.folder / "address").read_text().split()
        return address, int(port)

    def close(self) -> None:
        """Remove the folder; rank 0 does so when all have met."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self, names: Sequence[str], wait_seconds: float) -> list[str]:
        """Those of the files that are not there in time."""
        start = time.monotonic()
        pause, seen_at = 0.02, start
        while True:
            present = set(os.listdir(self.folder))
            missing = [name for name in names if name not in present]
            now = time.monotonic()
            if not missing or now - start > wait_seconds:
                return missing
            if now - seen_at > 2:
                # An NFS client may show an old listing for up to a minute, unless it has changed
                # the folder itself.
                seen_at = now
                self._write(f"again-{self._me.rank}", "")
            time.sleep(pause)
            pause = min(0.5, pause * 1.2)

    def _write(self, name: str, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / f".tmp-{name}-{self._me.rank}"
        scratch.write_text(text)
        os.replace(scratch, self.folder / name)

    def _read(self, name: str) -> Presence:
        return Presence(**json.loads((self.folder / name).read_text()))


def join_seconds(env: Mapping[str, str]) -> float:
    """How long ranks wait for each other to start."""
    return float(env.get("HPC_JOIN_SECONDS", JOIN_SECONDS))


def interface(rank: int, everyone: Sequence[Presence], wish: str = "") -> tuple[str, str]:
    """The network interface on which a rank talks to the others, and its address.

    On one machine it is the loopback. Otherwise it is one in a network that all hosts are in:
    the one that wish names; else that of the address which rank 0's host name stands for; else
    the first. Bridges that have the same address on two hosts (docker0) don't count.

    Args:
        rank: whose interface is asked for.
        everyone: as the meeting has it.
        wish: the name of an interface, from the profile.

    Raises:
        WorldError: there is no such network, or no such interface.
    """
    mine = everyone[rank]
    if wish:
        if wish not in mine.addresses:
            raise WorldError(
                f"rank {rank} on {mine.node} has no interface {wish!r} (profile: interface); "
                f"it has {', '.join(mine.addresses)}."
            )
        return wish, str(ipaddress.ip_interface(mine.addresses[wish]).ip)
    hosts = {one.host: one for one in everyone}
    if len(hosts) == 1:
        for name, address in mine.addresses.items():
            if ipaddress.ip_interface(address).is_loopback:
                return name, str(ipaddress.ip_interface(address).ip)
        raise WorldError(f"{mine.host} has no loopback interface.")
    shared = _shared_networks(list(hosts.values()), first=everyone[0])
    for network in shared:
        for name, text in mine.addresses.items():
            if ipaddress.ip_interface(text).network == network:
                return name, str(ipaddress.ip_interface(text).ip)
    raise WorldError(
        f"the nodes {', '.join(dict.fromkeys(one.node for one in everyone))} have no network in common that "
        "can be told from their interfaces; name one in the profile, for example `interface: ib0` "
        f"({mine.node} has {', '.join(mine.addresses)})."
    )


def _shared_networks(hosts: Sequence[Presence], first: Presence) -> list[Any]:
    """Networks that all hosts are in, the one to prefer first."""
    of_host = []
    all_addresses = [text for host in hosts for text in set(host.addresses.values())]
    for host in hosts:
        interfaces = [ipaddress.ip_interface(text) for text in host.addresses.values()]
        of_host.append([i for i in interfaces if not i.is_loopback and all_addresses.count(str(i)) == 1])
    common = [i for i in of_host[0] if all(any(j.network == i.network for j in other) for other in of_host)]
    main = {str(i.ip) for i in common} & {first.main}
    ordered = sorted(common, key=lambda i: (str(i.ip) not in main, str(i.ip)))
    return [i.network for i in ordered]
