"""The ready-made sweeps reach what they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc import results
from tests.conftest import ROOT, Hpc


@pytest.mark.slow
def test_digits_reach_their_accuracy_on_one_rank_and_the_same_on_two(tmp_path: Path, hpc: Hpc) -> None:
    sweep = ROOT / "sweeps" / "digits.yaml"
    done = hpc("run", sweep, "--dir", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    one = results.table(tmp_path / "one").set_index("trial_id")
    assert one.state.eq("finished").all()
    assert len(one) == 27
    assert one.best_val_accuracy.max() >= 0.97

    done = hpc("run", sweep, "--ranks", "2", "--workers", "1", "--dir", "two")
    assert done.returncode == 0, done.stdout + done.stderr
    two = results.table(tmp_path / "two").set_index("trial_id")
    assert two.index.tolist() == one.index.tolist()
    assert two.ranks.eq(2).all()
    assert (two.val_accuracy - one.val_accuracy).abs().max() <= 0.02


@pytest.mark.slow
@pytest.mark.mnist
def test_mnist_reaches_its_accuracy(tmp_path: Path, hpc: Hpc, mnist_folder: Path) -> None:
    sweep = ROOT / "sweeps" / "mnist_mlp.yaml"
    limits = ["--set", "space.hidden_size=[128]", "--set", "space.learning_rate=[0.003]"]
    done = hpc("run", sweep, *limits, "--dir", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results.table(tmp_path / "r").best_val_accuracy.max() >= 0.94
