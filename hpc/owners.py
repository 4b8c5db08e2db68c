"""Whose files are: code of another user is not run without a word of it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from hpc.jobs.user_files import code_of
from hpc.sweeps import Sweep


def of_another(path: Path) -> str:
    """`` of NAME, another user`` if the file or folder belongs to one; empty if it is this user's, or gone.

    Root is a user like any other.
    """
    try:
        owner = path.stat().st_uid
    except OSError:
        return ""
    return "" if owner == os.getuid() else f" of {_name(owner)}, another user"


def whose_code(sweep: Sweep, *further: Path) -> str:
    """One sentence on the code that a sweep runs, if not all of it is this user's; else empty.

    Args:
        sweep: whose model, baselines and data count, with the user's modules that they import.
        further: files and folders that decide what is run.
    """
    paths = dict.fromkeys([*further, *code_of(sweep)])
    others = [f"{path}{whose}" for path in paths if (whose := of_another(path))]
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return f"What is about to run with your rights is not all yours: {others[0]}{more}." if others else ""


def _name(owner: int) -> str:
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"user {owner}"
