"""Every epoch of a run as one table, gathered from the records once, and added to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.results.store.files import replacing
from hpc.results.store.reading import EPOCH, Mark, lines, parse
from hpc.results.store.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 2
MAX_PARTS = 16
"""Above that, they are joined to one."""
_FIELDS = {"trial": "string", "attempt": "int64", "epoch": "int64", "seconds": "float64", "time": "float64"}


@dataclass
class _File(Mark):
    """How far a file of records is gathered, and how many lines of epochs in it can't be read."""

    skipped: int = 0


@dataclass
class _State:
    """What is gathered so far: files of records by name, and parts of the table in order."""

    version: int = VERSION
    files: dict[str, _File] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)


class Epochs:
    """The epochs of a run, gathered.

    The table is kept in ``gathered/`` of the run's folder, as Parquet; to gather again costs what is new.
    That folder holds nothing that is not in the records, and may be removed at any time. Where it can't be
    written, everything is gathered anew each time.

    Args:
        run: as read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._folder = run.folder / "gathered"
        self._state = self._load()
        self._new: list[pa.Table] = []

    @property
    def skipped(self) -> dict[str, int]:
        """How many lines of epochs can't be read, by file."""
        return {name: file.skipped for name, file in self._state.files.items() if file.skipped}

    def table(self) -> pa.Table:
        """One row per record of an epoch: ``trial``, ``attempt``, ``epoch``, ``seconds``, ``time``, metrics.

        Metrics are columns ``metrics.NAME``; rows are in the order of the records of each file.
        """
        import pyarrow as pa

        before = self._before()
        for name in sorted(path.name for path in self._run.records.glob("*.jsonl")):
            self._gather(name)
        tables = [*before, *self._new]
        if not tables:
            return _as_table([])
        whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        if self._new:
            self._save(whole)
        return whole

    def _before(self) -> list[pa.Table]:
        """What was gathered earlier; nothing if it can't be read, as when another process joins the parts."""
        import pyarrow as pa

        try:
            return [_read(self._folder / name) for name in self._state.parts]
        except (OSError, pa.ArrowException):
            self._state = _State()
            return []

    def _gather(self, name: str) -> None:
        """Take in what is new in a file of records; a torn last line may yet be completed."""
        known = self._state.files.setdefault(name, _File())
        path = self._run.records / name
        if path.stat().st_size <= known.read:
            return
        with path.open("rb") as file:
            file.seek(known.read)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            return
        known.pass_over(data)
        table, skipped = _parsed([line for line in lines(data)[0] if line.startswith(EPOCH)])
        if table.num_rows:
            self._new.append(table)
        known.skipped += skipped

    def _load(self) -> _State:
        try:
            found = json.loads((self._folder / "state.json").read_text())
            state = _State(
                found["version"], {n: _File(**f) for n, f in found["files"].items()}, found["parts"]
            )
            files = state.files.items()
            is_ours = state.version == VERSION and all(
                mark.is_in(self._run.records / name) for name, mark in files
            )
            return state if is_ours and all((self._folder / p).is_file() for p in state.parts) else _State()
        except (OSError, ValueError, KeyError, TypeError):
            return _State()

    def _save(self, whole: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        joined = len(self._state.parts) >= MAX_PARTS
        new = whole if joined else pa.concat_tables(self._new, promote_options="permissive")
        name = f"{uuid.uuid4().hex}.parquet"  # another process may gather at the same time
        try:
            self._folder.mkdir(exist_ok=True)
            with replacing(self._folder / name) as scratch, scratch.open("wb") as file:
                pq.write_table(new, file)
            self._state.parts = [name] if joined else [*self._state.parts, name]
            with replacing(self._folder / "state.json") as scratch:
                scratch.write_text(json.dumps(asdict(self._state)))
            for path in self._folder.glob("*.parquet"):
                if path.name not in self._state.parts:
                    path.unlink(missing_ok=True)
        except OSError:  # read-only, or a full disk: the table is there all the same
            pass
        self._new = []


def _read(path: Path) -> pa.Table:
    """A part of the table; pyarrow itself can't open a path that is no UTF-8."""
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        return pq.read_table(file)


def _parsed(lines: Sequence[bytes]) -> tuple[pa.Table, int]:
    """Records of epochs as a table, and how many lines are none."""
    import pyarrow as pa
    from pyarrow import json as pa_json

    if not lines:
        return _as_table([]), 0
    schema, whole = pa.schema(list(_FIELDS.items())), b"\n".join(lines)
    try:
        if not whole.isascii():
            whole.decode()  # pyarrow takes what is no UTF-8, too
        found = pa_json.read_json(
            pa.BufferReader(whole),
            read_options=pa_json.ReadOptions(block_size=max(1 << 22, 2 * max(map(len, lines)))),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
        )
        is_whole = not any(found.column(name).null_count for name in (*_FIELDS, "metrics"))
        if (
            is_whole
            and found.num_rows == len(lines)
            and pa.types.is_struct(found.schema.field("metrics").type)
        ):
            return _flat(found), 0
    except (pa.ArrowInvalid, ValueError, KeyError):
        pass
    records = [record for record in map(parse, lines) if _is_epoch(record)]
    return _as_table(records), len(lines) - len(records)


def _is_epoch(record: dict[str, Any]) -> bool:
    """Whether a record has what one of an epoch has."""
    numbers = all(type(record.get(name)) is int for name in ("attempt", "epoch"))
    others = all(isinstance(record.get(name), (int, float)) for name in ("seconds", "time"))
    metrics = record.get("metrics")
    return (
        numbers
        and others
        and isinstance(record.get("trial"), str)
        and isinstance(metrics, dict)
        and all(value is None or isinstance(value, (int, float)) for value in metrics.values())
    )


def _as_table(records: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    columns = {name: pa.array([record[name] for record in records], kind) for name, kind in _FIELDS.items()}
    for name in dict.fromkeys(name for record in records for name in record["metrics"]):
        values = [record["metrics"].get(name) for record in records]
        columns[f"metrics.{name}"] = pa.array(values, "float64")
    return pa.table(columns)


def _flat(found: pa.Table) -> pa.Table:
    """With a column for each metric."""
    import pyarrow as pa

    metrics = found.column("metrics").combine_chunks()
    columns = {name: found.column(name).cast(kind) for name, kind in _FIELDS.items()}
    for index in range(metrics.type.num_fields):
        values = metrics.field(index)
        columns[f"metrics.{metrics.type.field(index).name}"] = values.cast(pa.float64())
    return pa.table(columns)
