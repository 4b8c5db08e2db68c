"""The folder of a run: made for a sweep, or found to be of that very sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hpc.jobs import stored
from hpc.jobs.user_files import Sources, forget_data
from hpc.profile import Resources
from hpc.provenance import as_json, provenance
from hpc.rebuilding import plan_of, rebuild
from hpc.results import Records, Run, RunError, TrialState, claim, create
from hpc.sweeps import Sweep


def claim_unless_run(folder: Path, note: Callable[[str], None] = lambda text: None) -> None:
    """Make sure that a folder is a run, or can become one.

    Args:
        folder: for it.
        note: hears that ``sweep.yaml`` was mended.

    Raises:
        RunError: it holds something else.
    """
    restored = stored.restore(folder)
    if restored:
        note(restored)
    elif not (folder / "sweep.yaml").is_file():
        claim(folder)


def open_run(
    folder: Path,
    sweep: Sweep,
    resources: Resources,
    *,
    mixed_code: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[Sweep, Run, Sources]:
    """The run of a sweep in a folder, made where there is none.

    Args:
        folder: of which one holds the lock.
        sweep: checked, with its defaults.
        resources: that the run begins with.
        mixed_code: whether trials of other code or data may stand beside those that there are.
        note: hears what of the folder was mended.

    Returns:
        The sweep with the defaults that the run began with, the run, and what the user's files hold now.

    Raises:
        RunError: the folder is of another sweep, of other code or data, or of something else.
    """
    if not (folder / "sweep.yaml").is_file():
        sources = Sources.of(sweep)
        _begin(folder, sweep, resources, sources.digest)
        return sweep, Run(folder), sources
    run = Run(folder)
    sweep, kept = _same(run, sweep)
    _refuse_other_names(sweep, run)
    rebuild(run, sweep, note)
    last = next((launch["files"] for launch in reversed(run.launches) if "files" in launch), None)
    sources = Sources.of(sweep, last)
    if mixed_code or not _codes(run):
        forget_data(folder)
    if not mixed_code:
        refuse_other_sources(run, sources)
    if sweep.as_yaml() != kept.as_yaml():  # the user's files have moved
        records = Records(run.records / "run.jsonl")
        stored.keep(run, records, sweep)
        records.close()
        run.refresh()
    return sweep, run, sources


def _codes(run: Run) -> set[str]:
    """Digests of the code by which something has come of a trial that still counts."""
    attempts = [attempt for trial in run.trials.values() for attempt in trial.attempts.values()]
    return {
        attempt.code
        for attempt in attempts
        if attempt.state in ("finished", "pruned") or (attempt.epochs and attempt.state != "failed")
    }


def refuse_other_sources(run: Run, sources: Sources) -> None:
    """Make sure that no trial has been trained with other code or data than there are now.

    Raises:
        RunError: one has.
    """
    # Earlier versions told code apart by the files alone that the sweep names.
    earlier = {launch.get("code") for launch in run.launches if "files" not in launch}
    now = {sources.digest} | ({sources.entries_digest} & earlier)
    others = _codes(run) - now
    if not others:
        return
    before = [
        launch["files"] for launch in run.launches if launch.get("code") in others and "files" in launch
    ]
    changes = sources.changes(before[-1]) if before else []
    raise RunError(
        f"{run.folder} has trials of other code or data: {'; '.join(changes) or 'the files have changed'} "
        "since they were trained. One table would mix them. Choose another folder with --dir to train all "
        "anew, or say --mixed-code to keep what is finished and train the rest with the files as they are."
    )


def left_alone(trial: TrialState, code: str) -> str:
    """Why an unfinished trial is not to be trained again; empty if it is."""
    attempt = trial.attempt
    if attempt.state == "failed" and attempt.reason == "diverged" and attempt.code == code:
        return "diverged, and would again: same seed, same code"
    return ""


def _begin(folder: Path, sweep: Sweep, resources: Resources, code: str) -> None:
    entries = provenance(sweep.folder, resources, code)
    create(folder, plan_of(sweep, as_json(entries)))


def _same(run: Run, sweep: Sweep) -> tuple[Sweep, Sweep]:
    """A sweep with the defaults of its run, and as it is stored there.

    Raises:
        RunError: the run is of another.
    """
    folder, kept = run.folder, stored.load(run.folder, run.sweep_texts)
    differences = sweep.differences(kept)
    if differences and not (through := sweep.through_links()).differences(kept):
        # An earlier version has stored what links point to. A search has named its trials by that; the
        # trials of any other sweep were planned by what the user wrote.
        sweep, differences = through if kept.is_adaptive else sweep, []
    if differences:
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        extended = ""
        if all(one.startswith("search.trials ") for one in differences):
            extended = f" `hpc resume {folder}` goes on with it; `hpc extend {folder} --trials N` extends it."
        raise RunError(
            f"{folder} holds another sweep: here {'; here '.join(differences[:3])}{more}. "
            f"Two sweeps never share a folder; choose another with --dir.{extended}"
        )
    return sweep.model_copy(update={"name": kept.name, "defaults": kept.defaults}), kept


def _refuse_other_names(sweep: Sweep, run: Run) -> None:
    """Make sure that trials have the names they were planned by, or they would be waited for for ever."""
    planned: dict[int, str] = {}
    for known in run.trials.values():  # those that were planned come first
        planned.setdefault(known.index, known.trial_id)
    for trial in () if sweep.is_adaptive else sweep.trials:
        name = planned.get(trial.index, trial.trial_id)
        if name != trial.trial_id:
            raise RunError(
                f"{run.folder}: trial {trial.index} was planned as {name}, but by sweep.yaml it is "
                f"{trial.trial_id}: an earlier version has stored what a symbolic link points to. Go on with "
                f"the sweep file itself: hpc run SWEEP.yaml --dir {run.folder}"
            )
