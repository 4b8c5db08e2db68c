"""Lanes of a pack end as they would alone, whatever they differ in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hpc.jobs.options import options, targets
from hpc.jobs.training.base import BoundaryRequest, Epoch, Lane, Stopped, Trained
from hpc.jobs.training.checkpoint import Position, State
from hpc.jobs.training.graph import train_lanes
from hpc.jobs.training.graphs import Graphs
from hpc.jobs.training.pack import PackError, check_measures, plan
from hpc.models import Dataset, Split
from tests.jobs.networks import ALONE, OF_MODEL, Trial, network
from tests.jobs.rank import made_up
from tests.jobs.working import train

EPOCHS = 4
CASES: dict[str, list[Trial]] = {
    "rates": [{"learning_rate": rate} for rate in (0.001, 0.01, 0.1)],
    "dropout": [{"dropout": rate, "learning_rate": 0.02} for rate in (0.0, 0.2, 0.5)],
    "seeds": [{"dropout": 0.3, "seed": seed} for seed in (0, 1, 2)],
    "input dropout": [{"input_dropout": 0.1, "dropout": 0.2}, {"dropout": 0.3}, {"input_dropout": 0.4}],
    "penalties": [{"l2": 0.01}, {}, {"l1": 0.001, "l2": 0.1, "seed": 3}],
    "momentum": [
        {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "clip_norm": 0.5},
        {"optimizer": "sgd", "learning_rate": 0.2, "momentum": 0.5},
    ],
    "sgd": [{"optimizer": "sgd", "learning_rate": rate} for rate in (0.1, 0.2)],
    "decay": [
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 1.0},
        {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine", "warmup_epochs": 1.0},
    ],
    "cosine": [{"schedule": "cosine", "learning_rate": rate} for rate in (0.01, 0.1)],
    "deep": [{"depth": 3, "activation": "tanh", "dropout": rate, "hidden_size": 9} for rate in (0.1, 0.4)],
    "linear": [{"depth": 0, "learning_rate": rate} for rate in (0.01, 0.1)],
    "squares": [
        {
            "loss": "mean_squared_error",
            "learning_rate": rate,
            "metrics": ["accuracy", "mean_absolute_error", "label_ranking_average_precision"],
        }
        for rate in (0.01, 0.1)
    ],
    "doubles": [{"dtype": "float64", "learning_rate": rate} for rate in (0.01, 0.1)],
}
for name in ("adamax", "nadam", "adadelta", "adagrad", "lion"):
    CASES[name] = [{"optimizer": name, "learning_rate": rate} for rate in (0.001, 0.01)]
CASES["rmsprop"] = [
    {"optimizer": "rmsprop", "learning_rate": rate, "momentum": 0.5} for rate in (0.001, 0.01)
]


def data_of(trial: Trial, model: Any) -> Dataset:
    data = made_up(150, 41, 30, dtype=trial.get("dtype", "float32"))
    parts = data.parts().items()
    chosen = options({name: value for name, value in trial.items() if name not in (*OF_MODEL, "seed")})
    return data.with_parts(
        {name: Split(p.x, targets(p.y, chosen, model, data.num_classes)) for name, p in parts}
    )


def built(trial: Trial) -> tuple[Any, Dataset]:
    import keras

    keras.config.set_dtype_policy(trial.get("dtype", "float32"))
    plain = made_up(150, 41, 30, dtype=trial.get("dtype", "float32"))
    model = network(plain, {"epochs": EPOCHS, **trial})
    return model, data_of(trial, model)


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    yield
    import keras

    keras.config.set_dtype_policy("float32")


def alone(trial: Trial, **further: Any) -> tuple[Trained, list[Epoch]]:
    epochs: list[Epoch] = []
    model, data = built(trial)
    trained = train(
        model, data, ALONE, epochs=EPOCHS, batch_size=32, seed=trial.get("seed", 0), on_epoch=epochs.append,
        **further,
    )  # fmt: skip
    return trained, epochs


def together(
    trials: Sequence[Trial], graphs: Graphs | None = None, **settings: Any
) -> tuple[list[Trained | None], list[list[Epoch]], list[Lane]]:
    models = [built(trial) for trial in trials]
    heard: list[list[Epoch]] = [[] for _ in trials]
    begin = settings.pop("begin", [None] * len(trials))
    saved: list[Callable[[State], None]] = settings.pop("save", [lambda state: None] * len(trials))
    lanes = [
        Lane(model, trial.get("seed", 0), epochs.append, state, save)
        for trial, (model, _), epochs, state, save in zip(trials, models, heard, begin, saved, strict=True)
    ]
    settings = {"epochs": EPOCHS, "batch_size": 32} | settings
    return train_lanes(lanes, models[0][1], ALONE, graphs=graphs, **settings), heard, lanes


def is_close(mine: Trained | None, its: Trained) -> None:
    assert mine is not None
    for one, other in zip(mine.model.weights, its.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=0, atol=1e-5)
    assert list(mine.metrics) == list(its.metrics)
    assert mine.metrics == pytest.approx(its.metrics, abs=1e-5)
    assert mine.confusion == its.confusion


FAST = ("rates",)


@pytest.mark.parametrize(
    "trials",
    [
        pytest.param(trials, id=name, marks=[] if name in FAST else pytest.mark.slow)
        for name, trials in CASES.items()
    ],
)
def test_each_lane_gives_the_result_of_its_solo_run(trials: list[Trial]) -> None:
    trained, heard, _ = together(trials)
    graphs = Graphs()
    for trial, mine, epochs in zip(trials, trained, heard, strict=True):
        its, others = alone(trial, graphs=graphs)
        is_close(mine, its)
        assert [epoch.number for epoch in epochs] == [epoch.number for epoch in others]
        for epoch, other in zip(epochs, others, strict=True):
            assert epoch.metrics == pytest.approx(other.metrics, abs=1e-5)
    different = {tuple(np.ravel(one.model.weights[0])) for one in trained if one}
    assert len(different) == len(trials)  # or the comparison would say nothing


@pytest.mark.slow
def test_lanes_learn_and_are_not_left_as_they_began() -> None:
    trained, heard, _ = together(CASES["rates"])
    for epochs in heard[1:]:
        assert epochs[-1].metrics["loss"] < 0.9 * epochs[0].metrics["loss"]
    assert all(one is not None and one.training_seconds + one.tracing_seconds > 0 for one in trained)


@pytest.mark.slow
def test_packs_of_one_shape_share_their_graphs() -> None:
    graphs = Graphs()
    first = [{"dropout": 0.1, "learning_rate": 0.01}, {"dropout": 0.2, "learning_rate": 0.02}]
    second = [{"dropout": 0.5, "learning_rate": 0.1}, {"dropout": 0.4, "learning_rate": 0.001}]
    together(first, graphs)
    trained, _, _ = together(second, graphs)
    assert graphs.traced == 1
    for trial, mine in zip(second, trained, strict=True):
        is_close(mine, alone(trial)[0])
    together([*second, {"dropout": 0.3, "learning_rate": 0.01}], graphs)
    assert graphs.traced == 2


class Interrupted:
    """Wishes to stop at the boundary of that number, and keeps what is saved there."""

    def __init__(self, lanes: int, boundary: int) -> None:
        self.states: list[State] = []
        self.save = [self.states.append] * lanes
        self._left = boundary

    def wish(self, position: Position) -> BoundaryRequest:
        self._left -= 1
        return BoundaryRequest(stop=self._left == 0)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["seeds", "momentum", "decay"])
def test_a_pack_goes_on_where_it_was_stopped(case: str) -> None:
    trials = CASES[case]
    graphs, other_graphs = Graphs(), Graphs()
    whole, _, _ = together(trials, graphs, stride=3)
    middle = Interrupted(len(trials), boundary=3)  # in the middle of the second epoch
    with pytest.raises(Stopped):
        together(trials, graphs, stride=3, request=middle.wish, save=middle.save)
    states = middle.states
    assert [state.position.epochs for state in states] == [1] * len(trials)
    assert all(state.position.samples > 0 for state in states)
    resumed, _, _ = together(trials, graphs, stride=3, begin=states)
    for before, after in zip(whole, resumed, strict=True):
        assert before is not None
        assert after is not None
        # Weights are kept divided by their rate: on the way through a file they are rounded once.
        is_close(after, before)
    for trial, state, before in zip(trials, states, whole, strict=True):
        assert before is not None
        is_close(
            alone(trial, begin=state, graphs=other_graphs)[0], before
        )  # a lane's checkpoint is that of any trial


@pytest.mark.slow
def test_a_trial_that_was_stopped_alone_goes_on_in_a_pack() -> None:
    trials = CASES["dropout"]
    graphs, states = Graphs(), list[State]()
    for trial in trials:
        middle = Interrupted(1, boundary=3)
        with pytest.raises(Stopped):
            alone(trial, stride=3, request=middle.wish, save=middle.save[0], graphs=graphs)
        states += middle.states
    resumed, _, _ = together(trials, begin=states)
    for trial, after in zip(trials, resumed, strict=True):
        is_close(after, alone(trial, graphs=graphs)[0])


@pytest.mark.slow
def test_states_of_a_lane_are_those_of_the_same_training_alone() -> None:
    for case in ("momentum", "decay", "nadam"):
        trials = CASES[case]
        pack, solo = Interrupted(len(trials), boundary=3), Interrupted(1, boundary=3)
        with pytest.raises(Stopped):
            together(trials, stride=3, request=pack.wish, save=pack.save)
        with pytest.raises(Stopped):
            alone(trials[0], stride=3, request=solo.wish, save=solo.save[0])
        mine, its = pack.states[0], solo.states[0]
        for group, other in ((mine.shared, its.shared), (mine.own[0], its.own[0])):
            assert [array.shape for array in group] == [array.shape for array in other], case
            assert [array.dtype for array in group] == [array.dtype for array in other], case
            for one, two in zip(group, other, strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_lane_that_diverges_ends_and_the_others_go_on() -> None:
    trials: list[Trial] = [
        {"optimizer": "sgd", "learning_rate": rate} for rate in (0.1, 1e30, 0.2, 1e25, 1e28)
    ]
    graphs = Graphs()
    trained, heard, lanes = together(trials, graphs)
    assert [one is None for one in trained] == [False, True, False, True, True]
    assert [lane.failure is None for lane in lanes] == [True, False, True, False, False]
    assert "after epoch" in str(lanes[1].failure)
    assert len(heard[1]) < EPOCHS == len(heard[0])
    assert graphs.traced == 2  # packed anew without those that are over
    for place in (0, 2):
        is_close(trained[place], alone(trials[place])[0])


def test_a_pack_all_of_whose_lanes_diverge_ends() -> None:
    trained, heard, lanes = together(
        [{"optimizer": "sgd", "learning_rate": 1e30}, {"optimizer": "sgd", "learning_rate": 1e29}]
    )
    assert trained == [None, None]
    assert all(lane.failure for lane in lanes)
    assert max(map(len, heard)) < EPOCHS


@pytest.mark.slow
def test_a_pack_is_measured_on_the_test_part_at_the_end() -> None:
    trials = CASES["rates"][:2]
    models = [built(trial) for trial in trials]
    data = models[0][1]
    data = data.with_parts({**data.parts(), "test": made_up(50, 20).train})
    trained = train_lanes(
        [Lane(model, 0) for model, _ in models], data, ALONE, epochs=2, batch_size=32, validation_freq=2
    )
    for (model, _), one in zip(models, trained, strict=True):
        assert one is not None
        its = train(built(trials[models.index((model, _))])[0], data, ALONE, epochs=2, batch_size=32, seed=0)
        assert one.metrics == pytest.approx(its.metrics, abs=1e-5)
        assert "test_loss" in one.metrics
        assert one.confusion["test"] == its.confusion["test"]


@pytest.mark.slow
def test_lanes_that_differ_in_more_than_numbers_are_no_pack() -> None:
    others: list[Trial] = [
        {"hidden_size": 17}, {"activation": "tanh"}, {"optimizer": "sgd"}, {"depth": 2},
        {"schedule": "cosine"}, {"loss": "mean_squared_error"}, {"metrics": ["cosine_similarity"]},
    ]  # fmt: skip
    for other in others:
        with pytest.raises(PackError, match="differ in more than numbers"):
            together([{}, other])


def _difference(y: Any, y_pred: Any) -> Any:
    return y - y_pred


def _more(x: Any) -> Any:
    return x + 1


def test_what_can_not_be_stacked_says_why() -> None:
    import keras

    def refused(*layers: Any, **compiled: Any) -> str:
        model = keras.Sequential([keras.Input((5,)), *layers])
        model.compile(**{"optimizer": "adam", "loss": "mean_squared_error"} | compiled)
        with pytest.raises(PackError) as found:
            plan(model)
        return str(found.value)

    dense, drop = keras.layers.Dense, keras.layers.Dropout
    assert "BatchNormalization" in refused(dense(3), keras.layers.BatchNormalization(), dense(1))
    assert "kernel_constraint" in refused(dense(3, kernel_constraint="non_neg"))
    assert "softmax is within" in refused(dense(3, "softmax"), dense(1))
    assert "not dense" in refused(dense(3), drop(0.5))
    assert "follow each other" in refused(drop(0.5), drop(0.1), dense(3))
    assert "Ftrl" in refused(dense(3), optimizer="ftrl")
    assert "clipvalue" in refused(dense(3), optimizer=keras.optimizers.SGD(clipvalue=1.0))
    assert "averages" in refused(dense(3), optimizer=keras.optimizers.SGD(use_ema=True))
    assert "not of Keras" in refused(dense(3), metrics=[_difference])
    assert "not of Keras" in refused(dense(3, _more))
    assert "has a weight" in refused(dense(3), loss_weights=[0.5])
    decaying = keras.optimizers.AdamW()
    decaying.exclude_from_weight_decay(var_names=["bias"])
    assert "don't decay" in refused(dense(3), optimizer=decaying)
    assert "Flatten" in refused(keras.layers.Flatten(data_format="channels_first"), dense(3))
    rows = keras.Sequential([keras.Input((2, 5)), dense(3)])
    rows.compile("adam", "mean_squared_error")
    with pytest.raises(PackError, match=r"shape \(2, 3\)"):
        plan(rows)
    model = keras.Sequential([keras.Input((5,)), dense(4)])
    model.compile("adam", "mean_squared_error", metrics=[keras.metrics.RootMeanSquaredError()])
    data = Dataset(Split(np.zeros((6, 5), np.float32), np.zeros((6, 4), np.float32)), None, None)
    with pytest.raises(PackError, match="root_mean_squared_error is no mean"):
        train_lanes([Lane(model, 0), Lane(model, 0)], data, ALONE, epochs=1, batch_size=3)
    functional = keras.Model(inputs := keras.Input((5,)), dense(2)(inputs))
    functional.compile("adam", "mean_squared_error")
    with pytest.raises(PackError, match=r"no keras\.Sequential"):
        plan(functional)


def _made(*layers: Any, optimizer: Any = "adam", loss: Any = "sparse_categorical_crossentropy") -> Any:
    import keras

    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def _not_stackable() -> dict[str, Any]:
    import keras

    layers, dense, act = keras.layers, keras.layers.Dense, keras.layers.Activation

    class Floored(keras.optimizers.schedules.CosineDecay):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return keras.ops.maximum(super().__call__(step), 0.3)

    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    last, sgd = {"activation": "softmax"}, keras.optimizers.SGD
    return {
        "penalty on outputs": lambda: _made(
            dense(4), act("relu", activity_regularizer="l2"), dense(5, **last)
        ),
        "penalty on dropout": lambda: _made(layers.Dropout(0.1, activity_regularizer="l2"), dense(5, **last)),
        "two precisions": lambda: _made(dense(4), act("relu", dtype="float64"), dense(5, **last)),
        "a class that is ignored": lambda: _made(dense(5, **last), loss=ignoring),
        "a loss over the batch": lambda: _made(dense(5), loss=keras.losses.Circle()),
        "the same by its name": lambda: _made(dense(5), loss="circle"),
        "a schedule of one's own": lambda: _made(dense(5, **last), optimizer=sgd(Floored(0.1, 9))),
    }


@pytest.mark.parametrize(
    "name",
    [
        "penalty on outputs",
        "penalty on dropout",
        "two precisions",
        "a class that is ignored",
        "a loss over the batch",
        "the same by its name",
        "a schedule of one's own",
    ],
)
def test_what_is_not_the_same_for_each_lane_is_not_stacked(name: str) -> None:
    model, data = _not_stackable()[name](), made_up(20, 0)

    def stack() -> None:
        plan(model)
        check_measures(model, data)

    with pytest.raises(PackError):
        stack()
