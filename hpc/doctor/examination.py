"""One check-up: the profile, and what the machine and SLURM answer, each asked for once."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc.doctor.accounts import (
    ASSOCIATION_COLUMNS,
    QOS_COLUMNS,
    Limits,
    check_account,
    check_job_limits,
    enforces,
    has_accounts,
    limits_of,
)
from hpc.doctor.base import Finding
from hpc.doctor.cluster import NEEDED_COMMANDS, OPTIONAL_COMMANDS, chosen_partitions
from hpc.doctor.parsing import parse_partitions, parse_rows
from hpc.profile import Named, Profile
from hpc.schedulers.base import SchedulerError
from hpc.schedulers.slurm import Slurm

UNLIMITED = Limits(None, None, {}, {})


@dataclass(frozen=True)
class Accounts:
    """What SLURM's accounts say of a user.

    Attributes:
        limits: how many jobs the user may have.
        findings: what is found of the account, the QOS and the jobs.
        problem: why the accounts could not be asked, or empty.
    """

    limits: Limits
    findings: Sequence[Finding]
    problem: str = ""


@dataclass
class Examination:
    """One check-up of a profile.

    Attributes:
        named: the profile with its name.
        folder: the folder where runs would be made.
        slurm: the SLURM to ask.
        wants_canary: whether ranks shall meet: in a short job of SLURM, or here.
        wait_min: minutes to wait for that job to start.
        note: hears how that job stands.
        scratch: a folder in ``folder``, as long as checks run that need it.
        way: how ranks have met, as the cache has it: ``backend`` and ``mpi``; empty if they have not.
    """

    named: Named
    folder: Path
    slurm: Slurm
    wants_canary: bool
    wait_min: float
    note: Callable[[str], None]
    scratch: Path = field(init=False)
    way: dict[str, str] = field(default_factory=dict)

    @property
    def profile(self) -> Profile:
        """The profile."""
        return self.named.profile

    @cached_property
    def machine(self) -> dict[str, Any]:
        """What there is to see on this machine, as ``hpc.jobs.canary.look`` tells it."""
        from hpc.jobs.canary import look
        from hpc.jobs.launchers import launcher_of

        return look(Path("/"), os.environ, launcher_of(os.environ))

    @cached_property
    def commands(self) -> set[str]:
        """Those of SLURM's commands that are on the PATH."""
        return {name for name in (*NEEDED_COMMANDS, *OPTIONAL_COMMANDS) if shutil.which(name)}

    @cached_property
    def controller_problem(self) -> str:
        """Why SLURM's controller does not answer; empty if it does."""
        try:
            _ = self.config, self.partitions
        except SchedulerError as error:
            return str(error)
        return ""

    @cached_property
    def config(self) -> dict[str, str]:
        """SLURM's configuration."""
        return self.slurm.config()

    @cached_property
    def partitions(self) -> dict[str, dict[str, str]]:
        """The entries of each partition by name."""
        return parse_partitions(self.slurm.output("scontrol", "--all", "--oneliner", "show", "partition"))

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self.config.get("ClusterName", "cluster")

    @property
    def version(self) -> str:
        """The version of SLURM."""
        return self.config.get("SLURM_VERSION", "?")

    @cached_property
    def chosen(self) -> list[dict[str, str]]:
        """The entries of the partitions that the jobs go to."""
        return chosen_partitions(self.profile, self.partitions)

    @cached_property
    def accounts(self) -> Accounts:
        """What SLURM's accounts say; no limits where it keeps none, or does not answer."""
        if not has_accounts(self.config) or "sacctmgr" not in self.commands:
            return Accounts(UNLIMITED, [])
        try:
            return self._ask_accounts()
        except SchedulerError as error:
            return Accounts(UNLIMITED, [], str(error))

    def _ask_accounts(self) -> Accounts:
        user, profile = pwd.getpwuid(os.getuid()).pw_name, self.profile
        cluster = self.config.get("ClusterName", "")

        def ask(what: str, columns: Sequence[str], *where: str) -> list[dict[str, str]]:
            form = f"format={','.join(columns)}"
            return parse_rows(self.slurm.output("sacctmgr", "-nP", "show", what, *where, form), columns)

        associations = ask("assoc", ASSOCIATION_COLUMNS, "where", f"cluster={cluster}", f"user={user}")
        qualities = ask("qos", QOS_COLUMNS)
        default = next(iter(ask("user", ("User", "DefaultAccount"), "where", f"name={user}")), {})
        enforced = re.findall(r"\w+", self.config.get("AccountingStorageEnforce", ""))
        limits = UNLIMITED
        if enforces(enforced, "limits"):
            account = default.get("DefaultAccount", "")
            limits = limits_of(profile, associations, qualities, account, self.chosen)
        found = check_account(profile, user, associations, qualities, enforced)
        return Accounts(limits, [*found, *check_job_limits(profile, limits)])
