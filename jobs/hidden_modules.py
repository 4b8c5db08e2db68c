"""Modules of the user's that were imported in a way that their sources don't show."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from hpc.jobs.spec import WorkerSpec
from hpc.jobs.user_files import Sources, require_same_modules
from hpc.models import Importer


class HiddenModules:
    """Looks for such modules, and says once of each that it is one.

    Args:
        spec: of the worker.
        importer: of the user's modules.
        sources: the user's files.
        note: hears what a person should know.
    """

    def __init__(
        self, spec: WorkerSpec, importer: Importer, sources: Sources, note: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._importer = importer
        self._sources = sources
        self._note = note
        self._noted: set[str] = set()
        self._seen = (0, 0)

    def tell(self) -> None:
        """Say which have been imported since the last time.

        Raises:
            SourcesChangedError: one has changed.
        """
        seen = len(sys.modules), len(self._importer.executed)
        if seen == self._seen:  # to look through thousands of modules takes longer than a short trial
            return
        self._seen = seen
        executed = self._sources.require_executed(self._importer.executed)
        names = sorted({*executed, *map(str, self._importer.hidden())} - self._noted)
        self._noted.update(names)
        if names:
            how = "imported in a way that your sources do not show: a change of it is noticed by jobs only"
            self._note(f"{', '.join(names)} was {how}")
            digests = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names}
            folder = Path(self._spec.folder)
            require_same_modules(folder, self._sources.digest, digests, self._spec.job_id)
