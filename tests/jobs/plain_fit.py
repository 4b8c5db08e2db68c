"""Plain ``fit``, as the users of tests/trainings call it, in a process that has nothing of this project.

python plain_fit.py OUT NAME…
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

TRAININGS = Path(__file__).resolve().parent.parent / "trainings"


def digest(arrays: list[Any]) -> str:
    import numpy as np

    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def plain(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """The history of one training, whose code is copied there, and a digest of its weights."""
    import keras
    import numpy as np

    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    spec = importlib.util.spec_from_file_location(
        f"plain_{name}", shutil.copy(TRAININGS / f"{name}.py", folder)
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    model, fitted = module.plain(seed)
    keras.config.set_dtype_policy(policy)
    optimizers = {id(one): one for one in [model.optimizer, *vars(model).values()]
                  if isinstance(one, keras.optimizers.Optimizer)}  # fmt: skip
    variables = [*model.weights, *(v for one in optimizers.values() for v in one.variables)]
    history = {
        key: [np.asarray(value, float).tolist() for value in some] for key, some in fitted.history.items()
    }
    return {"history": history, "weights": digest([np.asarray(one) for one in variables])}


def main(out: Path, names: list[str]) -> None:
    """Train, and write what has come of it."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    out.write_text(json.dumps({name: told(name, out.parent) for name in names}))


def told(name: str, folder: Path) -> dict[str, Any]:
    """As :func:`plain`, or why there is none: the others are wanted all the same."""
    try:
        return plain(name, 0, folder)
    except Exception:
        return {"failure": traceback.format_exc()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
