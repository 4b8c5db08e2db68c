"""The state of a run: what its records say, taken together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc.results.store.folder import RunError, RunFolder
from hpc.results.store.seal import seal_of
from hpc.results.store.trial import STATES, TrialState


class RunState(RunFolder):
    """What the records of a run say.

    Attributes:
        name: of the sweep.
        metric: of the objective.
        mode: ``min`` or ``max``.
        objectives: metric and mode of each.
        space: names of the hyperparameters that are searched.
        trials: by their ids, in the order of the sweep.
        jobs: what is known of each job, by its name.
        arrays: what is known of each job array that was submitted, by its name.
        launches: the records of the times that the run was started, in order.
        noted: what workers and commands have noted, and when that was first.
        planned: how many trials there are to be; a search that learns plans them one by one.
        is_told: whether a record says what the run is.
        ending: why, when and by whom the search was ended before its number of trials; else empty.
        study: name and storage of the study, of a search that learns.
        sweep_texts: all that ``sweep.yaml`` has been, by the records.
        jobs_seen: jobs whose workers have begun, by the array that they say they are of.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.name = self.folder.name
        self.metric = self.mode = ""
        self.objectives: list[tuple[str, str]] = []
        self.space: list[str] = []
        self.trials: dict[str, TrialState] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.arrays: dict[str, dict[str, Any]] = {}
        self.launches: list[dict[str, Any]] = []
        self.noted: dict[str, float] = {}
        self.planned = 0
        self.is_told = False
        self.ending: dict[str, Any] = {}
        self.study: dict[str, Any] = {}
        self.sweep_texts: list[str] = []
        self.jobs_seen: dict[str, str] = {}

    def describe(self, record: Mapping[str, Any]) -> None:
        """Take in what the run is, by a record of the kind ``sweep``."""
        self.name, self.space = record["name"], list(record["space"])
        given = record.get("objectives") or [[record["metric"], record["mode"]]]
        self.objectives = [(str(name), str(mode)) for name, mode in given]
        self.metric, self.mode = record["metric"], record["mode"]
        seal = seal_of(self.sweep_file)
        self.planned = max(self.planned, record.get("trials", 0), seal.trials if seal else 0)

    def add(self, trial: TrialState) -> None:
        """Take in a trial that was not known."""
        self.trials[trial.trial_id] = trial
        for name in ("varying", "has_seeds", "has_folds", "has_models"):
            self.__dict__.pop(name, None)  # computed from the trials that were known before

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of the objective is better than another."""
        return than is None or (value > than if self.mode == "max" else value < than)

    @property
    def notes(self) -> list[str]:
        """What workers and commands have noted, each once, the earliest first."""
        return sorted(self.noted, key=lambda text: (self.noted[text], text))

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
        if not self.ending or not self.is_of_last_launch(self.ending.get("job") or "", self.ending["time"]):
            return ""
        return str(self.ending["why"])

    def launch_of(self, job: str, time: float) -> dict[str, Any]:
        """The launch that a job is of; empty if there was none.

        Args:
            job: by its name.
            time: of something that it did, by which jobs of earlier versions are assigned.
        """
        number = self.launch_number(job)
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

    def is_of_last_launch(self, job: str, time: float) -> bool:
        """Whether a job is of the last launch; ``time`` as for :meth:`launch_of`."""
        return not self.launches or self.launch_of(job, time) is self.launches[-1]

    def launch_number(self, job: str) -> int | None:
        """The number of the launch of a job; None of earlier versions and of jobs that are not known.

        Jobs of this machine are called ``local-<launch>-<worker>``.
        """
        named = re.search(r"-(\d+)-\d+$", job)
        number: int | None = self.jobs.get(job, {}).get("launch", int(named[1]) if named else None)
        return number

    def ranked(self) -> list[TrialState]:
        """Trials that have a value of the objective and have not failed, best first.

        Those that confirm a setting come before all others, and count in the place of those by which it was
        chosen, whose values are too good on average; trials that were pruned come last.
        """
        scored = [t for t in self.counted() if t.attempt.best is not None and t.state != "failed"]
        sign = -1 if self.mode == "max" else 1
        return sorted(scored, key=lambda t: (t.tier, sign * (t.attempt.best or 0.0), t.index))

    def counted(self) -> list[TrialState]:
        """All trials but those of which the setting was confirmed by others since."""
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
