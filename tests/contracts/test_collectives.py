"""The contract of collectives, over all of them: alone, Gloo, MPI, shared memory, and one of threads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpc.jobs.collectives.none import NoCollective
from tests.conftest import environment
from tests.contracts import collectives
from tests.contracts.collectives import CHECKS, Room, ThreadCollective, results_of
from tests.marks import slow_but

Found = list[dict[str, str]]
"""What each rank has found, by the names of the checks."""


def alone(folder: Path, mpirun: list[str]) -> Found:
    return [results_of(NoCollective())]


def threads(folder: Path, mpirun: list[str]) -> Found:
    room = Room(2)  # each waits in a thread of TensorFlow's, of which there are as many as processors
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda rank: results_of(ThreadCollective(rank, 2, room)), range(2)))


def of_processes(
    folder: Path, commands: list[list[str]], envs: list[dict[str, str]], names: list[str]
) -> Found:
    """What ranks that are processes have found, which speak by the collective of those names."""
    started = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command, env in zip(commands, envs, strict=True)
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert not any(process.returncode for process in started), "\n".join(said)
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9].json"))]
    assert [one["names"] for one in told] == [names, names]
    return [one["results"] for one in told]


def by_gloo(folder: Path, *, shares_memory: bool) -> Found:
    command = [sys.executable, "-m", collectives.__name__, str(folder)]
    envs = [
        {
            **environment(), "HPC_BACKEND": "gloo", "HPC_SHARED_MEMORY": str(int(shares_memory)),
            "SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": str(rank),
            "SLURM_NODEID": "0", "SLURM_STEP_TASKS_PER_NODE": "2",
        }
        for rank in range(2)
    ]  # fmt: skip
    return of_processes(folder, [command] * 2, envs, ["gloo", "memory" if shares_memory else "gloo"])


def gloo(folder: Path, mpirun: list[str]) -> Found:
    return by_gloo(folder, shares_memory=False)


def shared_memory(folder: Path, mpirun: list[str]) -> Found:
    return by_gloo(folder, shares_memory=True)


def mpi(folder: Path, mpirun: list[str]) -> Found:
    command = [*mpirun, sys.executable, "-m", collectives.__name__, str(folder)]
    return of_processes(folder, [command], [{**environment(), "HPC_SHARED_MEMORY": "0"}], ["mpi", "mpi"])


IMPLEMENTATIONS: dict[str, Callable[[Path, list[str]], Found]] = {
    one.__name__: one for one in (alone, threads, gloo, shared_memory, mpi)
}


@pytest.fixture(scope="module")
def results() -> dict[str, Found]:
    """What was found, by implementation: each is run once."""
    return {}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", slow_but(["alone", "threads"], IMPLEMENTATIONS))
def test_a_collective_keeps_the_contract(
    name: str,
    check: str,
    results: dict[str, Found],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> None:
    if name not in results:
        results[name] = IMPLEMENTATIONS[name](
            tmp_path_factory.mktemp(name), request.getfixturevalue("mpirun") if name == "mpi" else []
        )
    for rank, found in enumerate(results[name]):
        assert found[check] == "", f"rank {rank} of {len(results[name])}"


def test_the_suite_finds_what_is_wrong() -> None:
    """A collective that adds nothing up keeps a few of the promises only."""

    class Deaf(ThreadCollective):
        def _everyone(self, mine: object) -> list[object]:
            return [mine] * self.size

    found = results_of(Deaf(1, 2, Room(2, limit_s=0.1)))  # nobody comes
    wrong = {name for name, words in found.items() if words}
    assert {"tells_bytes_in_the_order_of_the_ranks", "agrees_on_the_value_of_rank_0"} <= wrong
