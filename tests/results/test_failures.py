"""Failures, each way to fail once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc.results import Run, create, format_traceback
from hpc.results.store import error_pattern as pattern
from hpc.results.store import failures
from hpc.sweeps.text import message_of
from tests.results.written import Worker, plan


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no\nTraceback 1", "ValueError: no\nTraceback 2"),
        ("loss is nan after epoch 3", "loss is inf after epoch 12"),
        ("KeyError: <Net at 0x7f00deadbeef>", "KeyError: <Net at 0x1234>"),
        ("no file /tmp/tmpab1x/data.npz", "no file /tmp/tmpq_z9/deeper/data.npz"),
        ("no folder /tmp/tmpab1x", "no folder /tmp/tmpq_z9"),
        ("rank 1: OOM when allocating tensor with shape[64,128]", "rank 3: OOM when allocating tensor with "
         "shape[64,256,3]"),
        ("can't reshape (3, 4) into -1.5e-07", "can't reshape (3, 4, 5) into 12"),
        ("trial tabc has no data", "trial txyz has no data"),
        ("no checkpoint of run 1f0e8c7a-aa11-4b22-8c33-0123456789ab", "no checkpoint of run "
         "2f0e8c7a-bb11-4b22-8c33-0123456789ab"),
        ("SLURM job 12_3: TIMEOUT on n1", "SLURM job 14_88: TIMEOUT on n1"),
        ("a-" * 100_000 + "1", "a-" * 100_000 + "22"),  # n² of it would take minutes
    ],
)  # fmt: skip
def test_what_varies_from_trial_to_trial_makes_no_other_failure(one: str, other: str) -> None:
    names = ["tabc", "txyz"]
    assert pattern(one, names) == pattern(other, names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no", "TypeError: no"),
        ("layer conv1d is wrong", "layer conv2d is wrong"),
        ("dtype float16", "dtype float32"),
        ("no file /tmp/a1/train.npz", "no file /tmp/a1/test.npz"),
        ("no file /data/a/x", "no file /data/b/x"),
        ("facade: no", "decade: no"),
    ],
)
def test_what_says_something_else_is_another_failure(one: str, other: str) -> None:
    assert pattern(one) != pattern(other)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "r"
    create(folder, plan([{"x": number} for number in range(6)]))
    worker = Worker(folder)
    worker.records.append(
        "submitted", job="local-1-0", log="jobs/1/7_0_log.out", pid=1, host="h", started=0.0
    )
    for number, (reason, error) in enumerate(
        [("error", "TypeError: odd"), ("error", "ValueError: 3 of 4\nTraceback (3)"),
         ("diverged", "loss is nan after epoch 1"), ("error", "ValueError: 5 of 6\nTraceback (5)"),
         ("timeout", "ValueError: 3 of 4")]
    ):  # fmt: skip
        worker.start(f"t0{number}")
        worker.fail(f"t0{number}", reason, error)
    worker.finish("t05", [0.5])
    return Run(folder)


def test_the_most_frequent_failure_comes_first_with_one_traceback_and_its_log(run: Run) -> None:
    found = failures(run)
    assert [(one.reason, one.message, one.trials) for one in found] == [
        ("error", "ValueError: 3 of 4", ["t01", "t03"]),
        ("error", "TypeError: odd", ["t00"]),
        ("diverged", "loss is nan after epoch 1", ["t02"]),
        ("timeout", "ValueError: 3 of 4", ["t04"]),
    ]
    assert found[0].traceback == "ValueError: 3 of 4\nTraceback (3)"
    assert found[0].log == "jobs/1/7_0_log.out"


def test_a_trial_that_came_right_the_second_time_has_not_failed(run: Run) -> None:
    worker = Worker(run.folder, "local-2-0")
    worker.finish("t00", [0.5], attempt=2)
    worker.start("t01", attempt=2)
    worker.fail("t01", "out-of-memory", "OOM", attempt=2)
    run.refresh()
    found = failures(run)
    assert ["t00"] not in [one.trials for one in found]
    assert [(one.reason, one.log) for one in found if one.trials == ["t01"]] == [("out-of-memory", None)]


class WordlessError(Exception):
    def __str__(self) -> str:
        return dict[str, str]()["reason"]

    def __getattr__(self, name: str) -> object:
        raise KeyError(name)


def test_an_exception_whose_own_words_raise_is_told_all_the_same() -> None:
    words = "what it says can't be told, since its __str__ raises KeyError"
    assert message_of(WordlessError()) == words
    assert message_of(ValueError("no")) == "no"
    try:
        raise WordlessError
    except WordlessError as error:
        told = format_traceback(error).splitlines()
    assert told[0] == "Traceback (most recent call last):"
    assert "raise WordlessError" in told[2]
    assert told[-1] == f"WordlessError: {words}"
