"""Export to TensorBoard: one event file per trial."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc.results.exports.base import Course, Exported, Spans, courses_of, last_common_epoch, params_of
from hpc.results.store import Run, RunError, replacing

STATE = ".hpc-export.json"
"""What is written already, in the folder of TensorBoard's files."""


@dataclass
class _Written:
    """What is in a trial's event file.

    Attributes:
        file: its name.
        bytes: its size.
        spans: of the epochs in it.
        state: of the trial, as it was written last.
    """

    file: str
    bytes: int = 0
    spans: Spans = field(default_factory=list)
    state: str = ""

    def is_in(self, folder: Path) -> bool:
        """Whether the file is there as it was written."""
        path = folder / self.file
        return path.is_file() and path.stat().st_size == self.bytes


def to_tensorboard(run: Run, out: Path) -> Exported:
    """Write a run for TensorBoard: the event file of each trial of which something is new, as a whole.

    Args:
        run: as read.
        out: the folder, with one for each trial.

    Raises:
        RunError: TensorBoard is not installed, or the folder can't be written.
    """
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
            if before is not None and not before.is_in(out / name):
                (out / name / before.file).unlink(missing_ok=True)
                before = None
            if before is not None and (before.spans, before.state) == (course.spans, course.trial.state):
                continue
            known[name] = _write_events(run, course, out / name)
            if before is not None and before.file != known[name].file:
                (out / name / before.file).unlink(missing_ok=True)
            last = last_common_epoch(before.spans, course.spans) if before else 0
            changed += 1
            epochs += sum(epoch.number > last for epoch in course.epochs)
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


def _write_events(run: Run, course: Course, folder: Path) -> _Written:
    """Write the event file of a trial anew; each attempt has a file of its own name."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(exist_ok=True)
    path = folder / f"events.out.tfevents.{course.trial.attempt.started:010.0f}.hpc"
    with replacing(path) as scratch, scratch.open("wb") as file:
        # TensorBoard's own EventFileWriter would import TensorFlow, which this class does not.
        writer = RecordWriter(file)
        for event in _events_of(run, course):
            writer.write(event.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return _Written(path.name, size, course.spans, course.trial.state)


def _events_of(run: Run, course: Course) -> Iterator[Any]:
    """All events of a trial, in order."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2

    trial, attempt = course.trial, course.trial.attempt
    yield Event(wall_time=attempt.started, file_version="brain.Event:2")
    # For a TensorBoard that shows the file of an earlier attempt: its epochs are void.
    yield Event(wall_time=attempt.started, step=0, session_log=SessionLog(status=SessionLog.START))
    params = {name: _as_hparam(value) for name, value in params_of(run, trial).items()}
    begun = summary_v2.hparams_pb(params, trial.trial_id, attempt.started)
    yield Event(wall_time=attempt.started, summary=begun)
    for epoch in course.epochs:
        yield Event(wall_time=epoch.time, step=epoch.number, summary=_scalars(epoch.metrics))
    if last := course.last(run.metric):
        yield Event(wall_time=attempt.ended, step=attempt.epochs, summary=_scalars(last))
    if trial.state != "running":
        states = {"finished": api_pb2.STATUS_SUCCESS, "pruned": api_pb2.STATUS_SUCCESS,
                  "failed": api_pb2.STATUS_FAILURE}  # fmt: skip
        status = states.get(trial.state, api_pb2.STATUS_UNKNOWN)
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=attempt.ended)
        yield Event(wall_time=attempt.ended, summary=_hparams_summary(end))


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
