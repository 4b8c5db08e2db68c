"""The groups of entries in a sweep file: its search, its limits, its objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hpc.sweeps import shorthands
from hpc.sweeps.searches.pruners import pruner_entries

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
"""Nothing else may stand there, and nothing changes."""


class _Group(BaseModel):
    model_config = STRICT


class Search(_Group):
    """The search: how settings are chosen.

    Attributes:
        method: a name of ``sweeps.searches.SEARCHES`` or of ``sweeps.searches.ADAPTIVE``.
        trials: how many settings, for methods that draw them.
        seed: the seed of the draws; the seeds of the trials are ``Sweep.seeds``.
        pruner: the rule that stops trials early, ``name`` and parameters by Optuna's names; None for none.
        sampler: parameters of the method, by Optuna's names.
        timeout_min: minutes from the first launch on, after which no further trial is begun.
        runs: folders of runs (``from``) whose finished trials the search knows from the beginning.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    method: str = "grid"
    trials: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    pruner: Annotated[dict[str, Any] | None, BeforeValidator(pruner_entries)] = None
    sampler: dict[str, Any] = {}
    timeout_min: Annotated[float, Field(gt=0)] | None = None
    runs: Annotated[list[str], BeforeValidator(shorthands.as_list), Field(alias="from")] = []

    def entries(self) -> dict[str, Any]:
        """The entries as a sweep file has them, without defaults."""
        given = {
            "method": self.method, "trials": self.trials, "seed": self.seed, "pruner": self.pruner,
            "sampler": self.sampler, "timeout_min": self.timeout_min, "from": self.runs,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value not in (None, {}, [])}


class Budget(_Group):
    """The limits of what a sweep may cost; None stands for no limit.

    Attributes:
        node_hours: node-hours of all jobs together.
        core_hours: core-hours of all jobs together.
        gpu_hours: GPU-hours of all jobs together.
    """

    node_hours: Annotated[float, Field(gt=0)] | None = None
    core_hours: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None

    def entries(self) -> dict[str, float]:
        """The limits by their names."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Confirm(_Group):
    """The confirmation: the best settings are trained again with seeds that the search has not seen.

    Attributes:
        best: how many settings.
        seeds: how many seeds each setting is trained with.
    """

    best: Annotated[int, Field(ge=1)]
    seeds: Annotated[int, Field(ge=1)]


class Objective(_Group):
    """The metric that trials are compared by.

    Attributes:
        metric: the name of a metric as Keras logs it; ``val_`` means on the validation data.
        mode: ``min`` or ``max``; the default is that of :func:`hpc.sweeps.modes.mode_of`.
    """

    metric: str = "val_loss"
    mode: Literal["min", "max"] = "min"


class Folds(_Group):
    """Cross-validation: every setting is trained once per fold, and validated on that fold.

    The samples for training and validation are split together; test samples stay apart.

    Attributes:
        n_splits: how many folds, at least 2.
        shuffle: whether the samples are shuffled first, always in the same order.
        stratify: whether each fold has the same share of every class.
        only: the number of the fold that is trained, from 0; all unless given. Not for users.
    """

    n_splits: Annotated[int, Field(ge=2)]
    shuffle: bool = False
    stratify: bool = False
    only: Annotated[int, Field(ge=0)] | None = None

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of the folds that are trained."""
        return range(self.n_splits) if self.only is None else [self.only]

    def entries(self) -> dict[str, Any]:
        """The entries as a sweep file has them."""
        return self.model_dump(exclude_none=True)
