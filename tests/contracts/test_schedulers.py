"""The contract of schedulers: this machine, a SLURM that answers by files, and one of a test's own.

A real SLURM keeps it in tests/slurm/test_contract.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.profile import Named, Profile
from hpc.schedulers.local import Local
from hpc.schedulers.registry import SCHEDULERS
from tests.contracts.schedulers import CHECKS, OfFakeSlurm, OfNothing, OfThisMachine, Site
from tests.hpc.fake_slurm import FakeSlurm

SITES: dict[str, Callable[[Path, pytest.MonkeyPatch], Site]] = {
    "null": lambda folder, patch: OfNothing(folder),
    "local": lambda folder, patch: OfThisMachine(folder),
    "fake": lambda folder, patch: OfFakeSlurm(folder, FakeSlurm.install(folder / "slurm", patch)),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SITES)
def test_a_scheduler_keeps_the_contract(
    name: str, check: Callable[[Site], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = SITES[name](tmp_path, monkeypatch)
    try:
        check(site)
    finally:
        if isinstance(site.scheduler, Local):
            site.scheduler.cancel(site.scheduler.jobs)


def test_every_cluster_of_a_profile_has_its_scheduler() -> None:
    for cluster in ("local", "slurm"):
        named = Named(cluster, Profile(cluster=cluster))
        assert SCHEDULERS[cluster](named).name == cluster
