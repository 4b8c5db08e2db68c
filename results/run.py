"""The folder of a run, and what its records say of every trial."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from results.records import EPOCH, Mark, Records, Tail, parse, trial_of_epoch

STATES = ("waiting", "running", "finished", "pruned", "failed")
_NUMBER, _SOME = (int, float), (int, float, type(None))
_ENTRIES: dict[str, dict[str, Any]] = {
    "sweep": {"name": str, "metric": str, "mode": str, "space": list},
    "planned": {"trial": str, "index": int, "params": dict, "seed": int},
    "submitted": {"job": str},
    "ended": {"job": str, "how": str, "time": _NUMBER},
    "accounts": {"jobs": dict},
    "launched": {"time": _NUMBER},
    "study": {"name": str, "storage": str},
    "over": {"why": str, "time": _NUMBER},
    "extended": {"trials": int},
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
"""What each kind of record must have to be taken in."""
_FURTHER: dict[str, Any] = {
    "model": str, "code": str, "weights": str, "why": str, "log": (str, type(None)), "confusion": dict,
    "fold": (int, type(None)), "after": (dict, type(None)), "ranks": int, "lanes": int, "groups": int,
    "workers": int, "trials": int, "stage": str, "limits": dict,
    "searching_seconds": _NUMBER, "samples": int, "batch_size": int, "parameters": int,
    "gradient_bytes": int, "nodes": _NUMBER, "cores": _NUMBER, "gpus": _NUMBER, "seconds": _SOME,
    "training_seconds": _NUMBER, "drawing_seconds": _NUMBER, "energy_joules": _SOME,
    "elapsed_seconds": _SOME, "queue_seconds": _SOME, "ended": _SOME, "began": _SOME,
    "job": str, "launch": int, "boot": str, "uptime": _NUMBER,
}  # fmt: skip
"""Of what kind entries are that some records have."""
_UNREAD = {"checkpoint", "pack"}
"""Kinds that say nothing of a trial's state."""
KINDS = {*_ENTRIES, *_UNREAD}
"""What a record can be."""
_SNAPSHOT_VERSION = 2
_LARGEST = 2**63 - 1
"""Above which a whole number has no place in a table."""
MOST_LOST = 2
"""Times that a search lets a worker be lost in a trial at the same epoch; then the trial has failed."""
REASONS = ("error", "diverged", "out-of-memory", "timeout", "node-failure", "cancelled")
ACCOUNT = ("elapsed_seconds", "nodes", "cores", "gpus", "energy_joules", "queue_seconds")
"""What SLURM's accounting says of a job that has ended."""


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
        searching_seconds: that asking for it, reporting of it and telling how it ended have taken.
        energy_joules: that its devices took meanwhile; None where nobody can say.
        started: when it began, in seconds since 1970; of a pack, when its lanes did.
        ended: when it ended, or when the last was heard of it.
        facts: of what was trained: ``samples`` of the training part, ``batch_size`` (global), ``parameters``,
            ``gradient_bytes``, ``nodes``; and where it was measured what its steps took: ``steps``,
            ``steps_seconds``, ``input_seconds``, ``collective_seconds``, ``waiting_seconds``, ``reduces_by``,
            ``reduced``. Empty in records of earlier versions.
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
    searching_seconds: float = 0.0
    energy_joules: float | None = None
    ended: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


FACTS = (
    "samples", "batch_size", "parameters", "gradient_bytes", "nodes", "steps",
    "steps_seconds", "input_seconds", "collective_seconds", "waiting_seconds", "reduces_by", "reduced",
)  # fmt: skip


@dataclass
class TrialState:
    """What is known of one trial: its hyperparameters, and every attempt at it by number.

    ``fold`` is None without folds, ``model`` empty where records do not name it; ``stage`` is ``confirm``
    of a trial that confirms a point, else empty.
    """

    trial_id: str
    index: int
    params: dict[str, Any]
    seed: int
    attempts: dict[int, Attempt] = field(default_factory=dict)
    model: str = ""
    fold: int | None = None
    stage: str = ""

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
    def tier(self) -> int:
        """How much its value says: 0 of one that confirms a point, 2 of one that was pruned, else 1."""
        return 0 if self.stage else 2 if self.state == "pruned" else 1

    @property
    def losses(self) -> int:
        """How many times a worker was lost in it at the epoch where it stands."""
        return sum(one.lost and one.epochs == self.attempt.epochs for one in self.attempts.values())

    @property
    def goes_alone(self) -> bool:
        """Whether its next attempt is to be by itself: others had to suffer from it, or might."""
        last = self.attempts[max(self.attempts)] if self.attempts else Attempt()
        return last.alone or (last.state == "failed" and last.reason in ("error", "out-of-memory"))

    def spans(self) -> list[tuple[int, float]]:
        """The attempts that led to the deciding one, in order, and up to which epoch each of them counts."""
        if len(self.attempts) == 1:  # so with nearly all
            return [(next(iter(self.attempts)), math.inf)]
        attempt, end = self.attempt, math.inf
        numbers = {id(one): number for number, one in self.attempts.items()}
        found: list[tuple[int, float]] = []
        while id(attempt) in numbers and numbers[id(attempt)] not in dict(found):
            found.insert(0, (numbers[id(attempt)], end))
            if attempt.after is None:
                break
            number, end = attempt.after
            attempt = self.attempts.get(number, Attempt())
        return found

    def history(self) -> list[dict[str, Any]]:
        """The metrics of every epoch up to the deciding attempt's last, over those it went on from."""
        return [
            record
            for number, end in self.spans()
            for record in self.attempts[number].history
            if record["epoch"] <= end
        ]


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
        keep_epochs: whether to keep the metrics of every epoch, as ``TrialState.history`` needs.
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
        self.objectives: list[tuple[str, str]] = []
        self.planned = 0
        self.ending: dict[str, Any] = {}
        self.study: dict[str, Any] = {}
        self._skipped: Counter[tuple[str, str]] = Counter()
        self._keep_epochs = keep_epochs
        self._job = job
        self._tail = Tail(self.records, first="run.jsonl")
        self._remembered = 0
        if not keep_epochs and job is None:
            self._recall()
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
        read: list[tuple[str, list[bytes]]] = []
        for file, lines in self._tail.read(self._matters):
            if not self._keep_epochs:
                read.append((file, lines))
                lines = [line for line in lines if not line.startswith(EPOCH)]
            for line in lines:
                if line:
                    self._take(file, line)
        going = {t.trial_id.encode() for t in self.trials.values() if t.state not in ("finished", "pruned")}
        for file, lines in read if going else []:
            for line in lines:
                if line.startswith(EPOCH) and trial_of_epoch(line) in going:
                    self._take(file, line)

    def skipped(self) -> dict[str, dict[str, int]]:
        """What could not be read, by file: in words, and how many times.

        Of lines of epochs only ``results.epochs`` knows, since here most of them are not read.
        """
        found: dict[str, dict[str, int]] = {}
        for (file, why), number in sorted(self._skipped.items()):
            found.setdefault(file, {})[why] = number
        for file, number in self._tail.holes.items():
            found.setdefault(file, {})["blocks of NUL bytes, as a crash of a file system leaves them"] = (
                number
            )
        for file in self._tail.torn:
            found.setdefault(file, {})["last lines that are not complete, or not yet"] = 1
        return found

    def _matters(self, file: str) -> bool:
        """Whether to read a file of records: jobs that were dealt their trials have none in common."""
        if self._job is None:
            return True
        name = file.removesuffix(".jsonl").partition("-g")[0]
        mine, its = (self.jobs.get(job, {}).get("launch") for job in (self._job, name))
        return name == self._job or its is None or its != mine

    def _take(self, file: str, line: bytes) -> None:
        record = parse(line)
        kind = str(record.get("record"))
        why = ""
        if not record:
            why = "lines that are no records"
        elif kind not in _ENTRIES:
            why = "" if kind in KINDS else f"records of a kind that this version does not know: {kind}"
        elif wrong := _wrong(record, _ENTRIES[kind]):
            why = f"records of the kind {kind} without {wrong} as this version knows it"
        else:
            try:
                getattr(self, f"_on_{kind}")(record)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                why = f"records of the kind {kind} that this version can't take in ({error!r})"
        if why and not line.startswith(EPOCH):
            self._skipped[file, why] += 1

    def remember(self) -> None:
        """Keep what has been read in ``gathered/run.json``, so that to read the run again costs what is new.

        That file holds nothing that is not in the records, and may be removed at any time. A folder that
        can't be written is left as it is.
        """
        marks = self._tail.marks
        if self._keep_epochs or self._job is not None or _read(marks) - self._remembered < _WORTH_REMEMBERING:
            return
        kept = {name: getattr(self, name) for name in _REMEMBERED}
        skipped = [[*key, number] for key, number in self._skipped.items()]
        whole = {"version": _SNAPSHOT_VERSION, "marks": marks, "holes": self._tail.holes,
                 "skipped": skipped, **kept}  # fmt: skip
        path = self.folder / "gathered" / "run.json"
        try:
            path.parent.mkdir(exist_ok=True)
            with replacing(path) as scratch:
                scratch.write_bytes(to_json(whole))
            self._remembered = _read(marks)
        except (OSError, ValueError):
            pass

    def _recall(self) -> None:
        """Take up what was remembered, if the records are still those."""
        try:
            found = from_json((self.folder / "gathered" / "run.json").read_bytes())
            marks = {name: Mark(**mark) for name, mark in found["marks"].items()}
            if found["version"] != _SNAPSHOT_VERSION:
                return
            if not all(mark.is_in(self.records / name) for name, mark in marks.items()):
                return
            trials = {name: _trial_of(facts) for name, facts in found["trials"].items()}
            kept = {name: found[name] for name in _REMEMBERED}
            self._skipped = Counter({(file, why): number for file, why, number in found["skipped"]})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        for name, value in {**kept, "trials": trials}.items():
            setattr(self, name, value)
        self._tail.marks, self._tail.holes = marks, dict(found["holes"])
        self._remembered = _read(marks)

    @property
    def bytes_read(self) -> int:
        """How much of the records is taken in: they only grow, whatever the times of their files say."""
        return _read(self._tail.marks)

    def counts(self) -> dict[str, int]:
        """Number of trials in each state, and ``total``."""
        count = Counter(trial.state for trial in self.trials.values())
        # Trials of a search that learns are known only when they are asked for.
        total = len(self.trials) if self.over else max(self.planned, len(self.trials))
        count["waiting"] += total - len(self.trials)
        return {**{state: count[state] for state in STATES}, "total": total}

    @property
    def over(self) -> str:
        """Why the search has handed out no further trial, if it was not for their number; else empty.

        A later launch may have a larger budget, or another number of trials.
        """
        if not self.ending or not self._is_of_last_launch(self.ending.get("job") or "", self.ending["time"]):
            return ""
        return str(self.ending["why"])

    def launch_of(self, job: str, time: float) -> dict[str, Any]:
        """The launch that a job is of; empty if there was none.

        Args:
            job: by its name; those of this machine are ``local-<launch>-<worker>``.
            time: of something that it did, by which records of earlier versions are told.
        """
        named = re.search(r"-(\d+)-\d+$", job)
        number = self.jobs.get(job, {}).get("launch", int(named[1]) if named else None)
        before = [
            launch
            for launch in self.launches
            if (
                launch["time"] <= time
                if number is None or "launch" not in launch
                else launch["launch"] <= number
            )
        ]
        return before[-1] if before else {}

    def _is_of_last_launch(self, job: str, time: float) -> bool:
        return not self.launches or self.launch_of(job, time) is self.launches[-1]

    def bill(self) -> Bill | None:
        """Where the time of the last launch went; None if no worker of it has left in order."""
        launch = self.launches[-1] if self.launches else {}
        since = launch.get("time", 0.0)
        jobs = {
            name: job["left_time"] - job["ready"] for name, job in self.jobs.items()
            if "left_time" in job and "ready" in job and self._is_of_last_launch(name, job["ready"])
        }  # fmt: skip
        attempts = [
            attempt for trial in self.trials.values() for attempt in trial.attempts.values()
            if attempt.job_id in jobs
        ]  # fmt: skip
        if not attempts:
            return None
        return Bill(
            max(0.0, min(attempt.started for attempt in attempts) - launch.get("began", since)),
            len(jobs),
            sum(max(0.0, seconds) for seconds in jobs.values()),
            sum(attempt.training_seconds for attempt in attempts),
            sum(attempt.drawing_seconds for attempt in attempts),
            round(sum(1 / attempt.lanes for attempt in attempts if attempt.drawing_seconds > 0)),
            max(attempt.lanes for attempt in attempts),
        )

    def _repr_html_(self) -> str:
        """How the run stands, its winner and its leaderboard, for a notebook."""
        from html import escape

        from results.table import leaderboard
        from results.winner import winner

        best, counts = winner(self), self.counts()
        states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        words = f"<p>{escape(best.words())}</p>" if best else ""
        board = leaderboard(self).to_html(index=False, escape=True)
        return f"<b>{escape(self.name)}</b>: {escape(states)}{words}{board}"

    def ranked(self) -> list[TrialState]:
        """Trials that have a value of the objective and have not failed, best first.

        Those that confirm a point come before all others, and count in the place of those by which it was
        chosen, whose values are too good on average; trials that were pruned come last.
        """
        scored = [t for t in self.counted() if t.attempt.best is not None and t.state != "failed"]
        sign = -1 if self.mode == "max" else 1
        return sorted(scored, key=lambda t: (t.tier, sign * (t.attempt.best or 0.0), t.index))

    def counted(self) -> list[TrialState]:
        """All trials but those of which the point was confirmed by others since."""
        trials = list(self.trials.values())
        confirmed = {repr(t.params) for t in trials if t.stage and t.state == "finished"}
        if not confirmed:
            return trials
        return [t for t in trials if t.stage or repr(t.params) not in confirmed]

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

    @property
    def folds(self) -> int | None:
        """How many folds the data had; None without."""
        return len({trial.fold for trial in self.trials.values()}) if self.has_folds else None

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
        self.planned = max(self.planned, record.get("trials", 0))
        given = record.get("objectives") or [[self.metric, self.mode]]
        self.objectives = [(str(name), str(mode)) for name, mode in given]

    def _on_study(self, record: Mapping[str, Any]) -> None:
        self.study = {"name": record["name"], "storage": record["storage"]}

    def _on_over(self, record: Mapping[str, Any]) -> None:
        if record["time"] >= self.ending.get("time", 0.0):
            self.ending = {name: record.get(name) for name in ("why", "time", "limits", "job")}

    def _on_extended(self, record: Mapping[str, Any]) -> None:
        self.planned = max(self.planned, record["trials"])

    def _on_planned(self, record: Mapping[str, Any]) -> None:
        self._trial(record)

    def _forget_what_varies(self) -> None:
        for name in ("varying", "has_seeds", "has_folds", "has_models"):
            self.__dict__.pop(name, None)  # computed from the trials that were known before

    def _on_submitted(self, record: Mapping[str, Any]) -> None:
        self.jobs[record["job"]] = dict(record)

    def _on_ended(self, record: Mapping[str, Any]) -> None:
        job = self.jobs.setdefault(record["job"], {})
        job.update(ended=record["how"], why=record.get("why", ""), ended_time=record["time"])
        job["end"] = {name: record[name] for name in ("time", "boot", "uptime") if name in record}
        if "elapsed_seconds" in record:
            job["account"] = {name: record.get(name) for name in ACCOUNT}

    def _on_accounts(self, record: Mapping[str, Any]) -> None:
        """SLURM's accounts of jobs whose end was known before; None where it keeps none."""
        for account in record["jobs"].values():
            _checked(account or {})
        for name, account in record["jobs"].items():
            self.jobs.setdefault(name, {})["account"] = account

    def _on_launched(self, record: Mapping[str, Any]) -> None:
        if dict(record) not in self.launches:  # told twice
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
        self._heard(record, "begins")

    def _on_ready(self, record: Mapping[str, Any]) -> None:
        job = self.jobs.setdefault(record["job"], {})
        job["ready"] = record["time"]
        job.update({name: record[name] for name in ("nodes", "cores", "gpus", "groups") if name in record})
        self._heard(record)

    def _on_requeued(self, record: Mapping[str, Any]) -> None:
        self._heard(record)

    def _on_left(self, record: Mapping[str, Any]) -> None:
        self.jobs.setdefault(record["job"], {}).update(left=record["how"], left_time=record["time"])
        self._heard(record)

    def _on_unfit(self, record: Mapping[str, Any]) -> None:
        self.jobs.setdefault(record["job"], {}).update(error=record["error"])
        self._heard(record)

    def _heard(self, record: Mapping[str, Any], what: str = "heard") -> None:
        """Remember when a job gave a sign of itself."""
        self.jobs.setdefault(record["job"], {}).setdefault(what, []).append(record["time"])

    def _on_note(self, record: Mapping[str, Any]) -> None:
        if record["text"] not in self.notes:  # workers may all have the same to say
            self.notes.append(record["text"])

    def _trial(self, record: Mapping[str, Any]) -> TrialState:
        name = record["trial"]
        if name not in self.trials:
            index, params, seed = record["index"], record["params"], record["seed"]
            model = _without_folder(record.get("model", ""))
            fold, stage = record.get("fold"), record.get("stage", "")
            self.trials[name] = TrialState(name, index, params, seed, model=model, fold=fold, stage=stage)
            self._forget_what_varies()
        return self.trials[name]

    def _attempt(self, record: Mapping[str, Any]) -> Attempt:
        return self._trial(record).attempts.setdefault(record["attempt"], Attempt())

    def _on_started(self, record: Mapping[str, Any]) -> None:
        after = record.get("after")
        if after:
            number, epoch, best = int(after["attempt"]), int(after["epoch"]), after["best"]
            metrics = _checked({**after["metrics"], "best": best}) and after["metrics"]
        attempt = self._attempt(record)
        attempt.ranks, attempt.node = record["ranks"], record["node"]
        attempt.job_id, attempt.code = record["job"], record.get("code", "")
        attempt.started, attempt.lanes = record["time"], record.get("lanes", 1)
        attempt.ended = max(attempt.ended, record["time"])  # a verdict of the watching command may be there
        if after:
            attempt.after = number, epoch
            attempt.epochs = max(attempt.epochs, epoch)
            if attempt.best is None:
                attempt.best, attempt.metrics = best, metrics

    def _on_epoch(self, record: Mapping[str, Any]) -> None:
        metrics = _checked(record["metrics"])
        attempt = self._attempt(record)
        attempt.epochs, attempt.metrics = record["epoch"], metrics
        if attempt.state == "running":
            attempt.seconds, attempt.ended = record["seconds"], record.get("time") or attempt.ended
        value = metrics.get(self.metric)
        if value is not None and self.better(value, attempt.best):
            attempt.best = value
        if self._keep_epochs:
            attempt.history.append(dict(record))

    def _on_finished(self, record: Mapping[str, Any]) -> None:
        metrics = _checked(record["metrics"])
        attempt = self._attempt(record)
        attempt.state, attempt.seconds = "finished", record["seconds"]
        attempt.reason = attempt.error = ""  # a verdict of the watching command may have come first
        attempt.epochs, attempt.best = record["epochs"], record["best"]
        attempt.metrics, attempt.weights = metrics, record.get("weights", "")
        attempt.confusion = record.get("confusion", {})
        attempt.training_seconds = record.get("training_seconds", 0.0)
        attempt.drawing_seconds = record.get("drawing_seconds", 0.0)
        attempt.searching_seconds = record.get("searching_seconds", 0.0)
        attempt.energy_joules = record.get("energy_joules")
        attempt.ended = record["time"]
        attempt.facts = {name: record[name] for name in FACTS if name in record}

    def _on_pruned(self, record: Mapping[str, Any]) -> None:
        metrics = _checked(record["metrics"])
        attempt = self._attempt(record)
        attempt.state, attempt.seconds, attempt.reason, attempt.error = "pruned", record["seconds"], "", ""
        attempt.epochs, attempt.best, attempt.metrics = record["epochs"], record["best"], metrics
        attempt.training_seconds = record.get("training_seconds", 0.0)
        attempt.searching_seconds = record.get("searching_seconds", 0.0)
        attempt.energy_joules, attempt.ended = record.get("energy_joules"), record["time"]

    def _on_stopped(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        if attempt.state == "running":
            attempt.state, attempt.seconds = "waiting", record.get("seconds", attempt.seconds)
            attempt.lost = record.get("lost", False)
            attempt.alone = record.get("alone", False)
            attempt.ended = self._end(attempt, record)

    def _on_failed(self, record: Mapping[str, Any]) -> None:
        attempt = self._attempt(record)
        if attempt.state in ("running", "waiting"):
            if attempt.state == "running":
                attempt.ended = self._end(attempt, record)
            attempt.state, attempt.reason = "failed", record["reason"]
            attempt.error = record["error"]
            attempt.seconds = record.get("seconds", attempt.seconds)

    def _end(self, attempt: Attempt, record: Mapping[str, Any]) -> float:
        """When an attempt ended; what is told of it after the job was requeued comes too late to say.

        Who tells it for the worker has read its epochs, which may not be read any more.
        """
        attempt.epochs = max(attempt.epochs, record.get("epochs", 0))
        begins = self.jobs.get(attempt.job_id, {}).get("begins", [])
        is_late = any(attempt.ended < begin <= record["time"] for begin in begins)
        return float(record.get("ended", attempt.ended if is_late else record["time"]))


_REMEMBERED = (
    "name", "metric", "mode", "space", "trials", "jobs", "arrays", "launches", "notes", "planned", "ending",
    "study", "objectives",
)  # fmt: skip
_WORTH_REMEMBERING = 1_000_000
"""Bytes of records that take about as long to read as a snapshot of them to write."""


def _wrong(record: Mapping[str, Any], entries: Mapping[str, Any]) -> str:
    """The name of an entry that is missing or of another kind; empty if all is as it should be."""
    for name, of in entries.items():
        if not isinstance(record.get(name), of):
            return name
    for name, value in record.items():
        if name in _FURTHER and name not in entries and not isinstance(value, _FURTHER[name]):
            return name
        if type(value) is int and abs(value) > _LARGEST:
            return name
    return ""


def _checked(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Metrics, which are numbers or unknown."""
    for name, value in metrics.items():
        if value is not None and type(value) not in (float, int):
            raise TypeError(f"{name} is {value!r}")
    return metrics


def _read(marks: Mapping[str, Mark]) -> int:
    return sum(mark.read for mark in marks.values())


def _trial_of(facts: dict[str, Any]) -> TrialState:
    attempts = {int(number): Attempt(**attempt) for number, attempt in facts.pop("attempts").items()}
    for attempt in attempts.values():
        if attempt.after is not None:
            attempt.after = (attempt.after[0], attempt.after[1])
    return TrialState(**facts, attempts=attempts)


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
        size: how many trials there are to be, of which not all may be known yet.
        objectives: metric and mode of each, if there are several.
    """

    name: str
    metric: str
    mode: str
    space: list[str]
    trials: Iterable[Mapping[str, Any]]
    sweep: str
    provenance: str
    size: int = 0
    objectives: Sequence[tuple[str, str]] = ()


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


def record_loss(
    run: Run,
    record: Callable[..., None],
    who: Mapping[str, Any],
    why: str,
    *,
    reason: str = "error",
    error: str = "",
    most: int = MOST_LOST,
) -> None:
    """Record that a worker was lost in a trial of a search, which hands it out again, but not for ever.

    Args:
        run: as read; read on after the record.
        record: appends one, as :meth:`results.Records.append` does.
        who: entries of the attempt: ``trial``, ``attempt`` and more.
        why: in words.
        reason: of the failure, if it has cost too many workers at the same epoch.
        error: of that failure; ``why`` if empty.
        most: how many workers it may cost there.
    """
    record("stopped", **who, why=why, lost=True)
    run.refresh()
    if run.trials[who["trial"]].losses > most:
        record("failed", **who, reason=reason, error=error or why)


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
            further = {"objectives": list(plan.objectives)} if plan.objectives else {}
            records.append(
                "sweep", name=plan.name, metric=plan.metric, mode=plan.mode, space=plan.space,
                trials=plan.size, **further,
            )  # fmt: skip
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


def _without_folder(model: str) -> str:
    """A model's name as a trial has it: of ``path/to/file.py:function`` the folder does not count.

    Some records have what the user wrote, others what a stored sweep says of it.
    """
    place, colon, function = model.rpartition(":")
    return f"{place.replace(chr(92), '/').rpartition('/')[2]}:{function}" if colon else model
