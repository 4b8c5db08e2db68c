"""Packages that load a part when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that re-exports names and loads their modules late (PEP 562).

    Args:
        package: its ``__name__``.
        names: that it re-exports, by the module of the package that defines them; a name that this does
            not define is a module of it.
    """
    modules = {name: f"{package}.{module}" for module, found in names.items() for name in found}

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(modules[name])
        return getattr(module, name, None) or import_module(f"{modules[name]}.{name}")

    return load
