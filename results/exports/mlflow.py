"""Export to MLflow: one run of an experiment per trial."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store import Run, RunError, TrialState, encodable

if TYPE_CHECKING:
    from mlflow.entities import RunTag
    from mlflow.tracking import MlflowClient

from hpc.results.exports.base import Course, Epoch, Exported, Spans, courses_of, last_common_epoch, params_of

MAX_NAME, MAX_VALUE, MAX_TAG = 250, 6000, 8000
"""Of MLflow's metrics and parameters, in characters."""


MAX_BATCH = 900
"""Metrics in one request: MLflow takes 1,000, tags included."""


def to_mlflow(run: Run, uri: str) -> Exported:
    """Write what is new of a run to MLflow."""
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
        self._metadata = _metadata(run)

    def carry_out(self) -> Exported:
        """Write what is new."""
        courses = courses_of(self._run)
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
                [experiment],
                f"tags.run_id = '{self._metadata['run_id']}'",
                max_results=1000,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _write(self, course: Course, experiment: str, known: Any) -> tuple[bool, int]:
        """Write what is new of a trial: whether there was anything, and how many epochs."""
        from mlflow.entities import RunTag

        trial, attempt = course.trial, course.trial.attempt
        tags = {"state": trial.state, "reason": attempt.reason, "run": self._metadata["run"]}
        tags |= {"error": attempt.error[:MAX_TAG]} if attempt.error else {}
        spans: Spans = json.loads(known.data.tags.get("epochs", "[]")) if known else []
        if known and spans and spans[-1][1] > last_common_epoch(spans, course.spans):
            # Metrics can't be taken back, and an attempt was lost with some: they are made anew.
            self._client.delete_run(known.info.run_id)
            known, spans = None, []
        new = [epoch for epoch in course.epochs if epoch.number > last_common_epoch(spans, course.spans)]
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

    def _begin(self, course: Course, experiment: str) -> str:
        """Make a run of MLflow's, with what does not change."""
        from mlflow.entities import Param, RunTag

        trial = course.trial
        first = min(one.started or math.inf for one in trial.attempts.values())
        values = params_of(self._run, trial)
        names = safe_names(values)
        made = self._client.create_run(
            experiment, round(1000 * first) if math.isfinite(first) else None, run_name=trial.trial_id,
            tags={"trial_id": trial.trial_id, "run_id": self._metadata["run_id"], **self._metadata["tags"]},
        )  # fmt: skip
        run_id = str(made.info.run_id)
        params, tags = [], _renamed(names)
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            params.append(Param(names[name], text[:MAX_VALUE]))
            if len(text) > MAX_VALUE:
                tags.append(RunTag(f"cut.{names[name]}"[:MAX_NAME], f"{len(text)} characters"))
        for start in range(0, max(len(params), len(tags)), 100):
            part = slice(start, start + 100)
            self._client.log_batch(run_id, params=params[part], tags=tags[part])
        return run_id

    def _log(self, run_id: str, course: Course, epochs: Sequence[Epoch]) -> None:
        """Log epochs, and with each part of them the mark of how far that is."""
        from mlflow.entities import Metric, RunTag

        batch: list[Metric] = []
        names = safe_names({name: None for epoch in epochs for name in epoch.metrics})
        for place, epoch in enumerate(epochs):
            batch += [Metric(names[name], value, round(1000 * epoch.time), epoch.number)
                      for name, value in epoch.metrics.items()]  # fmt: skip
            more = len(epochs[place + 1].metrics) if place + 1 < len(epochs) else MAX_BATCH
            if len(batch) + more >= MAX_BATCH:
                mark = RunTag("epochs", json.dumps(_up_to(course.spans, epoch.number)))
                self._client.log_batch(run_id, metrics=batch, tags=[mark, *_renamed(names)])
                batch = []

    def _log_last(self, run_id: str, course: Course) -> None:
        from mlflow.entities import Metric

        attempt = course.trial.attempt
        values = course.last(self._run.metric)
        names, time = safe_names(values), round(1000 * attempt.ended)
        batch = [Metric(names[name], value, time, attempt.epochs) for name, value in values.items()]
        self._client.log_batch(run_id, metrics=batch, tags=_renamed(names))


def _metadata(run: Run) -> dict[str, Any]:
    """The tags of every trial of a run; ``run_id`` stays when its folder is moved or copied."""
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
    return [RunTag(f"name.{new}"[:MAX_NAME], old[:MAX_TAG]) for new, old in changed.items()]


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """The name in MLflow for each name: the same, unless it is refused.

    MLflow takes letters, digits, ``_``, ``-``, ``.``, space, ``:`` and ``/`` as of a path, and 250 of them.
    Whatever else there is becomes ``_``, and so that no two become the same, a digest is put behind.
    """
    found = {}
    for name in names:
        changed = re.sub(r"[^/\w.\- :]", "_", name)
        if os.path.normpath(changed) != changed or changed == "." or changed.startswith(("..", "/")):
            changed = re.sub(r"[/.]", "_", changed)
        if changed != name or not name or len(changed) > MAX_NAME:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            changed = f"{changed[: MAX_NAME - 20]}_{digest}"
        found[name] = changed
    return found
