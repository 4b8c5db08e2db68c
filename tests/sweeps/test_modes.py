"""Whether less or more of a metric is better."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from hpc import sweeps
from hpc.sweeps import SweepError
from hpc.sweeps.modes import EITHER, MAX, MIN, mode_of, plain

NO_METRICS = ("get", "serialize", "deserialize")


def names_of_keras() -> Iterator[tuple[str, Any]]:
    """Every name that Keras could log a metric or a loss under, and what bears it."""
    import keras
    from keras.src import losses, metrics

    for module in (keras.losses, keras.metrics):
        for name, value in vars(module).items():
            if inspect.isclass(value):
                default = inspect.signature(value).parameters.get("name")
                yield name, value
                if default is not None and isinstance(default.default, str):
                    yield default.default, value
            elif inspect.isfunction(value) and name not in NO_METRICS:
                yield name, value
    for known in (losses.ALL_OBJECTS_DICT, metrics.ALL_OBJECTS_DICT):
        yield from known.items()


def test_of_every_metric_and_loss_of_keras_it_is_known_what_is_better() -> None:
    """If a new one fails here, enter its name in ``sweeps/modes.py``."""
    import keras

    found = dict(names_of_keras())
    assert {"MeanIoU", "mean_io_u", "logcosh", "mape", "KLD", "tversky", "fbeta_score"} <= found.keys()
    for name, value in found.items():
        assert (plain(name) in EITHER) == (mode_of(name) is None), name
        if plain(name) in EITHER:
            continue
        if inspect.isclass(value) and issubclass(value, keras.metrics.Metric):
            its = {"up": "max", "down": "min"}.get(direction(value) or "")
            assert its in (None, mode_of(name)), name
        elif value is not keras.losses.cosine_similarity:  # whose name is also that of a metric
            is_score = any(word in name for word in ("accuracy", "correlation"))
            assert mode_of(name) == ("max" if is_score else "min"), name


def direction(kind: Any) -> str | None:
    """What Keras itself says of a metric, if it does."""
    needed = {"num_classes": 2, "target_class_ids": [0], "fn": abs, "name": "x"}
    needed |= dict.fromkeys(("recall", "precision", "specificity", "sensitivity"), 0.5)
    signature = inspect.signature(kind).parameters
    given = {name: value for name, value in needed.items() if name in signature}
    found: str | None = getattr(kind(**given), "_direction", None)
    return found


def test_no_name_has_two_modes() -> None:
    assert len({*MIN, *MAX, *EITHER}) == len(MIN) + len(MAX) + len(EITHER)


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_mape", "min"),
        ("val_MSE", "min"),
        ("val_kld", "min"),
        ("val_mean_io_u", "max"),
        ("val_binary_io_u_1", "max"),
        ("auc_2", "max"),
        ("val_cosine_similarity", "max"),
        ("loss", "min"),
        ("val_contrastive_loss", "min"),
        ("val_top_1_error", "min"),
        ("val_mean_accuracy", "max"),
        ("parameters", "min"),
        ("seconds", "min"),
        ("val_closeness", None),
        ("val_dice", None),
        ("val_maerz", None),
        ("val_", None),
        ("val_seconds", None),
    ],
)
def test_the_mode_is_that_of_the_whole_name(metric: str, mode: str | None) -> None:
    assert mode_of(metric) == mode


def test_of_an_unknown_name_the_sweep_must_say_it() -> None:
    entries: dict[str, Any] = {"name": "x", "model": "mlp", "data": "digits", "space": {"depth": [1]}}
    said = (
        r"objective: whether less or more of val_dice is better is not known; say so: objective: \{metric: "
    )
    with pytest.raises(SweepError, match=said + r"val_dice, mode: min\}, or mode: max\."):
        sweeps.parse({**entries, "objective": "val_dice"})
    with pytest.raises(SweepError, match=r'^objective\[1\]: .* \(did you mean "val_accuracy"\?\); say so'):
        sweeps.parse({**entries, "objective": ["val_loss", {"metric": "val_acuracy"}]})
    given = sweeps.parse({**entries, "objective": {"metric": "val_dice", "mode": "max"}})
    assert given.objective.mode == "max"
