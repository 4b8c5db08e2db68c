"""A program as it is: it has options, prints its metrics, and goes on from its checkpoint."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--pause", type=float, default=0.0)
options = parser.parse_args()

checkpoint = Path(os.environ.get("HPC_CHECKPOINT", ".")) / "state.json"
asked = False


def hear(number: int, frame: object) -> None:
    global asked
    asked = True


signal.signal(signal.SIGTERM, hear)
state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"epoch": 0, "loss": 1.0}
print(f"begins after epoch {state['epoch']}")
while state["epoch"] < options.epochs:
    time.sleep(options.pause)
    state = {"epoch": state["epoch"] + 1, "loss": state["loss"] * (1 - options.lr)}
    print(f"epoch {state['epoch']}: loss={2 * state['loss']:.6f} val_loss={state['loss']:.6f}", flush=True)
    checkpoint.with_suffix(".tmp").write_text(json.dumps(state))
    checkpoint.with_suffix(".tmp").replace(checkpoint)
    if asked:
        sys.exit(0)
