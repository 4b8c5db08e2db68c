"""Where jobs run: profiles, submitting, watching, cancelling, and the ``hpc`` command.

From Python: ``hpc.run(sweep)``, ``hpc.submit(sweep)``, ``hpc.resume(folder)``,
``hpc.status(folder)``, ``hpc.cancel(folder)``, beside ``sweeps.load(path)`` and ``results.table(folder)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpc.jobs.training import Trial
    from hpc.jobs.training.base import Pruned, Stopped
    from hpc.outcome import Outcome
    from hpc.running import resume, run
    from hpc.submitting import Submission, submit
    from hpc.watching import cancel, status

__all__ = [
    "Outcome",
    "Pruned",
    "Stopped",
    "Submission",
    "Trial",
    "cancel",
    "resume",
    "run",
    "status",
    "submit",
]
PLACES = {
    "Outcome": "hpc.outcome",
    "Pruned": "hpc.jobs.training.base",
    "Stopped": "hpc.jobs.training.base",
    "Trial": "hpc.jobs.training",
    "cancel": "hpc.watching",
    "status": "hpc.watching",
    "submit": "hpc.submitting",
    "Submission": "hpc.submitting",
}


def __getattr__(name: str) -> Any:
    """Load the part that is asked for: ``hpc status`` needs nothing of what trains."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'hpc' has no attribute {name!r}")
    return getattr(import_module(PLACES.get(name, "hpc.running")), name)
