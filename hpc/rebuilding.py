"""What ``run.jsonl`` has lost, written again from what else the folder of a run holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hpc.jobs import stored
from hpc.jobs.launch import FILE as LAUNCH_FILE
from hpc.jobs.launch import Launch
from hpc.results import Plan, Records, Run, write_text
from hpc.sweeps import Sweep

_SIZE = re.compile(r"^#SBATCH --array=0-(\d+)", re.MULTILINE)


def plan_of(sweep: Sweep, provenance: str = "") -> Plan:
    """What a run of a sweep sets out to do.

    Args:
        sweep: checked, with its defaults.
        provenance: the text of ``provenance.json``.
    """
    objective = sweep.objective
    several = [(one.metric, one.mode) for one in sweep.objectives] if sweep.further_objectives else []
    trials = [trial.to_record() for trial in sweep.trials]
    return Plan(
        sweep.name, objective.metric, objective.mode, list(sweep.dimensions), trials, stored.text_of(sweep),
        provenance, sweep.size, several,
    )  # fmt: skip


def rebuild(run: Run, sweep: Sweep, note: Callable[[str], None]) -> None:
    """Write again what a run has lost of its plan, and of the arrays that were submitted for it.

    The sweep says which trials there are. Of each array its batch script is left; SLURM is then asked for
    it as for one whose command did not live to write its number down.

    Args:
        run: of which one holds the lock; read on afterwards.
        sweep: of the run, as stored.
        note: hears what was written.
    """
    lost = [trial for trial in sweep.trials if trial.trial_id not in run.trials]
    arrays = list(_lost_arrays(run))
    text = run.sweep_file.read_text(encoding="utf-8")
    has_copy = not run.sweep_texts or text in run.sweep_texts
    if run.is_told and not lost and not arrays and has_copy:
        return
    records = Records(run.records / "run.jsonl")
    try:
        if not run.is_told:
            plan = plan_of(sweep)
            write_text(run.sweep_file, plan.sweep)  # an earlier version wrote another
            records.append("sweep", **plan.entries())
        elif not has_copy:
            records.append("stored", file=text)
        for trial in lost:
            records.append("planned", **trial.to_record())
        for array in arrays:
            records.append("submitting", **array)
    finally:
        records.close()
    run.refresh()
    what = [f"the plan of {len(lost)} of {len(sweep.trials)} trials"] if lost else []
    what += [f"{len(arrays)} arrays of jobs"] if arrays else []
    what += ["that it was extended"] if not has_copy else []
    note(
        f"{run.records}/run.jsonl had lost {' and '.join(what) or 'what the run is'}. It is written again, "
        "from what else the folder holds."
    )


def _lost_arrays(run: Run) -> Iterator[dict[str, Any]]:
    """Arrays that may have been submitted, and of which the records say nothing."""
    for launch in sorted(run.jobs_folder.glob(f"*/{LAUNCH_FILE}")):
        for script in sorted(launch.parent.glob("*.sh")):
            if script.stem not in run.arrays:
                text = script.read_text(errors="replace").rstrip()
                size, first = _SIZE.search(text), text.rpartition(" ")[2]
                if size and first.isdigit():
                    its = Launch.read(launch.parent)
                    yield {
                        "name": script.stem, "launch": its.number, "first": int(first),
                        "size": int(size[1]) + 1, "ranks": its.ranks,
                    }  # fmt: skip
