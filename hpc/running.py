"""Carrying out a sweep: plan it, submit workers, watch them, say how it ended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc import profile as profiles
from hpc.jobs.check import check
from hpc.jobs.launchers import find_rank_info
from hpc.jobs.node import device
from hpc.local_run import LocalRun
from hpc.mpirun import follow, led
from hpc.notebook import sweep_of
from hpc.outcome import Outcome, View
from hpc.profile import Named, Resources
from hpc.request import RunRequest
from hpc.results import moments
from hpc.sweeps import Sweep, SweepError


def plan(sweep: Sweep, named: Named, request: RunRequest) -> tuple[Sweep, Resources]:
    """Check everything that can be checked before a run starts on this machine.

    Args:
        sweep: to carry out.
        named: the profile.
        request: the workers and ranks that are asked for.

    Returns:
        The sweep with its defaults filled in, and what the run will take of the machine.

    Raises:
        SweepError: with every problem found.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
    """
    place = find_rank_info(os.environ)
    profile = named.profile
    if place.launcher == "mpirun":
        if request.workers not in (None, 1) or request.ranks not in (None, place.size):
            raise SweepError(
                f"mpirun has started {place.size} ranks, which make one worker of {place.size} ranks; "
                "leave --workers and --ranks out."
            )
        cpus = device.available_cpus() // place.local_size
        resources = Resources("mpirun", 1, place.size, max(1, cpus), measure=profile.measure)
    else:
        resources = profiles.resources(profile, workers=request.workers, ranks=request.ranks)
    return check(sweep, resources.ranks), resources


def run(
    sweep: Sweep | Mapping[str, Any],
    request: RunRequest | None = None,
    *,
    view: View | None = None,
    **options: Any,
) -> Outcome:
    """Carry out a sweep to its end, or go on with it: what is finished stays as it is.

    Args:
        sweep: as ``sweeps.load`` or ``sweeps.parse`` gives it; or the entries of one, in which the training
            may be given by functions and arrays, see :func:`hpc.notebook.with_objects`.
        request: where and with what; the profile ``local`` unless it names another.
        view: what shows progress; only what goes wrong, on standard error, unless given.
        options: attributes of :class:`~hpc.request.RunRequest`, instead of the request's:
            ``run(sweep, on="slurm", workers=4)``.

    Raises:
        SweepError: the sweep can't be carried out as written.
        RunError: the folder holds another sweep or something else, or somebody is at it.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
        SchedulerError: SLURM refuses, or does not answer.
        TypeError: there is no such option.
    """
    request = (request or RunRequest()).but(**options)
    if isinstance(sweep, Mapping):
        sweep = sweep_of(sweep, request)
    named = profiles.find(request.on or "local", [sweep.folder], request.profiles_file)
    named = profiles.with_storage(named, request.storage)
    if request.measure:
        named = replace(named, profile=named.profile.model_copy(update={"measure": True}))
    return _carried_out(sweep, named, request, view or _complaints(), view)


def resume(
    folder: str | Path, request: RunRequest | None = None, *, view: View | None = None, **options: Any
) -> Outcome:
    """Go on with a run to its end: train whatever is not finished.

    Args:
        folder: of the run.
        request: where and with what; as at the run's last launch unless it says otherwise.
        view: as in :func:`run`.
        options: likewise.

    Raises:
        RunError: there is no such run, or somebody is at it.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
        SchedulerError: SLURM refuses, or does not answer.
        TypeError: there is no such option.
    """
    from hpc.submitting import again

    shown = view or _complaints()
    sweep, named, request = again((request or RunRequest()).but(**options, folder=folder), shown.note)
    return _carried_out(sweep, named, request, shown, view)


def _complaints() -> View:
    from hpc.cli.display.progress import Complaints

    return Complaints()


def _carried_out(sweep: Sweep, named: Named, request: RunRequest, shown: View, view: View | None) -> Outcome:
    """Carry it out; where nobody looks, say what has stopped it, as the command does."""
    outcome = _run(sweep, named, request, shown)
    if outcome.error and not view:
        shown.note(outcome.error)
    return outcome


def _run(sweep: Sweep, named: Named, request: RunRequest, view: View) -> Outcome:
    request = request.but(began=request.began or moments.uptime(), folder=request.folder_of(sweep.name))
    if named.profile.cluster == "slurm":
        from hpc import slurm_watch

        return slurm_watch.run(sweep, named, request, view)
    place = find_rank_info(os.environ)
    if place.launcher == "mpirun" and place.rank:
        return follow(place)
    with led(place) as followers:
        sweep, resources = plan(sweep, named, request)
        return LocalRun(sweep, named, request, resources, view, followers).carry_out()
