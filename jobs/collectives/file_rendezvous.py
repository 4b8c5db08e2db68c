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

import psutil

from hpc.jobs.launchers import launcher_of
from hpc.jobs.node import WorldError

JOIN_SECONDS = 60
"""Seconds that ranks wait for each other to start; HPC_JOIN_SECONDS changes it."""


@dataclass(frozen=True)
class Presence:
    """A rank's announcement of itself, before it loads anything large.

    Attributes:
        rank: from 0.
        node: the scheduler's name of its node, or its host.
        host: as the machine calls itself.
        addresses: IPv4 addresses with prefix length of its network interfaces, by their names;
            ``10.0.0.3/16``.
        main: the address that its host name stands for, or empty.
    """

    rank: int
    node: str
    host: str
    addresses: Mapping[str, str]
    main: str


def presence(rank: int, env: Mapping[str, str]) -> Presence:
    """The announcement of this process.

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
    return Presence(rank, launcher_of(env).node(env) or host, host, addresses, address_of(host))


class FileRendezvous:
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

        Rank 0 reads what each has written, and the others what it makes of that: a thousand ranks
        open some thousand files then, and not a million.

        Returns:
            All of them, by rank.

        Raises:
            WorldError: some did not come in time; it says which.
        """
        names = [str(rank) for rank in range(self._size)]
        self._write(names[self._me.rank], json.dumps(asdict(self._me)))
        if self._me.rank == 0:
            missing = self._wait(names, wait_seconds)
            if not missing:
                everyone = [self._read(name) for name in names]
                self._write("everyone", json.dumps([asdict(one) for one in everyone]))
                return everyone
        else:
            if not self._wait(["everyone"], wait_seconds):
                return [Presence(**one) for one in json.loads((self.folder / "everyone").read_text())]
            present = os.listdir(self.folder)
            missing = [name for name in names if name not in present] or names[:1]
        there = [self._read(name) for name in names if name not in missing]
        nodes = ", ".join(dict.fromkeys(one.node for one in there))
        raise WorldError(
            f"rank {', '.join(missing)} of {self._size} did not come within {wait_seconds:.0f} seconds, "
            f"those on {nodes} did. Look into the log of the ranks; if a missing one says nothing there, its "
            f"node could not start it, or does not see {self.folder.parent}: it must be on a file system "
            "that all nodes share (`hpc doctor --on PROFILE` checks this)."
        )

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
                "look into the log of the ranks."
            )
        address, port = (self.folder / "address").read_text().split()
        return address, int(port)

    def close(self) -> None:
        """Remove the folder; rank 0 does so when all have met."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self, names: Sequence[str], wait_seconds: float) -> list[str]:
        """The files that are not there in time."""
        start = time.monotonic()
        pause, seen_at = 0.02, start
        while True:
            if len(names) > 1:
                present = set(os.listdir(self.folder))
            else:  # asked by many: for one name, and not for a list of all
                present = {name for name in names if (self.folder / name).exists()}
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
    """Seconds that ranks wait for each other to start."""
    return float(env.get("HPC_JOIN_SECONDS", JOIN_SECONDS))


def interface(rank: int, everyone: Sequence[Presence]) -> tuple[str, str]:
    """The network interface on which a rank meets the others through Gloo, and its address.

    On one machine it is the loopback; on several, that of the address which the rank's host name
    stands for, since Horovod's reductions go over that one in any case.

    Args:
        rank: whose interface is asked for.
        everyone: as the meeting has it.

    Raises:
        WorldError: a host name stands for no address, or for one that other hosts can't reach.
    """
    remedy = "mend /etc/hosts there, or the name service, or meet by MPI (see docs/ranks.md)"
    apart = len({one.host for one in everyone}) > 1
    for one in everyone:
        if not one.main:
            raise WorldError(
                f"the host name {one.host} of {one.node} stands for no address of that machine, and Gloo "
                f"talks over the address of the host name: {remedy}."
            )
        if apart and ipaddress.ip_address(one.main).is_loopback:
            raise WorldError(
                f"the host name {one.host} of {one.node} stands for {one.main}, which no other node reaches, "
                f"and Gloo talks over the address of the host name: {remedy}."
            )
    mine = everyone[rank]
    for name, text in mine.addresses.items():
        address = ipaddress.ip_interface(text)
        if str(address.ip) == mine.main if apart else address.is_loopback:
            return name, str(address.ip)
    raise WorldError(f"{mine.node} has no interface with the address {mine.main if apart else '127.0.0.1'}.")


def address_of(host: str) -> str:
    """The address of this machine's name, as Gloo looks it up: the first that can be bound."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as trial:
                trial.bind(place)
        except OSError:
            continue
        return str(place[0])
    return ""
