"""Where the time of a launch went."""

from __future__ import annotations

from dataclasses import dataclass

from hpc.results.store.state import RunState


@dataclass(frozen=True)
class Bill:
    """Where the time of a launch went, on its workers that have left in order.

    Attributes:
        start_seconds: from the command to its first trial.
        workers: how many.
        seconds: of all of them together, from being ready to leaving.
        training_seconds: of these, in which graphs ran.
        tracing_seconds: of these, in which graphs were traced.
        graphs: that were traced; the other trials had those of earlier ones.
        lanes: most trials that were trained at once.
    """

    start_seconds: float
    workers: int
    seconds: float
    training_seconds: float
    tracing_seconds: float
    graphs: int
    lanes: int


def bill(run: RunState) -> Bill | None:
    """Where the time of the last launch went; None if no worker of it has left in order, or in no time."""
    launch = run.launches[-1] if run.launches else {}
    since = launch.get("time", 0.0)
    jobs = {
        name: job["left_time"] - job["ready"] for name, job in run.jobs.items()
        if "left_time" in job and "ready" in job and run.is_of_last_launch(name, job["ready"])
    }  # fmt: skip
    attempts = [
        attempt for trial in run.trials.values() for attempt in trial.attempts.values()
        if attempt.job_id in jobs
    ]  # fmt: skip
    seconds = sum(max(0.0, each) for each in jobs.values())
    if not attempts or not seconds:
        return None
    return Bill(
        max(0.0, min(attempt.started for attempt in attempts) - launch.get("began", since)),
        len(jobs),
        seconds,
        sum(attempt.training_seconds for attempt in attempts),
        sum(attempt.tracing_seconds for attempt in attempts),
        round(sum(1 / attempt.lanes for attempt in attempts if attempt.tracing_seconds > 0)),
        max(attempt.lanes for attempt in attempts),
    )
