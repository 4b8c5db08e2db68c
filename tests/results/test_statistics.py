"""Means with their intervals, and which setting is the best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpc.results.stats import effects, estimate, interactions, verdict


def test_an_interval_is_that_of_students_table() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0])
    # 3.182 is Student's t for 3 degrees of freedom and 95 %
    assert (found.number, found.mean) == (4, 2.5)
    assert found.std == pytest.approx(math.sqrt(5 / 3))
    assert (found.high - 2.5, 2.5 - found.low) == pytest.approx([3.182 * math.sqrt(5 / 12)] * 2, rel=1e-3)
    assert estimate([1.0, 2.0, 3.0, 4.0], level=0.5).high < found.high
    single = estimate([0.5])
    assert (single.number, single.mean) == (1, 0.5)
    assert all(map(math.isnan, (single.std, single.low, single.high)))
    with pytest.raises(ValueError, match="no value"):
        estimate([])


@pytest.mark.parametrize("number", [2, 3, 10])
def test_intervals_cover_the_mean_as_often_as_they_say(number: int) -> None:
    draws = np.random.default_rng(number).normal(0.9, 0.02, (10_000, number))
    within = sum(one.low <= 0.9 <= one.high for one in map(estimate, draws))
    assert 0.94 <= within / len(draws) <= 0.96


def test_values_of_folds_vary_less_than_the_mean_they_stand_for() -> None:
    values = [0.9, 0.92, 0.91, 0.93]
    apart, folds = estimate(values), estimate(values, folds=4)
    ratio = (folds.high - folds.mean) / (apart.high - apart.mean)
    assert ratio == pytest.approx(math.sqrt((1 / 4 + 1 / 3) / (1 / 4)))  # Nadeau and Bengio


def seeds(*values: float) -> dict[Any, float]:
    return dict(enumerate(values))


def test_the_best_is_named_with_those_that_are_not_separable() -> None:
    points = [
        seeds(0.90, 0.91, 0.92),
        seeds(0.95, 0.96, 0.97),
        seeds(0.94, 0.97, 0.95),
        seeds(0.80, 0.81, 0.82),
    ]
    found = verdict(points, "max")
    assert found.place == 1
    assert [rival.place for rival in found.rivals] == [2, 0, 3]
    assert [rival.place for rival in found.ties] == [2]
    assert found.ties[0].more is not None
    assert found.ties[0].more > 3
    lowest = verdict(points, "min")
    assert (lowest.place, lowest.ties) == (3, ())


def test_the_same_seeds_are_compared_one_by_one() -> None:
    noise = np.array([0.0, 0.05, -0.05, 0.02])
    first, second = 0.9 + noise, 0.89 + noise + [0, 1e-3, 0, -1e-3]
    apart = verdict([seeds(*first), {f"other {k}": v for k, v in enumerate(second)}], "max")
    paired = verdict([seeds(*first), seeds(*second)], "max")
    assert [rival.place for rival in apart.ties] == [1]
    assert paired.ties == ()


def test_single_seeds_say_nothing_and_equal_values_are_tied() -> None:
    single = verdict([seeds(0.9), seeds(0.8)], "max")
    assert math.isnan(single.rivals[0].p)
    assert [rival.place for rival in single.ties] == [1]
    assert single.ties[0].more is None
    equal = verdict([seeds(0.9, 0.8), seeds(0.9, 0.8)], "max")
    assert [(rival.place, rival.p, rival.more) for rival in equal.ties] == [(1, 1.0, None)]
    exact = verdict([seeds(0.9, 0.9), seeds(0.8, 0.8)], "max")
    assert exact.ties == ()


def test_two_points_are_compared_as_scipy_does() -> None:
    from scipy import stats

    draw = np.random.default_rng(3)
    first, second = draw.normal(1.0, 0.1, 6), draw.normal(0.9, 0.1, 6)
    paired = verdict([seeds(*first), seeds(*second)], "max")
    assert paired.rivals[0].p == pytest.approx(stats.ttest_rel(first, second).pvalue)
    apart = verdict([seeds(*first), {k + 9: v for k, v in seeds(*second).items()}], "max")
    assert apart.rivals[0].p == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)


def test_what_many_points_say_of_their_variance_tells_each_apart_more_easily() -> None:
    draw = np.random.default_rng(5)
    points = [seeds(*draw.normal(mean, 0.01, 3)) for mean in [0.95, *np.linspace(0.7, 0.89, 20)]]
    alone = verdict([points[0], points[-1]], "max")
    together = verdict(points, "max")
    assert together.place == 0
    assert together.ties == ()
    assert alone.rivals[0].p > max(rival.p for rival in together.rivals)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(("number", "of_seeds"), [(2, 5), (4, 3), (27, 3)])
def test_a_point_is_wrongly_called_worse_as_rarely_as_is_said(
    number: int, of_seeds: int, spread: float
) -> None:
    """Of settings with the same mean, whichever came out best, and whether they vary alike or not."""
    draw, wrong, draws = np.random.default_rng(1), 0, 300
    for _ in range(draws):
        deviations = 0.01 * np.exp(spread * draw.normal(size=number))
        common = draw.normal(0, 0.01, of_seeds)  # to all trainings of a seed
        points = [seeds(*(draw.normal(0.9, one, of_seeds) + common)) for one in deviations]
        wrong += len(verdict(points, "max").ties) < number - 1
    assert wrong / draws < 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_so_many_more_seeds_do() -> None:
    """With the spread that there is."""
    from scipy import stats

    points = [seeds(0.95, 0.97, 0.96), seeds(0.94, 0.97, 0.95)]
    more = verdict(points, "max").ties[0].more
    assert more is not None
    spread = float(np.std([0.01, 0.0, 0.01], ddof=1))

    def is_enough(number: int) -> bool:
        freedom = 2 + 2 * (number - 3)  # of the differences so far, and of further seeds of both
        return bool(stats.t.ppf(0.975, freedom) * spread / math.sqrt(number) <= 0.02 / 3)

    assert is_enough(3 + more)
    assert not is_enough(3 + more - 1)


def grid() -> pd.DataFrame:
    rows = [
        {"rate": rate, "size": size, "kind": kind, "score": 10 * rate + size + rate * size + 0.0}
        for rate in (0.0, 1.0) for size in (0, 1, 2) for kind in ("a", "b")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_main_effects_are_means_of_points_with_a_value() -> None:
    found = effects(grid(), ["rate", "size", "kind"], "score")
    assert list(found["hyperparameter"]) == ["rate"] * 2 + ["size"] * 3 + ["kind"] * 2
    assert list(found["value"]) == ["0", "1", "0", "1", "2", "a", "b"]
    assert list(found["points"]) == [6, 6, 4, 4, 4, 6, 6]
    assert list(found["mean"]) == pytest.approx([1, 12, 5, 6.5, 8, 6.5, 6.5])
    assert list(found["difference"]) == pytest.approx([-5.5, 5.5, -1.5, 0, 1.5, 0, 0])


def test_shares_of_variance_of_a_full_grid_add_up() -> None:
    found = interactions(grid(), ["rate", "size", "kind"], "score")
    shares = dict(
        zip(zip(found["first"], found["second"], strict=True), found["share"].astype(float), strict=True)
    )
    # score = 10 rate + size + rate size: variances 30.25, 1.5 and 1/6 of the three parts
    assert shares["rate", ""] == pytest.approx(30.25 / (30.25 + 1.5 + 1 / 6))
    assert shares["size", ""] == pytest.approx(1.5 / (30.25 + 1.5 + 1 / 6))
    assert shares["rate", "size"] == pytest.approx((1 / 6) / (30.25 + 1.5 + 1 / 6))
    assert sum(shares.values()) == pytest.approx(1)
    assert (found.loc[0, "first"], found.loc[0, "second"]) == ("rate", "")
    assert interactions(grid().assign(score=1.0), ["rate"], "score").empty


def test_numbers_drawn_at_random_are_taken_together_in_ranges() -> None:
    draw = np.random.default_rng(0)
    points = pd.DataFrame({"rate": draw.uniform(size=60), "score": draw.normal(size=60)})
    points.loc[0, "rate"] = np.nan
    points.loc[1, "score"] = np.nan
    found = effects(points, ["rate"], "score", most=4)
    assert len(found) == 5
    assert found["points"].sum() == 59
    assert list(found["value"])[-1] == "none"
    lows = [float(text.split(" to ")[0]) for text in found["value"][:-1]]
    assert lows == sorted(lows)
