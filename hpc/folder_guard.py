"""The folder of a run while a command works in it: somebody may move or remove it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpc.results import RunError


class MovedError(RunError):
    """The folder of a run is no longer where it was."""


@dataclass(frozen=True)
class Standing:
    """A folder that is held open, so that it is known wherever it goes.

    Attributes:
        folder: where it was.
        descriptor: of it.
    """

    folder: Path
    descriptor: int

    def require(self, what_else: str = "") -> None:
        """Make sure that it is where it was.

        Args:
            what_else: has become of the run, in a sentence.

        Raises:
            MovedError: another folder is there, or none.
        """
        if self.is_there():
            return
        said = f" {what_else}" if what_else else ""
        where = self._place()
        if where is None:
            raise MovedError(
                f"{self.folder} was removed while the run was carried out, or moved out of sight.{said}"
            )
        raise MovedError(
            f"{self.folder} was moved to {where} while the run was carried out.{said} What was recorded is "
            f"not lost: `hpc resume {where}` goes on."
        )

    def is_there(self) -> bool:
        """Whether it is where it was; a file system that does not answer now says nothing of that."""
        try:
            return os.path.samestat(os.stat(self.folder), os.fstat(self.descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def _place(self) -> Path | None:
        """Where it is now; None if that can't be said."""
        try:
            found = Path(os.readlink(f"/proc/self/fd/{self.descriptor}"))
            there = os.path.samestat(found.stat(), os.fstat(self.descriptor))
        except OSError:
            return None
        return found if there else None


@contextmanager
def standing(folder: Path) -> Iterator[Standing]:
    """Hold a folder open for the length of the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Standing(folder, descriptor)
    finally:
        os.close(descriptor)
