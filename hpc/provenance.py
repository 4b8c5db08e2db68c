"""What a run was made with, so that its table can be trusted later."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hpc.profile import Resources

PACKAGES = (
    "hpc-sweeps", "tensorflow", "keras", "horovod", "mpi4py", "numpy", "pandas", "pyarrow",
    "scikit-learn", "submitit",
)  # fmt: skip
LONGEST_DIFF = 1_000_000


def provenance(folder: Path, resources: Resources, code: str) -> dict[str, Any]:
    """Where, when and with what a run starts.

    Args:
        folder: of the sweep file, whose git commit and uncommitted changes are kept.
        resources: that the run takes.
        code: digest of the user's model and dataset files.
    """
    diff = _git(folder, "diff", "HEAD") or ""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "user": os.environ.get("USER") or str(os.getuid()),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "scheduler": {"cluster": resources.cluster, "workers": resources.workers,
                      "ranks": resources.ranks, "threads": resources.threads},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": {"commit": (_git(folder, "rev-parse", "HEAD") or "").strip() or None,
                "diff": diff[:LONGEST_DIFF], "diff_is_cut": len(diff) > LONGEST_DIFF},
        "code": code,
    }  # fmt: skip


def as_json(entries: dict[str, Any]) -> str:
    """As the text of ``provenance.json``."""
    return json.dumps(entries, indent=2) + "\n"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10,
            errors="replace", check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
