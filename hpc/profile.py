"""Where and with what resources jobs run: profiles, and the files that hold them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpc.jobs.node import device
from hpc.profile_model import OURS as OURS
from hpc.profile_model import Profile as Profile
from hpc.storage import storage_url
from hpc.sweeps import Document, SweepError, did_you_mean, read
from hpc.sweeps.document import Key
from hpc.sweeps.text import format_count
from hpc.sweeps.validation import InvalidEntry, Wording, format_errors

FILE = "profiles.yaml"
SLURM_ONLY = (
    "nodes", "ranks_per_node", "gpus_per_node", "cpus_per_rank", "mem_gb", "time_min", "partition",
    "account", "qos", "constraint", "sbatch", "srun", "setup", "python", "trials_per_job", "groups",
    "backend", "mpi", "allow_cpu", "signal_seconds", "requeues", "snapshot", "retry", "more_memory",
)  # fmt: skip


def with_storage(named: Named, storage: str | None) -> Named:
    """The profile with another storage of searches, if one is given.

    Raises:
        SweepError: it is none.
    """
    if storage is None:
        return named
    try:
        url = storage_url(storage)
    except ValueError as error:
        raise SweepError(f"--storage: {error}.") from None
    return replace(named, profile=named.profile.model_copy(update={"storage": url}))


BUILTIN: Mapping[str, Profile] = {
    "local": Profile(cluster="local"),
    "debug": Profile(cluster="debug"),
    "slurm": Profile(cluster="slurm"),
}
"""Profiles that need no file; a file may say otherwise of slurm."""


@dataclass(frozen=True)
class Named:
    """A profile and where it comes from.

    Attributes:
        name: of it.
        profile: what it says.
        source: the file that it stands in; empty for a built-in one.
    """

    name: str
    profile: Profile
    source: str = ""


def files(folders: Iterable[Path] = (), given: Path | None = None) -> list[Path]:
    """The files of profiles that there are, the one that counts most first.

    They are the one given, those in ``folders`` (that of the sweep, say), that in the current
    folder, and that in the user's own ``~/.config/hpc-sweeps``.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hpc-sweeps"
    paths = [folder / FILE for folder in (*folders, Path.cwd(), config)]
    found = [path.resolve() for path in paths if path.is_file()]
    return list(dict.fromkeys([given, *found] if given else found))


def available(folders: Iterable[Path] = (), given: Path | None = None) -> dict[str, Named]:
    """All profiles by name.

    Raises:
        SweepError: a file can't be read, or says what it can't; with every problem found.
    """
    profiles = {name: Named(name, profile) for name, profile in BUILTIN.items()}
    problems: list[str] = []
    for path in reversed(files(folders, given)):
        document = read(path, what="a file of profiles", begins="the name of a profile")
        for name, entries in document.entries.items():
            if name in ("local", "debug"):
                problems.append(document.problem((name,), "is built in; give yours another name."))
                continue
            try:
                profile = _validated(document, name, entries)
            except SweepError as error:
                problems += error.problems
            else:
                profiles[name] = Named(name, profile, str(path))
    if problems:
        raise SweepError(problems)
    return profiles


def find(name: str, folders: Iterable[Path] = (), given: Path | None = None) -> Named:
    """The profile of that name.

    Raises:
        SweepError: there is none, or a file of profiles has mistakes.
    """
    profiles = available(folders, given)
    if name not in profiles:
        places = ", ".join(str(path) for path in files(folders, given))
        looked = f" (from {places})" if places else f"; yours go into {FILE} beside the sweep"
        raise SweepError(
            f"--on {name}: there is no profile {name!r}{did_you_mean(name, profiles)}; "
            f"there are {', '.join(profiles)}{looked}."
        )
    return profiles[name]


def stored(entries: Mapping[str, Any], folder: Path) -> Profile:
    """The profile that the records of a run have.

    Raises:
        SweepError: it is none that may be used today.
    """
    try:
        return Profile.model_validate(entries)
    except ValidationError as error:
        wrong = ", ".join(dict.fromkeys(str(one["loc"][0]) for one in error.errors() if one["loc"]))
        raise SweepError(
            f"the profile by which {folder} was run is none today (see its {wrong or 'entries'}); "
            "name one by --on."
        ) from None


def _validated(document: Document, name: str, entries: Any) -> Profile:
    if not isinstance(entries, Mapping):
        raise SweepError(document.problem((name,), f"{entries!r} is not a group of `name: value` lines."))
    try:
        profile = Profile.model_validate(entries)
    except ValidationError as error:
        found = format_errors(error, document, _wording(name))
        raise SweepError(list(dict.fromkeys(found))) from None
    problems = []
    if profile.cluster != "slurm":
        for key in SLURM_ONLY:
            if key in entries:
                problems.append(document.problem((name, key), "is for cluster: slurm only."))
    elif profile.ranks != 1:
        problems.append(
            document.problem((name, "ranks"), "is not for SLURM: write nodes and ranks_per_node.")
        )
    total = profile.nodes * profile.ranks_of_node
    if profile.groups > 1 and total % profile.groups:
        problems.append(
            document.problem(
                (name, "groups"),
                f"{profile.nodes} nodes of {profile.ranks_of_node} ranks can't be split into "
                f"{profile.groups} equal groups.",
            )
        )
    if profile.gpus_per_node and profile.ranks_of_node > profile.gpus_per_node and not profile.allow_cpu:
        problems.append(
            document.problem(
                (name, "ranks_per_node"),
                f"{profile.ranks_of_node} ranks can't share {profile.gpus_per_node} GPUs; "
                "each rank needs one of its own.",
            )
        )
    if profile.mpi != "auto" and profile.backend == "gloo":
        problems.append(document.problem((name, "mpi"), "is of no effect with backend: gloo."))
    if problems:
        raise SweepError(problems)
    return profile


def _wording(name: str) -> Wording:
    """How errors in the profile of that name are told."""

    def locate(key: Key, kind: str) -> Key:
        if kind == "value_error" or key[-1] == "[key]":
            return (name, *key[:1])
        return (name, *key[:2]) if key[0] == "sbatch" else (name, *key)

    return Wording(locate, _explain, {"list_type": "a list, [one, two]"})


def _explain(entry: InvalidEntry) -> str | None:
    """The message about an entry of a profile, where it is not the usual one."""
    if entry.kind == "value_error":
        return None
    if entry.kind == "missing":
        return "is missing; write `cluster: slurm`."
    option = str(entry.key[1])
    if entry.kind == "extra_forbidden":
        if option.replace("-", "_") in Profile.model_fields:
            hint = f" (did you mean {option.replace('-', '_')!r}?)"
        else:
            hint = did_you_mean(option, Profile.model_fields)
        return (
            f"is not known here{hint}; known are {', '.join(Profile.model_fields)}. Any other option of "
            f"sbatch goes under sbatch: {{{option.replace('_', '-')}: …}}."
        )
    if option == "sbatch" and len(entry.key) == 3:  # pydantic says it for each type that it may have
        return f"{entry.value!r} is not a word, a number, true or false."
    if option == "storage":  # it may be a secret
        return f"what is given is not {entry.expected}."
    return None


@dataclass(frozen=True)
class Resources:
    """What a run takes of a machine.

    Attributes:
        cluster: as in the profile.
        workers: jobs that run at once.
        ranks: of each job.
        threads: of each rank; 0 for as many as the scheduler gives it.
        gpus: numbers of this machine's GPUs.
        checkpoint_min: minutes between two checkpoints of a trial.
        measure: as in the profile.
    """

    cluster: str
    workers: int
    ranks: int
    threads: int
    gpus: tuple[int, ...] = ()
    checkpoint_min: float = 5.0
    measure: bool = False

    def describe(self) -> str:
        """In words: ``2 workers (local), 1 rank each, 1 thread a rank``."""
        gpus = f", {format_count(len(self.gpus), 'GPU')}" if self.gpus else ""
        threads = f", {format_count(self.threads, 'thread')} a rank" if self.threads else ""
        return (
            f"{format_count(self.workers, 'worker')} ({self.cluster}), "
            f"{format_count(self.ranks, 'rank')} each{threads}{gpus}"
        )


def with_options(profile: Profile, *, workers: int | None = None, ranks: int | None = None) -> Profile:
    """A profile of SLURM with what the command line says instead.

    Raises:
        SweepError: fewer than one worker or rank, or ranks that can't be spread over the nodes.
    """
    _at_least_one(workers, ranks)
    changes: dict[str, Any] = {"workers": workers} if workers else {}
    if ranks:
        if ranks % profile.nodes:
            raise SweepError(
                f"--ranks {ranks}: can't be spread evenly over {profile.nodes} nodes; take a multiple of "
                f"{profile.nodes}."
            )
        if ranks % profile.groups:
            raise SweepError(f"--ranks {ranks}: can't be split into {profile.groups} equal groups.")
        changes["ranks_per_node"] = ranks // profile.nodes
        share, gpus = ranks // profile.nodes, profile.gpus_per_node
        if profile.ranks_per_node and 0 < gpus < share and not profile.allow_cpu:
            raise SweepError(
                f"--ranks {ranks}: {share} ranks can't share {gpus} GPUs of a node; each needs its own."
            )
        if profile.gpus_per_node and profile.ranks_per_node is None:
            changes["gpus_per_node"] = ranks // profile.nodes
    return profile.model_copy(update=changes)


def resources(
    profile: Profile,
    *,
    workers: int | None = None,
    ranks: int | None = None,
    cpus: int | None = None,
    gpus: Sequence[int] | None = None,
) -> Resources:
    """What to take: on this machine one worker per core (or GPU), divided by the ranks of each.

    Args:
        profile: as found.
        workers: instead of the profile's.
        ranks: instead of the profile's.
        cpus: of this machine; asked for unless given.
        gpus: likewise.

    Raises:
        SweepError: fewer than one worker or rank, or several where the profile allows one.
    """
    _at_least_one(workers, ranks)
    if profile.cluster == "slurm":
        profile = with_options(profile, workers=workers, ranks=ranks)
        total = profile.nodes * profile.ranks_of_node
        return Resources(
            "slurm", profile.workers or 4, total, profile.cpus_per_rank or 0,
            checkpoint_min=profile.checkpoint_min, measure=profile.measure,
        )  # fmt: skip
    cpus = device.available_cpus() if cpus is None else cpus
    gpus = device.local_gpus(os.environ) if gpus is None else gpus
    ranks = ranks or profile.ranks
    workers = workers or profile.workers
    if profile.cluster == "debug":
        if (workers or 1) > 1 or ranks > 1:
            raise SweepError(
                "--on debug: runs in one process, so it takes --workers 1 --ranks 1; "
                "--on local has no such limit."
            )
        workers = 1
    workers = workers or max(1, (len(gpus) or cpus) // ranks)
    threads = max(1, cpus // (workers * ranks))
    further = profile.checkpoint_min, profile.measure
    return Resources(profile.cluster, workers, ranks, threads, tuple(gpus), *further)


def _at_least_one(workers: int | None, ranks: int | None) -> None:
    for name, number in (("--workers", workers), ("--ranks", ranks)):
        if number is not None and number < 1:
            raise SweepError(f"{name} {number}: must be at least 1.")
