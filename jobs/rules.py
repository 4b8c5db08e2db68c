"""The rules that a sweep keeps, beyond those of its file: one function each, which yields what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hpc.jobs import callbacks
from hpc.jobs.arguments import OF_MODEL, OF_TRIAL, asked_names, given_names, numbered, with_lists
from hpc.jobs.optimizers import TAKES_MOMENTUM
from hpc.jobs.options import OF_LABELS, PARAMETERS, Options, metric_names
from hpc.jobs.references import data_of, data_options, function_options, model_of, split_options_of
from hpc.jobs.source import earlier
from hpc.models import (
    BASELINES,
    FROM_DATA,
    NUMBERS,
    SPLIT_DATASETS,
    SPLIT_OPTIONS,
    WHOLE_DATA_OPTIONS,
    ModelError,
    Parameter,
    Signature,
    SplitOptions,
    dataset,
)
from hpc.sweeps import SEARCHES, SHARED, SIZES, Choices, Range, Sweep, Trial, did_you_mean

MAX_READ = 8 * 2**20
"""Bytes of a file of data up to which it is read before anything is submitted."""

DRAWN_TO_CHECK = 200
"""Points that are drawn from the space of a search that learns, to see whether models can be made of them."""


@dataclass(frozen=True)
class Subject:
    """A sweep that is checked, with the signatures of its model and of its dataset.

    A signature that can't be had is open, so that it takes anything.
    """

    sweep: Sweep
    model: Signature
    data: Signature


def data_options_are_known(subject: Subject) -> Iterator[str]:
    """The dataset takes every option that is given, with its value, and gets those that it needs."""
    sweep, data = subject.sweep, subject.data
    options, name = data_options(sweep), sweep.data["name"]
    for option, value in options.items():
        key = ("data", option)
        parameter = {**SPLIT_OPTIONS, **data.parameters}.get(option)
        if parameter is None:
            if not data.open:
                known = [*data.parameters, *SPLIT_OPTIONS]
                yield sweep.problem(
                    key,
                    f"is no option of {name}{did_you_mean(option, known)}; it takes {', '.join(known)}.",
                )
            continue
        problem = parameter.problem(value)
        if problem:
            yield sweep.problem(key, f"{problem}.")
        if name in SPLIT_DATASETS and option in WHOLE_DATA_OPTIONS:
            yield sweep.problem(key, f"is of no effect: {name} comes split.")
    given = {*OF_TRIAL, *sweep.dimensions, *sweep.fixed} if _is_users_data(sweep) else set()
    for option in asked_names(data, options):
        if option not in given:
            yield sweep.problem(("data",), f"{name} needs the option {option}.")
    try:
        problem = data_of(sweep).problem(options)
    except ModelError:  # there is no such dataset, as is told already
        return
    if problem:
        yield sweep.problem(("data",), f"{problem}.")


def data_file_is_valid(subject: Subject) -> Iterator[str]:
    """A file of data can be read; only a small one is read, since this runs on a login node."""
    sweep = subject.sweep
    reference = data_of(sweep)
    if not reference.reader or reference.source().stat().st_size > MAX_READ:
        return
    options = {name: v for name, v in data_options(sweep).items() if name not in WHOLE_DATA_OPTIONS}
    of_split = {name: v for name, v in options.items() if name in SPLIT_OPTIONS}
    split_options = SplitOptions(**of_split, validation_split=0.0)
    try:
        value = reference.resolve()(**function_options(sweep))
        dataset(value, split_options, name=f"the dataset {sweep.data['name']}", dtype="float64")
    except ModelError as error:
        yield sweep.problem(("data",), f"{error}.")


def hyperparameters_are_known(subject: Subject) -> Iterator[str]:
    """The model or the training takes every hyperparameter, with its values, or some other function does."""
    sweep, model = subject.sweep, subject.model
    asked = callbacks.asked_by_callbacks(sweep)
    listed = {name: one for name, one in sweep.dimensions.items() if name not in sweep.space}
    for group, entries in (("space", sweep.space), ("settings", listed), ("fixed", sweep.fixed)):
        for name, entry in entries.items():
            owners = [p[name] for p in (PARAMETERS, model.parameters) if name in p]
            whole = numbered(name, model)
            owners = owners or ([replace(model.parameters[whole], name=name)] if whole else [])
            owners = owners or [p[name] for p in (_asked_by_data(subject), asked) if name in p]
            if name in FROM_DATA:
                yield sweep.problem((group, name), "is decided by the data, not by the sweep.")
            elif not owners and not model.open:
                known = [n for n in (*model.parameters, *PARAMETERS) if n not in FROM_DATA]
                yield sweep.problem(
                    (group, name),
                    f"is a parameter neither of the model {sweep.model} nor of the training"
                    f"{did_you_mean(name, known)}; there are {', '.join(known)}.",
                )
            elif sweep.model in BASELINES and name in PARAMETERS and name not in SHARED:
                yield sweep.problem((group, name), f"is of no effect: {sweep.model} is not trained in steps.")
            for owner in owners[:1]:
                yield from value_problems(sweep, group, owner, entry)


def model_is_complete(subject: Subject) -> Iterator[str]:
    """The model gets every parameter that it needs."""
    sweep, model = subject.sweep, subject.model
    given = {*given_names(sweep, model), *FROM_DATA, *(OF_MODEL if model_of(sweep).is_users_code else ())}
    for name, parameter in model.parameters.items():
        if parameter.required and name not in given:
            needs = f"{sweep.model} needs {name}; give it under fixed or space"
            yield sweep.problem(("model",), f"{needs} (the data give {', '.join(FROM_DATA)}).")


def callbacks_are_known(subject: Subject) -> Iterator[str]:
    """Every callback is there, takes its options, and gets what it needs."""
    sweep = subject.sweep
    yield from callbacks.problems(sweep, [*sweep.dimensions, *sweep.fixed])


def _is_users_data(sweep: Sweep) -> bool:
    try:
        return data_of(sweep).is_users_code
    except ModelError:
        return False


def _asked_by_data(subject: Subject) -> dict[str, Parameter]:
    """The hyperparameters that the data's function asks for, by name."""
    if not _is_users_data(subject.sweep):
        return {}
    parameters = subject.data.parameters
    return {name: parameters[name] for name in asked_names(subject.data, data_options(subject.sweep))}


def baselines_are_known(subject: Subject) -> Iterator[str]:
    """Every baseline is a model, and takes the parameters that it is given."""
    sweep = subject.sweep
    for index, baseline in enumerate(sweep.baselines):
        reference = model_of(sweep, baseline["model"])
        params = {name: value for name, value in baseline.items() if name != "model"}
        try:
            signature = reference.signature()
        except ModelError as error:
            yield sweep.problem(("baselines", index, "model"), f"{error}.")
            continue
        known = {name: p for name, p in signature.parameters.items() if name not in FROM_DATA}
        for name, parameter in known.items():
            if parameter.required and name not in params:
                shown = f"{{model: {baseline['model']}, {name}: …}}"
                yield sweep.problem(("baselines", index), f"{baseline['model']} needs {name}; write {shown}.")
        known |= {
            name: PARAMETERS[name] for name in (SHARED if baseline["model"] in BASELINES else PARAMETERS)
        }
        for name, value in params.items():
            key = ("baselines", index, name)
            if name in known:
                problem = known[name].problem(value)
                if problem:
                    yield sweep.problem(key, f"{problem}.")
            elif not signature.open:
                yield sweep.problem(
                    key,
                    f"is no parameter of {baseline['model']}{did_you_mean(name, known)}; there are "
                    f"{', '.join(known)}.",
                )


def value_problems(sweep: Sweep, group: str, owner: Parameter, entry: Any) -> Iterator[str]:
    """Values of a hyperparameter that its owner does not take.

    Args:
        sweep: that gives it.
        group: ``space`` or ``fixed``.
        owner: the argument that gets it.
        entry: of the sweep.
    """
    key = (group, owner.name)
    if isinstance(entry, Choices):
        for index, value in enumerate(entry.values):
            problem = owner.problem(value)
            if problem:
                yield sweep.problem((*key, index), f"{problem}.")
        return
    if not isinstance(entry, Range):
        problem = owner.problem(entry)
        if problem:
            yield sweep.problem(key, f"{problem}.")
        return
    ends = list(dict.fromkeys(entry.ends()))
    problems = [problem for problem in map(owner.problem, ends) if problem]
    if problems:
        yield sweep.problem(key, f"{problems[0]}.")
    elif (
        entry.whole
        and entry.low < entry.high
        and owner.type is not Any
        and owner.problem(entry.low + 0.5) is None
    ):
        yield sweep.problem(
            key,
            f"low={entry.low}, high={entry.high} draws whole numbers only; for real ones write "
            f"low: {float(entry.low)}, high: {float(entry.high)}, for whole ones add step: 1."
            if entry.step is None
            else f"step={entry.step} draws whole numbers only; write it as {float(entry.step)}.",
        )


def _trials_to_check(sweep: Sweep) -> Iterator[Trial]:
    yield from sweep.trials
    if sweep.is_adaptive:
        for point in SEARCHES["random"].settings(sweep.space, DRAWN_TO_CHECK, sweep.search.seed):
            if not sweep.allows({**sweep.fixed, **point}):
                yield sweep.trial(point, sweep.seeds[0], 0)


def models_take_their_values(subject: Subject) -> Iterator[str]:
    """The models accept the hyperparameters of the trials together."""
    sweep = subject.sweep
    names = {sweep.model, *(trial.model for trial in sweep.trials)}
    models, seen = {name: model_of(sweep, name) for name in names}, set()
    signatures = {name: reference.signature() for name, reference in models.items()}
    for trial in _trials_to_check(sweep):
        problem = models[trial.model].problem(with_lists(trial.params, signatures[trial.model]))
        if problem and problem not in seen:
            seen.add(problem)
            yield sweep.problem(("model",), f"{problem}.")


def metrics_fit_the_data(subject: Subject) -> Iterator[str]:
    """Metrics of classes are not asked for where numbers are predicted."""
    sweep = subject.sweep
    if sweep.data["name"] not in NUMBERS or split_options_of(sweep).classes is True:
        return
    for metrics in _values(sweep, "metrics"):
        for metric in sorted(set(OF_LABELS) & set(metrics if isinstance(metrics, list) else ())):
            message = f"{metric} is of classes, but {sweep.data['name']} has numbers to predict."
            yield sweep.problem((_group_of(sweep, "metrics"), "metrics"), message)


def momentum_has_an_optimizer(subject: Subject) -> Iterator[str]:
    """Momentum goes with an optimizer that takes it."""
    sweep = subject.sweep
    optimizers = _values(sweep, "optimizer")
    if "momentum" in _given_to_training(sweep) and not set(optimizers) & set(TAKES_MOMENTUM):
        yield sweep.problem(
            (_group_of(sweep, "momentum"), "momentum"),
            f"{', '.join(map(str, optimizers))} takes no momentum; sgd and rmsprop do.",
        )


def warmup_has_a_schedule(subject: Subject) -> Iterator[str]:
    """Warm-up goes with a schedule that has one."""
    sweep = subject.sweep
    if "warmup_epochs" in _given_to_training(sweep) and "cosine" not in _values(sweep, "schedule"):
        key = _group_of(sweep, "warmup_epochs"), "warmup_epochs"
        yield sweep.problem(key, "goes with schedule: cosine only.")


def _given_to_training(sweep: Sweep) -> set[str]:
    """Names of hyperparameters but for those that a model of the user's takes, to do with as it likes."""
    return {*sweep.dimensions, *sweep.fixed} - set(model_of(sweep).signature().parameters)


def _group_of(sweep: Sweep, name: str) -> str:
    return "space" if name in sweep.space else "settings" if name in sweep.dimensions else "fixed"


def objectives_are_measured(subject: Subject) -> Iterator[str]:
    """Every objective is a metric that will be recorded."""
    sweep = subject.sweep
    for place, objective in enumerate(sweep.objectives):
        if place and objective.metric in SIZES:
            continue
        key: tuple[str | int, ...] = (
            ("objective", place) if sweep.further_objectives else ("objective", "metric")
        )
        yield from _metric_problems(sweep, objective.metric, key)


def _metric_problems(sweep: Sweep, metric: str, key: tuple[str | int, ...]) -> Iterator[str]:
    if metric in SIZES:
        yield sweep.problem(key, f"{metric} can be a further objective, behind one that is measured.")
        return
    if metric.startswith("test_"):
        better = f"val_{metric.removeprefix('test_')}"
        yield sweep.problem(
            key, f"{metric} is measured once, when a trial has ended, and never chosen by; write {better}."
        )
        return
    without = next((name for name in ("validation_split", "held_out") if sweep.data.get(name) == 0), None)
    if without and sweep.folds is None and metric.startswith("val_"):
        yield sweep.problem(
            key,
            f"there is no {metric}: data.{without}=0 leaves nothing for validation; judge by "
            f"{metric.removeprefix('val_')}, of the training, or give folds.",
        )
    given = _values(sweep, "metrics")
    known: dict[str, None] = {}
    chosen = split_options_of(sweep).classes
    may_be = (sweep.data["name"] not in NUMBERS,) if data_of(sweep).is_builtin else (True, False)
    for metrics in given:
        for classes in may_be if chosen == "auto" else (chosen,):
            names = metric_names(Options(metrics=metrics), classes=classes)
            known.update(dict.fromkeys(names))
    if metric not in known and not _compiles_itself(sweep):
        yield sweep.problem(
            key,
            f"no metric {metric!r} is recorded{did_you_mean(metric, known)}; there are {', '.join(known)}"
            ". More are had by fixed: {metrics: […]}.",
        )


def _compiles_itself(sweep: Sweep) -> bool:
    """Whether the user's model may bring metrics of its own, which only training it can tell."""
    reference = model_of(sweep)
    return not reference.is_builtin and b".compile(" in reference.source().read_bytes()


def _values(sweep: Sweep, name: str) -> list[Any]:
    """The values that a parameter may have in this sweep: choices, the ends of a range, or one value."""
    if name in sweep.dimensions:
        return list(sweep.dimensions[name].ends())
    default = sweep.defaults.get(name, PARAMETERS[name].default)
    return [sweep.fixed.get(name, default)]


def earlier_runs_fit(subject: Subject) -> Iterator[str]:
    """The runs that a search begins with can be read, and have trained on the same data."""
    return earlier.problems(subject.sweep)


Rule = Callable[[Subject], Iterator[str]]

RULES_OF_NAMES: tuple[Rule, ...] = (
    data_options_are_known,
    hyperparameters_are_known,
    model_is_complete,
    baselines_are_known,
    callbacks_are_known,
    earlier_runs_fit,
)
"""Rules of single entries, in the order in which problems are told."""
RULES_OF_WHOLES: tuple[Rule, ...] = (
    data_file_is_valid,
    models_take_their_values,
    metrics_fit_the_data,
    momentum_has_an_optimizer,
    warmup_has_a_schedule,
    objectives_are_measured,
)
"""Rules of entries together, which presuppose that each of them is right."""
