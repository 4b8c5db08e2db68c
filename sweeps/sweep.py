"""The sweep file: what is tried, and how its outcome is judged."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from hpc.sweeps import expression
from hpc.sweeps.document import Document, Key, SweepError, of_python, override, read, write
from hpc.sweeps.modes import EITHER, KNOWN, mode_of, plain
from hpc.sweeps.searches import ADAPTIVE, SEARCHES, StaticSearch
from hpc.sweeps.searches.pruners import pruner_entries
from hpc.sweeps.space import Choices, Dimension, combinations, dimension
from hpc.sweeps.text import did_you_mean
from hpc.sweeps.trial import Trial, names_a_file, place_and_function, reference_name, trial_id
from hpc.sweeps.validation import InvalidEntry, Wording, format_errors

SAMPLER_OPTIONS: dict[str, tuple[str, ...]] = {
    "tpe": ("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar"),
    "gp": ("n_startup_trials", "n_candidates"),
    "cmaes": (
        "n_startup_trials", "sigma0", "popsize", "with_margin", "use_separable_cma",
        "consider_pruned_trials",
    ),
}  # fmt: skip
"""Parameters of each search that learns, by Optuna's names; ``n_candidates`` is of our Gaussian process."""
MOST_TRIALS = 1_000_000
"""Of a run. More would take longer to plan than anybody waits, and have been meant otherwise."""
RESERVED = (
    "trial_id", "state", "reason", "seed", "fold", "seconds", "ranks", "job_id", "node", "error", "run",
    "model",
)  # fmt: skip
"""Columns of every table, which no hyperparameter may be named after."""
SHARED = ("scale", "loss", "metrics", "dtype")
"""Fixed hyperparameters that hold for baselines, too: how data are scaled and results measured."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Search(_Entry):
    """How the points are chosen.

    Attributes:
        method: a name of ``sweeps.searches.SEARCHES`` or of ``sweeps.searches.ADAPTIVE``.
        trials: how many points, for methods that draw them.
        seed: of the draws; the seeds of the trials are ``Sweep.seeds``.
        pruner: which rule stops trials early, ``name`` and parameters by Optuna's names; None for none.
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
    runs: Annotated[list[str], BeforeValidator(_listed), Field(alias="from")] = []

    def entries(self) -> dict[str, Any]:
        """As a sweep file has it, without what is left out."""
        given = {
            "method": self.method, "trials": self.trials, "seed": self.seed, "pruner": self.pruner,
            "sampler": self.sampler, "timeout_min": self.timeout_min, "from": self.runs,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value not in (None, {}, [])}


class Budget(_Entry):
    """What a sweep may cost; what is left out has no limit.

    Attributes:
        node_hours: of all jobs together.
        core_hours: likewise.
        gpu_hours: likewise.
    """

    node_hours: Annotated[float, Field(gt=0)] | None = None
    core_hours: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None

    def entries(self) -> dict[str, float]:
        """The limits by their names."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Confirm(_Entry):
    """The best points are trained again with seeds that the search has not seen.

    Attributes:
        best: how many points.
        seeds: with how many seeds each.
    """

    best: Annotated[int, Field(ge=1)]
    seeds: Annotated[int, Field(ge=1)]


class Objective(_Entry):
    """What a good trial is.

    Attributes:
        metric: the name of a metric as Keras logs it; ``val_`` means on the validation data.
        mode: ``min`` or ``max``; where it is left out that of :func:`hpc.sweeps.modes.mode_of`.
    """

    metric: str = "val_loss"
    mode: Literal["min", "max"] = "min"


class Folds(_Entry):
    """Cross-validation: every point is trained once per fold, and validated on that fold.

    What is divided are the samples for training and validation together; never those of the test.

    Attributes:
        n_splits: how many folds, at least 2.
        shuffle: whether the samples are shuffled first; always in the same way.
        stratify: whether each fold has the same share of every class.
    """

    n_splits: Annotated[int, Field(ge=2)]
    shuffle: bool = False
    stratify: bool = False


def _folds(value: object) -> object:
    return {"n_splits": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _baselines(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of models; write [knn] or [{{model: knn, n_neighbors: 3}}]")
    baselines = [_named(entry, "model") for entry in value]
    for baseline in baselines:
        if not isinstance(baseline, Mapping) or not isinstance(baseline.get("model"), str):
            raise ValueError(f"{baseline!r} names no model; write {{model: knn, n_neighbors: 3}}")
    return [dict(baseline) for baseline in baselines if isinstance(baseline, Mapping)]


def _named(value: object, key: str) -> object:
    return {key: value} if isinstance(value, str) else value


def _objective(value: object) -> object:
    value = _named(value, "metric")
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


def _seeds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"{value} is not a number of seeds; every point needs at least 1")
        if value > MOST_TRIALS:
            raise ValueError(f"{value:,} seeds are more than the {MOST_TRIALS:,} trials that a run may have")
        return list(range(value))
    if not isinstance(value, list) or not value:
        raise ValueError(f"{value!r} is neither a number of seeds (seeds: 3) nor a list of them")
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise ValueError(f"{seed!r} is not a seed; seeds are whole numbers from 0 to 2**31 - 1")
    if len(set(value)) < len(value):
        raise ValueError(f"{value} holds a seed twice")
    return value


def _constraints(value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{value!r} is no list of conditions; write ['parameters <= 100000']")
    for one in value:
        expression.check(one)
    return value


def _pack(value: object) -> object:
    if value is False:  # `off` in YAML
        return "off"
    if value not in ("auto", "off") and (not isinstance(value, int) or value is True or value < 1):
        raise ValueError(f"{value!r} is neither auto, nor off, nor a number of trials at once")
    return "off" if value == 1 else value


def _data(value: object) -> object:
    value = _named(value, "name")
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError(
            f"{value!r} names no dataset; write `data: digits`, `data: my.csv` or `data: {{name: mnist, …}}`"
        )
    return dict(value)


class Sweep(_Entry):
    """One experiment: a model, a dataset, a search space, a way to search it, an objective.

    Attributes:
        name: of the sweep and, unless another is given, of the folder of its run.
        model: a name of ``models``, ``file.py:function`` or ``package.module:function``.
        data: ``name`` likewise, and the options of the dataset.
        space: the values each hyperparameter may take.
        fixed: hyperparameters that are the same in all trials.
        search: grid, random, …
        seeds: every point is tried once with each.
        folds: for cross-validation: every point is trained once with each fold left out.
        baselines: further models, each with its hyperparameters, that are trained on the same data
            with the same seeds and folds, to compare with.
        objective: which metric to judge by; of several the first.
        further_objectives: the others of a list of objectives. Not for users.
        constraints: conditions on hyperparameters, and on ``parameters`` (the number of a model's
            trainable weights); points of which one is not true are skipped.
        budget: what the sweep may cost: no trial is begun that would go over it.
        confirm: the best points are trained again with fresh seeds, by which the winner is named.
        keep: whose trained models are kept: those of no trials, of the best one of each worker, or
            of all.
        pack: how many trials of equal shapes a rank may train at once: as many as pay, so many, or
            off for one at a time.
        defaults: values of everything the file leaves open, filled in when the run began, so
            that a later version of this project finishes it as it started. Not for users.
        code_folder: where the sweep file lay, from which modules of the user's are looked for. Not for
            users.
        names: by which files count in the names of trials, of those that are stored with a folder
            which would make it another. Not for users.
    """

    name: str
    model: str
    data: Annotated[dict[str, Any], BeforeValidator(_data)]
    space: dict[str, Annotated[Dimension, BeforeValidator(dimension)]] = {}
    fixed: dict[str, Any] = {}
    search: Annotated[Search, BeforeValidator(lambda value: _named(value, "method"))] = Search()
    seeds: Annotated[list[int], BeforeValidator(_seeds)] = [0]
    folds: Annotated[Folds, BeforeValidator(_folds)] | None = None
    baselines: Annotated[list[dict[str, Any]], BeforeValidator(_baselines)] = []
    objective: Annotated[Objective, BeforeValidator(_objective)] = Objective()
    further_objectives: list[Annotated[Objective, BeforeValidator(_objective)]] = []
    constraints: Annotated[list[str], BeforeValidator(_constraints)] = []
    budget: Budget | None = None
    confirm: Confirm | None = None
    keep: Literal["none", "best", "all"] = "best"
    pack: Annotated[int | Literal["auto", "off"], BeforeValidator(_pack)] = "auto"
    defaults: dict[str, Any] = {}
    code_folder: str = ""
    names: dict[str, str] = {}

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))
    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="before")
    @classmethod
    def _split_objectives(cls, entries: Any) -> Any:
        """A list of objectives: the first, and the others."""
        if isinstance(entries, Mapping) and isinstance(entries.get("objective"), list):
            first, *others = entries["objective"] or [None]
            return {**entries, "objective": first, "further_objectives": others}
        return entries

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All of them, the first first."""
        return (self.objective, *self.further_objectives)

    @property
    def is_adaptive(self) -> bool:
        """Whether points are only known when they are asked for."""
        return self.search.method in ADAPTIVE

    @property
    def is_asked(self) -> bool:
        """Whether workers ask for one trial after another, and not each for its share beforehand."""
        search = self.search
        return bool(
            self.is_adaptive or search.pruner or search.timeout_min or self.budget or self.confirm
            or self.weighs
        )  # fmt: skip

    @property
    def weighs(self) -> bool:
        """Whether a constraint is on the number of weights, which only a model that is built can tell."""
        return any("parameters" in expression.names(one) for one in self.constraints)

    @property
    def size(self) -> int:
        """How many trials there are to be, those of the confirmation included."""
        size = (self.search.trials or 0) if self.is_adaptive else len(self.trials)
        return size + (self.confirm.best * self.confirm.seeds if self.confirm else 0)

    @property
    def fresh_seeds(self) -> list[int]:
        """Seeds for the confirmation, which no trial before has had."""
        first = max(self.seeds) + 1
        return list(range(first, first + self.confirm.seeds)) if self.confirm else []

    def alone(self, trial: Trial, **entries: Any) -> Sweep:
        """A sweep of one trial of this one, with no search, folds, baselines or limits.

        Args:
            trial: whose hyperparameters and seed it has.
            entries: that are to be otherwise.
        """
        mine = self.entries()
        for name in ("folds", "baselines", "constraints", "budget", "confirm"):
            mine.pop(name, None)
        mine |= {"fixed": trial.params, "space": {}, "search": "grid", "seeds": [trial.seed]}
        return parse({**mine, "objective": "loss", "keep": "none", **entries}, self.folder)

    @property
    def first_trial(self) -> Trial:
        """A trial to try things with: the first; of a search that learns one that is drawn at random."""
        if not self.is_adaptive:
            return self.trials[0]
        points = SEARCHES["random"].points(self.space, 1, self.search.seed)
        return self.trial(next(iter(points)), self.seeds[0], 0)

    def allows(self, params: Mapping[str, Any], **facts: float) -> str:
        """The constraint that a point does not keep; empty if it keeps all that can be told.

        Args:
            params: the hyperparameters.
            facts: ``parameters``, if that is known.

        Raises:
            SweepError: one can't be told of the point.
        """
        known = {**self.defaults, **params, **facts}
        for index, one in enumerate(self.constraints):
            named = {name: known[name] for name in expression.names(one) if name in known}
            try:
                if len(named) == len(expression.names(one)) and not expression.holds(one, named):
                    return one
            except ValueError as error:
                raise SweepError(self.problem(("constraints", index), f"{error}.")) from None
        return ""

    def trial(self, point: Mapping[str, Any], seed: int, index: int, fold: int | None = None) -> Trial:
        """A trial of the sweep's own model.

        Args:
            point: values of the space; those of ``fixed`` come with it.
            seed: of it.
            index: among the trials of the run.
            fold: left out, if there are any.
        """
        params = {**self.fixed, **point}
        name = self._trial_id(self.model, params, seed, fold)
        return Trial(index, name, params, seed, self.model, fold)

    @property
    def folder(self) -> Path:
        """Where ``file.py:function`` is looked for: the folder of the sweep file."""
        return self._folder

    def problem(self, key: Key, message: str) -> str:
        """A sentence about one entry, led by the file and line where it stands."""
        return self._document.problem(key, message)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All trials: every point with the first seed and fold, then with the second fold, …

        Those of the baselines come after all others. Of a search that learns there are none beforehand.
        """
        points = [(self.model, {**self.fixed, **point}) for point in self._points()]
        shared = {name: self.fixed[name] for name in SHARED if name in self.fixed}
        others: list[tuple[str, dict[str, Any]]] = []
        for baseline in self.baselines:
            own = {name: value for name, value in baseline.items() if name != "model"}
            others.append((baseline["model"], {**shared, **own}))
        trials: list[Trial] = []
        for group in (points, others):
            for seed, fold in product(self.seeds, self._fold_numbers()):
                for model, params in group:
                    name = self._trial_id(model, params, seed, fold)
                    trials.append(Trial(len(trials), name, params, seed, model, fold))
        return tuple(trials)

    def recognize(self, trial: Trial) -> Trial:
        """A trial that was told by another process, with its model as this sweep names it.

        Only the trial is hashed, not all of the sweep's.

        Raises:
            SweepError: by this sweep it would have another id.
        """
        for model in dict.fromkeys([self.model, *(baseline["model"] for baseline in self.baselines)]):
            if self._trial_id(model, trial.params, trial.seed, trial.fold) == trial.trial_id:
                return replace(trial, model=model)
        name = self._trial_id(trial.model or self.model, trial.params, trial.seed, trial.fold)
        raise SweepError(
            f"the sweep of {self.folder} calls {name} what is to be trained as {trial.trial_id}: it is that "
            "of another run, or of another version."
        )

    def _trial_id(self, model: str, params: Mapping[str, Any], seed: int, fold: int | None) -> str:
        return trial_id(self._name_of(model), self._data_facts(), params, seed, self._fold_facts(fold))

    def _data_facts(self) -> dict[str, Any]:
        return {**self.data, "name": self._name_of(self.data["name"])}

    def _name_of(self, reference: str) -> str:
        return self.names.get(reference) or reference_name(reference)

    def _fold_numbers(self) -> list[int | None]:
        return [None] if self.folds is None else list(range(self.folds.n_splits))

    def _fold_facts(self, fold: int | None) -> dict[str, Any] | None:
        return None if self.folds is None else {**self.folds.model_dump(), "fold": fold}

    def _points(self) -> Iterator[dict[str, Any]]:
        if self.is_adaptive:
            return
        search = SEARCHES[self.search.method]
        found = search.points(self.space, self.search.trials, self.search.seed)
        yield from (point for point in found if not self.allows({**self.fixed, **point}))

    def entries(self) -> dict[str, Any]:
        """The sweep as plain values, defaults filled in, as :func:`parse` takes it."""
        model, data = self.model, dict(self.data)
        data["name"] = _absolute(data["name"], self._folder)
        search = self.search.entries()
        if self.search.runs:
            search["from"] = [str(self._folder / Path(one).expanduser()) for one in self.search.runs]
        objectives = [{"metric": one.metric, "mode": one.mode} for one in self.objectives]
        further: dict[str, Any] = {}
        if self.constraints:
            further["constraints"] = list(self.constraints)
        if self.budget is not None:
            further["budget"] = self.budget.entries()
        if self.confirm is not None:
            further["confirm"] = self.confirm.model_dump()
        if self.folds is not None:
            further["folds"] = self.folds.model_dump()
        if self.baselines:
            further["baselines"] = [
                {**baseline, "model": _absolute(baseline["model"], self._folder)}
                for baseline in self.baselines
            ]
        given = [model, self.data["name"], *(baseline["model"] for baseline in self.baselines)]
        names = {_absolute(one, self._folder): self._name_of(one) for one in given}
        names = {one: name for one, name in names.items() if name != reference_name(one)}
        if names:
            further["names"] = names
        return {
            "name": self.name,
            "model": _absolute(model, self._folder),
            "data": data,
            "space": {name: choice.as_written() for name, choice in self.space.items()},
            "fixed": self.fixed,
            "search": search,
            "seeds": list(self.seeds),
            **further,
            "objective": objectives if self.further_objectives else objectives[0],
            "keep": self.keep,
            "pack": self.pack,
            "defaults": self.defaults,
            **({"code_folder": str(self._folder)} if self._is_of_users else {}),
        }

    @property
    def _is_of_users(self) -> bool:
        """Whether code or data of the user's are named."""
        names = [self.model, self.data["name"], *(baseline["model"] for baseline in self.baselines)]
        return any(":" in name or names_a_file(name) for name in names)

    def as_yaml(self) -> str:
        """The sweep as a file that :func:`load` reads back to the same trials."""
        return write(self.entries())

    def differences(self, other: Sweep) -> list[str]:
        """What makes two sweeps different experiments, one sentence each.

        Their names don't count, nor do the models they keep, how many trials are trained at once, and what
        they may cost.
        """
        mine, its = self._identity(), other._identity()
        found: list[str] = []
        for key in {**mine, **its}:
            if mine.get(key) != its.get(key):
                found.extend(_differences(key, mine.get(key), its.get(key)))
        return found

    def data_differences(self, other: Sweep) -> list[str]:
        """What of its data and their options is otherwise in another sweep, one sentence each."""
        return list(_differences("data", self._data_facts(), other._data_facts()))

    def through_links(self) -> Sweep:
        """The sweep with the files that links point to, as earlier versions stored it."""
        entries = self.entries()
        entries["model"] = _real(entries["model"])
        entries["data"]["name"] = _real(entries["data"]["name"])
        for baseline in entries.get("baselines", []):
            baseline["model"] = _real(baseline["model"])
        if self.search.runs:
            entries["search"]["from"] = [str(Path(one).resolve()) for one in entries["search"]["from"]]
        entries.pop("names", None)
        return parse(entries, self._folder)

    def _identity(self) -> dict[str, Any]:
        entries = self.entries()
        entries["model"] = self._name_of(self.model)
        entries["data"]["name"] = self._name_of(self.data["name"])
        for baseline, given in zip(entries.get("baselines", []), self.baselines, strict=True):
            baseline["model"] = self._name_of(given["model"])
        entries["search"].pop("timeout_min", None)
        entries["search"]["from"] = [Path(one).name for one in self.search.runs]
        return {k: v for k, v in entries.items() if k not in _NO_PART_OF_IT}


_NO_PART_OF_IT = ("name", "keep", "pack", "budget", "defaults", "names", "code_folder")


def _differences(key: str, mine: Any, its: Any) -> Iterator[str]:
    if isinstance(mine, dict) and isinstance(its, dict):
        for part in {**mine, **its}:
            if mine.get(part) != its.get(part):
                yield from _differences(f"{key}.{part}", mine.get(part), its.get(part))
    else:
        yield f"{key} is {_shown(mine)}, there {_shown(its)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)


def _absolute(reference: str, folder: Path) -> str:
    """The same, seen from anywhere. Links stay: trials are named by what the user wrote."""
    if not names_a_file(reference):
        return reference
    file, function = place_and_function(reference)
    path = folder / Path(file).expanduser()
    return f"{path}:{function}" if function else str(path)


def _real(reference: str) -> str:
    if not names_a_file(reference):
        return reference
    file, function = place_and_function(reference)
    return f"{Path(file).resolve()}:{function}" if function else str(Path(file).resolve())


def load(path: str | Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read a sweep file.

    Args:
        path: the YAML file.
        overrides: ``dotted.path=value`` texts that replace entries, as ``--set`` does.

    Raises:
        SweepError: with every problem found: file, line, key, value, what would be right.
    """
    path = Path(path)
    document = override(read(path), overrides)
    problems = {
        "defaults": "is written by hpc into the folder of a run; what you want to set goes under fixed.",
        "code_folder": "is written by hpc into the folder of a run; names count from the sweep file.",
        "names": "is written by hpc into the folder of a run.",
    }
    for name, problem in problems.items():
        if name in document.entries:
            raise SweepError(document.problem((name,), problem))
    return _validated(document, path.resolve().parent)


def load_stored(path: str | Path) -> Sweep:
    """Read the ``sweep.yaml`` of a run, with the defaults it was begun with."""
    path = Path(path)
    document = read(path)
    folder = document.entries.get("code_folder") if isinstance(document.entries, dict) else None
    is_there = isinstance(folder, str) and Path(folder).is_dir()
    return _validated(document, Path(str(folder)) if is_there else path.resolve().parent)


def parse(entries: Mapping[str, Any], folder: Path | None = None) -> Sweep:
    """Make a sweep of plain Python values, as a notebook would.

    Args:
        entries: what the YAML file would hold.
        folder: where ``file.py:function`` is looked for; the current folder by default.

    Raises:
        SweepError: as :func:`load`.
    """
    return _validated(of_python(entries), (folder or Path.cwd()).resolve())


def _validated(document: Document, folder: Path) -> Sweep:
    try:
        sweep = Sweep.model_validate(document.entries)
    except ValidationError as error:
        raise SweepError(format_errors(error, document, _WORDING)) from None
    sweep._document = document
    sweep._folder = folder
    problems = list(_problems(sweep)) or list(_repeated(sweep))
    if problems:
        raise SweepError(problems)
    return sweep


_PARTS: dict[str, type[_Entry]] = {
    "search": Search, "objective": Objective, "folds": Folds, "budget": Budget, "confirm": Confirm,
}  # fmt: skip
_EXAMPLES = {"name": "digits-mlp", "model": "mlp", "data": "digits"}


def _locate(key: Key, kind: str) -> Key:
    """The entry of the file that an error is about: objectives are a list there."""
    return ("objective", int(key[1]) + 1, *key[2:]) if key[0] == "further_objectives" else key


def _explain(entry: InvalidEntry) -> str | None:
    """The message about an entry of a sweep, where it is not the usual one."""
    key = entry.key
    if entry.kind == "missing":
        example = _EXAMPLES.get(str(key[-1]))
        return f"is missing, for example `{key[-1]}: {example}`." if example else "is missing."
    if entry.kind == "extra_forbidden":
        part = _PARTS.get(str(key[0]), Sweep) if len(key) > 1 else Sweep
        fields = {field.alias or name: name for name, field in part.model_fields.items()}
        known = [name for name in fields if name not in ("defaults", "names", "further_objectives")]
        return f"is not known here{did_you_mean(key[-1], known)}; known are {', '.join(known)}."
    if entry.kind == "model_type" and key == ("folds",):
        return f"{entry.value!r} is not a whole number, or a group of `name: value` lines."
    return None


_WORDING = Wording(_locate, _explain, {"model_type": "a word, or a group of `name: value` lines"})


def _problems(sweep: Sweep) -> Iterator[str]:
    name_problem = _folder_problem(sweep.name)
    if name_problem:
        yield sweep.problem(("name",), name_problem)
    for name in sweep.space:
        if name in sweep.fixed:
            message = "stands under space and under fixed; a parameter has one place."
            yield sweep.problem(("fixed", name), message)
    for group, names in (("space", sweep.space), ("fixed", sweep.fixed)):
        for name in names:
            if name in RESERVED:
                hint = "; write seeds: 3 at the top level" if name == "seed" else ""
                yield sweep.problem((group, name), f"is a column of every table{hint}.")
    for name, value in sweep.fixed.items():
        if isinstance(value, Mapping):
            message = f"{value} looks like a range; what varies belongs under space."
            yield sweep.problem(("fixed", name), message)
        if isinstance(value, float) and not math.isfinite(value):
            yield sweep.problem(("fixed", name), f"{value} is not finite.")
    for index, baseline in enumerate(sweep.baselines):
        for name in baseline:
            if name in RESERVED and name != "model":
                yield sweep.problem(("baselines", index, name), "is a column of every table.")
        if baseline in sweep.baselines[:index]:
            yield sweep.problem(("baselines", index), "stands there twice.")
    yield from _search_problems(sweep)


def _repeated(sweep: Sweep) -> Iterator[str]:
    """Baselines that are no further trials; a name may stand in a run only once."""
    if not sweep.baselines:
        return
    compared = len(sweep.baselines) * len(sweep.seeds) * len(sweep._fold_numbers())
    first = len(sweep.trials) - compared
    names = {trial.trial_id for trial in sweep.trials[:first]}
    for index in range(len(sweep.baselines)):
        name = sweep.trials[first + index].trial_id
        if name in names:
            yield sweep.problem(("baselines", index), "is a trial that the sweep has already.")
        names.add(name)


def size_problems(sweep: Sweep) -> Iterator[str]:
    """What is wrong with how many trials a sweep makes, told without making them."""
    try:
        points, what = combinations(sweep.space), "a grid of {:,} combinations"
    except ValueError as error:
        yield sweep.problem(("space",), f"{error}.")
        return
    key: Key = ("space",)
    if sweep.is_adaptive or SEARCHES[sweep.search.method].needs_trials:
        points, what, key = sweep.search.trials or 0, "{:,} points", ("search", "trials")
    seeds, folds = len(sweep.seeds), sweep.folds.n_splits if sweep.folds else 1
    number = (points + len(sweep.baselines)) * seeds * folds
    number += sweep.confirm.best * sweep.confirm.seeds if sweep.confirm else 0
    if number <= MOST_TRIALS:
        return
    times = [f"{count:,} {name}" for count, name in ((seeds, "seeds"), (folds, "folds")) if count > 1]
    each = f", each with {' and '.join(times)}," if times else ""
    confirmed = " with those of the confirmation" if sweep.confirm else ""
    would = f" would be {number:,} trials{confirmed}" if number != points else ""
    remedy = "ask for fewer"
    if key == ("space",):
        remedy = "draw some by search: {method: random, trials: 1000}, or give fewer values"
    message = f"{what.format(points)}{each}{would}, and a run may have {MOST_TRIALS:,} trials; {remedy}."
    yield sweep.problem(key, message)


def _search_problems(sweep: Sweep) -> Iterator[str]:
    method, trials = sweep.search.method, sweep.search.trials
    wrong = list(_condition_problems(sweep))
    yield from wrong
    if not wrong and method in (*SEARCHES, *ADAPTIVE):
        wrong = list(size_problems(sweep))
        yield from wrong
    if method in ADAPTIVE:
        yield from _adaptive_problems(sweep, countable=not wrong)
        return
    search: StaticSearch | None = SEARCHES.get(method)
    if search is None:
        names = [*SEARCHES, *ADAPTIVE]
        message = f"there is no search {method!r}{did_you_mean(method, names)}; there are {', '.join(names)}."
        yield sweep.problem(("search",), message)
        return
    for name, choice in sweep.space.items():
        problem = search.problem(choice)
        if problem:
            yield sweep.problem(("space", name), problem + ".")
    if search.needs_trials and trials is None:
        message = f"says not how many trials; write search: {{method: {method}, trials: 20}}."
        yield sweep.problem(("search",), message)
    if not search.needs_trials and trials is not None:
        message = f"{trials} is too much said: {method} tries every combination."
        yield sweep.problem(("search", "trials"), message)
    if not wrong:
        yield from _too_many(sweep)
    for name in ("sampler", "runs"):
        if getattr(sweep.search, name):
            key = "from" if name == "runs" else name
            message = f"is of no effect: {method} learns nothing; {', '.join(ADAPTIVE)} do."
            yield sweep.problem(("search", key), message)
    yield from _asked_problems(sweep)


def _too_many(sweep: Sweep) -> Iterator[str]:
    trials, size = sweep.search.trials, math.prod(choice.size for choice in sweep.space.values())
    if trials is None:
        return
    if size <= 10_000 and (sweep.constraints or any(one.when for one in sweep.space.values())):
        whole = {name: Choices(tuple(_all_of(one)), one.when) for name, one in sweep.space.items()}
        points = SEARCHES["grid"].points(whole, None, 0)
        size = sum(not sweep.allows({**sweep.fixed, **point}) for point in points)
    if trials > size:
        message = f"{trials} different points are asked for, but the space has only {size:.0f}."
        yield sweep.problem(("search", "trials"), message)


def _all_of(dimension: Dimension) -> Iterator[Any]:
    if isinstance(dimension, Choices):
        yield from dimension.values
        return
    yield from map(dimension.at_step, range(int(dimension.size)))


def _condition_problems(sweep: Sweep) -> Iterator[str]:
    before: list[str] = []
    for name, choice in sweep.space.items():
        for other in expression.names(choice.when) if choice.when else []:
            if other not in before:
                there = ", ".join(before) or "none"
                message = (
                    f"when: {choice.when} names {other}, which does not stand before it; there are {there}."
                )
                yield sweep.problem(("space", name), message)
        before.append(name)
    for index, one in enumerate(sweep.constraints):
        for other in expression.names(one):
            known = [*sweep.space, *sweep.fixed, "parameters"]
            if other not in [*known, *sweep.defaults]:
                message = (
                    f"{one!r} names {other!r}{did_you_mean(other, known)}; there are {', '.join(known)}."
                )
                yield sweep.problem(("constraints", index), message)


def _adaptive_problems(sweep: Sweep, *, countable: bool) -> Iterator[str]:
    method = sweep.search.method
    if sweep.search.trials is None:
        message = f"says not how many trials; write search: {{method: {method}, trials: 60}}."
        yield sweep.problem(("search",), message)
    if not sweep.space:
        yield sweep.problem(("space",), f"is empty, so there is nothing for {method} to search.")
    known = SAMPLER_OPTIONS[method]
    for name in sweep.search.sampler:
        if name not in known:
            message = f"is no parameter of {method}{did_you_mean(name, known)}; it has {', '.join(known)}."
            yield sweep.problem(("search", "sampler", name), message)
    if len(sweep.seeds) > 1:
        message = (
            f"{len(sweep.seeds)} seeds for every point would be spent on bad points, too; {method} takes "
            "one, and confirm: {best: 5, seeds: 3} trains the best points again with fresh ones."
        )
        yield sweep.problem(("seeds",), message)
    for part, given in (("folds", sweep.folds), ("baselines", sweep.baselines)):
        if given:
            message = f"go with {', '.join(SEARCHES)}, not with {method}."
            yield sweep.problem((part,), message)
    if countable:
        yield from _too_many(sweep)
    yield from _asked_problems(sweep)
    if method in ("gp", "cmaes") and sweep.further_objectives:
        yield sweep.problem(("objective",), f"are several, which {method} can't search by; tpe can.")


def _asked_problems(sweep: Sweep) -> Iterator[str]:
    if sweep.search.pruner and sweep.further_objectives:
        message = "can't say of several objectives which trial is worse; leave it out, or give one objective."
        yield sweep.problem(("search", "pruner"), message)
    metrics = [one.metric for one in sweep.objectives]
    if len(set(metrics)) < len(metrics):
        yield sweep.problem(("objective",), f"{', '.join(metrics)}: one stands there twice.")
    if sweep.baselines and sweep.is_asked and not sweep.is_adaptive:
        message = (
            "go with a search that needs no pruner, budget, timeout_min, confirm or limit of parameters."
        )
        yield sweep.problem(("baselines",), message)
    if sweep.confirm and sweep.folds:
        yield sweep.problem(("confirm",), "goes with seeds, not with folds.")
    if sweep.budget is not None and not sweep.budget.entries():
        message = "says no limit; write budget: {node_hours: 10}, or gpu_hours, or core_hours."
        yield sweep.problem(("budget",), message)


def _folder_problem(name: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        return None
    return (
        f"{name!r} can't be the name of a folder; use letters, digits, dots, hyphens and underscores, "
        "at most 100, and begin with a letter or digit."
    )
