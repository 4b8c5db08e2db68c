"""The charts of a run, by their names.

Their colours are those of :mod:`hpc.results.plots.base`, for categories, and for numbers matplotlib's viridis
and plasma (S. van der Walt, N. Smith, 2015), which are even to the eye and to those who are colour-blind.
matplotlib, pandas and Optuna are imported where they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from hpc.results.plots.axes import style
from hpc.results.plots.base import GRID, INK, PAPER, arranged
from hpc.results.plots.data import ChartData, ChartParts, DoesNotGoError
from hpc.results.plots.embedding import svg
from hpc.results.store import Run, RunError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

from hpc.results.plots.cost import cost_chart
from hpc.results.plots.effects import effects_chart
from hpc.results.plots.heatmap import heatmap_chart
from hpc.results.plots.importance import importance_chart
from hpc.results.plots.parallel import parallel_chart
from hpc.results.plots.points import points_chart
from hpc.results.plots.progress import progress_chart


@dataclass(frozen=True)
class Chart:
    """A chart of a run, to be drawn.

    Attributes:
        name: of its kind, one of ``CHARTS``; also its id, and the stem of its file.
        title: what it shows, as a heading.
        caption: the same in a sentence or two, with the numbers that matter: its text alternative.
        data: what is drawn, as a tidy table.
        draw: makes the figure, another one each time; with the title that it is given above it.
    """

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    draw: Callable[..., Figure]

    def _repr_html_(self) -> str:
        """The chart with its caption, for a notebook."""
        ground = f"--ink:{INK};--grid:{GRID};--paper:{PAPER};background:{PAPER};color:{INK}"
        return (
            f'<figure style="{ground};margin:0;padding:1em;max-width:7.2in"><b>{escape(self.title)}</b>'
            f"{svg(self.draw())}<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


def charts(
    run: Run, names: Sequence[str] | None = None, note: Callable[[str], None] = lambda text: None
) -> list[Chart]:
    """The charts of a run, in the order of ``CHARTS``.

    Args:
        run: as read.
        names: of the charts wanted; all that go with the run unless given.
        note: hears why a chart was left out.

    Raises:
        RunError: there is no such chart, or (a ``DoesNotGoError``) one that is named does not go with the
            run.
    """
    for name in names or []:
        if name not in CHARTS:
            raise RunError(f"{name!r} is no chart; there are {', '.join(CHARTS)}.")
    data, made = ChartData(run), list[Chart]()
    for name, make in CHARTS.items():
        if names is not None and name not in names:
            continue
        try:
            chart = make(data)
        except DoesNotGoError as error:
            if names is not None:
                raise DoesNotGoError(f"no chart {name}: {error}.") from None
            note(f"no {name}: {error}")
        else:
            made.append(Chart(name, chart.title, chart.caption, chart.data, partial(_drawn, chart.draw)))
    return made


def _drawn(draw: Callable[[str], Figure], title: str = "") -> Figure:
    with style():
        return arranged(draw(title))


CHARTS: dict[str, Callable[[ChartData], ChartParts]] = {
    "heatmap": heatmap_chart,
    "points": points_chart,
    "parallel": parallel_chart,
    "importance": importance_chart,
    "effects": effects_chart,
    "progress": progress_chart,
    "cost": cost_chart,
}
"""By name: the function that makes it, in the order of the page. To add a chart, write a module beside this
one and enter its function here."""
