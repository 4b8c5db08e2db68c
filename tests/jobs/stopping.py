"""What asks a training to stop."""

from __future__ import annotations

from hpc.jobs.node.stop import StopRequest


class After(StopRequest):
    """A signal that comes when it is looked at for the n-th time."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self._n = n

    @property
    def signal(self) -> str:
        self._n -= 1
        return "SIGUSR2" if self._n < 0 else ""

    @signal.setter
    def signal(self, value: str) -> None: ...
