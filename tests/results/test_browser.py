"""The report in a real browser: Debian's Chromium, opened from a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpc.results import Run, leaderboard, report
from tests.conftest import ROOT, Hpc, missing
from tests.results.making import grid_run
from tests.results.reported import EVIL, SPACE, accuracy

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

pytestmark = pytest.mark.browser


@dataclass
class Seen:
    """A page and what it has asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


Open = Callable[..., Seen]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        missing("browser", "Chromium is missing: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a file in a window of its own."""
    contexts = []

    def open_(path: Path, width: int = 1280, height: int = 900, **options: Any) -> Seen:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        seen = Seen(context.new_page())
        asked: Callable[[Request], None] = lambda request: seen.requests.append(request.url)  # noqa: E731
        seen.page.on("request", asked)
        seen.page.on("console", lambda message: seen.complaints.append(message.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.goto(path.as_uri())
        assert seen.page.locator("html.alive").count() == 1, seen.complaints
        return seen

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    space = {**SPACE, "optimizer": ["adam", "plain sgd"]}
    folder = tmp_path_factory.mktemp("runs") / "made up # 1"
    error = 'Traceback (most recent call last):\n  File "net.py", line 3, in build\nValueError: shape'
    return grid_run(folder, space, accuracy, failing=dict.fromkeys([1, 2], ("error", error)))


@pytest.fixture(scope="module")
def path(run: Path) -> Path:
    return report(run)


def column(page: Page, name: str) -> list[str]:
    """Values of a column of the leaderboard, of the rows that are shown."""
    found: list[str] = page.evaluate(
        """name => {
            const table = document.getElementById('board');
            const at = [...table.tHead.rows[0].cells].findIndex(cell => cell.dataset.name === name);
            return [...table.tBodies[0].rows].filter(row => row.offsetHeight > 0)
                .map(row => row.cells[at].dataset.value);
        }""",
        name,
    )
    return found


def test_it_opens_without_a_complaint_and_asks_for_nothing(path: Path, opened: Open) -> None:
    seen = opened(path)
    seen.page.mouse.wheel(0, 20_000)
    seen.page.wait_for_timeout(200)
    assert seen.requests == [path.as_uri()]
    assert seen.complaints == []


def test_a_click_on_a_heading_sorts_by_it(run: Path, path: Path, opened: Open) -> None:
    page, frame = opened(path).page, leaderboard(Run(run), top=1000)
    button = page.locator('#board th[data-name="best_val_accuracy"] button')
    button.click()
    values = list(map(float, column(page, "best_val_accuracy")))
    assert values == sorted(frame["best_val_accuracy"])
    assert page.locator('#board th[data-name="best_val_accuracy"]').get_attribute("aria-sort") == "ascending"
    button.click()
    assert list(map(float, column(page, "best_val_accuracy"))) == values[::-1]
    assert page.locator("th[aria-sort]").count() == 1
    assert page.locator("#said").text_content() == "Sorted by best_val_accuracy, descending."
    page.locator('#board th[data-name="optimizer"] button').click()
    assert column(page, "optimizer") == sorted(frame["optimizer"])
    page.locator('#board th[data-name="low"] button').click()  # of settings with one trial left it is empty
    assert column(page, "low").index("") == frame["low"].notna().sum()


def test_the_keyboard_reaches_everything(path: Path, opened: Open) -> None:
    page = opened(path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    page.locator('#board th[data-name="dropout"] button').focus()
    page.keyboard.press("Space")
    assert column(page, "dropout") == sorted(column(page, "dropout"), key=float)
    page.keyboard.press("Enter")
    assert column(page, "dropout") == sorted(column(page, "dropout"), key=float, reverse=True)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    for what in ("#theme", "nav a", "button.copy", "summary", "#filter"):
        page.locator(what).first.focus()
        assert page.evaluate(outline) == "solid", what
    page.keyboard.type("sgd")
    assert set(column(page, "optimizer")) == {"plain sgd"}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("dropout<0.2", "dropout < 0.2"),
        ("dropout<=0.25 hidden_size>16", "dropout <= 0.25 and hidden_size > 16"),
        ("learning_rate=0.01", "learning_rate == 0.01"),
        ("learning_rate=1e-2 hidden_size!=32", "learning_rate == 0.01 and hidden_size != 32"),
        ("best_val_accuracy>=0.93", "best_val_accuracy >= 0.93"),
        ("optimizer=adam", "optimizer == 'adam'"),
        ('optimizer="plain sgd"', "optimizer == 'plain sgd'"),
        ('"plain sgd" rank<9', "optimizer == 'plain sgd' and rank < 9"),
        ("ADAM", "optimizer == 'adam'"),
        ("no such word", "rank < 0"),
        ("", "rank > 0"),
    ],
)
def test_the_filter_shows_what_pandas_would(
    run: Path, path: Path, opened: Open, text: str, condition: str
) -> None:
    page, frame = opened(path).page, leaderboard(Run(run), top=1000)
    page.fill("#filter", text)
    wanted = frame.query(condition)
    assert column(page, "trial_id") == list(wanted["trial_id"])
    assert page.locator("#shown").text_content() == f"{len(wanted)} of {len(frame)} settings"
    drawn = page.locator('[id^="parallel-trial-"]:not(.faint)')
    lines = drawn.evaluate_all("lines => lines.map(line => line.id)")
    assert sorted(lines) == sorted(f"parallel-trial-{name}" for name in wanted["trial_id"])


def test_a_filter_by_what_there_is_not_says_so(path: Path, opened: Open) -> None:
    page = opened(path).page
    page.fill("#filter", "dropuot<1")
    assert page.locator("#shown").text_content() == "There is no column dropuot."
    assert page.locator("#filter").get_attribute("aria-invalid") == "true"
    assert len(column(page, "rank")) == 36


REFUSED = "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }"


@pytest.mark.parametrize("allowed", [True, False])
def test_data_are_copied_whether_the_clipboard_is_granted_or_not(
    run: Path, path: Path, opened: Open, allowed: bool
) -> None:
    import io

    import pandas as pd
    from playwright.sync_api import expect

    seen = opened(path, permissions=["clipboard-read", "clipboard-write"])
    page, frame = seen.page, leaderboard(Run(run), top=1000)
    if not allowed:
        page.evaluate(REFUSED)
    page.fill("#filter", "optimizer=adam")
    page.locator('button[data-copies="board"]').click()
    expect(page.locator("#said")).to_have_text("Copied 18 rows as CSV.")
    copied = pd.read_csv(io.StringIO(page.evaluate("navigator.clipboard.readText()")))
    wanted = frame.query("optimizer == 'adam'").reset_index(drop=True)
    pd.testing.assert_frame_equal(copied[list(wanted)], wanted, check_dtype=False, check_exact=True)
    page.locator('button[data-copies="figure-heatmap-data"]').click()
    expect(page.locator("#said")).not_to_have_text("Copied 18 rows as CSV.")
    assert page.evaluate("navigator.clipboard.readText()").count("\n") > 1
    assert seen.complaints == []


def test_where_no_copying_is_allowed_the_table_is_selected(path: Path, opened: Open) -> None:
    from playwright.sync_api import expect

    page = opened(path).page
    page.evaluate(REFUSED)
    page.evaluate("() => { document.execCommand = () => false; }")
    page.locator('button[data-copies="figure-points-data"]').click()
    expect(page.locator("#said")).not_to_be_empty()
    assert "epoch" in page.evaluate("getSelection().toString()")


CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgb = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const bright = colour => {
        const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = colour.map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        for (; element; element = element.parentElement) {
            const colour = rgb(getComputedStyle(element).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const element of document.querySelectorAll('body *:not(script):not(svg *)')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.getClientRects().length) continue;
        const [a, b] = [rgb(getComputedStyle(element).color), ground(element)].map(bright);
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push([element.tagName, element.className, ratio]);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(path: Path, opened: Open, scheme: Any) -> None:
    page = opened(path, color_scheme=scheme).page
    assert page.evaluate(CONTRAST) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_theme_can_be_chosen_and_is_kept(path: Path, opened: Open) -> None:
    page = opened(path, color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.click("#theme")
    assert page.evaluate(ground) == dark
    assert page.locator("#theme").text_content() == "Theme: dark"


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
def test_only_tables_and_figures_scroll_sideways(path: Path, opened: Open, width: int) -> None:
    page = opened(path, width=width, height=740).page
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.locator(".scroll").first
    if width < 700:
        assert wide.evaluate("box => box.scrollWidth > box.clientWidth")
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_names_of_a_user_do_no_harm(tmp_path: Path, opened: Open) -> None:
    space: dict[str, list[Any]] = {EVIL[1]: [1, 2], EVIL[0]: EVIL[2:5], EVIL[7]: EVIL[5:7]}
    folder = grid_run(
        tmp_path / "run", space, lambda params, seed: params[EVIL[1]] / 4 + seed / 1000,
        name=" ".join(EVIL), failing={0: ("error", "\n".join(EVIL))},
    )  # fmt: skip
    seen = opened(report(folder), width=390)
    seen.page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
    seen.page.fill("#filter", EVIL[3])
    assert 0 < len(column(seen.page, "rank")) < 12
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    assert seen.complaints == []
    assert len(seen.requests) == 1


def test_it_is_printed_black_on_white_without_its_controls(path: Path, opened: Open, tmp_path: Path) -> None:
    page = opened(path, width=688, color_scheme="dark").page  # the width of A4 between its margins
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") == 688
    for what in ("nav", "#theme", "#filter", "button.copy", "details"):
        shown = page.locator(what).evaluate_all(
            "all => all.filter(one => one.getClientRects().length).length"
        )
        assert shown == 0, what
    printed = page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert printed.startswith(b"%PDF")


def test_without_javascript_all_is_there_to_read(path: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("#board tbody tr").count() == 36
    assert page.locator("figure svg").first.is_visible()
    assert not page.locator("#filter").is_visible()
    assert not page.locator("button").first.is_visible()
    context.close()


def test_a_page_of_a_run_under_way_loads_itself_anew(run: Path, tmp_path: Path, opened: Open) -> None:
    path = report(run, tmp_path / "live.html", refresh_seconds=1)
    seen = opened(path)
    seen.page.fill("#filter", "sgd")
    with seen.page.expect_event("load"):
        pass
    assert seen.page.input_value("#filter") == "sgd"
    assert set(column(seen.page, "optimizer")) == {"plain sgd"}
    seen.page.click("#pause")
    seen.page.evaluate("window.mark = 1")
    seen.page.wait_for_timeout(2000)
    assert seen.page.evaluate("window.mark") == 1


@pytest.mark.slow
def test_a_real_sweep_of_81_trials_has_a_page_that_works(tmp_path: Path, hpc: Hpc, opened: Open) -> None:
    run = tmp_path / "runs" / "digits"
    done = hpc("run", ROOT / "sweeps" / "digits.yaml", "--set", "seeds=3", "--dir", run)
    assert done.returncode == 0, done.stderr
    done = hpc("report", run)
    assert done.returncode == 0, done.stderr
    path = run / "report.html"
    assert done.stdout.strip() == str(path)
    assert path.stat().st_size < 1_000_000
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            seen = opened(path, width=width, color_scheme=scheme)
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width
            assert seen.page.evaluate(CONTRAST) == []
            assert len(seen.page.screenshot(full_page=True)) > 50_000
            assert seen.requests == [path.as_uri()]
            assert seen.complaints == []
    page, frame = opened(path).page, leaderboard(Run(run), top=1000)
    assert len(frame) == 27
    assert column(page, "trial_id") == list(frame["trial_id"])
    page.locator('#board th[data-name="seconds"] button').click()
    assert list(map(float, column(page, "seconds"))) == sorted(frame["seconds"])
    page.fill("#filter", "dropout<0.3")
    assert len(column(page, "dropout")) == 18
