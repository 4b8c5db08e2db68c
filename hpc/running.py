"""Carrying out a sweep: plan it, submit workers, watch them, say how it ended."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hpc import profile as profiles
from hpc.jobs import stored
from hpc.jobs.check import check
from hpc.jobs.node import device, find_rank_info
from hpc.local_run import LocalRun
from hpc.mpirun import follow, led
from hpc.outcome import Outcome, View
from hpc.profile import Named, Resources
from hpc.results import Run, moments
from hpc.sweeps import Sweep, SweepError


def plan(
    sweep: Sweep, named: Named, *, workers: int | None = None, ranks: int | None = None
) -> tuple[Sweep, Resources]:
    """Check everything that can be checked before a run starts on this machine.

    Returns:
        The sweep with its defaults filled in, and what the run will take of the machine.

    Raises:
        SweepError: with every problem found.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
    """
    place = find_rank_info(os.environ)
    profile = named.profile
    if place.launcher == "mpirun":
        if workers not in (None, 1) or ranks not in (None, place.size):
            raise SweepError(
                f"mpirun has started {place.size} ranks, which make one worker of {place.size} ranks; "
                "leave --workers and --ranks out."
            )
        cpus = device.available_cpus() // place.local_size
        resources = Resources("mpirun", 1, place.size, max(1, cpus), measure=profile.measure)
    else:
        resources = profiles.resources(profile, workers=workers, ranks=ranks)
    return check(sweep, resources.ranks), resources


def run(
    sweep: Sweep,
    *,
    on: str = "local",
    folder: str | Path | None = None,
    workers: int | None = None,
    ranks: int | None = None,
    view: View | None = None,
    profiles_file: Path | None = None,
    inject_fault: str = "",
    measure: bool = False,
    storage: str | None = None,
    mixed_code: bool = False,
    began: float | None = None,
) -> Outcome:
    """Carry out a sweep to its end, or go on with it: what is finished stays as it is.

    Args:
        sweep: as ``sweeps.load`` or ``sweeps.parse`` gives it.
        on: name of a profile.
        folder: of the run; ``runs/<name of the sweep>`` unless given.
        workers: jobs at once, instead of the profile's.
        ranks: per job, instead of the profile's.
        view: what shows progress; only what goes wrong, on standard error, unless given.
        profiles_file: a file of profiles that counts before all others.
        inject_fault: as ``WorkerSpec.inject_fault``.
        measure: whether to take the time of what steps wait for, as ``measure`` of a profile.
        storage: URL of a database for the study of a search, instead of the profile's.
        mixed_code: whether to go on though the user's code or data have changed since trials were trained.
        began: when the command was typed, by ``results.moments.uptime``; now unless given.

    Raises:
        SweepError: the sweep can't be carried out as written.
        RunError: the folder holds another sweep or something else, or somebody is at it.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
        SchedulerError: SLURM refuses, or does not answer.
    """
    named = profiles.with_storage(profiles.find(on, [sweep.folder], profiles_file), storage)
    if measure:
        named = replace(named, profile=named.profile.model_copy(update={"measure": True}))
    path = Path(folder) if folder is not None else Path("runs") / sweep.name
    shown = view or _complaints()
    outcome = _run(sweep, named, path, workers, ranks, shown, inject_fault, mixed_code, began)
    return outcome if view else _complained(outcome, shown)


def resume(
    folder: str | Path,
    *,
    on: str | None = None,
    workers: int | None = None,
    ranks: int | None = None,
    view: View | None = None,
    profiles_file: Path | None = None,
    mixed_code: bool = False,
    began: float | None = None,
) -> Outcome:
    """Go on with a run to its end: train whatever is not finished.

    Args:
        folder: of the run.
        on: name of a profile; that of the run's last launch unless given.
        workers: as in :func:`run`, like those that follow.

    Raises:
        RunError: there is no such run, or somebody is at it.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
        SchedulerError: SLURM refuses, or does not answer.
    """
    from hpc.submitting import profile_of, said_of, say_whose

    restored = stored.restore(Path(folder))
    found = Run(folder)
    named = profile_of(found, on, profiles_file)
    workers, ranks = said_of(found, on, workers, ranks)
    sweep = stored.load(found.folder, found.sweep_texts)
    shown = view or _complaints()
    if restored:
        shown.note(restored)
    say_whose(found, sweep, named, shown.note)
    outcome = _run(sweep, named, Path(folder), workers, ranks, shown, mixed_code=mixed_code, began=began)
    return outcome if view else _complained(outcome, shown)


def _complaints() -> View:
    from hpc.cli.display.progress import Complaints

    return Complaints()


def _complained(outcome: Outcome, view: View) -> Outcome:
    """Say what has stopped a run, as the command does."""
    if outcome.error:
        view.note(outcome.error)
    return outcome


def _run(
    sweep: Sweep,
    named: Named,
    folder: Path,
    workers: int | None,
    ranks: int | None,
    view: View,
    inject_fault: str = "",
    mixed_code: bool = False,
    began: float | None = None,
) -> Outcome:
    began = began or moments.uptime()
    if named.profile.cluster == "slurm":
        from hpc import slurm_watch

        return slurm_watch.run(
            sweep, named, folder, workers=workers, ranks=ranks, view=view, inject_fault=inject_fault,
            mixed_code=mixed_code,
        )  # fmt: skip
    place = find_rank_info(os.environ)
    if place.launcher == "mpirun" and place.rank:
        return follow(place)
    with led(place) as followers:
        sweep, resources = plan(sweep, named, workers=workers, ranks=ranks)
        asked = {
            "on": named.name, "folder": str(sweep.folder), "profile": named.profile.model_dump(mode="json"),
            "said": {"workers": workers, "ranks": ranks}, "began": began,
        }  # fmt: skip
        storage = named.profile.storage or ""
        return LocalRun(
            folder, sweep, resources, view, followers, inject_fault, asked, storage, mixed_code
        ).carry_out()
