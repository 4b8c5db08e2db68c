"""Importing the user's own modules, and finding the files that they consist of.

A file of the user's may import its neighbours, absolutely or relatively, modules of the package that it
is in, and those at the root of its project, as Python does for a script or for ``python -m``. Theirs
may bear the names of anything that is installed, or of a standard library's module: their code gets
theirs, all other code gets what it always got. Modules are executed from their source as it is now, and
anew for each importer: Python's bytecode is told stale by seconds and size only.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PROJECT_FILES = (".git", "pyproject.toml", "setup.py", "setup.cfg")
"""Files and folders that mark the root of a project."""
HOUSE = Path(__file__).resolve().parent.parent
HOUSE_ROOMS = ("hpc", "jobs", "models", "results", "sweeps")


def in_house(path: Path) -> bool:
    """Whether a file or folder is in a room of this project, as one of a user's may be, too."""
    return any(path.is_relative_to(HOUSE / room) for room in HOUSE_ROOMS)


def roots_of(file: Path, folder: Path) -> list[Path]:
    """The folders in which the imports of a file are looked for, before those of Python.

    Args:
        file: of the user's.
        folder: of the sweep file.

    Returns:
        Its own folder, that of its outermost package, the sweep's, the root of its project, the folder
        ``src`` there, and those of ``PYTHONPATH`` but for folders of installed packages.
    """
    project = project_of(file)
    sources = [project, project / "src"] if project else []
    given = [Path(one).resolve() for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    found = [file.parent, base_of(file), folder]
    found += [one for one in (*sources, *given) if one.is_dir() and one != HOUSE and not holds_packages(one)]
    return list(dict.fromkeys(found))


def project_of(file: Path) -> Path | None:
    """The root of the project that a file is in, None if it is in none."""
    return next((p for p in file.parents if any((p / one).exists() for one in PROJECT_FILES)), None)


def base_of(file: Path) -> Path:
    """The folder from which a file's dotted name counts: the first above it that is no package."""
    return next(parent for parent in file.parents if not (parent / "__init__.py").is_file())


def find(name: str, roots: Sequence[Path]) -> Path | None:
    """The file of a module or package of the user's by its top-level name, None if it is not theirs."""
    for root in roots:
        for path in (root / name / "__init__.py", root / f"{name}.py"):
            if path.is_file():
                return None if is_installed(path) else path
    return None


def is_installed(path: Path) -> bool:
    """Whether a module is of Python, of an installed package or of this project, and not the user's."""
    rooms = [HOUSE / room for room in HOUSE_ROOMS]
    return any(path.is_relative_to(folder) for folder in _libraries()) or any(
        path.parent == room and path.name == "__init__.py" for room in rooms
    )


def holds_packages(folder: Path) -> bool:
    """Whether installed packages are in a folder, as where a module of a cluster sets ``PYTHONPATH``."""
    return folder.name in ("site-packages", "dist-packages") or any(folder.glob("*.dist-info"))


@functools.cache
def _libraries() -> list[str]:
    """Folders of Python's own modules and of installed packages."""
    standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    further = [str(Path(one).resolve()) for one in sys.path if one and holds_packages(Path(one))]
    return list(dict.fromkeys([*standard, *site.getsitepackages(), site.getusersitepackages(), *further]))


def closure(file: Path, roots: Sequence[Path]) -> list[Path]:
    """A file of the user's and all of theirs that it imports, and these import, as far as sources tell.

    Nothing is imported. Imports inside functions count; names that are only computed can't be seen.
    """
    found: dict[Path, None] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop(0)
        if path in found or not path.is_file():
            continue
        found[path] = None
        waiting += _packages(path)
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError, OSError):  # what is wrong with it shows when it is imported
            continue
        for module in _imported(tree):
            waiting += _files(module, path, roots)
    return list(found)


def _packages(path: Path) -> list[Path]:
    """The files that Python executes before a module of a package."""
    base = base_of(path)
    return [p / "__init__.py" for p in path.parents if p.is_relative_to(base) and p != base]


def _imported(tree: ast.AST) -> Iterator[tuple[int, list[str], list[str]]]:
    """For each import its level, the parts of the module's name, and the names that are taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name.split("."), []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            yield node.level, module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield 0, node.args[0].value.split("."), []


def _files(module: tuple[int, list[str], list[str]], importer: Path, roots: Sequence[Path]) -> list[Path]:
    level, parts, names = module
    if level:
        folder = importer.parents[level - 1] if level <= len(importer.parents) else importer.parent
    else:
        top = find(parts[0], roots) or _find_folder(parts[0], roots)
        if top is None:
            return []
        folder = top.parent.parent if top.name == "__init__.py" else top.parent
    found: list[Path] = []
    for end in range(1, len(parts) + 1):
        found += _at(folder.joinpath(*parts[:end]))
    for name in names:
        inner = folder.joinpath(*parts)
        found += sorted(inner.glob("*.py")) if name == "*" else _at(inner / name)
    return found


def _at(path: Path) -> list[Path]:
    """The file of a module, by its path without suffix."""
    return [p for p in (path / "__init__.py", path.with_name(f"{path.name}.py")) if p.is_file()][:1]


def _find_folder(name: str, roots: Sequence[Path]) -> Path | None:
    """A folder of the user's without ``__init__.py``, which counts where no module has its name."""
    folder = next((root / name for root in roots if (root / name).is_dir()), None)
    if folder is None or name in sys.stdlib_module_names or folder == HOUSE / name:
        return None
    if name in HOUSE_ROOMS:
        return folder
    spec = importlib.machinery.PathFinder.find_spec(name)
    return folder if spec is None or spec.origin is None else None


def _is_on_path(name: str, file: Path) -> bool:
    """Whether a module was found by ``sys.path``, and not made by a library, as AutoGraph makes some."""
    depth = name.count(".") + (file.name == "__init__.py")
    return depth < len(file.parents) and str(file.parents[depth]) in sys.path


_by_python = importlib.import_module


def _import_module(name: str, package: str | None = None) -> ModuleType:
    """``importlib.import_module``, which in the user's code finds theirs first, as their ``import`` does."""
    builtin = sys._getframe(1).f_globals.get("__builtins__")
    hook = builtin.get("__import__") if isinstance(builtin, dict) else None
    importer = getattr(getattr(hook, "func", None), "__self__", None)
    if isinstance(hook, functools.partial) and isinstance(importer, Importer) and not name.startswith("."):
        found = importer.import_module(hook.args[0], name)
        if found is not None:
            return found
    return _by_python(name, package)


class Importer:
    """Imports files of the user's; each of them once.

    Attributes:
        executed: for each file that was, SHA-256 of the source that it was executed from.
    """

    _count = 0

    def __init__(self) -> None:
        Importer._count += 1
        self._number = Importer._count
        self._roots: tuple[Path, ...] = ()
        self._bases: dict[Path, str] = {}
        self._roots_of: dict[str, tuple[Path, ...]] = {}
        self._loaded = set(sys.modules)
        self.executed: dict[Path, str] = {}

    def load(self, file: Path, roots: Sequence[Path]) -> ModuleType:
        """A file as a module.

        Args:
            file: of the user's.
            roots: in which its imports are looked for, and those of what it imports.

        Raises:
            Exception: whatever its code raises.
        """
        importlib.import_module = _import_module
        for root in roots:  # for what is imported by a name that is computed
            if str(root) not in sys.path:
                sys.path.append(str(root))
        before, self._roots = self._roots, tuple(roots)
        try:
            return self._import(self._name(file), tuple(roots))
        finally:
            self._roots = before

    def hidden(self) -> list[Path]:
        """Files that were imported since the last time by Python's own means, which no source has shown."""
        new = sys.modules.keys() - self._loaded
        self._loaded |= new
        files = {name: getattr(sys.modules[name], "__file__", None) for name in new}
        paths = {
            Path(file)
            for name, file in files.items()
            if isinstance(file, str) and file.endswith(".py") and _is_on_path(name, Path(file))
        }
        return sorted(
            path
            for path in paths - self.executed.keys()
            if not path.is_relative_to(HOUSE) and not is_installed(path)
        )

    def _import(self, name: str, roots: tuple[Path, ...]) -> ModuleType:
        before, self._roots = self._roots, roots
        try:
            return _by_python(name)
        finally:
            self._roots = before

    def _name(self, file: Path) -> str:
        """The name under which a file is imported, which no other file has."""
        base = base_of(file)
        if base not in self._bases:
            digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:8]
            label = re.sub(r"\W", "_", base.name) or "root"
            name = f"{label}_{digest}" + (f"_{self._number}" if self._number > 1 else "")
            module = ModuleType(name)
            module.__path__ = [str(base)]
            module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
            sys.modules[name] = module
            sys.meta_path.insert(0, _Finder(name, self))
            self._bases[base] = name
            self._roots_of[name] = self._roots
        parts = list(file.relative_to(base).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        return ".".join([self._bases[base], *(part.replace(".", "_") for part in parts)])

    def find(self, name: str, path: Sequence[str]) -> Path | None:
        """The file of a module of that dotted name, its package being at those places."""
        last = name.rpartition(".")[2]
        for place in path:
            found = _at(Path(place) / last) or [
                one for one in Path(place).glob("*.py") if one.stem.replace(".", "_") == last
            ]
            if found:
                return found[0]
        return None

    def hook(self, name: str) -> Callable[..., Any]:
        """The ``__import__`` of a module of that name."""
        roots = self._roots or self._roots_of.get(name.partition(".")[0], ())
        return functools.partial(self.import_, roots)

    def import_module(self, roots: tuple[Path, ...], name: str) -> ModuleType | None:
        """The ``importlib.import_module`` of the user's code; None where the module is not theirs."""
        top, _, rest = name.partition(".")
        path = find(top, roots) or _find_folder(top, roots)
        if path is None:
            return None
        return self._import(f"{self._name(path)}.{rest}" if rest else self._name(path), roots)

    def import_(
        self,
        roots: tuple[Path, ...],
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        """The ``__import__`` of the user's code: their modules come first."""
        top, _, rest = name.partition(".")
        path = (find(top, roots) or _find_folder(top, roots)) if level == 0 else None
        if path is None:
            before, self._roots = self._roots, roots
            try:
                return builtins.__import__(name, globals, locals, fromlist, level)
            finally:
                self._roots = before
        alias = self._name(path)
        whole = f"{alias}.{rest}" if rest else alias
        module = self._import(whole, roots)
        if not fromlist:
            return sys.modules[alias]
        names = getattr(module, "__all__", ()) if "*" in fromlist else fromlist
        for one in names:  # names that are modules of a package are imported, too
            if hasattr(module, "__path__") and not hasattr(module, one) and self.find(one, module.__path__):
                self._import(f"{whole}.{one}", roots)
        return module


class _Finder:
    """Finds the modules of one folder of the user's for ``importlib``."""

    def __init__(self, name: str, importer: Importer) -> None:
        self._prefix = f"{name}."
        self._importer = importer

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(self._prefix) or path is None:
            return None
        file = self._importer.find(name, path)
        if file is not None:
            loader = _Loader(name, str(file), self._importer)
            return importlib.util.spec_from_file_location(name, file, loader=loader)
        folders = [str(Path(p) / name.rpartition(".")[2]) for p in path]
        folders = [folder for folder in folders if Path(folder).is_dir()]
        if not folders:
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = folders
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Executes a file of the user's as it is now, its imports being theirs."""

    def __init__(self, name: str, path: str, importer: Importer) -> None:
        super().__init__(name, path)
        self._importer = importer

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        self._importer.executed[Path(path)] = hashlib.sha256(source).hexdigest()
        code: CodeType = self.source_to_code(source, path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {
            **vars(builtins),
            "__import__": self._importer.hook(module.__name__),
        }
        super().exec_module(module)
