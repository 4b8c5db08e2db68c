"""Which hyperparameters matter: how much of what settings came to is due to each."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from hpc.results.stats import is_number, word_for_missing
from hpc.results.store import Run, RunError
from hpc.results.tables import points

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.distributions import BaseDistribution

MIN_POINTS = 10
"""Points below which a forest of trees says nothing that holds."""
MAX_POINTS = 1000
"""Points that are taken, by a draw, of more."""
_TREES = 64
_DEPTH = 8  # of trees; deeper ones change no third digit of 1,000 points' shares, and take minutes
_ORDERED = 12  # different numbers up to which each counts the same, however far from the next
_SPREAD = 30  # the greatest for the least, from which on numbers count by their logarithm


def importance(run: Run) -> pd.DataFrame:
    """How much of the variance between settings is due to each hyperparameter by itself, as fANOVA has it.

    A forest of regression trees is fitted to the settings of the sweep's model, seeds and folds taken
    together; of the variance of what it predicts over the whole space, the share is that of the
    hyperparameter alone. Numbers count by themselves or by their logarithm (:func:`is_log`); categories,
    and numbers of which at most 12 different ones were tried, each the same. Everything is seeded: the same
    run gives the same numbers.

    Args:
        run: as read.

    Returns:
        ``hyperparameter`` (its column in :func:`hpc.results.points`), ``importance`` (its share, 0 to 1; what
        they lack to 1 is due to hyperparameters together) and ``std``, between the trees (n - 1), each of
        which is grown from another draw of as many settings with repetition; the greatest first.
        ``attrs`` has ``points``, those that were taken, and ``of``, how many there are.

    Raises:
        RunError: fewer than two hyperparameters vary, fewer than ``MIN_POINTS`` settings are there, or all
            came to the same.

    Source: F. Hutter, H. Hoos, K. Leyton-Brown, An efficient approach for assessing hyperparameter
    importance, ICML 2014; the forest and the shares are those of Optuna.
    """
    import numpy as np
    import pandas as pd

    names, frame = of_search(run)
    value = f"best_{run.metric}"
    if len(names) < 2:
        raise RunError("fewer than two hyperparameters vary")
    if len(frame) < MIN_POINTS:
        raise RunError(
            f"importance takes at least {MIN_POINTS} settings that have ended, there are {len(frame)}"
        )
    if frame[value].nunique() == 1:
        raise RunError(f"all {len(frame)} settings came to the same {run.metric}")
    number = len(frame)
    if number > MAX_POINTS:
        frame = frame.iloc[np.sort(np.random.default_rng(0).choice(number, MAX_POINTS, replace=False))]
    study = _study(frame, names, value, run.mode)
    from optuna.importance import FanovaImportanceEvaluator

    shares = []
    for seed in range(_TREES):  # one by one, since Optuna gives no spread between those of a forest
        try:
            found = FanovaImportanceEvaluator(n_trees=1, max_depth=_DEPTH, seed=seed).evaluate(study)
        except RuntimeError:  # the tree's draw has settings of one value only
            continue
        shares.append([float(found[str(place)]) for place in range(len(names))])
    made = pd.DataFrame(
        {
            "hyperparameter": names,
            "importance": np.mean(shares, axis=0),
            "std": np.std(shares, axis=0, ddof=1),
        }
    )
    made = made.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    made.attrs = {"points": len(frame), "of": number}
    return made


def of_search(run: Run) -> tuple[list[str], pd.DataFrame]:
    """The hyperparameters that vary, and the settings of the sweep's model: not those of baselines.

    Returns:
        Their columns, and the rows of :func:`hpc.results.points` that have a value of the objective.
    """
    frame = points(run)
    columns = dict(zip(run.space, frame.attrs["space"], strict=True))
    if run.has_models:
        first = min(run.trials.values(), key=lambda trial: trial.index)
        frame = frame[frame["model"] == first.model]
    known = frame[frame[f"best_{run.metric}"].notna()].reset_index(drop=True)
    names = [columns[name] for name in run.varying]
    return [name for name in names if known[name].nunique(dropna=False) > 1], known


def is_log(values: pd.Series) -> bool:
    """Whether numbers are rather even by their logarithm than by themselves, as a learning rate's are.

    That is: they are positive, the greatest is at least 30 times the least, and their median is nearer to
    the middle of their logarithms.
    """
    import numpy as np

    low, middle, high = values.quantile([0.0, 0.5, 1.0])
    if not (low > 0 and high / low >= _SPREAD):
        return False
    off = abs((middle - low) / (high - low) - 0.5)
    return bool(abs(np.log(middle / low) / np.log(high / low) - 0.5) < off)


def _study(frame: pd.DataFrame, names: list[str], value: str, mode: str) -> optuna.Study:
    """A study in memory that holds the settings; its parameters are called by their places."""
    with warnings.catch_warnings():  # tqdm's, in a notebook without widgets
        warnings.simplefilter("ignore")
        import optuna

    columns = [_parameter(frame[name], frame[value]) for name in names]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    finally:
        optuna.logging.set_verbosity(verbosity)
    kinds = {str(place): kind for place, (_, kind) in enumerate(columns)}
    for row, result in enumerate(frame[value]):
        params = {str(place): values[row] for place, (values, _) in enumerate(columns)}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=float(result)))
    return study


def _parameter(values: pd.Series, results: pd.Series) -> tuple[list[Any], BaseDistribution]:
    """A hyperparameter as Optuna takes it: its values, and how they are distributed.

    Optuna's fANOVA takes every distribution of numbers for an even one from end to end, also one that is
    logarithmic or of whole numbers; so here they are made even. Categories are numbered by what they came
    to: so a tree that splits numbers finds the best split of categories (L. Breiman and others,
    Classification and Regression Trees, 1984, section 4.2.2), and each counts the same. As Optuna's own
    categories they would be columns of 0 and 1, and the shares over combinations that there are not.
    """
    from optuna.distributions import FloatDistribution

    if is_number(values) and values.notna().all():
        values = values.astype("float64")
        order = sorted(set(values))
        if len(order) > _ORDERED:
            values = values.map(math.log) if is_log(values) else values
            return values.tolist(), FloatDistribution(values.min(), values.max())
    else:
        none = word_for_missing(values.dropna())
        values = values.astype(object).where(values.notna(), none).map(str)
        order = results.groupby(values).mean().sort_values(kind="stable").index.tolist()
    places = {one: float(place) for place, one in enumerate(order)}
    return values.map(places).tolist(), FloatDistribution(-0.5, len(order) - 0.5)
