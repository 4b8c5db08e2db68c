"""Energy as the node tells it: made-up counters of processors and GPUs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hpc.jobs.node.energy import Meter, gpu_counter, meter, packages


def rapl(folder: Path, name: str, joules: float, limit: float = 262_143.0) -> None:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    (place / "max_energy_range_uj").write_text(f"{round(limit * 1e6)}\n")


class NVMLError(Exception):
    """As of the library."""


class Nvml(ModuleType):
    """NVIDIA's library with one GPU, the third."""

    NVMLError = NVMLError

    def __init__(self, joules: float = 0.0, fails: str = "") -> None:
        super().__init__("pynvml")
        self.joules = joules
        self.fails = fails

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fails == "init":
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index != 2:
            raise NVMLError("Invalid Argument")
        return 77

    def nvmlDeviceGetTotalEnergyConsumption(self, device: int) -> int:  # noqa: N802
        assert device == 77
        if self.fails == "energy":
            raise NVMLError("Not Supported")
        return round(self.joules * 1000)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Nvml | None], None]:
    """Puts a library in the place of NVIDIA's; None: it is not installed."""
    return lambda library: monkeypatch.setitem(sys.modules, "pynvml", library)


Install = Callable[[Nvml | None], None]


def test_a_rank_is_told_its_share_of_all_packages_and_of_no_part_of_one(tmp_path: Path) -> None:
    for name, joules in (("intel-rapl:0", 100), ("intel-rapl:1", 7), ("intel-rapl:0:0", 50)):
        rapl(tmp_path, name, joules)
    found = Meter(0.25, powercap=tmp_path)
    assert found.joules == 0
    for name, joules in (("intel-rapl:0", 140), ("intel-rapl:1", 27), ("intel-rapl:0:0", 5000)):
        rapl(tmp_path, name, joules)
    assert found.look() == pytest.approx(15)
    rapl(tmp_path, "intel-rapl:0", 144)
    assert found.look() == pytest.approx(16)
    assert [path.name for path in packages(tmp_path)] == ["intel-rapl:0", "intel-rapl:1"]


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    rapl(tmp_path, "intel-rapl:0", 990, limit=1000)
    found = Meter(1.0, powercap=tmp_path)
    rapl(tmp_path, "intel-rapl:0", 15, limit=1000)
    assert found.look() == pytest.approx(25)


@pytest.mark.parametrize("broken", ["missing", "energy_uj", "max_energy_range_uj"])
def test_a_node_that_can_not_say_it_says_nothing(tmp_path: Path, broken: str) -> None:
    if broken != "missing":
        rapl(tmp_path, "intel-rapl:0", 1)
        (tmp_path / "intel-rapl:0" / broken).unlink()
        (tmp_path / "intel-rapl:0" / broken).mkdir()  # root, too, can't read that
    found = Meter(1.0, powercap=tmp_path)
    assert found.joules is None
    assert found.look() is None


def test_a_device_that_goes_away_takes_the_sum_with_it(tmp_path: Path) -> None:
    rapl(tmp_path, "intel-rapl:0", 1)
    found = Meter(1.0, powercap=tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert found.look() is None
    rapl(tmp_path, "intel-rapl:0", 5)
    assert found.look() is None


def test_a_gpu_counts_whole(tmp_path: Path, install: Install) -> None:
    library = Nvml(10.0)
    install(library)
    rapl(tmp_path, "intel-rapl:0", 100)
    found = Meter(0.5, gpu_counter(2), tmp_path)
    library.joules = 13.5
    rapl(tmp_path, "intel-rapl:0", 104)
    assert found.look() == pytest.approx(2 + 3.5)


@pytest.mark.parametrize(("index", "fails"), [(2, "init"), (5, "")])
def test_a_gpu_that_nvml_does_not_know_has_no_counter(index: int, fails: str, install: Install) -> None:
    install(Nvml(fails=fails))
    assert gpu_counter(index) is None


def test_without_nvml_no_gpu_has_a_counter(install: Install) -> None:
    install(None)
    assert gpu_counter(2) is None


def test_a_gpu_that_does_not_count_leaves_the_energy_unknown(tmp_path: Path, install: Install) -> None:
    install(Nvml(fails="energy"))
    rapl(tmp_path, "intel-rapl:0", 1)
    assert Meter(1.0, gpu_counter(2), tmp_path).joules is None


def test_the_processor_alone_is_not_taken_for_all_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpc.jobs.node.energy.gpu_counter", lambda index: None)
    monkeypatch.setattr("hpc.jobs.node.energy.Meter._read", lambda self: [(1.0, 2.0, 1.0)])
    assert meter(1, None, 2).joules == 0
    assert meter(1, "node/0", 2).joules is None
