"""Export to TensorBoard: one event file per trial."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store import Run, RunError, replacing

if TYPE_CHECKING:
    pass

from hpc.results.exports.base import Course, Exported, Spans, courses_of, last_common_epoch, params_of

STATE = ".hpc-export.json"
"""What is written already, in the folder of TensorBoard's files."""


@dataclass
class _Written:
    """What is in a trial's event file.

    Attributes:
        file: its name.
        bytes: of it that are whole.
        spans: of the epochs in it.
        state: of the trial, as it was written last; empty if none was.
    """

    file: str
    bytes: int = 0
    spans: Spans = field(default_factory=list)
    state: str = ""


def to_tensorboard(run: Run, out: Path) -> Exported:
    """Write a run for TensorBoard."""
    try:
        from tensorboard.compat.proto import event_pb2  # noqa: F401
    except ImportError:
        raise RunError("TensorBoard is not installed; pip install 'hpc-sweeps[tensorboard]'.") from None
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = _known(out)
        changed = epochs = 0
        courses = courses_of(run)
        for course in courses:
            name = course.trial.trial_id
            before = known.get(name)
            if before is None or not _is_there(out / name / before.file, before.bytes):
                before = _Written(f"events.out.tfevents.{course.trial.attempt.started:010.0f}.hpc")
                (out / name / before.file).unlink(missing_ok=True)
            known[name], new = _write_events(run, course, out / name, before)
            changed += known[name] != before
            epochs += new
        with replacing(out / STATE) as scratch:
            scratch.write_text(json.dumps({name: vars(written) for name, written in known.items()}))
    except OSError as error:
        raise RunError(f"{out} can't be written: {error}.") from None
    return Exported(str(out), len(courses), changed, epochs)


def _known(out: Path) -> dict[str, _Written]:
    try:
        found = json.loads((out / STATE).read_text())
        return {name: _Written(**entries) for name, entries in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise RunError(
            f"{out / STATE} is broken, so what is exported is not known; remove {out} and export again."
        ) from None


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size >= size


def _write_events(run: Run, course: Course, folder: Path, before: _Written) -> tuple[_Written, int]:
    """Append what is new to the event file of a trial; what is written now, and how many epochs."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.record_writer import RecordWriter

    trial, attempt = course.trial, course.trial.attempt
    agreed = last_common_epoch(before.spans, course.spans)
    new = [epoch for epoch in course.epochs if epoch.number > agreed]
    is_back = bool(before.spans) and before.spans[-1][1] > agreed
    if before.bytes and not new and not is_back and before.state == trial.state:
        return before, 0
    folder.mkdir(exist_ok=True)
    path = folder / before.file
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(before.bytes)  # what an interrupted export has written beyond
        file.seek(before.bytes)
        # TensorBoard's own EventFileWriter would import TensorFlow, which this class does not.
        writer = RecordWriter(file)

        def write(seconds: float, step: int = 0, **entries: Any) -> None:
            writer.write(event_pb2.Event(wall_time=seconds, step=step, **entries).SerializeToString())

        if not before.bytes:
            write(attempt.started, file_version="brain.Event:2")
            params = {name: _as_hparam(value) for name, value in params_of(run, trial).items()}
            begun = summary_v2.hparams_pb(params, trial.trial_id, attempt.started)
            write(attempt.started, summary=begun)
        if is_back:  # an attempt was lost, and its epochs are made anew: those after this are void
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            write(attempt.started, agreed + 1, session_log=start)
        for epoch in new:
            write(epoch.time, epoch.number, summary=_scalars(epoch.metrics))
        if before.state != trial.state:
            last = course.last(run.metric)
            if last:
                write(attempt.ended, attempt.epochs, summary=_scalars(last))
            states = {"finished": api_pb2.STATUS_SUCCESS, "pruned": api_pb2.STATUS_SUCCESS,
                      "failed": api_pb2.STATUS_FAILURE, "running": api_pb2.STATUS_RUNNING}  # fmt: skip
            status = states.get(trial.state, api_pb2.STATUS_UNKNOWN)
            end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=attempt.ended)
            if trial.state != "running":
                write(attempt.ended, summary=_hparams_summary(end))
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return _Written(before.file, size, course.spans, trial.state), len(new)


def _as_hparam(value: Any) -> bool | float | str:
    """A value as the HParams tab takes it."""
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _scalars(values: Mapping[str, float]) -> Any:
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    )


def _hparams_summary(end: Any) -> Any:
    """How a trial ended, for the HParams tab."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    value = summary_pb2.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )  # fmt: skip
    return summary_pb2.Summary(value=[value])
