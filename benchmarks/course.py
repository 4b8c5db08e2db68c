"""The systems of the courses, each by its sweep file, beside the figures that the courses report.

    uv run python -m benchmarks.course --out docs/course.md

trains all rows with three seeds and writes the tables of docs/course.md: half an hour to an hour on
two cores, most of it for rows 12 to 16, which need MNIST. Runs are kept in a folder (--dir); the same
command again takes from there what is finished. `--rows 1-9` takes some rows only, `--short` a shortened
form of the long ones, which shows that they learn, not that they reach the course's figure.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

import hpc
from hpc import results, sweeps
from hpc.jobs.node import device

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(sweeps.__file__).parent / "course"
TEST = ("folds=", "objective=loss")
"""Takes away the folds: what they have chosen is trained on all of them, and tested."""


@dataclass(frozen=True)
class Sweep:
    """A sweep file of the course, as it is run here.

    Attributes:
        file: its name in sweeps/course, without the ending.
        overrides: as for ``--set``.
        short: further ones that make it short.
        seeded: whether anything in it is random.
    """

    file: str
    overrides: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    seeded: bool = True

    def load(self, seeds: int, *, short: bool) -> sweeps.Sweep:
        """The sweep with so many seeds."""
        more = [f"seeds={seeds}"] if self.seeded else []
        further = self.short if short else ()
        return sweeps.load(FOLDER / f"{self.file}.yaml", [*self.overrides, *further, *more])

    def name(self, *, short: bool, ranks: int) -> str:
        """The name of its folder."""
        tested = "-test" if TEST[0] in self.overrides else ""
        return self.file + tested + ("-short" if short else "") + (f"-ranks{ranks}" if ranks > 1 else "")


@dataclass(frozen=True)
class Figure:
    """One figure of a row.

    Attributes:
        row: of course.md.
        what: is measured, in words.
        sweep: that gives it.
        column: of the table.
        course: the figure that the course reports; None if it leaves it open.
        at_least: what ours has to reach: ``course`` unless given, or what a baseline gets on the
            same data less ``less``.
        less: see there.
        floor: what the shortened form has to reach.
        where: hyperparameters of the point, or ``model`` where there is a baseline, too.
        highest: a column of which the trials with the highest value count.
        reason: why it is known not to be reached.
    """

    row: int
    what: str
    sweep: Sweep
    column: str
    course: float | None
    at_least: float | str | None = None
    less: float = 0.0
    floor: float | None = None
    where: dict[str, Any] = field(default_factory=dict)
    highest: str = ""
    reason: str = ""

    def values(self, frame: pd.DataFrame) -> list[float]:
        """One value per seed: that of the trial, or the mean over its folds."""
        for name, value in self.where.items():
            frame = frame[frame[name] == value]
        if self.highest:
            frame = frame[frame[self.highest] == frame[self.highest].max()]
        return [float(value) for value in frame.groupby("seed")[self.column].mean()]

    def wanted(self, frame: pd.DataFrame) -> float | None:
        """What ours has to reach."""
        if isinstance(self.at_least, str):
            beside = frame[frame["model"] == self.at_least]
            return float(beside.groupby("seed")[self.column].mean().mean()) - self.less
        return self.course if self.at_least is None else self.at_least


NEURON = Sweep("02-neuron", short=("fixed.epochs=1000", "fixed.learning_rate=0.1"))
CIRCLES = Sweep("03-circles", short=("fixed.epochs=2000",))
MOONS = Sweep("04-moons", short=("space.epochs=[20]", "space.hidden_size=[10]"))
REGRESSION = Sweep("05-regression")
CLASSES = Sweep("06-classification")
EASY_MOONS = Sweep("07-moons", short=("fixed.epochs=100",))
DIGITS = Sweep("08-digits", short=("fixed.epochs=100",))
DIGITS_TEST = Sweep("08-digits", TEST, short=("fixed.epochs=100",))
DEEP = Sweep("09-digits-deep", short=("fixed.epochs=50",))
DEEP_TEST = Sweep("09-digits-deep", TEST, short=("fixed.epochs=50",))
MNIST_500 = Sweep("10-mnist-500", short=("fixed.epochs=2000", "fixed.learning_rate=0.5"))
MNIST_KERAS = Sweep("11-mnist-keras", short=("fixed.epochs=20",))
MNIST_TANH = Sweep("12-mnist-tanh", short=("data.train=5000", "fixed.epochs=20"))
MNIST_CNN = Sweep("13-mnist-cnn", short=("data.train=5000", "fixed.epochs=2"))
MNIST_DEEP = Sweep("14-mnist-deep", short=("data.train=5000", "fixed.epochs=2"))
MNIST_TWO = Sweep("15-mnist-two-convolutions", short=("data.train=5000", "data.test=2000"))
MNIST_KERAS_CNN = Sweep("16-mnist-keras-cnn", short=("data.train=5000", "data.test=2000", "fixed.epochs=2"))
LASSO = Sweep("17-mnist-lasso", short=("data.train=5000",), seeded=False)
LASSO_TEST = Sweep("17-mnist-lasso", TEST, short=("data.train=5000",), seeded=False)
KNN = Sweep("18-digits-knn", seeded=False)
KNN_TEST = Sweep("18-digits-knn", TEST, seeded=False)

TWO, THREE = "[128, 128]", "[128, 128, 128]"
FIGURES = [
    Figure(2, "test accuracy", NEURON, "test_accuracy", 0.880, "logistic_regression", 0.01, 0.85,
           {"model": "linear"}),
    Figure(3, "training accuracy", CIRCLES, "accuracy", 0.860, floor=0.70),
    Figure(3, "test accuracy", CIRCLES, "test_accuracy", 0.730, floor=0.60),
    Figure(4, "accuracy in sample, 10 units, 200 epochs", MOONS, "accuracy", 0.95, floor=0.85,
           where={"hidden_size": 10}, highest="param_epochs"),
    Figure(5, "R² of the test part", REGRESSION, "test_r2_score", 0.99, floor=0.99,
           where={"model": "linear"}),
    Figure(6, "test accuracy, beside SGDClassifier", CLASSES, "test_accuracy", None, "sgd_classifier",
           floor=0.85, where={"model": "linear"}),
    Figure(7, "test accuracy", EASY_MOONS, "test_accuracy", 0.88, 0.99, floor=0.88, where={"model": "mlp"}),
    Figure(8, "accuracy over 4 folds", DIGITS, "val_accuracy", 0.9618, floor=0.90, where={"model": "mlp"}),
    Figure(8, "test accuracy", DIGITS_TEST, "test_accuracy", 0.9796, floor=0.90, where={"model": "mlp"}),
    Figure(9, "(128, 128): accuracy over 4 folds", DEEP, "val_accuracy", None, 0.9618, floor=0.9,
           where={"hidden_size": TWO}),
    Figure(9, "(128, 128): test accuracy", DEEP_TEST, "test_accuracy", None, 0.9796, floor=0.9,
           where={"hidden_size": TWO}),
    Figure(9, "(128, 128, 128): accuracy over 4 folds", DEEP, "val_accuracy", None, 0.9618, floor=0.9,
           where={"hidden_size": THREE}),
    Figure(9, "(128, 128, 128): test accuracy", DEEP_TEST, "test_accuracy", None, 0.9796, floor=0.9,
           where={"hidden_size": THREE}),
    Figure(10, "test accuracy, no penalty", MNIST_500, "test_accuracy", 0.82, floor=0.65,
           where={"l2": 0.0}),
    Figure(10, "test accuracy, L2 penalty 0.0001", MNIST_500, "test_accuracy", 0.87, floor=0.65,
           where={"l2": 0.0001}),
    Figure(11, "test accuracy", MNIST_KERAS, "test_accuracy", 0.87, floor=0.80),
    Figure(12, "test accuracy", MNIST_TANH, "test_accuracy", 0.9654, floor=0.88),
    Figure(13, "test accuracy", MNIST_CNN, "test_accuracy", 0.9887, floor=0.90),
    Figure(14, "test accuracy", MNIST_DEEP, "test_accuracy", 0.9434, floor=0.85),
    Figure(15, "test accuracy", MNIST_TWO, "test_accuracy", 0.9626, floor=0.80),
    Figure(16, "test accuracy", MNIST_KERAS_CNN, "test_accuracy", 0.9906, floor=0.85),
    Figure(16, "LRAP of the test part", MNIST_KERAS_CNN, "test_label_ranking_average_precision", 0.9947,
           floor=0.90),
    Figure(17, "LRAP over 6 folds", LASSO, "val_label_ranking_average_precision", 0.478, floor=0.44),
    Figure(17, "LRAP of the test part", LASSO_TEST, "test_label_ranking_average_precision", 0.478, floor=0.44,
           reason="MNIST's test images are by other writers than its training images, and the course does "
           "not say which it measured on. Scikit-learn by itself gets the same on these."),
    Figure(18, "accuracy over 4 folds", KNN, "val_accuracy", 0.9841, floor=0.9841),
    Figure(18, "test accuracy", KNN_TEST, "test_accuracy", 0.9889, floor=0.9889),
]  # fmt: skip
ROWS = tuple(range(1, 19))
FORWARD = Sweep("01-forward-pass", seeded=False)
OUTPUTS = ((0.34584136, 0.85314921), (0.32269997, 0.85959729))
"""Of row 1: without and with the bias."""
DIGITS_SHOWN = 4


@dataclass(frozen=True)
class Measured:
    """A figure as it came out: one value per seed, what was wanted, seconds per trial."""

    figure: Figure
    values: list[float]
    wanted: float | None
    seconds: float

    @property
    def mean(self) -> float:
        """Of the values."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds (n - 1); 0 for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def is_reached(self) -> bool:
        """Whether the mean is at least what was wanted, at the digits that the course gives."""
        return self.wanted is None or round(self.mean, DIGITS_SHOWN) >= round(self.wanted, DIGITS_SHOWN)


class Course:
    """Runs the sweeps of the course, each once.

    Args:
        folder: of their runs.
        seeds: how many.
        short: whether the long ones are shortened.
        ranks: per trial.
    """

    def __init__(self, folder: Path, seeds: int = 3, *, short: bool = False, ranks: int = 1) -> None:
        self._folder, self._seeds, self._short, self._ranks = folder, seeds, short, ranks
        self._tables: dict[Sweep, pd.DataFrame] = {}

    def run(self, sweep: Sweep) -> Path:
        """The folder of the finished run of a sweep.

        Raises:
            RuntimeError: a trial has failed.
        """
        folder = self._folder / sweep.name(short=self._short, ranks=self._ranks)
        outcome = hpc.run(
            sweep.load(self._seeds, short=self._short),
            folder=folder,
            ranks=self._ranks,
            workers=1 if self._ranks > 1 else None,
        )
        if not outcome.is_good:
            raise RuntimeError(f"{folder} did not end well; `hpc table {folder}` says why")
        return folder

    def table(self, sweep: Sweep) -> pd.DataFrame:
        """The table of a sweep, one row per trial."""
        if sweep not in self._tables:
            self._tables[sweep] = results.table(self.run(sweep))
        return self._tables[sweep]

    def measure(self, figure: Figure) -> Measured:
        """A figure; of the shortened form what has to be reached is its floor."""
        frame = self.table(figure.sweep)
        wanted = figure.floor if self._short else figure.wanted(frame)
        return Measured(figure, figure.values(frame), wanted, float(frame["seconds"].mean()))

    def outputs(self) -> list[tuple[float, ...]]:
        """Those of row 1, by the models that its trials have saved."""
        device.prepare(os.environ, 1)
        device.start(1, 0, 0, 1)
        import keras
        import numpy as np

        run, sample = results.Run(self.run(FORWARD)), np.array([[0.5, 0.9, -0.3]])
        found = []
        for trial in sorted(run.trials.values(), key=lambda trial: trial.index):
            model = keras.saving.load_model(run.model_file(trial))
            found.append(tuple(float(value) for value in np.array(model(sample))[0]))
        return found


def rows_of(text: str) -> list[int]:
    """``1-9,17`` as numbers.

    Raises:
        ValueError: a row that there is not.
    """
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    if not set(found) <= set(ROWS):
        raise ValueError(f"{text}: there are the rows 1 to 18")
    return found


def first_row(outputs: Sequence[tuple[float, ...]]) -> list[list[str]]:
    """Row 1 of the table: reached if all outputs are the course's to eight digits."""
    lines = []
    for what, ours, wanted in zip(("no bias", "with the bias"), outputs, OUTPUTS, strict=True):
        shown = [", ".join(f"{value:.8f}" for value in values) for values in (wanted, ours)]
        lines.append(["1", f"outputs, {what}", *shown, "", "yes" if shown[0] == shown[1] else "NO"])
    return lines


def line(measured: Measured) -> list[str]:
    """A line of the table."""
    figure = measured.figure
    course = "open" if figure.course is None else f"{figure.course:g}"
    if measured.wanted is not None and measured.wanted != figure.course:
        beside = f"{figure.at_least}: " if isinstance(figure.at_least, str) else "at least "
        course += f" ({beside}{measured.wanted:.4g})"
    spread = f" ± {measured.spread:.4f}" if len(measured.values) > 1 else ""
    return [
        str(figure.row), figure.what, course, f"{measured.mean:.4f}{spread}", f"{measured.seconds:.1f}",
        "yes" if measured.is_reached else "NO",
    ]  # fmt: skip


def compared(one: Measured, two: Measured) -> tuple[list[str], bool]:
    """A line of the table of ranks, and whether the difference is within the noise.

    The noise is twice the standard error of a difference of two means over seeds, and no less than
    0.01: rounding in another order sends a training with dropout or large steps another way.
    """
    error = math.sqrt((one.spread**2 + two.spread**2) / len(one.values))
    allowed, difference = max(2 * error, 0.01), two.mean - one.mean
    within = abs(difference) <= allowed
    return [
        str(one.figure.row), one.figure.what, f"{one.mean:.4f} ± {one.spread:.4f}",
        f"{two.mean:.4f} ± {two.spread:.4f}", f"{difference:+.4f}", f"{allowed:.4f}",
        "yes" if within else "NO",
    ], within  # fmt: skip


def markdown(lines: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    """A table as Markdown."""
    return str(tabulate(list(lines), headers=headers, tablefmt="pipe", disable_numparse=True))


HEADERS = ("row", "figure", "of the course", "ours", "seconds", "reached")


def report(course: Course, rows: Sequence[int], tell: Callable[[str], None]) -> tuple[str, bool]:
    """The table of those rows, and whether all figures are reached or it is known why not."""
    lines, good = list[list[str]](), True
    reasons: list[str] = []
    if 1 in rows:
        lines += first_row(course.outputs())
        good = all(entries[-1] == "yes" for entries in lines)
    for figure in FIGURES:
        if figure.row in rows:
            measured = course.measure(figure)
            tell("  ".join(line(measured)))
            lines.append(line(measured))
            if not measured.is_reached and figure.reason:
                reasons.append(f"Row {figure.row}, {figure.what}: {figure.reason}")
            good = good and (measured.is_reached or bool(figure.reason))
    return "\n\n".join([markdown(lines, HEADERS), *reasons]), good


def ranks_report(
    one: Course, two: Course, rows: Sequence[int], tell: Callable[[str], None]
) -> tuple[str, bool]:
    """One rank beside two, and whether all differences are within the noise."""
    lines, good = [], True
    if 1 in rows:
        outputs = [", ".join(f"{v:.8f}" for v in pair) for course in (one, two) for pair in course.outputs()]
        same = outputs[:2] == outputs[2:]
        lines.append(["1", "outputs, no bias", outputs[0], outputs[2], "", "", "yes" if same else "NO"])
        good = same
    for figure in FIGURES:
        if figure.row in rows:
            entries, within = compared(one.measure(figure), two.measure(figure))
            tell("  ".join(entries))
            lines.append(entries)
            good = good and within
    headers = ("row", "figure", "1 rank", "2 ranks", "difference", "noise", "within")
    return markdown(lines, headers), good


def effects(course: Course) -> str:
    """Row 4's table: accuracy in sample by hidden size and epochs."""
    frame = course.table(MOONS).pivot_table("accuracy", "hidden_size", "param_epochs")
    lines = [[str(size), *(f"{value:.3f}" for value in row)] for size, row in frame.iterrows()]
    return markdown(lines, ["hidden units", *(f"{epochs} epochs" for epochs in frame.columns)])


PAGE = """# The courses' systems, measured

Written by

```
uv run python -m benchmarks.course --out docs/course.md
```

on {date}: {cores} CPU cores, {system}, Python {python}, TensorFlow {tensorflow}, Keras {keras}. From a
course to its sweep file: [courses](courses.md).

Figures are means and standard deviations over {seeds} seeds (rows 1, 17 and 18 draw nothing at random;
each fold counts for its seed), seconds are those of one trial on one core, of which two were at work. A
figure is reached if the mean, at four digits, is at least the course's; where the course leaves it open, or
we ask for more, what we ask for is in brackets.

{table}

Row 4 asks for the effect of hidden size and epochs; accuracy in sample:

{effects}

## On two ranks

Every row again on one rank and on two, with the same seeds, the long ones shortened (`--short`). The noise is
twice the standard error of the difference of the two means over the seeds, and no less than 0.01.

{ranks}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=rows_of, default=list(ROWS), help="1-9,17; all unless given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="the shortened form")
    parser.add_argument("--dir", type=Path, default=Path("runs/course"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, help="write the page here; runs everything, on two ranks, too")
    options = parser.parse_args()

    def tell(text: str) -> None:
        print(text, flush=True)

    course = Course(options.dir, options.seeds, short=options.short)
    table, good = report(course, options.rows, tell)
    if options.out is None:
        print(f"\n{table}")
        raise SystemExit(0 if good else 1)
    short = [Course(options.dir, options.seeds, short=True, ranks=ranks) for ranks in (1, 2)]
    ranks, within = ranks_report(short[0], short[1], options.rows, tell)
    page = PAGE.format(
        date=date.today().isoformat(), cores=os.cpu_count(), system=platform.system(),
        python=platform.python_version(), tensorflow=importlib.metadata.version("tensorflow"),
        keras=importlib.metadata.version("keras"), seeds=options.seeds, table=table,
        effects=effects(course), ranks=ranks,
    )  # fmt: skip
    results.write_text(options.out, page)
    raise SystemExit(0 if good and within else 1)


if __name__ == "__main__":
    main()
