"""The snapshot of a run's state, ``gathered/run.json``, so that reading the run again costs what is new.

The file holds nothing that is not in the records, and may be removed at any time.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic_core import from_json, to_json

from hpc.results.store.attempt import Attempt
from hpc.results.store.files import replacing
from hpc.results.store.folding import Folding
from hpc.results.store.reading import Mark, Tail
from hpc.results.store.state import RunState
from hpc.results.store.trial import TrialState

VERSION = 3
MIN_BYTES = 1_000_000
"""New bytes of records that take about as long to read as a snapshot to write."""
_KEYS = {
    "name": "name", "metric": "metric", "mode": "mode", "space": "space", "trials": "trials", "jobs": "jobs",
    "arrays": "arrays", "launches": "launches", "noted": "noted", "planned": "planned", "ending": "ending",
    "study": "study", "objectives": "objectives", "is_told": "is_told", "sweep_texts": "sweep_texts",
    "jobs_seen": "_seen",
}  # fmt: skip
"""The attributes of :class:`RunState` that are kept, and their keys in the file."""
_ATTEMPT_KEYS = {"tracing_seconds": "drawing_seconds", "workload": "facts", "reports": "told"}
"""The attributes of :class:`Attempt` whose keys in the file are others."""


def save(run: RunState, tail: Tail, folding: Folding, *, since: int) -> int:
    """Write the snapshot, if enough is new; a folder that can't be written is left as it is.

    Args:
        run: as read.
        tail: by which it was read.
        folding: into it.
        since: bytes of records that were taken in when the last snapshot was written.

    Returns:
        The same of the snapshot that is there now.
    """
    if folding.early:  # which a snapshot does not hold
        return since
    if tail.bytes_read - since < MIN_BYTES:
        return since
    kept = {key: getattr(run, name) for name, key in _KEYS.items()}
    kept["trials"] = {name: _as_entries(trial) for name, trial in run.trials.items()}
    skipped = [[*key, number] for key, number in folding.skipped.items()]
    whole = {"version": VERSION, "marks": tail.marks, "holes": tail.holes, "skipped": skipped, **kept}
    path = run.folder / "gathered" / "run.json"
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as scratch:
            scratch.write_bytes(to_json(whole))
    except (OSError, ValueError):
        return since
    return tail.bytes_read


def load(run: RunState, tail: Tail, folding: Folding) -> int:
    """Take up the snapshot, if there is one and the records are still those it was made of.

    Returns:
        How many bytes of records it was made of; 0 without.
    """
    try:
        found = from_json((run.folder / "gathered" / "run.json").read_bytes())
        marks = {name: Mark(**mark) for name, mark in found["marks"].items()}
        if found["version"] != VERSION:
            return 0
        if not all(mark.is_in(run.records / name) for name, mark in marks.items()):
            return 0
        trials = {name: _trial_of(entries) for name, entries in found["trials"].items()}
        kept = {name: found[key] for name, key in _KEYS.items()}
        folding.skipped = Counter({(file, why): number for file, why, number in found["skipped"]})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0
    for name, value in {**kept, "trials": trials}.items():
        setattr(run, name, value)
    tail.marks, tail.holes = marks, dict(found["holes"])
    return tail.bytes_read


def _as_entries(trial: TrialState) -> dict[str, Any]:
    attempts = {
        number: {_ATTEMPT_KEYS.get(name, name): value for name, value in vars(attempt).items()}
        for number, attempt in trial.attempts.items()
    }
    return {**vars(trial), "attempts": attempts}


def _trial_of(entries: dict[str, Any]) -> TrialState:
    attempts = {int(number): _attempt_of(one) for number, one in entries.pop("attempts").items()}
    return TrialState(**entries, attempts=attempts)


def _attempt_of(entries: dict[str, Any]) -> Attempt:
    for name, key in _ATTEMPT_KEYS.items():
        entries[name] = entries.pop(key)
    attempt = Attempt(**entries)
    if attempt.after is not None:
        attempt.after = (attempt.after[0], attempt.after[1])
    return attempt
