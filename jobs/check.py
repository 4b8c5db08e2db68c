"""What is wrong with a sweep, told before anything is submitted, without TensorFlow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jobs import horovod
from jobs.options import PARAMETERS, TAKES_MOMENTUM, Options, metric_names
from models import (
    FROM_DATA,
    ModelError,
    Parameter,
    Reference,
    Signature,
    dataset_reference,
    model_reference,
)
from sweeps import Choices, Range, Sweep, SweepError, did_you_mean


def model_of(sweep: Sweep) -> Reference:
    """The model that a sweep names."""
    return model_reference(sweep.model, sweep.folder)


def data_of(sweep: Sweep) -> Reference:
    """The dataset that a sweep names."""
    return dataset_reference(sweep.data["name"], sweep.folder)


def data_options(sweep: Sweep) -> dict[str, Any]:
    """The options of the dataset."""
    return {name: value for name, value in sweep.data.items() if name != "name"}


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
    if not problems:
        problems += _trial_problems(sweep, ranks)
        problems += _objective_problems(sweep)
    if problems:
        raise SweepError(problems)
    if ranks > 1 and here:
        horovod.check()
    if sweep.defaults:
        return sweep
    return sweep.model_copy(update={"defaults": _defaults(sweep, model)})


def digest(sweep: Sweep) -> str:
    """SHA-256 of the sweep as stored, for ranks to compare."""
    return hashlib.sha256(json.dumps(sweep.entries(), sort_keys=True).encode()).hexdigest()


def code_digest(sweep: Sweep) -> str:
    """SHA-256 of the user's model and dataset files; empty where both are ours."""
    digests = [reference.digest() for reference in (model_of(sweep), data_of(sweep))]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if any(digests) else ""


def _defaults(sweep: Sweep, model: Signature) -> dict[str, Any]:
    given = {*sweep.space, *sweep.fixed}
    known = {**model.parameters, **PARAMETERS}
    return {
        name: parameter.default
        for name, parameter in known.items()
        if name not in given and not parameter.required and name not in FROM_DATA
        and parameter.default is not None
    }  # fmt: skip


def _data_problems(sweep: Sweep, data: Signature) -> Iterator[str]:
    options, name = data_options(sweep), sweep.data["name"]
    for option, value in options.items():
        key = ("data", option)
        parameter = data.parameters.get(option)
        if parameter is None:
            if not data.open:
                known = list(data.parameters)
                yield sweep.problem(
                    key,
                    f"is no option of {name}{did_you_mean(option, known)}; it takes "
                    f"{', '.join(known) or 'none'}.",
                )
            continue
        problem = parameter.problem(value)
        if problem:
            yield sweep.problem(key, f"{problem}.")
    for option, parameter in data.parameters.items():
        if parameter.required and option not in options:
            yield sweep.problem(("data",), f"{name} needs the option {option}.")
    problem = data_of(sweep).problem(options)
    if problem:
        yield sweep.problem(("data",), f"{problem}.")


def _parameter_problems(sweep: Sweep, model: Signature) -> Iterator[str]:
    for group, entries in (("space", sweep.space), ("fixed", sweep.fixed)):
        for name, entry in entries.items():
            owners = [p[name] for p in (PARAMETERS, model.parameters) if name in p]
            if name in FROM_DATA:
                yield sweep.problem((group, name), "is decided by the data, not by the sweep.")
            elif not owners and not model.open:
                known = [n for n in (*model.parameters, *PARAMETERS) if n not in FROM_DATA]
                yield sweep.problem(
                    (group, name),
                    f"is a parameter neither of the model {sweep.model} nor of the training"
                    f"{did_you_mean(name, known)}; there are {', '.join(known)}.",
                )
            for owner in owners[:1]:
                yield from _value_problems(sweep, group, owner, entry)
    given = {*sweep.space, *sweep.fixed, *FROM_DATA}
    for name, parameter in model.parameters.items():
        if parameter.required and name not in given:
            yield sweep.problem(("model",), f"{sweep.model} needs {name}; give it under fixed or space.")


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


def _trial_problems(sweep: Sweep, ranks: int) -> Iterator[str]:
    model, seen = model_of(sweep), set()
    for trial in sweep.trials:
        problem = model.problem(trial.params)
        if problem and problem not in seen:
            seen.add(problem)
            yield sweep.problem(("model",), f"{problem}.")
    given = {*sweep.space, *sweep.fixed}
    optimizers = _values(sweep, "optimizer")
    if "momentum" in given and not set(optimizers) & set(TAKES_MOMENTUM):
        group = "space" if "momentum" in sweep.space else "fixed"
        yield sweep.problem(
            (group, "momentum"), f"{', '.join(map(str, optimizers))} takes no momentum; sgd and rmsprop do."
        )
    least = min((v for v in _values(sweep, "batch_size") if isinstance(v, int)), default=ranks)
    if least < ranks:
        group = "space" if "batch_size" in sweep.space else "fixed"
        yield sweep.problem(
            (group, "batch_size"),
            f"{least} samples can't be shared by {ranks} ranks: a batch is that of all ranks together.",
        )


def _objective_problems(sweep: Sweep) -> Iterator[str]:
    metric = sweep.objective.metric
    given = _values(sweep, "metrics")
    known: dict[str, None] = {}
    for metrics in given:
        for classes in (True,) if data_of(sweep).is_builtin else (True, False):
            names = metric_names(Options(metrics=metrics), classes=classes)
            known.update(dict.fromkeys(names))
    if metric not in known and not _compiles_itself(sweep):
        yield sweep.problem(
            ("objective", "metric"),
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


def arguments(signature: Signature, sweep: Sweep, params: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that a model takes, as it takes them.

    A default of the training is not one of the model's: a model that has an argument
    ``optimizer`` of its own keeps its own default, unless the sweep gives one.
    """
    own = {name: value for name, value in sweep.defaults.items() if name not in PARAMETERS}
    return {
        name: value
        for name, value in {**own, **params}.items()
        if name in signature.parameters or (signature.open and name not in PARAMETERS)
    }
