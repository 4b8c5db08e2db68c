"""The batch script of a job: it starts the ranks, and starts them again.

It is alone, light, and outlives its ranks: where one is killed, it writes down what happened to
the trial, and the rest goes on in the same allocation without a new wait in the queue.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc.jobs.job_logs import JobLogs, complaint, tee
from hpc.jobs.launch import Launch
from hpc.jobs.launchers import choose_backend, mpi_vendor
from hpc.jobs.launchers.base import Job, JobLauncher
from hpc.jobs.launchers.registry import JOB_LAUNCHERS
from hpc.jobs.node import RankSpec, complete
from hpc.jobs.outcome import MAX_LOSSES, Loss, kills_its_job, records_of
from hpc.jobs.spec import Task
from hpc.results import Records, Run, TrialState
from hpc.results.store import parse


def supervise(
    folder: Path,
    first: int,
    *,
    launchers: Mapping[str, JobLauncher] = JOB_LAUNCHERS,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Work through the trials of this job.

    Args:
        folder: of the launch.
        first: number of the first job of this array within the launch.
        launchers: of which the launch names that of the job.
        sleep: as ``time.sleep``.

    Returns:
        0 unless the job could not work at all.
    """
    # A signal to the whole job is for the ranks, which stop in order; this process goes on.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: None)
    folder = folder.resolve()
    run_folder = folder.parents[1]
    if not (run_folder / "sweep.yaml").is_file():
        print(
            f"{run_folder} is no longer the folder of a run; was it moved? Resume it there.", file=sys.stderr
        )
        return 1
    launch = Launch.read(folder)
    complete(os.environ, launch.environment)
    launcher = launchers[launch.launcher]
    return _Supervisor(folder, run_folder, launch, launcher, first, sleep).carry_out()


class _Supervisor:
    """One job at work."""

    def __init__(
        self,
        folder: Path,
        run_folder: Path,
        launch: Launch,
        launcher: JobLauncher,
        first: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._folder = folder
        self._run_folder = run_folder
        self._launch = launch
        self._launcher = launcher
        self._sleep = sleep
        self._job: Job = launcher.job(os.environ)
        self._number = first + self._job.index
        self._backend = ""
        self._logs = JobLogs(folder, self._job.job_id, is_labelled=launch.ranks > 1)
        self._given_up: set[str] = set()
        self._failed_starts = 0

    def carry_out(self) -> int:
        # A search may hand out a trial to several jobs in turn, and their losses count together.
        run = Run(self._run_folder, job=None if self._launch.asks else self._job.job_id)
        if self._is_given_up(run):
            heard = f"{self._launcher.submitter} was heard late, or twice"
            print(f"The trials of job {self._job.job_id} are with another: {heard}.")
            return 0
        is_anew = "began" in run.jobs.get(self._job.job_id, {})
        self._record(
            "began", job=self._job.job_id, launch=self._launch.number, number=self._number,
            name=self._job.name, restart=self._job.restart, node=self._job.node,
        )  # fmt: skip
        restarted = f"the job was started anew by {self._launcher.scheduler}"
        self._tell_of_lost(run, Loss("restarted", restarted, is_late=True))
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
            code, output = self._step(tasks, label)
            run.refresh()
            hows = self._left(label)
            # A signal that comes before Python listens ends a rank; that is a stop, too.
            if "stopped" in hows or self._launcher.tells_of_a_stop(output):
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
            self._sleep(1)  # the scheduler's own processes may have a word yet
            if code and self._launcher.standing(self._job).is_ending:
                self._put_back()
                return 0  # what it means, the scheduler knows better
            why = self._logs.why(self._launcher.starter, code, output)
            reason = self._launcher.reason_in(output + self._logs.new())
            self._tell_of_lost(run, Loss("died", why, reason), guilty=self._guilty(output, tasks))
            self._put_back()
            if self._attempts(run) > before:
                self._failed_starts = 0
            elif not self._try_another_backend(output) and not self._may_start_again(run):
                self._record("unfit", job=self._job.job_id, error=why)
                return 1
        return 1

    def _may_start_again(self, run: Run) -> bool:
        """Whether ranks that ended before they began a trial are started once more: others could work."""
        self._failed_starts += 1
        return "ready" in run.jobs.get(self._job.job_id, {}) and self._failed_starts <= MAX_LOSSES

    def _is_given_up(self, run: Run) -> bool:
        """Whether the command that submitted this job took it for not submitted, and did so again."""
        array = run.arrays.get(self._job.name, {})
        is_over = "ended" in run.jobs.get(self._job.job_id, {})  # settled, then requeued by hand
        is_anothers = array.get("job", self._job.array) != self._job.array
        return is_over or bool(array.get("dropped")) or is_anothers

    def _guilty(self, output: str, tasks: list[Task]) -> set[str] | None:
        """Ids of the trials of the group whose rank died first; the others are ended with it."""
        groups, rank = self._launch.groups, self._launcher.died_first(output)
        if groups == 1 or rank is None:
            return None
        group = rank // (self._launch.ranks // groups)
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
        why = (
            f"the job was requeued {self._job.restart} times, and the profile allows no more (requeues)"
            if allowed
            else "the job was stopped, and the profile allows no requeue (requeues: 0)"
        )
        for trial in run.trials.values():
            attempt = trial.attempt
            if trial.state == "waiting" and attempt.job_id == self._job.job_id:
                self._record(
                    "failed", trial=trial.trial_id, attempt=max(trial.attempts), reason=reason,
                    error=f"{why}; hpc resume goes on with the trial from its checkpoint",
                    seconds=attempt.seconds,
                )  # fmt: skip
        self._record("unfit", job=self._job.job_id, error=why)
        return 1

    def _leave_what_kills(self, run: Run) -> None:
        """Fail a trial in which the whole job has ended again and again, at the same epoch."""
        most = self._launch.retry.get("node-failure", MAX_LOSSES)
        for trial in run.trials.values():
            if kills_its_job(trial, self._job.job_id, most):
                times = sum(one.job_id == self._job.job_id and one.lost for one in trial.attempts.values())
                why = f"the job ended {times} times in this trial; did a node fail, or was it killed?"
                self._record(
                    "failed", trial=trial.trial_id, attempt=max(trial.attempts), reason="node-failure",
                    error=why,
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
        """Run the ranks once; the exit code of what starts them, and its output."""
        launch, groups = self._launch, self._launch.groups
        backend, mpi = self._choose()
        self._backend = backend
        variables = self._launcher.variables(os.environ, backend, groups)
        mine = launch.worker.but(folder=str(self._run_folder), job_id=self._job.job_id, label=label)
        workers = tuple(mine.but(tasks=tuple(tasks[group::groups])) for group in range(groups))
        path = self._folder / f".{label}.json"
        RankSpec(workers, launch.cwd, variables).write(path)
        command = self._launcher.command(launch, self._job.job_id, mpi, ["rank", str(path)], os.environ)
        print(f"{' '.join(command)}  # {backend}", flush=True)
        self._logs.begin_step()
        try:
            env = {**os.environ, **variables}
            process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, errors="replace")
            lines: list[str] = []
            assert process.stderr is not None
            reader = threading.Thread(target=tee, args=(process.stderr, lines), daemon=True)
            reader.start()
            code = process.wait()
            reader.join(5)
        finally:
            path.unlink(missing_ok=True)
        return code, "".join(lines[-200:])

    def _choose(self) -> tuple[str, str]:
        launch = self._launch
        if launch.ranks == 1:
            return "none", "none"
        if self._backend == "gloo" or launch.backend == "gloo":
            return "gloo", "none"
        return choose_backend(launch.backend, launch.mpi, self._launcher.offered(), mpi_vendor())

    def _try_another_backend(self, output: str) -> bool:
        """Meet by Gloo where MPI did not work and nobody insists on it."""
        if self._backend != "mpi" or self._launch.backend != "auto":
            return False
        output = self._logs.tail() + output
        if not re.search(r"MPI|PMI|could not join", output):
            return False
        self._backend = "gloo"
        self._record("note", text=f"MPI did not work, so the ranks meet by Gloo: {complaint(output)}")
        return True

    def _left(self, label: str) -> list[str]:
        """How the groups of a step left, by their records."""
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
        from hpc.jobs.source import put_back

        job = self._job.job_id
        try:
            put_back(self._run_folder, [job])
        except Exception as error:  # a database that does not answer is no reason to end here
            self._record("note", text=f"what job {job} had of the search waits for `hpc resume`: {error}")

    def _requeue(self, run: Run) -> None:
        """Go back into the queue, unless the job was cancelled, or gets nowhere."""
        job, standing = self._job, self._launcher.standing(self._job)
        if standing.is_ending:
            return
        if job.restart >= self._launch.requeues:
            self._give_up(run, "cancelled" if standing.is_preempted else "timeout")
            return
        self._record("requeued", job=job.job_id, restart=job.restart)
        refused = self._launcher.requeue(job)
        if refused:
            why = f"the job could not be requeued: {refused}. `hpc resume` goes on with it"
            self._record("unfit", job=job.job_id, error=why)
            return
        self._sleep(120)  # the scheduler ends this process

    def _record(self, record: str, **entries: Any) -> None:
        if not (self._run_folder / "sweep.yaml").is_file():
            raise SystemExit(
                f"{self._run_folder} is no longer the folder of a run; was it moved? Resume it there."
            )
        # Opened for one record: rank 0 appends to the same file while the ranks run.
        records = Records(self._run_folder / "records" / f"{self._job.job_id}.jsonl")
        records.append(record, **entries)
        records.close()
