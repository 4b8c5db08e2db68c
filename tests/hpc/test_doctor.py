"""The check-up: what SLURM prints, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hpc import doctor
from hpc.cli.app import app
from hpc.doctor import Finding, read_doctor_cache, write_doctor_cache
from hpc.doctor.accounts import (
    ASSOCIATION_COLUMNS,
    QOS_COLUMNS,
    Limits,
    check_account,
    check_accounting,
    check_job_limits,
    limits_of,
)
from hpc.doctor.clock import check_clock
from hpc.doctor.cluster import (
    NEEDED_COMMANDS,
    OPTIONAL_COMMANDS,
    check_arrays,
    check_commands,
    check_partition,
    check_submission,
    chosen_partitions,
)
from hpc.doctor.examination import Examination
from hpc.doctor.files import check_space
from hpc.doctor.gpus import check_gpus_offered, check_gpus_seen
from hpc.doctor.packages import check_packages
from hpc.doctor.parsing import parse_minutes, parse_partitions, parse_rows
from hpc.doctor.ranks import best_way, check_meetings, check_mpi
from hpc.doctor.registry import CHECKS
from hpc.doctor.requeue import check_preemption, check_requeueing
from hpc.doctor.storage import check_storage
from hpc.doctor.time_limit import check_time_limit
from hpc.jobs.canary import CLOCK, LOST, PACKAGES, REPORT, reach, space, ways_to_meet
from hpc.jobs.launch import Launch
from hpc.profile import Named, Profile
from hpc.schedulers import batch
from hpc.schedulers.base import JobState, QueueSnapshot, SchedulerError, UnreachableError
from hpc.schedulers.slurm import Slurm
from tests.conftest import Hpc

CONFIG = {
    "ClusterName": "counted", "SLURM_VERSION": "22.05.8", "MaxArraySize": "1001", "MinJobAge": "300 sec",
    "AccountingStorageType": "accounting_storage/slurmdbd", "AccountingStorageEnforce": "limits,qos",
    "PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE", "JobRequeue": "1",
    "KillWait": "30 sec", "SlurmctldParameters": "preempt_send_user_signal", "EnforcePartLimits": "NO",
}  # fmt: skip
PARTITIONS = """\
PartitionName=main AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A GraceTime=30 \
MaxNodes=UNLIMITED MaxTime=1-00:00:00 MinNodes=0 Nodes=n[1-4] PreemptMode=REQUEUE State=UP TotalNodes=4
PartitionName=big AllowAccounts=physics AllowQos=ALL Default=NO QoS=huge GraceTime=0 MaxNodes=8 \
MaxTime=UNLIMITED MinNodes=2 PreemptMode=OFF State=UP TotalNodes=16 TRES=cpu=16,gres/gpu=8
PartitionName=old AllowAccounts=ALL DenyQos=long Default=NO MaxTime=01:00:00 State=DRAIN TotalNodes=2
"""
THERE = parse_partitions(PARTITIONS)
ASSOCIATIONS = parse_rows("physics||normal,long|||||\nchemistry|old|normal||10|12||\n", ASSOCIATION_COLUMNS)
QUALITIES = parse_rows("normal|||||||\nlong|2|||3|||00:30:00\nhuge|||50|||40|2-00:00:00\n", QOS_COLUMNS)
UNLIMITED = Limits(None, None, {}, {})


def profile(**entries: Any) -> Profile:
    return Profile(cluster="slurm", **entries)


def said(findings: Finding | Sequence[Finding]) -> list[tuple[str, str]]:
    """Levels and words."""
    every = [findings] if isinstance(findings, Finding) else findings
    for finding in every:
        assert bool(finding.remedy) == (finding.level != "ok"), finding
        assert finding.remedy == "" or finding.remedy.endswith("."), finding
    return [(finding.level, f"{finding.found} -> {finding.remedy}") for finding in every]


def check(findings: Finding | Sequence[Finding], level: str, *words: str) -> None:
    """One of the findings is of that level and has those words; none is worse."""
    order = ["ok", "note", "problem"]
    every = said(findings)
    assert max((order.index(one) for one, _ in every), default=0) == order.index(level), every
    for word in words:
        assert any(one == level and word in text for one, text in every), (word, every)


@pytest.mark.parametrize(
    ("missing", "level"), [([], "ok"), (["sacct", "sinfo"], "note"), (["sacct", "srun"], "problem")]
)
def test_commands(missing: list[str], level: str) -> None:
    check(check_commands({*NEEDED_COMMANDS, *OPTIONAL_COMMANDS} - {*missing}), level, *missing)


@pytest.mark.parametrize(
    ("entries", "level", "words"),
    [
        ({}, "ok", ["main is up and has 4 nodes"]),
        ({"partition": "main"}, "ok", ["main is up"]),
        ({"partition": "mian"}, "problem", ["no partition 'mian' (did you mean \"main\"?)", "main, big"]),
        ({"partition": "old"}, "problem", ["old is DRAIN"]),
        ({"partition": "old", "qos": "long"}, "problem", ["takes no jobs of qos long"]),
        ({"nodes": 5}, "problem", ["main has 4 nodes, and the profile asks for 5"]),
        ({"partition": "big", "nodes": 9}, "problem", ["at most 8 nodes (MaxNodes), not 9"]),
        ({"partition": "big", "nodes": 1}, "problem", ["at least 2 nodes", "Write nodes: 2"]),
        ({"partition": "big", "nodes": 2, "account": "physics"}, "ok", ["big is up"]),
        ({"partition": "big", "nodes": 2, "account": "art"}, "problem", ["account physics only, not art"]),
        ({"partition": "main,big", "nodes": 2}, "ok", ["main is up", "big is up"]),
        ({"partition": "main,old"}, "problem", ["old is DRAIN"]),
    ],
)  # fmt: skip
def test_partition(entries: dict[str, Any], level: str, words: list[str]) -> None:
    check(check_partition(profile(**entries), THERE), level, *words)


def test_a_cluster_without_a_default_partition() -> None:
    there = {name: {**entries, "Default": "NO"} for name, entries in THERE.items()}
    check(check_partition(profile(), there), "problem", "no default", "main, big, old")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30:00", 30), ("01:00:00", 60), ("1-00:00:00", 1440), ("2-12", 3600), ("45", 45), ("00:00:30", 0.5),
        ("UNLIMITED", None), ("NONE", None), ("", None), ("infinite", None),
    ],
)  # fmt: skip
def test_minutes(text: str, minutes: float | None) -> None:
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize(
    ("entries", "limits", "refused", "level", "words"),
    [
        ({"time_min": 60}, {"MaxTime of main": "01:00:00"}, False, "ok", ["time_min is 60", "01:00:00"]),
        ({"time_min": 61}, {"MaxTime of main": "01:00:00"}, False, "problem", ["for ever", "time_min: 60"]),
        ({"time_min": 61}, {"MaxTime of main": "01:00:00"}, True, "problem", ["would refuse"]),
        ({"time_min": 61}, {"MaxWall of QOS long": "30:00"}, True, "problem", ["allows 30:00", "for ever"]),
        ({"time_min": 900}, {"MaxTime of main": "UNLIMITED"}, True, "ok", ["UNLIMITED"]),
        ({"time_min": 2}, {}, True, "note", ["told to stop 90 s before", "signal_seconds"]),
    ],
)  # fmt: skip
def test_time_limit(
    entries: dict[str, Any], limits: dict[str, str], refused: bool, level: str, words: list[str]
) -> None:
    check(check_time_limit(profile(**entries), limits, refused=refused), level, *words)


def test_rows_are_told_from_what_a_site_has_to_say() -> None:
    said = "welcome\n| 3 nodes are down |\nnormal|2|||3|||00:30:00\n"
    (row,) = parse_rows(said, QOS_COLUMNS)
    assert (row["Name"], row["MaxJobsPU"], row["MaxWall"]) == ("normal", "2", "00:30:00")


@pytest.mark.parametrize(
    ("gpus", "nodes", "text", "level", "words"),
    [
        (0, 1, "4|idle|(null)", "ok", ["asks for none"]),
        (0, 1, "4|idle|gpu:2", "ok", ["up to 2: gpus_per_node"]),
        (2, 4, "1|mixed|gpu:2\n3|idle|gpu:a100:2(S:0-1)", "ok", ["4 nodes with at least 2 GPUs each, 4 in"]),
        (3, 1, "1|idle|gpu:a100:2,gpu:v100:1", "ok", ["1 node with at least 3 GPUs"]),
        (3, 1, "4|idle|gpu:2", "problem", ["0 nodes of", "gpus_per_node to 2 or less"]),
        (1, 1, "4|idle|(null)", "problem", ["No node has any: write gpus_per_node: 0"]),
        (2, 3, "2|idle|gpu:2\n9|idle|(null)", "problem", ["2 nodes of", "have 2 GPUs", "3 are asked"]),
        (1, 2, "1|idle|gpu:2\n2|drained|gpu:2\n1|down*|gpu:2", "note", ["of 4 nodes with 1 GPU each, 1 are"]),
        (1, 2, "2|idle~|gpu:2", "ok", ["2 in order"]),
        (1, 2, "welcome\n| today | 3 of 4 |\n2|idle|gpu:2", "ok", ["2 in order"]),  # a site's own words
    ],
)  # fmt: skip
def test_gpus_offered(gpus: int, nodes: int, text: str, level: str, words: list[str]) -> None:
    check(check_gpus_offered(profile(gpus_per_node=gpus, nodes=nodes), text), level, *words)


@pytest.mark.parametrize(
    ("entries", "enforce", "level", "words"),
    [
        ({}, ["limits"], "ok", ["the default; user ada belongs to physics, chemistry"]),
        ({"account": "physics"}, ["all"], "ok", ["physics, as the profile says"]),
        ({"account": "Physics"}, ["all"], "ok", ["Physics, as the profile says"]),
        ({"account": "physic"}, ["safe"], "problem", ["(did you mean \"physics\"?)", "physics, chem"]),
        ({"account": "physic"}, ["none"], "note", ["not enforced here"]),
        ({"account": "physics", "qos": "long"}, ["qos"], "ok", ["long may be used"]),
        ({"account": "chemistry", "qos": "long"}, ["qos"], "problem", ["may not use QOS long", "qos: with"]),
        ({"account": "chemistry", "qos": "long"}, ["limits"], "note", ["not enforced here"]),
        ({"qos": "lnog"}, ["qos"], "problem", ["no QOS 'lnog' (did you mean \"long\"?)", "long, normal"]),
    ],
)  # fmt: skip
def test_account(entries: dict[str, Any], enforce: list[str], level: str, words: list[str]) -> None:
    check(check_account(profile(**entries), "ada", ASSOCIATIONS, QUALITIES, enforce), level, *words)


def test_a_user_without_an_account() -> None:
    check(check_account(profile(), "ada", [], QUALITIES, ["limits"]), "problem", "ada belongs to no account")


@pytest.mark.parametrize(
    ("entries", "submit", "jobs", "walls"),
    [
        ({}, None, None, {}),
        ({"qos": "long"}, 3, 2, {"MaxWall of QOS long": "00:30:00"}),
        ({"account": "chemistry"}, None, None, {}),  # that association is for another partition
        ({"account": "chemistry", "partition": "old"}, 10, 12, {}),
        ({"partition": "big"}, 40, 50, {"MaxWall of QOS huge": "2-00:00:00"}),
        ({"partition": "big", "qos": "long"}, 40, 50, {"MaxWall of QOS huge": "2-00:00:00"}),
    ],
)  # fmt: skip
def test_limits(entries: dict[str, Any], submit: int | None, jobs: int | None, walls: dict[str, str]) -> None:
    asked = profile(**entries)
    mine = chosen_partitions(asked, THERE)
    limits = limits_of(asked, ASSOCIATIONS, QUALITIES, "physics", mine)
    assert (limits.submit, limits.jobs, limits.walls) == (submit, jobs, walls)


@pytest.mark.parametrize(
    ("entries", "limits", "level", "words"),
    [
        ({}, UNLIMITED, "ok", ["4 workers; no limit"]),
        ({"workers": 3}, Limits(3, 3, {}, {"submit": "A", "jobs": "B"}), "ok", ["A is 3; B is 3"]),
        ({"workers": 4}, Limits(3, None, {}, {"submit": "A"}), "problem", ["3 jobs may be", "workers: 3"]),
        ({"workers": 4}, Limits(None, 2, {}, {"jobs": "B"}), "note", ["2 jobs run at once (B)"]),
        ({"trials_per_job": 5}, Limits(10, None, {}, {"submit": "A"}), "note", ["more than 50 trials"]),
    ],
)  # fmt: skip
def test_job_limits(entries: dict[str, Any], limits: Limits, level: str, words: list[str]) -> None:
    check(check_job_limits(profile(**entries), limits), level, *words)


@pytest.mark.parametrize(
    ("config", "most", "level", "words"),
    [
        ({"MaxArraySize": "1001"}, 1001, "ok", ["MaxArraySize is 1001"]),
        ({}, 1001, "ok", ["not told"]),
        ({"MaxArraySize": "0"}, 0, "problem", ["switched off"]),
        (
            {"MaxArraySize": "1001", "SchedulerParameters": "bf_interval=1,max_array_tasks=50"},
            50, "note", ["may have 50 jobs (max_array_tasks), though MaxArraySize is 1001"],
        ),
    ],
)  # fmt: skip
def test_arrays(config: dict[str, str], most: int, level: str, words: list[str]) -> None:
    assert batch.max_array_size(config) == most
    check(check_arrays(config), level, *words)


def test_accounting() -> None:
    check(check_accounting(CONFIG), "ok", "sacct remembers")
    off = {**CONFIG, "AccountingStorageType": "(null)"}
    check(check_accounting(off), "note", "off; hpc reads squeue", "older than 300 sec")
    check(check_accounting({**off, "AccountingStorageType": "accounting_storage/none"}), "note", "off;")
    check(check_accounting(CONFIG, "sacctmgr: no"), "note", "does not answer: sacctmgr: no")


@pytest.mark.parametrize(
    ("changes", "partition", "entries", "level", "words"),
    [
        ({}, "main", {}, "ok", ["has 30 s to write a checkpoint"]),
        ({}, "big", {}, "ok", ["not preempted"]),
        ({"PreemptType": "preempt/none"}, "main", {}, "ok", ["not preempted"]),
        ({"SlurmctldParameters": "(null)"}, "main", {"checkpoint_min": 2.0}, "note",
         ["up to 2 min", "SlurmctldParameters=preempt_send_user_signal."]),
        ({"PreemptType": "preempt/qos", "PreemptMode": "CANCEL"}, "main", {}, "note", ["are cancelled"]),
        ({"PreemptType": "preempt/qos", "PreemptMode": "GANG,SUSPEND"}, "big", {}, "ok", ["suspended"]),
        ({"PreemptType": "preempt/qos"}, "big", {}, "ok", ["QOS's GraceTime"]),
        ({}, "main", {"requeues": 0}, "note", ["requeues: 0"]),
    ],
)  # fmt: skip
def test_preemption(
    changes: dict[str, str], partition: str, entries: dict[str, Any], level: str, words: list[str]
) -> None:
    check(check_preemption(profile(**entries), {**CONFIG, **changes}, THERE[partition]), level, *words)


def test_preemption_without_a_grace_time() -> None:
    check(check_preemption(profile(), CONFIG, {**THERE["main"], "GraceTime": "0"}), "note", "GraceTime=120")


def test_requeueing() -> None:
    check(check_requeueing(profile(), CONFIG), "ok", "20 times", "30 sec to stop")
    check(check_requeueing(profile(), {"JobRequeue": "0"}), "note", "only because hpc asks for it")
    check(check_requeueing(profile(requeues=0), CONFIG), "note", "Write requeues: 20")


@pytest.mark.parametrize(
    ("entries", "offered", "vendor", "level", "words"),
    [
        ({"nodes": 2}, ["pmix", "none", "pmix"], "Open MPI", "ok", ["srun offers pmix, none;", "MPI (pmix)"]),
        ({"nodes": 2}, ["pmi2", "none"], "Open MPI", "note", ["the ranks meet by Gloo"]),
        ({"nodes": 2}, ["pmi2", "none"], "Intel MPI", "ok", ["MPI (pmi2)"]),
        ({"nodes": 2}, ["pmix"], "", "note", ["mpi4py loads none: the ranks meet by Gloo"]),
        ({"nodes": 2}, ["pmix"], None, "ok", ["srun offers pmix"]),
        ({"nodes": 2, "backend": "gloo"}, [], "", "ok", ["as the profile says"]),
        ({"nodes": 2, "backend": "mpi"}, ["none"], "Open MPI", "problem", ["says backend: mpi", "gloo"]),
        ({"nodes": 2, "mpi": "pmix_v5"}, ["pmix"], "Open MPI", "problem", ["mpi: pmix_v5", "one of pmix"]),
        ({}, ["pmix"], "", "ok", ["one rank need none"]),
    ],
)  # fmt: skip
def test_plugins(
    entries: dict[str, Any], offered: list[str], vendor: str | None, level: str, words: list[str]
) -> None:
    check(check_mpi(profile(**entries), offered, vendor), level, *words)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("", ""),
        ("sbatch: invalid partition specified: mian", "another partition"),
        ("sbatch: Invalid account or account/partition combination specified", "an account of yours"),
        ("sbatch: Invalid qos specification", "a QOS of yours"),
        ("sbatch: QOSMaxSubmitJobPerUserLimit", "Lower workers: so many"),
        (
            "sbatch: Job violates accounting/QOS policy (job submit limit, …)",
            "Lower workers, nodes or time_min",
        ),
        ("sbatch: Invalid feature specification", "another constraint"),
        ("sbatch: Requested time limit is invalid (missing or exceeds some limit)", "Lower time_min"),
        ("sbatch: Requested node configuration is not available", "compare nodes, ranks_per_node"),
        ("sbatch: unrecognized option '--bogus'", "under sbatch:"),
        ("sbatch: no, says a plugin of the site", "Change the profile"),
    ],
)
def test_refusal(words: str, remedy: str) -> None:
    check(check_submission(words), "problem" if words else "ok", words, remedy)


@pytest.mark.parametrize(
    ("free", "inodes", "level"),
    [
        (2**40, 10**7, "ok"), (2**40, None, "ok"), (2**31, 10**7, "note"), (2**40, 20_000, "note"),
        (2**20, 10**7, "problem"), (2**40, 3, "problem"),
    ],
)  # fmt: skip
def test_space(free: int, inodes: int | None, level: str) -> None:
    check(check_space("runs", {"free_bytes": free, "free_inodes": inodes}), level, "GB", "free in runs")


def test_space_of_a_real_folder(tmp_path: Path) -> None:
    assert (space(tmp_path)["free_bytes"] or 0) > 0


@pytest.mark.parametrize(
    ("python", "without", "ranks", "level", "words"),
    [
        ("3.11.7", [], 2, "ok", ["n1 has Python 3.11.7", "tensorflow 1"]),
        ("3.12.0", ["horovod", "mpi4py"], 1, "ok", []),
        ("3.12.0", ["horovod", "mpi4py"], None, "note", ["no more than one rank", "uv sync"]),
        ("3.12.0", ["mpi4py"], 2, "problem", ["mpi4py not installed for the Python of n1"]),
        ("3.12.0", ["tensorflow"], 1, "problem", ["tensorflow not installed", "python:"]),
        ("3.9.2", [], 1, "problem", ["n1 has Python 3.9.2"]),
    ],
)
def test_packages(python: str, without: list[str], ranks: int | None, level: str, words: list[str]) -> None:
    versions = {name: None if name in without else "1" for name in PACKAGES}
    check(check_packages("n1", python, versions, ranks=ranks), level, *words)


@pytest.mark.parametrize(
    ("skews", "level", "words"),
    [
        ({"n1": (-0.2, 0.6), "n2": (-1.5, 0.1)}, "ok", ["those of n1, n2 are within 1.5 s"]),
        ({"n1": (-0.2, 0.6), "n2": (2.0, 4.0)}, "note", ["that of n2 is 2.0 s or more ahead"]),
        ({"n1": (-70.0, -65.0), "n2": (2.0, 4.0)}, "problem", ["that of n1 is 65.0 s or more behind", "NTP"]),
        ({"n1": (-3.0, float("inf"))}, "ok", ["within inf s"]),
    ],
)
def test_clock(skews: dict[str, tuple[float, float]], level: str, words: list[str]) -> None:
    check(check_clock(skews), level, *words)


def rank(number: int = 0, **facts: Any) -> dict[str, Any]:
    clock = {"told": None, "read": time.time()}
    common = {"rank": number, "node": f"n{number + 1}", "size": 2, "sum": 2, "gpu": None, "gpus": 0}
    return {**common, "seconds_load": 4.0, "seconds_join": 0.5, "error": "", "clock": clock, **facts}


def way(backend: str, *ranks: dict[str, Any], error: str = "", log: str = "") -> dict[str, Any]:
    mpi = "pmix" if backend == "mpi" else "none"
    return {"backend": backend, "mpi": mpi, "seconds": 5.0, "ranks": list(ranks), "error": error, "log": log}


GLOO = way("gloo", rank(0), rank(1))
MPI = way("mpi", rank(0), rank(1))
NO_GLOO = way("gloo", rank(0, error="WorldError: no network"), error="WorldError: no network")
NO_MPI = way("mpi", error="srun ended with exit code 1", log="PMIX ERROR")
SPLIT = way("mpi", rank(0, sum=1), rank(1, sum=1))


@pytest.mark.parametrize(
    ("entries", "tries", "level", "words", "works"),
    [
        ({}, [GLOO, MPI], "ok", ["2 ranks on n1, n2: the sum of ones is 2", "joined in 0.5"], "mpi"),
        ({"backend": "gloo"}, [GLOO], "ok", ["the sum of ones is 2"], "gloo"),
        ({}, [GLOO, NO_MPI], "note", ["PMIX ERROR", "Write backend: gloo"], "gloo"),
        ({}, [GLOO, SPLIT], "note", ["should be 2: rank 0 has 1, rank 1 has 1"], "gloo"),
        ({"backend": "mpi"}, [GLOO, NO_MPI], "problem", ["Write backend: gloo"], "gloo"),
        ({}, [NO_GLOO, MPI], "note", ["WorldError: no network -> Write backend: mpi"], "mpi"),
        ({"backend": "mpi"}, [NO_GLOO, MPI], "note", ["Nothing need change"], "mpi"),
        ({}, [NO_GLOO, NO_MPI], "problem", ["Gloo talks over the address", "Try another mpi:"], ""),
        ({}, [way("gloo", rank(0))], "problem", ["should be 2: rank 0 has 2"], ""),
        ({}, [way("gloo", error="srun ended with exit code 1", log="srun: error: what?")], "problem",
         ["Mend what srun says"], ""),
    ],
)  # fmt: skip
def test_meetings(
    entries: dict[str, Any], tries: list[dict[str, Any]], level: str, words: list[str], works: str
) -> None:
    check(check_meetings(profile(nodes=2, **entries), tries, 2), level, *words)
    assert best_way(tries, 2).get("backend", "") == works


def test_a_rank_that_is_alone() -> None:
    alone = way("none", rank(0, size=1, sum=1))
    check(check_meetings(profile(), [alone], 1), "ok", "1 rank on n1; TensorFlow loaded in 4.0 s")
    assert best_way([alone], 1) == {"backend": "none", "mpi": "none"}


@pytest.mark.parametrize(
    ("entries", "report", "level", "words"),
    [
        ({"gpus_per_node": 0}, {}, "ok", ["none asked for"]),
        ({}, {"ranks": [rank(0, gpu="n1/0"), rank(1, gpu="n2/0")]}, "ok", ["its own: n1/0, n2/0"]),
        ({}, {"ranks": [rank(0, gpu="n1/0"), rank(1, gpu="n1/0")]}, "problem", ["ranks share n1/0"]),
        ({}, {"ranks": [rank(0, gpu="n1/0"), rank(1)]}, "problem", ["sees none on n2", "and-cuda"]),
        ({}, {"ranks": [rank(0)], "devices": []}, "problem", ["with NVIDIA GPUs"]),
        ({}, {"ranks": [rank(0)], "cuda_visible_devices": None}, "problem", ["is not set", "gres.conf"]),
        ({"allow_cpu": True}, {"ranks": [rank(0)]}, "note", ["train on CPUs"]),
        ({}, {"ranks": []}, "problem", ["no rank came"]),
    ],
)  # fmt: skip
def test_gpus_seen(entries: dict[str, Any], report: dict[str, Any], level: str, words: list[str]) -> None:
    facts = {"node": "n1", "cuda_visible_devices": "0", "devices": ["nvidia0"], "ranks": [], **report}
    facts["tries"] = [way("gloo", *facts["ranks"])]
    check(check_gpus_seen(profile(**{"gpus_per_node": 1, "nodes": 2, **entries}), facts), level, *words)


@pytest.mark.parametrize(
    ("entries", "plugins", "vendor", "ways"),
    [
        ({"ranks": 1}, ["pmix"], "Open MPI", [("none", "none")]),
        ({}, ["pmix", "pmi2"], "Open MPI", [("gloo", "none"), ("mpi", "pmix")]),
        ({}, ["pmi2"], "Open MPI", [("gloo", "none")]),
        ({}, ["pmix"], "", [("gloo", "none")]),
        ({"backend": "gloo"}, ["pmix"], "Open MPI", [("gloo", "none")]),
        ({"backend": "mpi"}, ["none"], "Open MPI", [("gloo", "none"), ("mpi", "pmix")]),
        ({"mpi": "pmi2"}, ["pmix"], "Open MPI", [("gloo", "none"), ("mpi", "pmi2")]),
    ],
)
def test_ways_to_meet(
    entries: dict[str, Any], plugins: list[str], vendor: str, ways: list[tuple[str, str]]
) -> None:
    found = {"number": 1, "jobs": [[]], "ranks": 2, "python": "python", "cwd": "/", **entries}
    launch = Launch.of_json(found)
    assert ways_to_meet(launch, plugins, vendor) == ways


# --- what is kept


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hpc-sweeps"


def test_what_was_found_is_known_until_the_profile_changes(cache: Path) -> None:
    named = Named("a100", profile(nodes=2))
    assert read_doctor_cache("counted", "a100") == {}
    path = write_doctor_cache("counted", named, {"backend": "mpi", "mpi": "pmix", "max_submit": 7})
    assert path == cache / "counted-a100.json"
    facts = read_doctor_cache("counted", "a100")
    assert (facts["cluster"], facts["profile"], facts["backend"], facts["mpi"]) == (
        "counted",
        "a100",
        "mpi",
        "pmix",
    )
    assert (facts["max_submit"], facts["entries"]["nodes"]) == (7, 2)
    write_doctor_cache("counted", named, {"max_submit": 8})  # without a canary
    assert (
        read_doctor_cache("counted", "a100")["backend"],
        read_doctor_cache("counted", "a100")["max_submit"],
    ) == ("mpi", 8)
    write_doctor_cache("counted", Named("a100", profile(nodes=3)), {"max_submit": 8})
    assert "backend" not in read_doctor_cache("counted", "a100")
    assert read_doctor_cache("other", "a100") == {}


def test_a_cache_of_nonsense_is_as_none(cache: Path) -> None:
    path = write_doctor_cache("../odd name", Named("a/b", profile()), {})
    assert path.parent == cache
    assert read_doctor_cache("../odd name", "a/b")
    assert read_doctor_cache("..-odd name", "a/b") == {}  # the same file, but not the same cluster
    for text in ("{", "[]", '{"cluster": 1}'):
        path.write_text(text)
        assert read_doctor_cache("../odd name", "a/b") == {}


# --- the canary, with a SLURM that only pretends


class Pretender(Slurm):
    """A SLURM whose one job is a function of the folder that it was submitted in."""

    def __init__(self, job: Callable[[Path], None], state: str = "COMPLETED", reason: str = "None") -> None:
        super().__init__()
        self.job = job
        self.state = JobState("7_0", "", state, reason, "n1" if state != "PENDING" else "")
        self.refuses: dict[str, Exception] = {}
        self.cancelled: list[str] = []
        self.asked: list[list[str]] = []

    def config(self) -> dict[str, str]:
        self._refuse("config")
        return CONFIG

    def output(self, *command: str) -> str:
        self.asked.append(list(command))
        self._refuse(command[0])
        answers = {
            "scontrol --all": PARTITIONS,
            "scontrol show": f"JobId=7 ExitCode={LOST if self.state.state == 'FAILED' else 0}:0",
            "sinfo -h": "4|idle|gpu:2",
            "sacctmgr -nP": "",
        }
        return answers.get(" ".join(command[:2]), "")

    def sbatch(self, script: Path, options: Sequence[str] = ()) -> str:
        self._refuse("submit")
        assert " -m hpc.jobs canary job " in script.read_text()
        self.job(script.parent)
        return "7"

    def queue(self, names: Any, user: int | None = None) -> QueueSnapshot:
        self._refuse("queue")
        return QueueSnapshot({"7_0": self.state} if not self.cancelled else {})

    def cancel(self, jobs: Sequence[str]) -> None:
        self.cancelled += jobs

    def _refuse(self, what: str) -> None:
        if what in self.refuses:
            raise self.refuses[what]


def reports(ahead: float = 0.0, **changes: Any) -> Callable[[Path], None]:
    def job(folder: Path) -> None:
        clock = {"told": float((folder / CLOCK).read_text()), "read": time.time() + ahead}
        report = {
            "node": "n1", "python": "3.11.7", "packages": dict.fromkeys(PACKAGES, "1"), "clock": clock,
            "cuda_visible_devices": None, "devices": [], "mpi_offered": ["pmix"], "mpi_vendor": "Open MPI",
            "tries": [way("none", rank(0, size=1, sum=1, clock=clock))], "done": True,
            **space(folder), **changes,
        }  # fmt: skip
        (folder / REPORT).write_text(json.dumps(report))

    return job


def ends(*, log: str | None) -> Callable[[Path], None]:
    def job(folder: Path) -> None:
        if log is not None:
            (folder / "7_0_log.out").write_text(log)

    return job


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """Checks up on a profile, leaves nothing behind, and gives the findings by their check."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("hpc.jobs.launchers.slurm.Slurm.offered", lambda self: ["pmix", "none"])
    monkeypatch.setattr("hpc.jobs.launchers.mpi.mpi_vendor", lambda: "Open MPI")
    for name in ("POLL_SECONDS", "ASK_SECONDS", "FIRST_ASK_SECONDS"):
        monkeypatch.setattr(f"hpc.doctor.canary.{name}", 0.01)
    (tmp_path / "mine").mkdir()

    def run(
        slurm: Slurm, *, canary: bool = True, wait_min: float = 0.0, **entries: Any
    ) -> dict[str, Finding]:
        named = Named("a100", profile(**entries))
        heard: list[Finding] = []
        try:
            found = doctor.examine(
                named, tmp_path / "mine" / "new" / "runs", slurm=slurm, canary=canary, wait_min=wait_min,
                tell=heard.append,
            )  # fmt: skip
        finally:
            assert list((tmp_path / "mine").iterdir()) == []
        assert heard == found
        said(found)
        return {finding.check: finding for finding in found}

    return run


Examined = Callable[..., dict[str, Finding]]


def test_a_cluster_that_is_well(examined: Examined) -> None:
    slurm = Pretender(reports())
    found = examined(slurm)
    levels = {check: finding.level for check, finding in found.items()}
    assert levels.pop("account") == "problem"  # the pretender knows no user
    assert set(levels.values()) == {"ok"}
    assert {"shared folder", "clock", "rank", "GPUs seen", "MPI there", "submission"} <= levels.keys()
    assert slurm.cancelled == []
    facts = read_doctor_cache("counted", "a100")
    assert (facts["backend"], facts["max_array"], facts["slurm"]) == ("none", 1001, "22.05.8")


@pytest.mark.postgresql
def test_a_storage_is_asked_from_here_and_from_the_node(examined: Examined, database: str) -> None:
    found = examined(Pretender(reports(storage="OperationalError: no route to host")), storage=database)
    assert found["storage"] == Finding("storage", "ok", f"{database} answers", "")
    assert found["storage there"].level == "problem"
    assert found["storage there"].found == (
        f"on n1 {database} can't be used: OperationalError: no route to host"
    )
    assert "storage" not in examined(Pretender(reports()))


@pytest.mark.parametrize(
    ("url", "error", "remedy"),
    [
        ("postgresql+psycopg://me@127.0.0.1:1/none", "OperationalError: ", "Mend what the message names"),
        ("mysql+nodriver://me@127.0.0.1/none", "NoSuchModuleError: ", "Install its driver there"),
    ],
)
def test_a_storage_that_can_not_be_used(url: str, error: str, remedy: str) -> None:
    finding = check_storage(url, reach(url))
    assert finding.level == "problem"
    assert finding.found.startswith(f"{url} can't be used: {error}")
    assert "\n" not in finding.found
    assert finding.remedy.startswith(remedy)


def test_a_storage_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/none"
        assert reach(url, limit_seconds=0.2) == "no answer within 0.2 seconds"


def test_without_a_canary_nothing_is_submitted(examined: Examined) -> None:
    slurm = Pretender(ends(log=""))
    slurm.refuses["submit"] = AssertionError()
    found = examined(slurm, canary=False)
    assert "submission" in found
    assert not {"canary", "shared folder"} & found.keys()


@pytest.mark.parametrize(("ahead", "word"), [(100.0, "ahead"), (-100.0, "behind")])
def test_a_clock_that_is_off_is_told(examined: Examined, ahead: float, word: str) -> None:
    finding = examined(Pretender(reports(ahead)))["clock"]
    assert finding.level == "problem"
    assert word in finding.found


def test_a_report_that_breaks_off_is_told_as_far_as_it_goes(examined: Examined) -> None:
    found = examined(Pretender(reports(done=False, tries=[]), state="TIMEOUT"))
    assert found["shared folder"].level == "ok"
    assert found["canary"].level == "problem"
    assert "before it had tried all (TIMEOUT)" in found["canary"].found
    assert "backend" not in read_doctor_cache("counted", "a100")


@pytest.mark.parametrize(
    ("slurm", "check", "words"),
    [
        (Pretender(ends(log=None)), "shared folder", "nothing that it wrote"),
        (Pretender(ends(log=None), state="FAILED"), "shared folder", "code 66:0): the node does"),
        (Pretender(ends(log="No module named jobs")), "canary", "its log:\nNo module named jobs"),
        (Pretender(ends(log="")), "canary", "its log is empty"),
        (Pretender(ends(log=None), "PENDING", "Priority"), "canary", "not started (Priority)"),
        (Pretender(ends(log=None), "PENDING", "PartitionTimeLimit"), "canary", "(PartitionTimeLimit)"),
    ],
)  # fmt: skip
def test_a_canary_that_does_not_report(examined: Examined, slurm: Pretender, check: str, words: str) -> None:
    finding = examined(slurm)[check]
    assert finding.level == "problem"
    assert words in finding.found
    assert bool(slurm.cancelled) == (slurm.state.state == "PENDING")
    assert ("such jobs never start" in finding.remedy) == ("PartitionTimeLimit" in words)


def test_a_job_that_can_never_start_is_not_waited_for(examined: Examined) -> None:
    assert (
        "never" in examined(Pretender(ends(log=None), "PENDING", "InvalidQOS"), wait_min=60)["canary"].remedy
    )


def test_a_profile_that_slurm_refuses(examined: Examined) -> None:
    slurm = Pretender(reports())
    slurm.refuses |= {
        name: SchedulerError("sbatch: Invalid qos specification") for name in ("sbatch", "submit")
    }
    found = examined(slurm)
    assert found["submission"].level == "problem"
    assert found["canary"] == Finding(
        "canary", "note", "not submitted: sbatch: Invalid qos specification", "Mend the problems above first."
    )
    assert slurm.cancelled == []


def test_a_controller_that_does_not_answer_ends_the_questions(examined: Examined) -> None:
    slurm = Pretender(reports())
    slurm.refuses["config"] = UnreachableError("scontrol: Unable to contact slurm controller.")
    found = examined(slurm)
    assert list(found) == ["commands", "controller"]
    assert found["controller"].level == "problem"


def test_accounts_that_do_not_answer_are_a_note(examined: Examined) -> None:
    slurm = Pretender(reports())
    slurm.refuses["sacctmgr"] = UnreachableError("sacctmgr: Connection refused")
    assert examined(slurm)["accounting"].level == "note"


def test_ctrl_c_cancels_the_canary_and_removes_its_folder(examined: Examined) -> None:
    slurm = Pretender(ends(log=None), "PENDING", "Priority")

    def interrupted(names: Any, user: int | None = None) -> QueueSnapshot:
        if not slurm.cancelled:
            raise KeyboardInterrupt
        return QueueSnapshot()

    slurm.queue = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        examined(slurm, wait_min=60)
    (name,) = slurm.cancelled
    assert name.startswith("--name=hpc-doctor-")


def test_an_answer_of_sbatch_that_was_lost_leaves_no_job(examined: Examined) -> None:
    slurm = Pretender(ends(log=None), "PENDING")
    slurm.refuses["submit"] = UnreachableError("sbatch: Socket timed out")
    assert examined(slurm)["canary"].level == "problem"
    assert len(slurm.cancelled) == 1


def test_the_checks_have_names_of_their_own_and_each_applies_somewhere(tmp_path: Path) -> None:
    names = [one.name for one in CHECKS]
    assert len(names) == len(set(names))
    here, there = (
        Examination(Named("x", one), tmp_path, Pretender(reports()), True, 0.0, print)
        for one in (Profile(cluster="local"), profile())
    )
    here.machine = {"packages": {"horovod": "1", "mpi4py": "1"}}
    there.commands = {*NEEDED_COMMANDS, *OPTIONAL_COMMANDS}
    local = [one.name for one in CHECKS if one.applies(here)]
    assert local == ["packages", "processors", "storage", "space", "ranks"]
    of_slurm = [one.name for one in CHECKS if one.applies(there)]
    assert set(local) | set(of_slurm) == set(names)
    assert set(local) & set(of_slurm) == {"storage", "space"}
    there.commands = {"sbatch"}
    assert [one.name for one in CHECKS if one.applies(there)] == ["commands"]


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (finding,) = doctor.examine(Named("slurm", profile()), tmp_path)
    check(finding, "problem", "sbatch, srun", "Run hpc on a login node")


def test_a_folder_that_cannot_be_written_into(examined: Examined, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    found = doctor.examine(Named("a100", profile()), file / "runs", slurm=Pretender(reports()))
    assert found[-1].check == "folder"
    check(found[-1], "problem", "can't be used", "--dir")


# --- the command


@pytest.mark.parametrize(
    ("levels", "code"), [(["ok"], 0), (["ok", "note"], 0), (["note", "problem", "ok"], 1)]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_exit_code_tells_of_problems(
    monkeypatch: pytest.MonkeyPatch, levels: list[Any], code: int, form: list[str]
) -> None:
    findings = [
        Finding("clock", level, "so it is\nand so", "" if level == "ok" else "Do that.") for level in levels
    ]

    def examine(named: Named, folder: Path, **options: Any) -> list[Finding]:
        assert named.name == "local"
        for finding in findings:
            options["tell"](finding)
        return findings

    monkeypatch.setattr(doctor, "examine", examine)
    done = CliRunner().invoke(app, ["doctor", *form])
    assert done.exit_code == code
    if form:
        told = json.loads(done.stdout)
        assert [one["level"] for one in told] == levels
        assert set(told[0]) == {"check", "level", "found", "remedy"}
    else:
        assert done.stdout.count("clock: so it is\n            and so") == len(levels)
        assert done.stdout.count("\n         -> Do that.\n") == len(levels) - levels.count("ok")


def test_wrong_use_ends_with_2(hpc: Hpc) -> None:
    done = hpc("doctor", "--on", "lcoal")
    assert done.returncode == 2
    assert 'did you mean "local"' in done.stderr


def test_this_machine_is_checked_without_loading_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys\nimport hpc.doctor\nlight = set(sys.modules)\nfrom hpc.cli.app import app\n"
        "try:\n    app(['doctor', '--no-canary', '--dir', 'r', '--json'])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "sys.stderr.write('\\n' + ' '.join(light) + '\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60,
        env=dict(os.environ),
    )  # fmt: skip
    light, loaded = (set(line.split()) for line in done.stderr.splitlines()[-2:])
    assert not loaded & {"tensorflow", "keras", "horovod", "matplotlib", "mpi4py"}
    assert not light & {
        "pandas",
        "submitit",
        "hpc.jobs.worker",
        "hpc.models",
    }  # hpc submit reads its cache
    assert {one["check"] for one in json.loads(done.stdout)} >= {"packages", "processors", "space"}
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_two_ranks_of_this_machine_meet(hpc: Hpc, tmp_path: Path) -> None:
    pytest.importorskip("mpi4py")
    done = hpc("doctor", "--dir", "a folder's/runs")
    assert "ok       ranks, Gloo: 2 ranks on " in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
    assert not (tmp_path / "a folder's").exists()
