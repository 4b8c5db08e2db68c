"""SLURM: what a job of it knows of itself, and srun, which starts ranks."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hpc.jobs.job_logs import log_of_ranks
from hpc.jobs.launchers.base import Job, JobLauncher, Standing
from hpc.jobs.launchers.variables import RankVariables
from hpc.jobs.node import LauncherError, RankInfo, device

if TYPE_CHECKING:
    from hpc.jobs.launch import Launch

NODE, TASKS = "SLURM_NODEID", "SLURM_STEP_TASKS_PER_NODE"
OF_SRUN = RankVariables(
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NODE, TASKS), ("PMIX_RANK", "HPC_BACKEND")
)
"""By what srun numbers a rank, and by what that knows of it."""
OF_RANK = replace(OF_SRUN, names=tuple(name for name in OF_SRUN.names if name != NODE))
BETWEEN = "between srun and Python: `srun:`, `setup:` and `python:` of the profile"
NODE_FAILURE = re.compile(r"node failure", re.IGNORECASE)
NODES, DOWN = (re.compile(pattern, re.IGNORECASE) for pattern in (r"nodes? ", r" (?:not responding|down)"))


class Slurm(JobLauncher):
    """SLURM, asked by its commands from within a job.

    Args:
        run: as ``subprocess.run``.
        sleep: as ``time.sleep``.
    """

    name = "slurm"
    scheduler = "SLURM"
    submitter = "sbatch"
    starter = "srun"
    between = BETWEEN

    def __init__(
        self,
        run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run = run
        self._sleep = sleep

    def job(self, env: Mapping[str, str]) -> Job:
        """As its variables say."""
        index = env["SLURM_ARRAY_TASK_ID"]
        return Job(
            f"{env['SLURM_ARRAY_JOB_ID']}_{index}",
            env["SLURM_JOB_ID"],
            int(index),
            int(env.get("SLURM_RESTART_COUNT", 0)),
            self.node(env),
            env.get("SLURM_JOB_NAME", ""),
        )

    def standing(self, job: Job) -> Standing:
        """By ``scontrol show job``."""
        text = self._show(job)
        found = re.search(r"JobState=(\w+)", text)
        is_preempted = re.search(r"PreemptTime=\d", text) is not None
        return Standing(found is not None and found[1] != "RUNNING", is_preempted)

    def _show(self, job: Job) -> str:
        """Its answer on a job; empty if it stays silent, as when slurmctld restarts."""
        for _ in range(6):
            text = self._ask("scontrol", "show", "job", "--oneliner", job.job_id).stdout
            if "JobState=" in text:
                return text
            self._sleep(5)
        return ""

    def requeue(self, job: Job) -> str:
        """By ``scontrol requeue``, and the id of the array's element: a raw one may be the whole array's."""
        answer = self._ask("scontrol", "requeue", job.job_id)
        return answer.stderr.strip() or f"exit code {answer.returncode}" if answer.returncode else ""

    def _ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self._run(list(command), capture_output=True, text=True, errors="replace")

    def offered(self) -> list[str]:
        """The plugins that ``srun --mpi=list`` names on this machine."""
        answer = self._ask("srun", "--mpi=list")
        output = answer.stdout + "\n" + answer.stderr
        if "types are" in output:  # a site may say more before that
            output = output[output.find("types are") :]
        return [word for word in re.findall(r"[\w.]+", output) if re.match(r"pmi|none", word)]

    def command(
        self, launch: Launch, job_id: str, mpi: str, arguments: Sequence[str], env: Mapping[str, str]
    ) -> list[str]:
        """An srun."""
        # Jobs of `sbatch --export=NONE` have SLURM_EXPORT_ENV=NONE, by which ranks would lack all that the
        # profile's setup exports. https://slurm.schedmd.com/sbatch.html#OPT_export
        command = ["srun", "--kill-on-bad-exit=1", f"--mpi={mpi}", "--export=ALL", "--open-mode=append"]
        # One log for all ranks, each line with its rank: a thousand ranks don't make a thousand files.
        command += [f"--output={log_of_ranks(job_id)}", f"--ntasks={launch.ranks}"]
        command += ["--label"] if launch.ranks > 1 else []
        # Since SLURM 22.05, srun no longer takes the CPUs per task from the job.
        if "SLURM_CPUS_PER_TASK" in env:
            command.append(f"--cpus-per-task={env['SLURM_CPUS_PER_TASK']}")
        return [*command, *launch.srun, *shlex.split(launch.python), "-u", "-m", "hpc.jobs", *arguments]

    def died_first(self, output: str) -> int | None:
        """The task that srun names before it ends the others, which it says, too."""
        found = re.search(r"\btasks? (\d+)\S*: (?!Terminated)", output)
        return int(found[1]) if found else None

    def tells_of_a_stop(self, output: str) -> bool:
        """By the name of SIGUSR2, which ends a process that does not listen."""
        return "User defined signal 2" in output

    def reason_in(self, output: str) -> str:
        """By what srun and slurmstepd say."""
        reason = super().reason_in(output)
        is_lost = reason == "error" and (NODE_FAILURE.search(output) or _names_lost_nodes(output))
        return "node-failure" if is_lost else reason

    def node(self, env: Mapping[str, str]) -> str:
        """As slurmd calls it."""
        return env.get("SLURMD_NODENAME", "")

    def gpus(self, env: Mapping[str, str]) -> str | None:
        """As SLURM numbers them."""
        return env.get("SLURM_JOB_GPUS")

    def granted_cpus(self, env: Mapping[str, str], local_size: int) -> int:
        """What SLURM says, or a rank's share of what the process may run on."""
        if "SLURM_CPUS_PER_TASK" in env:
            return int(env["SLURM_CPUS_PER_TASK"])
        on_node = env.get("SLURM_CPUS_ON_NODE")
        return device.share_of_cpus(local_size, int(on_node) if on_node is not None else None)

    def rank_info(self, env: Mapping[str, str]) -> RankInfo | None:
        """As srun's variables say."""
        if not self.has_started(env):
            return None
        return numbered_by_srun(env, self.starter, mpi=env["HPC_BACKEND"] == "mpi")


def numbered_by_srun(env: Mapping[str, str], launcher: str, *, mpi: bool) -> RankInfo:
    """Where a process stands among the tasks of its step.

    Args:
        env: ``os.environ``.
        launcher: as :class:`RankInfo` has it, like ``mpi``.

    Raises:
        LauncherError: srun's variables are missing, are no numbers or don't go together.
    """
    # Local ranks come from SLURM: under PMIx on virtual nodes, Horovod's are 0 on every rank.
    missing = [name for name in OF_SRUN.names if name not in env]
    if missing:
        left = [name for name in (*OF_SRUN.marks, *OF_SRUN.names) if name in env]
        raise LauncherError(
            f"this rank was started by srun, but does not find {', '.join(missing)}, so it can't know which "
            f"one it is. Look for what empties the environment {BETWEEN}; or, if you have typed this "
            f"command, `unset {' '.join(left)}`."
        )
    node, counts = OF_SRUN.number(env, NODE), env[TASKS]
    try:
        of_node = _tasks_of_node(counts, node)
    except (ValueError, IndexError):
        raise OF_SRUN.wrong(
            env, f"{TASKS} is {counts!r}, which has no number of tasks for node {node}"
        ) from None
    return replace(OF_RANK.read({**env, TASKS: str(of_node)}, launcher, mpi=mpi), node=node)


def _tasks_of_node(text: str, node: int) -> int:
    """Tasks of one node by SLURM's words: ``2(x3),1`` is 2, 2, 2, 1."""
    counts: list[int] = []
    for part in text.split(","):
        count, _, times = part.partition("(x")
        counts += [int(count)] * int(times.rstrip(")") or 1)
    return counts[node]


def _names_lost_nodes(output: str) -> bool:
    """Whether a line names nodes and then says that they are down; in time that goes by its length."""
    named = ((line, NODES.search(line)) for line in output.splitlines())
    return any(found and DOWN.search(line, found.end()) for line, found in named)
