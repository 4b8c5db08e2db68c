"""The folding of records into the state of a run, in whatever order they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from hpc.results.store.attempt import Attempt, checked
from hpc.results.store.changes import CHANGES
from hpc.results.store.folder import FIRST
from hpc.results.store.reading import EPOCH, parse
from hpc.results.store.schema import KINDS, REQUIRED, wrong_entry
from hpc.results.store.state import RunState
from hpc.results.store.trial import TrialState


class Folding:
    """Takes records into the state of a run.

    Args:
        run: whose state it is.
        keep_epochs: whether to keep the metrics of every epoch.

    Attributes:
        skipped: how many lines could not be taken in, by file and reason.
        early: records of trials that are not known yet, by trial: file, kind and record.
    """

    def __init__(self, run: RunState, *, keep_epochs: bool) -> None:
        self.skipped: Counter[tuple[str, str]] = Counter()
        self.early: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        self._run = run
        self._keep_epochs = keep_epochs
        self._changed: dict[int, Attempt] = {}
        self._begun: set[str] = set()

    def take(self, file: str, line: bytes) -> None:
        """Take in one line of a file of records; one that can't be taken in is counted as skipped."""
        record = parse(line)
        kind = str(record.get("record"))
        why = ""
        if not record:
            why = "lines that are no records"
        elif kind not in REQUIRED:
            why = "" if kind in KINDS else f"records of a kind that this version does not know: {kind}"
        elif wrong := wrong_entry(record, REQUIRED[kind]):
            why = f"records of the kind {kind} without {wrong} as this version knows it"
        else:
            try:
                self._apply(file, kind, record)
            except _UnknownTrialError:
                self.early.setdefault(record["trial"], []).append((file, kind, record))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                why = f"records of the kind {kind} that this version can't take in ({error!r})"
        if why and not line.startswith(EPOCH):
            self.skipped[file, why] += 1

    def settle(self) -> None:
        """Decide the state of each attempt of which something was read."""
        run = self._run
        if self._begun:
            attempts = [one for trial in run.trials.values() for one in trial.attempts.values()]
            self._changed |= {id(one): one for one in attempts if one.job_id in self._begun}
        for attempt in self._changed.values():
            attempt.settle(run.jobs.get(attempt.job_id, {}).get("begins", []), run.better)
        self._changed, self._begun = {}, set()

    def _apply(self, file: str, kind: str, record: Mapping[str, Any]) -> None:
        if kind in _TRIAL_CHANGES:
            _TRIAL_CHANGES[kind](self, record, file)
            return
        CHANGES[kind](self._run, record)
        if kind == "began":  # which may have a say in how earlier attempts of the job ended
            self._begun.add(record["job"])

    def _trial(self, record: Mapping[str, Any]) -> TrialState:
        name, trials = record["trial"], self._run.trials
        if name not in trials:
            if "index" not in record:  # of a trial of a search, whose own record may yet be read
                raise _UnknownTrialError(name)
            index, params, seed = record["index"], record["params"], record["seed"]
            model = _without_folder(record.get("model", ""))
            fold, stage = record.get("fold"), record.get("stage", "")
            case = record.get("case", "")
            self._run.add(
                TrialState(name, index, params, seed, model=model, fold=fold, stage=stage, case=case)
            )
            for file, kind, early in self.early.pop(name, []):
                self._apply(file, kind, early)
        return trials[name]

    def _attempt(self, record: Mapping[str, Any]) -> Attempt:
        attempt = self._trial(record).attempts.setdefault(record["attempt"], Attempt())
        self._changed[id(attempt)] = attempt
        return attempt

    def _planned(self, record: Mapping[str, Any], file: str) -> None:
        self._trial(record)

    def _started(self, record: Mapping[str, Any], file: str) -> None:
        if record.get("after"):
            checked({**record["after"]["metrics"], "best": record["after"]["best"]})
        self._attempt(record).begin(record)

    def _epoch(self, record: Mapping[str, Any], file: str) -> None:
        metrics = checked(record["metrics"])
        attempt = self._attempt(record)
        attempt.pass_epoch(record, metrics.get(self._run.metric), self._run.better)
        if self._keep_epochs:
            attempt.history.append(dict(record))

    def _finished(self, record: Mapping[str, Any], file: str) -> None:
        checked(record["metrics"])
        self._attempt(record).end_well("finished", record)

    def _pruned(self, record: Mapping[str, Any], file: str) -> None:
        checked(record["metrics"])
        self._attempt(record).end_well("pruned", record)

    def _stopped(self, record: Mapping[str, Any], file: str) -> None:
        self._attempt(record).end_badly("stopped", record, is_its_own=file != FIRST)

    def _failed(self, record: Mapping[str, Any], file: str) -> None:
        self._attempt(record).end_badly("failed", record, is_its_own=file != FIRST)


_TRIAL_CHANGES: dict[str, Callable[[Folding, Mapping[str, Any], str], None]] = {
    "planned": Folding._planned,
    "started": Folding._started,
    "epoch": Folding._epoch,
    "finished": Folding._finished,
    "pruned": Folding._pruned,
    "stopped": Folding._stopped,
    "failed": Folding._failed,
}
"""By the kind of a record of a trial: the method that takes it in, with the name of its file."""


class _UnknownTrialError(LookupError):
    """A record of a trial that is not known yet."""


def _without_folder(model: str) -> str:
    """A model's name as a trial has it: of ``path/to/file.py:function`` the folder does not count.

    Some records have what the user wrote, others what a stored sweep says of it.
    """
    place, colon, function = model.rpartition(":")
    return f"{place.replace(chr(92), '/').rpartition('/')[2]}:{function}" if colon else model
