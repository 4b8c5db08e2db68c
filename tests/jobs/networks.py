"""Networks of trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from hpc.jobs.options import compile_model, options
from hpc.models import Dataset, mlp

ALONE = World(RankInfo(), Path(), "")


OF_MODEL = ("hidden_size", "depth", "activation", "dropout", "input_dropout", "l1", "l2", "max_norm")


Trial = dict[str, Any]


def network(data: Dataset, trial: Trial) -> Any:
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(trial.get("seed", 0))
    params = {"hidden_size": 16} | {name: trial[name] for name in OF_MODEL if name in trial}
    model = mlp(data.input_shape, data.output_size, data.num_classes, **params)
    compile_model(model, options(trial), num_classes=data.num_classes, samples=len(data.train))
    return model
