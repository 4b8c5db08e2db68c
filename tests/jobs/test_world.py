"""Who a process is among its ranks, and whether they belong together."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hpc.jobs.collectives import horovod
from hpc.jobs.collectives.file_rendezvous import FileRendezvous, Presence, address_of, interface
from hpc.jobs.collectives.horovod import RanksUnavailableError
from hpc.jobs.collectives.rendezvous import is_of_this_user, rendezvous
from hpc.jobs.collectives.world import World
from hpc.jobs.launchers import find_rank_info
from hpc.jobs.node.device import choose_gpu, local_gpus
from hpc.jobs.node.rank import RankSpec, complete
from hpc.jobs.node.rank_info import LauncherError, RankInfo, WorldError, for_jobs, for_ranks
from hpc.jobs.spec import WorkerSpec

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
        ({}, RankInfo()),
        (SUBMITIT, RankInfo(1, 2, 1, 2, 0, "submitit", mpi=False)),
        (OPEN_MPI, RankInfo(3, 4, 1, 2, 1, "mpirun", mpi=True)),
        (MPICH, RankInfo(1, 2, 1, 2, 0, "mpirun", mpi=True)),
        (SRUN_PMIX, RankInfo(3, 5, 1, 2, 1, "mpirun", mpi=True)),
        (
            {**SRUN_PMIX, "SLURM_PROCID": "4", "SLURM_LOCALID": "0", "SLURM_NODEID": "2"},
            RankInfo(4, 5, 0, 1, 2, "mpirun", mpi=True),
        ),
        ({**SRUN_PMIX, "SLURM_STEP_NUM_TASKS": "1"}, RankInfo()),  # a shell of srun's, say
        ({**OPEN_MPI, **SUBMITIT}, RankInfo(1, 2, 1, 2, 0, "submitit", mpi=False)),
        ({**SRUN_PMIX, "HPC_BACKEND": "gloo"}, RankInfo(3, 5, 1, 2, 1, "srun", mpi=False)),
        ({**SRUN_PMIX, "HPC_BACKEND": "mpi"}, RankInfo(3, 5, 1, 2, 1, "srun", mpi=True)),
        (
            {
                **SRUN_PMIX,
                "HPC_BACKEND": "mpi",
                "SLURM_STEP_NUM_TASKS": "4",
                "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
                "HPC_GROUPS": "2",
            },
            RankInfo(1, 2, 1, 2, 1, "srun", mpi=True, group=1, groups=2),
        ),
    ],
)
def test_a_place_is_read_from_the_launchers_environment(env: dict[str, str], place: RankInfo) -> None:
    assert find_rank_info(env) == place


ONE_OF_TWO = {
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2",
}


def test_a_rank_that_has_lost_its_environment_gets_it_back_from_the_step() -> None:
    job = {"HOROVOD_CYCLE_TIME": "7", "HPC_JOIN_SECONDS": "5", "HOME": "/home/me", "SLURM_JOB_ID": "1"}
    given = for_ranks(job, "mpi", 2)
    assert given == {
        "HOROVOD_CYCLE_TIME": "7", "HPC_JOIN_SECONDS": "5", "HPC_BACKEND": "mpi", "HPC_GROUPS": "2",
    }  # fmt: skip
    mine = {**ONE_OF_TWO, "HPC_JOIN_SECONDS": "9", "PMI_RANK": "1", "PMI_SIZE": "2"}
    complete(mine, given)
    assert mine["HPC_JOIN_SECONDS"] == "9"
    assert find_rank_info(mine) == RankInfo(0, 1, 1, 2, 0, "srun", mpi=True, group=1, groups=2)


def test_jobs_get_our_own_options_and_no_others() -> None:
    mine = {"HPC_DATA": "/data", "HPC_BACKEND": "mpi", "HPC_GROUPS": "2", "OMP_NUM_THREADS": "1"}
    assert for_jobs(mine) == {"HPC_DATA": "/data"}


@pytest.mark.parametrize(
    ("place", "ranks"),
    [
        (RankInfo(), 0),
        (RankInfo(), 1),
        (RankInfo(1, 2), 0),
        (RankInfo(1, 2), 2),
        (RankInfo(1, 2, groups=3), 6),
    ],
)
def test_a_job_has_the_ranks_that_it_was_started_for(place: RankInfo, ranks: int) -> None:
    place.require(ranks)


@pytest.mark.parametrize(
    ("place", "ranks"), [(RankInfo(), 2), (RankInfo(1, 2), 1), (RankInfo(1, 2, groups=3), 2)]
)
def test_a_rank_among_fewer_or_more_than_the_job_was_started_for_does_not_train(
    place: RankInfo, ranks: int
) -> None:
    found = place.size * place.groups
    said = f"the job was started for {ranks} ranks, but this one finds itself among {found}, so it does not"
    with pytest.raises(WorldError, match=said):
        place.require(ranks)


def test_a_rank_of_several_never_takes_itself_for_alone(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    spec = WorkerSpec(str(tmp_path), "101_0", label="101_0.0.1", ranks=2)
    RankSpec((spec,), "/").write(tmp_path / "step.json")
    kept = {name: value for name, value in os.environ.items() if name not in (*ONE_OF_TWO, "HPC_BACKEND")}
    done = subprocess.run(
        [sys.executable, "-m", "hpc.jobs", "rank", str(tmp_path / "step.json")],
        env=kept, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "WorldError: the job was started for 2 ranks, but this one finds itself among 1" in done.stderr
    assert not list((tmp_path / "records").iterdir())


def test_a_rank_that_srun_has_not_numbered_says_so() -> None:
    env = {**ONE_OF_TWO, "HPC_BACKEND": "gloo"}
    del env["SLURM_PROCID"], env["SLURM_NODEID"]
    with pytest.raises(WorldError, match="does not find SLURM_PROCID, SLURM_NODEID, so it can't know which"):
        find_rank_info(env)


OPEN_MPI_ALONE = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}
INHERITED = {"SLURM_PROCID": "x", "SLURM_LOCALID": "7", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}
"""Of a batch script or a shell of salloc's, in which a command is alone."""


@pytest.mark.parametrize("env", [OPEN_MPI_ALONE, INHERITED, {"PMI_SIZE": "1", "PMI_RANK": "0"}])
def test_what_tells_of_no_other_rank_is_of_no_effect(env: dict[str, str]) -> None:
    assert find_rank_info(env) == RankInfo()


def without(env: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"},
            "OMPI_COMM_WORLD_LOCAL_RANK is missing beside OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE: ",
        ),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is missing beside OMPI_COMM_WORLD_RANK: "),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_RANK is missing beside OMPI_COMM_WORLD_SIZE: "),
        (
            {**OPEN_MPI_ALONE, "OMPI_COMM_WORLD_RANK": "1"},
            "OMPI_COMM_WORLD_LOCAL_RANK is missing beside ",
        ),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "4"}, "OMPI_COMM_WORLD_RANK is 4 and OMPI_COMM_WORLD_SIZE"),
        (
            {**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_RANK": "2"},
            "OMPI_COMM_WORLD_LOCAL_RANK is 2 and OMPI_COMM_WORLD_LOCAL_SIZE is 2, which can't be: ",
        ),
        (
            {**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "5"},
            "OMPI_COMM_WORLD_LOCAL_SIZE is 5 and OMPI_COMM_WORLD_SIZE is 4, which can't be: ",
        ),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "-1"}, "OMPI_COMM_WORLD_RANK is '-1', which is no number "),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "four"}, "OMPI_COMM_WORLD_SIZE is 'four', which is no number "),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": ""}, "OMPI_COMM_WORLD_SIZE is '', which is no number "),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_NODE_RANK": "x"}, "OMPI_COMM_WORLD_NODE_RANK is 'x', which is no "),
        ({"PMI_RANK": "1"}, "PMI_SIZE is missing beside PMI_RANK: "),
        ({**MPICH, "PMI_SIZE": "1"}, "PMI_RANK is 1 and PMI_SIZE is 1, which can't be: "),
        ({**MPICH, "MPI_LOCALRANKID": "two"}, "MPI_LOCALRANKID is 'two', which is no number "),
        ({"SUBMITIT_EXECUTOR": "local"}, "SUBMITIT_LOCAL_GLOBALID is missing beside "),
        ({**SUBMITIT, "SUBMITIT_LOCAL_GLOBALID": "2"}, "SUBMITIT_LOCAL_GLOBALID is 2 and SUBMITIT"),
        ({**SRUN_PMIX, "SLURM_PROCID": "5"}, "SLURM_PROCID is 5 and SLURM_STEP_NUM_TASKS is 5, "),
        ({**SRUN_PMIX, "SLURM_NODEID": "3"}, "SLURM_STEP_TASKS_PER_NODE is '2(x2),1', which has no "),
        ({**SRUN_PMIX, "SLURM_STEP_TASKS_PER_NODE": "a"}, "SLURM_STEP_TASKS_PER_NODE is 'a', which has no "),
        ({**OPEN_MPI, "HPC_GROUPS": "3"}, "HPC_GROUPS is 3, and 4 ranks can't be split into so many equal "),
        ({**OPEN_MPI, "HPC_GROUPS": "0"}, "HPC_GROUPS is 0, and 4 ranks can't be split"),
        ({**OPEN_MPI, "HPC_GROUPS": "two"}, "HPC_GROUPS is 'two', which is no number "),
    ],
)  # fmt: skip
def test_variables_of_a_launcher_that_do_not_go_together_are_named(env: dict[str, str], said: str) -> None:
    with pytest.raises(LauncherError) as refused:
        find_rank_info(env)
    text = str(refused.value)
    assert text.startswith(said)
    assert len(text.splitlines()) == 1
    unset = text.partition("`unset ")[2].partition("`")[0].split()
    assert unset
    assert set(unset) <= set(env)
    find_rank_info(without(env, *unset))


class Told(World):
    """A world whose other ranks say what a test wants them to."""

    def __init__(self, facts: list[dict[str, Any]]) -> None:
        super().__init__(RankInfo(), Path(), "")
        self.info = RankInfo(size=len(facts))
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


@pytest.mark.parametrize(
    ("told", "groups", "held"),
    [
        ([[0.5, 3, True], [0.5, 3, True], [1.0, 3, True]], 1, {"nodes": 2.0, "cores": 9, "gpus": 3}),
        ([[1.0, 1, False]], 1, {"nodes": 1.0, "cores": 1, "gpus": 0}),
        # two groups of two ranks on one node of four
        ([[0.25, 2, False], [0.25, 2, False]], 2, {"nodes": 1.0, "cores": 8, "gpus": 0, "groups": 2}),
        ([[1 / 3, 1, False]] * 3, 1, {"nodes": 1.0, "cores": 3, "gpus": 0}),
    ],
)
def test_ranks_add_up_what_their_job_holds(told: list[Any], groups: int, held: dict[str, float]) -> None:
    world = Told(told)
    world.info = RankInfo(size=len(told), groups=groups)
    assert world.held(1, None) == held


def test_a_rank_tells_its_share_of_the_node_its_threads_and_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(RankInfo(local_size=1), Path(), "")
    world.info = RankInfo(local_size=4)
    assert world.held(6, "n1/0") == {"nodes": 0.25, "cores": 6, "gpus": 1}


def test_a_world_of_one_needs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horovod, "load", lambda: pytest.fail("Horovod is loaded for one rank"))
    world = World(RankInfo(), Path("/nonexistent"), "")
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


def test_the_rendezvous_listens_on_its_address_only_and_only_for_its_block() -> None:
    address = "127.0.0.1"
    with rendezvous(["n", "n"], address) as port:
        with socket.create_connection((address, port)) as stray:
            stray.sendall(b"\x00rubbish\r\n\r\n")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{address}:{port}/global/0", timeout=5)
        other = "127.0.0.2"  # another address of this machine, where nobody must listen
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port), timeout=5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, port), timeout=5)


def test_the_rendezvous_takes_a_value_once_and_whole_and_hears_nobody_else() -> None:
    def put(path: str, value: bytes, length: int | None = None) -> int:
        request = http.client.HTTPConnection(address, port, timeout=5)
        request.putrequest("PUT", path)
        request.putheader("Content-Length", str(len(value) if length is None else length))
        request.endheaders(value)
        if length is not None and length != len(value):
            request.close()
            return 0
        status = request.getresponse().status
        request.close()
        return status

    address = "127.0.0.1"
    with rendezvous(["n", "n"], address) as port:
        assert put("/global/0", b"half", length=9999) == 0
        assert put("/global/0", b"whole") == 200
        assert put("/global/0", b"other") == 409
        assert put("/global", b"no key") == 400
        with urllib.request.urlopen(f"http://{address}:{port}/global/0", timeout=5) as answer:
            assert answer.read() == b"whole"
    with (
        rendezvous(["n", "n"], "127.0.0.2", ["127.0.0.3"]) as port,
        pytest.raises(urllib.error.HTTPError, match="403"),
    ):
        # from 127.0.0.1, which is no host of the job
        urllib.request.urlopen(f"http://127.0.0.2:{port}/global/0", timeout=5)


ASKING = """
import http.client, json, os, socket, sys
port, user = map(int, sys.argv[1:])
import encodings.idna  # what is imported later may be out of the user's reach
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
answers = {}
for host in ("127.0.0.1", "::ffff:127.0.0.1", "::1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for method, body in (("PUT", b"mine"), ("GET", None), ("DELETE", None), ("HEAD", None)):
        request = http.client.HTTPConnection(host, port)
        try:
            request.sock = socket.socket(family)
            request.sock.settimeout(10)
            request.sock.connect((host, port))
        except OSError as error:
            answers[f"{method} {host}"] = type(error).__name__
            continue
        request.request(method, f"/global/{host}", body)
        answer = request.getresponse()
        answers[f"{method} {host}"] = [answer.status, answer.read().decode()]
print(json.dumps(answers))
"""
"""Asks a rendezvous over every protocol, as another user if it is given one's number."""


def asked(user: int, before: bytes = b"") -> dict[str, Any]:
    """What a rendezvous, in which ``before`` stands already, answers to a user."""
    with rendezvous(["n", "n"], "127.0.0.1") as port:
        if before:
            for host in ("127.0.0.1", "::ffff:127.0.0.1"):
                request = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                request.request("PUT", f"/global/{host}", before)
                assert request.getresponse().status == 200
                request.close()
        done = subprocess.run(
            [sys.executable, "-I", "-c", ASKING, str(port), str(user)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    assert {answers.pop(f"{method} ::1") for method in ("PUT", "GET", "DELETE", "HEAD")} <= {
        "ConnectionRefusedError", "OSError",  # nobody listens there; or there is no IPv6
    }  # fmt: skip
    return {name: answer for name, answer in answers.items() if answer != "OSError"}


def test_the_rendezvous_answers_its_own_user_over_ipv4_and_ipv6() -> None:
    answers = asked(0)
    assert answers["PUT 127.0.0.1"] == [200, ""]
    expected = {"PUT": [200, ""], "GET": [200, "mine"], "DELETE": [200, ""], "HEAD": [403, ""]}
    assert answers == {name: expected[name.split()[0]] for name in answers}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_the_rendezvous_answers_no_other_user_whatever_the_protocol() -> None:
    answers = asked(65534, before=b"secret")
    assert "PUT 127.0.0.1" in answers
    assert answers == {name: [403, ""] for name in answers}


MAPPED = "0000000000000000FFFF0000"


@pytest.mark.parametrize(
    ("tcp", "tcp6", "is_mine"),
    [
        ("{peer} {here} 01 {me}", "", True),
        ("{peer} {here} 01 {other}", "", False),
        ("", "{m}{peer} {m}{here} 01 {me}", True),
        ("", "{m}{peer} {m}{here} 01 {other}", False),
        ("{peer} {here} 01 {me}", "{m}{peer} {m}{here} 01 {other}", False),
        ("", "", False),
        ("{here} {peer} 01 {me}", "", False),  # this end of it
        ("{peer} 0100007F:9999 01 {me}", "", False),  # a connection of the same port to another server
        ("0200007F:1388 {here} 01 {me}", "", False),  # the same port at another address
        ("{peer} {here} 06 {me}", "", False),  # one that is over
        (None, None, False),
        (None, "{m}{peer} {m}{here} 01 {me}", True),
    ],
)
def test_who_is_at_the_other_end_is_told_by_both_ends_of_an_open_connection(
    tmp_path: Path, tcp: str | None, tcp6: str | None, is_mine: bool
) -> None:
    names = {"peer": "0100007F:1388", "here": "0100007F:1F90", "m": MAPPED, "me": os.getuid(), "other": 4242}
    for name, line in (("tcp", tcp), ("tcp6", tcp6)):
        if line is not None:
            words = line.format(**names).split()
            row = (
                f" 0: {' '.join(words[:3])} 00000000:00000000 00:00000000 00000000 {words[3]} 0 1"
                if words
                else ""
            )
            (tmp_path / name).write_text(f"head\n{row}\n")
    if sys.byteorder == "little":
        assert is_of_this_user(("127.0.0.1", 5000), ("127.0.0.1", 8080), tmp_path) is is_mine


def there(rank: int, node: str = "n1", host: str = "h1", main: str = "", **addresses: str) -> Presence:
    return Presence(rank, node, host, addresses, main)


def test_ranks_meet_and_hear_where_the_first_one_listens(tmp_path: Path) -> None:
    meetings = [FileRendezvous(tmp_path / "it's a\nmeeting", there(rank), 2) for rank in (0, 1)]
    found: dict[int, list[Presence]] = {}

    def join(rank: int) -> None:
        found[rank] = meetings[rank].gather(10)

    threads = [threading.Thread(target=join, args=(rank,)) for rank in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found[0] == found[1] == [there(0), there(1)]
    with pytest.raises(WorldError, match="rank 1 waited 0 seconds for rank 0 to say"):
        meetings[1].address(0.1)
    meetings[0].publish("10.0.0.1", 4321)
    assert meetings[1].address(1) == ("10.0.0.1", 4321)
    meetings[0].close()
    assert not list(tmp_path.iterdir())


def test_ranks_that_meet_open_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = [there(rank) for rank in range(20)]
    meetings = [FileRendezvous(tmp_path / "m", one, 20) for one in everyone]
    opened: list[Path] = []
    read_text = Path.read_text

    def read(path: Path) -> str:
        opened.append(path)
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", read)
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda meeting: meeting.gather(10), meetings))
    assert found == [everyone] * 20
    assert len(opened) == 20 + 19


def test_a_rank_that_does_not_come_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"rank 0, 2 of 3 did not come within 0 seconds, those on n1 did"):
        FileRendezvous(tmp_path / "m", there(1), 3).gather(0.1)


LO, DEBIAN = {"lo": "127.0.0.1/8"}, {"lo": "127.0.0.1/8", "eth0": "10.0.0.{}/24"}


def two(main: str, addresses: dict[str, str]) -> list[Presence]:
    """Two hosts; {} in an address is the host's number."""
    return [
        there(n - 1, f"n{n}", f"h{n}", main.format(n), **{k: v.format(n) for k, v in addresses.items()})
        for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("everyone", "chosen"),
    [
        (
            [there(0, main="10.0.0.7", **DEBIAN), there(1, "n2", main="10.0.0.7", **DEBIAN)],
            ("lo", "127.0.0.1"),
        ),
        ([there(0, main="127.0.1.1", **LO), there(1, main="127.0.1.1", **LO)], ("lo", "127.0.0.1")),
        (two("10.0.0.{}", DEBIAN), ("eth0", "10.0.0.2")),
        (two("10.1.0.{}", {**DEBIAN, "ib0": "10.1.0.{}/16"}), ("ib0", "10.1.0.2")),
    ],
)
def test_ranks_meet_on_the_loopback_or_where_the_host_name_points(
    everyone: list[Presence], chosen: tuple[str, str]
) -> None:
    assert interface(1, everyone) == chosen


@pytest.mark.parametrize(
    ("everyone", "said"),
    [
        (
            two("127.0.1.1", DEBIAN),
            "the host name h1 of n1 stands for 127.0.1.1, which no other node reaches",
        ),
        (two("", DEBIAN), "the host name h1 of n1 stands for no address of that machine.*mend /etc/hosts"),
        (two("10.9.0.{}", DEBIAN), "n2 has no interface with the address 10.9.0.2"),
    ],
)
def test_a_host_name_over_which_gloo_can_not_talk_is_told(everyone: list[Presence], said: str) -> None:
    with pytest.raises(WorldError, match=said):
        interface(1, everyone)


def test_the_name_of_this_machine_is_looked_up_as_gloo_does() -> None:
    assert address_of("127.0.0.1") == "127.0.0.1"
    assert address_of("192.0.2.1") == ""  # of no machine
    assert address_of("no-such-host.invalid") == ""


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
