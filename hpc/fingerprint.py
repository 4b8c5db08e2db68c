"""A digest of what a Python object does, the same in each process that makes it anew.

Pickles are no such thing: those of functions of a notebook hold the number of its process and the lines of
its cells, and those of classes a random name.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_OF_CLASSES = (
    "__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__",
    "__annotations__", "__annotate__", "__annotate_func__", "__abstractmethods__", "_abc_impl",
)  # fmt: skip
"""Entries of a class that say nothing of what it does."""


def fingerprint(value: object) -> str:
    """SHA-256 of an object.

    Of a function that was defined here count its code, its defaults, what it encloses and the globals that it
    names, and of a class its base classes and entries; what can be imported counts by its name.

    Args:
        value: functions, classes, arrays, plain values, and whatever can be pickled.

    Returns:
        64 hexadecimal digits.
    """
    return _digest(value, {})


def _digest(value: object, seen: dict[int, int]) -> str:
    if id(value) in seen:  # one that leads back to itself
        return f"again {seen[id(value)]}"
    if not isinstance(value, _PLAIN):
        seen = {**seen, id(value): len(seen)}
    told = hashlib.sha256()
    for part in _parts(value, seen):
        told.update(part.encode() + b"\0")
    return told.hexdigest()


def _parts(value: Any, seen: dict[int, int]) -> Iterator[str]:
    yield type(value).__name__
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, (list, tuple)):
        yield from (_digest(one, seen) for one in value)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(_digest(one, seen) for one in value)
    elif isinstance(value, dict):
        yield from sorted(_digest(key, seen) + _digest(one, seen) for key, one in value.items())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield from (
            value.dtype.str,
            str(value.shape),
            hashlib.sha256(value.tobytes()).hexdigest(),
        )
    elif isinstance(value, types.ModuleType):
        yield value.__name__
    elif isinstance(value, types.CodeType):
        yield from _of_code(value, seen)
    elif isinstance(value, (types.FunctionType, type)) and _is_imported(value):
        yield f"{value.__module__}:{value.__qualname__}"
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value, seen)
    elif isinstance(value, type):
        yield value.__qualname__
        yield from (_digest(base, seen) for base in value.__bases__)
        yield _digest({name: one for name, one in vars(value).items() if name not in _OF_CLASSES}, seen)
    elif isinstance(value, (staticmethod, classmethod)):
        yield _digest(value.__func__, seen)
    elif isinstance(value, property):
        yield _digest([value.fget, value.fset, value.fdel], seen)
    elif isinstance(value, functools.partial):
        yield _digest([value.func, value.args, value.keywords], seen)
    elif isinstance(value, types.MethodType):
        yield _digest([value.__func__, value.__self__], seen)
    else:
        yield _of_pickle(value)


def _is_imported(value: Any) -> bool:
    """Whether another process gets it by importing its module."""
    module = sys.modules.get(value.__module__) if value.__module__ != "__main__" else None
    found: Any = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _of_code(code: types.CodeType, seen: dict[int, int]) -> Iterator[str]:
    yield code.co_code.hex()
    numbers = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    yield repr((numbers, names))
    yield from (_digest(one, seen) for one in code.co_consts)


def _of_function(function: types.FunctionType, seen: dict[int, int]) -> Iterator[str]:
    yield _digest(function.__code__, seen)
    yield _digest([function.__defaults__, function.__kwdefaults__], seen)
    for cell in function.__closure__ or ():
        try:
            yield _digest(cell.cell_contents, seen)
        except ValueError:  # it has no contents yet
            yield "empty"
    named = {name: function.__globals__[name] for name in sorted(_names(function.__code__))
             if name in function.__globals__}  # fmt: skip
    yield _digest(named, seen)


def _names(code: types.CodeType) -> set[str]:
    """The names that a function and those inside it look up."""
    inner = (one for one in code.co_consts if isinstance(one, types.CodeType))
    return set(code.co_names).union(*(_names(one) for one in inner))


def _of_pickle(value: object) -> str:
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=5)).hexdigest()
    except Exception:  # it holds what was defined here
        return hashlib.sha256(cloudpickle.dumps(value)).hexdigest()
