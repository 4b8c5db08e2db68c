"""The bill of a run, from records with known times."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpc.results import Run, create
from hpc.results.stats import by_job, by_outcome, by_trial
from tests.results.written import plan

HOUR = 3600.0
JOB = {"job": "7_0", "array": "a", "launch": 1}
HOLDS = {"nodes": 2.0, "cores": 16, "gpus": 4}


class Records:
    """Writes records at the hours that a test says."""

    def __init__(self, folder: Path, trials: int = 4) -> None:
        create(folder, plan([{"x": number} for number in range(trials)]))
        self.folder = folder

    def add(self, hour: float, record: str, writer: str = "7_0", **entries: Any) -> None:
        line = json.dumps({"record": record, **entries, "time": hour * HOUR}) + "\n"
        with (self.folder / "records" / f"{writer}.jsonl").open("a") as file:
            file.write(line)

    def array(self, size: int = 1) -> None:
        self.add(0.1, "submitting", "run", name="a", launch=1, first=0, size=size, ranks=1)
        self.add(0.1, "array", "run", name="a", job="7")

    def began(self, hour: float, ready: float | None = None, job: str = "7_0", **holds: Any) -> None:
        self.add(hour, "began", job, job=job, name="a", restart=0)
        self.add(hour if ready is None else ready, "ready", job, job=job, backend="none", gpu=None,
                 **{**HOLDS, **holds})  # fmt: skip

    def start(self, hour: float, trial: int, attempt: int = 1, job: str = "7_0", **further: Any) -> None:
        who = {"trial": f"t0{trial}", "attempt": attempt, "index": trial, "params": {"x": trial}, "seed": 0}
        self.add(hour, "started", job, **who, ranks=4, job=job, node="n", code="", **further)

    def epoch(self, hour: float, trial: int, epoch: int, attempt: int = 1) -> None:
        self.add(hour, "epoch", trial=f"t0{trial}", attempt=attempt, epoch=epoch, metrics={}, seconds=1.0)

    def end(self, hour: float, record: str, trial: int, attempt: int = 1, **entries: Any) -> None:
        writer = entries.pop("writer", "7_0")
        facts: dict[str, Any] = {"trial": f"t0{trial}", "attempt": attempt, "seconds": 1.0}
        if record == "finished":
            facts |= {"epochs": 1, "best": 0.5, "metrics": {}}
        if record == "failed":
            facts |= {"reason": "error", "error": "no"}
        self.add(hour, record, writer, **{**facts, **entries})

    def left(self, hour: float) -> None:
        self.add(hour, "left", job="7_0", label="", how="done")

    def ended(self, hour: float, **account: Any) -> None:
        self.add(hour, "ended", "run", job="7_0", how="COMPLETED", why="", **account)

    def hours(self, column: str = "core_hours") -> dict[str, float]:
        frame = by_outcome(Run(self.folder))
        return {str(name): round(float(value), 6) for name, value in zip(frame.outcome, frame[column],
                                                                         strict=True)}  # fmt: skip

    def of_trials(self, column: str = "core_hours") -> list[float]:
        return [round(float(value), 6) for value in by_trial(Run(self.folder))[column]]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "r")


def test_a_trial_costs_what_its_job_holds_as_long_as_it_lasts(records: Records) -> None:
    records.array()
    records.began(1)
    records.start(2, 0)
    records.end(5, "finished", 0, energy_joules=7e6)
    records.start(5, 1)
    records.end(6, "failed", 1, reason="diverged")
    records.left(7)
    frame = by_trial(Run(records.folder))
    assert list(frame) == ["trial_id", "outcome", "node_hours", "core_hours", "gpu_hours", "energy_joules"]
    assert frame.iloc[0].tolist() == ["t00", "finished", 6, 48, 12, 7e6]
    assert frame.iloc[1].tolist()[:5] == ["t01", "failed (diverged)", 2, 16, 4]
    assert math.isnan(frame.energy_joules[1])
    assert frame.iloc[2].tolist()[:5] == ["t02", "waiting", 0, 0, 0]
    bill = by_outcome(Run(records.folder))
    assert bill.outcome.tolist() == ["finished", "failed (diverged)", "waiting", "start-up and idle"]
    assert bill.trials.tolist() == [1, 1, 2, 0]
    assert bill.core_hours.tolist() == [48, 16, 0, 32]
    assert bill.share.tolist() == pytest.approx([1 / 2, 1 / 6, 0, 1 / 3])
    assert bill.energy_joules.tolist()[0] == 7e6
    assert bill.attrs["source"] == "the workers' own clocks"


def test_the_accounts_of_slurm_count_more_than_clocks(records: Records) -> None:
    records.array()
    records.began(1)
    records.start(2, 0)
    records.end(4, "finished", 0)
    records.left(4)
    records.ended(9, elapsed_seconds=4 * HOUR, nodes=2, cores=64, gpus=8, energy_joules=8e6,
                  queue_seconds=90.0)  # fmt: skip
    assert records.of_trials("core_hours")[0] == 128
    assert records.of_trials("energy_joules")[0] == 4e6  # half of the job's time
    assert records.hours("gpu_hours") == {"finished": 16, "waiting": 0, "start-up and idle": 16}
    assert records.hours("energy_joules")["start-up and idle"] == 4e6
    assert by_outcome(Run(records.folder)).attrs["source"] == "SLURM's accounting"
    (job,) = by_job(Run(records.folder)).to_dict("records")
    assert job == {
        "job_id": "7_0", "elapsed_seconds": 4 * HOUR, "queue_seconds": 90, "nodes": 2, "cores": 64, "gpus": 8,
        "energy_joules": 8e6, "source": "SLURM's accounting",
    }  # fmt: skip


def test_accounts_may_come_later_than_the_end(records: Records) -> None:
    records.array(size=2)
    records.began(1)
    records.ended(2)
    account = {"elapsed_seconds": 8 * HOUR, "nodes": 1, "cores": 2, "gpus": 0, "energy_joules": None,
               "queue_seconds": 1.0}  # fmt: skip
    records.add(3, "accounts", "run", jobs={"7_0": account, "7_1": None})
    assert records.hours() == {"waiting": 0, "start-up and idle": 16}
    assert by_outcome(Run(records.folder)).attrs["source"] == "SLURM's accounting"  # 7_1 took nothing


def test_a_job_that_had_no_account_is_told_of_beside_one_that_had(records: Records) -> None:
    records.array(size=2)
    records.began(1)
    records.ended(2, elapsed_seconds=HOUR, nodes=1, cores=2, gpus=0, energy_joules=None, queue_seconds=0.0)
    records.began(1, ready=2, job="7_1")
    source = by_outcome(Run(records.folder)).attrs["source"]
    assert source == "SLURM's accounting and the workers' own clocks"


def test_a_lane_of_a_pack_costs_its_part(records: Records) -> None:
    records.array()
    records.began(1)
    for trial in range(4):
        records.start(1, trial, lanes=4)
    for trial in range(4):
        records.end(2, "finished", trial)
    records.left(2)
    assert records.of_trials() == [4, 4, 4, 4]
    assert records.hours() == {"finished": 16, "start-up and idle": 0}


def test_groups_of_ranks_share_their_job(records: Records) -> None:
    records.array()
    records.began(1, groups=2)
    for trial in range(2):
        records.start(1, trial)
        records.end(3, "finished", trial)
    assert records.of_trials()[:2] == [16, 16]
    assert records.hours()["start-up and idle"] == 0


def test_what_was_made_anew_is_lost_and_what_was_gone_on_with_is_not(records: Records) -> None:
    records.array()
    records.began(0.5)
    records.start(1, 0)
    records.end(2, "failed", 0, reason="node-failure")  # nothing of it is left
    records.start(2, 0, attempt=2)
    records.end(4, "stopped", 0, attempt=2, why="SIGUSR2")
    records.start(5, 0, attempt=3, after={"attempt": 2, "epoch": 0, "metrics": {}, "best": None})
    records.end(8, "finished", 0, attempt=3)
    records.left(8)
    assert records.of_trials()[0] == 6 * 16
    assert records.hours() == {"finished": 80, "waiting": 0, "lost": 16, "start-up and idle": 1.5 * 16}
    bill = by_outcome(Run(records.folder)).set_index("outcome")
    assert bill.trials["lost"] == 1


@pytest.mark.parametrize("is_over", [False, True])
def test_epochs_after_the_checkpoint_of_a_killed_attempt_are_lost(records: Records, is_over: bool) -> None:
    records.array()
    records.began(1)
    records.start(1, 0)
    for epoch in range(1, 5):
        records.epoch(1 + epoch, 0, epoch)
    records.end(5, "stopped", 0, why="killed", lost=True, epochs=4)
    records.start(5, 0, attempt=2, after={"attempt": 1, "epoch": 3, "metrics": {}, "best": None})
    records.epoch(6, 0, 4, attempt=2)
    if is_over:  # its epochs are read no more then
        records.end(6, "finished", 0, attempt=2)
    state = "finished" if is_over else "running"
    assert records.hours() == {state: 64, "waiting": 0, "lost": 16, "start-up and idle": 0}


def test_the_time_that_a_job_waits_to_start_again_costs_nothing(records: Records) -> None:
    records.array()
    records.began(1)
    records.start(1, 0)
    records.epoch(2, 0, 1)
    records.began(50)  # after a node has failed
    records.end(50, "stopped", 0, why="the job was started anew by SLURM", lost=True, ended=2 * HOUR)
    records.start(50, 0, attempt=2)
    records.end(53, "finished", 0, attempt=2)
    records.left(54)
    assert records.hours() == {"finished": 48, "waiting": 0, "lost": 16, "start-up and idle": 16}


def test_records_that_do_not_tell_when_a_lost_attempt_ended_prolong_nothing(records: Records) -> None:
    records.array()
    records.began(1)
    records.start(1, 0)
    records.epoch(3, 0, 1)
    records.began(50)
    records.end(50, "stopped", 0, why="the job was started anew by SLURM", lost=True)
    assert records.of_trials()[0] == 32  # from its start at 1 to its last epoch at 3


def test_a_verdict_that_comes_days_later_does_not_prolong_the_trial(records: Records) -> None:
    records.array()
    records.began(1)
    records.start(1, 0)
    records.epoch(2, 0, 1)
    records.end(99, "failed", 0, reason="timeout", ended=3 * HOUR, writer="run")
    assert records.hours() == {"failed (timeout)": 32, "waiting": 0, "start-up and idle": 0}


def test_workers_here_share_the_machine_and_are_known_by_their_processes(records: Records) -> None:
    records.add(0, "launched", "run", cluster="local", workers=2, ranks=1, trials=4)
    for number in range(2):
        job = f"local-1-{number}"
        records.add(1, "submitted", "run", job=job, pid=1, host="h", started=0.0, log="x")
        records.add(2, "ready", job, job=job, **{**HOLDS, "nodes": 1.0, "cores": 3, "gpus": 0})
        records.start(2, number, job=job)
        records.end(4, "finished", number, writer=job)
        records.add(5, "ended", "run", job=job, how="done")
    assert records.of_trials("node_hours")[:2] == [1, 1]
    assert records.of_trials("core_hours")[:2] == [6, 6]
    assert records.hours() == {"finished": 12, "waiting": 0, "start-up and idle": 12}
    bill = by_outcome(Run(records.folder))
    assert bill.share.tolist() == [0.5, 0, 0.5]


def test_without_what_a_job_holds_each_rank_is_a_core(records: Records) -> None:
    records.start(1, 0, job="debug-1-0")
    records.end(3, "finished", 0, writer="debug-1-0")
    assert records.of_trials("core_hours")[0] == 8
    assert records.of_trials("gpu_hours")[0] == 0


def test_the_bill_of_a_run_that_has_not_begun_is_nothing(records: Records) -> None:
    bill = by_outcome(Run(records.folder))
    assert bill.core_hours.tolist() == [0, 0]
    assert bill.share.isna().all()
    assert by_job(Run(records.folder)).empty
    pd.testing.assert_series_equal(by_trial(Run(records.folder)).core_hours, pd.Series([0.0] * 4),
                                   check_names=False)  # fmt: skip
