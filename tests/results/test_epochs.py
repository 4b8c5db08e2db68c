"""The epochs of a run as one table, gathered once and added to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hpc import results
from hpc.results import Plan, Records, Run, create
from hpc.results.store import Epochs, epochs

GOOD = b'{"record": "epoch", "trial": "t0", "attempt": 1, "epoch": 2, "metrics": {}, "seconds": 1, "time": 1}'
METRICS = {"loss": 0.5, "val_loss": 0.25}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    trials = [
        {"trial": f"t{index}", "index": index, "params": {"rate": 0.1 * index}, "seed": 0, "model": "mlp"}
        for index in range(3)
    ]
    create(tmp_path / "r", Plan("x", "val_loss", "min", ["rate"], trials, "name: x\n", "{}\n"))
    return Run(tmp_path / "r")


def tell(run: Run, writer: str, trial: str, *numbers: int, attempt: int = 1, **metrics: Any) -> None:
    records = Records(run.records / f"{writer}.jsonl")
    who: dict[str, Any] = {"trial": trial, "attempt": attempt}
    if numbers[0] == 1:
        facts = {"index": 0, "params": {}, "seed": 0, "ranks": 1, "job": writer, "node": "n"}
        records.append("started", **who, **facts)
    for number in numbers:
        records.append("epoch", **who, epoch=number, metrics=METRICS | metrics, seconds=number * 1.5)
    records.close()


def rows(run: Run) -> list[tuple[Any, ...]]:
    table = Epochs(run).table()
    return list(zip(*(table.column(name).to_pylist() for name in ("trial", "attempt", "epoch")), strict=True))


def test_what_is_gathered_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(run, "a", "t0", 1, 2)
    tell(run, "b", "t1", 1)
    first = Epochs(run).table()
    assert first.schema.names == [
        "trial",
        "attempt",
        "epoch",
        "seconds",
        "time",
        "metrics.loss",
        "metrics.val_loss",
    ]
    assert rows(run) == [("t0", 1, 1), ("t0", 1, 2), ("t1", 1, 1)]
    read: list[int] = []
    real = epochs._parsed

    def parsed(lines: list[bytes]) -> Any:
        read.append(len(lines))
        return real(lines)

    monkeypatch.setattr(epochs, "_parsed", parsed)
    assert Epochs(run).table().equals(first)
    assert read == []
    tell(run, "b", "t1", 2, 3)
    assert rows(run)[3:] == [("t1", 1, 2), ("t1", 1, 3)]
    assert read == [2]
    assert Epochs(run).table().num_rows == 5
    assert len(list((run.folder / "gathered").glob("*.parquet"))) == 2


def test_many_small_parts_are_joined(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "MAX_PARTS", 3)
    for number in range(1, 9):
        tell(run, "a", "t0", number)
        assert rows(run) == [("t0", 1, n) for n in range(1, number + 1)]
        assert len(list((run.folder / "gathered").glob("*.parquet"))) <= 3


def test_other_records_in_the_place_of_those_gathered_are_gathered_anew(run: Run) -> None:
    tell(run, "a", "t0", 1, 2)
    assert len(rows(run)) == 2
    (run.records / "a.jsonl").unlink()
    tell(run, "a", "t1", 1, 2, 3, other=1.0)
    assert rows(run) == [("t1", 1, 1), ("t1", 1, 2), ("t1", 1, 3)]
    for file in (run.folder / "gathered").iterdir():
        file.write_bytes(b"torn")
    assert len(rows(run)) == 3


def test_a_metric_that_is_new_has_no_value_before(run: Run) -> None:
    tell(run, "a", "t0", 1)
    Epochs(run).table()
    tell(run, "a", "t0", 2, auc=0.75, loss=1)
    table = Epochs(run).table()
    assert table.column("metrics.auc").to_pylist() == [None, 0.75]
    assert table.column("metrics.loss").to_pylist() == [0.5, 1.0]


@pytest.mark.parametrize(
    "line",
    [
        b'{"record": "epoch", "trial": "t0", "attem',
        b"\0" * 4096,
        b'{"record": "epoch", "trial": "' + b"\0" * 100,
        GOOD.replace(b"{}", b"[1]"),
        b'{"record": "epoch", "trial": "t0", "version": 9, "progress": 0.5}',
        GOOD.replace(b": 1,", b': "1",', 1),
        '{"record": "epoch", "trial": "t\u00e9\udce9'.encode("utf-8", "surrogateescape"),
    ],
)
def test_a_line_that_is_no_record_costs_nothing_but_itself(run: Run, line: bytes) -> None:
    tell(run, "a", "t0", 1)
    with (run.records / "a.jsonl").open("ab") as file:
        file.write(line + b"\n")
    tell(run, "a", "t0", 2)
    gathered = Epochs(run)
    assert gathered.table().column("epoch").to_pylist() == [1, 2]
    assert gathered.skipped == ({"a.jsonl": 1} if line.startswith(b"{") else {})
    assert Epochs(run).skipped == gathered.skipped  # it is remembered


def test_what_was_told_twice_counts_once_and_of_unknown_trials_nothing(run: Run) -> None:
    tell(run, "a", "t0", 1, 2)
    tell(run, "a", "t0", 2, loss=9.0)
    tell(run, "a", "t9", 5)
    run.refresh()
    frame = results.table(run, epochs=True)
    assert list(frame["trial_id"]) == ["t0", "t0"]
    assert list(frame["loss"]) == [0.5, 9.0]


def test_a_folder_that_can_not_be_written_is_gathered_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(run, "a", "t0", 1, 2)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    assert len(rows(run)) == 2
    assert not (run.folder / "gathered").exists()


def test_two_that_gather_at_once_leave_a_whole_table(run: Run) -> None:
    tell(run, "a", "t0", 1, 2)
    one, two = Epochs(run), Epochs(run)
    assert one.table().equals(two.table())
    assert len(rows(run)) == 2
    shutil.rmtree(run.folder / "gathered")
    assert len(rows(run)) == 2
    state = json.loads((run.folder / "gathered" / "state.json").read_text())
    assert state["files"]["a.jsonl"]["read"] == (run.records / "a.jsonl").stat().st_size
