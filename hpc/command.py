"""The ``hpc`` command: a thin skin over ``hpc``, ``sweeps`` and ``results``.

What a subcommand needs is imported when it runs, so that ``hpc status`` answers at once.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hpc import results
    from hpc.results import Bill
    from hpc.running import Outcome

app = typer.Typer(
    name="hpc",
    help="Hyperparameter sweeps of Keras models, on a laptop or a cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Sweep = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file, YAML.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.")]
On = Annotated[
    str,
    typer.Option("--on", metavar="PROFILE", help="Where: local, debug (in this process), slurm, or yours."),
]
Profiles = Annotated[
    Path | None,
    typer.Option("--profiles", metavar="FILE", help="A file of profiles that counts before all others."),
]
Folder = Annotated[
    Path | None, typer.Option("--dir", metavar="RUN", help="Folder of the run (default: runs/NAME).")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override an entry of the sweep; repeatable."),
]
OneTrial = Annotated[
    str | None,
    typer.Argument(metavar="TRIAL", help="The trial's id, or how it begins (default: the best one)."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Jobs at once (default: one per core or GPU).")
]
Ranks = Annotated[
    int | None, typer.Option("--ranks", metavar="N", help="Processes that train one trial together.")
]
OnAgain = Annotated[
    str | None,
    typer.Option("--on", metavar="PROFILE", help="Where (default: where it was run the last time)."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="URL", help="A database for the study of a search (default: a journal)."
    ),
]
MixedCode = Annotated[
    bool,
    typer.Option(
        "--mixed-code", help="Go on though your code or data have changed since trials were trained."
    ),
]


@app.command(epilog="Example: hpc run sweeps/digits.yaml --set fixed.epochs=5 --dir runs/short")
def run(
    sweep: Sweep,
    on: On = "local",
    folder: Folder = None,
    overrides: Overrides = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: Profiles = None,
    storage: Storage = None,
    mixed_code: MixedCode = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the trials; run nothing.")
    ] = False,
) -> None:
    """Run a sweep to its end with live progress, then print the leaderboard.

    The same command again goes on where it was stopped: what is finished is not trained again.
    """
    with _errors(folder):
        from hpc import running, sweeps
        from hpc.profile import find

        loaded = sweeps.load(sweep, overrides or [])
        if dry_run:
            named = find(on, [loaded.folder], profiles)
            with _notes_of_data():
                if named.profile.cluster == "slurm":
                    _show_submission(loaded, named, folder, workers, ranks)
                else:
                    _show_plan(*running.plan(loaded, named, workers=workers, ranks=ranks), folder)
            return
        _carry_out(
            partial(
                running.run,
                loaded,
                on=on,
                folder=folder,
                workers=workers,
                ranks=ranks,
                profiles_file=profiles,
                storage=storage,
                mixed_code=mixed_code,
            )
        )


@app.command(epilog="Example: hpc submit sweeps/digits.yaml --on slurm --workers 4 --ranks 2")
def submit(
    sweep: Sweep,
    on: On = "slurm",
    folder: Folder = None,
    overrides: Overrides = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: Profiles = None,
    storage: Storage = None,
    mixed_code: MixedCode = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and show what would be submitted; submit nothing.")
    ] = False,
) -> None:
    """Submit a sweep to SLURM and return as soon as it has answered.

    The same command again submits only what is neither finished nor with a job already.
    """
    with _errors(folder):
        from hpc import submitting, sweeps
        from hpc.profile import find

        loaded = sweeps.load(sweep, overrides or [])
        if dry_run:
            with _notes_of_data():
                _show_submission(loaded, find(on, [loaded.folder], profiles), folder, workers, ranks)
            return
        _tell_submission(
            submitting.submit(
                loaded, on=on, folder=folder, workers=workers, ranks=ranks, profiles_file=profiles,
                note=_complain, storage=storage, mixed_code=mixed_code,
            )
        )  # fmt: skip


@app.command(epilog="Example: hpc resume runs/digits")
def resume(
    folder: Run,
    on: OnAgain = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: Profiles = None,
    mixed_code: MixedCode = False,
) -> None:
    """Train whatever is not finished: waiting, lost, cancelled, failed.

    On SLURM it is submitted, and the command returns at once.
    """
    with _errors(folder):
        from hpc import results, running, submitting
        from hpc.jobs import stored

        restored = stored.restore(folder)
        if restored:
            _complain(restored)
        named = submitting.profile_of(results.Run(folder), on, profiles)
        if named.profile.cluster == "slurm":
            _tell_submission(
                submitting.resubmit(
                    folder,
                    on=on,
                    workers=workers,
                    ranks=ranks,
                    profiles_file=profiles,
                    note=_complain,
                    mixed_code=mixed_code,
                )
            )
            return
        _carry_out(
            partial(
                running.resume, folder, on=on, workers=workers, ranks=ranks, profiles_file=profiles,
                mixed_code=mixed_code,
            )
        )  # fmt: skip


@app.command(epilog="Example: hpc extend runs/digits --trials +40")
def extend(
    folder: Run,
    trials: Annotated[
        str, typer.Option("--trials", metavar="+N", help="So many more; without +, so many in all.")
    ],
    on: OnAgain = None,
    workers: Workers = None,
    ranks: Ranks = None,
    profiles: Profiles = None,
    mixed_code: MixedCode = False,
) -> None:
    """Give a run more trials, and train them: the search goes on with what it knows.

    On SLURM they are submitted, and the command returns at once.
    """
    with _errors(folder):
        from hpc.extending import extend

        print(f"{folder} has {extend(folder, trials, mixed_code=mixed_code)} points now.")
    resume(folder, on, workers, ranks, profiles, mixed_code)


@app.command(epilog="Example: hpc status runs/digits --json")
def status(
    folder: Run,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Show it again and again, SLURM's part the more rarely the less changes."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show how a run stands."""
    with _errors(folder):
        from hpc.watching import Pause, Scheduler
        from hpc.watching import status as status_of

        if watch:
            gc.enable()
        console, scheduler, pause = _console(), Scheduler(), Pause()
        while True:
            facts = status_of(folder, scheduler)
            if as_json:
                print(json.dumps(facts, indent=None if watch else 2), flush=True)
            else:
                if watch and console.is_terminal:
                    console.clear()
                _show_status(console, facts)
            if not watch or not is_busy(facts):
                return
            asked = sum(job["state"].isupper() and not job["over"] for job in facts["jobs"])  # SLURM's words
            changes = facts["scheduler"] or [job["state"] for job in facts["jobs"]]
            time.sleep(pause.after(changes, asked) if asked else 2)


def is_busy(facts: dict[str, Any]) -> bool:
    """Whether anything may yet change in a run, by what ``status`` says of it."""
    over = ("done", "died", "stopped", "lost")
    jobs = any(not job["over"] and job["state"] not in over for job in facts["jobs"])
    return bool(facts["runner"] or jobs)


@app.command(epilog="Example: hpc cancel runs/digits")
def cancel(folder: Run) -> None:
    """Stop a run: its jobs of SLURM, or the command that carries it out on this machine."""
    with _errors(folder):
        from hpc.watching import cancel as cancel_run

        print(cancel_run(folder))


@app.command(epilog="Example: hpc logs runs/digits tkjvvrahfo5")
def logs(
    folder: Run,
    trial: Annotated[
        str | None, typer.Argument(metavar="TRIAL", help="The trial's id, or how it begins.")
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", help="The last lines of each log; 0 for all.")
    ] = 40,
) -> None:
    """Print the logs of a trial's job, or of all jobs; and its error, if it has failed."""
    with _errors(folder):
        from hpc.watching import logs as logs_of

        for path in logs_of(folder, trial):
            text = path.read_text(errors="replace").splitlines()
            print(f"==> {path} <==")
            print("\n".join(text[-lines:] if lines else text))
        if trial:
            one = _opened(folder).find(trial)
            if one.attempt.error:
                print(f"==> {one.trial_id} failed: {one.attempt.reason} <==\n{one.attempt.error}")


@app.command(epilog="Example: hpc show runs/digits tkjvvrahfo5")
def show(
    folder: Run,
    trial: OneTrial = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show everything about one trial: hyperparameters, curves, confusions, where its model is."""
    with _errors(folder):
        from hpc.showing import facts_of, lines

        facts = facts_of(folder, trial)
        print(json.dumps(facts, indent=2) if as_json else "\n".join(lines(facts)))


@app.command(epilog="Example: hpc plot runs/digits --kind heatmap --kind parallel --format pdf")
def plot(
    folder: Run,
    trial: OneTrial = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Of the run: heatmap, points, parallel, importance, effects, progress or cost; of a trial: "
            "curves, confusion, boundary, filters, wrong or samples.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write here (default: RUN/pictures).")
    ] = None,
    forms: Annotated[
        list[str] | None, typer.Option("--format", metavar="FORMAT", help="png, svg or pdf; repeatable.")
    ] = None,
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="Run the function that gives the data, if it is not one of ours."),
    ] = False,
) -> None:
    """Draw charts of a run and pictures of its best trial; with TRIAL, pictures of that one."""
    with _errors(folder):
        from hpc.drawing import draw

        paths = draw(
            folder, trial, kinds or None, out, forms or ["png", "svg"], note=_complain, with_data=with_data
        )
        for path in paths:
            print(path)


@app.command(epilog="Example: hpc table runs/digits --format csv --out digits.csv")
def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.")],
    epochs: Annotated[bool, typer.Option("--epochs", help="One row per trial and epoch.")] = False,
    by_point: Annotated[
        bool, typer.Option("--points", help="One row per point: mean and spread over seeds and folds.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Rows of which it is true, as 'dropout < 0.3'."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", metavar="NAMES", help="Means over the trials with equal values in these."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="NAMES", help="By these columns; -NAME: descending.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="NAMES", help="These columns, by commas.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="table, csv, json, parquet, markdown or latex."),
    ] = "table",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write here.")] = None,
) -> None:
    """Print the results, one row per trial, and bring RUN/table.parquet up to date."""
    with _errors(runs[0]):
        from hpc import results

        if form not in results.FORMATS:
            from hpc.sweeps import did_you_mean

            known = ", ".join(results.FORMATS)
            raise typer.BadParameter(
                f"{form!r} is not a format{did_you_mean(form, results.FORMATS)}; there are {known}.",
                param_hint="--format",
            )
        if form == "parquet" and out is None:
            raise typer.BadParameter("parquet is no text; name a file by --out.", param_hint="--format")
        if epochs + by_point + bool(group_by) > 1:
            raise typer.BadParameter(
                "a row is of an epoch, of a point or of a group, not of several.", param_hint="--points"
            )
        opened = [_opened(folder) for folder in runs]
        for one in opened:
            _settle(one)
        make = results.points if by_point else partial(results.table, epochs=epochs)
        frame = make(opened[0] if len(opened) == 1 else opened)
        if not epochs and not by_point:
            for one in opened:
                results.save(one, None if len(opened) > 1 else frame)
        for condition in where or []:
            frame = results.selection.where(frame, condition)
        if group_by:
            frame = results.selection.group(frame, _names(group_by))
        if sort:
            frame = results.selection.sort(frame, _names(sort))
        if columns:
            frame = results.selection.columns(frame, _names(columns))
        if form == "parquet" and out is not None:
            results.write_parquet(out, frame)
        elif out is not None:
            results.write_text(out, results.render(frame, form))
        else:
            sys.stdout.write(results.render(frame, form))
        for facts in frame.attrs.get("runs", [frame.attrs]):
            _tell_skipped(facts["run"], facts["skipped"])


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]


def _tell_skipped(run: str, skipped: dict[str, dict[str, int]]) -> None:
    """Say what of a run's records could not be read."""
    for file, reasons in skipped.items():
        for why, number in reasons.items():
            _complain(f"{run}/records/{file}: skipped {number} {why}")


@app.command(epilog="Example: hpc report runs/digits --out digits.html")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write here (default: RUN/report.html)."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again and again as long as the run goes on.")
    ] = False,
    every: Annotated[
        int, typer.Option("--every", metavar="SECONDS", min=5, help="How often, with --watch.")
    ] = 30,
) -> None:
    """Write the results as one page of HTML, to open in a browser, to print and to mail.

    Of several runs it begins with a comparison, and is written as report.html into this folder unless
    --out names a file.
    """
    with _errors(runs[0]):
        from hpc import results

        if not watch:
            opened = [_opened(folder) for folder in runs]
            for one in opened:
                _settle(one)
            print(results.report(opened, out))
            return
        from hpc.watching import Scheduler
        from hpc.watching import status as status_of

        gc.enable()
        schedulers, told = [Scheduler() for _ in runs], False
        while True:
            facts = [status_of(folder, scheduler) for folder, scheduler in zip(runs, schedulers, strict=True)]
            busy = any(map(is_busy, facts))
            path = results.report(runs, out, refresh_seconds=every if busy else None)
            if not told:
                print(path, flush=True)
            told = True
            if not busy:
                return
            time.sleep(every)


@app.command(epilog="Example: hpc scaling sweeps/digits.yaml --ranks 1,2 --predict 4,8")
def scaling(
    targets: Annotated[
        list[Path], typer.Argument(metavar="TARGET", help="A sweep file, or folders of runs to read.")
    ],
    ranks: Annotated[
        str, typer.Option("--ranks", metavar="N,N", help="Numbers of ranks to measure.")
    ] = "1,2",
    on: On = "local",
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="For the runs (default: runs/NAME-scaling).")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", metavar="N", min=2, help="Of each measurement (default: seconds)."),
    ] = None,
    weak: Annotated[
        bool, typer.Option("--weak", help="Keep the batch of each rank, not the global one.")
    ] = False,
    predict: Annotated[
        str, typer.Option("--predict", metavar="N,N", help="Numbers of ranks to extrapolate to.")
    ] = "",
    overrides: Overrides = None,
    profiles: Profiles = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show how training scales with ranks: train a sweep's first trial on 1, 2, … or read runs.

    Says what ranks wait for, what a model of it predicts for more of them, and whether trials had
    better have a rank each or many.
    """
    with _errors(folder):
        from hpc import scaling as measuring

        numbers, further = (
            _numbers(text, name) for text, name in ((ranks, "--ranks"), (predict, "--predict"))
        )
        if targets[0].is_dir():
            folders = measuring.folders(targets)
            for one in folders:
                _opened(one)
            report = measuring.report(folders, weak=weak, predict=further)
        else:
            from hpc import sweeps

            if len(targets) > 1:
                raise typer.BadParameter("take one sweep file, or folders of runs.", param_hint="TARGET")
            try:
                report = measuring.scale(
                    sweeps.load(targets[0], overrides or []), ranks=numbers, on=on, folder=folder,
                    epochs=epochs, weak=weak, predict=further, profiles_file=profiles, note=_complain,
                )  # fmt: skip
            except RuntimeError as error:
                _complain(f"hpc: {error}")
                raise typer.Exit(1) from None
        print(json.dumps(report.facts(), indent=2) if as_json else "\n".join(measuring.lines(report)))


def _numbers(text: str, option: str) -> list[int]:
    """Whole numbers between commas."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise typer.BadParameter(
            f"{text!r}: take whole numbers of at least 1, like 1,2,4.", param_hint=option
        )
    return [int(word) for word in words]


@app.command(epilog="Example: hpc cost runs/digits")
def cost(
    folder: Run,
    trials: Annotated[bool, typer.Option("--trials", help="One row per trial.")] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="One row per job.")] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, csv, json, markdown or latex.")
    ] = "table",
) -> None:
    """Print the bill: node-, core- and GPU-hours and energy, by how trials ended."""
    with _errors(folder):
        from hpc import results
        from hpc.results.stats import by_job, by_outcome, by_trial

        forms = [name for name in results.FORMATS if name != "parquet"]
        if form not in forms:
            from hpc.sweeps import did_you_mean

            raise typer.BadParameter(
                f"{form!r} is not a format{did_you_mean(form, forms)}; there are {', '.join(forms)}.",
                param_hint="--format",
            )
        if trials and jobs:
            raise typer.BadParameter("a row is of a trial or of a job, not of both.", param_hint="--jobs")
        opened = _opened(folder)
        _settle(opened)
        frame = by_trial(opened) if trials else by_job(opened) if jobs else by_outcome(opened)
        sys.stdout.write(results.render(frame, form))
        if form == "table" and not jobs:
            print(f"known from {frame.attrs['source']}")


@app.command(epilog="Example: hpc compare runs/digits runs/digits-2")
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of another.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show what differed between two runs, and what that did to the result."""
    with _errors():
        from hpc.results.analysis import compare as compare_runs

        found = compare_runs(_opened(first), _opened(second))
        sys.stdout.write(json.dumps(found.to_dict(), indent=2) + "\n" if as_json else found.format())


@app.command(epilog="Example: hpc export runs/digits --to tensorboard")
def export(
    folder: Run,
    to: Annotated[str, typer.Option("--to", metavar="TOOL", help="tensorboard or mlflow.")],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FOLDER|URI",
            help="A folder, or MLflow's address (default: RUN/tensorboard; MLFLOW_TRACKING_URI, or RUN).",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again every 10 seconds, as long as something may change.")
    ] = False,
) -> None:
    """Write a run for TensorBoard or MLflow; the next time only what is new since."""
    with _errors(folder):
        from hpc.results.exports import TARGETS
        from hpc.results.exports import export as export_run

        if to not in TARGETS:
            from hpc.sweeps import did_you_mean

            raise typer.BadParameter(
                f"{to!r} is no tool that a run can be exported to{did_you_mean(to, TARGETS)}; there are "
                f"{', '.join(TARGETS)}.",
                param_hint="--to",
            )
        opened, scheduler = _opened(folder), None
        if watch:
            from hpc.watching import Scheduler
            from hpc.watching import status as status_of

            gc.enable()
            scheduler = Scheduler()
        else:
            _settle(opened)
        while True:
            busy = scheduler is not None and is_busy(status_of(folder, scheduler))
            done = export_run(opened, to, out)
            if not busy or done.changed:
                print(
                    f"{done.out}: {done.trials} trials, {done.changed} of them with something new "
                    f"({done.epochs} epochs).",
                    flush=True,
                )
            if not busy:
                return
            time.sleep(10)


@app.command("list", epilog="Example: hpc list models")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="models, data, searches, sweeps or profiles.")],
    profiles: Profiles = None,
) -> None:
    """List what a sweep may name: models, data, searches, ready-made sweeps, profiles."""
    with _errors():
        from hpc import catalog

        if what not in catalog.LISTS:
            raise typer.BadParameter(
                f"{what!r} can't be listed; there are {', '.join(catalog.LISTS)}.", param_hint="WHAT"
            )
        console = _console()
        for name, lines in catalog.LISTS[what](profiles).items():
            console.print(name, style="bold")
            for line in lines:
                console.print(f"    {line}")


@app.command(
    "verify-resume", epilog="Example: hpc verify-resume sweeps/digits.yaml --ranks 2 --set fixed.epochs=4"
)
def verify_resume(
    sweep: Sweep,
    on: On = "local",
    overrides: Overrides = None,
    ranks: Ranks = None,
    profiles: Profiles = None,
) -> None:
    """Prove that an interrupted trial ends as an uninterrupted one, to the last bit.

    The first trial of the sweep is trained three times: as it is, stopped in the middle as at a
    time limit, and with a rank killed after a checkpoint; each goes on in new processes.
    """
    with _errors():
        from hpc import sweeps
        from hpc.verifying import verify_resume as verify

        gc.enable()
        loaded = sweeps.load(sweep, overrides or [])
        try:
            verdicts = verify(loaded, on=on, ranks=ranks, profiles_file=profiles, note=print)
        except RuntimeError as error:
            _complain(f"hpc: {error}")
            raise typer.Exit(1) from None
        for verdict in verdicts:
            word = "identical to the last bit" if verdict.identical else f"NOT the same: {verdict.difference}"
            print(f"{verdict.what}: {word}")
        if not all(verdict.identical for verdict in verdicts):
            _complain(
                "What a trial draws outside of Keras' seeds (numpy, random, tf.random) is not in a "
                "checkpoint; docs/clusters.md says what is."
            )
            raise typer.Exit(1)


@app.command(epilog="Example: hpc doctor --on slurm")
def doctor(
    on: On = "local",
    profiles: Profiles = None,
    folder: Annotated[Path, typer.Option("--dir", metavar="FOLDER", help="Where runs would be made.")] = Path(
        "runs"
    ),
    canary: Annotated[
        bool, typer.Option("--canary/--no-canary", help="Let ranks meet: on SLURM, in one short job.")
    ] = True,
    wait_min: Annotated[
        float, typer.Option("--wait", metavar="MIN", min=0, help="How long that job may take to start.")
    ] = 10,
    storage: Storage = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Check this machine or a cluster for what a profile asks of it, and say what to change."""
    with _errors(folder):
        from hpc.doctor import examine
        from hpc.findings import lines
        from hpc.profile import find, with_storage

        findings = examine(
            with_storage(find(on, given=profiles), storage), folder, canary=canary, wait_min=wait_min,
            note=_complain, tell=lambda finding: None if as_json else print(lines(finding), flush=True),
        )  # fmt: skip
        if as_json:
            print(json.dumps([vars(finding) for finding in findings], indent=2))
        if any(finding.level == "problem" for finding in findings):
            raise typer.Exit(1)


def _carry_out(start: Callable[..., Outcome]) -> None:
    from hpc.progress import failure, leaderboard_table, view
    from hpc.results import leaderboard, render, winner

    gc.enable()
    console = _console()
    outcome = start(view=view(console), began=_typed())
    run, counts = outcome.run, outcome.run.counts()
    if outcome.error:
        _complain(outcome.error)
    frame = leaderboard(run)
    if len(frame):
        console.print(f"\n{run.name}: the best of {counts['total']} trials", style="bold")
        if console.is_terminal:
            console.print(leaderboard_table(frame, console.width))
        else:
            print(render(frame, "table"), flush=True)
    best = winner(run)
    if best is not None and best.verdict.rivals:
        console.print(best.format())
    if len(run.objectives) > 1:
        from hpc.results import front

        named = ", ".join(f"{name} {mode}" for name, mode in run.objectives)
        where = f"hpc table {run.folder} --where pareto"
        text = f"{len(front(run))} trials are on the Pareto front ({named}): {where}"
        console.print(text, soft_wrap=True)
    failed = [trial for trial in run.trials.values() if trial.state == "failed"]
    for trial in failed[:5]:
        _complain(failure(run, trial))
    if len(failed) > 5:
        _complain(f"… and {len(failed) - 5} more; `hpc table {run.folder}` has them all.")
    if not outcome.trained:
        why = f"; {len(outcome.left)} {next(iter(outcome.left.values()))}" if outcome.left else ""
        console.print(f"Nothing to do: no trial of {run.folder} is left to train{why}.")
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
    console.print(f"{counts['total']} trials: {states}. The table: hpc table {run.folder}")
    _tell_skipped(str(run.folder), run.skipped())
    bill = run.bill() if outcome.trained else None
    if bill:
        console.print(_words(bill), style="dim")
    if not outcome.is_good and len(outcome.left) < counts["total"] - counts["finished"] - counts["pruned"]:
        verb = "Stopped" if outcome.interrupted else "Not all is finished"
        console.print(f"{verb}; go on with: hpc resume {run.folder}")
    if not outcome.is_good or outcome.error:
        raise typer.Exit(1)


def _typed() -> float:
    """When this command was typed, by ``results.moments.uptime``."""
    from hpc.jobs.node.processes import begun

    return begun(os.getpid())


def _words(bill: Bill) -> str:
    """Where the time went, in a sentence."""
    workers = "one worker" if bill.workers == 1 else f"{bill.workers} workers"
    training, drawing = bill.training_seconds / bill.seconds, bill.tracing_seconds / bill.seconds
    together = f", up to {bill.lanes} trials at once," if bill.lanes > 1 else ""
    return (
        f"The first trial began after {bill.start_seconds:.1f} s; since then {workers} spent {training:.0%} "
        f"of the time in training{together} and {drawing:.0%} in drawing graphs, of which there are "
        f"{bill.graphs}."
    )


@contextmanager
def _notes_of_data() -> Iterator[None]:
    """Tell what a person should know of how small files of data were read, when they were."""
    from hpc.jobs.check import notes_of_data

    with notes_of_data() as said:
        yield
    for text in dict.fromkeys(said):
        print(f"note: {text}")


def _show_plan(sweep: Any, resources: Any, folder: Path | None) -> None:
    import pandas as pd

    from hpc import results

    if sweep.is_adaptive:  # its points are not known beforehand
        for name, dimension in sweep.space.items():
            print(f"{name}: {dimension.as_written()}")
    else:
        trials = [{**t.params, **vars(t)} for t in sweep.trials]
        model = ["model"] if sweep.baselines else []
        fold = ["fold"] if sweep.folds else []
        frame = pd.DataFrame(trials)[["trial_id", *model, *sweep.space, "seed", *fold]]
        sys.stdout.write(results.render(frame, "table"))
    fixed = {**sweep.defaults, **sweep.fixed}
    print("the same in all: " + " ".join(f"{name}={value}" for name, value in fixed.items()))
    if sweep.is_adaptive:
        print("search: " + " ".join(f"{name}={value}" for name, value in sweep.search.entries().items()))
    target = folder or Path("runs") / sweep.name
    what = f"; {resources.describe()}" if resources is not None else ""
    done = ". Nothing was run (--dry-run)." if resources is not None else ""
    print(f"{sweep.size} trials{what}; into {target}{done}")


def _show_submission(
    sweep: Any, named: Any, folder: Path | None, workers: int | None, ranks: int | None
) -> None:
    from hpc import submitting
    from hpc.jobs.supervisor import srun

    checked, planned = submitting.plan(sweep, named, workers=workers, ranks=ranks)
    target = (folder or Path("runs") / checked.name) / "jobs" / "1"
    print(planned.script(planned.arrays[0], target).rstrip())
    launch = planned.launch(1)
    if launch.ranks > 1:
        chosen = launch.mpi if launch.mpi != "auto" else "none" if launch.backend == "gloo" else "…"
        print(f"# it starts the ranks by: {' '.join(srun(launch, 'JOB', chosen, 'STEP'))}")
    print()
    _show_plan(checked, None, folder)
    for line in planned.describe():
        print(line)
    print("Nothing was submitted (--dry-run).")


def _tell_submission(submission: Any) -> None:
    run = submission.run
    for text in submission.said:
        print(text)
    if submission.job_ids:
        from hpc.profile import count

        more = f"; {submission.covered} more are with jobs already" if submission.covered else ""
        print(
            f"{run.name}: {count(submission.trials, 'trial')} submitted in {count(submission.jobs, 'job')}, "
            f"SLURM {count(len(submission.job_ids), 'array')} {', '.join(submission.job_ids)}{more}."
        )
    elif submission.covered:
        print(f"Nothing to submit: {submission.covered} trials are with jobs already.")
    else:
        why = f"; {len(submission.left)} {next(iter(submission.left.values()))}" if submission.left else ""
        print(f"Nothing to submit: no trial of {run.folder} is left to train{why}.")
    print(f"How it stands:  hpc status {run.folder} --watch")
    print(f"The results:    hpc table {run.folder}")
    print(f"Stop, go on:    hpc cancel {run.folder};  hpc resume {run.folder}")


def _opened(folder: Path) -> results.Run:
    """A run, of whose folder it is told what is not as the run has left it."""
    from hpc import results

    run = results.Run(folder)
    for text in run.faults():
        _complain(text)
    return run


def _settle(run: results.Run) -> None:
    """Bring what SLURM says of a run's jobs into its records, where there are any of SLURM."""
    if run.arrays:
        from hpc.watching import Scheduler

        scheduler = Scheduler()
        scheduler.look(run)
        if scheduler.news.problem:
            _complain(f"SLURM could not be asked, so jobs may have ended otherwise: {scheduler.news.problem}")


def _show_status(console: Console, facts: dict[str, Any]) -> None:
    counts = facts["trials"]
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
    lines = [f"{facts['name']}: {counts['total']} trials: {states}"]
    if facts["lost"]:
        lines.append(f"lost: {facts['lost']} of the running ones have no worker any more")
    if facts["failures"]:
        lines.append("failed: " + ", ".join(f"{n} {reason}" for reason, n in facts["failures"].items()))
        from hpc import results
        from hpc.results.store import format_failures as told

        lines += told(results.Run(facts["run"]))
    best = facts["best"]
    if best:
        params = " ".join(f"{name}={value}" for name, value in best["params"].items())
        lines.append(f"best so far: {best['metric']}={best['value']:.4g}  {best['trial_id']}  {params}")
    lines += [f"the search is over: {facts['over']}"] if facts["over"] else []
    lines += [f"note: {text}" for text in facts["notes"]]
    lines += facts["faults"]
    for file, reasons in facts["skipped"].items():
        lines += [f"records/{file}: skipped {number} {why}" for why, number in reasons.items()]
    lines += _job_lines(facts)
    if facts["seconds_left"]:
        from hpc.progress import duration

        lines.append(f"about {duration(facts['seconds_left'])} left")
    finished = counts["finished"] + counts["pruned"] == counts["total"]
    if facts["scheduler"]:
        lines.append(f"SLURM does not answer, so jobs are shown as last known: {facts['scheduler']}")
    elif not finished and not is_busy(facts):
        lines.append(f"nobody is at it; go on with: hpc resume {facts['run']}")
    for line in lines:
        console.print(line, soft_wrap=True)


def _job_lines(facts: dict[str, Any], most: int = 20) -> list[str]:
    """A line for each job that is at work or has come to grief, and a sum of all of SLURM's."""
    lines, slurm = [], [job for job in facts["jobs"] if job["state"].isupper()]
    if slurm:
        from collections import Counter

        states = Counter(job["state"] for job in slurm)
        waits = Counter(job["why"] for job in slurm if job["state"] == "PENDING")
        why = f" ({', '.join(reason for reason in waits if reason)})" if any(waits) else ""
        lines.append(
            "jobs: "
            + ", ".join(f"{n} {state}{why if state == 'PENDING' else ''}" for state, n in states.items())
        )
    for job in facts["jobs"]:
        at = f"{job['trial']}, epoch {job['epoch']}" if job["trial"] else "starting, or between trials"
        where = f"process {job['pid']} on {job['host']}" if job["pid"] else f"on {job['host']}"
        left = f", {job['left']} to its time limit" if job["left"] else ""
        if job["state"] in ("running", "RUNNING"):
            lines.append(f"{job['job_id']}: {job['state']} ({where}{left}): {at}")
        elif job["state"] not in ("done", "stopped", "COMPLETED", "PENDING", "CANCELLED"):
            why = f": {job['why']}" if job["why"] else ""
            path = Path(facts["run"], job["log"]) if job["log"] else None
            log = f"; its log: {path}" if path is not None and path.is_file() else ""
            lines.append(f"{job['job_id']}: {job['state']}{why}{log}")
    return lines if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more jobs"]


def _console() -> Console:
    """Where people are told things, as they are: values may hold what rich takes for markup or an emoji."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _errors(folder: Path | None = None) -> Iterator[None]:
    """A user's mistake is one short paragraph on stderr, without a traceback.

    Args:
        folder: of the run that the command is about, if it was typed.
    """
    try:
        yield
    except BrokenPipeError:  # `hpc table … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    except Exception as error:
        if isinstance(error, _mistakes()):
            _complain(f"hpc: {error}")
            raise typer.Exit(2) from None
        if isinstance(error, OSError):
            _complain(f"hpc: {_of_system(error, folder or Path())}")
            raise typer.Exit(1) from None
        if isinstance(error, _troubles()):
            _complain(f"hpc: {error}")
            raise typer.Exit(1) from None
        raise


def _of_system(error: OSError, folder: Path) -> str:
    """What a file system has refused; where it was a file of a run, what becomes of that, too."""
    from hpc.results.store import DISK_ERRORS as OF_DISKS
    from hpc.results.store import format_disk_error as words
    from hpc.results.store import run_of

    text = words(error, folder)
    if error.errno not in OF_DISKS:
        return text
    run = run_of(folder if error.filename is None else os.fsdecode(error.filename))
    if run is None:
        return f"{text}."
    return (
        f"{text}. What is recorded of {run} stays; when that is mended, the same command again goes on, or "
        f"hpc resume {run}"
    )


def _mistakes() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend, as far as their modules are loaded at all."""
    kinds = (
        ("hpc.results", "RunError"), ("hpc.sweeps", "SweepError"),
        ("hpc.jobs.collectives.horovod", "RanksUnavailableError"),
        ("hpc.jobs.node.rank_info", "LauncherError"),
    )  # fmt: skip
    return tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)


def _troubles() -> tuple[type[Exception], ...]:
    """Errors that are nobody's mistake: SLURM does not answer, or refuses."""
    module = sys.modules.get("hpc.scheduler")
    return (module.SchedulerError,) if module else ()


def main() -> None:
    """Entry point of the command."""
    from hpc.jobs.node.streams import print_anything

    print_anything()
    gc.disable()  # a short command is mostly imports, which make no garbage: a tenth faster
    app()
