"""What `hpc doctor` looks at: from what SLURM or a node says to findings, and what to change.

Every function here goes from data to findings and asks nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpc import batch
from hpc.profile import Profile, count
from hpc.scheduler import JobState
from hpc.sweeps import did_you_mean

Level = Literal["ok", "note", "problem"]
Rows = Sequence[Mapping[str, str]]

NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")
ALSO = ("sacct", "sacctmgr", "sinfo")
ASSOCIATION = (
    "Account",
    "Partition",
    "QOS",
    "MaxJobs",
    "MaxSubmitJobs",
    "GrpJobs",
    "GrpSubmitJobs",
    "MaxWall",
)
QUALITY = ("Name", "MaxJobsPU", "MaxJobsPA", "GrpJobs", "MaxSubmitPU", "MaxSubmitPA", "GrpSubmit", "MaxWall")
SKEW_SECONDS = 30.0
"""From here on, clocks that differ are a problem."""
HOPELESS = {
    "PartitionTimeLimit": "Lower time_min, or name another partition.",
    "PartitionConfig": "The partition takes no such job: compare the profile with `scontrol show partition`.",
    "PartitionNodeLimit": "Lower nodes, or name another partition.",
    "PartitionDown": "Name another partition: `sinfo` shows those that are up.",
    "PartitionInactive": "Name another partition: `sinfo` shows those that are up.",
    "InvalidAccount": "Name an account of yours: `sacctmgr show assoc user=$USER` lists them.",
    "AccountNotAllowed": "Name an account that the partition allows: see `scontrol show partition`.",
    "InvalidQOS": "Name a QOS of yours: `sacctmgr show assoc user=$USER` lists them.",
    "BadConstraints": "No node has what the profile asks for; compare it with `scontrol show node`.",
    "QOSMaxWallDurationPerJobLimit": "Lower time_min, or name another QOS.",
    "AssocMaxWallDurationPerJobLimit": "Lower time_min, or name another account.",
    "JobHeldUser": "`scontrol release` lets it go.",
    "JobHeldAdmin": "An administrator holds it; ask why.",
    "launch failed requeued held": "The node could not start it; ask the administrators for slurmd's log.",
}
"""Reasons for which a job never starts, and what to do."""
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


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what, in a word or two.
        level: ``ok``, ``note`` for what is worth knowing, ``problem`` for what stops jobs.
        found: what is so.
        remedy: what to change; empty if all is well.
    """

    check: str
    level: Level
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to change."""
    return Finding(check, "ok", found)


def note(check: str, found: str, remedy: str) -> Finding:
    """Worth knowing."""
    return Finding(check, "note", found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    """What stops jobs."""
    return Finding(check, "problem", found, remedy)


def lines(finding: Finding) -> str:
    """A finding as it is shown: its level, what was looked at, what is so; then the remedy."""
    said = finding.found.replace("\n", "\n" + " " * 12)
    remedy = f"\n{'':9}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:8} {finding.check}: {said}{remedy}"


# --- from the login node


def commands(there: Collection[str]) -> Finding:
    """Which of SLURM's commands are on the PATH."""
    missing = [name for name in (*NEEDED, *ALSO) if name not in there]
    words = f"{', '.join(missing)} not on the PATH"
    if set(missing) & set(NEEDED):
        remedy = "Run hpc on a login node of the cluster; or add the folder of SLURM's commands to the PATH."
        return problem("commands", words, remedy)
    if missing:
        return note("commands", words, "hpc can do without, and knows less of why jobs ended.")
    return ok("commands", f"{', '.join((*NEEDED, *ALSO))} are there")


def partitions(text: str) -> dict[str, dict[str, str]]:
    """Entries of each partition by name, from ``scontrol --all --oneliner show partition``."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        pairs: list[tuple[str, str]] = re.findall(r"(\S+?)=(\S*)", line)
        entries = dict(pairs)
        if "PartitionName" in entries:
            found[entries["PartitionName"]] = entries
    return found


def chosen(profile: Profile, there: Mapping[str, dict[str, str]]) -> list[dict[str, str]]:
    """The partitions that jobs of a profile go to: those it names, or the default."""
    if profile.partition is None:
        return [entries for entries in there.values() if entries.get("Default") == "YES"]
    return [there[name] for name in profile.partition.split(",") if name in there]


def partition(profile: Profile, there: Mapping[str, dict[str, str]]) -> list[Finding]:
    """Whether the profile's partition is there, is up, and takes such jobs."""
    names = ", ".join(there)
    if profile.partition is None and not chosen(profile, there):
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
    for entries in chosen(profile, there):
        found += _of_partition(profile, entries)
    return found


def _of_partition(profile: Profile, entries: Mapping[str, str]) -> Iterator[Finding]:
    name = entries["PartitionName"]
    size, most, least = (_number(entries.get(key)) for key in ("TotalNodes", "MaxNodes", "MinNodes"))
    bad = []
    if entries.get("State", "UP") != "UP":
        bad.append((f"is {entries['State']}", "Name another: `sinfo` shows those that are up."))
    if size is not None and profile.nodes > size:
        bad.append((f"has {count(size, 'node')}, and the profile asks for {profile.nodes}", "Lower nodes."))
    elif most is not None and profile.nodes > most:
        bad.append(
            (f"gives a job at most {count(most, 'node')} (MaxNodes), not {profile.nodes}", "Lower nodes.")
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
        yield ok("partition", f"{name} is up and has {count(size or 0, 'node')}")


def time_limit(profile: Profile, limits: Mapping[str, str], *, refused: bool) -> list[Finding]:
    """Whether time_min is within all limits, and leaves time for a checkpoint.

    Args:
        profile: whose jobs.
        limits: in SLURM's words, by where they stand.
        refused: whether sbatch refuses what is above a partition's (EnforcePartLimits); what is
            above a QOS's waits all the same.
    """
    found = []
    for where, text in limits.items():
        most = minutes(text)
        if most is not None and profile.time_min > most:
            gone = refused and where.startswith("MaxTime")
            fate = "sbatch would refuse the jobs" if gone else "the jobs would wait for ever"
            found.append(
                problem(
                    "time limit",
                    f"time_min is {profile.time_min}, and {where} allows {text} ({most:g} min): {fate}",
                    f"Write time_min: {most:.0f} or less; a trial that takes longer goes on in the next job.",
                )
            )  # fmt: skip
    if profile.signal_seconds + 60 >= profile.time_min * 60:  # SLURM may signal a minute early
        found.append(
            note(
                "time limit",
                f"jobs of {profile.time_min} min are told to stop {profile.signal_seconds} s before the end, "
                "or up to a minute earlier: they may do nothing else",
                "Raise time_min, or lower signal_seconds.",
            )
        )  # fmt: skip
    most_words = ", ".join(f"{where} {text}" for where, text in limits.items()) or "no limit"
    return found or [ok("time limit", f"time_min is {profile.time_min}; the most: {most_words}")]


def gpus_offered(profile: Profile, nodes: str) -> Finding:
    """Whether the partition has the GPUs that the profile asks for.

    Args:
        profile: whose jobs.
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
    each = f"{count(wanted, 'GPU')} each"
    if able < profile.nodes:
        said = f"{count(able, 'node')} of the partition have {each}, {profile.nodes} are asked for"
        remedy = (
            f"Lower gpus_per_node to {most} or less" if most else "No node has any: write gpus_per_node: 0"
        )
        return problem("GPUs", said, f"{remedy}, or name another partition.")
    if ready < profile.nodes:
        said = f"of {count(able, 'node')} with {each}, {ready} are neither down nor drained"
        return note("GPUs", said, "Jobs wait until they are back: `sinfo -R` says why they are not.")
    return ok("GPUs", f"{count(able, 'node')} with at least {each}, {ready} in order")


def rows(text: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a command called with ``--parsable2 --noheader``."""
    found = [line.split("|") for line in text.splitlines()]
    return [dict(zip(columns, values, strict=True)) for values in found if len(values) == len(columns)]


def account(
    profile: Profile, user: str, associations: Rows, qualities: Rows, enforce: Collection[str]
) -> list[Finding]:
    """Whether the user may use the profile's account and QOS.

    Args:
        profile: whose jobs.
        user: of the cluster.
        associations: of the user, with the columns of ASSOCIATION.
        qualities: all QOS, with the columns of QUALITY.
        enforce: the words of AccountingStorageEnforce.
    """
    found = []
    accounts = list(dict.fromkeys(row["Account"] for row in associations))
    level: Level = "problem" if enforces(enforce, "associations") else "note"
    lax = "" if level == "problem" else " (not enforced here)"
    if not accounts:
        said = f"user {user} belongs to no account{lax}"
        found.append(Finding("account", level, said, "Ask the administrators for an account."))
    elif profile.account and profile.account.lower() not in [name.lower() for name in accounts]:
        hint = did_you_mean(profile.account, accounts)
        said = f"user {user} does not belong to {profile.account!r}{hint}{lax}"
        found.append(Finding("account", level, said, f"Write account: with one of {', '.join(accounts)}."))
    else:
        what = f"{profile.account}, as the profile says" if profile.account else "the default"
        found.append(ok("account", f"{what}; user {user} belongs to {', '.join(accounts)}"))
    if profile.qos:
        mine = _of_account(profile.account, associations)
        allowed = {name for row in mine for name in row["QOS"].split(",") if name}
        every = {row["Name"] for row in qualities}
        level = "problem" if enforces(enforce, "qos") else "note"
        lax = "" if level == "problem" else " (not enforced here)"
        names = ", ".join(sorted(allowed))
        if every and profile.qos not in every:
            said = f"there is no QOS {profile.qos!r}{did_you_mean(profile.qos, every)}{lax}"
            found.append(Finding("QOS", level, said, f"Write qos: with one of {names}."))
        elif profile.qos not in allowed:
            said = f"user {user} may not use QOS {profile.qos}{lax}"
            found.append(Finding("QOS", level, said, f"Write qos: with one of {names}."))
        else:
            found.append(ok("QOS", f"{profile.qos} may be used"))
    return found


def _of_account(name: str | None, associations: Rows) -> Rows:
    mine = [row for row in associations if name and row["Account"].lower() == name.lower()]
    return mine or associations


def enforces(words: Collection[str], what: str) -> bool:
    """Whether AccountingStorageEnforce has it, by itself or by what implies it."""
    implied = {
        "associations": {"associations", "limits", "qos", "safe", "wckeys", "all"},
        "limits": {"limits", "qos", "safe", "all"},
        "qos": {"qos", "all"},
    }
    return bool(implied[what] & set(words))


@dataclass(frozen=True)
class Limits:
    """How many jobs a user may have, None without a limit.

    Attributes:
        submit: in the queue, elements of arrays counted one by one.
        jobs: that run at once.
        walls: the longest a job may be in SLURM's words, by where that stands.
        sources: where ``submit`` and ``jobs`` stand.
    """

    submit: int | None
    jobs: int | None
    walls: Mapping[str, str]
    sources: Mapping[str, str]


def limits_of(
    profile: Profile, associations: Rows, qualities: Rows, default_account: str, mine: Rows
) -> Limits:
    """The limits of accounts and QOS; the partition's QOS counts before the job's, that before the account's.

    https://slurm.schedmd.com/resource_limits.html

    Args:
        profile: whose jobs.
        associations: of the user, with the columns of ASSOCIATION.
        qualities: all QOS, with the columns of QUALITY.
        default_account: of the user.
        mine: the partitions that the jobs go to.
    """
    names = {"", *(entries["PartitionName"] for entries in mine)}
    of_partitions = {entries.get("QoS", "N/A") for entries in mine}
    order: list[tuple[str, Mapping[str, str]]] = []
    for qos in (of_partitions, {profile.qos or "normal"}):
        order += [(f"QOS {row['Name']}", row) for row in qualities if row["Name"] in qos]
    for row in _of_account(profile.account or default_account, associations):
        if row["Partition"] in names:
            order.append((f"account {row['Account']}", row))
    keys = {
        "submit": ("MaxSubmitPU", "MaxSubmitPA", "GrpSubmit", "MaxSubmitJobs", "GrpSubmitJobs"),
        "jobs": ("MaxJobsPU", "MaxJobsPA", "MaxJobs", "GrpJobs"),
    }
    values: dict[str, int | None] = {}
    sources = {}
    for what, columns in keys.items():
        values[what] = None
        for where, row in order:
            found = {n: key for key in columns if (n := _number(row.get(key))) is not None}
            if found:
                values[what] = min(found)
                sources[what] = f"{found[min(found)]} of {where}"
                break
    walls = {f"MaxWall of {where}": row["MaxWall"] for where, row in order if row.get("MaxWall")}
    first = dict(list(walls.items())[:1])
    return Limits(values["submit"], values["jobs"], first, sources)


def job_limits(profile: Profile, limits: Limits) -> list[Finding]:
    """Whether so many jobs may be submitted and run at once."""
    found, workers = [], profile.workers or 4
    if limits.submit is not None and workers > limits.submit:
        said = f"workers is {workers}, and {limits.submit} jobs may be submitted ({limits.sources['submit']})"
        found.append(problem("jobs", said, f"Write workers: {limits.submit} or less."))
    elif limits.submit is not None and profile.trials_per_job:
        trials = limits.submit * profile.trials_per_job
        said = (
            f"{limits.submit} jobs may be submitted ({limits.sources['submit']}): with trials_per_job: "
            f"{profile.trials_per_job} a sweep of more than {trials} trials would be refused"
        )
        remedy = "For larger sweeps raise trials_per_job; without it there are as many jobs as workers."
        found.append(note("jobs", said, remedy))
    if limits.jobs is not None and workers > limits.jobs:
        said = f"workers is {workers}, but {limits.jobs} jobs run at once ({limits.sources['jobs']})"
        found.append(note("jobs", said, f"Nothing breaks; workers: {limits.jobs} says what is so."))
    if found:
        return found
    words = [
        f"{limits.sources[k]} is {v}" for k, v in (("submit", limits.submit), ("jobs", limits.jobs)) if v
    ]
    most = "; ".join(words) or "no limit on how many are submitted or run"
    return [ok("jobs", f"{count(workers, 'worker')}; {most}")]


def arrays(config: Mapping[str, str]) -> Finding:
    """Whether there are arrays, and how long they may be."""
    size, most = config.get("MaxArraySize", "not told"), batch.max_array_size(config)
    if most == 0:
        remedy = "hpc submits arrays only: ask the administrators for MaxArraySize=1001, the default."
        return problem("arrays", "job arrays are switched off (MaxArraySize=0)", remedy)
    if _number(size) not in (None, most):
        said = f"an array may have {most} jobs (max_array_tasks), though MaxArraySize is {size}"
        remedy = (
            f"Keep to {most} jobs a sweep: workers: {most} at most, and no trials_per_job that makes more."
        )
        return note("arrays", said, remedy)
    return ok("arrays", f"MaxArraySize is {size}; hpc submits longer ones in parts")


def accounting(config: Mapping[str, str], problem: str = "") -> Finding:
    """Whether SLURM keeps accounts.

    Args:
        config: of SLURM.
        problem: what sacct complained of, if it did.
    """
    age = config.get("MinJobAge", "300 sec")
    instead = f"hpc reads squeue and the logs: how jobs ended that are older than {age} comes from logs only"
    if not has_accounts(config):
        remedy = "Nothing need change; `hpc status` within that time sees more."
        return note("accounting", f"off; {instead}", remedy)
    if problem:
        remedy = "Until it answers, `hpc status` may call jobs lost; ask the administrators about slurmdbd."
        return note("accounting", f"on, but it does not answer: {problem}", remedy)
    return ok("accounting", "on: sacct remembers how jobs ended")


def has_accounts(config: Mapping[str, str]) -> bool:
    """Whether SLURM keeps accounts."""
    return config.get("AccountingStorageType", "").rpartition("/")[2] not in ("", "none", "(null)")


def preemption(profile: Profile, config: Mapping[str, str], partition: Mapping[str, str]) -> Finding:
    """What happens to jobs that make room for others.

    Args:
        profile: whose jobs.
        config: of SLURM.
        partition: entries of the one that they go to.
    """
    kind = config.get("PreemptType", "preempt/none").rpartition("/")[2]
    mode = config.get("PreemptMode", "OFF")
    if kind == "partition_prio":
        mode = partition.get("PreemptMode", mode)
    if kind in ("none", "(null)") or mode.upper() == "OFF":
        return ok("preemption", f"jobs are not preempted (PreemptType={kind}, PreemptMode={mode})")
    lost = f"up to {profile.checkpoint_min:g} min of each trial's work are lost (checkpoint_min)"
    if "SUSPEND" in mode.upper():
        return ok("preemption", "preempted jobs are suspended and go on later")
    if "CANCEL" in mode.upper():
        remedy = "After it `hpc resume RUN` goes on; ask the administrators for PreemptMode=REQUEUE."
        return note("preemption", f"preempted jobs are cancelled, and {lost}", remedy)
    if not profile.requeues:
        remedy = "Write requeues: 20; else `hpc resume RUN` goes on."
        return note("preemption", "preempted jobs end, since the profile says requeues: 0", remedy)
    wanted = []
    if "preempt_send_user_signal" not in config.get("SlurmctldParameters", ""):
        wanted.append("SlurmctldParameters=preempt_send_user_signal")
    if kind == "partition_prio" and not _seconds(partition.get("GraceTime", "0")):
        wanted.append("GraceTime=120 on the partition")
    if wanted:
        said = f"preempted jobs are requeued without time for a checkpoint: {lost}"
        remedy = f"Lower checkpoint_min, or ask the administrators for {' and '.join(wanted)}."
        return note("preemption", said, remedy)
    grace = f"{partition['GraceTime']} s" if kind == "partition_prio" else "its QOS's GraceTime"
    said = f"a preempted job has {grace} to write a checkpoint, and is requeued"
    return ok("preemption", said)


def requeueing(profile: Profile, config: Mapping[str, str]) -> Finding:
    """Whether jobs come back into the queue."""
    if not profile.requeues:
        said = "requeues is 0: a job that comes to its time limit, or whose node fails, does not come back"
        return note("requeue", said, "Write requeues: 20; else `hpc resume RUN` goes on.")
    if config.get("JobRequeue") == "0":
        said = "JobRequeue is 0: jobs come back only because hpc asks for it by --requeue"
        return note("requeue", said, "Nothing need change as long as requeues is above 0.")
    wait = config.get("KillWait", "30 sec")
    said = f"jobs come back up to {profile.requeues} times; at its end a job has {wait} to stop (KillWait)"
    return ok("requeue", said)


def plugins(profile: Profile, offered: Sequence[str], vendor: str | None) -> Finding:
    """How ranks would meet, by what ``srun --mpi=list`` offers.

    Args:
        profile: whose ranks.
        offered: names of plugins.
        vendor: of the MPI that mpi4py loads, empty if none; None where it can't be known here.
    """
    from hpc.jobs.supervisor import choose_backend

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


def refusal(words: str) -> Finding:
    """What ``sbatch --test-only`` has said of jobs like the profile's; empty words if it would take them."""
    if not words:
        return ok("submission", "SLURM would take jobs of this profile (sbatch --test-only)")
    remedy = next((text for pattern, text in REFUSALS if re.search(pattern, words, re.IGNORECASE)), "")
    remedy = remedy or "Change the profile until `sbatch --test-only` takes such a job."
    return problem("submission", f"SLURM would refuse jobs of this profile: {words}", remedy)


def minutes(text: str) -> float | None:
    """A time of SLURM's (``1-00:00:00``, ``30:00``) in minutes; None for UNLIMITED and the like."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)??(\d+)(?::(\d+))?", text.strip())
    if not found:
        return None
    days, hours, middle, seconds = (int(part or 0) for part in found.groups())
    if found.group(1) and found.group(4) is None and found.group(2) is None:  # 2-12 is days and hours
        hours, middle = middle, 0
    return days * 1440 + hours * 60 + middle + seconds / 60


def _seconds(text: str) -> float:
    """``30``, or ``00:00:30``."""
    return float(text) if text.isdigit() else 60 * (minutes(text) or 0.0)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


# --- from a node, or this machine


def space(where: str, facts: Mapping[str, Any]) -> Finding:
    """Whether there is room for a run.

    Args:
        where: the folder, and who sees it.
        facts: ``free_bytes`` and ``free_inodes``, None where the file system does not say.
    """
    free, inodes = facts["free_bytes"], facts["free_inodes"]
    files = f", {inodes:,} files" if inodes is not None else ""
    said = f"{free / 2**30:.1f} GB{files} free in {where} (quotas apart)"
    remedy = "Remove what is old, or make runs elsewhere by --dir."
    if free < 2**27 or (inodes is not None and inodes < 1_000):
        return problem("space", said, remedy)
    if free < 2**32 or (inodes is not None and inodes < 50_000):
        return note("space", said, remedy)
    return ok("space", said)


def storage(url: str, error: str) -> Finding:
    """Whether the database in which searches are kept answers.

    Args:
        url: of it, without a password.
        error: as :func:`hpc.jobs.canary.reach` tells it.
    """
    if not error:
        return ok("storage", f"{url} answers")
    if error.startswith(("ModuleNotFoundError", "NoSuchModuleError")):
        remedy = (
            "Install its driver there: `uv sync --extra postgresql`, or what SQLAlchemy names for others."
        )
    else:
        remedy = (
            "Mend what the message names (a password goes into ~/.pgpass, there too); or leave storage: out, "
            "the journal in the folder of a run needs no server."
        )
    return problem("storage", f"{url} can't be used: {error}", remedy)


def packages(
    where: str, python: str, versions: Mapping[str, str | None], *, ranks: int | None
) -> list[Finding]:
    """Whether what training stands on is installed.

    Args:
        where: name of the machine.
        python: its version.
        versions: of packages, None for those that are missing.
        ranks: of a job; None where that is not known yet.
    """
    from hpc.jobs.collectives.horovod import INSTALL

    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    found: list[Finding] = []
    number = tuple(int(part) for part in python.split(".")[:2])
    if not (3, 11) <= number < (3, 13):
        said = f"{where} has Python {python}; TensorFlow 2.18 here takes 3.11 or 3.12"
        found.append(problem("Python", said, "Name another by python: in the profile."))
    missing = [name for name in ("tensorflow", "keras", "numpy") if not versions.get(name)]
    if missing:
        said = f"{', '.join(missing)} not installed for the Python of {where}"
        remedy = "Install the project there (`uv sync`), or name the right Python by python: in the profile."
        found.append(problem("packages", said, remedy))
    missing = [name for name in ("horovod", "mpi4py") if not versions.get(name)]
    if missing and ranks != 1:
        level: Level = "note" if ranks is None else "problem"
        said = (
            f"{', '.join(missing)} not installed for the Python of {where}: no more than one rank per trial"
        )
        found.append(Finding("packages", level, said, INSTALL[0].upper() + INSTALL[1:] + "."))
    return found or [ok("packages", f"{where} has Python {python}, {there}")]


def clock(skews: Mapping[str, tuple[float, float]]) -> Finding:
    """Whether the clocks of nodes are that of this machine.

    Args:
        skews: by how many seconds at least and at most a node's clock is ahead, by its name; below
            0 where it is behind.
    """
    off = {node: max(least, -most, 0.0) for node, (least, most) in skews.items()}
    worst = max(off, key=lambda node: off[node])
    if not off[worst]:
        most_off = max(max(-least, most) for least, most in skews.values())
        said = f"those of {', '.join(skews)} are within {most_off:.1f} s of this machine's"
        return ok("clock", said)
    word = "ahead" if skews[worst][0] > 0 else "behind"
    said = f"that of {worst} is {off[worst]:.1f} s or more {word}"
    remedy = "Ask the administrators to keep the clocks by NTP; until then times in tables are off."
    return Finding("clock", "problem" if off[worst] >= SKEW_SECONDS else "note", said, remedy)


def gpus_seen(profile: Profile, report: Mapping[str, Any]) -> Finding:
    """Whether each rank has a GPU of its own, where GPUs were asked for.

    Args:
        profile: whose job it was.
        report: as jobs/canary.py writes it.
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


def meetings(profile: Profile, tries: Sequence[Mapping[str, Any]], ranks: int) -> list[Finding]:
    """Whether the ranks have met and added up ones to their number, in each way that was tried.

    Args:
        profile: whose ranks.
        tries: as jobs/canary.py reports them.
        ranks: of the job.
    """
    good = [one["backend"] for one in tries if _have_met(one, ranks)]
    return [_meeting(profile, one, ranks, good) for one in tries]


def works(tries: Sequence[Mapping[str, Any]], ranks: int) -> dict[str, str]:
    """The best way to meet that has worked, as ``known`` has it; empty if none has."""
    good = [one for one in tries if _have_met(one, ranks)]
    best = max(good, key=lambda one: ("none", "gloo", "mpi").index(one["backend"]), default=None)
    return {"backend": best["backend"], "mpi": best["mpi"]} if best else {}


def _have_met(one: Mapping[str, Any], ranks: int) -> bool:
    told = one["ranks"]
    return len(told) == ranks and not one["error"] and all(rank["sum"] == rank["size"] for rank in told)


def _meeting(profile: Profile, one: Mapping[str, Any], ranks: int, good: Sequence[str]) -> Finding:
    backend, told = one["backend"], one["ranks"]
    way = {"none": "rank", "gloo": "ranks, Gloo", "mpi": f"ranks, MPI ({one['mpi']})"}[backend]
    if backend in good:
        nodes = ", ".join(dict.fromkeys(rank["node"] for rank in told))
        load = max(rank["seconds_load"] or 0.0 for rank in told)
        if told[0]["size"] == 1:
            return ok(way, f"{count(ranks, 'rank')} on {nodes}; TensorFlow loaded in {load:.1f} s")
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


def never_started(state: JobState | None, waited_min: float) -> Finding:
    """That the canary has not started in time, and why."""
    reason = state.reason if state else "SLURM did not say why"
    said = f"it has not started ({reason}), and was cancelled after {waited_min:.1f} min"
    if reason in HOPELESS:
        return problem("canary", said, f"{HOPELESS[reason]} As it is, such jobs never start.")
    remedy = "If the cluster is only busy, wait longer: --wait 60; --no-canary checks the rest."
    return problem("canary", said, remedy)


def no_report(state: JobState | None, exit_code: str, log: str | None, folder: Path, python: str) -> Finding:
    """That the canary has run and no report of it has come, and what that means.

    Args:
        state: SLURM's last word on it.
        exit_code: ``code:signal``, as far as it is known.
        log: what its log has, as this machine sees it; None if there is none to be seen.
        folder: that it was to write into.
        python: that it ran.
    """
    from hpc.jobs.canary import LOST

    where = f" on {state.nodes}" if state and state.nodes else ""
    code = f", exit code {exit_code}" if exit_code else ""
    how = f"it ended{where} ({state.state if state else 'UNKNOWN'}{code})"
    remedy = (
        "Make runs on a file system that all nodes share: hpc doctor --dir /path/there, and later hpc submit."
    )
    if exit_code.partition(":")[0] == str(LOST):
        return problem("shared folder", f"{how}: the node does not see {folder}", remedy)
    if log is None:
        said = f"{how}, and nothing that it wrote into {folder} is seen here"
        return problem("shared folder", said, remedy)
    remedy = f"Mend what its log says; it ran {python} (python: in the profile) after the lines of setup:."
    return problem("canary", f"{how} without a report; {end_of(log)}", remedy)


def end_of(log: str) -> str:
    """The end of a log, said so."""
    return "\n".join(["its log:", *log.splitlines()[-15:]]) if log else "its log is empty"
