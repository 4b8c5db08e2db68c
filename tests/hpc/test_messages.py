"""What is said of a full or forbidden disk, and how much of a note or an error is said."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hpc.cli.app import app
from hpc.cli.display.progress import Complaints
from hpc.results import Records, Run, RunError, create, replacing, report
from hpc.results.store import format_disk_error as words
from hpc.results.store import format_free_space as room
from hpc.results.store import name_in, run_of
from hpc.results.text import MAX_SHOWN as MAX_TOLD
from hpc.results.text import cut
from hpc.watching import status
from tests.hpc.shown import make
from tests.results.written import Worker, plan

ROOM = r"\d[\d.]* [kMGT]?B of \d[\d.]* [kMGT]?B free in "
NO_SPACE = os.strerror(errno.ENOSPC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which nothing has begun."""
    make(tmp_path / "r")
    return tmp_path / "r"


def test_a_full_disk_is_told_with_the_file_the_room_and_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, file = os.write, folder / "records" / "run.jsonl"
    before = file.read_bytes()

    def fails(descriptor: int, data: bytes) -> int:
        if os.path.samestat(os.fstat(descriptor), file.stat()):
            raise OSError(errno.ENOSPC, NO_SPACE)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", fails)
    done = CliRunner().invoke(app, ["resume", str(folder)])
    assert (done.exit_code, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    stays = (
        f"What is recorded of {folder} stays; when that is mended, the same command again goes on, or "
        f"hpc resume {folder}"
    )
    assert re.fullmatch(rf"hpc: {file} can't be used: {NO_SPACE} \({ROOM}{file.parent}\)\. {stays}", said)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, rf"X can't be used: {NO_SPACE} \({ROOM}FOLDER\)"),
        (errno.EDQUOT, rf"X can't be used: {os.strerror(errno.EDQUOT)} \({ROOM}FOLDER\); `quota -s`, or .*"),
        (errno.EROFS, f"X can't be used: {os.strerror(errno.EROFS)}"),
        (errno.EACCES, f"X can't be used: {os.strerror(errno.EACCES)}"),
        (errno.EPERM, f"X can't be used: {os.strerror(errno.EPERM)}"),
        (errno.ENOTDIR, rf"\[Errno {errno.ENOTDIR}\] Not a directory: 'X'"),
    ],
)
def test_what_a_file_system_refuses_is_told_with_its_file(tmp_path: Path, number: int, said: str) -> None:
    file = tmp_path / "no" / "such" / "folder" / "x"
    pattern = said.replace("X", str(file)).replace("FOLDER", str(tmp_path))
    assert re.fullmatch(pattern, words(OSError(number, os.strerror(number), str(file)), Path()))


def test_an_error_without_a_file_is_told_with_the_room_of_the_run(folder: Path) -> None:
    said = words(OSError(errno.ENOSPC, NO_SPACE), folder)
    assert re.fullmatch(rf"what was to be written can't be: {NO_SPACE} \({ROOM}{folder}\)", said)
    assert run_of(folder / "models" / "x.keras") == run_of(folder) == folder
    assert run_of(folder.parent) is None


def test_what_is_written_whole_or_not_at_all_is_named_by_its_own_name(tmp_path: Path) -> None:
    for scratch in (None, ".tmp-1-table.parquet"):
        error = OSError(errno.ENOSPC, NO_SPACE, *([scratch] if scratch else []))
        with pytest.raises(OSError, match=NO_SPACE) as raised, replacing(tmp_path / "table.parquet"):
            raise error
        said = rf"\[Errno {errno.ENOSPC}\] {NO_SPACE} \({ROOM}{tmp_path}\): '{tmp_path}/table\.parquet'"
        assert re.fullmatch(said, str(raised.value))
    other = OSError(errno.ENOSPC, NO_SPACE, "elsewhere")
    name_in(other, tmp_path)
    assert other.filename == "elsewhere"


def test_a_run_that_can_not_be_made_says_where_there_is_how_much_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, NO_SPACE)

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(RunError) as refused:
        create(tmp_path / "r", plan([{"width": 1, "epochs": 1}]))
    file = tmp_path / "r" / "provenance.json"
    said = f"no run can be made in {tmp_path}/r: {file} can't be used: {NO_SPACE} "
    assert re.fullmatch(rf"{said}\({ROOM}{tmp_path}/r\)\.", str(refused.value))


def test_room_for_no_further_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    taken = os.statvfs_result((*real[:5], 1000, 0, 0, *real[8:]))
    monkeypatch.setattr(os, "statvfs", lambda path: taken)
    assert room(tmp_path).endswith(f" free in {tmp_path}, but room for no further file")


LONG = "Überlauf." * 10_000


def test_a_text_is_cut_where_people_stop_reading_and_says_where_it_is_whole() -> None:
    assert cut("x" * MAX_TOLD, "there") == "x" * MAX_TOLD
    assert cut("x" * 1_234_567, "there") == "x" * MAX_TOLD + "… (1,234,567 characters; whole: there)"


def test_notes_and_errors_are_cut_wherever_they_are_one_of_many_things(folder: Path) -> None:
    trial = next(iter(Run(folder).trials))
    view = Complaints()
    view.console = Console(file=io.StringIO(), width=100)
    view.begin(Run(folder), None, 3)  # type: ignore[arg-type]
    worker = Worker(folder)
    worker.start(trial)
    worker.fail(trial, "error", f"{LONG}\nTraceback")
    run = Records(folder / "records" / "run.jsonl")
    run.append("note", text=LONG)
    run.append("unfit", job="local-1-0", error=LONG)
    run.append("ended", job="local-1-0", how="died")
    note = f"{LONG[:MAX_TOLD]}… (90,000 characters; whole: {folder}/records)"
    error = f"{LONG[:MAX_TOLD]}… (90,000 characters; whole: hpc logs {folder} {trial})"
    facts = status(folder)
    assert facts["notes"] == [note]
    assert facts["failed"][0]["error"] == error
    assert facts["jobs"][0]["why"].endswith(f"whole: {folder}/records)")
    shown = CliRunner().invoke(app, ["status", str(folder)]).stdout
    assert f"note: {note}\n" in shown
    assert f"1 × error: {error} ({trial})\n" in shown
    assert "None" not in shown
    assert len(shown) < 5 * MAX_TOLD
    assert json.loads(CliRunner().invoke(app, ["status", str(folder), "--json"]).stdout)["notes"] == [note]
    view.update(Run(folder))
    assert view.console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        f"note: {note}", f"{trial} failed (error; hidden_size=8): {error}",
    ]  # fmt: skip
    page = report(folder).read_text(encoding="utf-8")
    assert LONG[: MAX_TOLD + 1] not in page.partition("<pre")[0]
    assert "… (90,000 characters; whole: records)" in page


def test_a_log_is_named_where_there_is_one(folder: Path) -> None:
    records = Records(folder / "records" / "run.jsonl")
    for number in (1, 2, 3):
        log = {"log": f"jobs/{number}_log.out"} if number > 1 else {"log": None}
        records.append("submitted", job=f"local-{number}-0", **log)
        records.append("ended", job=f"local-{number}-0", how="died")
    (folder / "jobs" / "3_log.out").write_text("a log\n")
    shown = CliRunner().invoke(app, ["status", str(folder)]).stdout.splitlines()
    assert [line for line in shown if "local-" in line] == [
        "local-1-0: died", "local-2-0: died", f"local-3-0: died; its log: {folder}/jobs/3_log.out",
    ]  # fmt: skip
