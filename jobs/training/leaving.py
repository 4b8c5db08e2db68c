"""Code of a user's that would end the process it runs in: by ``sys.exit``, say."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LeavingError(RuntimeError):
    """A user's code has raised what handlers of errors don't catch."""


def an_error(raised: BaseException) -> Exception:
    """Turn an exception into an error of the trial, since the trial's code has raised it.

    Raises:
        KeyboardInterrupt: it was one, which is for the whole process.
    """
    if isinstance(raised, Exception):
        return raised
    if isinstance(raised, KeyboardInterrupt):
        raise raised
    error = LeavingError(_words(raised))
    error.__cause__ = raised
    return error


@contextmanager
def contained() -> Iterator[None]:
    """Let what is raised inside be an error, whatever it is."""
    try:
        yield
    except BaseException as raised:
        error = an_error(raised)
        if error is raised:
            raise
        raise error from raised


def _words(raised: BaseException) -> str:
    if not isinstance(raised, SystemExit):
        text = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
        return f"{text}, raised by {_place(raised)}, is no Exception, and would have ended the worker"
    code = "" if raised.code is None else repr(raised.code)
    return f"sys.exit({code}) was called by {_place(raised)}"


def _place(raised: BaseException) -> str:
    """The innermost function that is not of Python's own library, as argparse's is."""
    library = sysconfig.get_paths()["stdlib"]
    frames = traceback.extract_tb(raised.__traceback__)
    own = [
        frame
        for frame in frames
        if "site-packages" in frame.filename or not frame.filename.startswith((library, "<frozen"))
    ]
    frame = (own or frames)[-1]
    name = "code" if frame.name == "<module>" else frame.name
    return f"{name} ({Path(frame.filename).name}, line {frame.lineno})"
