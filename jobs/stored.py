"""The sweep that a run keeps: written with a seal and a copy, read only where nobody has changed it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from results import Records, Run, RunError, copies_in, seal_of, sealed, write_text
from sweeps import Sweep, load_stored

FILE = "sweep.yaml"


def text_of(sweep: Sweep) -> str:
    """A sweep as a run keeps it."""
    return sealed(sweep.as_yaml(), trials=sweep.size, planned=len(sweep.trials))


def load(folder: Path, copies: Sequence[str] = ()) -> Sweep:
    """The sweep of a run, with the defaults it was begun with.

    Args:
        folder: of the run.
        copies: what the file has been, as the records say, if they were read; else its seal must do.

    Raises:
        RunError: the file is not as the run has written it.
        SweepError: it is of another version, which this one can't read.
    """
    path = folder / FILE
    seal = seal_of(path)
    text = _text(path)
    if text not in copies and (copies or (seal and not seal.is_whole)):
        raise RunError(_refusal(path, text or "", copies))
    return load_stored(path)


def keep(run: Run, records: Records, sweep: Sweep) -> None:
    """Write the sweep of a run anew, as where it is extended.

    Args:
        run: of which one holds the lock.
        records: of ``run.jsonl``, which hold a copy.
        sweep: to write.
    """
    text = text_of(sweep)
    records.append("stored", file=text)
    write_text(run.sweep_file, text)


def restore(folder: Path) -> str:
    """Write ``sweep.yaml`` again where it is gone or was cut short, from the copy in the records.

    Args:
        folder: of a run, or of none.

    Returns:
        What was done, in a sentence; empty if nothing.
    """
    path = folder / FILE
    text, seal = _text(path), seal_of(path)
    if seal and seal.is_whole:
        return ""
    copies = copies_in(folder / "records" / "run.jsonl")
    if not copies or text in copies:
        return ""
    if text is not None and "\0" not in text and not copies[-1].startswith(text):  # edited
        return ""
    write_text(path, copies[-1])
    how = "was gone" if text is None else "was cut short, or overwritten with NUL bytes"
    return f"{path} {how}; it is written again from the copy in the records."


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _refusal(path: Path, text: str, copies: Sequence[str]) -> str:
    """What was changed, and what to do instead."""
    changed = ""
    if copies:
        was, now = copies[-1].splitlines(), text.splitlines()
        shown = list(difflib.unified_diff(was, now, lineterm="", n=0))[2:]
        more = [f"… and {len(shown) - 12} lines more"] if len(shown) > 12 else []
        changed = "\n".join(["", *shown[:12], *more])
    return (
        f"{path} is not as the run has written it. A run keeps its sweep, so that its trials can be "
        "compared: undo the edit to go on. For other settings start another run: hpc run SWEEP --set "
        f"KEY=VALUE --dir FOLDER; for more trials: hpc extend {path.parent} --trials +N.{changed}"
    )
