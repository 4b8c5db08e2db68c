"""A run, read from its folder."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import ClassVar

from hpc.results.store import snapshot
from hpc.results.store.bill import Bill, bill
from hpc.results.store.faults import count_skipped, find_faults
from hpc.results.store.folder import FIRST
from hpc.results.store.folding import Folding
from hpc.results.store.objective import read_objective
from hpc.results.store.reading import EPOCH, Tail, trial_of_epoch
from hpc.results.store.seal import seal_in, text_in
from hpc.results.store.state import RunState
from hpc.results.store.trial import TrialState


def _html_of_name(run: Run) -> str:
    return f"<b>{escape(run.name)}</b>"


class Run(RunState):
    """A run, read from its folder. Reading needs no scheduler and changes nothing.

    Args:
        folder: of the run.
        keep_epochs: whether to keep the metrics of every epoch, as ``TrialState.history`` needs.
        job: whose trials alone matter; records of other jobs of its launch are not read then.

    Its state does not depend on the order in which the files of records are read.

    Raises:
        RunError: there is no such folder, or it is not one of a run, or nothing in it names the objective.
    """

    as_html: ClassVar[Callable[[Run], str]] = staticmethod(_html_of_name)
    """Makes what a notebook shows of a run; the part of the house that has tables sets it."""

    def __init__(self, folder: str | Path, *, keep_epochs: bool = False, job: str | None = None) -> None:
        super().__init__(folder)
        self.check()
        self._keep_epochs = keep_epochs
        self._job = job
        self._tail = Tail(self.records, first=FIRST)
        self._folding = Folding(self, keep_epochs=keep_epochs)
        self._bytes_in_snapshot = 0
        if self._is_whole:
            self._bytes_in_snapshot = snapshot.load(self, self._tail, self._folding)
        if not self.metric:
            self.describe(read_objective(self))
        self.refresh()

    @property
    def _is_whole(self) -> bool:
        """Whether all is read that a snapshot holds, and no more."""
        return not self._keep_epochs and self._job is None

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
                    self._folding.take(file, line)
        going = {t.trial_id.encode() for t in self.trials.values() if t.state not in ("finished", "pruned")}
        for file, lines in read if going else []:
            for line in lines:
                if line.startswith(EPOCH) and trial_of_epoch(line) in going:
                    self._folding.take(file, line)
        if len(self.trials) > known:
            self.trials = dict(sorted(self.trials.items(), key=lambda item: (item[1].index, item[0])))
        self._folding.settle()

    def _matters(self, file: str) -> bool:
        """Whether to read a file of records: jobs that were dealt their trials have none in common."""
        if self._job is None:
            return True
        name = file.removesuffix(".jsonl").partition("-g")[0]
        mine, its = (self.jobs.get(job, {}).get("launch") for job in (self._job, name))
        return name == self._job or its is None or its != mine

    def remember(self) -> None:
        """Keep what has been read in ``gathered/run.json``, so that to read the run again costs what is new.

        That file holds nothing that is not in the records, and may be removed at any time. A folder that
        can't be written is left as it is.
        """
        if self._is_whole:
            since = self._bytes_in_snapshot
            self._bytes_in_snapshot = snapshot.save(self, self._tail, self._folding, since=since)

    @property
    def bytes_read(self) -> int:
        """How much of the records is taken in: they only grow, whatever the times of their files say."""
        return self._tail.bytes_read

    def skipped(self) -> dict[str, dict[str, int]]:
        """How many lines of records could not be read, by file and reason.

        Lines of epochs, most of which are not read here, are missing; a table of epochs has those.
        """
        return count_skipped(self._tail, self._folding)

    @property
    def unknown(self) -> set[str]:
        """The ids of trials that have records, but none that says what they are."""
        return set(self._folding.early)

    def faults(self) -> list[str]:
        """Damages and edits of the run's folder, each as a sentence."""
        text = text_in(self.sweep_file) or ""
        seal = seal_in(text)
        is_new = text and text not in self.sweep_texts and (self.sweep_texts or seal)
        run = Run(self.folder) if is_new else self  # a command may have extended it meanwhile
        return find_faults(run, text, seal)

    def bill(self) -> Bill | None:
        """Where the time of the last launch went; None if no worker of it has left in order."""
        return bill(self)

    def next_launch(self) -> int:
        """The number of the next launch, which no job has had, though its folder may have been removed."""
        numbers = [int(path.name) for path in self.jobs_folder.iterdir() if path.name.isdigit()]
        numbers += [found for job in self.jobs if (found := self.launch_number(job)) is not None]
        return max(numbers, default=0) + 1

    def model_file(self, trial: TrialState) -> Path | None:
        """The trained model of a trial, if it is kept."""
        path = self.folder / "models" / f"{trial.trial_id}.keras"
        return path if path.is_file() else None

    def _repr_html_(self) -> str:
        return type(self).as_html(self)
