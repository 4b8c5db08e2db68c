"""How a run has ended, as ``hpc run`` and ``hpc resume`` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc.cli.display.console import complain
from hpc.cli.display.leaderboard import leaderboard_table
from hpc.cli.display.progress import format_failure
from hpc.cli.display.text import format_states
from hpc.cli.runs import complain_of_skipped
from hpc.results import Run, front, leaderboard, render, winner

if TYPE_CHECKING:
    from rich.console import Console

    from hpc.outcome import Outcome
    from hpc.results import Bill

MAX_FAILURES = 5
"""Failed trials that are shown; of further ones their number is."""


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print the best trials and how the run stands; failures and errors go to standard error."""
    run, counts = outcome.run, outcome.run.counts()
    if outcome.error:
        complain(outcome.error)
    _print_best(run, console)
    _complain_of_failures(run)
    if not outcome.trained:
        why = f"; {len(outcome.left)} {next(iter(outcome.left.values()))}" if outcome.left else ""
        console.print(f"Nothing to do: no trial of {run.folder} is left to train{why}.")
    console.print(f"{counts['total']} trials: {format_states(counts)}. The table: hpc table {run.folder}")
    complain_of_skipped(str(run.folder), run.skipped())
    bill = run.bill() if outcome.trained else None
    if bill:
        console.print(_format_bill(bill), style="dim")
    unfinished = counts["total"] - counts["finished"] - counts["pruned"]
    if not outcome.is_good and len(outcome.left) < unfinished:
        verb = "Stopped" if outcome.interrupted else "Not all is finished"
        console.print(f"{verb}; go on with: hpc resume {run.folder}")


def _print_best(run: Run, console: Console) -> None:
    """Print the leaderboard, the rivals of the best setting, and how large the Pareto front is."""
    frame = leaderboard(run)
    if len(frame):
        console.print(f"\n{run.name}: the best of {run.counts()['total']} trials", style="bold")
        if console.is_terminal:
            console.print(leaderboard_table(frame, console.width))
        else:
            print(render(frame, "table"), flush=True)
    best = winner(run)
    if best is not None and best.verdict.rivals:
        console.print(best.format())
    if len(run.objectives) > 1:
        named = ", ".join(f"{name} {mode}" for name, mode in run.objectives)
        where = f"hpc table {run.folder} --where pareto"
        text = f"{len(front(run))} trials are on the Pareto front ({named}): {where}"
        console.print(text, soft_wrap=True)


def _complain_of_failures(run: Run) -> None:
    failed = [trial for trial in run.trials.values() if trial.state == "failed"]
    for trial in failed[:MAX_FAILURES]:
        complain(format_failure(run, trial))
    if len(failed) > MAX_FAILURES:
        complain(f"… and {len(failed) - MAX_FAILURES} more; `hpc table {run.folder}` has them all.")


def _format_bill(bill: Bill) -> str:
    """Say where the time went, in a sentence."""
    workers = "one worker" if bill.workers == 1 else f"{bill.workers} workers"
    training, tracing = bill.training_seconds / bill.seconds, bill.tracing_seconds / bill.seconds
    together = f", up to {bill.lanes} trials at once," if bill.lanes > 1 else ""
    return (
        f"The first trial began after {bill.start_seconds:.1f} s; since then {workers} spent {training:.0%} "
        f"of the time in training{together} and {tracing:.0%} in tracing graphs, of which there are "
        f"{bill.graphs}."
    )
