"""More trials for a run: the search goes on where it was."""

from __future__ import annotations

import re
from pathlib import Path

from hpc.jobs import stored
from hpc.jobs.user_files import Sources
from hpc.lock import lock
from hpc.results import Records, Run, RunError, write_text
from hpc.run_folder import refuse_other_sources
from hpc.sweeps import Sweep, size_problems


def extend(folder: str | Path, trials: str, *, mixed_code: bool = False) -> int:
    """Let a run have more trials; nothing is trained yet.

    ``sweep.yaml`` then says the new number, and the records say that it was changed. Jobs that are at
    work end by the old number; what follows them goes by the new one.

    Args:
        folder: of the run.
        trials: ``+40`` for so many more, or ``100`` for so many in all.
        mixed_code: whether to go on though the user's code or data have changed since trials were trained.

    Returns:
        The new number of settings.

    Raises:
        RunError: there is no such run, its code or data are no longer the same, its search has no number
            of trials, or it has more already.
    """
    stored.restore(Path(folder))
    run = Run(folder)
    if not re.fullmatch(r"\+?[1-9]\d*", trials):
        raise RunError(f"--trials {trials} is neither so many more (+40) nor so many in all (100).")
    with lock(run.folder, wait_seconds=30):
        run.refresh()  # another command may have extended it meanwhile
        sweep = stored.load(run.folder, run.sweep_texts)
        before = sweep.search.trials
        _refuse(sweep, run)
        if not mixed_code:
            refuse_other_sources(run, Sources.of(sweep))
        assert before is not None
        wanted = before + int(trials) if trials.startswith("+") else int(trials)
        if wanted <= before:
            raise RunError(f"{folder} has {before} trials already; give more than that, or +40 for 40 more.")
        search = sweep.search.model_copy(update={"trials": wanted})
        longer = sweep.model_copy(update={"search": search})
        for problem in size_problems(longer):
            raise RunError(f"--trials {trials}: {problem}")
        known = set(run.trials)
        records = Records(run.records / "run.jsonl")
        try:
            text = stored.announce(run, records, longer)
            for trial in longer.trials:
                if trial.trial_id not in known:
                    records.append("planned", **trial.to_record())
            records.append("extended", trials=longer.size)
            write_text(run.sweep_file, text)
        finally:
            records.close()
    return wanted


def _refuse(sweep: Sweep, run: Run) -> None:
    if sweep.search.trials is None:
        raise RunError(f"{run.folder} is a {sweep.search.method}, which has no number of trials to extend.")
    if not sweep.is_adaptive and (len(sweep.seeds) > 1 or sweep.folds or sweep.baselines):
        raise RunError(
            f"{run.folder} trains each setting several times (seeds, folds or baselines), in an order that "
            "more settings would change; begin a run of its own with search.seed=1."
        )
