"""What becomes of a trial whose worker is gone: one decision, for every command and every job.

Who finds a worker gone (the command that watches it, the job that started it, whoever asks SLURM, the
next command) says how it went; :func:`records_of` says what is to be recorded of each trial that it was
training. Nothing here reads or writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hpc.results import Attempt, TrialState

MAX_LOSSES = 2
"""Workers that a trial may cost at one epoch before it has failed, unless the profile says how many."""
GOES_ON = ("timeout", "node-failure", "cancelled")
"""Reasons that say nothing against a trial: a search hands it out again."""

Record = tuple[Literal["stopped", "failed"], dict[str, Any]]
"""The kind of a record, and its entries."""


@dataclass(frozen=True)
class Loss:
    """The end of a worker, as far as whoever finds it gone can tell.

    Attributes:
        how: ``died``: its process was killed or crashed; ``stopped``: it was told to stop with others, and
            had no time to say so; ``restarted``: SLURM has started its job anew; ``beside``: it was ended
            since a rank of another group died; ``ended``: its job is over, by the scheduler's word or a
            person's.
        why: in words.
        reason: of the failure, if it is one.
        error: of that failure; ``why`` if empty.
        is_late: whether it may have ended long ago, so that the last sign of it counts.
        ended: when its job was over, by the scheduler's word; 0 if that is not known.
    """

    how: Literal["died", "stopped", "restarted", "beside", "ended"]
    why: str
    reason: str = "error"
    error: str = ""
    is_late: bool = False
    ended: float = 0.0


def records_of(
    trial: TrialState, number: int, loss: Loss, *, uses_ask_tell: bool = False, most: int = MAX_LOSSES
) -> list[Record]:
    """The records of a trial whose worker is gone.

    ===========  =======================  ==============================================================
    how          of                       becomes
    ===========  =======================  ==============================================================
    stopped      any                      stopped: goes on from its checkpoint
    restarted    any                      stopped, and counts as a loss; a pack that is lost a second
                                          time is trained trial by trial
    beside       a trial of a list        stopped
    died         a trial of a search      stopped, and counts as a loss; beyond ``most`` failed
    died         a pack                   stopped, and each is trained by itself: which it was shows then
    died         any other                failed
    ended        a trial of a search      as died, where the reason says nothing of the trial: ``error``,
                                          ``node-failure``
    ended        any other                failed
    ===========  =======================  ==============================================================

    Args:
        trial: as the records tell it.
        number: of the attempt that the worker was at.
        loss: how the worker came to its end.
        uses_ask_tell: whether workers ask a search for their trials.
        most: workers that a trial of a search may cost at one epoch.

    Returns:
        Kinds and entries of records, in order.
    """
    attempt = trial.attempts[number]
    who = {
        "trial": trial.trial_id, "attempt": number, "seconds": attempt.seconds, "epochs": attempt.epochs,
    }  # fmt: skip
    if loss.is_late:
        who["ended"] = max(attempt.ended, loss.ended)
    stopped: Record = ("stopped", {**who, "why": loss.why})
    failed: Record = ("failed", {**who, "reason": loss.reason, "error": loss.error or loss.why})
    if loss.how == "stopped":
        return [stopped]
    if loss.how == "restarted":
        again = attempt.lanes > 1 and any(one.lost for one in trial.attempts.values())
        return [("stopped", {**stopped[1], "lost": True, **({"alone": True} if again else {})})]
    if uses_ask_tell and (loss.how in ("died", "beside") or loss.reason in ("error", "node-failure")):
        lost: Record = ("stopped", {**stopped[1], "lost": True})
        return [lost, failed] if _losses_with(trial, attempt) > most else [lost]
    if loss.how == "ended":
        return [failed]
    if loss.how == "beside":
        return [stopped]
    if attempt.lanes > 1:
        return [("stopped", {**stopped[1], "alone": True})]
    return [failed]


def _losses_with(trial: TrialState, lost: Attempt) -> int:
    """The number of workers that a trial has cost at the epoch where it stands, this one included."""
    return sum(
        (one.lost or one is lost) and one.epochs == trial.attempt.epochs for one in trial.attempts.values()
    )


def kills_its_job(trial: TrialState, job_id: str, most: int) -> bool:
    """Whether a job has ended in a trial again and again at the same epoch, so that it is left to nobody.

    Args:
        trial: as the records tell it.
        job_id: of the job.
        most: how many times it may.
    """
    mine = [one for one in trial.attempts.values() if one.job_id == job_id and one.lost]
    return trial.state == "waiting" and sum(one.epochs == trial.attempt.epochs for one in mine) > most


def state_for_search(trial: TrialState | None, attempt: Attempt) -> str:
    """The state by which a search hears of a trial whose worker is gone.

    Args:
        trial: as the records tell it; None where they don't know it.
        attempt: that the worker was at.

    Returns:
        A state as ``Study.tell`` takes it; ``stopped`` hands the trial out again.
    """
    if trial is not None and trial.losses > MAX_LOSSES:
        return "failed"
    if attempt.state in ("running", "waiting") or attempt.reason in GOES_ON:
        return "stopped"
    return "diverged" if attempt.reason == "diverged" else attempt.state
