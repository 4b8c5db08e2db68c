"""The house holds together: imports go one way, and light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.house import HEAVY

ALLOWED = {
    "hpc": {"jobs", "sweeps", "results"},
    "jobs": {"models", "sweeps", "results"},
    "models": {"sweeps"},  # its text alone
    "sweeps": set(),
    "results": {"sweeps"},
}


def imported(statement: ast.AST) -> set[str]:
    """What a statement imports: of the house its rooms, of the rest the packages."""
    found: list[str] = []
    if isinstance(statement, ast.Import):
        found = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.level == 0:
        found = [f"{statement.module}.{alias.name}" for alias in statement.names]
    return {room_of(name) for name in found}


def room_of(module: str) -> str:
    first, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return room if first == "hpc" and room in ALLOWED else first


def modules() -> list[Path]:
    found = [path for room in ALLOWED for path in (ROOT / room).rglob("*.py")]
    assert len(found) > 25
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    tree = ast.parse(path.read_text())
    names = {name for node in ast.walk(tree) for name in imported(node)}
    assert names & ALLOWED.keys() <= ALLOWED[room] | {room}
    if room == "models":
        of_sweeps = {
            n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and "sweeps" in imported(n)
        }
        assert of_sweeps <= {"hpc.sweeps.text"}
    at_the_top = {name for node in tree.body for name in imported(node)}
    assert not at_the_top & HEAVY


@pytest.mark.parametrize(
    ("arguments", "also_not"),
    [
        (["--help"], {"rich", "pydantic", "hpc.results", "hpc.sweeps"}),
        (["status", "RUN"], {"rich", "pandas", "hpc.jobs.worker", "hpc.models"}),
        (["table", "RUN", "--format", "csv"], {"hpc.jobs.worker", "hpc.models", "submitit"}),
        (["table", "RUN", "--epochs", "--format", "csv"], {"hpc.jobs.worker", "hpc.models"}),
        (["table", "RUN", "--points", "--format", "csv"], {"hpc.jobs.worker", "hpc.models"}),
        (["show", "RUN"], {"pandas", "hpc.jobs.worker", "hpc.models"}),
        (["list", "models"], set()),
        (["run", "SWEEP", "--dry-run"], set()),
        (["submit", "SWEEP", "--dry-run"], {"hpc.jobs.worker"}),
        (["list", "profiles"], {"pandas", "hpc.jobs.worker"}),
    ],
)
def test_light_commands_load_nothing_heavy(tmp_path: Path, arguments: list[str], also_not: set[str]) -> None:
    from benchmarks.reading import make_run

    run = make_run(tmp_path / "run", trials=3, epochs=2)
    places = {"RUN": str(run), "SWEEP": str(ROOT / "sweeps" / "digits.yaml")}
    code = (
        "import sys\nfrom hpc.cli.app import app\n"
        "try:\n    app([*sys.argv[1:]])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *(places.get(a, a) for a in arguments)],
        capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "hpc.cli.app" in loaded
    assert not loaded & (HEAVY | also_not)
    assert done.stdout


def test_the_rooms_export_what_they_promise() -> None:
    import hpc
    from hpc import models, results, sweeps

    assert {"run", "submit", "resume", "status", "cancel"} <= set(hpc.__all__)
    for room in (hpc, models, results, sweeps):
        for name in room.__all__:
            assert getattr(room, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'submti'"):
        _ = hpc.submti
