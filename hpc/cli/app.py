"""The app: all commands together, in the order in which ``hpc --help`` shows them."""

from __future__ import annotations

import gc

import typer

from hpc.cli import inspect, operate, results, run

app = typer.Typer(
    name="hpc",
    help="Hyperparameter sweeps of Keras models, on a laptop or a cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes cost as much as all the rest of `hpc --help`, and break long paths
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for group in (run, inspect, results, operate):
    for command in group.commands.registered_commands:
        text = command.callback.__doc__ if command.callback else None
        command.short_help = (text or "").partition("\n")[0]  # whole: typer would cut it
    app.add_typer(group.commands)


def main() -> None:
    """Run the command as it was typed, and end the process with its exit code."""
    from hpc.jobs.node import print_anything

    print_anything()
    gc.disable()  # a short command is mostly imports, which make no garbage: a tenth faster
    app()
