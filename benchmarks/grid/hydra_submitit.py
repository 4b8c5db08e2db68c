"""The grid by Hydra with its submitit launcher: a process per trial, two at a time."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf


@hydra.main(config_path=None, config_name="config", version_base=None)
def main(config: DictConfig) -> float:
    from task import train

    value = train(**OmegaConf.to_container(config))
    with Path(config_folder() / "found.txt").open("a") as file:
        file.write(f"{value}\n")
    return value


def config_folder() -> Path:
    """That of the whole sweep."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().sweep.dir)


if __name__ == "__main__":
    import sys
    import tempfile

    from hydra.core.config_store import ConfigStore
    from task import DROPOUTS, RATES, SIZES

    ConfigStore.instance().store(
        name="config", node={"learning_rate": 0.001, "hidden_size": 32, "dropout": 0.0}
    )
    small = len(sys.argv) > 1 and int(sys.argv[1]) < 36
    with tempfile.TemporaryDirectory() as folder:
        space = {"learning_rate": RATES, "hidden_size": SIZES, "dropout": DROPOUTS}
        if small:
            space = {"dropout": (0.0, 0.5)}
        sys.argv = [
            sys.argv[0], "--multirun", "hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=2",
            f"hydra.sweep.dir={folder}", "hydra/job_logging=none", "hydra/hydra_logging=none",
            *(f"{name}={','.join(map(str, values))}" for name, values in space.items()),
        ]  # fmt: skip
        main()
        found = [float(line) for line in (Path(folder) / "found.txt").read_text().split()]
    print(max(found), sum(found) / len(found))
