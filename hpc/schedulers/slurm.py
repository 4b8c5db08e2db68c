"""Talking to SLURM: its commands, what they answer, and what they mean when they don't."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hpc.schedulers import batch
from hpc.schedulers.base import (
    ALIVE,
    Account,
    JobArray,
    JobState,
    Limits,
    QueueSnapshot,
    Scheduler,
    SchedulerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from hpc.profile import Profile

REASONS = {
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "out-of-memory",
    "NODE_FAIL": "node-failure",
    "BOOT_FAIL": "node-failure",
    "CANCELLED": "cancelled",
    "PREEMPTED": "cancelled",
    "REVOKED": "cancelled",
}
"""What a final state of a job means for the trial that was running in it; otherwise error."""


NAMED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT", "PENDING", "REQUEUED", "RUNNING", "SUSPENDED",
)  # fmt: skip
"""States to name to sacct: unless it is told some, it leaves out jobs that never began."""


FIELDS = (
    "JobID", "JobName", "State", "ExitCode", "ElapsedRaw", "AllocTRES", "ConsumedEnergyRaw", "Submit",
    "Start", "End", "NodeList",
)  # fmt: skip
"""What sacct is asked of each job."""


class Slurm(Scheduler):
    """SLURM by its commands.

    Args:
        profile: of the jobs that it is to submit; asking needs none.
        timeout_seconds: for one command.
    """

    name = "slurm"
    outlives = True
    launcher = batch.LAUNCHER
    call: ClassVar[Callable[..., subprocess.CompletedProcess[str]]] = staticmethod(subprocess.run)
    """Starts a command of SLURM, as ``subprocess.run`` does."""

    def __init__(self, profile: Profile | None = None, timeout_seconds: float = 30.0) -> None:
        self.profile = profile
        self._timeout = timeout_seconds
        self.has_accounting = True
        """Whether sacct answers; learnt from its first refusal."""

    def limits(self) -> Limits:
        """As ``scontrol show config`` has them."""
        return Limits(batch.max_array_size(self.config()))

    def render(self, array: JobArray, folder: Path) -> str:
        """The batch script of an array."""
        if self.profile is None:
            raise ValueError("a profile is needed to write a batch script")
        return batch.script(self.profile, array, folder)

    def submit(self, array: JobArray, folder: Path, after: str = "") -> list[str]:
        """Write the batch script of an array beside its launch file, and hand it to sbatch."""
        script = folder / f"{array.name}.sh"
        script.write_bytes(os.fsencode(self.render(array, folder)))  # its paths as the system has them
        number = self.sbatch(script, [f"--dependency=afterany:{after}"] if after else [])
        return [f"{number}_{index}" for index in range(array.size)]

    def requeue(self, job: str) -> None:
        """By ``scontrol requeue``."""
        self._run(["scontrol", "requeue", job])

    def sbatch(self, script: Path, options: Sequence[str] = ()) -> str:
        """Hand a script to sbatch, in the script's folder.

        Returns:
            The number of the job.

        Raises:
            UnreachableError: it does not answer; the job may be in the queue all the same.
            SchedulerError: it refuses, in its words.
        """
        # Typed, since a variable like SBATCH_PARTITION counts more than the script.
        lines = [
            line for line in os.fsdecode(script.read_bytes()).splitlines() if line.startswith("#SBATCH ")
        ]
        written = [option for line in lines for option in shlex.split(line[len("#SBATCH ") :])]
        command = ["sbatch", "--parsable", *written, *options, script.name]
        answer = self._run(command, cwd=script.parent)
        # A site's wrapper may have words of its own around the answer, which is ``job`` or ``job;cluster``.
        found = re.findall(r"^\s*(\d+)(?:;\S+)?\s*$", answer, re.MULTILINE)
        if not found:
            raise UnreachableError(f"sbatch answered {answer!r}, which is no job id.")
        return str(found[-1])

    def queue(self, names: Iterable[str], user: int | None = None) -> QueueSnapshot:
        """How jobs stand, by one squeue for all arrays of these names.

        It asks by name and not by number, so that an array is found whose number nobody has
        written down. Jobs that have ended are known for some minutes (MinJobAge).

        Args:
            names: of the arrays.
            user: who has submitted them all. slurmctld chooses by the user, squeue itself by the
                name: without one, slurmctld sends the jobs of the whole cluster.
        """
        wanted = sorted(names)
        if not wanted:
            return QueueSnapshot()
        command = ["squeue", "--noheader", "--array", "--states=all", f"--name={','.join(wanted)}",
                   "--format=%F|%K|%j|%T|%r|%N|%L|%S"]  # fmt: skip
        if user is not None:
            answers = self._queue([*command, f"--user={user}"])
            found = {job.name for job in answers.jobs.values()}
            if answers.problem or found.issuperset(wanted):
                return answers
        # An array that is thought gone may be submitted again, so here nothing is left to chance:
        # in a container a process may have another user's number than SLURM knows.
        return self._queue(command)

    def _queue(self, command: list[str]) -> QueueSnapshot:
        answers = QueueSnapshot()
        try:
            for line in self._run(command).splitlines():
                if not re.match(r"\d+\|\d+\|(?:[^|]*\|){5}", line):
                    continue  # what a site's wrapper has to say
                array, index, name, state, reason, nodes, left, start = line.split("|", 7)
                job = f"{array}_{index}"
                answers.jobs[job] = JobState(job, name, state, reason, nodes, left=left, start=start)
        except SchedulerError as error:
            answers.problem = str(error)
            return answers
        return answers

    def account(self, names: Iterable[str], since: float) -> QueueSnapshot:
        """How jobs ended that squeue no longer knows, and what they have cost, by one sacct.

        A job that was requeued has a line for each of its runs: the last says how it ended.

        Args:
            names: of the arrays.
            since: when the first was submitted, in seconds since 1970.
        """
        answers = QueueSnapshot()
        if not self.has_accounting:
            return answers
        # A week more costs nothing, names are unique, and clocks may differ, or may have been set since.
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 7 * 86400))
        command = ["sacct", "--noheader", "--parsable2", "--allocations",
                   f"--name={','.join(sorted(names))}", f"--starttime={start}",
                   "--endtime=now", f"--state={','.join(NAMED)}", "--duplicates",
                   f"--format={','.join(FIELDS)}"]  # fmt: skip
        try:
            text = self._run(command)
        except SchedulerError as error:
            if "disabled" in str(error).lower():
                self.has_accounting = False
            else:
                answers.problem = str(error)
            return answers
        answers.knows_ended = True
        runs: dict[str, list[dict[str, str]]] = {}
        for line in text.splitlines():
            if line.count("|") < len(FIELDS) - 1:
                continue
            entries = dict(zip(FIELDS, line.split("|", len(FIELDS) - 1), strict=True))
            for job in _elements(entries["JobID"]):
                runs.setdefault(job, []).append(entries)
        for job, lines in runs.items():
            last = sorted(lines, key=lambda entries: entries["Submit"])[-1]
            state = last["State"].split()[0]
            account = None if state in ALIVE else _account(lines, last)
            answers.jobs[job] = JobState(
                job, last["JobName"], state, "", last["NodeList"], last["ExitCode"], account=account
            )
        return answers

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs or arrays by their numbers.

        Raises:
            SchedulerError: it can't be asked, or refuses.
        """
        if jobs:
            self._run(["scancel", *jobs])

    def config(self) -> dict[str, str]:
        """What ``scontrol show config`` says, by name.

        Raises:
            SchedulerError: it can't be asked.
        """
        entries = {}
        for line in self._run(["scontrol", "show", "config"]).splitlines():
            name, equals, value = line.partition("=")
            if equals:
                entries[name.strip()] = value.strip()
        return entries

    def output(self, *command: str) -> str:
        """What another of its commands prints.

        Raises:
            SchedulerError: it can't be asked, or refuses.
        """
        return self._run(list(command))

    def _run(self, command: list[str], cwd: Path | None = None) -> str:
        if shutil.which(command[0]) is None:
            raise SchedulerError(
                f"{command[0]} is not on the PATH of this machine, so it is no login node of a SLURM "
                "cluster; --on local runs here."
            )
        try:
            answer = self.call(
                command, capture_output=True, text=True, errors="replace", timeout=self._timeout, cwd=cwd,
                env=plain_environment(os.environ),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UnreachableError(
                f"{command[0]} did not answer within {self._timeout:.0f} seconds."
            ) from None
        if answer.returncode:
            words = " ".join((answer.stderr or answer.stdout).split()) or f"exit code {answer.returncode}"
            if "configuration source" in words:
                raise SchedulerError(
                    f"{command[0]} knows of no SLURM cluster on this machine; submit from a login node, or "
                    "run here with --on local."
                )
            kind = UnreachableError if is_unreachable(words) else SchedulerError
            raise kind(f"{command[0]}: {words.removeprefix(command[0] + ': ').removeprefix('error: ')}")
        return answer.stdout


def _account(runs: Sequence[Mapping[str, str]], last: Mapping[str, str]) -> Account:
    """What a job has cost, by sacct's lines for its runs, of which one is the last."""
    held = [_resources(run["AllocTRES"]) for run in runs]
    nodes, cores, gpus = next(((n, c, g) for n, c, g in reversed(held) if c), (0, 0, 0))
    energy = [float(run["ConsumedEnergyRaw"]) for run in runs if run["ConsumedEnergyRaw"].isdigit()]
    energy = [joules for joules in energy if 0 < joules < 2**63]  # 0, or 2^64 - 2: nobody measures it
    elapsed = sum(float(run["ElapsedRaw"]) for run in runs if run["ElapsedRaw"].isdigit())
    waits = [(_time(run["Submit"]), _time(run["Start"]) or _time(run["End"])) for run in runs]
    queued = sum(max(0.0, start - submit) for submit, start in waits if start and submit)
    return Account(elapsed, nodes, cores, gpus, sum(energy) if energy else None, queued, _time(last["End"]))


def _resources(text: str) -> tuple[int, int, int]:
    """Nodes, CPUs and GPUs by SLURM's words: ``billing=8,cpu=8,gres/gpu=2,mem=16G,node=2``."""
    found = dict(part.partition("=")[::2] for part in text.split(","))
    numbers = {name: int(value) for name, value in found.items() if value.isdigit()}
    typed = sum(number for name, number in numbers.items() if name.startswith("gres/gpu:"))
    return numbers.get("node", 0), numbers.get("cpu", 0), numbers.get("gres/gpu", typed)


def _time(text: str) -> float | None:
    """A time of sacct's, which is local, in seconds since 1970; None if it never came."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def _elements(job: str) -> list[str]:
    """Ids of jobs by sacct's words: those that never began are one line, ``12_[0,3-9%2]``."""
    found = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", job)
    if not found:
        return [job] if re.fullmatch(r"\d+_\d+", job) else []
    elements = []
    for part in found[2].split(","):
        first, _, last = part.partition("-")
        elements += [f"{found[1]}_{index}" for index in range(int(first), int(last or first) + 1)]
    return elements


def is_unreachable(words: str) -> bool:
    """Whether a command's complaint means that SLURM does not answer now."""
    return bool(
        re.search(
            r"unable to contact|socket timed out|connection refused|connection timed out|connect failure|"
            r"communication connection failure|zero bytes were transmitted|try again|"
            r"not responding|problem talking to the database|unexpected message",
            words,
            re.IGNORECASE,
        )
    )


def plain_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would change the commands' answers, or one job's for another.

    sbatch typed inside a job would hand that job's size on; squeue reads its format from variables.
    A user's own defaults (SBATCH_ACCOUNT) stay.
    """
    spoils = re.compile(r"(SQUEUE|SACCT)_|SLURM_(?!CONF$|CLUSTERS$)")
    return {name: value for name, value in env.items() if not spoils.match(name)}
