"""The folder of a run, and what its records say of every trial."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from hpc.results.store.disk import naming, words
from hpc.results.store.records import EPOCH, Mark, Records, Tail, parse, trial_of_epoch
from hpc.results.store.seal import Seal, copies_in, is_kept, seal_in, seal_of, text_in
from hpc.results.store.trial import STATES, Attempt, TrialState, checked

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
"""What each kind of record must have to be taken in."""
_FURTHER: dict[str, Any] = {
    "model": str, "code": str, "weights": str, "why": str, "log": (str, type(None)), "confusion": dict,
    "file": str, "fold": (int, type(None)), "after": (dict, type(None)),
    "ranks": int, "lanes": int, "groups": int, "workers": int, "trials": int, "stage": str, "limits": dict,
    "searching_seconds": _NUMBER, "samples": int, "batch_size": int, "parameters": int,
    "gradient_bytes": int, "nodes": _NUMBER, "cores": _NUMBER, "gpus": _NUMBER, "seconds": _SOME,
    "training_seconds": _NUMBER, "drawing_seconds": _NUMBER, "energy_joules": _SOME,
    "elapsed_seconds": _SOME, "queue_seconds": _SOME, "ended": _SOME, "began": _SOME,
    "job": str, "launch": int, "boot": str, "uptime": _NUMBER,
}  # fmt: skip
"""Of what kind entries are that some records have."""
_UNREAD = {"checkpoint", "pack"}
"""Kinds that say nothing of a trial's state."""
FIRST = "run.jsonl"
"""The file of records that commands write, which begins with the plan."""
KINDS = {*_ENTRIES, *_UNREAD}
"""What a record can be."""
_SNAPSHOT_VERSION = 3
_LATEST = 253_402_300_800.0
"""The end of the year 9999, in seconds since 1970: no file system, no table and no person goes farther."""
_LARGEST = 2**63 - 1
"""Above which a whole number has no place in a table."""
MOST_LOST = 2
"""Times that a search lets a worker be lost in a trial at the same epoch; then the trial has failed."""
ACCOUNT = ("elapsed_seconds", "nodes", "cores", "gpus", "energy_joules", "queue_seconds")
"""What SLURM's accounting says of a job that has ended."""


class RunError(ValueError):
    """A folder that is no run, or not one that can be used as asked."""


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

    What it tells does not depend on the order in which the files of records are read.

    Raises:
        RunError: there is no such folder, or it is not one of a run, or nothing in it tells the objective.
    """

    def __init__(self, folder: str | Path, *, keep_epochs: bool = False, job: str | None = None) -> None:
        self.folder = Path(folder)
        if not self.sweep_file.is_file():
            if copies_in(self.records / FIRST):
                raise RunError(
                    f"{self.folder} has lost its sweep.yaml. `hpc resume {self.folder}` writes it again from "
                    "the copy in its records."
                )
            state = "holds no sweep.yaml" if self.folder.is_dir() else "does not exist"
            hint = ""
            if any(path.name != FIRST for path in self.records.glob("[!.]*.jsonl")):
                hint = (
                    f" What trials came to is still in {self.records}, but not what they were: put "
                    "sweep.yaml or records/run.jsonl back from a copy."
                )
            raise RunError(f"{self.folder} is not the folder of a run: it {state}.{hint}")
        self.name = self.folder.name
        self.metric = self.mode = ""
        self.space: list[str] = []
        self.trials: dict[str, TrialState] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.arrays: dict[str, dict[str, Any]] = {}
        self.launches: list[dict[str, Any]] = []
        self.noted: dict[str, float] = {}
        self.objectives: list[tuple[str, str]] = []
        self.planned = 0
        self.is_told = False
        self.ending: dict[str, Any] = {}
        self.study: dict[str, Any] = {}
        self.sweep_texts: list[str] = []
        self._skipped: Counter[tuple[str, str]] = Counter()
        self._early: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        self._touched: dict[int, Attempt] = {}
        self._begun: set[str] = set()
        self._seen: dict[str, str] = {}
        self._keep_epochs = keep_epochs
        self._job = job
        self._tail = Tail(self.records, first=FIRST)
        self._remembered = 0
        if not keep_epochs and job is None:
            self._recall()
        if not self.metric:
            self._find_objective()
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
        """The number of the next launch, which no job has had, though its folder may have been removed."""
        numbers = [int(path.name) for path in self.jobs_folder.iterdir() if path.name.isdigit()]
        numbers += [found for job in self.jobs if (found := self._launch_number(job)) is not None]
        return max(numbers, default=0) + 1

    def _launch_number(self, job: str) -> int | None:
        """As its record has it, or its name: those of this machine are ``local-<launch>-<worker>``."""
        named = re.search(r"-(\d+)-\d+$", job)
        number: int | None = self.jobs.get(job, {}).get("launch", int(named[1]) if named else None)
        return number

    def refresh(self) -> None:
        """Take in what has been recorded since the last time.

        Most lines are of epochs, and a finished trial says itself how it ended; so unless
        epochs are kept, only those of trials under way are read.
        """
        known = len(self.trials)
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
        if len(self.trials) > known:
            self.trials = dict(sorted(self.trials.items(), key=lambda item: (item[1].index, item[0])))
        self._settle()

    def _settle(self) -> None:
        """Say what attempts have come to of which something was read."""
        if self._begun:
            attempts = [one for trial in self.trials.values() for one in trial.attempts.values()]
            self._touched |= {id(one): one for one in attempts if one.job_id in self._begun}
        for attempt in self._touched.values():
            attempt.settle(self.jobs.get(attempt.job_id, {}).get("begins", []), self.better)
        self._touched, self._begun = {}, set()

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
        for file in (file for records in self._early.values() for file, _, _ in records):
            why = "records of trials that no other record tells of"
            found.setdefault(file, {})[why] = found.get(file, {}).get(why, 0) + 1
        return found

    @property
    def unknown(self) -> set[str]:
        """Trials of which something is told, but not what they are."""
        return set(self._early)

    @property
    def notes(self) -> list[str]:
        """What workers and commands have noted, each once, the earliest first."""
        return sorted(self.noted, key=lambda text: (self.noted[text], text))

    def faults(self) -> list[str]:
        """What of the run's folder is not as the run has left it, in sentences."""
        text = text_in(self.sweep_file) or ""
        seal = seal_in(text)
        if text and text not in self.sweep_texts and (self.sweep_texts or seal):
            return Run(self.folder)._faults(text, seal)  # a command may have extended it meanwhile
        return self._faults(text, seal)

    def _faults(self, text: str, seal: Seal | None) -> list[str]:
        found = []
        if not is_kept(text, self.sweep_texts) and (self.sweep_texts or (seal and not seal.is_whole)):
            found.append(
                f"{self.sweep_file} is not as the run has written it: it was edited, or damaged. That counts "
                "for nothing in this table, and the run is not gone on with; `hpc resume` says which lines "
                "differ. For other settings start another run: hpc run SWEEP --set KEY=VALUE --dir FOLDER"
            )
        lost = (seal.planned if seal else 0) - len(self.trials)
        if lost > 0:
            found.append(
                f"{self.records}/run.jsonl has lost the plan of {lost} of {seal and seal.planned} trials; "
                f"hpc resume {self.folder} plans them again."
            )
        elif not self.is_told:
            found.append(
                f"{self.records}/run.jsonl no longer says what the run is; {self.sweep_file} does, and "
                f"hpc resume {self.folder} writes it again."
            )
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
                self._file = file
                getattr(self, f"_on_{kind}")(record)
            except _UnknownTrialError:
                self._early.setdefault(record["trial"], []).append((file, kind, record))
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
        if self._early:  # which a snapshot does not hold
            return
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
            job: by its name.
            time: of something that it did, by which records of earlier versions are told.
        """
        number = self._launch_number(job)
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

        from hpc.results.analysis.winners import winner
        from hpc.results.tables.gathering import leaderboard

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

    def _find_objective(self) -> None:
        """Learn what the run is after, before anything is read that it decides.

        Raises:
            RunError: neither the records nor ``sweep.yaml`` say.
        """
        try:
            with (self.records / "run.jsonl").open("rb") as file:
                record = parse(file.readline())
        except OSError:
            record = {}
        is_whole = record.get("record") == "sweep" and not _wrong(record, _ENTRIES["sweep"])
        if not is_whole or record["mode"] not in ("min", "max"):
            record = _told_by(self.sweep_file)
        self._describe(record)

    def _describe(self, record: Mapping[str, Any]) -> None:
        self.name, self.space = record["name"], list(record["space"])
        given = record.get("objectives") or [[record["metric"], record["mode"]]]
        self.objectives = [(str(name), str(mode)) for name, mode in given]
        self.metric, self.mode = record["metric"], record["mode"]
        seal = seal_of(self.sweep_file)
        self.planned = max(self.planned, record.get("trials", 0), seal.trials if seal else 0)

    def _on_sweep(self, record: Mapping[str, Any]) -> None:
        if (record["metric"], record["mode"]) != (self.metric, self.mode):
            raise ValueError(f"{record['metric']} {record['mode']}, and not {self.metric} {self.mode}")
        self._describe(record)
        self.is_told = True
        self.sweep_texts += [record["file"]] if "file" in record else []

    def _on_study(self, record: Mapping[str, Any]) -> None:
        self.study = {"name": record["name"], "storage": record["storage"]}

    def _on_over(self, record: Mapping[str, Any]) -> None:
        if record["time"] >= self.ending.get("time", 0.0):
            self.ending = {name: record.get(name) for name in ("why", "time", "limits", "job")}

    def _on_extended(self, record: Mapping[str, Any]) -> None:
        self.planned = max(self.planned, record["trials"])

    def _on_stored(self, record: Mapping[str, Any]) -> None:
        self.sweep_texts.append(record["file"])

    def _on_planned(self, record: Mapping[str, Any]) -> None:
        self._trial(record)

    def _forget_what_varies(self) -> None:
        for name in ("varying", "has_seeds", "has_folds", "has_models"):
            self.__dict__.pop(name, None)  # computed from the trials that were known before

    def _on_submitted(self, record: Mapping[str, Any]) -> None:
        self.jobs[record["job"]] = {**self.jobs.get(record["job"], {}), **record}

    def _on_ended(self, record: Mapping[str, Any]) -> None:
        job = self.jobs.setdefault(record["job"], {})
        job.update(ended=record["how"], why=record.get("why", ""), ended_time=record["time"])
        job["end"] = {name: record[name] for name in ("time", "boot", "uptime") if name in record}
        if "elapsed_seconds" in record:
            job["account"] = {name: record.get(name) for name in ACCOUNT}

    def _on_accounts(self, record: Mapping[str, Any]) -> None:
        """SLURM's accounts of jobs whose end was known before; None where it keeps none."""
        for account in record["jobs"].values():
            checked(account or {})
        for name, account in record["jobs"].items():
            self.jobs.setdefault(name, {})["account"] = account

    def _on_launched(self, record: Mapping[str, Any]) -> None:
        if dict(record) not in self.launches:  # told twice
            self.launches.append(dict(record))

    def _on_submitting(self, record: Mapping[str, Any]) -> None:
        seen = {"seen": self._seen[record["name"]]} if record["name"] in self._seen else {}
        self.arrays[record["name"]] = {**seen, **self.arrays.get(record["name"], {}), **record}

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
        seen = record["job"].partition("_")[0]
        self._seen[record["name"]] = seen
        if record["name"] in self.arrays and "job" not in self.arrays[record["name"]]:
            self.arrays[record["name"]]["seen"] = seen
        self._newest(record, "began", restart=record["restart"])
        self._begun.add(record["job"])
        self._heard(record, "begins")

    def _on_ready(self, record: Mapping[str, Any]) -> None:
        held = {name: record[name] for name in ("nodes", "cores", "gpus", "groups") if name in record}
        self._newest(record, "ready", **held)
        self._heard(record)

    def _on_requeued(self, record: Mapping[str, Any]) -> None:
        self._heard(record)

    def _on_left(self, record: Mapping[str, Any]) -> None:
        self._newest(record, "left_time", left=record["how"])
        self._heard(record)
        self._heard(record, "leaves")

    def _on_unfit(self, record: Mapping[str, Any]) -> None:
        self._newest(record, "unfit", error=record["error"])
        self._heard(record)

    def _newest(self, record: Mapping[str, Any], name: str, **facts: Any) -> None:
        """Keep of a job what was told of it last: each of its groups tells, and again when it is requeued."""
        job = self.jobs.setdefault(record["job"], {})
        if record["time"] >= job.get(name, -math.inf):
            job.update({name: record["time"], **facts})

    def _heard(self, record: Mapping[str, Any], what: str = "heard") -> None:
        """Remember when a job gave a sign of itself."""
        self.jobs.setdefault(record["job"], {}).setdefault(what, []).append(record["time"])

    def _on_note(self, record: Mapping[str, Any]) -> None:
        text, time = record["text"], record.get("time", 0.0)
        self.noted[text] = min(time, self.noted.get(text, time))  # workers may all have the same to say

    def _trial(self, record: Mapping[str, Any]) -> TrialState:
        name = record["trial"]
        if name not in self.trials:
            if "index" not in record:  # of a trial of a search, whose own record may yet be read
                raise _UnknownTrialError(name)
            index, params, seed = record["index"], record["params"], record["seed"]
            model = _without_folder(record.get("model", ""))
            fold, stage = record.get("fold"), record.get("stage", "")
            self.trials[name] = TrialState(name, index, params, seed, model=model, fold=fold, stage=stage)
            self._forget_what_varies()
            for file, kind, early in self._early.pop(name, []):
                self._file = file
                getattr(self, f"_on_{kind}")(early)
        return self.trials[name]

    def _attempt(self, record: Mapping[str, Any]) -> Attempt:
        attempt = self._trial(record).attempts.setdefault(record["attempt"], Attempt())
        self._touched[id(attempt)] = attempt
        return attempt

    def _on_started(self, record: Mapping[str, Any]) -> None:
        if record.get("after"):
            checked({**record["after"]["metrics"], "best": record["after"]["best"]})
        self._attempt(record).begin(record)

    def _on_epoch(self, record: Mapping[str, Any]) -> None:
        metrics = checked(record["metrics"])
        attempt = self._attempt(record)
        attempt.pass_epoch(record, metrics.get(self.metric), self.better)
        if self._keep_epochs:
            attempt.history.append(dict(record))

    def _on_finished(self, record: Mapping[str, Any]) -> None:
        checked(record["metrics"])
        self._attempt(record).end_well("finished", record)

    def _on_pruned(self, record: Mapping[str, Any]) -> None:
        checked(record["metrics"])
        self._attempt(record).end_well("pruned", record)

    def _on_stopped(self, record: Mapping[str, Any]) -> None:
        is_its_own = self._file != FIRST
        self._attempt(record).end_badly("stopped", record, is_its_own=is_its_own)

    def _on_failed(self, record: Mapping[str, Any]) -> None:
        is_its_own = self._file != FIRST
        self._attempt(record).end_badly("failed", record, is_its_own=is_its_own)


class _UnknownTrialError(LookupError):
    """A record of a trial that is not known yet."""


def _told_by(sweep_file: Path) -> dict[str, Any]:
    """What ``sweep.yaml`` says a run is after, as the first of its records does.

    Raises:
        RunError: it says nothing of that kind.
    """
    from hpc.sweeps import SweepError, read

    try:
        sweep = read(sweep_file).entries
        given = sweep["objective"] if isinstance(sweep["objective"], list) else [sweep["objective"]]
        objectives = [[str(one["metric"]), str(one["mode"])] for one in given]
        (metric, mode), *further = objectives
        if mode not in ("min", "max"):
            raise ValueError(mode)
        found = {
            "name": str(sweep["name"]),
            "metric": metric,
            "mode": mode,
            "space": list(sweep.get("space", {})),
        }
        return {**found, "objectives": objectives} if further else found
    except (SweepError, LookupError, TypeError, ValueError, AttributeError):
        raise RunError(
            f"neither {sweep_file} nor records/{FIRST} beside it say what the run is after (the objective), "
            "so nothing can be told of it. Put one of them back from a copy."
        ) from None


_REMEMBERED = (
    "name", "metric", "mode", "space", "trials", "jobs", "arrays", "launches", "noted", "planned", "ending",
    "study", "objectives", "is_told", "sweep_texts", "_seen",
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
        if name == "time" and isinstance(value, (int, float)) and not abs(value) < _LATEST:
            return name
    return ""


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

    def facts(self) -> dict[str, Any]:
        """The entries of the record with which it begins."""
        several = {"objectives": list(self.objectives)} if self.objectives else {}
        return {
            "name": self.name, "metric": self.metric, "mode": self.mode, "space": self.space,
            "trials": self.size, "file": self.sweep, **several,
        }  # fmt: skip


def claim(folder: Path) -> None:
    """Make a folder for a run, or make sure that nothing of anybody's is in it.

    Raises:
        RunError: the folder holds something else, or what is left of a run, or can't be written.
    """
    ours = {"provenance.json", "records", "jobs"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise RunError(f"no run can be made in {folder}: {words(error, folder)}.") from None
    jobs = [path.name for path in (folder / "records").glob("[!.]*.jsonl") if path.name != FIRST]
    if jobs:
        raise RunError(
            f"{folder} holds records of a run ({jobs[0]}, {len(jobs)} in all), but its sweep.yaml is gone, "
            f"and records/{FIRST} has no copy of it. Put one back, or choose another folder with --dir."
        )
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
        record: appends one, as :meth:`hpc.results.Records.append` does.
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
            records.append("sweep", **plan.facts())
            for trial in plan.trials:
                records.append("planned", **trial)
            records.close()
        write_text(folder / "sweep.yaml", plan.sweep)
    except OSError as error:
        raise RunError(f"no run can be made in {folder}: {words(error, folder)}.") from None


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
        with naming(path):
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
