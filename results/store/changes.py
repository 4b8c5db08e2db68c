"""How each kind of record changes the state of a run, but for those of trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from hpc.results.store.attempt import checked
from hpc.results.store.state import RunState

Record = Mapping[str, Any]
ACCOUNT = ("elapsed_seconds", "nodes", "cores", "gpus", "energy_joules", "queue_seconds")
"""What SLURM's accounting says of a job that has ended."""


def _sweep(run: RunState, record: Record) -> None:
    if (record["metric"], record["mode"]) != (run.metric, run.mode):
        raise ValueError(f"{record['metric']} {record['mode']}, and not {run.metric} {run.mode}")
    run.describe(record)
    run.is_told = True
    run.sweep_texts += [record["file"]] if "file" in record else []


def _stored(run: RunState, record: Record) -> None:
    run.sweep_texts.append(record["file"])


def _study(run: RunState, record: Record) -> None:
    run.study = {"name": record["name"], "storage": record["storage"]}


def _over(run: RunState, record: Record) -> None:
    if record["time"] >= run.ending.get("time", 0.0):
        run.ending = {name: record.get(name) for name in ("why", "time", "limits", "job")}


def _extended(run: RunState, record: Record) -> None:
    run.planned = max(run.planned, record["trials"])


def _note(run: RunState, record: Record) -> None:
    text, time = record["text"], record.get("time", 0.0)
    run.noted[text] = min(time, run.noted.get(text, time))  # workers may all have the same to say


def _launched(run: RunState, record: Record) -> None:
    if dict(record) not in run.launches:  # recorded twice
        run.launches.append(dict(record))


def _submitted(run: RunState, record: Record) -> None:
    run.jobs[record["job"]] = {**run.jobs.get(record["job"], {}), **record}


def _ended(run: RunState, record: Record) -> None:
    job = run.jobs.setdefault(record["job"], {})
    job.update(ended=record["how"], why=record.get("why", ""), ended_time=record["time"])
    job["end"] = {name: record[name] for name in ("time", "boot", "uptime") if name in record}
    if "elapsed_seconds" in record:
        job["account"] = {name: record.get(name) for name in ACCOUNT}


def _accounts(run: RunState, record: Record) -> None:
    """Take in SLURM's accounts of jobs whose end was known before; None where it keeps none."""
    for account in record["jobs"].values():
        checked(account or {})
    for name, account in record["jobs"].items():
        run.jobs.setdefault(name, {})["account"] = account


def _submitting(run: RunState, record: Record) -> None:
    seen = {"seen": run.jobs_seen[record["name"]]} if record["name"] in run.jobs_seen else {}
    run.arrays[record["name"]] = {**seen, **run.arrays.get(record["name"], {}), **record}


def _array(run: RunState, record: Record) -> None:
    """SLURM has answered: the array ``name`` is the job ``job``."""
    array = run.arrays.setdefault(record["name"], {})
    array["job"] = record["job"]
    for index in range(array.get("size", 0)):
        name = f"{record['job']}_{index}"
        element = {"job": name, "array": record["name"], "launch": array["launch"],
                   "number": array["first"] + index, "ranks": array["ranks"],
                   "log": f"jobs/{array['launch']}/{name}_log.out"}  # fmt: skip
        run.jobs[name] = {**element, **run.jobs.get(name, {})}


def _dropped(run: RunState, record: Record) -> None:
    run.arrays.get(record["name"], {})["dropped"] = True


def _began(run: RunState, record: Record) -> None:
    seen = record["job"].partition("_")[0]
    run.jobs_seen[record["name"]] = seen
    if record["name"] in run.arrays and "job" not in run.arrays[record["name"]]:
        run.arrays[record["name"]]["seen"] = seen
    _keep_newest(run, record, "began", restart=record["restart"])
    _keep_time(run, record, "begins")


def _ready(run: RunState, record: Record) -> None:
    held = {name: record[name] for name in ("nodes", "cores", "gpus", "groups") if name in record}
    _keep_newest(run, record, "ready", **held)
    _keep_time(run, record)


def _left(run: RunState, record: Record) -> None:
    _keep_newest(run, record, "left_time", left=record["how"])
    _keep_time(run, record)
    _keep_time(run, record, "leaves")


def _unfit(run: RunState, record: Record) -> None:
    _keep_newest(run, record, "unfit", error=record["error"])
    _keep_time(run, record)


def _keep_newest(run: RunState, record: Record, name: str, **entries: Any) -> None:
    """Keep the latest record of a kind: each group of a job writes one, and again when it is requeued."""
    job = run.jobs.setdefault(record["job"], {})
    if record["time"] >= job.get(name, -math.inf):
        job.update({name: record["time"], **entries})


def _keep_time(run: RunState, record: Record, name: str = "heard") -> None:
    """Keep when a job gave a sign of life."""
    run.jobs.setdefault(record["job"], {}).setdefault(name, []).append(record["time"])


CHANGES: dict[str, Callable[[RunState, Record], None]] = {
    "sweep": _sweep,
    "stored": _stored,
    "study": _study,
    "over": _over,
    "extended": _extended,
    "note": _note,
    "launched": _launched,
    "submitted": _submitted,
    "submitting": _submitting,
    "array": _array,
    "dropped": _dropped,
    "began": _began,
    "ready": _ready,
    "requeued": _keep_time,
    "left": _left,
    "unfit": _unfit,
    "ended": _ended,
    "accounts": _accounts,
}
"""By the kind of a record: the function that takes it in."""
