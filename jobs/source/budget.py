"""The limits of a search: hours of nodes, cores or GPUs, and time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from hpc.results import Run, moments
from hpc.results.stats import allocated
from hpc.sweeps import Sweep


class BudgetGuard:
    """The limits of a sweep, held against what its run has taken so far.

    Args:
        sweep: with ``budget`` and ``search.timeout_min``.
        run: read anew whenever something is asked.

    Attributes:
        limits: ``node_hours``, ``core_hours`` and ``gpu_hours``, as far as they are limited.
    """

    def __init__(self, sweep: Sweep, run: Run) -> None:
        self.limits = sweep.budget.entries() if sweep.budget is not None else {}
        self._timeout_min = sweep.search.timeout_min
        self._run = run
        self._looked = 0.0
        self._launched: float | None = None
        self._spent = False

    def ends(self, held: Mapping[str, float]) -> str:
        """Why no further trial may be begun; empty if one may.

        A trial is taken to last as long as the longest so far, and so are those under way. While none
        has ended nobody knows; then one is begun.

        Args:
            held: ``nodes``, ``cores`` and ``gpus`` of the job that would train it.
        """
        if not self.limits and self._timeout_min is None:
            return ""
        self._run.refresh()
        if self._timeout_min is not None and self._elapsed() > 60 * self._timeout_min:
            return f"timeout_min: {self._timeout_min:g} minutes are over"
        if not self.limits:
            return ""
        attempts = [one for trial in self._run.trials.values() for one in trial.attempts.values()]
        ended = [one.seconds or 0.0 for one in attempts if one.state in ("finished", "pruned")]
        longest, now = max(ended, default=0.0), moments.now()
        rest = longest + sum(
            max(0.0, longest - (now - one.started)) for one in attempts if one.state == "running"
        )
        spent = allocated(self._run, now)
        for name, limit in self.limits.items():
            of = name.removesuffix("_hours") + "s"
            needed = spent[name] + rest / 3600 * held.get(of, 1.0)
            if needed > limit:
                return (
                    f"budget: {limit:g} {name}, of which {spent[name]:.3g} are spent, and {rest:.0f} s of "
                    "trials more would go over it"
                )
        return ""

    def _elapsed(self) -> float:
        """Seconds since the run was first launched; from the first look on by a clock that nobody sets."""
        if self._launched is None and self._run.launches:
            before = max(map(moments.since, self._run.launches))
            self._launched = time.monotonic() - before
        return 0.0 if self._launched is None else time.monotonic() - self._launched

    def ended(self) -> str:
        """Why the search has ended before, if that was at these very limits; else empty."""
        self._run.refresh()
        return self._run.over if self.limits and self._run.ending.get("limits") == self.limits else ""

    def is_spent(self) -> bool:
        """Whether the limit is reached, so that trials under way are pruned; looked at every other second."""
        if self.limits and not self._spent and time.monotonic() - self._looked > 2:
            self._looked = time.monotonic()
            self._run.refresh()
            spent = allocated(self._run, moments.now())
            self._spent = any(spent[name] >= limit for name, limit in self.limits.items())
        return self._spent
