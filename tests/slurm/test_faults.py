"""Whatever breaks, every trial is in the table exactly once, and nothing is lost after a resume."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hpc import results
from tests.slurm.conftest import Site, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
FOUR = ["none", "slow", "killed on rank 1", "raises on rank 1"]


def finish(site: Site, name: str = "r") -> None:
    """Resume until nothing is left, and look at the table."""
    site.hpc("resume", name)
    states = site.settle(name)
    assert set(states.values()) == {"finished"}, site.hpc("status", name) + site.logs(name)
    table = results.table(site.folder / name)
    assert len(table) == table.trial_id.nunique() == len(FOUR)
    covered = [job for job in site.run(name).jobs.values() if "ended" not in job]
    assert not covered


def submit(site: Site, on: str = "one", epochs: int = 20, name: str = "r") -> str:
    """Submit four trials; the number of the array."""
    site.hpc("submit", site.sweep(FOUR, epochs=epochs), "--on", on, "--dir", name)
    (number,) = site.arrays(name)
    return number


def test_a_job_that_is_cancelled_from_outside(site: Site) -> None:
    number = submit(site)
    site.wait_for_epoch("slow", 2)
    site.cluster.run("scancel", number)
    states = site.settle()
    assert (states["none"], states["slow"]) == ("finished", "cancelled")
    assert "cancelled" in site.hpc("table", "r", "--format", "csv")
    finish(site)


def test_a_node_that_dies(own_site: Site) -> None:
    site, cluster = own_site, own_site.cluster
    number = submit(site)
    site.wait_for_epoch("slow", 2)
    node = cluster.run("squeue", "--noheader", f"--jobs={number}", "--format=%N").strip()
    cluster.kill_node(node, is_noticed=True)  # type: ignore[union-attr]
    until(lambda: "BeginTime" in site.queue(), 60, site.queue)  # SLURM requeues it by itself
    site.start_now()
    states = site.settle()
    assert set(states.values()) == {"finished"}
    assert site.trial("slow").attempt.node != node
    cluster.start_node(node)  # type: ignore[union-attr]

    text = (site.folder / "profiles.yaml").read_text()
    site.profiles(text + "once: {cluster: slurm, workers: 1, cpus_per_rank: 1, requeues: 0}\n")
    number = submit(site, on="once", name="once")
    site.wait_for_epoch("slow", 2, "once")
    node = cluster.run("squeue", "--noheader", f"--jobs={number}", "--format=%N").strip()
    cluster.kill_node(node, is_noticed=True)  # type: ignore[union-attr]
    assert site.settle("once")["slow"] == "node-failure"
    finish(site, "once")


def test_a_controller_that_restarts_while_jobs_run_and_while_one_submits(own_site: Site) -> None:
    site, cluster = own_site, own_site.cluster
    submit(site, epochs=40)
    site.wait_for_epoch("slow", 1)
    cluster.stop_controller()  # type: ignore[union-attr]
    silent = site.hpc("status", "r")
    assert "SLURM does not answer, so jobs are shown as last known" in silent
    assert "1 running" in silent
    other = subprocess.Popen(
        [str(Path(sys.executable).with_name("hpc")), "submit", site.sweep(FOUR), "--on", "one", "--dir", "o"],
        cwd=site.folder, env=site.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    time.sleep(5)
    cluster.start_controller()  # type: ignore[union-attr]
    said, _ = other.communicate(timeout=180)
    assert other.returncode == 0, said
    assert "4 trials submitted in 1 job" in said
    assert set(site.settle().values()) == {"finished"}
    assert set(site.settle("o").values()) == {"finished"}
    assert len(results.table(site.folder / "o")) == 4


def test_a_database_that_is_down(own_site: Site) -> None:
    site, cluster = own_site, own_site.cluster
    cluster.stop_database()  # type: ignore[union-attr]
    number = submit(site)
    site.wait_for_epoch("slow", 1)
    cluster.run("scancel", number)
    assert site.settle()["slow"] == "cancelled"  # squeue still knows it
    cluster.start_database()  # type: ignore[union-attr]
    finish(site)


def test_a_preempted_job_goes_on_where_it_was(own_site: Site) -> None:
    site, cluster = own_site, own_site.cluster
    submit(site, on="pair", epochs=60)
    site.wait_for_epoch("none", 2)
    cluster.run("sbatch", "--partition=urgent", "--nodes=4", "--exclusive", "--wrap", "sleep 5")
    until(lambda: "BeginTime" in site.queue(), 90, site.queue)
    site.start_now()
    states = site.settle()
    assert (states["none"], states["slow"]) == ("finished", "finished")
    assert "timeout" not in states.values()


def test_jobs_that_are_held_or_suspended_go_on_where_they_were(site: Site) -> None:
    site.hpc("submit", site.sweep(["slow", "none"], epochs=15), "--on", "one", "--dir", "r")
    site.wait_for_epoch("slow", 2)
    (number,) = site.arrays()
    job = site.trial("slow").attempt.job_id
    site.cluster.run("scontrol", "suspend", job)
    assert "SUSPENDED" in site.hpc("status", "r")
    assert "Nothing to submit: " in site.hpc("resume", "r")
    site.cluster.run("scontrol", "resume", job)
    site.cluster.run("scontrol", "requeuehold", job)
    until(lambda: "PENDING job requeued in held state" in site.queue(), 60, site.queue)
    assert "PENDING" in site.hpc("status", "r")
    assert number in site.queue()
    site.cluster.run("scontrol", "release", job)
    site.start_now()
    states = site.settle()
    assert (states["none"], states["slow"]) == ("finished", "finished")
    assert len(site.trial("slow").attempts) == 2


def test_a_slurmstepd_that_is_killed_costs_no_trial(site: Site) -> None:
    site.hpc("submit", site.sweep(["slow", "none"], epochs=15), "--on", "one", "--dir", "r")
    site.wait_for_epoch("slow", 2)
    (number,) = site.arrays()
    raw = site.cluster.run("squeue", "--noheader", f"--jobs={number}", "--format=%A").split()[0]
    killed = [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"slurmstepd: [{raw}.0]" in " ".join(process.info["cmdline"] or [])
    ]
    assert killed
    for process in killed:
        process.kill()
    until(lambda: set(site.states().values()) == {"finished"}, 200, site.queue)
    assert number in site.queue()  # SLURM does not know that it is over
    site.hpc("cancel", "r")
    site.settle()
    assert "Nothing to submit" in site.hpc("resume", "r")
    assert set(site.states().values()) == {"finished"}
    for fault in ("slow", "none"):
        ended = [one for one in site.trial(fault).attempts.values() if one.state == "finished"]
        assert len(ended) == 1


def test_a_time_limit_that_comes_without_notice_is_a_timeout(site: Site) -> None:
    site.profiles(
        "short: {cluster: slurm, workers: 1, cpus_per_rank: 1, time_min: 1, signal_seconds: 1, partition: "
        "short, requeues: 0}\n"
    )
    site.hpc("submit", site.sweep(["slow"], epochs=2000), "--on", "short", "--dir", "r")
    states = site.settle(seconds=240)
    assert states == {"slow": "timeout"}
    assert "slow" in site.hpc("table", "r", "--format", "csv")
    assert "hpc resume r" in site.hpc("status", "r")


def test_a_trial_that_runs_out_of_memory_gets_more_when_it_is_tried_again(site: Site) -> None:
    site.profiles(
        "small: {cluster: slurm, workers: 1, cpus_per_rank: 1, time_min: 10, mem_gb: 1.5, more_memory: 2.5}\n"
    )
    path = site.sweep(["hungry", "none"])
    site.hpc("submit", path, "--on", "small", "--dir", "r")
    assert site.settle() == {"hungry": "out-of-memory", "none": "finished"}, site.logs()
    site.hpc("resume", "r")
    scripts = [path.read_text() for path in sorted((site.folder / "r" / "jobs").glob("*/*.sh"))]
    assert ["--mem=1536MB" in scripts[0], "--mem=3840MB" in scripts[1]] == [True, True]
    assert site.settle() == {"hungry": "finished", "none": "finished"}, site.logs()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)])
    if done.returncode:
        pytest.skip("a small file system can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(site: Site, small_disk: Path) -> None:
    name = str(small_disk / "r")
    site.hpc("submit", site.sweep(FOUR, epochs=20), "--on", "one", "--dir", name)
    site.wait_for_epoch("slow", 2, name)
    ballast = small_disk / "ballast"
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)

    def fill() -> None:
        while True:
            os.write(file, b"0" * 512)

    with pytest.raises(OSError, match="No space left"):
        fill()
    os.close(file)
    until(lambda: not site.queue().strip(), 120, site.queue)
    full = site.hpc("status", name)
    assert "4 trials" in full
    assert "finished" in full
    refused = site.hpc("resume", name, code=None)
    assert "No space left on device" in refused
    ballast.unlink()
    finish(site, name)


def test_a_run_that_was_moved(site: Site) -> None:
    submit(site, epochs=30)
    site.wait_for_epoch("slow", 2)
    shutil.move(site.folder / "r", site.folder / "moved to here")
    time.sleep(2)
    status = site.hpc("status", "moved to here")
    assert "4 trials" in status
    site.hpc("cancel", "moved to here")
    assert not list(
        (site.folder / "r").rglob("*.jsonl")
    )  # what is written there would be lost, or spoil another run
    finish(site, "moved to here")


def test_the_login_process_killed_at_any_time_of_a_submission(site: Site) -> None:
    """At 36 times, from when it has read the sweep until after it has ended; its jobs are held."""
    text = (site.folder / "profiles.yaml").read_text()
    site.profiles(text + "held: {cluster: slurm, workers: 2, cpus_per_rank: 1, sbatch: {hold: true}}\n")
    command = str(Path(sys.executable).with_name("hpc"))
    path = site.sweep(["none", "raises on rank 1"], epochs=1)
    start = time.perf_counter()
    site.hpc("submit", path, "--on", "held", "--dir", "whole")
    whole = time.perf_counter() - start
    killed = 0
    names = [f"k{number}" for number in range(36)]
    for number, name in enumerate(names):
        process = subprocess.Popen(
            [command, "submit", path, "--on", "held", "--dir", name],
            cwd=site.folder, env=site.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        start = time.perf_counter()
        try:
            process.wait(timeout=whole * (0.25 + 0.9 * number / len(names)))
            whole = min(whole, time.perf_counter() - start)  # the machine was busy when it was measured
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed >= 12
    for name in names:
        site.hpc("submit", path, "--on", "held", "--dir", name)
    jobs = [line.split() for line in site.queue().splitlines()]
    for name in names:
        run = site.run(name)
        numbers = {array["job"] for array in run.arrays.values() if not array.get("dropped")}
        in_queue = {job[0].partition("_")[0] for job in jobs if job[3] in run.arrays}
        assert in_queue <= numbers, name  # none that nobody knows
        waiting = [job for job in run.jobs.values() if "ended" not in job]
        assert sorted(job["number"] for job in waiting) == [0, 1], name  # each trial with one job
    for name in names[::12]:
        for array in site.arrays(name):
            site.cluster.run("scontrol", "release", array)
        assert set(site.settle(name).values()) == {"finished"}, name
        assert [max(trial.attempts) for trial in site.run(name).trials.values()] == [1, 1]
    for name in names:
        site.hpc("cancel", name)
