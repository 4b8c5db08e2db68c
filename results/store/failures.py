"""What went wrong, each thing once: failed trials by their reason and what they say."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection
from dataclasses import dataclass

from hpc.results.store.run import Run
from hpc.results.store.trial import TrialState

MOST_TOLD = 500
"""Characters of a note or of an error that are told where it is one of many things."""


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
            way = trial.attempt.reason, pattern(trial.attempt.error, run.trials)
            groups.setdefault(way, []).append(trial)
    found = []
    for (reason, _), trials in groups.items():
        attempt = trials[0].attempt
        log = run.jobs.get(attempt.job_id, {}).get("log")
        names = [trial.trial_id for trial in trials]
        found.append(Failure(reason, first_line(attempt.error), names, attempt.error, log))
    return sorted(found, key=lambda failure: -len(failure.trials))


def told(run: Run, most: int = 5) -> list[str]:
    """A line for each way in which trials have failed, the most frequent first.

    Args:
        run: as read.
        most: ways that are told.
    """
    found, lines = failures(run), []
    for one in found[:most]:
        log = f"; log: {run.folder}/{one.log}" if one.log and (run.folder / one.log).is_file() else ""
        first = "" if len(one.trials) == 1 else "first "
        message = cut(one.message, f"hpc logs {run.folder} {one.trials[0]}")
        lines.append(f"    {len(one.trials)} × {one.reason}: {message} ({first}{one.trials[0]}{log})")
    return lines if len(found) <= most else [*lines, f"    … and {len(found) - most} more ways to fail"]


def said_by(error: BaseException) -> str:
    """What an exception says; of one whose ``__str__`` raises another, that it can't be told."""
    try:
        return str(error)
    except Exception as broken:  # whatever a class of the user's does wrong
        return f"what it says can't be told, since its __str__ raises {type(broken).__name__}"


def trace_of(error: BaseException) -> str:
    """The traceback of an exception, with what it says if it says anything."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # a class of the user's whose __getattr__ or __repr__ raises
        where = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{where}{type(error).__name__}: {said_by(error)}"


def first_line(error: str) -> str:
    """What an error says, without its traceback."""
    return error.strip().partition("\n")[0]


def cut(text: str, whole: str) -> str:
    """As much of a text of anybody's as people read of it.

    Args:
        text: of any length.
        whole: where all of it is.
    """
    if len(text) <= MOST_TOLD:
        return text
    return f"{text[:MOST_TOLD]}… ({len(text):,} characters; whole: {whole})"


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


def pattern(error: str, names: Collection[str] = ()) -> str:
    """What an error says, with ``#`` for whatever varies between trials.

    Args:
        error: its first line counts.
        names: the ids of trials.
    """
    text = re.sub(r"\w+", lambda word: "#" if word[0] in names else word[0], first_line(error))
    for varying, instead in VARYING:
        text = varying.sub(instead, text)
    return " ".join(text.split())
