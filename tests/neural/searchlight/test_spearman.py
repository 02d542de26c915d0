"""Spearman RSA by bins and by sorting, against scipy on explicit lists of all pairs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from affectome.errors import InputError
from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns, model_geometry
from affectome.neural.searchlight._mantel import mantel_test
from affectome.neural.searchlight._moments3 import SUMS, RunBlocks, dense_pair_sums
from affectome.neural.searchlight._permutations import stimulus_permutations
from affectome.neural.searchlight._rank_scorers import SpearmanChunks, _ranks
from affectome.neural.searchlight._scorers import Asked
from affectome.neural.searchlight._spearman import AllowedPairs, PreparedSpearman, SpearmanScorer, rank_models

METRICS = ("correlation", "cosine", "sqeuclidean", "euclidean")
ROUNDING = 1e-6  # of similarities in float32, beside the bound


def ids_of(n):
    return tuple(f"s{i}" for i in range(n))


def parcels(*sizes):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Neighbourhoods(starts, np.arange(starts[-1], dtype=np.int32))


def made(rng, n, n_voxels, *, run=None, mean=0.0):
    """Three spaces (sparse, so that many similarities are tied), and patterns that share the first one."""
    sparse = np.where(rng.random((n, 5)) < 0.3, (8 * rng.gamma(1.0, size=(n, 5))).round() / 8, 0.0)
    spaces = [sparse, rng.normal(size=(n, 7)), np.eye(3)[rng.integers(0, 3, n)]]
    frames = [pd.DataFrame(s, index=ids_of(n)) for s in spaces]
    kinds = ("dot", "euclidean", "sqeuclidean")
    models = [model_geometry(s, name=f"m{k}", metric=m) for k, (s, m) in enumerate(zip(frames, kinds, strict=True))]
    x = sparse @ rng.normal(size=(5, n_voxels)) + rng.normal(size=(n, n_voxels)) + mean
    return models, Patterns("sub-01", ids_of(n), x.astype(np.float32), run)


def listed(matrix, run):
    n = len(matrix)
    counts = np.triu(np.ones((n, n), bool), 1)
    if run is not None:
        counts &= run[:, None] != run
    return matrix[counts]


def similarities(model):
    if model.dense is not None:
        return model.dense.astype(float)
    return ((model.factors * model.signs) @ model.factors.T).round(9)


def brain(responses, metric):
    """Similarities as scipy makes them; beyond nine decimals, ties are not ties any more."""
    distances = squareform(pdist(responses.astype(float), metric))
    return -(distances / distances.max()).round(9)


def expected(patterns, voxels, metric, models):
    own = listed(brain(patterns.responses[:, voxels], metric), patterns.run)
    return np.array([stats.spearmanr(own, listed(similarities(m), patterns.run)).statistic for m in models])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("with_runs", [True, False])
def test_rho_by_bins_is_that_of_scipy_within_its_bound(metric, with_runs):
    rng = np.random.default_rng(1)
    run = rng.integers(0, 9, 300) if with_runs else None
    models, patterns = made(rng, 300, 140, run=run, mean=1000.0 if "euclidean" in metric else 1.0)
    spheres = parcels(123, 10, 7)
    exact = np.array([expected(patterns, spheres[c], metric, models) for c in range(3)])
    scores = SpearmanScorer(metric=metric).prepare(models, patterns).score(spheres)
    assert not scores.by_sorting[0] and scores.n_pairs == len(listed(np.zeros((300, 300)), run))
    assert (scores.bound <= 1e-4).all()
    assert (np.abs(scores.rho - exact) <= scores.bound + ROUNDING).all()
    assert np.abs(scores.rho - exact).max() < 5e-6
    few = SpearmanScorer(metric=metric, bins=40, tolerance=1.0).prepare(models, patterns).score(spheres)
    assert not few.by_sorting.any() and (few.bound > 0.02).all()
    assert (np.abs(few.rho - exact) <= few.bound).all()
    assert np.abs(few.rho - exact).max() > 1e-5  # which bins of this size do cost


def test_a_thousand_stimuli_and_many_runs():
    rng = np.random.default_rng(2)
    models, patterns = made(rng, 1000, 60, run=np.arange(1000) // 25)
    scores = SpearmanScorer().prepare(models, patterns).score(parcels(60))
    exact = expected(patterns, np.arange(60), "correlation", models)
    assert not scores.by_sorting.any()
    np.testing.assert_allclose(scores.rho[0], exact, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [4, 5, 9, 30, 80])
def test_few_stimuli_and_tiny_spheres_are_sorted(metric, n):
    rng = np.random.default_rng(n)
    models, patterns = made(rng, n, 9)
    spheres = parcels(3, 6) if metric != "correlation" else parcels(2, 3, 4)  # two voxels: all r are -1 or 1
    models = [m for m in models if np.ptp(listed(similarities(m), None)) > 0]
    scores = SpearmanScorer(metric=metric).prepare(models, patterns).score(spheres)
    for centre in range(len(spheres)):
        exact = expected(patterns, spheres[centre], metric, models)
        np.testing.assert_allclose(scores.rho[centre], exact, atol=1e-4)
        if scores.by_sorting[centre]:
            np.testing.assert_allclose(scores.rho[centre], exact, atol=1e-6)
            assert (scores.bound[centre] == 0).all()


@pytest.mark.parametrize("method", ["histogram", "sort"])
def test_ties_of_brain_and_model_get_the_mean_of_their_ranks(method):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (120, 4)).astype(np.float32)  # squared distances 0 .. 16: 17 values for 7,140 pairs
    labels = np.eye(2)[rng.integers(0, 2, 120)]
    model = ModelGeometry("halves", "dot", factors=labels, signs=np.ones(2))
    patterns = Patterns("sub-01", ids_of(120), x)
    scores = SpearmanScorer(metric="sqeuclidean", method=method).prepare([model], patterns).score(parcels(4))
    exact = stats.spearmanr(-pdist(x, "sqeuclidean").round(), listed(labels @ labels.T, None)).statistic
    np.testing.assert_allclose(scores.rho[0, 0], exact, atol=1e-12 if method == "sort" else 1e-7)


@given(
    seed=st.integers(0, 10**6), n=st.integers(5, 70), bins=st.integers(3, 300), metric=st.sampled_from(METRICS),
    tail=st.sampled_from([0.0, 1.0, 3.0]), levels=st.sampled_from([0, 2, 6]), with_runs=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_bound_holds_whatever_the_distribution(seed, n, bins, metric, tail, levels, with_runs):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) * np.exp(tail * rng.normal(size=(n, 1)))
    x = np.round(x * levels) if levels else x
    run = rng.permutation(np.arange(n) % 3) if with_runs else None
    patterns = Patterns("sub-01", ids_of(n), x.astype(np.float32), run)
    own = x + 0.5 * rng.normal(size=x.shape)
    model = ModelGeometry("m", "dot", factors=own, signs=np.array([1.0, 1, 1, -1, 1, 1]))
    binned, exact = (
        SpearmanScorer(metric=metric, bins=bins, tolerance=3.0, method=method)
        .prepare([model], patterns)
        .score(parcels(6))
        for method in ("histogram", "sort")
    )
    if np.isnan(exact.rho).any():
        assert np.isnan(binned.rho).all()
        return
    assert exact.bound[0, 0] == 0
    # Rounding moves a similarity by some 1e-6 of the largest, and with heavy ties a whole level over an edge.
    assert abs(binned.rho[0, 0] - exact.rho[0, 0]) <= binned.bound[0, 0] + (
        0.02 if levels else 1e-3 * (tail > 1) + 1e-5
    )


def test_bins_beside_a_plain_twin():
    from affectome.neural.searchlight import _spearman_kernels as kernels

    rng = np.random.default_rng(4)
    models, patterns = made(rng, 150, 20, run=np.arange(150) // 30)
    prepared = SpearmanScorer(bins=200, tolerance=1.0).prepare(models, patterns)
    rows, offsets = np.empty((150, 20), np.float32), np.empty(150, np.float32)
    kernels._fill_rows(patterns.responses, np.arange(150), np.arange(20, dtype=np.int32), 0, rows, offsets)
    x = patterns.responses.astype(float)
    x -= x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(rows, x / np.linalg.norm(x, axis=1, keepdims=True), atol=1e-7)
    middle, spread = kernels._middle_and_spread(rows, offsets)
    pilot = listed(np.corrcoef(x[np.arange(64) * 150 // 64]), None)
    assert middle == pytest.approx(np.median(pilot), abs=1e-3)
    assert spread == pytest.approx(1.5 * stats.iqr(pilot), rel=1e-2)
    t = (listed(np.corrcoef(x), patterns.run) - middle) / spread
    codes = np.floor(t / (1 + np.abs(t)) * 99 + 99.5)
    counts = np.bincount(codes.astype(int))
    f = (counts**3.0 - counts).sum() / (len(codes) ** 3.0 - len(codes))
    scores = prepared.score(parcels(20))
    for s, model in enumerate(models):
        rho = stats.spearmanr(codes, listed(similarities(model), patterns.run)).statistic
        assert scores.rho[0, s] == pytest.approx(rho, abs=2e-6)
        assert scores.bound[0, s] == pytest.approx(np.sqrt(f) + abs(rho) * (1 - np.sqrt(1 - f)), rel=1e-3)


def test_an_outlying_stimulus_does_not_spoil_the_bins():
    rng = np.random.default_rng(5)
    models, patterns = made(rng, 300, 30)
    patterns.responses[17] *= 1000  # linear bins over the whole range would hold all other pairs in one
    scores = SpearmanScorer(metric="sqeuclidean").prepare(models, patterns).score(parcels(30))
    assert (scores.bound <= 1e-4).all()
    np.testing.assert_allclose(scores.rho[0], expected(patterns, np.arange(30), "sqeuclidean", models), atol=1e-4)


def test_the_same_bits_for_any_threads_and_chunks():
    rng = np.random.default_rng(6)
    models, patterns = made(rng, 160, 400, run=np.arange(160) // 20)
    spheres = parcels(*rng.integers(5, 40, 13))
    whole = SpearmanScorer(n_jobs=1, jackknife=True).prepare(models, patterns).score(spheres)
    threaded = SpearmanScorer(n_jobs=2, jackknife=True).prepare(models, patterns).score(spheres)
    one = SpearmanScorer(jackknife=True).prepare(models, patterns)
    for centre in range(13):
        alone = one.score(Neighbourhoods(np.array([0, spheres.sizes[centre]]), spheres[centre]))
        for field in ("rho", "bound", "by_sorting", "moments", "third", "products", "covariances"):
            here = getattr(whole, field)[centre]
            np.testing.assert_array_equal(here, getattr(threaded, field)[centre])
            np.testing.assert_array_equal(here, getattr(alone, field)[0])


def test_relabelling_and_rescaling_change_nothing():
    rng = np.random.default_rng(7)
    models, patterns = made(rng, 50, 12, run=np.arange(50) // 10)
    new = rng.permutation(50)
    moved = Patterns("sub-01", tuple(np.array(patterns.ids)[new]), 8 * patterns.responses[new], patterns.run[new])
    there = [
        ModelGeometry(m.name, m.metric, dense=m.dense[np.ix_(new, new)])
        if m.factors is None
        else ModelGeometry(m.name, m.metric, factors=3 * m.factors[new], signs=m.signs)
        for m in models
    ]
    for metric in METRICS:
        scorer = SpearmanScorer(metric=metric, jackknife=True)
        one, other = (scorer.prepare(m, p).score(parcels(12)) for m, p in ((models, patterns), (there, moved)))
        np.testing.assert_allclose(one.rho, other.rho, atol=1e-9)
        np.testing.assert_allclose(one.covariances, other.covariances, atol=1e-9)


def test_a_pattern_without_direction_is_similar_0_to_all_and_equal_patterns_have_no_rho():
    rng = np.random.default_rng(8)
    models, patterns = made(rng, 200, 10)
    patterns.responses[3] = 7.1
    x = patterns.responses.astype(float)
    rows = x - x.mean(axis=1, keepdims=True)
    rows[3] = 0
    length = np.linalg.norm(rows, axis=1)
    rows /= np.where(length > 0, length, 1)[:, None]
    exact = stats.spearmanr(listed((rows @ rows.T).round(9), None), listed(similarities(models[1]), None)).statistic
    for method in ("histogram", "sort"):
        scorer = SpearmanScorer(method=method)
        assert scorer.prepare(models, patterns).score(parcels(10)).rho[0, 1] == pytest.approx(exact, abs=1e-4)
        alike = Patterns("sub-01", patterns.ids, np.ones((200, 5), np.float32))
        scores = SpearmanScorer(method=method, metric="cosine", jackknife=True).prepare(models, alike).score(parcels(5))
        assert np.isnan(scores.rho).all()


@pytest.mark.parametrize("n", [60, 200])  # sorted, and in bins
def test_sums_of_ranks_are_those_of_their_whole_matrix(n):
    rng = np.random.default_rng(9)
    run = np.sort(rng.integers(0, 6, n))
    models, patterns = made(rng, n, 15, run=run)
    scores = SpearmanScorer().prepare(models, patterns).score(parcels(15))
    assert scores.by_sorting[0] == (n == 60)
    u = _rank_matrix(brain(patterns.responses, "correlation"), run)
    sums = dict(zip(SUMS, dense_pair_sums(u, RunBlocks(n, run)), strict=False))
    np.testing.assert_allclose(scores.moments[0], [sums["square"], sums["row_square"]], rtol=1e-4)
    third = [sums[name] for name in ("cube", "square_row", "row_cube")]
    np.testing.assert_allclose(scores.third[0], third, rtol=1e-3, atol=1e-3)
    ranked = rank_models(models, AllowedPairs.between_runs(n, run))
    for s, model in enumerate(models):
        v = _rank_matrix(similarities(model), run)
        assert scores.products[0, s] == pytest.approx((u * v).sum(), rel=1e-4, abs=1e-3)
        of_model = dense_pair_sums(v, RunBlocks(n, run))
        np.testing.assert_allclose(ranked.moments[s], of_model[1:3], rtol=1e-6)
    listed_models = [listed(similarities(m), run) for m in models]
    np.testing.assert_allclose(ranked.correlations, stats.spearmanr(np.array(listed_models).T).statistic, atol=1e-6)


def _rank_matrix(similarity, run):
    values = listed(similarity, run)
    u = np.zeros(similarity.shape)
    u[np.triu(run[:, None] != run, 1)] = (stats.rankdata(values) - (len(values) + 1) / 2) / len(values)
    return u + u.T


def _weighted_rho(x, y, weight):
    """Spearman's rho of pairs that weigh so much: ranks are the weight below, and half of that tied."""

    def ranks(values):
        below = (values[:, None] > values) @ weight + 0.5 * (values[:, None] == values) @ weight
        return below - weight @ below / weight.sum()

    u, v = ranks(x), ranks(y)
    return weight @ (u * v) / np.sqrt((weight @ u**2) * (weight @ v**2))


@pytest.mark.parametrize("groups", [None, np.arange(24) % 8])
def test_covariances_are_those_of_the_derivatives_by_the_weights_of_stimuli(groups):
    rng = np.random.default_rng(10)
    run = np.arange(24) // 6
    models, patterns = made(rng, 24, 8, run=run)
    prepared = SpearmanScorer(jackknife=True, method="sort").prepare(models, patterns)
    own = listed(brain(patterns.responses, "correlation"), run)
    left, right = (listed(side, run) for side in np.indices((24, 24)))
    step, influences = 1e-4, []
    for model in models:
        theirs = listed(similarities(model), run)
        moved = []
        for i in range(24):
            up, down = (
                _weighted_rho(own, theirs, weight[left] * weight[right])
                for weight in (1 + step * (np.arange(24) == i), 1 - step * (np.arange(24) == i))
            )
            moved.append((up - down) / (2 * step))
        influences.append(np.bincount(np.arange(24) if groups is None else groups, moved))
    influences = np.array(influences)
    n_units = influences.shape[1]
    expected_covariance = influences @ influences.T * n_units / (n_units - 1)
    grouped = PreparedSpearman(prepared.scorer, prepared.responses, prepared.ranked, groups)
    found = grouped.score(parcels(8)).covariances[0]
    np.testing.assert_allclose(found, expected_covariance, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
def test_covariances_of_bins_are_those_of_sorting(grouped):
    rng = np.random.default_rng(15)
    run = rng.permutation(np.arange(250) % 10)
    models, patterns = made(rng, 250, 12, run=run)
    found = []
    for method in ("histogram", "sort"):
        made_ready = SpearmanScorer(jackknife=True, method=method).prepare(models, patterns)
        prepared = PreparedSpearman(
            made_ready.scorer, made_ready.responses, made_ready.ranked, run if grouped else None
        )
        found.append(prepared.score(parcels(12)))
    assert not found[0].by_sorting[0]
    scale = np.sqrt(np.diag(found[1].covariances[0]))
    distance = (found[0].covariances[0] - found[1].covariances[0]) / np.outer(scale, scale)
    assert np.abs(distance).max() < 3e-3  # 2e-4 of 2,180 stimuli


def _studies(rng, n, count):
    """Scores of many small studies: patterns and two spaces that know the same truth equally well."""
    for _ in range(count):
        truth = rng.normal(size=(n, 4))
        x = truth @ rng.normal(size=(4, 12)) + 2 * rng.normal(size=(n, 12))
        models = [
            ModelGeometry(f"m{k}", "dot", factors=truth + 0.7 * rng.normal(size=(n, 4)), signs=np.ones(4))
            for k in range(2)
        ]
        patterns = Patterns("sub-01", ids_of(n), x.astype(np.float32))
        yield (
            SpearmanScorer(metric="sqeuclidean", method="sort", jackknife=True)
            .prepare(models, patterns)
            .score(parcels(12))
        )


def test_equally_related_spaces_are_told_apart_no_more_often_than_nominal():
    n, count = 60, 400
    z = []
    for scores in _studies(np.random.default_rng(11), n, count):
        c = scores.covariances[0]
        z.append((scores.rho[0, 0] - scores.rho[0, 1]) / np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1]))
    p = 2 * stats.t.sf(np.abs(z), n - 1)
    for level in (0.05, 0.01):
        assert (p <= level).mean() <= level + 2.6 * np.sqrt(level * (1 - level) / count)
    assert (p <= 0.05).mean() >= 0.02  # and the errors are not simply too large


def test_the_interval_covers_the_rho_of_many_stimuli():
    n, count = 60, 300
    rng = np.random.default_rng(12)
    weights = rng.normal(size=(4, 12))

    def study(m):
        truth = rng.normal(size=(m, 4))
        x = truth @ weights + 2 * rng.normal(size=(m, 12))
        model = ModelGeometry("m", "dot", factors=truth + 0.7 * rng.normal(size=(m, 4)), signs=np.ones(4))
        patterns = Patterns("sub-01", ids_of(m), x.astype(np.float32))
        method = "sort" if m == n else "histogram"
        scorer = SpearmanScorer(metric="sqeuclidean", method=method, jackknife=m == n)
        return scorer.prepare([model], patterns).score(parcels(12))

    population = np.mean([study(1500).rho[0, 0] for _ in range(3)])
    covered = []
    for _ in range(count):
        scores = study(n)
        z, error = np.arctanh(scores.rho[0, 0]), np.sqrt(scores.covariances[0, 0, 0]) / (1 - scores.rho[0, 0] ** 2)
        covered.append(abs(z - np.arctanh(population)) <= stats.t.ppf(0.975, n - 1) * error)
    assert 0.95 - 2.6 * np.sqrt(0.95 * 0.05 / count) <= np.mean(covered) <= 0.99


def test_p_from_the_sums_of_ranks_is_valid_where_brain_and_space_are_unrelated():
    """Permutation of the stimuli of the space over all stimuli, by three moments; sums of ranks, all pairs count."""
    n, count = 30, 1500
    rng = np.random.default_rng(13)
    space = pd.DataFrame(rng.gamma(0.7, size=(n, 4)), index=ids_of(n))
    model = model_geometry(space, name="space", metric="sqeuclidean")
    x = np.exp(0.5 * rng.normal(size=(n, count * 5))).astype(np.float32)
    patterns = Patterns("sub-01", ids_of(n), x)
    blocks, run = RunBlocks(n), np.arange(n)
    v = _rank_matrix(similarities(model), run)
    from affectome.neural.searchlight._mantel import ModelNull

    null = [ModelNull("space", dense_pair_sums(v, blocks), float((v**2).sum()), n)]
    spheres = parcels(*[5] * count)
    scores = SpearmanScorer().prepare([model], patterns).score(spheres)
    sums = np.array(
        [dense_pair_sums(_rank_matrix(brain(x[:, spheres[c]], "correlation"), run), blocks) for c in range(count)]
    )
    np.testing.assert_allclose(sums[:, 2], scores.moments[:, 1], rtol=1e-4, atol=1e-4)
    sums[:, [SUMS.index("square"), SUMS.index("row_square")]] = scores.moments
    sums[:, [SUMS.index(name) for name in ("cube", "square_row", "row_cube")]] = scores.third
    p = mantel_test(scores.rho, sums, null).p[:, 0]
    for level in (0.05, 0.01):
        assert abs((p <= level).mean() - level) <= 2.6 * np.sqrt(level * (1 - level) / count)


def test_a_pair_that_does_not_count_has_its_place_among_those_that_do():
    rng = np.random.default_rng(16)
    run = rng.integers(0, 4, 20)
    similarity = rng.integers(0, 9, (20, 20)).astype(float)
    similarity += similarity.T
    ranks, counted = _ranks(similarity, RunBlocks(20, run)), listed(similarity, run)
    for i, j in zip(*np.triu_indices(20, 1), strict=True):
        place = ((counted < similarity[i, j]).sum() + (counted <= similarity[i, j]).sum()) / 2
        assert ranks[i, j] == ranks[j, i] == pytest.approx(place / len(counted) - 0.5, abs=1e-12)
    np.testing.assert_allclose(listed(ranks, run), (stats.rankdata(counted) - 0.5) / len(counted) - 0.5, atol=1e-12)


def test_drawn_permutations_of_many_centres_are_those_of_scipy():
    rng = np.random.default_rng(17)
    n, run, spheres = 24, np.arange(24) // 6, parcels(*[5] * 20)  # more than are permuted at once
    models, patterns = made(rng, n, 100, run=run)
    drawn = stimulus_permutations(n, run, n_permutations=19, seed=0)
    asked = Asked(tuple(models[:1]), "correlation", RunBlocks(n, run), False, drawn, False, None)
    chunks = SpearmanChunks(asked, patterns)
    found, table = chunks.score(patterns.responses, spheres), similarities(models[0])
    null = np.empty((1 + len(drawn.orders), len(spheres)))
    for k, order in enumerate([np.arange(n), *drawn.orders]):
        theirs = stats.rankdata(listed(table[np.ix_(order, order)], run))
        for c in range(len(spheres)):
            own = stats.rankdata(listed(brain(patterns.responses[:, spheres[c]], "correlation"), run))
            null[k, c] = np.corrcoef(own, theirs)[0, 1]
    np.testing.assert_allclose(found["drawn"][:, 0], null[0], atol=1e-5)
    np.testing.assert_array_equal(found["reached"][:, 0], (null[1:] >= null[0] - 1e-5).sum(axis=0))
    np.testing.assert_allclose(found["maxima"][0, :, 0], null[1:].max(axis=1), atol=1e-5)
    assert chunks.working_bytes(5) < 2**25 + 2**28 + 8 * 128 * n**2  # not the ranks of a whole chunk


def test_mistakes_are_named():
    rng = np.random.default_rng(14)
    models, patterns = made(rng, 20, 6)
    scorer = SpearmanScorer()
    with pytest.raises(InputError, match="'manhattan' is no measure of patterns"):
        SpearmanScorer(metric="manhattan")
    with pytest.raises(InputError, match="method: 'exact' is unknown"):
        SpearmanScorer(method="exact")
    with pytest.raises(InputError, match="70000 bins cannot be counted"):
        SpearmanScorer(bins=70000)
    with pytest.raises(InputError, match="a tolerance of 0 keeps no bin"):
        SpearmanScorer(tolerance=0)
    with pytest.raises(InputError, match="there is no space to rank"):
        scorer.prepare([], patterns)
    with pytest.raises(InputError, match="65,537 stimuli make more pairs than are ranked here"):
        rank_models(models, AllowedPairs.between_runs(65537, None))
    with pytest.raises(InputError, match="m0: it has 20 stimuli, the patterns 19"):
        scorer.prepare(models, Patterns("sub-01", patterns.ids[1:], patterns.responses[1:]))
    with pytest.raises(InputError, match="flat: all pairs of stimuli are equally similar"):
        scorer.prepare([ModelGeometry("flat", "dot", factors=np.ones((20, 1)), signs=np.ones(1))], patterns)
    with pytest.raises(InputError, match="m0: a similarity is NaN or infinite"):
        scorer.prepare([ModelGeometry("m0", "dot", factors=np.full((20, 1), np.nan), signs=np.ones(1))], patterns)
    with pytest.raises(InputError, match="2 neighbourhoods have fewer than 2 voxels"):
        scorer.prepare(models, patterns).score(parcels(3, 1, 1))
    with pytest.raises(InputError, match="20 stimuli have 0 pairs from different runs"):
        scorer.prepare(models, Patterns("sub-01", patterns.ids, patterns.responses, np.zeros(20, np.intp)))
    patterns.responses[4, 2] = np.nan
    with pytest.raises(InputError, match="sub-01, voxel 2: responses of 1 voxels are NaN or infinite"):
        scorer.prepare(models, patterns)
