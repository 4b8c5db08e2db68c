"""The schedulers, by what ``cluster:`` of a profile calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpc.profile import Named, resources
from hpc.schedulers.base import Scheduler
from hpc.schedulers.local import Local
from hpc.schedulers.slurm import Slurm

SCHEDULERS: Mapping[str, Callable[[Named], Scheduler]] = {
    "local": lambda named: Local(resources(named.profile)),
    "slurm": lambda named: Slurm(named.profile),
}
"""What makes one of a profile; the profile ``debug`` has none: its worker is in the command itself."""
