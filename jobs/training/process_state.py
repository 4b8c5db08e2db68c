"""The state of a process that a user's function may change, and that the next one finds as it was."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD)


@contextmanager
def kept(variables: Mapping[str, str] | None = None) -> Iterator[None]:
    """Put the working folder, ``sys.argv``, the environment and signal handlers back at the end.

    Args:
        variables: of the environment, for the length of the block.
    """
    environment, argv, path = dict(os.environ), list(sys.argv), os.getcwd()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    os.environ.update(variables or {})
    try:
        yield
    finally:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        sys.argv[:] = argv
        if _folder() != path:
            os.chdir(path)
        is_main = threading.current_thread() is threading.main_thread()
        for number, handler in handlers.items():
            if is_main and handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return ""
