"""The parts of a model that is to be a lane of a pack."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.options import OWN_FUNCTIONS, Options
from hpc.jobs.training import keras_private
from hpc.jobs.training.fingerprint import UnprovedError, fingerprint_of
from hpc.models import Array

if TYPE_CHECKING:
    import keras

ELEMENTWISE = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "celu", "mish", "tanh",
    "sigmoid", "hard_sigmoid", "hard_silu", "softplus", "softsign", "exponential",
)  # fmt: skip
"""Activations for which it doesn't matter how outputs are arranged."""

OPTIMIZERS = ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adadelta", "Adagrad", "Lion")
"""Optimizers each of whose steps is the learning rate times what does not depend on it."""

LANE_NUMBERS = ("input_dropout", "dropout", "l1", "l2")
"""Hyperparameters of ``mlp`` and ``linear`` that are numbers in their models, if they are not 0."""


class PackError(ValueError):
    """A model can't be a lane, or not of this pack; says why."""


@dataclass
class Plan:
    """The parts of a model.

    Attributes:
        shapes: all that lanes of one pack must have in common, as JSON.
        dense: the dense layers.
        outputs: for each of them the activations that follow it, itself included.
        dropout: the dropout layer before each dense layer that has one.
        weights: of the model as it begins.
        drop_rates: of the dropout layers.
        drop_states: of their random numbers.
        penalties: L1 and L2 of each dense layer's kernel.
        rate: learning rate, that of the whole of a schedule.
        weight_decay: per step and learning rate.
        clip_norm: greatest norm of the gradient; infinite for none.
        momentum: of SGD.
    """

    model: keras.Model
    shapes: str = ""
    dense: list[Any] = field(default_factory=list)
    outputs: list[list[Any]] = field(default_factory=list)
    dropout: dict[int, Any] = field(default_factory=dict)
    weights: list[Array] = field(default_factory=list)
    drop_rates: dict[int, float] = field(default_factory=dict)
    drop_states: dict[int, Array] = field(default_factory=dict)
    penalties: list[tuple[float, float]] = field(default_factory=list)
    rate: float = 1.0
    weight_decay: float = 0.0
    clip_norm: float = math.inf
    momentum: float = 0.0

    def with_numbers(self, params: Mapping[str, Any], chosen: Options) -> Plan:
        """The plan of a model with the same weights, made with other numbers.

        Args:
            params: hyperparameters of the trial; those of ``LANE_NUMBERS`` are taken.
            chosen: of its training.
        """
        first, others = params.get("input_dropout", 0.0), params.get("dropout", 0.0)
        penalty = float(params.get("l1", 0.0)), float(params.get("l2", 0.0))
        return replace(
            self,
            drop_rates={place: others if place else first for place in self.drop_rates},
            penalties=[penalty for _ in self.penalties],
            rate=chosen.learning_rate or self.rate,
            weight_decay=chosen.weight_decay or self.weight_decay,
            clip_norm=chosen.clip_norm or math.inf,
            momentum=chosen.momentum if chosen.optimizer == "sgd" else 0.0,
        )

    def filled(self, weights: Sequence[Array]) -> keras.Model:
        """The model with the numbers of this plan and these weights."""
        for variable, values in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(values)
        for place, layer in self.dropout.items():
            layer.rate = self.drop_rates[place]
        for layer, numbers in zip(self.dense, self.penalties, strict=True):
            for name, number in zip(("l1", "l2"), numbers, strict=True):
                if hasattr(layer.kernel_regularizer, name):
                    setattr(layer.kernel_regularizer, name, number)
        return self.model


def plan(model: keras.Model) -> Plan:
    """Take a compiled model to pieces.

    Raises:
        PackError: it is not made of what can be stacked.
    """
    import keras

    if type(model) is not keras.Sequential:
        raise PackError(f"{type(model).__name__} is no keras.Sequential")
    found, shapes = Plan(model), []
    for layer in model.layers:
        kind = type(layer)
        if layer.activity_regularizer is not None:
            raise PackError("a layer has an activity_regularizer")
        if kind is keras.layers.Flatten and not found.dense and layer.data_format == "channels_last":
            continue
        if kind is keras.layers.Dropout and layer.noise_shape is None:
            if len(found.dense) in found.dropout:
                raise PackError("two dropout layers follow each other")
            if layer.rate:
                found.dropout[len(found.dense)] = layer
        elif kind is keras.layers.Dense:
            shapes.append(_dense(layer))
            found.dense.append(layer)
            found.outputs.append([layer.activation])
        elif kind is keras.layers.Activation and found.dense and len(found.dense) not in found.dropout:
            shapes.append(["activation", _name(layer.activation)])
            found.outputs[-1].append(layer.activation)
        else:
            raise PackError(f"it has a layer {kind.__name__}, or has it at that place")
    if not found.dense or len(found.dense) in found.dropout:
        raise PackError("its last layer is not dense")
    if len({layer.compute_dtype for layer in model.layers}) > 1:
        raise PackError("its layers compute in several precisions")
    for activations in found.outputs[:-1]:
        for activation in activations:
            if _name(activation) not in ELEMENTWISE:
                raise PackError(f"the activation {_name(activation)} is within the network")
    if len(model.inputs) != 1:
        raise PackError("it has several inputs")
    if len(model.output_shape) != 2:
        raise PackError(f"its outputs have the shape {model.output_shape[1:]}")
    found.weights = [np.array(variable) for variable in model.trainable_variables]
    found.drop_rates = {place: float(layer.rate) for place, layer in found.dropout.items()}
    found.drop_states = {
        place: np.array(layer.seed_generator.state) for place, layer in found.dropout.items()
    }
    penalties = [layer.kernel_regularizer for layer in found.dense]
    found.penalties = [(float(getattr(p, "l1", 0)), float(getattr(p, "l2", 0))) for p in penalties]
    if keras_private.loss_weights(model) is not None:
        raise PackError("its loss has a weight")
    optimizer = _optimizer(found, model.optimizer)
    whole = {
        "input": model.input_shape, "layers": shapes, "optimizer": optimizer, "rest": _rest(model, found),
    }  # fmt: skip
    found.shapes = json.dumps(whole, sort_keys=True)
    return found


def _rest(model: keras.Model, found: Plan) -> str:
    """A fingerprint of the rest of a model, without the numbers that a plan has.

    Raises:
        PackError: it can't be known, since there is code of the user's.
    """
    import keras

    masked: list[tuple[Any, str]] = [(model, "_layers"), (model, "_functional")]
    parts: list[Any] = [model]  # and its layers in order; those without dropout have no such layer
    for layer in model.layers:
        if type(layer) is not keras.layers.Dropout:
            parts.append(layer)
        elif "call" in vars(layer):
            raise PackError("a dropout layer has a call of its own")
    for layer in found.dense:
        masked += [(layer, "kernel_regularizer"), (layer.kernel, "regularizer")]
    optimizer = model.optimizer
    masked += [(optimizer, name) for name in ("weight_decay", "global_clipnorm", "momentum")]
    rate = keras_private.learning_rate(optimizer)  # of a variable the value counts nowhere
    masked += [(rate, name) for name in ("initial_learning_rate", "warmup_target")]
    masks = {(id(owner), name): "a number" for owner, name in masked}
    try:
        return fingerprint_of(parts, [*model.trainable_variables, *optimizer.variables], masks, OWN_FUNCTIONS)
    except UnprovedError as error:
        raise PackError(str(error)) from None


def _dense(layer: Any) -> list[Any]:
    import keras

    for name in ("bias_regularizer", "kernel_constraint", "bias_constraint"):
        if getattr(layer, name) is not None:
            raise PackError(f"a dense layer has a {name}")
    known = (type(None), keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
    if type(layer.kernel_regularizer) not in known:
        raise PackError(f"a dense layer has the penalty {type(layer.kernel_regularizer).__name__}")
    if not layer.trainable or layer.compute_dtype != layer.variable_dtype:
        raise PackError("a dense layer is frozen, or computes in another precision than its weights have")
    return ["dense", layer.units, layer.use_bias, layer.compute_dtype, _name(layer.activation)]


def _name(activation: Any) -> str:
    import keras

    name: str = getattr(activation, "__name__", "")
    if activation is not getattr(keras.activations, name, None):
        raise PackError("an activation is not of Keras")
    return name


def _optimizer(found: Plan, optimizer: Any) -> dict[str, Any]:
    """The settings of an optimizer without its numbers, which are put into the plan."""
    import keras

    kind = type(optimizer)
    if kind.__name__ not in OPTIMIZERS or kind is not getattr(keras.optimizers, kind.__name__):
        raise PackError(f"the optimizer {kind.__name__} does not go with several learning rates")
    config = optimizer.get_config()
    for name in ("clipnorm", "clipvalue", "loss_scale_factor", "gradient_accumulation_steps"):
        if config.pop(name, None) is not None:
            raise PackError(f"its optimizer has {name}")
    if config.get("use_ema"):
        raise PackError("its optimizer averages weights")
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    if any(getattr(optimizer, name, None) for name in names):
        raise PackError("some of its weights don't decay")
    del config["name"]
    found.weight_decay = float(config.pop("weight_decay") or 0.0)
    found.clip_norm = float(config.pop("global_clipnorm") or math.inf)
    if kind is keras.optimizers.SGD:
        found.momentum = float(config["momentum"])
        config["momentum"] = found.momentum > 0
    schedule = keras_private.learning_rate(optimizer)
    if type(schedule) is keras.optimizers.schedules.CosineDecay:
        found.rate = float(schedule.warmup_target or schedule.initial_learning_rate)
        parts = config["learning_rate"]["config"]
        for name in ("initial_learning_rate", "warmup_target"):
            parts[name] = parts[name] and parts[name] / found.rate
    elif isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        if type(schedule).__module__.partition(".")[0] != "keras":
            raise PackError("its learning rate's schedule is not of Keras")
    else:
        found.rate = float(config.pop("learning_rate"))
        config["learning_rate"] = 1.0
    if not found.rate > 0:
        raise PackError("its learning rate is 0")
    return {"class": kind.__name__, **config}
