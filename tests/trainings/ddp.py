"""A small net in PyTorch, data-parallel over the ranks of a trial, with checkpoints of its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


def samples(rank: int, size: int) -> tuple[Any, Any]:
    """This rank's share of a set that is the same in each process."""
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(1))
    y = (x @ torch.tensor([1.0, -2.0, 3.0, 0.5])).unsqueeze(1)
    return x[rank::size], y[rank::size]


def train(learning_rate: float, epochs: int, trial: Any, kill: str = "", pause: float = 0.0) -> None:
    """``kill`` names a file: a rank that finds none makes it in its fourth epoch, and dies."""
    torch.manual_seed(trial.seed)
    if trial.size > 1:
        distributed.init_process_group("gloo", init_method="env://")
    try:
        _train(learning_rate, epochs, trial, kill, pause)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _train(learning_rate: float, epochs: int, trial: Any, kill: str, pause: float) -> None:
    net: Any = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    model = DistributedDataParallel(net) if trial.size > 1 else net
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    begin = 0
    if trial.restored:
        state = torch.load(trial.restored / "state.pt")
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["epoch"]
    x, y = samples(trial.rank, trial.size)
    for epoch in range(begin, epochs):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(pause)
        if kill and epoch == 3 and trial.rank == trial.size - 1 and not Path(kill).exists():
            Path(kill).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        trial.report(epoch + 1, **trial.average(loss=loss.item()), began=begin)
        if trial.should_stop or epoch == 1:
            with trial.checkpoint() as folder:
                if trial.rank == 0:
                    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}
                    torch.save(state, folder / "state.pt")
