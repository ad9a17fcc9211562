"""Scores agree with scikit-learn and SciPy, also in a bootstrap sample."""

import numpy as np
import pytest
from numpy.typing import NDArray

sklearn_metrics = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")

from experiments.metrics import (  # noqa: E402
    bar_means,
    bootstrap,
    concordance,
    linear_map,
    log_loss,
    macro_f1,
    pearson,
    r_squared,
    spearman,
    weighted_mean,
)

CLIPS = 60


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(params=["once", "resampled"])
def counts(request: pytest.FixtureRequest, rng: np.random.Generator) -> NDArray[np.int64]:
    if request.param == "once":
        return np.ones(CLIPS, np.int64)
    return rng.multinomial(CLIPS, np.full(CLIPS, 1 / CLIPS))


def test_class_scores_agree_with_scikit_learn(
    rng: np.random.Generator, counts: NDArray[np.int64]
) -> None:
    probabilities = rng.dirichlet(np.ones(4), CLIPS)
    truth = rng.integers(4, size=CLIPS)
    assert macro_f1(probabilities, truth, counts) == pytest.approx(
        sklearn_metrics.f1_score(
            truth, probabilities.argmax(1), average="macro", sample_weight=counts
        )
    )
    assert log_loss(probabilities, truth, counts) == pytest.approx(
        sklearn_metrics.log_loss(truth, probabilities, sample_weight=counts, labels=range(4))
    )


def test_classes_that_never_occur_do_not_count() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert macro_f1(probabilities, np.array([0, 1]), np.array([1, 1])) == 1


def test_rating_scores_agree_with_scikit_learn_and_scipy(
    rng: np.random.Generator, counts: NDArray[np.int64]
) -> None:
    truth = rng.normal(size=CLIPS).round(1)  # with ties
    estimate = truth + rng.normal(size=CLIPS)
    repeated = np.repeat(np.arange(CLIPS), counts)
    x, y = estimate[repeated], truth[repeated]
    assert spearman(estimate, truth, counts) == pytest.approx(stats.spearmanr(x, y)[0])
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y)[0])
    assert r_squared(estimate, truth, counts) == pytest.approx(sklearn_metrics.r2_score(y, x))
    expected = 2 * np.cov(x, y, bias=True)[0, 1]
    expected /= np.var(x) + np.var(y) + (x.mean() - y.mean()) ** 2
    assert concordance(estimate, truth, counts) == pytest.approx(expected)
    assert weighted_mean(estimate, counts) == pytest.approx(x.mean())


def test_constant_estimates_do_not_correlate() -> None:
    constant, ratings = np.ones(5), np.arange(5.0)
    assert spearman(constant, ratings, np.ones(5, np.int64)) == 0
    assert pearson(constant, ratings) == 0


def test_linear_map_is_least_squares(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, CLIPS))
    np.testing.assert_allclose(linear_map(x, y), np.polyfit(x, y, 1))


def test_bar_means_are_integrals_of_steps(rng: np.random.Generator) -> None:
    rows = rng.normal(size=20)
    start = rng.uniform(-5, 20, 50)
    end = start + rng.uniform(0.1, 6, 50)
    fine = np.linspace(0, 1, 40_001)[:-1] + 0.5 / 40_000
    for mean, low, high in zip(bar_means(rows, start, end), start, end, strict=True):
        times = low + fine * (high - low)
        values = rows[np.clip(np.floor(times), 0, len(rows) - 1).astype(int)]
        assert mean == pytest.approx(values.mean(), abs=1e-3)


def test_bootstrap_resamples_whole_groups() -> None:
    # Two groups, each of equal values: the mean of a resample is 0, 0.5 or 1.
    groups = np.array(["a"] * 50 + ["b"] * 50)
    values = np.repeat([0.0, 1.0], 50)
    seen = []

    def mean(counts: NDArray[np.int64]) -> float:
        seen.append(weighted_mean(values, counts))
        return seen[-1]

    score = bootstrap([groups], [mean])
    assert score.value == 0.5
    assert score.seeds == (0.5,)
    assert (score.low, score.high) == (0, 1)
    assert set(seen) == {0.0, 0.5, 1.0}


def test_bootstrap_resamples_a_group_in_every_seed() -> None:
    groups = np.array(["a", "b", "c"])
    received: list[list[NDArray[np.int64]]] = [[], []]

    def statistic(seed: int, counts: NDArray[np.int64]) -> float:
        received[seed].append(counts)
        return float(seed)

    score = bootstrap(
        [groups, groups[::-1]], [lambda c: statistic(0, c), lambda c: statistic(1, c)]
    )
    assert score.value == 0.5
    assert score.seeds == (0, 1)
    for one, other in zip(*received, strict=True):
        np.testing.assert_array_equal(one, other[::-1])
