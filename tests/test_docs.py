"""The documents: links lead somewhere, and their programs run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hpc import results, sweeps
from hpc.results.store import KINDS
from tests.conftest import ROOT, Hpc, environment

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, section = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if section:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert section in map(anchor, titles), target


def test_every_kind_of_record_is_explained() -> None:
    page = (ROOT / "docs" / "runs.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    explained = {kind for row in rows for kind in re.findall(r"\w+", row)}
    assert explained >= KINDS, KINDS - explained


def test_the_sweep_of_the_readme_is_the_ready_made_one() -> None:
    entries = YAML(typ="safe").load(blocks(ROOT / "README.md", "yaml")[0])
    assert sweeps.parse(entries).trials == sweeps.load(ROOT / "sweeps" / "digits.yaml").trials


def test_the_space_of_the_docs_can_be_read() -> None:
    entries = YAML(typ="safe").load(blocks(ROOT / "docs" / "sweep-file.md", "yaml")[0])
    search = {"method": "random", "trials": 5}
    assert (
        len(sweeps.parse({"name": "x", "model": "mlp", "data": "digits", "search": search, **entries}).trials)
        == 5
    )


@pytest.mark.slow
def test_ones_own_model_and_data_run_as_the_page_shows_them(tmp_path: Path, hpc: Hpc) -> None:
    page = ROOT / "docs" / "own-model.md"
    _, _, data, model = blocks(page, "python")
    (tmp_path / "rings.py").write_text(data)
    (tmp_path / "net.py").write_text(model)
    (tmp_path / "rings.yaml").write_text(blocks(page, "yaml")[1])
    done = hpc("run", "rings.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    table = results.table(tmp_path / "runs" / "rings")
    assert table.state.tolist() == ["finished"] * 8
    assert table.best_val_accuracy.max() >= 0.99


@pytest.mark.slow
def test_a_csv_file_and_a_model_run_in_ten_lines(tmp_path: Path, hpc: Hpc) -> None:
    page = ROOT / "docs" / "own-model.md"
    model, table, *_ = blocks(page, "python")
    sweep = blocks(page, "yaml")[0]
    assert len([line for line in (model + sweep).splitlines() if line]) == 10
    (tmp_path / "net.py").write_text(model)
    (tmp_path / "flowers.yaml").write_text(sweep)
    subprocess.run([sys.executable, "-P", "-c", table], cwd=tmp_path, check=True, timeout=60)
    done = hpc("run", "flowers.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    trials = results.table(tmp_path / "runs" / "flowers")
    assert trials.state.tolist() == ["finished"] * 4
    assert trials.best_val_accuracy.max() >= 0.9
    assert trials.test_accuracy.notna().all()
    shown = hpc("show", "runs/flowers")
    assert shown.returncode == 0, shown.stderr
    assert "net.py:build on flowers.csv" in shown.stdout.replace(f"{tmp_path}/", "")


@pytest.mark.slow
def test_the_commands_for_a_newcomer_run(tmp_path: Path, hpc: Hpc) -> None:
    page = ROOT / "docs" / "courses.md"
    for line in blocks(page, "")[1].replace("\\\n", " ").splitlines():
        words = shlex.split(line.replace("sweeps/course", str(ROOT / "sweeps" / "course")))
        assert words[:3] == ["uv", "run", "hpc"]
        done = hpc(*words[3:])
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "runs" / "moons-sizes" / "pictures").iterdir())) == 2
    done = hpc("run", ROOT / "sweeps" / "course" / "01-forward-pass.yaml")
    assert done.returncode == 0, done.stderr
    (code,) = blocks(page, "python")
    printed = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert printed.stdout.splitlines() == ["[0.34584136 0.85314921]", "[0.32269997 0.85959729]"]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/runs.md"])
def test_programs_run(page: str, tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    text = (ROOT / "sweeps" / "digits.yaml").read_text()
    (tmp_path / "sweeps" / "digits.yaml").write_text(text)
    for code in blocks(ROOT / page, "python"):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_notebook_answers_its_questions(tmp_path: Path, hpc: Hpc) -> None:
    import nbformat
    from nbclient import NotebookClient

    page = ROOT / "docs" / "results.ipynb"
    notebook = nbformat.reads(page.read_text(), 4)  # type: ignore[no-untyped-call]
    command = re.search(r"uv run hpc (run .*--dir .*)", notebook.cells[0].source)
    assert command is not None
    arguments = shlex.split(command[1].replace("sweeps/", f"{ROOT}/sweeps/"))
    done = hpc(*arguments, "--set", "fixed.epochs=3")
    assert done.returncode == 0, done.stderr
    for cell in notebook.cells:
        cell.outputs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zmq and the kernel's connection, none of ours
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    said = str([cell.outputs for cell in code])
    assert "Best: " in said
    assert "<svg" in said
    assert "Warning" not in said
    assert str(ROOT) not in page.read_text()


def test_every_test_that_a_page_names_is_there() -> None:
    sources = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    functions = {
        name for text in sources.values() for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    }
    for page in PAGES:
        text = page.read_text()
        # Of several words: not Keras' test_step, nor the option test_split.
        named = set(re.findall(r"`(test_\w+_\w+_\w+)`", text))
        assert named <= functions, (page.name, named - functions)
        for path in re.findall(r"`((?:tests|benchmarks|jobs)/[\w/]+\.py)`", text):
            assert (ROOT / path).is_file(), (page.name, path)
        for module in re.findall(r"`python -m (benchmarks\.\w+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), (page.name, module)
