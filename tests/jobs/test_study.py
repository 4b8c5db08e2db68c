"""The study behind a search: nothing lost, nothing twice, nobody left running."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpc import sweeps
from hpc.jobs.source.budget import BudgetGuard
from hpc.jobs.source.entries import entries_of
from hpc.jobs.source.journal import Journal
from hpc.jobs.source.study import Asked, Study, open_study
from hpc.results import Plan, Records, Run, create
from hpc.search_coordinator import SearchCoordinator
from hpc.sweeps.searches import SAMPLER_OPTIONS
from hpc.sweeps.searches.pruners import PRUNERS, pruner
from tests.conftest import ROOT
from tests.jobs.studies import SPACE, begin, finish, running, started, sweep_of, value_of, write
from tests.marks import slow


def all_of(study: Study, owner: str = "w") -> list[Asked]:
    found = []
    while (asked := study.ask(owner)) is not None:
        found.append(asked)
        finish(study, asked)
    return found


@pytest.mark.parametrize(
    ("storage", "count", "trials"),
    [
        pytest.param("journal", 8, 60, marks=pytest.mark.slow),
        pytest.param("postgresql", 8, 60, marks=[pytest.mark.slow, pytest.mark.postgresql]),
    ],
)
def test_workers_at_once_lose_no_trial_and_take_none_twice(
    tmp_path: Path, storage: str, count: int, trials: int, request: pytest.FixtureRequest
) -> None:
    """Of few values, so that samplers would often draw the same setting."""
    url = request.getfixturevalue("database") if storage == "postgresql" else ""
    space = {"x": [n / 100 for n in range(110)], "y": [0.0, 0.1, 0.2, 0.3]}
    sweep = sweep_of(space=space, search={"method": "tpe", "trials": trials, "pruner": "median"})
    study = begin(tmp_path / "r", sweep, url)
    command = [sys.executable, "-m", "tests.jobs.asking", str(tmp_path / "r")]
    workers = [
        subprocess.Popen([*command, f"w{n}", "0.01"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for n in range(count)
    ]
    found = [json.loads(line)["trial"] for w in workers for line in w.communicate()[0].splitlines()]
    assert [w.returncode for w in workers] == [0] * count
    assert len(found) == len(set(found)) == trials
    assert study.left() == 0
    assert running(study) == 0


@pytest.mark.parametrize("method", ["tpe", slow("gp"), slow("cmaes"), "qmc", "random"])
def test_one_worker_asks_for_the_same_trials_again(tmp_path: Path, method: str) -> None:
    found = []
    for name in ("a", "b"):
        sweep = sweep_of(search={"method": method, "trials": 14, "pruner": "asha", "seed": 3})
        found.append([asked.trial for asked in all_of(begin(tmp_path / name, sweep))])
    assert found[0] == found[1]
    assert len({trial.trial_id for trial in found[0]}) == 14
    other = sweep_of(search={"method": method, "trials": 14, "pruner": "asha", "seed": 4})
    assert found[0] != [asked.trial for asked in all_of(begin(tmp_path / "c", other))]


@pytest.mark.parametrize("method", [slow("tpe"), slow("gp"), "cmaes"])
def test_a_search_comes_nearer_than_random_draws(tmp_path: Path, method: str) -> None:
    """Over three seeds together: the distance of the best of 30 from the optimum."""

    def far(method: str, seed: int) -> float:
        sweep = sweep_of(search={"method": method, "trials": 30, "seed": seed, "pruner": "median"})
        return 1 - max(map(value_of, all_of(begin(tmp_path / f"{method}{seed}", sweep))))

    assert sum(far(method, seed) for seed in range(3)) < sum(far("random", seed) for seed in range(3))


def test_a_search_goes_on_as_it_would_have_whoever_asks(tmp_path: Path) -> None:
    """A worker that begins anew has the same random numbers for the same trial."""
    whole = [asked.trial for asked in all_of(begin(tmp_path / "a", sweep_of()))]
    study, parts = begin(tmp_path / "b", sweep_of()), []
    while (asked := study.ask("w")) is not None:
        parts.append(asked.trial)
        finish(study, asked)
        study = open_study(sweep_of(), Run(tmp_path / "b"))
    assert parts == whole


def test_workers_that_ask_at_once_do_not_get_the_same_point(tmp_path: Path) -> None:
    """All are under way; the sampler has learnt nothing in between."""
    sweep = sweep_of(
        space={"x": [0.1, 0.2, 0.3, 0.4], "y": [0.0, 0.5]}, search={"method": "tpe", "trials": 8}
    )
    study = begin(tmp_path / "r", sweep)
    asked = [study.ask(f"w{n}") for n in range(9)]
    assert asked.pop() is None
    assert len({one.trial.trial_id for one in asked if one}) == 8


def test_a_space_that_has_no_further_point_ends_the_search(tmp_path: Path) -> None:
    """A condition makes it smaller than it looks; where that can be counted, it is refused before."""
    space = {"x": [0.1, 0.2], "y": {"low": 0.0, "high": 1.0, "when": "x > 5"}}
    study = begin(tmp_path / "r", sweep_of(space=space, search={"method": "tpe", "trials": 5}))
    assert len(all_of(study)) == 2
    assert study.over == "the space has no further setting"
    assert study.left() == 0


def test_conditions_and_constraints_hold_of_every_point(tmp_path: Path) -> None:
    space = {
        "x": {"low": 0.0, "high": 1.0}, "optimizer": ["adam", "sgd"],
        "n": {"low": 1, "high": 64, "log": True},
        "momentum": {"low": 0.0, "high": 0.9, "step": 0.1, "when": {"optimizer": "sgd"}},
        "deep": {"choices": [[8], [8, 8]], "when": "optimizer == 'sgd' and n > 4"},
    }  # fmt: skip
    sweep = sweep_of(space=space, search={"method": "tpe", "trials": 40}, constraints=["n * x <= 20"])
    points = [asked.trial.params for asked in all_of(begin(tmp_path / "r", sweep))]
    assert len(points) == 40
    for params in points:
        assert ("momentum" in params) == (params["optimizer"] == "sgd")
        assert ("deep" in params) == (params["optimizer"] == "sgd" and params["n"] > 4)
        assert isinstance(params["n"], int)
        assert params["n"] * params["x"] <= 20
        assert params.get("momentum", 0.0) in [n / 10 for n in range(10)]
    assert {json.dumps(params.get("deep")) for params in points} == {"null", "[8]", "[8, 8]"}


def test_a_trial_of_a_worker_that_is_gone_is_handed_out_again(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of(search={"method": "tpe", "trials": 3, "pruner": "asha"}))
    lost, kept = study.ask("dead"), study.ask("alive")
    assert lost is not None
    assert kept is not None
    study.report(lost.trial, 0.5, 1)
    started(tmp_path / "r", lost, "dead")
    started(tmp_path / "r", kept, "alive")
    other = open_study(study.sweep, Run(tmp_path / "r"))
    other.settle(Run(tmp_path / "r"), lambda owner: owner == "dead")
    again = other.ask("w")
    assert again == Asked(lost.trial, 2)
    finish(other, again)
    finish(study, kept)
    assert len(all_of(other)) == 1
    assert (other.left(), running(other)) == (0, 0)


def test_a_worker_may_be_lost_while_others_begin_trials(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    study = begin(folder, sweep_of())
    mine, its = study.ask("w1"), study.ask("w2")
    assert mine is not None
    assert its is not None
    started(folder, mine, "w1")
    records = Records(folder / "records" / "run.jsonl")
    search = SearchCoordinator(sweep_of(), Run(folder), records, "", lambda text: None)
    append = records.append

    def slowly(record: str, **entries: Any) -> None:
        if record == "stopped":
            started(folder, its, "w2")
        append(record, **entries)

    records.append = slowly  # type: ignore[method-assign]
    assert search.lose("w1", "killed", "") == [mine.trial.trial_id]
    assert study.ask("w3") == Asked(mine.trial, 2)
    records.close()


def test_what_had_ended_when_its_worker_was_killed_is_told_and_not_trained_again(tmp_path: Path) -> None:
    """Killed after its record was written, before the study was told."""
    study = begin(tmp_path / "r", sweep_of(search={"method": "tpe", "trials": 2}))
    asked = study.ask("dead")
    assert asked
    started(tmp_path / "r", asked, "dead")
    who = {"trial": asked.trial.trial_id, "attempt": 1}
    write(tmp_path / "r", "finished", **who, epochs=3, metrics={"val_accuracy": 0.5}, best=0.5, seconds=1.0)
    other = open_study(study.sweep, Run(tmp_path / "r"))
    other.settle(Run(tmp_path / "r"), lambda owner: True)
    assert [trial.value for trial in entries_of(other.studies.search)] == [0.5]
    assert len(all_of(other)) == 1


def test_one_who_was_killed_while_asking_leaves_nothing_behind(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of(search={"method": "tpe", "trials": 3}))
    study.studies.search.ask()  # has a number in the study, and is nobody's yet
    assert len(all_of(study)) == 3
    assert running(study) == 0


def test_a_stopped_trial_and_a_failed_one_and_what_resume_does(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    study = begin(folder, sweep_of(search={"method": "random", "trials": 3, "pruner": "asha"}))
    first, second, third = (study.ask("w") for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    study.tell(first.trial, "stopped", {}, None)
    started(folder, second, "w")
    write(folder, "failed", trial=second.trial.trial_id, attempt=1, reason="error", error="E", seconds=1.0)
    study.tell(second.trial, "failed", {}, None)
    started(folder, third, "w")
    write(folder, "failed", trial=third.trial.trial_id, attempt=1, reason="diverged", error="D", seconds=1.0)
    study.tell(third.trial, "diverged", {}, None)
    assert study.left() == 1
    assert study.ask("w") == Asked(first.trial, 2)
    assert study.ask("w") is None
    finish(study, Asked(first.trial, 2), folder)
    assert study.revive(Run(folder), {third.trial.trial_id: "would again"}) == 1
    assert study.ask("w") == Asked(second.trial, 2)


def test_the_best_points_are_confirmed_with_fresh_seeds_when_the_search_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    study = begin(folder, sweep_of(seeds=[7], confirm={"best": 2, "seeds": 3}))
    searched: list[Asked] = []
    confirmed: list[Asked] = []
    while (asked := study.ask("w")) is not None:
        (confirmed if asked.trial.stage else searched).append(asked)
        finish(study, asked, folder)
    best = sorted(searched, key=value_of)[-2:]
    assert len(searched) == 12
    assert Counter(asked.trial.seed for asked in confirmed) == {8: 2, 9: 2, 10: 2}
    assert [one.trial.params for one in confirmed[:2]] == [one.trial.params for one in reversed(best)]
    assert not {one.trial.trial_id for one in confirmed} & {one.trial.trial_id for one in searched}
    assert study.left() == 0


def test_points_with_several_seeds_are_judged_by_their_mean(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    search = {"method": "random", "trials": 2}
    study = begin(folder, sweep_of(search=search, seeds=[0, 1], confirm={"best": 1, "seeds": 1}))
    values = {0: {0: 0.9, 1: 0.1}, 1: {0: 0.6, 1: 0.6}}  # by setting, then seed
    for trial in study.sweep.trials:
        asked = study.ask("w")
        assert asked
        assert asked.trial == trial
        started(folder, asked, "w")
        value = values[trial.index % 2][trial.seed]
        who = {"trial": trial.trial_id, "attempt": 1}
        write(folder, "finished", **who, epochs=3, metrics={"val_accuracy": value}, best=value, seconds=1.0)
        study.tell(trial, "finished", {"val_accuracy": value}, value)
    asked = study.ask("w")
    assert asked
    assert asked.trial.params == study.sweep.trials[1].params
    assert asked.trial.seed == 2


def test_trials_of_other_runs_are_known_from_the_beginning(tmp_path: Path) -> None:
    first = begin(tmp_path / "a", sweep_of())
    while (asked := first.ask("w")) is not None:
        finish(first, asked, tmp_path / "a")
    notes: list[str] = []
    search = {"method": "tpe", "trials": 4, "from": [str(tmp_path / "a")]}
    narrow = {"x": {"low": 0.0, "high": 0.5}, "y": SPACE["y"]}
    sweep = sweep_of(space=narrow, search=search)
    create(
        tmp_path / "b", Plan("s", "val_accuracy", "max", ["x", "y"], [], sweep.as_yaml(), "{}", sweep.size)
    )
    study = Study(sweep, tmp_path / "b", note=notes.append)
    study.prepare()
    inside = sum(trial.params["x"] <= 0.5 for trial in Run(tmp_path / "a").trials.values())
    assert 0 < inside < 12
    assert notes == [
        f"The search begins with {inside} finished trials of {tmp_path / 'a'}; {12 - inside} lie outside "
        "this space."
    ]
    assert len(all_of(study)) == 4
    assert sum(trial.value is not None for trial in entries_of(study.studies.search)) == inside + 4


def test_a_diverged_trial_tells_the_search_that_it_was_bad(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of(search={"method": "tpe", "trials": 2, "pruner": "asha"}))
    asked = study.ask("w")
    assert asked
    study.report(asked.trial, 0.1, 1)
    study.tell(asked.trial, "diverged", {}, None)
    assert [trial.state for trial in entries_of(study.studies.search)] == [TrialState.PRUNED]


def test_several_objectives_are_told_all(tmp_path: Path) -> None:
    sweep = sweep_of(objective=["val_accuracy", "parameters"])
    study = begin(tmp_path / "r", sweep)
    asked = study.ask("w")
    assert asked
    study.tell(asked.trial, "finished", {"val_accuracy": 0.5, "parameters": 100}, 0.9)
    (told,) = entries_of(study.studies.search)
    assert told.values == [0.5, 100]
    assert [way.name for way in study.studies.search.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_a_journal_survives_torn_lines_and_holes(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of())
    first = study.ask("w")
    assert first
    path = tmp_path / "r" / "study.journal"
    with path.open("ab") as file:
        file.write(b'{"op_code": 5, "worker_i')  # a writer is killed here
    second = open_study(sweep_of(), Run(tmp_path / "r")).ask("w")
    with path.open("ab") as file:
        file.write(b"\0" * 300 + b"\n")
    finish(study, first)
    assert second
    assert second.trial != first.trial
    assert len(all_of(open_study(sweep_of(), Run(tmp_path / "r")))) == 10


def test_a_journal_is_one_that_optuna_reads(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of())
    all_of(study)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "r" / "study.journal"))
    logs = list(Journal(tmp_path / "r" / "study.journal").read_logs(0))
    assert list(backend.read_logs(0)) == logs
    assert list(Journal(tmp_path / "r" / "study.journal").read_logs(5)) == logs[5:]
    storage = optuna.storages.JournalStorage(backend)
    assert len(optuna.load_study(study_name="search", storage=storage).trials) == 12


def test_the_lock_of_one_who_was_killed_is_over_at_once(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of())
    code = (
        "import os, signal, sys; from pathlib import Path; from hpc.jobs.source.study import open_study; "
        "from hpc.results import Run; from hpc.sweeps import load_stored; folder = Path(sys.argv[1]); "
        "open_study(load_stored(folder / 'sweep.yaml'), Run(folder))._lock.acquire(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "r")], cwd=ROOT, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    start = time.monotonic()
    assert study.ask("w")
    assert time.monotonic() - start < 30  # of the patience with one on another machine, 60


@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_have_optunas_parameters(name: str) -> None:
    kind, ours = PRUNERS[name]
    signature = inspect.signature(getattr(optuna.pruners, kind).__init__)
    assert list(ours) == [one for one in signature.parameters if one != "self"]
    assert type(pruner({"name": name}, 27)).__name__ == kind
    assert type(pruner(None, 27)).__name__ == "NopPruner"


@pytest.mark.parametrize(
    ("method", "sampler"), [("tpe", optuna.samplers.TPESampler), ("cmaes", optuna.samplers.CmaEsSampler)]
)
def test_samplers_have_optunas_parameters(method: str, sampler: Callable[..., Any]) -> None:
    assert set(SAMPLER_OPTIONS[method]) <= set(inspect.signature(sampler).parameters)


def test_asha_prunes_the_worse_and_leaves_the_better(tmp_path: Path) -> None:
    """Reduction by 2: at epoch 1, 2, 4, … the better half goes on, judged as it comes."""
    search = {"method": "random", "trials": 8, "pruner": {"name": "asha", "reduction_factor": 2}}
    study = begin(tmp_path / "r", sweep_of(search=search))
    reached = []
    for value in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1):
        asked = study.ask("w")
        assert asked
        epoch = next((n for n in range(1, 4) if study.report(asked.trial, value, n)), 0)
        study.tell(asked.trial, "pruned" if epoch else "finished", {}, value)
        reached.append(epoch)
    assert reached == [0, 1, 0, 1, 0, 1, 0, 1]


def budget_of(folder: Path, **changes: Any) -> BudgetGuard:
    return BudgetGuard(sweep_of(**changes), Run(folder))


def test_a_budget_ends_the_search_before_it_is_overrun(tmp_path: Path) -> None:
    """Two jobs of four cores have been at work for half an hour each; trials take ten minutes."""
    folder = tmp_path / "r"
    study = begin(folder, sweep_of(budget={"core_hours": 6.0}))
    now = time.time() - 1800
    asked = study.ask("w")
    assert asked
    for job in ("a", "b"):
        lines = [
            {"record": "ready", "job": job, "nodes": 1, "cores": 4, "gpus": 0, "time": now},
            {"record": "left", "job": job, "label": job, "how": "done", "time": now + 1800},
        ]
        (folder / "records" / f"{job}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    started(folder, asked, "a")
    who = {"trial": asked.trial.trial_id, "attempt": 1}
    write(folder, "finished", **who, epochs=3, metrics={}, best=0.1, seconds=600.0)
    held = {"nodes": 1, "cores": 4, "gpus": 0}
    enough = budget_of(folder, budget={"core_hours": 4.7})
    assert enough.ends(held) == ""  # 4 spent, 4 cores for ten minutes more are 0.67
    assert not enough.is_spent()
    short = budget_of(folder, budget={"core_hours": 4.6})
    assert short.ends(held).startswith(
        "budget: 4.6 core_hours, of which 4 are spent, and 600 s of trials more"
    )
    assert budget_of(folder, budget={"core_hours": 3.9}).is_spent()
    assert budget_of(folder, budget={"node_hours": 1.0}).ends(held).startswith("budget: 1 node_hours")
    assert budget_of(folder, budget={"gpu_hours": 0.1}).ends(held) == ""


def test_a_timeout_counts_from_the_first_launch(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    begin(folder, sweep_of())
    search = {"method": "tpe", "trials": 12, "timeout_min": 10}
    assert budget_of(folder, search=search).ends({}) == ""
    (folder / "records" / "x.jsonl").write_text('{"record": "launched", "time": 1000.0}\n')
    assert budget_of(folder, search=search).ends({}) == "timeout_min: 10 minutes are over"


def test_a_search_that_its_budget_has_ended_stays_so_until_the_budget_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    begin(folder, sweep_of())
    records = Records(folder / "records" / "w.jsonl")
    records.append("over", why="budget: spent", limits={"node_hours": 2.0})
    records.close()
    assert budget_of(folder, budget={"node_hours": 2}).ended() == "budget: spent"
    assert budget_of(folder, budget={"node_hours": 3}).ended() == ""
    assert budget_of(folder, budget={"node_hours": 2, "gpu_hours": 1}).ended() == ""
    assert budget_of(folder).ended() == ""


def test_a_search_is_over_until_it_is_launched_again(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    begin(folder, sweep_of())
    write(folder, "launched", cluster="local")
    records = Records(folder / "records" / "w.jsonl")
    records.append("over", why="budget: spent")
    records.close()
    assert Run(folder).over == "budget: spent"
    assert Run(folder).counts()["total"] == 0
    time.sleep(0.01)
    write(folder, "launched", cluster="local")
    assert Run(folder).over == ""
    assert Run(folder).counts() == {
        "waiting": 12,
        "running": 0,
        "finished": 0,
        "pruned": 0,
        "failed": 0,
        "total": 12,
    }


def test_what_it_may_cost_makes_no_other_experiment() -> None:
    dear = sweep_of(budget={"node_hours": 9.0}, search={"method": "tpe", "trials": 12, "timeout_min": 9})
    assert sweep_of().differences(dear) == []
    assert sweep_of().differences(sweep_of(constraints=["x < 1"])) == [
        "constraints is absent, there ['x < 1']"
    ]


def test_one_who_was_killed_while_drawing_anew_leaves_nothing_behind(tmp_path: Path) -> None:
    """A setting that was there before, not yet ended; and one drawn at random, not yet asked for."""
    study = begin(tmp_path / "r", sweep_of(search={"method": "tpe", "trials": 4}))
    trial = study.studies.search.ask()
    facts = {"slot": 0, "trial": "t", "index": 0, "attempt": 1, "owner": "dead", "dropped": "twice"}
    trial.set_user_attr("hpc", facts)
    study.studies.search.enqueue_trial({"x": 0.5, "y": 0.5})
    study.settle(Run(tmp_path / "r"), lambda owner: owner == "dead")
    assert running(study) == 0
    assert len(all_of(study)) == 4


def test_a_search_of_which_no_point_keeps_the_constraints_ends(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of(constraints=["parameters < 0"]))
    asked = 0
    while (one := study.ask("w")) is not None:
        study.tell(one.trial, "skipped", {}, None)
        asked += 1
    assert asked == 100
    assert study.over == "100 settings in a row do not keep the constraints"
    assert study.left() == 0


def test_a_trial_that_kills_its_workers_is_not_handed_out_for_ever(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    study = begin(folder, sweep_of(search={"method": "tpe", "trials": 1}))
    attempts = 0
    while (asked := study.ask("dead")) is not None:
        attempts += 1
        started(folder, asked, "dead")
        who = {"trial": asked.trial.trial_id, "attempt": asked.attempt}
        write(folder, "stopped", **who, why="killed", lost=True)
        if Run(folder).trials[asked.trial.trial_id].losses > 2:
            write(folder, "failed", **who, reason="node-failure", error="killed thrice")
        study = open_study(study.sweep, Run(folder))
        study.settle(Run(folder), lambda owner: True)
    assert attempts == 3
    assert (study.left(), running(study)) == (0, 0)
    assert Run(folder).counts()["failed"] == 1
    assert study.revive(Run(folder), {}) == 1  # as somebody who types `hpc resume` wants it


def test_several_objectives_of_which_one_is_no_number_are_told_as_a_failure(tmp_path: Path) -> None:
    study = begin(tmp_path / "r", sweep_of(objective=["val_accuracy", "val_loss"]))
    asked = study.ask("w")
    assert asked is not None
    study.tell(asked.trial, "finished", {"val_accuracy": 0.5, "val_loss": float("nan")}, 0.5)
    assert [one.state for one in entries_of(study.studies.search)] == [TrialState.FAIL]


def test_runs_to_begin_with_are_looked_for_beside_the_sweep_and_must_be_there(tmp_path: Path) -> None:
    from hpc.jobs.check import check

    sweep = sweep_of(model="mlp", space={"dropout": SPACE["x"] | {"high": 0.5}}, objective="val_accuracy",
                     search={"method": "tpe", "trials": 4, "from": ["nowhere"]})  # fmt: skip
    with pytest.raises(sweeps.SweepError, match="nowhere is not the folder of a run: it does not exist"):
        check(sweep, 1)
    (tmp_path / "s.yaml").write_text(sweep.as_yaml().replace("defaults: {}", ""))
    loaded = sweeps.load(tmp_path / "s.yaml")
    assert loaded.entries()["search"]["from"] == [str(Path("nowhere").resolve())]
    assert loaded.differences(sweep) == []
