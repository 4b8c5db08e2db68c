"""How the speed of a training changes with its ranks: what was measured, and a model that says more.

The model is that of Hockney: a message of n bytes takes α + n/β. A step on N ranks with a global batch
of B samples takes

    step(N) = compute(B/N) + collectives(N) + rest,        compute(b) = c0 + c1 b.

Around a ring gradients of G bytes are summed up in 2(N-1) messages, in which 2(N-1)/N G bytes leave each
rank: collectives(N) = 2(N-1) α + 2(N-1)/N G/β. Through memory that the ranks of one machine share each
reads what all have written: N G/β instead. Gradients are summed up after the backward pass; the same
with full overlap leaves only what does not hide behind it (:func:`overlapped`).

Sources: R. W. Hockney, The communication challenge for MPP, Parallel Computing 20, 1994; R. Thakur,
R. Rabenseifner, W. Gropp, Optimization of collective communication operations in MPICH, 2005, section 4;
P. Patarasuk, X. Yuan, Bandwidth optimal all-reduce algorithms, J. Parallel Distrib. Comput. 69, 2009.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.results.store.run import Run, RunError
from hpc.results.store.trial import Attempt

if TYPE_CHECKING:
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[np.float64]]

DRAWS, CONFIDENCE = 1000, 0.9
"""Times that the model is fitted to measurements drawn anew, and how much of these an interval holds."""
FUSION_BYTES = 128 * 2**20
"""Up to so many bytes of gradients Horovod sends at once, unless HOROVOD_FUSION_THRESHOLD says otherwise."""
BACKWARD = 2 / 3
"""Share of the backward pass in the compute: it multiplies by each weight twice, the forward pass once."""
KEY = ["ranks", "nodes", "beside", "batch_size", "parameters", "samples"]
SHARES = ["input", "collective", "waiting"]


def measure(runs: Iterable[str | Path | Run]) -> pd.DataFrame:
    """What finished trials say of the speed of training, over runs, trials and epochs.

    Each attempt's first epoch is left out, in which graphs are drawn, and so are trials of packs.

    Args:
        runs: folders; one that was opened needs ``keep_epochs``.

    Returns:
        One row for all epochs of equal ``ranks``, ``nodes``, ``beside`` (trials that were trained on
        the machine at once, itself included), ``batch_size`` (global), ``parameters`` (trainable) and
        ``samples`` (of an epoch): ``trials``, ``epochs``; ``step_seconds`` (median) and its quartiles
        ``step_seconds_low`` and ``step_seconds_high``; ``samples_per_second`` (median);
        ``input_share``, ``collective_share``, ``waiting_share`` of the time, from 0 to 1;
        ``joules_per_sample``; ``gradient_bytes``; ``source``: ``steps`` where steps were timed, ``epochs``
        where only whole epochs are known, validation included.

    Raises:
        RunError: nothing of what is there can be used.
    """
    import pandas as pd

    found: list[dict[str, Any]] = []
    packs = old = 0
    names = []
    for given in runs:
        run = given if isinstance(given, Run) else Run(given, keep_epochs=True)
        names.append(str(run.folder))
        neighbours = _Neighbours(run)
        for trial in run.trials.values():
            attempt = trial.attempt
            if attempt.state != "finished":
                continue
            packs += attempt.lanes > 1
            old += "samples" not in attempt.facts
            if attempt.lanes == 1 and "samples" in attempt.facts:
                facts = _facts(attempt, neighbours.beside(attempt))
                found += [{**facts, **times, "trial": trial.trial_id} for times in _epochs(attempt)]
    if not found:
        why = "no trial of theirs is finished with at least two epochs"
        if packs:
            why = "their trials were trained as packs, several at once; `--set pack=off` trains them singly"
        elif old:
            why = "their records are of an earlier version, and don't say how many samples an epoch has"
        raise RunError(f"{', '.join(names) or 'no run'}: the speed can't be told: {why}.")
    every = pd.DataFrame(found)
    if (every["source"] == "steps").any():  # what was timed step by step is not mixed with the rest
        every = every[every["source"] == "steps"]
    return pd.DataFrame([_row(group) for _, group in every.groupby(KEY)])


def _facts(attempt: Attempt, beside: int) -> dict[str, Any]:
    facts, samples = attempt.facts, attempt.facts["samples"]
    trained = attempt.epochs - (attempt.after[1] if attempt.after else 0)
    joules = attempt.energy_joules
    return {
        "ranks": attempt.ranks or 1, "nodes": facts.get("nodes", 1), "beside": beside,
        "batch_size": facts["batch_size"], "parameters": facts["parameters"], "samples": samples,
        "gradient_bytes": facts["gradient_bytes"],
        "joules_per_sample": math.nan if joules is None else joules / max(1, samples * trained),
    }  # fmt: skip


def _epochs(attempt: Attempt) -> list[dict[str, Any]]:
    """For each epoch but the first the seconds of a step and the shares of what steps wait for."""
    steps = math.ceil(attempt.facts["samples"] / attempt.facts["batch_size"])
    history = [record for record in attempt.history if record["epoch"] > 0]
    timed = [record for record in history[1:] if record.get("steps")]
    if timed:
        return [
            {"source": "steps", "step_seconds": record["steps_seconds"] / record["steps"]}
            | {f"{name}_share": record[f"{name}_seconds"] / record["steps_seconds"] for name in SHARES}
            for record in timed
        ]
    shares = {f"{name}_share": math.nan for name in SHARES}
    between = [
        (after["seconds"] - before["seconds"], after["epoch"] - before["epoch"])
        for before, after in pairwise(history)
    ]
    if any(seconds <= 0 for seconds, _ in between):  # too short to be told one by one
        between = [(sum(seconds for seconds, _ in between), sum(epochs for _, epochs in between))]
    return [
        {"source": "epochs", "step_seconds": seconds / epochs / steps, **shares}
        for seconds, epochs in between
        if seconds > 0
    ]


def _row(group: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {name: int(group[name].iloc[0]) for name in KEY}
    low, middle, high = group["step_seconds"].quantile([0.25, 0.5, 0.75])
    row |= {"trials": group["trial"].nunique(), "epochs": len(group), "step_seconds": middle}
    row |= {"step_seconds_low": low, "step_seconds_high": high}
    per_step = row["samples"] / math.ceil(row["samples"] / row["batch_size"])
    row |= {"samples_per_second": per_step / middle}
    row |= {f"{name}_share": group[f"{name}_share"].median() for name in SHARES}
    each = group.groupby("trial")["joules_per_sample"].first()
    return row | {
        "joules_per_sample": each.median(), "gradient_bytes": int(group["gradient_bytes"].iloc[0]),
        "source": group["source"].iloc[0],
    }  # fmt: skip


class _Neighbours:
    """When the jobs of a run trained, and where."""

    def __init__(self, run: Run) -> None:
        self._spans: dict[str, list[Any]] = {}
        for trial in run.trials.values():
            for one in trial.attempts.values():
                span = self._spans.setdefault(one.job_id, [one.node, math.inf, 0.0])
                span[1] = min(span[1], one.started)
                span[2] = max(span[2], one.started + (one.seconds or 0.0))

    def beside(self, attempt: Attempt) -> int:
        """How many jobs of the run trained on its node in the middle of it."""
        middle = attempt.started + (attempt.seconds or 0.0) / 2
        return sum(
            node == attempt.node and (start <= middle <= end or job == attempt.job_id)
            for job, (node, start, end) in self._spans.items()
        )


def reductions(runs: Iterable[str | Path | Run]) -> pd.DataFrame:
    """How long sums over the ranks took, by their size, where trials have measured it at their end.

    Returns:
        Columns ``ranks``, ``nodes``, ``reduces_by`` (memory, gloo or mpi), ``bytes``, ``seconds``.
    """
    import pandas as pd

    rows = []
    for given in runs:
        run = given if isinstance(given, Run) else Run(given)
        for trial in run.trials.values():
            facts = trial.attempt.facts
            where = {"ranks": trial.attempt.ranks, "nodes": facts.get("nodes", 1)}
            rows += [{**where, "reduces_by": facts["reduces_by"], **one} for one in facts.get("reduced", [])]
    return pd.DataFrame(rows, columns=["ranks", "nodes", "reduces_by", "bytes", "seconds"])


def speed_up(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`measure` with what more ranks have brought.

    Returns:
        With further columns. ``speed_up`` is the throughput over that of one rank alone (of the fewest
        ranks, where one was not measured). ``efficiency`` is the speed-up over the factor of ranks:
        strong scaling where the global batch is that of the baseline, weak scaling where the batch of
        each rank is, as ``scaling`` says (``strong``, ``weak``; empty for the baselines).
        ``efficiency_beside`` is the throughput over that of as many single ranks side by side, each
        with this batch per rank: what is lost to working together, not to sharing a machine.
    """
    made = frame.copy()
    alone = frame[(frame["beside"] == 1) | (frame["ranks"] > 1)]
    columns: dict[str, list[Any]] = {"scaling": [], "speed_up": [], "efficiency": [], "efficiency_beside": []}
    for row in rows_of(frame):
        same = alone[(alone["parameters"] == row.parameters) & (alone["samples"] == row.samples)]
        base = same[(same["ranks"] < row.ranks) & (same["nodes"] <= row.nodes)]
        kind, bases = "strong", base[base["batch_size"] == row.batch_size]
        if bases.empty:
            kind, bases = "weak", base[base["batch_size"] * row.ranks == row.batch_size * base["ranks"]]
        first = next(iter(rows_of(bases.sort_values("ranks"))), None)
        gain = row.samples_per_second / first.samples_per_second if first else math.nan
        columns["scaling"].append(kind if first else "")
        columns["speed_up"].append(gain)
        columns["efficiency"].append(gain * first.ranks / row.ranks if first else math.nan)
        columns["efficiency_beside"].append(_against_neighbours(frame, row))
    for name, values in columns.items():
        made[name] = values
    return made


def _against_neighbours(frame: pd.DataFrame, row: Any) -> float:
    """One row's throughput over that of as many single ranks side by side."""
    like = frame[(frame["ranks"] == 1) & (frame["beside"] == row.ranks) & (row.ranks > 1)]
    like = like[(like["parameters"] == row.parameters) & (like["batch_size"] * row.ranks == row.batch_size)]
    if like.empty:
        return math.nan
    return float(row.samples_per_second / (row.ranks * like["samples_per_second"].iloc[0]))


@dataclass(frozen=True)
class Line:
    """Seconds as a sum of two terms, fitted to measurements.

    Attributes:
        terms: the coefficients, shape (2,), none below 0.
        draws: those fitted to measurements drawn anew, shape (draws, 2).
        is_bracket: whether the measurements can't tell the two terms apart; draws then lie anywhere
            between all in the one and all in the other.
    """

    terms: Array
    draws: Array
    is_bracket: bool = False

    def at(self, first: float, second: float) -> tuple[float, Array]:
        """The seconds for these factors of the terms, and those by each draw, shape (draws,)."""
        factors = np.array([first, second])
        return float(self.terms @ factors), self.draws @ factors


def fitted(
    factors: Sequence[tuple[float, float]],
    seconds: Sequence[float],
    spreads: Sequence[float],
    rng: np.random.Generator,
) -> Line:
    """Fit two terms to measured seconds, by least squares of relative errors; terms are not below 0.

    Args:
        factors: of the two terms, for each measurement.
        seconds: that were measured.
        spreads: relative standard deviation of each.
        rng: for the draws: each measurement is drawn about its fitted value, with its spread and
            what the fit leaves over (a parametric bootstrap: B. Efron, R. Tibshirani, An introduction
            to the bootstrap, 1993, section 6.5).
    """
    from scipy.optimize import nnls

    design, target = np.array(factors, np.float64), np.array(seconds, np.float64)
    relative = design / target[:, None]
    spread = np.array(spreads, np.float64)
    if np.linalg.matrix_rank(relative / np.linalg.norm(relative, axis=0).clip(1e-300), tol=1e-3) < 2:
        sizes = np.array([1 / max(column.mean(), 1e-300) for column in relative.T])
        shares = rng.uniform(size=DRAWS)
        noise = np.exp(rng.normal(0, max(1e-9, float(spread.mean())), DRAWS))
        draws = np.stack([shares * sizes[0] * noise, (1 - shares) * sizes[1] * noise], axis=1)
        return Line(sizes / 2, draws, is_bracket=True)
    terms, _ = nnls(relative, np.ones(len(target)))
    middle = design @ terms
    left = float(np.sqrt(np.sum((middle / target - 1) ** 2) / max(1, len(target) - 2)))
    noise = np.exp(rng.normal(0, 1, (DRAWS, len(target))) * np.sqrt(spread**2 + left**2))
    draws = np.array([nnls(design / drawn[:, None], np.ones(len(target)))[0] for drawn in middle * noise])
    return Line(terms, draws)


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


def overlapped(compute_seconds: float, collective_seconds: float) -> float:
    """What of the collectives remains if they run beside the backward pass as far as that goes."""
    return max(0.0, collective_seconds - BACKWARD * compute_seconds)


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


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """Its rows as named tuples; pandas' stubs take each value for anything that a cell may hold."""
    return list(frame.itertuples(index=False))


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
        said = model.predict(int(row.ranks), int(row.batch_size)).step_seconds
        noise = np.exp(np.concatenate([[0.0], rng.normal(0, spread, DRAWS)]))
        left.append(row.step_seconds * noise - said)
    return np.asarray(np.mean(left, axis=0).clip(0.0))


@dataclass(frozen=True)
class Advice:
    """N trials on one device each, or one trial on N devices.

    Attributes:
        trials: of the sweep.
        devices: at hand.
        beside_seconds: for all trials, one on each device at once; low, middle, high.
        together_seconds: for all trials, one after the other, each on all devices; likewise.
        text: the answer, in a sentence.
    """

    trials: int
    devices: int
    beside_seconds: tuple[float, float, float]
    together_seconds: tuple[float, float, float]
    text: str


def advice(model: AlphaBeta, *, trials: int, devices: int, batch_size: int, steps: int) -> Advice:
    """Whether trials had better have a device each, or all devices one after the other.

    Packs, in which one device trains several trials at once, are not counted, nor is starting.

    Args:
        model: fitted.
        trials: of the sweep.
        devices: GPUs, or CPUs, at hand.
        batch_size: global, the same in both cases, so that the results are.
        steps: of a whole trial.
    """
    single = model.predict(1, batch_size)
    crowded = max((n for n in model.compute if n <= min(devices, trials)), default=min(model.compute))
    middle, drawn = model.compute[crowded].at(1.0, batch_size)
    edges = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    rounds = math.ceil(trials / devices) * steps
    ends = (min(float(edges[0]), middle), middle, max(float(edges[1]), middle))
    beside = (rounds * ends[0], rounds * ends[1], rounds * ends[2])
    one = model.predict(devices, batch_size) if devices > 1 else single
    whole = trials * steps
    together = (whole * one.low, whole * one.step_seconds, whole * one.high)
    first, second = (f"{devices} trials at a time on 1 rank each", f"1 trial at a time on {devices} ranks")
    better = beside[1] <= together[1]
    factor = max(beside[1], together[1]) / max(min(beside[1], together[1]), 1e-12)
    clear = beside[2] < together[0] or together[2] < beside[0]
    doubt = "" if clear else ", but the two intervals overlap"
    text = (
        f"{trials} trials of {steps} steps on {devices} devices: {first} take {duration(*beside)}, {second} "
        f"{duration(*together)}. Take {first if better else second}: {factor:.2g} times as fast{doubt}."
    )
    return Advice(trials, devices, beside, together, text)


def duration(low: float, middle: float, high: float) -> str:
    """Seconds and their interval in words, in a unit that suits them."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if middle >= size or unit == "s":
            break
    return f"{middle / size:.3g} {unit} ({low / size:.3g} to {high / size:.3g})"
