"""Several models of equal shapes as one stacked model."""

from __future__ import annotations

from hpc.jobs.training.base import Guarantees, Training
from hpc.jobs.training.estimator import is_estimator
from hpc.jobs.training.graph import GraphBackend
from hpc.jobs.training.pack import PackError, check_measures, plan


class PackBackend(GraphBackend):
    """Trains several models at once, on one rank; each comes to what it would alone, up to rounding."""

    name = "pack"
    guarantees = Guarantees(equal_ranks=False, exact_resume=False, mid_epoch=True, lanes=True)

    def accepts(self, training: Training) -> str:
        """Why a model can be no lane of a pack."""
        if is_estimator(training.model):
            return "an estimator"
        if self.world.size > 1:
            return f"{self.world.size} ranks"
        why = super().accepts(training)
        if why:
            return why
        if training.options.accumulate_steps > 1:
            return "its batches are taken in parts"
        if training.options.patience is not None or training.options.restore_best_weights:
            return "it goes by its own curve (patience, restore_best_weights)"
        try:
            plan(training.model)
            check_measures(training.model, training.arrays)
        except PackError as error:
            return str(error)
        return ""
