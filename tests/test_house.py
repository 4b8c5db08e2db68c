"""The house holds together: imports go one way, and light commands stay light."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
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


PACKAGES = ("collectives", "data", "launchers", "node", "source", "training")
"""The sub-packages of jobs."""
PUBLIC_MODULES = {
    "hpc.jobs.collectives.horovod",
    "hpc.jobs.node.device",
    "hpc.jobs.node.energy",
    "hpc.jobs.node.processes",
    "hpc.jobs.source.earlier",
    "hpc.jobs.training.packing",
}
"""Modules that are used as such, by their names; beside them the contracts and the registries."""
MAX_LINES = 400


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["hpc", *(part for part in parts if part not in ("__init__", "hpc"))])


JOBS = {name_of(path): path for path in sorted((ROOT / "jobs").rglob("*.py"))}


def imports_of_jobs(path: Path, *, resolves: bool = False) -> set[str]:
    """The modules of jobs that a file imports, at the top or within functions.

    Args:
        path: of the file.
        resolves: whether a name that a package re-exports counts as one of the module that defines it, and
            imports for types do not count.
    """
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if resolves and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            homes = DEFINED_IN if resolves else {}
            found |= {name if name in JOBS else homes.get(name, str(node.module)) for name in names}
    return found & JOBS.keys()


DEFINED_IN = {
    f"hpc.jobs.{package}.{alias.name}": str(node.module)
    for package in PACKAGES
    for node in ast.walk(ast.parse(JOBS[f"hpc.jobs.{package}"].read_text()))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
"""For each name that a package re-exports its module."""


def test_no_modules_of_jobs_import_each_other_in_a_circle() -> None:
    graph = {name: imports_of_jobs(path, resolves=True) - {name} for name, path in JOBS.items()}
    assert sum(map(len, graph.values())) > 150
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("room", ["hpc", "jobs", "benchmarks"])
def test_of_a_package_of_jobs_only_what_it_re_exports_is_imported_elsewhere(room: str) -> None:
    inner = {
        name for name in JOBS
        if name.count(".") > 2 and name.rpartition(".")[2] not in ("base", "registry")
        and name not in PUBLIC_MODULES
    }  # fmt: skip
    assert len(inner) > 30
    for path in sorted((ROOT / room).rglob("*.py")):
        if any(folder.is_symlink() for folder in path.parents):
            continue  # a room beside this one
        own = f"hpc.jobs.{path.relative_to(ROOT).parts[1]}." if room == "jobs" else "-"
        foreign = {name for name in imports_of_jobs(path) & inner if not name.startswith(own)}
        assert not foreign, path


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_of_jobs_give_what_they_promise(name: str) -> None:
    package = importlib.import_module(f"hpc.jobs.{name}")
    modules = {module.rpartition(".")[2] for module in JOBS if module.startswith(f"{package.__name__}.")}
    assert not modules & set(package.__all__)  # the module would hide it once it is imported
    for public in package.__all__:
        assert getattr(package, public) is not None
    for_types = [
        alias.name
        for node in ast.walk(ast.parse(JOBS[package.__name__].read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{package.__name__}.")
        for alias in node.names
    ]
    assert sorted(for_types) == sorted(package.__all__)
    with pytest.raises(AttributeError, match=f"'hpc.jobs.{name}' has no attribute 'nothing'"):
        _ = package.nothing


def test_packages_of_jobs_load_nothing_heavy() -> None:
    code = f"import sys, {', '.join(f'hpc.jobs.{name}' for name in PACKAGES)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hpc.jobs.training" in loaded
    assert not loaded & (HEAVY | {"optuna", "numpy", "pandas", "sklearn"})


@pytest.mark.parametrize("path", JOBS.values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_jobs_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def house() -> dict[str, Path]:
    """Every module of the house, by its name."""
    return {name_of(path): path for path in modules()}


def imported_by(path: Path, names: set[str]) -> set[str]:
    """The modules of the house that one imports, at the top or within functions, but for types only."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & names or {str(node.module)}
    return found & names


def test_no_modules_of_the_house_import_each_other_in_a_circle() -> None:
    files = house()
    graph = {name: imported_by(path, set(files)) - {name} for name, path in files.items()}
    assert sum(map(len, graph.values())) > 800
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("room", ALLOWED)
def test_no_file_is_too_long_to_be_read_in_one_go(room: str) -> None:
    lengths = {
        path: len(path.read_text().splitlines())
        for path in modules() if path.relative_to(ROOT).parts[0] == room
    }  # fmt: skip
    assert lengths
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}
