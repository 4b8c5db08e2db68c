"""The sweep file: what is tried, and how its outcome is judged."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from sweeps.document import Document, Key, SweepError, did_you_mean, override, read, write
from sweeps.searches import SEARCHES, StaticSearch
from sweeps.space import Dimension, dimension
from sweeps.trial import Trial, names_a_file, reference_name, trial_id

RESERVED = (
    "trial_id", "state", "reason", "seed", "fold", "seconds", "ranks", "job_id", "node", "error", "run",
    "model",
)  # fmt: skip
"""Columns of every table, which no hyperparameter may be named after."""
SHARED = ("scale", "loss", "metrics", "dtype")
"""Fixed hyperparameters that hold for baselines, too: how data are scaled and results measured."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Search(_Entry):
    """How the points are chosen.

    Attributes:
        method: a name of ``sweeps.searches.SEARCHES``.
        trials: how many points, for methods that draw them.
        seed: of the draws; the seeds of the trials are ``Sweep.seeds``.
    """

    method: str = "grid"
    trials: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class Objective(_Entry):
    """What a good trial is.

    Attributes:
        metric: the name of a metric as Keras logs it; ``val_`` means on the validation data.
        mode: ``min`` or ``max``; guessed from the metric's name where it is left out.
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
    if isinstance(value, Mapping) and "mode" not in value and isinstance(value.get("metric"), str):
        small = ("loss", "error", "mse", "mae", "entropy", "divergence", "hinge")
        least = any(word in value["metric"].lower() for word in small)
        return {**value, "mode": "min" if least else "max"}
    return value


def _seeds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"{value} is not a number of seeds; every point needs at least 1")
        return list(range(value))
    if not isinstance(value, list) or not value:
        raise ValueError(f"{value!r} is neither a number of seeds (seeds: 3) nor a list of them")
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise ValueError(f"{seed!r} is not a seed; seeds are whole numbers from 0 to 2**31 - 1")
    if len(set(value)) < len(value):
        raise ValueError(f"{value} holds a seed twice")
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
        objective: which metric to judge by.
        keep: whose trained models are kept: those of no trials, of the best one of each worker, or
            of all.
        pack: how many trials of equal shapes a rank may train at once: as many as pay, so many, or
            off for one at a time.
        defaults: values of everything the file leaves open, filled in when the run began, so
            that a later version of this project finishes it as it started. Not for users.
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
    keep: Literal["none", "best", "all"] = "best"
    pack: Annotated[int | Literal["auto", "off"], BeforeValidator(_pack)] = "auto"
    defaults: dict[str, Any] = {}

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))
    _folder: Path = PrivateAttr(default_factory=Path.cwd)

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

        Those of the baselines come after all others.
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
                    name = trial_id(model, self.data, params, seed, self._fold_facts(fold))
                    trials.append(Trial(len(trials), name, params, seed, model, fold))
        return tuple(trials)

    def _fold_numbers(self) -> list[int | None]:
        return [None] if self.folds is None else list(range(self.folds.n_splits))

    def _fold_facts(self, fold: int | None) -> dict[str, Any] | None:
        return None if self.folds is None else {**self.folds.model_dump(), "fold": fold}

    def _points(self) -> Iterator[dict[str, Any]]:
        search = SEARCHES[self.search.method]
        return search.points(self.space, self.search.trials, self.search.seed)

    def entries(self) -> dict[str, Any]:
        """The sweep as plain values, defaults filled in, as :func:`parse` takes it."""
        model, data = self.model, dict(self.data)
        data["name"] = _absolute(data["name"], self._folder)
        search = {"method": self.search.method, "trials": self.search.trials, "seed": self.search.seed}
        if self.search.trials is None:
            del search["trials"]
        further: dict[str, Any] = {}
        if self.folds is not None:
            further["folds"] = self.folds.model_dump()
        if self.baselines:
            further["baselines"] = [
                {**baseline, "model": _absolute(baseline["model"], self._folder)}
                for baseline in self.baselines
            ]
        return {
            "name": self.name,
            "model": _absolute(model, self._folder),
            "data": data,
            "space": {name: choice.as_written() for name, choice in self.space.items()},
            "fixed": self.fixed,
            "search": search,
            "seeds": list(self.seeds),
            **further,
            "objective": {"metric": self.objective.metric, "mode": self.objective.mode},
            "keep": self.keep,
            "pack": self.pack,
            "defaults": self.defaults,
        }

    def as_yaml(self) -> str:
        """The sweep as a file that :func:`load` reads back to the same trials."""
        return write(self.entries())

    def differences(self, other: Sweep) -> list[str]:
        """What makes two sweeps different experiments, one sentence each.

        Their names don't count, nor do the models they keep, nor how many trials are trained at once.
        """
        mine, its = self._identity(), other._identity()
        found: list[str] = []
        for key in {**mine, **its}:
            if mine.get(key) != its.get(key):
                found.extend(_differences(key, mine.get(key), its.get(key)))
        return found

    def _identity(self) -> dict[str, Any]:
        entries = self.entries()
        entries["model"] = reference_name(entries["model"])
        entries["data"]["name"] = reference_name(entries["data"]["name"])
        for baseline in entries.get("baselines", []):
            baseline["model"] = reference_name(baseline["model"])
        return {k: v for k, v in entries.items() if k not in ("name", "keep", "pack", "defaults")}


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
    if not names_a_file(reference):
        return reference
    file, colon, function = reference.rpartition(":")
    path = (folder / Path(file if colon else reference).expanduser()).resolve()
    return f"{path}:{function}" if colon else str(path)


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
    if "defaults" in document.entries:
        problem = "is written by hpc into the folder of a run; what you want to set goes under fixed"
        raise SweepError(document.problem(("defaults",), problem + "."))
    return _validated(document, path.resolve().parent)


def load_stored(path: str | Path) -> Sweep:
    """Read the ``sweep.yaml`` of a run, with the defaults it was begun with."""
    path = Path(path)
    return _validated(read(path), path.resolve().parent)


def parse(entries: Mapping[str, Any], folder: Path | None = None) -> Sweep:
    """Make a sweep of plain Python values, as a notebook would.

    Args:
        entries: what the YAML file would hold.
        folder: where ``file.py:function`` is looked for; the current folder by default.

    Raises:
        SweepError: as :func:`load`.
    """
    return _validated(Document(dict(entries)), (folder or Path.cwd()).resolve())


def _validated(document: Document, folder: Path) -> Sweep:
    try:
        sweep = Sweep.model_validate(document.entries)
    except ValidationError as error:
        raise SweepError([_sentence(document, dict(e)) for e in error.errors()]) from None
    sweep._document = document
    sweep._folder = folder
    problems = list(_problems(sweep)) or list(_repeated(sweep))
    if problems:
        raise SweepError(problems)
    return sweep


def _sentence(document: Document, error: dict[str, Any]) -> str:
    """One of pydantic's errors in our words."""
    key: Key = tuple(error["loc"])
    kind, value = error["type"], error["input"]
    if kind == "missing":
        needed = {"name": "digits-mlp", "model": "mlp", "data": "digits"}
        example = needed.get(str(key[-1]))
        shown = f", for example `{key[-1]}: {example}`" if example else ""
        return document.problem(key, f"is missing{shown}.")
    if kind == "extra_forbidden":
        parts: dict[str, type[_Entry]] = {"search": Search, "objective": Objective, "folds": Folds}
        entry = parts.get(str(key[0]), Sweep)
        known = [name for name in entry.model_fields if name != "defaults"]
        return document.problem(
            key, f"is not known here{did_you_mean(key[-1], known)}; known are {', '.join(known)}."
        )
    if kind == "value_error":
        return document.problem(key, str(error["ctx"]["error"]) + ".")
    short = "whole number" if key == ("folds",) else "word"
    wanted = {
        "string_type": "a word",
        "int_type": "a whole number",
        "bool_type": "true or false",
        "dict_type": "a group of `name: value` lines",
        "model_type": f"a {short}, or a group of `name: value` lines",
        "greater_than_equal": f"a number of at least {error.get('ctx', {}).get('ge')}",
        "literal_error": str(error.get("ctx", {}).get("expected")),
    }.get(kind)
    return document.problem(key, f"{value!r} is not {wanted or error['msg']}.")


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


def _search_problems(sweep: Sweep) -> Iterator[str]:
    method, trials = sweep.search.method, sweep.search.trials
    search: StaticSearch | None = SEARCHES.get(method)
    if search is None:
        known = ", ".join(SEARCHES)
        message = f"there is no search {method!r}{did_you_mean(method, SEARCHES)}; there are {known}."
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
    size = math.prod(choice.size for choice in sweep.space.values())
    if search.needs_trials and trials is not None and trials > size:
        message = f"{trials} different points are asked for, but the space has only {size:.0f}."
        yield sweep.problem(("search", "trials"), message)


def _folder_problem(name: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        return None
    return (
        f"{name!r} can't be the name of a folder; use letters, digits, dots, hyphens and underscores, "
        "at most 100, and begin with a letter or digit."
    )
