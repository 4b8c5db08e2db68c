"""How samples reach a training."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.data.loose import FitData, Part, article, classes_of
    from hpc.jobs.data.preparation import Preparation, Prepared, Scaling

__all__ = [
    "FitData",
    "Part",
    "Preparation",
    "Prepared",
    "Scaling",
    "article",
    "classes_of",
]

__getattr__ = lazily(
    __name__,
    {
        "loose": ["FitData", "Part", "article", "classes_of"],
        "preparation": ["Preparation", "Prepared", "Scaling"],
    },
)
