"""A YAML file that remembers on which line each entry stands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from hpc.sweeps.text import did_you_mean

Key = tuple[str | int, ...]
MAX_ENTRIES = 1_000_000
"""The maximum of a file, with the entries that aliases repeat: eight lines can fill a memory."""


class SweepError(ValueError):
    """A sweep that can't be carried out as written.

    Attributes:
        problems: one sentence each: where, which key, the value, what would be right.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Document:
    """The entries of a YAML file as plain Python values, and where each one stands.

    Attributes:
        entries: the file's top-level mapping.
        source: what to call the file in messages; empty if the entries come from Python.
        places: for each key path, where it stands ("line 7", "--set seeds=0").
    """

    entries: dict[str, Any]
    source: str = ""
    places: dict[Key, str] = field(default_factory=dict)

    def problem(self, key: Key, message: str) -> str:
        """One sentence about the entry at ``key``, led by file and line where they are known."""
        place = next((self.places[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.places), "")
        if place.startswith("--set"):
            where = place
        else:
            where = ", ".join(part for part in (self.source, place) if part)
        return ": ".join(part for part in (where, dotted(key), message) if part)


def dotted(key: Key) -> str:
    """A key path as people write it: ``space.dropout[2]``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(path: Path, what: str = "a sweep", begins: str = "`name:`, `model:`, `data:`") -> Document:
    """Read a YAML file.

    Args:
        path: of it.
        what: it holds, for messages.
        begins: how such a file starts, likewise.

    Raises:
        SweepError: no such file, not YAML, a key given twice, or not a mapping.
    """
    source = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        raise SweepError(f"{source}: there is no such file{near}.") from None
    except IsADirectoryError:
        raise SweepError(f"{source}: is a folder, and {what} is a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SweepError(f"{source}: can't be read: {error}.") from None
    # ruamel.yaml reads YAML 1.2, where 1e-3 is a number; in PyYAML's 1.1 it is a string.
    try:
        tree = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        name = str(error.problem).split('"')[1] if '"' in str(error.problem) else "a key"
        raise SweepError(
            f"{source}, line {line}: {name}: is given twice; each name may stand only once."
        ) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SweepError(f"{source}, line {line}: is not YAML: {error.problem}.") from None
    except Exception as error:  # YAMLError, or what ruamel leaves to Python, as of the date 2001-99-99
        raise SweepError(f"{source}: is not YAML: {error}.") from None
    if _entries(tree, {}) > MAX_ENTRIES:
        raise SweepError(
            f"{source}: has more than {MAX_ENTRIES:,} entries, those that aliases repeat included; a sweep "
            "draws many values by a range, as {low: 0.0, high: 0.5}."
        )
    if not isinstance(tree, CommentedMap):
        found = "is empty" if tree is None else f"holds {type(tree).__name__}, not key: value lines"
        raise SweepError(f"{source}: {found}; {what} starts with {begins}.")
    places: dict[Key, str] = {}
    return Document(_plain(tree, (), places), source, places)


def of_python(entries: Mapping[str, Any]) -> Document:
    """Entries that come from Python: NumPy's numbers and arrays, tuples and paths become plain values.

    Raises:
        SweepError: with every value that no YAML file could hold.
    """
    problems: list[str] = []
    plain = {str(name): _of_python(value, (str(name),), problems) for name, value in entries.items()}
    if problems:
        raise SweepError(problems)
    return Document(plain)


def _of_python(value: Any, key: Key, problems: list[str]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for plain in (float, int, str):  # subclasses, too: NumPy's float64, an enumeration's words
        if isinstance(value, plain):
            return plain.__str__(value) if plain is str else plain(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(n): _of_python(v, (*key, str(n)), problems) for n, v in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_of_python(one, (*key, index), problems) for index, one in enumerate(value)]
    if hasattr(value, "tolist") and type(inner := value.tolist()) is not type(value):  # of NumPy or pandas
        return _of_python(inner, key, problems)
    kind = type(value).__name__
    problems.append(
        Document({}).problem(
            key,
            f"{value!r} is a {kind}; a sweep holds numbers, words, true, false, lists and groups of these.",
        )
    )
    return None


def override(document: Document, assignments: Iterable[str]) -> Document:
    """Replace entries by ``dotted.path=value`` texts; values are read as YAML.

    Raises:
        SweepError: an assignment without "=", or a path through an entry that has no parts.
    """
    entries = _copy(document.entries)
    places = dict(document.places)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise SweepError(f"--set {assignment}: must be KEY=VALUE, for example --set fixed.epochs=5.")
        parts = path.strip().split(".")
        try:
            value = read_value(text)
        except ValueError as error:
            raise SweepError(f"--set {assignment}: {error}.") from None
        node = entries
        for depth, part in enumerate(parts[:-1]):
            inner = node.setdefault(part, {})
            if part == "data" and depth == 0 and isinstance(inner, str):
                inner = node[part] = {"name": inner}
            if not isinstance(inner, dict):
                raise SweepError(
                    f"--set {assignment}: {'.'.join(parts[: depth + 1])} is {inner!r}, "
                    f"which has no entry {parts[depth + 1]!r}."
                )
            node = inner
        node[parts[-1]] = value
        key = tuple(parts)
        places = {k: v for k, v in places.items() if k[: len(key)] != key}
        places[key] = f"--set {assignment}"
    return Document(entries, document.source, places)


def read_value(text: str) -> Any:
    """The plain value that a text is by YAML: ``1e-3`` is a number, ``[64, 32]`` a list.

    Raises:
        ValueError: it is none.
    """
    try:
        return _plain(YAML(typ="rt").load(text), (), {})
    except Exception:  # as above
        raise ValueError(f"{text!r} is not a YAML value") from None


def write(entries: Mapping[str, Any]) -> str:
    """The entries as YAML text that :func:`read` reads back unchanged."""
    from io import StringIO

    yaml = YAML(typ="rt")
    yaml.default_flow_style = False
    yaml.width = 100
    stream = StringIO()
    yaml.dump(_for_yaml(dict(entries)), stream)
    return stream.getvalue()


def _for_yaml(value: Any, depth: int = 0) -> Any:
    if isinstance(value, Mapping):
        mapping = CommentedMap({k: _for_yaml(v, depth + 1) for k, v in value.items()})
        if depth >= 2:
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, (list, tuple)):
        sequence = CommentedSeq([_for_yaml(v, depth + 1) for v in value])
        sequence.fa.set_flow_style()
        return sequence
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _line_of(node: CommentedMap, name: Any) -> int | None:
    """The line of an entry: here, or in a mapping that is merged into this one (``<<``)."""
    if name in (node.lc.data or ()):  # None where nothing but a merge stands
        return int(node.lc.key(name)[0]) + 1
    sources = (one[1] if isinstance(one, tuple) else one for one in node.merge)
    return next((line for one in sources if (line := _line_of(one, name)) is not None), None)


def _entries(node: Any, known: dict[int, int]) -> int:
    """How many entries a tree has with each alias written out; more than a file may if it holds itself."""
    if not isinstance(node, (CommentedMap, CommentedSeq)):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_ENTRIES + 1  # until it is counted
        inner = node.values() if isinstance(node, CommentedMap) else node
        known[id(node)] = 1 + sum(_entries(one, known) for one in inner)
    return known[id(node)]


def _plain(node: Any, key: Key, places: dict[Key, str]) -> Any:
    if isinstance(node, CommentedMap):
        for name in node:
            line = _line_of(node, name)
            if line is not None:
                places[(*key, str(name))] = f"line {line}"
        return {str(name): _plain(value, (*key, str(name)), places) for name, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            if index in (node.lc.data or ()):
                places[(*key, index)] = f"line {node.lc.item(index)[0] + 1}"
        return [_plain(value, (*key, index), places) for index, value in enumerate(node)]
    if isinstance(node, ScalarBoolean):
        return bool(node)
    for plain in (float, int, str):  # ruamel's own subclasses remember how a number was written
        if isinstance(node, plain) and not isinstance(node, bool):
            return plain(node)
    return node if node is None or isinstance(node, bool) else str(node)  # dates, for example
