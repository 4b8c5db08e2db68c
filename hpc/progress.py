"""What a person sees while a run goes on: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hpc.profile import Resources
from hpc.results import Run, TrialState, cell
from hpc.results.text import cut, first_line
from hpc.running import View

if TYPE_CHECKING:
    import pandas as pd


def view(console: Console) -> Display:
    """The display that suits the console."""
    return LiveDisplay(console) if console.is_terminal else Lines(console)


class Display(View):
    """What both displays know of a run.

    Args:
        console: to write to.
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
            run: as its records tell it.
            resources: that it takes.
            todo: trials to train.
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
        for name, trial in run.trials.items():
            now = (trial.state, len(trial.attempts))
            if self._seen.get(name) != now:
                self._seen[name] = now
                if trial.state in ("finished", "pruned", "failed"):
                    self._ended += 1
                    self.ended(run, trial)

    def ended(self, run: Run, trial: TrialState) -> None:
        """Show a trial that has ended."""

    def note(self, text: str) -> None:
        """Show something that a person should know."""
        self.print(text)

    def end(self) -> None:
        """Stop showing."""

    def print(self, text: str) -> None:
        """Write a line as it is."""
        self.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def seconds_left(self, run: Run) -> float | None:
        """An estimate from the trials that have ended this time; None before the first."""
        done = self._ended
        if done < 1 or self._first is None:
            return None
        left = run.counts()["total"] - self._before - done
        return (time.monotonic() - self._first) / done * left


class Complaints(Display):
    """What goes wrong, on standard error, and nothing else: what callers from Python see."""

    MOST = 5
    """Failed trials that are told; of others their number."""

    def __init__(self) -> None:
        super().__init__(Console(stderr=True))
        self._failed = 0

    def begin(self, run: Run, resources: Resources, todo: int) -> None:
        """Say nothing."""
        self._look(run, todo)

    def ended(self, run: Run, trial: TrialState) -> None:
        """Write a line about a trial that has failed."""
        if trial.state == "failed":
            self._failed += 1
            if self._failed <= self.MOST:
                self.print(failure(run, trial))

    def end(self) -> None:
        """Say how many more have failed."""
        if self._failed > self.MOST:
            self.print(f"… and {self._failed - self.MOST} more have failed; print the outcome for the ways.")
        self._failed = 0


class Lines(Display):
    """One line for every trial that ends."""

    def ended(self, run: Run, trial: TrialState) -> None:
        """Write a line about a trial that has ended."""
        attempt = trial.attempt
        total = run.counts()["total"]
        width = len(str(total))
        what = f"{attempt.reason}: {_error(run, trial)}" if attempt.state == "failed" else ""
        value = attempt.metrics.get(run.metric)
        if attempt.state != "failed":
            what = f"{run.metric}={cell(value)}, best so far {best(run)}"
        left = self.seconds_left(run)
        ahead = f", about {duration(left)} left" if left else ""
        seconds = f" in {attempt.seconds:.1f} s" if attempt.seconds is not None else ""
        self.print(
            f"[{self._before + self._ended:{width}d}/{total}] {trial.trial_id} {attempt.state}{seconds}: "
            f"{point(run, trial)}: {what}{ahead}"
        )


class LiveDisplay(Display):
    """A picture that is drawn anew: how far, the best so far, what every worker is at."""

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

    def ended(self, run: Run, trial: TrialState) -> None:
        """Write a line about a trial that has failed, above the picture."""
        if trial.state == "failed":
            self.print(failure(run, trial))

    def end(self) -> None:
        """Take the picture away."""
        self._live.stop()

    def picture(self, run: Run) -> Group:
        """Everything at a glance, for a width of 80 columns and up."""
        counts, left = run.counts(), self.seconds_left(run)
        ended = ended_trials(run)
        filled = round(30 * ended / max(1, counts["total"]))
        head = Text()
        head.append("━" * filled, style="green").append("━" * (30 - filled), style="bright_black")
        head.append(f" {ended}/{counts['total']} trials", style="bold")
        if counts["failed"]:
            head.append(f"  {counts['failed']} failed", style="red")
        head.append(f"  {duration(time.monotonic() - self._began)}")
        head.append(f", about {duration(left)} left" if left else "", style="cyan")
        top = run.ranked()
        first = Text("best so far: ")
        first.append(best(run), style="bold green" if top else "")
        first.append(f"  {point(run, top[0])}" if top else "", style="bright_black")
        workers = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            workers.add_column(no_wrap=True)
        workers.add_column(no_wrap=True, overflow="ellipsis")
        running = [t for t in run.trials.values() if t.state == "running"]
        for trial in sorted(running, key=lambda t: t.attempt.job_id):
            attempt = trial.attempt
            epochs = f"epoch {attempt.epochs}" + (f"/{total}" if (total := run_epochs(trial)) else "")
            value = cell(attempt.metrics.get(run.metric))
            texts = (attempt.job_id, epochs, f"{run.metric}={value}" if value else "")
            workers.add_row(*map(Text, texts), Text(point(run, trial), style="bright_black"))
        if not running and not ended:
            workers.add_row("workers are starting (importing TensorFlow)")
        return Group(head, first, workers)


def ended_trials(run: Run) -> int:
    """How many trials are finished, pruned or failed."""
    counts = run.counts()
    return counts["finished"] + counts["pruned"] + counts["failed"]


def run_epochs(trial: TrialState) -> int | None:
    """Epochs that the trial asks for, if its sweep says."""
    value = trial.params.get("epochs")
    return value if isinstance(value, int) else None


def best(run: Run) -> str:
    """The best value of the objective so far, in words."""
    top = run.ranked()
    return f"{run.metric}={cell(top[0].attempt.best)}" if top else "none yet"


def point(run: Run, trial: TrialState) -> str:
    """What is special about a trial: the hyperparameters that vary."""
    names = [name for name in run.varying if name in trial.params]
    parts: list[tuple[str, Any]] = [(name, trial.params[name]) for name in names]
    if run.has_models:
        parts.insert(0, ("model", trial.model))
    if run.has_seeds:
        parts.append(("seed", trial.seed))
    if run.has_folds:
        parts.append(("fold", trial.fold))
    return " ".join(f"{name}={cell(value)}" for name, value in parts) or f"seed={trial.seed}"


def failure(run: Run, trial: TrialState) -> str:
    """How a trial has failed, in a line."""
    attempt = trial.attempt
    return f"{trial.trial_id} failed ({attempt.reason}; {point(run, trial)}): {_error(run, trial)}"


def _error(run: Run, trial: TrialState) -> str:
    """What the error of a failed trial says, without its traceback."""
    return cut(first_line(trial.attempt.error), f"hpc logs {run.folder} {trial.trial_id}")


def duration(seconds: float) -> str:
    """``40 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def leaderboard_table(frame: pd.DataFrame, width: int) -> Table:
    """The leaderboard as a table of rich.

    Args:
        frame: as ``results.leaderboard`` gives it.
        width: of the window; in a narrow one, names of columns are folded at their underscores.
    """
    texts = {name: [cell(value) for value in frame[name]] for name in frame.columns}
    least = {name: max(map(len, column), default=0) for name, column in texts.items()}
    whole = sum(max(least[name], len(name)) + 2 for name in texts) <= width
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in texts:
        right = frame[name].dtype.kind in "if"
        header = name if whole else fold(name, least[name])
        table.add_column(Text(header), justify="right" if right else "left", no_wrap=True)
    for position, row in enumerate(zip(*texts.values(), strict=True)):
        table.add_row(*map(Text, row), style="bold green" if position == 0 else "")
    return table


def fold(name: str, width: int) -> str:
    """A name broken after underscores into lines of ``width``, where it can be."""
    lines = [""]
    for part in re.findall(r"[^_]*_|[^_]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
