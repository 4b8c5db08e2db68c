"""What a person sees while a run goes on: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hpc.cli.display.text import format_duration
from hpc.outcome import View
from hpc.profile import Resources
from hpc.results import Run, TrialState, cell
from hpc.results.text import cut
from hpc.sweeps.text import first_line


def display_for(console: Console) -> Display:
    """Give the display that suits the console."""
    return LiveDisplay(console) if console.is_terminal else Lines(console)


class Display(View):
    """What all displays know of a run.

    Args:
        console: the console to write to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._seen: dict[str, tuple[str, int]] = {}
        self._began = time.monotonic()
        self._first: float | None = None
        self._before = 0
        self._ended = 0
        self._noted: set[str] = set()

    def begin(self, run: Run, resources: Resources, todo: int) -> None:
        """Say what is about to happen.

        Args:
            run: the run, as its records tell it.
            resources: what the run takes of the machine.
            todo: the number of trials to train.
        """
        self._look(run, todo)
        again = f", {self._before} done before" if self._before > 0 else ""
        self.print(f"{run.name}: {todo} trials{again}; {resources.describe()}; in {run.folder}")

    def _look(self, run: Run, todo: int) -> None:
        """Take in how the run stands before so many trials are trained."""
        self._before = run.counts()["total"] - todo
        self._ended, self._first, self._noted = 0, None, set(run.notes)
        self._seen = {name: (trial.state, len(trial.attempts)) for name, trial in run.trials.items()}

    def update(self, run: Run) -> None:
        """Show what is new."""
        for text in run.notes:
            if text not in self._noted:
                self._noted.add(text)
                self.note(f"note: {cut(text, f'{run.folder}/records')}")
        if self._first is None and any(t.state == "running" for t in run.trials.values()):
            self._first = time.monotonic()
        ended = []
        for name, trial in run.trials.items():
            now = (trial.state, len(trial.attempts))
            if self._seen.get(name) != now:
                self._seen[name] = now
                if trial.state in ("finished", "pruned", "failed"):
                    ended.append(trial)
        if ended:
            self.ended(run, ended)

    def ended(self, run: Run, trials: Sequence[TrialState]) -> None:
        """Show trials that have ended since the last time."""
        self._ended += len(trials)

    def note(self, text: str) -> None:
        """Show something that a person should know."""
        self.print(text)

    def end(self) -> None:
        """Stop showing."""

    def print(self, text: str) -> None:
        """Write a line as it is."""
        self.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def seconds_left(self, run: Run) -> float | None:
        """Estimate the time left from the trials that have ended this time; None before the first."""
        done = self._ended
        if done < 1 or self._first is None:
            return None
        left = run.counts()["total"] - self._before - done
        return (time.monotonic() - self._first) / done * left


class Complaints(Display):
    """A display for callers from Python: what goes wrong, on standard error, and nothing else."""

    MAX_FAILURES = 5
    """Failed trials that are shown; of further ones their number is."""

    def __init__(self) -> None:
        super().__init__(Console(stderr=True))
        self._failed = 0

    def begin(self, run: Run, resources: Resources, todo: int) -> None:
        """Say nothing."""
        self._look(run, todo)

    def ended(self, run: Run, trials: Sequence[TrialState]) -> None:
        """Write a line about each trial that has failed."""
        super().ended(run, trials)
        for trial in trials:
            if trial.state == "failed":
                self._failed += 1
                if self._failed <= self.MAX_FAILURES:
                    self.print(format_failure(run, trial))

    def end(self) -> None:
        """Say how many more have failed."""
        if self._failed > self.MAX_FAILURES:
            self.print(
                f"… and {self._failed - self.MAX_FAILURES} more have failed; print the outcome for the ways."
            )
        self._failed = 0


class Lines(Display):
    """A display of one line for every trial that ends."""

    def ended(self, run: Run, trials: Sequence[TrialState]) -> None:
        """Write a line about each trial that has ended."""
        number = self._before + self._ended + 1
        super().ended(run, trials)
        total, best, left = run.counts()["total"], format_best(run), self.seconds_left(run)
        ahead = f", about {format_duration(left)} left" if left else ""
        for place, trial in enumerate(trials, start=number):
            attempt = trial.attempt
            what = f"{attempt.reason}: {_format_error(run, trial)}" if attempt.state == "failed" else ""
            if attempt.state != "failed":
                what = f"{run.metric}={cell(attempt.metrics.get(run.metric))}, best so far {best}"
            seconds = f" in {attempt.seconds:.1f} s" if attempt.seconds is not None else ""
            self.print(
                f"[{place:{len(str(total))}d}/{total}] {trial.trial_id} {attempt.state}{seconds}: "
                f"{format_setting(run, trial)}: {what}{ahead}"
            )


class LiveDisplay(Display):
    """A display that is drawn anew: how far the run is, the best so far, what every worker is at."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def begin(self, run: Run, resources: Resources, todo: int) -> None:
        """Say what is about to happen, and draw."""
        super().begin(run, resources, todo)
        self._live.start()
        self._live.update(self.picture(run))

    def update(self, run: Run) -> None:
        """Draw anew."""
        super().update(run)
        self._live.update(self.picture(run))

    def ended(self, run: Run, trials: Sequence[TrialState]) -> None:
        """Write a line about each trial that has failed, above the picture."""
        super().ended(run, trials)
        for trial in trials:
            if trial.state == "failed":
                self.print(format_failure(run, trial))

    def end(self) -> None:
        """Take the picture away."""
        self._live.stop()

    def picture(self, run: Run) -> Group:
        """Draw everything at a glance, for a width of 80 columns and up."""
        counts, left = run.counts(), self.seconds_left(run)
        ended = ended_trials(run)
        filled = round(30 * ended / max(1, counts["total"]))
        head = Text()
        head.append("━" * filled, style="green").append("━" * (30 - filled), style="bright_black")
        head.append(f" {ended}/{counts['total']} trials", style="bold")
        if counts["failed"]:
            head.append(f"  {counts['failed']} failed", style="red")
        head.append(f"  {format_duration(time.monotonic() - self._began)}")
        head.append(f", about {format_duration(left)} left" if left else "", style="cyan")
        top = run.ranked()
        first = Text("best so far: ")
        first.append(format_best(run), style="bold green" if top else "")
        first.append(f"  {format_setting(run, top[0])}" if top else "", style="bright_black")
        workers = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            workers.add_column(no_wrap=True)
        workers.add_column(no_wrap=True, overflow="ellipsis")
        running = [t for t in run.trials.values() if t.state == "running"]
        for trial in sorted(running, key=lambda t: t.attempt.job_id):
            attempt = trial.attempt
            epochs = f"epoch {attempt.epochs}" + (f"/{total}" if (total := wanted_epochs(trial)) else "")
            value = cell(attempt.metrics.get(run.metric))
            texts = (attempt.job_id, epochs, f"{run.metric}={value}" if value else "")
            workers.add_row(*map(Text, texts), Text(format_setting(run, trial), style="bright_black"))
        if not running and not ended:
            workers.add_row("workers are starting")
        return Group(head, first, workers)


def ended_trials(run: Run) -> int:
    """Count the trials that are finished, pruned or failed."""
    counts = run.counts()
    return counts["finished"] + counts["pruned"] + counts["failed"]


def wanted_epochs(trial: TrialState) -> int | None:
    """Give the number of epochs that the trial asks for, if its sweep says."""
    value = trial.params.get("epochs")
    return value if isinstance(value, int) else None


def format_best(run: Run) -> str:
    """Give the best value of the objective so far."""
    top = run.ranked()
    return f"{run.metric}={cell(top[0].attempt.best)}" if top else "none yet"


def format_setting(run: Run, trial: TrialState) -> str:
    """Give what is special about a trial: the hyperparameters that vary, the seed and the fold."""
    names = [name for name in run.varying if name in trial.params]
    parts: list[tuple[str, Any]] = [(name, trial.params[name]) for name in names]
    if run.has_models:
        parts.insert(0, ("model", trial.model))
    if run.has_seeds:
        parts.append(("seed", trial.seed))
    if run.has_folds:
        parts.append(("fold", trial.fold))
    return " ".join(f"{name}={cell(value)}" for name, value in parts) or f"seed={trial.seed}"


def format_failure(run: Run, trial: TrialState) -> str:
    """Say in a line how a trial has failed."""
    attempt = trial.attempt
    why = f"{attempt.reason}; {format_setting(run, trial)}"
    return f"{trial.trial_id} failed ({why}): {_format_error(run, trial)}"


def _format_error(run: Run, trial: TrialState) -> str:
    """Say what the error of a failed trial is, without its traceback."""
    return cut(first_line(trial.attempt.error), f"hpc logs {run.folder} {trial.trial_id}")
