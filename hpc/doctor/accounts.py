"""Accounts and QOS: what a user may use, and how many jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hpc.doctor.base import Finding, Level, note, ok, problem
from hpc.doctor.parsing import Rows, parse_number
from hpc.profile import Profile
from hpc.sweeps import did_you_mean
from hpc.sweeps.text import format_count

ASSOCIATION_COLUMNS = (
    "Account",
    "Partition",
    "QOS",
    "MaxJobs",
    "MaxSubmitJobs",
    "GrpJobs",
    "GrpSubmitJobs",
    "MaxWall",
)

QOS_COLUMNS = (
    "Name",
    "MaxJobsPU",
    "MaxJobsPA",
    "GrpJobs",
    "MaxSubmitPU",
    "MaxSubmitPA",
    "GrpSubmit",
    "MaxWall",
)


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


def check_account(
    profile: Profile, user: str, associations: Rows, qualities: Rows, enforce: Collection[str]
) -> list[Finding]:
    """Check whether the user may use the profile's account and QOS.

    Args:
        profile: the profile of the jobs.
        user: the user's name on the cluster.
        associations: the associations of the user, with the columns of ASSOCIATION_COLUMNS.
        qualities: the rows of all QOS, with the columns of QOS_COLUMNS.
        enforce: the words in AccountingStorageEnforce.
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
    """Tell whether AccountingStorageEnforce has a word, by itself or by what implies it."""
    implied = {
        "associations": {"associations", "limits", "qos", "safe", "wckeys", "all"},
        "limits": {"limits", "qos", "safe", "all"},
        "qos": {"qos", "all"},
    }
    return bool(implied[what] & set(words))


def limits_of(
    profile: Profile, associations: Rows, qualities: Rows, default_account: str, mine: Rows
) -> Limits:
    """Find the limits: the QOS of the partition counts before that of the job, and that before the account.

    https://slurm.schedmd.com/resource_limits.html

    Args:
        profile: the profile of the jobs.
        associations: the associations of the user, with the columns of ASSOCIATION_COLUMNS.
        qualities: the rows of all QOS, with the columns of QOS_COLUMNS.
        default_account: the user's default account.
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
            found = {n: key for key in columns if (n := parse_number(row.get(key))) is not None}
            if found:
                values[what] = min(found)
                sources[what] = f"{found[min(found)]} of {where}"
                break
    walls = {f"MaxWall of {where}": row["MaxWall"] for where, row in order if row.get("MaxWall")}
    first = dict(list(walls.items())[:1])
    return Limits(values["submit"], values["jobs"], first, sources)


def check_job_limits(profile: Profile, limits: Limits) -> list[Finding]:
    """Check whether so many jobs may be submitted and run at once."""
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
    return [ok("jobs", f"{format_count(workers, 'worker')}; {most}")]


def check_accounting(config: Mapping[str, str], problem: str = "") -> Finding:
    """Check whether SLURM keeps accounts.

    Args:
        config: SLURM's configuration.
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
    """Tell whether SLURM keeps accounts."""
    return config.get("AccountingStorageType", "").rpartition("/")[2] not in ("", "none", "(null)")
