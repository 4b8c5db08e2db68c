"""Rules that stop trials early, of Optuna, by our names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpc.sweeps.text import did_you_mean

if TYPE_CHECKING:
    import optuna

PRUNERS: dict[str, tuple[str, dict[str, int]]] = {
    "asha": (
        "SuccessiveHalvingPruner",
        {"min_resource": 1, "reduction_factor": 4, "min_early_stopping_rate": 0, "bootstrap_count": 0},
    ),
    "hyperband": (
        "HyperbandPruner",
        {"min_resource": 1, "max_resource": 0, "reduction_factor": 3, "bootstrap_count": 0},
    ),
    "median": (
        "MedianPruner",
        {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
    ),
}
"""Optuna's class and, by Optuna's names, the parameters with their defaults. A ``max_resource`` of 0 stands
for the epochs of a trial. Steps and resources are epochs."""
_LEAST = {"min_resource": 1, "reduction_factor": 2, "interval_steps": 1, "n_min_trials": 1, "max_resource": 1}


def pruner_entries(value: object) -> dict[str, Any] | None:
    """The entries of a pruner, with its name under ``name``.

    Args:
        value: a name; or a group with ``name`` and parameters; or none.

    Raises:
        ValueError: with what is wrong, and what would be right.
    """
    if value is None or value is False or value == "none":
        return None
    entries = {"name": value} if isinstance(value, str) else value
    if not isinstance(entries, Mapping) or not isinstance(entries.get("name"), str):
        raise ValueError(f"{value!r} names no pruner; write asha, or {{name: asha, reduction_factor: 3}}")
    name = entries["name"]
    if name == "none" and len(entries) == 1:
        return None
    if name not in PRUNERS:
        known = ", ".join([*PRUNERS, "none"])
        raise ValueError(
            f"there is no pruner {name!r}{did_you_mean(name, [*PRUNERS, 'none'])}; there are {known}"
        )
    known_names = PRUNERS[name][1]
    for key, number in entries.items():
        if key == "name":
            continue
        if key not in known_names:
            raise ValueError(
                f"{name} has no parameter {key!r}{did_you_mean(key, known_names)}; it has "
                f"{', '.join(known_names)}"
            )
        least = _LEAST.get(key, 0)
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ValueError(f"{key}={number!r} is not a whole number of at least {least}")
    return dict(entries)


def pruner(entries: Mapping[str, Any] | None, epochs: int) -> optuna.pruners.BasePruner:
    """Optuna's pruner of what :func:`pruner_entries` gives, for trials of at most so many epochs."""
    import optuna

    if entries is None:
        return optuna.pruners.NopPruner()
    kind, defaults = PRUNERS[entries["name"]]
    given = {**defaults, **{name: value for name, value in entries.items() if name != "name"}}
    if "max_resource" in given:
        given["max_resource"] = max(given["max_resource"] or epochs, given["min_resource"])
    found: optuna.pruners.BasePruner = getattr(optuna.pruners, kind)(**given)
    return found
