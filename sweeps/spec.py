"""The entries of a sweep file as models: what is tried, and how its outcome is judged."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from hpc.sweeps import cases, expression, kinds, rules, serialization, shorthands, trials
from hpc.sweeps.document import Document, Key, SweepError, of_python, write
from hpc.sweeps.groups import STRICT, Budget, Confirm, Folds, Objective, Search
from hpc.sweeps.searches import ADAPTIVE
from hpc.sweeps.space import Dimension, dimension
from hpc.sweeps.text import did_you_mean
from hpc.sweeps.trial import Trial
from hpc.sweeps.validation import InvalidEntry, Wording, format_errors

_Objective = Annotated[Objective, BeforeValidator(shorthands.read_objective)]


class Sweep(BaseModel):
    """One experiment: a training, a search space, a way to search it, an objective.

    Its training is a model with a dataset, a function, or a program: ``kind`` says which.

    Attributes:
        name: the name of the sweep and, by default, of the folder of its run.
        model: a name of ``models``, ``file.py:function`` or ``package.module:function``; empty if the
            training is none of a model.
        data: the dataset: its ``name``, as that of a model, and its options; empty likewise.
        train: a function that trains, as ``file.py:function`` or ``package.module:function``; or empty.
        command: a program that trains, and its arguments, in which ``{name}`` stands for a hyperparameter.
        metrics: patterns by which a program's metrics are found in what it prints, by their names.
        grace_seconds: how long a program may take to end when it is asked to.
        space: the values each hyperparameter may take.
        settings: settings that are listed, each with every combination of the space; they count more than
            ``fixed``, and one may have a name under ``case``.
        fixed: hyperparameters that are the same in all trials.
        search: how settings are chosen.
        seeds: every setting is trained once with each seed.
        folds: cross-validation: every setting is trained once with each fold left out.
        baselines: further models, each with its hyperparameters, that are trained on the same data
            with the same seeds and folds, to compare with.
        objective: the metric to compare trials by; the first of several.
        further_objectives: the others of a list of objectives. Not for users.
        constraints: conditions on hyperparameters, and on ``parameters`` (the number of a model's
            trainable weights); a setting that breaks one is skipped.
        budget: the limits of what the sweep may cost: no trial is begun that would go over one.
        confirm: the best settings are trained again with fresh seeds, which decide the winner.
        keep: which trained models are kept: none, that of the best trial of each worker, or all.
        pack: how many trials of equal shapes a rank may train at once: auto for as many as are
            faster, a number, or off for one at a time.
        backend: what trains: auto for the fastest that can, graph, or fit for Keras' own.
        callbacks: of Keras' ``fit``, each a group of its name (Keras', or ``file.py:function``) with options.
        defaults: the values of all options that the file leaves out, stored when the run began, so
            that a later version of this project finishes the run as it started. Not for users.
        code_folder: the folder of the sweep file, where the user's modules are looked for. Not for users.
        names: the names by which files count in trial ids, of files that are stored with a folder that
            would change the id. Not for users.
    """

    model_config = STRICT

    name: str
    model: str = ""
    data: Annotated[dict[str, Any], BeforeValidator(shorthands.read_data)] = {}
    train: str = ""
    command: Annotated[list[str], BeforeValidator(shorthands.read_command)] = []
    metrics: Annotated[dict[str, str], BeforeValidator(shorthands.read_patterns)] = {}
    grace_seconds: Annotated[float, Field(ge=0)] = 30.0
    space: dict[str, Annotated[Dimension, BeforeValidator(dimension)]] = {}
    settings: Annotated[list[dict[str, Any]], BeforeValidator(cases.read_settings)] = []
    fixed: dict[str, Any] = {}
    search: Annotated[Search, BeforeValidator(lambda value: shorthands.as_group(value, "method"))] = Search()
    seeds: Annotated[list[int], BeforeValidator(shorthands.read_seeds)] = [0]
    folds: Annotated[Folds, BeforeValidator(shorthands.read_folds)] | None = None
    baselines: Annotated[list[dict[str, Any]], BeforeValidator(shorthands.read_baselines)] = []
    objective: _Objective = Objective()
    further_objectives: list[_Objective] = []
    constraints: Annotated[list[str], BeforeValidator(shorthands.read_constraints)] = []
    budget: Budget | None = None
    confirm: Confirm | None = None
    keep: Literal["none", "best", "all"] = "best"
    pack: Annotated[int | Literal["auto", "off"], BeforeValidator(shorthands.read_pack)] = "auto"
    backend: Literal["auto", "graph", "fit"] = "auto"
    callbacks: Annotated[list[dict[str, dict[str, Any]]], BeforeValidator(shorthands.read_callbacks)] = []
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

    @classmethod
    def from_document(cls, document: Document, folder: Path) -> Sweep:
        """Make a sweep of the entries of a file.

        Args:
            document: the entries and their lines.
            folder: where ``file.py:function`` is looked for.

        Raises:
            SweepError: with every problem found.
        """
        wrong = list(kinds.problems(document))
        try:
            sweep = cls.model_validate(document.entries)
        except ValidationError as error:
            raise SweepError([*format_errors(error, document, _WORDING), *wrong]) from None
        if wrong:
            raise SweepError(wrong)
        sweep._document = document
        sweep._folder = folder
        if problems := rules.find_problems(sweep):
            raise SweepError(problems)
        return sweep

    @property
    def folder(self) -> Path:
        """Where ``file.py:function`` is looked for: the folder of the sweep file."""
        return self._folder

    def problem(self, key: Key, message: str) -> str:
        """A sentence about one entry, with the file and line where it stands."""
        return self._document.problem(key, message)

    @cached_property
    def dimensions(self) -> dict[str, Dimension]:
        """The hyperparameters that vary and their values: those of ``settings``, then those of ``space``."""
        return {**cases.dimensions(self.settings, self.fixed), **self.space}

    @cached_property
    def case_names(self) -> dict[str, str]:
        """The names of listed settings, by :func:`hpc.sweeps.cases.key_of`."""
        return cases.names_of_cases(self)

    @property
    def kind(self) -> kinds.Kind:
        """The kind of its training."""
        return "program" if self.command else "function" if self.train else "model"

    @property
    def training(self) -> str:
        """The name of what trains: a model, a function, or a program with its arguments."""
        return self.model or self.train or shlex.join(self.command)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All objectives, the first first."""
        return (self.objective, *self.further_objectives)

    @property
    def is_adaptive(self) -> bool:
        """Whether the search learns: settings are only known when they are asked for."""
        return self.search.method in ADAPTIVE

    @property
    def uses_ask_tell(self) -> bool:
        """Whether workers ask for one trial after another and tell the results."""
        search = self.search
        return bool(
            self.is_adaptive or search.pruner or search.timeout_min or self.budget or self.confirm
            or self.limits_parameters
        )  # fmt: skip

    @property
    def limits_parameters(self) -> bool:
        """Whether a constraint limits the number of weights, which is only known once a model is built."""
        limited = any("parameters" in expression.names(one) for one in self.constraints)
        return limited and self.kind == "model"

    @property
    def size(self) -> int:
        """The number of trials, those of the confirmation included."""
        size = (self.search.trials or 0) if self.is_adaptive else len(self.trials)
        return size + (self.confirm.best * self.confirm.seeds if self.confirm else 0)

    @property
    def fresh_seeds(self) -> list[int]:
        """The seeds of the confirmation, which no other trial has."""
        first = max(self.seeds) + 1
        return list(range(first, first + self.confirm.seeds)) if self.confirm else []

    def allows(self, params: Mapping[str, Any], **known: float) -> str:
        """The first constraint that a setting breaks; empty if it breaks none that can be told.

        Args:
            params: the hyperparameters.
            known: further values, as ``parameters``.

        Raises:
            SweepError: one can't be told of the setting.
        """
        values = {**self.defaults, **params, **known}
        for index, one in enumerate(self.constraints):
            named = {name: values[name] for name in expression.names(one) if name in values}
            try:
                if len(named) == len(expression.names(one)) and not expression.holds(one, named):
                    return one
            except ValueError as error:
                raise SweepError(self.problem(("constraints", index), f"{error}.")) from None
        return ""

    def trial(self, setting: Mapping[str, Any], seed: int, index: int, fold: int | None = None) -> Trial:
        """A trial of the sweep's own model.

        Args:
            setting: values of the space; those of ``fixed`` are added.
            seed: of initialization, shuffling and dropout.
            index: among the trials of the run.
            fold: the fold that is left out, if there are any.
        """
        return trials.make_trial(self, setting, seed, index, fold)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, those of the baselines last; empty for an adaptive search."""
        return trials.enumerate_trials(self)

    @property
    def first_trial(self) -> Trial:
        """The first trial; for an adaptive search a setting that is drawn at random."""
        return trials.first_trial(self)

    def recognize(self, trial: Trial) -> Trial:
        """A trial that another process named, with its model as this sweep names it.

        Raises:
            SweepError: this sweep gives the trial another id.
        """
        return trials.recognize(self, trial)

    def single_trial(self, trial: Trial, **entries: Any) -> Sweep:
        """A sweep of one trial of this sweep, with no search, folds, baselines or limits.

        Its trial has another id where this sweep has folds, unless ``folds`` are among the entries.

        Args:
            trial: gives the hyperparameters and the seed.
            entries: replace entries of the new sweep.
        """
        mine = self.entries()
        for name in ("folds", "baselines", "constraints", "budget", "confirm"):
            mine.pop(name, None)
        mine |= {"fixed": trial.params, "space": {}, "settings": [], "search": "grid", "seeds": [trial.seed]}
        mine |= {"objective": "loss", "keep": "none", **entries}
        return Sweep.from_document(of_python(mine), self.folder)

    def require_model(self, what: str) -> Sweep:
        """The same sweep, if a model is trained.

        Args:
            what: is to be done with it, for the message.

        Raises:
            SweepError: it is a function, or a program.
        """
        if self.kind != "model":
            raise SweepError(f"{self.training}: is a {self.kind}, and {what} goes with models only.")
        return self

    def moved(self, before: Path, after: Path) -> Sweep:
        """The same sweep, with the same trial ids, where all files of one folder are in another.

        Args:
            before: the folder that has them.
            after: the folder that is to have them.
        """
        entries = serialization.moved(self, before, after)
        folder = self.folder
        if folder.is_relative_to(before):
            folder = after / folder.relative_to(before)
        return Sweep.from_document(of_python(entries), folder)

    def entries(self) -> dict[str, Any]:
        """The sweep as plain values, defaults filled in, as ``parse`` takes it."""
        return serialization.to_entries(self)

    def as_yaml(self) -> str:
        """The text of a file that ``load`` reads back to the same trials."""
        return write(self.entries())

    def differences(self, other: Sweep) -> list[str]:
        """The entries that make two sweeps different experiments, one sentence each.

        Names, budgets, packs and kept models don't count.
        """
        return serialization.differences(self, other)

    def data_differences(self, other: Sweep) -> list[str]:
        """The entries of ``data`` that differ in another sweep, one sentence each."""
        return serialization.data_differences(self, other)

    def through_links(self) -> Sweep:
        """The sweep with symbolic links followed, as earlier versions stored it."""
        return Sweep.from_document(of_python(serialization.to_linked_entries(self)), self.folder)


_PARTS: dict[str, type[BaseModel]] = {
    "search": Search, "objective": Objective, "folds": Folds, "budget": Budget, "confirm": Confirm,
}  # fmt: skip


def _locate(key: Key, kind: str) -> Key:
    """The entry of the file that an error is about: objectives are a list there."""
    return ("objective", int(key[1]) + 1, *key[2:]) if key[0] == "further_objectives" else key


def _explain(entry: InvalidEntry) -> str | None:
    """The message about an entry of a sweep, where it is not the usual one."""
    key = entry.key
    if entry.kind == "missing":
        example = kinds.EXAMPLES.get(str(key[-1]))
        return f"is missing, for example `{key[-1]}: {example}`." if example else "is missing."
    if entry.kind == "extra_forbidden":
        part = _PARTS.get(str(key[0]), Sweep) if len(key) > 1 else Sweep
        fields = {field.alias or name: name for name, field in part.model_fields.items()}
        known = [name for name in fields if name not in ("defaults", "names", "further_objectives", "only")]
        return f"is not known here{did_you_mean(key[-1], known)}; known are {', '.join(known)}."
    if entry.kind == "model_type" and key == ("folds",):
        return f"{entry.value!r} is not a whole number, or a group of `name: value` lines."
    return None


_WORDING = Wording(_locate, _explain, {"model_type": "a word, or a group of `name: value` lines"})
