"""Ranks: how they would meet, and whether they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpc.doctor.base import Finding, note, ok, problem
from hpc.profile import Profile
from hpc.sweeps.text import format_count


def check_mpi(profile: Profile, offered: Sequence[str], vendor: str | None) -> Finding:
    """Check how ranks would meet, by what ``srun --mpi=list`` offers.

    Args:
        profile: the profile of the job that the ranks belong to.
        offered: the names of srun's plugins.
        vendor: the vendor of the MPI that mpi4py loads, empty if none; None where it can't be known here.
    """
    from hpc.jobs.launchers import choose_backend

    names = list(dict.fromkeys(offered))
    words = f"srun offers {', '.join(names) or 'nothing'}"
    if profile.mpi != "auto" and profile.mpi not in names:
        remedy = f"Write mpi: with one of {', '.join(names)}, or backend: gloo."
        return problem("MPI", f"{words}, but the profile says mpi: {profile.mpi}", remedy)
    if profile.nodes * profile.ranks_of_node == 1:
        return ok("MPI", f"{words}; jobs of one rank need none")
    if profile.backend == "gloo":
        return ok("MPI", f"{words}; the ranks meet by Gloo, as the profile says")
    if vendor is None:
        return ok("MPI", words)
    words += f"; mpi4py loads {vendor or 'none'}"
    backend, plugin = choose_backend(profile.backend, profile.mpi, names, vendor)
    if backend == "gloo":
        remedy = "Nothing need change; MPI would need PMIx in srun, or an MPI that speaks what it offers."
        return note("MPI", f"{words}: the ranks meet by Gloo", remedy)
    if not vendor or plugin not in names:
        remedy = "Write backend: gloo; or install mpi4py and ask the administrators for PMIx in srun."
        return problem("MPI", f"{words}, but the profile says backend: mpi", remedy)
    return ok("MPI", f"{words}: the ranks meet by MPI ({plugin})")


def check_meetings(profile: Profile, tries: Sequence[Mapping[str, Any]], ranks: int) -> list[Finding]:
    """Check whether the ranks have met and added up ones to their number, in each way that was tried.

    Args:
        profile: the profile of the job that the ranks belong to.
        tries: the tries to meet, as jobs/canary.py reports them.
        ranks: the number of ranks of the job.
    """
    good = [one["backend"] for one in tries if _have_met(one, ranks)]
    return [_check_meeting(profile, one, ranks, good) for one in tries]


def best_way(tries: Sequence[Mapping[str, Any]], ranks: int) -> dict[str, str]:
    """Choose the best way to meet that has worked, as the cache has it; empty if none has."""
    good = [one for one in tries if _have_met(one, ranks)]
    best = max(good, key=lambda one: ("none", "gloo", "mpi").index(one["backend"]), default=None)
    return {"backend": best["backend"], "mpi": best["mpi"]} if best else {}


def _have_met(one: Mapping[str, Any], ranks: int) -> bool:
    told = one["ranks"]
    return len(told) == ranks and not one["error"] and all(rank["sum"] == rank["size"] for rank in told)


def _check_meeting(profile: Profile, one: Mapping[str, Any], ranks: int, good: Sequence[str]) -> Finding:
    backend, told = one["backend"], one["ranks"]
    way = {"none": "rank", "gloo": "ranks, Gloo", "mpi": f"ranks, MPI ({one['mpi']})"}[backend]
    if backend in good:
        nodes = ", ".join(dict.fromkeys(rank["node"] for rank in told))
        load = max(rank["seconds_load"] or 0.0 for rank in told)
        if told[0]["size"] == 1:
            return ok(way, f"{format_count(ranks, 'rank')} on {nodes}; TensorFlow loaded in {load:.1f} s")
        join = max(rank["seconds_join"] or 0.0 for rank in told)
        groups = f" in {profile.groups} groups" if profile.groups > 1 else ""
        said = f"{ranks} ranks on {nodes}{groups}: the sum of ones is {told[0]['sum']}, as it should be"
        loaded = f"TensorFlow and Horovod loaded in {load:.1f} s, joined in {join:.1f} s"
        return ok(way, f"{said}; {loaded}")
    sums = [f"rank {rank['rank']} has {rank['sum']}" for rank in told]
    said = one["error"] or f"the sum of ones should be {ranks}: {', '.join(sums) or 'no rank told any'}"
    if not any(rank["error"] for rank in told) and one["log"]:
        said += "\n" + one["log"]
    if not told and "srun: " in one["log"]:
        return problem(way, said, "Mend what srun says; its arguments are those of srun: in the profile.")
    other = {"mpi": "gloo", "gloo": "mpi"}.get(backend)
    if other in good and profile.backend in ("auto", other):
        there = (
            "Nothing need change" if profile.backend == other else f"Write backend: {other} into the profile"
        )
        return note(way, said, f"{there}: that way works.")
    if other in good:
        return problem(way, said, f"Write backend: {other} into the profile: that way works.")
    remedy = {
        "none": "Mend what the message names; the job's Python is that of the profile (python:, setup:).",
        "gloo": "If it is the network: Gloo talks over the address that a node's name stands for; see "
        "docs/ranks.md.",
        "mpi": "Try another mpi: of those that srun offers, or build Horovod with the site's MPI "
        "(docs/install.md).",
    }
    return problem(way, said, remedy[backend])
