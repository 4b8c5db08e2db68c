"""GPUs: what nodes offer, and what ranks see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpc.doctor.base import Finding, note, ok, problem
from hpc.profile import Profile
from hpc.sweeps.text import format_count


def check_gpus_offered(profile: Profile, nodes: str) -> Finding:
    """Check whether the partition has the GPUs that the profile asks for.

    Args:
        profile: the profile of the jobs.
        nodes: what ``sinfo -h -o '%D|%T|%G'`` prints of the partition.
    """
    wanted, able, ready, most = profile.gpus_per_node, 0, 0, 0
    for line in nodes.splitlines():
        if not re.match(r"\d+\|[^|]*\|", line):
            continue  # what a site's wrapper has to say
        number, state, gres = line.split("|", 2)
        here = sum(int(n) for n in re.findall(r"\bgpu(?::[^:,()]+)?:(\d+)", gres))
        most = max(most, here)
        if here >= wanted:
            able += int(number)
            if not re.search(r"down|drain|fail|maint|\*", state):
                ready += int(number)
    if not wanted:
        more = f"; nodes have up to {most}: gpus_per_node asks for them" if most else ""
        return ok("GPUs", f"the profile asks for none{more}")
    each = f"{format_count(wanted, 'GPU')} each"
    if able < profile.nodes:
        said = f"{format_count(able, 'node')} of the partition have {each}, {profile.nodes} are asked for"
        remedy = (
            f"Lower gpus_per_node to {most} or less" if most else "No node has any: write gpus_per_node: 0"
        )
        return problem("GPUs", said, f"{remedy}, or name another partition.")
    if ready < profile.nodes:
        said = f"of {format_count(able, 'node')} with {each}, {ready} are neither down nor drained"
        return note("GPUs", said, "Jobs wait until they are back: `sinfo -R` says why they are not.")
    return ok("GPUs", f"{format_count(able, 'node')} with at least {each}, {ready} in order")


def check_gpus_seen(profile: Profile, report: Mapping[str, Any]) -> Finding:
    """Check whether each rank has a GPU of its own, where GPUs were asked for.

    Args:
        profile: the profile of the job.
        report: the canary's report, as jobs/canary.py writes it.
    """
    tries = [one for one in report["tries"] if any(r["gpus"] is not None for r in one["ranks"])]
    visible = report["cuda_visible_devices"]
    given = f"CUDA_VISIBLE_DEVICES={visible}" if visible else "CUDA_VISIBLE_DEVICES is not set"
    devices = ", ".join(report["devices"]) or "no NVIDIA device"
    if not profile.gpus_per_node:
        return ok("GPUs seen", f"none asked for; {report['node']} shows {devices} in /dev")
    if not tries:
        said = f"no rank came to look for them ({given}; {devices} in /dev)"
        return problem("GPUs seen", said, "Mend what kept the ranks from starting first.")
    ranks = [rank for rank in tries[-1]["ranks"] if rank["gpus"] is not None]
    names = [rank["gpu"] for rank in ranks if rank["gpu"]]
    without = [rank for rank in ranks if not rank["gpu"]]
    if without:
        nodes = ", ".join(dict.fromkeys(rank["node"] for rank in without))
        said = f"TensorFlow sees none on {nodes} ({given}; {devices} in /dev of {report['node']})"
        if profile.allow_cpu:
            return note("GPUs seen", said, "The ranks train on CPUs, as allow_cpu: true lets them.")
        if not visible:
            remedy = "SLURM did not tell which are the job's: ask the administrators for File= in gres.conf."
        elif not report["devices"]:
            remedy = "The node shows none: name a partition or constraint of nodes with NVIDIA GPUs."
        else:
            remedy = (
                "Install `tensorflow[and-cuda]` (docs/install.md), or load the site's CUDA: setup: [\"module "
                'load cuda"]; allow_cpu: true trains on CPUs all the same.'
            )
        return problem("GPUs seen", said, remedy)
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        remedy = "Ask for as many GPUs as ranks: gpus_per_node, and leave ranks_per_node out."
        return problem("GPUs seen", f"ranks share {', '.join(shared)}", remedy)
    return ok("GPUs seen", f"every rank has its own: {', '.join(names)}")
