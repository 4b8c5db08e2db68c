"""Charts of runs."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from hpc.results import Run, RunError
from hpc.results.analysis import importance
from hpc.results.plots import CHARTS, Chart, DoesNotGoError, base, charts, svg
from hpc.results.stats import estimate
from tests.conftest import ROOT
from tests.marks import slow_but
from tests.results.made import Params, grid, make

RATES, SIZES, DROPOUTS = [0.001, 0.003, 0.01], [16, 32, 64], [0.0, 0.25, 0.5]


def worth(p: Params, seed: int, epoch: int) -> float:
    """Best at a rate of 0.01, 64 units and a dropout of 0.25; three seeds lie 0.01 apart."""
    best: float = 0.9 + 0.03 * math.log10(p["learning_rate"] / 0.01) + 0.01 * math.log2(p["hidden_size"] / 64)
    return float(best - 0.08 * abs(p["dropout"] - 0.25) + 0.01 * (seed - 1) - 0.3 / epoch)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of 27 settings, three seeds each."""
    points = grid(learning_rate=RATES, hidden_size=SIZES, dropout=DROPOUTS)
    return make(tmp_path_factory.mktemp("runs") / "r", points, worth, seeds=3, epochs=4)


def chart(run: Run, name: str) -> Chart:
    (found,) = charts(run, [name])
    return found


def texts(figure: Figure) -> list[str]:
    """All that can be read in a figure."""
    return [one.get_text() for one in figure.findobj() if hasattr(one, "get_text") and one.get_text()]


@pytest.mark.slow
def test_all_charts_go_with_a_grid_over_seeds_in_their_order(run: Run) -> None:
    notes: list[str] = []
    found = charts(run, note=notes.append)
    assert [one.name for one in found] == list(CHARTS)
    assert notes == []
    for one in found:
        assert one.title
        assert one.caption.endswith(".")
        assert len(one.data)
        figure = one.draw("A title")
        assert "A title" in texts(figure)
        assert "A title" not in texts(one.draw())


def test_a_heat_map_has_a_panel_for_each_dropout_and_means_over_seeds(run: Run) -> None:
    found = chart(run, "heatmap")
    assert list(found.data) == ["dropout", "hidden_size", "learning_rate", "points", "best_val_accuracy"]
    assert len(found.data) == 27
    cell = found.data[(found.data["dropout"] == "0.25") & (found.data["learning_rate"] == "0.003")]
    cell = cell[cell["hidden_size"] == "32"]["best_val_accuracy"].item()
    params = {"learning_rate": 0.003, "hidden_size": 32, "dropout": 0.25}
    assert cell == pytest.approx(worth(params, 1, 4))
    assert "framed, is learning_rate 0.01, hidden_size 64, dropout 0.25, with 0.825." in found.caption
    assert "Hatched" not in found.caption
    figure = found.draw()
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["dropout 0", "dropout 0.25", "dropout 0.5"]
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["0.001", "0.003", "0.01"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["16", "32", "64"]
    assert panels[1].texts[-1].get_text() == "0.8250"
    values = [np.asarray(axes.collections[0].get_array()) for axes in panels]
    assert values[1].ravel()[4] == pytest.approx(cell)
    scales = {(axes.collections[0].norm.vmin, axes.collections[0].norm.vmax) for axes in panels}
    assert len(scales) == 1


def test_the_best_cell_is_framed_and_those_not_tried_are_hatched(tmp_path: Path) -> None:
    points = grid(learning_rate=RATES, hidden_size=SIZES)[:-1]
    run = make(tmp_path / "r", points, lambda p, s, e: p["hidden_size"] * p["learning_rate"], mode="min")
    found = chart(run, "heatmap")
    assert "is learning_rate 0.001, hidden_size 16, with 0.016." in found.caption
    assert found.caption.endswith("Hatched cells were not tried.")
    axes = found.draw().axes[0]
    hatch, frame = axes.patches
    assert hatch.get_hatch() == "////"
    assert frame.get_hatch() is None
    assert frame.get_extents().transformed(axes.transData.inverted()).bounds[:2] == pytest.approx(
        (0.06, 0.06)
    )
    assert len(axes.texts) == 8


def test_the_better_the_brighter_whatever_is_better(tmp_path: Path) -> None:
    for mode in ("max", "min"):
        points = grid(a=[1, 2, 3], b=[1, 2, 3])
        run = make(tmp_path / mode, points, lambda p, s, e: float(p["a"] * p["b"]), mode=mode)
        (cells,) = chart(run, "heatmap").draw().axes[0].collections
        values = np.asarray(cells.get_array())
        light, values = cells.to_rgba(values).reshape(-1, 4)[:, :3].sum(axis=1), values.ravel()
        assert (light[values == 9] > light[values == 1]).all() == (mode == "max")


def test_a_few_failures_do_not_hide_the_differences_of_the_rest(tmp_path: Path) -> None:
    points = grid(a=range(4), b=range(5))
    value = lambda p, s, e: 0.1 if p["a"] == p["b"] == 0 else 0.9 + 0.001 * p["a"] * p["b"]  # noqa: E731
    (cells,) = chart(make(tmp_path / "r", points, value), "heatmap").draw().axes[0].collections
    assert (cells.norm.vmin, cells.norm.vmax) == pytest.approx((0.9, 0.912))


def test_numbers_of_a_random_search_are_taken_together(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    points: list[Params] = [
        {"learning_rate": float(10 ** draws.uniform(-4, -1)), "hidden_size": int(draws.integers(8, 512)),
         "dropout": float(draws.uniform(0, 0.5)), "optimizer": ["adam", "sgd"][place % 2]}
        for place in range(128)
    ]  # fmt: skip
    run = make(tmp_path / "r", points, lambda p, s, e: p["hidden_size"] / 512 + p["dropout"])
    found = chart(run, "heatmap")
    assert list(found.data)[:3] == ["optimizer", "hidden_size", "learning_rate"]
    assert found.data["points"].sum() == 128
    assert found.data["learning_rate"].nunique() == 3  # of 64 settings in each panel, 7 to a cell
    assert "whatever their dropout." in found.caption
    axes = found.draw().axes[0]
    rates = sorted(point["learning_rate"] for point in points)
    ends = [float(text.get_text()) for text in axes.get_xticklabels()]
    assert (ends[0], ends[-1]) == pytest.approx((rates[0], rates[-1]), rel=0.05)
    for name in ("points", "parallel", "effects"):
        chart(run, name).draw()


def test_points_without_a_number_are_a_place_of_their_own(tmp_path: Path) -> None:
    """Of a hyperparameter that depends on another."""
    draws = np.random.default_rng(0)
    points: list[Params] = [
        {"rate": draws.uniform(), "momentum": draws.uniform() if place % 2 else None} for place in range(60)
    ]
    run = make(tmp_path / "r", points, lambda p, s, e: p["rate"] + (p["momentum"] or 2))
    for name in ("heatmap", "effects"):
        figure = chart(run, name).draw()
        shown = [text.get_text() for axes in figure.axes for text in axes.get_xticklabels()]
        shown += [text.get_text() for axes in figure.axes for text in axes.get_yticklabels()]
        assert "none" in shown
        assert "nan" not in shown


def test_a_value_called_none_is_none_of_the_points_without_one(tmp_path: Path) -> None:
    worth = {"none": 1.0, "l2": 2.0, None: 3.0}
    points: list[Params] = [
        {"optimizer": "sgd" if penalty else "adam", "penalty": penalty, "rate": rate}
        for penalty in worth for rate in (1, 2, 3, 4)
    ]  # fmt: skip
    run = make(tmp_path / "r", points, lambda p, s, e: worth[p["penalty"]] + p["rate"] / 100)
    effects = chart(run, "effects").data
    means = effects[effects["hyperparameter"] == "penalty"].set_index("value")["mean"]
    assert means.round(3).to_dict() == {"none": 1.025, "l2": 2.025, "(none)": 3.025}
    found = {one.name: one for one in charts(run)}
    assert {"heatmap", "points", "parallel", "importance", "effects"} <= found.keys()
    for one in found.values():
        one.draw()
    assert "penalty (none)" in found["points"].caption
    assert "penalty (none)" in found["parallel"].caption
    assert importance(run).set_index("hyperparameter")["importance"]["penalty"] > 0.1


def test_panels_of_two_hyperparameters_stand_in_rows_and_columns(tmp_path: Path) -> None:
    points = grid(a=[1, 2], b=[1, 2], optimizer=["adam", "sgd", "rmsprop"], activation=["relu", "tanh"])
    run = make(tmp_path / "r", points, lambda p, s, e: float(10 * p["a"] + p["b"]) + len(p["optimizer"]))
    figure = chart(run, "heatmap").draw()
    panels = figure.axes[:6]
    assert [axes.get_title() for axes in panels[:3]] == [
        "optimizer adam",
        "optimizer sgd",
        "optimizer rmsprop",
    ]
    rows = [axes.texts[-1].get_text() for axes in (panels[2], panels[5])]
    assert rows == ["activation relu", "activation tanh"]


def test_more_than_twelve_panels_become_averages(tmp_path: Path) -> None:
    points = grid(a=[1, 2], b=[1, 2], c=range(4), d=range(4))
    run = make(tmp_path / "r", points, lambda p, s, e: float(100 * p["a"] + 50 * p["b"] + p["c"]))
    found = chart(run, "heatmap")
    assert list(found.data) == ["c", "b", "a", "points", "best_val_accuracy"]
    assert "A cell is the mean of 4 settings, whatever their d." in found.caption


def test_learning_curves_are_means_over_seeds_with_students_interval(run: Run) -> None:
    found = chart(run, "points")
    best = found.data[(found.data["rank"] == 1) & (found.data["epoch"] == 2)]
    params = {"learning_rate": 0.01, "hidden_size": 64, "dropout": 0.25}
    expected = estimate([worth(params, seed, 2) for seed in range(3)])
    assert best["val_accuracy"].item() == pytest.approx(expected.mean)
    assert (best["low"].item(), best["high"].item()) == pytest.approx((expected.low, expected.high))
    assert found.data.groupby("kind")["rank"].nunique().to_dict() == {"other point": 22, "point": 5}
    figure = found.draw()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0] == "1   0.8250   learning_rate 0.01, hidden_size 64, dropout 0.25"
    assert legend[-2:] == ["95% interval of the mean over a setting's trials", "the other 22 settings"]
    lines = figure.axes[0].get_lines()
    assert len(lines) == 27
    colours = {line.get_color() for line in lines[22:]}
    assert colours == set(base.COLOURS[:5])


def test_a_mean_ends_where_the_first_of_its_trials_has_ended(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(a=[1, 2]), lambda p, s, e: p["a"] + 0.1 * s + 0.01 * e, seeds=2, epochs=5)
    file = run.records / "local-1-0.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines = [one for one in lines if not (one.get("trial") == "t1s1" and one.get("epoch", 0) > 3)]
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    found = chart(Run(run.folder), "points")
    assert found.data.groupby("rank")["epoch"].max().to_dict() == {1: 3, 2: 5}
    assert (found.data["trials"] == 2).all()


def test_many_other_curves_become_quantiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path / "r", grid(a=range(95)), lambda p, s, e: p["a"] + e / 10)
    found = chart(run, "points")
    others = found.data[found.data["kind"] == "quantiles of the others"]
    assert len(others) == 3
    # of 0 to 89 at the first epoch
    row = others[others["epoch"] == 1].iloc[0]
    expected = np.quantile(np.arange(90) + 0.1, [0.05, 0.25, 0.5, 0.75, 0.95])
    assert row[["p5", "p25", "val_accuracy", "p75", "p95"]].tolist() == pytest.approx(expected.tolist())
    assert len(found.draw().axes[0].get_lines()) == 6


def test_every_point_has_a_line_with_its_best_trial_as_id_and_the_best_in_front(run: Run) -> None:
    found = chart(run, "parallel")
    assert found.data["trial_id"].iloc[0] == "t25s2"  # the last but one setting; its third seed is its best
    figure = found.draw()
    lines = [line for line in figure.axes[0].get_lines() if line.get_gid()]
    assert len(lines) == 27
    assert lines[-1].get_gid() == "trial-t25s2"
    heights = {str(line.get_gid()): np.asarray(line.get_ydata()) for line in lines}
    assert all(len(line) == 4 for line in heights.values())
    assert max(heights, key=lambda gid: heights[gid][-1]) == "trial-t25s2"
    by_rate = found.data.assign(height=[heights[f"trial-{name}"][0] for name in found.data["trial_id"]])
    ends = by_rate.groupby("learning_rate")["height"].agg(["min", "max"])
    assert (ends["max"].to_numpy()[:-1] < ends["min"].to_numpy()[1:]).all()  # bundles stay apart
    assert svg(figure).count('id="trial-') == 27


def test_an_axis_is_logarithmic_where_numbers_are(tmp_path: Path) -> None:
    rates = np.geomspace(1e-4, 1, 41).tolist()
    run = make(tmp_path / "r", [{"rate": rate, "b": place % 2} for place, rate in enumerate(rates)],
               lambda p, s, e: p["rate"])  # fmt: skip
    figure = chart(run, "parallel").draw()
    heights = {str(line.get_gid()): line.get_ydata() for line in figure.axes[0].get_lines() if line.get_gid()}
    assert np.asarray(heights["trial-t20s0"])[0] == pytest.approx(0.5)
    assert {"0.0001", "0.001", "0.01", "0.1", "1"} <= set(texts(figure))


def test_worse_results_than_the_scale_has_lie_in_one_place(tmp_path: Path) -> None:
    value = lambda p, s, e: 0.1 if p["a"] == 0 else 0.9 + 0.001 * p["a"]  # noqa: E731
    figure = chart(make(tmp_path / "r", grid(a=range(20), b=[1]), value), "parallel").draw()
    heights = {str(line.get_gid()): line.get_ydata() for line in figure.axes[0].get_lines() if line.get_gid()}
    assert "worse" in texts(figure)
    ends = {gid: float(np.asarray(height)[-1]) for gid, height in heights.items()}
    assert ends.pop("trial-t0s0") == 0
    assert min(ends.values()) == pytest.approx(0.1)


def test_importance_stands_beside_the_analysis_of_variance(run: Run) -> None:
    found = chart(run, "importance")
    assert found.caption.startswith("learning_rate matters most: by itself it accounts for ")
    forest = found.data[found.data["method"] == "fANOVA"].set_index("first")["share"]
    shares = found.data[found.data["method"] == "analysis of variance"]
    main = shares[shares["second"] == ""].set_index("first")["share"]
    assert main.sum() == pytest.approx(1)  # without interactions, in a full grid
    assert (forest - main).abs().max() < 0.1
    assert "overlap" not in found.caption
    widths = [bar.get_extents().width for bar in found.draw().axes[0].patches]
    shares_drawn = [*forest, *main[forest.index]]
    assert [width / widths[0] for width in widths] == pytest.approx(
        [s / forest.iloc[0] for s in shares_drawn]
    )


def test_interactions_that_may_be_chance_are_not_drawn(tmp_path: Path) -> None:
    draws = np.random.default_rng(3)
    points: list[Params] = [{name: int(draws.integers(3)) for name in "abcd"} for _ in range(60)]
    noise = {str(list(point.values())): float(draws.normal()) for point in points}

    def chance(p: Params, seed: int, epoch: int) -> float:
        return noise[str([p[name] for name in "abcd"])]

    def value(p: Params, seed: int, epoch: int) -> float:
        return float(3 * (p["a"] == p["b"])) + chance(p, seed, epoch)

    found = chart(make(tmp_path / "r", points, value), "importance")
    right = found.draw().axes[1]
    assert [text.get_text() for text in right.get_yticklabels()] == ["a × b"]
    assert "the strongest interaction, a × b," in found.caption
    assert found.caption.endswith("settings are no full grid, so shares overlap.")
    alone = chart(make(tmp_path / "n", points, chance), "importance")
    assert "interaction" not in alone.caption
    assert "none can be told from chance" in texts(alone.draw())


def test_few_points_are_not_spread_over_many_panels(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    points: list[Params] = [
        {"learning_rate": draws.uniform(), "hidden_size": draws.uniform(), "c": place % 3, "d": place % 4}
        for place in range(50)
    ]
    run = make(tmp_path / "r", points, lambda p, s, e: p["learning_rate"] + 2 * p["c"] + p["d"])
    found = chart(run, "heatmap")
    assert list(found.data) == ["c", "hidden_size", "learning_rate", "points", "best_val_accuracy"]
    assert "whatever their d." in found.caption


def test_main_effects_are_means_with_their_intervals(run: Run) -> None:
    found = chart(run, "effects")
    part = found.data[(found.data["hyperparameter"] == "dropout") & (found.data["value"] == "0.25")].iloc[0]
    values = [
        worth({"learning_rate": r, "hidden_size": s, "dropout": 0.25}, 1, 4) for r in RATES for s in SIZES
    ]
    expected = estimate(values)
    assert (part["mean"], part["low"], part["high"]) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    figure = found.draw()
    assert [axes.get_title() for axes in figure.axes] == ["learning_rate", "dropout", "hidden_size"]
    assert re.search(
        rf"dropout from {expected.mean - 0.02:.4g} at 0(.5)? to {expected.mean:.4g} at 0.25", found.caption
    )


def test_progress_is_over_what_was_spent_in_the_order_of_ends(tmp_path: Path) -> None:
    values = [0.5, 0.7, 0.6, 0.9, 0.8]
    run = make(tmp_path / "r", grid(a=range(5)), lambda p, s, e: values[p["a"]], failed=[2])
    found = chart(run, "progress")
    assert found.data["core_hours"].tolist() == pytest.approx([40 * k / 3600 for k in range(1, 6)])
    assert found.data["best_val_accuracy_so_far"].tolist() == [0.5, 0.7, 0.7, 0.9, 0.9]
    assert found.data["outcome"][2] == "failed (error)"
    assert math.isnan(found.data["best_val_accuracy"][2])
    assert "The best, 0.9, was reached after 2.67 core-minutes, 80% of the 3.33 core-minutes" in found.caption
    assert found.draw().axes[0].get_xlabel() == "core-minutes spent"
    order = [3, 0, 2, 1]
    other = make(tmp_path / "o", grid(a=range(4)), lambda p, s, e: values[p["a"]], order=order,
                 seconds=lambda index: 9.0 * (index + 1))  # fmt: skip
    found = chart(other, "progress")
    assert found.data["trial_id"].tolist() == ["t3s0", "t0s0", "t2s0", "t1s0"]
    assert found.data["core_hours"].tolist() == pytest.approx([0.04, 0.05, 0.08, 0.1])
    lowest = make(tmp_path / "low", grid(a=range(5)), lambda p, s, e: values[p["a"]], mode="min")
    assert chart(lowest, "progress").data["best_val_accuracy_so_far"].tolist() == [0.5] * 5


def test_cost_is_in_gpu_hours_where_there_are_gpus(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(a=range(5)), lambda p, s, e: 0.5, failed=[0])
    found = chart(run, "cost")
    assert dict(zip(found.data["outcome"], found.data["core_hours"] * 3600, strict=True)) == pytest.approx(
        {"finished": 160, "failed (error)": 40}
    )
    assert "finished 2.67 core-minutes (80%) and failed (error) 40 core-seconds (20%)." in found.caption
    file = run.records / "local-1-0.jsonl"
    file.write_text(file.read_text().replace('"gpus": 0', '"gpus": 2'))
    figure = chart(Run(run.folder), "cost").draw()
    assert figure.axes[0].get_xlabel() == "GPU-minutes"
    assert "1.33 minutes (80%), 4 trials" in texts(figure)


def test_what_does_not_go_is_noted_unless_it_is_asked_for(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(a=[1, 2]), lambda p, s, e: p["a"], epochs=1)
    notes: list[str] = []
    assert [one.name for one in charts(run, note=notes.append)] == ["parallel", "effects", "progress", "cost"]
    assert notes == [
        "no heatmap: only one hyperparameter varies",
        "no points: fewer than two epochs are recorded",
        "no importance: fewer than two hyperparameters vary",
    ]
    with pytest.raises(DoesNotGoError) as refused:
        charts(run, ["cost", "heatmap"])
    assert str(refused.value) == "no chart heatmap: only one hyperparameter varies."
    with pytest.raises(RunError, match=r"^'pie' is no chart; there are heatmap, points, "):
        charts(run, ["pie"])


def test_a_run_of_which_nothing_has_ended_has_no_charts(tmp_path: Path) -> None:
    run = make(tmp_path / "r", [], lambda p, s, e: 0.0)
    notes: list[str] = []
    assert charts(run, note=notes.append) == []
    assert len(notes) == len(CHARTS)
    failed = make(tmp_path / "f", grid(a=[1, 2]), lambda p, s, e: 0.0, failed=[0, 1])
    assert [one.name for one in charts(failed)] == ["cost"]


@pytest.mark.parametrize("points", [[{"a": 1}], [{}]], ids=["one", "none"])
def test_a_single_point_has_its_curve(tmp_path: Path, points: list[Params]) -> None:
    run = make(tmp_path / "r", points, lambda p, s, e: 0.5 + 0.1 * e + 0.01 * s, seeds=2)
    found = charts(run)
    assert [one.name for one in found] == ["points", "progress", "cost"]
    assert found[0].caption.startswith(
        "val_accuracy by epoch of the only setting, at 0.805 in epoch 3. Lines are "
    )
    assert "1   0.805   the only setting" in texts(found[0].draw())


def test_baselines_are_no_points_of_the_search(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(a=[1, 2, 3], b=[1, 2]), lambda p, s, e: p["a"] + e, baseline=100.0)
    for name in ("heatmap", "points", "parallel", "effects"):
        found = chart(run, name)
        assert found.data.select_dtypes("number").max().max() < 100
        found.draw()
    assert "base" not in set(chart(run, "progress").data["trial_id"])


NASTY = [
    "<script>alert(1)</script>",
    "a & \"b\" 'c'",
    "two\nlines\x1b[0m",
    "$x^2_{$ \\frac %",
    "🚀 日本語",
    "",
]


NAMES = ["<b onload=x>", "$a_b$", "a\nb\x00", "🚀", "rank", "points", "_x"]


@pytest.mark.parametrize("name", slow_but([], NAMES))
def test_names_and_values_of_users_are_drawn_as_they_are(tmp_path: Path, name: str) -> None:
    values_of: Any = {name: NASTY, "list": [[64, 32], [128]], "maybe": [None, 0.5], "flag": [True, False]}
    points = grid(**values_of)
    values = iter(range(10_000))
    run = make(tmp_path / "r", points, lambda p, s, e: float(next(values) % 17), metric="val_<i>_$m$\x1b")
    found = charts(run)
    assert [one.name for one in found] == list(CHARTS)
    for one in found:
        text = svg(one.draw(f"{name}: title"))
        root = ElementTree.fromstring(text)
        assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
            "svg", "g", "defs", "path", "use", "text", "tspan", "clipPath", "rect", "pattern",
        }  # fmt: skip
        assert "<script" not in text
        base.save(one.draw(), tmp_path / "x.png")
        base.save(one.draw(one.title), tmp_path / "x.svg")
        ElementTree.parse(tmp_path / "x.svg")


def test_words_name_what_users_have_named_in_one_line(tmp_path: Path) -> None:
    run = make(tmp_path / "r", grid(a=["x\ny", "z"], b=[1, 2, 3]), lambda p, s, e: len(p["a"]) + p["b"])
    for one in charts(run):
        assert "\n" not in one.caption
    assert "a x y" in chart(run, "points").caption


def test_an_svg_takes_its_colours_from_the_page_and_leaves_its_ground_open(run: Run) -> None:
    for one in charts(run):
        text = svg(one.draw())
        assert text.startswith("<svg ")
        assert "var(--ink)" in text
        assert not re.search(f"{base.INK}|{base.GRID}|{base.PAPER}", text, re.IGNORECASE)
        for foreign in ("<?xml", "<!DOCTYPE", "<metadata", "<style", "http://purl", "font-family", "<image"):
            assert foreign not in text
        assert not re.search(r'style="fill: ?#ffffff[^"]*"/>', text)  # no ground
    assert "var(--grid)" in svg(chart(run, "points").draw())
    assert "var(--paper)" in svg(chart(run, "parallel").draw())


def test_an_svg_has_unchanged_words(run: Run) -> None:
    texts_of = [
        one.text for one in ElementTree.fromstring(svg(chart(run, "heatmap").draw())).iter() if one.text
    ]
    assert {"0.001", "0.003", "0.01", "learning_rate", "0.8250"} <= set(texts_of)


@pytest.mark.slow
def test_ids_of_an_svg_are_its_own_and_those_it_names_are_there(run: Run) -> None:
    seen: set[str] = set()
    for prefix in ("one-", "two-"):
        for one in charts(run):
            text = svg(one.draw(), f"{prefix}{one.name}-")
            ids = re.findall(r'\bid="([^"]+)"', text)
            assert len(ids) == len(set(ids))
            assert all(name.startswith(prefix) for name in ids)
            assert not seen & set(ids)
            assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)) <= {
                pair for name in ids for pair in ((name, ""), ("", name))
            }
            seen |= set(ids)


@pytest.mark.slow
def test_the_same_chart_gives_the_same_svg_and_drawing_leaves_matplotlib_as_it_was(run: Run) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    for one in charts(run):
        assert svg(one.draw()) == svg(one.draw())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_a_thousand_points_stay_small(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    points: list[Params] = [
        {"learning_rate": float(10 ** draws.uniform(-4, -1)), "dropout": float(draws.uniform(0, 0.5)),
         "optimizer": ["adam", "sgd", "rmsprop"][place % 3]}
        for place in range(1000)
    ]  # fmt: skip
    run = make(tmp_path / "r", points, lambda p, s, e: p["dropout"] + 1 - 1 / e, epochs=5)
    found = charts(run)
    assert sum(len(svg(one.draw())) + len(one.data.to_csv()) for one in found) < 1_000_000


def test_to_import_charts_loads_nothing_heavy() -> None:
    code = (
        "import sys\nimport hpc.results.plots\n"
        "heavy = {'matplotlib', 'pandas', 'optuna', 'scipy', 'sklearn', 'tensorflow', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
