"""Who a process is among its ranks, and whether they belong together."""

from __future__ import annotations

import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from jobs import horovod
from jobs.device import choose_gpu, local_gpus
from jobs.horovod import RanksUnavailableError
from jobs.place import Place, find_place
from jobs.rendezvous import rendezvous
from jobs.world import World, WorldError

SUBMITIT = {
    "SUBMITIT_EXECUTOR": "local",
    "SUBMITIT_LOCAL_GLOBALID": "1",
    "SUBMITIT_LOCAL_LOCALID": "1",
    "SUBMITIT_LOCAL_NTASKS": "2",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_NODE_RANK": "1",
}
SRUN_PMIX = {
    "PMIX_RANK": "3",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


@pytest.mark.parametrize(
    ("env", "place"),
    [
        ({}, Place()),
        (SUBMITIT, Place(1, 2, 1, 2, 0, "submitit", mpi=False)),
        (OPEN_MPI, Place(3, 4, 1, 2, 1, "mpirun", mpi=True)),
        (MPICH, Place(1, 2, 1, 2, 0, "mpirun", mpi=True)),
        (SRUN_PMIX, Place(3, 5, 1, 2, 1, "mpirun", mpi=True)),
        (
            {**SRUN_PMIX, "SLURM_PROCID": "4", "SLURM_LOCALID": "0", "SLURM_NODEID": "2"},
            Place(4, 5, 0, 1, 2, "mpirun", mpi=True),
        ),
        ({**SRUN_PMIX, "SLURM_STEP_NUM_TASKS": "1"}, Place()),  # a shell of srun's, say
        ({**OPEN_MPI, **SUBMITIT}, Place(1, 2, 1, 2, 0, "submitit", mpi=False)),
    ],
)
def test_a_place_is_read_from_the_launchers_environment(env: dict[str, str], place: Place) -> None:
    assert find_place(env) == place


class Told(World):
    """A world whose other ranks say what a test wants them to."""

    def __init__(self, facts: list[dict[str, Any]]) -> None:
        super().__init__(Place(), Path(), "")
        self.place = Place(size=len(facts))
        self.facts = facts

    def gather(self, value: Any) -> list[Any]:
        return self.facts


def fact(rank: int, **changes: Any) -> dict[str, Any]:
    return {"rank": rank, "node": "n1", "sweep": "a", "code": "c", "gpu": None, **changes}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([fact(0), fact(1, sweep="b")], "rank 1 on n1 has another sweep than rank 0"),
        ([fact(0), fact(1, code="d", node="n2")], "rank 1 on n2 has another code than rank 0 on n1"),
        ([fact(0, gpu="n1/0"), fact(1, gpu="n1/0")], "ranks 0 and 1 share the GPU n1/0"),
        ([fact(0, gpu="n1/0"), fact(1)], r"ranks \[0\] have a GPU, ranks \[1\] have none"),
        ([fact(0), fact(0)], r"numbered the ranks \[0, 0\]"),
    ],
)
def test_ranks_that_do_not_belong_together_are_told_why(facts: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(WorldError, match=said):
        Told(facts).verify({})


def test_ranks_that_belong_together_pass() -> None:
    Told([fact(0, gpu="n1/0"), fact(1, gpu="n1/1"), fact(2, gpu="n2/0", node="n2")]).verify({})


def test_a_world_of_one_needs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horovod, "load", lambda: pytest.fail("Horovod is loaded for one rank"))
    world = World(Place(), Path("/nonexistent"), "")
    assert world.gather({"a": 1}) == [{"a": 1}]
    assert world.agree(3) == 3
    assert world.sum([1, 2], "x") == [1, 2]
    world.rejoin()
    world.leave()
    assert world.backend == "none"


def test_a_missing_horovod_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "horovod" else name)
    with pytest.raises(
        RanksUnavailableError, match=r"needs horovod, which is not installed.*uv sync.*One rank"
    ):
        horovod.check()


def test_a_horovod_that_does_not_load_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    with pytest.raises(RanksUnavailableError, match=r"which does not load.*docs/install.md"):
        horovod.load()


def test_the_rendezvous_listens_on_its_address_only_and_only_for_its_block(tmp_path: Path) -> None:
    file = tmp_path / "meeting"
    with rendezvous(file, 0, ["n", "n"], "127.0.0.1") as (address, port):
        with rendezvous(file, 1, ["n", "n"], "") as found:
            assert found == (address, port)
        with socket.create_connection((address, port)) as stray:
            stray.sendall(b"\x00rubbish\r\n\r\n")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{address}:{port}/global/0", timeout=5)
        other = "127.0.0.2"  # another address of this machine, where nobody must listen
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port), timeout=5)
    assert not file.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, port), timeout=5)


def test_a_rank_waits_for_the_first_one_and_says_so_when_it_does_not_come(tmp_path: Path) -> None:
    with (
        pytest.raises(TimeoutError, match=r"rank 1 on .* waited 0 seconds for rank 0"),
        rendezvous(tmp_path / "meeting", 1, ["n", "n"], "", wait_seconds=0.1),
    ):
        pass
    with rendezvous(tmp_path / "later", 0, ["n", "n"], "127.0.0.1") as place:
        found = []

        def join() -> None:
            with rendezvous(tmp_path / "later", 1, ["n", "n"], "") as meeting:
                found.append(meeting)

        thread = threading.Thread(target=join)
        thread.start()
        thread.join(10)
        assert found == [place]


@pytest.mark.parametrize(
    ("gpus", "local_rank", "worker", "ranks", "index"),
    [
        ([], 0, 0, 1, None),
        (["a", "b"], 0, 0, 2, 0),
        (["a", "b"], 1, 0, 2, 1),
        (["a", "b"], 0, 1, 1, 1),  # two workers of one rank each
        (["a", "b", "c", "d"], 1, 1, 2, 3),  # two workers of two ranks each
        (["a"], 1, 0, 2, 0),  # shared: the world's verification refuses it
    ],
)
def test_each_rank_takes_a_gpu_of_its_own(
    gpus: list[str], local_rank: int, worker: int, ranks: int, index: int | None
) -> None:
    assert choose_gpu(gpus, local_rank, worker, ranks) == index


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [(None, [0, 1, 10]), ("1", [1]), ("10,0", [10, 0]), ("", []), ("-1", []), ("7", [])],
)
def test_gpus_are_counted_by_their_device_files(
    tmp_path: Path, visible: str | None, numbers: list[int]
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert local_gpus(env, tmp_path) == numbers
