"""The leaderboard as a person sees it in a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hpc.results import cell

if TYPE_CHECKING:
    import pandas as pd


def leaderboard_table(frame: pd.DataFrame, width: int) -> Table:
    """Give the leaderboard as a table of rich.

    Args:
        frame: what ``results.leaderboard`` returns.
        width: the width of the window in characters; in a narrow one, names of columns are folded at
            their underscores.
    """
    texts = {name: [cell(value) for value in frame[name]] for name in frame.columns}
    least = {name: max(map(len, column), default=0) for name, column in texts.items()}
    whole = sum(max(least[name], len(name)) + 2 for name in texts) <= width
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in texts:
        right = frame[name].dtype.kind in "if"
        header = name if whole else fold_header(name, least[name])
        table.add_column(Text(header), justify="right" if right else "left", no_wrap=True)
    for position, row in enumerate(zip(*texts.values(), strict=True)):
        table.add_row(*map(Text, row), style="bold green" if position == 0 else "")
    return table


def fold_header(name: str, width: int) -> str:
    """Break a name after underscores into lines of ``width`` characters, where it can be."""
    lines = [""]
    for part in re.findall(r"[^_]*_|[^_]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
