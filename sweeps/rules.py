"""The rules that a sweep must keep beyond the types of its entries, one function each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc.sweeps import cases, expression
from hpc.sweeps.document import Key
from hpc.sweeps.searches import ADAPTIVE, SAMPLER_OPTIONS, SEARCHES
from hpc.sweeps.space import Choices, Dimension, combinations
from hpc.sweeps.text import did_you_mean
from hpc.sweeps.trials import MAX_TRIALS, fold_numbers

if TYPE_CHECKING:
    from hpc.sweeps.spec import Sweep

RESERVED = (
    "trial_id", "state", "reason", "seed", "fold", "seconds", "ranks", "job_id", "node", "error", "run",
    "model",
)  # fmt: skip
"""Columns of every table, which no hyperparameter may be named after."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        check: yields a sentence for each problem.
        counts: whether the rule counts settings, which needs right conditions and a size within limits.
    """

    check: Callable[[Sweep], Iterator[str]]
    counts: bool = False


def find_problems(sweep: Sweep) -> list[str]:
    """One sentence for each problem, led by file and line."""
    problems = [problem for rule in _GENERAL for problem in rule.check(sweep)]
    uncountable = list(_conditions(sweep))
    if not uncountable and sweep.search.method in (*SEARCHES, *ADAPTIVE):
        uncountable = list(size_problems(sweep))
    problems += uncountable
    for rule in _of_search(sweep):
        if not (rule.counts and uncountable):
            problems += rule.check(sweep)
    return problems or list(_repeated_baselines(sweep))


def size_problems(sweep: Sweep) -> Iterator[str]:
    """Whether a sweep has too many trials, told without making them."""
    try:
        settings = combinations(sweep.space) * max(1, len(sweep.settings))
        what = "a grid of {:,} combinations"
    except ValueError as error:
        yield sweep.problem(("space",), f"{error}.")
        return
    key: Key = ("space",)
    if sweep.is_adaptive or SEARCHES[sweep.search.method].needs_trials:
        settings, what, key = sweep.search.trials or 0, "{:,} settings", ("search", "trials")
    seeds, folds = len(sweep.seeds), len(sweep.folds.numbers) if sweep.folds else 1
    number = (settings + len(sweep.baselines)) * seeds * folds
    number += sweep.confirm.best * sweep.confirm.seeds if sweep.confirm else 0
    if number <= MAX_TRIALS:
        return
    times = [f"{count:,} {name}" for count, name in ((seeds, "seeds"), (folds, "folds")) if count > 1]
    each = f", each with {' and '.join(times)}," if times else ""
    confirmed = " with those of the confirmation" if sweep.confirm else ""
    would = f" would be {number:,} trials{confirmed}" if number != settings else ""
    remedy = "ask for fewer"
    if key == ("space",):
        remedy = "draw some by search: {method: random, trials: 1000}, or give fewer values"
    message = f"{what.format(settings)}{each}{would}, and a run may have {MAX_TRIALS:,} trials; {remedy}."
    yield sweep.problem(key, message)


# Of every sweep


def _name_is_a_folder(sweep: Sweep) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", sweep.name):
        message = (
            f"{sweep.name!r} can't be the name of a folder; use letters, digits, dots, hyphens and "
            "underscores, at most 100, and begin with a letter or digit."
        )
        yield sweep.problem(("name",), message)


def _one_place_each(sweep: Sweep) -> Iterator[str]:
    for name in sweep.space:
        if name in sweep.fixed:
            message = "stands under space and under fixed; a parameter has one place."
            yield sweep.problem(("fixed", name), message)


def _no_reserved_names(sweep: Sweep) -> Iterator[str]:
    named = any(cases.NAME in one for one in sweep.settings)
    reserved = (*RESERVED, cases.NAME) if named else RESERVED
    listed = [(("settings", place), cases.values_of(one)) for place, one in enumerate(sweep.settings)]
    for group, names in ((("space",), sweep.space), (("fixed",), sweep.fixed), *listed):
        for name in names:
            if name in reserved:
                hint = "; write seeds: 3 at the top level" if name == "seed" else ""
                yield sweep.problem((*group, name), f"is a column of every table{hint}.")


def _fixed_values(sweep: Sweep) -> Iterator[str]:
    listed = [(("settings", place), cases.values_of(one)) for place, one in enumerate(sweep.settings)]
    for group, values in ((("fixed",), sweep.fixed), *listed):
        for name, value in values.items():
            if isinstance(value, Mapping) and not all(key.isdigit() for key in value):
                message = f"{value} looks like a range; what varies belongs under space."
                yield sweep.problem((*group, name), message)
            if isinstance(value, float) and not math.isfinite(value):
                yield sweep.problem((*group, name), f"{value} is not finite.")


def _baseline_entries(sweep: Sweep) -> Iterator[str]:
    for index, baseline in enumerate(sweep.baselines):
        for name in baseline:
            if name in RESERVED and name != "model":
                yield sweep.problem(("baselines", index, name), "is a column of every table.")
        if baseline in sweep.baselines[:index]:
            yield sweep.problem(("baselines", index), "stands there twice.")


def _repeated_baselines(sweep: Sweep) -> Iterator[str]:
    """Baselines that give no new trials; a trial id may stand in a run only once."""
    if not sweep.baselines:
        return
    compared = len(sweep.baselines) * len(sweep.seeds) * len(fold_numbers(sweep))
    first = len(sweep.trials) - compared
    ids = {trial.trial_id for trial in sweep.trials[:first]}
    for index in range(len(sweep.baselines)):
        name = sweep.trials[first + index].trial_id
        if name in ids:
            yield sweep.problem(("baselines", index), "is a trial that the sweep has already.")
        ids.add(name)


# Of conditions and constraints


def _conditions(sweep: Sweep) -> Iterator[str]:
    yield from _names_in_conditions(sweep)
    yield from _names_in_constraints(sweep)


def _names_in_conditions(sweep: Sweep) -> Iterator[str]:
    before: list[str] = []
    for name, choice in sweep.space.items():
        for other in expression.names(choice.when) if choice.when else []:
            if other not in before:
                there = ", ".join(before) or "none"
                message = (
                    f"when: {choice.when} names {other}, which does not stand before it; there are {there}."
                )
                yield sweep.problem(("space", name), message)
        before.append(name)


def _names_in_constraints(sweep: Sweep) -> Iterator[str]:
    known = [*sweep.dimensions, *sweep.fixed, *(["parameters"] if sweep.kind == "model" else [])]
    for index, one in enumerate(sweep.constraints):
        for other in expression.names(one):
            if other not in [*known, *sweep.defaults]:
                there = ", ".join(known) or "none"
                message = f"{one!r} names {other!r}{did_you_mean(other, known)}; there are {there}."
                if other == "parameters":  # of a training whose weights nobody counts
                    message = f"{one!r} limits the weights of a model, and there is none here to count them."
                yield sweep.problem(("constraints", index), message)


# Of the search


def _search_is_known(sweep: Sweep) -> Iterator[str]:
    method, names = sweep.search.method, [*SEARCHES, *ADAPTIVE]
    message = f"there is no search {method!r}{did_you_mean(method, names)}; there are {', '.join(names)}."
    yield sweep.problem(("search",), message)


def _dimensions_fit_the_search(sweep: Sweep) -> Iterator[str]:
    for name, choice in sweep.space.items():
        problem = SEARCHES[sweep.search.method].problem(choice)
        if problem:
            yield sweep.problem(("space", name), problem + ".")


def _number_of_trials(sweep: Sweep) -> Iterator[str]:
    method, trials = sweep.search.method, sweep.search.trials
    needs_trials, example = (True, 60) if sweep.is_adaptive else (SEARCHES[method].needs_trials, 20)
    if needs_trials and trials is None:
        message = f"does not say how many trials; write search: {{method: {method}, trials: {example}}}."
        yield sweep.problem(("search",), message)
    if not needs_trials and trials is not None:
        message = f"{trials} is of no effect: {method} tries every combination."
        yield sweep.problem(("search", "trials"), message)


def _enough_settings(sweep: Sweep) -> Iterator[str]:
    trials, size = sweep.search.trials, math.prod(choice.size for choice in sweep.space.values())
    if trials is None:
        return
    if size <= 10_000 and (sweep.constraints or any(one.when for one in sweep.space.values())):
        whole = {name: Choices(tuple(_all_of(one)), one.when) for name, one in sweep.space.items()}
        settings = SEARCHES["grid"].settings(whole, None, 0)
        size = sum(not sweep.allows({**sweep.fixed, **setting}) for setting in settings)
    if trials > size:
        message = f"{trials} different settings are asked for, but the space has only {size:.0f}."
        yield sweep.problem(("search", "trials"), message)


def _all_of(dimension: Dimension) -> Iterator[Any]:
    if isinstance(dimension, Choices):
        yield from dimension.values
        return
    yield from map(dimension.at_step, range(int(dimension.size)))


def _nothing_to_learn(sweep: Sweep) -> Iterator[str]:
    for key, given in (("sampler", sweep.search.sampler), ("from", sweep.search.runs)):
        if given:
            message = f"is of no effect: {sweep.search.method} learns nothing; {', '.join(ADAPTIVE)} do."
            yield sweep.problem(("search", key), message)


def _space_to_search(sweep: Sweep) -> Iterator[str]:
    if not sweep.space:
        yield sweep.problem(("space",), f"is empty, so there is nothing for {sweep.search.method} to search.")


def _sampler_options(sweep: Sweep) -> Iterator[str]:
    method, known = sweep.search.method, SAMPLER_OPTIONS[sweep.search.method]
    for name in sweep.search.sampler:
        if name not in known:
            message = f"is no parameter of {method}{did_you_mean(name, known)}; it has {', '.join(known)}."
            yield sweep.problem(("search", "sampler", name), message)


def _one_seed(sweep: Sweep) -> Iterator[str]:
    if len(sweep.seeds) > 1:
        message = (
            f"{len(sweep.seeds)} seeds for every setting would be spent on bad settings, too; "
            f"{sweep.search.method} takes one, and confirm: {{best: 5, seeds: 3}} trains the best settings "
            "again with fresh ones."
        )
        yield sweep.problem(("seeds",), message)


def _no_folds_nor_baselines(sweep: Sweep) -> Iterator[str]:
    for part, given in (("folds", sweep.folds), ("baselines", sweep.baselines)):
        if given:
            message = f"go with {', '.join(SEARCHES)}, not with {sweep.search.method}."
            yield sweep.problem((part,), message)


def _one_objective(sweep: Sweep) -> Iterator[str]:
    method = sweep.search.method
    if method in ("gp", "cmaes") and sweep.further_objectives:
        yield sweep.problem(("objective",), f"are several, which {method} can't search by; tpe can.")


# Of what ends trials or the search


def _pruner(sweep: Sweep) -> Iterator[str]:
    if sweep.search.pruner and sweep.further_objectives:
        message = "can't say of several objectives which trial is worse; leave it out, or give one objective."
        yield sweep.problem(("search", "pruner"), message)


def _different_objectives(sweep: Sweep) -> Iterator[str]:
    metrics = [one.metric for one in sweep.objectives]
    if len(set(metrics)) < len(metrics):
        yield sweep.problem(("objective",), f"{', '.join(metrics)}: one stands there twice.")


def _static_baselines(sweep: Sweep) -> Iterator[str]:
    if sweep.baselines and sweep.uses_ask_tell and not sweep.is_adaptive:
        message = (
            "go with a search that needs no pruner, budget, timeout_min, confirm or limit of parameters."
        )
        yield sweep.problem(("baselines",), message)


def _confirmation(sweep: Sweep) -> Iterator[str]:
    if sweep.confirm and sweep.folds:
        yield sweep.problem(("confirm",), "goes with seeds, not with folds.")


def _budget(sweep: Sweep) -> Iterator[str]:
    if sweep.budget is not None and not sweep.budget.entries():
        message = "has no limit; write budget: {node_hours: 10}, or gpu_hours, or core_hours."
        yield sweep.problem(("budget",), message)


_GENERAL = (
    Rule(_name_is_a_folder),
    Rule(_one_place_each),
    Rule(_no_reserved_names),
    Rule(_fixed_values),
    Rule(_baseline_entries),
    Rule(cases.problems),
)
_LIMITS = (
    Rule(_pruner),
    Rule(_different_objectives),
    Rule(_static_baselines),
    Rule(_confirmation),
    Rule(_budget),
)
_STATIC = (
    Rule(_dimensions_fit_the_search),
    Rule(_number_of_trials),
    Rule(_enough_settings, counts=True),
    Rule(_nothing_to_learn),
    *_LIMITS,
)
_ADAPTIVE = (
    Rule(_number_of_trials),
    Rule(_space_to_search),
    Rule(_sampler_options),
    Rule(_one_seed),
    Rule(_no_folds_nor_baselines),
    Rule(_enough_settings, counts=True),
    *_LIMITS,
    Rule(_one_objective),
)


def _of_search(sweep: Sweep) -> tuple[Rule, ...]:
    if sweep.is_adaptive:
        return _ADAPTIVE
    return _STATIC if sweep.search.method in SEARCHES else (Rule(_search_is_known),)
