"""What each kind of record has to have, so that it can be taken in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NUMBER, _SOME = (int, float), (int, float, type(None))
REQUIRED: dict[str, dict[str, Any]] = {
    "sweep": {"name": str, "metric": str, "mode": str, "space": list},
    "planned": {"trial": str, "index": int, "params": dict, "seed": int},
    "submitted": {"job": str},
    "ended": {"job": str, "how": str, "time": _NUMBER},
    "accounts": {"jobs": dict},
    "launched": {"time": _NUMBER},
    "study": {"name": str, "storage": str},
    "over": {"why": str, "time": _NUMBER},
    "extended": {"trials": int},
    "stored": {"file": str},
    "submitting": {"name": str, "launch": int, "first": int, "size": int, "ranks": int},
    "array": {"name": str, "job": str},
    "dropped": {"name": str},
    "began": {"name": str, "job": str, "restart": int, "time": _NUMBER},
    "ready": {"job": str, "time": _NUMBER},
    "requeued": {"job": str, "time": _NUMBER},
    "left": {"job": str, "how": str, "time": _NUMBER},
    "unfit": {"job": str, "error": str, "time": _NUMBER},
    "note": {"text": str},
    "started": {"trial": str, "index": int, "params": dict, "seed": int, "attempt": int, "ranks": int,
                "job": str, "node": str, "time": _NUMBER},
    "epoch": {"trial": str, "attempt": int, "epoch": int, "metrics": dict, "seconds": _NUMBER,
              "time": _SOME},
    "finished": {"trial": str, "attempt": int, "epochs": int, "metrics": dict, "best": _SOME,
                 "seconds": _NUMBER, "time": _NUMBER},
    "pruned": {"trial": str, "attempt": int, "epochs": int, "metrics": dict, "best": _SOME,
               "seconds": _NUMBER, "why": str, "time": _NUMBER},
    "stopped": {"trial": str, "attempt": int, "time": _NUMBER},
    "failed": {"trial": str, "attempt": int, "reason": str, "error": str, "time": _NUMBER},
}  # fmt: skip
"""The entries that each kind of record must have, and their types."""
OPTIONAL: dict[str, Any] = {
    "model": str, "code": str, "weights": str, "why": str, "log": (str, type(None)), "confusion": dict,
    "file": str, "case": str, "fold": (int, type(None)), "after": (dict, type(None)),
    "ranks": int, "lanes": int, "groups": int, "workers": int, "trials": int, "stage": str, "limits": dict,
    "searching_seconds": _NUMBER, "samples": int, "batch_size": int, "parameters": int,
    "gradient_bytes": int, "nodes": _NUMBER, "cores": _NUMBER, "gpus": _NUMBER, "seconds": _SOME,
    "training_seconds": _NUMBER, "drawing_seconds": _NUMBER, "energy_joules": _SOME,
    "elapsed_seconds": _SOME, "queue_seconds": _SOME, "ended": _SOME, "began": _SOME,
    "job": str, "launch": int, "boot": str, "uptime": _NUMBER,
}  # fmt: skip
"""The types of entries that some records have."""
_UNREAD = {"checkpoint", "pack"}
"""Kinds that say nothing of the state of a trial."""
KINDS = {*REQUIRED, *_UNREAD}
"""What a record can be."""
_MAX_TIME = 253_402_300_800.0
"""The end of the year 9999, in seconds since 1970: no file system, no table and no person goes farther."""
_MAX_INTEGER = 2**63 - 1
"""Above which a whole number has no place in a table."""


def wrong_entry(record: Mapping[str, Any], entries: Mapping[str, Any]) -> str:
    """The name of an entry that is missing or of another kind; empty if all is as it should be."""
    for name, of in entries.items():
        if not isinstance(record.get(name), of):
            return name
    for name, value in record.items():
        if name in OPTIONAL and name not in entries and not isinstance(value, OPTIONAL[name]):
            return name
        if type(value) is int and abs(value) > _MAX_INTEGER:
            return name
        if name == "time" and isinstance(value, (int, float)) and not abs(value) < _MAX_TIME:
            return name
    return ""
