import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError
from affectome._resampling import false_discovery_rate
from affectome.neural import (
    Recording,
    compare_encodings,
    compare_group,
    encode,
    encoding_significance,
    prevalence,
    region_scores,
    region_tests,
    sign_flip_test,
)

SUBJECTS = [f"sub-{k:02d}" for k in range(1, 6)]
REGIONS = ["TPJ", "IPL", "MTC"]
SPACES = ["mllm", "llm", "category"]


def draw_scores(seed, *, subjects=SUBJECTS, regions=REGIONS, spaces=SPACES, gain=0.0, correlated=0.0):
    """r per person, region and space; the first space is higher by `gain`, regions share noise."""
    rng = np.random.default_rng(seed)
    shape = (len(subjects), len(regions), len(spaces))
    own, shared = rng.normal(size=shape), rng.normal(size=(shape[0], 1, shape[2]))
    values = 0.1 + 0.02 * (np.sqrt(1 - correlated) * own + np.sqrt(correlated) * shared)
    values[:, :, 0] += gain
    index = pd.MultiIndex.from_product([subjects, regions, spaces], names=["subject", "region", "space"])
    return pd.DataFrame({"r": values.ravel()}, index=index).reset_index()


def draw_tests(scores, p):
    wide = scores.pivot(index=["subject", "region"], columns="space", values="r")
    rows = [
        (subject, region, space, wide.loc[(subject, region), "mllm"] - wide.loc[(subject, region), space], p)
        for subject, region in wide.index
        for space in ("llm", "category")
    ]
    return pd.DataFrame(rows, columns=["subject", "region", "space", "difference", "p"])


def test_sign_flip_equals_the_exact_permutation_test_of_scipy():
    values = np.random.default_rng(0).normal(0.3, 1, size=(9, 4))
    found = sign_flip_test(values, seed=0)
    reference = stats.permutation_test(
        (values,), lambda x, axis: np.abs(x.mean(axis=axis)), permutation_type="samples",
        n_resamples=np.inf, alternative="greater", axis=0, vectorized=True,
    )  # fmt: skip
    np.testing.assert_allclose(found.p, reference.pvalue)
    assert (found.exact, found.n_flips, found.smallest_p) == (True, 512, 2 / 512)


def test_five_people_cannot_fall_below_one_in_sixteen():
    found = sign_flip_test(np.full(5, 0.3), seed=0)
    assert (found.p, found.smallest_p) == (0.0625, 0.0625)
    assert sign_flip_test([0.2], seed=0).p == 1


def test_drawn_flips_agree_with_all_of_them_and_need_their_seed():
    values = np.random.default_rng(1).normal(0.4, 1, size=(17, 3))
    found = sign_flip_test(values, n_flips=20_000, seed=3)
    signs = 1 - 2 * (np.arange(2**17)[:, None] >> np.arange(17) & 1)
    exact = (np.abs(signs @ values) >= np.abs(values.sum(axis=0)) - 1e-9).mean(axis=0)
    np.testing.assert_allclose(found.p, exact, atol=0.015)
    assert not found.exact and found.smallest_p == 1 / 20_001
    np.testing.assert_array_equal(found.p, sign_flip_test(values, n_flips=20_000, seed=3).p)
    assert (found.p != sign_flip_test(values, n_flips=20_000, seed=4).p).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10_000), st.floats(0.01, 100))
def test_sign_flip_knows_neither_order_nor_unit_nor_direction(n, seed, unit):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.5, 1, size=n)
    p = sign_flip_test(values, seed=0).p
    assert sign_flip_test(-unit * rng.permutation(values), seed=0).p == p
    assert p * 2**n == pytest.approx(round(float(p) * 2**n))  # a count of patterns
    assert p >= min(1.0, 2 / 2**n)


def test_sign_flip_p_holds_its_level_under_the_null():
    """People whose differences are symmetric about 0, and neither normal nor alike in spread."""
    rng = np.random.default_rng(2)
    values = rng.standard_t(2, size=(10, 6000)) * rng.gamma(1, size=(10, 1))
    p = sign_flip_test(values, seed=0).p
    for alpha in (0.05, 0.01):
        nominal = np.floor(alpha * 512) / 512  # p comes in steps of 2 / 1024
        assert (p <= alpha).mean() == pytest.approx(nominal, abs=4 * np.sqrt(nominal / 6000))


def test_group_columns_equal_scipy():
    scores = draw_scores(0, gain=0.02)
    found = compare_group(scores, reference="mllm", seed=0)
    wide = scores.pivot(index="subject", columns=["region", "space"], values="r")
    for _, row in found.comparisons.iterrows():
        first, second = wide[(row["region"], "mllm")], wide[(row["region"], row["space"])]
        paired = stats.ttest_rel(first, second)
        assert row["t"] == pytest.approx(paired.statistic)
        assert row["p_t"] == pytest.approx(paired.pvalue)
        assert (row["low"], row["high"]) == pytest.approx(tuple(paired.confidence_interval()))
        assert row["difference"] == pytest.approx((first - second).mean())
    np.testing.assert_allclose(found.comparisons["q_t"], false_discovery_rate(found.comparisons["p_t"]))
    assert found.correction == "Benjamini-Hochberg over 3 regions × 2 spaces."
    cell = found.regions.set_index(["region", "space"]).loc[("IPL", "llm")]
    assert (cell["mean"], cell["sd"]) == pytest.approx((wide[("IPL", "llm")].mean(), wide[("IPL", "llm")].std()))
    assert found.comparisons["region"].tolist() == ["TPJ", "TPJ", "IPL", "IPL", "MTC", "MTC"]
    assert (found.comparisons["smallest_p_flip"] == 0.0625).all()


def test_effect_size_is_unbiased_and_its_interval_covers():
    """Over 2,000 studies of six people with a true dz of 0.8."""
    n, m = 6, 2000
    differences = np.random.default_rng(3).normal(0.8, 1, size=(n, m))
    regions = [f"region {k}" for k in range(m)]
    scores = draw_scores(0, subjects=[f"s{k}" for k in range(n)], regions=regions, spaces=["a", "b"])
    scores["r"] = np.stack([differences, np.zeros_like(differences)], axis=2).ravel()
    found = compare_group(scores, reference="a", seed=0).comparisons
    assert found["dz"].mean() == pytest.approx(0.8, abs=4 * found["dz"].std() / np.sqrt(m))
    error = 4 * np.sqrt(0.05 * 0.95 / m)
    assert ((found["dz_low"] <= 0.8) & (found["dz_high"] >= 0.8)).mean() == pytest.approx(0.95, abs=error)
    assert ((found["low"] <= 0.8) & (found["high"] >= 0.8)).mean() == pytest.approx(0.95, abs=error)


def test_group_p_and_q_hold_their_level_when_regions_are_correlated():
    """500 studies of three regions, two pairs of spaces each; both share noise."""
    studies = [draw_scores(seed, correlated=0.7) for seed in range(500)]
    together = pd.concat([study.assign(region=f"{k} " + study["region"]) for k, study in enumerate(studies)])
    found = compare_group(together, reference="mllm", seed=0).comparisons
    p, p_flip = (found[name].to_numpy().reshape(500, 6) for name in ("p_t", "p_flip"))
    for alpha in (0.05, 0.01):  # six tests of a study share noise: their mean is one draw
        share = (p <= alpha).mean(axis=1)
        assert share.mean() == pytest.approx(alpha, abs=4 * share.std() / np.sqrt(500))
    falsely = np.mean([(false_discovery_rate(study) <= 0.05).any() for study in p])
    assert falsely <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)  # nothing is true: any discovery is false
    assert p_flip.min() == 0.0625


def test_prevalence_counts_people_in_each_direction_at_half_the_level():
    scores = draw_scores(4, gain=0.2)
    tests = draw_tests(scores, p=0.01)
    against = (tests["subject"] == "sub-02") & (tests["region"] == "TPJ") & (tests["space"] == "llm")
    tests.loc[against, "difference"] *= -1
    tests.loc[(tests["region"] == "IPL"), "p"] = 0.2
    found = compare_group(scores, reference="mllm", tests=tests, seed=0).comparisons.set_index(["region", "space"])
    assert found.loc[("TPJ", "llm"), ["n_tested", "n_above", "n_below"]].tolist() == [5, 4, 1]
    assert found.loc[("TPJ", "category"), "n_above"] == 5
    assert found.loc[("IPL", "llm"), ["n_above", "n_below"]].tolist() == [0, 0]
    expected = prevalence(4, 5, alpha=0.025)
    assert found.loc[("TPJ", "llm"), "above_bound"] == pytest.approx(float(expected.bound))
    assert found.loc[("TPJ", "llm"), "p_above"] == pytest.approx(stats.binom.sf(3, 5, 0.025))
    both = false_discovery_rate([found["p_above"], found["p_below"]])
    np.testing.assert_allclose(found[["q_above", "q_below"]].T, both)
    assert found.loc[("TPJ", "category"), "above_bound"] == pytest.approx(0.597, abs=1e-3)


def test_p_that_nobody_has_it_holds_its_level_when_single_tests_do():
    """2,000 regions, eight people, p uniform: what is found at .05 and .01 is at most that."""
    rng = np.random.default_rng(5)
    regions = [f"region {k}" for k in range(2000)]
    scores = draw_scores(5, subjects=[f"s{k}" for k in range(8)], regions=regions, spaces=["mllm", "llm"])
    wide = scores.pivot(index=["subject", "region"], columns="space", values="r")
    tests = (wide["mllm"] - wide["llm"]).rename("difference").reset_index().assign(space="llm")
    tests["p"] = rng.uniform(size=len(tests))
    p = compare_group(scores, reference="mllm", tests=tests, seed=0).comparisons["p_above"]
    for alpha in (0.05, 0.01):
        exact = stats.binom.sf(np.arange(-1, 8), 8, 0.025)
        reachable = exact[exact <= alpha].max()  # p is discrete: the largest p that is not above alpha
        assert (p <= alpha).mean() == pytest.approx(reachable, abs=4 * np.sqrt(reachable / 2000))


def test_regions_say_in_how_many_people_a_space_predicts():
    scores = draw_scores(6).assign(p=0.5)
    scores.loc[(scores["space"] == "mllm") & (scores["region"] == "TPJ"), "p"] = 0.002
    found = compare_group(scores, reference="mllm", seed=0).regions.set_index(["region", "space"])
    assert found.loc[("TPJ", "mllm"), "n_significant"] == 5
    assert found.loc[("TPJ", "mllm"), "prevalence_bound"] == pytest.approx(0.586, abs=1e-3)
    assert found.loc[("TPJ", "llm"), "prevalence"] == 0
    assert found.loc[("TPJ", "mllm"), "q_nobody"] == pytest.approx(0.05**5 * 9)


def test_stars_read_the_column_that_is_named():
    scores = draw_scores(7, gain=0.05)
    tests = draw_tests(scores, p=0.001)
    found = {
        column: compare_group(scores, reference="mllm", tests=tests, stars=column, seed=0)
        for column in ("p_t", "q_t", "p_flip", "q_above")
    }
    for column, result in found.items():
        p = result.comparisons[column]
        expected = np.select([p < 0.001, p < 0.01, p < 0.05], ["***", "**", "*"], "")
        assert result.comparisons["stars"].tolist() == expected.tolist()
        assert result.star_column == column
    assert set(found["p_flip"].comparisons["stars"]) == {""}
    assert set(found["q_above"].comparisons["stars"]) == {"***"}
    bars = found["p_t"].regions.set_index(["region", "space"])["stars"]
    assert bars.loc[("TPJ", "mllm")] == "" and bars.loc[("TPJ", "llm")] != ""


def test_a_person_without_a_region_is_left_out_of_it_alone():
    scores = draw_scores(8)
    missing = (scores["subject"] == "sub-03") & (scores["region"] == "MTC") & (scores["space"] == "llm")
    gone, nan = scores[~missing], scores.copy()
    nan.loc[missing, "r"] = np.nan
    first, second = (compare_group(table, reference="mllm", seed=0).comparisons for table in (gone, nan))
    pd.testing.assert_frame_equal(first, second)
    found = first.set_index(["region", "space"])
    assert found.loc[("MTC", "llm"), ["n_subjects", "smallest_p_flip"]].tolist() == [4, 0.125]
    assert found.loc[("MTC", "category"), "n_subjects"] == 5


def test_order_of_rows_and_names_of_people_change_nothing():
    scores = draw_scores(9, gain=0.01)
    found = compare_group(scores, reference="mllm", seed=0).comparisons
    shuffled = scores.sample(frac=1, random_state=0).assign(subject=lambda table: "x" + table["subject"])
    again = compare_group(shuffled, reference="mllm", seed=0).comparisons
    keys = ["region", "space"]
    pd.testing.assert_frame_equal(
        found.sort_values(keys, ignore_index=True), again.sort_values(keys, ignore_index=True)
    )


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda t: t.drop(columns="r"), {}, "has no column 'r'"),
        (lambda t: t.iloc[:0], {}, "is empty"),
        (lambda t: pd.concat([t, t.iloc[[4]]]), {}, "has 'sub-01', 'IPL', 'llm' more than once"),
        (lambda t: t, {"reference": "gpt"}, "no scores of the space 'gpt'; choose among mllm"),
        (lambda t: t[t["subject"] == "sub-01"], {}, "one person, which is no group"),
        (lambda t: t, {"stars": "q_above"}, "no tests of single people to read stars from"),
    ],
)
def test_scores_that_are_no_comparison_are_refused(change, arguments, message):
    with pytest.raises(InputError, match=message):
        compare_group(change(draw_scores(0)), **{"reference": "mllm", "seed": 0, **arguments})


def test_one_space_alone_has_the_means_it_has_beside_others_and_no_comparison():
    scores = draw_scores(3)
    alone = compare_group(scores[scores["space"] == "mllm"], reference="mllm", seed=0)
    both = compare_group(scores, reference="mllm", seed=0).regions.query("space == 'mllm'")
    assert alone.comparisons.empty and (alone.regions["stars"] == "").all()
    columns = ["region", "n_subjects", "mean", "sd", "low", "high"]
    pd.testing.assert_frame_equal(alone.regions[columns], both[columns].reset_index(drop=True))


def test_tests_that_do_not_cover_the_scores_are_refused():
    scores = draw_scores(0)
    tests = draw_tests(scores, p=0.1)
    with pytest.raises(InputError, match="nobody was tested in MTC, llm"):
        partial = tests[(tests["region"] != "MTC") | (tests["space"] != "llm")]
        compare_group(scores, reference="mllm", tests=partial, seed=0)
    with pytest.raises(InputError, match="the table of tests has no column 'p'"):
        compare_group(scores, reference="mllm", tests=tests.drop(columns="p"), seed=0)
    with pytest.raises(InputError, match="no people"):
        sign_flip_test(np.empty((0, 3)), seed=0)


def test_below_is_above_with_the_spaces_exchanged():
    scores = draw_scores(4, gain=-0.2)
    tests = draw_tests(scores, p=0.01)
    tests.loc[tests["subject"] == "sub-02", "p"] = 0.4
    found = compare_group(scores, reference="mllm", tests=tests, seed=0).comparisons
    mirrored = compare_group(
        scores, reference="mllm", tests=tests.assign(difference=-tests["difference"]), seed=0
    ).comparisons
    assert (found["n_below"] == 4).all() and (found["n_above"] == 0).all()
    for name in ("{}", "{}_low", "{}_high", "{}_bound", "{}_majority", "n_{}", "p_{}", "q_{}"):
        np.testing.assert_array_equal(found[name.format("below")], mirrored[name.format("above")])
        np.testing.assert_array_equal(found[name.format("above")], mirrored[name.format("below")])
    assert found["p_below"].to_numpy() == pytest.approx(stats.binom.sf(3, 5, 0.025))
    np.testing.assert_allclose(found["q_below"], false_discovery_rate([found["p_above"], found["p_below"]])[1])


def test_the_difference_of_people_who_were_tested_is_that_of_their_tests():
    scores = draw_scores(10)
    tests = draw_tests(scores, p=0.5)
    tests["difference"] += np.random.default_rng(0).normal(size=len(tests))
    found = compare_group(scores, reference="mllm", tests=tests, seed=0).comparisons.set_index(["region", "space"])
    of_tests = tests.set_index(["region", "space"]).loc[("IPL", "llm"), "difference"]
    assert found.loc[("IPL", "llm"), "difference"] == pytest.approx(of_tests.mean())
    assert found.loc[("IPL", "llm"), "p_t"] == pytest.approx(stats.ttest_1samp(of_tests, 0).pvalue)


def test_spaces_that_predict_a_region_in_nobody_are_not_compared_there():
    scores = draw_scores(11, gain=0.2).assign(p=0.5)
    predicted = [("TPJ", "mllm"), ("IPL", "llm")]  # in TPJ the reference; in IPL one other space
    for region, space in predicted:
        scores.loc[(scores["region"] == region) & (scores["space"] == space), "p"] = 0.002
    tests = draw_tests(scores, p=0.001)
    found = compare_group(scores, reference="mllm", tests=tests, seed=0)
    table = found.comparisons.set_index(["region", "space"])
    there = [("TPJ", "llm"), ("TPJ", "category"), ("IPL", "llm")]
    elsewhere = [("IPL", "category"), ("MTC", "llm"), ("MTC", "category")]
    assert table.loc[there, "compared"].all() and not table.loc[elsewhere, "compared"].any()
    assert (table.loc[there, "stars"] != "").all() and (table.loc[elsewhere, "stars"] == "").all()
    told = ["reference", "n_subjects", "n_tested", "compared", "difference", "sd", "stars"]
    assert table.loc[elsewhere].drop(columns=told).isna().all(axis=None)
    assert table.loc[elsewhere, told].notna().all(axis=None) and table.loc[there].notna().all(axis=None)
    for kind in ("t", "flip"):
        np.testing.assert_allclose(table.loc[there, f"q_{kind}"], false_discovery_rate(table.loc[there, f"p_{kind}"]))
    both = false_discovery_rate(table.loc[there, ["p_above", "p_below"]])
    np.testing.assert_allclose(table.loc[there, ["q_above", "q_below"]], both)
    assert (table.loc[there, "n_above"] == 5).all()
    assert found.correction.startswith("Benjamini-Hochberg over 3 of 3 regions × 2 spaces; in the others neither")
    untested = tests.set_index(["region", "space"]).drop(index=elsewhere).reset_index()  # nobody needs them
    assert compare_group(scores, reference="mllm", tests=untested, seed=0).comparisons["n_tested"].tolist() == [
        5, 5, 5, 0, 0, 0
    ]  # fmt: skip


def test_two_spaces_of_different_size_that_predict_nothing_get_no_stars():
    """3 and 30 features of noise: pooled r differ by their biases, in everybody; 6 studies of five people."""
    n, n_voxels, starred = 240, 20, {"scores alone": 0, "tests": 0, "tests and p": 0}
    ids = [f"s{k:03d}" for k in range(n)]
    trials = pd.DataFrame({"stimulus": ids, "run": np.repeat(np.arange(12), 20) + 1, "session": 1})
    rng = np.random.default_rng(12)
    spaces = {
        f"{size} features": pd.DataFrame(rng.normal(size=(n, size)), index=ids, columns=[f"c{k}" for k in range(size)])
        for size in (3, 30)
    }
    rois = {"TPJ": np.arange(n_voxels) < 10, "IPL": np.arange(n_voxels) >= 10}
    for _ in range(6):
        scores, pairs = [], []
        for person in range(5):
            responses = rng.normal(size=(n, n_voxels)) + 0.5 * rng.normal(size=(n, 1))
            recording = Recording(f"sub-{person}", responses.astype(np.float32), trials, rois=rois)
            found = [encode(space, recording, name=name, alphas=[1000.0]) for name, space in spaces.items()]
            for one in found:
                tested = encoding_significance(
                    one, recording, n_permutations=59, tail="empirical", seed=person, n_jobs=1
                )
                scores.append(region_scores(one, recording, significance=tested))
            pairs.append(compare_encodings(*found, recording))
        table, tests = pd.concat(scores), region_tests(pairs)
        for name, arguments in {
            "scores alone": {"scores": table.drop(columns="p")},
            "tests": {"scores": table.drop(columns="p"), "tests": tests},
            "tests and p": {"scores": table, "tests": tests},
        }.items():
            group = compare_group(**arguments, reference="3 features", stars="p_t", seed=0)
            starred[name] += (group.comparisons["stars"] != "").sum()
    assert starred["scores alone"] >= 4  # of 12: what the gate is for
    assert starred["tests"] <= 3
    assert starred["tests and p"] == 0


@pytest.mark.parametrize("n", [5, 17])
def test_a_voxel_among_many_has_the_sign_flip_p_that_it_has_alone(n):
    values = np.random.default_rng(6).normal(0.4, 1, size=(n, 3))
    many = np.tile(values, (1, 20_000))  # patterns are then taken in small blocks
    alone, among = sign_flip_test(values, n_flips=300, seed=0), sign_flip_test(many, n_flips=300, seed=0)
    np.testing.assert_array_equal(among.p.reshape(-1, 3), np.tile(alone.p, (20_000, 1)))
