"""How several ranks meet: by which MPI, or without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def choose_backend(backend: str, mpi: str, offered: Sequence[str], vendor: str) -> tuple[str, str]:
    """Choose how several ranks meet, and by which interface of their launcher an MPI finds them.

    Open MPI 5 speaks PMIx only, and MPICH and Intel MPI both PMIx and PMI-2; where the site's launcher
    offers nothing that our MPI speaks, or there is no MPI, it is Gloo.

    Args:
        backend: ``auto``, ``mpi`` or ``gloo``.
        mpi: an interface by name, or ``auto``.
        offered: their names, as ``JobLauncher.offered`` has them.
        vendor: of the MPI that mpi4py loads, empty if there is none.

    Returns:
        ``mpi`` or ``gloo``, and the interface.
    """
    if backend == "gloo":
        return "gloo", "none"
    if mpi != "auto":
        return "mpi", mpi
    pmix = sorted((name for name in offered if name.startswith("pmix")), key=lambda n: (n != "pmix", n))
    pmi2 = [name for name in offered if name == "pmi2"]
    spoken = pmix if vendor == "Open MPI" else [*pmix, *pmi2]
    if vendor and spoken:
        return "mpi", spoken[0]
    if backend == "mpi":
        return "mpi", (pmix or pmi2 or ["pmix"])[0]
    return "gloo", "none"


def mpi_vendor() -> str:
    """Whose MPI mpi4py loads; empty if it loads none."""
    code = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.get_vendor()[0])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = answer.stdout.strip().splitlines()[-1:] if answer.returncode == 0 else []
    return "".join(lines).strip()
