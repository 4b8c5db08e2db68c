"""Ranks of this machine that meet once, as those of ``hpc run --ranks 2`` do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc.doctor.base import Finding, note
from hpc.doctor.ranks import check_meetings
from hpc.profile import Profile
from hpc.results import write_text
from hpc.schedulers.slurm import plain_environment

SIZE = 2
"""The number of ranks."""
MEETING_SECONDS = 180.0
"""How long the ranks may take to meet."""
POLL_SECONDS = 0.1
"""Between two looks whether the ranks have ended."""


def meet_here(folder: Path, devices: Sequence[str]) -> Iterator[Finding]:
    """Let ranks meet by Gloo.

    Args:
        folder: a folder for the files of the ranks.
        devices: the names of NVIDIA devices in ``/dev``.
    """
    step, log = folder / "step.json", folder / "ranks.log"
    step_entries = {"folder": str(folder), "label": "gloo", "threads": 1, "ranks": SIZE, "environment": {}}
    write_text(step, json.dumps(step_entries))
    _run_ranks(step, log)
    ranks = [json.loads(path.read_text()) for path in sorted(folder.glob("rank-gloo-*.json"))]
    error = next((rank["error"] for rank in ranks if rank["error"]), "")
    if not error and len(ranks) < SIZE:
        error = f"{SIZE - len(ranks)} of {SIZE} ranks ended without a word"
    one = {
        "backend": "gloo",
        "mpi": "none",
        "ranks": ranks,
        "error": error,
        "log": log.read_text(errors="replace")[-2000:],
    }
    yield from check_meetings(Profile(cluster="local", ranks=SIZE), [one], SIZE)
    sees = max((rank["gpus"] or 0 for rank in ranks), default=0)
    if devices and ranks and not sees:
        said = f"TensorFlow sees none of {', '.join(devices)}"
        yield note("GPUs seen", said, "Install `tensorflow[and-cuda]`, or load CUDA; see docs/install.md.")


def _run_ranks(step: Path, log: Path) -> None:
    """Start the ranks, and wait until they have ended; those that take too long are killed."""
    common = plain_environment(os.environ) | {"PYTHONSAFEPATH": "1", "SUBMITIT_EXECUTOR": "local"}
    command = [sys.executable, "-m", "hpc.jobs", "canary", "rank", str(step)]
    processes = []
    try:
        with log.open("w") as out:
            for rank in range(SIZE):
                env = common | {
                    "SUBMITIT_LOCAL_GLOBALID": str(rank),
                    "SUBMITIT_LOCAL_LOCALID": str(rank),
                    "SUBMITIT_LOCAL_NTASKS": str(SIZE),
                }
                processes.append(
                    subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
                )
            end = time.monotonic() + MEETING_SECONDS
            while any(process.poll() is None for process in processes) and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
