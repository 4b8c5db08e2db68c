"""A copy of the user's code as it was when jobs were submitted."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from hpc.jobs.spec import Snapshot
from hpc.jobs.user_files import Sources, SourcesChangedError, code_of
from hpc.models import in_house, project_of
from hpc.sweeps import Sweep

FOLDER = "code"
"""The folder in that of a run that holds copies of the user's code."""
MAX_FILE_MB = 10
"""Larger files are not copied; the copy links to them."""
MAX_MB = 200
_NOT_FROZEN = (
    "jobs train with your code as it is when they start, not with a copy of it as it is now, since not all "
    "of it is in {root}: {path} is not. Put a pyproject.toml where the project begins, or leave your files "
    "alone until the jobs have ended."
)
MAX_FILES = 20_000
"""Of a project that is larger only those files are copied that the training is known to import."""


def at_snapshot(sweep: Sweep, snapshot: Snapshot) -> Sweep:
    """The same sweep with the code and the data of a copy.

    Raises:
        SourcesChangedError: the copy is gone.
    """
    if not Path(snapshot.copy).is_dir():
        raise SourcesChangedError(
            f"{snapshot.copy} is gone, the copy of your code that this job was submitted with: "
            "resume the run, which submits its trials with your code as it is then"
        )
    return sweep.moved(Path(snapshot.root), Path(snapshot.copy))


def freeze(sweep: Sweep, sources: Sources, run: Path, note: Callable[[str], None]) -> Snapshot | None:
    """Copy the code that training a sweep runs, so that jobs which wait don't see later changes.

    The project is the innermost folder above the sweep file that has a ``.git``, ``pyproject.toml``,
    ``setup.py`` or ``setup.cfg``; where there is none, the sweep's own folder.

    Copied are the files of the project that git tracks or would, without runs; and without git the files
    that the sweep names and all that they import. Where the project is a checkout of this one, its own
    packages are left out: they are imported from where they are.

    Args:
        sweep: to train.
        sources: its files, as they are.
        run: folder of the run.
        note: hears if not all could be copied.

    Returns:
        None where the user has no code of their own, or not all of it is in the project.
    """
    code = code_of(sweep)
    if not code:
        return None
    root = project_of(sweep.folder / "any") or sweep.folder
    outside = [path for path in code if not path.is_relative_to(root)]
    if outside:
        note(_NOT_FROZEN.format(root=root, path=outside[0]))
        return None
    wanted = _files_of_project(root, run, note) | set(code)
    place = run.resolve() / FOLDER / _name(root, wanted)
    if not place.is_dir():
        _mirror(root, wanted, place)
    snapshot = Snapshot(str(root), str(place))
    changed = Sources.of(at_snapshot(sweep, snapshot)).changes(sources.stamps)
    if changed:
        shutil.rmtree(place)
        note(_NOT_FROZEN.format(root=root, path=changed[0].partition(" ")[0]))
        return None
    return snapshot


def _files_of_project(root: Path, run: Path, note: Callable[[str], None]) -> set[Path]:
    """What git tracks, or would, but for large files and runs; empty without git."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    found: set[Path] = set()
    size = 0
    runs: dict[Path, bool] = {run.resolve(): True}
    for name in dict.fromkeys(os.fsdecode(one) for one in listed.split(b"\0") if one):
        path = root / name
        if path.is_symlink() or not path.is_file() or in_house(path) or _in_a_run(path.parent, root, runs):
            continue
        bytes_ = path.stat().st_size
        if bytes_ > MAX_FILE_MB * 1e6:
            continue
        found.add(path)
        size += bytes_
        if len(found) > MAX_FILES or size > MAX_MB * 1e6:
            note(
                f"{root} is too large to be copied (more than {MAX_FILES:,} files or {MAX_MB} MB that git "
                "does not ignore): of your code, only what is known to be imported is frozen for the jobs."
            )
            return set()
    return found


def _in_a_run(folder: Path, root: Path, known: dict[Path, bool]) -> bool:
    """Whether a folder is that of a run, or in one."""
    if folder not in known:
        is_run = (folder / "records").is_dir() and (folder / "sweep.yaml").is_file()
        known[folder] = is_run or (folder != root and _in_a_run(folder.parent, root, known))
    return known[folder]


def _name(root: Path, files: Iterable[Path]) -> str:
    """A name that the same files in the same state have again."""
    digest = hashlib.sha256(os.fsencode(root))
    for path in sorted(files):
        status = path.stat()
        digest.update(os.fsencode(path) + f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:12]


def _mirror(root: Path, files: set[Path], place: Path) -> None:
    """Make a folder that looks like another: files are copied, all others are links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    made = place.with_name(f".tmp-{place.name}-{os.getpid()}-{secrets.token_hex(3)}")
    folders = {root} | {parent for path in files for parent in path.parents if parent.is_relative_to(root)}
    try:
        for folder in sorted(folders):
            copy = made / folder.relative_to(root)
            copy.mkdir()
            for entry in os.scandir(folder):
                path = Path(entry.path)
                if path in files:
                    shutil.copy2(path, copy / entry.name)
                elif path not in folders and entry.name != "__pycache__" and not in_house(path):
                    (copy / entry.name).symlink_to(path)
        made.rename(place)
    except FileExistsError:  # another command was first
        shutil.rmtree(made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
