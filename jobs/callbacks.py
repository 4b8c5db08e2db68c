"""The callbacks of Keras' ``fit`` that a sweep names: Keras' own, and what functions of the user's return."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.jobs.arguments import OF_TRIAL
from hpc.models import Entry, Importer, ModelError, Reference, Signature, signature_of, signature_of_source
from hpc.sweeps import Sweep, callback_functions, did_you_mean, is_function

ABSTRACT = ("Callback", "CallbackList", "MonitorCallback")
FILES = {
    "ModelCheckpoint": "filepath", "CSVLogger": "filename", "TensorBoard": "log_dir",
    "OrbaxCheckpoint": "directory", "BackupAndRestore": "backup_dir",
}  # fmt: skip
"""Callbacks of Keras that write files, and the option that says where: in the trial's own folder."""


@dataclass(frozen=True)
class CallbackTrial:
    """The trial, as functions that return callbacks see it.

    Attributes:
        params: its hyperparameters.
        seed: of all its random numbers.
        id: its name.
        attempt: number of the try, from 1.
        folder: its own, which is kept.
        rank: of this process among those that train together, from 0.
        size: how many these are.
        local_rank: of this process on its node.
    """

    params: Mapping[str, Any]
    seed: int
    id: str
    attempt: int
    folder: Path
    rank: int = 0
    size: int = 1
    local_rank: int = 0


@dataclass(frozen=True)
class CallbackEntry:
    """One entry of ``callbacks``.

    Attributes:
        name: of Keras' callback, or of the user's function.
        options: of it, functions resolved.
        function: of the user's; None where the callback is Keras'.
    """

    name: str
    options: Mapping[str, Any]
    function: Callable[..., Any] | None = None

    def make(self, trial: CallbackTrial, known: Mapping[str, Any]) -> list[Any]:
        """The callbacks for one trial.

        Args:
            trial: which is trained.
            known: values that a function of the user's may ask for by the names of its arguments.

        Raises:
            TypeError: the user's function returned no callback.
            Exception: whatever it, or Keras, raises.
        """
        import keras

        options = deepcopy(dict(self.options))
        if self.function is None:
            place = FILES.get(self.name)
            if place is not None:
                default = keras_callbacks()[self.name].parameters[place].default or self.name
                path = trial.folder / str(options.get(place, default))
                path.parent.mkdir(parents=True, exist_ok=True)
                options[place] = str(path)
            return [getattr(keras.callbacks, self.name)(**options)]
        signature, given = signature_of(self.function), {**known, "trial": trial}
        wanted = {name: given[name] for name in signature.parameters if name in given and name not in options}
        found = self.function(**{**wanted, **options})
        callbacks = list(found) if isinstance(found, (list, tuple)) else [] if found is None else [found]
        for one in callbacks:
            if not isinstance(one, keras.callbacks.Callback):
                raise TypeError(f"{self.name} returned {type(one).__name__}, which is no callback of Keras")
        return callbacks


def resolve(sweep: Sweep, importer: Importer | None = None) -> list[CallbackEntry]:
    """The entries of a sweep, with the user's functions imported.

    Raises:
        ModelError: there is no such function, or importing its module fails.
    """
    functions = {name: reference(sweep, name).resolve(importer) for name in callback_functions(sweep)}

    def option(value: Any) -> Any:
        return functions[value] if is_function(value) else value

    return [
        CallbackEntry(name, {key: option(value) for key, value in options.items()}, functions.get(name))
        for entry in sweep.callbacks
        for name, options in entry.items()
    ]


def reference(sweep: Sweep, name: str) -> Reference:
    """A callback, or a function that one gets, by the name that the sweep gives it."""
    builtin = {known: Entry(dict) for known in keras_callbacks()}
    return Reference(name, "callback", builtin, sweep.folder)


def asked_by_callbacks(sweep: Sweep) -> dict[str, Any]:
    """The hyperparameters that functions of callbacks ask for, by name, with what their values may be."""
    found: dict[str, Any] = {}
    for entry in sweep.callbacks:
        for name, options in entry.items():
            if not is_function(name):
                continue
            try:
                parameters = reference(sweep, name).signature().parameters
            except ModelError:
                continue
            found |= {key: one for key, one in parameters.items() if key not in options}
    return found


def problems(sweep: Sweep, known: Sequence[str]) -> Iterator[str]:
    """What is wrong with the callbacks of a sweep, one sentence each; nothing is imported.

    Args:
        sweep: as loaded.
        known: names of the hyperparameters that it gives.
    """
    for place, entry in enumerate(sweep.callbacks):
        for name, options in entry.items():
            key = ("callbacks", place)
            try:
                signature = _signature(sweep, name)
                for value in options.values():
                    if is_function(value):
                        reference(sweep, value).signature()
            except ModelError as error:
                yield sweep.problem(key, f"{error}.")
                continue
            yield from _option_problems(sweep, key, name, options, signature, known)


def _option_problems(
    sweep: Sweep,
    key: tuple[str | int, ...],
    name: str,
    options: Mapping[str, Any],
    signature: Signature,
    known: Sequence[str],
) -> Iterator[str]:
    names = [one for one in signature.parameters if one != "trial"]
    for option in options:
        if option not in names and not signature.open:
            listed = f"it takes {', '.join(names)}" if names else "it takes none"
            yield sweep.problem(
                key, f"{option} is no option of {name}{did_you_mean(option, names)}; {listed}."
            )
    given = {*options, *((*known, *OF_TRIAL, "trial") if is_function(name) else ())}
    for option, parameter in signature.parameters.items():
        if parameter.required and option not in given:
            where = " or as a hyperparameter, under fixed or space" if is_function(name) else ""
            yield sweep.problem(key, f"{name} needs {option}; give it as {{{name}: {{{option}: …}}}}{where}.")


def _signature(sweep: Sweep, name: str) -> Signature:
    if not is_function(name) and name in keras_callbacks():
        return keras_callbacks()[name]
    return reference(sweep, name).signature()


@functools.cache
def keras_callbacks() -> dict[str, Signature]:
    """The callbacks of Keras with their options, read from its source: to import it takes seconds."""
    found: dict[str, Signature] = {}
    spec = importlib.util.find_spec("keras")
    folder = Path(spec.origin).parent / "src" / "callbacks" if spec and spec.origin else Path()
    for path in sorted(folder.glob("*.py")):
        if path.stem.endswith("_test"):
            continue
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and node.name not in ABSTRACT and _is_exported(node):
                found[node.name] = _options_of(node)
    return found


def _is_exported(node: ast.ClassDef) -> bool:
    return any("keras_export" in ast.unparse(one) for one in node.decorator_list)


def _options_of(node: ast.ClassDef) -> Signature:
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            found = signature_of_source(method)
            rest = {name: one for name, one in found.parameters.items() if name != "self"}
            return Signature(rest, found.open)
    return Signature({})
