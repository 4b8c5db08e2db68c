"""Programs that do nothing but tell a metric: two workers beside ``xargs -P 2``.

    uv run python -m benchmarks.programs --trials 1000

Once with a program in sh, which is over in a millisecond, and once with one in Python, which takes as long as
Python takes to start. A sweep's are counted from the beginning of its first trial to the end of its last
worker; the seconds of the whole command, with its start, are told beside it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.called import sweep

LINE = '{"val_loss": 0.5}'
PROGRAMS = {
    "sh": ["sh", "-c", f"echo '{LINE}' >> \"$HPC_METRICS\""],
    "python": [sys.executable, "-c", f"import os; open(os.environ['HPC_METRICS'], 'a').write('{LINE}\\n')"],
}


def xargs(folder: Path, program: list[str], trials: int) -> float:
    """The seconds of ``xargs -P 2``."""
    each = f"seq {trials} | xargs -P 2 -I{{}} {shlex.join(program)}"
    env = {**os.environ, "HPC_METRICS": str(folder / "lines.jsonl")}
    began = time.monotonic()
    subprocess.run(["sh", "-c", each], check=True, env=env)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    for name, program in PROGRAMS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            command = [argument.replace("{", "{{").replace("}", "}}") for argument in program]
            bare = xargs(folder, program, trials)
            ours = sweep(folder, {"command": command}, trials)
            again = xargs(folder, program, trials)
        ratio = ours.seconds / min(bare, again)
        print(
            f"{trials:,} programs in {name}: xargs -P 2 {bare:.2f} and {again:.2f} s, two workers "
            f"{ours.seconds:.2f} s ({ratio:.2f} x; the whole command {ours.whole_seconds:.1f} s)"
        )


if __name__ == "__main__":
    main()
