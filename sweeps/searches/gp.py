"""A Gaussian process with expected improvement, for trials that each take long.

Optuna's own needs PyTorch, gigabytes beside TensorFlow; this one stands on scikit-learn, which is here.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpc.sweeps.searches.optuna_private import trials_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MAX_OBSERVED = 500
"""Trials that are fitted, the last ones: the time of a fit grows by the cube of their number."""


class GaussianProcess(BaseSampler):
    """Takes the best of many random settings by expected improvement under a Gaussian process.

    The kernel is a Matérn of 5/2 with a length for each dimension, and noise; its parameters have the
    greatest marginal likelihood. Trials under way count with the value that the process expects of them
    (the kriging believer), so that workers don't take the same setting. A pruned trial counts with the last
    value it had; names that not all trials have are drawn by themselves.

    Sources: D. R. Jones, M. Schonlau, W. J. Welch, Journal of Global Optimization 13, 1998, equation 15;
    D. Ginsbourger, R. Le Riche, L. Carraro, Kriging is well-suited to parallelize optimization, 2010.

    Args:
        seed: of the random numbers.
        n_startup_trials: before which settings are drawn at random.
        n_candidates: settings that are compared for each that is taken.
    """

    def __init__(self, seed: int, n_startup_trials: int = 10, n_candidates: int = 2000) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed)
        self._startup = n_startup_trials
        self._candidates = n_candidates
        self._seed = seed % 2**32

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The names that all trials have, and more than one value."""
        space = IntersectionSearchSpace(include_pruned=True).calculate(study)
        return {name: one for name, one in space.items() if not one.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A setting, or nothing in the beginning."""
        ended = trials_of(study, (TrialState.COMPLETE, TrialState.PRUNED))
        values = [(one, _value(one)) for one in ended]
        known = [(one, value) for one, value in values if value is not None][-MAX_OBSERVED:]
        if not search_space or len(known) < self._startup:
            return {}
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        x = np.array([_place(one.params, search_space) for one, _ in known])
        y = sign * np.array([value for _, value in known])
        deviation = float(np.std(y)) or 1.0
        y = np.clip(
            (y - np.mean(y)) / deviation, -4, None
        )  # one that has failed badly says no more than badly
        running = trials_of(study, (TrialState.RUNNING,))
        beside = [one for one in running if search_space.keys() <= one.params.keys()]
        candidates = self._rng.random((self._candidates, x.shape[1]))
        near = x[np.argsort(-y)[:5]]  # and some around the best
        around = near[self._rng.integers(len(near), size=self._candidates // 4)]
        moved = np.clip(around + self._rng.normal(0, 0.05, around.shape), 0, 1)
        settings = [_setting(row, search_space) for row in np.concatenate([candidates, moved])]
        rows = np.array([_place(one, search_space) for one in settings])
        gains = _improvement(x, y, [_place(one.params, search_space) for one in beside], rows, self._seed)
        return settings[int(np.argmax(gains))]

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _value(trial: FrozenTrial) -> float | None:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    if value is None and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return value if value is not None and math.isfinite(value) else None


def _improvement(x: Array, y: Array, beside: list[list[float]], rows: Array, seed: int) -> Array:
    """Expected improvement of settings over the best of ``y``, shape (settings,)."""
    from scipy.special import ndtr
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = Matern(np.full(x.shape[1], 0.5), (0.05, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * lengths + WhiteKernel(0.01, (1e-6, 1.0))
    process = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at a bound of a length: that is an answer, too
        process.fit(x, y)
        if beside:
            believed = process.predict(np.array(beside))
            process = GaussianProcessRegressor(process.kernel_, optimizer=None)
            process.fit(np.concatenate([x, beside]), np.concatenate([y, believed]))
        mean, std = process.predict(rows, return_std=True)
    std = np.maximum(std, 1e-9)
    z = (mean - np.max(y)) / std
    gains: Array = std * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
    return gains


def _place(params: dict[str, Any], space: dict[str, BaseDistribution]) -> list[float]:
    """The setting of a setting in the unit cube; each category has an axis."""
    found: list[float] = []
    for name, one in space.items():
        if isinstance(one, CategoricalDistribution):
            found += [float(params[name] == choice) for choice in one.choices]
        else:
            assert isinstance(one, (FloatDistribution, IntDistribution))
            low, high, value = float(one.low), float(one.high), float(params[name])
            if one.log:
                low, high, value = math.log(low), math.log(high), math.log(value)
            found.append((value - low) / (high - low))
    return found


def _setting(row: Array, space: dict[str, BaseDistribution]) -> dict[str, Any]:
    """The setting at a setting of the unit cube."""
    found: dict[str, Any] = {}
    axis = 0
    for name, one in space.items():
        if isinstance(one, CategoricalDistribution):
            count = len(one.choices)
            found[name] = one.choices[int(np.argmax(row[axis : axis + count]))]
            axis += count
            continue
        assert isinstance(one, (FloatDistribution, IntDistribution))
        low, high, share = float(one.low), float(one.high), float(row[axis])
        value = (
            math.exp(math.log(low) + share * math.log(high / low)) if one.log else low + share * (high - low)
        )
        step = one.step or (1 if isinstance(one, IntDistribution) else None)
        if step is not None and not (one.log and isinstance(one, FloatDistribution)):
            value = low + round((value - low) / step) * step
        value = min(max(value, low), high)
        found[name] = round(value) if isinstance(one, IntDistribution) else value
        axis += 1
    return found
