"""The ``hpc`` command: a thin skin over ``hpc``, ``sweeps`` and ``results``.

What a subcommand needs is imported when it runs, so that ``hpc status`` answers at once.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command as it was typed."""
    from hpc.cli import app  # here: who only needs a display from hpc.cli loads no typer

    app.main()
