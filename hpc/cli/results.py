"""Commands that show what came out: tables, pages, charts, costs, comparisons."""

from __future__ import annotations

import gc
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpc import waiting
from hpc.cli.display.console import complain
from hpc.cli.errors import errors, require_choice
from hpc.cli.options import AsJson, On, OneTrial, Overrides, ProfilesFile, RunFolder, RunFolders
from hpc.cli.runs import complain_of_skipped, open_run, open_settled, settle

if TYPE_CHECKING:
    import pandas as pd

EXPORT_PAUSE_SECONDS = 10.0
"""Between two exports of a run that goes on."""

commands = typer.Typer()


@commands.command(epilog="Example: hpc table runs/digits --format csv --out digits.csv")
def table(
    runs: RunFolders,
    epochs: Annotated[bool, typer.Option("--epochs", help="One row per trial and epoch.")] = False,
    by_setting: Annotated[
        bool, typer.Option("--points", help="One row per setting: mean and spread over seeds and folds.")
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
    with errors(runs[0]):
        from hpc import results

        require_choice(form, results.FORMATS, "is not a format", "--format")
        if form == "parquet" and out is None:
            raise typer.BadParameter("parquet is no text; name a file by --out.", param_hint="--format")
        if epochs + by_setting + bool(group_by) > 1:
            raise typer.BadParameter(
                "a row is of an epoch, of a setting or of a group, not of several.", param_hint="--points"
            )
        opened = [open_run(folder) for folder in runs]
        for one in opened:
            settle(one)
        make = results.points if by_setting else partial(results.table, epochs=epochs)
        frame = make(opened[0] if len(opened) == 1 else opened)
        if not epochs and not by_setting:
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
        _write_table(frame, form, out)
        for one in frame.attrs.get("runs", [frame.attrs]):
            complain_of_skipped(one["run"], one["skipped"])


def _write_table(frame: pd.DataFrame, form: str, out: Path | None) -> None:
    """Write a table to a file, or print it."""
    from hpc import results

    if out is None:
        sys.stdout.write(results.render(frame, form))
    elif form == "parquet":
        results.write_parquet(out, frame)
    else:
        results.write_text(out, results.render(frame, form))


def _names(text: str) -> list[str]:
    """Split names at their commas."""
    return [name for name in (part.strip() for part in text.split(",")) if name]


@commands.command(epilog="Example: hpc report runs/digits --out digits.html")
def report(
    runs: RunFolders,
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
    with errors(runs[0]):
        from hpc import results

        if watch:
            _report_until_over(runs, out, every)
            return
        opened = [open_run(folder) for folder in runs]
        for one in opened:
            settle(one)
        print(results.report(opened, out))


def _report_until_over(runs: list[Path], out: Path | None, pause_seconds: int) -> None:
    """Write the page again and again, until nothing more can change in any of the runs."""
    from hpc import results
    from hpc.watching import Scheduler, is_busy, status

    gc.enable()
    schedulers, is_first = [Scheduler() for _ in runs], True
    while True:
        summaries = [status(folder, scheduler) for folder, scheduler in zip(runs, schedulers, strict=True)]
        busy = any(map(is_busy, summaries))
        path = results.report(runs, out, refresh_seconds=pause_seconds if busy else None)
        if is_first:
            print(path, flush=True)
        is_first = False
        if not busy:
            return
        waiting.sleep(pause_seconds)


@commands.command(epilog="Example: hpc plot runs/digits --kind heatmap --kind parallel --format pdf")
def plot(
    folder: RunFolder,
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
    with errors(folder):
        from hpc.drawing import draw

        paths = draw(
            folder, trial, kinds or None, out, forms or ["png", "svg"], note=complain, with_data=with_data
        )
        for path in paths:
            print(path)


@commands.command(epilog="Example: hpc cost runs/digits")
def cost(
    folder: RunFolder,
    trials: Annotated[bool, typer.Option("--trials", help="One row per trial.")] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="One row per job.")] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, csv, json, markdown or latex.")
    ] = "table",
) -> None:
    """Print the bill: node-, core- and GPU-hours and energy, by how trials ended."""
    with errors(folder):
        from hpc import results
        from hpc.results.stats import by_job, by_outcome, by_trial

        forms = [name for name in results.FORMATS if name != "parquet"]
        require_choice(form, forms, "is not a format", "--format")
        if trials and jobs:
            raise typer.BadParameter("a row is of a trial or of a job, not of both.", param_hint="--jobs")
        run = open_settled(folder)
        frame = by_trial(run) if trials else by_job(run) if jobs else by_outcome(run)
        sys.stdout.write(results.render(frame, form))
        if form == "table" and not jobs:
            print(f"known from {frame.attrs['source']}")


@commands.command(epilog="Example: hpc compare runs/digits runs/digits-2")
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of another.")],
    as_json: AsJson = False,
) -> None:
    """Show what differed between two runs, and what that did to the result."""
    with errors():
        from hpc.results.analysis import compare as compare_runs

        found = compare_runs(open_run(first), open_run(second))
        sys.stdout.write(json.dumps(found.to_dict(), indent=2) + "\n" if as_json else found.format())


@commands.command(epilog="Example: hpc scaling sweeps/digits.yaml --ranks 1,2 --predict 4,8")
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
    profiles: ProfilesFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how training scales with ranks: train a sweep's first trial on 1, 2, … or read runs.

    Says what ranks wait for, what a model of it predicts for more of them, and whether trials had
    better have a rank each or many.
    """
    with errors(folder):
        from hpc import scaling as measuring

        numbers, further = _numbers(ranks, "--ranks"), _numbers(predict, "--predict")
        if targets[0].is_dir():
            folders = measuring.folders(targets)
            for one in folders:
                open_run(one)
            measured = measuring.report(folders, weak=weak, predict=further)
        else:
            from hpc import sweeps

            if len(targets) > 1:
                raise typer.BadParameter("take one sweep file, or folders of runs.", param_hint="TARGET")
            try:
                measured = measuring.scale(
                    sweeps.load(targets[0], overrides or []), ranks=numbers, on=on, folder=folder,
                    epochs=epochs, weak=weak, predict=further, profiles_file=profiles, note=complain,
                )  # fmt: skip
            except RuntimeError as error:
                complain(f"hpc: {error}")
                raise typer.Exit(1) from None
        print(json.dumps(measured.entries(), indent=2) if as_json else "\n".join(measuring.lines(measured)))


def _numbers(text: str, option: str) -> list[int]:
    """Read whole numbers between commas.

    Raises:
        typer.BadParameter: one is not a whole number of at least 1.
    """
    numbers = _names(text)
    if not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise typer.BadParameter(
            f"{text!r}: take whole numbers of at least 1, like 1,2,4.", param_hint=option
        )
    return [int(number) for number in numbers]


@commands.command(epilog="Example: hpc export runs/digits --to tensorboard")
def export(
    folder: RunFolder,
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
    with errors(folder):
        from hpc.results.exports import TARGETS
        from hpc.results.exports import export as export_run
        from hpc.watching import Scheduler, is_busy, status

        require_choice(to, TARGETS, "is no tool that a run can be exported to", "--to")
        run, scheduler = open_run(folder), None
        if watch:
            gc.enable()
            scheduler = Scheduler()
        else:
            settle(run)
        while True:
            busy = scheduler is not None and is_busy(status(folder, scheduler))
            done = export_run(run, to, out)
            if not busy or done.changed:
                print(
                    f"{done.out}: {done.trials} trials, {done.changed} of them with something new "
                    f"({done.epochs} epochs).",
                    flush=True,
                )
            if not busy:
                return
            waiting.sleep(EXPORT_PAUSE_SECONDS)
