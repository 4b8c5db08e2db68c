"""The command that starts the ranks of a job, and how they meet."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hpc.jobs.job_logs import log_of_ranks
from hpc.jobs.launch import Launch


def srun(launch: Launch, job_id: str, mpi: str, step: Path | str) -> list[str]:
    """The command that starts the ranks.

    Args:
        launch: of the job.
        job_id: for the names of logs.
        mpi: the value of ``--mpi``.
        step: the file of the step.
    """
    # Jobs of `sbatch --export=NONE` have SLURM_EXPORT_ENV=NONE, by which ranks would lack all that the
    # profile's setup exports. https://slurm.schedmd.com/sbatch.html#OPT_export
    command = ["srun", "--kill-on-bad-exit=1", f"--mpi={mpi}", "--export=ALL", "--open-mode=append"]
    # One log for all ranks, each line with its rank: a thousand ranks don't make a thousand files.
    command += [f"--output={log_of_ranks(job_id)}", f"--ntasks={launch.ranks}"]
    command += ["--label"] if launch.ranks > 1 else []
    # Since SLURM 22.05, srun no longer takes the CPUs per task from the job.
    if "SLURM_CPUS_PER_TASK" in os.environ:
        command.append(f"--cpus-per-task={os.environ['SLURM_CPUS_PER_TASK']}")
    return [*command, *launch.srun, *shlex.split(launch.python), "-u", "-m", "hpc.jobs", "rank", str(step)]


def choose_backend(backend: str, mpi: str, offered: Sequence[str], vendor: str) -> tuple[str, str]:
    """Choose how several ranks meet, and the value of ``srun --mpi``.

    Open MPI 5 speaks PMIx only, and MPICH and Intel MPI both PMIx and PMI-2; where the site's srun
    offers nothing that our MPI speaks, or there is no MPI, it is Gloo.

    Args:
        backend: ``auto``, ``mpi`` or ``gloo``.
        mpi: a plugin of SLURM's by name, or ``auto``.
        offered: names of SLURM's plugins, as ``srun --mpi=list`` has them.
        vendor: of the MPI that mpi4py loads, empty if there is none.

    Returns:
        ``mpi`` or ``gloo``, and the plugin.
    """
    if backend == "gloo":
        return "gloo", "none"
    if mpi != "auto":
        return "mpi", mpi
    pmix = sorted((name for name in offered if name.startswith("pmix")), key=lambda n: (n != "pmix", n))
    pmi2 = [name for name in offered if name == "pmi2"]
    spoken = pmix if vendor == "Open MPI" else [*pmix, *pmi2]
    if vendor and spoken:
        return "mpi", spoken[0]
    if backend == "mpi":
        return "mpi", (pmix or pmi2 or ["pmix"])[0]
    return "gloo", "none"


def offered() -> list[str]:
    """The plugins that ``srun --mpi=list`` names on this machine."""
    answer = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True)
    output = answer.stdout + "\n" + answer.stderr
    output = (
        output[output.find("types are") :] if "types are" in output else output
    )  # a site may say more before that
    return [word for word in re.findall(r"[\w.]+", output) if re.match(r"pmi|none", word)]


def mpi_vendor() -> str:
    """Whose MPI mpi4py loads; empty if it loads none."""
    code = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.get_vendor()[0])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = answer.stdout.strip().splitlines()[-1:] if answer.returncode == 0 else []
    return "".join(lines).strip()
