"""Ranks on hosts that are apart: two network namespaces, each with its own name and address."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, environment, missing
from tests.jobs.ranks import CASES, alone, load

__all__ = ["alone"]  # a fixture
CASE = {"uneven": CASES["uneven"]}


def ip(*arguments: str) -> bool:
    try:
        return subprocess.run(["ip", *arguments], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two hosts with a cable between them; 10.77.0.1 and 10.77.0.2."""
    names = [f"hpc{os.getpid()}-{n}" for n in (1, 2)]
    try:
        if not all(ip("netns", "add", name) for name in names):
            missing("hosts", "hosts are missing: network namespaces need root and `ip` (Debian's iproute2)")
        assert ip("link", "add", "v1", "netns", names[0], "type", "veth", "peer", "v2", "netns", names[1])
        for n, name in enumerate(names, start=1):
            assert ip("-n", name, "addr", "add", f"10.77.0.{n}/24", "dev", f"v{n}")
            assert ip("-n", name, "link", "set", f"v{n}", "up")
            assert ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


def run(hosts: list[str], folder: Path, table: str) -> list[tuple[int, str]]:
    """One rank on each host, with a table of hosts; exit codes and outputs."""
    processes = []
    (folder / "hosts").write_text(table)
    for rank, name in enumerate(hosts):
        env = environment() | {
            "HPC_BACKEND": "gloo", "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0",
            "SLURM_NODEID": str(rank), "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
            "SLURMD_NODENAME": f"host{rank + 1}",
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.jobs.rank", str(folder), json.dumps(CASE)]
        script = (
            f"hostname host{rank + 1}; mount --bind {shlex.quote(str(folder / 'hosts'))} /etc/hosts; "
            f"exec {shlex.join(command)}"
        )
        processes.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, "unshare", "--uts", "--mount", "sh", "-c", script],
                env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


@pytest.mark.slow
def test_ranks_on_two_hosts_meet_by_gloo_and_train_what_one_trains(
    hosts: list[str], tmp_path: Path, alone: dict[str, Any]
) -> None:
    ended = run(hosts, tmp_path, "127.0.0.1 localhost\n10.77.0.1 host1\n10.77.0.2 host2\n")
    assert [code for code, _ in ended] == [0, 0], ended
    for rank in (0, 1):
        weights, facts = load(tmp_path, "uneven", rank)
        assert (facts["backend"], facts["size"]) == ("gloo", 2)
        for mine, its in zip(weights, alone["uneven"][0], strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_host_names_that_stand_for_the_loopback_are_told(hosts: list[str], tmp_path: Path) -> None:
    ended = run(hosts, tmp_path, "127.0.0.1 localhost\n127.0.1.1 host1 host2\n")
    assert [code for code, _ in ended] == [1, 1]
    for _, output in ended:
        assert "the host name host1 of host1 stands for 127.0.1.1, which no other node reaches" in output
