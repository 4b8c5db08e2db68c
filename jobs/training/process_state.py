"""The state of a process that a user's function may change, and that the next one finds as it was."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD)
_OF_LIBRARIES = ("HOROVOD_", "OMPI_")
"""Beginnings of variables that stay, as do the libraries that read them, which are loaded only once."""


class ProcessState:
    """The working folder, ``sys.argv``, the environment and the signal handlers of this process."""

    def __init__(self) -> None:
        self._environment: dict[str, str] | None = None
        self._known: object = None
        self._handlers: dict[signal.Signals, Any] = {}

    @contextmanager
    def kept(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Put them back at the end.

        Args:
            variables: of the environment, for the length of the block.
        """
        if self._environment is None or variables or self._known != _look():
            self._environment, self._known = dict(os.environ), _look()
            self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        argv, path = list(sys.argv), os.getcwd()
        os.environ.update(variables)
        try:
            yield
        finally:
            self._put_environment(self._environment)
            sys.argv[:] = argv
            if _folder() != path:
                os.chdir(path)
            is_main = threading.current_thread() is threading.main_thread()
            for number, handler in self._handlers.items():
                if is_main and handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)

    def _put_environment(self, before: Mapping[str, str]) -> None:
        if _look() == self._known:
            return
        now = dict(os.environ)
        stays = {name: value for name, value in now.items() if name.startswith(_OF_LIBRARIES)}
        os.environ.clear()
        os.environ.update({**before, **stays})
        self._environment = None


def _look() -> object:
    """The environment, to be compared.

    To read it through takes longer than many a call: ``os.environ`` decodes each entry anew. What it keeps by
    itself is private, and is taken only if it is there.
    """
    return dict(getattr(os.environ, "_data", os.environ))


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return ""
