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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

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
On = Annotated[str, typer.Option("--on", metavar="PROFILE", help="Where: local, or debug (in this process).")]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Jobs at once (default: one per core or GPU).")
]
Ranks = Annotated[
    int | None, typer.Option("--ranks", metavar="N", help="Processes that train one trial together.")
]


@app.command(epilog="Example: hpc run sweeps/digits.yaml --set fixed.epochs=5 --dir runs/short")
def run(
    sweep: Sweep,
    on: On = "local",
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="RUN", help="Folder of the run (default: runs/NAME).")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override an entry of the sweep; repeatable."),
    ] = None,
    workers: Workers = None,
    ranks: Ranks = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the trials; run nothing.")
    ] = False,
) -> None:
    """Run a sweep to its end with live progress, then print the leaderboard.

    The same command again goes on where it was stopped: what is finished is not trained again.
    """
    with _errors():
        import sweeps
        from hpc import running

        loaded = sweeps.load(sweep, overrides or [])
        if dry_run:
            _show_plan(*running.plan(loaded, on=on, workers=workers, ranks=ranks), folder)
            return
        _carry_out(
            lambda view: running.run(loaded, on=on, folder=folder, workers=workers, ranks=ranks, view=view)
        )


@app.command(epilog="Example: hpc resume runs/digits")
def resume(folder: Run, on: On = "local", workers: Workers = None, ranks: Ranks = None) -> None:
    """Train whatever is not finished: waiting, lost, cancelled, failed."""
    with _errors():
        from hpc import running

        _carry_out(lambda view: running.resume(folder, on=on, workers=workers, ranks=ranks, view=view))


@app.command(epilog="Example: hpc status runs/digits --json")
def status(
    folder: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Show how a run stands."""
    with _errors():
        from hpc.watching import status as status_of

        if watch:
            gc.enable()
        console = _console()
        while True:
            facts = status_of(folder)
            if as_json:
                print(json.dumps(facts, indent=None if watch else 2), flush=True)
            else:
                if watch and console.is_terminal:
                    console.clear()
                _show_status(console, facts)
            busy = facts["runner"] or any(job["state"] == "running" for job in facts["jobs"])
            if not watch or not busy:
                return
            time.sleep(2)


@app.command(epilog="Example: hpc cancel runs/digits")
def cancel(folder: Run) -> None:
    """Stop a run that is being carried out elsewhere on this machine."""
    with _errors():
        from hpc.watching import cancel as cancel_run

        print(cancel_run(folder))


@app.command(epilog="Example: hpc table runs/digits --format csv --out digits.csv")
def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.")],
    epochs: Annotated[bool, typer.Option("--epochs", help="One row per trial and epoch.")] = False,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="table, csv, json, parquet, markdown or latex."),
    ] = "table",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write here.")] = None,
) -> None:
    """Print the results, one row per trial, and bring RUN/table.parquet up to date."""
    with _errors():
        import results

        if form not in results.FORMATS:
            from sweeps import did_you_mean

            known = ", ".join(results.FORMATS)
            raise typer.BadParameter(
                f"{form!r} is not a format{did_you_mean(form, results.FORMATS)}; there are {known}.",
                param_hint="--format",
            )
        if form == "parquet" and out is None:
            raise typer.BadParameter("parquet is no text; name a file by --out.", param_hint="--format")
        opened = [results.Run(folder, keep_epochs=epochs) for folder in runs]
        frame = results.table(opened[0] if len(opened) == 1 else opened, epochs=epochs)
        if not epochs:
            for one in opened:
                results.save(one, None if len(opened) > 1 else frame)
        if form == "parquet" and out is not None:
            with results.replacing(out) as scratch:
                frame.to_parquet(scratch, index=False)
        elif out is not None:
            results.write_text(out, results.render(frame, form))
        else:
            sys.stdout.write(results.render(frame, form))


@app.command("list", epilog="Example: hpc list models")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="models, data, searches, sweeps or profiles.")],
) -> None:
    """List what a sweep may name: models, data, searches, ready-made sweeps, profiles."""
    with _errors():
        from hpc import catalog

        if what not in catalog.LISTS:
            raise typer.BadParameter(
                f"{what!r} can't be listed; there are {', '.join(catalog.LISTS)}.", param_hint="WHAT"
            )
        console = _console()
        for name, lines in catalog.LISTS[what]().items():
            console.print(name, style="bold", markup=False, highlight=False)
            for line in lines:
                console.print(f"    {line}", markup=False, highlight=False)


def _carry_out(start: Callable[[Any], Outcome]) -> None:
    from hpc.progress import first_line, leaderboard_table, point, view
    from results import leaderboard, render

    gc.enable()
    console = _console()
    outcome = start(view(console))
    run, counts = outcome.run, outcome.run.counts()
    if outcome.error:
        _complain(outcome.error)
    frame = leaderboard(run)
    if len(frame):
        console.print(f"\n{run.name}: the best of {counts['total']} trials", style="bold", highlight=False)
        if console.is_terminal:
            console.print(leaderboard_table(frame, console.width))
        else:
            print(render(frame, "table"), flush=True)
    failed = [trial for trial in run.trials.values() if trial.state == "failed"]
    for trial in failed[:5]:
        attempt = trial.attempt
        _complain(
            f"{trial.trial_id} failed ({attempt.reason}; {point(run, trial)}): {first_line(attempt.error)}"
        )
    if len(failed) > 5:
        _complain(f"… and {len(failed) - 5} more; `hpc table {run.folder}` has them all.")
    if not outcome.trained:
        why = f"; {len(outcome.left)} {next(iter(outcome.left.values()))}" if outcome.left else ""
        console.print(f"Nothing to do: no trial of {run.folder} is left to train{why}.", highlight=False)
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
    console.print(f"{counts['total']} trials: {states}. The table: hpc table {run.folder}", highlight=False)
    if not outcome.is_good and len(outcome.left) < counts["total"] - counts["finished"] - counts["pruned"]:
        verb = "Stopped" if outcome.interrupted else "Not all is finished"
        console.print(f"{verb}; go on with: hpc resume {run.folder}", highlight=False)
    if not outcome.is_good or outcome.error:
        raise typer.Exit(1)


def _show_plan(sweep: Any, resources: Any, folder: Path | None) -> None:
    import pandas as pd

    import results

    trials = [{"trial_id": t.trial_id, **t.params, "seed": t.seed} for t in sweep.trials]
    frame = pd.DataFrame(trials)[["trial_id", *sweep.space, "seed"]]
    sys.stdout.write(results.render(frame, "table"))
    fixed = {**sweep.defaults, **sweep.fixed}
    print("the same in all: " + " ".join(f"{name}={value}" for name, value in fixed.items()))
    target = folder or Path("runs") / sweep.name
    print(f"{len(trials)} trials; {resources.describe()}; into {target}. Nothing was run (--dry-run).")


def _show_status(console: Console, facts: dict[str, Any]) -> None:
    counts = facts["trials"]
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n and state != "total")
    lines = [f"{facts['name']}: {counts['total']} trials: {states}"]
    if facts["lost"]:
        lines.append(f"lost: {facts['lost']} of the running ones have no worker any more")
    if facts["failures"]:
        lines.append("failed: " + ", ".join(f"{n} {reason}" for reason, n in facts["failures"].items()))
    best = facts["best"]
    if best:
        params = " ".join(f"{name}={value}" for name, value in best["params"].items())
        lines.append(f"best so far: {best['metric']}={best['value']:.4g}  {best['trial_id']}  {params}")
    for job in facts["jobs"]:
        if job["state"] == "running":
            at = f"{job['trial']}, epoch {job['epoch']}" if job["trial"] else "starting"
            lines.append(f"{job['job_id']}: running (process {job['pid']} on {job['host']}): {at}")
        elif job["state"] in ("died", "lost"):
            lines.append(f"{job['job_id']}: {job['state']}; its log: {facts['run']}/{job['log']}")
    finished = counts["finished"] + counts["pruned"] == counts["total"]
    if not facts["runner"] and not finished:
        lines.append(f"nobody is at it; go on with: hpc resume {facts['run']}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _errors() -> Iterator[None]:
    """A user's mistake is one short paragraph on stderr, without a traceback."""
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
            _complain(f"hpc: {error}")
            raise typer.Exit(1) from None
        raise


def _mistakes() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend, as far as their modules are loaded at all."""
    kinds = (("results", "RunError"), ("sweeps", "SweepError"), ("jobs.horovod", "RanksUnavailableError"))
    return tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)


def main() -> None:
    """Entry point of the command."""
    gc.disable()  # a short command is mostly imports, which make no garbage: a tenth faster
    app()
