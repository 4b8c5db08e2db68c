"""What a notebook shows of a run."""

from __future__ import annotations

from html import escape

from hpc.results.analysis import winner
from hpc.results.store import Run
from hpc.results.tables import leaderboard


def html_of(run: Run) -> str:
    """The states of the trials of a run, its winner and its leaderboard."""
    best, counts = winner(run), run.counts()
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    answer = f"<p>{escape(best.format())}</p>" if best else ""
    board = leaderboard(run).to_html(index=False, escape=True)
    return f"<b>{escape(run.name)}</b>: {escape(states)}{answer}{board}"
