"""Finding a model or dataset by the name a sweep gives it, without loading TensorFlow.

A name is one of ours (``mlp``), ``file.py:function`` or ``package.module:function``, or a file of
data (``measurements.csv``), which one of our functions reads. What a
function of the user's takes is read from its source text, not by importing it: their file may
import TensorFlow at its top, and a login node has better things to do.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from hpc.models.importing import Importer, closure, is_installed, roots_of
from hpc.sweeps.text import did_you_mean


class ModelError(ValueError):
    """A model or dataset that can't be found, or doesn't hold to its contract."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a model or dataset.

    Attributes:
        name: of the argument.
        required: whether it has no default.
        default: its default, None if it has none or it can't be read without running code.
        type: the type of its values; ``typing.Any`` where it is not known.
    """

    name: str
    required: bool = False
    default: Any = None
    type: Any = Any

    def problem(self, value: object) -> str | None:
        """A sentence about an invalid value, as ``0 is not a whole number of at least 1``, or None."""
        try:
            TypeAdapter(self.type).validate_python(value, strict=True)
        except ValidationError as error:
            wanted = self.format_type() or error.errors()[0]["msg"]
            return f"{value!r} is not {wanted}{did_you_mean(str(value), _literals(self.type))}"
        return None

    def format_type(self) -> str:
        """A description of valid values, as ``a whole number``; empty where the type is not known."""
        return _format_type(self.type)


def parameters_of(options: type[BaseModel]) -> dict[str, Parameter]:
    """The fields of a group of options, to be checked one by one."""
    return {
        name: Parameter(
            name,
            default=field.default,
            type=Annotated[field.annotation, field] if field.description else field.annotation,
        )
        for name, field in options.model_fields.items()
    }


def _format_type(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
    if kind in names:
        return names[kind]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is Annotated:
        descriptions = [
            extra.description for extra in kind.__metadata__ if getattr(extra, "description", None)
        ]
        if descriptions:
            return str(descriptions[0])
    return next(filter(None, map(_format_type, get_args(kind))), "")


def _literals(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [choice for part in get_args(kind) for choice in _literals(part)]


@dataclass(frozen=True)
class Signature:
    """The parameters of a model or dataset.

    Attributes:
        parameters: by name, in the order of the definition.
        open: whether it takes any further name, too, or its parameters are not known.
    """

    parameters: Mapping[str, Parameter]
    open: bool = False


@dataclass(frozen=True)
class Entry:
    """A model or dataset that has a name of its own.

    Attributes:
        build: returns the model or the data.
        check: returns a sentence about arguments that are right one by one but not together, or None.
    """

    build: Callable[..., Any]
    check: Callable[[Mapping[str, Any]], str | None] | None = None


@dataclass(frozen=True)
class Reader:
    """How files of one suffix are read.

    Attributes:
        read: takes the path, then options by name.
        problem: returns a sentence about an invalid path or option, without reading all of the file.
    """

    read: Callable[..., Any]
    problem: Callable[[str, Mapping[str, Any]], str | None]


@dataclass(frozen=True)
class Reference:
    """A model or dataset by name.

    Attributes:
        text: the name, as the sweep gives it.
        kind: ``model`` or ``dataset``, for messages.
        builtin: the entries that have a name of their own.
        folder: the folder where files are looked for.
        readers: functions of a path and options that read files of data, by their suffix.
    """

    text: str
    kind: str
    builtin: Mapping[str, Entry]
    folder: Path
    readers: Mapping[str, Reader] = field(default_factory=dict)

    @property
    def is_builtin(self) -> bool:
        """Whether it has a name of its own in the registry."""
        return self.text in self.builtin

    @property
    def is_users_code(self) -> bool:
        """Whether it is a function in the user's own code."""
        return not self.is_builtin and self.reader is None

    @property
    def reader(self) -> Reader | None:
        """The reader of the file of data; None if it is a function."""
        return self.readers.get(Path(self.text).suffix.lower())

    def signature(self) -> Signature:
        """The parameters of the function.

        Raises:
            ModelError: there is no such name, file, module or function.
        """
        if self.is_builtin:
            return signature_of(self.builtin[self.text].build)
        if self.reader:
            self.source()
            signature = signature_of(self.reader.read)
            return Signature({name: p for name, p in signature.parameters.items() if name != "path"})
        source, name = self.source(), self.text.rpartition(":")[2]
        try:
            tree = ast.parse(source.read_bytes(), str(source))
        except SyntaxError as error:
            raise ModelError(f"{source}, line {error.lineno}: {error.msg}") from None
        bound: dict[str, ast.stmt] = {}
        for statement in tree.body:
            for target in _names(statement):
                bound[target] = statement
        if name not in bound:
            functions = [n for n, s in bound.items() if isinstance(s, ast.FunctionDef)]
            raise ModelError(
                f"there is no function {name!r} in {source}{did_you_mean(name, functions)}; "
                f"it has {', '.join(functions) or 'none'}"
            )
        definition = bound[name]
        if not isinstance(definition, ast.FunctionDef) or definition.decorator_list:
            return Signature({}, open=True)
        return signature_of_source(definition)

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """A sentence about arguments that are right one by one but not together, or None."""
        if self.reader:
            return self.reader.problem(str(self.source()), arguments)
        check = self.builtin[self.text].check if self.is_builtin else None
        return check(arguments) if check else None

    def source(self) -> Path:
        """The user's file that holds the function, or the data.

        Raises:
            ModelError: there is no such file or module, or the name is none of either.
        """
        if self.reader:
            return self._file(self.text)
        place, colon, name = self.text.rpartition(":")
        if not colon or not name.isidentifier() or not place:
            files = "".join(f", or a file {suffix}" for suffix in self.readers)
            ours = f"there are {', '.join(self.builtin)}, or your own as" if self.builtin else "name yours as"
            raise ModelError(
                f"there is no {self.kind} {self.text!r}{did_you_mean(self.text, self.builtin)}; {ours} "
                f"file.py:function or package.module:function{files}"
            )
        return self._file(place) if place.endswith(".py") else _module_file(place, self.folder)

    def _file(self, name: str) -> Path:
        path = (self.folder / name).expanduser().resolve()
        if not path.is_file():
            raise ModelError(f"there is no file {path}{did_you_mean(path.name, _files(path))}")
        return path

    def resolve(self, importer: Importer | None = None) -> Callable[..., Any]:
        """The function itself, importing the user's module if it is theirs.

        Args:
            importer: that has imported others of the user's, which may be the same modules.

        Raises:
            ModelError: there is no such function, or importing its module fails.
        """
        if self.is_builtin:
            return self.builtin[self.text].build
        if self.reader:
            return partial(self.reader.read, str(self.source()))
        path, (place, _, name) = self.source(), self.text.rpartition(":")
        if is_installed(path):
            module = importlib.import_module(place)
        else:
            module = (importer or Importer()).load(path, roots_of(path, self.folder))
        function = getattr(module, name, None)
        if not callable(function):
            raise ModelError(f"{self.text}: {name} is {function!r}, not a function")
        return function  # type: ignore[no-any-return]

    def files(self) -> list[Path]:
        """The user's files on which it depends, that of the function or of the data first; none for ours.

        Raises:
            ModelError: there is no such file or module.
        """
        if self.is_builtin:
            return []
        path = self.source()
        return [path] if self.reader else files_of(path, self.folder)


def files_of(path: Path, folder: Path) -> list[Path]:
    """A file of code and all of the user's that it imports, as far as sources tell.

    Args:
        path: of it, in any language; of one that is not Python's it is alone.
        folder: of the sweep file.
    """
    is_alone = path.suffix != ".py" or is_installed(path)
    return [path] if is_alone else closure(path, roots_of(path, folder))


def signature_of(function: Callable[..., Any]) -> Signature:
    """The parameters of a function that is already imported."""
    parameters, takes_any = {}, False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            takes_any = True
            continue
        required = parameter.default is inspect.Parameter.empty
        annotation = parameter.annotation
        if isinstance(annotation, str):  # one by one: the return type may name Keras, not imported
            annotation = eval(annotation, function.__globals__)
        annotation = Any if annotation is inspect.Parameter.empty else annotation
        default = None if required else parameter.default
        parameters[name] = Parameter(name, required, default, annotation)
    return Signature(parameters, takes_any)


def signature_of_source(definition: ast.FunctionDef) -> Signature:
    """The parameters of a function, as its source defines them."""
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults = missing + list(arguments.defaults) + list(arguments.kw_defaults)
    parameters = {}
    for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
        known = {"int": int, "float": float, "str": str, "bool": bool}
        annotation = argument.annotation
        kind = known.get(annotation.id) if isinstance(annotation, ast.Name) else None
        try:
            value = None if default is None else ast.literal_eval(default)
        except ValueError:
            value = None
        parameters[argument.arg] = Parameter(argument.arg, default is None, value, kind or Any)
    return Signature(parameters, arguments.kwarg is not None)


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, (ast.If, ast.Try, ast.With)):
        return [name for inner in statement.body for name in _names(inner)]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _module_file(module: str, folder: Path) -> Path:
    """The file of a module, found without importing its packages."""
    search: list[str] | None = [*map(str, roots_of(folder / "x.py", folder)), *sys.path]
    spec = None
    for part in module.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, search) if search else None
        if spec is None:
            raise ModelError(f"there is no module {module!r} ({part!r} is not found)")
        search = list(spec.submodule_search_locations or [])
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise ModelError(f"the module {module!r} has no Python source")
    return Path(spec.origin)


def _files(path: Path) -> list[str]:
    """The names beside it that end as it does."""
    return [other.name for other in path.parent.glob(f"*{path.suffix}")]
