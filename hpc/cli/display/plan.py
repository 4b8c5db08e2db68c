"""What a dry run shows: the trials, and what would be submitted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpc.planning import Planned
    from hpc.profile import Resources
    from hpc.sweeps import Sweep


def print_plan(sweep: Sweep, folder: Path, resources: Resources) -> None:
    """Print the trials of a sweep, and what they would take of this machine.

    Args:
        sweep: the sweep, checked.
        folder: the folder of the run.
        resources: what the run would take.
    """
    _print_trials(sweep)
    print(f"{sweep.size} trials; {resources.describe()}; into {folder}. Nothing was run (--dry-run).")


def print_planned(sweep: Sweep, planned: Planned, folder: Path) -> None:
    """Print the batch script, the trials of a sweep, and what they would take of a cluster.

    Args:
        sweep: the sweep, checked.
        planned: what would be submitted.
        folder: the folder of the run.
    """
    from hpc.jobs.launchers.registry import JOB_LAUNCHERS

    print(planned.script(planned.arrays[0], folder / "jobs" / "1").rstrip())
    launch = planned.launch(1)
    if launch.ranks > 1:
        mpi = launch.mpi if launch.mpi != "auto" else "none" if launch.backend == "gloo" else "…"
        launcher = JOB_LAUNCHERS[launch.launcher]
        command = launcher.command(launch, "JOB", mpi, ["rank", "STEP"], os.environ)
        print(f"# it starts the ranks by: {' '.join(command)}")
    print()
    _print_trials(sweep)
    print(f"{sweep.size} trials; into {folder}")
    for line in planned.describe():
        print(line)
    print("Nothing was submitted (--dry-run).")


def _print_trials(sweep: Sweep) -> None:
    """Print the trials, or the space of a search whose settings are not known beforehand."""
    if sweep.is_adaptive:
        for name, dimension in sweep.space.items():
            print(f"{name}: {dimension.as_written()}")
    else:
        import pandas as pd

        from hpc import results

        trials = [{**t.params, **vars(t)} for t in sweep.trials]
        model = ["model"] if sweep.baselines else []
        fold = ["fold"] if sweep.folds else []
        case = ["case"] if any(trial.case for trial in sweep.trials) else []
        frame = pd.DataFrame(trials)[["trial_id", *model, *case, *sweep.dimensions, "seed", *fold]]
        sys.stdout.write(results.render(frame, "table"))
    if sweep.kind != "model":
        print(f"each {'calls' if sweep.kind == 'function' else 'starts'}: {sweep.training}")
    fixed = {**sweep.defaults, **sweep.fixed}
    print("the same in all: " + " ".join(f"{name}={value}" for name, value in fixed.items()))
    if sweep.is_adaptive:
        print("search: " + " ".join(f"{name}={value}" for name, value in sweep.search.entries().items()))
