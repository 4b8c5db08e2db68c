"""The copy of the user's code that jobs which wait are to train with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc import sweeps
from hpc.jobs import snapshot
from hpc.jobs.launchers import find_rank_info
from hpc.jobs.snapshot import at_snapshot, freeze
from hpc.jobs.spec import Snapshot, WorkerSpec
from hpc.jobs.user_files import Sources, SourcesChangedError
from hpc.models import Importer, model_reference
from hpc.models.importing import roots_of
from hpc.sweeps import Sweep
from tests.conftest import ROOT

ENTRIES: dict[str, Any] = {
    "name": "s", "model": "net.py:build", "data": "digits", "space": {"units": [2, 3]},
    "objective": "val_accuracy", "baselines": ["knn"],
}  # fmt: skip
FILES = {
    "project/exp/net.py": "import blocks\nfrom lib import more\ndef build(units=1):\n    return more.NAME\n",
    "project/exp/blocks.py": "",
    "project/lib/__init__.py": "",
    "project/lib/more.py": "import pathlib\n"
    "HERE = pathlib.Path(__file__)\nNAME = HERE.with_name('words.txt').read_text()\n",
    "project/lib/words.txt": "then",
    "project/lib/ignored.bin": "big",
    "project/data/ignored.npy": "numbers",
    "project/runs/old/sweep.yaml": "",
    "project/runs/old/records/run.jsonl": "",
    "project/.gitignore": "ignored.*\n",
    "project/pyproject.toml": "",
}


@pytest.fixture(autouse=True)
def path_as_it_was() -> Iterator[None]:
    """Importing files of a user's adds to it."""
    before, finders = list(sys.path), list(sys.meta_path)
    yield
    sys.path[:], sys.meta_path[:] = before, finders


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "project"


@pytest.fixture
def repository(project: Path) -> Path:
    subprocess.run(["git", "init", "-q", project], check=True)
    return project


def sweep_in(project: Path, **entries: Any) -> Sweep:
    return sweeps.parse({**ENTRIES, **entries}, project / "exp")


def frozen(sweep: Sweep, run: Path) -> tuple[Snapshot | None, list[str]]:
    notes: list[str] = []
    return freeze(sweep, Sources.of(sweep), run, notes.append), notes


def built(sweep: Sweep) -> Any:
    return model_reference(sweep.model, sweep.folder).resolve(Importer())()


def test_what_was_frozen_is_trained_whatever_is_edited_since(repository: Path) -> None:
    sweep, run = sweep_in(repository), repository / "runs" / "r"
    taken, notes = frozen(sweep, run)
    assert taken is not None
    assert notes == []
    for name in ("exp/net.py", "exp/blocks.py", "lib/more.py", "lib/words.txt"):
        (repository / name).unlink()
    again = at_snapshot(sweep, taken)
    assert built(again) == "then"
    assert [trial.trial_id for trial in again.trials] == [trial.trial_id for trial in sweep.trials]
    assert again.folder == Path(taken.copy) / "exp"


def test_its_files_have_the_names_and_the_digest_of_the_project_s(repository: Path) -> None:
    sweep = sweep_in(repository)
    taken, _ = frozen(sweep, repository / "runs" / "r")
    assert taken is not None
    theirs, copied = Sources.of(sweep), Sources.of(at_snapshot(sweep, taken))
    assert (copied.digest, copied.stamps) == (theirs.digest, theirs.stamps)
    assert all(path.is_relative_to(taken.copy) for path in copied.paths.values())


def test_what_git_ignores_is_linked_and_neither_runs_nor_large_files_are_copied(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MAX_FILE_MB", 1e-5)  # ten bytes
    (repository / "lib" / "large.txt").write_text("0123456789A")
    taken, _ = frozen(sweep_in(repository), repository / "runs" / "r")
    assert taken is not None
    copy = Path(taken.copy)
    links = {str(path.relative_to(copy)): path.resolve() for path in copy.rglob("*") if path.is_symlink()}
    assert links == {
        name: repository / name for name in ("lib/ignored.bin", "lib/large.txt", "data", "runs", ".git")
    }
    assert (copy / "data" / "ignored.npy").read_text() == "numbers"
    assert not (copy / "exp" / "net.py").is_symlink()  # named by the sweep, however large


def test_without_git_what_is_imported_is_copied(project: Path) -> None:
    taken, notes = frozen(sweep_in(project), project / "runs" / "r")
    assert taken is not None
    assert notes == []
    copied = {
        path.relative_to(taken.copy).as_posix()
        for path in Path(taken.copy).rglob("*.py")
        if not path.is_symlink()
    }
    assert copied == {"exp/net.py", "exp/blocks.py", "lib/__init__.py", "lib/more.py"}
    assert (Path(taken.copy) / "lib" / "words.txt").is_symlink()


def test_the_same_code_is_copied_once(repository: Path) -> None:
    sweep, run = sweep_in(repository), repository / "runs" / "r"
    first, _ = frozen(sweep, run)
    second, _ = frozen(sweep, run)
    os.utime(repository / "exp" / "blocks.py", (1, 1))
    third, _ = frozen(sweep, run)
    assert first == second != third
    assert len(list((run / "code").iterdir())) == 2


def test_code_of_ours_is_not_copied(project: Path) -> None:
    assert frozen(sweep_in(project, model="mlp", space={}), project / "r") == (None, [])
    assert not (project / "r").exists()


def test_code_outside_of_the_project_is_told_and_nothing_is_frozen(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "extra.py").write_text("X = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shared"))
    (repository / "exp" / "blocks.py").write_text("import extra\n")
    taken, notes = frozen(sweep_in(repository), repository / "runs" / "r")
    assert taken is None
    extra = tmp_path / "shared" / "extra.py"
    assert f"since not all of it is in {repository}: {extra} is not. Put a pyproject.toml" in notes[0]
    assert not (repository / "runs" / "r").exists()


def test_of_a_project_too_large_only_what_is_imported_is_copied(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MAX_FILES", 3)
    taken, notes = frozen(sweep_in(repository), repository / "runs" / "r")
    assert taken is not None
    assert "is too large to be copied (more than 3 files or 200 MB" in notes[0]
    assert (Path(taken.copy) / "lib" / "words.txt").is_symlink()
    assert not (Path(taken.copy) / "lib" / "more.py").is_symlink()


def test_a_copy_that_is_gone_is_told() -> None:
    with pytest.raises(SourcesChangedError, match="/gone is gone, the copy of your code"):
        at_snapshot(sweeps.parse({**ENTRIES, "model": "mlp"}), Snapshot("/project", "/gone"))


def test_a_worker_s_settings_carry_it() -> None:
    spec = WorkerSpec("r", "1_0", snapshot=Snapshot("/project", "/r/code/a"))
    assert WorkerSpec.of_json(json.loads(json.dumps(spec.as_json()))) == spec


def test_functions_and_programs_are_frozen_as_models_are(repository: Path) -> None:
    (repository / "exp" / "run.sh").write_text("exit 0\n")
    for entries in ({"train": "net.py:build"}, {"command": "sh run.sh {units}"}):
        mine = {"name": "s", "space": {"units": [2]}, "objective": "loss", **entries}
        sweep = sweeps.parse(mine, repository / "exp")
        taken, notes = frozen(sweep, repository / "runs" / "r")
        assert notes == []
        assert taken is not None
        again = at_snapshot(sweep, taken)
        assert again.folder == Path(taken.copy) / "exp"
        assert [trial.trial_id for trial in again.trials] == [trial.trial_id for trial in sweep.trials]
        assert all(path.is_relative_to(taken.copy) for path in Sources.of(again).paths.values())


def test_of_a_checkout_of_this_project_its_packages_are_left_out(tmp_path: Path) -> None:
    """Code of a user's that stands in it imports them from where they are."""
    sweep = sweeps.parse(
        {**ENTRIES, "model": "faults.py:build", "space": {"fault": ["none"]}}, ROOT / "tests" / "hpc"
    )
    taken, notes = frozen(sweep, tmp_path / "r")
    assert taken is not None
    assert notes == []
    copy = Path(taken.copy)
    assert (copy / "tests" / "hpc" / "faults.py").is_file()
    assert not any((copy / room).exists() for room in ("hpc", "jobs", "models", "results", "sweeps"))
    again = at_snapshot(sweep, taken)
    module = Importer().load(
        copy / "tests" / "hpc" / "faults.py", roots_of(copy / "tests" / "hpc" / "faults.py", again.folder)
    )
    assert module.find_rank_info is find_rank_info
