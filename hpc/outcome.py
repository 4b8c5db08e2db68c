"""What shows a run while it goes on, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from hpc.profile import Resources
from hpc.results import Run
from hpc.results.store import Failure, failures, format_failures


class View:
    """What shows a run while it goes on; this one shows nothing."""

    def begin(self, run: Run, resources: Resources, todo: int) -> None:
        """So many trials are about to be trained."""

    def update(self, run: Run) -> None:
        """The run has been read anew."""

    def note(self, text: str) -> None:
        """Something that a person should know has happened."""

    def end(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """How carrying out a run ended.

    Attributes:
        run: as its records tell it.
        trained: trials that were taken up this time.
        left: trials that are not finished and were left alone, with the reason why.
        interrupted: whether it was stopped from outside.
        error: what stopped it, if something did; else empty.
    """

    run: Run
    trained: int
    left: dict[str, str]
    interrupted: bool = False
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every trial of the run has ended well."""
        counts = self.run.counts()
        return counts["finished"] + counts["pruned"] == counts["total"]

    @property
    def failures(self) -> list[Failure]:
        """The ways in which trials of the run have failed, the most frequent first."""
        return failures(self.run)

    def __str__(self) -> str:
        """How the run stands, and why trials of it have failed."""
        counts = self.run.counts()
        states = ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
        lines = [f"{self.run.name}: {counts['total']} trials: {states}; in {self.run.folder}"]
        lines += [self.error] if self.error else []
        return "\n".join([*lines, *format_failures(self.run)])

    __repr__ = __str__  # what a notebook shows
