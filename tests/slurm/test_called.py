"""Functions and programs in jobs of SLURM: stopped before the time limit, requeued, gone on with."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import pytest

from hpc.results import TrialState
from tests.conftest import ROOT, missing
from tests.slurm.conftest import Site, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
TRAININGS = ROOT / "tests" / "trainings"
DDP = {
    "train": "ddp.py:train", "space": {"learning_rate": [0.01]}, "fixed": {"epochs": 150, "pause": 0.2},
    "objective": "loss",
}  # fmt: skip
PRINTS = {
    "command": ["python", "prints.py", "--lr", "{lr}", "--epochs", "150", "--pause", "0.2"],
    "metrics": {"val_loss": "val_loss=([0-9.e+-]+)"}, "space": {"lr": [0.01]}, "objective": "val_loss",
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "entries", "profile"), [("ddp.py", DDP, "pair"), ("prints.py", PRINTS, "one")]
)
def test_what_is_stopped_before_its_time_limit_goes_on_from_its_own_checkpoint(
    site: Site, file: str, entries: dict[str, Any], profile: str
) -> None:
    if file == "ddp.py" and find_spec("torch") is None:
        missing("torch", "PyTorch is missing: pip install torch")
    (site.folder / file).write_text((TRAININGS / file).read_text())
    (site.folder / "s.yaml").write_text(json.dumps({"name": "called", **entries}))
    site.hpc("submit", "s.yaml", "--on", profile, "--dir", "r")

    def trial() -> TrialState:
        (found,) = site.run().trials.values()
        return found

    until(lambda: trial().attempt.epochs >= 3, 120, lambda: site.hpc("status", "r", code=None))
    (number,) = site.arrays()
    site.cluster.run("scancel", "--signal=USR2", number)
    until(lambda: "BeginTime" in site.queue(), 60, site.queue)
    assert trial().state == "waiting"
    site.start_now()
    until(lambda: not site.is_busy(), 120, lambda: site.hpc("status", "r", code=None))
    done = trial()
    assert (done.state, done.attempt.epochs, len(done.attempts)) == ("finished", 150, 2), done.attempt.error
    assert done.attempt.after is not None
    assert done.attempt.after[1] >= 3
    assert done.attempt.ranks == (2 if profile == "pair" else 1)
    if file == "ddp.py":
        assert done.attempt.metrics["began"] == done.attempt.after[1]
    else:
        assert done.attempt.metrics["val_loss"] == pytest.approx(0.99**150, rel=1e-4)
