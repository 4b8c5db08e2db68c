"""Files of a run that are cut, emptied, removed, doubled or overwritten, and gone on with.

Whatever is done to a file: no trial is lost, none is finished twice, what is known is not trained again,
and the objective is the sweep's; or a sentence says what can't be mended.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc import results, running, sweeps
from hpc.extending import extend
from hpc.jobs import stored
from hpc.jobs.source.study import JOURNAL
from hpc.outcome import View
from hpc.results import Run, RunError, seal_of
from hpc.sweeps import SweepError
from tests.hpc import standin
from tests.marks import slow, slow_but

GRID: dict[str, Any] = {
    "name": "x",
    "model": "mlp",
    "data": "digits",
    "space": {"dropout": [0.0, 0.1, 0.2], "depth": [1, 2]},
    "fixed": {"epochs": 2},
    "seeds": [0, 1],
    "objective": {"metric": "val_accuracy", "mode": "max"},
    "search": "grid",
}
SEARCH: dict[str, Any] = {
    **GRID,
    "space": {"dropout": {"low": 0.0, "high": 0.5}, "depth": [1, 2]},
    "seeds": 1,
    "search": {"method": "tpe", "trials": 6},
}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grid": (GRID, {"workers": 2}),
    "search": (SEARCH, {"workers": 1}),
    "confirmed": ({**SEARCH, "confirm": {"best": 2, "seeds": 2}}, {"workers": 1}),
    "asked": ({**GRID, "search": {"method": "random", "trials": 4}, "budget": {"node_hours": 9}}, {}),
}
"""Sweeps, and how they are run."""


@pytest.fixture(autouse=True)
def _instant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "trained" not in request.fixturenames:
        standin.use(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each kind."""
    base = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        standin.use(patch)
        for name, (entries, how) in KINDS.items():
            assert running.run(sweeps.parse(entries), folder=base / name, **how).is_good
    return {name: base / name for name in KINDS}


def files(folder: Path) -> list[Path]:
    """All that can be damaged."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind, by real workers."""
    base = tmp_path_factory.mktemp("trained")
    small = {**GRID, "seeds": 1, "fixed": {"epochs": 2, "hidden_size": 4}}
    runs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "grid": ({**small, "pack": "off"}, {"workers": 2}),
        "packs": ({**small, "pack": 3}, {"workers": 1}),
        "two ranks": ({**small, "space": {"depth": [1, 2]}}, {"workers": 1, "ranks": 2}),
        "search": ({**small, **{name: SEARCH[name] for name in ("space", "search")}}, {"workers": 2}),
    }
    for name, (entries, how) in runs.items():
        assert running.run(sweeps.parse(entries), folder=base / name, **how).is_good
    return {name: base / name for name in runs}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grid", "packs", "two ranks", "search"])
def test_every_file_of_a_run_that_was_trained(
    trained: dict[str, Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.use(monkeypatch)
    before, draw = Run(trained[kind]), random.Random(0)
    for path in files(trained[kind]):
        data = path.read_bytes()
        places = list(cuts(data))
        wholes = [b"", b"\0" * len(data), data + data, None]
        for damaged in [*(data[:place] for place in draw.sample(places, min(4, len(places)))), *wholes]:
            folder = tmp_path / "r"
            shutil.copytree(trained[kind], folder)
            if damaged is None:
                (folder / path.relative_to(trained[kind])).unlink()
            else:
                (folder / path.relative_to(trained[kind])).write_bytes(damaged)
            gone = check_going_on(folder, before)
            assert not gone.refused or (path.name == "sweep.yaml" and damaged == data + data), gone.refused
            shutil.rmtree(folder)


Known = dict[str, tuple[str, float | None]]


def told(run: Run) -> Known:
    """How each trial stands."""
    return {name: (trial.state, trial.attempt.best) for name, trial in sorted(run.trials.items())}


@dataclass
class Gone:
    """How a damaged run was gone on with."""

    refused: str
    trained: int
    run: Run | None


def go_on(folder: Path) -> Gone:
    try:
        outcome = running.resume(folder, view=View())
    except (RunError, SweepError) as error:
        return Gone(str(error), 0, None)
    assert outcome.is_good, (outcome.error, outcome.left, outcome.run.counts())
    return Gone("", outcome.trained, outcome.run)


def check_reading(folder: Path, before: Run) -> None:
    """What is read of a damaged folder is no better than what is there, or is refused."""
    try:
        run = Run(folder)
    except RunError:
        return
    counts = run.counts()
    assert (run.metric, run.mode) == (before.metric, before.mode)
    if counts["finished"] == counts["total"]:
        assert told(run) == told(before)
    for name, state in told(run).items():
        if state[0] == "finished":
            assert state == told(before)[name]


def check_going_on(folder: Path, before: Run) -> Gone:
    """Everything is finished once, with what it comes to; what was known is not trained again."""
    check_reading(folder, before)
    known = {name for name, state in _told_of(folder).items() if state == "finished"}
    gone = go_on(folder)
    if gone.run is None:
        return gone
    run = Run(folder)
    assert (run.metric, run.mode) == (before.metric, before.mode)
    assert run.counts()["total"] == before.counts()["total"]
    if {trial.stage for trial in run.trials.values()} == {""}:
        assert len(run.trials) == len(before.trials)
    for name, trial in run.trials.items():
        assert trial.state == "finished"
        assert trial.attempt.best in (standin.value_of(name), told(before).get(name, ("", None))[1])
        assert sum(one.state == "finished" for one in trial.attempts.values()) == 1
    assert gone.trained <= run.counts()["total"] - len(known)
    assert running.resume(folder, view=View()).trained == 0
    return gone


def _told_of(folder: Path) -> dict[str, str]:
    try:
        return {name: trial.state for name, trial in Run(folder).trials.items()}
    except RunError:
        return {}


def cuts(data: bytes) -> Iterator[int]:
    """Every end of a line, and a byte before and after it."""
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    yield from sorted(
        {0, *ends, *(end - 2 for end in ends), *(end + 1 for end in ends)} & set(range(len(data)))
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [71, slow(11)])
def test_every_file_cut_at_every_line(made: dict[str, Path], kind: str, stride: int, tmp_path: Path) -> None:
    before = Run(made[kind])
    places = [(path, place) for path in files(made[kind]) for place in cuts(path.read_bytes())]
    for path, place in places[::stride]:
        folder = tmp_path / "r"
        shutil.copytree(made[kind], folder)
        (folder / path.relative_to(made[kind])).write_bytes(path.read_bytes()[:place])
        gone = check_going_on(folder, before)
        assert not gone.refused, (path, place, gone.refused)  # all of that can be mended
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", slow_but(["grid"], KINDS))
def test_every_file_emptied_removed_doubled_and_overwritten(
    made: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    before = Run(made[kind])
    for path in files(made[kind]):
        data = path.read_bytes()
        for how, damaged in {
            "emptied": b"", "removed": None, "doubled": data + data, "zeroed": b"\0" * len(data),
            "half zeroed": data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2),
            "another's": b"\x80PK\3\4" * 99, "first line lost": data.partition(b"\n")[2],
            "half": data[: len(data) // 2],
        }.items():  # fmt: skip
            folder = tmp_path / how
            shutil.copytree(made[kind], folder)
            if damaged is None:
                (folder / path.relative_to(made[kind])).unlink()
            else:
                (folder / path.relative_to(made[kind])).write_bytes(damaged)
            gone = check_going_on(folder, before)
            may_refuse = path.name == "sweep.yaml" and how in ("doubled", "another's", "first line lost")
            assert not gone.refused or may_refuse, (path.name, how, gone.refused)
            shutil.rmtree(folder)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_several_files_damaged_at_once(
    made: dict[str, Path], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    folder = tmp_path_factory.mktemp("several") / "r"
    shutil.copytree(made[kind], folder)
    for path in data.draw(st.lists(st.sampled_from(files(folder)), min_size=1, max_size=3, unique=True)):
        whole = path.read_bytes()
        how = data.draw(st.sampled_from(["cut", "zero", "remove", "shuffle", "double"]))
        place = data.draw(st.integers(0, max(0, len(whole) - 1)))
        if how == "remove":
            path.unlink()
        elif how == "shuffle":
            lines = whole.splitlines(keepends=True)
            random.Random(place).shuffle(lines)
            path.write_bytes(b"".join(lines))
        else:
            path.write_bytes({"cut": whole[:place], "zero": whole[:place] + b"\0" * 40 + whole[place + 40 :],
                              "double": whole + whole[place:]}[how])  # fmt: skip
    check_going_on(folder, Run(made[kind]))


def interrupted(folder: Path) -> Run:
    """A run of a search, whose command has told of its workers what they did not live to tell."""
    shutil.rmtree(folder, ignore_errors=True)
    outcome = running.run(sweeps.parse(SEARCH), folder=folder, workers=2)
    records = results.Records(folder / "records" / "run.jsonl")
    trials = list(outcome.run.trials.values())
    who = {"trial": trials[0].trial_id, "attempt": 2}
    other = results.Records(folder / "records" / "local-9-0.jsonl")
    for trial, number in ((trials[0], 2), (trials[1], 2), (trials[1], 3)):
        facts = {"index": trial.index, "params": trial.params, "seed": trial.seed, "model": trial.model}
        other.append("started", trial=trial.trial_id, **facts, attempt=number, ranks=1, job="local-9-0",
                     node="n", code="")  # fmt: skip
        other.append("epoch", trial=trial.trial_id, attempt=number, epoch=1, metrics={"val_accuracy": 0.1},
                     seconds=1.0)  # fmt: skip
    records.append("failed", **who, reason="cancelled", error="stopped from outside")
    records.append("stopped", trial=trials[1].trial_id, attempt=2, why="killed", lost=True, epochs=1)
    records.append("failed", trial=trials[1].trial_id, attempt=2, reason="error", error="again")
    other.append("failed", trial=trials[1].trial_id, attempt=3, reason="diverged", error="loss is nan")
    other.append("note", text="b")
    records.append("note", text="a")
    lines = (folder / "records" / "local-1-0.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if trials[0].trial_id.encode() not in line]
    (folder / "records" / "local-1-0.jsonl").write_bytes(b"".join(kept))
    return Run(folder)


def shown(run: Run) -> tuple[pd.DataFrame, pd.DataFrame, list[str], dict[str, int], dict[str, Any]]:
    """All that a reader sees of a run."""
    return (
        results.table(run), results.table(run, epochs=True), run.notes, run.counts(),
        {name: sorted(job.items(), key=str) for name, job in run.jobs.items()},
    )  # fmt: skip


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    pd.testing.assert_frame_equal(one[0], other[0])
    pd.testing.assert_frame_equal(one[1], other[1])
    assert one[2:] == other[2:]


def test_what_is_told_does_not_depend_on_the_order_in_which_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r"
    canonical = shown(interrupted(folder))
    assert canonical[0].state.tolist().count("failed") == 1
    names = sorted(path.name for path in (folder / "records").iterdir())
    assert len(names) == 4
    for order in itertools.permutations(names):
        monkeypatch.setattr(
            "hpc.results.store.reading.sorted", lambda given, key, order=order: list(order), raising=False
        )
        for keep in (False, True):
            same(shown(Run(folder, keep_epochs=keep)), canonical)


@pytest.mark.parametrize("keep", [slow(False), True])
def test_what_is_told_does_not_depend_on_when_it_is_read(tmp_path: Path, keep: bool) -> None:
    folder = tmp_path / "r"
    canonical = shown(interrupted(folder))
    whole = {path: path.read_bytes() for path in (folder / "records").iterdir()}
    for path, data in whole.items():
        for place in cuts(data):
            path.write_bytes(data[:place])
            run = Run(folder, keep_epochs=keep)
            path.write_bytes(data)
            run.refresh()
            same(shown(run), canonical)


def test_an_interrupted_search_is_told_as_its_command_told_it(tmp_path: Path) -> None:
    run = interrupted(tmp_path / "r")
    states = {trial.state for trial in run.trials.values()}
    assert states == {"finished", "failed"}
    assert run.skipped() == {}
    (cancelled,) = [trial for trial in run.trials.values() if trial.state == "failed"]
    assert (cancelled.attempt.reason, cancelled.attempt.error) == ("cancelled", "stopped from outside")
    records = tmp_path / "r" / "records" / "run.jsonl"
    before = records.read_text().count('"failed"')
    assert running.resume(tmp_path / "r").is_good
    assert records.read_text().count('"failed"') == before  # no other verdict


def test_a_file_of_records_that_is_removed_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    running.run(sweeps.parse(GRID), folder=folder)
    writer = results.Records(folder / "records" / "run.jsonl")
    shutil.rmtree(folder / "records")
    writer.append("note", text="still here")
    writer.close()
    run = Run(folder)
    assert len(run.trials) == 12
    assert run.notes == ["still here"]


def test_a_run_that_is_removed_while_it_is_written_does_not_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    running.run(sweeps.parse(GRID), folder=folder)
    writer = results.Records(folder / "records" / "run.jsonl")
    shutil.rmtree(folder)
    writer.append("note", text="still here")
    writer.close()
    assert not folder.exists()


EDITS = {
    "other values": ("dropout: [0.0, 0.1, 0.2]", "dropout: [0.0, 0.1, 0.4]"),
    "another order": ("dropout: [0.0, 0.1, 0.2]", "dropout: [0.1, 0.0, 0.2]"),
    "epochs": ("epochs: 2", "epochs: 3"),
    "objective": ("metric: val_accuracy", "metric: val_loss"),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("has_copy", [True, False])
def test_a_sweep_that_was_edited_in_its_run_is_refused(
    made: dict[str, Path], tmp_path: Path, edit: str, has_copy: bool
) -> None:
    folder = tmp_path / "r"
    shutil.copytree(made["grid"], folder)
    if not has_copy:
        (folder / "records" / "run.jsonl").unlink()
    before, after = EDITS[edit]
    text = (folder / "sweep.yaml").read_text()
    (folder / "sweep.yaml").write_text(text.replace(before, after))
    starts: list[Callable[[], object]] = [
        lambda: running.resume(folder), lambda: running.run(sweeps.parse(GRID), folder=folder),
    ]  # fmt: skip
    for start in starts:
        with pytest.raises(RunError, match="undo the edit to go on") as raised:
            start()
        if has_copy:
            assert f"-  {before}\n+  {after}" in str(raised.value)
    (said, *_) = Run(folder).faults()
    assert said.startswith(f"{folder}/sweep.yaml is not as the run has written it")
    (folder / "sweep.yaml").write_text(text)
    assert running.resume(folder).is_good


def test_of_a_run_without_its_sweep_it_is_said_who_writes_it_again(
    made: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(made["grid"], tmp_path / "r")
    (tmp_path / "r" / "sweep.yaml").unlink()
    with pytest.raises(
        RunError, match=r"has lost its sweep.yaml. `hpc resume .*/r` writes it again from the"
    ):
        Run(tmp_path / "r")


def test_the_sweep_of_another_run_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    shutil.copytree(made["grid"], folder)
    shutil.copy(made["asked"] / "sweep.yaml", folder / "sweep.yaml")  # whole, by its own seal
    with pytest.raises(RunError, match="is not as the run has written it"):
        running.resume(folder)
    (folder / "records" / "run.jsonl").unlink()
    with pytest.raises(RunError, match="was planned as"):
        running.resume(folder)


def test_a_folder_that_has_lost_what_it_is_says_so(made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    shutil.copytree(made["grid"], folder)
    (folder / "records" / "run.jsonl").write_bytes(b"")
    (folder / "records" / "local-1-1.jsonl").unlink()
    run = Run(folder)
    assert (run.metric, run.mode) == ("val_accuracy", "max")
    assert run.counts() == {"waiting": 6, "running": 0, "finished": 6, "pruned": 0, "failed": 0, "total": 12}
    (said,) = run.faults()
    assert "has lost the plan of 6 of 12 trials" in said
    (folder / "sweep.yaml").write_text("name: x\n")
    with pytest.raises(RunError, match="what the run is after"):
        Run(folder)
    (folder / "sweep.yaml").unlink()
    with pytest.raises(RunError, match=r"its sweep.yaml is gone, and records/run.jsonl has no copy"):
        running.run(sweeps.parse(GRID), folder=folder)
    with pytest.raises(RunError, match="What trials came to is still in"):
        Run(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["jobs", "provenance.json", "records"]


class DeadError(BaseException):
    """Stands in for a process that is killed."""


DRAWN = {**SEARCH, "search": {"method": "random", "trials": 6}}


@pytest.mark.parametrize("entries", [SEARCH, DRAWN], ids=["search", "drawn"])
def test_an_extension_that_is_killed_anywhere_can_be_done_again(
    entries: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.run(sweeps.parse(entries), folder=tmp_path / "r")
    for at in itertools.count(1):
        folder, left = tmp_path / str(at), at
        shutil.copytree(tmp_path / "r", folder)

        def die_at_last(do: Callable[..., Any]) -> Callable[..., Any]:
            def done(*given: Any, **further: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise DeadError
                return do(*given, **further)

            return done

        with monkeypatch.context() as patch, contextlib.suppress(DeadError):
            patch.setattr(results.Records, "append", die_at_last(results.Records.append))
            patch.setattr("hpc.results.store.files.os.replace", die_at_last(os.replace))
            extend(folder, "8")
        assert len(results.table(folder)) <= Run(folder).counts()["total"] <= 8
        with contextlib.suppress(RunError):  # it has so many already
            extend(folder, "8")
        assert running.resume(folder, view=View()).is_good
        assert Run(folder).counts() == {
            "waiting": 0, "running": 0, "finished": 8, "pruned": 0, "failed": 0, "total": 8,
        }  # fmt: skip
        if left > 0:
            break
    assert at >= 4


@pytest.mark.parametrize("is_remembered", [False, True])
def test_a_job_is_remembered_that_began_before_its_array_is_told_of(
    made: dict[str, Path], is_remembered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.results.store.snapshot.MIN_BYTES", 0)
    folder = tmp_path / "r"
    shutil.copytree(made["grid"], folder)
    array: dict[str, Any] = {"name": "hpc-x.0", "launch": 2}
    job = results.Records(folder / "records" / "101_0.jsonl")
    job.append("began", **array, job="101_0", number=0, restart=0)
    if is_remembered:
        Run(folder).remember()
    command = results.Records(folder / "records" / "run.jsonl")
    command.append("submitting", **array, first=0, size=1, ranks=1)
    assert Run(folder).arrays["hpc-x.0"]["seen"] == "101"


RANDOM: dict[str, Any] = {**SEARCH, "search": {"method": "random", "trials": 6}}


@pytest.mark.parametrize("is_earlier", [False, True], ids=["sealed", "of an earlier version"])
def test_a_command_that_is_killed_while_it_extends(
    is_earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r"
    running.run(sweeps.parse(RANDOM), folder=folder)
    if is_earlier:
        as_earlier(folder)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hpc.extending.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            extend(folder, "+4")
    assert Run(folder).faults() == []
    assert go_on(folder) == Gone("", 4, ANY)
    assert go_on(folder) == Gone("", 0, ANY)


def as_earlier(folder: Path) -> None:
    """Bring a run into the form of versions that kept no copy of its sweep, and no seal."""
    sweep, records = folder / "sweep.yaml", folder / "records" / "run.jsonl"
    sweep.write_text(sweep.read_text().partition("\n")[2])
    first, _, rest = records.read_text().partition("\n")
    told = {name: value for name, value in json.loads(first).items() if name != "file"}
    records.write_text(json.dumps(told) + "\n" + rest)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_an_earlier_version_that_has_lost_what_it_is(
    made: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    shutil.copytree(made[kind], folder)
    as_earlier(folder)
    (folder / "records" / "run.jsonl").unlink()
    check_going_on(folder, Run(made[kind]))
    assert Run(folder).faults() == []
    assert seal_of(folder / "sweep.yaml")


@pytest.mark.parametrize("is_earlier", [False, True], ids=["sealed", "of an earlier version"])
def test_a_run_that_is_extended_after_another_command_has_read_its_records(
    is_earlier: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    running.run(sweeps.parse(RANDOM), folder=folder)
    if is_earlier:
        as_earlier(folder)
    before = Run(folder)
    extend(folder, "+2")
    assert stored.load(folder, before.sweep_texts).size == 8
    assert before.faults() == []
    extend(folder, "+2")
    assert stored.load(folder, before.sweep_texts).size == 10
    assert before.faults() == []


@pytest.mark.slow
def test_a_run_that_has_lost_that_it_was_extended(tmp_path: Path) -> None:
    before = tmp_path / "before"
    running.run(sweeps.parse(RANDOM), folder=before)
    extend(before, "+2")
    records = (before / "records" / "run.jsonl").read_bytes()
    for number, place in enumerate(cuts(records)):
        folder = tmp_path / str(number)
        shutil.copytree(before, folder)
        (folder / "records" / "run.jsonl").write_bytes(records[:place])
        gone = go_on(folder)
        assert gone.run is not None, gone.refused
        assert len(gone.run.trials) == 8
        assert Run(folder).faults() == []


def test_a_sweep_that_was_changed_may_be_moved_away(made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    shutil.copytree(made["grid"], folder)
    text = (folder / "sweep.yaml").read_text()
    (folder / "sweep.yaml").write_text("\ufeff" + text)
    assert "move the file away" in go_on(folder).refused
    (folder / "sweep.yaml").unlink()
    assert go_on(folder) == Gone("", 0, ANY)
    assert (folder / "sweep.yaml").read_text() == text


@pytest.mark.parametrize("how", ["edited", "removed"])
def test_a_search_goes_on_though_the_run_that_it_began_with_is_no_longer_as_it_was(
    made: dict[str, Path], how: str, tmp_path: Path
) -> None:
    first, folder = tmp_path / "first", tmp_path / "r"
    shutil.copytree(made["search"], first)
    search = {"method": "tpe", "trials": 3, "from": [str(first)]}
    assert running.run(sweeps.parse({**SEARCH, "search": search}), folder=folder).is_good
    if how == "edited":
        text = (first / "sweep.yaml").read_text()
        (first / "sweep.yaml").write_text(text.replace("dropout", "drop"))
    else:
        shutil.rmtree(first)
    extend(folder, "+2")
    assert go_on(folder).trained == 2
    (folder / JOURNAL).unlink()
    extend(folder, "+2")
    assert go_on(folder).trained == 2


def test_jobs_are_told_apart_where_their_folder_was_removed(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r"
    shutil.copytree(made["search"], folder)
    shutil.rmtree(folder / "jobs")
    extend(folder, "+2")
    train = standin.InstantJob._train
    died: list[str] = []

    def dies_once(job: standin.InstantJob, *args: Any) -> None:
        if not died:
            died.append(job.job_id)
            raise _DiedError
        train(job, *args)

    work = standin.InstantJob._work

    def works(job: standin.InstantJob) -> None:
        with suppress(_DiedError):
            work(job)

    monkeypatch.setattr(standin.InstantJob, "_train", dies_once)
    monkeypatch.setattr(standin.InstantJob, "_work", works)
    gone = go_on(folder)  # all finished, though a worker died without a word
    assert gone.run is not None
    assert died == ["local-2-0"]
    assert {trial.attempt.job_id for trial in gone.run.trials.values()} == {"local-1-0", "local-3-0"}


class _DiedError(Exception):
    """A worker has died."""
