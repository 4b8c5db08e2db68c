"""Statistics: estimates of means, verdicts, effects, cost, Pareto fronts."""

from hpc.results.stats.anova import effects, grouped, interactions, is_number, word_for_missing
from hpc.results.stats.cost import allocated, by_job, by_outcome, by_trial
from hpc.results.stats.estimates import Estimate, estimate, half_width
from hpc.results.stats.pareto import front
from hpc.results.stats.verdicts import Verdict, verdict

__all__ = [
    "Estimate",
    "Verdict",
    "allocated",
    "by_job",
    "by_outcome",
    "by_trial",
    "effects",
    "estimate",
    "front",
    "grouped",
    "half_width",
    "interactions",
    "is_number",
    "verdict",
    "word_for_missing",
]
