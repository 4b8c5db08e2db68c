"""What holds of the whole house."""

from __future__ import annotations

HEAVY = {"tensorflow", "keras", "horovod", "matplotlib", "mpi4py"}
