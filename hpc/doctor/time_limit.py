"""The time limit of jobs."""

from __future__ import annotations

from collections.abc import Mapping

from hpc.doctor.base import Finding, note, ok, problem
from hpc.doctor.parsing import parse_minutes
from hpc.profile import Profile


def check_time_limit(profile: Profile, limits: Mapping[str, str], *, refused: bool) -> list[Finding]:
    """Check whether time_min is within all limits, and leaves time for a checkpoint.

    Args:
        profile: the profile of the jobs.
        limits: the time limits in SLURM's words, by where they stand.
        refused: whether sbatch refuses what is above a partition's (EnforcePartLimits); what is
            above a QOS's waits all the same.
    """
    found = []
    for where, text in limits.items():
        most = parse_minutes(text)
        if most is not None and profile.time_min > most:
            gone = refused and where.startswith("MaxTime")
            fate = "sbatch would refuse the jobs" if gone else "the jobs would wait for ever"
            found.append(
                problem(
                    "time limit",
                    f"time_min is {profile.time_min}, and {where} allows {text} ({most:g} min): {fate}",
                    f"Write time_min: {most:.0f} or less; a trial that takes longer goes on in the next job.",
                )
            )  # fmt: skip
    if profile.signal_seconds + 60 >= profile.time_min * 60:  # SLURM may signal a minute early
        found.append(
            note(
                "time limit",
                f"jobs of {profile.time_min} min are told to stop {profile.signal_seconds} s before the end, "
                "or up to a minute earlier: they may do nothing else",
                "Raise time_min, or lower signal_seconds.",
            )
        )  # fmt: skip
    most_words = ", ".join(f"{where} {text}" for where, text in limits.items()) or "no limit"
    return found or [ok("time limit", f"time_min is {profile.time_min}; the most: {most_words}")]
