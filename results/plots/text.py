"""Names and values of users as texts that can be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpc.results.stats import is_number

if TYPE_CHECKING:
    import pandas as pd


def plain(text: object, most: int = 40) -> str:
    """A user's text in one line of letters that can be drawn."""
    line = " ".join("".join(one if one.isprintable() else " " for one in str(text)).split())
    line = line or "(empty)"
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def format_value(value: Any, none: str = "none") -> str:
    """A value of a hyperparameter; ``none`` is the word where there is none."""
    import pandas as pd

    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return none
    return plain(format_number(float(value)) if isinstance(value, float) else value)


def format_number(value: float) -> str:
    """With four digits."""
    text = f"{value:.4g}"
    mantissa, e, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if e else text


def format_end(value: float) -> str:
    """With two digits: where an axis is cut."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else format_number(float(f"{value:.2g}"))


def format_range(values: pd.Series, none: str = "none") -> str:
    """What values of a hyperparameter are among some settings; ``none`` is the word where there is none."""
    distinct = values.drop_duplicates()
    if is_number(values) and len(distinct) > 3:
        return f"{format_value(float(values.min()))} to {format_value(float(values.max()))}"
    texts = [format_value(one, none) for one in (distinct.sort_values() if is_number(values) else distinct)]
    return " or ".join(texts) if len(texts) <= 3 else f"{', '.join(texts[:3])} or others"


def format_share(share: float) -> str:
    """A share from 0 to 1, with two digits."""
    return f"{share:.0%}" if share >= 0.0995 or not share else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def join_names(names: Sequence[str]) -> str:
    """Names of users as a list in a sentence."""
    return join_texts([plain(name) for name in names])


def join_texts(texts: Sequence[str]) -> str:
    """Texts as a list in a sentence."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def unit_of_hours(hours: float) -> tuple[str, float]:
    """What to give such a number of hours in, and how many of it an hour is."""
    return ("hours", 1.0) if hours >= 1 else ("minutes", 60.0) if hours >= 1 / 60 else ("seconds", 3600.0)


def name_of_hours(kind: str, unit: str = "hours") -> str:
    """A kind of hours as it is called: ``core_hours`` are core-hours, or core-minutes."""
    name = kind.removesuffix("_hours")
    return f"{'GPU' if name == 'gpu' else name}-{unit}"


def format_hours(hours: float, kind: str) -> str:
    """So many hours of a kind (``core_hours``), in the unit that goes with them."""
    unit, factor = unit_of_hours(hours)
    return f"{hours * factor:.3g} {name_of_hours(kind, unit)}"


def decimals(values: Any) -> int:
    """How many decimals tell numbers apart: three digits of their range."""
    import numpy as np

    width = float(np.max(values) - np.min(values)) or abs(float(np.max(values))) or 1.0
    return min(max(2 - math.floor(math.log10(width)), 0), 5)
