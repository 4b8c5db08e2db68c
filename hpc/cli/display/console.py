"""Where people are told things."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def plain_console() -> Console:
    """Give a console that shows text as it is: values may hold what rich takes for markup or an emoji."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def complain(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr)
