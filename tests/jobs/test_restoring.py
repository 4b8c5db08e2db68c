"""A study that is damaged or gone is made anew from the records: no trial is lost, or there too often."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from hpc.jobs.node import FileLock
from hpc.jobs.source.study import JOURNAL, Study, open_study
from hpc.results import Records, Run, RunError
from hpc.search_coordinator import SearchCoordinator
from hpc.sweeps import Sweep
from tests.jobs.studies import begin, started, sweep_of, value_of, write

SEARCH = {"method": "tpe", "trials": 9, "pruner": "median"}
SWEEP = sweep_of(search={**SEARCH, "pruner": {"name": "median", "n_startup_trials": 3}},
                 confirm={"best": 1, "seeds": 2})  # fmt: skip
FATES = {1: "failed", 3: "diverged", 5: "stopped"}
"""What becomes of the first attempts at some of the trials, counted as they are asked for."""


def work(study: Study, folder: Path, most: int = 100, first: int = 100) -> None:
    """What a worker does, with the training left out: it asks, records, reports and tells."""
    for number in range(first, first + most):
        asked = study.ask("w")
        if asked is None:
            return
        trial, who = asked.trial, {"trial": asked.trial.trial_id, "attempt": asked.attempt}
        started(folder, asked, "w")
        value, fate = value_of(asked), FATES.get(number, "finished")
        for epoch in range(1, 3):
            metrics = {"val_accuracy": value * epoch / 2}
            write(folder, "epoch", **who, epoch=epoch, metrics=metrics, seconds=float(epoch))
            if study.report(trial, value * epoch / 2, epoch):
                fate = "pruned"
                break
        ended = {"epochs": epoch, "metrics": metrics, "best": value, "seconds": 2.0}
        if fate in ("failed", "diverged"):
            write(folder, "failed", **who, reason="error" if fate == "failed" else fate, error="x")
        elif fate == "stopped":
            write(folder, "stopped", **who, why="time limit")
        else:
            write(folder, fate, **who, **ended, **({"why": "worse"} if fate == "pruned" else {}))
        study.tell(trial, fate, metrics, value)


def searched(folder: Path, sweep: Sweep = SWEEP, most: int = 8, storage: str = "") -> Path:
    """A run whose search was interrupted after so many tries."""
    study = begin(folder, sweep, storage)
    work(study, folder, most, first=0)
    left = study.ask("killed")  # and one more, of which nothing is heard
    assert left is not None
    started(folder, left, "killed")
    return folder


def gone_on_with(folder: Path, sweep: Sweep = SWEEP) -> list[str]:
    """The notes of a command that goes on with a search to its end."""
    notes: list[str] = []
    run = Run(folder)
    records = Records(folder / "records" / "command.jsonl")
    lost = {t.trial_id: "diverged" for t in run.trials.values() if t.attempt.reason == "diverged"}
    search = SearchCoordinator(sweep, run, records, "", notes.append)
    wanted = search.begin(lost)
    records.close()
    work(open_study(sweep, Run(folder)), folder)
    assert open_study(sweep, Run(folder)).left() == 0
    assert wanted >= 1
    return notes


def check(folder: Path, before: Run, sweep: Sweep = SWEEP) -> None:
    """All that there are to be, and no trial that had ended well a second time."""
    run = Run(folder)
    confirm = sweep.confirm.best * sweep.confirm.seeds if sweep.confirm else 0
    stages = Counter(trial.stage for trial in run.trials.values())
    assert stages == Counter({"": sweep.search.trials or len(sweep.trials), "confirm": confirm})
    assert len({trial.index for trial in run.trials.values()}) == len(run.trials)
    for name, trial in run.trials.items():
        states = [attempt.state for attempt in trial.attempts.values()]
        assert (
            sum(state in ("finished", "pruned") for state in states) + (trial.attempt.reason == "diverged")
            == 1
        ), (name, states)
    for name, trial in before.trials.items():
        if trial.state in ("finished", "pruned") or trial.attempt.reason == "diverged":
            assert len(run.trials[name].attempts) == len(trial.attempts)
            assert run.trials[name].index == trial.index


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("restoring") / "r")


def test_a_search_goes_on_with_its_study_as_it_is(tmp_path: Path, interrupted: Path) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "r")
    assert gone_on_with(folder) == []
    check(folder, Run(interrupted))
    assert not list(folder.glob("*damaged*"))


@pytest.mark.slow
def test_wherever_a_journal_is_cut_the_search_has_its_trials(tmp_path: Path, interrupted: Path) -> None:
    whole = (interrupted / JOURNAL).read_bytes()
    ends = [0, *(place + 1 for place, byte in enumerate(whole) if byte == 10)]
    rng, before, anew = random.Random(1), Run(interrupted), 0
    cuts = [*ends[::3], *(rng.randrange(len(whole)) for _ in range(8))]
    for cut in cuts:
        folder = shutil.copytree(interrupted, tmp_path / f"r{cut}", dirs_exist_ok=True)
        (folder / JOURNAL).write_bytes(whole[:cut])
        notes = gone_on_with(folder)
        check(folder, before)
        damaged = [path.name for path in folder.glob("*damaged*")]
        assert [note.count("made anew") for note in notes] == [1] * len(notes)
        assert bool(damaged) == bool(notes and cut)
        if damaged:
            assert (folder / damaged[0]).read_bytes().startswith(whole[:cut])
            assert damaged[0] in notes[0]
        anew += bool(notes)
        shutil.rmtree(folder)
    assert anew > len(cuts) / 2


@pytest.mark.parametrize(
    "damage", ["gone", "zeros", "garbage", "holes", "an entry", "an operation", "swapped"]
)
def test_whatever_is_in_a_journal_the_search_has_its_trials(
    tmp_path: Path, interrupted: Path, damage: str
) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "r")
    path = folder / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "gone":
        path.unlink()
    elif damage == "zeros":
        path.write_bytes(b"\0" * path.stat().st_size)
    elif damage == "garbage":
        path.write_bytes(random.Random(2).randbytes(3000))
    elif damage == "holes":
        path.write_bytes(b"".join(lines[:20]) + b"\0" * 4096 + b"".join(lines[30:]))
    elif damage == "an entry":
        path.write_bytes(b"".join(lines[:12]) + b'{"op_code":5}\n' + b"".join(lines[12:]))
    elif damage == "an operation":
        path.write_bytes(b"".join(lines[:12]) + b'{"op_code":77,"worker_id":"x"}\n' + b"".join(lines[12:]))
    else:
        path.write_bytes(b"".join([*lines[:10], *reversed(lines[10:])]))
    notes = gone_on_with(folder)
    assert len(notes) == (damage != "an operation")  # which is passed over
    check(folder, Run(interrupted))


def test_a_grid_with_a_pruner_is_restored_too(tmp_path: Path) -> None:
    sweep = sweep_of(
        space={"x": [0.1, 0.2, 0.3, 0.4], "y": [0.0, 0.5]}, search={"method": "grid", "pruner": "median"}
    )
    folder = searched(tmp_path / "r", sweep)
    before = Run(folder)
    (folder / JOURNAL).write_bytes(b"")
    assert len(gone_on_with(folder, sweep)) == 1
    check(folder, before, sweep)


@pytest.mark.postgresql
def test_a_study_that_was_dropped_from_a_database_is_made_anew(tmp_path: Path, database: str) -> None:
    import optuna

    folder = searched(tmp_path / "r", storage=database)
    before, name = Run(folder), Run(folder).study["name"]
    store = optuna.storages.RDBStorage(database)
    optuna.delete_study(study_name=f"{name}-search", storage=store)
    store.remove_session()
    store.engine.dispose()
    assert len(gone_on_with(folder)) == 1
    check(folder, before)


def test_a_confirmation_that_was_under_way_is_restored(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    study = begin(folder, SWEEP)
    work(study, folder)
    assert study.left() == 0
    before = Run(folder)
    assert sum(trial.stage == "confirm" for trial in before.trials.values()) == 2
    (folder / JOURNAL).unlink()
    notes: list[str] = []
    records = Records(folder / "records" / "command.jsonl")
    assert SearchCoordinator(SWEEP, Run(folder), records, "", notes.append).begin({}) == 0
    records.close()
    assert len(notes) == 1
    assert open_study(SWEEP, Run(folder)).ask("w") is None


def test_a_worker_does_not_begin_a_search_anew(tmp_path: Path, interrupted: Path) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "r")
    run = Run(folder)
    assert open_study(SWEEP, run).unlike(run) == ""
    (folder / JOURNAL).unlink()
    assert "it does not know of" in open_study(SWEEP, run).unlike(run)


def test_with_jobs_at_work_a_study_is_left_as_it_is(tmp_path: Path, interrupted: Path) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "r")
    (folder / JOURNAL).write_bytes(b"")
    write(folder, "submitting", name="a", launch=1, first=0, size=1, ranks=1)
    write(folder, "array", name="a", job="7")
    records = Records(folder / "records" / "command.jsonl")
    with pytest.raises(RunError, match=r"jobs of SLURM are at work.*hpc cancel"):
        SearchCoordinator(SWEEP, Run(folder), records, "", print)
    records.close()
    assert (folder / JOURNAL).read_bytes().count(b"\n") <= 2  # the names of its studies
    assert not list(folder.glob("*damaged*"))


@pytest.mark.parametrize("text", ["elsewhere:1:2.0,x:3", "elsewhere", "a file"])
def test_locks_that_nobody_can_hold_cost_a_command_no_time(
    tmp_path: Path, interrupted: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Of another machine, of another program, or copied by a program that follows links."""
    impatient = partial(FileLock, sleep=lambda seconds: pytest.fail("it waits"))
    for module in ("journal", "study"):
        monkeypatch.setattr(f"hpc.jobs.source.{module}.FileLock", impatient)
    folder = shutil.copytree(interrupted, tmp_path / "r", symlinks=True)
    for path in (folder / f"{JOURNAL}.lock", folder / "jobs" / "asking"):
        if text == "a file":
            path.write_text("x")
        else:
            os.symlink(text, path)
    assert gone_on_with(folder) == []
    check(folder, Run(interrupted))
