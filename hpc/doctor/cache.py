"""What ``hpc doctor`` has found, kept for ``hpc submit``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpc.profile import Named
from hpc.results import write_text


def read_doctor_cache(cluster: str, profile: str) -> dict[str, Any]:
    """Read what the last check-up of a profile has found to work; empty if there was none.

    Args:
        cluster: ClusterName, as ``scontrol show config`` has it.
        profile: the name of the profile.

    Returns:
        ``time``, ``slurm`` (version), ``max_array`` (jobs in an array), ``max_submit`` and
        ``max_jobs`` (None without a limit), ``entries`` (of the profile, as they were then); and
        if the ranks have met since those entries were written, ``backend`` (``none``, ``gloo`` or
        ``mpi``) and ``mpi`` (the value of ``srun --mpi``).
    """
    try:
        cached = json.loads(_path(cluster, profile).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(cached, dict) or (cached.get("cluster"), cached.get("profile")) != (cluster, profile):
        return {}
    return cached


def write_doctor_cache(cluster: str, named: Named, cached: Mapping[str, Any]) -> Path:
    """Keep what a check-up has found; how ranks have met before stays, as long as the profile is the same.

    Raises:
        OSError: it can't be written.
    """
    entries = named.profile.model_dump(mode="json")
    before = read_doctor_cache(cluster, named.name)
    same = before.get("entries") == entries
    ways: dict[str, Any] = {key: before[key] for key in ("backend", "mpi") if same and key in before}
    path = _path(cluster, named.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    who = {"cluster": cluster, "profile": named.name, "time": now}
    kept = {**who, **ways, **cached, "entries": entries}
    write_text(path, json.dumps(kept, indent=2) + "\n")
    return path


def _path(cluster: str, profile: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpc-sweeps"
    return folder / f"{re.sub(r'[^A-Za-z0-9._-]', '-', f'{cluster}-{profile}')}.json"
