"""How samples reach a training."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.data.preparation import Preparation, Prepared, Scaling

__all__ = [
    "Preparation",
    "Prepared",
    "Scaling",
]

__getattr__ = lazily(
    __name__,
    {
        "preparation": ["Preparation", "Prepared", "Scaling"],
    },
)
