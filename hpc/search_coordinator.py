"""A search as the command that watches over it sees it: begun, gone on with, and rid of the dead."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.jobs.outcome import Loss, records_of
from hpc.jobs.source import BudgetGuard
from hpc.results import Records, Run, RunError
from hpc.sweeps import Sweep
from hpc.sweeps.text import format_error

if TYPE_CHECKING:
    from hpc.jobs.source import Study


class SearchCoordinator:
    """The search of one run, whose lock one holds.

    Args:
        sweep: as stored.
        run: as read.
        records: of ``run.jsonl``.
        storage: a database URL that the profile names; empty for none.
        note: hears what a person should know.

    Raises:
        RunError: the search of this run is elsewhere, or its storage can't be used.
    """

    def __init__(
        self, sweep: Sweep, run: Run, records: Records, storage: str, note: Callable[[str], None]
    ) -> None:
        self._sweep = sweep
        self._run = run
        self._records = records
        self._note = note
        if not run.study:
            self._name_study(run, records, storage)
        elif storage and run.study["storage"] != storage:
            raise RunError(
                f"the search of {run.folder} is in {self._place}, not in {storage}; it stays there."
            )
        with self._using_storage():
            self._study = self._opened()
            self._study.prepare()

    @staticmethod
    def _name_study(run: Run, records: Records, storage: str) -> None:
        name = f"{run.name}-{secrets.token_hex(4)}"
        records.append("study", name=name, storage=storage)
        run.refresh()

    @property
    def _place(self) -> str:
        return str(self._run.study["storage"] or self._run.folder / "study.journal")

    @contextmanager
    def _using_storage(self) -> Iterator[None]:
        try:
            yield
        except RunError:
            raise
        except Exception as error:  # of SQLAlchemy, a driver or the file system
            raise RunError(
                f"the storage of the search, {self._place}, can't be used: {format_error(error)}. What the "
                f"records hold is not lost: `hpc resume {self._run.folder}` goes on."
            ) from None

    def _opened(self) -> Study:
        """The study, made anew from the records where it is gone or is not what they say."""
        from hpc.jobs.source import JOURNAL, lock_of, open_study

        run, journal = self._run, self._run.folder / JOURNAL
        alone = not any("array" in job and "ended" not in job for job in run.jobs.values())
        if alone and not run.study["storage"]:
            lock_of(journal).clear()  # of one who was killed on another machine: nobody else is at work
        study, size = None, _size(journal)
        try:
            study = open_study(self._sweep, run, self._note)
            if alone:
                study.clear_lock()
            wrong = study.unlike(run)
        except Exception as error:
            if run.study["storage"] or isinstance(error, OSError):
                raise
            wrong = f"it can't be read ({format_error(error)})"
        if study is not None and not wrong:
            return study
        if not alone:
            raise RunError(
                f"the study of the search, {self._place}, is not what the records say: {wrong}; and jobs of "
                f"SLURM are at work. End them with `hpc cancel {run.folder}`; then `hpc resume {run.folder}` "
                "makes a new one from the records."
            )
        before = "" if study is not None and study.is_empty and not size else self._put_aside(journal)
        study = open_study(self._sweep, run, self._note)
        count = study.restore(Run(run.folder, keep_epochs=True))
        self._note(
            f"The study of the search, {self._place}, was not what the records say: {wrong}. It was made "
            f"anew from the records of {count} trials{before}."
        )
        return study

    def _put_aside(self, journal: Path) -> str:
        """Leave the study that there is as it is; where, in words."""
        if self._run.study["storage"]:
            name = self._run.study["name"]
            self._name_study(self._run, self._records, self._run.study["storage"])
            return f"; that of before is there as {name}"
        number = next(n for n in itertools.count(1) if not Path(f"{journal}.damaged-{n}").exists())
        aside = Path(f"{journal}.damaged-{number}")
        journal.rename(aside)
        return f"; the file of before is {aside.name}"

    def _adopt(self) -> None:
        """Plan trials of which records tell how they went, and no longer what they were; the study knows."""
        for trial in self._study.known(self._run.unknown):
            self._records.append("planned", **trial.to_record())
        self._run.refresh()

    def begin(
        self, left_alone: Mapping[str, str], is_gone: Callable[[str], bool] = lambda owner: True
    ) -> int:
        """Put back what is not finished; how many trials there are to train.

        Args:
            left_alone: trials that are not to be trained again.
            is_gone: says of a worker whether it no longer runs.
        """
        self._run.refresh()
        with self._using_storage():
            self._adopt()
            self._study.settle(self._run, is_gone)
        budget = BudgetGuard(self._sweep, self._run)
        why = budget.ends({}) or budget.ended()
        if why:
            self._note(f"No further trial is begun: {why}.")
            return 0
        with self._using_storage():
            return self._study.revive(self._run, left_alone)

    def waiting(self) -> int:
        """How many trials could be handed out right now."""
        if BudgetGuard(self._sweep, self._run).ends({}):
            return 0
        with self._using_storage():
            return self._study.waiting()

    def idle(self) -> int:
        """How many more workers would find a trial that nobody at work is about to take."""
        return 0 if self._run.over else self.waiting() - 1

    def lose(self, job: str, why: str, tail: str) -> list[str]:
        """A worker has died: record what became of its trials, and put them back.

        Args:
            job: of the worker.
            why: in words.
            tail: the end of its log.

        Returns:
            The trials that it was training.
        """
        lost = []
        self._run.refresh()
        for trial in list(self._run.trials.values()):  # others may begin trials meanwhile
            for number, attempt in trial.attempts.items():
                if attempt.state != "running" or attempt.job_id != job:
                    continue
                lost.append(trial.trial_id)
                loss = Loss("died", why, error=f"{why}\n{tail}")
                for kind, entries in records_of(trial, number, loss, uses_ask_tell=True):
                    self._records.append(kind, **entries)
        self._run.refresh()
        with self._using_storage():
            self._study.settle(self._run, lambda owner: owner == job)
        return lost

    def goes_on(self, job: str) -> bool:
        """Whether a worker is to follow on one that has ended.

        Not if there is nothing left that could be handed out, or if it has had no trial: nor would another.
        """
        self._run.refresh()
        has_worked = any(
            attempt.job_id == job
            for trial in self._run.trials.values()
            for attempt in trial.attempts.values()
        )
        return has_worked and not self._run.over and self.waiting() > 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
