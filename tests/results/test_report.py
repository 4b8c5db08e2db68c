"""The report: what it holds, that it asks for nothing, and that nothing in it is code."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reading import make_run
from hpc import results
from hpc.results import Run, RunError, cell, leaderboard, report
from tests.results.making import PROVENANCE, grid_run
from tests.results.recomputed import recomputed
from tests.results.reported import EVIL, SPACE, accuracy

VOID = {"meta", "link", "input", "br", "hr", "img", "wbr"}


class Page(HTMLParser):
    """The elements of a page; reading fails where one is closed that is not open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self._open: list[str] = []
        self._table = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        entries = {name: value or "" for name, value in attrs}
        self.found.append((tag, entries))
        if tag == "table":
            self._table = entries.get("id", "")
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self.tables[self._table][-1].append(("", entries.get("data-value", entries.get("data-name", ""))))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if {"td", "th"} & set(self._open):
            text, value = self.tables[self._table][-1][-1]
            self.tables[self._table][-1][-1] = (text + data, value)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def rows(self, table: str) -> list[dict[str, str]]:
        """The texts of a table's rows by its columns."""
        head, *rows = self.tables[table]
        names = [name for _, name in head]
        return [dict(zip(names, [text for text, _ in row], strict=True)) for row in rows]

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.found if "id" in attributes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "made up"
    broken = 'ValueError: shape (3, 4)\nTraceback (most recent call last):\n  File "net.py", line 3, in build'
    failing = {0: ("error", broken), 4: ("error", broken), 7: ("diverged", "the loss is NaN")}
    return grid_run(folder, SPACE, accuracy, failing=failing)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(report(run))


def test_it_is_written_into_the_folder_of_the_run(run: Path) -> None:
    assert report(run) == run / "report.html"
    assert not list(run.glob(".tmp-*"))


def test_every_value_of_the_leaderboard_is_there_whole(run: Path, page: Page) -> None:
    frame = leaderboard(Run(run), top=1000)
    head, *rows = page.tables["board"]
    names = [value for _, value in head if value]
    assert sorted(names) == sorted(frame.columns)
    frame = frame[names]
    assert len(rows) == len(frame) == 18
    drawn = [value for _, value in head].index("")  # the column of drawn intervals
    for row, values in zip(rows, frame.itertuples(index=False), strict=True):
        for (text, whole), value in zip(row[:drawn] + row[drawn + 1 :], values, strict=True):
            known = value == value
            assert whole == (str(value) if known else "")
            assert text.replace("≈ ", "") == cell(value if not hasattr(value, "item") else value.item())


def test_every_number_is_what_another_program_makes_of_the_records(run: Path, page: Page) -> None:
    """To the last digit shown: the leaderboard, main effects, the winner's interval, counts."""
    anew = recomputed(run)
    board = page.rows("board")
    assert len(board) == len(anew["leaderboard"]) == 18
    for row, wanted in zip(board, anew["leaderboard"], strict=True):
        assert {name: row[name].removeprefix("≈").strip() for name in wanted} == wanted
    effects = page.rows("figure-effects-data")
    assert len(effects) == len(anew["effects"]) == 8
    for row in effects:
        assert (row["mean"], row["points"]) == anew["effects"][row["hyperparameter"], row["value"]]
    cells = page.rows("figure-heatmap-data")
    assert len(cells) == len(anew["means"]) == 18
    for row in cells:
        assert row["best_val_accuracy"] == anew["means"][tuple(row[name] for name in SPACE)]
    curves = [row for row in page.rows("figure-points-data") if row["kind"] == "point"]
    assert len(curves) == 5 * 3  # of the best settings, which are drawn in colours
    for row in curves:
        wanted = anew["curves"][(*(row[name] for name in SPACE), row["epoch"])]
        assert (row["val_accuracy"], row["low"], row["high"]) == wanted
    best = anew["leaderboard"][0]
    assert f"(95% interval {best['low']} to {best['high']})" in page.text
    assert f"{anew['states']['finished']} finished" in page.text


def test_the_answer_comes_before_all_else(run: Path, page: Page) -> None:
    found = results.winner(Run(run))
    assert found is not None
    words = found.format()
    assert words.split(". ")[0] in page.text
    assert page.source.index('class="answer"') < page.source.index("<h2")


def test_points_that_cannot_be_told_from_the_best_are_marked(run: Path, page: Page) -> None:
    found = results.winner(Run(run))
    assert found is not None
    _, *rows = page.tables["board"]
    marked = {row[-1][1] for row in rows if row[0][0].startswith("≈")}
    assert marked == {point[0].trial_id for point in found.ties}
    assert 0 < len(marked) < 17


@pytest.mark.slow
def test_of_single_trainings_none_is_marked(tmp_path: Path) -> None:
    page = Page(report(grid_run(tmp_path / "run", SPACE, accuracy, seeds=[0])))
    _, *rows = page.tables["board"]
    assert not any("≈" in row[0][0] for row in rows)
    assert "what chance adds to it can't be told" in page.text


def test_it_asks_for_nothing(page: Page) -> None:
    for tag, attributes in page.found:
        assert tag not in ("iframe", "object", "embed", "img", "base")
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import", page.source)
    outside = set(re.findall(r"https?://[\w./-]+", page.source))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_its_policy_allows_its_own_script_only(page: Page) -> None:
    (policy,) = (a["content"] for t, a in page.found if a.get("http-equiv") == "Content-Security-Policy")
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert [t for t, _ in page.found].count("script") == 1


def test_every_figure_has_words_and_data(page: Page) -> None:
    figures = [a["id"] for t, a in page.found if t == "figure"]
    assert {"figure-heatmap", "figure-points", "figure-parallel", "figure-cost"} <= set(figures)
    ids = page.ids()
    pictures = [a for t, a in page.found if t == "svg" and a.get("role") == "img"]
    assert [a["aria-labelledby"] for a in pictures] == [f"{name}-title" for name in figures]
    copies = [a["data-copies"] for t, a in page.found if "data-copies" in a]
    for name in figures:
        assert {f"{name}-title", f"{name}-words", f"{name}-data"} <= set(ids)
        assert f"{name}-data" in copies
        assert len(page.tables[f"{name}-data"]) > 1


def test_lines_of_the_parallel_coordinates_are_those_of_the_leaderboard(page: Page) -> None:
    _, *rows = page.tables["board"]
    assert {f"parallel-trial-{row[-1][1]}" for row in rows} <= set(page.ids())


def test_failures_are_grouped_with_one_traceback_each(page: Page) -> None:
    assert "error 2 trials" in page.text
    assert "diverged 1 trial" in page.text
    assert page.text.count('File "net.py", line 3, in build') == 1
    assert "Trials: t000, t004." in page.text


def test_provenance_is_told(page: Page) -> None:
    for words in ("0123456789abcdef", "hpc run 'sweeps/made up.yaml'", "3.12.0", "+new <line>", "login1"):
        assert words in page.text


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '{"git": null, "packages": 3}'])
def test_provenance_that_can_not_be_read_is_no_obstacle(tmp_path: Path, text: str) -> None:
    folder = grid_run(tmp_path / "run", {"width": [1, 2]}, lambda params, seed: params["width"] / 4)
    (folder / "provenance.json").write_text(text)
    assert "Leaderboard" in Page(report(folder)).text
    (folder / "provenance.json").unlink()
    assert "is missing or can't be read" in Page(report(folder)).text


@pytest.mark.slow
def test_nothing_from_a_user_is_code(tmp_path: Path) -> None:
    plain = Page(
        report(grid_run(tmp_path / "plain", {"a": [1, 2], "b": ["x", "y"]}, lambda p, s: p["a"] / 4))
    )
    space: dict[str, list[Any]] = {
        EVIL[1]: [1, 2],
        EVIL[0]: EVIL[2:5],
        EVIL[7]: EVIL[5:7],
        "plain": [[1, "<b>"]],
    }
    facts = {name: name for name in EVIL} | {"packages": {name: name for name in EVIL}}
    folder = grid_run(
        tmp_path / "run", space, lambda p, s: p[EVIL[1]] / 4 + s / 1000, name=" ".join(EVIL),
        failing={0: ("error", "\n".join(EVIL))}, provenance={**facts, "git": {"diff": "".join(EVIL)}},
    )  # fmt: skip
    page = Page(report(folder))
    assert {t for t, _ in page.found} <= {t for t, _ in plain.found} | {"article", "pre", "ul", "use", "code"}
    assert [t for t, _ in page.found].count("script") == 1
    assert not any(name.startswith("on") for _, a in page.found for name in a)
    assert "alert(1)" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49" not in page.tables["board"][0][1][0]
    assert any(value == EVIL[0] for _, value in page.tables["board"][0])


@pytest.mark.slow
def test_ids_are_used_once_and_links_lead_to_them(run: Path, tmp_path: Path) -> None:
    other = grid_run(tmp_path / "other", SPACE, lambda params, seed: accuracy(params, seed) / 2)
    for page in (Page(report(run)), Page(report([run, other], tmp_path / "both.html"))):
        ids = page.ids()
        assert len(ids) == len(set(ids))
        targets = {
            a["href"][1:] for t, a in page.found if t in ("a", "use") and a.get("href", "").startswith("#")
        }
        targets |= {a["xlink:href"][1:] for _, a in page.found if "xlink:href" in a}
        targets |= set(re.findall(r"url\(#([^)]+)\)", page.source))
        for name in ("aria-labelledby", "aria-describedby", "for", "data-copies"):
            targets |= {one for _, a in page.found for one in a.get(name, "").split()}
        assert targets <= set(ids)


@pytest.mark.slow
def test_several_runs_are_compared_first(run: Path, tmp_path: Path) -> None:
    facts = {**PROVENANCE, "packages": {"keras": "3.13.0", "tensorflow": "2.18.1"}}
    space: dict[str, list[Any]] = {**SPACE, "dropout": [0.0, 0.5]}
    other = grid_run(tmp_path / "other", space, accuracy, name="another", provenance=facts)
    page = Page(report([run, other], tmp_path / "both.html"))
    text = page.text
    assert text.index("Comparison") < text.index("Leaderboard")
    assert "packages.keras" in text
    assert "packages.tensorflow" not in text
    assert "sweep.space.dropout" in text
    assert "sweep.space.hidden_size" not in text
    assert "3.13.0" in text
    boards = [name for name in page.tables if name.endswith("board")]
    assert boards == ["run1-board", "run2-board"]


@pytest.mark.parametrize("trials", [0, 1])
def test_a_run_that_has_barely_begun_has_a_page(tmp_path: Path, trials: int) -> None:
    space: dict[str, list[Any]] = {"width": [1, 2, 3]} if trials else {"width": []}
    failing = dict.fromkeys(range(trials, 9), ("error", "no\nway"))
    folder = grid_run(tmp_path / "run", space, lambda params, seed: 0.5, failing=failing)
    text = Page(report(folder)).text
    assert ("Best: width=1" in text) == bool(trials)
    assert "Leaderboard" in text


@pytest.mark.slow
def test_lines_that_could_not_be_read_are_told(tmp_path: Path) -> None:
    folder = grid_run(tmp_path / "run", {"width": [1, 2]}, lambda params, seed: params["width"] / 4)
    assert "Every line of the records was read." in Page(report(folder)).text
    with (folder / "records" / "local-1-0.jsonl").open("a") as file:
        file.write("no record\n")
    text = Page(report(folder)).text
    assert "local-1-0.jsonl" in text
    assert "lines that are no records" in text


def test_only_a_page_of_a_run_under_way_is_loaded_again(run: Path, tmp_path: Path) -> None:
    page = Page(report(run, tmp_path / "live.html", refresh_seconds=7))
    assert [a["content"] for _, a in page.found if a.get("http-equiv") == "refresh"] == ["7"]
    assert [a.get("data-refresh") for t, a in page.found if t == "body"] == ["7"]
    still = Page(report(run, tmp_path / "still.html"))
    assert not [a for _, a in still.found if a.get("http-equiv") == "refresh" or "data-refresh" in a]


@pytest.mark.slow
def test_watching_writes_it_until_the_run_is_over(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from hpc import waiting, watching
    from hpc.cli.app import app

    out, pauses = tmp_path / "page.html", list[tuple[float, bool]]()
    runners = iter([{"pid": 1}, {"pid": 1}, None])

    def is_live() -> bool:
        return "<body data-refresh" in out.read_text(encoding="utf-8")

    monkeypatch.setattr(watching, "status", lambda *_: {"runner": next(runners), "jobs": []})

    class Noting(waiting.Clock):
        def sleep(self, seconds: float) -> None:
            pauses.append((seconds, is_live()))

    with waiting.by(Noting()):
        done = CliRunner().invoke(app, ["report", str(run), "--out", str(out), "--watch", "--every", "7"])
    assert done.exit_code == 0
    assert done.output == f"{out}\n"
    assert pauses == [(7, True), (7, True)]
    assert not is_live()


@pytest.mark.slow
def test_a_thousand_trials_of_fifty_epochs_are_below_three_megabytes(tmp_path: Path) -> None:
    path = report(make_run(tmp_path / "run", trials=1000, epochs=50))
    page = Page(path)
    assert path.stat().st_size < 3_000_000
    assert len(page.tables["board"]) == 1001


def test_what_can_not_be_reported_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not the folder of a run"):
        report(tmp_path)
    with pytest.raises(RunError, match="no run is given"):
        report([])
    folder = grid_run(tmp_path / "run", {"width": [1]}, lambda params, seed: 0.5)
    with pytest.raises(RunError, match="there is no folder"):
        report(folder, tmp_path / "nowhere" / "page.html")
    with pytest.raises(RunError, match="is a folder; name the file to write"):
        report(folder, tmp_path)


@pytest.mark.slow
def test_the_command_writes_it_without_tensorflow(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom hpc.cli.app import app\n"
        "try:\n    app([*sys.argv[1:]])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    out = tmp_path / "page.html"
    for more in ([], ["--watch"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "report", str(run), "--out", str(out), *more],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        assert done.stdout == f"{out}\n"
        assert not {"tensorflow", "keras"} & set(done.stderr.splitlines()[-1].split())
        assert "Leaderboard" in Page(out).text
        out.unlink()
