"""What runs as the batch script of a job: it starts the ranks, and starts them again.

It is alone, light, and outlives its ranks: where one is killed, it writes down what happened to
the trial, and the rest goes on in the same allocation without a new wait in the queue.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from hpc.jobs.launch import Launch
from hpc.jobs.node.rank import RankSpec, complete
from hpc.jobs.node.rank_info import for_ranks
from hpc.jobs.outcome import MAX_LOSSES, Loss, kills_its_job, records_of
from hpc.jobs.spec import Task
from hpc.results import Records, Run, TrialState
from hpc.results.store import parse

RESTARTED = "the job was started anew by SLURM"
OUT_OF_MEMORY = re.compile(r"oom[-_ ]kill|out of memory|exceeded (?:job |step )?memory limit", re.IGNORECASE)
NODE_FAILURE = re.compile(r"node failure", re.IGNORECASE)
NODES, DOWN = (re.compile(words, re.IGNORECASE) for words in (r"nodes? ", r" (?:not responding|down)"))
MOST_CHARACTERS = 1_000
"""Of a line of a log in which an error is looked for: users' programs may print any."""


@dataclass(frozen=True)
class Job:
    """This job, as SLURM's environment says.

    Attributes:
        job_id: ``<array>_<index>``, as people type it.
        raw_id: SLURM's own number of the element.
        index: in its array.
        restart: how many times it was requeued.
        node: this one.
    """

    job_id: str
    raw_id: str
    index: int
    restart: int
    node: str

    @staticmethod
    def of(env: Mapping[str, str]) -> Job:
        """Read it from ``os.environ``."""
        index = env["SLURM_ARRAY_TASK_ID"]
        return Job(
            f"{env['SLURM_ARRAY_JOB_ID']}_{index}",
            env["SLURM_JOB_ID"],
            int(index),
            int(env.get("SLURM_RESTART_COUNT", 0)),
            env.get("SLURMD_NODENAME", ""),
        )


def supervise(folder: Path, first: int) -> int:
    """Work through the trials of this job.

    Args:
        folder: of the launch.
        first: number of the first job of this array within the launch.

    Returns:
        0 unless the job could not work at all.
    """
    # A signal to the whole job is for the ranks, which stop in order; this process goes on.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: None)
    job = Job.of(os.environ)
    folder = folder.resolve()
    run_folder = folder.parents[1]
    if not (run_folder / "sweep.yaml").is_file():
        print(
            f"{run_folder} is no longer the folder of a run; was it moved? Resume it there.", file=sys.stderr
        )
        return 1
    launch = Launch.read(folder)
    complete(os.environ, launch.environment)
    return _Supervisor(folder, run_folder, launch, job, first + job.index).carry_out()


class _Supervisor:
    """One job at work."""

    def __init__(self, folder: Path, run_folder: Path, launch: Launch, job: Job, number: int) -> None:
        self._folder = folder
        self._run_folder = run_folder
        self._launch = launch
        self._job = job
        self._number = number
        self._backend = ""
        self._sizes: dict[Path, int] = {}
        self._given_up: set[str] = set()
        self._failed_starts = 0

    def carry_out(self) -> int:
        # A search may hand out a trial to several jobs in turn, and their losses count together.
        run = Run(self._run_folder, job=None if self._launch.asks else self._job.job_id)
        if self._is_given_up(run):
            print(f"The trials of job {self._job.job_id} are with another: sbatch was heard late, or twice.")
            return 0
        is_anew = "began" in run.jobs.get(self._job.job_id, {})
        self._record(
            "began", job=self._job.job_id, launch=self._launch.number, number=self._number,
            name=os.environ.get("SLURM_JOB_NAME", ""), restart=self._job.restart, node=self._job.node,
        )  # fmt: skip
        self._tell_of_lost(run, Loss("restarted", RESTARTED, is_late=True))
        if is_anew:
            self._put_back()
        if self._job.restart > self._launch.requeues:
            return self._give_up(run, "node-failure")
        self._leave_what_kills(run)
        for number in range(1, 10_000):
            run.refresh()
            tasks = self._unfinished(run)
            if not tasks and not self._launch.asks:
                return 0
            label = f"{self._job.job_id}.{self._job.restart}.{number}"
            before = self._attempts(run)
            code, said = self._step(tasks, label)
            run.refresh()
            hows = self._left(label)
            # A signal that comes before Python listens ends a rank; that is a stop, too.
            if "stopped" in hows or "User defined signal 2" in said:
                self._tell_of_lost(run, Loss("stopped", "another group of ranks was stopped"))
                self._put_back()
                if self._launch.worker.inject_fault:
                    continue
                self._requeue(run)
                return 0
            if self._launch.asks and code == 0 and "done" in hows:
                return 0  # nothing is left to ask for
            if code == 0 and self._attempts(run) > before:
                continue
            time.sleep(1)  # slurmstepd may have a word yet
            if code and self._is_ending():
                self._put_back()
                return 0  # by cancel, time limit, preemption, a node: what it means, SLURM knows better
            reason, guilty = _reason(said + self._new_in_logs()), self._guilty(said, tasks)
            self._tell_of_lost(run, Loss("died", self._why(code, said), reason), guilty=guilty)
            self._put_back()
            if self._attempts(run) > before:
                self._failed_starts = 0
            elif not self._try_another_backend(said) and not self._may_start_again(run):
                self._record("unfit", job=self._job.job_id, error=self._why(code, said))
                return 1
        return 1

    def _may_start_again(self, run: Run) -> bool:
        """Whether ranks that ended before they began a trial are started once more: others could work."""
        self._failed_starts += 1
        return "ready" in run.jobs.get(self._job.job_id, {}) and self._failed_starts <= MAX_LOSSES

    def _is_given_up(self, run: Run) -> bool:
        """Whether the command that submitted this job took it for not submitted, and did so again."""
        array = run.arrays.get(os.environ.get("SLURM_JOB_NAME", ""), {})
        mine = self._job.job_id.partition("_")[0]
        is_over = "ended" in run.jobs.get(self._job.job_id, {})  # settled, then requeued by hand
        return is_over or bool(array.get("dropped")) or array.get("job", mine) != mine

    def _show(self) -> str:
        """What SLURM says of this job; empty if it stays silent, as when slurmctld restarts."""
        for _ in range(6):
            text = _output(["scontrol", "show", "job", "--oneliner", self._job.job_id])
            if "JobState=" in text:
                return text
            time.sleep(5)
        return ""

    def _is_ending(self) -> bool:
        found = re.search(r"JobState=(\w+)", self._show())
        return found is not None and found[1] != "RUNNING"

    def _guilty(self, said: str, tasks: list[Task]) -> set[str] | None:
        """Ids of the trials of the group whose rank died first; srun ends the others with it."""
        groups = self._launch.groups
        found = re.search(r"\btasks? (\d+)\S*: (?!Terminated)", said)
        if groups == 1 or not found:
            return None
        group = int(found[1]) // (self._launch.ranks // groups)
        return {task.trial.trial_id for task in tasks[group::groups]}

    def _unfinished(self, run: Run) -> list[Task]:
        """This job's trials that are to be trained."""
        return [
            Task.next_of(trial)
            for trial in self._launch.trials(self._number, run)
            if trial.state not in ("finished", "pruned") and not self._is_done_with(trial)
        ]

    def _is_done_with(self, trial: TrialState) -> bool:
        """Whether a trial has failed in this launch, and once too often."""
        if trial.trial_id in self._given_up:
            return True
        mine = [a for a in trial.attempts.values() if a.job_id == self._job.job_id and a.state == "failed"]
        if trial.state != "failed" or not mine:
            return False
        reason = trial.attempt.reason
        if reason == "out-of-memory":
            return True  # it would need more than this job has
        return sum(a.reason == reason for a in mine) > self._launch.retry.get(reason, 0)

    def _give_up(self, run: Run, reason: str) -> int:
        """Fail the trials that the job was stopped in, since it may not be started again."""
        allowed = self._launch.requeues
        words = (
            f"the job was requeued {self._job.restart} times, and the profile allows no more (requeues)"
            if allowed
            else "the job was stopped, and the profile allows no requeue (requeues: 0)"
        )
        for trial in run.trials.values():
            attempt = trial.attempt
            if trial.state == "waiting" and attempt.job_id == self._job.job_id:
                self._record(
                    "failed", trial=trial.trial_id, attempt=max(trial.attempts), reason=reason,
                    error=f"{words}; hpc resume goes on with the trial from its checkpoint",
                    seconds=attempt.seconds,
                )  # fmt: skip
        self._record("unfit", job=self._job.job_id, error=words)
        return 1

    def _leave_what_kills(self, run: Run) -> None:
        """Fail a trial in which the whole job has ended again and again, at the same epoch."""
        most = self._launch.retry.get("node-failure", MAX_LOSSES)
        for trial in run.trials.values():
            if kills_its_job(trial, self._job.job_id, most):
                times = sum(one.job_id == self._job.job_id and one.lost for one in trial.attempts.values())
                words = f"the job ended {times} times in this trial; did a node fail, or was it killed?"
                self._record(
                    "failed", trial=trial.trial_id, attempt=max(trial.attempts), reason="node-failure",
                    error=words,
                    seconds=trial.attempt.seconds,
                )  # fmt: skip
                self._given_up.add(trial.trial_id)
        run.refresh()

    def _attempts(self, run: Run) -> int:
        if self._launch.asks:
            mine = [a for trial in run.trials.values() for a in trial.attempts.values()]
            return sum(attempt.job_id == self._job.job_id for attempt in mine)
        return sum(len(trial.attempts) for trial in self._launch.trials(self._number, run))

    def _step(self, tasks: list[Task], label: str) -> tuple[int, str]:
        """Run the ranks once; srun's exit code, and what it said."""
        launch, groups = self._launch, self._launch.groups
        backend, mpi = self._choose()
        self._backend = backend
        variables = for_ranks(os.environ, backend, groups)
        mine = launch.worker.but(folder=str(self._run_folder), job_id=self._job.job_id, label=label)
        workers = tuple(mine.but(tasks=tuple(tasks[group::groups])) for group in range(groups))
        path = self._folder / f".{label}.json"
        RankSpec(workers, launch.cwd, variables).write(path)
        command = srun(launch, self._job.job_id, mpi, path)
        print(f"{' '.join(command)}  # {backend}", flush=True)
        self._sizes = {path: path.stat().st_size for path in self._logs()}
        try:
            env = {**os.environ, **variables}
            process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, errors="replace")
            said: list[str] = []
            assert process.stderr is not None
            reader = threading.Thread(target=_tee, args=(process.stderr, said), daemon=True)
            reader.start()
            code = process.wait()
            reader.join(5)
        finally:
            path.unlink(missing_ok=True)
        return code, "".join(said[-200:])

    def _choose(self) -> tuple[str, str]:
        launch = self._launch
        if launch.ranks == 1:
            return "none", "none"
        if self._backend == "gloo" or launch.backend == "gloo":
            return "gloo", "none"
        return choose_backend(launch.backend, launch.mpi, offered(), mpi_vendor())

    def _try_another_backend(self, said: str) -> bool:
        """Meet by Gloo where MPI did not work and nobody insists on it."""
        if self._backend != "mpi" or self._launch.backend != "auto":
            return False
        words = self._log_tail() + said
        if not re.search(r"MPI|PMI|could not join", words):
            return False
        self._backend = "gloo"
        self._record("note", text=f"MPI did not work, so the ranks meet by Gloo: {_complaint(words)}")
        return True

    def _left(self, label: str) -> list[str]:
        """How the groups of a step said that they left."""
        found = []
        for path in (self._run_folder / "records").glob(f"{self._job.job_id}*.jsonl"):
            for line in path.read_bytes().splitlines():
                if line.startswith(b'{"record": "left"'):
                    record = parse(line)
                    if record.get("label") == label:
                        found.append(str(record["how"]))
        return found

    def _tell_of_lost(self, run: Run, loss: Loss, *, guilty: set[str] | None = None) -> None:
        """Record of this job's trials that are running, but no longer, what became of them.

        Args:
            run: as read; read on afterwards.
            loss: how the ranks came to their end.
            guilty: ids of the trials of the group whose rank died first, if that is known.
        """
        most = self._launch.retry.get("node-failure", MAX_LOSSES)
        beside = replace(loss, how="beside", why="a rank of another group was killed")
        for trial in list(run.trials.values()):  # others may begin trials meanwhile
            for number, attempt in trial.attempts.items():
                if attempt.state != "running" or attempt.job_id != self._job.job_id:
                    continue
                is_beside = guilty is not None and trial.trial_id not in guilty and not self._launch.asks
                mine = beside if is_beside else loss
                for kind, entries in records_of(
                    trial, number, mine, uses_ask_tell=self._launch.asks, most=most
                ):
                    self._record(kind, **entries)
        run.refresh()

    def _put_back(self) -> None:
        """Let a search hand out again what this job's ranks had of it, to whoever asks first."""
        if not self._launch.asks:
            return
        from hpc.jobs.source.study import put_back

        job = self._job.job_id
        try:
            put_back(self._run_folder, [job])
        except Exception as error:  # a database that does not answer is no reason to end here
            self._record("note", text=f"what job {job} had of the search waits for `hpc resume`: {error}")

    def _why(self, code: int, said: str) -> str:
        """A sentence on why srun ended, then the ends of the logs."""
        tail = self._log_tail()
        error = _last_error(tail)
        lines = [line for line in said.splitlines() if "task" in line or "rror:" in line]
        words = error or (lines[0] if lines else f"srun ended with exit code {code}")
        return "\n".join([words, *lines[:10], tail])

    def _logs(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._job.job_id}_*log.out"))

    def _new_in_logs(self) -> str:
        """What has been written into the job's logs, its own included, since the step began."""
        return "\n".join(self._new_in(path) for path in self._logs())

    def _new_in(self, path: Path) -> str:
        with path.open("rb") as file:
            file.seek(self._sizes.get(path, 0))
            return file.read().decode(errors="replace")

    def _log_tail(self, lines: int = 25) -> str:
        """The new ends of what the ranks have said: of those that tell an error, if some do."""
        path = self._folder / log_of_ranks(self._job.job_id)
        text = self._new_in(path) if path.exists() else ""
        said: dict[int, list[str]] = {}
        for line in text.splitlines():
            label = re.match(r" *(\d+): ?", line) if self._launch.ranks > 1 else None
            said.setdefault(int(label[1]) if label else 0, []).append(line[label.end() if label else 0 :])
        texts = {rank: "\n".join(said[rank][-lines:]) for rank in sorted(said)}
        telling = {rank: text for rank, text in texts.items() if "Error" in text} or texts
        return "\n".join(f"rank {rank}:\n{text}" for rank, text in list(telling.items())[:2])

    def _requeue(self, run: Run) -> None:
        """Go back into the queue, unless the job was cancelled, or gets nowhere."""
        job = self._job
        state = self._show()
        if state and "JobState=RUNNING" not in state:
            return
        if job.restart >= self._launch.requeues:
            preempted = re.search(r"PreemptTime=\d", state)
            self._give_up(run, "cancelled" if preempted else "timeout")
            return
        self._record("requeued", job=job.job_id, restart=job.restart)
        command = ["scontrol", "requeue", job.job_id]
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if answer.returncode:
            words = f"the job could not be requeued: {answer.stderr.strip()}. `hpc resume` goes on with it"
            self._record("unfit", job=job.job_id, error=words)
            return
        time.sleep(120)  # SLURM ends this process

    def _record(self, record: str, **entries: Any) -> None:
        if not (self._run_folder / "sweep.yaml").is_file():
            raise SystemExit(
                f"{self._run_folder} is no longer the folder of a run; was it moved? Resume it there."
            )
        # Opened for one record: rank 0 appends to the same file while the ranks run.
        records = Records(self._run_folder / "records" / f"{self._job.job_id}.jsonl")
        records.append(record, **entries)
        records.close()


def srun(launch: Launch, job_id: str, mpi: str, step: Path | str) -> list[str]:
    """The command that starts the ranks.

    Args:
        launch: of the job.
        job_id: for the names of logs.
        mpi: the value of ``--mpi``.
        step: the file of the step.
    """
    # Jobs of `sbatch --export=NONE` have SLURM_EXPORT_ENV=NONE, by which ranks would lack all that the
    # profile's setup exports. https://slurm.schedmd.com/sbatch.html#OPT_export
    command = ["srun", "--kill-on-bad-exit=1", f"--mpi={mpi}", "--export=ALL", "--open-mode=append"]
    # One log for all ranks, each line with its rank: a thousand ranks don't make a thousand files.
    command += [f"--output={log_of_ranks(job_id)}", f"--ntasks={launch.ranks}"]
    command += ["--label"] if launch.ranks > 1 else []
    # Since SLURM 22.05, srun no longer takes the CPUs per task from the job.
    if "SLURM_CPUS_PER_TASK" in os.environ:
        command.append(f"--cpus-per-task={os.environ['SLURM_CPUS_PER_TASK']}")
    return [*command, *launch.srun, *shlex.split(launch.python), "-u", "-m", "hpc.jobs", "rank", str(step)]


def log_of_ranks(job_id: str) -> str:
    """The name of the file that all ranks of a job print into."""
    return f"{job_id}_ranks_log.out"


def choose_backend(backend: str, mpi: str, offered: Sequence[str], vendor: str) -> tuple[str, str]:
    """How several ranks meet, and the value of ``srun --mpi``.

    Open MPI 5 speaks PMIx only, and MPICH and Intel MPI both PMIx and PMI-2; where the site's srun
    offers nothing that our MPI speaks, or there is no MPI, it is Gloo.

    Args:
        backend: ``auto``, ``mpi`` or ``gloo``.
        mpi: a plugin of SLURM's by name, or ``auto``.
        offered: names of SLURM's plugins, as ``srun --mpi=list`` has them.
        vendor: of the MPI that mpi4py loads, empty if there is none.

    Returns:
        ``mpi`` or ``gloo``, and the plugin.
    """
    if backend == "gloo":
        return "gloo", "none"
    if mpi != "auto":
        return "mpi", mpi
    pmix = sorted((name for name in offered if name.startswith("pmix")), key=lambda n: (n != "pmix", n))
    pmi2 = [name for name in offered if name == "pmi2"]
    spoken = pmix if vendor == "Open MPI" else [*pmix, *pmi2]
    if vendor and spoken:
        return "mpi", spoken[0]
    if backend == "mpi":
        return "mpi", (pmix or pmi2 or ["pmix"])[0]
    return "gloo", "none"


def offered() -> list[str]:
    """The plugins that ``srun --mpi=list`` names on this machine."""
    answer = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True)
    said = answer.stdout + "\n" + answer.stderr
    said = said[said.find("types are") :] if "types are" in said else said  # a site may say more before that
    return [word for word in re.findall(r"[\w.]+", said) if re.match(r"pmi|none", word)]


def mpi_vendor() -> str:
    """Whose MPI mpi4py loads; empty if it loads none."""
    code = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.get_vendor()[0])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    words = answer.stdout.strip().splitlines()[-1:] if answer.returncode == 0 else []
    return "".join(words).strip()


def _reason(said: str) -> str:
    if OUT_OF_MEMORY.search(said):
        return "out-of-memory"
    return "node-failure" if NODE_FAILURE.search(said) or _names_lost_nodes(said) else "error"


def _names_lost_nodes(said: str) -> bool:
    """Whether a line names nodes and then says that they are down; in time that goes by its length."""
    named = ((line, NODES.search(line)) for line in said.splitlines())
    return any(found and DOWN.search(line, found.end()) for line, found in named)


def _tee(stream: IO[str], said: list[str]) -> None:
    with stream:
        for line in stream:
            sys.stderr.write(line)
            sys.stderr.flush()
            said.append(line)


def _last_error(text: str) -> str:
    """The last line of a log that names an error, without its traceback."""
    lines = [
        line
        for line in text.splitlines()
        if re.match(r"[\w.]*(?:Error|Exception)\b.*:", line[:MOST_CHARACTERS])
    ]
    return lines[-1] if lines else ""


def _complaint(text: str) -> str:
    """What a log or srun complains of, in one line."""
    lines = [line for line in text.splitlines() if "rror:" in line]
    return _last_error(text) or (lines[0] if lines else "no reason was given")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
