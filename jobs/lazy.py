"""Packages that load a part when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that re-exports names and loads their modules late (PEP 562).

    Args:
        package: its ``__name__``.
        names: that it re-exports, by the module of the package that defines them.
    """
    modules = {name: f"{package}.{module}" for module, found in names.items() for name in found}

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return load
