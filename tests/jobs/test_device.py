"""What a worker's process loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import environment


@pytest.mark.parametrize(
    ("only_ours", "hidden"), [(False, ["matplotlib"]), (True, ["matplotlib", "sklearn", "pandas"])]
)
def test_a_worker_loads_nothing_for_keras_that_it_does_not_need(only_ours: bool, hidden: list[str]) -> None:
    """But its user still may."""
    code = (
        "import os, sys\n"
        "import jobs.worker\n"
        "from jobs import device\n"
        "device.prepare(os.environ, 1)\n"
        f"device.start(1, 0, 0, 1, only_ours={only_ours})\n"
        "assert 'keras' in sys.modules\n"
        "packages = ['matplotlib', 'sklearn', 'pandas']\n"
        f"assert [name for name in packages if name not in sys.modules] == {hidden}\n"
        "import matplotlib.pyplot, sklearn.base, pandas\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=120)
