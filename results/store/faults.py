"""The faults of a run's folder: damages, edits, and records that can't be read."""

from __future__ import annotations

from hpc.results.store.folding import Folding
from hpc.results.store.reading import Tail
from hpc.results.store.seal import Seal, is_kept
from hpc.results.store.state import RunState


def find_faults(run: RunState, text: str, seal: Seal | None) -> list[str]:
    """Damages and edits of the folder, each as a sentence.

    Args:
        run: as read.
        text: of its ``sweep.yaml``; empty if it can't be read.
        seal: of that.
    """
    found = []
    if not is_kept(text, run.sweep_texts) and (run.sweep_texts or (seal and not seal.is_whole)):
        found.append(
            f"{run.sweep_file} is not as the run has written it: it was edited, or damaged. That counts "
            "for nothing in this table, and the run is not gone on with; `hpc resume` says which lines "
            "differ. For other settings start another run: hpc run SWEEP --set KEY=VALUE --dir FOLDER"
        )
    lost = (seal.planned if seal else 0) - len(run.trials)
    if lost > 0:
        found.append(
            f"{run.records}/run.jsonl has lost the plan of {lost} of {seal and seal.planned} trials; "
            f"hpc resume {run.folder} plans them again."
        )
    elif not run.is_told:
        found.append(
            f"{run.records}/run.jsonl no longer says what the run is; {run.sweep_file} does, and "
            f"hpc resume {run.folder} writes it again."
        )
    return found


def count_skipped(tail: Tail, folding: Folding) -> dict[str, dict[str, int]]:
    """How many lines of records could not be read, by file and reason."""
    found: dict[str, dict[str, int]] = {}
    for (file, why), number in sorted(folding.skipped.items()):
        found.setdefault(file, {})[why] = number
    for file, number in tail.holes.items():
        found.setdefault(file, {})["blocks of NUL bytes, as a crash of a file system leaves them"] = number
    for file in tail.torn:
        found.setdefault(file, {})["last lines that are not complete, or not yet"] = 1
    for file in (file for records in folding.early.values() for file, _, _ in records):
        why = "records of trials that no other record tells of"
        found.setdefault(file, {})[why] = found.get(file, {}).get(why, 0) + 1
    return found
