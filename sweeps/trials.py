"""The trials of a sweep: every setting with every seed and fold, and the ids of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from hpc.sweeps.cases import key_of, values_of
from hpc.sweeps.document import SweepError
from hpc.sweeps.searches import SEARCHES
from hpc.sweeps.trial import Trial, called_id, place_and_function, reference_name, trial_id

if TYPE_CHECKING:
    from hpc.sweeps.spec import Sweep

MAX_TRIALS = 1_000_000
"""The maximum of a run. More would take longer to plan than anybody waits."""
SHARED = ("scale", "loss", "metrics", "dtype")
"""Fixed hyperparameters that hold for baselines, too: how data are scaled and results measured."""


def enumerate_trials(sweep: Sweep) -> tuple[Trial, ...]:
    """All trials of a sweep: every setting with the first seed and fold, then with the second fold, …

    The trials of the baselines come after all others. An adaptive search has no trials beforehand.
    """
    own = [(named_model(sweep), {**sweep.fixed, **setting}) for setting in _settings(sweep)]
    shared = {name: sweep.fixed[name] for name in SHARED if name in sweep.fixed}
    baselines: list[tuple[str, dict[str, Any]]] = []
    for baseline in sweep.baselines:
        params = {name: value for name, value in baseline.items() if name != "model"}
        baselines.append((baseline["model"], {**shared, **params}))
    trials: list[Trial] = []
    for group in (own, baselines):
        for seed, fold in product(sweep.seeds, fold_numbers(sweep)):
            for model, params in group:
                trials.append(_trial(sweep, model, params, seed, len(trials), fold))
    return tuple(trials)


def make_trial(
    sweep: Sweep, setting: Mapping[str, Any], seed: int, index: int, fold: int | None = None
) -> Trial:
    """One trial of the sweep's own model; the hyperparameters of ``fixed`` are added to the setting."""
    return _trial(sweep, named_model(sweep), {**sweep.fixed, **setting}, seed, index, fold)


def first_trial(sweep: Sweep) -> Trial:
    """The first trial; for an adaptive search a setting that is drawn at random."""
    if not sweep.is_adaptive:
        return sweep.trials[0]
    settings = SEARCHES["random"].settings(sweep.space, 1, sweep.search.seed)
    return make_trial(sweep, next(iter(settings)), sweep.seeds[0], 0)


def recognize(sweep: Sweep, trial: Trial) -> Trial:
    """A trial that another process named, with its model as this sweep names it.

    Only the trial is hashed, not all trials of the sweep.

    Raises:
        SweepError: this sweep gives the trial another id.
    """
    own = named_model(sweep)
    for model in dict.fromkeys([own, *(baseline["model"] for baseline in sweep.baselines)]):
        if _id(sweep, model, trial.params, trial.seed, trial.fold) == trial.trial_id:
            return replace(trial, model=model)
    name = _id(sweep, trial.model or own, trial.params, trial.seed, trial.fold)
    raise SweepError(
        f"the sweep of {sweep.folder} calls {name} what is to be trained as {trial.trial_id}: it is that "
        "of another run, or of another version."
    )


def named_model(sweep: Sweep) -> str:
    """The name of what trains, as trials have it: a model, a function, or nothing of a program."""
    return sweep.model or sweep.train


def fold_numbers(sweep: Sweep) -> list[int | None]:
    """The numbers of the folds that are trained, from 0; ``[None]`` without folds."""
    return [None] if sweep.folds is None else [*sweep.folds.numbers]


def stable_name(sweep: Sweep, reference: str) -> str:
    """The name by which a model or dataset counts in trial ids."""
    return sweep.names.get(reference) or reference_name(reference)


def data_identity(sweep: Sweep) -> dict[str, Any]:
    """The entries of ``data`` as they count in trial ids; empty where none are loaded here."""
    if sweep.kind != "model":
        return {}
    return {**sweep.data, "name": stable_name(sweep, sweep.data["name"])}


def training_identity(sweep: Sweep) -> dict[str, Any]:
    """The backend and the callbacks as they count in trial ids; empty where the sweep names none."""
    given: dict[str, Any] = {} if sweep.backend == "auto" else {"backend": sweep.backend}
    if sweep.callbacks:
        given["callbacks"] = callback_entries(sweep, lambda name: stable_name(sweep, name))
    return given


def callback_entries(sweep: Sweep, renamed: Callable[[str], str]) -> list[dict[str, dict[str, Any]]]:
    """The callbacks with the user's functions, also those among options, under other names."""

    def option(value: Any) -> Any:
        return renamed(value) if is_function(value) else value

    return [
        {
            (renamed(name) if is_function(name) else name): {
                key: option(value) for key, value in options.items()
            }
        }
        for entry in sweep.callbacks
        for name, options in entry.items()
    ]


def callback_functions(sweep: Sweep) -> list[str]:
    """The user's functions that callbacks are made by, or get as options."""
    found = [
        one
        for entry in sweep.callbacks
        for name, options in entry.items()
        for one in (name, *options.values())
        if is_function(one)
    ]
    return list(dict.fromkeys(found))


def is_function(value: Any) -> bool:
    """Whether a value names a function of the user's: ``file.py:function``, ``package.module:function``."""
    if not isinstance(value, str) or not place_and_function(value)[1]:
        return False
    place = place_and_function(value)[0]
    return place.endswith(".py") or all(part.isidentifier() for part in place.split("."))


def _trial(
    sweep: Sweep, model: str, params: dict[str, Any], seed: int, index: int, fold: int | None
) -> Trial:
    named = sweep.case_names if model == sweep.model else {}
    case = named.get(key_of(sweep, params), "") if named else ""
    return Trial(index, _id(sweep, model, params, seed, fold), params, seed, model, fold, case=case)


def _id(sweep: Sweep, model: str, params: Mapping[str, Any], seed: int, fold: int | None) -> str:
    if sweep.kind == "function":
        return called_id({"train": stable_name(sweep, sweep.train)}, params, seed)
    if sweep.kind == "program":
        patterns = {"metrics": sweep.metrics} if sweep.metrics else {}
        return called_id({"command": sweep.command, **patterns}, params, seed)
    held_out = None
    if sweep.folds is not None:
        held_out = {**sweep.folds.model_dump(exclude={"only"}), "fold": fold}
    training = training_identity(sweep)
    return trial_id(stable_name(sweep, model), data_identity(sweep), params, seed, held_out, training)


def _settings(sweep: Sweep) -> Iterator[dict[str, Any]]:
    if sweep.is_adaptive:
        return
    search = SEARCHES[sweep.search.method]
    for listed in sweep.settings or [{}]:
        for drawn in search.settings(sweep.space, sweep.search.trials, sweep.search.seed):
            setting = {**values_of(listed), **drawn}
            if not sweep.allows({**sweep.fixed, **setting}):
                yield setting
