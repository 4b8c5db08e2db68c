"""Models of scikit-learn beside the networks: fitted at once, measured in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.options import make_ready
from hpc.jobs.training.base import (
    BoundaryRequest,
    Guarantees,
    Lane,
    Trained,
    Training,
    TrainingBackend,
)
from hpc.jobs.training.checkpoint import Position
from hpc.models import Array, Dataset, Split

if TYPE_CHECKING:
    import keras


class EstimatorBackend(TrainingBackend):
    """Fits an estimator of scikit-learn at once, and measures it as networks are measured.

    Args:
        graph: that measures.
    """

    name = "estimator"
    guarantees = Guarantees(equal_ranks=True, exact_resume=True, mid_epoch=False)

    def __init__(self, graph: TrainingBackend) -> None:
        self._graph = graph

    def accepts(self, training: Training) -> str:
        """Why it can't train that: it is no estimator."""
        if is_estimator(training.model):
            return ""
        return f"{type(training.model).__name__} has no fit(), predict() and get_params()"

    def train(
        self,
        lanes: Sequence[Lane],
        training: Training,
        request: Callable[[Position], BoundaryRequest] = lambda position: BoundaryRequest(),
        stride: int | None = None,
    ) -> list[Trained | None]:
        """Fit one estimator. It has no boundary: a request to stop is heard by the next trial."""
        (lane,) = lanes
        model, data = fit(lane.model, training.arrays)
        data = make_ready(model, data, training.options)
        measured = replace(lane, model=model, begin=None)
        found = self._graph.train([measured], replace(training, model=model, data=data))
        lane.failure = measured.failure
        return [one and replace(one, weights="") for one in found]


def is_estimator(value: object) -> bool:
    """Whether it is an estimator of scikit-learn, or behaves as one."""
    return all(callable(getattr(value, name, None)) for name in ("fit", "predict", "get_params"))


def fit(estimator: Any, data: Dataset) -> tuple[keras.Model, Dataset]:
    """Fit an estimator, and make its scores to be measured as the outputs of a network are.

    Args:
        estimator: of scikit-learn; a regressor on data with classes predicts them one-hot.
        data: samples of any shape, which are flattened.

    Returns:
        A model that gives back what it is given, and data whose inputs are the scores: of shape
        (n, classes) or (n, numbers). Classifiers score by ``predict_proba``, or else by the
        softmax of ``decision_function``.
    """
    import keras

    train = data.train
    estimator.fit(_flat(train.x), _numbers(train.y, data) if regresses(estimator) else train.y)
    classes = data.num_classes
    parts = {name: Split(_scores(estimator, part.x, classes), part.y) for name, part in data.parts().items()}
    width = parts["train"].x.shape[1]
    model = keras.Sequential([keras.Input((width,)), keras.layers.Activation("linear")])
    return model, data.with_parts(parts)


def regresses(estimator: Any) -> bool:
    """Whether it predicts numbers, even where the targets are classes."""
    from sklearn.base import is_classifier

    return not is_classifier(estimator)


def _numbers(y: Array, data: Dataset) -> Array:
    return y if data.num_classes is None else np.eye(data.num_classes)[y]


def _scores(estimator: Any, x: Array, classes: int | None) -> Array:
    x = _flat(x)
    if regresses(estimator):
        scores = np.asarray(estimator.predict(x))
    elif hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(x))
    else:
        decisions = np.asarray(estimator.decision_function(x))
        if decisions.ndim == 1:  # of two classes: how far on the side of the second
            decisions = np.stack([np.zeros_like(decisions), decisions], axis=1)
        powers = np.exp(decisions - decisions.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
    if classes and not regresses(estimator) and scores.shape[1] < classes:  # some had no training samples
        known, scores = scores, np.zeros((len(x), classes))
        scores[:, estimator.classes_] = known
    return scores.reshape(len(x), -1).astype(np.float32)


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)
