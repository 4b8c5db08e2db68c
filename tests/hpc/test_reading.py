"""Looking at a run runs nothing out of its folder, which may be anybody's."""

from __future__ import annotations

import os
import pickle
import pwd
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hpc import running, submitting, sweeps, verifying
from hpc.cli.app import app
from hpc.drawing import draw
from hpc.jobs.training import checkpoint
from hpc.outcome import View
from hpc.owners import of_another, whose_code
from hpc.results import Records, RunError
from tests.conftest import environment
from tests.hpc.shown import make
from tests.marks import slow_but
from tests.results.written import Worker

NOBODY = 65534
SPRUNG = "SPRUNG"
"""What is written where code of the folder runs."""
TRAP = """from pathlib import Path
Path({mark!r}).touch()
def model(input_shape):
    Path({mark!r}).touch()
def data():
    import numpy
    Path({mark!r}).touch()
    return numpy.random.default_rng(0).normal(size=(40, 2)), numpy.arange(40) % 2
"""
SHADOWED = (
    "json.py", "numpy.py", "pandas.py", "typer.py", "rich.py", "yaml.py", "sitecustomize.py", "results.py",
    "sweeps.py", "models.py", "jobs.py", "optuna.py", "keras.py", "tensorflow.py", "mlflow.py",
    "tensorboard.py", "matplotlib.py", "hpc.py",
)  # fmt: skip
"""Modules that Python would find in its current folder, were that on its path."""
READING: dict[str, list[str]] = {
    "status": ["status", "RUN"],
    "status --json": ["status", "RUN", "--json"],
    "table": ["table", "RUN"],
    "table --epochs": ["table", "RUN", "--epochs"],
    "table --points": ["table", "RUN", "--points"],
    "report": ["report", "RUN"],
    "show": ["show", "RUN"],
    "cost": ["cost", "RUN"],
    "logs": ["logs", "RUN", "TRIAL"],
    "compare": ["compare", "RUN", "RUN"],
    "export tensorboard": ["export", "RUN", "--to", "tensorboard"],
    "export mlflow": ["export", "RUN", "--to", "mlflow"],
    "scaling": ["scaling", "RUN"],
    "plot": ["plot", "RUN"],
    "cancel": ["cancel", "RUN"],
    "list": ["list", "models"],
}


class Bomb:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def trapped(folder: Path, **changes: Any) -> str:
    """A run of which every file writes ``SPRUNG`` into its folder when it is run; its finished trial."""
    code = TRAP.format(mark=str(folder / SPRUNG))
    folder.parent.mkdir(exist_ok=True)
    (folder.parent / "trap.py").write_text(code)
    first = make(folder, **changes)[0]
    Worker(folder).finish(first, [0.5, 0.75], confusion={"validation": [[3, 1], [0, 10]]})
    log = "jobs/1/local-1-0_log.out"
    Records(folder / "records" / "run.jsonl").append("submitted", job="local-1-0", log=log)
    for name in ("models", "gathered", "jobs/1", "checkpoints"):
        (folder / name).mkdir(exist_ok=True)
    (folder / log).write_text("a log\n")
    bomb = pickle.dumps(Bomb(folder / SPRUNG))
    for name in ("1_submitted.pkl", "1_0_result.pkl", "local-1-0_submitted.pkl", "local-1-0_0_result.pkl"):
        (folder / "jobs" / "1" / name).write_bytes(bomb)
    for name in ("gathered/run.json", "table.parquet", "study.journal", "checkpoints/x.npz"):
        (folder / name).write_bytes(bomb)
    (folder / "profiles.yaml").write_text(f"mine: {{cluster: slurm, setup: ['touch {folder}/{SPRUNG}']}}\n")
    (folder / "matplotlibrc").write_text("backend: module://trap\n")
    for name in (*SHADOWED, "trap.py"):
        (folder / name).write_text(code)
    return first


def reading(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, typed in the very folder of the run."""
    command = [str(Path(sys.executable).with_name("hpc")), *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


def is_sprung(folder: Path) -> bool:
    return (folder / SPRUNG).exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of somebody's own code, and its finished trial."""
    folder = tmp_path_factory.mktemp("somebody's") / "run"
    code = {"model": f"{folder}/trap.py:model", "data": "trap:data"}
    return folder, trapped(folder, **code, space={}, baselines=[{"model": "knn"}, {"model": "trap.py:model"}])


@pytest.mark.parametrize("name", slow_but(["table --points", "status"], READING))
def test_a_command_that_reads_a_run_runs_nothing_out_of_its_folder(
    run: tuple[Path, str], tmp_path: Path, name: str
) -> None:
    folder, trial = run
    command = READING[name]
    words = [{"RUN": str(folder), "TRIAL": trial}.get(word, word) for word in command]
    done = reading(folder, *words)
    assert not is_sprung(folder)
    assert "Traceback" not in done.stderr
    # There is nothing to measure in one rank's records, which is told.
    assert done.returncode == (2 if command[0] == "scaling" else 0), done.stderr


def test_the_traps_of_these_tests_work(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "run"
    trapped(folder)
    exec((folder / "json.py").read_text(), {})
    assert is_sprung(folder)
    (folder / SPRUNG).unlink()
    pickle.loads((folder / "table.parquet").read_bytes())
    assert is_sprung(folder)


def test_what_needs_the_data_is_left_out_with_one_sentence_that_names_the_file(
    run: tuple[Path, str], tmp_path: Path
) -> None:
    folder, trial = run
    notes: list[str] = []
    paths = draw(folder, trial, out=tmp_path / "out", forms=["svg"], note=notes.append)
    assert [path.stem.partition("-")[2] for path in paths] == ["curves", "confusion"]
    why = (
        "the samples come from trap:data, and the code of a run is not run to look at it; "
        f"--with-data runs {folder.parent}/trap.py and draws this"
    )
    assert notes == [f"no boundary, filters, wrong, samples: {why}"]
    with pytest.raises(RunError) as refused:
        draw(folder, trial, ["samples", "wrong"], tmp_path / "out")
    assert str(refused.value) == f"no picture of the kind samples, wrong: {why}."
    assert not is_sprung(folder)


def test_with_data_their_function_is_run_and_it_is_said_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x" / "run"
    trial = trapped(folder, data="trap.py:data")
    monkeypatch.setattr("hpc.owners.os.getuid", lambda: NOBODY)
    refused = CliRunner().invoke(app, ["plot", str(folder), trial, "--kind", "samples"])
    assert (refused.exit_code, is_sprung(folder)) == (2, False)
    file = f"{folder.parent}/trap.py{of_another(folder)}"
    assert f"--with-data runs {file} and draws this." in refused.stderr
    done = CliRunner().invoke(app, ["plot", str(folder), trial, "--kind", "samples", "--with-data"])
    assert is_sprung(folder)
    said, why = done.stderr.splitlines()
    assert said == f"This runs {file}."
    assert why.endswith("samples of shape (2,) are no grey images.")


def test_data_of_ours_and_in_files_are_drawn_without_a_word(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "run"
    trial = trapped(folder, model=f"{folder}/trap.py:model")  # on digits
    paths = draw(folder, trial, ["samples"], tmp_path / "out", ["svg"])
    assert [path.name for path in paths] == [f"{trial}-samples.svg"]
    assert not is_sprung(folder)


def test_arrays_are_read_without_pickles(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "run"
    bombs = np.array([Bomb(folder / SPRUNG)] * 4, dtype=object)
    np.savez(tmp_path / "x.npz", x=bombs, y=bombs)
    trial = trapped(folder, data=str(tmp_path / "x.npz"))
    with pytest.raises(RunError, match=r"the data can't be loaded: .*x\.npz"):
        draw(folder, trial, ["samples"])
    np.savez(folder / "checkpoints" / "x.npz", head=bombs)
    for read in (checkpoint.metadata_of, checkpoint.read):
        with pytest.raises(Exception, match="allow_pickle=False"):
            read(folder / "checkpoints" / "x.npz")
    assert not is_sprung(folder)


@pytest.mark.slow
def test_a_model_is_loaded_in_safe_mode_which_runs_nothing_of_it(tmp_path: Path) -> None:
    import keras

    folder = tmp_path / "x" / "run"
    trial = trapped(folder)
    mark = str(folder / SPRUNG)
    touch = eval(f"lambda x: (__import__('pathlib').Path({mark!r}).touch(), x)[1]")
    path = folder / "models" / f"{trial}.keras"
    keras.Sequential([keras.Input((64,)), keras.layers.Lambda(touch), keras.layers.Dense(10)]).save(path)
    (folder / SPRUNG).unlink()
    done = reading(folder, "plot", str(folder), trial, "--format", "svg")
    assert not is_sprung(folder)
    assert f"no wrong: plain Keras can't load {path}" in done.stderr
    assert "unsafe" in done.stderr
    drawn = [Path(line).name.removeprefix(f"{trial}-") for line in done.stdout.splitlines()]
    assert drawn == ["curves.svg", "confusion.svg", "samples.svg"]
    keras.saving.load_model(path, safe_mode=False)
    assert is_sprung(folder)


@pytest.fixture(params=["their file", "my number"])
def not_mine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Makes a file another user's; the name of that user."""

    def give(path: Path) -> str:
        if request.param == "their file":
            if os.getuid() != 0:
                pytest.skip("only root may give files away")
            os.chown(path, 54321, -1)  # a number that nobody has
            return "user 54321"
        mine = os.getuid()
        monkeypatch.setattr("hpc.owners.os.getuid", lambda: NOBODY)
        return pwd.getpwuid(mine).pw_name

    return give


def test_whose_code_is_said_of_all_that_a_sweep_names_and_imports(
    tmp_path: Path, not_mine: Callable[[Path], str]
) -> None:
    (tmp_path / "parts.py").write_text("def layer(): ...\n")
    (tmp_path / "mine.py").write_text("from parts import layer\ndef model(input_shape): ...\n")
    sweep = sweeps.parse({"name": "x", "model": "mine.py:model", "data": "gone.py:data"}, tmp_path)
    assert whose_code(sweep, tmp_path) == ""
    who = not_mine(tmp_path / "parts.py")
    theirs = [path for path in (tmp_path / "mine.py", tmp_path / "parts.py") if of_another(path)]
    assert theirs[-1].name == "parts.py"
    more = " (and 1 more)" if len(theirs) == 2 else ""
    assert whose_code(sweep, tmp_path / "gone.yaml") == (
        f"What is about to run with your rights is not all yours: {theirs[0]} of {who}, another user{more}."
    )
    assert whose_code(sweeps.parse({"name": "x", "model": "mlp", "data": "digits"}, tmp_path)) == ""


def test_a_folder_of_another_user_is_named_before_its_run_goes_on(
    tmp_path: Path, not_mine: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x" / "run"
    make(folder, search={"method": "random", "trials": 2})
    who = not_mine(folder)
    heard: list[str] = []

    class Heard(View):
        def note(self, text: str) -> None:
            heard.append(text)

    def stop(*arguments: object, **options: object) -> None:
        heard.append("it runs")
        raise RunError("stopped here")

    monkeypatch.setattr(running, "_run", stop)
    monkeypatch.setattr(submitting, "submit_with", stop)
    said = f"What is about to run with your rights is not all yours: {folder} of {who}, another user"
    for go_on in (partial(running.resume, view=Heard()), partial(submitting.resubmit, note=heard.append)):
        with pytest.raises(RunError, match="stopped here"):
            go_on(folder)
        first, then = heard
        assert first.startswith(said)
        assert then == "it runs"
        heard.clear()
    for command in (["resume", str(folder)], ["extend", str(folder), "--trials", "+1"]):
        done = CliRunner().invoke(app, command)
        assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "hpc: stopped here")
        assert said in done.output


def test_verify_resume_says_whose_code_it_is_about_to_run(
    tmp_path: Path, not_mine: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def model(input_shape): ...\n")
    sweep = sweeps.parse({"name": "x", "model": "mine.py:model", "data": "digits"}, tmp_path)
    who = not_mine(tmp_path / "mine.py")
    monkeypatch.setattr(verifying, "_first_trial", lambda sweep: 1 / 0)
    heard: list[str] = []
    with pytest.raises(ZeroDivisionError):
        verifying.verify_resume(sweep, note=heard.append)
    assert heard == [
        f"What is about to run with your rights is not all yours: {tmp_path}/mine.py of {who}, another user."
    ]
