"""Makes the run folders in ``runs``: real runs, whose paths and hosts are renamed afterwards.

    python -m tests.golden.make              # all of them, about three minutes on two cores
    python -m tests.golden.make grid packs   # these

The folders that are there were made by the version of the first commit that has them. Make one anew only
where a later version leaves something else behind on purpose: that older folders stay readable is what
they are kept for, so rather add one under a new name.

``slurm`` needs a SLURM that can be booted (``tests/slurm/cluster.py``), ``ranks`` needs Horovod.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.hpc.fake_slurm import FakeSlurm
from tests.slurm.cluster import Cluster

RUNS = Path(__file__).with_name("runs")
PROJECT = "/home/user/project"
"""Where the stored runs were made, as far as they know."""
USER_ID = 1000
FIXED = "fixed: {epochs: 2, batch_size: 16, hidden_size: 4}\nobjective: val_accuracy\n"
MOONS = "model: mlp\ndata: {name: moons, n_samples: 60, noise: 0.2}\n"
NET = '''"""A model of the user's, with faults."""

import keras


def build(input_shape, num_classes, fault="none"):
    if fault == "raises":
        raise RuntimeError("this model can't be built")
    bias = float("nan") if fault == "nan" else 0.0
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Dense(num_classes, "softmax", bias_initializer=keras.initializers.Constant(bias)),
        ]
    )
'''
FILES = {
    "net.py": NET,
    "profiles.yaml": """\
often: {cluster: local, workers: 1, checkpoint_min: 0.0}
measured: {cluster: local, workers: 1, ranks: 2, measure: true}
requeued: {cluster: slurm, workers: 1, cpus_per_rank: 1, time_min: 20, checkpoint_min: 0.0}
nowhere: {cluster: slurm, workers: 1, partition: nowhere}
slurm2: {cluster: slurm, workers: 2, cpus_per_rank: 1, time_min: 20}
fast: {cluster: slurm, workers: 2, cpus_per_rank: 1, mem_gb: 1, time_min: 20, sbatch: {comment: it's mine}}
""",
    "grid.yaml": f"""\
name: grid
{MOONS}space: {{learning_rate: [0.01, 0.1], dropout: [0.0, 0.2]}}
seeds: 2
pack: off
{FIXED}""",
    "packs.yaml": f"""\
name: packs
{MOONS}space: {{learning_rate: [0.01, 0.1]}}
seeds: 3
keep: none
{FIXED}""",
    "search.yaml": """\
name: search
model: mlp
data: {name: moons, n_samples: 60, noise: 0.2}
space:
  learning_rate: {low: 0.001, high: 0.3, log: true}
  dropout: {low: 0.0, high: 0.5, step: 0.1}
fixed: {epochs: 3, batch_size: 16, hidden_size: 4}
search: {method: tpe, trials: 6, pruner: asha}
confirm: {best: 2, seeds: 2}
keep: none
pack: off
objective: val_accuracy
""",
    "budget.yaml": """\
name: budget
model: mlp
data: {name: moons, n_samples: 60, noise: 0.2}
space: {learning_rate: {low: 0.001, high: 0.3, log: true}}
fixed: {epochs: 2, batch_size: 16, hidden_size: 4}
search: {method: tpe, trials: 200}
budget: {core_hours: 0.003}
keep: none
pack: off
objective: [val_accuracy, val_loss]
""",
    "folds.yaml": f"""\
name: folds
{MOONS}space: {{learning_rate: [0.01, 0.1]}}
folds: {{n_splits: 3, shuffle: true, stratify: true}}
baselines: [{{model: knn, n_neighbors: 3}}, decision_tree]
keep: none
pack: off
{FIXED}""",
    "failures.yaml": """\
name: failures
model: net.py:build
data: {name: moons, n_samples: 60, noise: 0.2}
space: {fault: [none, raises, nan]}
fixed: {epochs: 2, batch_size: 16}
keep: none
pack: off
objective: val_accuracy
""",
    "stopped.yaml": """\
name: stopped
model: mlp
data: {name: moons, n_samples: 3000, noise: 0.2}
space: {learning_rate: [0.01, 0.03, 0.1]}
fixed: {epochs: 3, batch_size: 1, hidden_size: 4}
keep: none
pack: off
objective: val_accuracy
""",
    "queued.yaml": f"""\
name: queued
{MOONS}space: {{learning_rate: [0.003, 0.01, 0.03, 0.1]}}
keep: none
pack: off
{FIXED}""",
}  # fmt: skip
"""The user's folder."""
SUBMITTED = {"queued": "queued.yaml", "queued_search": "search.yaml"}
"""Runs of which no job has begun, and their sweeps."""

SRUN = f"""#!{sys.executable} -SE
import os, sys
if sys.argv[1:] == ["--mpi=list"]:
    sys.exit(print("none"))
command = sys.argv[1:]
while command[0].startswith("--"):
    del command[0]
for name in ("PROCID", "LOCALID", "NODEID"):
    os.environ["SLURM_" + name] = "0"
os.environ.update(SLURM_STEP_NUM_TASKS="1", SLURM_STEP_TASKS_PER_NODE="1")
os.execvp(command[0], command)
"""
"""An srun that really starts the one rank of a job."""


class Maker:
    """A user's folder, in which commands are typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Our own variables go into the files of a launch.
        self.variables = {name: value for name, value in environment().items() if not name.startswith("HPC_")}
        for name, text in FILES.items():
            (folder / name).write_text(text)

    def hpc(self, *arguments: str, code: int = 0) -> None:
        """Type a command that is to end with this code."""
        done = self.start(*arguments).wait(600)
        if done != code:
            raise RuntimeError(f"hpc {' '.join(arguments)} ended with {done} instead of {code}")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Type a command."""
        command = [str(Path(sys.executable).with_name("hpc")), *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.variables)

    def stop_at_epoch(self, run: str, trial: int, epoch: int, *arguments: str) -> None:
        """Type a command, and Ctrl-C when the n-th trial that begins has completed an epoch."""
        process = self.start(*arguments)
        self.until(lambda: self._is_at(run, trial, epoch))
        process.send_signal(signal.SIGINT)
        process.wait(60)

    def until(self, holds: Callable[[], bool], seconds: float = 240) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not come about in {seconds:g} s")
            time.sleep(0.02)

    def has(self, run: str, record: str, **entries: object) -> bool:
        """Whether a run has such a record."""
        wanted = {"record": record, **entries}.items()
        return any(all(found.get(name) == value for name, value in wanted) for found in self._records(run))

    def _is_at(self, run: str, trial: int, epoch: int) -> bool:
        records = self._records(run)
        begun = [record["trial"] for record in records if record["record"] == "started"]
        return len(begun) >= trial and any(
            record["record"] == "epoch" and (record["trial"], record["epoch"]) == (begun[trial - 1], epoch)
            for record in records
        )

    def _records(self, run: str) -> list[dict[str, object]]:
        return [
            json.loads(line)
            for path in self.folder.glob(f"runs/{run}/records/*.jsonl")
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")  # the last may be torn
        ]


def grid(maker: Maker) -> None:
    """Make a grid with two seeds and the model of the best trial kept."""
    maker.hpc("run", "grid.yaml", "--workers", "2")


def packs(maker: Maker) -> None:
    """Make six trials that one rank trains at once."""
    maker.hpc("run", "packs.yaml", "--workers", "1")


def search(maker: Maker) -> None:
    """Make a search that learns and prunes, confirms its best points, and is extended by two more."""
    maker.hpc("run", "search.yaml", "--workers", "1")
    maker.hpc("extend", "runs/search", "--trials", "+2")


def budget(maker: Maker) -> None:
    """Make a search for two objectives, whose budget is soon used up."""
    maker.hpc("run", "budget.yaml", "--workers", "1")


def folds(maker: Maker) -> None:
    """Make three folds of a network and of two estimators."""
    maker.hpc("run", "folds.yaml", "--workers", "1")


def failures(maker: Maker) -> None:
    """Make a model of the user's, of whose three trials one fails and one diverges."""
    maker.hpc("run", "failures.yaml", "--workers", "1", code=1)


def stopped(maker: Maker) -> None:
    """Make a run that was stopped in its second trial after a checkpoint, and gone on with to its end."""
    maker.stop_at_epoch("stopped", 2, 2, "run", "stopped.yaml", "--on", "often")
    maker.hpc("resume", "runs/stopped")


def unfinished(maker: Maker) -> None:
    """Make a run that was stopped in its second trial, and waits to be gone on with."""
    arguments = ["run", "stopped.yaml", "--on", "often", "--dir", "runs/unfinished"]
    maker.stop_at_epoch("unfinished", 2, 2, *arguments)


def damaged(maker: Maker) -> None:
    """Make a run that was stopped, and gone on with after its checkpoint was damaged."""
    arguments = ["run", "stopped.yaml", "--on", "often", "--dir", "runs/damaged"]
    maker.stop_at_epoch("damaged", 2, 2, *arguments)
    for path in maker.folder.glob("runs/damaged/checkpoints/*.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    maker.hpc("resume", "runs/damaged")


def ranks(maker: Maker) -> None:
    """Make a run whose trials two ranks train together, measured."""
    maker.hpc("run", "packs.yaml", "--on", "measured", "--dir", "runs/ranks", "--set", "seeds=1")


def slurm(maker: Maker) -> None:
    """Make a run on a real SLURM, with accounts, of two jobs."""
    with Cluster(nodes=2) as cluster:
        maker.variables |= cluster.environment
        maker.hpc("run", "queued.yaml", "--on", "slurm2", "--dir", "runs/slurm")


def requeued(maker: Maker) -> None:
    """Make a run on a real SLURM that refuses the first submission, and of which a job is stopped as by its
    time limit, goes back into the queue, and goes on.
    """
    with Cluster(nodes=2, accounting=False) as cluster:
        maker.variables |= cluster.environment
        maker.hpc("submit", "stopped.yaml", "--on", "nowhere", "--dir", "runs/requeued", code=1)
        maker.hpc("submit", "stopped.yaml", "--on", "requeued", "--dir", "runs/requeued")
        maker.until(lambda: maker.has("requeued", "epoch"))
        cluster.run("scancel", "--signal=USR2", "1_0")
        maker.until(lambda: maker.has("requeued", "left", how="done"))
        time.sleep(3)
        maker.hpc("status", "runs/requeued")


def unfit(maker: Maker) -> None:
    """Make a run of two jobs: SLURM has restarted one too often, and tells late what they have cost."""
    with pytest.MonkeyPatch.context() as patch:
        fake = FakeSlurm.install(maker.folder / "slurm", patch)
        (fake.bin / "srun").write_text(SRUN)
        maker.variables |= {key: os.environ[key] for key in ("PATH", "FAKE_SLURM")}
        maker.hpc("submit", "queued.yaml", "--on", "fast", "--dir", "runs/unfit")
        (script,) = maker.folder.glob("runs/unfit/jobs/1/*.sh")
        states = {"0": "FAILED", "1": "COMPLETED"}
        for index, state in states.items():
            job = {
                "SLURM_ARRAY_JOB_ID": "101", "SLURM_JOB_ID": "102", "SLURM_ARRAY_TASK_ID": index,
                "SLURMD_NODENAME": "n1", "SLURM_RESTART_COUNT": "21" if state == "FAILED" else "0",
            }  # fmt: skip
            subprocess.run(
                ["bash", script.name], cwd=script.parent, env={**maker.variables, **job}, check=False
            )
            fake.set(f"101_{index}", state, nodes="n1", sacct=None)
        maker.hpc("status", "runs/unfit")
        times = {"Start": "2026-01-01T00:01:00", "End": "2026-01-01T00:02:00", "ElapsedRaw": "60"}
        for index, state in states.items():
            account = {**times, "AllocTRES": "cpu=1,mem=1G,node=1,billing=1"}
            fake.set(f"101_{index}", state, sacct=state, account=account)
        maker.hpc("status", "runs/unfit")


def queued(maker: Maker) -> None:
    """Make a run that was submitted, and of whose jobs none has begun."""
    _submit(maker, "queued")


def queued_search(maker: Maker) -> None:
    """Make a search of which no job has begun."""
    _submit(maker, "queued_search")


def _submit(maker: Maker, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fake = FakeSlurm.install(maker.folder / "slurm", patch)
        maker.variables |= {key: os.environ[key] for key in ("PATH", "FAKE_SLURM")}
        maker.hpc("submit", SUBMITTED[name], "--on", "fast", "--dir", f"runs/{name}")
        text = json.dumps({"arrays": fake.arrays}, indent=1)
        (maker.folder / "runs" / name / "queue.json").write_text(text + "\n")  # what SLURM knows of it


MAKERS: Mapping[str, Callable[[Maker], None]] = {
    one.__name__: one
    for one in (
        grid, packs, search, budget, folds, failures, stopped, unfinished, damaged, ranks, slurm, requeued,
        unfit, queued, queued_search,
    )
}  # fmt: skip
STEADY = ("grid", "packs", "search", "folds", "failures")
"""Those that leave behind the same kinds of records whenever they are made, with one rank and no SLURM."""


def make(name: str, target: Path) -> None:
    """Make one of the runs.

    Args:
        name: of it.
        target: the folder to make, anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(Path(folder).resolve())
        MAKERS[name](maker)
        run = maker.folder / "runs" / name
        neutral(run, maker.folder)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run, target)


def neutral(run: Path, folder: Path) -> None:
    """Rename in a run what names this machine, and leave out what is no part of it."""
    left_out = (
        "gathered", "table.parquet", "*.pkl",  # of submitit's, read at once by the job that they start
        "controller.log",
    )  # fmt: skip
    for pattern in left_out:
        for path in list(run.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    ends = (".json", ".jsonl", ".journal", ".sh", ".out", ".yaml")
    texts = {p: p.read_text() for p in run.rglob("*") if p.is_file() and p.suffix in ends}
    seals = _seals(texts, folder)
    for path, text in texts.items():
        renamed = _renamed(text, folder)
        for old, new in seals.items():
            renamed = renamed.replace(old, new)
        path.write_text(renamed)


def _seals(texts: Mapping[Path, str], folder: Path) -> dict[str, str]:
    """The digests of all that ``sweep.yaml`` was, by what they become; it may hold the user's folder."""
    kept = [text for path, text in texts.items() if path.name == "sweep.yaml"]
    for path, text in texts.items():
        if path.name == "run.jsonl":
            kept += [json.loads(line).get("file", "") for line in text.splitlines()]
    bodies = [text.partition("\n")[2] for text in kept if text]
    return {_digest(body): _digest(_renamed(body, folder)) for body in bodies}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _renamed(text: str, folder: Path) -> str:
    # What this Python says of an editable installation that it can't find is nothing of the run's.
    text = re.sub(r"Error processing line 1 of .*?Remainder of file ignored\n", "", text, flags=re.DOTALL)
    names = {
        str(folder): PROJECT,
        sys.prefix: f"{PROJECT}/.venv",
        str(ROOT): "/home/user/hpc-sweeps",
        platform.platform(): "Linux-6.1.0-x86_64-with-glibc2.36",
        _boot(): "00000000-0000-4000-8000-000000000000",
    }
    for old, new in names.items():
        text = text.replace(old, new)
    text = re.sub(rf"(?<![\w-]){re.escape(socket.gethostname())}(?![\w-])", "node1", text)
    return re.sub(rf'"user": ("?){os.getuid()}\b', rf'"user": \g<1>{USER_ID}', text)


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else "no boot id"


if __name__ == "__main__":
    for wanted in sys.argv[1:] or MAKERS:
        make(wanted, RUNS / wanted)
        print(f"{RUNS / wanted} is made.")
