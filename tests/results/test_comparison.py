"""Two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from hpc.results import Run, RunError, create
from hpc.results.analysis import Comparison, compare
from tests.results.written import Worker, plan

SWEEP = """
name: x
model: mlp
space: {width: [8, 16]}
fixed: {epochs: 3, batch_size: 64, optimizer: adam}
defaults: {dropout: 0.0}
seeds: [0, 1]
"""
PROVENANCE: dict[str, Any] = {
    "time": "2026-01-01T10:00:00+00:00", "host": "h1", "user": "u", "command": ["hpc", "run", "x.yaml"],
    "folder": "/home/u", "scheduler": {"cluster": "local", "ranks": 1}, "python": "3.11.7",
    "platform": "Linux", "packages": {"keras": "3.15", "numpy": "2.0.2"}, "code": "",
    "git": {"commit": "c1", "diff": ""},
}  # fmt: skip
DIFF = """diff --git a/net.py b/net.py
index 1..2 100644
--- a/net.py
+++ b/net.py
@@ -1,2 +1,2 @@
-units = 8
+units = {units}
 done = True
"""
Value = Callable[[int, int], float]


def make(
    folder: Path,
    value: Value = lambda width, seed: width / 100 + seed / 1000,
    *,
    names: str = "t",
    fixed: Mapping[str, Any] = {"epochs": 3, "batch_size": 64},
    widths: tuple[int, ...] = (8, 16),
    seeds: tuple[int, ...] = (0, 1),
    seconds: float = 1.0,
    sweep: str = SWEEP,
    provenance: Mapping[str, Any] = PROVENANCE,
    code: str = "",
    **changes: Any,
) -> Path:  # fmt: skip
    """A finished run of so many widths and seeds."""
    trials: list[dict[str, Any]] = []
    for width in widths:
        for seed in seeds:
            params = {"width": width, **fixed}
            trials.append({"trial": f"{names}{width}-{seed}", "index": len(trials), "params": params,
                           "seed": seed, "model": "mlp"})  # fmt: skip
    parts = plan(
        [], space=["width"], trials=trials, sweep=sweep, provenance=json.dumps(provenance), **changes
    )
    create(folder, parts)
    worker = Worker(folder)
    for trial in trials:
        worker.finish(trial["trial"], [value(trial["params"]["width"], trial["seed"])], seconds=seconds)
        if code:
            who = {"trial": trial["trial"], "attempt": 1, "index": 0, "params": {}, "seed": 0}
            worker.records.append("started", **who, ranks=1, job="local-1-0", node="n", code=code)
    return folder


def differing(comparison: Comparison) -> dict[str, tuple[Any, Any]]:
    return {f"{one.area}: {one.what}": (one.a, one.b) for one in comparison.differences}


def test_a_run_compared_with_itself_differs_in_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    found = compare(folder, folder)
    assert found.differences == ()
    assert found.paired_by == "trial"
    assert found.seconds_ratio == 1
    assert found.verdict() == "val_accuracy is the same to the last digit over 4 trials in common."
    assert "Nothing differs" in found.format()
    assert "greatest differences" not in found.format()


def test_what_differs_is_told_by_area(tmp_path: Path) -> None:
    sweep = SWEEP.replace("[8, 16]", "[8, 32]").replace("batch_size: 64", "batch_size: 128").replace(
        "optimizer: adam", "dropout: 0.0, patience: 3")  # fmt: skip
    other = {**PROVENANCE, "host": "h2", "python": "3.12.1", "packages": {"keras": "3.16", "numpy": "2.0.2"},
             "git": {"commit": "c2", "diff": DIFF.format(units=16)}, "command": ["hpc", "submit", "x.yaml"],
             "scheduler": {"cluster": "slurm", "ranks": 1}}  # fmt: skip
    found = compare(make(tmp_path / "a"), make(tmp_path / "b", sweep=sweep, provenance=other, code="d1"))
    assert differing(found) == {
        "sweep: fixed.batch_size": (64, 128),
        "sweep: fixed.optimizer": ("adam", None),
        "sweep: fixed.patience": (None, 3),  # dropout is what it is by default
        "space: space.width": ([8, 16], [8, 32]),
        "code: commit": ("c1", "c2"),
        "code: net.py": (None, "2 changed lines, not committed"),
        "code: digest of model and data files": ("none of the user's", "d1"),
        "versions: python": ("3.11.7", "3.12.1"),
        "versions: keras": ("3.15", "3.16"),
        "where and when: host": ("h1", "h2"),
        "where and when: command": ("hpc run x.yaml", "hpc submit x.yaml"),
        "where and when: scheduler.cluster": ("local", "slurm"),
    }
    assert "++units = 16" in found.diff.splitlines()
    words = found.format()
    assert "fixed.batch_size  64 → 128" in words
    assert "space.width  [8, 16] → [8, 32]" in words


def test_uncommitted_changes_are_compared_file_by_file(tmp_path: Path) -> None:
    same = DIFF.format(units=9).replace("net.py", "same.py")
    a = {**PROVENANCE, "git": {"commit": "c", "diff": same + DIFF.format(units=16)}}
    b = {**PROVENANCE, "git": {"commit": "c", "diff": DIFF.format(units=32) + same}}
    found = compare(make(tmp_path / "a", provenance=a), make(tmp_path / "b", provenance=b))
    assert [one.what for one in found.differences] == ["net.py"]
    changed = [line for line in found.diff.splitlines() if line[1:].startswith("+units")]
    assert changed == ["-+units = 16", "++units = 32"]
    assert "same.py" not in found.diff


def test_trials_in_common_are_compared_in_pairs(tmp_path: Path) -> None:
    gains = {(8, 0): 0.01, (8, 1): 0.02, (16, 0): 0.03, (16, 1): 0.06}
    a = make(tmp_path / "a")
    b = make(tmp_path / "b", lambda w, s: w / 100 + s / 1000 + gains[w, s], seconds=2.0)
    found = compare(a, b)
    assert found.paired_by == "trial"
    assert found.pairs.pair.tolist() == ["t8-0", "t8-1", "t16-0", "t16-1"]
    assert found.pairs.difference.tolist() == pytest.approx(list(gains.values()))
    assert found.effect is not None
    low, high = stats.ttest_1samp(list(gains.values()), 0.0).confidence_interval(0.95)
    assert (found.effect.mean, found.effect.low, found.effect.high) == pytest.approx((0.03, low, high))
    assert found.seconds_ratio == pytest.approx(2)
    assert found.verdict().startswith(
        "No difference in val_accuracy can be told from chance: +0.03 on average"
    )
    assert low < 0 < high
    assert found.format().index("t16-1 ") < found.format().index("t8-0 ")  # the greatest first
    assert "A trial of b takes 2 times as long as one of a." in found.format()


@pytest.mark.parametrize(("mode", "better"), [("max", "better"), ("min", "worse")])
def test_where_more_is_better_depends_on_the_objective(tmp_path: Path, mode: str, better: str) -> None:
    a = make(tmp_path / "a", mode=mode)
    b = make(tmp_path / "b", lambda w, s: w / 100 + s / 1000 + 0.1 + w / 1e4, mode=mode)
    assert compare(a, b).verdict().startswith(f"The second run is {better}: val_accuracy +0.1012 on average")
    assert compare(b, a).verdict().startswith(
        f"The second run is {'worse' if better == 'better' else 'better'}: val_accuracy -0.1012")  # fmt: skip


def test_where_something_changed_for_all_trials_points_are_paired_by_what_varies(tmp_path: Path) -> None:
    a = make(tmp_path / "a")
    changed = {"epochs": 3, "batch_size": 128, "new": 1}
    b = make(tmp_path / "b", lambda w, s: 0.5 + w / 100, names="u", fixed=changed, widths=(16, 32))
    found = compare(a, b)
    assert found.paired_by == "seed"
    assert found.pairs.pair.tolist() == ["width=16 seed=0", "width=16 seed=1"]
    assert found.pairs.difference.tolist() == pytest.approx([0.5, 0.499])
    assert "over 2 trials of equal hyperparameters and seed" in found.verdict()


def test_other_seeds_leave_the_points_in_common(tmp_path: Path) -> None:
    a = make(tmp_path / "a")
    b = make(tmp_path / "b", lambda w, s: w / 100 + s / 1000, names="u", seeds=(2, 4))
    found = compare(a, b)
    assert found.paired_by == "point"
    assert found.pairs[["pair", "a", "b"]].to_numpy().tolist() == [
        ["width=8", pytest.approx(0.0805), pytest.approx(0.083)],
        ["width=16", pytest.approx(0.1605), pytest.approx(0.163)],
    ]
    assert "over 2 settings in common" in found.verdict()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"metric": "val_loss"}, "the objectives differ (max val_accuracy, max val_loss)"),
        ({"mode": "min"}, "the objectives differ (max val_accuracy, min val_accuracy)"),
        ({"widths": (64,), "names": "u"}, "they have no setting in common"),
    ],
)
def test_runs_that_can_not_be_compared_say_why(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    found = compare(make(tmp_path / "a"), make(tmp_path / "b", **changes))
    assert found.effect is None
    assert found.verdict() == f"What that did to val_accuracy can't be told: {why}."
    assert found.pairs.empty


def test_a_run_of_which_nothing_has_ended_has_no_best(tmp_path: Path) -> None:
    b = tmp_path / "b"
    create(b, plan([{"width": 8, "epochs": 3}]))
    found = compare(make(tmp_path / "a"), b)
    assert found.why_not == "no trial of one of them has ended well"
    assert (found.b.best, found.b.trial_id, found.b.seconds, found.seconds_ratio) == (None, "", None, None)
    assert "b: 1 trials: 1 waiting" in found.format()


def test_the_best_point_has_the_interval_of_its_seeds(tmp_path: Path) -> None:
    a = make(tmp_path / "a", lambda w, s: {8: 0.5, 16: 0.4}[w] + 0.1 * s)
    best = compare(a, a).a.best
    assert best is not None
    assert best.number == 2
    assert best.mean == pytest.approx(0.55)
    half = float(stats.t.ppf(0.975, 1)) * 0.1 / 2**0.5 / 2**0.5
    assert (best.low, best.high) == pytest.approx((0.55 - half, 0.55 + half))
    assert compare(a, a).a.params == {"width": 8}
    assert compare(a, a).a.trial_id == "t8-1"


def test_a_single_pair_says_nothing(tmp_path: Path) -> None:
    a = make(tmp_path / "a", widths=(8,), seeds=(0,))
    b = make(tmp_path / "b", lambda w, s: 0.9, widths=(8,), seeds=(0,))
    assert (
        compare(a, b).verdict() == "val_accuracy differs by +0.82 in a single pair, of which nothing follows."
    )


def test_a_lane_of_a_pack_took_its_part_of_the_seconds(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", seeds=(0,)), make(tmp_path / "b", seeds=(0,), seconds=8.0)
    for width in (8, 16):
        who = {"trial": f"t{width}-0", "attempt": 1, "index": 0, "params": {}, "seed": 0}
        Worker(b).records.append("started", **who, ranks=1, job="local-1-0", node="n", code="", lanes=4)
    assert compare(a, b).seconds_ratio == pytest.approx(2)


def test_the_facts_are_json(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", seeds=(0,)), make(tmp_path / "b", seeds=(0,), widths=(8,))
    facts = json.loads(json.dumps(compare(a, b).to_dict(), allow_nan=False))
    assert facts["effect"]["number"] == 1
    assert facts["effect"]["low"] is None
    assert facts["pairs"][0]["pair"] == "t8-0"
    assert facts["a"]["counts"]["finished"] == 2
    assert facts["verdict"]


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"git": null, "packages": null}'])
def test_a_broken_provenance_is_only_missing(tmp_path: Path, text: str) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b")
    (b / "provenance.json").write_text(text)
    found = compare(a, b)
    assert differing(found)["versions: keras"] == ("3.15", None)
    assert found.paired_by == "trial"


def test_a_sweep_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b")
    (b / "sweep.yaml").write_text("name: [")
    with pytest.raises(RunError, match=r"sweep\.yaml, line 1: is not YAML"):
        compare(Run(a), b)
