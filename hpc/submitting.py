"""Submitting a sweep to SLURM: what is unfinished and uncovered becomes arrays of jobs."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc import orphans, reconcile, waiting
from hpc import profile as profiles
from hpc.coverage import covered_trials, may_live
from hpc.doctor import read_doctor_cache as known
from hpc.jobs import stored
from hpc.jobs.launch import FILE as LAUNCH_FILE
from hpc.jobs.snapshot import freeze
from hpc.jobs.user_files import Sources
from hpc.lock import lock
from hpc.notebook import sweep_of
from hpc.owners import whose_code
from hpc.planning import Planned, checked, keep_to, memory_factor, planned_for, slurm_profile
from hpc.profile import Named, Profile, Resources
from hpc.request import RunRequest
from hpc.results import Records, Run, RunError, moments
from hpc.run_folder import claim_unless_run, left_alone, open_run
from hpc.schedulers import batch
from hpc.schedulers.base import JobArray, SchedulerError, UnreachableError
from hpc.schedulers.slurm import Slurm
from hpc.search_coordinator import SearchCoordinator
from hpc.sweeps import Sweep

LEASE_SECONDS = 1800
"""How long a command that only submits may hold a run's lock on another host."""
PATIENCE_SECONDS = 90
"""How long to go on asking a SLURM that does not answer, as in the minute of its restart."""


@dataclass(frozen=True)
class Submission:
    """What a command has submitted.

    Attributes:
        run: as its records tell it.
        job_ids: of SLURM, one for each array.
        jobs: how many there are in them.
        trials: how many of the run's these will train.
        covered: how many more are with jobs that were there before.
        left: trials that were left alone, with the reason why.
        said: what was set right on the way.
    """

    run: Run
    job_ids: list[str]
    jobs: int
    trials: int
    covered: int
    left: dict[str, str]
    said: list[str]


def submit(
    sweep: Sweep | Mapping[str, Any],
    request: RunRequest | None = None,
    *,
    slurm: Slurm | None = None,
    note: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Submission:
    """Submit what of a sweep is not finished and not with a job already; return at once.

    Args:
        sweep: as of :func:`hpc.run`.
        request: where and with what; the profile ``slurm`` unless it names another.
        slurm: to talk to.
        note: hears what a person should know while it goes on.
        options: attributes of :class:`~hpc.request.RunRequest`, instead of the request's:
            ``submit(sweep, on="gpus", workers=4)``.

    Raises:
        SweepError: the sweep or the profile can't be carried out as written.
        RunError: the folder holds another sweep or something else, or somebody is at it.
        SchedulerError: SLURM refuses, or does not answer; nothing is lost, the same command again
            goes on.
        TypeError: there is no such option.
    """
    request = (request or RunRequest()).but(**options)
    if isinstance(sweep, Mapping):
        sweep = sweep_of(sweep, request)
    named = profiles.find(request.on or "slurm", [sweep.folder], request.profiles_file)
    named = profiles.with_storage(named, request.storage)
    return submit_with(sweep, named, request, slurm=slurm, note=note)


def resubmit(
    folder: str | Path,
    request: RunRequest | None = None,
    *,
    slurm: Slurm | None = None,
    note: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Submission:
    """Submit what of a run is not finished and not with a job already.

    Args:
        folder: of the run.
        request: where and with what; as at the run's last launch unless it says otherwise.
        slurm: to talk to.
        note: hears what a person should know while it goes on.
        options: as in :func:`submit`.

    Raises:
        RunError, SweepError, SchedulerError, TypeError: as :func:`submit`.
    """
    sweep, named, request = again((request or RunRequest()).but(**options, folder=folder), note)
    return submit_with(sweep, named, request, slurm=slurm, note=note)


def again(request: RunRequest, note: Callable[[str], None]) -> tuple[Sweep, Named, RunRequest]:
    """Read a run to go on with: its sweep, its profile, and the request with what its last launch was told.

    Args:
        request: names the folder of the run.
        note: hears what was set right, and whose code is about to run.

    Raises:
        RunError: there is no such run, or its records have lost its profile.
        SweepError: there is no profile of that name.
    """
    folder = request.folder_of("")
    restored = stored.restore(folder)
    if restored:
        note(restored)
    run = Run(folder)
    named = profile_of(run, request.on, request.profiles_file)
    sweep = stored.load(run.folder, run.sweep_texts)
    say_whose(run, sweep, named, note)
    workers, ranks = said_of(run, request.on, request.workers, request.ranks)
    return sweep, named, request.but(workers=workers, ranks=ranks)


def profile_of(run: Run, on: str | None, profiles_file: Path | None = None) -> Named:
    """The profile to go on with: one by name, or the one of the run's last launch.

    Raises:
        SweepError: there is none of that name.
        RunError: none is named, and the records have lost which it was.
    """
    if on is None and not run.launches and list(run.jobs_folder.glob(f"*/{LAUNCH_FILE}")):
        raise RunError(
            f"{run.records}/run.jsonl has lost by which profile of SLURM the run was submitted; name it: "
            f"hpc resume {run.folder} --on PROFILE"
        )
    last = next((launch for launch in reversed(run.launches) if "profile" in launch), None)
    folders = [Path(last["folder"])] if last and "folder" in last else []
    if on is None and last is not None:
        known = profiles.available(folders, profiles_file).get(last["on"])  # as it stands today
        return known or Named(last["on"], profiles.stored(last["profile"], run.folder))
    return profiles.find(on or "local", folders, profiles_file)


def say_whose(run: Run, sweep: Sweep, named: Named, note: Callable[[str], None]) -> None:
    """Say whose code is about to run where that of a run, its folder or the profile is another user's."""
    further = [run.folder, run.sweep_file, *([Path(named.source)] if named.source else [])]
    said = whose_code(sweep, *further)
    if said:
        note(said)


def said_of(
    run: Run, on: str | None, workers: int | None, ranks: int | None
) -> tuple[int | None, int | None]:
    """Workers and ranks as the command line says, or said at the run's last launch.

    Args:
        run: to go on with.
        on: a profile, if one is named now: then what was said of another counts no longer.
        workers: said now.
        ranks: said now.
    """
    last = run.launches[-1].get("said", {}) if run.launches and on is None else {}
    return workers or last.get("workers"), ranks or last.get("ranks")


def submit_with(
    sweep: Sweep,
    named: Named,
    request: RunRequest,
    *,
    slurm: Slurm | None = None,
    note: Callable[[str], None] = lambda text: None,
    only: Collection[str] | None = None,
) -> Submission:
    """As :func:`submit`, with a profile that was found already, and of certain trials only."""
    slurm = slurm or Slurm()
    folder = request.folder_of(sweep.name)
    profile = slurm_profile(named, workers=request.workers, ranks=request.ranks)
    sweep = checked(sweep, profile)
    resources = profiles.resources(profile)
    config = _patiently(slurm.config, note)
    claim_unless_run(folder, note)
    with lock(folder, lease_seconds=LEASE_SECONDS, wait_seconds=30):
        sweep, run, sources = open_run(folder, sweep, resources, mixed_code=request.mixed_code, note=note)
        records = Records(run.records / "run.jsonl")
        try:
            submitter = _Submitter(
                run, records, slurm, note, sweep, named, request, profile, resources, sources, config
            )
            return submitter.submit(only)
        finally:
            records.close()


@dataclass
class _Submitter:
    """One command that submits, with the folder to itself."""

    _run: Run
    _records: Records
    _slurm: Slurm
    _note: Callable[[str], None]
    _sweep: Sweep
    _named: Named
    _request: RunRequest
    _profile: Profile
    _resources: Resources
    _sources: Sources
    _config: Mapping[str, str]

    def submit(self, only: Collection[str] | None) -> Submission:
        """Submit what is neither finished nor with a job, of certain trials only if some are named."""
        run = self._run
        news = reconcile.ask(run, self._slurm)
        if news.problem:
            raise UnreachableError(f"{news.problem} Nothing was submitted; try again.")
        said = reconcile.settle(run, news, self._records)
        orphans.clear(run, self._records, "the command that watched its worker was killed")
        covered = covered_trials(run)
        trials = sorted(run.trials.values(), key=lambda trial: trial.index)
        left = {t.trial_id: why for t in trials if (why := left_alone(t, self._sources.digest))}
        alive = sum(state.is_alive for state in news.jobs.values())
        if self._sweep.uses_ask_tell:
            return self._submit_search(left, said, alive)
        open_ = [t for t in trials if t.state not in ("finished", "pruned") and t.trial_id not in left]
        chosen = [t for t in open_ if only is None or t.trial_id in only]
        todo = [t.trial_id for t in chosen if t.trial_id not in covered]
        if not todo:
            return Submission(run, [], 0, 0, len([t for t in open_ if t.trial_id in covered]), left, said)
        memory = {t.trial_id: memory_factor(t, self._profile) for t in trials}
        free = max(1, self._resources.workers - alive)
        profile = self._profile.model_copy(update={"workers": free})
        size = batch.max_array_size(self._config)
        planned = planned_for(self._named, profile, todo, memory, size, run.name, secrets.token_hex(3))
        already = len([t for t in open_ if t.trial_id in covered])
        return self._launch(planned, len(todo), already, left, said)

    def _submit_search(self, left: dict[str, str], said: list[str], alive: int) -> Submission:
        """Jobs that ask for their trials: as many as may run beside those that are there."""
        run = self._run
        search = SearchCoordinator(self._sweep, run, self._records, self._profile.storage or "", self._note)
        todo = search.begin(left, lambda owner: not may_live(run, owner))
        jobs = min(self._resources.workers - alive, math.ceil(search.waiting() / self._profile.groups))
        if jobs <= 0:
            return Submission(run, [], 0, 0, todo, left, said)
        size = batch.max_array_size(self._config)
        name = batch.name_of(run.name, secrets.token_hex(3))
        arrays = batch.arrays(name, {1.0: jobs}, jobs, size)
        planned = Planned(self._profile, self._named.name, [()] * jobs, arrays, size)
        return self._launch(planned, todo, 0, left, said)

    def _launch(
        self, planned: Planned, trials: int, already: int, left: dict[str, str], said: list[str]
    ) -> Submission:
        run, named, resources = self._run, self._named, self._resources
        number = run.next_launch()
        checkup = _of_the_last_checkup(self._config, named)
        keep_to(checkup, len(planned.jobs), named)
        folder = run.jobs_folder.resolve() / str(number)
        snapshot = (
            freeze(self._sweep, self._sources, run.folder, self._note) if self._profile.snapshot else None
        )
        # Only that MPI does not work is passed on: with `auto`, a job finds out by itself that it does.
        backend = "gloo" if checkup.get("backend") == "gloo" else ""
        batch.launch(
            planned.profile, number, planned.jobs, inject_fault=self._request.inject_fault, backend=backend,
            asks=self._sweep.uses_ask_tell, files=self._sources.stamps, snapshot=snapshot,
        ).write(folder)  # fmt: skip
        self._records.append(
            "launched", launch=number, cluster="slurm", on=named.name, folder=str(self._sweep.folder),
            profile=named.profile.model_dump(mode="json"), said=self._request.said, workers=resources.workers,
            ranks=resources.ranks, trials=trials, code=self._sources.digest, files=self._sources.stamps,
            **moments.stamp(),
        )  # fmt: skip
        job_ids = self._call_sbatch(planned, folder, number)
        run.refresh()
        return Submission(run, job_ids, len(planned.jobs), trials, already, left, said)

    def _call_sbatch(self, planned: Planned, folder: Path, launch: int) -> list[str]:
        """One sbatch for each array; each waits for the one before it, so that few run at once."""
        self._slurm.profile = planned.profile
        job_ids: list[str] = []
        for array in planned.arrays:
            self._records.append(
                "submitting", name=array.name, launch=launch, first=array.first, size=array.size,
                ranks=planned.profile.nodes * planned.profile.ranks_of_node, user=os.getuid(),
            )  # fmt: skip
            try:
                job = self._submit_once(array, folder, job_ids[-1] if job_ids else "")
            except SchedulerError as error:
                if isinstance(error, UnreachableError):  # it may be in the queue yet
                    raise
                self._records.append("dropped", name=array.name)
                before = f" Submitted before that: {', '.join(job_ids)}." if job_ids else ""
                words = str(error).rstrip(".")
                raise SchedulerError(
                    f"{words}.{before} Mend the profile {planned.name} (`hpc doctor --on {planned.name}` "
                    "says more) and type the same command again."
                ) from None
            self._records.append("array", name=array.name, job=job)
            job_ids.append(job)
        return job_ids

    def _submit_once(self, array: JobArray, folder: Path, after: str) -> str:
        """Submit an array, whatever SLURM's connection does, and not twice."""
        deadline = waiting.now() + PATIENCE_SECONDS
        in_doubt = False
        while True:
            try:
                if in_doubt:  # it may have heard us, and only the answer was lost
                    found = self._slurm.queue([array.name])
                    if found.problem:
                        raise UnreachableError(found.problem)
                    if found.jobs:
                        return next(iter(found.jobs)).partition("_")[0]
                return self._slurm.submit(array, folder, after)[0].partition("_")[0]
            except SchedulerError as error:
                unreachable = isinstance(error, UnreachableError)
                if not unreachable and not in_doubt:
                    raise
                if not unreachable or waiting.now() > deadline:
                    raise UnreachableError(
                        f"{error} What was submitted before is in the queue; the same command again "
                        "submits the rest."
                    ) from None
                self._note(f"{error} Trying again.")
            in_doubt = True
            waiting.sleep(2)


def _of_the_last_checkup(config: Mapping[str, str], named: Named) -> dict[str, Any]:
    """What `hpc doctor` has found out about this very profile, if it was asked."""
    checkup = known(config.get("ClusterName", "cluster"), named.name)
    return checkup if checkup.get("entries") == named.profile.model_dump(mode="json") else {}


def _patiently(ask: Callable[[], dict[str, str]], note: Callable[[str], None]) -> dict[str, str]:
    deadline = waiting.now() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except UnreachableError as error:
            if waiting.now() > deadline:
                raise
            note(f"{error} Trying again.")
            waiting.sleep(2)
