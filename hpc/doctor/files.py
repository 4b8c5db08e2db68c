"""The folder where runs would be made."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpc.doctor.base import Finding, note, ok, problem


def check_space(where: str, report: Mapping[str, Any]) -> Finding:
    """Check whether there is room for a run.

    Args:
        where: the folder, and who sees it.
        report: ``free_bytes`` and ``free_inodes``, None where the file system does not say.
    """
    free, inodes = report["free_bytes"], report["free_inodes"]
    files = f", {inodes:,} files" if inodes is not None else ""
    said = f"{free / 2**30:.1f} GB{files} free in {where} (quotas apart)"
    remedy = "Remove what is old, or make runs elsewhere by --dir."
    if free < 2**27 or (inodes is not None and inodes < 1_000):
        return problem("space", said, remedy)
    if free < 2**32 or (inodes is not None and inodes < 50_000):
        return note("space", said, remedy)
    return ok("space", said)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Make a folder in ``folder``; it is gone afterwards, like those above it that were not there before."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    scratch = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        scratch.mkdir(parents=True)
        yield scratch
    finally:
        for _ in range(10):  # a rank that is just ending may write yet
            shutil.rmtree(scratch, ignore_errors=True)
            if not scratch.exists():
                break
            time.sleep(0.5)
        for path in new:
            try:
                path.rmdir()
            except OSError:
                break
