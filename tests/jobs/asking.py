"""A worker of tests that trains nothing: it asks, reports, tells and measures what that takes.

``python -m tests.jobs.asking FOLDER OWNER SECONDS`` prints a line of JSON for each trial.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from hpc.jobs.source.study import open_study
from hpc.results import Run
from hpc.sweeps import load_stored


def main(folder: Path, owner: str, seconds: float) -> None:
    """Ask until there is nothing left.

    Args:
        folder: of the run.
        owner: whose name the trials get.
        seconds: that each trial lasts.
    """
    study = open_study(load_stored(folder / "sweep.yaml"), Run(folder))
    while True:
        before = study.seconds
        asked = study.ask(owner)
        if asked is None:
            return
        params, value, pruned = asked.trial.params, 0.0, False
        for epoch in range(1, 4):
            time.sleep(seconds / 3)
            value = epoch - abs(params["x"] - 0.3) - abs(params.get("y", 0.0))
            if study.report(asked.trial, value, epoch):
                pruned = True
                break
        study.tell(asked.trial, "pruned" if pruned else "finished", {"val_accuracy": value}, value)
        took = study.seconds - before
        print(json.dumps({"trial": asked.trial.trial_id, "params": params, "seconds": took}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
