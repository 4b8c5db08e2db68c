"""A run in TensorBoard's files and in MLflow, read back by their own readers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpc.results import Run, RunError, create
from hpc.results.exports import export
from hpc.results.exports.base import Exported, last_common_epoch
from hpc.results.exports.mlflow import safe_names
from tests.conftest import ROOT
from tests.results.written import Worker, plan

LONG = "x" * 7000
MLFLOW = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own use of SQLAlchemy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with a trial of every kind: finished, failed, cancelled, running, waiting."""
    folder = tmp_path / "a run's folder"
    params = [{"width": width, "layers": [width, 4], "name": LONG, "epochs": 3} for width in range(5)]
    create(folder, plan(params, provenance='{"user": "u", "git": {"commit": "c1"}}\n'))
    worker = Worker(folder)
    last = {"loss": 0.2, "val_accuracy": 0.8, "test_accuracy": 0.7}
    worker.finish("t00", [0.5, 0.9, 0.8], metrics=last)
    for number, reason in ((1, "error"), (2, "cancelled")):
        worker.start(f"t0{number}")
        worker.epoch(f"t0{number}", 1, 0.25)
        worker.fail(f"t0{number}", reason, "ValueError: no\nTraceback")
    worker.start("t03")
    worker.epoch("t03", 1, 0.5)
    return folder


def lose(folder: Path, after: int = 1) -> None:
    """Let the running trial be killed after two more epochs, and go on from an epoch."""
    worker = Worker(folder)
    worker.epoch("t03", 2, 0.6)
    worker.epoch("t03", 3, 0.7)
    export(Run(folder), "tensorboard")
    worker.records.append("stopped", trial="t03", attempt=1, why="killed", lost=True)
    who = {
        "trial": "t03",
        "attempt": 2,
        "index": 3,
        "params": {},
        "seed": 0,
        "ranks": 1,
        "node": "n",
        "code": "",
    }
    facts = {"attempt": 1, "epoch": after, "metrics": {}, "best": 0.5}
    worker.records.append("started", **who, job="local-1-0", after=facts)
    worker.epoch("t03", after + 1, 0.65, attempt=2)


@pytest.mark.parametrize(
    ("old", "new", "last"),
    [
        ([], [[1, 3]], 0),
        ([[1, 3]], [[1, 5]], 3),
        ([[1, 3]], [[1, 2], [2, 4]], 2),
        ([[1, 3]], [[2, 4]], 0),
        ([[1, 3], [2, 5]], [[1, 3], [2, 7]], 5),
        ([[1, 3], [2, 5]], [[1, 3], [3, 5]], 3),
    ],
)
def test_two_courses_agree_up_to_an_epoch(old: Any, new: Any, last: int) -> None:
    assert last_common_epoch(old, new) == last


# --- TensorBoard


def events(folder: Path, trial: str) -> Any:
    # With this module TensorBoard reads files without TensorFlow, as where that is not installed.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard" / trial))
    found.Reload()
    return found


def scalars(folder: Path, trial: str) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every scalar."""
    found = events(folder, trial)
    return {tag: [(one.step, round(one.value, 4)) for one in found.Scalars(tag)]
            for tag in found.Tags()["scalars"]}  # fmt: skip


def plugin(folder: Path, trial: str, tag: str) -> Any:
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = events(folder, trial).SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_tensorboard_reads_back_every_epoch_and_the_end(folder: Path) -> None:
    assert export(Run(folder), "tensorboard") == Exported(str(folder / "tensorboard"), 4, 4, 6)
    assert scalars(folder, "t00") == {
        "loss": [(1, 0.5), (2, 0.1), (3, 0.2)], "val_accuracy": [(1, 0.5), (2, 0.9), (3, 0.8)],
        "test_accuracy": [(3, 0.7)], "best_val_accuracy": [(3, 0.9)],
    }  # fmt: skip
    assert scalars(folder, "t03") == {"loss": [(1, 0.5)], "val_accuracy": [(1, 0.5)]}
    assert not (folder / "tensorboard" / "t04").exists()  # it has not begun
    record = Run(folder, keep_epochs=True).trials["t00"].history()[1]
    assert events(folder, "t00").Scalars("loss")[1].wall_time == record["time"]


def test_the_hparams_tab_has_hyperparameters_and_how_a_trial_ended(folder: Path) -> None:
    from tensorboard.plugins.hparams import api_pb2

    export(Run(folder), "tensorboard")
    begun = plugin(folder, "t01", "session_start_info").session_start_info
    assert begun.group_name == "t01"
    assert begun.hparams["width"].number_value == 1
    assert begun.hparams["layers"].string_value == "[1, 4]"
    assert begun.hparams["name"].string_value == LONG
    assert begun.hparams["seed"].number_value == 0
    ends = [plugin(folder, f"t0{n}", "session_end_info").session_end_info.status for n in range(2)]
    assert ends == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]
    assert "_hparams_/session_end_info" not in events(folder, "t03").Tags()["tensors"]


def test_a_second_export_adds_only_what_is_new(folder: Path) -> None:
    run = Run(folder)
    export(run, "tensorboard")
    before = {path: path.read_bytes() for path in (folder / "tensorboard").rglob("*tfevents*")}
    assert export(run, "tensorboard").changed == 0
    Worker(folder).epoch("t03", 2, 0.6)
    done = export(run, "tensorboard")
    assert (done.trials, done.changed, done.epochs) == (4, 1, 1)
    for path, data in before.items():
        assert path.read_bytes().startswith(data)
        assert (path.read_bytes() == data) == (path.parent.name != "t03")
    assert scalars(folder, "t03")["loss"] == [(1, 0.5), (2, 0.4)]


def test_epochs_that_were_lost_are_void(folder: Path) -> None:
    lose(folder)
    assert scalars(folder, "t03")["val_accuracy"] == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert export(Run(folder), "tensorboard").epochs == 1
    assert scalars(folder, "t03")["val_accuracy"] == [(1, 0.5), (2, 0.65)]


def test_a_torn_export_is_mended(folder: Path) -> None:
    export(Run(folder), "tensorboard")
    (path,) = (folder / "tensorboard" / "t03").iterdir()
    with path.open("ab") as file:
        file.write(b"torn" * 100)
    Worker(folder).epoch("t03", 2, 0.6)
    export(Run(folder), "tensorboard")
    assert scalars(folder, "t03")["loss"] == [(1, 0.5), (2, 0.4)]
    assert b"torntorn" not in path.read_bytes()
    path.write_bytes(b"")
    (folder / "tensorboard" / "t00").rename(folder / "gone")
    assert export(Run(folder), "tensorboard").changed == 2
    assert scalars(folder, "t03")["loss"] == [(1, 0.5), (2, 0.4)]
    assert len(scalars(folder, "t00")["loss"]) == 3


def test_a_broken_state_is_not_taken_for_none(folder: Path) -> None:
    export(Run(folder), "tensorboard")
    (folder / "tensorboard" / ".hpc-export.json").write_text("{")
    with pytest.raises(RunError, match=r"hpc-export\.json is broken.*remove .*tensorboard and export again"):
        export(Run(folder), "tensorboard")


def test_an_export_for_tensorboard_loads_no_tensorflow(folder: Path) -> None:
    code = (
        "import sys; from hpc.results import Run; from hpc.results.exports import export; "
        "export(Run(sys.argv[1]), 'tensorboard'); assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- MLflow


def mlflow_runs(folder: Path) -> dict[str, Any]:
    """MLflow's runs by their trials, none twice."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("x")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    by_trial = {run.data.tags["trial_id"]: run for run in found}
    assert len(by_trial) == len(found)
    return by_trial


def history(folder: Path, trial: str, metric: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_metric_history(mlflow_runs(folder)[trial].info.run_id, metric)
    return sorted((one.step, round(one.value, 4)) for one in found)


@pytest.mark.slow
@MLFLOW
def test_mlflow_reads_back_trials_epochs_and_states(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = export(Run(folder), "mlflow")
    assert done == Exported(f"sqlite:///{folder / 'mlflow.db'}", 4, 4, 6)
    runs = mlflow_runs(folder)
    states = {name: (run.info.status, run.data.tags["state"]) for name, run in sorted(runs.items())}
    assert states == {
        "t00": ("FINISHED", "finished"), "t01": ("FAILED", "failed"), "t02": ("KILLED", "failed"),
        "t03": ("RUNNING", "running"),
    }  # fmt: skip
    first = runs["t00"]
    assert first.data.params == {
        "width": "0", "layers": "[0, 4]", "name": LONG[:6000], "epochs": "3", "seed": "0",
    }  # fmt: skip
    assert first.data.tags["cut.name"] == "7000 characters"
    assert first.data.tags["run"] == str(folder)
    assert first.data.tags["mlflow.source.git.commit"] == "c1"
    assert first.info.run_name == "t00"
    assert history(folder, "t00", "val_accuracy") == [(1, 0.5), (2, 0.9), (3, 0.8)]
    assert history(folder, "t00", "test_accuracy") == [(3, 0.7)]
    assert history(folder, "t00", "best_val_accuracy") == [(3, 0.9)]
    assert runs["t01"].data.tags["error"] == "ValueError: no\nTraceback"
    trial = Run(folder).trials["t00"].attempt
    assert (first.info.start_time, first.info.end_time) == (
        round(1000 * trial.started),
        round(1000 * trial.ended),
    )


@pytest.mark.slow
@MLFLOW
def test_a_second_export_to_mlflow_updates_and_never_doubles(folder: Path) -> None:
    run, out = Run(folder), folder
    export(run, "mlflow", out)
    assert export(run, "mlflow", out).changed == 0
    worker = Worker(folder)
    worker.epoch("t03", 2, 0.6)
    worker.start("t01", attempt=2)
    worker.epoch("t01", 1, 0.3, attempt=2)
    done = export(run, "mlflow", out)
    assert (done.changed, done.epochs) == (2, 2)
    assert history(folder, "t03", "loss") == [(1, 0.5), (2, 0.4)]
    assert history(folder, "t01", "val_accuracy") == [(1, 0.3)]  # of the first attempt nothing is left
    assert mlflow_runs(folder)["t01"].info.status == "RUNNING"
    worker.records.append("finished", trial="t03", attempt=1, epochs=2, best=0.6, seconds=2.0,
                          metrics={"loss": 0.4, "val_accuracy": 0.6})  # fmt: skip
    export(run, "mlflow", out)
    found = mlflow_runs(folder)["t03"]
    assert (found.info.status, found.data.tags["state"]) == ("FINISHED", "finished")
    assert found.data.metrics["best_val_accuracy"] == 0.6
    moved = folder.rename(folder.with_name("moved"))
    assert export(Run(moved), "mlflow", moved).changed == 4  # where the run is has changed
    assert len(mlflow_runs(moved)) == 4


@MLFLOW
def test_epochs_that_were_lost_are_not_in_mlflow(folder: Path) -> None:
    Worker(folder).epoch("t03", 2, 0.6)
    export(Run(folder), "mlflow", folder)
    lose(folder)
    export(Run(folder), "mlflow", folder)
    assert history(folder, "t03", "val_accuracy") == [(1, 0.5), (2, 0.65)]


@pytest.mark.slow
@MLFLOW
def test_names_that_mlflow_refuses_are_changed_and_kept_in_a_tag(folder: Path) -> None:
    worker = Worker(folder)
    metrics = {"f1 (macro)": 0.5, "f1 [macro]": 0.25, "a/b": 1.0}
    worker.records.append("epoch", trial="t03", attempt=1, epoch=2, metrics=metrics, seconds=1.0)
    export(Run(folder), "mlflow", folder)
    data = mlflow_runs(folder)["t03"].data
    names = {tag.removeprefix("name."): name for tag, name in data.tags.items() if tag.startswith("name.")}
    assert sorted(names.values()) == ["f1 (macro)", "f1 [macro]"]
    assert {names.get(name, name): value for name, value in data.metrics.items()} == {
        "loss": 0.5, "val_accuracy": 0.5, **metrics,
    }  # fmt: skip


@MLFLOW
@pytest.mark.parametrize("name", ["", ".", "..", "/x", "x/", "a//b", "a/../b", "a%b", "x" * 400, "ü", "a\nb"])
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    changed = safe_names([name])[name]
    check: Any = _validate_metric_name
    check(changed)
    assert len(changed) <= 250
    assert len(set(safe_names([name, f"{name}%", f"{name}&"]).values())) == 3


@pytest.mark.slow
@MLFLOW
def test_more_epochs_than_mlflow_takes_at_once_are_all_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    sizes, log = [], MlflowClient.log_batch

    def counted(client: Any, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        sizes.append(len(metrics) + len(params) + len(tags))
        log(client, run_id, metrics, params, tags)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    worker = Worker(folder)
    for epoch in range(2, 1201):
        worker.epoch("t03", epoch, 0.5)
    export(Run(folder), "mlflow", folder)
    assert len(history(folder, "t03", "loss")) == 1200
    assert 800 < max(sizes) <= 1000


@MLFLOW
def test_what_mlflow_refuses_is_told(folder: Path) -> None:
    with pytest.raises(RunError, match=r"MLflow at bogus://x can't be written"):
        export(Run(folder), "mlflow", "bogus://x")


# --- both


@pytest.mark.parametrize(
    ("to", "module", "words"),
    [
        ("tensorboard", "tensorboard.compat.proto",
         "TensorBoard is not installed; pip install 'hpc-sweeps[tensorboard]'."),
        ("mlflow", "mlflow.tracking", "MLflow is not installed; pip install 'hpc-sweeps[mlflow]'."),
    ],
)  # fmt: skip
def test_a_tool_that_is_missing_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, to: str, module: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RunError) as error:
        export(Run(folder), to)
    assert str(error.value) == words


def test_another_tool_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(RunError, match="'wandb'; there are tensorboard, mlflow"):
        export(Run(folder), "wandb")


def test_a_folder_that_can_not_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="can't be written"):
        export(Run(folder), "tensorboard", tmp_path / "file")
