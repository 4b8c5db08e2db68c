"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file, YAML.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.")]
RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.")]
OneTrial = Annotated[
    str | None,
    typer.Argument(metavar="TRIAL", help="The trial's id, or how it begins (default: the best one)."),
]

On = Annotated[
    str,
    typer.Option("--on", metavar="PROFILE", help="Where: local, debug (in this process), slurm, or yours."),
]
OnAgain = Annotated[
    str | None,
    typer.Option("--on", metavar="PROFILE", help="Where (default: where it was run the last time)."),
]
ProfilesFile = Annotated[
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
Settings = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="A CSV file of settings, instead of the sweep's."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Jobs at once (default: one per core or GPU).")
]
Ranks = Annotated[
    int | None, typer.Option("--ranks", metavar="N", help="Processes that train one trial together.")
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
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
