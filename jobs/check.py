"""What is wrong with a sweep, told before anything is submitted, without TensorFlow."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from typing import Any

from hpc.jobs.arguments import can_be_stored, given_names
from hpc.jobs.called_rules import called_problems, default_arguments
from hpc.jobs.collectives import horovod
from hpc.jobs.node import device
from hpc.jobs.options import PARAMETERS
from hpc.jobs.references import data_of, model_of
from hpc.jobs.rules import RULES_OF_NAMES, RULES_OF_WHOLES, Subject
from hpc.models import (
    FROM_DATA,
    ModelError,
    Signature,
    collect_notes,
)
from hpc.sweeps import Sweep, SweepError


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
    if sweep.kind != "model":
        return _check_called(sweep, ranks, is_here=here)
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
    subject = Subject(sweep, signatures["model"], signatures["data"])
    problems += [problem for rule in RULES_OF_NAMES for problem in rule(subject)]
    if not problems:
        problems = [problem for rule in RULES_OF_WHOLES for problem in rule(subject)]
    if problems:
        raise SweepError(problems)
    if ranks > 1 and here:
        horovod.check()
    if sweep.defaults:
        return sweep
    return sweep.model_copy(update={"defaults": _defaults(sweep, subject.model)})


def _check_called(sweep: Sweep, ranks: int, *, is_here: bool) -> Sweep:
    """As :func:`check`, of a function or a program, which has no defaults but those of its arguments."""
    problems = called_problems(sweep, is_here=is_here)
    if ranks > 1 and device.why_not():
        problems.append(f"{device.why_not()}.")
    if problems:
        raise SweepError(problems)
    if ranks > 1 and is_here:
        horovod.check()
    if sweep.defaults or sweep.kind == "program":
        return sweep
    return sweep.model_copy(update={"defaults": default_arguments(sweep)})


def notes_of_data() -> AbstractContextManager[list[str]]:
    """Collect the notes on how data are read, while the context is open."""
    return collect_notes()


def digest(sweep: Sweep) -> str:
    """SHA-256 of the sweep as stored, for ranks to compare."""
    return hashlib.sha256(json.dumps(sweep.entries(), sort_keys=True).encode()).hexdigest()


def _defaults(sweep: Sweep, model: Signature) -> dict[str, Any]:
    given = given_names(sweep, model)
    known = {**model.parameters, **PARAMETERS}
    return {
        name: parameter.default
        for name, parameter in known.items()
        if name not in given and not parameter.required and name not in FROM_DATA
        and parameter.default is not None and can_be_stored(parameter.default)
    }  # fmt: skip
