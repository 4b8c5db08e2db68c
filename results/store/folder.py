"""The folder of a run: its paths, and how it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.results.store.disk import format_disk_error
from hpc.results.store.files import replacing, write_text
from hpc.results.store.records import Records
from hpc.results.store.seal import copies_in

FIRST = "run.jsonl"
"""The file of records that commands write, which begins with the plan."""


class RunError(ValueError):
    """A folder that is no run, or not one that can be used as asked."""


class RunFolder:
    """Where everything of a run lies.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def sweep_file(self) -> Path:
        """The sweep as it was run."""
        return self.folder / "sweep.yaml"

    @property
    def records(self) -> Path:
        """Where the records are."""
        return self.folder / "records"

    @property
    def jobs_folder(self) -> Path:
        """Where submitit's files and the logs are."""
        return self.folder / "jobs"

    def check(self) -> None:
        """Make sure that this is the folder of a run.

        Raises:
            RunError: there is no such folder, or it holds no ``sweep.yaml``.
        """
        if self.sweep_file.is_file():
            return
        if copies_in(self.records / FIRST):
            raise RunError(
                f"{self.folder} has lost its sweep.yaml. `hpc resume {self.folder}` writes it again from "
                "the copy in its records."
            )
        state = "holds no sweep.yaml" if self.folder.is_dir() else "does not exist"
        hint = ""
        if any(path.name != FIRST for path in self.records.glob("[!.]*.jsonl")):
            hint = (
                f" What trials came to is still in {self.records}, but not what they were: put "
                "sweep.yaml or records/run.jsonl back from a copy."
            )
        raise RunError(f"{self.folder} is not the folder of a run: it {state}.{hint}")


@dataclass(frozen=True)
class Plan:
    """What a run sets out to do, as plain values.

    Attributes:
        name: of the sweep.
        metric: of the objective.
        mode: ``min`` or ``max``.
        space: names of the hyperparameters that vary.
        trials: a mapping with trial, index, params and seed for each.
        sweep: the text of ``sweep.yaml``.
        provenance: the text of ``provenance.json``.
        size: how many trials there are to be, of which not all may be known yet.
        objectives: metric and mode of each, if there are several.
    """

    name: str
    metric: str
    mode: str
    space: list[str]
    trials: Iterable[Mapping[str, Any]]
    sweep: str
    provenance: str
    size: int = 0
    objectives: Sequence[tuple[str, str]] = ()

    def entries(self) -> dict[str, Any]:
        """The entries of the first record, of the kind ``sweep``."""
        several = {"objectives": list(self.objectives)} if self.objectives else {}
        return {
            "name": self.name, "metric": self.metric, "mode": self.mode, "space": self.space,
            "trials": self.size, "file": self.sweep, **several,
        }  # fmt: skip


def claim(folder: Path) -> None:
    """Make a folder for a run, or make sure that nothing of anybody's is in it.

    Raises:
        RunError: the folder holds something else, or what is left of a run, or can't be written.
    """
    ours = {"provenance.json", "records", "jobs", "objects"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise RunError(f"no run can be made in {folder}: {format_disk_error(error, folder)}.") from None
    jobs = [path.name for path in (folder / "records").glob("[!.]*.jsonl") if path.name != FIRST]
    if jobs:
        raise RunError(
            f"{folder} holds records of a run ({jobs[0]}, {len(jobs)} in all), but its sweep.yaml is gone, "
            f"and records/{FIRST} has no copy of it. Put one back, or choose another folder with --dir."
        )
    foreign = [name for name in names if name not in ours and not name.startswith(".tmp-")]
    if foreign:
        raise RunError(
            f"{folder} is neither empty nor the folder of a run: it holds {foreign[0]!r}. "
            "Choose another folder with --dir."
        )


def create(folder: Path, plan: Plan) -> None:
    """Fill the folder of a run; ``sweep.yaml`` comes last and makes it one.

    Raises:
        RunError: the folder holds something else, or can't be written.
    """
    claim(folder)
    try:
        (folder / "jobs").mkdir(exist_ok=True)
        (folder / "records").mkdir(exist_ok=True)
        write_text(folder / "provenance.json", plan.provenance)
        with replacing(folder / "records" / FIRST) as scratch:
            records = Records(scratch)
            records.append("sweep", **plan.entries())
            for trial in plan.trials:
                records.append("planned", **trial)
            records.close()
        write_text(folder / "sweep.yaml", plan.sweep)
    except OSError as error:
        raise RunError(f"no run can be made in {folder}: {format_disk_error(error, folder)}.") from None
