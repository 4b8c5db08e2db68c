"""The user's modules are imported as Python would for a script of theirs, each with its own neighbours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.models import Importer, ModelError, model_reference
from hpc.models.importing import closure, find, roots_of


@pytest.fixture(autouse=True)
def path_as_it_was() -> Iterator[None]:
    before, finders = list(sys.path), list(sys.meta_path)
    yield
    sys.path[:], sys.meta_path[:] = before, finders


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def value(folder: Path, reference: str, importer: Importer | None = None) -> object:
    return model_reference(reference, folder).resolve(importer)()


BUILD = "\ndef build():\n    return VALUE\n"
PROJECTS: dict[str, tuple[dict[str, str], str, str]] = {
    "a neighbour": (
        {"net.py": "from helper import VALUE" + BUILD, "helper.py": "VALUE = 1"}, "net.py:build", ".",
    ),
    "a relative neighbour without a package": (
        {"net.py": "from .helper import VALUE" + BUILD, "helper.py": "VALUE = 1"}, "net.py:build", ".",
    ),
    "a package by its file": (
        {
            "mine/__init__.py": "", "mine/net.py": "from .parts import VALUE" + BUILD,
            "mine/parts.py": "VALUE = 1",
        },
        "mine/net.py:build", ".",
    ),
    "a package by its name": (
        {
            "mine/__init__.py": "", "mine/net.py": "from mine.parts import VALUE" + BUILD,
            "mine/parts.py": "VALUE = 1",
        },
        "mine.net:build", ".",
    ),
    "a deep package": (
        {
            "mine/__init__.py": "BASE = 1", "mine/a/__init__.py": "", "mine/b/__init__.py": "",
            "mine/a/net.py": "from .. import BASE\nfrom ..b.parts import MORE\nVALUE = BASE + MORE" + BUILD,
            "mine/b/parts.py": "MORE = 0",
        },
        "mine.a.net:build", ".",
    ),
    "folders that are no packages": (
        {"net.py": "import lib.parts\nVALUE = lib.parts.VALUE" + BUILD, "lib/parts.py": "VALUE = 1"},
        "net.py:build", ".",
    ),
    "a module at the root of the project": (
        {
            "pyproject.toml": "", "utils.py": "VALUE = 1", "nets/net.py": "from utils import VALUE" + BUILD,
            "sweeps/s.yaml": "",
        },
        "../nets/net.py:build", "sweeps",
    ),
    "a package at the root of the project": (
        {
            "pyproject.toml": "", "nets/__init__.py": "", "nets/net.py": "VALUE = 1" + BUILD,
            "sweeps/s.yaml": "",
        },
        "nets.net:build", "sweeps",
    ),
    "a neighbour with the name of a standard library's module": (
        {"net.py": "import statistics\nfrom random import VALUE" + BUILD, "random.py": "VALUE = 1",
         "statistics.py": "VALUE = 2"},
        "net.py:build", ".",
    ),
    "packages with names of this project": (
        {
            "models/__init__.py": "", "models/net.py": "from models.layers import VALUE" + BUILD,
            "models/layers.py": "from jobs import VALUE", "jobs/__init__.py": "VALUE = 1",
        },
        "models/net.py:build", ".",
    ),
    "an import inside the function": (
        {"net.py": "def build():\n    from helper import VALUE\n    return VALUE", "helper.py": "VALUE = 1"},
        "net.py:build", ".",
    ),
    "a neighbour's name in a string": (
        {
            "net.py": "import importlib\nVALUE = importlib.import_module('very_own_helper').VALUE" + BUILD,
            "very_own_helper.py": "VALUE = 1",
        },
        "net.py:build", ".",
    ),
    "modules that a registry imports": (
        {
            "nets/__init__.py": "REGISTRY = {}",
            "nets/a.py": "from nets import REGISTRY\nREGISTRY['a'] = 1",
            "net.py": "import importlib\nimport nets\nimportlib.import_module('nets.a')\n"
            "VALUE = nets.REGISTRY['a']" + BUILD,
        },
        "net.py:build",
        ".",
    ),
    "all that a package exports": (
        {
            "nets/__init__.py": "__all__ = ['a']",
            "nets/a.py": "VALUE = 1",
            "net.py": "from nets import *\nVALUE = a.VALUE" + BUILD,
        },
        "net.py:build",
        ".",
    ),
    "a project with src": (
        {
            "pyproject.toml": "",
            "src/mine/__init__.py": "",
            "src/mine/net.py": "VALUE = 1" + BUILD,
            "sweeps/s.yaml": "",
        },
        "mine.net:build",
        "sweeps",
    ),
    "folders without packages that are called as ours": (
        {"net.py": "from models.layers import VALUE" + BUILD, "models/layers.py": "VALUE = 1"},
        "net.py:build",
        ".",
    ),
    "a lazy relative import": (
        {
            "mine/__init__.py": "",
            "mine/net.py": "import importlib\ndef build():\n"
            "    return importlib.import_module('.lazy', __package__).VALUE",
            "mine/lazy.py": "from helper import VALUE",
            "helper.py": "VALUE = 1",
        },
        "mine/net.py:build",
        ".",
    ),
    "a folder with an odd name": (
        {
            "my nets 2.0/net-v1.1.py": "from .helper import VALUE" + BUILD,
            "my nets 2.0/helper.py": "VALUE = 1",
        },
        "my nets 2.0/net-v1.1.py:build", ".",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_a_function_of_the_user_s_finds_what_it_imports(tmp_path: Path, name: str) -> None:
    import random

    files, reference, folder = PROJECTS[name]
    write(tmp_path, files)
    assert value(tmp_path / folder, reference) == 1
    assert sys.modules["random"] is random  # theirs is theirs only
    assert sys.modules["hpc.models"].Importer is Importer
    assert "models" not in sys.modules


@pytest.mark.parametrize("name", PROJECTS)
def test_all_files_that_are_imported_are_known_without_importing_them(tmp_path: Path, name: str) -> None:
    files, reference, folder = PROJECTS[name]
    write(tmp_path, files)
    known = {
        str(path.relative_to(tmp_path)) for path in model_reference(reference, tmp_path / folder).files()
    }
    if name != "a lazy relative import":  # of which no source says the whole name
        assert known == {file for file in files if file.endswith(".py")}
    importer = Importer()
    value(tmp_path / folder, reference, importer)
    executed = {str(path.relative_to(tmp_path)) for path in importer.executed}
    assert executed <= known | {"mine/lazy.py", "helper.py"}
    assert importer.hidden() == []


def test_two_files_have_each_its_own_neighbour_of_one_name(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        write(
            tmp_path / name, {"net.py": "from helper import VALUE" + BUILD, "helper.py": f"VALUE = {number}"}
        )
    importer = Importer()
    assert [value(tmp_path, f"{name}/net.py:build", importer) for name in "ab"] == [1, 2]


def test_two_functions_of_a_file_are_of_one_module(tmp_path: Path) -> None:
    write(
        tmp_path, {"net.py": "SEEN = []\ndef add():\n    SEEN.append(1)\ndef build():\n    return len(SEEN)"}
    )
    importer = Importer()
    value(tmp_path, "net.py:add", importer)
    assert value(tmp_path, "net.py:build", importer) == 1
    assert value(tmp_path, "net.py:build") == 0  # another importer imports anew


def test_a_file_that_has_changed_is_executed_as_it_is_now(tmp_path: Path) -> None:
    """Within a second, and of the same size: Python's bytecode would pass for up to date."""
    write(tmp_path, {"net.py": "from helper import VALUE" + BUILD, "helper.py": "VALUE = 'relu'"})
    assert value(tmp_path, "net.py:build") == "relu"
    write(tmp_path, {"helper.py": "VALUE = 'tanh'"})
    assert value(tmp_path, "net.py:build") == "tanh"
    assert not list(tmp_path.rglob("*.pyc"))


def test_code_that_is_not_the_user_s_is_never_taken_for_theirs(tmp_path: Path) -> None:
    write(tmp_path, {"keras/notes.py": "", "net.py": "import keras\nimport numpy\nimport models"})
    roots = roots_of(tmp_path / "net.py", tmp_path)
    assert [
        find(name, [*roots, Path(numpy_folder())]) for name in ("keras", "numpy", "models", "absent")
    ] == [None] * 4
    assert closure(tmp_path / "net.py", roots) == [tmp_path / "net.py"]


def numpy_folder() -> str:
    import numpy

    return str(Path(numpy.__file__).parent.parent)


def test_classes_of_the_user_s_know_their_module(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nimport dataclasses, typing\n"
        "@dataclasses.dataclass\nclass Point:\n    x: typing.ClassVar[int] = 1\n    y: int = 2\n"
        "def build():\n    return typing.get_type_hints(Point)['y'], Point().y"
    )
    write(tmp_path, {"net.py": source})
    assert value(tmp_path, "net.py:build") == (int, 2)


def test_what_goes_wrong_in_an_import_is_told_as_it_is(tmp_path: Path) -> None:
    write(
        tmp_path, {"net.py": "import absent_thing" + BUILD, "other.py": "from .absent import VALUE" + BUILD}
    )
    with pytest.raises(ModuleNotFoundError, match="absent_thing"):
        value(tmp_path, "net.py:build")
    with pytest.raises(ModuleNotFoundError):
        value(tmp_path, "other.py:build")
    with pytest.raises(ModelError, match="there is no module 'no_such_thing'"):
        value(tmp_path, "no_such_thing:build")


def test_modules_that_come_by_python_s_own_means_are_told(tmp_path: Path) -> None:
    source = f"import sys\nsys.path.insert(0, {str(tmp_path / 'lib')!r})\nimport far_away\nVALUE = 1"
    write(tmp_path, {"net.py": source + BUILD, "lib/far_away.py": ""})
    importer = Importer()
    assert value(tmp_path, "net.py:build", importer) == 1
    assert importer.hidden() == [tmp_path / "lib" / "far_away.py"]


@pytest.mark.parametrize("name", ["lib/site-packages", "modules"])
def test_packages_that_are_installed_on_the_python_path_are_none_of_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As where a module of a cluster puts PyTorch there."""
    installed, mine = tmp_path / name, tmp_path / "mine"
    write(installed, {"torchlike/__init__.py": "NAME = __name__", "torchlike-1.dist-info/METADATA": ""})
    write(mine, {"helper.py": ""})
    monkeypatch.setenv("PYTHONPATH", f"{installed}{os.pathsep}{mine}")
    monkeypatch.syspath_prepend(installed)
    write(tmp_path, {"net.py": "from torchlike import NAME as VALUE\nimport helper" + BUILD})
    roots = roots_of(tmp_path / "net.py", tmp_path)
    assert installed not in roots
    assert mine in roots
    assert closure(tmp_path / "net.py", roots) == [tmp_path / "net.py", mine / "helper.py"]
    assert value(tmp_path, "net.py:build") == "torchlike"
