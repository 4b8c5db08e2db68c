"""What the user's files hold belongs to a run; what differs is told, and refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import hpc.jobs.user_files
from hpc import sweeps
from hpc.jobs.user_files import (
    Sources,
    SourcesChangedError,
    forget_data,
    require_same_data,
    require_same_modules,
)

FILES = {
    "net.py": "import blocks\ndef build(units: int = 4):\n    return blocks.make(units)\n",
    "blocks.py": "from lib.parts import make\n",
    "lib/__init__.py": "",
    "lib/parts.py": "def make(units):\n    return units\n",
    "load.py": "import helper\ndef load():\n    return helper.x, helper.y\n",
    "helper.py": "x, y = [], []\n",
    "points.csv": "a,y\n1,0\n2,1\n",
}


def project(folder: Path, data: str = "load.py:load") -> sweeps.Sweep:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sweeps.parse(
        {"name": "x", "model": "net.py:build", "data": data, "space": {"units": [1, 2]}}, folder
    )


def test_all_that_code_imports_and_files_of_data_are_told(tmp_path: Path) -> None:
    with_code, with_file = Sources.of(project(tmp_path)), Sources.of(project(tmp_path, "points.csv"))
    code = {"net.py", "blocks.py", "lib/__init__.py", "lib/parts.py"}
    assert set(with_code.stamps) == code | {"load.py", "helper.py"}
    assert set(with_file.stamps) == code | {"points.csv"}
    ours = Sources.of(sweeps.parse({"name": "x", "model": "mlp", "data": "digits"}))
    assert (ours.stamps, ours.digest) == ({}, "")


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("load.py", "helper.py")])
def test_a_change_of_any_of_them_is_told(tmp_path: Path, name: str) -> None:
    sweep = project(tmp_path, "points.csv")
    before = Sources.of(sweep)
    text = FILES[name] + "\n"
    (tmp_path / name).write_text(text)
    after = Sources.of(sweep, before.stamps)
    assert after.digest != before.digest
    how = "is new" if name == "lib/__init__.py" else "has changed"  # which was empty
    assert after.changes(before.stamps) == [f"{name} {how}"]
    with pytest.raises(SourcesChangedError, match=rf"{name} {how} since this job was launched"):
        after.require(before.stamps)
    before.require(before.stamps)
    before.require({})  # of a job of an earlier version


def test_what_is_imported_no_more_or_newly_is_told(tmp_path: Path) -> None:
    sweep = project(tmp_path)
    before = Sources.of(sweep)
    (tmp_path / "load.py").write_text("import blocks, helper2\n")
    (tmp_path / "helper2.py").write_text("z = 1\n")
    assert Sources.of(sweep).changes(before.stamps) == [
        "load.py has changed", "helper.py is no longer imported", "helper2.py is new",
    ]  # fmt: skip


def test_a_project_may_be_moved(tmp_path: Path) -> None:
    one, two = project(tmp_path / "a"), project(tmp_path / "b")
    assert Sources.of(one).digest == Sources.of(two).digest
    assert Sources.of(two).changes(Sources.of(one).stamps) == []


def test_without_neighbours_digests_are_those_of_earlier_versions(tmp_path: Path) -> None:
    sweep = project(tmp_path, "points.csv")
    (tmp_path / "net.py").write_text("def build():\n    return 1\n")
    found = Sources.of(sweep)
    each = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("net.py", "points.csv")]
    assert found.digest == found.entries_digest == hashlib.sha256("".join(each).encode()).hexdigest()


def test_a_large_file_of_data_is_read_once_and_known_by_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hpc.jobs.user_files, "REMEMBERED_BYTES", 4)
    sweep = project(tmp_path, "points.csv")
    first = Sources.of(sweep)
    known = {**first.stamps, "points.csv": [*first.stamps["points.csv"][:2], "remembered"]}
    assert Sources.of(sweep, known).stamps["points.csv"][2] == "remembered"
    times = (tmp_path / "points.csv").stat()
    os.utime(tmp_path / "points.csv", ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert Sources.of(sweep, known).stamps["points.csv"][2] == first.stamps["points.csv"][2]
    (tmp_path / "net.py").write_text(FILES["net.py"])
    stale = {**first.stamps, "net.py": [*first.stamps["net.py"][:2], "remembered"]}
    assert Sources.of(sweep, stale).stamps["net.py"][2] == first.stamps["net.py"][2]  # code is always read


def test_what_was_imported_must_be_what_was_looked_at(tmp_path: Path) -> None:
    found = Sources.of(project(tmp_path))
    executed = {tmp_path / name: found.stamps[name][2] for name in ("net.py", "blocks.py")}
    assert found.require_executed(executed) == []
    assert found.require_executed({**executed, tmp_path / "hidden.py": "1"}) == [str(tmp_path / "hidden.py")]
    with pytest.raises(SourcesChangedError, match=r"blocks\.py has changed while this job began"):
        found.require_executed({**executed, tmp_path / "blocks.py": "1"})


def test_a_function_must_give_each_job_the_same_samples(tmp_path: Path) -> None:
    require_same_data(tmp_path, "code", "", "1")
    assert not list(tmp_path.rglob("*.json"))
    require_same_data(tmp_path, "code", "digest", "1")
    require_same_data(tmp_path, "code", "digest", "2")
    require_same_data(tmp_path, "other code", "other digest", "3")
    with pytest.raises(SourcesChangedError, match="not those that job 1 has trained on"):
        require_same_data(tmp_path, "code", "other digest", "4")
    (path,) = tmp_path.rglob("data-code.json")
    assert json.loads(path.read_text()) == {"data": "digest", "job": "1"}
    forget_data(tmp_path)
    require_same_data(tmp_path, "code", "other digest", "4")


def test_a_stored_sweep_finds_modules_where_the_sweep_file_lay(tmp_path: Path) -> None:
    for name in ("mine/__init__.py", "mine/net.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("def build():\n    return 1\n" if "net" in name else "")
    entries: dict[str, Any] = {"name": "x", "model": "mine.net:build", "data": "digits"}
    sweep = sweeps.parse(entries, tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "sweep.yaml").write_text(sweep.as_yaml())
    stored = sweeps.load_stored(run / "sweep.yaml")
    assert set(Sources.of(stored).stamps) == {"mine/__init__.py", "mine/net.py"}
    assert [trial.trial_id for trial in stored.trials] == [trial.trial_id for trial in sweep.trials]
    assert sweep.differences(stored) == []
    assert "code_folder" not in sweeps.parse({"name": "x", "model": "mlp", "data": "digits"}).as_yaml()


def test_files_that_change_places_are_told(tmp_path: Path) -> None:
    project(tmp_path)
    source = "import a.blocks, b.blocks\ndef build():\n    return 1\n"
    for name, text in (("net.py", source), ("a/blocks.py", "V = 1\n"), ("b/blocks.py", "V = 2\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    sweep = sweeps.parse({"name": "x", "model": "net.py:build", "data": "digits"}, tmp_path)
    before = Sources.of(sweep).digest
    (tmp_path / "a" / "blocks.py").write_text("V = 2\n")
    (tmp_path / "b" / "blocks.py").write_text("V = 1\n")
    assert Sources.of(sweep).digest != before


def test_modules_that_no_source_shows_are_compared_by_jobs(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    require_same_modules(tmp_path, "code", {"a.py": "1"}, "first")
    require_same_modules(tmp_path, "code", {"a.py": "1", "b.py": "1"}, "second")
    require_same_modules(tmp_path, "other", {"a.py": "2"}, "third")
    with pytest.raises(SourcesChangedError, match=r"b\.py has changed since other jobs"):
        require_same_modules(tmp_path, "code", {"a.py": "1", "b.py": "2"}, "fourth")
    forget_data(tmp_path)
    require_same_modules(tmp_path, "code", {"b.py": "2"}, "fifth")


def test_files_in_pythonpath_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib, folder = tmp_path / "lib", tmp_path / "project"
    net = "import far\ndef build():\n    return far.V\n"
    for path, text in ((lib / "far.py", "V = 1\n"), (folder / "net.py", net)):
        path.parent.mkdir()
        path.write_text(text)
    sweep = sweeps.parse({"name": "x", "model": "net.py:build", "data": "digits"}, folder)
    assert set(Sources.of(sweep).stamps) == {"net.py"}
    monkeypatch.setenv("PYTHONPATH", str(lib))
    assert set(Sources.of(sweep).stamps) == {"net.py", "../lib/far.py"}
