"""What a person asks for beside the sweep, when trials are to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Where and with what trials are to be trained.

    Attributes:
        on: the name of a profile; None for where the run was carried out the last time.
        folder: the folder of the run; None for ``runs/<name of the sweep>``.
        workers: the number of jobs at once, instead of the profile's.
        ranks: the number of ranks per job, instead of the profile's.
        profiles_file: a file of profiles that counts before all others.
        storage: the URL of a database for the study of a search, instead of the profile's.
        mixed_code: whether to go on though the user's code or data have changed since trials were trained.
        dry_run: whether to check and show everything, and to train nothing.
    """

    on: str | None = None
    folder: Path | None = None
    workers: int | None = None
    ranks: int | None = None
    profiles_file: Path | None = None
    storage: str | None = None
    mixed_code: bool = False
    dry_run: bool = False

    def folder_of(self, name: str) -> Path:
        """Give the folder of the run.

        Args:
            name: the name of the sweep.
        """
        return self.folder or Path("runs") / name
