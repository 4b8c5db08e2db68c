"""Records as crashes, other versions and other people's names leave them: read, shown, and said."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hpc import results
from hpc.results import Plan, Records, Run, create, moments
from hpc.results.analysis import compare
from hpc.results.exports import export
from hpc.results.stats import by_outcome
from hpc.results.store import EPOCH, parse
from tests.results.written import WHO, Worker, plan

NAMES = [
    "<script>alert('x')</script>", 'a,"b"', "two\nlines", "🙂 smile", "pipe|pipe", "back\\slash", "$x_1$",
    "=SUM(A1)", "\x1b[31mred", "tab\tbed", " ",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "r", plan([{"width": 8}, {"width": 16}, {"width": 32}]))
    worker = Worker(tmp_path / "r")
    worker.finish("t00", [0.5, 0.75])
    worker.start("t01")
    worker.epoch("t01", 1, 0.25)
    return tmp_path / "r"


def lines(folder: Path) -> list[bytes]:
    return (folder / "records" / "local-1-0.jsonl").read_bytes().splitlines(keepends=True)


def put(folder: Path, *data: bytes) -> None:
    (folder / "records" / "local-1-0.jsonl").write_bytes(b"".join(data))


def test_a_torn_last_line_is_said_and_read_when_it_is_whole(folder: Path) -> None:
    *before, last = lines(folder)
    put(folder, *before, last[:30])
    run = Run(folder)
    assert run.trials["t01"].attempt.epochs == 0
    assert run.skipped() == {"local-1-0.jsonl": {"last lines that are not complete, or not yet": 1}}
    assert len(results.table(run, epochs=True)) == 2
    put(folder, *before, last)
    run.refresh()
    assert run.trials["t01"].attempt.epochs == 1
    assert run.skipped() == {}
    assert len(results.table(run, epochs=True)) == 3


def test_what_stands_before_and_after_a_block_of_nul_bytes_is_read(folder: Path) -> None:
    whole = lines(folder)
    place = next(number for number, line in enumerate(whole) if b'"epoch": 2' in line)
    for hole in (b"\0" * 100, whole[place][:20] + b"\0" * 4096):  # instead of a line, and in the midst of one
        put(folder, *whole[:place], hole, *whole[place + 1 :])
        run = Run(folder)
        assert run.trials["t00"].state == "finished"
        assert run.trials["t00"].attempt.best == 0.75
        assert run.trials["t01"].attempt.epochs == 1
        said = run.skipped()["local-1-0.jsonl"]
        assert said["blocks of NUL bytes, as a crash of a file system leaves them"] == 1
        epochs = results.table(run, epochs=True)
        assert list(zip(epochs.trial_id, epochs.epoch, strict=True)) == [("t00", 1), ("t01", 1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"record": "dreamt", "trial": "t00"}, "of a kind that this version does not know: dreamt"),
        ({"record": "finished", "trial": "t00", "attempt": 1}, "of the kind finished without epochs as this"),
        ({"record": "failed", "trial": "t00", "attempt": "one", "reason": "", "error": ""},
         "of the kind failed without attempt as this version"),
        ({"record": "failed", "trial": "t99", "attempt": 1, "reason": "", "error": "", "time": 1},
         "records of trials that no other record tells of"),
        ({"record": "planned", "trial": "t98", "index": 2**70, "params": {}, "seed": 0},
         "of the kind planned without index as this version"),
        ({"record": ["finished"]}, "of a kind that this version does not know: ['finished']"),
        ("finished", "lines that are no records"),
        ({"version": 9}, "lines that are no records"),
    ],
)  # fmt: skip
def test_a_line_of_another_version_is_left_out_and_said(folder: Path, line: Any, said: str) -> None:
    before = results.table(folder)
    put(folder, *lines(folder), json.dumps(line).encode() + b"\n")
    run = Run(folder)
    ((reason, number),) = run.skipped()["local-1-0.jsonl"].items()
    assert said in reason
    assert number == 1
    pd.testing.assert_frame_equal(results.table(run), before)


def test_entries_that_only_a_later_version_knows_do_no_harm(folder: Path) -> None:
    before = results.table(folder)
    later = [{**json.loads(line), "colour": "blue", "more": {"x": [1]}} for line in lines(folder)]
    put(folder, *[json.dumps(line).encode() + b"\n" for line in later])
    run = Run(folder)
    assert run.skipped() == {}
    pd.testing.assert_frame_equal(results.table(run), before)


def test_records_that_were_told_twice_count_once(folder: Path) -> None:
    before, by_epoch = results.table(folder), results.table(folder, epochs=True)
    put(folder, *[line for line in lines(folder) for _ in range(2)])
    pd.testing.assert_frame_equal(results.table(folder), before)
    pd.testing.assert_frame_equal(results.table(folder, epochs=True), by_epoch)


def test_names_of_all_kinds_are_kept_and_harm_no_table(tmp_path: Path) -> None:
    params = [{name: f"{name}{number}" for name in NAMES} for number in range(2)]
    create(tmp_path / "r", plan(params, name="\n".join(NAMES), metric="val_accuracy"))
    worker = Worker(tmp_path / "r")
    worker.finish("t00", [0.5], metrics={"val_accuracy": 0.5, **dict.fromkeys(NAMES, 0.5)})
    worker.fail("t01", "error", "\n".join(NAMES))
    run = Run(tmp_path / "r")
    frame = results.table(run)
    for name in NAMES:
        column = f"param_{name}" if f"param_{name}" in frame else name
        assert frame[column].tolist() == [f"{name}0", f"{name}1"]
    assert frame.error[1] == "\n".join(NAMES)
    back = pd.read_csv(io.StringIO(results.render(frame, "csv")))
    assert list(back.columns) == list(frame.columns)
    assert back.error[1] == frame.error[1]
    assert json.loads(results.render(frame, "json"))[1]["error"] == frame.error[1]
    frame.to_parquet(tmp_path / "t.parquet")
    assert list(pd.read_parquet(tmp_path / "t.parquet").columns) == list(frame.columns)
    for form in ("table", "markdown", "latex"):
        text = results.render(frame, form)
        assert "\x1b" not in text
        assert "🙂 smile0" in text
    rows = results.render(frame, "markdown").splitlines()
    assert len(rows) == 4
    assert "<script>" not in rows[2]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert len(results.table(run, epochs=True)) == 1
    assert len(results.points(run)) == 1
    assert len(results.leaderboard(run)) == 1
    best = results.winner(run)
    assert best is not None
    assert "\n" not in best.format()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
ENTRIES = st.sampled_from(
    ["trial", "attempt", "epoch", "epochs", "metrics", "params", "seed", "index", "seconds", "best", "reason",
     "error", "after", "job", "time", "ranks", "node", "model", "fold", "confusion", "lanes", "how", "record"]
)  # fmt: skip


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """What is done to some lines of a file: bytes lost or changed, lines doubled, entries of another kind."""
    one = st.one_of(
        st.tuples(st.just("zero"), st.integers(0, 3000), st.integers(1, 500)),
        st.tuples(st.just("cut"), st.integers(0, 3000), st.integers(1, 500)),
        st.tuples(st.just("bytes"), st.integers(0, 3000), st.binary(min_size=1, max_size=20)),
        st.tuples(st.just("twice"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("entry"), st.integers(0, 20), st.tuples(ENTRIES, JSON)),
        st.tuples(st.just("without"), st.integers(0, 20), ENTRIES),
    )
    return draw(st.lists(one, min_size=1, max_size=4))


def damaged(data: bytes, damage: list[tuple[Any, ...]]) -> bytes:
    for kind, place, what in damage:
        place %= max(1, len(data))
        if kind == "zero":
            data = data[:place] + b"\0" * len(data[place : place + what]) + data[place + what :]
        elif kind == "cut":
            data = data[:place] + data[place + what :]
        elif kind == "bytes":
            data = data[:place] + what + data[place:]
        else:
            each = data.split(b"\n")
            number = place % len(each)
            if kind == "twice":
                each.insert(number, each[number])
            else:
                try:
                    record = json.loads(each[number])
                except ValueError:
                    continue
                if not isinstance(record, dict):
                    continue
                if kind == "entry":
                    record[what[0]] = what[1]
                else:
                    record.pop(what, None)
                each[number] = json.dumps(record).encode()
            data = b"\n".join(each)
    return data


def make_run(folder: Path) -> None:
    """Two files of records, of which one is to be damaged."""
    create(folder, plan([{"width": 8, "kind": "a"}, {"width": 16, "kind": "b"}], seeds=2))
    worker = Worker(folder)
    for trial, values in {"t00": [0.5, 0.75], "t01": [0.5], "t10": [0.25, 0.5]}.items():
        worker.finish(trial, values)
    other = Records(folder / "records" / "local-1-1.jsonl")  # which is whole
    other.append("started", trial="t11", attempt=1, index=3, params={"width": 16, "kind": "b"}, seed=1, **WHO)
    for number in (1, 2):
        other.append(
            "epoch", trial="t11", attempt=1, epoch=number, metrics={"val_accuracy": 0.75}, seconds=1.0
        )
    other.append("finished", trial="t11", attempt=1, epochs=2, best=0.75, metrics={"val_accuracy": 0.75},
                 seconds=1.0)  # fmt: skip
    other.close()


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(damage=[("entry", 0, ("time", -62_135_596_801))], which="local-1-0.jsonl")  # before the year 1
@example(damage=[("entry", 0, ("time", 9223372036855.0))], which="local-1-0.jsonl")
@example(damage=[("entry", 0, ("time", 1e300))], which="run.jsonl")
@given(damage=damages(), which=st.sampled_from(["run.jsonl", "local-1-0.jsonl"]))
def test_no_damage_stops_the_reader_or_loses_what_is_whole(
    damage: list[tuple[Any, ...]], which: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "r"
    with moments.by(lambda: 1.5e9):  # the same bytes each time
        make_run(folder)
    path = folder / "records" / which
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, damage))
    run = Run(folder)
    kept = run.trials.get("t11")
    assert kept is not None
    assert (kept.state, kept.attempt.epochs, kept.attempt.metrics) == ("finished", 2, {"val_accuracy": 0.75})
    frame = results.table(run)
    for form in ("table", "csv", "json", "markdown", "latex"):
        assert results.render(frame, form)
    by_epoch = results.table(run, epochs=True)
    assert by_epoch.trial_id.tolist().count("t11") == 2
    results.points(run)
    results.leaderboard(run)
    results.winner(run)
    run.counts()
    complete = path.read_bytes().rpartition(b"\n")[0]
    found = complete.replace(b"\0", b"\n").split(b"\n")
    said = run.skipped().get(which, {})
    bad = sum(bool(line) and not line.startswith(EPOCH) and not parse(line) for line in found)
    assert said.get("lines that are no records", 0) == bad
    assert ("blocks of NUL bytes, as a crash of a file system leaves them" in said) == (b"\0" in complete)
    if which == "local-1-0.jsonl" and not any(entry[0] == "entry" for entry in damage):
        for trial, best in {"t00": 0.75, "t01": 0.5, "t10": 0.5}.items():
            its = [line for line in whole.splitlines() if trial.encode() in line]
            if all(line in found for line in its):
                assert (run.trials[trial].state, run.trials[trial].attempt.best) == ("finished", best)
                assert by_epoch.trial_id.tolist().count(trial) == len(its) - 2


def test_what_was_remembered_is_what_the_records_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpc.results.store.snapshot.MIN_BYTES", 1)
    put(folder, *lines(folder), b"garbage\n")
    first = Run(folder)
    first.remember()
    worker = Worker(folder)
    worker.epoch("t01", 2, 0.9)
    again, anew = Run(folder), None
    (folder / "gathered" / "run.json").unlink()
    anew = Run(folder)
    assert again.trials == anew.trials
    assert again.skipped() == anew.skipped() == {"local-1-0.jsonl": {"lines that are no records": 1}}
    for name in ("name", "metric", "mode", "space", "jobs", "arrays", "launches", "notes"):
        assert getattr(again, name) == getattr(anew, name)


@pytest.mark.parametrize("spoil", ["other records", "torn", "other version", "foreign"])
def test_what_was_remembered_of_other_records_is_left_aside(
    folder: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.results.store.snapshot.MIN_BYTES", 1)
    Run(folder).remember()
    kept = folder / "gathered" / "run.json"
    if spoil == "other records":
        put(folder, *[line.replace(b"0.75", b"0.25") for line in lines(folder)])
    elif spoil == "torn":
        kept.write_bytes(kept.read_bytes()[:100])
    elif spoil == "other version":
        kept.write_text(json.dumps({**json.loads(kept.read_text()), "version": 99, "trials": {}}))
    else:
        kept.write_text("[1, 2]")
    run = Run(folder)
    assert run.trials["t00"].attempt.best == (0.25 if spoil == "other records" else 0.75)
    assert len(run.trials) == 3


def test_a_run_of_an_empty_plan_is_shown(tmp_path: Path) -> None:
    create(tmp_path / "r", Plan("x", "loss", "min", [], [], "name: x\n", "{}\n"))
    assert results.table(tmp_path / "r").empty
    assert results.table(tmp_path / "r", epochs=True).empty


LATIN = os.fsdecode(b"caf\xe9")  # as os.listdir gives a name that is no UTF-8


def test_text_that_no_file_can_hold_is_made_such_where_it_enters_a_record(tmp_path: Path) -> None:
    records = Records(tmp_path / "r.jsonl")
    records.append("note", text=f"no {LATIN}", params={LATIN: ["\ud800", "é 🙂", float("nan")]})
    records.close()
    record = json.loads((tmp_path / "r.jsonl").read_text())
    assert record["text"] == r"no caf\xe9"
    assert record["params"] == {r"caf\xe9": [r"\ud800", "é 🙂", None]}


def test_records_of_such_text_are_read_for_every_output(tmp_path: Path) -> None:
    folder = tmp_path / LATIN
    folder.mkdir()
    create(folder / "r", plan([{"width": 8}, {"width": 16}, {"width": 32}]))
    worker = Worker(folder / "r")
    worker.finish("t00", [0.5, 0.75])
    worker.finish("t01", [0.5, 0.25])
    worker.start("t02")
    with (folder / "r" / "records" / "local-1-0.jsonl").open("a") as file:  # as versions before wrote them
        for record in (
            {"record": "note", "text": LATIN},
            {"record": "failed", "trial": "t02", "attempt": 1, "reason": "error", "error": LATIN, "time": 1},
        ):
            file.write(json.dumps(record) + "\n")
    (folder / "r" / "provenance.json").write_text(json.dumps({"command": [LATIN]}))
    run = Run(folder / "r")
    assert run.notes == [r"caf\xe9"]
    frame = results.table(run)
    assert frame.error[2] == r"caf\xe9"
    for form in ("table", "csv", "json", "markdown", "latex"):
        assert "xe9" in results.render(frame, form)
    results.save(run)
    stored = io.BytesIO((folder / "r" / "table.parquet").read_bytes())
    assert pd.read_parquet(stored).error[2] == r"caf\xe9"
    assert len(results.table(run, epochs=True)) == 4
    assert results.table([run, run]).run[0].endswith(r"caf\xe9/r")
    for several in ([run], [run, run]):
        assert r"caf\xe9" in results.report(several, tmp_path / "r.html").read_text()
    assert export(run, "tensorboard", tmp_path / "t").trials == 3
    assert compare(folder / "r", folder / "r").format()
    assert by_outcome(run)["trials"].sum() == 3
