"""The room in itself: no circles of imports, packages known by what they re-export, names that stay."""

from __future__ import annotations

import ast
import importlib
from graphlib import TopologicalSorter
from pathlib import Path
from types import FunctionType

import pytest

from hpc import results
from tests.conftest import ROOT

ROOM = ROOT / "results"
MAX_LINES = 400


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOM).with_suffix("").parts
    return ".".join(["hpc", "results", *(part for part in parts if part != "__init__")])


MODULES = {name_of(path): path for path in sorted(ROOM.rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    """The modules of the room that a file imports, at the top or within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found & MODULES.keys()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imports_of(path) - {name} for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("room", ["hpc", "jobs", "results", "benchmarks"])
def test_of_a_package_only_what_it_re_exports_is_imported_elsewhere(room: str) -> None:
    inner = {
        name for name in MODULES
        if name.count(".") > 2 and not name.endswith(".base") and name not in PUBLIC_MODULES
    }  # fmt: skip
    for path in sorted((ROOT / room).rglob("*.py")):
        if any(folder.is_symlink() for folder in path.parents):
            continue  # a room beside this one
        own = f"hpc.results.{path.relative_to(ROOT).parts[1]}." if room == "results" else "-"
        foreign = {name for name in imports_of(path) & inner if not name.startswith(own)}
        assert not foreign, path


PUBLIC_MODULES = {"hpc.results.store.moments", "hpc.results.tables.selection"}
"""Modules that are used as such, by their names."""


@pytest.mark.parametrize("path", MODULES.values(), ids=lambda path: str(path.relative_to(ROOM)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_public_names_are_what_they_are_whatever_was_imported_before() -> None:
    for name in MODULES:
        importlib.import_module(name)
    for name in ("table", "points", "leaderboard", "report", "winner", "estimate", "save", "front", "render"):
        assert isinstance(getattr(results, name), FunctionType), name
    for package in (
        "analysis",
        "exports",
        "pictures",
        "plots",
        "reports",
        "scaling",
        "stats",
        "store",
        "tables",
    ):
        module = importlib.import_module(f"hpc.results.{package}")
        modules = {f"{module.__name__}.{name}" for name in module.__all__} & MODULES.keys()
        assert modules <= PUBLIC_MODULES  # else a module and a function would be one name
