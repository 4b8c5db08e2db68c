"""Keras' own ``fit`` as a training backend: what its user would get, and what makes a trial of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, environment
from tests.jobs.fit_trials import end_of, history_of, numbered, records_of
from tests.marks import slow_but

HERE = Path(__file__).resolve().parent
QUICK = ["pipeline", "called_back"]
KINDS = [
    *QUICK, "two", "batches", "generator", "records", "text", "gan", "vae", "weighted", "mixed", "uneven",
    "frame", "tokens", "pairs",
]  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """What has come of one of the trainings.

    Attributes:
        plain: by plain ``fit``: its history, and a digest of its weights.
        whole: the run of the trial.
        stopped: likewise, where that was stopped, and went on.
    """

    plain: dict[str, Any]
    whole: Path
    stopped: Path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Fitted]:
    """All of these, of the quick kinds by two processes beside each other, of all others by two more."""
    found: dict[str, Fitted] = {}

    def of(name: str) -> Fitted:
        if name not in found:
            found.update(fitted_in(tmp_path_factory.mktemp("fitted"), name))
        return found[name]

    return of


def fitted_in(folder: Path, name: str) -> dict[str, Fitted]:
    names = QUICK if name in QUICK else [one for one in KINDS if one not in QUICK]
    out, env = folder / "plain.json", environment()
    alone = {key: value for key, value in env.items() if key != "PYTHONPATH"}
    commands = [
        ([sys.executable, "-P", str(HERE / "plain_fit.py"), str(out), *names], alone),
        ([sys.executable, "-m", "tests.jobs.fit_trials", str(folder), *names], env),
    ]
    both = [
        subprocess.Popen(
            command, env=own, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for command, own in commands
    ]
    said = [one.communicate(timeout=600)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], "\n".join(text[-3000:] for text in said)
    plain = json.loads(out.read_text())
    return {
        one: Fitted(plain[one], folder / one / "whole" / "r", folder / one / "stopped" / "r") for one in names
    }


@pytest.mark.parametrize("name", slow_but(QUICK, KINDS))
def test_a_trial_is_its_users_own_fit_to_the_last_bit(fitted: Callable[[str], Fitted], name: str) -> None:
    found = fitted(name)
    assert_same(found.whole, found.plain)


@pytest.mark.parametrize("name", slow_but(QUICK, KINDS))
def test_a_trial_that_was_stopped_ends_as_one_that_was_not(
    fitted: Callable[[str], Fitted], name: str
) -> None:
    found = fitted(name)
    (at,) = [one["epoch"] for one in records_of(found.stopped) if one["record"] == "checkpoint"]
    assert 0 < at < len(history_of(found.whole)["loss" if name != "gan" else "d_loss"])
    assert_same(found.stopped, found.plain)


def assert_same(run: Path, plain: dict[str, Any]) -> None:
    assert "failure" not in plain, plain["failure"]
    assert history_of(run) == numbered(plain["history"])
    assert end_of(run)["weights"] == plain["weights"]


def test_callbacks_write_into_the_folder_of_their_trial(fitted: Callable[[str], Fitted]) -> None:
    run = fitted("called_back").stopped
    (folder,) = (run / "trials").iterdir()
    assert {path.name for path in folder.iterdir()} == {"best.keras", "curve.csv"}
    lines = (folder / "curve.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,accuracy")
    assert [int(line.partition(",")[0]) for line in lines[1:]] == list(range(len(history_of(run)["loss"])))
