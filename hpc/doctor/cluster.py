"""The cluster: SLURM's commands, its partitions, and whether it takes such jobs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from hpc.doctor.base import Finding, note, ok, problem
from hpc.doctor.parsing import parse_number
from hpc.profile import Profile
from hpc.schedulers import batch
from hpc.sweeps import did_you_mean
from hpc.sweeps.text import format_count

NEEDED_COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")

OPTIONAL_COMMANDS = ("sacct", "sacctmgr", "sinfo")

REFUSALS = (
    (r"MaxSubmit|GrpSubmit", "Lower workers: so many jobs may not be submitted at once."),
    (r"violates", "Lower workers, nodes or time_min: the account or the QOS allows less."),
    (r"account", "Write an account of yours into the profile: `sacctmgr show assoc user=$USER` lists them."),
    (r"partition", "Write another partition into the profile: `sinfo` lists them."),
    (r"qos", "Write a QOS of yours into the profile: `sacctmgr show assoc user=$USER` lists them."),
    (r"feature|constraint", "Write another constraint into the profile: `sinfo -o '%n %f'` lists features."),
    (r"time limit", "Lower time_min in the profile."),
    (r"node configuration|nodes? count|memory|cpu|gres", "No node has all that the profile asks for: compare "
     "nodes, ranks_per_node × cpus_per_rank, gpus_per_node and mem_gb with `scontrol show node`."),
    (r"option", "An option under sbatch: in the profile is none of this SLURM's: see `sbatch --help`."),
)  # fmt: skip


def check_commands(there: Collection[str]) -> Finding:
    """Check which of SLURM's commands are on the PATH."""
    missing = [name for name in (*NEEDED_COMMANDS, *OPTIONAL_COMMANDS) if name not in there]
    words = f"{', '.join(missing)} not on the PATH"
    if set(missing) & set(NEEDED_COMMANDS):
        remedy = "Run hpc on a login node of the cluster; or add the folder of SLURM's commands to the PATH."
        return problem("commands", words, remedy)
    if missing:
        return note("commands", words, "hpc can do without, and knows less of why jobs ended.")
    return ok("commands", f"{', '.join((*NEEDED_COMMANDS, *OPTIONAL_COMMANDS))} are there")


def chosen_partitions(profile: Profile, there: Mapping[str, dict[str, str]]) -> list[dict[str, str]]:
    """Give the entries of the partitions that jobs go to: those that the profile names, or the default."""
    if profile.partition is None:
        return [entries for entries in there.values() if entries.get("Default") == "YES"]
    return [there[name] for name in profile.partition.split(",") if name in there]


def check_partition(profile: Profile, there: Mapping[str, dict[str, str]]) -> list[Finding]:
    """Check whether the profile's partition is there, is up, and takes such jobs."""
    names = ", ".join(there)
    if profile.partition is None and not chosen_partitions(profile, there):
        return [
            problem(
                "partition", "the profile names none, and the cluster has no default",
                f"Write partition: with one of {names} into the profile.",
            )
        ]  # fmt: skip
    found = []
    for name in (profile.partition or "").split(",") if profile.partition else []:
        if name not in there:
            said = f"there is no partition {name!r}{did_you_mean(name, there)}"
            found.append(problem("partition", said, f"Write partition: with one of {names}."))
    for entries in chosen_partitions(profile, there):
        found += _check_one(profile, entries)
    return found


def _check_one(profile: Profile, entries: Mapping[str, str]) -> Iterator[Finding]:
    name = entries["PartitionName"]
    size, most, least = (parse_number(entries.get(key)) for key in ("TotalNodes", "MaxNodes", "MinNodes"))
    bad = []
    if entries.get("State", "UP") != "UP":
        bad.append((f"is {entries['State']}", "Name another: `sinfo` shows those that are up."))
    if size is not None and profile.nodes > size:
        bad.append(
            (f"has {format_count(size, 'node')}, and the profile asks for {profile.nodes}", "Lower nodes.")
        )
    elif most is not None and profile.nodes > most:
        bad.append(
            (
                f"gives a job at most {format_count(most, 'node')} (MaxNodes), not {profile.nodes}",
                "Lower nodes.",
            )
        )
    if least is not None and profile.nodes < least:
        bad.append((f"wants at least {least} nodes a job (MinNodes)", f"Write nodes: {least}."))
    for what, value in (("Accounts", profile.account), ("Qos", profile.qos)):
        allowed, denied = entries.get(f"Allow{what}", "ALL"), entries.get(f"Deny{what}", "")
        word = "account" if what == "Accounts" else "qos"
        if value and allowed != "ALL" and value not in allowed.split(","):
            bad.append((f"takes jobs of {word} {allowed} only, not {value}", f"Change {word}, or partition."))
        if value and value in denied.split(","):
            bad.append((f"takes no jobs of {word} {value}", f"Change {word}, or partition."))
    for said, remedy in bad:
        yield problem("partition", f"{name} {said}", remedy)
    if not bad:
        yield ok("partition", f"{name} is up and has {format_count(size or 0, 'node')}")


def check_arrays(config: Mapping[str, str]) -> Finding:
    """Check whether there are arrays, and how long they may be."""
    size, most = config.get("MaxArraySize", "not told"), batch.max_array_size(config)
    if most == 0:
        remedy = "hpc submits arrays only: ask the administrators for MaxArraySize=1001, the default."
        return problem("arrays", "job arrays are switched off (MaxArraySize=0)", remedy)
    if parse_number(size) not in (None, most):
        said = f"an array may have {most} jobs (max_array_tasks), though MaxArraySize is {size}"
        remedy = (
            f"Keep to {most} jobs a sweep: workers: {most} at most, and no trials_per_job that makes more."
        )
        return note("arrays", said, remedy)
    return ok("arrays", f"MaxArraySize is {size}; hpc submits longer ones in parts")


def check_submission(words: str) -> Finding:
    """Check what ``sbatch --test-only`` says of jobs like the profile's.

    Args:
        words: the reason why SLURM would refuse them; empty if it would take them.
    """
    if not words:
        return ok("submission", "SLURM would take jobs of this profile (sbatch --test-only)")
    remedy = next((text for pattern, text in REFUSALS if re.search(pattern, words, re.IGNORECASE)), "")
    remedy = remedy or "Change the profile until `sbatch --test-only` takes such a job."
    return problem("submission", f"SLURM would refuse jobs of this profile: {words}", remedy)
