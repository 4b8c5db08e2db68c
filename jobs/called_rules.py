"""The rules that a sweep keeps whose training is a function or a program: what is wrong, told beforehand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from hpc.jobs.arguments import can_be_stored, given_names, numbered
from hpc.jobs.commands import OF_TRIALS, CommandError
from hpc.jobs.references import command_of, function_of
from hpc.jobs.rules import value_problems
from hpc.jobs.source import earlier
from hpc.models import ModelError
from hpc.sweeps import SIZES, Sweep, did_you_mean

OF_FUNCTIONS = ("trial", "seed", "rank", "size")
"""Arguments of a function that say where it is, and are no hyperparameters."""


def called_problems(sweep: Sweep, *, is_here: bool = True) -> list[str]:
    """One sentence for each problem.

    Args:
        sweep: of a function or a program.
        is_here: whether programs are looked for where this process looks for them.
    """
    rules = _of_function(sweep) if sweep.kind == "function" else _of_program(sweep, is_here)
    return [*rules, *_of_objectives(sweep), *earlier.problems(sweep)]


def default_arguments(sweep: Sweep) -> dict[str, Any]:
    """The defaults of a function's arguments that a sweep does not give, as far as its source tells them."""
    signature = function_of(sweep).signature()
    given = {*given_names(sweep, signature), *OF_FUNCTIONS}
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in given and parameter.default is not None and can_be_stored(parameter.default)
    }


def _hyperparameters(sweep: Sweep) -> Iterator[tuple[str, str, Any]]:
    """Where each stands, its name, and its values."""
    listed = {name: one for name, one in sweep.dimensions.items() if name not in sweep.space}
    for group, entries in (("space", sweep.space), ("settings", listed), ("fixed", sweep.fixed)):
        for name, entry in entries.items():
            yield group, name, entry


def _given_to_all(sweep: Sweep) -> set[str]:
    """The hyperparameters that every trial has."""
    listed = [name for name in sweep.dimensions if all(name in one for one in sweep.settings)]
    always = [name for name, one in sweep.space.items() if not one.when]
    return {*sweep.fixed, *always, *(listed if sweep.settings else [])}


def _why_not_in_all(sweep: Sweep, name: str) -> str:
    return "it has a condition (when)" if name in sweep.space else "some of settings do not give it"


def _of_function(sweep: Sweep) -> Iterator[str]:
    try:
        signature = function_of(sweep).signature()
    except ModelError as error:
        yield sweep.problem(("train",), f"{error}.")
        return
    known = {name: one for name, one in signature.parameters.items() if name not in OF_FUNCTIONS}
    for group, name, entry in _hyperparameters(sweep):
        whole = numbered(name, signature)
        if name in OF_FUNCTIONS:
            yield sweep.problem((group, name), "is what a function is told of its trial, by that name.")
        elif name in known:
            yield from value_problems(sweep, group, known[name], entry)
        elif not whole and not signature.open:
            there = f"it takes {', '.join(known)}" if known else "it takes none"
            yield sweep.problem(
                (group, name), f"is no argument of {sweep.train}{did_you_mean(name, known)}; {there}."
            )
    given = _given_to_all(sweep)
    given |= {numbered(name, signature) for name in given}
    for name, parameter in known.items():
        if parameter.required and name not in given:
            some = f" in every trial, and {_why_not_in_all(sweep, name)}" if name in sweep.dimensions else ""
            yield sweep.problem(
                ("train",),
                f"{sweep.train} needs {name}{some}; give it under fixed or space, or give the argument a "
                "default.",
            )


def _of_program(sweep: Sweep, is_here: bool) -> Iterator[str]:
    command = command_of(sweep)
    for group, name, _ in _hyperparameters(sweep):
        if name in OF_TRIALS:
            yield sweep.problem(
                (group, name), f"is what a command is told of its trial, as {{{name}}}; choose another."
            )
    try:
        names = command.names
    except CommandError as error:
        yield sweep.problem(("command",), f"{error}.")
        return
    known, given = [*sweep.dimensions, *sweep.fixed], _given_to_all(sweep)
    for name in names:
        if name in OF_TRIALS or name in given:
            continue
        if name not in known:
            yield sweep.problem(
                ("command",),
                f"no hyperparameter fills {{{name}}}{did_you_mean(name, known)}; there are "
                f"{', '.join(known) or 'none'}, and of each trial {', '.join(OF_TRIALS)}; braces are written "
                "{{ and }}.",
            )
        else:
            yield sweep.problem(
                ("command",),
                f"in some trials nothing fills {{{name}}}: {_why_not_in_all(sweep, name)}; take {{params}}, "
                "which has those that there are.",
            )
    yield from _of_files(sweep, is_here)


def _of_files(sweep: Sweep, is_here: bool) -> Iterator[str]:
    command = command_of(sweep)
    program, script = command.arguments[0], command.script
    if "{" not in program and "/" in program:
        path = (sweep.folder / program).expanduser()
        if not path.is_file():
            names = [one.name for one in path.parent.glob("*")]
            yield sweep.problem(("command",), f"there is no program {path}{did_you_mean(path.name, names)}.")
    elif "{" not in program and is_here and program != "python" and shutil.which(program) is None:
        beside = (
            f"; one beside the sweep file is written ./{program}"
            if (sweep.folder / program).is_file()
            else ""
        )
        yield sweep.problem(("command",), f"there is no program {program!r} on the PATH{beside}.")
    if script is not None and not script.is_file():
        names = [one.name for one in script.parent.glob(f"*{script.suffix}")]
        yield sweep.problem(("command",), f"there is no file {script}{did_you_mean(script.name, names)}.")


def _of_objectives(sweep: Sweep) -> Iterator[str]:
    for place, objective in enumerate(sweep.objectives):
        several = bool(sweep.further_objectives)
        key: tuple[str | int, ...] = ("objective", place) if several else ("objective", "metric")
        metric, patterns = objective.metric, sweep.metrics
        if metric == "parameters":
            yield sweep.problem(key, "parameters are the weights of a model; here nobody counts them.")
        elif metric in SIZES and not place:
            yield sweep.problem(key, f"{metric} can be a further objective, behind one that is measured.")
        elif patterns and metric not in patterns and metric not in SIZES:
            yield sweep.problem(
                key,
                f"{metric} has no pattern under metrics{did_you_mean(metric, patterns)}; there are "
                f"{', '.join(patterns)}.",
            )
