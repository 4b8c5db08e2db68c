"""Energy that a worker's ranks have taken, where the node can say it.

Processors tell it by RAPL (Intel's and AMD's counters, which Linux shows as files), NVIDIA's GPUs by
NVML. Both count for the whole device. A rank is told its part: of the processors by its threads out of
all of the node's CPUs, idle power and memory included; a GPU is its own.

Since Linux 5.10 only root may read RAPL's files unless the site opens them: then there is no answer.

Source: Linux, Documentation/power/powercap/powercap.rst; NVML API reference,
``nvmlDeviceGetTotalEnergyConsumption`` (millijoules since the driver was loaded; Volta and later).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class Meter:
    """Adds up the energy of a rank from when it is made.

    A processor's counter begins anew after some hundred thousand joules, half an hour of a busy one,
    so it must be looked at more often than that.

    Args:
        share: of the node's CPUs that the rank uses, from 0 to 1.
        gpu: reads the counter of the rank's GPU in joules; None where it has none.
        powercap: where Linux shows RAPL.

    Attributes:
        joules: so far; None where the node can't say it.
    """

    def __init__(
        self, share: float, gpu: Callable[[], float] | None = None, powercap: Path = POWERCAP
    ) -> None:
        self._share = share
        self._gpu = gpu
        self._packages = packages(powercap)
        self._last = self._read()
        self.joules: float | None = 0.0 if self._last else None

    def look(self) -> float | None:
        """Read the counters; ``joules`` after that."""
        if self.joules is None:
            return None
        now = self._read()
        if len(now) != len(self._last):
            self.joules = None  # a device is gone, and with it the sum
            return None
        for (value, limit, share), (before, _, _) in zip(now, self._last, strict=True):
            spent = value - before if value >= before else value - before + limit
            self.joules += share * spent
        self._last = now
        return self.joules

    def _read(self) -> list[tuple[float, float, float]]:
        """For each device: its counter and its wrap-around in joules, and this rank's share."""
        found = []
        try:
            for package in self._packages:
                value, limit = (int((package / name).read_text()) / 1e6 for name in COUNTERS)
                found.append((value, limit, self._share))
            if self._gpu is not None:
                found.append((self._gpu(), 0.0, 1.0))
        except (OSError, ValueError):
            return []  # only root may read them, or the GPU does not count
        return found


COUNTERS = ("energy_uj", "max_energy_range_uj")


def packages(powercap: Path = POWERCAP) -> list[Path]:
    """The processors' counters; not those of their parts (``intel-rapl:0:1``), which they include."""
    return sorted(
        path for path in powercap.glob("intel-rapl:*") if re.fullmatch(r"intel-rapl:\d+", path.name)
    )


def gpu_counter(index: int) -> Callable[[], float] | None:
    """A function that reads the energy of an NVIDIA GPU in joules; None if there is no counter.

    Args:
        index: of the GPU among all of the node's, as nvidia-smi counts them.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError:  # no driver, or another GPU than was asked for
        return None

    def joules() -> float:
        try:
            millijoules: int = pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
        except pynvml.NVMLError as error:
            raise OSError(f"NVML says {error}: this GPU does not count its energy") from error
        return millijoules / 1000

    return joules


def meter(threads: int, gpu: str | None, cpus: int) -> Meter:
    """The meter of a rank on this node.

    Args:
        threads: that it uses.
        gpu: its name as :func:`hpc.jobs.node.device.start` gives it; None on a CPU.
        cpus: of the node.
    """
    number = gpu.rpartition("/")[2] if gpu else ""
    counter = gpu_counter(int(number)) if number.isdigit() else None
    made = Meter(min(1.0, threads / max(1, cpus)), counter)
    if gpu and counter is None:
        made.joules = None  # the processor's energy alone would be taken for all
    return made
