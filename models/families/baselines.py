"""Baselines of scikit-learn: what a network has to beat.

Each function returns an estimator that is not fitted yet, to be fitted to samples of shape (n,
features) and to targets of shape (n,), or (n, k) for several numbers or one-hot classes.
Arguments have scikit-learn's names and, unless noted otherwise, its defaults. ``random_state``
stays None everywhere: what is random is drawn from NumPy's global generator, which the caller
seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hpc.models.families.mlp import Penalty, Positive, Width

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Gamma = Annotated[Literal["scale", "auto"] | Positive, Field(description="scale, auto, or a number above 0")]
Ratio = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
Kernel = Literal["linear", "poly", "rbf", "sigmoid"]
SgdLoss = Literal["hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron"]
SgdPenalty = Literal["l2", "l1", "elasticnet", "none"]


def knn(
    num_classes: int | None,
    *,
    n_neighbors: Width = 5,
    weights: Literal["uniform", "distance"] = "uniform",
) -> BaseEstimator:
    """The k nearest neighbours: they vote on the class, or their numbers are averaged.

    Args:
        num_classes: None where numbers are predicted.
        n_neighbors: how many, at most as many as there are training samples.
        weights: uniform counts all neighbours alike, distance by one over their distance.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    estimator = KNeighborsRegressor if num_classes is None else KNeighborsClassifier
    return estimator(n_neighbors=n_neighbors, weights=weights)


def logistic_regression(
    num_classes: int | None,
    *,
    C: Positive = 1.0,  # noqa: N803  # scikit-learn's name
    penalty: Literal["l2", "none"] = "l2",
    fit_intercept: bool = True,
    max_iter: Width = 1000,
) -> BaseEstimator:
    """Logistic regression, over more than two classes as softmax regression.

    Args:
        num_classes: None where numbers are predicted, which it can't.
        C: the greater, the weaker the penalty.
        penalty: l2 is on the sum of squared weights; none leaves C without effect.
        fit_intercept: whether there are biases.
        max_iter: most steps of the L-BFGS solver; scikit-learn's own default is 100.

    Raises:
        ValueError: numbers are to be predicted.
    """
    from sklearn.linear_model import LogisticRegression

    _needs_classes("logistic_regression", num_classes)
    # Since scikit-learn 1.8 an infinite C means no penalty; its argument of that name is going.
    strength = float("inf") if penalty == "none" else C
    return LogisticRegression(C=strength, fit_intercept=fit_intercept, max_iter=max_iter)


def sgd_classifier(
    num_classes: int | None,
    *,
    sgd_loss: SgdLoss = "hinge",
    penalty: SgdPenalty = "l2",
    alpha: Positive = 1e-4,
    l1_ratio: Ratio = 0.15,
    max_iter: Width = 1000,
    tol: Positive | None = 1e-3,
) -> BaseEstimator:
    """A linear classifier fitted by stochastic gradient descent, one class against all others.

    Args:
        num_classes: None where numbers are predicted, which it can't.
        sgd_loss: scikit-learn's loss, a name that is the training's here; hinge is a linear support
            vector machine, log_loss logistic regression.
        penalty: on the weights.
        alpha: factor of the penalty, which also decides the learning rate.
        l1_ratio: share of the absolute weights in the penalty elasticnet.
        max_iter: most passes over the samples.
        tol: it stops when the loss has fallen by less for five passes; None never stops it.

    Raises:
        ValueError: numbers are to be predicted.
    """
    from sklearn.linear_model import SGDClassifier

    _needs_classes("sgd_classifier", num_classes)
    return SGDClassifier(
        loss=sgd_loss,
        penalty=None if penalty == "none" else penalty,
        alpha=alpha,
        l1_ratio=l1_ratio,
        max_iter=max_iter,
        tol=tol,
    )


def linear_regression(*, fit_intercept: bool = True) -> BaseEstimator:
    """Linear regression by least squares; on classes, of their one-hot vectors.

    Args:
        fit_intercept: whether there are biases.
    """
    from sklearn.linear_model import LinearRegression

    return LinearRegression(fit_intercept=fit_intercept)


def ridge(*, alpha: Penalty = 1.0, fit_intercept: bool = True) -> BaseEstimator:
    """Linear regression with a penalty on squared weights; on classes, of their one-hot vectors.

    Args:
        alpha: factor of the penalty.
        fit_intercept: whether there are biases.
    """
    from sklearn.linear_model import Ridge

    return Ridge(alpha=alpha, fit_intercept=fit_intercept)


def lasso(
    *,
    alpha: Positive = 1.0,
    variance_threshold: Penalty | None = None,
    standardize: bool = True,
    max_iter: Width = 1000,
) -> BaseEstimator:
    """Linear regression with a penalty on absolute weights; on classes, of their one-hot vectors.

    Args:
        alpha: factor of the penalty.
        variance_threshold: leave out features that vary no more than that, before all else.
        standardize: whether each feature is brought to mean 0 and variance 1, so that the penalty
            treats all alike; scikit-learn's Lasso leaves that to its user.
        max_iter: most passes over the weights.

    Source: R. Tibshirani, Regression shrinkage and selection via the lasso, J. R. Stat. Soc. B
    58(1), 1996.
    """
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.linear_model import Lasso
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [] if variance_threshold is None else [VarianceThreshold(variance_threshold)]
    if standardize:
        steps.append(StandardScaler())
    return make_pipeline(*steps, Lasso(alpha=alpha, max_iter=max_iter))


def decision_tree(
    num_classes: int | None,
    *,
    max_depth: Width | None = None,
    min_samples_leaf: Width = 1,
) -> BaseEstimator:
    """A decision tree, for classes or for numbers.

    Args:
        num_classes: None where numbers are predicted.
        max_depth: most questions on the way to a leaf; None lets the tree grow to the end.
        min_samples_leaf: fewest training samples in a leaf.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    estimator = DecisionTreeRegressor if num_classes is None else DecisionTreeClassifier
    return estimator(max_depth=max_depth, min_samples_leaf=min_samples_leaf)


def random_forest(
    num_classes: int | None,
    *,
    n_estimators: Width = 100,
    max_depth: Width | None = None,
    min_samples_leaf: Width = 1,
) -> BaseEstimator:
    """A random forest, for classes or for numbers.

    Args:
        num_classes: None where numbers are predicted.
        n_estimators: how many trees.
        max_depth: most questions on the way to a leaf; None lets the trees grow to the end.
        min_samples_leaf: fewest training samples in a leaf.

    Source: L. Breiman, Random forests, Machine Learning 45, 2001.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    estimator = RandomForestRegressor if num_classes is None else RandomForestClassifier
    return estimator(n_estimators=n_estimators, max_depth=max_depth, min_samples_leaf=min_samples_leaf)


def svm(
    output_size: int,
    num_classes: int | None,
    *,
    C: Positive = 1.0,  # noqa: N803  # scikit-learn's name
    kernel: Kernel = "rbf",
    gamma: Gamma = "scale",
) -> BaseEstimator:
    """A support vector machine, for classes or for numbers; one for each of several numbers.

    Args:
        output_size: numbers to predict, where there are no classes.
        num_classes: None where numbers are predicted.
        C: the greater, the weaker the penalty.
        kernel: how alike two samples are.
        gamma: how fast that falls with their distance; scale is one over (features times
            variance), auto one over features.
    """
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.svm import SVC, SVR

    if num_classes is not None:
        return SVC(C=C, kernel=kernel, gamma=gamma)
    machine = SVR(C=C, kernel=kernel, gamma=gamma)
    return machine if output_size == 1 else MultiOutputRegressor(machine)


def _needs_classes(name: str, num_classes: int | None) -> None:
    if num_classes is None:
        raise ValueError(
            f"{name} tells classes apart, but the targets of these data are numbers to predict; "
            "take linear_regression, ridge, lasso, knn, decision_tree, random_forest or svm"
        )
