"""The search as workers see it: ask for a trial, report a value, tell how it ended.

Behind it is a study of Optuna. Whoever asks does so alone, under a lock that works on NFS: so there
are never more trials than were asked for, and never two of one point.
"""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpc.jobs import stored
from hpc.jobs.outcome import state_for_search
from hpc.jobs.source import earlier
from hpc.jobs.source.journal import Journal
from hpc.jobs.source.turn import Turn
from hpc.results import Attempt, Run, RunError
from hpc.results import TrialState as RecordedTrial
from hpc.sweeps import SEARCHES, Sweep, Trial
from hpc.sweeps.searches import optuna_private
from hpc.sweeps.searches.pruners import pruner
from hpc.sweeps.searches.samplers import decoded, distribution, encoded, sampler
from hpc.sweeps.space import Dimension, make_setting

JOURNAL = "study.journal"
"""The file of a study in the folder of its run."""
CONFIRMED_FROM = 1_000_000
"""The index of the first trial that confirms a point; they come after all others."""
MOST_REPEATS = 20
"""Points of a sampler in a row that are none, after which one is drawn at random."""
BROKEN = "does not keep a constraint"
MOST_BROKEN = 100
"""Points in a row whose models were too large, after which no further one is built."""
LOCK_SECONDS = 60
"""After which the turn of one who asked on another machine and was killed there is taken away."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Asked:
    """A trial that was handed out.

    Attributes:
        trial: what to train.
        attempt: number of the try, from 1.
    """

    trial: Trial
    attempt: int


@dataclass
class Study:
    """The search of one run.

    Args:
        sweep: as stored, with its defaults.
        folder: of the run.
        storage: a database URL; empty for the journal in the folder.
        name: of the run's studies in a database, which may hold those of others, too.
        note: hears what a person should know.

    Attributes:
        over: why no further trial is handed out, if a limit of the space says so.
        seconds: that the storage has taken so far.
    """

    sweep: Sweep
    folder: Path
    storage: str = ""
    name: str = ""
    note: Callable[[str], None] = lambda text: None
    over: str = ""
    seconds: float = 0.0
    _mine: dict[str, tuple[optuna.Study, optuna.Trial]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        epochs = int(self.sweep.fixed.get("epochs", self.sweep.defaults.get("epochs", 10)))
        search, sampled = self.sweep.search, None
        if self.sweep.is_adaptive:
            sampled = sampler(search.method, search.seed, search.sampler, self.sweep.space)
        path = self.folder / "jobs" / "asking"
        path.parent.mkdir(exist_ok=True)
        self._turn = Turn(path, LOCK_SECONDS, self.note)
        with self._taking_time():
            store = self._open()
            single = not self.sweep.further_objectives
            first = StudyDirection.MAXIMIZE if self.sweep.objective.mode == "max" else StudyDirection.MINIMIZE
            ways = [
                StudyDirection.MAXIMIZE if one.mode == "max" else StudyDirection.MINIMIZE
                for one in self.sweep.objectives
            ]
            prefix = f"{self.name}-" if self.storage else ""

            def study(name: str, ways: Sequence[StudyDirection], **further: Any) -> optuna.Study:
                return optuna.create_study(
                    storage=store, study_name=prefix + name, directions=ways, load_if_exists=True, **further
                )

            rule = pruner(search.pruner, epochs) if single else optuna.pruners.NopPruner()
            self._search = study(
                "search", ways, sampler=sampled or optuna.samplers.RandomSampler(0), pruner=rule
            )
            self._confirm = study("confirm", [first], pruner=optuna.pruners.NopPruner())
            self._prunes = bool(search.pruner) and single

    def _open(self) -> optuna.storages.BaseStorage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if not self.storage:
                return optuna.storages.JournalStorage(Journal(self.folder / JOURNAL, self.note))
            store = optuna.storages.RDBStorage(self.storage, engine_kwargs={"pool_pre_ping": True})
        weakref.finalize(self, _close, store)
        return store

    @contextmanager
    def _taking_time(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._turn.acquire()
        try:
            yield
        finally:
            try:
                self._turn.release()
            except RuntimeError:  # taken away, since this took too long
                self.note(f"asking for a trial took more than {LOCK_SECONDS} seconds")

    # What is there

    @property
    def is_empty(self) -> bool:
        """Whether no trial was ever told of."""
        return not any(self._trials(study) for study in (self._search, self._confirm))

    def clear_turn(self) -> None:
        """Take its turn from one who was killed, when nobody else can be asking."""
        self._turn.clear()

    def left(self) -> int:
        """How many trials are yet to be handed out or to end, those of the confirmation included."""
        with self._taking_time():
            return self._left(self._search, self._wanted) + self._left(self._confirm, self._to_confirm())

    def waiting(self) -> int:
        """How many trials could be handed out right now."""
        with self._taking_time():
            found = len(self._trials(self._search, TrialState.WAITING))
            found += len(self._trials(self._confirm, TrialState.WAITING))
            last = _slots(self._trials(self._search))
            found += 0 if self.over else max(0, self._wanted - len(last))
            is_over = all(one.state in ENDED for one in last.values()) and not found
            is_planned = self._confirm.user_attrs.get("planned") == self._wanted
            return found + (self._to_confirm() if is_over and not is_planned else 0)

    @property
    def _wanted(self) -> int:
        sweep = self.sweep
        return (sweep.search.trials or 0) if sweep.is_adaptive else len(sweep.trials)

    def _to_confirm(self) -> int:
        confirm = self.sweep.confirm
        if confirm is None:
            return 0
        slots = {_facts(one)["slot"] for one in self._trials(self._confirm)}
        is_planned = self._confirm.user_attrs.get("planned") == self._wanted
        return len(slots) if is_planned else max(len(slots), confirm.best * confirm.seeds)

    def _left(self, study: optuna.Study, wanted: int) -> int:
        last = _slots(self._trials(study))
        ended = sum(one.state in ENDED for one in last.values())
        over = len(last) if self.over and study is self._search else max(wanted, len(last))
        return over - ended

    def _trials(self, study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
        return study.get_trials(deepcopy=False, states=states or None)

    # To begin with

    def prepare(self, *, is_anew: bool = False) -> None:
        """Enter what is known beforehand: the points of a search that does not learn, trials of other runs.

        Args:
            is_anew: whether the search had begun before, so that it can do without runs that are gone since.

        Raises:
            RunError: one of the other runs can't be read.
        """
        with self._taking_time(), self._alone():
            before = self._search.user_attrs.get("prepared")
            if before == self._wanted:
                return
            folders = self.sweep.search.runs if before is None else []
            others = [run for folder in folders if (run := self._other(folder, is_anew)) is not None]
            known = {_facts(one).get("trial", "") for one in self._trials(self._search)}
            for index, trial in enumerate([] if self.sweep.is_adaptive else self.sweep.trials):
                if trial.trial_id not in known:
                    facts = {"slot": index, "trial": trial.trial_id, "index": index, "attempt": 1}
                    self._search.add_trial(create_trial(state=TrialState.WAITING, user_attrs={"hpc": facts}))
            for run in others:
                self._take_over(run, known)
            self._search.set_user_attr("prepared", self._wanted)

    def _other(self, folder: str, may_be_gone: bool) -> Run | None:
        try:
            return Run(self.sweep.folder / folder, keep_epochs=True)
        except RunError as error:
            if not may_be_gone:
                raise
            self.note(f"The search goes on without the trials of {folder}, which it knew before: {error}")
            return None

    def _take_over(self, run: Run, known: set[str]) -> None:
        """Tell the search of what finished trials of another run have come to."""
        space, taken, passed, without = self.sweep.space, 0, 0, 0
        for trial in sorted(run.trials.values(), key=lambda trial: trial.index):
            if trial.state != "finished" or trial.stage:
                continue
            values = earlier.values(self.sweep, run, trial)
            if values is None:
                without += 1
                continue
            try:
                there = _within(space, trial.params)
                params = {name: encoded(space[name], value) for name, value in there.items()}
            except (KeyError, ValueError):
                passed += 1
                continue
            name = self.sweep.trial(there, trial.seed, 0).trial_id
            if name in known:
                continue
            known.add(name)
            facts = {"dropped": f"from {run.folder}", "trial": name}
            self._search.add_trial(
                create_trial(
                    params=params,
                    distributions={one: distribution(space[one]) for one in params},
                    values=values,
                    user_attrs={"hpc": facts},
                )
            )
            taken += 1
        lies = f"; {passed} lie outside this space" if passed else ""
        lies += f"; {without} have no value of the objective" if without else ""
        self.note(f"The search begins with {taken} finished trials of {run.folder}{lies}.")

    # Handing out

    def ask(self, owner: str) -> Asked | None:
        """The next trial, or None if there is none to begin any more.

        Args:
            owner: who asks, by whom the trial is known if nothing more is heard of it.
        """
        with self._taking_time(), self._alone():
            asked = self._next_of(self._search, owner)
            if asked is None and self.sweep.confirm is not None:
                self._plan_confirmation()
                asked = self._next_of(self._confirm, owner)
            return asked

    def _next_of(self, study: optuna.Study, owner: str) -> Asked | None:
        trials = self._trials(study)
        if self._free_orphans(study, trials) or any(one.state == TrialState.WAITING for one in trials):
            trial = study.ask()
            if "slot" in _facts(trial):
                return self._hand_out(study, trial, {**_facts(trial), "owner": owner})
            study.tell(trial, state=TrialState.FAIL)  # put there by one who was killed before asking for it
            return self._next_of(study, owner)
        if study is self._confirm or not self.sweep.is_adaptive or self.over:
            return None
        if len(_slots(trials)) >= self._wanted:
            return None
        last = [_facts(one).get("dropped") for one in trials[-MOST_BROKEN:]]
        if last == [BROKEN] * MOST_BROKEN:
            self.over = f"{MOST_BROKEN} points in a row do not keep the constraints"
            return None
        return self._draw(owner, {_facts(one).get("trial") for one in trials})

    def _draw(self, owner: str, seen: set[Any]) -> Asked | None:
        """A new point, none of those that have been seen."""
        study = self._search
        for number in range(10 * MOST_REPEATS):
            if number >= MOST_REPEATS and not self._enqueue_any(seen, number):
                self.over = "the space has no further point"
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna's, for people who call it themselves
                trial = study.ask()
                found = self._suggested(trial)
            seed, index = self.sweep.seeds[0], trial.number
            drawn = self.sweep.trial(found, seed, index)
            facts = {"slot": index, "trial": drawn.trial_id, "index": index, "attempt": 1, "owner": owner}
            broken = self.sweep.allows(drawn.params)
            if not broken and drawn.trial_id not in seen:
                return self._hand_out(study, trial, facts)
            facts["dropped"] = f"not {broken}" if broken else "a point that was there before"
            trial.set_user_attr("hpc", facts)
            twins = [
                one
                for one in self._trials(study, TrialState.COMPLETE)
                if _facts(one).get("trial") == facts["trial"]
            ]
            if twins and not broken:  # so that the search moves on
                study.tell(trial, twins[0].values)
            else:
                study.tell(trial, state=TrialState.FAIL)
        return None

    def _suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        return make_setting(self.sweep.space, lambda name, one: decoded(one, _suggest(trial, name, one)))

    def _enqueue_any(self, seen: set[Any], number: int) -> bool:
        """Have a point drawn at random next that was not there before."""
        sweep = self.sweep
        drawn = SEARCHES["random"].settings(sweep.space, len(seen) + 200, sweep.search.seed)
        for found in drawn:
            trial = sweep.trial(found, sweep.seeds[0], 0)
            if trial.trial_id not in seen and not sweep.allows(trial.params):
                self._search.enqueue_trial(
                    {name: encoded(sweep.space[name], value) for name, value in found.items()}
                )
                return True
        return False

    def _hand_out(self, study: optuna.Study, trial: optuna.Trial, facts: dict[str, Any]) -> Asked:
        trial.set_user_attr("hpc", facts)
        found = self._trial_of(facts, trial.params, study)
        self._mine[found.trial_id] = study, trial
        return Asked(found, facts["attempt"])

    def _trial_of(self, facts: Mapping[str, Any], params: Mapping[str, Any], study: optuna.Study) -> Trial:
        sweep, index = self.sweep, facts["index"]
        if study is self._confirm:
            return replace(sweep.trial(facts["point"], facts["seed"], index), stage="confirm")
        if not sweep.is_adaptive:
            known: Trial = sweep.trials[index]
            return known
        there = {name: decoded(sweep.space[name], params[name]) for name in sweep.space if name in params}
        return sweep.trial(there, sweep.seeds[0], index)

    def _free_orphans(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> bool:
        """End those whose asker was killed before they were anybody's: nobody else asks now.

        Returns:
            Whether some of them were put back.
        """
        has_put_back = False
        for one in trials:
            facts = _facts(one)
            if one.state != TrialState.RUNNING or facts.get("owner"):
                continue
            if "slot" in facts and "dropped" not in facts:
                self._try_again(study, one, facts["attempt"])
                has_put_back = True
            else:
                optuna_private.set_attribute(study, one, "hpc", {**facts, "dropped": "killed"})
            _end(study, one, TrialState.FAIL)
        return has_put_back

    def _plan_confirmation(self) -> None:
        """When the search is over, its best points again with fresh seeds."""
        sweep, last = self.sweep, _slots(self._trials(self._search))
        is_over = len(last) >= self._wanted or self.over
        if sweep.confirm is None or not is_over or any(one.state not in ENDED for one in last.values()):
            return
        if self._confirm.user_attrs.get("planned") == self._wanted:
            return
        points = self._best_points()
        known = {_facts(one)["trial"]: one for one in self._trials(self._confirm)}
        slot = 1 + max((_facts(one)["slot"] for one in known.values()), default=-1)
        for seed in sweep.fresh_seeds:
            for there in points[: sweep.confirm.best]:
                index = CONFIRMED_FROM + slot
                trial_id = sweep.trial(there, seed, index).trial_id
                if trial_id in known:
                    continue
                facts = {"slot": slot, "trial": trial_id, "index": index, "attempt": 1}
                facts |= {"point": there, "seed": seed}
                self._confirm.add_trial(create_trial(state=TrialState.WAITING, user_attrs={"hpc": facts}))
                slot += 1
        self._confirm.set_user_attr("planned", self._wanted)
        if len(points) < sweep.confirm.best:
            self.over = f"only {len(points)} points have a value to confirm"

    def _best_points(self) -> list[dict[str, Any]]:
        """Points that were searched, the best first, on average over their seeds; pruned ones come last."""
        sweep = self.sweep
        values: dict[str, list[float]] = {}
        points: dict[str, tuple[int, dict[str, Any]]] = {}
        trials = [trial for trial in Run(self.folder).trials.values() if not trial.stage]
        for trial in sorted(trials, key=lambda trial: (trial.tier, trial.index)):
            value = trial.attempt.best
            there = {name: v for name, v in trial.params.items() if name in sweep.space}
            tier, _ = points.get(repr(there), (trial.tier, there))
            if trial.state in ("finished", "pruned") and value is not None and trial.tier == tier:
                points[repr(there)] = tier, there
                values.setdefault(repr(there), []).append(value)
        sign = -1.0 if sweep.objective.mode == "max" else 1.0
        order = sorted(
            points, key=lambda name: (points[name][0], sign * sum(values[name]) / len(values[name]))
        )
        return [points[name][1] for name in order]

    # While it is trained

    def report(self, trial: Trial, value: float, epoch: int) -> bool:
        """Whether the trial is to be pruned after this epoch."""
        study, mine = self._mine[trial.trial_id]
        if not self._prunes or study is self._confirm:
            return False
        with self._taking_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an epoch that was reported before the trial was taken up again
            mine.report(value, epoch)
            return mine.should_prune()

    def tell(self, trial: Trial, state: str, metrics: Mapping[str, float], best: float | None) -> None:
        """How a trial has ended.

        Args:
            trial: that this worker has asked for.
            state: ``finished``, ``pruned``, ``diverged``, ``failed``; ``stopped`` to go on later; ``skipped``
                if it does not keep a constraint, so that another takes its place.
            metrics: of the last epoch, and ``parameters`` and ``seconds``.
            best: value of the first objective.
        """
        study, mine = self._mine.pop(trial.trial_id)
        with self._taking_time():
            one = optuna_private.stored(study, mine)
            self._tell(study, one, state, metrics, best)

    def _tell(
        self,
        study: optuna.Study,
        one: FrozenTrial,
        state: str,
        metrics: Mapping[str, Any],
        best: float | None,
    ) -> None:
        if state == "stopped":
            self._try_again(study, one, _facts(one)["attempt"] + 1)
        if state == "skipped" and self.sweep.is_adaptive:
            facts = {**_facts(one), "dropped": BROKEN}
            optuna_private.set_attribute(study, one, "hpc", facts)
        values = _values(self.sweep, metrics, best) if state == "finished" else None
        if values is not None:
            _end(study, one, TrialState.COMPLETE, values[:1] if study is self._confirm else values)
        elif state in ("pruned", "diverged") and one.intermediate_values:
            _end(study, one, TrialState.PRUNED)
        else:
            _end(study, one, TrialState.FAIL)

    def _try_again(self, study: optuna.Study, one: FrozenTrial, attempt: int) -> None:
        """Put a trial back, to be taken up by whoever asks next, with what is known of it."""
        facts = {**_facts(one), "attempt": attempt, "owner": ""}
        study.add_trial(
            create_trial(
                state=TrialState.WAITING, params=one.params, distributions=one.distributions,
                user_attrs={"hpc": facts}, system_attrs=one.system_attrs,
                intermediate_values=one.intermediate_values,
            )
        )  # fmt: skip

    # When the study is not what the records say

    def unlike(self, run: Run) -> str:
        """What of the records it does not know; empty if it knows them all.

        Args:
            run: read before the study was opened, since workers tell it first that they begin a trial.
        """
        for study in (self._search, self._confirm):
            last = {_facts(one)["trial"]: one for one in _slots(self._trials(study)).values()}
            if any(("point" in _facts(one)) != (study is self._confirm) for one in last.values()):
                return "it takes trials of the search for such as confirm a point"
            for name, known in last.items():
                if self._name_by_point(study, known) != name:
                    return f"it has {name} at another point"
            for trial in run.trials.values():
                if not trial.attempts or bool(trial.stage) != (study is self._confirm):
                    continue
                one = last.get(trial.trial_id)
                if one is None:
                    return f"it does not know of {trial.trial_id}"
                if not self._is_like(study, one, trial):
                    return f"it has other values of {trial.trial_id}"
        return ""

    def _name_by_point(self, study: optuna.Study, one: FrozenTrial) -> str:
        """The id of a trial by its point; empty if that is none of the space."""
        try:
            return self._trial_of(_facts(one), one.params, study).trial_id
        except (KeyError, IndexError, ValueError):
            return ""

    def _is_like(self, study: optuna.Study, one: FrozenTrial, trial: RecordedTrial) -> bool:
        has_ended = trial.state in ("finished", "pruned")
        is_nobodys = one.state == TrialState.WAITING or (
            one.state == TrialState.RUNNING and not _facts(one).get("owner")
        )
        if _facts(one)["attempt"] < max(trial.attempts) or (has_ended and is_nobodys):
            return False
        best = trial.attempt.best
        is_told = one.state == TrialState.COMPLETE and not self.sweep.further_objectives
        if is_told and best is not None and one.values != [best]:
            return False
        if study is self._confirm or not self.sweep.is_adaptive:
            return True
        space, there = self.sweep.space, _within(self.sweep.space, trial.params)
        return one.params.keys() == there.keys() and all(
            encoded(space[name], decoded(space[name], one.params[name])) == encoded(space[name], value)
            for name, value in there.items()
        )

    def _params(self, trial: RecordedTrial) -> dict[str, Any]:
        """A trial's point as its study has it; empty if that draws none."""
        if not self.sweep.is_adaptive:
            return {}
        there = _within(self.sweep.space, trial.params)
        return {name: encoded(self.sweep.space[name], value) for name, value in there.items()}

    def restore(self, run: Run) -> int:
        """Tell an empty study what the records know; how many trials that are.

        Each has the place that it had, so that none of its number is drawn anew; so what was drawn before
        and left no record, as a point that does not keep a constraint, stands as a trial that was dropped.

        Args:
            run: with its epochs, none of whose trials anybody trains.
        """
        if self.sweep.is_adaptive:
            self.prepare(is_anew=True)
        with self._taking_time(), self._alone():
            known = [trial for trial in run.trials.values() if trial.attempts]
            for trial in sorted(known, key=lambda trial: trial.index):
                study = self._confirm if trial.stage else self._search
                slot = trial.index - (CONFIRMED_FROM if trial.stage else 0)
                while study is self._search and self.sweep.is_adaptive and len(self._trials(study)) < slot:
                    facts = {"dropped": "not in the records"}
                    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"hpc": facts}))
                study.add_trial(self._restored(study, trial, slot))
        self.prepare()
        return len(known)

    def _restored(self, study: optuna.Study, trial: RecordedTrial, slot: int) -> FrozenTrial:
        attempt, params = trial.attempt, self._params(trial) if study is self._search else {}
        number = max(trial.attempts)
        facts = {"slot": slot, "trial": trial.trial_id, "index": trial.index, "attempt": number}
        facts["owner"] = trial.attempts[number].job_id
        if study is self._confirm:
            space = self.sweep.space
            facts["point"] = {name: value for name, value in trial.params.items() if name in space}
            facts["seed"] = trial.seed
        reported: dict[int, float] = {}
        if self._prunes and study is self._search:
            metric = self.sweep.objective.metric
            told = {record["epoch"]: record["metrics"].get(metric) for record in trial.history()}
            reported = {epoch: value for epoch, value in told.items() if value is not None}
        state, values = TrialState.FAIL, None
        if attempt.state == "finished":
            values = _values(self.sweep, _told(attempt), attempt.best)
            state = TrialState.FAIL if values is None else TrialState.COMPLETE
            values = values[:1] if values and study is self._confirm else values
        elif reported and (attempt.state == "pruned" or attempt.reason == "diverged"):
            state, values = TrialState.PRUNED, [reported[max(reported)]]
        return create_trial(
            state=state, values=values, params=params, intermediate_values=reported,
            distributions={name: distribution(self.sweep.space[name]) for name in params},
            user_attrs={"hpc": facts},
        )  # fmt: skip

    # When somebody is gone

    def settle(self, run: Run, is_gone: Callable[[str], bool]) -> None:
        """Deal with trials of workers that are gone: end those that have ended, put back the others.

        Args:
            run: read after they were gone.
            is_gone: says of an owner whether it is.
        """
        with self._taking_time(), self._alone():
            for study in (self._search, self._confirm):
                last = _slots(self._trials(study))
                for one in self._trials(study, TrialState.RUNNING):
                    facts = _facts(one)
                    if not facts.get("owner") or not is_gone(facts["owner"]):
                        continue
                    if "dropped" in facts or last[facts["slot"]].number > one.number:  # put back already
                        _end(study, one, TrialState.FAIL)
                        continue
                    trial = run.trials.get(facts["trial"])
                    attempt = None if trial is None else trial.attempts.get(facts["attempt"])
                    if attempt is None:  # handed out, and never begun
                        self._try_again(study, one, facts["attempt"])
                        _end(study, one, TrialState.FAIL)
                        continue
                    state = state_for_search(trial, attempt)
                    self._tell(study, one, state, _told(attempt), attempt.best)

    def known(self, names: Collection[str]) -> list[Trial]:
        """Trials by their ids, those of them that the study knows."""
        found = []
        for study in (self._search, self._confirm):
            for one in _slots(self._trials(study)).values():
                if _facts(one)["trial"] in names:
                    found.append(self._trial_of(_facts(one), one.params, study))
        return found

    def revive(self, run: Run, left_alone: Mapping[str, str]) -> int:
        """Put back every trial that has not ended well and that nobody has; how many are to be trained.

        Args:
            run: of which one holds the lock.
            left_alone: trials that are not to be trained again.
        """
        with self._taking_time(), self._alone():
            for study in (self._search, self._confirm):
                by_trial = {_facts(one)["trial"]: one for one in _slots(self._trials(study)).values()}
                for name, one in by_trial.items():
                    if one.state not in ENDED or name in left_alone:
                        continue
                    found = run.trials.get(name)
                    if found is None:  # its records are lost
                        self._try_again(study, one, _facts(one)["attempt"] + 1)
                    elif found.state not in ("finished", "pruned"):
                        self._try_again(study, one, max(found.attempts, default=0) + 1)
        return self.left()


def _close(store: optuna.storages.RDBStorage) -> None:
    """Give back the connections to a database."""
    store.remove_session()
    store.engine.dispose()


def open_study(sweep: Sweep, run: Run, note: Callable[[str], None] = lambda text: None) -> Study:
    """The search of a run, where the run says it is.

    Args:
        sweep: of the run, as stored.
        run: as read.
        note: as of ``Study``.
    """
    return Study(sweep, run.folder, run.study.get("storage", ""), run.study.get("name", ""), note)


def put_back(folder: Path, jobs: Collection[str]) -> None:
    """Let a search hand out again what jobs of SLURM had of it, to whoever asks first.

    Args:
        folder: of the run.
        jobs: by their ids, in none of which any rank still trains.
    """
    run = Run(folder)
    study = open_study(stored.load(folder, run.sweep_texts), run)
    study.settle(run, lambda owner: owner.partition("-g")[0] in jobs)


def _told(attempt: Attempt) -> dict[str, Any]:
    """What an attempt has come to, as its worker tells the search."""
    sizes = {"parameters": attempt.workload.get("parameters"), "seconds": attempt.seconds}
    return {**attempt.metrics, **{name: value for name, value in sizes.items() if value}}


def _slots(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """The latest try of each trial that counts, by its slot."""
    found: dict[int, FrozenTrial] = {}
    for one in trials:
        facts = _facts(one)
        if facts and "dropped" not in facts:
            found[facts["slot"]] = one
    return found


def _facts(one: FrozenTrial | optuna.Trial) -> dict[str, Any]:
    found: dict[str, Any] = one.user_attrs.get("hpc", {})
    return found


def _end(
    study: optuna.Study, one: FrozenTrial, state: TrialState, values: Sequence[float] | None = None
) -> None:
    """End a trial, unless that was done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.tell(one.number, values, state, skip_if_finished=True)


def _values(sweep: Sweep, metrics: Mapping[str, Any], best: float | None) -> list[float] | None:
    """The values of the objectives: of one its best over the epochs, of several the last ones."""
    if not sweep.further_objectives:
        return None if best is None else [float(best)]
    return earlier.known(metrics, [one.metric for one in sweep.objectives])


def _within(space: Mapping[str, Dimension], params: Mapping[str, Any]) -> dict[str, Any]:
    """The point of a space that another run's trial is at.

    Raises:
        KeyError: it has no value for a name that it would need.
    """
    return make_setting(space, lambda name, _: params[name])


def _suggest(trial: optuna.Trial, name: str, dimension: Any) -> Any:
    one = distribution(dimension)
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(name, one.choices)
    if isinstance(one, IntDistribution):
        return trial.suggest_int(name, one.low, one.high, step=one.step, log=one.log)
    assert isinstance(one, FloatDistribution)
    return trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)
