"""What becomes of a trial whose worker is gone: the table of all cases."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from hpc.jobs.outcome import Loss, Record, kills_its_job, records_of, state_for_search
from hpc.results import Attempt, TrialState

WHO = {"trial": "t0", "attempt": 2, "seconds": 7.0, "epochs": 3}
ALONE: dict[str, Any] = {"alone": True}
LOST: dict[str, Any] = {"lost": True}


def trial(lanes: int = 1, before: int = 0, earlier_epochs: int = 3) -> TrialState:
    """One whose second attempt is running; the first has lost its worker if ``before``."""
    first = Attempt(state="waiting", job_id="j", epochs=earlier_epochs, lost=bool(before))
    last = Attempt(state="running", job_id="j", epochs=3, lanes=lanes)
    last.seconds, last.ended = 7.0, 50.0
    return TrialState("t0", 0, {}, 0, {1: first, 2: last})


def stopped(why: str = "gone", **further: Any) -> Record:
    return "stopped", {**WHO, "why": why, **further}


def failed(reason: str = "error", error: str = "gone", **further: Any) -> Record:
    return "failed", {**WHO, "reason": reason, "error": error, **further}


CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[Record]]] = [
    # How, the trial, further arguments, what is recorded.
    ("died", {}, {}, [failed()]),
    ("died", {"lanes": 4}, {}, [stopped(**ALONE)]),
    ("died", {"before": 1}, {}, [failed()]),
    ("died", {}, {"uses_ask_tell": True}, [stopped(**LOST)]),
    ("died", {"before": 1}, {"uses_ask_tell": True, "most": 2}, [stopped(**LOST)]),
    ("died", {"before": 1}, {"uses_ask_tell": True, "most": 1}, [stopped(**LOST), failed()]),
    ("died", {"before": 1, "earlier_epochs": 2}, {"uses_ask_tell": True, "most": 1}, [stopped(**LOST)]),
    ("died", {}, {"uses_ask_tell": True, "most": 0}, [stopped(**LOST), failed()]),
    ("died", {"lanes": 4}, {"uses_ask_tell": True}, [stopped(**LOST)]),
    ("stopped", {}, {}, [stopped()]),
    ("stopped", {"lanes": 4}, {}, [stopped()]),
    ("stopped", {}, {"uses_ask_tell": True}, [stopped()]),
    ("restarted", {}, {}, [stopped(**LOST)]),
    ("restarted", {"before": 1}, {}, [stopped(**LOST)]),
    ("restarted", {"lanes": 4}, {}, [stopped(**LOST)]),
    ("restarted", {"lanes": 4, "before": 1}, {}, [stopped(**LOST, **ALONE)]),
    ("restarted", {"before": 1}, {"uses_ask_tell": True, "most": 0}, [stopped(**LOST)]),
    ("beside", {}, {}, [stopped()]),
    ("beside", {"lanes": 4}, {}, [stopped()]),
    ("beside", {}, {"uses_ask_tell": True}, [stopped(**LOST)]),
    ("ended", {}, {}, [failed()]),
    ("ended", {"lanes": 4}, {}, [failed()]),
    ("ended", {}, {"uses_ask_tell": True}, [stopped(**LOST)]),
    ("ended", {"before": 1}, {"uses_ask_tell": True, "most": 1}, [stopped(**LOST), failed()]),
]


@pytest.mark.parametrize(("how", "given", "arguments", "expected"), CASES)
def test_what_is_recorded_of_a_trial_whose_worker_is_gone(
    how: Any, given: dict[str, Any], arguments: dict[str, Any], expected: list[Record]
) -> None:
    assert records_of(trial(**given), 2, Loss(how, "gone"), **arguments) == expected


@pytest.mark.parametrize("uses_ask_tell", [False, True])
@pytest.mark.parametrize("reason", ["timeout", "out-of-memory", "cancelled"])
def test_a_reason_that_tells_of_the_trial_counts_in_a_search_too(reason: str, *, uses_ask_tell: bool) -> None:
    assert records_of(trial(), 2, Loss("ended", "gone", reason), uses_ask_tell=uses_ask_tell) == [
        failed(reason)
    ]


@pytest.mark.parametrize("reason", ["error", "node-failure"])
def test_a_job_that_ended_by_its_node_costs_a_search_no_trial(reason: str) -> None:
    assert records_of(trial(), 2, Loss("ended", "gone", reason), uses_ask_tell=True) == [stopped(**LOST)]
    assert records_of(trial(), 2, Loss("ended", "gone", reason)) == [failed(reason)]


def test_who_finds_out_late_tells_the_time_of_the_last_sign() -> None:
    late = Loss("ended", "gone", "cancelled", is_late=True)
    assert records_of(trial(), 2, late) == [failed("cancelled", ended=50.0)]
    by_scheduler = Loss("ended", "gone", "timeout", is_late=True, ended=60.0)
    assert records_of(trial(), 2, by_scheduler) == [failed("timeout", ended=60.0)]
    too_early = Loss("ended", "gone", "timeout", is_late=True, ended=40.0)
    assert records_of(trial(), 2, too_early) == [failed("timeout", ended=50.0)]
    assert records_of(trial(), 2, Loss("died", "gone", error="gone\nlog")) == [failed(error="gone\nlog")]


def test_every_case_records_the_very_attempt_and_says_why() -> None:
    hows: Any = ("died", "stopped", "restarted", "beside", "ended")
    for how, lanes, before, uses_ask_tell, most in product(hows, (1, 4), (0, 1), (False, True), (0, 2)):
        found = records_of(trial(lanes, before), 2, Loss(how, "gone"), uses_ask_tell=uses_ask_tell, most=most)
        assert 1 <= len(found) <= 2
        for kind, entries in found:
            assert entries.items() >= WHO.items()
            assert "gone" in (entries["why"] if kind == "stopped" else entries["error"])


def test_a_trial_that_its_job_ends_in_again_and_again_is_left() -> None:
    one = trial(before=1)
    one.attempts[2].state, one.attempts[2].lost = "waiting", True
    assert kills_its_job(one, "j", 1)
    assert not kills_its_job(one, "j", 2)
    assert not kills_its_job(one, "another", 1)
    one.attempts[1].epochs = 2  # it has got on since
    assert not kills_its_job(one, "j", 1)


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("running", "", "stopped"), ("waiting", "", "stopped"), ("finished", "", "finished"),
        ("pruned", "", "pruned"), ("failed", "error", "failed"), ("failed", "diverged", "diverged"),
        ("failed", "out-of-memory", "failed"), ("failed", "timeout", "stopped"),
        ("failed", "node-failure", "stopped"), ("failed", "cancelled", "stopped"),
    ],
)  # fmt: skip
def test_what_a_search_is_told(state: str, reason: str, told: str) -> None:
    attempt = Attempt(state=state, reason=reason)
    assert state_for_search(TrialState("t0", 0, {}, 0, {1: attempt}), attempt) == told
    assert state_for_search(None, attempt) == told


def test_a_search_is_told_that_a_trial_has_cost_too_many_workers() -> None:
    lost = {number: Attempt(state="waiting", lost=True, epochs=1) for number in (1, 2, 3)}
    assert state_for_search(TrialState("t0", 0, {}, 0, lost), lost[3]) == "failed"
    lost[1].epochs = 0
    assert state_for_search(TrialState("t0", 0, {}, 0, lost), lost[3]) == "stopped"
