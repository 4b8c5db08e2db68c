"""Charts of a run and pictures of one trial: which go with it, and the files they are written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.jobs import stored
from hpc.owners import of_another
from hpc.results import Run, RunError, TrialState, pictures, plots, table
from hpc.sweeps import Sweep, did_you_mean
from hpc.sweeps.text import message_of
from hpc.trial_summary import find_trial, trial_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hpc.jobs.data import Prepared


def draw(
    folder: str | Path,
    trial: str | None = None,
    kinds: Sequence[str] | None = None,
    out: Path | None = None,
    forms: Sequence[str] = ("png", "svg"),
    note: Callable[[str], None] = lambda text: None,
    *,
    with_data: bool = False,
) -> list[Path]:
    """Draw charts of a run and pictures of its best trial, or pictures of another.

    Nothing that the run names is run, unless ``with_data`` says so: it may be anybody's.

    Args:
        folder: the folder of the run.
        trial: the trial's id, or the beginning of it. Then no chart of the run is drawn unless asked for.
        kinds: the names of kinds, of ``results.plots.CHARTS`` and of ``KINDS``; all that go with the run
            and the trial unless given.
        out: the folder to write to; ``pictures`` in that of the run unless given.
        forms: the formats, of ``results.pictures.FORMATS``.
        note: hears why a chart or a picture was left out, unless nothing at all can be drawn; and whose
            file is run, if it is another user's.
        with_data: whether to run the function that ``data:`` of the run's sweep names, for the pictures that
            need its samples. Data of ours, and those in a file, are read in any case.

    Returns:
        The files, ``CHART.FORMAT`` of the run and ``TRIAL-KIND.FORMAT`` of a trial.

    Raises:
        RunError: there is no such run, trial, kind or format, or what was asked for does not go with the
            run or the trial.
    """
    known_kinds = [*plots.CHARTS, *KINDS]
    for what, words, known in (("kind", kinds or [], known_kinds), ("format", forms, pictures.FORMATS)):
        for word in words:
            if word not in known:
                raise RunError(
                    f"{word!r} is no {what} of picture{did_you_mean(word, known)}; there are "
                    f"{', '.join(known)}."
                )
    run = Run(folder)
    figures: dict[str, Figure] = {}
    left_out: list[str] = []
    if (kinds is None and trial is None) or any(kind in plots.CHARTS for kind in kinds or []):
        names = None if kinds is None else [kind for kind in kinds if kind in plots.CHARTS]
        for chart in plots.charts(run, names, left_out.append):
            figures[chart.name] = chart.draw(f"{run.name}: {chart.title}")
    names = [kind for kind in dict.fromkeys(kinds or KINDS) if kind in KINDS]
    if names:
        subject = partial(TrialContext, run, say=note, with_data=with_data)
        hears = left_out.append if kinds is None else None
        figures |= _of_trial(subject, run, trial, names, hears, bool(figures))
    for text in left_out:  # where nothing at all can be drawn, the error says it alone
        note(text)
    paths = []
    for stem, figure in figures.items():
        for form in dict.fromkeys(forms):
            out = out or run.folder / "pictures"
            out.mkdir(parents=True, exist_ok=True)
            path = out / f"{stem}.{form}"
            pictures.save(figure, path)
            paths.append(path)
    return paths


def _of_trial(
    of: Callable[[TrialState], TrialContext],
    run: Run,
    trial: str | None,
    kinds: Sequence[str],
    note: Callable[[str], None] | None,
    is_more: bool,
) -> dict[str, Figure]:
    """Draw pictures of a trial, by the stems of their files; without ``note``, what does not go is an error.

    ``is_more`` says whether there is something to draw in any case.
    """
    try:
        subject = of(find_trial(run, trial))
    except RunError as error:
        if trial is not None or note is None or not is_more:
            raise
        note(f"no pictures of a trial: {error}")
        return {}
    figures = {}
    left_out: dict[str, list[str]] = {}
    for kind in kinds:
        try:
            figures[f"{subject.trial.trial_id}-{kind}"] = KINDS[kind](subject)
        except _NeedsCodeError as error:
            left_out.setdefault(str(error), []).append(kind)
        except NoPictureError as error:
            if note is None:
                raise RunError(f"no picture of the kind {kind}: {error}.") from None
            note(f"no {kind}: {error}")
    for why, names in left_out.items():  # said once of all of them
        if note is None:
            raise RunError(f"no picture of the kind {', '.join(names)}: {why}.")
        note(f"no {', '.join(names)}: {why}")
    return figures


class NoPictureError(Exception):
    """A picture that can't be drawn of this trial; the reason in words."""


class _NeedsCodeError(NoPictureError):
    """A picture for which code would be run that nobody has said may be."""


@dataclass
class TrialContext:
    """A trial, and what its pictures need: loaded when the first of them asks for it.

    ``with_data`` says whether a function of the user's may be run for them, ``say`` hears whose it is.
    """

    run: Run
    trial: TrialState
    say: Callable[[str], None]
    with_data: bool

    @property
    def title(self) -> str:
        """What stands above a picture."""
        return f"{self.run.name}, {self.trial.trial_id}"

    @cached_property
    def prepared(self) -> Prepared:
        """The data as the worker had them, though not scaled: a kept model does that itself."""
        from hpc.jobs.collectives import horovod
        from hpc.jobs.data import Preparation
        from hpc.jobs.training import an_error

        sweep = stored.load(self.run.folder, self.run.sweep_texts)
        if sweep.kind != "model":
            raise NoPictureError(f"{sweep.training} loads its data itself")
        self._ask(sweep)
        horovod.ease_import()
        try:
            return Preparation(sweep).of(trial_of(sweep, self.trial), "none")
        except BaseException as raised:  # a file that is gone, a function of the user's
            raise NoPictureError(f"the data can't be loaded: {message_of(an_error(raised))}") from None

    def _ask(self, sweep: Sweep) -> None:
        """Make sure that the function which gives the data may be run, if it is none of ours."""
        from hpc.jobs.references import data_of

        reference = data_of(sweep)
        if not reference.is_users_code:
            return
        try:
            file = reference.source()
        except ValueError as error:
            raise NoPictureError(f"the data can't be loaded: {error}") from None
        whose = of_another(file)
        if not self.with_data:
            raise _NeedsCodeError(
                f"the samples come from {reference.text}, and the code of a run is not run to look at it; "
                f"--with-data runs {file}{whose} and draws this"
            )
        if whose:
            self.say(f"This runs {file}{whose}.")

    @property
    def train(self) -> Any:
        """What the model was fitted to."""
        return self.prepared.data.train

    @property
    def has_classes(self) -> bool:
        """Whether the targets are classes."""
        return self.prepared.data.num_classes is not None

    @cached_property
    def model(self) -> Any:
        """The trained model."""
        path = self.run.model_file(self.trial)
        if path is None:
            raise NoPictureError(
                "the model is not kept (keep: all in the sweep keeps every network; estimators of "
                "scikit-learn never are)"
            )
        from hpc.jobs.node import device

        threads = device.available_cpus()
        device.prepare(os.environ, threads)
        device.start(threads, 0, 0, 1)
        import keras

        try:
            return keras.saving.load_model(path, safe_mode=True)  # which runs no code out of the file
        except Exception as error:  # a class of the user's, mostly
            raise NoPictureError(f"plain Keras can't load {path}: {message_of(error)}") from None

    def predict(self, x: Any) -> Any:
        """Give what the model makes of samples."""
        return self.model.predict(x, verbose=0)

    @property
    def unseen(self) -> tuple[str, Any]:
        """The part that the model was not fitted to: of the test, else of the validation."""
        parts = self.prepared.data.parts()
        name = next((name for name in ("test", "validation") if name in parts), "train")
        return name, parts[name]

    def images(self, x: Any) -> Any:
        """Give those samples if they are grey images: squares of pixels, or such squares in a row."""
        shape = x.shape[1:]
        side = round(shape[0] ** 0.5) if len(shape) == 1 else 0
        if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1) or (side > 3 and side**2 == shape[0]):
            return x
        raise NoPictureError(f"samples of shape {shape} are no grey images")


def _curves(subject: TrialContext) -> Figure:
    frame = table(subject.run, epochs=True)
    frame = frame[frame["trial_id"] == subject.trial.trial_id]
    measured = [name for name in subject.trial.attempt.metrics if not name.startswith(("val_", "test_"))]
    if len(frame) < 2:
        raise NoPictureError("fewer than two epochs are recorded")
    return pictures.learning_curves(frame, measured, subject.title)


def _confusion(subject: TrialContext) -> Figure:
    counts = subject.trial.attempt.confusion
    part = next((part for part in ("test", "validation") if part in counts), None)
    if part is None:
        raise NoPictureError("no classes were counted")
    return pictures.confusion(counts[part], f"{subject.title}, {part} part")


def _boundary(subject: TrialContext) -> Figure:
    train = subject.train
    if train.x.shape[1:] != (2,) or not subject.has_classes:
        raise NoPictureError("the data are not points of two dimensions in classes")
    return pictures.decision_boundary(subject.predict, train.x, train.y, f"{subject.title}, training part")


def _filters(subject: TrialContext) -> Figure:
    subject.images(subject.train.x)
    try:
        return pictures.filters(subject.model)
    except ValueError as error:
        raise NoPictureError(str(error)) from None


def _wrong(subject: TrialContext) -> Figure:
    name, part = subject.unseen
    images = subject.images(part.x)
    if not subject.has_classes:
        raise NoPictureError("the targets are no classes")
    return pictures.most_wrong(images, part.y, subject.predict(part.x), title=f"{subject.title}, {name} part")


def _samples(subject: TrialContext) -> Figure:
    train = subject.train
    if not subject.has_classes:
        raise NoPictureError("the targets are no classes")
    return pictures.samples(subject.images(train.x), train.y, title=f"{subject.run.name}, training part")


KINDS: dict[str, Callable[[TrialContext], Figure]] = {
    "curves": _curves,
    "confusion": _confusion,
    "boundary": _boundary,
    "filters": _filters,
    "wrong": _wrong,
    "samples": _samples,
}
"""By name: what draws it of a trial. To add a picture, write the drawing in results/pictures/ and enter it
here; charts of a run are in results/plots/."""
