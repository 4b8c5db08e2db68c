"""What a worker records of a user's own model is what their ``fit`` gives, point by point."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.jobs.training.keras_settings import KerasSettings
from tests.jobs.working import carried_out, planned, worker_of
from tests.marks import slow, slow_but

NET = """
import keras
import numpy as np
from keras import layers, ops


def network(input_shape, num_classes, *first):
    return keras.Sequential([keras.Input(input_shape), *first, layers.Dense(num_classes, "softmax")])


def compiled(model, optimizer, loss="sparse_categorical_crossentropy", metrics=("accuracy",)):
    model.compile(optimizer, loss, metrics=list(metrics), jit_compile=False)
    return model


def exempt(input_shape, num_classes, exempt: int = 0):
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    if exempt:
        optimizer.exclude_from_weight_decay(var_names=["kernel", "bias"])
    return compiled(network(input_shape, num_classes, layers.Dense(8, "relu")), optimizer)


def adapted(input_shape, num_classes, clip: float = 1.0):
    norm = layers.Normalization(axis=None)
    norm.adapt(np.minimum(np.linspace(0, 1, 100), clip))
    return compiled(network(input_shape, num_classes, norm), "adam")


def namesake(input_shape, num_classes, alpha: float = 0.1):
    def leaky_relu(x):
        return ops.leaky_relu(x, alpha)
    return compiled(network(input_shape, num_classes, layers.Dense(8, activation=leaky_relu)), "adam")


def averaged(input_shape, num_classes, momentum: float = 0.9):
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=momentum)
    return compiled(network(input_shape, num_classes), optimizer)


def scored(input_shape, num_classes, rate: float = 0.01):
    metrics = ["accuracy", keras.metrics.F1Score(name="f1")]
    loss, optimizer = "categorical_crossentropy", keras.optimizers.Adam(rate)
    return compiled(network(input_shape, num_classes), optimizer, loss, metrics)


def half(input_shape, num_classes, rate: float = 0.01):
    keras.mixed_precision.set_global_policy("mixed_float16")
    return compiled(network(input_shape, num_classes, layers.Dense(8, "relu")), keras.optimizers.Adam(rate))


def contrast(input_shape, num_classes, rate: float = 0.01):
    def loss(y, p):
        p = ops.normalize(p, axis=-1)
        near = ops.matmul(p, ops.transpose(p)) - 1e9 * ops.eye(ops.shape(p)[0])
        same = ops.cast(ops.equal(ops.reshape(y, (-1, 1)), ops.reshape(y, (1, -1))), near.dtype)
        return -ops.sum(same * ops.softmax(near), axis=1)
    return compiled(network(input_shape, num_classes), keras.optimizers.Adam(rate), loss, ())


def popping(input_shape, num_classes, hidden=(8,)):
    first = []
    while hidden:
        first.append(layers.Dense(hidden.pop(0), "relu"))
    return compiled(network(input_shape, num_classes, *first), "adam")
"""
DATA = """
import numpy as np


def load(one_hot: bool = False):
    draw = np.random.default_rng(0)
    y = draw.integers(0, 4, 90)
    x = (draw.normal(size=(90, 6)) + y[:, None]).astype("float32")
    y = np.eye(4, dtype="float32")[y] if one_hot else y
    return (x[:60], y[:60]), (x[60:], y[60:])
"""
CASES: dict[str, tuple[dict[str, list[Any]], dict[str, Any]]] = {
    "exempt": ({"exempt": [0, 1]}, {}),
    "adapted": ({"clip": [1.0, 0.2]}, {}),
    "namesake": ({"alpha": [0.1, 0.9]}, {}),
    "averaged": ({"momentum": [0.9, 0.5]}, {}),
    "scored": ({"rate": [0.01, 0.1]}, {"one_hot": True}),
    "half": ({"rate": [0.01, 0.1]}, {}),
    "contrast": ({"rate": [0.01, 0.1]}, {}),
    "popping": ({"hidden": [[8, 4], [6]], "seed_of": [0]}, {}),
}


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = KerasSettings.now()
    yield
    before.put()


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"of_tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def entries(name: str, space: dict[str, Any], data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "model": f"net.py:{name}",
        "data": {"name": "data.py:load", **data},
        "space": space,
        "fixed": {"epochs": 2, "batch_size": 16, "shuffle": False},
        "objective": "val_loss",
        **more,
    }


def write(folder: Path) -> None:
    (folder / "net.py").write_text(NET)
    (folder / "data.py").write_text(DATA)


@pytest.mark.parametrize("name", slow_but(["exempt"], CASES))
def test_every_point_comes_to_what_fit_comes_to(tmp_path: Path, name: str) -> None:
    """One after the other in one worker: none of them comes to what the one before it came to."""
    import keras

    write(tmp_path)
    space, data = CASES[name]
    space = {key: values for key, values in space.items() if key != "seed_of"}
    settings = KerasSettings.now()
    run = carried_out(tmp_path, entries(name, space, data, seeds=2 if name == "popping" else 1))
    net, load = module(tmp_path / "net.py"), module(tmp_path / "data.py").load
    (x, y), (x_test, y_test) = load(**data)
    losses = []
    for trial in run.trials.values():
        assert (trial.state, trial.attempt.error) == ("finished", "")
        keras.utils.clear_session()
        settings.put()
        keras.utils.set_random_seed(trial.seed)
        given = json.loads(json.dumps({key: trial.params[key] for key in space}))
        model = getattr(net, name)((6,), 4, **given)
        history = model.fit(
            x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, validation_data=(x_test, y_test)
        ).history
        tolerance = 5e-3 if name == "half" else 2e-5
        for key, values in history.items():
            for place, value in np.ndenumerate(values[-1]):
                mine = trial.attempt.metrics["_".join([key, *map(str, place)])]
                assert mine == pytest.approx(float(value), abs=tolerance), (trial.params, key)
        losses.append(trial.attempt.metrics["val_loss"])
        assert trial.params.get("hidden", [1]) != []
    assert len(set(losses)) == len(losses) or name == "averaged"  # whose averages come after the last epoch


def test_a_policy_at_the_top_of_a_file_holds_and_one_of_a_trial_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "net.py").write_text(
        "import keras\nkeras.mixed_precision.set_global_policy('mixed_bfloat16')\n"
        "keras.config.set_epsilon(1e-5)\n"
        "def build(input_shape, num_classes, which: int = 0):\n"
        "    dense = keras.layers.Dense(num_classes, 'softmax')\n"
        "    assert (dense.compute_dtype, keras.config.epsilon()) == ('bfloat16', 1e-5), which\n"
        "    if not which:\n"
        "        keras.config.set_dtype_policy('float64')\n"
        "        keras.config.set_epsilon(1e-3)\n"
        "    return keras.Sequential([keras.Input(input_shape), dense])\n"
    )
    before = KerasSettings.now()
    run = carried_out(tmp_path, entries("build", {"which": [0, 1]}, {}, pack="off"))
    assert [trial.attempt.error for trial in run.trials.values()] == ["", ""]
    assert KerasSettings.now() == before
    (tmp_path / "told").mkdir()
    for name in ("net.py", "data.py"):
        (tmp_path / "told" / name).write_text((tmp_path / name).read_text())
    fixed = {"fixed": {"epochs": 1, "dtype": "float64"}}
    told = carried_out(tmp_path / "told", entries("build", {"which": [1]}, {}, **fixed))
    (trial,) = told.trials.values()
    assert "AssertionError" in trial.attempt.error  # the sweep's dtype counts more than the file's


@pytest.mark.slow
def test_targets_that_are_one_hot_are_classes_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(DATA)
    both = []
    for one_hot in (False, True):
        folder = tmp_path / str(one_hot)
        folder.mkdir()
        (folder / "data.py").write_text(DATA)
        sweep = entries("", {"hidden_size": [4]}, {"one_hot": one_hot}, model="mlp")
        run = carried_out(folder, {**sweep, "objective": "val_accuracy"})
        (trial,) = run.trials.values()
        both.append(trial.attempt.metrics)
        said = [note for note in run.notes if "rows of zeros with a 1" in note]
        assert len(said) == one_hot
    assert both[0] == both[1]
    predicted = tmp_path / "numbers"
    predicted.mkdir()
    (predicted / "data.py").write_text(DATA)
    sweep = entries("", {"hidden_size": [4]}, {"one_hot": True, "classes": False}, model="mlp")
    (trial,) = carried_out(predicted, sweep).trials.values()
    assert "val_mean_absolute_error" in trial.attempt.metrics


def test_data_that_are_others_at_each_call_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(DATA.replace("default_rng(0)", "default_rng()"))
    (tmp_path / "net.py").write_text(NET)
    run = carried_out(tmp_path, entries("adapted", {"clip": [1.0]}, {}))
    assert run.counts()["finished"] == 1
    from hpc.jobs.user_files import SourcesChangedError

    with pytest.raises(SourcesChangedError, match="not those that job test-1-0 has trained on"):
        worker_of(run.folder, "test-2-0")()


@pytest.mark.parametrize("changes", [slow(False), True])
def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path, *, changes: bool) -> None:
    from hpc.jobs.user_files import forget_data
    from hpc.results import Run

    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "k.txt").write_text("1")
    scale = f"float(Path({str(tmp_path / 'k.txt')!r}).read_text()) * y[:, None])"
    (tmp_path / "data.py").write_text("from pathlib import Path\n" + DATA.replace("y[:, None])", scale))
    folder = planned(tmp_path, {**entries("adapted", {"clip": [1.0]}, {}), "fixed": {"epochs": 4}})
    worker_of(folder, "1-0", inject_fault="stop")()
    assert len(list((folder / "checkpoints").iterdir())) == 1
    if changes:
        (tmp_path / "k.txt").write_text("3")
        forget_data(folder)  # as --mixed-code does
    worker_of(folder, "2-0")()
    (trial,) = Run(folder).trials.values()
    assert trial.state == "finished"
    assert (trial.attempt.after is None) == changes
