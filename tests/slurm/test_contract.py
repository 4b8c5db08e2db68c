"""A real SLURM keeps the contract of schedulers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.schedulers import CHECKS, OfRealSlurm, Site
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Existing

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize("check", CHECKS)
def test_slurm_keeps_the_contract(
    check: Callable[[Site], None],
    slurm: Cluster | Existing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    check(OfRealSlurm(tmp_path))
