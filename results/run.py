"""The folder of a run, and what its records say of every trial."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from results.records import EPOCH, Records, Tail, parse, trial_of_epoch

STATES = ("waiting", "running", "finished", "pruned", "failed")
REASONS = ("error", "diverged", "out-of-memory", "timeout", "node-failure", "cancelled")


class RunError(ValueError):
    """A folder that is no run, or not one that can be used as asked."""


@dataclass
class Attempt:
    """One try at a trial.

    Attributes:
        state: running, finished, pruned, failed; waiting if it was stopped, to go on later.
        reason: of a failure, one of ``REASONS``; else empty.
        error: what went wrong, its traceback included; else empty.
        epochs: how many were completed.
        metrics: the values at the end of the last epoch, by name.
        best: the best value of the objective, if any epoch was completed.
        seconds: how long it took, so far or in all.
        ranks: that trained it together.
        job_id: of the job that trained it.
        node: the host of rank 0.
        code: digest of the user's model and dataset files.
        weights: SHA-256 of the weights and the optimizer's variables at the end; else empty.
        lost: whether the whole job ended in it without a word, to go on later.
        lanes: trials that were trained at once, of which this is one.
        alone: whether the trial is to be trained by itself next.
        after: the attempt and the epoch that this one went on from; None if it began anew.
        history: the metrics of every epoch of this attempt, if they are kept.
        confusion: for the validation and the test part how many samples of each class (row) were
            taken for which (column); empty where numbers are predicted.
        training_seconds: of ``seconds``, those in which its graphs ran.
        drawing_seconds: of ``seconds``, those in which its graphs were drawn.
    """

    state: str = "running"
    reason: str = ""
    error: str = ""
    epochs: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
    best: float | None = None
    seconds: float | None = None
    ranks: int | None = None
    job_id: str = ""
    node: str = ""
    code: str = ""
    started: float = 0.0
    weights: str = ""
    lost: bool = False
    lanes: int = 1
    alone: bool = False
    after: tuple[int, int] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    training_seconds: float = 0.0
    drawing_seconds: float = 0.0


@dataclass
class TrialState:
    """What is known of one trial: its hyperparameters, and every attempt at it by number.

    ``fold`` is None without folds, ``model`` empty where records do not name it.
    """

    trial_id: str
    index: int
    params: dict[str, Any]
    seed: int
    attempts: dict[int, Attempt] = field(default_factory=dict)
    model: str = ""
    fold: int | None = None

    @property
    def attempt(self) -> Attempt:
        """The one that counts: the first that ended well, else the latest."""
        if len(self.attempts) < 2:  # so with nearly all, and asked of 10,000 many times
            return next(iter(self.attempts.values()), None) or Attempt(state="waiting")
        for number in sorted(self.attempts):
            if self.attempts[number].state in ("finished", "pruned"):
                return self.attempts[number]
        return self.attempts[max(self.attempts)]

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return self.attempt.state

    @property
    def goes_alone(self) -> bool:
        """Whether its next attempt is to be by itself: others had to suffer from it, or might."""
        last = self.attempts[max(self.attempts)] if self.attempts else Attempt()
        return last.alone or (last.state == "failed" and last.reason in ("error", "out-of-memory"))

    def history(self) -> list[dict[str, Any]]:
        """The metrics of every epoch up to the deciding attempt's last, over those it went on from."""
        attempt, records, end = self.attempt, list[dict[str, Any]](), float("inf")
        seen = [attempt]
        while True:
            records = [record for record in attempt.history if record["epoch"] <= end] + records
            before = self.attempts.get(attempt.after[0]) if attempt.after else None
            if attempt.after is None or before is None or any(before is one for one in seen):
                return records
            end, attempt = attempt.after[1], before
            seen.append(attempt)


@dataclass(frozen=True)
class Bill:
    """Where the time of a launch went, on its workers that have left in order.

    Attributes:
        start_seconds: from the command to its first trial.
        workers: how many.
        seconds: of all of them together, from being ready to leaving.
        training_seconds: of these, in which graphs ran.
        drawing_seconds: in which graphs were drawn.
        graphs: that were drawn; the other trials had those of earlier ones.
        lanes: most trials that were trained at once.
    """

    start_seconds: float
    workers: int
    seconds: float
    training_seconds: float
    drawing_seconds: float
    graphs: int
    lanes: int


class Run:
    """A run as its folder tells it. Reading it needs no scheduler and changes nothing.

    Args:
        folder: of the run.
        keep_epochs: whether to keep the metrics of every epoch, which a table by epochs needs.
        job: whose trials alone matter; records of other jobs of its launch are not read then.

    Raises:
        RunError: there is no such folder, or it is not one of a run.
    """

    def __init__(self, folder: str | Path, *, keep_epochs: bool = False, job: str | None = None) -> None:
        self.folder = Path(folder)
        if not self.sweep_file.is_file():
            state = "holds no sweep.yaml" if self.folder.is_dir() else "does not exist"
            raise RunError(f"{self.folder} is not the folder of a run: it {state}.")
        self.name = self.folder.name
        self.metric, self.mode = "val_loss", "min"
        self.space: list[str] = []
        self.trials: dict[str, TrialState] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.arrays: dict[str, dict[str, Any]] = {}
        self.launches: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._keep_epochs = keep_epochs
        self._job = job
        self._tail = Tail(self.records, first="run.jsonl")
        self.refresh()

    @property
    def sweep_file(self) -> Path:
        """The sweep as it was run."""
        return self.folder / "sweep.yaml"

    @property
    def records(self) -> Path:
        """Where the records are."""
        return self.folder / "records"

    @property
    def jobs_folder(self) -> Path:
        """Where submitit's files and the logs are."""
        return self.folder / "jobs"

    def next_launch(self) -> int:
        """The number of the next launch, whose folder is not there yet."""
        names = [path.name for path in self.jobs_folder.iterdir() if path.name.isdigit()]
        return max(map(int, names), default=0) + 1

    def refresh(self) -> None:
        """Take in what has been recorded since the last time.

        Most lines are of epochs, and a finished trial says itself how it ended; so unless
        epochs are kept, only those of trials under way are read.
        """
        epochs: list[bytes] = []
        for lines in self._tail.read(self._matters):
            if not self._keep_epochs:
                epochs += [line for line in lines if line.startswith(EPOCH)]
                lines = [line for line in lines if not line.startswith(EPOCH)]
            for line in lines:
                self._take(parse(line))
        going = {t.trial_id.encode() for t in self.trials.values() if t.state not in ("finished", "pruned")}
        for line in epochs:
            if trial_of_epoch(line) in going:
                self._take(parse(line))

    def _matters(self, file: str) -> bool:
        """Whether to read a file of records: no trial is with two jobs of one launch."""
        if self._job is None:
            return True
        name = file.removesuffix(".jsonl").partition("-g")[0]
        mine, its = (self.jobs.get(job, {}).get("launch") for job in (self._job, name))
        return name == self._job or its is None or its != mine

    def _take(self, record: Mapping[str, Any]) -> None:
        handle = getattr(self, f"_on_{record.get('record')}", None)
        if handle:
            handle(record)

    def counts(self) -> dict[str, int]:
        """Number of trials in each state, and ``total``."""
        count = Counter(trial.state for trial in self.trials.values())
        return {**{state: count[state] for state in STATES}, "total": len(self.trials)}

    def bill(self) -> Bill | None:
        """Where the time of the last launch went; None if no worker of it has left in order."""
        launch = self.launches[-1] if self.launches else {}
        since = launch.get("time", 0.0)
        jobs = {
            name: job["left_time"] - job["ready"] for name, job in self.jobs.items()
            if job.get("ready", 0.0) > since and "left_time" in job
        }  # fmt: skip
        attempts = [
            attempt for trial in self.trials.values() for attempt in trial.attempts.values()
            if attempt.job_id in jobs and attempt.started > since
        ]  # fmt: skip
        if not attempts:
            return None
        return Bill(
            min(attempt.started for attempt in attempts) - launch.get("began", since),
            len(jobs),
            sum(jobs.values()),
            sum(attempt.training_seconds for attempt in attempts),
            sum(attempt.drawing_seconds for attempt in attempts),
            round(sum(1 / attempt.lanes for attempt in attempts if attempt.drawing_seconds > 0)),
            max(attempt.lanes for attempt in attempts),
        )

    def ranked(self) -> list[TrialState]:
        """Trials that have a value of the objective and have not failed, best first."""
        scored = [t for t in self.trials.values() if t.attempt.best is not None and t.state != "failed"]
        sign = -1 if self.mode == "max" else 1
        return sorted(scored, key=lambda t: (sign * (t.attempt.best or 0.0), t.index))

    @cached_property
    def varying(self) -> list[str]:
        """Hyperparameters that differ between trials, in the order of the sweep."""
        found = []
        for name in self.space:
            values = {repr(t.params[name]) for t in self.trials.values() if name in t.params}
            if len(values) > 1:
                found.append(name)
        return found

    @cached_property
    def has_seeds(self) -> bool:
        """Whether there are trials with different seeds."""
        return len({trial.seed for trial in self.trials.values()}) > 1

    @cached_property
    def has_folds(self) -> bool:
        """Whether there are trials of different folds."""
        return len({trial.fold for trial in self.trials.values()}) > 1

    @cached_property
    def has_models(self) -> bool:
        """Whether there are trials of different models: baselines."""
        return len({trial.model for trial in self.trials.values()}) > 1

    def model_file(self, trial: TrialState) -> Path | None:
        """The trained model of a trial, if it is kept."""
        path = self.folder / "models" / f"{trial.trial_id}.keras"
        return path if path.is_file() else None

    def find(self, text: str) -> TrialState:
        """The trial whose id begins so.

        Raises:
            RunError: there is none, or there are several.
        """
        found = [trial for name, trial in self.trials.items() if name.startswith(text)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(trial.trial_id for trial in found[:5])
        what = (
            f"{len(found)} trials begin with {text!r}: {names}" if found else f"no trial begins with {text!r}"
        )
        raise RunError(f"{self.folder}: {what}; `hpc table {self.folder}` names them all.")

    def parameters(self) -> list[str]:
        """All hyperparameters, those of the space first."""
        names = dict.fromkeys(self.space)
        for trial in self.trials.values():
            names.update(dict.fromkeys(trial.params))
        return list(names)

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of the objective is better than another."""
        return than is None or (value > than if self.mode == "max" else value < than)

    def _on_sweep(self, record: Mapping[str, Any]) -> None:
        self.name = record["name"]
        self.metric, self.mode = record["metric"], record["mode"]
        self.space = list(record["space"])

    def _on_planned(self, record: Mapping[str, Any]) -> None:
        for name in ("varying", "has_seeds", "has_folds", "has_models"):
            self.__dict__.pop(name, None)  # computed from the trials that were known before
        self._trial(record)

    def _on_submitted(self, record: Mapping[str, Any]) -> None:
        self.jobs[record["job"]] = dict(record)

    def _on_ended(self, record: Mapping[str, Any]) -> None:
        self.jobs.setdefault(record["job"], {}).update(ended=record["how"], why=record.get("why", ""))

    def _on_launched(self, record: Mapping[str, Any]) -> None:
        self.launches.append(dict(record))

    def _on_submitting(self, record: Mapping[str, Any]) -> None:
        self.arrays[record["name"]] = {**self.arrays.get(record["name"], {}), **record}

    def _on_array(self, record: Mapping[str, Any]) -> None:
        """SLURM has answered: the array ``name`` is the job ``job``."""
        array = self.arrays.setdefault(record["name"], {})
        array["job"] = record["job"]
        for index in range(array.get("size", 0)):
            name = f"{record['job']}_{index}"
            facts = {"job": name, "array": record["name"], "launch": array["launch"],
                     "number": array["first"] + index, "ranks": array["ranks"],
                     "log": f"jobs/{array['launch']}/{name}_log.out"}  # fmt: skip
            self.jobs[name] = {**facts, **self.jobs.get(name, {})}

    def _on_dropped(self, record: Mapping[str, Any]) -> None:
        self.arrays.get(record["name"], {})["dropped"] = True

    def _on_began(self, record: Mapping[str, Any]) -> None:
        if record["name"] in self.arrays and "job" not in self.arrays[record["name"]]:
            self.arrays[record["name"]]["seen"] = record["job"].partition("_")[0]
        self.jobs.setdefault(record["job"], {}).update(restart=record["restart"], began=record["time"])

    def _on_ready(self, record: Mapping[str, Any]) -> None:
        self.jobs.setdefault(record["job"], {}).update(ready=record["time"])

    def _on_left(self, record: Mapping[str, Any]) -> None:
        self.jobs.setdefault(record["job"], {}).update(left=record["how"], left_time=record["time"])

    def _on_unfit(self, record: Mapping[str, Any]) -> None:
        self.jobs.setdefault(record["job"], {}).update(error=record["error"])

    def _on_note(self, record: Mapping[str, Any]) -> None:
        if record["text"] not in self.notes:  # workers may all have the same to say
            self.notes.append(record["text"])

    def _trial(self, record: Mapping[str, Any]) -> TrialState:
        name = record["trial"]
        if name not in self.trials:
            self.trials[name] = TrialState(
                name, record["index"], record["params"], record["seed"],
                model=record.get("model", ""), fold=record.get("fold"),
            )  # fmt: skip
        return self.trials[name]

    def _attempt(self, record: Mapping[str, Any]) -> Attempt:
        return self._trial(record).attempts.setdefault(record["attempt"], Attempt())

    def _on_started(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        attempt.ranks, attempt.node = record["ranks"], record["node"]
        attempt.job_id, attempt.code = record["job"], record.get("code", "")
        attempt.started, attempt.lanes = record["time"], record.get("lanes", 1)
        after = record.get("after")
        if after:
            attempt.after = after["attempt"], after["epoch"]
            attempt.epochs = max(attempt.epochs, after["epoch"])
            if attempt.best is None:
                attempt.best, attempt.metrics = after["best"], after["metrics"]

    def _on_epoch(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        attempt.epochs = record["epoch"]
        attempt.metrics = record["metrics"]
        if attempt.state == "running":
            attempt.seconds = record["seconds"]
        value = record["metrics"].get(self.metric)
        if value is not None and self.better(value, attempt.best):
            attempt.best = value
        if self._keep_epochs:
            attempt.history.append(dict(record))

    def _on_finished(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        attempt.state, attempt.seconds = "finished", record["seconds"]
        attempt.reason = attempt.error = ""  # a verdict of the watching command may have come first
        attempt.epochs, attempt.best = record["epochs"], record["best"]
        attempt.metrics, attempt.weights = record["metrics"], record.get("weights", "")
        attempt.confusion = record.get("confusion", {})
        attempt.training_seconds = record.get("training_seconds", 0.0)
        attempt.drawing_seconds = record.get("drawing_seconds", 0.0)

    def _on_stopped(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        if attempt.state == "running":
            attempt.state, attempt.seconds = "waiting", record.get("seconds", attempt.seconds)
            attempt.lost = record.get("lost", False)
            attempt.alone = record.get("alone", False)

    def _on_failed(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        if attempt.state in ("running", "waiting"):
            attempt.state, attempt.reason = "failed", record["reason"]
            attempt.error = record["error"]
            attempt.seconds = record.get("seconds", attempt.seconds)


@dataclass(frozen=True)
class Plan:
    """What a run sets out to do, as plain values.

    Attributes:
        name: of the sweep.
        metric: of the objective.
        mode: ``min`` or ``max``.
        space: names of the hyperparameters that vary.
        trials: a mapping with trial, index, params and seed for each.
        sweep: the text of ``sweep.yaml``.
        provenance: the text of ``provenance.json``.
    """

    name: str
    metric: str
    mode: str
    space: list[str]
    trials: Iterable[Mapping[str, Any]]
    sweep: str
    provenance: str


def claim(folder: Path) -> None:
    """Make a folder for a run, or make sure that nothing of anybody's is in it.

    Raises:
        RunError: the folder holds something else, or can't be written.
    """
    ours = {"provenance.json", "records", "jobs"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder} can't be used: {error}.") from None
    foreign = [name for name in names if name not in ours and not name.startswith(".tmp-")]
    if foreign:
        raise RunError(
            f"{folder} is neither empty nor the folder of a run: it holds {foreign[0]!r}. "
            "Choose another folder with --dir."
        )


def create(folder: Path, plan: Plan) -> None:
    """Fill the folder of a run; ``sweep.yaml`` comes last and makes it one.

    Raises:
        RunError: the folder holds something else, or can't be written.
    """
    claim(folder)
    try:
        (folder / "jobs").mkdir(exist_ok=True)
        (folder / "records").mkdir(exist_ok=True)
        write_text(folder / "provenance.json", plan.provenance)
        with replacing(folder / "records" / "run.jsonl") as scratch:
            records = Records(scratch)
            records.append("sweep", name=plan.name, metric=plan.metric, mode=plan.mode, space=plan.space)
            for trial in plan.trials:
                records.append("planned", **trial)
            records.close()
        write_text(folder / "sweep.yaml", plan.sweep)
    except OSError as error:
        raise RunError(f"{folder} can't be written: {error}.") from None


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it: it is there whole or not at all."""
    with replacing(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, renamed to it at the end of the block."""
    scratch = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
