"""What a worker's process loads."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import environment


def test_a_worker_does_not_load_pyplot_for_keras_and_its_user_still_may() -> None:
    code = (
        "import os, sys\n"
        "from jobs import device\n"
        "device.prepare(os.environ, 1)\n"
        "device.start(1, 0, 0, 1)\n"
        "assert 'keras' in sys.modules\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib.pyplot\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=120)
