"""How a trial is trained."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.training.calls import FunctionCall, ProgramCall, ProgramError
    from hpc.jobs.training.checkpoint import Checkpoints, Position, State, metadata_of, read
    from hpc.jobs.training.estimator import is_estimator, regresses
    from hpc.jobs.training.faults import Fault
    from hpc.jobs.training.fingerprint import fingerprint_of
    from hpc.jobs.training.fit_compile import compile_for_fit
    from hpc.jobs.training.graph import order, train_lanes
    from hpc.jobs.training.graphs import Graphs
    from hpc.jobs.training.horovod_keras import mend_horovod
    from hpc.jobs.training.keras_settings import KerasSettings
    from hpc.jobs.training.leaving import LeavingError, an_error, contained
    from hpc.jobs.training.model_store import ModelStore
    from hpc.jobs.training.needs import needs_fit
    from hpc.jobs.training.pack import LANE_NUMBERS, PackError, Plan, check_measures, plan
    from hpc.jobs.training.single import Single
    from hpc.jobs.training.user_trial import Trial

__all__ = [
    "LANE_NUMBERS",
    "Checkpoints",
    "Fault",
    "FunctionCall",
    "Graphs",
    "KerasSettings",
    "LeavingError",
    "ModelStore",
    "PackError",
    "Plan",
    "Position",
    "ProgramCall",
    "ProgramError",
    "Single",
    "State",
    "Trial",
    "an_error",
    "check_measures",
    "compile_for_fit",
    "contained",
    "fingerprint_of",
    "is_estimator",
    "mend_horovod",
    "metadata_of",
    "needs_fit",
    "order",
    "plan",
    "read",
    "regresses",
    "train_lanes",
]

__getattr__ = lazily(
    __name__,
    {
        "calls": ["FunctionCall", "ProgramCall", "ProgramError"],
        "checkpoint": ["Checkpoints", "Position", "State", "metadata_of", "read"],
        "estimator": ["is_estimator", "regresses"],
        "faults": ["Fault"],
        "fingerprint": ["fingerprint_of"],
        "fit_compile": ["compile_for_fit"],
        "graph": ["order", "train_lanes"],
        "graphs": ["Graphs"],
        "horovod_keras": ["mend_horovod"],
        "keras_settings": ["KerasSettings"],
        "leaving": ["LeavingError", "an_error", "contained"],
        "model_store": ["ModelStore"],
        "needs": ["needs_fit"],
        "pack": ["LANE_NUMBERS", "PackError", "Plan", "check_measures", "plan"],
        "single": ["Single"],
        "user_trial": ["Trial"],
    },
)
