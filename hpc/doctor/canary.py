"""The canary: one short job that tells what the world looks like from a node, and is gone."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpc.doctor.base import Finding, Level, ok, problem
from hpc.doctor.clock import check_clock
from hpc.doctor.files import check_space
from hpc.doctor.gpus import check_gpus_seen
from hpc.doctor.packages import check_packages
from hpc.doctor.ranks import best_way, check_meetings, check_mpi
from hpc.doctor.storage import check_storage
from hpc.interrupting import deaf
from hpc.profile import Named
from hpc.results import write_text
from hpc.schedulers import batch
from hpc.schedulers.base import JobArray, JobState, SchedulerError, UnreachableError
from hpc.schedulers.slurm import Slurm

POLL_SECONDS = 0.5
"""Between two looks at what the job has written."""
ASK_SECONDS = 10.0
"""Between two questions to SLURM."""
FIRST_ASK_SECONDS = 2.0
"""After this time SLURM is asked for the first time."""
HOPELESS_REASONS = {
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


class CanaryJob:
    """One short job that tells what the world looks like from a node.

    Attributes:
        way: how ranks have met, as the cache has it: ``backend`` and ``mpi``; empty if they have not.
    """

    def __init__(self, named: Named, folder: Path, slurm: Slurm, note: Callable[[str], None]) -> None:
        from hpc.jobs.canary import JOB_MIN

        changes = {
            "workers": 1,
            "requeues": 0,
            "signal_seconds": 1,
            "time_min": min(JOB_MIN, named.profile.time_min),
        }
        self._named = named
        self._profile = named.profile.model_copy(update=changes)
        self._folder = folder
        self._slurm = slurm
        self._note = note
        self._name = f"hpc-doctor-{secrets.token_hex(4)}"
        self._job = ""
        self._is_out = False
        self._state: JobState | None = None
        self._report: dict[str, Any] = {}
        self._skews: dict[str, tuple[float, float]] = {}
        self.way: dict[str, str] = {}

    def run(self, wait_min: float) -> Iterator[Finding]:
        """Submit the job, wait for it, and tell what came of it; it is cancelled if we stop waiting.

        Args:
            wait_min: minutes to wait for the job to start.
        """
        begun = time.monotonic()
        in_time = True
        try:
            try:
                self._submit()
            except SchedulerError as error:
                self._is_out = isinstance(error, UnreachableError)  # it may be in the queue all the same
                level: Level = "problem" if self._is_out else "note"
                yield Finding("canary", level, f"not submitted: {error}", "Mend the problems above first.")
                return
            in_time = self._watch(wait_min)
        finally:
            self._end()
        seconds = time.monotonic() - begun
        if not self._report and not in_time and (self._state is None or self._state.state == "PENDING"):
            yield _never_started(self._state, seconds / 60)
        elif not self._report:
            command = batch.python(self._profile)
            yield _no_report(self._state, self._exit_code(), self._log(), self._folder.parent, command)
        else:
            yield from self._findings(seconds)

    def _submit(self) -> None:
        launch = batch.launch(self._profile, 1, [()])
        launch.write(self._folder)
        if self._profile.storage:
            from hpc.jobs.canary import STORAGE

            write_text(self._folder / STORAGE, self._profile.storage)
        self._tick()
        array = JobArray(self._name, 0, 1, 1)
        script = self._folder / "canary.sh"
        script.write_bytes(os.fsencode(batch.script(self._profile, array, self._folder, verb="canary job")))
        self._is_out = True
        self._job = self._slurm.sbatch(script)
        self._note(f"canary: job {self._job} is submitted, with a limit of {self._profile.time_min} min")

    def _watch(self, wait_min: float) -> bool:
        """Wait for the report; tell whether it has come, or the job has ended, in time."""
        begun = time.monotonic()
        ask, hopeless, started = begun + FIRST_ASK_SECONDS, 0, 0.0
        while not self._report.get("done"):
            time.sleep(POLL_SECONDS)
            self._tick()
            now = time.monotonic()
            if now < ask:
                continue
            ask = min(now + ASK_SECONDS, max(now + 1, begun + wait_min * 60))
            answers = self._slurm.queue([self._name])
            if answers.problem:
                self._note(f"canary: {answers.problem}")
                continue
            state = next(iter(answers.jobs.values()), None)
            if state is None or not state.is_alive:
                self._state = state or JobState(self._job, self._name, "UNKNOWN")
                return self._last_look()
            self._state = state
            where = f"({state.reason})" if state.state == "PENDING" else f"on {state.nodes}"
            self._note(f"canary: {state.state} {where}, {now - begun:.0f} s")
            if state.state == "PENDING":
                hopeless = hopeless + 1 if state.reason in HOPELESS_REASONS else 0
                if hopeless > 1 or now >= begun + wait_min * 60:
                    return False
            else:
                started = started or now
                if now - started > self._profile.time_min * 60 + 120:
                    return False
        return True

    def _last_look(self) -> bool:
        """Look for a report of a job that is over: it may be on its way through the file system."""
        for _ in range(10):
            self._tick()
            if self._report.get("done"):
                break
            time.sleep(POLL_SECONDS)
        return True

    def _tick(self) -> None:
        """Write our time, which also makes an NFS client look anew, and read what has come."""
        from hpc.jobs.canary import CLOCK, REPORT

        write_text(self._folder / CLOCK, repr(time.time()))
        try:
            report = json.loads((self._folder / REPORT).read_text())
        except (OSError, ValueError):
            return
        if report == self._report:
            return
        now = time.time()
        for one in (report, *(rank for way in report["tries"] for rank in way["ranks"])):
            # Read after it was told, seen after it was written: that holds with any file system.
            least, most = self._skews.get(one["node"], (-math.inf, math.inf))
            told = one["clock"]["told"]
            most = most if told is None else min(most, one["clock"]["read"] - told)
            self._skews[one["node"]] = (max(least, one["clock"]["read"] - now), most)
        self._report = report

    def _end(self) -> None:
        """See that the job is over. It is cancelled by its name: its number may not have come to us."""
        over = self._state is not None and not self._state.is_alive
        if not self._is_out or over or self._report.get("done"):
            return
        with deaf():
            try:
                self._slurm.cancel([f"--name={self._name}"])
                for _ in range(20):
                    alive = [s for s in self._slurm.queue([self._name]).jobs.values() if s.is_alive]
                    if not alive:
                        break
                    time.sleep(POLL_SECONDS)
            except SchedulerError as error:
                self._note(f"canary: {error} Cancel it by hand: scancel --name={self._name}")

    def _exit_code(self) -> str:
        try:
            text = self._slurm.output("scontrol", "show", "job", "--oneliner", f"{self._job}_0")
        except SchedulerError:
            return ""
        found = re.search(r"\bExitCode=(\d+:\d+)", text)
        return found.group(1) if found else ""

    def _log(self) -> str | None:
        texts = [path.read_text(errors="replace") for path in sorted(self._folder.glob("*_log.out"))]
        return "\n".join(texts).strip() if texts else None

    def _findings(self, seconds: float) -> Iterator[Finding]:
        report, profile = self._report, self._named.profile
        node, ranks = report["node"], profile.nodes * profile.ranks_of_node
        parent = self._folder.parent
        yield ok("canary", f"job {self._job} ran on {node}; {seconds:.0f} s with its time in the queue")
        yield ok("shared folder", f"{parent} is the same here and on {node}")
        yield check_clock(self._skews)
        yield check_space(f"{parent}, as {node} sees it", report)
        yield from check_packages(node, report["python"], report["packages"], ranks=ranks)
        if profile.storage and "storage" in report:
            yield _there(check_storage(profile.storage, report["storage"]), node)
        if "mpi_offered" in report:
            yield _there(check_mpi(profile, report["mpi_offered"], report["mpi_vendor"]), node)
        yield from check_meetings(profile, report["tries"], ranks)
        yield check_gpus_seen(profile, report)
        if not report["done"]:
            said = (
                f"the job ended before it had tried all ({self._state.state if self._state else 'UNKNOWN'})"
            )
            remedy = "Mend what its log says; raise time_min."
            yield problem("canary", f"{said}; {_format_end(self._log() or '')}", remedy)
        self.way = best_way(report["tries"], ranks)


def _there(finding: Finding, node: str) -> Finding:
    return Finding(f"{finding.check} there", finding.level, f"on {node} {finding.found}", finding.remedy)


def _never_started(state: JobState | None, waited_min: float) -> Finding:
    """Say that the canary has not started in time, and why."""
    reason = state.reason if state else "SLURM did not say why"
    said = f"it has not started ({reason}), and was cancelled after {waited_min:.1f} min"
    if reason in HOPELESS_REASONS:
        return problem("canary", said, f"{HOPELESS_REASONS[reason]} As it is, such jobs never start.")
    remedy = "If the cluster is only busy, wait longer: --wait 60; --no-canary checks the rest."
    return problem("canary", said, remedy)


def _no_report(state: JobState | None, exit_code: str, log: str | None, folder: Path, python: str) -> Finding:
    """Say that the canary has run and no report of it has come, and what that means.

    Args:
        state: SLURM's last word on the job.
        exit_code: ``code:signal``, as far as it is known.
        log: what the job's log has, as this machine sees it; None if there is none to be seen.
        folder: the folder that the job was to write into.
        python: the Python that the job ran.
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
    return problem("canary", f"{how} without a report; {_format_end(log)}", remedy)


def _format_end(log: str) -> str:
    """Give the end of a log, with a word before it."""
    return "\n".join(["its log:", *log.splitlines()[-15:]]) if log else "its log is empty"
