"""What `hpc doctor` has found, kept for `hpc submit`."""

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


def known(cluster: str, profile: str) -> dict[str, Any]:
    """What the last check-up of a profile has found to work; empty if there was none.

    Args:
        cluster: ClusterName, as ``scontrol show config`` has it.
        profile: its name.

    Returns:
        ``time``, ``slurm`` (version), ``max_array`` (jobs in an array), ``max_submit`` and
        ``max_jobs`` (None without a limit), ``entries`` (of the profile, as they were then); and
        if the ranks have met since those entries were written, ``backend`` (``none``, ``gloo`` or
        ``mpi``) and ``mpi`` (the value of ``srun --mpi``).
    """
    try:
        facts = json.loads(_cache(cluster, profile).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(facts, dict) or (facts.get("cluster"), facts.get("profile")) != (cluster, profile):
        return {}
    return facts


def remember(cluster: str, named: Named, facts: Mapping[str, Any]) -> Path:
    """Keep what was found for ``known``; what ways to meet were found before stay, if the profile has.

    Raises:
        OSError: it can't be written.
    """
    entries = named.profile.model_dump(mode="json")
    before = known(cluster, named.name)
    same = before.get("entries") == entries
    ways: dict[str, Any] = {key: before[key] for key in ("backend", "mpi") if same and key in before}
    path = _cache(cluster, named.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    who = {"cluster": cluster, "profile": named.name, "time": now}
    kept = {**who, **ways, **facts, "entries": entries}
    write_text(path, json.dumps(kept, indent=2) + "\n")
    return path


def _cache(cluster: str, profile: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpc-sweeps"
    return folder / f"{re.sub(r'[^A-Za-z0-9._-]', '-', f'{cluster}-{profile}')}.json"
