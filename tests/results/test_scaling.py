"""Scaling: what records say of speed, and a model that must find what it was given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.published_scaling import PUBLISHED, lines
from hpc.results import Run, RunError
from hpc.results.scaling import (
    AlphaBeta,
    Line,
    advice,
    factors,
    fit,
    fitted,
    measure,
    reductions,
    speed_up,
)
from hpc.results.scaling import format_duration as duration
from tests.results.measured import ALPHA, BETA, C0, C1, SAMPLES, ring, step, written

NOTHING = ring()


def test_the_first_epoch_of_an_attempt_does_not_count(tmp_path: Path) -> None:
    (row,) = measure([written(tmp_path / "a", seconds=0.01)]).to_dict(orient="records")
    assert row["step_seconds"] == pytest.approx(0.01)
    assert row["samples_per_second"] == pytest.approx(100 / 0.01)
    assert (row["epochs"], row["trials"], row["source"]) == (3, 1, "steps")
    assert (row["input_share"], row["collective_share"]) == (pytest.approx(0.1), pytest.approx(0.2))
    assert math.isnan(row["joules_per_sample"])


def test_epochs_alone_tell_the_speed_where_steps_were_not_timed(tmp_path: Path) -> None:
    (row,) = measure([written(tmp_path / "a", seconds=0.01, timed=False)]).to_dict(orient="records")
    assert row["step_seconds"] == pytest.approx(0.01, rel=1e-3)
    assert (row["epochs"], row["source"]) == (3, "epochs")
    assert math.isnan(row["collective_share"])


def test_timed_steps_are_not_mixed_with_whole_epochs(tmp_path: Path) -> None:
    runs = [written(tmp_path / "a", seconds=0.01), written(tmp_path / "b", seconds=0.5, timed=False)]
    (row,) = measure(runs).to_dict(orient="records")
    assert row["step_seconds"] == pytest.approx(0.01)


def test_a_last_batch_that_is_smaller_counts_for_what_it_holds(tmp_path: Path) -> None:
    (row,) = measure([written(tmp_path / "a", batch=300, seconds=0.01)]).to_dict(orient="records")
    assert row["samples_per_second"] == pytest.approx(1000 / 4 / 0.01)


def test_trials_that_were_trained_at_once_are_told_from_those_alone(tmp_path: Path) -> None:
    frame = measure(
        [written(tmp_path / "alone", trials=2), written(tmp_path / "beside", trials=2, jobs=2, seconds=0.1)]
    )
    assert frame["beside"].tolist() == [1, 2]
    assert frame["trials"].tolist() == [2, 2]
    assert frame["step_seconds"].tolist() == pytest.approx([step(1, 100), 0.1])


def test_energy_is_that_of_a_sample_that_was_trained(tmp_path: Path) -> None:
    frame = measure([written(tmp_path / "a", energy_joules=80.0)])
    assert frame["joules_per_sample"].tolist() == pytest.approx([80 / (4 * SAMPLES)])


def test_what_says_nothing_of_speed_is_told_with_the_remedy(tmp_path: Path) -> None:
    packed = written(tmp_path / "packed", further={"lanes": 3})
    with pytest.raises(RunError, match=r"packed: .* trained as packs, .*`--set pack=off`"):
        measure([packed])
    with pytest.raises(RunError, match="no trial of theirs is finished with at least two epochs"):
        measure([written(tmp_path / "short", epochs=1)])
    old = written(tmp_path / "old")
    file = old / "records" / "job-0.jsonl"
    file.write_text(file.read_text().replace('"samples"', '"other"'))
    with pytest.raises(RunError, match="an earlier version"):
        measure([old])


def test_strong_scaling_keeps_the_batch_and_weak_scaling_that_of_a_rank(tmp_path: Path) -> None:
    runs = [
        written(tmp_path / "1", batch=100, seconds=0.01),
        written(tmp_path / "2", ranks=2, batch=100, seconds=0.008),
        written(tmp_path / "w", ranks=2, batch=200, seconds=0.0125),
        written(tmp_path / "b", batch=50, trials=2, jobs=2, seconds=0.006),
    ]  # fmt: skip
    rows = speed_up(measure(runs)).to_dict(orient="records")
    by: dict[Any, dict[Any, Any]] = {(row["ranks"], row["batch_size"]): row for row in rows}
    assert by[1, 100]["scaling"] == ""
    assert math.isnan(by[1, 100]["speed_up"])
    strong, weak = by[2, 100], by[2, 200]
    assert (strong["scaling"], strong["speed_up"], strong["efficiency"]) == ("strong", 1.25, 0.625)
    assert (weak["scaling"], weak["speed_up"], weak["efficiency"]) == ("weak", 1.6, 0.8)
    assert strong["efficiency_beside"] == pytest.approx(0.006 / 0.008)
    assert math.isnan(weak["efficiency_beside"])


def singles(tmp_path: Path, *more: Path, batches: tuple[int, ...] = (25, 50, 100)) -> pd.DataFrame:
    return measure([*(written(tmp_path / f"s{batch}", batch=batch) for batch in batches), *more])


def test_the_model_finds_what_it_was_made_of_and_predicts_ranks_that_it_has_not_seen(tmp_path: Path) -> None:
    model = fit(singles(tmp_path), ring(2))
    assert model.compute[1].terms == pytest.approx([C0, C1])
    assert model.collective is not None
    assert model.collective.terms == pytest.approx([ALPHA, 1 / BETA])
    for ranks in (1, 2, 8, 512):
        said = model.predict(ranks, 100)
        assert said.step_seconds == pytest.approx(step(ranks, 100))
        assert said.low <= said.step_seconds <= said.high
        assert said.high - said.low < 1e-3 * said.step_seconds


def test_the_interval_is_as_wide_as_the_measurements_scatter(tmp_path: Path) -> None:
    frame = singles(tmp_path)
    frame["step_seconds_low"] *= math.exp(-0.6745 * 0.1)
    frame["step_seconds_high"] *= math.exp(0.6745 * 0.1)
    said = fit(frame, ring(2)).predict(1, 100)
    # 1.645 deviations of a tenth to each side for one point, less for a line through three of them
    width = math.log(said.high / said.low) / (2 * 1.645 * 0.1)
    assert 0.5 < width < 1.0


def test_what_several_ranks_take_longer_is_left_over_and_stays(tmp_path: Path) -> None:
    frame = singles(tmp_path, written(tmp_path / "two", ranks=2, seconds=step(2, 100, rest=3e-3)))
    assert fit(frame, ring(2)).predict(2, 100).step_seconds == pytest.approx(step(2, 100))
    model = fit(frame, ring(2), ranks=(2,))
    assert model.predict(2, 100).rest_seconds == pytest.approx(3e-3)
    assert model.predict(4, 100).step_seconds == pytest.approx(step(4, 100, rest=3e-3))
    assert model.predict(1, 100).rest_seconds == 0
    assert model.measured == (1, 2)


def test_without_sums_of_their_own_the_collectives_of_the_steps_are_fitted(tmp_path: Path) -> None:
    many = [written(tmp_path / f"n{n}", ranks=n, timed=False) for n in (2, 4, 8)]
    alone = [written(tmp_path / f"s{batch}", batch=batch, timed=False) for batch in (25, 50, 100)]
    model = fit(measure([*alone, *many]), NOTHING, ranks=(2, 4, 8))
    assert model.collective is not None
    assert model.collective.terms == pytest.approx([ALPHA, 1 / BETA], rel=0.02)
    assert model.predict(64, 100).step_seconds == pytest.approx(step(64, 100), rel=0.02)


def test_one_measurement_gives_a_bracket_between_both_terms(tmp_path: Path) -> None:
    model = fit(singles(tmp_path, batches=(100,)), ring(2))
    assert model.compute[1].is_bracket
    same, half = model.predict(1, 100), model.predict(1, 50)
    assert same.step_seconds == pytest.approx(step(1, 100))
    assert half.low == pytest.approx(step(1, 100) / 2, rel=0.1)  # all of it shrinks with the batch
    assert half.high == pytest.approx(step(1, 100), rel=0.1)  # nothing does


def test_ranks_can_not_be_predicted_without_any_sum_over_ranks(tmp_path: Path) -> None:
    model = fit(singles(tmp_path), NOTHING)
    assert model.predict(1, 100).step_seconds == pytest.approx(step(1, 100))
    with pytest.raises(RunError, match=r"2 ranks can't be predicted: .* --ranks 1,2"):
        model.predict(2, 100)
    with pytest.raises(RunError, match="needs a run on one rank"):
        fit(measure([written(tmp_path / "two", ranks=2)]), ring(2))


def test_sums_between_nodes_count_where_there_are_any(tmp_path: Path) -> None:
    slow = ring(4).assign(nodes=2, seconds=lambda rows: 10 * rows["seconds"])
    model = fit(singles(tmp_path), pd.concat([ring(2), slow]))
    assert model.collective is not None
    assert model.collective.terms == pytest.approx([10 * ALPHA, 10 / BETA])
    assert model.nodes == 2


@pytest.mark.parametrize(
    ("ranks", "size", "way", "expected"),
    [
        (1, 100, "ring", (0, 0)), (2, 100, "ring", (2, 100)), (4, 100, "gloo", (6, 150)),
        (4, 100, "memory", (6, 400)), (2, 300 * 2**20, "ring", (6, 300 * 2**20)),
    ],
)  # fmt: skip
def test_messages_and_bytes_of_a_sum(ranks: int, size: int, way: str, expected: tuple[float, float]) -> None:
    assert factors(ranks, size, way) == expected


def test_terms_are_not_below_zero() -> None:
    line = fitted([(1, 1), (1, 2)], [2.0, 1.0], [0, 0], np.random.default_rng(0))
    assert (line.terms >= 0).all()
    assert (line.draws >= 0).all()


def made(c0: float, c1: float, alpha: float) -> AlphaBeta:
    line, sums = np.array([c0, c1]), np.array([alpha, 0.0])
    sure = (Line(terms, np.tile(terms, (1000, 1))) for terms in (line, sums))
    return AlphaBeta({1: next(sure)}, next(sure), 4)


@pytest.mark.parametrize(
    ("trials", "devices", "model", "beside", "together", "word"),
    [
        (9, 2, made(1e-3, 1e-5, 1e-4), 5 * 2e-3, 9 * 1.7e-3, "2 trials at a time on 1 rank each: 1.5 times"),
        # the third of three trials leaves a device idle, and ranks cost nothing
        (3, 2, made(0, 2e-5, 0), 2 * 2e-3, 3 * 1e-3, "1 trial at a time on 2 ranks: 1.3 times"),
    ],
)
def test_advice_weighs_idle_devices_against_collectives(
    trials: int, devices: int, model: AlphaBeta, beside: float, together: float, word: str
) -> None:
    given = advice(model, trials=trials, devices=devices, batch_size=100, steps=1000)
    assert given.beside_seconds == pytest.approx([1000 * beside] * 3)
    assert given.together_seconds == pytest.approx([1000 * together] * 3)
    assert f"Take {word} as fast." in given.text


def test_advice_says_when_the_intervals_overlap() -> None:
    sure = made(1e-3, 1e-5, 0)
    spread = Line(sure.compute[1].terms, np.linspace(0.1, 10, 1000)[:, None] * sure.compute[1].terms)
    given = advice(AlphaBeta({1: spread}, sure.collective, 0), trials=4, devices=2, batch_size=100, steps=10)
    assert given.text.endswith("but the two intervals overlap.")


def test_durations_have_a_unit_that_suits_them() -> None:
    assert duration(1, 2, 3) == "2 s (1 to 3)"
    assert duration(1800, 7200, 9000) == "2 h (0.5 to 2.5)"
    assert duration(30, 90, 120) == "1.5 min (0.5 to 2)"


def test_sums_are_read_from_the_runs(tmp_path: Path) -> None:
    sums = [{"bytes": 1024, "seconds": 0.001}, {"bytes": 4096, "seconds": 0.002}]
    run = Run(written(tmp_path / "a", ranks=2, reduces_by="memory", reduced=sums))
    assert reductions([run]).values.tolist() == [[2, 1, "memory", 1024, 0.001], [2, 1, "memory", 4096, 0.002]]
    assert reductions([written(tmp_path / "b")]).empty


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)
def test_published_efficiencies_lie_between_no_overlap_and_full_overlap(one: Any) -> None:
    for gpus, measured in one.measured.items():
        low, high = one.bracket(gpus)
        assert low <= measured <= high, gpus


def test_16_and_128_gpus_tell_what_vgg_reaches_on_512() -> None:
    vgg = PUBLISHED[2]
    assert vgg.predicted(16) == pytest.approx(vgg.measured[16])
    assert vgg.predicted(128) == pytest.approx(vgg.measured[128])
    assert vgg.predicted(512) == pytest.approx(0.68, abs=0.01)
    assert len(lines()) == 1 + 9 + 1 + 3
