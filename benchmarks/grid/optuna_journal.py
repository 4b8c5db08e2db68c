"""The grid by Optuna: two processes that share a journal."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from task import DROPOUTS, RATES, SIZES, train

SPACE: dict[str, Any] = {"learning_rate": RATES, "hidden_size": SIZES, "dropout": DROPOUTS}


def work(path: str, trials: int) -> None:
    """One process's share."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        return train(**{name: trial.suggest_categorical(name, values) for name, values in SPACE.items()})

    study = optuna.load_study(
        study_name="grid", storage=JournalStorage(JournalFileBackend(path)),
        sampler=optuna.samplers.GridSampler(SPACE, seed=0),
    )  # fmt: skip
    study.optimize(objective, n_trials=trials)


if __name__ == "__main__":
    trials = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "journal")
        study = optuna.create_study(
            study_name="grid", direction="maximize", storage=JournalStorage(JournalFileBackend(path))
        )
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=work, args=(path, trials // 2)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        found = [trial.value for trial in study.trials if trial.value is not None]
    print(max(found), sum(found) / len(found))
