"""The check-up of ``hpc doctor``: what a profile asks of a machine or a cluster, and what is there.

Every check is a function from data to findings; ``registry.py`` says in which order they come, when each
applies, and where its data come from.
"""

from hpc.doctor.base import Finding, Level, format_finding
from hpc.doctor.cache import read_doctor_cache, write_doctor_cache
from hpc.doctor.checkup import examine

__all__ = ["Finding", "Level", "examine", "format_finding", "read_doctor_cache", "write_doctor_cache"]
