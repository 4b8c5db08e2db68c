"""How the speed of a training changes with its ranks: what was measured, and a model that says more.

The model is that of Hockney: a message of n bytes takes α + n/β. A step on N ranks with a global batch
of B samples takes

    step(N) = compute(B/N) + collectives(N) + rest,        compute(b) = c0 + c1 b.

Around a ring gradients of G bytes are summed up in 2(N-1) messages, in which 2(N-1)/N G bytes leave each
rank: collectives(N) = 2(N-1) α + 2(N-1)/N G/β. Through memory that the ranks of one machine share each
reads what all have written: N G/β instead. Gradients are summed up after the backward pass; the same
with full overlap leaves only what does not hide behind it.

Sources: R. W. Hockney, The communication challenge for MPP, Parallel Computing 20, 1994; R. Thakur,
R. Rabenseifner, W. Gropp, Optimization of collective communication operations in MPICH, 2005, section 4;
P. Patarasuk, X. Yuan, Bandwidth optimal all-reduce algorithms, J. Parallel Distrib. Comput. 69, 2009.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.results.store import RunError

if TYPE_CHECKING:
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[np.float64]]

from hpc.results.scaling.fits import CONFIDENCE, DRAWS, Line, fitted
from hpc.results.scaling.measurements import rows_of

FUSION_BYTES = 128 * 2**20
"""Up to so many bytes of gradients Horovod sends at once, unless HOROVOD_FUSION_THRESHOLD says otherwise."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of a number of ranks.

    Attributes:
        ranks: that train together.
        batch_size: global.
        step_seconds: of one step.
        low: of an interval of ``step_seconds`` that holds nine tenths of the draws.
        high: its other end.
        compute_seconds: of ``step_seconds``, like ``collective_seconds`` and ``rest_seconds``.
    """

    ranks: int
    batch_size: int
    step_seconds: float
    low: float
    high: float
    compute_seconds: float
    collective_seconds: float
    rest_seconds: float


@dataclass(frozen=True)
class AlphaBeta:
    """The model, fitted.

    Attributes:
        compute: terms c0 (seconds) and c1 (seconds per sample of a rank), by how many single ranks
            were measured side by side.
        collective: terms α (seconds) and 1/β (seconds per byte); None where nothing is known of it.
        gradient_bytes: G.
        reduces_by: ``memory`` that ranks share; anything else goes around a ring.
        rest: seconds of a step that are left over on several ranks, where these were fitted, too; they
            are taken to stay as they are. Shape (1 + draws,), the first is the middle.
        measured: ranks that went into it, in order.
        nodes: the most that were measured.
    """

    compute: Mapping[int, Line]
    collective: Line | None
    gradient_bytes: int
    reduces_by: str = ""
    rest: Array = field(default_factory=lambda: np.zeros(1 + DRAWS))
    measured: tuple[int, ...] = (1,)
    nodes: int = 1

    def predict(self, ranks: int, batch_size: int) -> Prediction:
        """A step on so many ranks with this global batch.

        Raises:
            RunError: more than one rank, and no sum over ranks was ever measured.
        """
        beside = max((n for n in self.compute if n <= ranks), default=min(self.compute))
        compute, drawn = self.compute[beside].at(1.0, batch_size / ranks)
        sums, sums_drawn, rest = 0.0, np.zeros(DRAWS), np.zeros(1 + DRAWS)
        if ranks > 1:
            if self.collective is None:
                raise RunError(
                    f"the step on {ranks} ranks can't be predicted: only one rank was measured, and no sum "
                    "over ranks; measure two, too: --ranks 1,2."
                )
            sums, sums_drawn = self.collective.at(*factors(ranks, self.gradient_bytes, self.reduces_by))
            rest = self.rest
        middle = compute + sums + float(rest[0])
        edges = np.quantile(drawn + sums_drawn + rest[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        low, high = min(middle, float(edges[0])), max(middle, float(edges[1]))
        return Prediction(ranks, batch_size, middle, low, high, compute, sums, float(rest[0]))


def factors(ranks: int, gradient_bytes: float, reduces_by: str = "ring") -> tuple[float, float]:
    """The factors of α and of 1/β in the time of summing up gradients over ranks."""
    messages = 2 * (ranks - 1)
    if reduces_by == "memory":
        return messages, ranks * gradient_bytes
    return messages * math.ceil(gradient_bytes / FUSION_BYTES), messages / ranks * gradient_bytes


def fit(
    frame: pd.DataFrame, reduced: pd.DataFrame, *, ranks: Sequence[int] = (1,), seed: int = 0
) -> AlphaBeta:
    """Fit the model to what was measured.

    α and β come from sums over ranks that were measured by themselves, where there are any; else from
    the collectives of the steps; else from what steps on several ranks took longer than the compute.

    Args:
        frame: of :func:`measure`, of one model.
        reduced: of :func:`reductions`.
        ranks: whose steps may be used. With ``(1,)`` steps on several ranks are predicted from those
            of one, without having been seen; with more what is left over there becomes ``rest``.
        seed: of the draws.

    Raises:
        RunError: no rank was measured alone.
    """
    rng = np.random.default_rng(seed)
    single = frame[frame["ranks"] == 1]
    if single.empty:
        raise RunError("the model needs a run on one rank, too: measure --ranks 1 and more.")
    compute = {}
    for beside in sorted(set(single["beside"].tolist())):
        rows = single[single["beside"] == beside]
        sizes = [(1.0, batch) for batch in rows["batch_size"]]
        compute[beside] = fitted(sizes, list(rows["step_seconds"]), _spreads(rows), rng)
    size = int(frame["gradient_bytes"].max())
    several = frame[(frame["ranks"] > 1) & frame["ranks"].isin(list(ranks))]
    nodes = int(max(frame["nodes"].max(), reduced["nodes"].max() if len(reduced) else 1))
    if nodes > 1:  # what goes between nodes decides
        reduced, several = reduced[reduced["nodes"] > 1], several[several["nodes"] > 1]
    way = str(reduced["reduces_by"].iloc[0]) if len(reduced) else ""
    measured = (1, *sorted(int(n) for n in several["ranks"].unique()))
    model = AlphaBeta(compute, None, size, way, measured=measured, nodes=nodes)
    if len(reduced):
        points = [factors(int(row.ranks), row.bytes, way) for row in rows_of(reduced)]
        line = fitted(points, list(reduced["seconds"]), [0.0] * len(points), rng)
    elif len(several):
        points = [factors(int(row.ranks), size) for row in rows_of(several)]
        line = fitted(points, _exposed(model, several), _spreads(several), rng)
    else:
        return model
    model = replace(model, collective=line)
    return replace(model, rest=_rest(model, several, rng)) if len(several) else model


def _spreads(rows: pd.DataFrame) -> list[float]:
    """Relative standard deviation of the steps, by their quartiles, which lie 1.349 of it apart."""
    return list(np.log(rows["step_seconds_high"] / rows["step_seconds_low"]) / 1.349)


def _exposed(model: AlphaBeta, several: pd.DataFrame) -> list[float]:
    """Seconds of each step in collectives: measured, or what the compute leaves over."""
    found = []
    for row in rows_of(several):
        seconds = row.collective_share * row.step_seconds
        if not seconds > 0:  # not measured
            beside = max((n for n in model.compute if n <= row.ranks), default=min(model.compute))
            seconds = row.step_seconds - model.compute[beside].at(1.0, row.batch_size / row.ranks)[0]
        found.append(max(seconds, 1e-6 * row.step_seconds))
    return found


def _rest(model: AlphaBeta, several: pd.DataFrame, rng: np.random.Generator) -> Array:
    """What the model leaves over of steps on several ranks, on average, and of those drawn anew."""
    left = []
    for row, spread in zip(rows_of(several), _spreads(several), strict=True):
        predicted = model.predict(int(row.ranks), int(row.batch_size)).step_seconds
        noise = np.exp(np.concatenate([[0.0], rng.normal(0, spread, DRAWS)]))
        left.append(row.step_seconds * noise - predicted)
    return np.asarray(np.mean(left, axis=0).clip(0.0))
