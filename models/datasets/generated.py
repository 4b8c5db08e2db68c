"""Data that are drawn on the spot, by scikit-learn's generators.

Each function returns the whole ``(x, y)``: x of shape (n, features), float64; y of shape (n,),
class numbers as int32 or numbers to predict as float64. Options have scikit-learn's names, and
equal ones give the very arrays that scikit-learn gives. Only ``random_state`` has a default of
its own, 0, so that nothing is different the next time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hpc.models.arrays import Array
from hpc.models.reference import ModelError

Count = Annotated[int, Field(ge=1, description="a whole number of at least 1")]
Natural = Annotated[int, Field(ge=0, description="a whole number of at least 0")]
Spread = Annotated[float, Field(ge=0, description="a number of at least 0")]
Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
Factor = Annotated[float, Field(ge=0, lt=1, description="a number from 0 up to, but not including, 1")]
Box = Annotated[list[float], Field(min_length=2, max_length=2, description="a list of two numbers")]
RandomState = Annotated[int, Field(ge=0, lt=2**32, description=f"a whole number from 0 to {2**32 - 1}")]


def blobs(
    *,
    n_samples: Count = 100,
    n_features: Count = 2,
    centers: Count = 3,
    cluster_std: Spread = 1.0,
    center_box: Box = [-10.0, 10.0],  # noqa: B006  # a list, as a sweep file has it; never changed
    random_state: RandomState = 0,
) -> tuple[Array, Array]:
    """Round clouds of points, one per class (``sklearn.datasets.make_blobs``).

    Args:
        n_samples: over all classes.
        n_features: coordinates of a point.
        centers: how many classes; scikit-learn draws where their centres are.
        cluster_std: standard deviation of a cloud.
        center_box: least and greatest coordinate of a centre.
        random_state: seed of the draws.
    """
    from sklearn.datasets import make_blobs

    x, y = make_blobs(
        n_samples,
        n_features,
        centers=centers,
        cluster_std=cluster_std,
        center_box=tuple(center_box),
        random_state=random_state,
    )
    return x, y.astype(np.int32)


def circles(
    *,
    n_samples: Count = 100,
    noise: Spread = 0.0,
    factor: Factor = 0.8,
    random_state: RandomState = 0,
) -> tuple[Array, Array]:
    """Two circles in the plane, one inside the other (``sklearn.datasets.make_circles``).

    Args:
        n_samples: over both.
        noise: standard deviation of what is added to every coordinate.
        factor: radius of the inner circle, class 1; that of the outer one is 1.
        random_state: seed of the noise and the order.
    """
    from sklearn.datasets import make_circles

    x, y = make_circles(n_samples, noise=noise, factor=factor, random_state=random_state)
    return x, y.astype(np.int32)


def moons(
    *,
    n_samples: Count = 100,
    noise: Spread = 0.0,
    random_state: RandomState = 0,
) -> tuple[Array, Array]:
    """Two half-circles in the plane that reach into each other (``sklearn.datasets.make_moons``).

    Args:
        n_samples: over both.
        noise: standard deviation of what is added to every coordinate.
        random_state: seed of the noise and the order.
    """
    from sklearn.datasets import make_moons

    x, y = make_moons(n_samples, noise=noise, random_state=random_state)
    return x, y.astype(np.int32)


def regression(
    *,
    n_samples: Count = 100,
    n_features: Count = 100,
    n_informative: Natural = 10,
    n_targets: Count = 1,
    bias: float = 0.0,
    noise: Spread = 0.0,
    random_state: RandomState = 0,
) -> tuple[Array, Array]:
    """Numbers that are linear in the features (``sklearn.datasets.make_regression``).

    Args:
        n_samples: how many.
        n_features: normally distributed numbers per sample.
        n_informative: on how many of them the targets depend; at most on all.
        n_targets: numbers to predict per sample; y has shape (n, n_targets) for more than one.
        bias: added to every target.
        noise: standard deviation of what is added to every target.
        random_state: seed of the draws.
    """
    from sklearn.datasets import make_regression

    x, y = make_regression(
        n_samples,
        n_features,
        n_informative=n_informative,
        n_targets=n_targets,
        bias=bias,
        noise=noise,
        random_state=random_state,
    )
    # scikit-learn squeezes y, and so loses an axis where there is one sample, too.
    return x, y.reshape(n_samples if n_targets == 1 else (n_samples, n_targets))


def classification(
    *,
    n_samples: Count = 100,
    n_features: Count = 20,
    n_informative: Count = 2,
    n_redundant: Natural = 2,
    n_classes: Count = 2,
    n_clusters_per_class: Count = 2,
    flip_y: Share = 0.01,
    class_sep: Spread = 1.0,
    random_state: RandomState = 0,
) -> tuple[Array, Array]:
    """Classes at the corners of a hypercube (``sklearn.datasets.make_classification``).

    Args:
        n_samples: over all classes.
        n_features: per sample; those neither informative nor redundant are noise.
        n_informative: dimensions of the hypercube.
        n_redundant: features that are linear in the informative ones.
        n_classes: how many.
        n_clusters_per_class: corners that belong to each.
        flip_y: share of the samples whose class is drawn by lot.
        class_sep: half the side of the hypercube; the greater, the easier.
        random_state: seed of the draws.

    Raises:
        ModelError: more informative and redundant features than features, or more clusters than
            corners.

    Source: I. Guyon, Design of experiments for the NIPS 2003 variable selection benchmark, 2003.
    """
    from sklearn.datasets import make_classification

    options = {
        "n_features": n_features,
        "n_informative": n_informative,
        "n_redundant": n_redundant,
        "n_classes": n_classes,
        "n_clusters_per_class": n_clusters_per_class,
    }
    problem = classification_problem(options)
    if problem:
        raise ModelError(problem)
    x, y = make_classification(
        n_samples, **options, flip_y=flip_y, class_sep=class_sep, random_state=random_state
    )
    return x, y.astype(np.int32)


def classification_problem(options: Mapping[str, Any]) -> str | None:
    """A sentence about options of ``classification`` that are right one by one but not together, or None."""
    numbers = {
        "n_features": 20,
        "n_informative": 2,
        "n_redundant": 2,
        "n_classes": 2,
        "n_clusters_per_class": 2,
    }
    numbers |= {name: value for name, value in options.items() if name in numbers and isinstance(value, int)}
    features, informative, redundant, classes, clusters = numbers.values()
    if informative + redundant > features:
        return (
            f"n_informative={informative} and n_redundant={redundant} are together more than "
            f"n_features={features}"
        )
    if informative < math.log2(classes * clusters):
        return (
            f"n_classes={classes} times n_clusters_per_class={clusters} clusters need as many corners, "
            f"but with n_informative={informative} there are {2**informative}; raise n_informative"
        )
    return None


def worked_example(*, bias: bool = False) -> tuple[Array, Array]:
    """One sample, and what a network of sigmoid units makes of it, computed by hand.

    The network has three inputs, three hidden units and two outputs. The hidden units have the
    weights (1, -2, 2), (2, 1, -4) and (1, -1, 0), the outputs (-3, 1, -3) and (0, 1, 2).

    Args:
        bias: whether every hidden unit has a bias of 0.1.

    Returns:
        x of shape (1, 3), y of shape (1, 2) to 8 digits.
    """
    outputs = [0.32269997, 0.85959729] if bias else [0.34584136, 0.85314921]
    return np.array([[0.5, 0.9, -0.3]]), np.array([outputs])
