"""Where the next trial comes from."""

from typing import TYPE_CHECKING

from hpc.sweeps.lazy import lazily

if TYPE_CHECKING:
    from hpc.jobs.source.budget import BudgetGuard
    from hpc.jobs.source.journal import lock_of
    from hpc.jobs.source.searching import SearchSource
    from hpc.jobs.source.static import StaticSource
    from hpc.jobs.source.study import JOURNAL, Study, open_study, put_back

__all__ = [
    "JOURNAL",
    "BudgetGuard",
    "SearchSource",
    "StaticSource",
    "Study",
    "lock_of",
    "open_study",
    "put_back",
]

__getattr__ = lazily(
    __name__,
    {
        "budget": ["BudgetGuard"],
        "journal": ["lock_of"],
        "searching": ["SearchSource"],
        "static": ["StaticSource"],
        "study": ["JOURNAL", "Study", "open_study", "put_back"],
    },
)
