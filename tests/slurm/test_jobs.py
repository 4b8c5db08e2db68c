"""Sweeps on a real SLURM: submitted, watched, stopped, gone on with."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import time
from typing import Any

import pandas as pd
import psutil
import pytest

from hpc import results
from hpc.results.stats import cost
from tests.conftest import ROOT
from tests.slurm.conftest import PROFILES, Site, until

pytestmark = pytest.mark.slurm


def test_a_sweep_is_submitted_and_every_way_to_fail_is_told(site: Site) -> None:
    path = site.sweep(["none", "raises", "nan", "killed", "memory"])
    said = site.hpc("submit", path, "--on", "one", "--dir", "r")
    (number,) = site.arrays()
    assert f"5 trials submitted in 1 job, SLURM 1 array {number}." in said
    assert "hpc status r --watch" in said
    assert "waiting" in set(site.states().values())  # it did not wait for them
    again = site.hpc("submit", path, "--on", "one", "--dir", "r")
    assert "Nothing to submit: " in again
    assert site.settle() == {
        "none": "finished", "raises": "error", "nan": "diverged", "killed": "error",
        "memory": "out-of-memory",
    }  # fmt: skip
    assert site.arrays() == [number]
    table = results.table(site.folder / "r").set_index("fault")
    assert table.job_id.tolist() == [f"{number}_0"] * 5
    assert table.error["raises"].startswith("RuntimeError: this model can't be built\nTraceback")
    assert "Killed" in table.error["killed"]
    logs = site.hpc("logs", "r", table.trial_id["raises"])
    assert "this model can't be built" in logs
    status = json.loads(site.hpc("status", "r", "--json"))
    assert [(job["job_id"], job["state"]) for job in status["jobs"]] == [(f"{number}_0", "COMPLETED")]
    assert status["trials"]["total"] == 5
    assert status["lost"] == 0

    resumed = site.hpc("resume", "r")  # with the profile of the last launch; not the one that diverged
    assert "3 trials submitted in 1 job" in resumed
    site.settle()
    assert sorted((site.folder / "built").read_text().split()) == sorted(
        ["none", "nan", *["raises", "killed", "memory"] * 2]
    )


@pytest.mark.slow
def test_the_table_of_a_ready_made_sweep_is_that_of_a_local_run(site: Site) -> None:
    path = ROOT / "sweeps" / "digits.yaml"
    arguments = [str(path), "--profiles", "profiles.yaml"]
    site.hpc("submit", *arguments, "--on", "slurm", "--ranks", "2", "--dir", "there")
    (array,) = site.run("there").arrays.values()
    assert array["size"] == 4
    until(lambda: not site.is_busy("there"), 900, lambda: site.hpc("status", "there"))
    assert site.run("there").counts()["finished"] == 27
    site.hpc("run", path, "--dir", "here")
    there, here = (
        pd.read_csv(io.StringIO(site.hpc("table", name, "--format", "csv"))).set_index("trial_id")
        for name in ("there", "here")
    )
    assert there.ranks.tolist() == [2] * 27
    assert (there.val_accuracy - here.val_accuracy).abs().max() <= 0.02
    same = ["state", "learning_rate", "hidden_size", "dropout", "seed", "epochs"]
    pd.testing.assert_frame_equal(there[same], here[same])


def test_a_time_limit_stops_all_ranks_and_the_requeued_job_goes_on_to_the_bit(site: Site) -> None:
    path = site.sweep(["none"], epochs=300)
    site.hpc("submit", path, "--on", "pair", "--dir", "r")
    site.hpc("submit", path, "--on", "pair", "--dir", "whole")
    site.wait_for_epoch("none", 3)
    (number,) = site.arrays()
    site.cluster.run("scancel", "--signal=USR2", number)
    until(lambda: "BeginTime" in site.queue(), 60, site.queue)
    assert site.states() == {"none": "waiting"}
    assert len(list((site.folder / "r" / "checkpoints").iterdir())) == 1
    assert "PENDING (BeginTime)" in site.hpc("status", "r")
    site.start_now()
    assert site.settle() == {"none": "finished"}
    trial, whole = site.trial("none"), site.trial("none", "whole")
    if whole.state != "finished":
        site.settle("whole")
        whole = site.trial("none", "whole")
    assert trial.attempt.after is not None
    assert len(trial.attempts) == 2
    assert trial.attempt.ranks == whole.attempt.ranks == 2
    assert trial.attempt.weights == whole.attempt.weights
    assert trial.attempt.metrics == whole.attempt.metrics
    one, two = (results.table(site.folder / name, epochs=True) for name in ("r", "whole"))
    assert one.drop(columns="seconds").equals(two.drop(columns="seconds"))
    assert len(one) == 300
    # slurmdbd may hear a second later of the end than squeue says it.
    until(lambda: not site.hpc("status", "r") or "account" in site.run().jobs[f"{number}_0"], 30)
    (job,) = cost.by_job(site.run()).to_dict("records")
    fields = "ElapsedRaw,AllocTRES,Submit,Start"
    shown = [
        line.split("|") for line in site.cluster.run("sacct", "-nPXD", "-j", number, "-o", fields).split()
    ]
    assert len(shown) == 2  # the requeued run and the last
    assert job["elapsed_seconds"] == sum(float(elapsed) for elapsed, *_ in shown)
    assert (job["nodes"], job["gpus"], job["source"]) == (2, 0, "SLURM's accounting")
    assert f"cpu={job['cores']:.0f}," in shown[-1][1]
    waits = [pd.Timestamp(start) - pd.Timestamp(submit) for *_, submit, start in shown]
    assert job["queue_seconds"] == sum(wait.total_seconds() for wait in waits)  # 0 if both began at once
    bill = cost.by_outcome(site.run())
    assert bill.outcome.tolist() == ["finished", "start-up and idle"]
    assert bill.core_hours.sum() == pytest.approx(job["cores"] * job["elapsed_seconds"] / 3600)


@pytest.mark.slow
def test_a_killed_rank_costs_what_came_after_the_last_checkpoint(site: Site) -> None:
    path = site.sweep(["none", "slow"], epochs=40)
    site.hpc("submit", path, "--on", "pair", "--dir", "r")
    site.wait_for_epoch("none", 3)
    (rank,) = [p for p in ranks_of(site, "r") if p.environ().get("SLURM_PROCID") == "1"]
    rank.send_signal(signal.SIGKILL)
    states = site.settle()
    assert states == {"none": "error", "slow": "finished"}  # the rest went on in the same job
    assert "Killed" in site.trial("none").attempt.error
    site.hpc("resume", "r")
    assert site.settle() == {"none": "finished", "slow": "finished"}
    assert site.trial("none").attempt.after is not None
    site.hpc("submit", path, "--on", "pair", "--dir", "whole")
    site.settle("whole")
    for fault in ("none", "slow"):
        assert site.trial(fault).attempt.weights == site.trial(fault, "whole").attempt.weights


def ranks_of(site: Site, name: str) -> list[psutil.Process]:
    """Processes of this machine that are ranks of a run."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "rank" in line and any(str(site.folder / name) + os.sep in word for word in line):
            found.append(process)
    return [p for p in found if p.environ().get("HPC_BACKEND") and "srun" not in p.name()]


def test_cancel_ends_exactly_the_jobs_of_its_run(site: Site) -> None:
    path = site.sweep(["slow", "none"], epochs=100)
    for name in ("r", "other"):
        site.hpc("submit", path, "--on", "one", "--dir", name)
    site.wait_for_epoch("slow", 1)
    said = site.hpc("cancel", "r")
    assert "are cancelled. `hpc resume r` goes on" in said
    assert site.states() == {"slow": "cancelled", "none": "waiting"}
    (other,) = site.arrays("other")
    assert other in site.queue()
    assert "CANCELLED" in site.hpc("status", "r")
    assert "nothing of r is running" in site.hpc("cancel", "r")
    site.hpc("cancel", "other")
    assert site.hpc("resume", "r", "--workers", "2").count("2 trials submitted in 2 jobs") == 1
    site.hpc("cancel", "r")


@pytest.mark.slow
def test_hpc_run_on_slurm_watches_to_the_end(site: Site) -> None:
    path = site.sweep(["none", "raises"])
    said = site.hpc("run", path, "--on", "slurm", "--workers", "2", "--dir", "r", code=1)
    assert "[1/2]" in said
    assert "2 trials: 1 finished, 1 failed" in said
    assert "best_val_accuracy" in said


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["mpi", "gloo"])
def test_groups_of_one_allocation_train_their_own_trials(site: Site, backend: str) -> None:
    site.profiles(
        "big: {cluster: slurm, nodes: 2, ranks_per_node: 2, cpus_per_rank: 1, groups: 2, workers: 1, "
        f"time_min: 10, backend: {backend}, setup: ['export OMPI_MCA_mpi_yield_when_idle=1']}}\n"
    )
    path = site.sweep(["none", "raises on rank 1", "raises in training on rank 1", "slow"])
    site.hpc("submit", path, "--on", "big", "--dir", "r")
    states = site.settle()
    assert states == {
        "none": "finished", "raises on rank 1": "error", "raises in training on rank 1": "error",
        "slow": "finished",
    }  # fmt: skip
    table = results.table(site.folder / "r")
    assert table.ranks.tolist() == [2] * 4
    assert len(list((site.folder / "r" / "records").glob("*-g*.jsonl"))) == 2
    assert f'"backend": "{backend}"' in next((site.folder / "r" / "records").glob("*-g1.jsonl")).read_text()


def test_a_rank_that_does_not_come_fails_the_job_with_its_number(site: Site) -> None:
    late = site.folder / "late.sh"
    late.write_text('#!/bin/sh\n[ "$SLURM_PROCID" = 1 ] && sleep 600\nexec "$@"\n')
    late.chmod(0o755)
    site.profiles(
        f"late: {{cluster: slurm, ranks_per_node: 2, cpus_per_rank: 1, workers: 1, time_min: 10, "
        f"srun: [{json.dumps(str(late))}], backend: gloo, setup: ['export HPC_JOIN_SECONDS=5']}}\n"
    )
    site.hpc("submit", site.sweep(["none"]), "--on", "late", "--dir", "r")
    assert site.settle() == {"none": "waiting"}
    status = site.hpc("status", "r")
    assert "rank 1 of 2 did not come within 5 seconds" in status
    assert "FAILED" in status


@pytest.mark.slow
def test_an_mpi_that_is_not_there_is_told_or_replaced_by_gloo(site: Site) -> None:
    text = (
        "{name}: {{cluster: slurm, ranks_per_node: 2, cpus_per_rank: 1, workers: 1, time_min: 10, mpi: none, "
        "backend: {backend}}}\n"
    )
    site.profiles(text.format(name="strict", backend="mpi") + text.format(name="loose", backend="auto"))
    path = site.sweep(["none"])
    site.hpc("submit", path, "--on", "strict", "--dir", "strict")
    assert site.settle("strict") == {"none": "waiting"}
    status = site.hpc("status", "strict")
    assert "2 ranks were started, but MPI sees 1" in status
    assert "backend: gloo" in status
    site.hpc("submit", path, "--on", "loose", "--dir", "loose")
    assert site.settle("loose") == {"none": "finished"}
    assert "MPI did not work, so the ranks meet by Gloo" in site.hpc("status", "loose")


def test_code_that_differs_between_ranks_fails_the_job(site: Site) -> None:
    model = site.folder / "net.py"
    model.write_text((ROOT / "tests" / "hpc" / "faults.py").read_text())
    # Each node sees another version, as where the project is not on a shared file system.
    other = site.folder / "other.sh"
    other.write_text(
        '#!/bin/sh\nif [ "$SLURM_PROCID" = 0 ]; then exec "$@"; fi\n'
        '[ "$APART" ] || { export APART=1; exec unshare -m "$0" "$@"; }\n'
        f'other=$(mktemp); cp "{model}" "$other"; echo "# other" >> "$other"\n'
        f'mount --bind "$other" "{model}"; exec "$@"\n'
    )
    other.chmod(0o755)
    site.profiles(
        f"other: {{cluster: slurm, ranks_per_node: 2, cpus_per_rank: 1, workers: 1, time_min: 10, "
        f"srun: [{json.dumps(str(other))}], backend: gloo, snapshot: false}}\n"
    )
    path = site.sweep(["none"])
    site.hpc("submit", path, "--on", "other", "--dir", "r", "--set", f"model={model}:build")
    assert site.settle() == {"none": "waiting"}
    assert "rank 1 on n1 has another code than rank 0 on n1" in site.hpc("status", "r")


def test_the_rendezvous_listens_on_loopback_until_all_have_joined_and_bears_rubbish(site: Site) -> None:
    path = site.sweep(["slow"], epochs=10)
    site.hpc("submit", path, "--on", "pair", "--dir", "r")
    seen: dict[str, Any] = {}

    def published() -> bool:
        for file in (site.folder / "r" / "jobs").glob(".meeting-*/address"):
            try:
                address, port = file.read_text().split()
                with socket.create_connection((address, int(port)), timeout=2) as stray:
                    stray.sendall(b"PUT /global/0 HTTP/1.1\r\nContent-Length: 9999\r\n\r\n\x00rubbish")
                    seen["address"] = (address, int(port))
                    listeners = [c.laddr for c in psutil.net_connections("tcp") if c.status == "LISTEN"]
                    seen["interfaces"] = {at.ip for at in listeners if at and at.port == int(port)}
            except OSError:
                continue
        return "address" in seen

    deadline = time.monotonic() + 60
    while not published():
        assert time.monotonic() < deadline, "no rendezvous was published"
        time.sleep(0.005)
    assert seen["interfaces"] == {"127.0.0.1"}
    site.wait_for_epoch("slow", 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(seen["address"], timeout=5)
    assert not list((site.folder / "r" / "jobs").glob(".meeting-*"))
    assert site.settle() == {"slow": "finished"}


@pytest.mark.slow
def test_without_slurmdbd_reasons_come_from_squeue_and_the_logs(plain_site: Site) -> None:
    site = plain_site
    path = site.sweep(["none", "killed", "slow"], epochs=30)
    site.hpc("submit", path, "--on", "one", "--dir", "r")
    site.wait_for_epoch("slow", 1)
    (number,) = site.arrays()
    site.cluster.run("scancel", number)
    states = site.settle()
    assert states == {"none": "finished", "killed": "error", "slow": "cancelled"}
    site.hpc("resume", "r")
    assert site.settle()["slow"] == "finished"


NEIGHBOURS = {
    "net.py": "import blocks\n\n\ndef build(input_shape, num_classes, units: int = 4):\n"
    "    import keras\n    dense = keras.layers.Dense\n    hidden = dense(units, blocks.ACTIVATION)\n"
    "    return keras.Sequential([keras.Input(input_shape), hidden, dense(num_classes, 'softmax')])\n",
    "blocks.py": "ACTIVATION = 'relu'\n",
    "own.yaml": "name: own\nmodel: net.py:build\ndata: {name: digits, train: 100}\nspace: {units: [2, 4]}\n"
    "fixed: {epochs: 1}\nobjective: val_accuracy\n",
}


def test_jobs_that_wait_train_with_the_code_that_was_submitted(site: Site) -> None:
    for name, text in NEIGHBOURS.items():
        (site.folder / name).write_text(text)
    site.profiles(f"{PROFILES}\nlater: {{cluster: slurm, workers: 1, sbatch: {{begin: now+600}}}}\n")
    site.hpc("submit", "own.yaml", "--on", "later", "--dir", "r")
    before = site.hpc("run", "own.yaml", "--on", "debug", "--dir", "before")
    (site.folder / "blocks.py").write_text("raise RuntimeError('edited')\n")
    until(lambda: "BeginTime" in site.queue(), 60, site.queue)
    site.start_now()
    until(lambda: not site.is_busy(), 120, lambda: site.hpc("status", "r", code=None))
    assert site.run().counts()["finished"] == 2, before
    made, there = (
        {name: trial.attempt.weights for name, trial in site.run(folder).trials.items()}
        for folder in ("before", "r")
    )
    assert made == there


def test_a_file_that_changes_while_jobs_wait_is_not_trained_with(site: Site) -> None:
    for name, text in NEIGHBOURS.items():
        (site.folder / name).write_text(text)
    later = "{cluster: slurm, workers: 1, snapshot: false, sbatch: {begin: now+600}}"
    site.profiles(f"{PROFILES}\nlater: {later}\n")
    site.hpc("submit", "own.yaml", "--on", "later", "--dir", "r")
    (site.folder / "blocks.py").write_text("ACTIVATION = 'tanh'\n")
    until(lambda: "BeginTime" in site.queue(), 60, site.queue)
    site.start_now()
    until(lambda: not site.is_busy(), 120, lambda: site.hpc("status", "r", code=None))
    said = site.hpc("status", "r")
    assert "blocks.py has changed since this job was launched" in said
    assert site.run().counts()["waiting"] == 2  # none of them trained, none of them failed
    site.profiles(PROFILES)
    assert "2 trials submitted" in site.hpc("resume", "r", "--on", "one")  # nothing was trained before
    until(lambda: not site.is_busy(), 120, lambda: site.hpc("status", "r", code=None))
    assert site.run().counts()["finished"] == 2
    (site.folder / "blocks.py").write_text("ACTIVATION = 'relu'\n")
    for command in (["resume", "r"], ["submit", "own.yaml", "--on", "one", "--dir", "r"]):
        assert "blocks.py has changed since they were trained" in site.hpc(*command, code=2)


@pytest.mark.slow
def test_ranks_meet_though_sbatch_exports_nothing(site: Site) -> None:
    path = site.sweep(["none", "slow"])
    ranks = "ranks_per_node: 2, cpus_per_rank: 1, backend: gloo"
    site.profiles(f"{PROFILES}\nbare: {{cluster: slurm, workers: 1, {ranks}, sbatch: {{export: NONE}}}}\n")
    site.hpc("submit", path, "--on", "bare", "--dir", "r")
    assert site.settle() == {"none": "finished", "slow": "finished"}
    assert {trial.attempt.ranks for trial in site.run().trials.values()} == {2}
    assert (site.folder / "built").read_text().split() == ["none", "slow"]  # each once, not by each rank
