"""The one place that loads Horovod."""

from __future__ import annotations

import atexit
import os
from types import ModuleType

from jobs import device
from jobs.place import find_place

INSTALL = (
    "uv builds it with `uv sync` (3 to 8 minutes, needs a C++ compiler); see docs/install.md. "
    "One rank per trial works without it: leave --ranks out"
)


class RanksUnavailableError(RuntimeError):
    """More than one rank is asked for, and what that needs is missing."""


def load_mpi() -> None:
    """Load MPI through mpi4py, and initialise it if a launcher of MPI has started this process.

    Raises:
        RanksUnavailableError: mpi4py is not installed, or finds no MPI.
    """
    try:
        import mpi4py

        mpi4py.rc.initialize = False  # a rank that meets the others through Gloo has no MPI
        from mpi4py import MPI  # loads libmpi
    except (ImportError, RuntimeError) as error:
        raise RanksUnavailableError(
            f"more than one rank needs Horovod, and Horovod needs mpi4py, which does not load: {error}. "
            f"{INSTALL}."
        ) from error
    if find_place(os.environ).mpi and not MPI.Is_initialized():
        # Horovod's thread waits in MPI beside the arithmetic, and would take its time by asking busily.
        os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
        atexit.register(MPI.Finalize)


def load() -> ModuleType:
    """``horovod.tensorflow``.

    MPI comes first: Horovod's library was linked against an Open MPI in a build folder that is
    gone by now, and finds ``libmpi`` only if mpi4py has loaded it. Where mpi4py has initialised
    MPI, Horovod may be shut down and started again.

    Raises:
        RanksUnavailableError: Horovod or mpi4py is not installed, or does not load.
    """
    load_mpi()
    try:
        with device.quiet():
            import horovod.tensorflow as hvd

        hvd.gloo_built()  # loads the compiled library
    except Exception as error:  # a library built for another TensorFlow fails in many ways
        raise RanksUnavailableError(
            f"more than one rank needs Horovod, which does not load: {error}. {INSTALL}."
        ) from error
    return hvd  # type: ignore[no-any-return]


def check() -> None:
    """Find out cheaply, without TensorFlow, whether Horovod and mpi4py are installed.

    Raises:
        RanksUnavailableError: one of them is not.
    """
    from importlib.util import find_spec

    for package in ("horovod", "mpi4py"):
        if find_spec(package) is None:
            raise RanksUnavailableError(
                f"more than one rank needs {package}, which is not installed. {INSTALL}."
            )
