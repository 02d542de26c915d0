import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome import InputError
from affectome._resampling import permutation_p
from affectome.interpretation import category_gradients, gradient_references, top_categories
from affectome.interpretation._gradient import _jackknife, _permuted
from affectome.interpretation._gradient_gap import bridges, discreteness_interval
from affectome.interpretation._gradient_lines import make_lines

N_CATEGORIES = 3
PAIRS = [("r0", "r1"), ("r0", "r2"), ("r1", "r2")]


def frame(values, prefix):
    return pd.DataFrame(
        values, index=[f"s{k:05d}" for k in range(len(values))], columns=[f"{prefix}{k}" for k in range(len(values.T))]
    )


def noise(rng, shape, skewed):
    """Gaussian, or sparse, non-negative and skewed as embeddings are."""
    return rng.exponential(size=shape) * (rng.random(shape) < 0.5) if skewed else rng.normal(size=shape)


def world(seed, kind, *, n=200, p=6, skewed=True, spread=0.4, sizes=(0.6, 0.35, 0.5)):
    """Stimuli of which 12 raters see some categories; a space that blends, clusters or ignores these."""
    rng = np.random.default_rng(seed)
    mixed = rng.dirichlet(sizes, n)  # the categories are of unlike size
    shares = np.stack([rng.multinomial(12, row) for row in mixed]) / 12
    prototypes = 2 * noise(np.random.default_rng(7), (N_CATEGORIES, p), skewed)
    member = (rng.random((n, 1)) > mixed.cumsum(axis=1)).sum(axis=1).clip(max=N_CATEGORIES - 1)
    centre = {
        "blends": mixed @ prototypes,
        "shares": shares @ prototypes,
        "members": prototypes[member],
        "clusters": prototypes[shares.argmax(axis=1)],
        "nothing": np.zeros((n, p)),
    }[kind]
    return frame(centre + spread * noise(rng, (n, p), skewed), "c"), frame(shares, "r")


def lines_of(space, ratings, min_stimuli=5):
    return make_lines(space, ratings, top_categories(ratings, ties="drop").labels, min_stimuli)


@pytest.fixture(scope="module")
def blended():
    return world(0, "blends")


@pytest.fixture(scope="module")
def result(blended):
    space, ratings = blended
    return category_gradients(space, {"category": ratings}, n_permutations=199, seed=0)


# What is computed


def test_positions_equal_a_leave_one_out_loop(blended, result):
    space, ratings = blended
    values = space.to_numpy(np.float64)
    for i in result.labels.index[::17]:
        for towards in ratings:
            if towards == result.labels[i]:
                assert np.isnan(result.positions.loc[i, towards])
                continue
            others = result.labels.index[(result.labels == result.labels[i]) & (result.labels.index != i)]
            start = values[space.index.get_indexer(others)].mean(axis=0)
            stop = values[space.index.get_indexer(result.labels.index[result.labels == towards])].mean(axis=0)
            at = (values[space.index.get_loc(i)] - start) @ (stop - start) / ((stop - start) @ (stop - start))
            assert result.positions.loc[i, towards] == pytest.approx(at, abs=1e-9)


def test_r_is_the_correlation_within_the_category_and_specific_partials_its_own_rating_out(result):
    for (category, towards), row in result.ordered.iterrows():
        own = result.labels.index[result.labels == category]
        place, rated = result.positions.loc[own, towards], result.ratings.loc[own]
        assert row["r"] == pytest.approx(stats.pearsonr(place, rated[towards]).statistic, abs=1e-6)
        fit = stats.linregress(rated[category], rated[towards])
        rest = rated[towards] - fit.intercept - fit.slope * rated[category]
        assert row["specific"] == pytest.approx(stats.pearsonr(place, rest).statistic, abs=1e-5)
        assert row["n"] == len(own) and row["n_rated"] == (rated[towards] > rated[towards].min()).sum()
    assert result.r == pytest.approx(result.ordered["r"].mean())
    assert result.specific == pytest.approx(result.ordered["specific"].mean())


def test_corrections_run_over_all_pairs(result):
    np.testing.assert_allclose(result.ordered["q"], stats.false_discovery_control(result.ordered["p"]))
    np.testing.assert_allclose(result.pairs["q"], stats.false_discovery_control(result.pairs["p"]))
    assert (result.ordered["p_max"] >= result.ordered["p"]).all()
    assert result.p == 1 / 200


def test_the_interval_is_the_jackknife_of_the_whole_procedure(blended):
    space, ratings = world(4, "blends", n=60, sizes=(1, 1, 1))
    settings = {"min_stimuli": 5, "min_rated": 3, "n_permutations": 1, "seed": 0}
    got = category_gradients(space, {"category": ratings}, **settings)
    z, bias, variance = np.arctanh(got.r), 0.0, 0.0
    for _, own in got.labels.groupby(got.labels):
        without = np.arctanh([
            category_gradients(space.drop(i), {"category": ratings.drop(i)}, **settings).r for i in own.index
        ])  # fmt: skip
        bias += (len(own) - 1) * (without.mean() - z)
        variance += (len(own) - 1) / len(own) * ((without - without.mean()) ** 2).sum()
    half = stats.norm.ppf(0.975) * np.sqrt(variance + bias**2)
    assert np.arctanh([got.ci_low, got.ci_high]) == pytest.approx([z - bias - half, z - bias + half], abs=1e-6)


def test_order_of_stimuli_scale_and_rotation_do_not_matter(blended, result):
    space, ratings = blended
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    turned = pd.DataFrame(space.to_numpy() @ rotation * 3 + 1, index=space.index).sample(frac=1, random_state=0)
    got = category_gradients(turned, {"category": ratings}, n_permutations=1, seed=0)
    np.testing.assert_allclose(got.ordered["r"], result.ordered["r"], atol=1e-5)
    assert got.discreteness == pytest.approx(result.discreteness, abs=1e-3)


def test_the_unit_of_the_space_does_not_matter(blended, result):
    space, ratings = blended
    tiny = category_gradients(space.astype(np.float64) * 1e-8, {"category": ratings}, n_permutations=1, seed=0)
    assert tiny.r == pytest.approx(result.r, abs=1e-6)
    np.testing.assert_allclose(tiny.positions, result.positions, atol=1e-5)


def test_the_seed_decides_the_null(blended, result):
    space, ratings = blended
    again, other = (category_gradients(space, {"category": ratings}, n_permutations=199, seed=s) for s in (0, 1))
    assert again.null_high == result.null_high != other.null_high
    pd.testing.assert_frame_equal(again.pairs, result.pairs)


# Validity and coverage


@pytest.mark.parametrize("kind", ["clusters", "nothing"])
@pytest.mark.parametrize("skewed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_p_is_valid_where_place_within_a_category_says_nothing(kind, skewed):
    p, smallest = [], []
    for seed in range(200):
        lines = lines_of(*world([1, seed], kind, n=70, skewed=skewed))
        tested = lines.rated(3)
        r, null = _permuted(lines, tested, 99, seed, lambda *_, **__: None)
        p.append([permutation_p(r[s][tested].mean(), null[s][:, tested].mean(axis=1)) for s in range(2)])
        z, z_null = (values * np.sqrt(lines.sizes - 1)[:, None] for values in (r[0], null[0]))
        smallest.append(permutation_p(z[tested].max(), z_null[:, tested].max(axis=1)))
    for values in (*np.array(p).T, np.array(smallest)):
        for a in (0.01, 0.05, 0.10):
            assert (values <= a + 1e-9).mean() <= a + 3 * np.sqrt(a * (1 - a) / 200)
        assert values.mean() == pytest.approx(0.5, abs=0.07)  # and not by never rejecting


@pytest.mark.parametrize(("kind", "column", "power"), [("clusters", "p_discrete", 0.02), ("shares", "p_blended", 0)])
def test_p_of_members_and_of_blends_is_valid_in_its_own_world(kind, column, power):
    p = pd.concat([
        bridges(lines_of(*world([2, seed], kind, n=200)), PAIRS, 99, seed)[[column, "n_bridging"]].dropna()
        for seed in range(150)
    ])  # fmt: skip
    assert len(p) > 200
    worlds = 150  # pairs of one world share stimuli
    for a in (0.01, 0.05, 0.10):
        assert (p[column] <= a + 1e-9).mean() <= a + 3 * np.sqrt(a * (1 - a) / worlds)
    assert (p[column] <= 0.1).mean() >= power


@pytest.mark.parametrize("skewed", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["blends", "members"])
def test_the_interval_of_r_covers_the_value_of_the_population(kind, skewed):
    space, ratings = world(3, kind, n=30_000, skewed=skewed)
    labels = top_categories(ratings, ties="drop").labels
    whole = make_lines(space, ratings, labels, 5)
    off = ~np.eye(N_CATEGORIES, dtype=bool)
    r, _ = _permuted(whole, off, 1, 0, lambda *_, **__: None)
    true = r[:, off].mean(axis=1)
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(200):
        drawn = np.concatenate([
            rng.choice(whole.rows(a), n, replace=False) for a, n in enumerate((50, 25, 15))
        ])  # fmt: skip
        ids = [whole.ids[k] for k in drawn]
        intervals = _jackknife(make_lines(space.loc[ids], ratings.loc[ids], labels[ids], 5), off, 0.95)
        hits.append([low <= value <= high for value, (low, high) in zip(true, intervals, strict=True)])
    share = np.mean(hits, axis=0)
    assert (share >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)).all()
    assert (share <= 0.995).all()


@pytest.mark.parametrize("skewed", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "ideal"), [("blends", 0), ("members", 1)])
def test_the_interval_of_discreteness_covers_the_value_of_the_population(kind, ideal, skewed):
    whole = bridges(lines_of(*world(0, kind, n=20_000, skewed=skewed, spread=0.3)), PAIRS, 1, 0)
    lacking = whole[["middle", "middle_discrete"]].rsub(whole["middle_blended"], axis=0)
    missing, missing_discrete = (lacking.mul(whole["n_bridging"], axis=0)).sum()
    true = missing / missing_discrete
    assert true == pytest.approx(ideal, abs=0.08)
    found = []
    for seed in range(200):
        lines = lines_of(*world([4, seed], kind, n=200, skewed=skewed, spread=0.3))
        shape = bridges(lines, PAIRS, 1, 0).set_index(pd.MultiIndex.from_tuples(PAIRS))
        found.append(discreteness_interval(lines, shape, 0.95))
    value, low, high = np.array(found).T
    known = ~np.isnan(value)
    assert known.sum() > 100
    assert np.median(value[known]) == pytest.approx(true, abs=0.1)
    covered = ((low <= true) & (true <= high))[known].mean()
    assert covered >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / known.sum())


# What the worlds are called


def test_blends_are_gradients_and_hardened_clusters_are_gaps(result):
    assert result.verdicts() == {"gradient": 3, "mixed": 0, "gap": 0, "undecided": 0}
    assert result.discreteness == pytest.approx(0, abs=0.15)
    space, ratings = world(0, "clusters")
    apart = category_gradients(space, {"category": ratings}, n_permutations=199, seed=0)
    assert apart.verdicts()["gap"] == 3 and apart.p > 0.05
    assert apart.discreteness == pytest.approx(1, abs=0.15)
    assert len(result.most_bridged(2)) == 2 and apart.most_bridged().empty


def test_labels_that_err_give_a_correlation_and_yet_no_gradient():
    space, ratings = world(1, "members", n=400, spread=0.3)
    got = category_gradients(space, {"category": ratings}, n_permutations=199, seed=0)
    assert got.p == 1 / 200 and got.r > 0.1  # erring labels look like blending to the first test
    assert got.verdicts()["gradient"] == 0 and got.verdicts()["gap"] > 0
    assert got.discreteness == pytest.approx(1, abs=0.3)


def test_structureless_data_in_many_dimensions_get_no_verdict():
    for seed in range(10):
        space, ratings = world([5, seed], "nothing", n=120, p=40)
        got = category_gradients(space, {"category": ratings}, n_permutations=49, seed=0)
        assert got.verdicts()["undecided"] == len(got.pairs)
        assert np.isnan([got.discreteness, got.discreteness_ci_low]).all()


def test_references_are_blended_drawn_and_hard():
    _, ratings = world(6, "nothing", n=600)
    spaces = gradient_references(ratings, seed=0)
    got = {
        name: category_gradients(space, {"category": ratings}, n_permutations=19, seed=0)
        for name, space in spaces.items()
    }
    assert got["ratings"].r > 0.8 and got["ratings"].discreteness == pytest.approx(0, abs=0.1)
    assert got["one-hot labels"].r == 0 and got["one-hot labels"].p == 1
    assert got["one-hot labels"].discreteness == pytest.approx(1)
    assert 0 < got["one rater"].r < got["ratings"].r
    assert (spaces["one rater"].sum(axis=1) == 1).all()
    drawn = spaces["one rater"].to_numpy()
    assert (ratings.to_numpy()[drawn == 1] > 0).all()
    assert drawn.mean(axis=0) == pytest.approx(ratings.to_numpy().mean(axis=0), abs=0.06)


def test_a_line_holds_the_stimuli_of_both_and_turns_round(result):
    line, back = result.line("r0", "r1", n_bins=5), result.line("r1", "r0", n_bins=5)
    assert set(line.stimuli["label"]) == {"r0", "r1"}
    np.testing.assert_allclose(line.stimuli["position"], 1 - back.stimuli["position"])
    np.testing.assert_allclose(line.stimuli["share"], 1 - back.stimuli["share"], atol=1e-6)
    first = line.stimuli.sort_values("position").iloc[: int(line.trend["n"].iloc[0])]
    low, high = stats.t.interval(0.95, len(first) - 1, first["share"].mean(), stats.sem(first["share"]))
    assert line.trend.iloc[0][["ci_low", "share", "ci_high"]].tolist() == pytest.approx(
        [low, first["share"].mean(), high]
    )
    assert line.trend["n"].sum() == len(line.stimuli)


def test_ties_rare_categories_and_excluded_ids_are_left_out(blended):
    space, ratings = blended
    got = category_gradients(
        space, {"category": ratings.assign(rare=0.0)}, exclude=space.index[:30].tolist(), n_permutations=1, seed=0
    )
    assert got.left_out == ("rare",) and not set(got.labels.index) & set(space.index[:30])
    best = ratings.iloc[30:].to_numpy()
    tied = (best >= best.max(axis=1, keepdims=True) - 1e-6).sum(axis=1) > 1
    assert (got.n_tied, got.n_stimuli) == (tied.sum(), (~tied).sum())


def test_stimuli_rated_the_same_in_all_categories_are_left_out_and_lie_nowhere(blended, caplog):
    space, ratings = blended
    some = ratings.copy()
    some.iloc[:3], some.iloc[3] = 0.0, 0.25
    references = gradient_references(some, seed=0)
    assert (references["one-hot labels"].iloc[:4] == 0).all(axis=None)
    assert (references["one rater"].sum(axis=1) == [0] * 3 + [1] * (len(some) - 3)).all()
    for one in (space, *references.values()):
        got = category_gradients(one, {"category": some}, n_permutations=1, seed=0)
        alone = category_gradients(one.iloc[4:], {"category": some.iloc[4:]}, n_permutations=1, seed=0)
        assert (got.r, got.n_stimuli, got.n_tied) == (alone.r, alone.n_stimuli, alone.n_tied)
    assert "stimuli are rated the same in every category and have no label: s00000, s00001," in caplog.messages[0]


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda r: r - 0.5, {}, "some are negative, but shares of raters are wanted"),
        (lambda r: r[["r0"]], {}, "one category has no other to lead to"),
        (lambda r: r * 0, {}, "no stimulus has a category above 0"),
        (
            lambda r: r.eq(r.max(axis=1), axis=0).astype(float),
            {},
            "no category has 5 stimuli in which raters saw anoth",
        ),
        (lambda r: r, {"family": "feeling"}, "there are no ratings of the family 'feeling'"),
        (lambda r: r, {"min_stimuli": 150}, "0 categories have 150 stimuli or more, and a line needs two"),
        (lambda r: r, {"min_stimuli": 2}, "min_stimuli=2 is too few for a correlation"),
        (lambda r: r, {"min_rated": 1}, "min_rated=1 leaves a correlation to single stimuli"),
        (lambda r: r, {"n_permutations": 0}, "there is no null without permutations"),
        (lambda r: r, {"level": 1.0}, "level=1.0 make no interval"),
        (lambda r: r.iloc[5:], {}, "5 of its ids are not in the category ratings"),
    ],
)
def test_what_cannot_be_tested_is_refused(blended, change, settings, message):
    space, ratings = blended
    with pytest.raises(InputError, match=message):
        category_gradients(space, {"category": change(ratings)}, **{"seed": 0} | settings)


def test_a_space_without_spread_and_a_line_to_nowhere_are_refused(blended, result):
    space, ratings = blended
    with pytest.raises(InputError, match="all stimuli lie at one point"):
        category_gradients(space * 0, {"category": ratings}, seed=0)
    with pytest.raises(InputError, match="'Joy' is no category of the result"):
        result.line("r0", "Joy")
    with pytest.raises(InputError, match="no line from 'r0' to itself"):
        result.line("r0", "r0")
