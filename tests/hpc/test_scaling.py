"""`hpc scaling`: runs that are read, and a sweep that is trained on one rank and on two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from hpc import running, sweeps
from hpc.cli.app import app
from hpc.results import RunError
from hpc.scaling import folders, lines, probe_of, report, trained_apart
from tests.conftest import ROOT, Hpc
from tests.results.measured import ALPHA, BETA, BYTES, step, written

SUMS: dict[str, Any] = {
    "reduces_by": "gloo",
    "reduced": [{"bytes": size, "seconds": 2 * ALPHA + size / BETA} for size in (1000, 10**5, 10**7)],
}


def several(folder: Path) -> Path:
    """What `hpc scaling` leaves: one rank with two batches, and two ranks."""
    written(folder / "probe", seconds=77.0)
    written(folder / "alone-100")
    written(folder / "alone-50", batch=50)
    written(folder / "ranks-2", ranks=2, **SUMS)
    return folder


def command(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["scaling", *map(str, arguments)])


def test_runs_that_are_there_are_reported_with_a_prediction_beside_the_measurement(tmp_path: Path) -> None:
    done = command(several(tmp_path / "s"), "--predict", "8", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    (two,) = [row for row in facts["measured"] if row["ranks"] == 2]
    assert two["predicted"] == pytest.approx(two["samples_per_second"])
    assert two["speed_up"] == pytest.approx(step(1, 100) / step(2, 100))
    assert two["joules_per_sample"] is None
    assert facts["model"]["alpha_seconds"] == pytest.approx(ALPHA)
    assert facts["model"]["gradient_bytes"] == BYTES
    assert facts["predictions"][0]["step_seconds"] == pytest.approx(step(8, 100))
    assert facts["advice"] is None  # nobody knows what sweep that was


def test_the_report_says_in_words_what_the_numbers_rest_on(tmp_path: Path) -> None:
    text = "\n".join(lines(report(folders([several(tmp_path / "s")]), predict=[8])))
    header, _, *rows = text.splitlines()
    assert header.split()[:3] == ["ranks", "beside", "batch"]
    assert "J/sample" not in header  # nothing is known of it
    assert len([row for row in rows if row[:8].strip() in ("1", "2")]) == 3
    assert "α = 20 µs, β = 1 GB/s; gradients have 4 MB." in text
    assert "2 ranks from 1: " in text
    assert "the interval holds what was measured" in text
    assert "8 ranks, batch 100: " in text
    assert "at most 2 were measured, and a network between nodes was not measured" in text


def test_a_rank_too_many_for_shared_memory_is_told(tmp_path: Path) -> None:
    several(tmp_path / "s")
    written(tmp_path / "s" / "ranks-4", ranks=4, **{**SUMS, "reduces_by": "memory"})
    alone = [tmp_path / "s" / name for name in ("alone-100", "alone-50", "ranks-4")]
    text = "\n".join(report(alone, predict=[3, 8]).sentences)
    assert text.count("above 4 ranks Horovod sums up") == 1


def test_models_of_other_sizes_are_not_compared(tmp_path: Path) -> None:
    other = written(tmp_path / "other", seconds=5.0)
    file = other / "records" / "job-0.jsonl"
    file.write_text(file.read_text().replace('"parameters": 10', '"parameters": 11'))
    made = report([*folders([several(tmp_path / "s")]), other])
    assert set(made.table["parameters"]) == {10}
    assert made.sentences[0].startswith("Models of 1 other sizes are left out")


def test_disturbed_measurements_are_called_so(tmp_path: Path) -> None:
    run = written(tmp_path / "a", epochs=6)
    assert "quartiles" not in report([run]).sentences[0]
    file = run / "records" / "job-0.jsonl"
    slow = [
        line.replace('"steps_seconds": 0.0', '"steps_seconds": 0.2')
        if '"epoch": 6' in line or '"epoch": 5' in line
        else line
        for line in file.read_text().splitlines()
    ]  # fmt: skip
    file.write_text("\n".join(slow) + "\n")
    assert "the machine had other work" in report([run]).sentences[0]


def test_a_run_of_one_rank_says_what_is_missing_for_more(tmp_path: Path) -> None:
    done = command(written(tmp_path / "a"), "--predict", "4")
    assert done.exit_code == 2
    assert "measure two, too: --ranks 1,2" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        ([".", "--predict", "2"], "neither the folder of a run nor one of `hpc scaling`"),
        (
            [ROOT / "sweeps" / "digits.yaml", "--ranks", "1,two"],
            "take whole numbers of at least 1, like 1,2,4",
        ),
        ([ROOT / "sweeps" / "digits.yaml", "--ranks", ""], "take whole numbers of at least 1, like 1,2,4"),
        ([ROOT / "sweeps" / "digits.yaml", "x.yaml"], "take one sweep file"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str | Path], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither the folder of a run"):
        folders([tmp_path])


def test_the_first_trial_is_taken_with_other_batches_and_nothing_else_changed() -> None:
    sweep = sweeps.load(ROOT / "sweeps" / "digits.yaml")
    one = probe_of(sweep, 7, 32, 2)
    first = sweep.trials[0].params
    assert [trial.seed for trial in one.trials] == [0, 1]
    for trial in one.trials:
        assert (trial.params["batch_size"], trial.params["epochs"]) == (32, 7)
        assert {**trial.params, "epochs": 20, "batch_size": 64} == first
    assert probe_of(sweep, 3, None, 1).trials[0].params == {**first, "epochs": 3}


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_measuring_changes_no_bit_of_the_weights(tmp_path: Path, ranks: int) -> None:
    sweep = probe_of(sweeps.load(ROOT / "sweeps" / "digits.yaml"), 3, 400, 1)
    weights = []
    for measure in (False, True):
        outcome = running.run(sweep, folder=tmp_path / str(measure), workers=1, ranks=ranks, measure=measure)
        (trial,) = outcome.run.trials.values()
        weights.append(trial.attempt.weights)
        assert outcome.is_good, trial.attempt.error
    facts = trial.attempt.workload
    assert weights[0] == weights[1] != ""
    assert (facts["samples"], facts["batch_size"], facts["nodes"]) == (1437, 400, 1)
    assert facts["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert facts["gradient_bytes"] == 4 * facts["parameters"]
    assert facts["steps"] % 4 == 0  # whole epochs, or those of the second call on
    assert 0 < facts["input_seconds"] < facts["steps_seconds"]
    together = facts["collective_seconds"] + facts["waiting_seconds"]
    if ranks == 1:
        assert (together, facts["reduced"]) == (0, [])
    else:
        assert facts["collective_seconds"] > 0
        assert together + facts["input_seconds"] < facts["steps_seconds"]
        assert [one["bytes"] for one in facts["reduced"]] == [4**power for power in range(5, 13)]
        assert all(one["seconds"] > 0 for one in facts["reduced"])


@pytest.mark.slow
def test_a_sweep_is_measured_on_one_rank_and_on_two_and_not_again(tmp_path: Path, hpc: Hpc) -> None:
    arguments = ["scaling", ROOT / "sweeps" / "digits.yaml", "--epochs", "4", "--predict", "4", "--dir", "s"]
    done = hpc(*arguments)
    assert done.returncode == 0, done.stderr
    names = ["alone-32", "alone-64", "beside-2-32", "beside-2-64", "probe", "ranks-2"]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == names
    assert "2 ranks from 1: " in done.stdout
    assert "27 trials of 460 steps on 2 devices: " in done.stdout
    again = hpc(*arguments)
    assert again.stdout == done.stdout
    assert again.stderr == ""
    read = hpc("scaling", "s", "--json")
    rows = json.loads(read.stdout)["measured"]
    found = [(row["ranks"], row["beside"], row["batch_size"]) for row in rows]
    apart = [size for size in (32, 64) if f"2 trials with batches of {size} did not train at" in done.stdout]
    assert found == [(1, 1, 32), (1, 1, 64), *((1, 2, n) for n in (32, 64) if n not in apart), (2, 1, 64)]


def test_trials_that_were_to_train_side_by_side_and_did_not_are_told() -> None:
    table = pd.DataFrame({"ranks": [1, 1, 2], "beside": [1, 2, 1], "batch_size": [64, 64, 64]})
    assert trained_apart(table, [2], [64]) == []
    assert trained_apart(table, [], [64, 32]) == []
    (said,) = trained_apart(table, [2], [64, 32])
    assert said.startswith("2 trials with batches of 32 did not train at the same time")
