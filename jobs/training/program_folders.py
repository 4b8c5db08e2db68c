"""The folders that programs get: some are theirs to keep, and most stay empty."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


class ProgramFolders:
    """Makes folders for one program after the other.

    A folder that a program has left empty is the next one's: to remove one takes a disk a thousand times as
    long as to rename it.

    Args:
        run: the folder of the run.

    Attributes:
        scratch: on the node's own disk, for the time being.
    """

    def __init__(self, run: Path) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="hpc-", dir=os.environ.get("SLURM_TMPDIR") or None))
        self._spares = run / "trials" / f".spare-{os.uname().nodename}-{os.getpid()}"
        self._spares.mkdir(parents=True, exist_ok=True)
        self._spare: list[Path] = []
        self._number = 0

    def take(self, path: Path) -> None:
        """Let there be a folder."""
        if self._spare:
            try:
                os.rename(self._spare[-1], path)
                self._spare.pop()
                return
            except OSError:  # there is one with something in it, or the spare one was removed
                pass
        path.mkdir(parents=True, exist_ok=True)

    def give_back(self, path: Path) -> None:
        """Take a folder back if it is empty."""
        self._number += 1
        spare = self._spares / str(self._number)
        try:
            if not os.listdir(path):
                os.rename(path, spare)
                self._spare.append(spare)
        except OSError:  # it was removed
            pass

    def close(self) -> None:
        """Remove what is for the time being."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.rmtree(self._spares, ignore_errors=True)
        try:
            self._spares.parent.rmdir()
        except OSError:  # some program has kept something
            pass
