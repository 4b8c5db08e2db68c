"""The contract of trial sources: a list, a search in a journal or a database, and one of a test's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.source.base import TrialSource
from hpc.jobs.source.searching import SearchSource
from hpc.jobs.source.static import StaticSource
from hpc.jobs.source.study import open_study
from hpc.jobs.spec import Task
from hpc.results import Plan, Records, Run, create
from hpc.sweeps import Sweep

ALONE = World(RankInfo(), Path(), "")
TRIALS = 6


class OneByOne(TrialSource):
    """Hands a list out one by one: a new source is one class."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = list(tasks)

    def ask(self) -> Sequence[Task]:
        return [self._tasks.pop(0)] if self._tasks else []


@dataclass
class Tried:
    """Sources of the workers of one run.

    Attributes:
        sweep: of the run.
        folder: of the run.
        workers: the source of each, by the name under which it asks.
        hands_again: whether it hands out again by itself what was stopped or lost.
    """

    sweep: Sweep
    folder: Path
    workers: dict[str, TrialSource]
    hands_again: bool


def sweep_of(**changes: Any) -> Sweep:
    entries: dict[str, Any] = {
        "name": "s", "model": "any.py:build", "data": "digits",
        "space": {"x": [0.1 * n for n in range(TRIALS)]},
        "fixed": {"epochs": 3}, "objective": {"metric": "val_accuracy", "mode": "max"}, **changes,
    }  # fmt: skip
    return sweeps.parse(entries)


def begun(folder: Path, sweep: Sweep) -> Path:
    trials = [trial.to_record() for trial in sweep.trials]
    create(
        folder,
        Plan("s", "val_accuracy", "max", list(sweep.space), trials, sweep.as_yaml(), "{}", sweep.size),
    )
    return folder


def append(folder: Path, record: str, **entries: Any) -> None:
    records = Records(folder / "records" / "run.jsonl")
    records.append(record, **entries)
    records.close()


def of_lists(folder: Path, kind: Callable[[Sequence[Task]], TrialSource]) -> Tried:
    sweep = sweep_of()
    tasks = [Task(trial, 1) for trial in sweep.trials]
    return Tried(sweep, begun(folder, sweep), {"a": kind(tasks[::2]), "b": kind(tasks[1::2])}, False)


def of_search(folder: Path, storage: str) -> Tried:
    sweep = sweep_of(search={"method": "tpe", "trials": TRIALS})
    begun(folder, sweep)
    append(folder, "study", name=f"contract-{folder.parent.name}-{folder.name}", storage=storage)
    open_study(sweep, Run(folder)).prepare()

    def source(owner: str) -> TrialSource:
        held = {"nodes": 1.0, "cores": 1.0, "gpus": 0.0}
        return SearchSource(sweep, folder, owner, ALONE, held, lambda record, **entries: None)

    return Tried(sweep, folder, {"a": source("a"), "b": source("b")}, True)


IMPLEMENTATIONS: dict[str, Callable[[Path, pytest.FixtureRequest], Tried]] = {
    "static": lambda folder, request: of_lists(folder, StaticSource),
    "journal": lambda folder, request: of_search(folder, ""),
    "postgresql": lambda folder, request: of_search(folder, request.getfixturevalue("database")),
    "one by one": lambda folder, request: of_lists(folder, OneByOne),
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.postgresql if name == "postgresql" else [])
        for name in IMPLEMENTATIONS
    ]
)
def tried(tmp_path: Path, request: pytest.FixtureRequest) -> Tried:
    return IMPLEMENTATIONS[request.param](tmp_path / "r", request)


def finish(source: TrialSource, task: Task) -> None:
    value = 1.0 - float(task.trial.params["x"])
    source.tell(task.trial, "finished", {"val_accuracy": value, "seconds": 1.0}, value)


def worked_off(tried: Tried) -> list[Task]:
    """All that the workers are handed, in turn, each of which is finished."""
    found: list[Task] = []
    waiting = list(tried.workers.values())
    while waiting:
        source = waiting.pop(0)
        tasks = source.ask()
        for task in tasks:
            finish(source, task)
        found += tasks
        waiting += [source] if tasks else []
    return found


def test_every_trial_is_handed_out_once_and_then_no_more(tried: Tried) -> None:
    found = worked_off(tried)
    assert len(found) == TRIALS
    assert set(Counter(task.trial.trial_id for task in found).values()) == {1}
    assert {task.attempt for task in found} == {1}
    assert all(not source.ask() for source in tried.workers.values())


def test_what_is_handed_out_is_the_sweep_s_and_whole(tried: Tried) -> None:
    for task in worked_off(tried):
        assert tried.sweep.recognize(task.trial) == task.trial
        assert task.trial.params.keys() == {"x", "epochs"}
        assert not task.unpacked


def test_workers_that_ask_at_once_are_handed_different_trials(tried: Tried) -> None:
    first, second = (list(source.ask()) for source in tried.workers.values())
    assert first
    assert second
    assert not {task.trial.trial_id for task in first} & {task.trial.trial_id for task in second}


def test_without_a_pruner_nothing_is_pruned(tried: Tried) -> None:
    source = tried.workers["a"]
    for task in source.ask():
        assert [source.report(task.trial, value, 1) for value in (0.0, 1.0)] == ["", ""]


def test_a_trial_that_was_stopped_is_handed_out_again_or_left_to_the_records(tried: Tried) -> None:
    source = tried.workers["a"]
    stopped = source.ask()[0]
    source.tell(stopped.trial, "stopped", {"seconds": 1.0}, None)
    again = [task for task in worked_off(tried) if task.trial.trial_id == stopped.trial.trial_id]
    assert [task.attempt for task in again] == ([2] if tried.hands_again else [])


@pytest.mark.parametrize("state", ["finished", "pruned", "diverged", "failed"])
def test_a_trial_that_has_ended_is_not_handed_out_again(tried: Tried, state: str) -> None:
    source = tried.workers["a"]
    ended = source.ask()[0]
    source.tell(ended.trial, state, {"val_accuracy": 0.5, "seconds": 1.0}, 0.5)
    assert ended.trial.trial_id not in {task.trial.trial_id for task in worked_off(tried)}


def test_what_a_worker_has_that_is_gone_is_handed_to_others(tried: Tried) -> None:
    lost = tried.workers.pop("b").ask()[0]
    who = {"trial": lost.trial.trial_id, "attempt": 1}
    append(tried.folder, "started", **{**lost.trial.to_record(), **who}, ranks=1, job="b", node="n", code="")
    append(tried.folder, "stopped", **who, why="killed", lost=True, seconds=1.0)
    tried.workers["a"].release("b")
    again = [task for task in worked_off(tried) if task.trial.trial_id == lost.trial.trial_id]
    assert [task.attempt for task in again] == ([2] if tried.hands_again else [])


def test_to_release_a_worker_that_has_nothing_changes_nothing(tried: Tried) -> None:
    tried.workers["a"].release("nobody")
    assert len(worked_off(tried)) == TRIALS


def test_the_time_that_it_takes_is_told(tried: Tried) -> None:
    source = tried.workers["a"]
    before = source.seconds
    source.ask()
    assert source.seconds >= before >= 0
    assert (source.seconds > 0) == tried.hands_again  # to go through a list takes none worth telling
