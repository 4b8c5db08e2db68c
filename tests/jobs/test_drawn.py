"""Of two models that differ in one thing, trained one after the other, each comes to what ``fit`` comes to.

Models, optimizers, losses, metrics, penalties and functions are drawn from all that Keras has, the one
thing from what no config says. ``python -m tests.jobs.test_drawn 2000`` draws more.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hpc.jobs.collectives.world import World
from hpc.jobs.node.rank_info import RankInfo
from tests.jobs import drawn
from tests.jobs.drawn import Answering, Drawing, Result, kept, packed, shares

ALONE = World(RankInfo(), Path(), "")
DRAWN = int(os.environ.get("HPC_TESTS_DRAWN", "6"))
NEAR = 5e-3
"""How near metrics have to come to those of ``fit``, relative to 1 or more: steps by the sign of a gradient
that is nearly 0 may differ."""


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    kind = draw(st.sampled_from(list(drawn.SHAPES)))
    targets = draw(st.sampled_from(list(drawn.LOSSES)))
    layer = st.tuples(st.sampled_from(drawn.LAYERS[kind]), st.sampled_from(drawn.ACTIVATIONS))
    first = [] if kind == "words" else [("Dense" if kind == "vectors" else "Conv2D", "tanh")]
    return {
        "kind": kind,
        "targets": targets,
        "masked": draw(st.booleans()),
        "sequential": draw(st.booleans()),
        "layers": [*first, *draw(st.lists(layer, max_size=3))],
        "regularizer": draw(st.sampled_from(drawn.REGULARIZERS)),
        "constraint": draw(st.sampled_from(drawn.CONSTRAINTS)),
        "optimizer": draw(st.sampled_from(drawn.OPTIMIZERS)),
        "schedule": draw(st.sampled_from(drawn.SCHEDULES)),
        "more": draw(st.sampled_from(drawn.MORE)),
        "loss": draw(st.sampled_from(drawn.LOSSES[targets])),
        "metrics": draw(st.lists(st.sampled_from(drawn.METRICS[targets]), max_size=2, unique=True)),
        "difference": draw(st.sampled_from([*drawn.HIDDEN, *drawn.NUMBERS])),
    }


class DiffersError(AssertionError):
    """What a drawing came to is not what it should."""


def near(found: Result, wanted: Result, what: str) -> None:
    """Compare the metrics."""
    if set(found["metrics"]) != set(wanted["metrics"]):
        raise DiffersError(f"{what}: {sorted(found['metrics'])} for {sorted(wanted['metrics'])}")
    for name, value in wanted["metrics"].items():
        mine = found["metrics"][name]
        counted = not name.endswith("loss")  # a sample near a threshold may be counted otherwise
        tolerance = NEAR * max(1.0, abs(value)) * (20 if counted else 1)
        if np.isfinite(value) and not abs(mine - value) <= tolerance:
            raise DiffersError(f"{what}: {name} is {mine}, should be {value}")


def check(drawing: Drawing, fit: Answering, ranks: list[Answering] | None = None) -> str:
    """Make sure that a drawing comes to what it should.

    Returns:
        What was compared, in a word.
    """
    names = [name for name, _ in drawing["layers"]]
    if ranks is not None:
        apart = ("Dropout", "BatchNormalization")  # of each rank's own samples
        drawing = {**drawing, "layers": [entry for entry in drawing["layers"] if entry[0] not in apart]}
        for rank in ranks:
            rank.ask(drawing)
    for value in (0, 1):
        fit.ask([drawing, value])
    wanted = [fit.answer() for _ in (0, 1)]
    answers = [rank.answer() for rank in ranks or []]
    errors = [one["error"] for one in wanted if "error" in one]
    if errors:
        return f"no model of Keras: {errors[0][:60]}"
    if any(not np.isfinite(one["metrics"]["loss"]) for one in wanted):
        return "diverges"
    random = "Dropout" in names or drawing["difference"] == "dropout"
    if ranks is not None:
        for number, answer in enumerate(answers):
            if "error" in answer:
                raise DiffersError(f"rank {number}: {answer['error']}")
            for value in (0, 1):
                near(answer[value], wanted[value], f"two ranks, value {value}")
        return "two ranks"
    values = (0, 1, 0) if shares(drawing) else (1,)  # those that share none are trained apart anyway
    found = kept(drawing, values, ALONE)
    if len(values) > 1:
        (fresh,) = kept(drawing, (1,), ALONE)
        if found[1] != fresh:
            raise DiffersError(f"kept graphs: {found[1]['metrics']}, fresh ones {fresh['metrics']}")
        if found[0] != found[2]:
            raise DiffersError("the first of the pair, trained again, comes to something else")
    if not random:
        for value, result in zip(values, found, strict=True):
            near(result, wanted[value], f"value {value}")
    lanes = packed(drawing)
    how = "one rank, graphs shared" if len(values) > 1 else "one rank"
    if lanes is None:
        return how
    for value, result in zip(values, found, strict=True):
        near(lanes[value], result, f"lane {value}")
    return f"{how}, and a pack"


@pytest.fixture(scope="module")
def fit() -> Iterator[Answering]:
    process = Answering("fit")
    yield process
    Answering.end(process)


def two_ranks(folder: Path) -> list[Answering]:
    """Two ranks, as submitit's local executor starts them."""
    ranks = []
    for rank in "01":
        env = {"SUBMITIT_LOCAL_GLOBALID": rank, "SUBMITIT_LOCAL_LOCALID": rank, "SUBMITIT_LOCAL_NTASKS": "2"}
        ranks.append(Answering("rank", str(folder), SUBMITIT_EXECUTOR="local", **env))
    return ranks


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Answering]]:
    found = two_ranks(tmp_path_factory.mktemp("ranks"))
    yield found
    Answering.end(*found)


OFTEN = settings(
    max_examples=DRAWN,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@OFTEN
@given(drawing=drawings())
def test_a_pair_that_is_drawn_comes_to_what_fit_comes_to(fit: Answering, drawing: Drawing) -> None:
    check(drawing, fit)


@pytest.mark.slow
@OFTEN
@given(drawing=drawings())
def test_a_pair_that_is_drawn_comes_to_the_same_on_two_ranks(
    fit: Answering, ranks: list[Answering], drawing: Drawing
) -> None:
    check(drawing, fit, ranks)


PLAIN: Drawing = {
    "kind": "vectors",
    "targets": "classes",
    "masked": False,
    "sequential": True,
    "layers": [("Dense", "tanh")],
    "regularizer": None,
    "constraint": None,
    "optimizer": "AdamW",
    "schedule": None,
    "more": {},
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy"],
    "difference": "rate",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # through a layer that discretizes
@pytest.mark.parametrize("difference", drawn.HIDDEN)
def test_whatever_no_config_says_makes_a_difference(difference: str) -> None:
    """Else the drawings would prove nothing."""
    first, second, again = kept({**PLAIN, "difference": difference}, (0, 1, 0), ALONE)
    assert first["metrics"] != second["metrics"]
    assert first == again


def main(count: int, seed: int, *, with_ranks: bool) -> None:
    """Draw so many, and print what was found."""
    from hypothesis import seed as seeded

    found: Counter[str] = Counter()
    start, fit = time.time(), Answering("fit")
    folder = tempfile.TemporaryDirectory()
    ranks = two_ranks(Path(folder.name)) if with_ranks else None

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(drawing=drawings())
    def draw(drawing: Drawing) -> None:
        try:
            word = check(drawing, fit, ranks)
        except DiffersError as error:
            word = "DIFFERS"
            print(f"{error}\n  {json.dumps(drawing)}", flush=True)
        except Exception as error:
            word = "ERROR"
            print(f"{type(error).__name__}: {str(error)[:300]}\n  {json.dumps(drawing)}", flush=True)
        found[word] += 1
        if sum(found.values()) % 50 == 0:
            print(sum(found.values()), dict(found.most_common()), f"{time.time() - start:.0f} s", flush=True)

    draw()
    print(sum(found.values()), dict(found.most_common()), f"{time.time() - start:.0f} s", flush=True)
    Answering.end(fit, *(ranks or []))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, with_ranks="--ranks" in sys.argv)
