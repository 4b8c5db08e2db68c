"""The search as workers see it: ask for a trial, report a value, tell how it ended.

Behind it are studies of Optuna. Whoever asks does so alone, under a lock that works on NFS: so there
are never more trials than were asked for, and never two of one setting.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from hpc.jobs import stored
from hpc.jobs.node import FileLock, LostError
from hpc.jobs.source import preparing, repair, settling
from hpc.jobs.source.confirmation import plan_confirmation
from hpc.jobs.source.dealer import Dealer, seen_in
from hpc.jobs.source.entries import attributes_of, enqueue, enqueued, entries_of
from hpc.jobs.source.studies import JOURNAL, Studies, open_studies
from hpc.results import Run, RunError
from hpc.sweeps import Sweep, Trial
from hpc.sweeps.searches import optuna_private
from hpc.sweeps.searches.samplers import encoded

__all__ = ["JOURNAL", "Asked", "Study", "open_study", "put_back"]

LOCK_SECONDS = 60
"""After which the lock of one who asked on another machine and was killed there is taken away."""


@dataclass(frozen=True)
class Asked:
    """A trial that was handed out.

    Attributes:
        trial: what to train.
        attempt: number of the try, from 1.
    """

    trial: Trial
    attempt: int


@dataclass
class Study:
    """The search of one run.

    Args:
        sweep: as stored, with its defaults.
        folder: of the run.
        storage: a database URL; empty for the journal in the folder.
        name: of the run's studies in a database, which may hold those of others, too.
        note: hears what a person should know.

    Attributes:
        seconds: that the storage has taken so far.
        studies: of Optuna.
    """

    sweep: Sweep
    folder: Path
    storage: str = ""
    name: str = ""
    note: Callable[[str], None] = lambda text: None
    seconds: float = field(default=0.0, init=False)
    studies: Studies = field(init=False)
    _asked: dict[str, tuple[optuna.Study, optuna.Trial]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = self.folder / "jobs" / "asking"
        path.parent.mkdir(exist_ok=True)
        self._lock = FileLock(path, lambda holder: LOCK_SECONDS, note=self.note)
        with self._taking_time():
            self.studies = open_studies(self.sweep, self.folder, self.storage, self.name, self.note)
        self._dealer = Dealer(self.studies)

    @contextmanager
    def _taking_time(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """While nobody else asks; the time counts as that of the storage."""
        with self._taking_time():
            self._lock.acquire()
            try:
                yield
            finally:
                try:
                    self._lock.release()
                except LostError:
                    self.note(f"asking for a trial took more than {LOCK_SECONDS} seconds")

    def clear_lock(self) -> None:
        """Take the lock from one who was killed, when nobody else can be asking."""
        self._lock.clear()

    # What is there

    @property
    def over(self) -> str:
        """Why no further trial is handed out, if a limit of the space says so."""
        return self._dealer.over

    @property
    def is_empty(self) -> bool:
        """Whether no trial was ever told of."""
        return not any(map(entries_of, self.studies.both))

    def left(self) -> int:
        """How many trials are yet to be handed out or to end, those of the confirmation included."""
        with self._taking_time():
            return self.studies.left(is_over=bool(self.over))

    def waiting(self) -> int:
        """How many trials could be handed out right now."""
        with self._taking_time():
            return self.studies.waiting(is_over=bool(self.over))

    def known(self, trial_ids: Collection[str]) -> list[Trial]:
        """Those of these trials that the studies know."""
        return settling.known_by_id(self.studies, trial_ids)

    # To begin with

    def prepare(self, *, is_anew: bool = False) -> None:
        """Enter what is known beforehand: the settings of a search that does not learn, trials of other runs.

        Args:
            is_anew: whether the search had begun before, so that it can do without runs that are gone since.

        Raises:
            RunError: one of the other runs can't be read.
        """
        with self._locked():
            search = self.studies.search
            before = search.user_attrs.get("prepared")
            if before == self.studies.wanted:
                return
            folders = self.sweep.search.runs if before is None else []
            others = [run for folder in folders if (run := self._other(folder, is_anew)) is not None]
            known = preparing.known_trials(self.studies)
            preparing.add_listed_trials(self.studies, known)
            for run in others:
                self.note(preparing.take_over(self.studies, run, known))
            search.set_user_attr("prepared", self.studies.wanted)

    def _other(self, folder: str, may_be_gone: bool) -> Run | None:
        try:
            return Run(self.sweep.folder / folder, keep_epochs=True)
        except RunError as error:
            if not may_be_gone:
                raise
            self.note(f"The search goes on without the trials of {folder}, which it knew before: {error}")
            return None

    # Handing out

    def ask(self, owner: str) -> Asked | None:
        """The next trial, or None if there is none to begin any more.

        Args:
            owner: who asks, by whom the trial is known if nothing more is heard of it.
        """
        with self._locked():
            study = self.studies.search
            trial = self._dealer.deal(study, owner)
            if trial is None and self.sweep.confirm is not None:
                why = plan_confirmation(self.studies, self.folder, is_over=bool(self.over))
                self._dealer.over = why or self.over
                study = self.studies.confirm
                trial = self._dealer.deal(study, owner)
            if trial is None:
                return None
            found = self.studies.trial_of(study, trial)
            self._asked[found.trial_id] = study, trial
            return Asked(found, attributes_of(trial)["attempt"])

    def enqueue(self, setting: Mapping[str, Any]) -> int:
        """Have a setting tried before any that the search chooses.

        Args:
            setting: values of the space; what it leaves out is drawn by the search.

        Returns:
            How many such settings wait now.

        Raises:
            ValueError: the search knows the setting already, or a value is none of the space.
        """
        space = self.sweep.dimensions
        with self._locked():
            study = self.studies.search
            if set(setting) == set(space):
                named = self.sweep.trial(setting, self.sweep.seeds[0], 0).trial_id
                if named in seen_in(entries_of(study)):
                    raise ValueError(f"the search has had this setting before, as trial {named}")
            enqueue(study, {name: encoded(space[name], value) for name, value in setting.items()})
            return len(enqueued(study))

    # While it is trained

    def report(self, trial: Trial, value: float, epoch: int) -> bool:
        """Whether the trial is to be pruned after this epoch."""
        study, asked = self._asked[trial.trial_id]
        if not self.studies.prunes or study is self.studies.confirm:
            return False
        with self._taking_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an epoch that was reported before the trial was taken up again
            asked.report(value, epoch)
            return asked.should_prune()

    def tell(self, trial: Trial, state: str, metrics: Mapping[str, float], best: float | None) -> None:
        """Tell how a trial has ended.

        Args:
            trial: that this worker has asked for.
            state: ``finished``, ``pruned``, ``diverged``, ``failed``; ``stopped`` to go on later; ``skipped``
                if it does not keep a constraint, so that another takes its place.
            metrics: of the last epoch, and ``parameters`` and ``seconds``.
            best: value of the first objective.
        """
        study, asked = self._asked.pop(trial.trial_id)
        with self._taking_time():
            self.studies.tell(study, optuna_private.stored(study, asked), state, metrics, best)

    # When the study is not what the records say

    def unlike(self, run: Run) -> str:
        """What the study lacks of the records; empty if it has it all.

        Args:
            run: read before the study was opened, since workers tell it first that they begin a trial.
        """
        return repair.difference(self.studies, run)

    def restore(self, run: Run) -> int:
        """Tell an empty study what the records know; how many trials that are.

        Args:
            run: with its epochs; nobody trains any of its trials.
        """
        if self.sweep.is_adaptive:
            self.prepare(is_anew=True)
        with self._locked():
            count = repair.restore(self.studies, run)
        self.prepare()
        return count

    # When somebody is gone

    def settle(self, run: Run, is_gone: Callable[[str], bool]) -> None:
        """Deal with trials of workers that are gone: end those that have ended, put back the others.

        Args:
            run: read after they were gone.
            is_gone: says of an owner whether it is.
        """
        with self._locked():
            settling.settle(self.studies, run, is_gone)

    def revive(self, run: Run, left_alone: Mapping[str, str]) -> int:
        """Put back every trial that has not ended well and that nobody has; how many are to be trained.

        Args:
            run: whose lock the caller holds.
            left_alone: trials that are not to be trained again.
        """
        with self._locked():
            settling.revive(self.studies, run, left_alone)
        return self.left()


def open_study(sweep: Sweep, run: Run, note: Callable[[str], None] = lambda text: None) -> Study:
    """The search of a run, where the run says it is.

    Args:
        sweep: of the run, as stored.
        run: as read.
        note: as of ``Study``.
    """
    return Study(sweep, run.folder, run.study.get("storage", ""), run.study.get("name", ""), note)


def put_back(folder: Path, jobs: Collection[str]) -> None:
    """Let a search hand out again what jobs of SLURM had of it, to whoever asks first.

    Args:
        folder: of the run.
        jobs: by their ids, in none of which any rank still trains.
    """
    run = Run(folder)
    study = open_study(stored.load(folder, run.sweep_texts), run)
    study.settle(run, lambda owner: owner.partition("-g")[0] in jobs)
