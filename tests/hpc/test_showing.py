"""One trial: the facts, and how people read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hpc.cli.app import app
from hpc.cli.display.trial import format_trial, sparkline
from hpc.results import Records, Run, RunError
from hpc.trial_summary import trial_summary
from tests.conftest import Hpc
from tests.hpc.shown import DEFAULTS, make
from tests.results.written import WHO, Worker, metrics


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a run's folder"


def text(folder: Path, trial: str | None = None) -> str:
    return "\n".join(format_trial(trial_summary(folder, trial)))


def group(text: str, title: str) -> list[str]:
    """The lines below a title, up to the next empty one."""
    rest = text.splitlines()
    rest = rest[rest.index(title) + 1 :]
    return [line.strip() for line in rest[: rest.index("")]]


def test_the_best_trial_is_shown_whole(folder: Path) -> None:
    ids = make(folder)
    worker = Worker(folder)
    worker.finish(ids[0], [0.5, 0.75])
    confusion = {"validation": [[3, 1], [0, 10]]}
    worker.finish(ids[1], [0.25, 0.5, 0.875, 0.75], confusion=confusion, seconds=12.34)
    log = "jobs/1/local-1-0_log.out"
    Records(folder / "records" / "run.jsonl").append("submitted", job="local-1-0", log=log)
    (folder / "models").mkdir()
    (folder / "models" / f"{ids[1]}.keras").write_bytes(b"")
    assert text(folder).splitlines() == [
        f"{ids[1]}: finished, number 1 of 3",
        "best val_accuracy: 0.875",
        "mlp on digits (train=256), seed 0",
        "4 epochs in 12.3 s, 2 ranks on n1, job local-1-0",
        "",
        "Hyperparameters",
        "  epochs         4",
        "  learning_rate  0.01",
        "  hidden_size    [16, 8]",
        "",
        "Left as they are",
        "  dropout     0.0",
        "  optimizer   adam",
        "  batch_size  32",
        "",
        "Metrics, first to last epoch",
        "  loss          █▅▁▂  0.75 … 0.25",
        "  val_accuracy  ▁▄█▇  0.25 … 0.75",
        "",
        "Confusion on the validation part (a row per class, a column per answer)",
        "      0  1",
        "   0  3  1",
        "   1  . 10",
        "",
        f'Model: keras.saving.load_model("{folder}/models/{ids[1]}.keras")',
        f"Pictures: hpc plot {folder} {ids[1]}",
        f"Log: {folder}/{log}",
    ]


def test_facts_are_plain_values_with_all_the_names_promised(folder: Path) -> None:
    ids = make(folder)
    Worker(folder).finish(ids[2], [0.5, 0.75])
    facts = trial_summary(folder)
    assert json.loads(json.dumps(facts)) == facts
    promised = """trial_id state reason error model data params defaults seed fold rank objective best metrics
        history confusion seconds epochs ranks node job attempts log model_file"""
    assert set(promised.split()) <= facts.keys()
    assert facts["history"] == [
        {"epoch": 1, "loss": 0.5, "val_accuracy": 0.5, "seconds": 1.0},
        {"epoch": 2, "loss": 0.25, "val_accuracy": 0.75, "seconds": 2.0},
    ]
    assert facts["params"] == {"epochs": 4, "learning_rate": 0.01, "hidden_size": 32}
    assert facts["defaults"] == DEFAULTS
    assert (facts["model_file"], facts["log"], facts["confusion"], facts["fold"]) == (None, None, {}, None)


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 0)])
def test_the_trial_shown_is_the_best_unless_another_is_named(folder: Path, mode: str, best: int) -> None:
    ids = make(folder, objective={"metric": "val_accuracy", "mode": mode})
    for trial, value in zip(ids, (0.25, 0.75, 0.5), strict=True):
        Worker(folder).finish(trial, [value])
    assert trial_summary(folder)["trial_id"] == ids[best]
    assert trial_summary(folder)["rank"] == 1
    last = trial_summary(folder, ids[2][:6])
    assert (last["trial_id"], last["rank"]) == (ids[2], 2)


def test_a_default_that_the_sweep_gives_stands_among_the_given_ones_only(folder: Path) -> None:
    ids = make(folder, fixed={"epochs": 4, "dropout": 0.5})
    shown = text(folder, ids[0])
    assert group(shown, "Hyperparameters") == ["epochs       4", "dropout      0.5", "hidden_size  8"]
    assert group(shown, "Left as they are") == ["optimizer   adam", "batch_size  32"]


def test_a_model_in_a_file_of_the_users_has_its_defaults_too(folder: Path) -> None:
    """Records name it as the sweep file does, the stored sweep by its whole path."""
    ids = make(folder, model="net.py:build")
    facts = trial_summary(folder, ids[0])
    assert facts["model"] == "net.py:build"
    assert facts["defaults"] == DEFAULTS


def test_a_trial_that_waits_has_hyperparameters_and_nothing_else(folder: Path) -> None:
    ids = make(folder)
    facts = trial_summary(folder, ids[0])
    assert (facts["state"], facts["attempts"], facts["rank"], facts["best"]) == ("waiting", 0, None, None)
    shown = text(folder, ids[0])
    assert shown.startswith(f"{ids[0]}: waiting\nmlp on digits (train=256), seed 0\n\nHyperparameters\n")
    for word in ("best val_accuracy", "epochs in", "Metrics", "Confusion", "Log", "None"):
        assert word not in shown
    assert "Model: not kept." in shown.splitlines()[-1]


def test_a_failed_trial_ends_with_its_traceback_and_has_no_rank(folder: Path) -> None:
    ids = make(folder)
    Worker(folder).finish(ids[1], [0.5])
    worker = Worker(folder)
    worker.start(ids[0])
    worker.epoch(ids[0], 1, 0.99)
    error = 'ValueError: no\nTraceback (most recent call last):\n  File "net.py"\nValueError: no'
    worker.fail(ids[0], "error", error)
    shown = text(folder, ids[0])
    assert shown.startswith(f"{ids[0]}: failed (error)\nbest val_accuracy: 0.99\n")
    assert shown.endswith(f"\n\n{error}")
    assert "1 epoch in 3.0 s" in shown
    assert trial_summary(folder)["trial_id"] == ids[1]


def test_a_trial_that_diverged_says_so_in_its_metrics(folder: Path) -> None:
    ids = make(folder)
    worker = Worker(folder)
    worker.start(ids[0])
    for number, value in enumerate((0.25, 0.5, float("nan")), 1):
        worker.epoch(ids[0], number, value)
    worker.fail(ids[0], "diverged", "loss is nan after epoch 3")
    worker.start(ids[1])
    worker.epoch(ids[1], 1, float("nan"))
    curves = group(text(folder, ids[0]), "Metrics, first to last epoch")
    assert curves == ["loss          █▁  0.75 … not a number", "val_accuracy  ▁█  0.25 … not a number"]
    at_once = group(text(folder, ids[1]), "Metrics, first to last epoch")
    assert at_once == ["loss          not a number", "val_accuracy  not a number"]


def test_a_metric_that_is_measured_once_has_no_curve(folder: Path) -> None:
    ids = make(folder)
    Worker(folder).finish(ids[0], [0.5, 0.75], metrics={**metrics(0.75), "test_accuracy": 0.625})
    curves = group(text(folder), "Metrics, first to last epoch")
    assert curves[-1] == "test_accuracy  0.625"
    assert curves[0] == "loss           █▁  0.5 … 0.25"


def test_folds_and_baselines_are_told(folder: Path) -> None:
    ids = make(folder, space={}, folds=2, seeds=[7], baselines=[{"model": "knn", "n_neighbors": 3}])
    Worker(folder).finish(ids[3], [0.75])
    facts = trial_summary(folder)
    assert (facts["model"], facts["fold"], facts["seed"]) == ("knn", 1, 7)
    assert facts["defaults"] == {}  # they are the network's
    shown = text(folder)
    assert "knn on digits (train=256), seed 7, fold 1" in shown
    assert group(shown, "Hyperparameters") == ["n_neighbors  3"]
    assert "Left as they are" not in shown
    assert "mlp on digits (train=256), seed 7, fold 0" in text(folder, ids[0])


def test_a_trial_that_was_gone_on_with_has_the_epochs_of_all_attempts(folder: Path) -> None:
    ids = make(folder)
    worker = Worker(folder)
    worker.start(ids[0])
    for number, value in enumerate((0.25, 0.5, 0.125), 1):
        worker.epoch(ids[0], number, value)  # the third came after the checkpoint, and is done again
    worker.records.append("stopped", trial=ids[0], attempt=1, why="SIGTERM", seconds=3.0)
    assert "2 attempts" not in text(folder, ids[0])
    second = Records(folder / "records" / "local-2-0.jsonl")
    after = {"attempt": 1, "epoch": 2, "best": 0.5, "metrics": metrics(0.5)}
    who = {**WHO, "job": "local-2-0", "node": "n2", "ranks": 4}
    second.append("started", trial=ids[0], attempt=2, index=0, params={}, seed=0, after=after, **who)
    for number, value in ((3, 0.75), (4, 0.875)):
        second.append("epoch", trial=ids[0], attempt=2, epoch=number, metrics=metrics(value), seconds=4.0)
    second.append("finished", trial=ids[0], attempt=2, epochs=4, best=0.875, metrics=metrics(0.875),
                  seconds=5.0)  # fmt: skip
    facts = trial_summary(folder)
    assert [record["epoch"] for record in facts["history"]] == [1, 2, 3, 4]
    assert [record["val_accuracy"] for record in facts["history"]] == [0.25, 0.5, 0.75, 0.875]
    assert (facts["attempts"], facts["ranks"]) == (2, 4)
    assert "4 epochs in 5.0 s, 4 ranks on n2, job local-2-0, 2 attempts" in text(folder)


def test_one_rank_and_one_epoch_are_not_told_as_several(folder: Path) -> None:
    ids = make(folder)
    worker = Worker(folder)
    worker.records.append("started", trial=ids[0], attempt=1, index=0, params={}, seed=0, ranks=1,
                          job="local-1-0", node="n1")  # fmt: skip
    worker.epoch(ids[0], 1, 0.5)
    assert "1 epoch in 1.0 s, 1 rank on n1," in text(folder)


def test_a_confusion_matrix_has_columns_as_wide_as_its_greatest_number(folder: Path) -> None:
    ids = make(folder)
    wide = [[0] * 11 for _ in range(11)]
    wide[10][0] = 9
    counts = {"validation": [[980, 0, 7], [1, 1030, 0], [0, 0, 5]], "test": wide}
    Worker(folder).finish(ids[0], [0.5], confusion=counts)
    shown = text(folder).splitlines()
    validation = shown.index("Confusion on the validation part (a row per class, a column per answer)")
    assert shown[validation + 1 : validation + 6] == [
        "          0    1    2",
        "     0  980    .    7",
        "     1    1 1030    .",
        "     2    .    .    5",
        "",
    ]
    test = shown.index("Confusion on the test part (a row per class, a column per answer)")
    assert shown[test + 1] == "      0  1  2  3  4  5  6  7  8  9 10"
    assert shown[test + 12] == "  10  9  .  .  .  .  .  .  .  .  .  ."


def test_a_long_value_is_cut(folder: Path) -> None:
    ids = make(folder, space={}, fixed={"initial_weights": [[0.123456789] * 100], "epochs": 4})
    (line, _) = group(text(folder, ids[0]), "Hyperparameters")
    assert len(line.removeprefix("initial_weights").strip()) == 78
    assert line.endswith("…")
    assert trial_summary(folder, ids[0])["params"]["initial_weights"] == [[0.123456789] * 100]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0.5], "▁"),
        ([2.0, 2.0, 2.0], "▁▁▁"),
        ([0, 1], "▁█"),
        ([1.0, -1.0, 0.0], "█▁▅"),
        (range(8), "▁▂▃▄▅▆▇█"),
        ([0.0, 0.25, 1.0, 2.0], "▁▂▅█"),
        ([0.0, 0.1, 0.9, 1.0], "▁▁██"),  # eight equal shares
    ],
    ids=str,
)
def test_a_sparkline_goes_from_the_lowest_to_the_highest(values: list[float], line: str) -> None:
    assert sparkline(values) == line


@pytest.mark.parametrize("count", [39, 40, 41, 79, 80, 1000])
def test_a_long_sparkline_is_of_means(count: int) -> None:
    line = sparkline([float(number) for number in range(count)])
    assert len(line) == min(count, 40)
    assert list(line) == sorted(line)
    assert set(line) == set("▁▂▃▄▅▆▇█")


def test_each_block_of_a_sparkline_is_the_mean_of_its_share() -> None:
    assert sparkline([0, 2, 8, 8, 1, 1], width=3) == "▁█▁"
    assert sparkline([0, 0, 5, 3, 0, 8], width=3) == "▁██"


def test_the_command_shows_a_trial_and_gives_its_facts_to_scripts(folder: Path) -> None:
    ids = make(folder)
    Worker(folder).finish(ids[0], [0.5, 0.75])
    Worker(folder).finish(ids[1], [0.25])
    shown = CliRunner().invoke(app, ["show", str(folder)])
    assert (shown.exit_code, shown.stderr, shown.stdout) == (0, "", text(folder) + "\n")
    named = CliRunner().invoke(app, ["show", str(folder), ids[1]])
    assert named.stdout.startswith(f"{ids[1]}: finished, number 2 of 3\n")
    facts = CliRunner().invoke(app, ["show", str(folder), ids[1][:7], "--json"])
    assert json.loads(facts.stdout) == trial_summary(folder, ids[1])
    assert (facts.exit_code, facts.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nowhere"], "nowhere is not the folder of a run: it does not exist"),
        (["show", "r"], "no trial of r has a value of val_accuracy yet; name one."),
        (["show", "r", "xyz"], "r: no trial begins with 'xyz'; `hpc table r` names them all."),
        (["show", "r", "t", "--json"], "r: 3 trials begin with 't': "),
        (["logs", "r", "xyz"], "r: no trial begins with 'xyz'; `hpc table r` names them all."),
        (["plot", "r"], "no trial of r has a value of val_accuracy yet; name one."),
        (["plot", "r", "xyz"], "r: no trial begins with 'xyz'; `hpc table r` names them all."),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_on_stderr_and_ends_with_2(
    hpc: Hpc, tmp_path: Path, arguments: list[str], said: str
) -> None:
    make(tmp_path / "r")
    before = sorted(tmp_path.rglob("*"))
    done = hpc(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"hpc: {said}")
    assert (len(done.stderr.splitlines()), done.stdout) == (1, "")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_trial_that_is_under_way_has_a_rank_and_can_be_shown(folder: Path) -> None:
    ids = make(folder)
    worker = Worker(folder)
    worker.start(ids[0])
    assert trial_summary(folder, ids[0])["seconds"] is None
    with pytest.raises(RunError, match="has a value of val_accuracy yet; name one"):
        trial_summary(folder)
    worker.epoch(ids[0], 1, 0.5)
    assert text(folder).startswith(f"{ids[0]}: running, number 1 of 3\nbest val_accuracy: 0.5\n")
    assert Run(folder).counts()["running"] == 1


def test_a_trial_of_a_pack_is_told(folder: Path) -> None:
    ids = make(folder)
    worker = Worker(folder)
    worker.finish(ids[0], [0.5])
    who = {**WHO, "job": worker.job, "index": 0, "params": {}, "seed": 0}
    worker.records.append("started", trial=ids[0], attempt=1, lanes=5, **who)
    assert "job local-1-0, one of 5 at once" in text(folder)
    assert trial_summary(folder)["lanes"] == 5
