"""Making what a trial is trained with where that is a function or a program: a call, with nothing loaded."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs.arguments import with_lists
from hpc.jobs.called_rules import OF_FUNCTIONS
from hpc.jobs.options import Options
from hpc.jobs.references import command_of
from hpc.jobs.training import FunctionCall, ProgramCall
from hpc.jobs.training.base import NO_DATA, Training
from hpc.models import signature_of
from hpc.sweeps import Sweep, Trial
from hpc.sweeps.trial import reference_name

if TYPE_CHECKING:
    from hpc.jobs.training import Plan

_OPTIONS = Options()
"""None of ours is an option of such a training."""


class TrialBuilder(ABC):
    """Makes what the trials of a worker are trained with."""

    @abstractmethod
    def training(self, trial: Trial, attempt: int = 1) -> Training:
        """What a trial is trained with.

        Args:
            trial: to train.
            attempt: number of the try, from 1.

        Raises:
            Exception: whatever the user's code raises, or what is wrong with what it gives.
        """

    @abstractmethod
    def is_users_code(self, trial: Trial) -> bool:
        """Whether the model of a trial is a function of the user's."""

    @property
    def packs(self) -> bool:
        """Whether trials may be trained at once."""
        return False

    def lane(self, trial: Trial) -> tuple[Training, Plan | None, bool]:
        """What a trial is trained with that is trained beside others; nothing of it is another's."""
        return self.training(trial), None, False


class CallBuilder(TrialBuilder):
    """Makes calls of the function, or the program, of a sweep.

    Args:
        sweep: of the run, as stored.
        run: its folder.
        function: that the sweep names; None of a program.
        note_hidden: called after each trial, to say which modules were imported in ways that no source shows.
    """

    def __init__(
        self,
        sweep: Sweep,
        run: Path,
        function: Callable[..., Any] | None,
        note_hidden: Callable[[], None] = lambda: None,
    ) -> None:
        self._sweep = sweep
        self._run = run
        self._function = function
        self._signature = signature_of(function) if function is not None else None
        self._objectives = tuple(one.metric for one in sweep.objectives if one.metric != "seconds")
        self._command = command_of(sweep)
        self._patterns = {name: re.compile(one) for name, one in sweep.metrics.items()}
        self._note_hidden = note_hidden

    def is_users_code(self, trial: Trial) -> bool:
        """It always is."""
        return True

    def training(self, trial: Trial, attempt: int = 1) -> Training:
        """The call of a trial."""
        told = (self._run, trial.trial_id, trial.params, trial.seed, self._objectives)
        if self._function is None or self._signature is None:
            call = ProgramCall(*told, self._command, self._patterns, self._sweep.grace_seconds)
            return Training(call, NO_DATA, _OPTIONS)
        self._note_hidden()
        names = self._signature.parameters
        wants = frozenset(name for name in OF_FUNCTIONS if name in names and name not in trial.params)
        arguments = self._arguments(trial.params)
        return Training(
            FunctionCall(*told, reference_name(self._sweep.train), self._function, arguments, wants),
            NO_DATA,
            _OPTIONS,
        )

    def _arguments(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The hyperparameters as the function takes them, its own to do with as it likes."""
        assert self._signature is not None
        given = {**self._sweep.defaults, **params}
        if not self._signature.open and not given.keys() <= self._signature.parameters.keys():
            given = with_lists(given, self._signature)
        if any(isinstance(value, (list, dict)) for value in given.values()):
            return deepcopy(given)
        return given
