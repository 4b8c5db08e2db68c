"""Proof that two models are the same but for numbers: all that a model holds, walked through and digested.

What Keras writes down of a model (its config) does not say all that a model does: not which weights
are exempt from decay, what a layer has adapted to, what a function of that name computes, or what was
set as an attribute. So the objects themselves are compared: every attribute of every object that a
model leads to. Whatever is not known to be Keras' own proves nothing, and such a model shares no graph.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpc.jobs.training import keras_private

BOOKKEEPING = frozenset({
    # Of Keras' tracking, saving and naming: no graph depends on them.
    "_auto_config", "_build_shapes_dict", "_call_signature", "_called", "_compile_config",
    "_compiled_trainable_state", "_inbound_nodes", "_lock", "_loss_ids", "_loss_tracker", "_nodes",
    "_outbound_nodes", "_parent_path", "_path", "_tracked", "_tracker", "_distribution_strategy",
    "_distribute_strategy", "_obj_type",
    # Wrappers that Keras puts around each layer's methods; what they wrap has run already.
    "build", "quantize",
    # By ``id``, and derived from ``_trainable_variables``.
    "_trainable_variables_indices", "_exclude_from_weight_decay_cache",
})  # fmt: skip
"""Attributes of Keras' objects that say nothing of what is computed."""
COMPILED = {
    "CompileLoss": ("_user_loss", "_user_loss_weights", "output_names"),
    "CompileMetrics": ("_user_metrics", "_user_weighted_metrics", "output_names"),
}
"""Attributes by which such an object builds the rest of itself when the first sample comes."""

Masks = Mapping[tuple[int, str], str]
"""For attributes that count as equal, by the ``id`` of their owner and their name, what stands for them."""


class UnprovedError(Exception):
    """Something is not known to be Keras' own; says what."""


def fingerprint_of(
    parts: Sequence[Any], variables: Sequence[Any], masks: Masks, own: Sequence[Callable[..., Any]] = ()
) -> str:
    """Digest of all that graphs depend on, but for the values of variables and what is masked.

    Args:
        parts: of a model, or the model itself.
        variables: whose values are inputs of the graphs.
        masks: of the numbers that are inputs, too.
        own: functions, beside Keras', that are known to compute the same always.

    Returns:
        Equal for two models only if their graphs are: variables at the same places are of one shape and
        type, and every other value that either leads to is equal.

    Raises:
        UnprovedError: they lead to what is not Keras' own, as a layer or a function of the user's.
    """
    walk = _Walk(variables, masks, own)
    for part in (*parts, _settings()):
        walk.through(part)
    return walk.digest.hexdigest()


def _settings() -> list[Any]:
    """Attributes that the code of Keras and of TensorFlow looks up when it is called."""
    import keras
    import tensorflow as tf

    config = keras.config
    return [
        config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name,
        tf.config.functions_run_eagerly(), tf.config.experimental.tensor_float_32_execution_enabled(),
    ]  # fmt: skip


class _Walk:
    """One walk through all that the parts of a model lead to."""

    def __init__(self, variables: Sequence[Any], masks: Masks, own: Sequence[Callable[..., Any]]) -> None:
        import keras
        import tensorflow as tf

        self.digest = hashlib.blake2b(digest_size=20)
        self._masks = masks
        self._variables = variables
        self._own = own
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is unique only among what lives
        self._variable, self._tensor = keras.Variable, (tf.Tensor, tf.Variable)
        self._dtype, self._shape = tf.DType, tf.TensorShape
        self._unused = {
            # What random numbers began with: they are drawn, or their state is an input of the graph.
            keras.initializers.Initializer: ("seed", "_init_seed"),
            keras.random.SeedGenerator: ("_initial_seed",),
            keras.optimizers.Optimizer: ("name",),
        }
        self._places: dict[int, object] = {id(one): place for place, one in enumerate(variables)}
        self._metric = keras.metrics.Metric

    def through(self, value: Any) -> None:
        """Take in a value and all that it leads to.

        Raises:
            UnprovedError: some of it is not known.
        """
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            if type(value) not in (type(None), bool, int, float, complex, str, bytes):
                self._user(type(value))
            self._say(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._say("again", self._seen[id(value)])
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        self._object(value)

    def _say(self, *words: object) -> None:
        for word in words:
            self.digest.update(f"{word}\0".encode())

    def _object(self, value: Any) -> None:
        kind = type(value)
        if isinstance(value, self._variable):
            self._of_variable(value)
        elif isinstance(value, (list, tuple)):
            self._items(kind, value)
        elif isinstance(value, dict):
            self._items(kind, [part for pair in value.items() for part in pair])
        elif isinstance(value, (set, frozenset)):
            if not all(isinstance(one, str) for one in value):
                raise UnprovedError(f"a set of {', '.join(sorted({type(one).__name__ for one in value}))}")
            self._items(kind, sorted(value))
        elif isinstance(value, (np.ndarray, np.generic, *self._tensor)):
            self._array(value)
        elif isinstance(value, (self._dtype, self._shape, np.dtype, range, slice, re.Pattern, enum.Enum)):
            self._say(kind.__name__, repr(value))
        elif isinstance(value, functools.partial) and kind is functools.partial:
            self._say("partial")
            for part in (value.func, value.args, value.keywords):
                self.through(part)
        elif isinstance(value, types.MethodType):
            self._say("method")
            self.through(value.__func__)
            self.through(value.__self__)
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)):
            self._say(kind.__name__, self._named(value))
        else:
            self._attributes(value)

    def _of_variable(self, value: Any) -> None:
        place = self._places.get(id(value))
        if place is None:
            raise UnprovedError(f"the variable {value.path} is none of the model's")
        self._say("variable", place, value.shape, value.dtype, value.name, value.trainable)
        for name in ("regularizer", "constraint"):
            mark = self._masks.get((id(value), name))
            self._say(mark) if mark else self.through(getattr(value, name, None))
        self._say(getattr(value, "overwrite_with_gradient", None), getattr(value, "autocast", None))

    def _items(self, kind: type, values: Sequence[Any]) -> None:
        if not _is_library(kind):
            self._user(kind)
        self._say(kind.__name__, len(values))
        for one in values:
            self.through(one)

    def _array(self, value: Any) -> None:
        if not hasattr(value, "numpy") and not isinstance(value, (np.ndarray, np.generic)):
            raise UnprovedError("a tensor of a graph")
        try:
            array = np.asarray(value)
        except Exception as error:  # a handle of TensorFlow's, as of a table to look words up in
            raise UnprovedError(f"a {type(value).__name__} without a value") from error
        if array.dtype.hasobject and not all(isinstance(one, (str, bytes)) for one in array.ravel()):
            raise UnprovedError("an array of objects")
        self._say(type(value).__name__, array.dtype, array.shape)
        self.digest.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())

    def _attributes(self, value: Any) -> None:
        kind = type(value)
        self._say("object", self._named(kind))
        entries = getattr(value, "__dict__", None)
        if entries is None:
            raise UnprovedError(f"{kind.__name__}, which can't be looked into")
        if isinstance(value, self._metric):  # set anew before anything is measured
            self._places.update({id(one): "measured" for one in value.variables})
        names: Sequence[str] = COMPILED.get(kind.__name__, ()) or sorted(entries)
        drop = {name for base, some in self._unused.items() if isinstance(value, base) for name in some}
        for name in names:
            if name in BOOKKEEPING or name in drop or name.startswith(("_self_", "_saved_model_", "_call_")):
                continue
            self._say(name)
            mark = self._masks.get((id(value), name))
            if mark is not None:
                self._say(mark)
            elif name == "_exclude_from_weight_decay":
                places = {
                    keras_private.key_of(value, one): place for place, one in enumerate(self._variables)
                }
                self._items(list, sorted(str(places.get(one)) for one in entries[name]))
            else:
                self.through(entries.get(name))

    def _named(self, value: Any) -> str:
        """The name of a class, a function or a module of Keras, TensorFlow, NumPy or Python.

        Raises:
            UnprovedError: it is none, or only bears the name of one.
        """
        if isinstance(value, types.ModuleType):
            if not _is_known(value.__name__):
                self._user(value)
            return value.__name__
        if not any(value is one for one in self._own) and not is_of_a_library(value):
            self._user(value)
        if isinstance(value, type):
            _untouched(value)
        if isinstance(value, types.FunctionType):
            self._say(repr(value.__defaults__), repr(value.__kwdefaults__))
        return f"{value.__module__}.{value.__qualname__}"

    def _user(self, value: Any) -> None:
        raise UnprovedError(f"{getattr(value, '__name__', value)} is not of Keras")


def is_of_a_library(value: Any) -> bool:
    """Whether a class or function is the one of Keras, TensorFlow, NumPy or Python whose name it bears."""
    module, found = getattr(value, "__module__", None) or "builtins", None
    if _is_known(module):
        found = sys.modules.get(module)
        for part in value.__qualname__.split("."):
            found = getattr(found, part, None)
    if found is not value:
        return False
    code: Any = value
    return _is_library_code(code) if isinstance(code, types.FunctionType) else True


KNOWN = ("keras", "tensorflow", "numpy", "builtins", "collections", "functools", "math", "operator")


def _is_known(module: str) -> bool:
    return module.partition(".")[0] in KNOWN


def _is_library(kind: type) -> bool:
    return _is_known(kind.__module__)


_checked: dict[type, tuple[int, ...]] = {}


def _untouched(kind: type) -> None:
    """Make sure that no method of a class of Keras was put in by somebody else.

    Raises:
        UnprovedError: one was.
    """
    if not kind.__module__.startswith("keras"):
        return
    for one in kind.__mro__:
        entries = vars(one)
        now = tuple(map(id, entries.values()))
        if _checked.get(one) == now:
            continue
        for name, value in entries.items():
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            is_function = isinstance(function, types.FunctionType)
            if (is_function and not _is_library_code(function)) or isinstance(function, PARTLY):
                raise UnprovedError(f"{one.__name__}.{name} is not of Keras")
        _checked[one] = now


PARTLY = (functools.partial, functools.partialmethod, types.MethodType)


def _is_library_code(function: types.FunctionType) -> bool:
    """Whether a function was written in a library: ``functools.wraps`` gives others its name and module."""
    module = str(function.__globals__.get("__name__", ""))
    return _is_known(module) or module.partition(".")[0] in sys.stdlib_module_names
