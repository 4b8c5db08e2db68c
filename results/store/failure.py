"""What went wrong, each thing once: failed trials by their reason and what they say."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from hpc.results.store.run import Run
from hpc.results.store.trial import TrialState
from hpc.results.text import cut
from hpc.sweeps.text import first_line


@dataclass(frozen=True)
class Failure:
    """Trials that have failed in one way.

    Attributes:
        reason: one of ``REASONS``.
        message: the first line of the first one's error.
        trials: their ids, in the order of the sweep.
        traceback: all of the first one's error.
        log: of the first one's job, below the run's folder; None if there is none.
    """

    reason: str
    message: str
    trials: list[str]
    traceback: str
    log: str | None


def failures(run: Run) -> list[Failure]:
    """The ways in which trials have failed, the most frequent first.

    Two messages are of one way if they differ only in what varies from trial to trial: numbers, addresses,
    ids of trials, and the random parts of temporary paths.

    Args:
        run: as read.
    """
    groups: dict[tuple[str, str], list[TrialState]] = {}
    for trial in sorted(run.trials.values(), key=lambda trial: trial.index):
        if trial.state == "failed":
            way = trial.attempt.reason, error_pattern(trial.attempt.error, run.trials)
            groups.setdefault(way, []).append(trial)
    found = []
    for (reason, _), trials in groups.items():
        attempt = trials[0].attempt
        log = run.jobs.get(attempt.job_id, {}).get("log")
        names = [trial.trial_id for trial in trials]
        found.append(Failure(reason, first_line(attempt.error), names, attempt.error, log))
    return sorted(found, key=lambda failure: -len(failure.trials))


def format_failures(run: Run, most: int = 5) -> list[str]:
    """A line for each way in which trials have failed, the most frequent first.

    Args:
        run: as read.
        most: ways that are named.
    """
    found, lines = failures(run), []
    for one in found[:most]:
        log = f"; log: {run.folder}/{one.log}" if one.log and (run.folder / one.log).is_file() else ""
        first = "" if len(one.trials) == 1 else "first "
        message = cut(one.message, f"hpc logs {run.folder} {one.trials[0]}")
        lines.append(f"    {len(one.trials)} × {one.reason}: {message} ({first}{one.trials[0]}{log})")
    return lines if len(found) <= most else [*lines, f"    … and {len(found) - most} more ways to fail"]


VARYING = (
    (re.compile(r"(?<![\w.])/(?:tmp|var/tmp|dev/shm|scratch|localscratch)(?:/[^\s/:'\",;)\]]+)+(?=/)"), "/…"),
    (re.compile(r"(?<![\w.])/(?:tmp|var/tmp|dev/shm|scratch|localscratch)/[^\s/:'\",;)\]]+"), "/…"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "#"),
    (re.compile(r"\b(?=[0-9a-f-]{0,40}\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,}){0,4}\b"), "#"),  # digests, UUIDs
    (re.compile(r"[-+]?(?<![A-Za-z])\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"), "#"),
    (re.compile(r"(?<![\w.])-?\b(?:nan|inf)\b", re.IGNORECASE), "#"),
    (re.compile(r"#(?:(?:, ?|x|_)#)+"), "#"),  # shapes of any length, ids of jobs
)
"""What differs between messages that say the same."""


def error_pattern(error: str, names: Collection[str] = ()) -> str:
    """What an error says, with ``#`` for whatever varies between trials.

    Args:
        error: its first line counts.
        names: the ids of trials.
    """
    text = re.sub(r"\w+", lambda word: "#" if word[0] in names else word[0], first_line(error))
    for varying, instead in VARYING:
        text = varying.sub(instead, text)
    return " ".join(text.split())
