"""The state of a process that a user's function may change, and that the next one finds as it was."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD)
_OF_LIBRARIES = ("HOROVOD_", "OMPI_")
"""Beginnings of variables that stay, as do the libraries that read them, which are loaded only once."""


class ProcessState:
    """The working folder, ``sys.argv``, the environment and the signal handlers of this process."""

    def __init__(self) -> None:
        self._environment: dict[str, str] | None = None

    @contextmanager
    def kept(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Put them back at the end.

        Args:
            variables: of the environment, for the length of the block.
        """
        if self._environment is None or variables:  # else it is as the last block has left it
            self._environment = dict(os.environ)
        argv, path = list(sys.argv), os.getcwd()
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        os.environ.update(variables)
        try:
            yield
        finally:
            self._put_environment(self._environment)
            sys.argv[:] = argv
            if _folder() != path:
                os.chdir(path)
            is_main = threading.current_thread() is threading.main_thread()
            for number, handler in handlers.items():
                if is_main and handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)

    def _put_environment(self, before: Mapping[str, str]) -> None:
        now = dict(os.environ)
        if now == before:
            return
        stays = {name: value for name, value in now.items() if name.startswith(_OF_LIBRARIES)}
        os.environ.clear()
        os.environ.update({**before, **stays})
        self._environment = None


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return ""
