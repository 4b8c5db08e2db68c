"""What was submitted, as ``hpc submit`` and ``hpc resume`` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc.sweeps.text import format_count

if TYPE_CHECKING:
    from hpc.submitting import Submission


def print_submission(submission: Submission) -> None:
    """Print what was submitted, and the commands to go on with."""
    run = submission.run
    for text in submission.said:
        print(text)
    print(_format_jobs(submission))
    print(f"How it stands:  hpc status {run.folder} --watch")
    print(f"The results:    hpc table {run.folder}")
    print(f"Stop, go on:    hpc cancel {run.folder};  hpc resume {run.folder}")


def _format_jobs(submission: Submission) -> str:
    run = submission.run
    if submission.job_ids:
        more = f"; {submission.covered} more are with jobs already" if submission.covered else ""
        return (
            f"{run.name}: {format_count(submission.trials, 'trial')} submitted in "
            f"{format_count(submission.jobs, 'job')}, "
            f"SLURM {format_count(len(submission.job_ids), 'array')} {', '.join(submission.job_ids)}{more}."
        )
    if submission.covered:
        return f"Nothing to submit: {submission.covered} trials are with jobs already."
    why = f"; {len(submission.left)} {next(iter(submission.left.values()))}" if submission.left else ""
    return f"Nothing to submit: no trial of {run.folder} is left to train{why}."
