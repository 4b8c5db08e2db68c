"""The command where the environment is not what it should be: it works, or says what is wrong and ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hpc.catalog import first_sentence
from hpc.jobs.node import device
from hpc.results import Run
from tests.conftest import ROOT, environment

DIGITS = [
    "run", str(ROOT / "sweeps" / "digits.yaml"), "--set", "fixed.epochs=1", "--set", "seeds=1",
    "--set", "space={hidden_size: [8]}",
]  # fmt: skip
TWO_OF_FOUR = {
    "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}  # fmt: skip
UNSET = (
    "`unset OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_RANK OMPI_COMM_WORLD_LOCAL_SIZE`"
)


def typed(
    folder: Path,
    *arguments: str,
    variables: Mapping[str, str],
    without: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """What becomes of the command in a folder, with and without variables of the environment."""
    env = {name: value for name, value in environment().items() if name not in without} | dict(variables)
    command = [*prefix, str(Path(sys.executable).with_name("hpc")), *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_rank_that_is_left_over_from_a_launcher_says_so(
    tmp_path: Path, rank: str, mpirun: list[str]
) -> None:
    done = typed(tmp_path, *DIGITS, variables={"OMPI_COMM_WORLD_RANK": rank, **TWO_OF_FOUR})
    assert (done.returncode, done.stdout) == (2, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith(
        f"hpc: OMPI_COMM_WORLD_RANK says that this is rank {rank} of 4, but MPI finds a world"
    )
    assert UNSET in said
    assert list(tmp_path.iterdir()) == []


def test_variables_of_a_launcher_that_are_half_there_are_wrong_use(tmp_path: Path) -> None:
    done = typed(tmp_path, *DIGITS, variables={"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hpc: OMPI_COMM_WORLD_LOCAL_RANK is missing beside OMPI_COMM_WORLD_RANK, ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_python_without_docstrings_is_refused_before_a_worker_starts(tmp_path: Path) -> None:
    done = typed(tmp_path, *DIGITS, variables={"PYTHONOPTIMIZE": "2"})
    said = (
        "PYTHONOPTIMIZE=2, or python -OO, takes docstrings off, and TensorFlow can't be imported "
        "without its own: `unset PYTHONOPTIMIZE`, or set it to 1."
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"hpc: {said}\n")
    assert list(tmp_path.iterdir()) == []
    listed = typed(tmp_path, "list", "searches", variables={"PYTHONOPTIMIZE": "2"})
    assert (listed.returncode, listed.stderr) == (0, "")


def test_a_worker_without_docstrings_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.why_not(0) == device.why_not(1) == ""
    assert first_sentence(None) == ""
    monkeypatch.setattr(device, "why_not", lambda: "no docstrings")
    with pytest.raises(RuntimeError, match=r"^no docstrings\.$"):
        device.start(1, 0, 0, 1)


@pytest.mark.slow
def test_a_sweep_is_carried_out_in_a_poor_and_odd_environment(tmp_path: Path) -> None:
    """Every one of these has once kept a tool of this kind from working."""
    folder = tmp_path / "Übung"
    folder.mkdir()
    for name in ("json.py", "numpy.py", "keras.py", "tensorflow.py", "models.py", "sitecustomize.py"):
        (folder / name).write_text("from pathlib import Path\nPath(__file__).with_name('SPRUNG').touch()\n")
    done = typed(
        folder, *DIGITS, "--dir", "läufe", "--workers", "1",
        without=("HOME", "TMPDIR", "USER", "LOGNAME"),
        prefix=("bash", "-c", 'ulimit -n 64; exec "$@"', "--"),
        variables={
            "LC_ALL": "C", "OMP_NUM_THREADS": "", "KERAS_BACKEND": "torch", "TF_USE_LEGACY_KERAS": "1",
            "PYTHONOPTIMIZE": "1", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
            "SLURM_NODEID": "0", "SLURM_NTASKS": "4",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Run(folder / "läufe").counts()["finished"] == 1
    assert not (folder / "SPRUNG").exists()
