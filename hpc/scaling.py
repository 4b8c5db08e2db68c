"""The scaling report: a sweep's first trial on several numbers of ranks, or what runs say that are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.outcome import View
from hpc.results import Run, RunError
from hpc.results import scaling as model_of

if TYPE_CHECKING:
    import pandas as pd

    from hpc.results.scaling import Advice, AlphaBeta, Prediction
    from hpc.sweeps import Sweep

STEADY_SECONDS, LEAST_EPOCHS, MAX_EPOCHS = 8.0, 5, 300
"""How long each measurement trains, about, and within which numbers of epochs."""
PROBE, PROBE_EPOCHS = "probe", 3
SCATTER = 1.25
"""Steps whose quartiles lie further apart than this factor were disturbed."""
MEMORY_RANKS = 4
"""Up to so many ranks share memory, see docs/ranks.md; more go around a ring."""


@dataclass(frozen=True)
class Report:
    """What scaling a training has shown.

    Attributes:
        table: as :func:`hpc.results.scaling.speed_up` gives it, with ``predicted`` (samples per second),
            ``predicted_low`` and ``predicted_high``: what steps of one rank say of those of several,
            which the model has not seen.
        model: fitted to all that was measured; None where one rank was not.
        predictions: of that model, for ranks that were asked for.
        advice: N trials on a rank each, or each on N ranks; None without a sweep of several trials.
        sentences: what to know of all that.
    """

    table: pd.DataFrame
    model: AlphaBeta | None
    predictions: list[Prediction]
    advice: Advice | None
    sentences: list[str] = field(default_factory=list)

    def entries(self) -> dict[str, Any]:
        """As plain values, for JSON; what is not known is None."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict(orient="records")
        entries: dict[str, Any] = {"measured": rows, "model": None, "sentences": self.sentences}
        if self.model is not None:
            line = self.model.collective
            entries["model"] = {
                "compute": [
                    {
                        "beside": beside,
                        "seconds": float(one.terms[0]),
                        "seconds_per_sample": float(one.terms[1]),
                    }
                    for beside, one in self.model.compute.items()
                ],
                "alpha_seconds": None if line is None else float(line.terms[0]),
                "seconds_per_byte": None if line is None else float(line.terms[1]),
                "gradient_bytes": self.model.gradient_bytes,
                "reduces_by": self.model.reduces_by,
                "rest_seconds": float(self.model.rest[0]),
            }
        entries["predictions"] = [asdict(one) for one in self.predictions]
        entries["advice"] = None if self.advice is None else asdict(self.advice)
        return entries


def scale(
    sweep: Sweep,
    *,
    ranks: Sequence[int] = (1, 2),
    on: str = "local",
    folder: str | Path | None = None,
    epochs: int | None = None,
    weak: bool = False,
    predict: Sequence[int] = (),
    profiles_file: Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Report:
    """Train the first trial of a sweep on each number of ranks, and report.

    What was measured before in the same folder is not measured again. On this machine every rank has
    the threads that it has where all of the most ranks are at work, and single ranks are measured alone
    and side by side: they share caches and memory, and cores that are no whole ones.

    Args:
        sweep: of which the first trial is taken.
        ranks: in any order; 1 is always measured.
        on: name of a profile.
        folder: for the runs; ``runs/NAME-scaling`` unless given.
        epochs: of each measurement; as many as take some seconds on one rank unless given.
        weak: whether each rank keeps the sweep's batch, so that the global batch grows with the ranks;
            else the global batch stays.
        predict: further numbers of ranks.
        profiles_file: a file of profiles that counts before all others.
        note: hears how it goes on.

    Raises:
        RunError: ``ranks`` are none, or the folder holds another sweep.
        SweepError: the sweep or the profile can't be carried out as written.
        RuntimeError: a training did not end well.
    """
    from hpc import profile as profiles
    from hpc.jobs.node import device

    numbers = sorted({1, *ranks})
    if not ranks or numbers[0] < 1 or any(number < 1 for number in predict):
        raise RunError(f"--ranks {','.join(map(str, ranks))}: take whole numbers of at least 1, like 1,2,4.")
    most, base = numbers[-1], Path(folder) if folder is not None else Path("runs") / f"{sweep.name}-scaling"
    named = profiles.find(on, [sweep.folder], profiles_file)
    local = named.profile.cluster == "local"

    def train(
        name: str, epochs: int, batch: int | None, *, ranks: int = 1, workers: int, beside: int = 1
    ) -> Run:
        one = probe_of(sweep, epochs, batch, beside)
        return _trained(one, base / name, on, ranks, workers if local else None, profiles_file, note)

    probe = train(PROBE, PROBE_EPOCHS, None, workers=most)
    entries = next(iter(probe.trials.values())).attempt.workload
    batch = entries["batch_size"]
    if epochs is None:
        each = entries["steps_seconds"] / entries["steps"] * math.ceil(entries["samples"] / batch)
        epochs = min(MAX_EPOCHS, max(LEAST_EPOCHS, math.ceil(STEADY_SECONDS / each)))
    sizes = sorted({max(1, batch if weak else batch // number) for number in numbers} | {batch}, reverse=True)
    if len(sizes) == 1:  # two sizes tell what does not shrink with the batch
        sizes.append(max(1, batch // 2))
    runs = [train(f"alone-{size}", epochs, size, workers=most) for size in sizes]
    wide = [number for number in numbers if local and 1 < number <= device.available_cpus()]
    if wide:
        runs += [
            train(f"beside-{number}-{size}", epochs, size, workers=number, beside=number)
            for number in wide
            for size in sizes
        ]
    for number in numbers[1:]:
        name, size = (f"ranks-{number}-weak", batch * number) if weak else (f"ranks-{number}", batch)
        runs.append(train(name, epochs, size, ranks=number, workers=max(1, most // number)))
    made = report(runs, weak=weak, predict=predict, sweep=sweep, devices=most)
    made.sentences.extend(trained_apart(made.table, wide, sizes))
    if local and most > device.available_cpus():
        cpus = device.available_cpus()
        made.sentences.append(
            f"{most} ranks have shared {cpus} CPUs here, so their steps say little of others."
        )
    return made


def trained_apart(table: pd.DataFrame, wide: Sequence[int], sizes: Sequence[int]) -> list[str]:
    """Which trials were to be trained side by side, and have missed each other."""
    single = table[table["ranks"] == 1]
    measured = set(zip(single["beside"], single["batch_size"], strict=True))
    return [
        f"{number} trials with batches of {size} did not train at the same time, one was over before another "
        "began: the step of a rank among others is not known of them. Take more epochs: --epochs N."
        for number in wide
        for size in sizes
        if (number, size) not in measured
    ]


def folders(targets: Sequence[Path]) -> list[Path]:
    """Folders of runs among these, or in those that ``scale`` has made.

    Raises:
        RunError: there is no run in one of them.
    """
    found: list[Path] = []
    for target in targets:
        inside = [path.parent for path in sorted(target.glob("*/sweep.yaml")) if path.parent.name != PROBE]
        if not (target / "sweep.yaml").is_file() and not inside:
            raise RunError(f"{target} is neither the folder of a run nor one of `hpc scaling`.")
        found += [target] if (target / "sweep.yaml").is_file() else inside
    return found


def report(
    runs: Sequence[str | Path | Run],
    *,
    weak: bool = False,
    predict: Sequence[int] = (),
    sweep: Sweep | None = None,
    devices: int | None = None,
) -> Report:
    """What runs that are there say of scaling.

    Args:
        runs: folders.
        weak: whether predictions keep the batch of each rank, and not the global one.
        predict: further numbers of ranks.
        sweep: whose trials the advice is for; that of the only run unless given.
        devices: that the advice is for; the most ranks that were measured unless given.

    Raises:
        RunError: the runs say nothing of the speed.
    """
    opened = [one if isinstance(one, Run) else Run(one, keep_epochs=True) for one in runs]
    frame = model_of.measure(opened)
    sentences = []
    frame, other = _of_one_model(frame)
    if other:
        sentences.append(
            f"Models of {other} other sizes are left out: what is compared has "
            f"{frame['parameters'].iloc[0]:,} trainable parameters and {frame['samples'].iloc[0]:,} samples."
        )
    reduced = model_of.reductions(opened)
    table = model_of.speed_up(frame)
    several = sorted({int(number) for number in frame["ranks"] if number > 1})
    blind = whole = None
    if (frame["ranks"] == 1).any():
        blind = model_of.fit(frame, reduced)
        whole = model_of.fit(frame, reduced, ranks=several)
    table = _with_predictions(table, blind)
    most = int(frame["ranks"].max())
    batch = int(frame[frame["ranks"] == most]["batch_size"].max()) // (most if weak else 1)
    predictions = []
    if whole is not None:
        predictions = [whole.predict(n, batch * n if weak else batch) for n in sorted(set(predict))]
        sentences += _words(frame, table, whole, predictions)
    elif predict:
        sentences.append("Nothing is predicted: the model needs a run on one rank, too.")
    given = None
    wide = devices or max(several, default=1)
    if whole is not None and whole.collective is not None and wide > 1:
        trials, epochs = _extent(sweep, opened)
        if trials > 1:
            steps = epochs * math.ceil(int(frame["samples"].iloc[0]) / batch)
            given = model_of.advice(whole, trials=trials, devices=wide, batch_size=batch, steps=steps)
            sentences.append(given.text)
    return Report(table, whole, predictions, given, sentences)


def lines(report: Report) -> list[str]:
    """A report as a person reads it."""
    from hpc.results import render

    table = report.table
    shown: dict[str, Any] = {name: table[name] for name in ("ranks", "nodes", "beside")}
    shown |= {"batch": table["batch_size"], "samples/s": table["samples_per_second"].round()}
    per_step = table["samples_per_second"] * table["step_seconds"]
    slow, fast = per_step / table["step_seconds_high"], per_step / table["step_seconds_low"]
    shown |= {"quartiles": [f"{a:.0f} to {b:.0f}" for a, b in zip(slow, fast, strict=True)]}
    shown |= {"speed-up": table["speed_up"].round(2), "scaling": table["scaling"]}
    shown["efficiency"] = _percent(table["efficiency"])
    shown["of side by side"] = _percent(table["efficiency_beside"])
    shown |= {name: _percent(table[f"{name}_share"]) for name in model_of.SHARES}
    shown |= {"J/sample": table["joules_per_sample"], "predicted": table["predicted"].round()}
    edges = zip(table["predicted_low"], table["predicted_high"], strict=True)
    shown |= {"interval": ["" if math.isnan(a) else f"{a:.0f} to {b:.0f}" for a, b in edges]}
    frame = type(table)(shown)
    empty = [name for name in frame if (frame[name].isna() | (frame[name] == "")).all()]
    empty += ["nodes"] if (table["nodes"] == 1).all() else []
    return [*render(frame.drop(columns=empty), "table").rstrip().splitlines(), "", *report.sentences]


def _percent(values: pd.Series[float]) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.1%}" for value in values]


def probe_of(sweep: Sweep, epochs: int, batch: int | None, seeds: int) -> Sweep:
    """Its first trial, with another global batch, and with as many seeds as are to be side by side."""
    trial = sweep.require_model("timing the steps of a training").first_trial
    fixed = {**trial.params, "epochs": epochs} | ({} if batch is None else {"batch_size": batch})
    return sweep.single_trial(trial, fixed=fixed, seeds=[trial.seed + number for number in range(seeds)])


def _trained(
    sweep: Sweep,
    folder: Path,
    on: str,
    ranks: int,
    workers: int | None,
    profiles_file: Path | None,
    note: Callable[[str], None],
) -> Run:
    from hpc import running

    outcome = running.run(
        sweep, on=on, folder=folder, workers=workers, ranks=ranks, profiles_file=profiles_file, measure=True,
        view=View(),
    )  # fmt: skip
    if not outcome.is_good:
        failed = next((t.attempt for t in outcome.run.trials.values() if t.state == "failed"), None)
        why = outcome.error or (f"{failed.reason}: {failed.error}" if failed else "it was stopped")
        raise RuntimeError(f"{folder} did not end well: {why}\nThe same command again goes on.")
    if outcome.trained:
        note(f"{folder}: measured")
    return Run(folder, keep_epochs=True)


def _of_one_model(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows of the model with most numbers of ranks, then most epochs; and how many others there are."""
    groups = [group for _, group in frame.groupby(["parameters", "samples"])]
    best = max(groups, key=lambda group: (group["ranks"].nunique(), int(group["epochs"].sum())))
    return best.reset_index(drop=True), len(groups) - 1


def _with_predictions(table: pd.DataFrame, blind: AlphaBeta | None) -> pd.DataFrame:
    found = []
    for row in model_of.rows_of(table):
        values = [math.nan] * 3
        if blind is not None and blind.collective is not None and row.ranks > 1:
            said = blind.predict(int(row.ranks), int(row.batch_size))
            per_step = row.samples_per_second * row.step_seconds
            values = [per_step / seconds for seconds in (said.step_seconds, said.high, said.low)]
        found.append(values)
    names = ["predicted", "predicted_low", "predicted_high"]
    return table.assign(**{name: [row[place] for row in found] for place, name in enumerate(names)})


def _words(
    frame: pd.DataFrame, table: pd.DataFrame, model: AlphaBeta, predictions: Sequence[Prediction]
) -> list[str]:
    words = []
    if frame["source"].iloc[0] == "epochs":
        words.append(
            "Only whole epochs were timed, validation included; `measure: true` in a profile says more."
        )
    scatter = float((frame["step_seconds_high"] / frame["step_seconds_low"]).max())
    if scatter > SCATTER:
        words.append(
            f"The quartiles of a step's time are up to a factor of {scatter:.1f} apart: the machine had "
            "other work. Trust none of this to the percent; on a quiet machine, measure into a new --dir."
        )
    if (table["efficiency_beside"].notna()).any():
        words.append(
            "Speed-up and efficiency are against one rank alone; `of side by side` is against as many single "
            "ranks that train at the same time, each with its share of the batch."
        )
    for beside, line in model.compute.items():
        alone = "alone" if beside == 1 else f"beside {beside - 1} more"
        unclear = " (one batch size only: anything between these two)" if line.is_bracket else ""
        words.append(
            f"A step of one rank {alone} takes {1e3 * line.terms[0]:.3g} ms and {1e6 * line.terms[1]:.3g} µs "
            f"per sample{unclear}."
        )
    sums = model.collective
    if sums is not None:
        way = {"memory": "shared memory", "": "the ranks"}.get(
            model.reduces_by, f"Horovod ({model.reduces_by})"
        )
        speed = f"{1e-9 / sums.terms[1]:.3g} GB/s" if sums.terms[1] > 0 else "no limit to be seen"
        unclear = " (one number of ranks only: anything between these two)" if sums.is_bracket else ""
        words.append(
            f"Sums over {way}: α = {1e6 * sums.terms[0]:.3g} µs, β = {speed}{unclear}; gradients have "
            f"{model.gradient_bytes / 1e6:.3g} MB."
        )
    blind = table[table["predicted"].notna()]
    for row in model_of.rows_of(blind):
        off = row.predicted / row.samples_per_second - 1
        hit = (
            "holds" if row.predicted_low <= row.samples_per_second <= row.predicted_high else "does not hold"
        )
        words.append(
            f"{row.ranks} ranks from 1: {row.predicted:.0f} samples/s predicted ({row.predicted_low:.0f} to "
            f"{row.predicted_high:.0f}), {row.samples_per_second:.0f} measured: {off:+.0%}; the interval "
            f"{hit} what was measured."
        )
    for one in predictions:
        rate = [one.batch_size / seconds for seconds in (one.step_seconds, one.high, one.low)]
        parts = [one.compute_seconds, one.collective_seconds, one.rest_seconds]
        compute, collective, rest = (f"{1e3 * seconds:.3g} ms" for seconds in parts)
        words.append(
            f"{one.ranks} ranks, batch {one.batch_size}: {rate[0]:.0f} samples/s ({rate[1]:.0f} to "
            f"{rate[2]:.0f}); a step is {compute} compute, {collective} collectives, {rest} rest"
            f"{_caveat(one, model)}."
        )
    return words


def _caveat(one: Prediction, model: AlphaBeta) -> str:
    """What a prediction rests on that was not seen."""
    told = []
    if one.ranks > max(model.measured):
        told.append(f"at most {max(model.measured)} were measured")
    if model.reduces_by == "memory" and one.ranks > MEMORY_RANKS:
        told.append(f"above {MEMORY_RANKS} ranks Horovod sums up, which HPC_SHARED_MEMORY=0 would measure")
    if model.nodes == 1 and one.ranks > max(model.measured):
        told.append("a network between nodes was not measured")
    return f" (extrapolated: {', and '.join(told)})" if told else ""


def _extent(sweep: Sweep | None, runs: Sequence[Run]) -> tuple[int, int]:
    """How many trials there are to train, and for how many epochs each."""
    if sweep is not None:
        return sweep.size, int({**sweep.defaults, **sweep.first_trial.params}.get("epochs", 10))
    if len(runs) > 1:
        return 0, 0
    epochs = [trial.attempt.epochs for trial in runs[0].trials.values()]
    return len(epochs), max(epochs, default=0)
