"""What training stands on: Python and its packages."""

from __future__ import annotations

from collections.abc import Mapping

from hpc.doctor.base import Finding, Level, ok, problem


def check_packages(
    where: str, python: str, versions: Mapping[str, str | None], *, ranks: int | None
) -> list[Finding]:
    """Check whether what training stands on is installed.

    Args:
        where: the name of the machine.
        python: the version of its Python.
        versions: the version of each package; None for those that are missing.
        ranks: the number of ranks of a job; None where that is not known yet.
    """
    from hpc.jobs.collectives import INSTALL

    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    found: list[Finding] = []
    number = tuple(int(part) for part in python.split(".")[:2])
    if not (3, 11) <= number < (3, 13):
        said = f"{where} has Python {python}; TensorFlow 2.18 here takes 3.11 or 3.12"
        found.append(problem("Python", said, "Name another by python: in the profile."))
    missing = [name for name in ("tensorflow", "keras", "numpy") if not versions.get(name)]
    if missing:
        said = f"{', '.join(missing)} not installed for the Python of {where}"
        remedy = "Install the project there (`uv sync`), or name the right Python by python: in the profile."
        found.append(problem("packages", said, remedy))
    missing = [name for name in ("horovod", "mpi4py") if not versions.get(name)]
    if missing and ranks != 1:
        level: Level = "note" if ranks is None else "problem"
        said = (
            f"{', '.join(missing)} not installed for the Python of {where}: no more than one rank per trial"
        )
        found.append(Finding("packages", level, said, INSTALL[0].upper() + INSTALL[1:] + "."))
    return found or [ok("packages", f"{where} has Python {python}, {there}")]
