"""The check-up: it goes through the registry of checks, and hands on what they find."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from hpc.doctor.base import Finding, problem
from hpc.doctor.examination import Examination
from hpc.doctor.files import scratch_folder
from hpc.doctor.registry import CHECKS, Check
from hpc.interrupting import interruptible
from hpc.profile import Named
from hpc.schedulers.slurm import Slurm


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
        folder: the folder where runs would be made; a folder in it is made and removed again.
        slurm: the SLURM to ask.
        canary: whether to submit a short job that looks around and lets the ranks meet; with a
            profile of this machine, whether to let two ranks meet here.
        wait_min: minutes to wait for that job to start.
        note: hears how that job stands.
        tell: hears of each finding at once.
    """
    examination = Examination(named, folder.resolve(), slurm or Slurm(), canary, wait_min, note)
    findings: list[Finding] = []
    with interruptible(), closing(_run_all(examination)) as steps:
        for finding in steps:
            findings.append(finding)
            tell(finding)
    return findings


def _run_all(examination: Examination) -> Generator[Finding, None, None]:
    for needs_folder, group in groupby(CHECKS, key=lambda check: check.needs_folder):
        checks = list(group)
        if needs_folder:
            yield from _run_in_folder(checks, examination)
        else:
            yield from _run(checks, examination)


def _run(checks: Sequence[Check], examination: Examination) -> Generator[Finding, None, None]:
    for check in checks:
        if check.applies(examination):
            yield from check.run(examination)


def _run_in_folder(checks: Sequence[Check], examination: Examination) -> Generator[Finding, None, None]:
    """Run checks that write into the folder where runs would be made; nothing of them stays."""
    if not any(check.applies(examination) for check in checks):
        return
    folder = examination.folder
    try:
        with scratch_folder(folder) as examination.scratch:
            yield from _run(checks, examination)
    except OSError as error:
        remedy = "Name a folder that you may write into, where runs are to be made: --dir."
        yield problem("folder", f"{folder} can't be used: {error}", remedy)
