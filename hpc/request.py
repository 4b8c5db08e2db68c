"""What a person asks for beside the sweep, when trials are to be trained."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Where and with what trials are to be trained.

    Attributes:
        on: the name of a profile; None for where the run was carried out the last time, and for
            ``local`` or, to submit, ``slurm`` where there was none.
        folder: the folder of the run; None for ``runs/<name of the sweep>``.
        workers: the number of jobs at once, instead of the profile's.
        ranks: the number of ranks per job, instead of the profile's.
        profiles_file: a file of profiles that counts before all others.
        storage: the URL of a database for the study of a search, instead of the profile's.
        mixed_code: whether to go on though the user's code or data have changed since trials were trained.
        dry_run: whether to check and show everything, and to train nothing.
        measure: whether to take the time of what steps wait for, as ``measure`` of a profile.
        inject_fault: as ``WorkerSpec.inject_fault``.
        tensorflow_profile: as ``WorkerSpec.tensorflow_profile``, on this machine.
        began: when the command was typed, by ``results.moments.uptime``; 0 for now.
    """

    on: str | None = None
    folder: str | Path | None = None
    workers: int | None = None
    ranks: int | None = None
    profiles_file: Path | None = None
    storage: str | None = None
    mixed_code: bool = False
    dry_run: bool = False
    measure: bool = False
    inject_fault: str = ""
    tensorflow_profile: str = ""
    began: float = 0.0

    def but(self, **options: Any) -> RunRequest:
        """Give the same request with other options.

        Args:
            options: attributes of a request, by their names.

        Raises:
            TypeError: there is no such option.
        """
        from hpc.sweeps.text import did_you_mean  # `hpc --help` loads neither

        known = [one.name for one in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(f"there is no option {name}{did_you_mean(name, known)}; there are "
                                f"{', '.join(known)}")  # fmt: skip
        return replace(self, **options)

    def folder_of(self, name: str) -> Path:
        """Give the folder of the run.

        Args:
            name: the name of the sweep.
        """
        return Path(self.folder) if self.folder is not None else Path("runs") / name

    @property
    def said(self) -> dict[str, int | None]:
        """The workers and ranks that were asked for, as records of launches have them."""
        return {"workers": self.workers, "ranks": self.ranks}
