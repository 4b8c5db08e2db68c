"""Nothing that users and their scripts rely on changes unseen; runs of the stored version stay readable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.golden import make
from tests.golden.accepted import compare, plain, shape
from tests.golden.house import (
    PROJECT,
    RUNS,
    FakeSlurm,
    commands,
    copied,
    hpc,
    queue,
    results,
    standin,
    sweeps,
)

ALL = sorted(path.name for path in RUNS.iterdir())
QUEUED = [name for name in ALL if (RUNS / name / "queue.json").exists()]
BEGUN = [name for name in ALL if name not in QUEUED]
JOB = {
    "SLURM_ARRAY_JOB_ID": "101", "SLURM_JOB_ID": "102", "SLURMD_NODENAME": "n1", "SLURM_JOB_NUM_NODES": "1",
}  # fmt: skip
KEEP_STEP = "import shutil, sys; shutil.copy(sys.argv[-1], 'kept-step.json'); finish()"
"""What ranks do in a test: keep the file that tells them what to do, and finish all trials at once."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of all stored runs."""
    folder = tmp_path_factory.mktemp("golden")
    return {name: copied(name, folder) for name in ALL}


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A SLURM that has never heard of any job: what runs cost is asked for up to a day after their end."""
    return FakeSlurm.install(tmp_path / "slurm", monkeypatch)


@pytest.fixture
def as_stored(
    request: pytest.FixtureRequest, runs: dict[str, Path], slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path]:
    """The name and a copy of one stored run; where it waits in a queue, SLURM knows it."""
    name: str = request.param
    if name in QUEUED:
        queue(name, slurm, monkeypatch)
    return name, runs[name]


each = pytest.mark.parametrize("as_stored", ALL, indirect=True)


# --- the command


def test_the_help_of_every_command() -> None:
    pages = [hpc("--help").out, *(f"$ hpc {name} --help\n{hpc(name, '--help').out}" for name in commands())]
    compare("help.txt", plain("\n".join(pages)))


def answer(*arguments: str | Path) -> Any:
    return json.loads(hpc(*arguments).out)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status", ["status", "RUN", "--json"]),
        ("show", ["show", "RUN", "--json"]),
        ("table", ["table", "RUN", "--format", "json"]),
        ("table-epochs", ["table", "RUN", "--epochs", "--format", "json"]),
        ("table-points", ["table", "RUN", "--points", "--format", "json"]),
        ("cost", ["cost", "RUN", "--format", "json"]),
        ("cost-trials", ["cost", "RUN", "--trials", "--format", "json"]),
        ("cost-jobs", ["cost", "RUN", "--jobs", "--format", "json"]),
    ],
)
def test_the_keys_of_json_about_a_run(runs: dict[str, Path], name: str, arguments: list[str]) -> None:
    told = [answer(*(runs[run] if word == "RUN" else word for word in arguments)) for run in BEGUN]
    compare(f"json/{name}.txt", shape(told))


def test_the_keys_of_json_about_several_runs(runs: dict[str, Path]) -> None:
    compare("json/compare.txt", shape([answer("compare", runs["grid"], runs["packs"], "--json")]))
    compare("json/scaling.txt", shape([answer("scaling", runs["ranks"], "--predict", "4", "--json")]))
    both = answer("table", runs["grid"], runs["folds"], "--format", "json")
    compare("json/table-of-two.txt", shape([both]))


def test_the_keys_of_json_of_the_doctor(tmp_path: Path) -> None:
    said = hpc("doctor", "--json", "--no-canary", "--dir", tmp_path, code=None)  # 1 where something is wrong
    compare("json/doctor.txt", shape([json.loads(said.out)]))


# --- what a run leaves behind


def records(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a run by their kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(run.glob("records/*.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            found.setdefault(record["record"], []).append(record)
    return found


def left_behind(run: Path) -> str:
    """The files of a run, the fields of its records by kind, and the keys of its files of JSON."""
    kinds = [f"record {kind}\n{shape(of_kind)}" for kind, of_kind in sorted(records(run).items())]
    files = [
        f"{path.relative_to(run)}\n{shape([json.loads(path.read_text())])}"
        for path in (run / "provenance.json", *sorted(run.glob("jobs/*/launch.json")))
        if path.exists()
    ]
    return "\n".join([*kinds, *files])


@pytest.mark.parametrize("name", [name for name in ALL if name not in QUEUED])
def test_the_fields_of_records_and_files(name: str) -> None:
    """Of runs of the version that has stored them; of one that waits, see what submitting leaves behind."""
    compare(f"records/{name}.txt", left_behind(RUNS / name))


def test_every_documented_kind_of_record_is_in_a_stored_run() -> None:
    lines = (ROOT / "docs" / "runs.md").read_text().partition("| record | says |")[2].splitlines()[2:]
    first = [line.split("|")[1] for line in lines[: lines.index("")]]
    documented = {word.strip(" `") for cell in first for word in cell.split(",")}
    assert documented == {kind for name in ALL for kind in records(RUNS / name)}


ADDED = ("profile.snapshot: boolean",)
"""What runs of this version have, and the stored ones have not."""


@pytest.mark.slow
@pytest.mark.parametrize("name", make.STEADY)
def test_a_run_made_anew_leaves_behind_what_the_stored_one_has(name: str, tmp_path: Path) -> None:
    make.make(name, tmp_path / name)
    lines = left_behind(tmp_path / name).splitlines()
    assert set(lines) >= set(ADDED)
    compare(f"records/{name}.txt", "\n".join(line for line in lines if line not in ADDED))


def login(folder: Path, slurm: FakeSlurm, patch: pytest.MonkeyPatch) -> None:
    """Be in the user's folder, at a SLURM in which nothing ever begins."""
    for variable in [name for name in os.environ if name.startswith("HPC_")]:
        patch.delenv(variable)  # a launch keeps them
    for file, text in make.FILES.items():
        (folder / file).write_text(text)
    patch.chdir(folder)
    patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    slurm.quick(patch)


@pytest.mark.parametrize("name", QUEUED)
def test_what_submitting_leaves_behind(
    name: str, tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(tmp_path, slurm, monkeypatch)
    hpc("submit", make.SUBMITTED[name], "--on", "fast", "--dir", f"runs/{name}")
    (array,) = slurm.arrays.values()
    names = {str(tmp_path): PROJECT, sys.executable: f"{PROJECT}/.venv/bin/python"}
    run = tmp_path / "runs" / name
    assert (run / "sweep.yaml").read_text() == (RUNS / name / "sweep.yaml").read_text()
    compare(f"records/{name}.txt", left_behind(run))
    compare(f"submission/{name}.sh", plain(array["script"], names))
    launch = json.loads((run / "jobs" / "1" / "launch.json").read_text())
    compare(f"submission/{name}.json", plain(json.dumps(launch, indent=1), names))


# --- stored runs


@each
def test_the_tables_of_a_stored_run(as_stored: tuple[str, Path]) -> None:
    name, run = as_stored
    parts = []
    for option in ("", "--epochs", "--points"):
        said = hpc("table", run, "--format", "csv", *([option] if option else []))
        assert said.err == ""
        parts.append(f"$ hpc table {name} --format csv {option}\n{said.out}")
    compare(f"tables/{name}.csv", "\n".join(parts))


@each
def test_the_columns_of_tables_in_pandas(as_stored: tuple[str, Path]) -> None:
    name, run = as_stored
    frames: dict[str, pd.DataFrame] = {
        "table": results.table(run),
        "table, epochs": results.table(run, epochs=True),
        "table of two": results.table([run, run]),
        "points": results.points(run),
        "leaderboard": results.leaderboard(results.Run(run)),
    }
    texts = [f"{what}\n{described(frame)}" for what, frame in frames.items()]
    compare(f"columns/{name}.txt", "\n".join([*texts, f"front: {sorted(results.front(results.Run(run)))}"]))


def described(frame: pd.DataFrame) -> str:
    # Texts that are no categories are `str` in pandas 3 and `object` in pandas 2.
    kinds = {
        column: "text" if str(kind) in ("str", "object") else kind for column, kind in frame.dtypes.items()
    }
    columns = "".join(f"  {column}: {kind}\n" for column, kind in kinds.items())
    attributes = json.loads(json.dumps(frame.attrs, default=str))
    return f"{columns}  attrs:\n" + "".join(f"    {line}\n" for line in shape([attributes]).splitlines())


@each
def test_a_stored_run_can_be_looked_at(as_stored: tuple[str, Path]) -> None:
    _, run = as_stored
    table = results.table(run)
    for command in ("status", "cost", *(["logs"] if any(run.glob("jobs/**/*.out")) else [])):
        said = hpc(command, run)
        assert (said.err, bool(said.out)) == ("", True), command
    for trial in table.trial_id:
        assert trial in hpc("show", run, trial).out


@pytest.mark.parametrize(
    "as_stored",
    [pytest.param(name, marks=[] if name in ("failures", "grid") else pytest.mark.slow) for name in BEGUN],
    indirect=True,
)  # a page takes a second
def test_the_report_of_a_stored_run_names_its_best_trial(as_stored: tuple[str, Path], tmp_path: Path) -> None:
    _, run = as_stored
    hpc("report", run, "--out", tmp_path / "report.html")
    assert answer("show", run, "--json")["trial_id"] in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ALL)
def test_the_sweep_of_a_stored_run_has_the_trials_it_had(name: str, runs: dict[str, Path]) -> None:
    stored = sweeps.load_stored(runs[name] / "sweep.yaml")
    planned = [record["trial"] for record in records(RUNS / name).get("planned", [])]
    assert [trial.trial_id for trial in stored.trials] == planned


# --- going on


def test_an_unfinished_run_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied("unfinished", tmp_path)
    standin.use(monkeypatch)
    before = results.table(run)
    assert before.state.tolist() == ["finished", "failed", "waiting"]
    said = hpc("resume", run)
    assert "3 trials: 3 finished" in said.out
    after = results.table(run)
    assert after.trial_id.tolist() == before.trial_id.tolist()
    assert after.iloc[0].best_val_accuracy == before.iloc[0].best_val_accuracy  # it was not trained again


@pytest.mark.slow
def test_an_unfinished_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run = copied("unfinished", tmp_path)
    said = hpc("resume", run)
    assert "3 trials: 3 finished" in said.out
    whole = results.table(copied("stopped", tmp_path))
    same = ["trial_id", "state", "epochs"]
    pd.testing.assert_frame_equal(results.table(run)[same], whole[same])


def begin(run: Path, index: int) -> None:
    """Be SLURM, and begin a job that waits: by bash, from the script that sbatch was given."""
    (path,) = run.glob("jobs/1/*.sh")
    script = path.read_text().replace(f"{PROJECT}/.venv/bin/python", sys.executable)
    script = script.replace(f"{PROJECT}/runs/{run.name}", str(run))
    # Scripts of before there was one package name the module `jobs`: such jobs end at once, and `hpc resume`
    # submits what they were to train again. Their launch files are read all the same.
    script = script.replace(" -m jobs job ", " -m hpc.jobs job ")
    launch = run / "jobs" / "1" / "launch.json"
    launch.write_text(launch.read_text().replace(f"{PROJECT}/.venv/bin/python", sys.executable))
    name = path.name.removesuffix(".sh")
    variables = {**os.environ, **JOB, "SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_NAME": name}
    done = subprocess.run(
        ["bash"], input=script, text=True, cwd=path.parent, env=variables, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_jobs_that_wait_in_the_queue_are_carried_out_by_this_version(
    tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied("queued", tmp_path)
    queue("queued", slurm, monkeypatch)
    assert "Nothing to submit: 4 trials are with jobs already." in hpc("resume", run).out
    slurm.change(steps=[KEEP_STEP])
    begin(run, 0)
    begin(run, 1)
    slurm.set("101", "COMPLETED")
    # A job that has begun reads this file by the code that is installed when its ranks start.
    step = json.loads((run / "jobs" / "1" / "kept-step.json").read_text())
    step["environment"] = {name: step["environment"][name] for name in ("HPC_BACKEND", "HPC_GROUPS")}
    ranks = " ".join(slurm.calls("srun")[-1])
    names = {str(run): f"{PROJECT}/runs/queued", sys.executable: f"{PROJECT}/.venv/bin/python"}
    compare("submission/step.txt", f"{plain(ranks, names)}\n{shape([step])}")
    assert results.table(run).state.tolist() == ["finished"] * 4
    assert answer("status", run, "--json")["trials"]["finished"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "jobs", "trials"), [("queued", 2, 4), ("queued_search", 1, 10)])
def test_jobs_that_wait_in_the_queue_train(
    name: str, jobs: int, trials: int, tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(name, tmp_path)
    queue(name, slurm, monkeypatch)
    (slurm.bin / "srun").write_text(make.SRUN)
    for index in range(jobs):
        begin(run, index)
    states = results.table(run).state.tolist()
    assert len(states) == trials
    assert set(states) <= {"finished", "pruned"}


# --- ready-made sweeps


def test_the_ready_made_sweeps_are_what_they_were(
    tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(tmp_path, slurm, monkeypatch)
    (tmp_path / "mnist.npz").touch()
    monkeypatch.setenv("HPC_DATA", str(tmp_path))  # that the file is there is all that is looked at
    texts = []
    for path in sorted((ROOT / "sweeps").rglob("*.yaml")):
        name = path.relative_to(ROOT / "sweeps")
        run = tmp_path / "runs" / name.stem
        hpc("submit", path, "--on", "fast", "--profiles", "profiles.yaml", "--dir", run)
        ids = [trial.trial_id for trial in sweeps.load(path).trials]
        texts.append(f"# {name}\n{(run / 'sweep.yaml').read_text()}# trials: {' '.join(ids)}\n")
    compare("sweeps.txt", "\n".join(texts))
