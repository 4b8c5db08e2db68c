"""What Keras' own ``fit`` can't be asked for, each said in a sentence before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import sweeps
from hpc.jobs.check import check
from hpc.jobs.collectives.none import NoCollective
from hpc.jobs.collectives.world import World
from hpc.jobs.data.loose import FitData, Part, fit_data, takes_fit
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.options import options
from hpc.jobs.training.base import Training
from hpc.jobs.training.fit_compile import compile_for_fit
from hpc.jobs.training.fit_feeds import feeds_of
from hpc.models import ModelError, SplitOptions
from tests.jobs.fit_trials import with_code

TWO = World(RankInfo(rank=0, size=2), Path(), "", NoCollective())
ONE = World(RankInfo(), Path(), "", NoCollective())


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"callbacks": ["ReduceLROnPlatau"]}, "no callback 'ReduceLROnPlatau' (did you mean \"ReduceLROnPl"),
        (
            {"callbacks": [{"EarlyStopping": {"patiense": 3}}]},
            'patiense is no option of EarlyStopping (did you mean "patience"?); it takes monitor, min_delta',
        ),
        ({"callbacks": ["LearningRateScheduler"]}, "LearningRateScheduler needs schedule; give it as {Lear"),
        ({"callbacks": "EarlyStopping"}, "'EarlyStopping' is no list of callbacks; write [ReduceLROnPlateau"),
        ({"callbacks": [3]}, "3 is neither a callback's name nor one with its options"),
        ({"callbacks": ["called_back.py:notd"]}, "there is no function 'notd' in"),
        ({"callbacks": ["other.py:mine"]}, "there is no file"),
        (
            {"callbacks": [{"LearningRateScheduler": {"schedule": "called_back.py:falen"}}]},
            "there is no function 'falen' in",
        ),
        ({"fixed": {"learning_rate": 0.1}}, "called_back.py:noted needs factor; give it as"),
        (
            {"fixed": {"learning_rate": 0.1, "factor": 0.5, "facter": 1}},
            "is a parameter neither of the model",
        ),
        ({"backend": "keras"}, "'keras' is not 'auto', 'graph' or 'fit'"),
        ({"fixed": {"learning_rate": 0.1, "factor": 0.5, "steps_per_epoch": 0}}, "0 is not a whole number"),
        ({"fixed": {"learning_rate": 0.1, "factor": 0.5, "class_weight": "high"}}, "'high' is not a list of"),
    ],
)
def test_a_sweep_that_fit_can_not_carry_out_is_refused_when_it_is_checked(
    tmp_path: Path, entries: dict[str, Any], said: str
) -> None:
    with pytest.raises(sweeps.SweepError) as refused:
        check(sweeps.parse({**with_code(tmp_path, "called_back"), **entries}, tmp_path), 1)
    assert said in str(refused.value)


def test_callbacks_are_no_entry_of_a_function_or_a_program(tmp_path: Path) -> None:
    entries = {"name": "x", "command": ["true"], "objective": "loss", "callbacks": ["EarlyStopping"]}
    with pytest.raises(sweeps.SweepError, match="are for Keras' fit of a model, and a program has its own"):
        check(sweeps.parse(entries, tmp_path), 1)


X, Y = np.zeros((6, 2), np.float32), np.arange(6) % 2


def streamed(kind: str) -> Any:
    """A pipeline of three batches whose length is known, not known, or that has no end."""
    import tensorflow as tf

    found = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    if kind == "endless":
        return found.repeat()
    return found.filter(lambda x, y: True) if kind == "unknown" else found


def training(train: Any, **chosen: Any) -> Training:
    return Training(None, FitData(Part(train)), options(chosen))


@pytest.mark.parametrize(
    ("kind", "world", "said"),
    [
        ("endless", ONE, "a tf.data.Dataset without end; give steps_per_epoch"),
        (
            "unknown",
            TWO,
            "a tf.data.Dataset of unknown length, and 2 ranks must take equally many steps; give",
        ),
    ],
)
def test_a_pipeline_whose_epochs_have_no_known_end_is_refused(kind: str, world: World, said: str) -> None:
    with pytest.raises(ValueError, match="the data are") as refused:
        feeds_of(training(streamed(kind)), world)
    assert said in str(refused.value)
    assert feeds_of(training(streamed(kind), steps_per_epoch=3), world).train["steps_per_epoch"] == 3
    assert feeds_of(training(streamed("known")), world).train["steps_per_epoch"] is None


def test_a_generator_is_not_gone_through_twice() -> None:
    def batches() -> Any:
        return ((X, Y) for _ in range(3))

    with pytest.raises(ValueError, match="a generator, which can be gone through but once, for 2 epochs"):
        feeds_of(training(batches(), epochs=2), ONE)
    assert feeds_of(training(batches(), epochs=1), ONE).train["x"] is not None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (({"a": X, "b": X[:4]}, Y), "x has 6 samples, x 4"),
        (({"a": X}, Y[:5]), "x has 6 samples, y 5"),
        (({"a": X}, Y, np.ones(3)), "x has 6 samples, the sample weights 3"),
    ],
)
def test_lengths_that_differ_are_refused(value: Any, said: str) -> None:
    assert takes_fit(value)
    with pytest.raises(ModelError, match=said):
        fit_data(value, SplitOptions(), "the dataset mine")


def test_samples_of_a_pipeline_are_not_counted_out() -> None:
    with pytest.raises(ModelError, match=r"3 samples of a tf.data.Dataset can't be taken; let the function"):
        fit_data((streamed("known"), streamed("known")), SplitOptions(train=3), "the dataset mine")


@pytest.mark.parametrize(
    "value", [(X, Y), ((X, Y), (X, Y)), {"train": (X, Y), "validation": (X, Y)}, ([[1.0, 2.0]] * 6, Y)]
)
def test_plain_arrays_are_not_taken_from_the_faster_backend(value: Any) -> None:
    assert not takes_fit(value)


def one_hot(data: FitData, notes: list[str]) -> Any:
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    made = Training(model, data, options({}))
    return compile_for_fit(made, notes.append).model.loss


def test_rows_of_zeros_with_a_one_are_classes_and_a_note_says_so() -> None:
    notes: list[str] = []
    rows = Part(X, np.eye(3, dtype=np.float32)[np.arange(6) % 3], np.ones(6))
    assert one_hot(FitData(rows, rows), notes) == "categorical_crossentropy"
    assert "the targets are rows of zeros with a 1, so that the loss is categorical_crossentropy" in notes[0]
    numbers = replace(rows, y=np.ones((6, 3), np.float32))
    assert one_hot(FitData(numbers, numbers), notes) == "mean_squared_error"
    assert len(notes) == 1


def test_the_loss_of_a_pipeline_is_not_guessed() -> None:
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((X, np.eye(2, dtype=np.float32)[Y])).batch(2)
    with pytest.raises(ValueError, match="may be classes, as rows of zeros with a 1, or numbers to predict"):
        one_hot(FitData(Part(rows)), [])
