"""Optuna's samplers for the searches that learn, and the way from a sweep's space to Optuna's and back."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hpc.sweeps.space import Choices, Dimension, Value

if TYPE_CHECKING:
    from collections.abc import Sequence


def sampler(
    method: str, seed: int, options: Mapping[str, Any], space: Mapping[str, Dimension]
) -> BaseSampler:
    """The sampler of an adaptive search.

    Args:
        method: a name of ``sweeps.searches.ADAPTIVE``.
        seed: of the search.
        options: as the sweep gives them.
        space: of the sweep.
    """
    has_conditions = any(dimension.when for dimension in space.values())

    def make(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if method == "tpe":
                given = {"multivariate": True, "group": has_conditions, **options}
                return optuna.samplers.TPESampler(seed=seed, **given)
            if method == "cmaes":
                # The names that are not in all trials are drawn by themselves, without a word for each.
                return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, **options)
            from hpc.sweeps.searches.gp import GaussianProcess

            return GaussianProcess(seed=seed, **options)

    return Seeded(make, seed)


class Seeded(BaseSampler):
    """A sampler whose random numbers are a function of the search's seed and the trial's number.

    So a search goes on as it would have, whatever was interrupted, and workers that have the same
    seed don't draw the same.

    Args:
        make: a sampler from a seed.
        seed: of the search.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._inner = make(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin with the random numbers of this trial."""
        text = f"{self._seed}/{trial.number}".encode()
        self._inner = self._make(int.from_bytes(hashlib.sha256(text).digest()[:4]))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Delegates to the sampler."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegates to the sampler."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Delegates to the sampler."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Delegates to the sampler."""
        self._inner.after_trial(study, trial, state, values)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it.

    Choices are told by their places, since they may be lists; numbers from small to large, and steps, are
    places on a scale.
    """
    if isinstance(dimension, Choices):
        places = len(dimension.values)
        if dimension.is_ordered:
            return IntDistribution(0, places - 1)
        return CategoricalDistribution(tuple(range(places)))
    if dimension.step is not None:
        return IntDistribution(0, int(dimension.size) - 1)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log)
    return FloatDistribution(float(dimension.low), float(dimension.high), dimension.log)


def decoded(dimension: Dimension, value: Any) -> Value:
    """A value of Optuna's as trials have it."""
    if isinstance(dimension, Choices):
        return dimension.values[int(value)]
    if dimension.step is not None:
        return dimension.at_step(int(value))
    return int(value) if dimension.whole else dimension.rounded(float(value))


def encoded(dimension: Dimension, value: Value) -> Any:
    """A value of a trial as Optuna has it.

    Raises:
        ValueError: the dimension has no such value.
    """
    if isinstance(dimension, Choices):
        for place, choice in enumerate(dimension.values):
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return place
        raise ValueError(f"{value!r} is none of {list(dimension.values)}")
    if not dimension.holds(value):
        raise ValueError(f"{value!r} is not from {dimension.low} to {dimension.high}")
    if dimension.step is None:
        return value
    place = round((value - dimension.low) / dimension.step)  # type: ignore[operator]
    if dimension.at_step(place) != value:
        raise ValueError(f"{value!r} is no step of {dimension.step} from {dimension.low}")
    return place
