"""The grid by Keras Tuner, in one process."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import keras_tuner
from task import DROPOUTS, RATES, SIZES, train


class Grid(keras_tuner.GridSearch):
    """Each trial is one training."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        hp = trial.hyperparameters
        return -train(
            hp.Choice("learning_rate", list(RATES)),
            hp.Choice("hidden_size", list(SIZES)),
            hp.Choice("dropout", list(DROPOUTS)),
        )


if __name__ == "__main__":
    trials = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        tuner = Grid(max_trials=trials, directory=folder, overwrite=True)
        tuner.search(verbose=0)
        found = [-trial.score for trial in tuner.oracle.get_best_trials(trials)]
    print(max(found), sum(found) / len(found))
