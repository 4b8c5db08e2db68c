"""Trials of equal shapes that one rank trains at once, as one stacked model; each is a lane of it."""

from hpc.jobs.training.pack.loop import Pack
from hpc.jobs.training.pack.measures import check_measures
from hpc.jobs.training.pack.plans import LANE_NUMBERS, PackError, Plan, plan
from hpc.jobs.training.pack.shape import Shape

__all__ = ["LANE_NUMBERS", "Pack", "PackError", "Plan", "Shape", "check_measures", "plan"]
