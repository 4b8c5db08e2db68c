"""hpc installed from its wheel, and a user's project whose folders bear the names of its rooms."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from tests.conftest import ROOT, missing

NET = """
import jobs.helper
import keras
import results
from data import samples
from models.layers import block

from .layers import block as beside
from .deep import tower

assert block is beside
assert (jobs.helper.NAME, results.NAME) == ("their own jobs", "their own results")


def build(input_shape, num_classes, width=4):
    layers = [*tower(block, width), keras.layers.Dense(num_classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])
"""
PROJECT = {
    "models/layers.py": "import keras\n\n\ndef block(width):\n    return keras.layers.Dense(width, 'relu')\n",
    "models/deep.py": "from models.layers import block\n\n\n"
    "def tower(given, width):\n    assert given is block\n    return [block(width), block(width)]\n",
    "models/net.py": NET,
    "jobs/helper.py": "NAME = 'their own jobs'\n",
    "data/samples.py": "import sweeps.sizes\nimport tests.tools\n"
    "from sklearn.datasets import load_digits\n\n\n"
    "def digits():\n    assert tests.tools.NAME == 'their own tests'\n"
    "    x, y = load_digits(return_X_y=True)\n    return x[: sweeps.sizes.ALL], y[: sweeps.sizes.ALL]\n",
    "sweeps/sizes.py": "ALL = 300\n",
    "tests/tools.py": "NAME = 'their own tests'\n",
    "results/__init__.py": "NAME = 'their own results'\n",
    "own.yaml": "name: own\nmodel: models.net:build\ndata: data/samples.py:digits\n"
    "space: {width: [4, 8]}\n"
    "fixed: {epochs: 1, batch_size: 50}\nobjective: val_accuracy\n",
    "again.yaml": "name: again\nmodel: models/net.py:build\ndata: data.samples:digits\n"
    "space: {width: [4, 8]}\n"
    "fixed: {epochs: 1, batch_size: 50}\nobjective: val_accuracy\n",
    "script.py": "import hpc\nfrom hpc import results as tables, sweeps as ours\n"
    "from models.layers import block\nimport results\n\nassert results.NAME == 'their own results'\n"
    "if __name__ == '__main__':\n"
    "    outcome = hpc.run(ours.load('own.yaml'), folder='runs/script', workers=1)\n"
    "    print(outcome.is_good, len(tables.table('runs/script')), block(3).units)\n",
}
ROOMS = ("models", "jobs", "data", "sweeps", "tests", "results")


def project(folder: Path, *, packages: bool) -> Path:
    """Write the project.

    Args:
        folder: to write it to.
        packages: whether its folders have an ``__init__.py``.
    """
    for name, text in PROJECT.items():
        if not packages:  # without a package, a neighbour by a relative name is another module
            text = text.replace("assert block is beside\n", "").replace("    assert given is block\n", "")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for room in ROOMS if packages else ():
        (folder / room / "__init__.py").touch()
    return folder


def install(folder: Path) -> Path:
    """Install hpc from its wheel into an environment that has nothing else of this checkout.

    Returns:
        The environment's Python, beside which is ``hpc``.
    """
    uv = shutil.which("uv")
    if uv is None:
        missing("uv", "uv is missing, which builds the wheel")
    subprocess.run([str(uv), "build", "-q", "--out-dir", folder / "dist", ROOT], check=True, timeout=300)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    python = folder / "venv" / "bin" / "python"
    place = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    packages = folder / "venv" / place
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        tops = {name.partition("/")[0] for name in file.namelist()}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"hpc"}
        names = file.namelist()
        assert len(names) == len(set(names))
        file.extractall(packages)
    # The libraries of this environment; its own .pth files, which know the checkout, are not read there.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = python.with_name("hpc")
    command.write_text(f"#!{python}\nfrom hpc.cli import main\nmain()\n")
    command.chmod(0o755)
    for tool in Path(sys.executable).parent.glob("mpirun*"):
        python.with_name(tool.name).symlink_to(tool)
    return python
