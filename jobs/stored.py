"""The sweep that a run keeps: written with a seal and a copy, read only where nobody has changed it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from hpc.results import Records, Run, RunError, copies_in, is_kept, seal_in, sealed, text_in, write_text
from hpc.sweeps import Sweep, load_stored

FILE = "sweep.yaml"
RECORDS = Path("records") / "run.jsonl"


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
    text = text_in(path)
    seal = seal_in(text or "")
    if copies and not is_kept(
        text or "", copies
    ):  # another command may have written both since the records were read
        copies = copies_in(folder / RECORDS) or copies
    if not is_kept(text or "", copies) and (copies or (seal and not seal.is_whole)):
        raise RunError(_refusal(path, text or "", copies))
    return load_stored(path)


def announce(run: Run, records: Records, sweep: Sweep) -> str:
    """Record a sweep that is about to take the place of the one that a run keeps.

    What a command that is killed then has not written, :func:`restore` writes.

    Args:
        run: of which one holds the lock.
        records: of ``run.jsonl``, which hold a copy.
        sweep: to write.

    Returns:
        The text to write.
    """
    before, text = text_in(run.sweep_file), text_of(sweep)
    if before is not None and before not in run.sweep_texts:  # an earlier version kept no copy
        records.append("stored", file=before)
    records.append("stored", file=text)
    return text


def keep(run: Run, records: Records, sweep: Sweep) -> None:
    """Write the sweep of a run anew, as where the user's files have moved.

    Args:
        run: as of :func:`announce`.
        records: likewise.
        sweep: to write.
    """
    write_text(run.sweep_file, announce(run, records, sweep))


def restore(folder: Path) -> str:
    """Write ``sweep.yaml`` again where it is gone, was cut short or is behind, from the copy in the records.

    Args:
        folder: of a run, or of none.

    Returns:
        What was done, in a sentence; empty if nothing.
    """
    path = folder / FILE
    text = text_in(path)
    seal = seal_in(text or "")
    copies = copies_in(folder / RECORDS)
    if not copies or (seal and seal.is_whole and text not in copies):
        return ""
    if text in copies:
        if _trials(copies[-1]) <= _trials(text or ""):
            return ""
        write_text(path, copies[-1])
        return f"{path} was that of before the run was extended; it is written as the records have it."
    if text is not None and "\0" not in text and not copies[-1].startswith(text):  # edited
        return ""
    write_text(path, copies[-1])
    how = "was gone" if text is None else "was cut short, or overwritten with NUL bytes"
    return f"{path} {how}; it is written again from the copy in the records."


def _trials(text: str) -> int:
    """The number of trials in a copy; 0 if an earlier version wrote it."""
    seal = seal_in(text)
    return seal.trials if seal else 0


def _refusal(path: Path, text: str, copies: Sequence[str]) -> str:
    """The message on a change: what was changed, and what to do instead."""
    changed = removed = ""
    if copies:
        removed = ", or move the file away, and it is written again from the copy in the records"
        was, now = copies[-1].splitlines(), text.splitlines()
        shown = list(difflib.unified_diff(was, now, lineterm="", n=0))[2:]
        more = [f"… and {len(shown) - 12} lines more"] if len(shown) > 12 else []
        changed = "\n".join(["", *shown[:12], *more])
    return (
        f"{path} is not as the run has written it. A run keeps its sweep, so that its trials can be "
        f"compared: undo the edit to go on{removed}. For other settings start another run: hpc run SWEEP "
        f"--set KEY=VALUE --dir FOLDER; for more trials of a search: hpc extend {path.parent} --trials "
        f"+N.{changed}"
    )
