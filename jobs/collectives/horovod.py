"""The one place that loads Horovod."""

from __future__ import annotations

import atexit
import os
import sys
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

from hpc.jobs.launchers import find_rank_info
from hpc.jobs.node import device

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
    info = find_rank_info(os.environ)
    # One that trains alone, beside other groups of ranks, must not wait for them in there.
    if info.mpi and info.size > 1 and not MPI.Is_initialized():
        # Horovod's thread waits in MPI beside the arithmetic, and would take its time by asking busily.
        os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
        atexit.register(MPI.Finalize)


class MpiFirst(MetaPathFinder):
    """Loads MPI when Horovod is about to be imported, by whoever it is."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Find nothing: the module is found where it is, by the next finder."""
        if fullname != "horovod" or self not in sys.meta_path:
            return
        sys.meta_path.remove(self)
        if find_rank_info(os.environ).size == 1:
            # By Gloo, which needs nobody else for a world of one; MPI is for those that were started by it.
            alone = {"CONTROLLER": "gloo", "CPU_OPERATIONS": "gloo", "RANK": "0", "SIZE": "1",
                     "LOCAL_RANK": "0", "LOCAL_SIZE": "1", "CROSS_RANK": "0", "CROSS_SIZE": "1"}  # fmt: skip
            os.environ.update({f"HOROVOD_{name}": value for name, value in alone.items()})
        try:
            load_mpi()
        except RanksUnavailableError:
            pass  # it may have been built without MPI; else it says itself what it does not find


def ease_import() -> None:
    """Let ``import horovod`` work in this process, in a user's code too; nothing is loaded before that.

    MPI comes first, by mpi4py: a Horovod that was not built by ``uv sync`` may know no ``libmpi`` but that of
    the folder it was built in; and a process that trains alone meets nobody by MPI.
    """
    if "horovod" not in sys.modules and not any(isinstance(one, MpiFirst) for one in sys.meta_path):
        sys.meta_path.insert(0, MpiFirst())


def load() -> ModuleType:
    """``horovod.tensorflow``, after MPI; see :func:`ease_import`.

    Where mpi4py has initialised MPI, Horovod may be shut down and started again.

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


def unwrap(optimizer: Any) -> bool:
    """Take off an optimizer what ``hvd.DistributedOptimizer`` has put around it.

    That was made for Keras 2: under Keras 3 it reduces nothing, and breaks in several places. Gradients are
    reduced here before any optimizer sees them.

    Args:
        optimizer: of a compiled model; it stays the same object, of the class that was wrapped.

    Returns:
        Whether there was something to take off.
    """
    kind = type(optimizer)
    if not kind.__module__.startswith("horovod."):
        return False
    optimizer.__class__ = kind.__bases__[0]
    return True


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
