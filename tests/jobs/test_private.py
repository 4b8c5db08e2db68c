"""What Keras and Optuna call private is where this project has found it; each test says what has moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpc.jobs.training import keras_private
from hpc.sweeps.searches import optuna_private


@pytest.fixture
def model() -> Any:
    import keras

    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="deep")], name="inner")
    found = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(1, name="last")])
    found.compile("adam", "mean_squared_error", metrics=["mean_absolute_error"], loss_weights=[2.0])
    found.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    return found


def test_layers_are_found_however_deep(model: Any) -> None:
    names = [layer.name for layer in keras_private.layers_of(model)]
    assert {"inner", "deep", "last", model.name} <= set(names)
    assert model.name not in [layer.name for layer in keras_private.layers_of(model, itself=False)]


def test_what_compile_was_given_is_found(model: Any) -> None:
    names = [metric.name for metric in keras_private.compiled_metrics(model).metrics]
    assert names == ["mean_absolute_error"]
    assert keras_private.loss_tracker(model).name == "loss"
    assert keras_private.loss_weights(model) == [2.0]
    y, y_pred = np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)
    assert float(keras_private.loss_of(model, None, y, y_pred, None)) == 2.0


def test_functions_of_metrics_and_losses_are_found() -> None:
    import keras

    function, further = keras_private.metric_function(keras.metrics.SparseCategoricalCrossentropy(axis=-1))
    assert function is keras.losses.sparse_categorical_crossentropy
    assert further["axis"] == -1
    arguments = keras_private.loss_arguments(keras.losses.Huber(delta=3.0))
    assert arguments is not None
    assert arguments["delta"] == 3.0
    each = keras_private.loss_of_function(keras.losses.mean_squared_error)
    assert each(np.zeros((2, 1)), np.ones((2, 1))).shape == (2,)

    class Own(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return y_pred

    assert keras_private.loss_arguments(Own()) is None


def test_an_optimizer_s_state_of_a_weight_is_found(model: Any) -> None:
    import keras

    optimizer, weight = model.optimizer, model.trainable_variables[1]
    assert float(keras_private.learning_rate(optimizer)) == pytest.approx(0.001)
    assert keras_private.index_of(optimizer, weight) == 1
    first, second = keras_private.adam_moments(optimizer, weight)
    assert first.shape == second.shape == weight.shape
    assert np.any(np.asarray(first))
    assert keras_private.momentums(optimizer)[1] is first
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert keras_private.learning_rate(keras.optimizers.SGD(schedule)) is schedule
    adamw = keras.optimizers.AdamW()
    adamw.exclude_from_weight_decay([weight])
    assert keras_private.key_of(adamw, weight) in adamw._exclude_from_weight_decay


def test_masks_are_left_where_metrics_look() -> None:
    import keras

    found = keras.layers.Masking()(np.array([[[0.0], [1.0]]], np.float32))
    np.testing.assert_array_equal(np.asarray(keras_private.mask_of(found)), [[False, True]])
    other = keras.ops.array([[[1.0], [5.0]]])
    assert keras_private.mask_of(other) is None
    keras_private.put_mask(other, keras.ops.array([[True, False]]))
    model = keras.Sequential([keras.layers.Identity()])
    model.compile(metrics=[keras.metrics.MeanAbsoluteError()])
    model.compute_metrics(None, keras.ops.zeros((1, 2, 1)), other)
    assert float(model.get_metrics_result()["mean_absolute_error"]) == 1.0  # of the first alone


def test_names_and_the_global_seed_begin_anew() -> None:
    import keras

    keras.utils.clear_session()
    first = keras.layers.Dense(1).name
    keras.layers.Dense(1)
    keras_private.forget_names_and_seed()
    assert keras.layers.Dense(1).name == first
    keras.utils.set_random_seed(3)
    before = keras.random.uniform((2,)).numpy()
    keras_private.forget_names_and_seed()
    import random

    random.seed(3)
    np.testing.assert_array_equal(keras.random.uniform((2,)).numpy(), before)


def test_a_study_s_trials_are_read_and_marked() -> None:
    study = optuna.create_study()
    asked = study.ask()
    found = optuna_private.stored(study, asked)
    assert (found.number, found.state) == (asked.number, TrialState.RUNNING)
    optuna_private.set_attribute(study, found, "mark", {"a": 1})
    assert study.trials[0].user_attrs["mark"] == {"a": 1}
    study.add_trial(create_trial(state=TrialState.COMPLETE, value=1.0))
    assert [one.state for one in optuna_private.trials_of(study, (TrialState.COMPLETE,))] == [
        TrialState.COMPLETE
    ]
    assert {"CREATE_TRIAL", "SET_TRIAL_STATE_VALUES"} <= set(optuna_private.JournalOperation.__members__)
