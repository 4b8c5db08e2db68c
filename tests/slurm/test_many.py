"""Many trials against the limits of a scheduler."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from sweeps.document import write
from tests.slurm.conftest import Site

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
    assert called() == {"squeue": 0, "sacct": 0, "sbatch": 0, "scancel": 0}  # all is known by now
    assert {job["state"] for job in status["jobs"]} == {"CANCELLED"}
    assert not [line for line in site.queue().splitlines() if "hpc-many" in line]
