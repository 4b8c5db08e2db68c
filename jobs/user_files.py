"""The user's files on which a sweep depends: their code with all that it imports, and their files of data."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.jobs.references import command_of, function_of
from hpc.models import ModelError, Reference, dataset_reference, model_reference
from hpc.results import write_text
from hpc.sweeps import Sweep, callback_functions

REMEMBERED_BYTES = 2**26
"""Larger files of data are known by size and time once their digest was taken; smaller ones are read."""

Stamps = Mapping[str, Sequence[Any]]
"""Size in bytes, time in nanoseconds since 1970 and SHA-256 of each file, by its name."""


class SourcesChangedError(RuntimeError):
    """The user's files are not what they were when a job was launched."""


@dataclass(frozen=True)
class Sources:
    """The contents of the user's files.

    Attributes:
        stamps: of each file, by its path as seen from the sweep file.
        paths: of each file.
        digest: of all of them; empty where all code and data are ours.
        entries_digest: of those alone that the sweep names, as earlier versions told code apart.
    """

    stamps: dict[str, list[Any]]
    paths: dict[str, Path]
    digest: str
    entries_digest: str

    @staticmethod
    def of(sweep: Sweep, known: Stamps | None = None) -> Sources:
        """The sources of a sweep.

        Args:
            sweep: whose model, baselines and data count.
            known: digests that were taken before, of large files.

        Raises:
            ModelError: one that the sweep names is not there.
        """
        stamps: dict[str, list[Any]] = {}
        paths: dict[str, Path] = {}
        named: list[str] = []
        for files, is_data in _files(sweep):
            for place, path in enumerate(files):
                name = _name(path, sweep)
                stamps.setdefault(name, _stamp(path, (known or {}).get(name), is_data=is_data))
                paths[name] = path
                if not place:
                    named.append(name)
        entries = "".join(str(stamps[name][2]) for name in named)
        rest = sorted(
            f"{os.path.relpath(paths[name], paths[named[0]].parent)} {stamp[2]} "  # a project may be moved
            for name, stamp in stamps.items()
            if name not in named and stamp[0]  # a file without a byte, as of a package, does nothing
        )
        others = "".join(rest)  # without folders, which may be moved
        return Sources(stamps, paths, _digest(entries + others), _digest(entries))

    @staticmethod
    def of_data(sweep: Sweep) -> dict[str, list[Any]]:
        """The stamps of the files of the data alone.

        Raises:
            ModelError: the data that the sweep names are not there.
        """
        if sweep.kind != "model":
            return {}
        files = dataset_reference(sweep.data["name"], sweep.folder).files()
        return {_name(path, sweep): _stamp(path, None, is_data=False) for path in files}

    def changes(self, before: Stamps) -> list[str]:
        """The differences from before, a sentence each; empty files do not count.

        Args:
            before: ``stamps`` of then.
        """
        now, then = (
            {name: stamp[2] for name, stamp in some.items() if stamp[0]} for some in (self.stamps, before)
        )
        found = [f"{name} has changed" for name in then if now.get(name, then[name]) != then[name]]
        found += [f"{name} is no longer imported" for name in then if name not in now]
        return found + [f"{name} is new" for name in now if name not in then]

    def require(self, launched: Stamps) -> None:
        """Make sure that the files are still what they were.

        Args:
            launched: ``stamps`` of when the job was launched; empty if that is not known.

        Raises:
            SourcesChangedError: they are not.
        """
        changes = self.changes(launched) if launched else []
        if changes:
            raise SourcesChangedError(
                f"{'; '.join(changes)} since this job was launched, so that its trials would be of other "
                "code or data than the rest of the run: put it back and resume, or resume with --mixed-code"
            )

    def require_executed(self, executed: Mapping[Path, str]) -> list[str]:
        """Make sure that what was imported is what the digest is of.

        Args:
            executed: SHA-256 of the source of each file that was imported.

        Returns:
            Names of files that were imported in a way that no source shows.

        Raises:
            SourcesChangedError: one has changed in between.
        """
        names = {path: name for name, path in self.paths.items()}
        for path, digest in executed.items():
            name = names.get(path)
            if name is not None and self.stamps[name][2] != digest:
                raise SourcesChangedError(f"{name} has changed while this job began: resume the run")
        return [str(path) for path in executed if path not in names]


def code_of(sweep: Sweep) -> list[Path]:
    """The user's files of code that training a sweep runs; none of those that are gone."""
    if sweep.kind == "program":
        return command_of(sweep).files()
    found: list[Path] = []
    for reference in _references(sweep):
        try:
            found += reference.files() if reference.is_users_code else []
        except ModelError:  # told where it is to be run
            pass
    return found


def _files(sweep: Sweep) -> Iterator[tuple[list[Path], bool]]:
    """For each that a sweep names its files, that one first, and whether they are of data."""
    if sweep.kind == "program":
        yield from (([path], False) for path in command_of(sweep).files())
        return
    for reference in _references(sweep):
        yield reference.files(), reference.reader is not None


def _references(sweep: Sweep) -> list[Reference]:
    if sweep.kind != "model":
        return [function_of(sweep)] if sweep.train else []
    names = dict.fromkeys([sweep.model, *(baseline["model"] for baseline in sweep.baselines)])
    models = [model_reference(name, sweep.folder) for name in names]
    models += [model_reference(name, sweep.folder) for name in callback_functions(sweep)]
    return [*models, dataset_reference(sweep.data["name"], sweep.folder)]


def require_same_data(run: Path, code: str, data: str, job: str) -> None:
    """Make sure that a function of the user's gives the samples that it gave to the first job of a run.

    Args:
        run: folder of the run.
        code: digest of the sources; of other code, the data may be others.
        data: digest of the samples; empty where they are of no such function.
        job: that has loaded them.

    Raises:
        SourcesChangedError: it gives others.
    """
    if not data:
        return
    path = run / "jobs" / f"data-{code[:16]}.json"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        mine = path.with_name(f".tmp-{path.name}-{socket.gethostname()}-{os.getpid()}")
        mine.write_text(json.dumps({"data": data, "job": job}) + "\n")
        try:
            os.link(mine, path)
        except FileExistsError:  # another job was first
            pass
        finally:
            mine.unlink()
    first = json.loads(path.read_text())
    if first["data"] != data:
        raise SourcesChangedError(
            f"the data are not those that job {first['job']} has trained on, though the code is the same: "
            "the function gives other samples at each call, or what it reads has changed. Let it draw by a "
            "generator with a seed; or put back what it reads; or train all anew in another folder (--dir)"
        )


def require_same_modules(run: Path, code: str, modules: Mapping[str, str], job: str) -> None:
    """Make sure that modules which no source shows are what they were for other jobs of a run.

    Args:
        run: folder of the run.
        code: digest of the sources.
        modules: for each file its SHA-256.
        job: that has imported them.

    Raises:
        SourcesChangedError: one is not.
    """
    path = run / "jobs" / f"modules-{code[:16]}.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    changed = [name for name, digest in modules.items() if known.get(name, digest) != digest]
    if changed:
        raise SourcesChangedError(
            f"{', '.join(changed)} has changed since other jobs of this run have imported it: put it back, "
            "or train all anew in another folder (--dir)"
        )
    if not modules.keys() <= known.keys():
        write_text(path, json.dumps(known | dict(modules)) + "\n")


def forget_data(run: Path) -> None:
    """Let the next job of a run say which samples a function of the user's gives, and what it imports."""
    for kind in ("data", "modules"):
        for path in (run / "jobs").glob(f"{kind}-*.json"):
            path.unlink()


def _name(path: Path, sweep: Sweep) -> str:
    return Path(os.path.relpath(path, sweep.folder)).as_posix()


def _stamp(path: Path, known: Sequence[Any] | None, *, is_data: bool) -> list[Any]:
    status = path.stat()
    size, time_ns = status.st_size, status.st_mtime_ns
    if is_data and size > REMEMBERED_BYTES and known is not None and list(known[:2]) == [size, time_ns]:
        return [size, time_ns, str(known[2])]
    with path.open("rb") as file:
        return [size, time_ns, hashlib.file_digest(file, "sha256").hexdigest()]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
