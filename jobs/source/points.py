"""Points of a space as Optuna has them: by parameters and distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpc.sweeps.searches.samplers import decoded, distribution, encoded
from hpc.sweeps.space import Dimension, make_setting

Space = Mapping[str, Dimension]


def point_in(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The setting of a space at these hyperparameters, which may have further ones.

    Raises:
        KeyError: a name is missing that the setting needs.
    """
    return make_setting(space, lambda name, _: params[name])


def encoded_point(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of Optuna for the setting of a space at these hyperparameters.

    Raises:
        KeyError: a name is missing that the setting needs.
        ValueError: a value lies outside the space.
    """
    return {name: encoded(space[name], value) for name, value in point_in(space, params).items()}


def distributions_of(space: Space, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """The distributions of these parameters."""
    return {name: distribution(space[name]) for name in params}


def suggested_point(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """The setting that the sampler of a study suggests."""
    return make_setting(space, lambda name, dimension: decoded(dimension, _suggest(trial, name, dimension)))


def _suggest(trial: optuna.Trial, name: str, dimension: Any) -> Any:
    one = distribution(dimension)
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(name, one.choices)
    if isinstance(one, IntDistribution):
        return trial.suggest_int(name, one.low, one.high, step=one.step, log=one.log)
    assert isinstance(one, FloatDistribution)
    return trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)
