"""The check-up of a real SLURM."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc.doctor import read_doctor_cache
from hpc.jobs.canary import LOST
from tests.slurm.conftest import Site, until

pytestmark = pytest.mark.slurm

PROFILES = """
pair:
  cluster: slurm
  nodes: 2
  cpus_per_rank: 1
  setup: ["export OMPI_MCA_mpi_yield_when_idle=1"]
other-mpi:
  cluster: slurm
  nodes: 2
  cpus_per_rank: 1
  mpi: pmi2
gpu: {cluster: slurm, gpus_per_node: 1}
later: {cluster: slurm, sbatch: {begin: now+1hour}}
no-python: {cluster: slurm, python: /nowhere/python3}
elsewhere: {cluster: slurm, python: PYTHON}
no-partition: {cluster: slurm, partition: mian}
no-account: {cluster: slurm, account: reserch}
too-many-nodes: {cluster: slurm, nodes: 9}
too-many-gpus: {cluster: slurm, gpus_per_node: 3}
too-long: {cluster: slurm, time_min: 61}
too-special: {cluster: slurm, constraint: a100}
"""


NO_DATABASE = "postgresql+psycopg://nobody@127.0.0.1:1/none"


class Findings(dict[str, dict[str, str]]):
    """What a check-up has found, by check; and the exit code."""

    code = -1


def start(site: Site, *arguments: str) -> subprocess.Popen[str]:
    site.profiles(PROFILES.replace("PYTHON", str(site.folder.parent / "python")))
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("hpc")), "doctor", *arguments],
        cwd=site.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**site.env, "XDG_CACHE_HOME": str(site.folder / "cache")},
    )  # fmt: skip


def doctor(site: Site, *arguments: str) -> Findings:
    process = start(site, *arguments, "--json")
    out, said = process.communicate(timeout=400)
    assert process.returncode in (0, 1), said
    found = Findings({one["check"]: one for one in json.loads(out)})
    found.code = process.returncode
    assert found.code == any(one["level"] == "problem" for one in found.values()), out
    is_clean(site)
    return found


def is_clean(site: Site) -> None:
    assert {path.name for path in site.folder.iterdir()} <= {"profiles.yaml", "cache"}
    assert "hpc-doctor" not in site.queue()


def remembered(site: Site, profile: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(site.folder / "cache"))
    config = site.cluster.run("scontrol", "show", "config")
    (line,) = [line for line in config.splitlines() if line.startswith("ClusterName ")]
    return read_doctor_cache(line.partition("=")[2].strip(), profile)


def test_ranks_of_two_nodes_meet_in_a_canary(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor(site, "--on", "pair")
    assert found.code == 0, found
    for check in ("canary", "shared folder", "clock", "rank", "ranks, Gloo", "submission", "packages"):
        assert found.get(check, {"level": "ok"})["level"] == "ok", found[check]
    assert found["ranks, Gloo"]["found"].startswith("2 ranks on ")
    facts = remembered(site, "pair", monkeypatch)
    assert facts["backend"] in ("mpi", "gloo")
    assert (facts["backend"] == "mpi") == any(
        check.startswith("ranks, MPI") and one["level"] == "ok" for check, one in found.items()
    )


def test_an_mpi_that_is_not_ours_is_told_and_gloo_advised(
    plain_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = doctor(plain_site, "--on", "other-mpi")
    assert found.code == 0
    assert found["accounting"]["level"] == "note"
    assert found["ranks, Gloo"]["level"] == "ok"
    mpi = found["ranks, MPI (pmi2)"]
    assert (mpi["level"], mpi["remedy"]) == (
        "note", "Write backend: gloo into the profile: that way works."
    )  # fmt: skip
    assert "MPI sees 1" in mpi["found"]
    assert remembered(plain_site, "other-mpi", monkeypatch)["backend"] == "gloo"


def test_gpus_that_tensorflow_does_not_see_are_a_problem(plain_site: Site) -> None:
    found = doctor(plain_site, "--on", "gpu", "--storage", NO_DATABASE)
    assert found.code == 1
    assert found["storage"]["level"] == found["storage there"]["level"] == "problem"
    assert f" {NO_DATABASE} can't be used: OperationalError: " in found["storage there"]["found"]
    assert found["GPUs"]["level"] == "ok"
    assert found["GPUs seen"]["level"] == "problem"
    assert "TensorFlow sees none on n" in found["GPUs seen"]["found"]
    assert "CUDA_VISIBLE_DEVICES=0" in found["GPUs seen"]["found"]
    assert found["rank"]["level"] == "ok"


@pytest.mark.parametrize(
    ("profile", "check", "words", "refused"),
    [
        ("no-partition", "partition", "no partition 'mian' (did you mean \"main\"?)", True),
        ("too-many-nodes", "partition", "main has 4 nodes, and the profile asks for 9", True),
        ("too-many-gpus", "GPUs", "0 nodes of the partition have 3 GPUs each", True),
        ("too-long", "time limit", "the jobs would wait for ever", False),
        ("too-special", "submission", "Invalid feature", True),
    ],
)
def test_what_can_not_run_is_told_before(
    plain_site: Site, profile: str, check: str, words: str, refused: bool
) -> None:
    found = doctor(plain_site, "--on", profile, "--no-canary")
    assert found[check]["level"] == "problem"
    assert words in found[check]["found"]
    assert (found["submission"]["level"] == "problem") == refused


def test_an_account_that_the_user_has_not(site: Site) -> None:
    found = doctor(site, "--on", "no-account", "--no-canary")
    assert found["account"]["level"] in ("note", "problem")
    assert "does not belong to 'reserch'" in found["account"]["found"]


def test_a_python_that_is_not_there_is_told_by_the_log(plain_site: Site) -> None:
    found = doctor(plain_site, "--on", "no-python")
    assert found["canary"]["level"] == "problem"
    assert "/nowhere/python3" in found["canary"]["found"]


def test_a_node_that_does_not_see_the_folder(plain_site: Site) -> None:
    # No disk of this machine is the login node's only: its Python is told of a folder that is nowhere.
    python = plain_site.folder.parent / "python"
    arguments = "-u -m hpc.jobs canary job /nowhere 0"
    python.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}\n")
    python.chmod(0o755)
    found = doctor(plain_site, "--on", "elsewhere")
    assert found["shared folder"]["level"] == "problem"
    assert f"exit code {LOST}:0): the node does not see" in found["shared folder"]["found"]


def test_a_canary_that_does_not_start_is_given_up(site: Site) -> None:
    found = doctor(site, "--on", "later", "--wait", "0.05")
    assert found["canary"]["level"] == "problem"
    assert found["canary"]["found"].startswith("it has not started (BeginTime), and was cancelled after 0.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_up_leaves_no_job_and_no_folder(site: Site, number: signal.Signals) -> None:
    process = start(site, "--on", "later")
    until(lambda: "hpc-doctor" in site.queue(), 60)
    assert list((site.folder / "runs").glob(".doctor-*"))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 1
    is_clean(site)
