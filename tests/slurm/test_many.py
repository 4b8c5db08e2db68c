"""Many trials against the limits of a scheduler."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from hpc.sweeps.document import write
from tests.slurm.conftest import Site, until

pytestmark = pytest.mark.slurm
HELD = (
    "each: {cluster: slurm, workers: 8, cpus_per_rank: 1, time_min: 10, trials_per_job: 1, "
    "sbatch: {hold: true}}\n"
)


def count_calls(site: Site, folder: Path) -> dict[str, Path]:
    """Put commands before SLURM's own that count how often they are called."""
    folder.mkdir()
    logs = {}
    for name in ("squeue", "sacct", "sbatch", "scancel"):
        log = logs[name] = folder / f"{name}.log"
        log.touch()
        wrapper = folder / name
        wrapper.write_text(f'#!/bin/sh\necho called >> "{log}"\nexec {shutil.which(name)} "$@"\n')
        wrapper.chmod(0o755)
    site.path = str(folder)
    return logs


def many(site: Site, trials: int) -> Path:
    """A sweep of so many trials."""
    path = site.folder / "many.yaml"
    entries = {
        "name": "many",
        "model": "mlp",
        "data": {"name": "digits", "train": 256, "validation": 64},
        "space": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}},
        "fixed": {"epochs": 1, "batch_size": 64},
        "search": {"method": "random", "trials": trials},
        "objective": "val_accuracy",
    }
    path.write_text(write(entries))
    return path


def test_2500_jobs_are_split_at_the_clusters_limit_and_asked_for_at_once(site: Site, tmp_path: Path) -> None:
    site.profiles(HELD)
    calls = count_calls(site, tmp_path / "bin")

    def called() -> dict[str, int]:
        found = {name: len(log.read_text().splitlines()) for name, log in calls.items()}
        for log in calls.values():
            log.write_text("")
        return found

    dry = site.hpc("submit", many(site, 2500), "--on", "each", "--dir", "r", "--dry-run")
    assert "3 arrays (1001 + 1001 + 498 jobs; MaxArraySize is 1001), at most 8 jobs at once" in dry
    assert called()["sbatch"] == 0
    site.hpc("submit", many(site, 2500), "--on", "each", "--dir", "r")
    assert called() == {"squeue": 0, "sacct": 0, "sbatch": 3, "scancel": 0}
    arrays = list(site.run().arrays.values())
    assert [array["size"] for array in arrays] == [1001, 1001, 498]
    queue = site.queue().splitlines()
    mine = [line for line in queue if line.split()[0].partition("_")[0] in set(site.arrays())]
    assert len(mine) == 2500
    first = site.cluster.run("scontrol", "show", "job", arrays[1]["job"])
    assert re.search(rf"Dependency=afterany:{arrays[0]['job']}\D", first)
    assert "ArrayTaskThrottle=8" in first

    status = json.loads(site.hpc("status", "r", "--json"))
    assert called() == {"squeue": 1, "sacct": 0, "sbatch": 0, "scancel": 0}
    assert len(status["jobs"]) == 2500
    assert {job["state"] for job in status["jobs"]} == {"PENDING"}
    assert status["trials"]["waiting"] == 2500
    text = site.hpc("status", "r")
    assert "jobs: 2500 PENDING (" in text
    assert len(text.splitlines()) < 10
    assert "2500 trials are with jobs already" in site.hpc(
        "submit", many(site, 2500), "--on", "each", "--dir", "r"
    )
    assert called()["sbatch"] == 0

    site.hpc("cancel", "r")
    assert called()["scancel"] == 1
    status = json.loads(site.hpc("status", "r", "--json"))
    asked = called()
    assert asked.pop("sacct") <= 1  # what they have cost, if slurmdbd had not heard of their end before
    assert asked == {"squeue": 0, "sbatch": 0, "scancel": 0}  # all else is known by now
    assert {job["state"] for job in status["jobs"]} == {"CANCELLED"}
    assert not [line for line in site.queue().splitlines() if "hpc-many" in line]


def test_files_go_with_jobs_and_not_with_trials_or_ranks(site: Site) -> None:
    site.profiles(
        "alone: {cluster: slurm, workers: 1, time_min: 10}\n"
        "three: {cluster: slurm, workers: 1, time_min: 10, ranks_per_node: 3, backend: gloo}\n"
    )
    site.hpc("submit", many(site, 1), "--on", "alone", "--dir", "one")
    site.hpc("submit", many(site, 6), "--on", "three", "--dir", "six")
    left = {}

    def is_over(name: str) -> bool:
        return not site.is_busy(name)

    for name, trials in (("one", 1), ("six", 6)):
        until(partial(is_over, name), 300)
        run = site.run(name)
        assert [(t.state, t.attempt.ranks) for t in run.trials.values()] == [
            ("finished", 1 if name == "one" else 3)
        ] * trials
        (job,) = run.jobs
        paths = [str(p.relative_to(run.folder)) for p in run.folder.rglob("*") if p.is_file()]
        left[name] = {re.sub(rf"{job}|-\w{{6}}\.0|(?<=models/)\w+", "X", path) for path in paths}
        assert len(paths) == len(left[name])
    assert left["one"] == left["six"]
    assert left["one"] == {
        "sweep.yaml", "provenance.json", "records/run.jsonl", "records/X.jsonl", "models/X.keras",
        "jobs/1/launch.json", "jobs/1/hpc-manyX.sh", "jobs/1/X_log.out", "jobs/1/X_ranks_log.out",
    }  # fmt: skip
