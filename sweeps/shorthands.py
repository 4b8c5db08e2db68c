"""The short forms that a sweep file may use, read into full entries.

Each function takes an entry as written and raises ValueError with what is wrong and what would be right.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from hpc.sweeps import expression
from hpc.sweeps.modes import EITHER, KNOWN, mode_of, plain
from hpc.sweeps.text import did_you_mean
from hpc.sweeps.trials import MAX_TRIALS


def as_list(value: object) -> object:
    """A single word as a list of one."""
    return [value] if isinstance(value, str) else value


def read_folds(value: object) -> object:
    """``folds: 5`` as a group of entries."""
    return {"n_splits": value} if isinstance(value, int) and not isinstance(value, bool) else value


def read_baselines(value: object) -> object:
    """Every baseline as a group of entries; a name alone has no hyperparameters."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of models; write [knn] or [{{model: knn, n_neighbors: 3}}]")
    baselines = [as_group(entry, "model") for entry in value]
    for baseline in baselines:
        if not isinstance(baseline, Mapping) or not isinstance(baseline.get("model"), str):
            raise ValueError(f"{baseline!r} names no model; write {{model: knn, n_neighbors: 3}}")
    return [dict(baseline) for baseline in baselines if isinstance(baseline, Mapping)]


def as_group(value: object, key: str) -> object:
    """A single word as a group with that entry."""
    return {key: value} if isinstance(value, str) else value


def read_objective(value: object) -> object:
    """An objective as a group of entries, with the mode that its metric implies."""
    value = as_group(value, "metric")
    if not isinstance(value, Mapping) or "mode" in value or not isinstance(value.get("metric"), str):
        return value
    metric, mode = value["metric"], mode_of(value["metric"])
    if mode is None:
        known = (
            [] if plain(metric) in EITHER else [f"{part}{name}" for part in ("val_", "") for name in KNOWN]
        )
        near = did_you_mean(metric, known)
        raise ValueError(
            f"whether less or more of {metric} is better is not known{near}; say so: "
            f"objective: {{metric: {metric}, mode: min}}, or mode: max"
        )
    return {**value, "mode": mode}


def read_seeds(value: object) -> object:
    """The seeds of a sweep; a number stands for so many, from 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"{value} is not a number of seeds; every setting needs at least 1")
        if value > MAX_TRIALS:
            raise ValueError(f"{value:,} seeds are more than the {MAX_TRIALS:,} trials that a run may have")
        return list(range(value))
    if not isinstance(value, list) or not value:
        raise ValueError(f"{value!r} is neither a number of seeds (seeds: 3) nor a list of them")
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise ValueError(f"{seed!r} is not a seed; seeds are whole numbers from 0 to 2**31 - 1")
    if len(set(value)) < len(value):
        raise ValueError(f"{value} holds a seed twice")
    return value


def read_constraints(value: object) -> object:
    """The constraints of a sweep, each readable."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{value!r} is no list of conditions; write ['parameters <= 100000']")
    for one in value:
        expression.check(one)
    return value


def read_pack(value: object) -> object:
    """The number of trials at once, or ``auto`` or ``off``."""
    if value is False:  # `off` in YAML
        return "off"
    if value not in ("auto", "off") and (not isinstance(value, int) or value is True or value < 1):
        raise ValueError(f"{value!r} is neither auto, nor off, nor a number of trials at once")
    return "off" if value == 1 else value


def read_data(value: object) -> object:
    """A dataset as a group of entries."""
    value = as_group(value, "name")
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError(
            f"{value!r} names no dataset; write `data: digits`, `data: my.csv` or `data: {{name: mnist, …}}`"
        )
    return dict(value)


def read_command(value: object) -> object:
    """A program and its arguments; a text is split as a shell would split it, and no shell ever sees it."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{value!r} can't be split into a program and its arguments: {error}") from None
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"{value!r} is no program with its arguments; write "
            "[python, train.py, --lr, '{learning_rate}'], or the same as a text"
        )
    for one in value:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise ValueError(f"{one!r} is no argument of a program; write it in quotation marks")
    if not value[0]:
        raise ValueError(f"{value!r} begins with an empty name of a program")
    return [str(one) for one in value]


def read_patterns(value: object) -> object:
    """Patterns of metrics by their names, each with one group: the number."""
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(f"{value!r} are no patterns by the names of metrics; write {_PATTERNS}")
    for name, pattern in value.items():
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"the pattern of {name}, {pattern!r}, can't be read: {error}") from None
        if groups != 1:
            raise ValueError(
                f"the pattern of {name}, {pattern!r}, has {groups} groups, and must have one: the number, in "
                f"parentheses, as {_PATTERNS}; write (?:…) for what is grouped for another reason"
            )
    return dict(value)


_PATTERNS = r"metrics: {val_loss: 'val_loss[=:]\s*([0-9.e+-]+)'}"


def read_callbacks(value: object) -> object:
    """The callbacks of Keras' ``fit``, each as a group of one name with its options."""
    example = "[ReduceLROnPlateau, {EarlyStopping: {patience: 3}}, callbacks.py:mine]"
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of callbacks; write {example}")
    found: list[dict[str, object]] = []
    for entry in value:
        pairs = (
            [(entry, {})]
            if isinstance(entry, str)
            else list(entry.items())
            if isinstance(entry, Mapping)
            else []
        )
        name, options = pairs[0] if len(pairs) == 1 else ("", None)
        options = {} if options is None and name else options
        if not name or not isinstance(options, Mapping):
            raise ValueError(
                f"{entry!r} is neither a callback's name nor one with its options; write {example}"
            )
        found.append({str(name): dict(options)})
    return found
