"""A SLURM that only remembers: its commands as far as hpc needs them, its state as JSON in one folder.

    slurm = FakeSlurm.install(tmp_path / "slurm", monkeypatch)   # first on the PATH from here on
    slurm.fail("sbatch", "lost")                                 # the next sbatch: queued, answer lost
    slurm.set("101_0", "RUNNING", nodes="n1")                    # jobs do what the test says
    assert slurm.count("squeue") == 1                            # every call is written down

The commands are tiny scripts that import this file under ``python -SE``, so it imports little. Where
they are called by the hundred, ``quick`` answers in the test's own process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "srun")
SHORT = {"J": "job-name", "a": "array", "d": "dependency", "p": "partition", "A": "account"}
FAULTS = {
    "unreachable": "Unable to contact slurm controller (connect failure)",
    "lost": "Socket timed out on send/recv operation",
    "refused": "Invalid partition name specified",
    "disabled": "Slurm accounting storage is disabled",
}
"""What a command says, by the name of the fault; any other text is said as it is."""
BEGINNING: dict[str, Any] = {
    "next": 101,
    "config": {"MaxArraySize": "1001", "ClusterName": "fake", "MinJobAge": "300 sec"},
    "partitions": None,
    "cancelled": "CANCELLED",
    "plugins": ["none", "pmi2", "pmix"],
    "faults": {},
    "arrays": {},
    "steps": [],
}


@contextlib.contextmanager
def opened(folder: str) -> Iterator[dict[str, Any]]:
    """The state, to oneself; written back at the end."""
    with open(f"{folder}/lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = f"{folder}/state.json"
        with open(path) as file:
            text = file.read()
        state = json.loads(text)
        try:
            yield state
        finally:
            after = json.dumps(state)
            if after != text:
                with open(path + ".new", "w") as file:
                    file.write(after)
                os.replace(path + ".new", path)


class FakeSlurm:
    """What a test does with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"

    @classmethod
    def install(cls, folder: Path, monkeypatch: pytest.MonkeyPatch, alone: bool = False) -> FakeSlurm:
        """Make one and put it first on the PATH.

        Args:
            folder: to keep it in.
            monkeypatch: of the test.
            alone: whether nothing else is to be on the PATH.
        """
        slurm = cls(folder)
        slurm.bin.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps(BEGINNING))
        (folder / "calls.log").touch()
        here = os.path.dirname(os.path.abspath(__file__))
        for name in COMMANDS:
            path = slurm.bin / name
            path.write_text(
                f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {here!r})\n"
                f"from fake_slurm import main\nmain({name!r}, sys.argv[1:])\n"
            )
            path.chmod(0o755)
        rest = "" if alone else os.pathsep + os.environ["PATH"]
        monkeypatch.setenv("PATH", str(slurm.bin) + rest)
        monkeypatch.setenv("FAKE_SLURM", str(folder))
        for variable in list(os.environ):
            if variable.startswith(("SBATCH_", "SQUEUE_", "SACCT_", "SLURM_")):
                monkeypatch.delenv(variable)
        return slurm

    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer what ``hpc.schedulers.slurm`` asks without starting processes or waiting for the disk."""
        import subprocess

        from hpc.schedulers.slurm import Slurm

        def run(command: list[str], cwd: object = None, **options: Any) -> Any:
            said = answer(str(self.folder), command[0], command[1:], str(cwd or os.getcwd()))
            return subprocess.CompletedProcess(command, *said)

        monkeypatch.setattr(Slurm, "call", staticmethod(run))
        monkeypatch.setattr(os, "fsync", lambda file: None)

    def change(self, **entries: Any) -> None:
        """Set entries of the state, like ``partitions``."""
        with opened(str(self.folder)) as state:
            state.update(entries)

    def fail(self, command: str, *faults: str, always: bool = False) -> None:
        """Let the next calls of a command fail, one fault each; ``ok`` is a call that works.

        Args:
            command: of SLURM.
            faults: of ``FAULTS``; ``hang``, ``slow``, or what it says.
            always: whether the last one stays.
        """
        with opened(str(self.folder)) as state:
            state["faults"][command] = [*faults, *(["always"] if always else [])]

    def set(self, job: str, state: str, **facts: Any) -> None:
        """Let a job stand so.

        Args:
            job: ``101_0``, or ``101`` for all of the array.
            state: in SLURM's words.
            facts: ``nodes``, ``exit``, ``reason``; ``account`` with fields that sacct has something to
                say in; ``squeue=False`` if squeue knows it no longer,
                ``sacct`` for what sacct says instead, None if it does not know it.
        """
        number, _, index = job.partition("_")
        with opened(str(self.folder)) as all_:
            jobs = all_["arrays"][number]["jobs"]
            for name in [index] if index else list(jobs):
                jobs[name].update(state=state, **facts)

    @property
    def state(self) -> dict[str, Any]:
        """All of it."""
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    @property
    def arrays(self) -> dict[str, dict[str, Any]]:
        """What was submitted, by number."""
        found: dict[str, dict[str, Any]] = self.state["arrays"]
        return found

    def alive(self) -> list[str]:
        """Jobs that wait or run."""
        return [
            f"{number}_{index}"
            for number, array in self.arrays.items()
            for index, job in array["jobs"].items()
            if job["state"] in ("PENDING", "RUNNING")
        ]

    def calls(self, command: str = "") -> list[list[str]]:
        """Every call so far, or those of one command, as typed."""
        lines = (self.folder / "calls.log").read_text().splitlines()
        return [call for call in map(json.loads, lines) if command in ("", call[0])]

    def count(self, command: str) -> int:
        """How often a command was called."""
        return len(self.calls(command))

    def forget_calls(self) -> None:
        """Count anew."""
        (self.folder / "calls.log").write_text("")


class Refusal(Exception):  # noqa: N818
    """What a command says on stderr before it ends with 1."""


def main(command: str, arguments: list[str]) -> None:
    """Be one of the commands."""
    folder = os.environ["FAKE_SLURM"]
    if command == "srun":
        write_down(folder, command, arguments)
        sys.exit(srun(folder, arguments))
    code, said, complaint = answer(folder, command, arguments, os.getcwd())
    sys.stdout.write(said)
    sys.stderr.write(complaint)
    sys.exit(code)


def answer(folder: str, command: str, arguments: list[str], cwd: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it prints on stdout and stderr."""
    write_down(folder, command, arguments)
    handle: Callable[[dict[str, Any], list[str], str], str] = globals()[command]
    try:
        with opened(folder) as state:
            fault = next_fault(state, command)
        if fault in ("hang", "slow"):
            time.sleep(600 if fault == "hang" else 0.3)
        elif fault not in ("", "lost"):
            raise Refusal(FAULTS.get(fault, fault))
        with opened(folder) as state:
            said = handle(state, arguments, cwd)
        if fault == "lost":
            raise Refusal(FAULTS[fault])
    except Refusal as refusal:
        lead = {"sbatch": "Batch job submission failed: ", "squeue": "slurm_load_jobs error: "}
        return 1, "", f"{command}: error: {lead.get(command, '')}{refusal}\n"
    return 0, said, ""


def write_down(folder: str, command: str, arguments: list[str]) -> None:
    """Log a call."""
    with open(f"{folder}/calls.log", "a") as log:
        log.write(json.dumps([command, *arguments]) + "\n")


def next_fault(state: dict[str, Any], command: str) -> str:
    """The fault of this call, if any."""
    waiting = state["faults"].get(command, [])
    if not waiting:
        return ""
    fault: str = waiting[0]
    if waiting[1:] != ["always"]:
        del waiting[0]
    return "" if fault == "ok" else fault


def parsed(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options by their long names, and the rest."""
    options, rest = {}, []
    for argument in arguments:
        if argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            options[name] = value
        elif re.match(r"-[A-Za-z].", argument):
            options[SHORT[argument[1]]] = argument[2:]
        else:
            rest.append(argument)
    return options, rest


def sbatch(state: dict[str, Any], arguments: list[str], cwd: str) -> str:
    """Take a script."""
    typed, rest = parsed(arguments)
    if len(rest) != 1:
        raise Refusal(f"expected one script, got {rest}")
    with open(f"{cwd}/{rest[0]}") as file:
        script = file.read()
    directives = []
    for line in script.splitlines():
        if line.startswith("#SBATCH "):
            directives.append(line[len("#SBATCH ") :].replace("'", ""))
        elif line and not line.startswith("#"):
            break  # sbatch reads none after the first command
    written, _ = parsed(directives)
    # A variable counts more than the script, and less than what is typed: sbatch(1).
    given = {"SBATCH_JOB_NAME": "job-name", "SBATCH_PARTITION": "partition", "SBATCH_ARRAY_INX": "array"}
    by_variable = {option: os.environ[name] for name, option in given.items() if name in os.environ}
    options = {**written, **by_variable, **typed}
    if "parsable" not in typed:
        raise Refusal("hpc reads --parsable answers")
    if state["partitions"] is not None and options.get("partition") not in state["partitions"]:
        raise Refusal(FAULTS["refused"])
    first, last, limit = array_spec(options["array"])
    if last >= int(state["config"]["MaxArraySize"]):
        raise Refusal("Invalid job array specification")
    number = state["next"]
    state["next"] += last - first + 2
    state["arrays"][str(number)] = {
        "name": options["job-name"],
        "options": options,
        "limit": limit,
        "user": str(os.getuid()),
        "cwd": cwd,
        "file": rest[0],
        "script": script,
        "time": time.time(),
        "jobs": {
            str(index): {
                "raw": str(number if index == last else number + 1 + index),
                "state": "PENDING", "reason": "Resources", "nodes": "",
                "exit": "0:0", "restart": 0, "squeue": True,
            }
            for index in range(first, last + 1)
        },
    }  # fmt: skip
    return f"{number}\n"


def array_spec(text: str) -> tuple[int, int, int]:
    """``0-7%2`` as 0, 7, 2."""
    found = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", text)
    if not found:
        raise Refusal(f"Invalid job array specification: {text}")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def squeue(state: dict[str, Any], arguments: list[str], cwd: str) -> str:
    """Tell of the jobs of some names, a line for each."""
    options, _ = parsed(arguments)
    names = options["name"].split(",") if "name" in options else None
    lines = []
    for number, array in state["arrays"].items():
        for index, job in array["jobs"].items():
            over = job["state"] not in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED")
            if not job["squeue"] or (names is not None and array["name"] not in names):
                continue
            if options.get("user", array["user"]) != array["user"]:
                continue
            if over and options.get("states") != "all":
                continue
            fields = {
                "F": number, "K": index, "j": array["name"], "T": job["state"], "r": job["reason"],
                "N": job["nodes"], "L": "1:00:00", "S": "N/A", "A": job["raw"], "i": f"{number}_{index}",
            }  # fmt: skip
            lines.append(re.sub(r"%(\w)", lambda m, f=fields: f[m[1]], options["format"]))  # type: ignore[misc]
    if "noheader" not in options or "array" not in options:
        raise Refusal("hpc asks without a header, and for each job of an array")
    return "".join(f"{line}\n" for line in lines)


def sacct(state: dict[str, Any], arguments: list[str], cwd: str) -> str:
    """Tell of jobs, ended ones too; those that never began are one line of an array."""
    options, _ = parsed(arguments)
    names = options["name"].split(",")
    lines = []
    for number, array in state["arrays"].items():
        if array["name"] not in names:
            continue
        for index, job in array["jobs"].items():
            told = job.get("sacct", job["state"])
            if told is None:
                continue
            fields = {
                "JobID": f"{number}_{index}", "JobName": array["name"], "State": told,
                "ExitCode": job["exit"], "NodeList": job["nodes"] or "None assigned", "ElapsedRaw": "0",
                "AllocTRES": "", "ConsumedEnergyRaw": "0", "Submit": "2026-01-01T00:00:00",
                "Start": "Unknown", "End": "Unknown", **job.get("account", {}),
            }  # fmt: skip
            lines.append("|".join(fields[name] for name in options["format"].split(",")))
    return "".join(f"{line}\n" for line in lines)


def scancel(state: dict[str, Any], arguments: list[str], cwd: str) -> str:
    """End jobs, or whole arrays."""
    options, rest = parsed(arguments)
    names = options["name"].split(",") if "name" in options else []
    for number, array in state["arrays"].items():
        for index, job in array["jobs"].items():
            if (number in rest or f"{number}_{index}" in rest or array["name"] in names) and job["state"] in (
                "PENDING",
                "RUNNING",
            ):
                job["state"] = state["cancelled"]
    return ""


def scontrol(state: dict[str, Any], arguments: list[str], cwd: str) -> str:
    """Show the configuration or a job, or put a job back into the queue."""
    _, rest = parsed(arguments)
    if rest == ["show", "config"]:
        lines = [f"{name:<24}= {value}" for name, value in state["config"].items()]
        return "\n".join(["Configuration data as of 2026-01-01T00:00:00", *lines, ""])
    if rest[:2] != ["show", "job"] and rest[:1] != ["requeue"]:
        raise Refusal(f"unknown: {rest}")
    found = []
    for number, array in state["arrays"].items():
        for index, job in array["jobs"].items():
            # The last job of an array has the array's number, which means all of them.
            if rest[-1] not in (number, job["raw"], f"{number}_{index}"):
                continue
            found.append(
                f"JobId={job['raw']} ArrayJobId={number} ArrayTaskId={index} JobName={array['name']} "
                f"JobState={job['state']} Reason={job['reason']} Restarts={job['restart']}\n"
            )
            if rest[0] == "requeue":
                job.update(state="PENDING", restart=job["restart"] + 1)
    if not found:
        raise Refusal("Invalid job id specified")
    return "" if rest[0] == "requeue" else "".join(found)


def srun(folder: str, arguments: list[str]) -> int:
    """Run the next of the test's ``steps`` in place of the ranks; without one, all trials finish.

    A step is a line of Python over the methods of ``Ranks``.
    """
    with opened(folder) as state:
        if arguments == ["--mpi=list"]:
            sys.stdout.write("\n\t".join(["MPI plugin types are...", *state["plugins"]]) + "\n")
            return 0
        code = state["steps"].pop(0) if state["steps"] else "finish()"
    ranks = Ranks(arguments)
    methods = {name: getattr(ranks, name) for name in dir(ranks) if not name.startswith("_")}
    try:
        exec(code, methods)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


class Ranks:
    """What ranks leave behind, by the file of their step."""

    def __init__(self, arguments: list[str]) -> None:
        with open(arguments[-1]) as file:
            self._step = json.load(file)
        self._options, _ = parsed(arguments)
        self.backend = os.environ["HPC_BACKEND"]
        self._workers, self.environment = self._step["workers"], self._step["environment"]
        self._worker = self._workers[0]
        self.ranks = self._worker["ranks"]
        self.tasks = [task for worker in self._workers for task in worker["tasks"]]

    def record(self, record: str, **entries: Any) -> None:
        """Append to the job's records."""
        path = f"{self._worker['folder']}/records/{self._worker['job_id']}.jsonl"
        with open(path, "a") as file:
            file.write(json.dumps({"record": record, **entries, "time": time.time()}) + "\n")

    def alone(self) -> list[bool]:
        """Which trials are to be trained by themselves."""
        return [task["unpacked"] for task in self.tasks]

    def start(self, *tasks: int, **further: Any) -> None:
        """Begin with some of the trials, by their places in the step; all unless given."""
        for one in [self.tasks[task] for task in tasks] or self.tasks:
            self.record("started", **self._who(one), ranks=1, job=self._worker["job_id"], node="n1",
                        code="", **further)  # fmt: skip

    def groups(self) -> list[list[list[int]]]:
        """Index and attempt of each group's trials."""
        return [[[task["trial"]["index"], task["attempt"]] for task in one["tasks"]] for one in self._workers]

    def finish(self, *tasks: int) -> None:
        """Train some of the trials, by their places in the step; all and leave unless given."""
        for one in [self.tasks[task] for task in tasks] or self.tasks:
            self.record("started", **self._who(one), ranks=1, job=self._worker["job_id"], node="n1",
                        code="")  # fmt: skip
            self.record("finished", **self._who(one), epochs=1, metrics={"val_accuracy": 0.5},
                        best=0.5, seconds=1.0)  # fmt: skip
        if not tasks:
            self.left("done")

    def fail(self, task: int, reason: str = "error", error: str = "ValueError: no") -> None:
        """Record that a trial has failed, as rank 0 does."""
        self.start(task)
        self.record("failed", **self._who(self.tasks[task]), reason=reason, error=error, seconds=1.0)

    def stop(self, task: int) -> None:
        """Stop in the middle of a trial, in order."""
        self.record("stopped", **self._who(self.tasks[task]), why="SIGUSR2", seconds=1.0)
        self.left("stopped")

    def left(self, how: str) -> None:
        """Record that the ranks have left."""
        self.record("left", job=self._worker["job_id"], label=self._worker["label"], how=how)

    def log(self, text: str, rank: int = 0) -> None:
        """Print as a rank does."""
        label = f"{rank:2}: " if "label" in self._options else ""
        with open(self._options["output"], "a") as file:
            file.write("".join(f"{label}{line}\n" for line in text.splitlines()))

    def say(self, text: str) -> None:
        """Say as srun does."""
        sys.stderr.write(text + "\n")

    def end(self, code: int) -> None:
        """End with an exit code."""
        sys.exit(code)

    def _who(self, task: dict[str, Any]) -> dict[str, Any]:
        trial = task["trial"]
        who = {"trial": trial["trial_id"], "attempt": task["attempt"]}
        return {**who, **{name: trial[name] for name in ("index", "params", "seed")}}
