"""Ranks over nodes take the steps that one rank takes, by PMIx and by Gloo."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.jobs.ranks import CASES, alone, assert_same
from tests.slurm.conftest import Site, until

__all__ = ["alone"]  # a fixture

pytestmark = pytest.mark.slurm
HINT = "export OMPI_MCA_mpi_yield_when_idle=1"  # ranks wait busily, and there are few cores


@pytest.mark.parametrize("backend", ["mpi", "gloo"])
def test_four_ranks_over_two_nodes_train_what_one_trains(
    site: Site, tmp_path: Path, alone: dict[str, Any], backend: str
) -> None:
    plugin = "pmix" if backend == "mpi" else "none"
    command = [
        "srun", f"--mpi={plugin}", "--kill-on-bad-exit=1", f"--chdir={ROOT}",
        sys.executable, "-m", "tests.jobs.rank", str(tmp_path), json.dumps(CASES),
    ]  # fmt: skip
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n{HINT}\nexport HPC_BACKEND={backend}\n{shlex.join(command)}\n")
    options = ["--nodes=2", "--ntasks-per-node=2", "--time=10", f"--output={tmp_path}/log"]
    number = site.cluster.run("sbatch", "--parsable", *options, str(script)).strip()

    def is_over() -> bool:
        return number not in site.cluster.run("squeue", "--noheader", "--format=%A")

    until(is_over, 300)
    log = (tmp_path / "log").read_text()
    for case in CASES:
        assert (tmp_path / f"{case}-3.npz").is_file(), log
        assert_same(tmp_path, 4, case, alone, backend)


@pytest.mark.slow
def test_gpus_are_dealt_one_to_a_rank_and_cpus_reach_the_ranks(site: Site, tmp_path: Path) -> None:
    """GPUs are device files here, so only SLURM's side is tried: what each rank is given to see."""
    site.profiles(
        "gpus: {cluster: slurm, nodes: 2, gpus_per_node: 2, cpus_per_rank: 2, workers: 1, time_min: 5, "
        f"allow_cpu: true, backend: gloo, srun: [{json.dumps(str(tmp_path / 'show.sh'))}]}}\n"
    )
    show = tmp_path / "show.sh"
    show.write_text(
        "#!/bin/sh\n"
        f'echo "$SLURM_LOCALID $CUDA_VISIBLE_DEVICES $SLURM_CPUS_PER_TASK" > {tmp_path}/rank-$SLURM_PROCID\n'
        'exec "$@"\n'
    )
    show.chmod(0o755)
    site.hpc("submit", site.sweep(["none"]), "--on", "gpus", "--dir", "r")
    assert site.settle() == {"none": "finished"}
    seen = [(tmp_path / f"rank-{rank}").read_text().split() for rank in range(4)]
    assert seen == [["0", "0,1", "2"], ["1", "0,1", "2"], ["0", "0,1", "2"], ["1", "0,1", "2"]]
    assert site.trial("none").attempt.ranks == 4


def test_a_gpu_that_was_asked_for_and_is_not_seen_fails_the_job(site: Site) -> None:
    site.profiles("gpu: {cluster: slurm, gpus_per_node: 1, workers: 1, time_min: 5}\n")
    site.hpc("submit", site.sweep(["none"]), "--on", "gpu", "--dir", "r")
    assert site.settle() == {"none": "waiting"}
    status = site.hpc("status", "r")
    assert "the job was given GPUs, but TensorFlow sees none on n" in status
    assert "allow_cpu: true" in status


@pytest.mark.slow
def test_verify_resume_proves_it_for_two_ranks_on_two_nodes(site: Site) -> None:
    said = site.hpc(
        "verify-resume", site.sweep(["none"], epochs=4), "--on", "pair", "--profiles", "profiles.yaml"
    )
    assert said.count("identical to the last bit") == 2
    assert "gone on with in epoch 3" in said
