"""Whole sweeps on this machine, by the command, with everything that can go wrong."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pandas as pd
import psutil
import pytest

from hpc import results, running
from hpc.folder_guard import standing
from hpc.results import Run, RunError
from hpc.sweeps import load_stored, parse
from tests.conftest import Hpc
from tests.hpc.started import FAULTS, built, epochs_of, start, states, sweep, until


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that have to do with a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def has_run(folder: Path) -> bool:
    return (folder / "sweep.yaml").exists()


def start_sweep(folder: Path, faults: list[str], epochs: int) -> subprocess.Popen[str]:
    """A sweep over faults by one worker, into ``r``, once its first trial is running."""
    process = start(folder, "run", sweep(folder, faults, epochs=epochs), "--workers", "1", "--dir", "r")
    until(lambda: has_run(folder / "r") and "running" in states(folder / "r").values())
    return process


def kill(process: subprocess.Popen[str]) -> None:
    """End a process by SIGKILL, which it can't do anything about."""
    process.kill()
    process.communicate(timeout=60)


def test_a_sweep_is_carried_out_by_a_worker_and_has_its_table(tmp_path: Path, hpc: Hpc) -> None:
    done = hpc("run", sweep(tmp_path, ["none"]), "--workers", "1", "--dir", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path / "r") == {"none": "finished"}
    (row,) = results.table(tmp_path / "r").to_dict("records")
    assert 0 <= row["val_accuracy"] <= 1
    assert row["ranks"] == 1
    assert not processes_of(tmp_path)


@pytest.mark.slow
def test_every_way_to_fail_is_told_and_the_sweep_goes_on(tmp_path: Path, hpc: Hpc) -> None:
    path = sweep(tmp_path, ["none", "raises", "nan", "killed", "memory", "slow"])
    done = hpc("run", path, "--workers", "1", "--dir", "r")
    assert done.returncode == 1, done.stdout + done.stderr
    run = tmp_path / "r"
    assert states(run) == {
        "none": "finished", "raises": "error", "nan": "diverged", "killed": "error",
        "memory": "out-of-memory", "slow": "finished",
    }  # fmt: skip
    table = results.table(run).set_index("fault")
    assert table.error["raises"].startswith("RuntimeError: this model can't be built\nTraceback")
    assert "loss is nan after epoch 1" in table.error["nan"]
    assert "was killed" in table.error["killed"]
    assert "MemoryError" in table.error["memory"]
    assert "RuntimeError: this model can't be built" in done.stderr
    assert "2 finished, 4 failed" in done.stdout
    assert f"hpc resume {'r'}" in done.stdout
    assert not processes_of(tmp_path)


@pytest.mark.slow
def test_a_trial_that_kills_its_worker_in_a_pack_fails_and_the_others_do_not(
    tmp_path: Path, hpc: Hpc
) -> None:
    (tmp_path / "mine.py").write_text(
        "import os, signal\n"
        "import keras\n"
        "def build(input_shape, num_classes, *, rate: float = 0.1):\n"
        "    if rate > 0.35:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),\n"
        "        keras.layers.Dropout(rate), keras.layers.Dense(num_classes, 'softmax')])\n"
    )
    (tmp_path / "s.yaml").write_text(
        "name: x\nmodel: mine.py:build\ndata: {name: digits, train: 100, validation: 50}\n"
        "space: {rate: [0.1, 0.2, 0.4, 0.3]}\nfixed: {epochs: 2, batch_size: 50}\n"
    )
    done = hpc("run", "s.yaml", "--workers", "1", "--dir", "r")
    assert done.returncode == 1, done.stdout + done.stderr
    trials = Run(tmp_path / "r").trials.values()
    assert {t.params["rate"]: t.state for t in trials} == {
        0.1: "finished", 0.2: "finished", 0.4: "failed", 0.3: "finished",
    }  # fmt: skip
    assert sorted(max(t.attempts) for t in trials) == [1, 2, 2, 2]  # 0.3 had not begun
    assert "was killed" in next(t.attempt.error for t in trials if t.state == "failed")
    assert "died while training" in done.stdout + done.stderr


@pytest.mark.slow
def test_failed_trials_are_tried_again_and_diverged_ones_only_with_other_code(
    tmp_path: Path, hpc: Hpc
) -> None:
    path, code = sweep(tmp_path, ["none", "raises", "nan", "memory"]), tmp_path / "faults.py"
    code.write_text(FAULTS.read_text())
    path.write_text(path.read_text().replace(str(FAULTS), str(code)))
    hpc("run", path, "--workers", "1", "--dir", "r")
    run = tmp_path / "r"
    again = hpc("resume", "r", "--workers", "1")
    assert again.returncode == 1
    # neither the finished ones nor the one that would diverge again
    assert sorted(built(tmp_path)[4:]) == ["memory", "raises"]
    assert len(results.table(run)) == 4

    code.write_text(FAULTS.read_text().replace('float("nan")', "1.0"))
    refused = hpc("resume", "r", "--workers", "1")
    assert (refused.returncode, states(run)["nan"]) == (2, "diverged")
    assert "has trials of other code or data" in refused.stderr
    hpc("resume", "r", "--workers", "1", "--mixed-code")
    assert states(run)["nan"] == "finished"


@pytest.mark.slow
def test_a_run_is_finished_once_and_never_mixed_with_another(tmp_path: Path, hpc: Hpc) -> None:
    path = sweep(tmp_path, ["none", "slow"])
    for name in ("models", "jobs"):  # packages of the user's that are called as ours
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    first = hpc("run", path)
    assert first.returncode == 0, first.stdout + first.stderr
    run = tmp_path / "runs" / "faults"
    assert states(run) == {"none": "finished", "slow": "finished"}
    assert "2 trials: 2 finished" in first.stdout
    assert "best_val_accuracy" in first.stdout
    assert re.search(r"The first trial began after \d+\.\d s; since then 2 workers spent \d+%", first.stdout)

    again = hpc("run", path)
    assert (again.returncode, len(built(tmp_path))) == (0, 2)
    assert "Nothing to do" in again.stdout
    assert "The first trial" not in again.stdout

    for name in ("models", "jobs"):  # a file that is moved beside them would import them
        shutil.rmtree(tmp_path / name)
    elsewhere = tmp_path / "a user's folder"
    elsewhere.mkdir()
    (elsewhere / "faults.py").write_text(FAULTS.read_text())
    moved = hpc("run", path, "--set", f"model={elsewhere}/faults.py:build")
    assert (moved.returncode, len(built(tmp_path))) == (0, 2)
    assert load_stored(run / "sweep.yaml").model == f"{elsewhere}/faults.py:build"

    other = hpc("run", path, "--set", "fixed.epochs=3")
    assert other.returncode == 2
    assert "holds another sweep: here fixed.epochs is 3, there 2" in other.stderr
    assert len(other.stderr.splitlines()) == 1

    csv = hpc("table", run, "--format", "csv")
    table = pd.read_csv(io.StringIO(csv.stdout))
    assert table.columns[:4].tolist() == ["trial_id", "state", "reason", "fault"]
    assert table.columns[-10:].tolist() == [
        "seconds", "ranks", "job_id", "node", "error", "started", "node_hours", "core_hours", "gpu_hours",
        "energy_joules",
    ]  # fmt: skip
    assert [table[name].dtype.kind for name in ("seed", "epochs", "ranks", "val_loss")] == list("iiif")
    epochs = pd.read_csv(io.StringIO(hpc("table", run, "--epochs", "--format", "csv").stdout))
    assert epochs.groupby("trial_id").epoch.apply(list).tolist() == [[1, 2], [1, 2]]
    last = epochs[epochs.epoch == 2].set_index("trial_id").val_loss
    assert last.to_dict() == table.set_index("trial_id").val_loss.to_dict()
    assert (run / "table.parquet").is_file()

    status = json.loads(hpc("status", run, "--json").stdout)
    assert status["trials"] == {
        "waiting": 0, "running": 0, "finished": 2, "pruned": 0, "failed": 0, "total": 2,
    }  # fmt: skip
    assert status["best"]["value"] == table.best_val_accuracy.max()
    assert {job["state"] for job in status["jobs"]} == {"done"}
    facts = json.loads((run / "provenance.json").read_text())
    assert facts["packages"]["tensorflow"].startswith("2.18")
    assert len(list((run / "records").iterdir())) == 3  # one per job, and the plan


@pytest.mark.slow
def test_a_killed_worker_costs_one_trial_which_is_trained_when_run_again(tmp_path: Path, hpc: Hpc) -> None:
    path = sweep(tmp_path, ["none", "slow", "nan"], epochs=4)
    process = start(tmp_path, "run", path, "--workers", "1", "--dir", "r")
    until(lambda: has_run(tmp_path / "r") and epochs_of(tmp_path / "r", "slow") > 0)
    for job in psutil.Process(process.pid).children(recursive=True):
        if "submitit.core._submit" in " ".join(job.cmdline()):
            job.kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert states(tmp_path / "r") == {"none": "finished", "slow": "error", "nan": "diverged"}
    assert "died while training" in output

    again = hpc("run", path, "--workers", "1", "--dir", "r")
    assert states(tmp_path / "r") == {"none": "finished", "slow": "finished", "nan": "diverged"}
    assert built(tmp_path) == ["none", "slow", "nan", "slow"]
    assert len(results.table(tmp_path / "r")) == 3
    assert again.returncode == 1  # one trial of the run has diverged, and stays so


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_says_how_to_go_on(tmp_path: Path, hpc: Hpc) -> None:
    process = start_sweep(tmp_path, ["slow", "none"], epochs=8)
    second = hpc("run", "faults.yaml", "--dir", "r")
    assert second.returncode == 2
    assert f"is being carried out by process {process.pid}" in second.stderr
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped; go on with: hpc resume r" in output
    assert "Traceback" not in output
    assert not processes_of(tmp_path)
    assert states(tmp_path / "r") == {"slow": "cancelled", "none": "waiting"}
    assert "nobody is at it" in hpc("status", "r").stdout

    assert hpc("resume", "r").returncode == 0
    assert set(states(tmp_path / "r").values()) == {"finished"}


@pytest.mark.slow
def test_a_run_is_cancelled_from_another_terminal(tmp_path: Path, hpc: Hpc) -> None:
    process = start_sweep(tmp_path, ["slow", "none"], epochs=50)
    status = json.loads(hpc("status", "r", "--json").stdout)
    assert status["runner"]["pid"] == process.pid
    assert [job["state"] for job in status["jobs"]] == ["running"]
    cancelled = hpc("cancel", "r")
    assert (cancelled.returncode, cancelled.stderr) == (0, "")
    assert "hpc resume r" in cancelled.stdout
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert not processes_of(tmp_path)
    assert states(tmp_path / "r")["slow"] == "cancelled"
    assert "nothing of r is running; 2 trials are not finished" in hpc("cancel", "r").stdout


@pytest.mark.slow
def test_a_killed_command_leaves_nothing_that_the_next_one_does_not_clear(tmp_path: Path, hpc: Hpc) -> None:
    process = start_sweep(tmp_path, ["slow", "none"], epochs=6)
    kill(process)
    assert processes_of(tmp_path)  # the worker, which nobody watches
    done = hpc("resume", "r", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(tmp_path / "r").values()) == {"finished"}
    assert not processes_of(tmp_path)


@pytest.mark.slow
def test_a_worker_whose_command_is_gone_stops_by_itself(tmp_path: Path, hpc: Hpc) -> None:
    process = start_sweep(tmp_path, ["slow", "none"], epochs=20)
    kill(process)
    until(lambda: not processes_of(tmp_path), 30)
    assert json.loads(hpc("status", "r", "--json").stdout)["lost"] == 0
    done = epochs_of(tmp_path / "r", "slow")
    assert 0 < done < 20
    assert states(tmp_path / "r") == {"slow": "waiting", "none": "waiting"}
    assert hpc("resume", "r").returncode == 0
    (trial,) = (t for t in Run(tmp_path / "r").trials.values() if t.params["fault"] == "slow")
    assert trial.attempt.after == (1, done)  # it went on from a checkpoint
    assert len(results.table(tmp_path / "r", epochs=True)) == 40


@pytest.mark.slow
def test_data_that_do_not_load_stop_the_run_with_the_reason(tmp_path: Path, hpc: Hpc) -> None:
    (tmp_path / "data.py").write_text("def load():\n    return [[1, 2], [3]], [[1], [2]]\n")
    path = sweep(tmp_path, ["none", "slow"])
    done = hpc("run", path, "--dir", "it's a run", "--set", f"data={{name: '{tmp_path}/data.py:load'}}")
    assert done.returncode == 1
    assert "could not start" in done.stderr
    assert "training part: x has 2 samples, y has 1" in done.stderr
    assert "Its log: " in done.stderr
    assert set(states(tmp_path / "it's a run").values()) == {"waiting"}


@pytest.mark.slow
def test_a_model_file_that_does_not_import_stops_the_run_once(tmp_path: Path, hpc: Hpc) -> None:
    (tmp_path / "net.py").write_text("import no_such_thing\n\ndef build(fault, log): ...\n")
    path = sweep(tmp_path, ["none", "slow"])
    done = hpc("run", path, "--dir", "r", "--workers", "1", "--set", "model=net.py:build")
    assert done.returncode == 1
    assert done.stderr.count("ModuleNotFoundError: No module named 'no_such_thing'") == 1
    assert set(states(tmp_path / "r").values()) == {"waiting"}


@pytest.mark.slow
def test_two_ranks_train_what_one_trains_and_faults_of_one_rank_are_told(tmp_path: Path, hpc: Hpc) -> None:
    faults = [
        "none",
        "raises on rank 1",
        "raises in training on rank 1",
        "killed on rank 1",
        "memory",
        "slow",
    ]
    path = sweep(tmp_path, faults)
    done = hpc("run", path, "--ranks", "2", "--workers", "1", "--dir", "two")
    assert done.returncode == 1, done.stdout + done.stderr
    assert states(tmp_path / "two") == {
        "none": "finished", "raises on rank 1": "error", "raises in training on rank 1": "error",
        "killed on rank 1": "error", "memory": "out-of-memory", "slow": "finished",
    }  # fmt: skip
    two = results.table(tmp_path / "two").set_index("fault")
    assert two.ranks.tolist() == [2] * 6
    assert two.error["raises on rank 1"].startswith("rank 1: RuntimeError: only here")
    assert "in the middle of a step" in two.error["raises in training on rank 1"]
    assert two.error["raises in training on rank 1"].startswith("rank 1: ")
    assert not processes_of(tmp_path)

    hpc("run", sweep(tmp_path, ["none", "slow"], "one"), "--on", "debug", "--dir", "one")
    one = results.table(tmp_path / "one").set_index("fault")
    for fault in ("none", "slow"):
        assert two.val_loss[fault] == pytest.approx(one.val_loss[fault], abs=1e-4)
        assert two.trial_id[fault] == one.trial_id[fault]


@pytest.mark.slow
def test_ranks_that_mpirun_has_started_are_one_worker(tmp_path: Path, hpc: Hpc, mpirun: list[str]) -> None:
    path = sweep(tmp_path, ["none", "raises on rank 1", "raises"])
    done = hpc("run", path, "--dir", "r", prefix=mpirun)
    assert done.returncode == 1
    assert states(tmp_path / "r") == {"none": "finished", "raises on rank 1": "finished", "raises": "error"}
    assert results.table(tmp_path / "r").ranks.tolist() == [2, 2, 2]
    refused = hpc("run", path, "--dir", "r", "--ranks", "3", prefix=mpirun)
    assert "mpirun has started 2 ranks" in refused.stderr
    assert refused.returncode == 2


@pytest.mark.parametrize("name", ["80%train", "100%accuracy", "%j"])
def test_a_folder_in_which_submitit_would_put_numbers_is_refused(tmp_path: Path, name: str) -> None:
    folder, pattern = tmp_path / name, re.search(r"%[jta]", name)
    assert pattern is not None
    entries = {"name": "x", "model": "mlp", "data": "digits", "fixed": {"epochs": 1}}
    said = f"{folder} can't hold a run on this machine: submitit, which starts its workers, takes the "
    said += f"{pattern[0]} in {folder} for the place of a number"
    for on in ("local", "debug"):
        with pytest.raises(RunError, match=re.escape(said)):
            running.run(parse(entries), on=on, folder=folder)
    assert list(tmp_path.iterdir()) == []


def test_a_run_from_python_says_why_nothing_could_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.py").write_text("def load():\n    raise FileNotFoundError('no a.npz')\n")
    entries = {"name": "x", "model": "mlp", "data": "data.py:load", "fixed": {"epochs": 1}}
    outcome = running.run(parse(entries, tmp_path), on="debug", folder=tmp_path / "r")
    assert not outcome.is_good
    assert str(outcome).splitlines()[1] == "FileNotFoundError: no a.npz"
    assert "FileNotFoundError: no a.npz" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("there", ["nothing", "another folder", "a file", "the same by a link"])
def test_a_folder_is_known_wherever_it_goes(tmp_path: Path, there: str) -> None:
    folder, moved = tmp_path / "r", tmp_path / "a b" / "r"
    folder.mkdir()
    moved.parent.mkdir()
    with standing(folder) as it:
        it.require()
        folder.rename(moved)
        if there == "another folder":
            folder.mkdir()
        elif there == "a file":
            folder.write_text("")
        elif there == "the same by a link":
            folder.symlink_to(moved)
            it.require()
            return
        with pytest.raises(RunError) as caught:
            it.require("Its workers were stopped.")
        assert str(caught.value) == (
            f"{folder} was moved to {moved} while the run was carried out. Its workers were stopped. What "
            f"was recorded is not lost: `hpc resume {moved}` goes on."
        )
        shutil.rmtree(moved)
        with pytest.raises(RunError, match="was removed while the run was carried out"):
            it.require()


@pytest.mark.slow
@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_whose_folder_is_moved_stops_and_goes_on_where_it_is_now(
    tmp_path: Path, hpc: Hpc, replaced: bool
) -> None:
    process = start_sweep(tmp_path, ["none", "slow"], epochs=12)
    until(lambda: epochs_of(tmp_path / "r", "slow") > 0)
    (tmp_path / "r").rename(tmp_path / "moved")
    if replaced:
        (tmp_path / "r").mkdir()
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"was moved to {tmp_path / 'moved'}" in said.replace("\n", " ")
    assert "Traceback" not in said
    assert list(tmp_path.glob("r/*")) == []
    assert (tmp_path / "r").exists() == replaced
    assert states(tmp_path / "moved")["none"] == "finished"
    assert not processes_of(tmp_path)
    done = hpc("resume", "moved")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path / "moved") == {"none": "finished", "slow": "finished"}
    assert built(tmp_path).count("none") == 1
