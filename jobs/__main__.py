"""The commands of jobs: ``python -m hpc.jobs job FOLDER FIRST``, and of each of its ranks ``rank FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from hpc.jobs.node import print_anything


def main(arguments: list[str]) -> int:
    """Run a job, or one of its ranks.

    Args:
        arguments: ``job``, the folder of the launch, the number of the array's first job; or
            ``rank`` and the file of the step; or ``canary`` and what that takes.
    """
    print_anything()
    if arguments[0] == "rank":
        from hpc.jobs.node import run_rank

        return run_rank(Path(arguments[1]))
    if arguments[0] == "canary":
        from hpc.jobs.canary import main as canary

        return canary(arguments[1:])
    from hpc.jobs.supervisor import supervise

    return supervise(Path(arguments[1]), int(arguments[2]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
