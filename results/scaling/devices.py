"""Advice whether trials had better have one device each, or all devices one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]

from hpc.results.scaling.fits import CONFIDENCE
from hpc.results.scaling.model import AlphaBeta


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
        f"{trials} trials of {steps} steps on {devices} devices: {first} take {format_duration(*beside)}, "
        f"{second} {format_duration(*together)}. Take {first if better else second}: {factor:.2g} times as "
        f"fast{doubt}."
    )
    return Advice(trials, devices, beside, together, text)


def format_duration(low: float, middle: float, high: float) -> str:
    """Seconds with their interval, in a unit that suits them."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if middle >= size or unit == "s":
            break
    return f"{middle / size:.3g} {unit} ({low / size:.3g} to {high / size:.3g})"
