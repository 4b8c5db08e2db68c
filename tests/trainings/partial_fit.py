"""An estimator of scikit-learn, fitted piece by piece, with checkpoints."""

from __future__ import annotations

import pickle
from typing import Any


def train(alpha: float, epochs: int, trial: Any) -> None:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier

    x, y = load_digits(return_X_y=True)
    model, begin = SGDClassifier(alpha=alpha, loss="log_loss", random_state=trial.seed), 0
    if trial.restored is not None:
        begin, model = pickle.loads((trial.restored / "model.pickle").read_bytes())
    for epoch in range(begin, epochs):
        for rows in np.array_split(np.random.default_rng(epoch).permutation(1400), 7):
            model.partial_fit(x[rows], y[rows], classes=range(10))
        trial.report(epoch + 1, val_accuracy=model.score(x[1400:], y[1400:]))
        if trial.should_stop:
            with trial.checkpoint() as folder:
                (folder / "model.pickle").write_bytes(pickle.dumps((epoch + 1, model)))
