"""A run as other tools read it: TensorBoard's event files, MLflow's experiments."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store.epochs import Epochs
from hpc.results.store.records import encodable
from hpc.results.store.run import Run, RunError, replacing
from hpc.results.store.trial import TrialState
from hpc.results.tables.gathering import counted_epochs

if TYPE_CHECKING:
    from mlflow.entities import RunTag
    from mlflow.tracking import MlflowClient

TARGETS = ("tensorboard", "mlflow")
STATE = ".hpc-export.json"
"""What is written already, in the folder of TensorBoard's files."""
LONGEST_NAME, LONGEST_VALUE, LONGEST_TAG = 250, 6000, 8000
"""Of MLflow's metrics and parameters, in characters."""
MOST_AT_ONCE = 900
"""Metrics in one request: MLflow takes 1,000, tags included."""

Spans = list[list[int]]
"""Attempts and the last epoch of each that counts, in order: ``[[1, 5], [2, 9]]``."""


@dataclass(frozen=True)
class Exported:
    """What an export has done.

    Attributes:
        out: where to: a folder, or the address of MLflow.
        trials: that have begun, and so are there now.
        changed: of these, those of which something was new.
        epochs: that were new.
    """

    out: str
    trials: int
    changed: int
    epochs: int


def export(run: Run, to: str, out: str | Path | None = None) -> Exported:
    """Write a run for another tool; the next time only what is new since.

    Args:
        run: as read; it is brought up to date first.
        to: ``tensorboard`` or ``mlflow``.
        out: for TensorBoard a folder, ``tensorboard`` in that of the run unless given. For MLflow the
            address of a tracking server or store, or a folder for an SQLite file ``mlflow.db``; unless
            given MLFLOW_TRACKING_URI, else the run's folder.

    Raises:
        RunError: there is no such tool, it is not installed, or can't write there.
    """
    run.refresh()
    if to == "tensorboard":
        return _to_tensorboard(run, Path(out or run.folder / "tensorboard"))
    if to == "mlflow":
        return _to_mlflow(run, str(out or os.environ.get("MLFLOW_TRACKING_URI") or run.folder))
    raise RunError(f"a run can't be exported to {to!r}; there are {', '.join(TARGETS)}.")


@dataclass(frozen=True)
class _Epoch:
    """One epoch that counts."""

    number: int
    time: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Course:
    """A trial and the epochs that led to where it is."""

    trial: TrialState
    spans: Spans
    epochs: list[_Epoch]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.trial.state in ("finished", "pruned")

    def last(self, metric: str) -> dict[str, float]:
        """What is measured at the end only, as on the test part; and the best value of the objective."""
        if not self.is_over:
            return {}
        attempt = self.trial.attempt
        seen = {name for epoch in self.epochs[-1:] for name in epoch.metrics}
        values = {**attempt.metrics, f"best_{metric}": attempt.best}
        return {name: value for name, value in values.items() if name not in seen and value is not None}


def _courses(run: Run) -> list[_Course]:
    """Every trial that has begun, in the order of the sweep."""
    trials = [trial for trial in run.trials.values() if trial.attempts]
    trials.sort(key=lambda trial: trial.index)
    gathered, places = counted_epochs(Epochs(run), trials)
    columns = {name: gathered.column(name).to_pylist() for name in ("attempt", "epoch", "time")}
    metrics = {
        name.removeprefix("metrics."): gathered.column(name).to_pylist()
        for name in gathered.schema.names
        if name.startswith("metrics.")
    }
    found = [_Course(trial, [], []) for trial in trials]
    for row, place in enumerate(places.tolist()):
        course, attempt, number = found[place], columns["attempt"][row], columns["epoch"][row]
        if course.spans and course.spans[-1][0] == attempt:
            course.spans[-1][1] = number
        else:
            course.spans.append([attempt, number])
        values = {name: column[row] for name, column in metrics.items() if column[row] is not None}
        course.epochs.append(_Epoch(number, columns["time"][row], values))
    return found


def _agreed(old: Sequence[Sequence[int]], new: Sequence[Sequence[int]]) -> int:
    """The last epoch up to which two courses are the same."""
    last = 0
    for before, after in zip(old, new, strict=False):
        if before[0] != after[0]:
            break
        last = min(before[1], after[1])
        if before[1] != after[1]:
            break
    return last


def _params(run: Run, trial: TrialState) -> dict[str, Any]:
    """What a trial was trained with, by the names of the table's columns."""
    taken = {name: f"param_{name}" if name in ("seed", "fold", "model") else name for name in trial.params}
    params = {taken[name]: value for name, value in trial.params.items()}
    model = {"model": trial.model} if trial.model else {}
    fold = {"fold": trial.fold} if trial.fold is not None else {}
    return {**model, **params, "seed": trial.seed, **fold}


# --- TensorBoard


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


def _to_tensorboard(run: Run, out: Path) -> Exported:
    try:
        from tensorboard.compat.proto import event_pb2  # noqa: F401
    except ImportError:
        raise RunError("TensorBoard is not installed; pip install 'hpc-sweeps[tensorboard]'.") from None
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = _known(out)
        changed = epochs = 0
        courses = _courses(run)
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


def _write_events(run: Run, course: _Course, folder: Path, before: _Written) -> tuple[_Written, int]:
    """Append what is new to the event file of a trial; what is written now, and how many epochs."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.record_writer import RecordWriter

    trial, attempt = course.trial, course.trial.attempt
    agreed = _agreed(before.spans, course.spans)
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
            params = {name: _as_hparam(value) for name, value in _params(run, trial).items()}
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


# --- MLflow


def _to_mlflow(run: Run, uri: str) -> Exported:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise RunError("MLflow is not installed; pip install 'hpc-sweeps[mlflow]'.") from None
    try:
        if not re.match(r"\w[\w+.-]*:|databricks$", uri):
            folder = Path(uri).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder / 'mlflow.db'}"
        client = MlflowClient(tracking_uri=uri)
        return _Mlflow(run, client, uri).carry_out()
    except (MlflowException, ImportError, OSError, UnicodeError) as error:
        raise RunError(f"MLflow at {uri} can't be written: {error}".rstrip(".") + ".") from None


class _Mlflow:
    """One export to MLflow.

    Args:
        run: as read.
        client: of the tracking server or store.
        uri: where that is.
    """

    def __init__(self, run: Run, client: MlflowClient, uri: str) -> None:
        self._run = run
        self._client = client
        self._uri = uri
        self._facts = _facts(run)

    def carry_out(self) -> Exported:
        """Write what is new."""
        courses = _courses(self._run)
        experiment = self._experiment()
        known = {run.data.tags["trial_id"]: run for run in self._runs(experiment)}
        changed = epochs = 0
        for course in courses:
            is_new, count = self._write(course, experiment, known.get(course.trial.trial_id))
            changed += is_new
            epochs += count
        return Exported(self._uri, len(courses), changed, epochs)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._run.name)
        if found is None:
            return str(self._client.create_experiment(self._run.name))
        if found.lifecycle_stage != "active":
            raise RunError(
                f"the experiment {self._run.name!r} is deleted in MLflow at {self._uri}; restore it "
                f"(mlflow experiments restore --experiment-id {found.experiment_id}), or export elsewhere."
            )
        return str(found.experiment_id)

    def _runs(self, experiment: str) -> Iterator[Any]:
        """MLflow's runs of this run's trials."""
        token = None
        while True:
            page = self._client.search_runs(
                [experiment], f"tags.run_id = '{self._facts['run_id']}'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _write(self, course: _Course, experiment: str, known: Any) -> tuple[bool, int]:
        """Write what is new of a trial: whether there was anything, and how many epochs."""
        from mlflow.entities import RunTag

        trial, attempt = course.trial, course.trial.attempt
        tags = {"state": trial.state, "reason": attempt.reason, "run": self._facts["run"]}
        tags |= {"error": attempt.error[:LONGEST_TAG]} if attempt.error else {}
        spans: Spans = json.loads(known.data.tags.get("epochs", "[]")) if known else []
        if known and spans and spans[-1][1] > _agreed(spans, course.spans):
            # Metrics can't be taken back, and an attempt was lost with some: they are made anew.
            self._client.delete_run(known.info.run_id)
            known, spans = None, []
        new = [epoch for epoch in course.epochs if epoch.number > _agreed(spans, course.spans)]
        is_same = known is not None and not new
        if is_same and all(known.data.tags.get(name, "") == value for name, value in tags.items()):
            return False, 0
        run_id = known.info.run_id if known else self._begin(course, experiment)
        self._log(run_id, course, new)
        was_over = known is not None and known.data.tags.get("state") == trial.state
        if course.is_over and not was_over:
            self._log_last(run_id, course)
        before = known.data.tags if known else {}
        changed = {name: value for name, value in tags.items() if before.get(name, "") != value}
        self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in changed.items()])
        status = _status(trial)
        if status in ("FINISHED", "FAILED", "KILLED"):
            self._client.set_terminated(run_id, status, round(1000 * attempt.ended))
        else:
            self._client.update_run(run_id, status)
        return True, len(new)

    def _begin(self, course: _Course, experiment: str) -> str:
        """Make a run of MLflow's, with what does not change."""
        from mlflow.entities import Param, RunTag

        trial = course.trial
        first = min(one.started or math.inf for one in trial.attempts.values())
        values = _params(self._run, trial)
        names = _names(values)
        made = self._client.create_run(
            experiment, round(1000 * first) if math.isfinite(first) else None, run_name=trial.trial_id,
            tags={"trial_id": trial.trial_id, "run_id": self._facts["run_id"], **self._facts["tags"]},
        )  # fmt: skip
        run_id = str(made.info.run_id)
        params, tags = [], _renamed(names)
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            params.append(Param(names[name], text[:LONGEST_VALUE]))
            if len(text) > LONGEST_VALUE:
                tags.append(RunTag(f"cut.{names[name]}"[:LONGEST_NAME], f"{len(text)} characters"))
        for start in range(0, max(len(params), len(tags)), 100):
            part = slice(start, start + 100)
            self._client.log_batch(run_id, params=params[part], tags=tags[part])
        return run_id

    def _log(self, run_id: str, course: _Course, epochs: Sequence[_Epoch]) -> None:
        """Log epochs, and with each part of them the mark of how far that is."""
        from mlflow.entities import Metric, RunTag

        batch: list[Metric] = []
        names = _names({name: None for epoch in epochs for name in epoch.metrics})
        for place, epoch in enumerate(epochs):
            batch += [Metric(names[name], value, round(1000 * epoch.time), epoch.number)
                      for name, value in epoch.metrics.items()]  # fmt: skip
            more = len(epochs[place + 1].metrics) if place + 1 < len(epochs) else MOST_AT_ONCE
            if len(batch) + more >= MOST_AT_ONCE:
                mark = RunTag("epochs", json.dumps(_up_to(course.spans, epoch.number)))
                self._client.log_batch(run_id, metrics=batch, tags=[mark, *_renamed(names)])
                batch = []

    def _log_last(self, run_id: str, course: _Course) -> None:
        from mlflow.entities import Metric

        attempt = course.trial.attempt
        values = course.last(self._run.metric)
        names, time = _names(values), round(1000 * attempt.ended)
        batch = [Metric(names[name], value, time, attempt.epochs) for name, value in values.items()]
        self._client.log_batch(run_id, metrics=batch, tags=_renamed(names))


def _facts(run: Run) -> dict[str, Any]:
    """What is told of every trial of a run; ``run_id`` stays when its folder is moved or copied."""
    texts = []
    for name in ("provenance.json", "sweep.yaml"):
        path = run.folder / name
        texts.append(path.read_bytes() if path.is_file() else b"")
    try:
        written = json.loads(texts[0])
    except ValueError:
        written = {}
    git, user = (written.get("git") or {}), written.get("user")
    tags = {"mlflow.source.git.commit": git.get("commit"), "mlflow.user": user}
    return {
        "run_id": hashlib.sha256(b"\0".join(texts)).hexdigest()[:16],
        "run": encodable(str(run.folder.resolve())),
        "tags": {name: encodable(str(value)) for name, value in tags.items() if value},
    }


def _status(trial: TrialState) -> str:
    """How MLflow calls the state of a trial."""
    if trial.state == "failed":
        return "KILLED" if trial.attempt.reason == "cancelled" else "FAILED"
    return {"running": "RUNNING", "waiting": "SCHEDULED"}.get(trial.state, "FINISHED")


def _up_to(spans: Spans, epoch: int) -> Spans:
    """The spans of the epochs up to one."""
    found: Spans = []
    for attempt, last in spans:
        found.append([attempt, min(last, epoch)])
        if last >= epoch:
            break
    return found


def _renamed(names: Mapping[str, str]) -> list[RunTag]:
    """Tags that keep the names that MLflow would not take."""
    from mlflow.entities import RunTag

    changed = {new: old for old, new in names.items() if old != new}
    return [RunTag(f"name.{new}"[:LONGEST_NAME], old[:LONGEST_TAG]) for new, old in changed.items()]


def _names(names: Iterable[str]) -> dict[str, str]:
    """The name in MLflow for each name: the same, unless it is refused.

    MLflow takes letters, digits, ``_``, ``-``, ``.``, space, ``:`` and ``/`` as of a path, and 250 of them.
    Whatever else there is becomes ``_``, and so that no two become the same, a digest is put behind.
    """
    found = {}
    for name in names:
        changed = re.sub(r"[^/\w.\- :]", "_", name)
        if os.path.normpath(changed) != changed or changed == "." or changed.startswith(("..", "/")):
            changed = re.sub(r"[/.]", "_", changed)
        if changed != name or not name or len(changed) > LONGEST_NAME:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            changed = f"{changed[: LONGEST_NAME - 20]}_{digest}"
        found[name] = changed
    return found
