"""Pictures of trials that were really trained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import hpc
from hpc import sweeps
from hpc.cli.app import app
from hpc.drawing import KINDS, draw
from hpc.jobs import stored
from hpc.models.datasets.generated import moons
from hpc.results import Records, Run, RunError, TrialState, pictures
from tests.conftest import ROOT

NOT_KEPT = (
    "the model is not kept (keep: all in the sweep keeps every network; estimators of scikit-learn never are)"
)
NO_PLANE = "the data are not points of two dimensions in classes"
NO_IMAGES = "samples of shape (2,) are no grey images"
THERE_ARE = (
    "there are heatmap, points, parallel, importance, effects, progress, cost, curves, confusion, boundary, "
    "filters, wrong, samples."
)
OF_RUN = ["points", "progress", "cost"]
"""Charts that go with a run in which no hyperparameter varies."""
NOT_OF_RUN = [
    "no heatmap: no hyperparameter varies between the settings that have ended",
    "no parallel: no hyperparameter varies between the settings that have ended",
    "no importance: fewer than two hyperparameters vary",
    "no effects: no hyperparameter varies between the settings that have ended",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three finished runs.

    ``moons`` are points in the plane with a test part and a baseline, ``digits`` are images in two
    folds; both are scaled, and their models kept. ``numbers`` are to be predicted from squares of
    numbers in a file, over one epoch, and no model is kept.
    """
    folder = tmp_path_factory.mktemp("a student's folder")
    draws = np.random.default_rng(0)
    np.savez(folder / "numbers.npz", x=draws.normal(size=(60, 16)), y=draws.normal(size=60))
    entries: dict[str, dict[str, Any]] = {
        "moons": {
            "data": {"name": "moons", "n_samples": 120, "noise": 0.1, "test_split": 0.25},
            "fixed": {"hidden_size": 8, "output": "sigmoid", "epochs": 3, "scale": "standard"},
            "baselines": ["knn"],
            "keep": "all",
        },
        "digits": {
            "data": {"name": "digits", "train": 200},
            "fixed": {"hidden_size": 16, "epochs": 2, "scale": "standard"},
            "folds": 2,
            "keep": "all",
        },
        "numbers": {
            "data": str(folder / "numbers.npz"),
            "fixed": {"hidden_size": 4, "epochs": 1},
            "keep": "none",
        },
    }
    for name, more in entries.items():
        sweep = sweeps.parse({"name": name, "model": "mlp", **more}, folder)
        outcome = hpc.run(sweep, on="debug", folder=folder / name)
        assert outcome.is_good, outcome.error
        assert [job["ended"] for job in outcome.run.jobs.values()] == ["done"]
    return folder


def trial_of(folder: Path, index: int = 0) -> TrialState:
    return next(trial for trial in Run(folder).trials.values() if trial.index == index)


@pytest.fixture(scope="module")
def drawn(runs: Path) -> dict[str, tuple[list[Path], list[str]]]:
    """By run: all that goes with its first trial, and what was said of the rest."""
    found = {}
    for name in ("moons", "digits", "numbers"):
        notes: list[str] = []
        paths = draw(runs / name, trial_of(runs / name).trial_id, note=notes.append)
        found[name] = paths, notes
    return found


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("moons", {"filters": NO_IMAGES, "wrong": NO_IMAGES, "samples": NO_IMAGES}),
        ("digits", {"boundary": NO_PLANE}),
        (
            "numbers",
            {
                "curves": "fewer than two epochs are recorded",
                "confusion": "no classes were counted",
                "boundary": NO_PLANE,
                "filters": NOT_KEPT,
                "wrong": "the targets are no classes",
                "samples": "the targets are no classes",
            },
        ),
    ],
)
def test_what_goes_with_a_trial_is_drawn_and_of_the_rest_the_reason_is_told(
    runs: Path, drawn: dict[str, tuple[list[Path], list[str]]], name: str, reasons: dict[str, str]
) -> None:
    paths, notes = drawn[name]
    assert notes == [f"no {kind}: {reason}" for kind, reason in reasons.items()]
    trial = trial_of(runs / name).trial_id
    names = [f"{trial}-{kind}.{form}" for kind in KINDS if kind not in reasons for form in ("png", "svg")]
    assert paths == [runs / name / "pictures" / file for file in names]
    assert len(names) == 2 * (len(KINDS) - len(reasons))


@pytest.mark.parametrize("name", ["moons", "digits"])
def test_pictures_are_whole_and_there_is_nothing_beside_them(
    runs: Path, drawn: dict[str, tuple[list[Path], list[str]]], name: str
) -> None:
    paths, _ = drawn[name]
    assert set(paths) <= set((runs / name / "pictures").iterdir())
    assert not list((runs / name).rglob(".*"))
    for path in paths:
        if path.suffix == ".png":
            data = path.read_bytes()
            assert data.startswith(b"\x89PNG\r\n\x1a\n")
            assert data.endswith(b"IEND\xaeB`\x82")
        else:
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_nothing_to_draw_makes_no_folder(runs: Path, drawn: dict[str, tuple[list[Path], list[str]]]) -> None:
    assert drawn["numbers"][0] == []
    assert not (runs / "numbers" / "pictures").exists()


@pytest.mark.parametrize(
    ("name", "kind", "title"),
    [
        ("moons", "curves", "moons, ID"),
        ("moons", "confusion", "moons, ID, test part"),
        ("moons", "boundary", "moons, ID, training part"),
        ("digits", "confusion", "digits, ID, validation part"),
        ("digits", "wrong", "digits, ID, validation part"),
        ("digits", "samples", "digits, training part"),
    ],
)
def test_a_title_says_which_trial_and_which_part(
    runs: Path, drawn: dict[str, tuple[list[Path], list[str]]], name: str, kind: str, title: str
) -> None:
    trial = trial_of(runs / name).trial_id
    root = ElementTree.parse(runs / name / "pictures" / f"{trial}-{kind}.svg").getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert title.replace("ID", trial) in texts


def test_the_best_trial_is_drawn_unless_another_is_named(runs: Path, tmp_path: Path) -> None:
    best, other = Run(runs / "digits").ranked()
    for trial, expected in ((None, best), (other.trial_id[:6], other)):
        (path,) = draw(runs / "digits", trial, ["confusion"], tmp_path / "new" / "deep", ["pdf"])
        assert path == tmp_path / "new" / "deep" / f"{expected.trial_id}-confusion.pdf"
        assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_charts_of_the_run_are_drawn_unless_a_trial_is_named(runs: Path, tmp_path: Path) -> None:
    best = Run(runs / "digits").ranked()[0].trial_id
    both = draw(runs / "digits", None, ["cost", "confusion", "points"], tmp_path, ["svg"])
    assert [path.name for path in both] == ["points.svg", "cost.svg", f"{best}-confusion.svg"]
    alone = draw(runs / "digits", best, out=tmp_path / "alone", forms=["svg"])
    assert {path.stem.partition("-")[0] for path in alone} == {best}
    titles = [element.text for element in ElementTree.parse(tmp_path / "points.svg").getroot().iter()]
    assert f"digits: {Run(runs / 'digits').metric} by epoch" in titles


def test_a_run_of_which_no_trial_has_a_value_has_its_bill(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "numbers", tmp_path / "r", ignore=shutil.ignore_patterns("pictures", "gathered"))
    for path in (tmp_path / "r" / "records").glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if line["record"] == "finished":
                line |= {"record": "failed", "reason": "error", "error": "x"}
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines if line["record"] != "epoch"))
    notes: list[str] = []
    (path,) = draw(tmp_path / "r", forms=["svg"], note=notes.append)
    assert path.name == "cost.svg"
    assert notes[-1].startswith("no pictures of a trial: no trial of ")
    with pytest.raises(RunError, match="has a value of val_loss yet; name one"):
        draw(tmp_path / "r", kinds=["curves"])


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_a_kept_model_and_the_data_say_what_the_worker_has_counted(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """That is: its fold, in the order of the data, and scaled once, by the model."""
    seen: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    def most_wrong(x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], title: str) -> object:
        seen.append((x, y, p))
        return pictures.confusion([[1]], title)

    monkeypatch.setattr(pictures, "most_wrong", most_wrong)
    trial = trial_of(runs / "digits", index)
    draw(runs / "digits", trial.trial_id, ["wrong"], tmp_path, ["svg"])
    ((x, y, probabilities),) = seen
    assert trial.fold == index
    assert (x.shape, x.min(), x.max()) == ((100, 64), 0, 1)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (y, probabilities.argmax(axis=1)), 1)
    assert counts.tolist() == trial.attempt.confusion["validation"]


def test_a_boundary_is_drawn_around_the_training_samples_as_they_come(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, NDArray[Any], NDArray[Any]]] = []

    def decision_boundary(predict: Any, x: NDArray[Any], y: NDArray[Any], title: str) -> object:
        seen.append((predict, x, y))
        return pictures.confusion([[1]], title)

    monkeypatch.setattr(pictures, "decision_boundary", decision_boundary)
    trial = trial_of(runs / "moons")
    draw(runs / "moons", trial.trial_id, ["boundary"], tmp_path, ["svg"])
    ((predict, x, y),) = seen
    all_x, all_y = moons(n_samples=120, noise=0.1)
    rows = [int(np.abs(all_x - point).sum(axis=1).argmin()) for point in x]
    assert len(set(rows)) == 72  # neither the 30 of the test nor the 18 of the validation
    np.testing.assert_allclose(all_x[rows], x, atol=1e-6)
    np.testing.assert_array_equal(all_y[rows], y)
    assert predict(x).shape == (72, 1)


def test_a_baseline_has_a_confusion_and_no_model(runs: Path, tmp_path: Path) -> None:
    baseline, notes = trial_of(runs / "moons", 1), list[str]()
    assert baseline.model == "knn"
    (path,) = draw(runs / "moons", baseline.trial_id, out=tmp_path, forms=["svg"], note=notes.append)
    assert path.name == f"{baseline.trial_id}-confusion.svg"
    assert notes[:2] == ["no curves: fewer than two epochs are recorded", f"no boundary: {NOT_KEPT}"]


@pytest.mark.parametrize(
    ("name", "kinds", "said"),
    [
        ("moons", ["curves", "samples"], f"no picture of the kind samples: {NO_IMAGES}."),
        ("digits", ["boundary"], f"no picture of the kind boundary: {NO_PLANE}."),
        ("numbers", ["filters"], f"no picture of the kind filters: {NOT_KEPT}."),
    ],
)
def test_a_kind_that_is_asked_for_and_does_not_go_is_an_error_and_nothing_is_drawn(
    runs: Path, tmp_path: Path, name: str, kinds: list[str], said: str
) -> None:
    notes: list[str] = []
    with pytest.raises(RunError) as refused:
        draw(runs / name, trial_of(runs / name).trial_id, kinds, tmp_path, note=notes.append)
    assert str(refused.value) == said
    assert (notes, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "curvs"], f"'curvs' is no kind of picture (did you mean \"curves\"?); {THERE_ARE}"),
        (["--kind", "curves", "--kind", "xyz"], f"'xyz' is no kind of picture; {THERE_ARE}"),
        (["--format", "xls"], "'xls' is no format of picture; there are png, svg, pdf."),
        (["--format", "png", "--format", "svgz"], "'svgz' is no format of picture (did you mean \"svg\"?)"),
        (["--kind", "boundary"], f"no picture of the kind boundary: {NO_PLANE}."),
        (["--kind", "heatmap"], "no chart heatmap: no hyperparameter varies between the settings that have"),
    ],
    ids=" ".join,
)
def test_wrong_use_of_the_command_ends_with_2_and_draws_nothing(
    runs: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    done = CliRunner().invoke(app, ["plot", str(runs / "digits"), "--out", str(tmp_path), *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hpc: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_model_that_is_gone_leaves_out_what_needs_it(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "digits", tmp_path / "r", ignore=shutil.ignore_patterns("models", "pictures"))
    notes: list[str] = []
    paths = draw(tmp_path / "r", forms=["svg"], note=notes.append)
    assert [path.stem for path in paths[:3]] == OF_RUN
    assert [path.stem.partition("-")[2] for path in paths[3:]] == ["curves", "confusion", "samples"]
    assert notes == [
        *NOT_OF_RUN, f"no boundary: {NO_PLANE}", f"no filters: {NOT_KEPT}", f"no wrong: {NOT_KEPT}"
    ]  # fmt: skip


def test_a_model_that_keras_can_not_load_is_told(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "digits", tmp_path / "r", ignore=shutil.ignore_patterns("pictures"))
    trial = Run(tmp_path / "r").ranked()[0].trial_id
    path = tmp_path / "r" / "models" / f"{trial}.keras"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=rf"of the kind wrong: plain Keras can't load .*{trial}\.keras: "):
        draw(tmp_path / "r", kinds=["wrong"])


def test_data_that_are_gone_leave_out_what_needs_them(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "numbers", tmp_path / "r")
    file = tmp_path / "r" / "sweep.yaml"
    file.write_text(file.read_text().replace(str(runs), str(tmp_path / "moved")))
    records = Records(tmp_path / "r" / "records" / "run.jsonl")
    stored.keep(Run(tmp_path / "r"), records, sweeps.load_stored(file))  # as where files have moved
    records.close()
    notes: list[str] = []
    trial = trial_of(tmp_path / "r").trial_id
    assert draw(tmp_path / "r", trial, note=notes.append) == []
    reasons = dict(note.removeprefix("no ").split(": ", 1) for note in notes)
    assert list(reasons) == list(KINDS)
    for kind in ("boundary", "filters", "wrong", "samples"):
        assert reasons[kind].startswith("the data can't be loaded: ")
        assert str(tmp_path / "moved" / "numbers.npz") in reasons[kind]
    done = CliRunner().invoke(app, ["plot", str(tmp_path / "r"), "--kind", "samples"])
    assert done.exit_code == 2
    assert done.stderr.startswith("hpc: no picture of the kind samples: the data can't be loaded: ")


def test_the_command_prints_the_paths_and_says_on_stderr_what_it_left_out(runs: Path, tmp_path: Path) -> None:
    baseline = trial_of(runs / "moons", 1).trial_id
    done = CliRunner().invoke(
        app, ["plot", str(runs / "moons"), baseline, "--out", str(tmp_path), "--format", "svg"]
    )
    path = tmp_path / f"{baseline}-confusion.svg"
    assert (done.exit_code, done.stdout) == (0, f"{path}\n")
    assert path.is_file()
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        f"no {kind}" for kind in KINDS if kind != "confusion"
    ]
    chosen = CliRunner().invoke(
        app, ["plot", str(runs / "moons"), baseline, "--out", str(tmp_path / "b"), "--kind", "confusion"]
    )
    assert chosen.stderr == ""
    assert [Path(line).name for line in chosen.stdout.splitlines()] == [
        f"{baseline}-confusion.png", f"{baseline}-confusion.svg",
    ]  # fmt: skip


def test_what_is_asked_for_twice_is_drawn_once(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, save, confusion = list[str](), pictures.save, pictures.confusion

    def count_save(figure: Any, path: Path) -> None:
        done.append(path.suffix)
        save(figure, path)

    def count_confusion(matrix: list[list[int]], title: str) -> object:
        done.append("confusion")
        return confusion(matrix, title)

    monkeypatch.setattr(pictures, "save", count_save)
    monkeypatch.setattr(pictures, "confusion", count_confusion)
    paths = draw(runs / "moons", None, ["confusion", "confusion"], tmp_path, ["svg", "png", "svg"])
    assert [path.suffix for path in paths] == [".svg", ".png"]
    assert done == ["confusion", ".svg", ".png"]


def test_a_picture_is_replaced_whole_or_not_at_all(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "plot",
        str(runs / "moons"),
        "--kind",
        "confusion",
        "--format",
        "svg",
        "--out",
        str(tmp_path),
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()

    def fill_the_disk(figure: object, target: Path, **options: Any) -> None:
        target.write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", fill_the_disk)
        done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hpc: {path} can't be used: No space left on device (")
    assert done.stderr.endswith(f" free in {tmp_path}).\n")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before

    path.write_text("an older picture")
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.slow
def test_what_is_drawn_of_records_alone_needs_no_tensorflow(runs: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom hpc.drawing import draw\n"
        "run, out = map(Path, sys.argv[1:])\n"
        "assert len(draw(run, kinds=['curves', 'points', 'cost'], out=out, forms=['svg'])) == 3\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert not {'tensorflow', 'keras', 'matplotlib.pyplot', 'optuna'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(runs / "digits"), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
