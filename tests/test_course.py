"""The courses' systems: small ones in full, those of MNIST shortened; by `-m course` these in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.course import FIGURES, FOLDER, OUTPUTS, ROWS, Course, Figure, ranks_report, report
from tests.conftest import ROOT

SMALL = tuple(row for row in ROWS if row < 10 or row == 18)
LARGE = tuple(row for row in ROWS if row not in SMALL)


def unheard(text: str) -> None:
    pass


def told(course: Course, row: int) -> str:
    """The table of one row if any of its figures is not reached, else nothing."""
    table, good = report(course, [row], unheard)
    return "" if good else table


def test_every_row_has_a_figure_and_every_file_a_row() -> None:
    assert {figure.row for figure in FIGURES} | {1} == set(ROWS)
    files = {figure.sweep.file for figure in FIGURES} | {"01-forward-pass"}
    assert files == {path.stem for path in FOLDER.glob("*.yaml")}
    page = (ROOT / "docs" / "courses.md").read_text()
    assert all(f"../sweeps/course/{file}.yaml" in page for file in files)
    assert all(figure.floor is not None for figure in FIGURES)


@pytest.mark.slow
def test_row_1_has_eight_digits(tmp_path: Path) -> None:
    outputs = Course(tmp_path).outputs()
    assert [[f"{value:.8f}" for value in pair] for pair in outputs] == [
        ["0.34584136", "0.85314921"],
        ["0.32269997", "0.85959729"],
    ]
    assert [[round(value, 8) for value in pair] for pair in outputs] == [list(pair) for pair in OUTPUTS]


@pytest.mark.slow
@pytest.mark.parametrize("row", SMALL[1:])
def test_small_rows_reach_the_figures_of_the_courses(tmp_path: Path, row: int) -> None:
    assert told(Course(tmp_path, seeds=3), row) == ""


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize("row", LARGE)
def test_large_rows_learn_in_their_shortened_form(tmp_path: Path, row: int, mnist_folder: Path) -> None:
    assert told(Course(tmp_path, seeds=1, short=True), row) == ""


@pytest.mark.course
@pytest.mark.mnist
@pytest.mark.parametrize("row", LARGE)
def test_large_rows_reach_the_figures_of_the_courses(tmp_path: Path, row: int, mnist_folder: Path) -> None:
    assert told(Course(tmp_path, seeds=3), row) == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", [1, 6, 18])
def test_two_ranks_give_what_one_gives(tmp_path: Path, row: int) -> None:
    one, two = (Course(tmp_path, seeds=2, short=True, ranks=ranks) for ranks in (1, 2))
    table, within = ranks_report(one, two, [row], unheard)
    assert within, table


def test_a_figure_that_is_not_reached_is_said(tmp_path: Path) -> None:
    from benchmarks.course import REGRESSION, Measured

    figure = Figure(5, "R²", REGRESSION, "test_r2_score", 0.99)
    assert not Measured(figure, [0.98, 0.99], 0.99, 1.0).is_reached
    assert Measured(figure, [0.98996, 0.99], 0.99, 1.0).is_reached
