"""The contract of training backends, and the words that they share with the worker.

A backend trains what it accepts, up to boundaries at which all ranks agree whether to go on; it gives
and takes states, and says what it guarantees. To add one, write a file beside ``graph.py`` and enter it
in ``registry.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from hpc.jobs.training.checkpoint import Position, State

if TYPE_CHECKING:
    import keras

    from hpc.jobs.data import FitData, Scaling
    from hpc.jobs.options import Options
    from hpc.models import Dataset

Metrics = dict[str, float]


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


class UnequalWeightsError(RuntimeError):
    """Ranks that should hold the same weights don't."""


class Stopped(Exception):  # noqa: N818  # not an error: the training goes on later
    """The training was asked to stop, and has left a checkpoint."""


class Pruned(Exception):  # noqa: N818  # not an error: others are better
    """The trial is worse than others, on all ranks after the same epoch."""


@dataclass(frozen=True)
class Training:
    """A trial's model, data and options.

    Attributes:
        model: what the user's function gave: a compiled Keras model, or an estimator of scikit-learn; or
            what is called, a function or a program.
        data: as the model takes them, whole on every rank; ``NO_DATA`` where the training has its own.
        options: of the training.
        scaling: of the data, if they are scaled.
        callbacks: makes those of Keras' ``fit``; None if there are none.
        backend: the name of the one that is to train it; auto for the fastest that can.
    """

    model: Any
    data: Dataset | FitData
    options: Options
    scaling: Scaling | None = None
    callbacks: Callable[[], list[Any]] | None = None
    backend: str = "auto"

    @property
    def arrays(self) -> Dataset:
        """The data where they are arrays of one input and one target.

        Raises:
            TypeError: they are for Keras' own ``fit``.
        """
        from hpc.models import Dataset

        if not isinstance(self.data, Dataset):
            raise TypeError(f"{self.data.name} gives {self.data.kind}, which Keras' own fit alone takes")
        return self.data

    @property
    def samples(self) -> int:
        """The number of training samples; 0 where that is not known."""
        return len(self.data.train)


NO_DATA = cast("Dataset", None)
"""The data of a training that has its own, which no backend of models is ever given."""


@dataclass(frozen=True)
class BoundaryRequest:
    """What a rank would like to happen at the next boundary; what any rank asks for, all do.

    Attributes:
        stop: to write a checkpoint and stop.
        save: to write a checkpoint and go on.
    """

    stop: bool = False
    save: bool = False


@dataclass(frozen=True)
class EpochDecision:
    """The decision after an epoch, the same on all ranks.

    Attributes:
        is_enough: whether the training ends here, as if this were its last epoch.
        is_best: whether it is to end with the weights of this epoch, unless a better one follows.
    """

    is_enough: bool = False
    is_best: bool = False


@dataclass(frozen=True)
class Epoch:
    """The result of one pass over the training data.

    Attributes:
        number: from 1; 0 where nothing is trained.
        metrics: the training metrics over the epoch and the validation metrics after it
            (``val_``), exact over all ranks.
        seconds: since the training began.
        times: of its steps and what they waited for, as ``Clock.take`` gives them; empty unless they are
            asked for.
    """

    number: int
    metrics: Metrics
    seconds: float
    times: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Trained:
    """The result of a whole training.

    Attributes:
        metrics: of the last epoch, and those of the test part after it (``test_``).
        confusion: for the validation and the test part how many samples of each class (row) were
            taken for which (column), shape (classes, classes); empty where numbers are predicted.
        training_seconds: in which its graphs ran; of a pack its share.
        tracing_seconds: in which its graphs were traced; 0 where those of an earlier training fitted.
        make: gives the model that was trained: the one that was given, or one like it of an earlier
            training, or of another lane.
        weights: digest of its weights and its optimizer's variables.
    """

    metrics: Metrics
    confusion: dict[str, list[list[int]]]
    training_seconds: float = field(compare=False)
    tracing_seconds: float = field(compare=False)
    make: Callable[[], keras.Model] = field(compare=False)
    weights: str

    @property
    def model(self) -> keras.Model:
        """With its weights, until the model of another lane is asked for."""
        return self.make()


@dataclass(eq=False)  # each is its own, and is looked for in lists
class Lane:
    """A training, alone or beside others.

    Attributes:
        model: as in ``Training``; the same on all ranks up to its weights, which become those of rank 0.
        seed: of the order of samples and of dropout.
        on_epoch: called on every rank after each epoch that is measured; what it answers, the same
            on all of them, is for trainings that are not in a pack.
        begin: where an earlier training of this model stopped; it then ends with the very weights
            that it would have had, with as many ranks as then; in a pack, up to rounding.
        save: called on rank 0 with a state to keep.
        failure: why it has ended early, if it has.
        plan: of the model in a pack, if it has been made.
        attempt: number of the try, from 1.
        note: hears what a person should know.
        by_sample: whether it is known of the model, its loss and its metrics that what comes of a sample
            does not depend on which others it is measured with.
    """

    model: Any
    seed: int
    on_epoch: Callable[[Epoch], EpochDecision | None] = lambda epoch: None
    begin: State | None = None
    save: Callable[[State], None] = lambda state: None
    failure: DivergedError | None = None
    plan: Any = None
    by_sample: bool = False
    attempt: int = 1
    note: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Guarantees:
    """The guarantees of a backend for every training that it accepts.

    Attributes:
        equal_ranks: N ranks come to what one comes to, up to rounding.
        exact_resume: a training that was stopped ends with the very bits of one that was not.
        mid_epoch: it can stop, and go on, inside an epoch.
        lanes: it trains several at once.
    """

    equal_ranks: bool
    exact_resume: bool
    mid_epoch: bool
    lanes: bool = False


class TrainingBackend(ABC):
    """Trains what it accepts.

    Attributes:
        name: as notes and docs call it.
        guarantees: of every training that it accepts.
    """

    name: ClassVar[str]
    guarantees: ClassVar[Guarantees]

    @abstractmethod
    def accepts(self, training: Training) -> str:
        """Why it can't train that; empty if it can."""

    @abstractmethod
    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        """Train to the end, or to a boundary at which some rank asks to stop.

        Args:
            lanes: what is trained, each with a model of its own; one, unless ``guarantees.lanes``.
            training: the data and the options, which all lanes have in common.
            request: asked on every rank at every boundary.
            stride: steps between two boundaries; as many as take a few seconds unless given.

        Returns:
            What came of each; None of one whose loss was NaN or infinite, which has its ``failure``.

        Raises:
            Stopped: some rank has asked for it, on all ranks at the same step; ``Lane.save`` has the state.
            Exception: whatever the user's code raises, or what makes the training impossible.
        """

    def forget(self) -> None:  # noqa: B027  # most keep nothing
        """Keep nothing of earlier trainings, as after a failure that has cut the ranks' connections."""

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what it holds beside the training; nothing more is trained."""
