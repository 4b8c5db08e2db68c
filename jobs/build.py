"""Making what a trial is trained with: the model of the user's function, and the data ready for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hpc.jobs.arguments import OF_MODEL, arguments, asked_names, given_by_name
from hpc.jobs.callbacks import CallbackEntry, CallbackTrial
from hpc.jobs.calling import TrialBuilder
from hpc.jobs.collectives import World, horovod
from hpc.jobs.data import FitData, Preparation
from hpc.jobs.hidden_modules import HiddenModules
from hpc.jobs.options import COMPILED, OF_FIT, Options, make_ready, options
from hpc.jobs.references import model_of
from hpc.jobs.spec import WorkerSpec
from hpc.jobs.training import (
    LANE_NUMBERS,
    Graphs,
    KerasSettings,
    Plan,
    compile_for_fit,
    is_estimator,
    needs_fit,
    plan,
    regresses,
)
from hpc.jobs.training.base import Training
from hpc.jobs.user_files import Sources
from hpc.models import FROM_DATA, Dataset, Importer, signature_of
from hpc.sweeps import Sweep, Trial

MAX_SIBLINGS = 4
"""Models that a worker keeps as the beginnings of further lanes."""


class Builder(TrialBuilder):
    """Builds the trials of one worker.

    Args:
        spec: of the worker.
        sweep: of the run, as stored.
        functions: that build models, by the names that the sweep gives them.
        preparation: of the data.
        importer: of the user's modules.
        sources: the user's files.
        graphs: of earlier trials, which are told that another begins.
        world: the ranks that train together.
        note: hears what a person should know.
        callbacks: of Keras' ``fit``, that the sweep names.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        sweep: Sweep,
        functions: Mapping[str, Callable[..., Any]],
        preparation: Preparation,
        importer: Importer,
        sources: Sources,
        graphs: Graphs,
        world: World,
        note: Callable[[str], None],
        callbacks: Sequence[CallbackEntry] = (),
    ) -> None:
        self._folder = Path(spec.folder)
        self._sweep = sweep
        self._functions = functions
        self._preparation = preparation
        self._graphs = graphs
        self._world = world
        self._note = note
        self._callbacks = callbacks
        # Keras', as the user's files leave them when they are imported. Each trial begins with them.
        self._settings = KerasSettings.now()
        self._siblings: dict[str, tuple[Training, Plan]] = {}
        self._noted: set[str] = set()
        self._hidden = HiddenModules(spec, importer, sources, note)
        self._hidden.tell()

    def options(self, trial: Trial) -> Options:
        """The options of a trial; those of ``fit`` are the model's, if it has arguments of these names."""
        names = signature_of(self._functions[trial.model]).parameters
        given = {**self._sweep.defaults, **trial.params}
        return options({name: v for name, v in given.items() if name not in OF_FIT or name not in names})

    @property
    def packs(self) -> bool:
        """Whether trials may be trained at once: not where all are for Keras' own ``fit``."""
        return not (self._callbacks or self._sweep.backend == "fit" or self._preparation.is_loose)

    def is_users_code(self, trial: Trial) -> bool:
        """Whether the model of a trial is a function of the user's."""
        return model_of(self._sweep, trial.model).is_users_code

    def training(self, trial: Trial, attempt: int = 1) -> Training:
        """Build the model, data and options of a trial.

        Args:
            trial: to train.
            attempt: number of the try, from 1.

        Raises:
            Exception: whatever the user's code raises, or what is wrong with what it gives.
        """
        self._graphs.begin(trial.seed, only_keras=self.packs and not self.is_users_code(trial))
        chosen = self.options(trial)
        self._settings.put(chosen.dtype if "dtype" in trial.params else None)
        prepared = self._preparation.of(trial, chosen.scale)
        for text in prepared.said:
            self._note_once(text)
        model = self._model(trial, chosen, prepared.data)
        callbacks = partial(self._make_callbacks, trial, attempt) if self._callbacks else None
        training = Training(model, prepared.data, chosen, prepared.scaling, callbacks, self._sweep.backend)
        training = self._made_ready(training)
        self._note_idle_ranks(chosen, training.samples)
        self._hidden.tell()
        return training

    def _made_ready(self, training: Training) -> Training:
        """Build the model, compile it, and fit the targets to it, as far as that is not done."""
        model, chosen = training.model, training.options
        if is_estimator(model):
            changes: dict[str, Any] = {"epochs": 0}
            if chosen.loss == "auto" and training.arrays.num_classes is not None and regresses(model):
                changes["loss"] = "mean_squared_error"
            return replace(training, options=chosen.model_copy(update=changes))
        if needs_fit(training):
            return compile_for_fit(training, self._note_once, built=self._sweep.limits_parameters)
        if not model.built:
            model(training.arrays.train.x[:1])  # a subclassed model has its weights after a first call
        return replace(training, data=make_ready(model, training.arrays, chosen))

    def _make_callbacks(self, trial: Trial, attempt: int) -> list[Any]:
        folder, world = self._folder / "trials" / trial.trial_id, self._world
        its = CallbackTrial(
            trial.params, trial.seed, trial.trial_id, attempt, folder, world.rank, world.size,
            world.info.local_rank,
        )  # fmt: skip
        names = [*self._sweep.dimensions, *self._sweep.fixed, *OF_MODEL]
        known = given_by_name(names, self._sweep, trial, {"rank": world.rank, "size": world.size})
        return [one for entry in self._callbacks for one in entry.make(its, known)]

    def lane(self, trial: Trial) -> tuple[Training, Plan | None, bool]:
        """Build a trial that is trained beside others.

        It may do with the model of another that has the same weights, which is built but once.

        Returns:
            Also the plan of its model, if it is known, and whether the model is another trial's.
        """
        chosen = self.options(trial)
        key = self._sibling_key(trial, chosen)
        if key is not None and key in self._siblings:
            training, its_plan = self._siblings[key]
            mine = its_plan.with_numbers({**self._sweep.defaults, **trial.params}, chosen)
            return replace(training, options=chosen), mine, True
        training = self.training(trial)
        if key is None:
            return training, None, False
        mine = plan(training.model)
        while len(self._siblings) >= MAX_SIBLINGS:
            self._siblings.pop(next(iter(self._siblings)))
        self._siblings[key] = training, mine
        return training, mine, False

    def _sibling_key(self, trial: Trial, chosen: Options) -> str | None:
        """The key of trials whose models begin with the same weights; None if that is unknown."""
        if trial.model != self._sweep.model or trial.model not in ("mlp", "linear"):
            return None  # a baseline does not have the defaults of the sweep's model
        params = {**self._sweep.defaults, **trial.params}
        numbers = [*LANE_NUMBERS, "learning_rate", "weight_decay", "clip_norm"]
        numbers += ["momentum"] if chosen.optimizer == "sgd" else []
        rest = {name: value for name, value in params.items() if name not in numbers}
        given = [name for name in numbers if params.get(name)]
        return repr((trial.model, trial.seed, trial.fold, sorted(rest.items()), given))

    def _model(self, trial: Trial, chosen: Options, data: Dataset | FitData) -> Any:
        """The model of a trial: of Keras, or an estimator of scikit-learn."""
        import keras

        params, build = trial.params, self._functions[trial.model]
        signature = signature_of(build)
        given = arguments(signature, self._sweep, trial)
        wanted = {name: getattr(data, name) for name in FROM_DATA if name in signature.parameters}
        asked = [name for name in asked_names(signature, {**given, **wanted}) if name in OF_MODEL]
        known = {"rank": self._world.rank, "size": self._world.size, **_steps(chosen, data)}
        model = build(**given, **wanted, **given_by_name(asked, self._sweep, trial, known))
        if is_estimator(model):
            return model
        if not isinstance(model, keras.Model):
            raise TypeError(
                f"{trial.model} returned {type(model).__name__}, neither a keras.Model nor an estimator of "
                "scikit-learn"
            )
        if model.compiled:
            unused = [name for name in params if name in COMPILED and name not in signature.parameters]
            if unused:
                raise ValueError(
                    f"{trial.model} returned a compiled model, so the sweep's {', '.join(unused)} "
                    "would be of no effect; return the model uncompiled, or take them as arguments"
                )
            if horovod.unwrap(model.optimizer):
                self._note_once(
                    "hvd.DistributedOptimizer does nothing under Keras 3 and is left out: gradients are "
                    "reduced by hpc-sweeps, as sums over the global batch"
                )
        return model

    def _note_idle_ranks(self, chosen: Options, samples: int) -> None:
        batch = chosen.global_batch(samples)
        if batch < self._world.size and chosen.epochs and "idle" not in self._noted:
            self._noted.add("idle")
            self._note(
                f"batch_size={batch} is the batch of all {self._world.size} ranks: some of them only wait"
            )

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)


def _steps(chosen: Options, data: Dataset | FitData) -> dict[str, int]:
    """The steps of an epoch, as ``steps_per_epoch``; none where that is not known beforehand."""
    steps = chosen.steps_per_epoch or chosen.steps(len(data.train)) or getattr(data.train, "batches", 0)
    return {"steps_per_epoch": steps} if steps else {}
