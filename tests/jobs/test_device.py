"""What a worker's process loads, and where it computes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpc.jobs.node import device
from tests.conftest import environment


@pytest.mark.slow
@pytest.mark.parametrize(
    ("only_ours", "hidden"), [(False, ["matplotlib"]), (True, ["matplotlib", "sklearn", "pandas"])]
)
def test_a_worker_loads_nothing_for_keras_that_it_does_not_need(only_ours: bool, hidden: list[str]) -> None:
    """But its user still may."""
    code = (
        "import os, sys\n"
        "import hpc.jobs.worker\n"
        "from hpc.jobs.node import device\n"
        "device.prepare(os.environ, 1)\n"
        f"device.start(1, 0, 0, 1, only_ours={only_ours})\n"
        "assert 'keras' in sys.modules\n"
        "packages = ['matplotlib', 'sklearn', 'pandas']\n"
        f"assert [name for name in packages if name not in sys.modules] == {hidden}\n"
        "import matplotlib.pyplot, sklearn.base, pandas\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=120)


@pytest.mark.parametrize(
    ("threads", "local_rank", "local_size", "worker", "expected"),
    [
        (1, 0, 2, 0, [3]), (1, 1, 2, 0, [4]), (2, 1, 2, 0, [6, 9]), (1, 1, 2, 1, [9]),
        (1, 0, 1, 0, None),  # a single rank goes where there is room
        (3, 0, 2, 0, None), (1, 0, 2, 2, None), (1, 0, 3, 1, None),  # not enough for all of the worker
    ],
)  # fmt: skip
def test_ranks_of_one_machine_have_cpus_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    local_rank: int,
    local_size: int,
    worker: int,
    expected: list[int] | None,
) -> None:
    bound: list[list[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {9, 3, 6, 4})
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: bound.append(cpus))
    assert device.bind(threads, local_rank, local_size, worker, {}) is (expected is not None)
    assert bound == ([] if expected is None else [expected])


def test_ranks_with_gpus_are_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "local_gpus", lambda env: [0, 1])
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: pytest.fail("bound"))
    assert not device.bind(1, 0, 2, 0, {})
