"""What a person sees of a run."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hpc import results
from hpc.cli.display.console import plain_console
from hpc.cli.display.leaderboard import fold_header, leaderboard_table
from hpc.cli.display.progress import Complaints, Lines, LiveDisplay, display_for
from hpc.cli.display.text import format_duration
from hpc.outcome import Outcome
from hpc.profile import Resources
from hpc.results import Run
from tests.results.written import Worker, plan

RESOURCES = Resources("local", 2, 1, 1)


def console(width: int = 80, *, terminal: bool = False) -> Console:
    return Console(file=StringIO(), width=width, force_terminal=terminal, color_system=None)


def text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    params = [{"learning_rate": rate, "hidden_size": 64, "epochs": 3} for rate in (0.1, 0.01, 0.001)]
    results.create(tmp_path / "r", plan(params))
    return tmp_path / "r"


def test_a_terminal_gets_the_live_display_and_a_file_gets_lines() -> None:
    assert isinstance(display_for(console(terminal=True)), LiveDisplay)
    assert isinstance(display_for(console()), Lines)


def test_every_trial_that_ends_is_one_line(folder: Path) -> None:
    run, out = Run(folder), console()
    lines = Lines(out)
    lines.begin(run, RESOURCES, 3)
    worker = Worker(folder)
    worker.start("t00")
    run.refresh()
    lines.update(run)
    worker.finish("t00", [0.5, 0.9])
    worker.start("t01")
    worker.fail("t01", "diverged", "loss is nan after epoch 1\nand more")
    run.refresh()
    lines.update(run)
    lines.update(run)  # nothing new
    first, *rest = text(out).splitlines()
    assert first.startswith("x: 3 trials; 2 workers (local), 1 rank each, 1 thread a rank")
    assert len(rest) == 2
    assert rest[0].startswith("[1/3] t00 finished in 2.0 s: learning_rate=0.1: val_accuracy=0.9, best so far")
    assert rest[1].startswith(
        "[2/3] t01 failed in 3.0 s: learning_rate=0.01: diverged: loss is nan after epoch 1"
    )


def test_a_trial_that_failed_before_counts_when_it_ends_again(folder: Path) -> None:
    worker = Worker(folder)
    worker.finish("t00", [0.5])
    worker.start("t01")
    worker.fail("t01", "error", "no")
    run, out = Run(folder), console()
    lines = Lines(out)
    lines.begin(run, RESOURCES, 2)
    worker.start("t01", attempt=2)
    worker.fail("t01", "error", "no", attempt=2)
    run.refresh()
    lines.update(run)
    assert "1 done before" in text(out)
    assert "[2/3] t01 failed" in text(out)


def test_the_picture_fits_80_columns_and_says_what_every_worker_is_at(folder: Path) -> None:
    worker = Worker(folder)
    worker.finish("t00", [0.5])
    worker.start("t01")
    worker.epoch("t01", 2, 0.75)
    run, out = Run(folder), console()
    display = LiveDisplay(console(terminal=True))
    display.begin(Run(folder), RESOURCES, 3)
    display.end()
    out.print(display.picture(run))
    shown = text(out)
    assert "1/3 trials" in shown
    assert "best so far: val_accuracy=0.75  learning_rate=0.01" in shown
    assert "local-1-0  epoch 2/3  val_accuracy=0.75  learning_rate=0.01" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(("width", "folded"), [(120, False), (56, True)])
def test_the_leaderboard_folds_names_where_the_window_is_narrow(
    folder: Path, width: int, folded: bool
) -> None:
    worker = Worker(folder)
    for trial in ("t00", "t01", "t02"):
        worker.finish(trial, [0.5])
    out = console(width)
    out.print(leaderboard_table(results.leaderboard(Run(folder)), width))
    assert ("best_val_accuracy" in text(out)) is not folded
    assert "accuracy" in text(out)
    assert "…" not in text(out)
    assert fold_header("best_val_accuracy", 9) == "best_val_\naccuracy"


def test_callers_from_python_see_what_goes_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.create(tmp_path / "r", plan([{"rate": rate} for rate in range(9)]))
    worker, run, shown = Worker(tmp_path / "r"), Run(tmp_path / "r"), Complaints()
    shown.begin(run, RESOURCES, 9)
    worker.finish("t00", [0.5])
    for number in range(1, 9):
        worker.start(f"t0{number}")
        worker.fail(f"t0{number}", "error", "FileNotFoundError: no a.npz\nTraceback")
    run.refresh()
    shown.update(run)
    shown.end()
    out, err = capsys.readouterr()
    first, *others, last = err.splitlines()
    assert out == ""
    assert first == "t01 failed (error; rate=1): FileNotFoundError: no a.npz"
    assert len(others) == 4
    assert last == "… and 3 more have failed; print the outcome for the ways."
    outcome = Outcome(run, 9, {}, error="A worker could not start: x")
    assert str(outcome).splitlines() == [
        f"x: 9 trials: 1 finished, 8 failed; in {tmp_path / 'r'}",
        "A worker could not start: x",
        "    8 × error: FileNotFoundError: no a.npz (first t01)",
    ]
    assert [len(one.trials) for one in outcome.failures] == [8]


def test_values_in_brackets_and_between_colons_are_shown_as_they_are(tmp_path: Path) -> None:
    values = ["[mask]", "[red]x", "[/inst]", ":car:"]
    made = plan([{"[b]": value} for value in values], metric="val_[/m]")
    results.create(tmp_path / "[r]", made)
    worker = Worker(tmp_path / "[r]")
    for number in range(3):
        worker.finish(f"t0{number}", [0.5], metrics={"val_[/m]": 0.5})
    worker.start("t03")
    worker.records.append("epoch", trial="t03", attempt=1, epoch=1, metrics={"val_[/m]": 0.5}, seconds=1.0)
    run, out = Run(tmp_path / "[r]"), plain_console()
    with out.capture() as shown:
        out.print(leaderboard_table(results.leaderboard(run), 80))
        out.print(LiveDisplay(out).picture(run))
        out.print(f"in {run.folder.name}: :car:")
    told = shown.get()
    for word in [*values, "[b]", "val_[/m]=0.5", "best_val_[/m]", "in [r]: :car:"]:
        assert word in told
    plain = console()  # whatever the console is made to take for markup
    Lines(plain).note(":car: [/b]")
    assert text(plain) == ":car: [/b]\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
