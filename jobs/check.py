"""What is wrong with a sweep, told before anything is submitted, without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hpc.jobs.collectives import horovod
from hpc.jobs.node import device
from hpc.jobs.options import OF_LABELS, PARAMETERS, TAKES_MOMENTUM, Options, metric_names
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
    Reference,
    Signature,
    SplitOptions,
    collect_notes,
    dataset,
    dataset_reference,
    model_reference,
)
from hpc.sweeps import SEARCHES, SHARED, SIZES, Choices, Range, Sweep, SweepError, Trial, did_you_mean

MOST_READ = 8 * 2**20
"""Bytes of a file of data up to which it is read before anything is submitted."""
DRAWN_TO_CHECK = 200
"""Points that are drawn from the space of a search that learns, to see whether models can be made of them."""


def model_of(sweep: Sweep, name: str = "") -> Reference:
    """The model that a sweep names, or the one of that name among its baselines."""
    return model_reference(name or sweep.model, sweep.folder)


def data_of(sweep: Sweep) -> Reference:
    """The dataset that a sweep names."""
    return dataset_reference(sweep.data["name"], sweep.folder)


def data_options(sweep: Sweep) -> dict[str, Any]:
    """The options of the data, as given."""
    return {name: value for name, value in sweep.data.items() if name != "name"}


def function_options(sweep: Sweep) -> dict[str, Any]:
    """Those that the dataset's function takes: its own, to do with as it likes."""
    own = data_of(sweep).signature().parameters
    taken = {name: v for name, v in data_options(sweep).items() if name in own or name not in SPLIT_OPTIONS}
    return deepcopy(taken)


def split_options_of(sweep: Sweep) -> SplitOptions:
    """Those of every dataset, that say how it is split, and what its targets are."""
    taken = dict(function_options(sweep))
    if data_of(sweep).reader:
        taken.pop("classes", None)  # which means the same to both
    return SplitOptions(**{name: v for name, v in data_options(sweep).items() if name not in taken})


def check(sweep: Sweep, ranks: int, *, here: bool = True) -> Sweep:
    """Make sure that a sweep can be carried out, and fill in its defaults.

    Args:
        sweep: as loaded.
        ranks: per trial.
        here: whether this machine's Python is the one that trains.

    Returns:
        The sweep with ``defaults`` of the training and of the model, unless it has them already.

    Raises:
        SweepError: with every problem found.
        RanksUnavailableError: more than one rank, and what that needs is not installed.
    """
    if device.why_not():  # it would be so for workers, too, which have this environment
        raise SweepError(f"{device.why_not()}.")
    problems = []
    signatures = {}
    for key, reference in (("model", model_of(sweep)), ("data", data_of(sweep))):
        try:
            signatures[key] = reference.signature()
        except ModelError as error:
            problems.append(sweep.problem((key,), f"{error}."))
            signatures[key] = Signature({}, open=True)
    model, data = signatures["model"], signatures["data"]
    problems += _data_problems(sweep, data)
    problems += _parameter_problems(sweep, model)
    problems += _baseline_problems(sweep)
    problems += earlier.problems(sweep)
    if not problems:
        problems += _file_problems(sweep)
        problems += _trial_problems(sweep)
        problems += _objective_problems(sweep)
    if problems:
        raise SweepError(problems)
    if ranks > 1 and here:
        horovod.check()
    if sweep.defaults:
        return sweep
    return sweep.model_copy(update={"defaults": _defaults(sweep, model)})


def notes_of_data() -> AbstractContextManager[list[str]]:
    """What is said meanwhile of how data were read, that a person should know."""
    return collect_notes()


def digest(sweep: Sweep) -> str:
    """SHA-256 of the sweep as stored, for ranks to compare."""
    return hashlib.sha256(json.dumps(sweep.entries(), sort_keys=True).encode()).hexdigest()


def numbered(name: str, signature: Signature) -> str:
    """The parameter of a model that takes a list of which ``name`` is one entry; empty if there is none.

    As ``hidden_size_0`` and ``hidden_size_1`` make the list ``hidden_size``.
    """
    found = re.fullmatch(r"(.+)_\d+", name)
    is_known = name in signature.parameters or name in PARAMETERS or signature.open
    return found[1] if found and not is_known and found[1] in signature.parameters else ""


def with_lists(params: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Hyperparameters with numbered ones as the list that the model takes, in the order of their numbers."""
    found: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for name, value in params.items():
        whole = numbered(name, signature)
        if whole:
            parts.setdefault(whole, {})[int(name.rpartition("_")[2])] = value
        else:
            found[name] = value
    return found | {whole: [part[number] for number in sorted(part)] for whole, part in parts.items()}


def _given(sweep: Sweep, model: Signature) -> set[str]:
    names = {*sweep.space, *sweep.fixed}
    return names | {whole for name in names if (whole := numbered(name, model))}


def _defaults(sweep: Sweep, model: Signature) -> dict[str, Any]:
    given = _given(sweep, model)
    known = {**model.parameters, **PARAMETERS}
    return {
        name: parameter.default
        for name, parameter in known.items()
        if name not in given and not parameter.required and name not in FROM_DATA
        and parameter.default is not None and _can_be_stored(parameter.default)
    }  # fmt: skip


def _can_be_stored(default: Any) -> bool:
    """Whether YAML gives a default back as it was; a tuple would be a list to the user's function."""
    if isinstance(default, dict):
        return all(isinstance(name, str) and _can_be_stored(value) for name, value in default.items())
    if isinstance(default, list):
        return all(map(_can_be_stored, default))
    return type(default) in (bool, int, float, str, type(None))


def _data_problems(sweep: Sweep, data: Signature) -> Iterator[str]:
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
    for option, parameter in data.parameters.items():
        if parameter.required and option not in options:
            yield sweep.problem(("data",), f"{name} needs the option {option}.")
    try:
        problem = data_of(sweep).problem(options)
    except ModelError:  # there is no such dataset, as is told already
        return
    if problem:
        yield sweep.problem(("data",), f"{problem}.")


def _file_problems(sweep: Sweep) -> Iterator[str]:
    """What is wrong in a file of data, if it is small enough to be read on a login node."""
    reference = data_of(sweep)
    if not reference.reader or reference.source().stat().st_size > MOST_READ:
        return
    options = {name: v for name, v in data_options(sweep).items() if name not in WHOLE_DATA_OPTIONS}
    split_options = SplitOptions(
        **{name: v for name, v in options.items() if name in SPLIT_OPTIONS}, validation_split=0.0
    )
    try:
        value = reference.resolve()(**function_options(sweep))
        dataset(value, split_options, name=f"the dataset {sweep.data['name']}", dtype="float64")
    except ModelError as error:
        yield sweep.problem(("data",), f"{error}.")


def _parameter_problems(sweep: Sweep, model: Signature) -> Iterator[str]:
    for group, entries in (("space", sweep.space), ("fixed", sweep.fixed)):
        for name, entry in entries.items():
            owners = [p[name] for p in (PARAMETERS, model.parameters) if name in p]
            whole = numbered(name, model)
            owners = owners or ([replace(model.parameters[whole], name=name)] if whole else [])
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
                yield from _value_problems(sweep, group, owner, entry)
    given = {*_given(sweep, model), *FROM_DATA}
    for name, parameter in model.parameters.items():
        if parameter.required and name not in given:
            yield sweep.problem(("model",), f"{sweep.model} needs {name}; give it under fixed or space.")


def _baseline_problems(sweep: Sweep) -> Iterator[str]:
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


def _value_problems(sweep: Sweep, group: str, owner: Parameter, entry: Any) -> Iterator[str]:
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


def _trial_problems(sweep: Sweep) -> Iterator[str]:
    names = {sweep.model, *(trial.model for trial in sweep.trials)}
    models, seen = {name: model_of(sweep, name) for name in names}, set()
    signatures = {name: reference.signature() for name, reference in models.items()}
    for trial in _trials_to_check(sweep):
        problem = models[trial.model].problem(with_lists(trial.params, signatures[trial.model]))
        if problem and problem not in seen:
            seen.add(problem)
            yield sweep.problem(("model",), f"{problem}.")
    if sweep.data["name"] in NUMBERS and split_options_of(sweep).classes is not True:
        for metrics in _values(sweep, "metrics"):
            for metric in sorted(set(OF_LABELS) & set(metrics if isinstance(metrics, list) else ())):
                message = f"{metric} is of classes, but {sweep.data['name']} has numbers to predict."
                yield sweep.problem(("space" if "metrics" in sweep.space else "fixed", "metrics"), message)
    taken = models[sweep.model].signature().parameters  # by a model of the user's, as it likes
    given = {*sweep.space, *sweep.fixed} - set(taken)
    optimizers = _values(sweep, "optimizer")
    if "momentum" in given and not set(optimizers) & set(TAKES_MOMENTUM):
        group = "space" if "momentum" in sweep.space else "fixed"
        yield sweep.problem(
            (group, "momentum"), f"{', '.join(map(str, optimizers))} takes no momentum; sgd and rmsprop do."
        )
    if "warmup_epochs" in given and "cosine" not in _values(sweep, "schedule"):
        group = "space" if "warmup_epochs" in sweep.space else "fixed"
        yield sweep.problem((group, "warmup_epochs"), "goes with schedule: cosine only.")


def _objective_problems(sweep: Sweep) -> Iterator[str]:
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
    said = split_options_of(sweep).classes
    may_be = (sweep.data["name"] not in NUMBERS,) if data_of(sweep).is_builtin else (True, False)
    for metrics in given:
        for classes in may_be if said == "auto" else (said,):
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
    """What a parameter may be in this sweep: choices, the ends of a range, or one value."""
    if name in sweep.space:
        return list(sweep.space[name].ends())
    default = sweep.defaults.get(name, PARAMETERS[name].default)
    return [sweep.fixed.get(name, default)]


def arguments(signature: Signature, sweep: Sweep, trial: Trial) -> dict[str, Any]:
    """The hyperparameters that the model of a trial takes, as it takes them: its own, to do with as it likes.

    A default of the training is not one of the model's: a model that has an argument
    ``optimizer`` of its own keeps its own default, unless the sweep gives one.
    """
    defaults = sweep.defaults if trial.model == sweep.model else {}
    own = {name: value for name, value in defaults.items() if name not in PARAMETERS}
    taken = {
        name: value
        for name, value in with_lists({**own, **trial.params}, signature).items()
        if name in signature.parameters or (signature.open and name not in PARAMETERS)
    }
    return deepcopy(taken)  # or a model that empties its list would empty that of the next trial
