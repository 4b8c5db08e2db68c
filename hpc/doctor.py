"""The check-up of ``hpc doctor``: it asks SLURM, submits a canary, and hands on what it finds."""

from __future__ import annotations

import json
import math
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from hpc import batch, findings
from hpc.findings import Finding, Level
from hpc.interrupting import deaf, interruptible
from hpc.known import remember
from hpc.profile import Named, Profile, count
from hpc.results import write_text
from hpc.scheduler import JobState, SchedulerError, Slurm, UnreachableError, plain_environment

POLL_SECONDS = 0.5
ASK_SECONDS = 10.0
"""Between two questions to SLURM."""
FIRST_ASK_SECONDS = 2.0
"""After which it is asked for the first time."""


def examine(
    named: Named,
    folder: Path,
    *,
    slurm: Slurm | None = None,
    canary: bool = True,
    wait_min: float = 10.0,
    note: Callable[[str], None] = lambda text: None,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:
    """Check up on a profile.

    Args:
        named: the profile.
        folder: where runs would be made; a folder in it is made and removed again.
        slurm: to talk to.
        canary: whether to submit a short job that looks around and lets the ranks meet; with a
            profile of this machine, whether to let two ranks meet here.
        wait_min: minutes to wait for that job to start.
        note: hears how that job stands.
        tell: hears of each finding at once.
    """
    folder = folder.resolve()
    if named.profile.cluster == "slurm":
        steps = _of_slurm(named, folder, slurm or Slurm(), canary, wait_min, note)
    else:
        steps = _of_this_machine(named.profile, folder, canary)
    found: list[Finding] = []
    with interruptible(), closing(steps):
        for finding in steps:
            found.append(finding)
            tell(finding)
    return found


# --- asking SLURM


def _of_slurm(
    named: Named, folder: Path, slurm: Slurm, canary: bool, wait_min: float, note: Callable[[str], None]
) -> Generator[Finding, None, None]:
    profile = named.profile
    there = {name for name in (*findings.NEEDED, *findings.ALSO) if shutil.which(name)}
    yield findings.commands(there)
    if not {"sbatch", "scontrol"} <= there:
        return
    try:
        config = slurm.config()
        every = findings.partitions(slurm.output("scontrol", "--all", "--oneliner", "show", "partition"))
    except SchedulerError as error:
        yield findings.problem(
            "controller", str(error), "Try again later; ask the administrators if it stays so."
        )
        return
    cluster, version = config.get("ClusterName", "cluster"), config.get("SLURM_VERSION", "?")
    yield findings.ok("controller", f"SLURM {version} of cluster {cluster} answers")
    yield from findings.partition(profile, every)
    mine = findings.chosen(profile, every)
    if mine and "sinfo" in there:
        names = ",".join(entries["PartitionName"] for entries in mine)
        yield findings.gpus_offered(profile, slurm.output("sinfo", "-h", "-p", names, "-o", "%D|%T|%G"))
    walls = {
        f"MaxTime of {entries['PartitionName']}": entries.get("MaxTime", "UNLIMITED") for entries in mine
    }
    facts: dict[str, Any] = {
        "slurm": version,
        "max_array": batch.max_array_size(config),
        "max_submit": None,
        "max_jobs": None,
    }
    trouble = ""
    if findings.has_accounts(config) and "sacctmgr" in there:
        try:
            limits, found = _accounts(profile, config, mine, slurm)
        except SchedulerError as error:
            trouble = str(error)
        else:
            facts |= {"max_submit": limits.submit, "max_jobs": limits.jobs}
            walls |= limits.walls
            yield from found
    yield from findings.time_limit(
        profile, walls, refused=config.get("EnforcePartLimits", "NO") not in ("NO", "(null)")
    )
    yield findings.arrays(config)
    yield findings.accounting(config, trouble)
    if mine:
        yield findings.preemption(profile, config, mine[0])
    yield findings.requeueing(profile, config)
    yield _plugins_here(profile)
    yield from _storage_here(profile)
    yield from _in_folder(named, folder, slurm, canary, wait_min, note, facts)
    try:
        remember(cluster, named, facts)
    except OSError as error:
        yield findings.note(
            "memory", f"what was found can't be kept for hpc submit: {error}", "Mend that file."
        )


def _accounts(
    profile: Profile, config: Mapping[str, str], mine: Sequence[Mapping[str, str]], slurm: Slurm
) -> tuple[findings.Limits, list[Finding]]:
    user, cluster = pwd.getpwuid(os.getuid()).pw_name, config.get("ClusterName", "")

    def ask(what: str, columns: Sequence[str], *where: str) -> list[dict[str, str]]:
        form = f"format={','.join(columns)}"
        return findings.rows(slurm.output("sacctmgr", "-nP", "show", what, *where, form), columns)

    associations = ask("assoc", findings.ASSOCIATION, "where", f"cluster={cluster}", f"user={user}")
    qualities = ask("qos", findings.QUALITY)
    default = next(iter(ask("user", ("User", "DefaultAccount"), "where", f"name={user}")), {})
    enforce = re.findall(r"\w+", config.get("AccountingStorageEnforce", ""))
    found = findings.account(profile, user, associations, qualities, enforce)
    nothing = findings.Limits(None, None, {}, {})
    if not findings.enforces(enforce, "limits"):
        return nothing, [*found, *findings.job_limits(profile, nothing)]
    limits = findings.limits_of(profile, associations, qualities, default.get("DefaultAccount", ""), mine)
    return limits, [*found, *findings.job_limits(profile, limits)]


def _plugins_here(profile: Profile) -> Finding:
    from hpc.jobs.supervisor import mpi_vendor, offered

    return findings.plugins(profile, offered(), None if profile.python else mpi_vendor())


def _storage_here(profile: Profile) -> Iterator[Finding]:
    from hpc.jobs.canary import reach

    if profile.storage:
        yield findings.storage(profile.storage, reach(profile.storage))


def _in_folder(
    named: Named,
    folder: Path,
    slurm: Slurm,
    canary: bool,
    wait_min: float,
    note: Callable[[str], None],
    facts: dict[str, Any],
) -> Iterator[Finding]:
    """What needs the folder where runs would be made."""
    from hpc.jobs.canary import space as space_of

    try:
        with _scratch(folder) as scratch:
            yield findings.space(str(folder), space_of(scratch))
            script = scratch / "test.sh"
            jobs = max(1, min(named.profile.workers or 4, facts["max_array"]))
            script.write_bytes(
                os.fsencode(batch.script(named.profile, batch.Array("hpc-doctor", 0, jobs, jobs), scratch))
            )
            try:
                slurm.output("sbatch", "--test-only", str(script))
                yield findings.refusal("")
            except UnreachableError as error:
                yield findings.note("submission", f"SLURM could not be asked: {error}", "Try again.")
            except SchedulerError as error:
                yield findings.refusal(str(error))
            if canary:
                yield from _Canary(named, scratch, slurm, note).fly(wait_min, facts)
    except OSError as error:
        remedy = "Name a folder that you may write into, where runs are to be made: --dir."
        yield findings.problem("folder", f"{folder} can't be used: {error}", remedy)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder in ``folder``, gone afterwards, like those above it that were not there before."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    scratch = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        scratch.mkdir(parents=True)
        yield scratch
    finally:
        for _ in range(10):  # a rank that is just ending may write yet
            shutil.rmtree(scratch, ignore_errors=True)
            if not scratch.exists():
                break
            time.sleep(0.5)
        for path in new:
            try:
                path.rmdir()
            except OSError:
                break


class _Canary:
    """One job that tells what the world looks like from a node, and is gone."""

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

    def fly(self, wait_min: float, facts: dict[str, Any]) -> Iterator[Finding]:
        """Submit it, wait for it, and tell what came of it; it is cancelled if we stop waiting."""
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
            yield findings.never_started(self._state, seconds / 60)
        elif not self._report:
            command = batch.python(self._profile)
            yield findings.no_report(
                self._state, self._exit_code(), self._log(), self._folder.parent, command
            )
        else:
            yield from self._findings(seconds, facts)

    def _submit(self) -> None:
        launch = batch.launch(self._profile, 1, [()])
        launch.write(self._folder)
        if self._profile.storage:
            from hpc.jobs.canary import STORAGE

            write_text(self._folder / STORAGE, self._profile.storage)
        self._tick()
        array = batch.Array(self._name, 0, 1, 1)
        script = self._folder / "canary.sh"
        script.write_bytes(os.fsencode(batch.script(self._profile, array, self._folder, verb="canary job")))
        self._is_out = True
        self._job = self._slurm.submit(script)
        self._note(f"canary: job {self._job} is submitted, with a limit of {self._profile.time_min} min")

    def _watch(self, wait_min: float) -> bool:
        """Wait for its report; whether it has come, or the job has ended, in time."""
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
            words = (
                f"{state.state} ({state.reason})"
                if state.state == "PENDING"
                else f"{state.state} on {state.nodes}"
            )
            self._note(f"canary: {words}, {now - begun:.0f} s")
            if state.state == "PENDING":
                hopeless = hopeless + 1 if state.reason in findings.HOPELESS else 0
                if hopeless > 1 or now >= begun + wait_min * 60:
                    return False
            else:
                started = started or now
                if now - started > self._profile.time_min * 60 + 120:
                    return False
        return True

    def _last_look(self) -> bool:
        """The job is over: news may be on its way through the file system."""
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
        """See that it is over. It is named by its name: its number may not have come to us."""
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

    def _findings(self, seconds: float, facts: dict[str, Any]) -> Iterator[Finding]:
        report, profile = self._report, self._named.profile
        node, ranks = report["node"], profile.nodes * profile.ranks_of_node
        parent = self._folder.parent
        yield findings.ok(
            "canary", f"job {self._job} ran on {node}; {seconds:.0f} s with its time in the queue"
        )
        yield findings.ok("shared folder", f"{parent} is the same here and on {node}")
        yield findings.clock(self._skews)
        yield findings.space(f"{parent}, as {node} sees it", report)
        yield from findings.packages(node, report["python"], report["packages"], ranks=ranks)
        if profile.storage and "storage" in report:
            yield _there(findings.storage(profile.storage, report["storage"]), node)
        if "mpi_offered" in report:
            yield _there(findings.plugins(profile, report["mpi_offered"], report["mpi_vendor"]), node)
        yield from findings.meetings(profile, report["tries"], ranks)
        yield findings.gpus_seen(profile, report)
        if not report["done"]:
            said = (
                f"the job ended before it had tried all ({self._state.state if self._state else 'UNKNOWN'})"
            )
            remedy = "Mend what its log says; raise time_min."
            yield findings.problem("canary", f"{said}; {findings.end_of(self._log() or '')}", remedy)
        facts |= findings.works(report["tries"], ranks)


def _there(finding: Finding, node: str) -> Finding:
    return Finding(f"{finding.check} there", finding.level, f"on {node} {finding.found}", finding.remedy)


# --- this machine


def _of_this_machine(profile: Profile, folder: Path, canary: bool) -> Generator[Finding, None, None]:
    from hpc.jobs import canary as look

    facts = look.look(Path("/"), os.environ)
    cpus, devices = facts["cpus"], ", ".join(facts["devices"])
    yield from findings.packages("this machine", facts["python"], facts["packages"], ranks=None)
    yield findings.ok("processors", f"{count(cpus, 'CPU')}; {devices or 'no NVIDIA device'} in /dev")
    yield from _storage_here(profile)
    try:
        with _scratch(folder) as scratch:
            yield findings.space(str(folder), look.space(scratch))
            if canary and facts["packages"]["horovod"] and facts["packages"]["mpi4py"]:
                yield from _meet_here(scratch, facts)
    except OSError as error:
        remedy = "Name a folder that you may write into, where runs are to be made: --dir."
        yield findings.problem("folder", f"{folder} can't be used: {error}", remedy)


def _meet_here(
    folder: Path, facts: dict[str, Any], size: int = 2, limit_seconds: float = 180.0
) -> Iterator[Finding]:
    """Let ranks meet by Gloo, as those of ``hpc run --ranks 2`` do."""
    step = folder / "step.json"
    write_text(
        step,
        json.dumps({"folder": str(folder), "label": "gloo", "threads": 1, "ranks": size, "environment": {}}),
    )
    common = plain_environment(os.environ) | {"PYTHONSAFEPATH": "1", "SUBMITIT_EXECUTOR": "local"}
    command = [sys.executable, "-m", "hpc.jobs", "canary", "rank", str(step)]
    processes = []
    log = folder / "ranks.log"
    try:
        with log.open("w") as out:
            for rank in range(size):
                env = common | {
                    "SUBMITIT_LOCAL_GLOBALID": str(rank),
                    "SUBMITIT_LOCAL_LOCALID": str(rank),
                    "SUBMITIT_LOCAL_NTASKS": str(size),
                }
                processes.append(
                    subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
                )
            end = time.monotonic() + limit_seconds
            while any(process.poll() is None for process in processes) and time.monotonic() < end:
                time.sleep(0.1)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
    ranks = [json.loads(path.read_text()) for path in sorted(folder.glob("rank-gloo-*.json"))]
    error = next((rank["error"] for rank in ranks if rank["error"]), "")
    if not error and len(ranks) < size:
        error = f"{size - len(ranks)} of {size} ranks ended without a word"
    one = {
        "backend": "gloo",
        "mpi": "none",
        "ranks": ranks,
        "error": error,
        "log": log.read_text(errors="replace")[-2000:],
    }
    yield from findings.meetings(Profile(cluster="local", ranks=size), [one], size)
    sees = max((rank["gpus"] or 0 for rank in ranks), default=0)
    if facts["devices"] and ranks and not sees:
        said = f"TensorFlow sees none of {', '.join(facts['devices'])}"
        yield findings.note(
            "GPUs seen", said, "Install `tensorflow[and-cuda]`, or load CUDA; see docs/install.md."
        )
