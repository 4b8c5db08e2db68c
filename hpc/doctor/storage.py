"""The database that searches are kept in."""

from __future__ import annotations

from hpc.doctor.base import Finding, ok, problem


def check_storage(url: str, error: str) -> Finding:
    """Check whether the database in which searches are kept answers.

    Args:
        url: the URL of the database, without a password.
        error: what keeps a machine from the database, as :func:`hpc.jobs.canary.reach` tells it; empty if
            nothing does.
    """
    if not error:
        return ok("storage", f"{url} answers")
    if error.startswith(("ModuleNotFoundError", "NoSuchModuleError")):
        remedy = (
            "Install its driver there: `uv sync --extra postgresql`, or what SQLAlchemy names for others."
        )
    else:
        remedy = (
            "Mend what the message names (a password goes into ~/.pgpass, there too); or leave storage: out, "
            "the journal in the folder of a run needs no server."
        )
    return problem("storage", f"{url} can't be used: {error}", remedy)
