"""The grid by Ray Tune, which keeps two actors and gives them one trial after another."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import ray
from ray import tune
from task import DROPOUTS, RATES, SIZES, train


class Trial(tune.Trainable):
    """Trains once, in its only step."""

    def setup(self, config: dict[str, Any]) -> None:
        self.point = config

    def step(self) -> dict[str, Any]:
        return {"val_accuracy": train(**self.point), "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.point = new_config
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    space = {
        "learning_rate": tune.grid_search(list(RATES)),
        "hidden_size": tune.grid_search(list(SIZES)),
        "dropout": tune.grid_search(list(DROPOUTS)),
    }
    if len(sys.argv) > 1 and int(sys.argv[1]) < 36:
        space = {"learning_rate": 0.001, "hidden_size": 32, "dropout": tune.grid_search([0.0, 0.5])}
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            Trial,
            param_space=space,
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=2),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        found = [result.metrics["val_accuracy"] for result in results]
    print(max(found), sum(found) / len(found))
