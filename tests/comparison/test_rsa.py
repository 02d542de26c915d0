import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from affectome._numba import kernel_threads
from affectome.comparison import compare_rsa
from affectome.comparison._kernels import fill_permuted_products
from affectome.comparison._matrix import permuted_orders, similarity_stack
from affectome.comparison._rsa import _Counted, _dense_null, _low_rank_null, _RankedRSM, _spearman, _StimulusPairs
from affectome.errors import InputError

SPEARMAN = "spearman"


def quietly(*_, **__):
    pass


def weighted_correlations(x, y, left, right, weights):
    """Pearson and Spearman over pairs that weigh the product of their stimuli; ranks are of the weighted pairs."""
    w = weights[left] * weights[right]

    def pearson(a, b):
        a, b = a - np.average(a, weights=w), b - np.average(b, weights=w)
        return (w * a * b).sum() / np.sqrt((w * a * a).sum() * (w * b * b).sum())

    def ranks(v):
        return np.array([(w * (v < one)).sum() + (w * (v == one)).sum() / 2 for one in v])

    return np.array([pearson(x, y), pearson(ranks(x), ranks(y))])


def test_agreement_equals_scipy_over_pairs_of_stimuli(related):
    spaces = related(np.random.default_rng(0), 30, "gaussian")
    got = compare_rsa(spaces, metric={"a": "cosine", "b": "correlation", "c": "euclidean"}, n_permutations=0, seed=0)
    a, b, c = (pdist(spaces[k], m) for k, m in (("a", "cosine"), ("b", "correlation"), ("c", "euclidean")))
    for name, scipys in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        expected = [scipys(*pair).statistic for pair in ((a, b), (a, c), (b, c))]
        np.testing.assert_allclose(got.rows(name)["value"], expected, atol=2e-6)
    assert (got.n_pairs, got.metrics["c"]) == (435, "euclidean")
    assert got.table[["p", "q", "null_mean"]].isna().all(axis=None)


def test_order_of_stimuli_and_size_of_a_cosine_space_do_not_matter(related):
    spaces = related(np.random.default_rng(1), 25, "sparse")
    other = {**spaces, "b": 3 * spaces["b"].sample(frac=1, random_state=0)}
    one, two = (compare_rsa(given, n_permutations=19, seed=0).table for given in (spaces, other))
    pd.testing.assert_frame_equal(one, two, atol=1e-5)


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
def test_influences_are_derivatives_by_the_weights_of_stimuli(ties):
    rng = np.random.default_rng(2)
    n = 14
    spaces = {k: pd.DataFrame(rng.integers(0, 2, (n, 4)) + 0.0 if ties else rng.normal(size=(n, 4))) for k in "ab"}
    over = _StimulusPairs(n)
    stack = similarity_stack(spaces, {"a": "dot", "b": "dot"})
    ranked = [_RankedRSM(over, rsm) for rsm in stack]
    x, y = (rsm[over.left, over.right].astype(float) for rsm in stack)
    expected, step = np.empty((2, n)), 1e-5
    for s in range(n):
        ends = [weighted_correlations(x, y, over.left, over.right, np.ones(n) + side * step * np.eye(n)[s])
                for side in (1, -1)]  # fmt: skip
        expected[:, s] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(_spearman(over, ranked, ["a", "b"]).influence[0], expected[1], atol=1e-6)
    from affectome.comparison._rsa import _pearson

    np.testing.assert_allclose(_pearson(over, ranked, ["a", "b"]).influence[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(expected.sum(axis=1), 0, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_of_permuted_products_equals_its_plain_twin(threads):
    rng = np.random.default_rng(3)
    matrices = rng.normal(size=(3, 21, 21)).astype(np.float32)
    matrices += matrices.transpose(0, 2, 1)
    orders = np.array([rng.permutation(21) for _ in range(37)], np.uint32)  # three blocks, the last one short
    out = np.zeros((37, 3, 3))
    with kernel_threads(threads):
        fill_permuted_products(matrices, orders, out)
    lower = np.tril_indices(21, -1)
    for t, order in enumerate(orders):
        for a in range(3):
            for b in range(a + 1, 3):
                assert out[t, a, b] == pytest.approx(
                    matrices[a][lower] @ matrices[b][np.ix_(order, order)][lower], abs=1e-3
                )


def test_low_rank_null_equals_the_one_over_all_pairs(related):
    spaces = related(np.random.default_rng(4), 40, "sparse")
    stack = similarity_stack(spaces, dict.fromkeys(spaces, "dot"))
    over = _StimulusPairs(40)
    ranked = [_RankedRSM(over, rsm) for rsm in stack]
    orders = permuted_orders(np.random.SeedSequence(0), 40, 70)
    rows = [frame.to_numpy(float) for frame in spaces.values()]
    narrow = _low_rank_null(rows, ranked, orders, _Counted(quietly, 1))
    dense = _dense_null(np.stack([over.square(rsm.z) for rsm in ranked]), orders, _Counted(quietly, 1))
    for one, two in zip(narrow, dense, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    assert narrow[1].shape == (70, 3) and narrow[1].std() > 0.01


def test_p_and_q_count_permutations(related, unrelated):
    rng = np.random.default_rng(5)
    spaces = related(rng, 30, "gaussian") | {"x": unrelated(rng, 30)["c"]}
    table = compare_rsa(spaces, n_permutations=199, seed=1).rows(SPEARMAN)
    assert table.loc[("a", "b"), "p"] == 1 / 200
    assert table.loc[("a", "x"), "p"] > 0.02
    np.testing.assert_allclose(table["q"], stats.false_discovery_control(table["p"]))
    assert (table["null_mean"].abs() < 0.05).all() and (table["null_high"] > 0).all()


def test_p_is_valid_where_spaces_are_unrelated(unrelated, assert_valid):
    rng = np.random.default_rng(6)
    p = [compare_rsa(unrelated(rng, 14), n_permutations=99, seed=w).table["p"] for w in range(120)]
    assert_valid(np.array(p))


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_intervals_and_differences_cover(kind, related, assert_covers):
    whole = [compare_rsa(related(np.random.default_rng(s), 700, kind), n_permutations=0, seed=0) for s in range(5)]
    truth = np.mean([got.table["value"] for got in whole], axis=0)
    rng = np.random.default_rng(7)
    worlds = [compare_rsa(related(rng, 60, kind), n_permutations=0, seed=0) for _ in range(200)]
    assert_covers(np.array([got.table[["ci_low", "ci_high"]] for got in worlds]), truth, at_most=0.97)
    ties = [got.differences.xs("b", level="shared") for got in worlds]  # a and c are equally close to b
    assert_covers(np.array([tie[["ci_low", "ci_high"]] for tie in ties]), np.zeros(2), at_most=0.98)
    rejected = np.array([tie["p"] <= 0.05 for tie in ties]).mean(axis=0)
    assert (rejected <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)).all()


def test_a_difference_is_that_of_the_table_and_is_found(related):
    spaces = related(np.random.default_rng(8), 150, "gaussian")
    spaces["far"] = spaces["a"] + 3 * np.random.default_rng(9).normal(size=spaces["a"].shape)
    got = compare_rsa(spaces, n_permutations=0, seed=0)
    row = got.differences.loc[("spearman", "b", "a", "far")]
    matrix = got.matrix("spearman")
    assert row["difference"] == pytest.approx(matrix.loc["b", "a"] - matrix.loc["b", "far"])
    assert row["ci_low"] > 0 and row["q"] < 0.001
    assert len(got.differences) == 2 * 4 * 3


def test_a_space_and_its_copy_differ_in_nothing(related):
    spaces = related(np.random.default_rng(10), 30, "sparse", names="ab")
    got = compare_rsa({**spaces, "again": spaces["a"]}, n_permutations=0, seed=0)
    row = got.differences.loc[("pearson", "b", "a", "again")]
    assert (row["difference"], row["p"]) == (pytest.approx(0, abs=1e-9), 1.0)
    same = got.table.loc[("spearman", "a", "again")]
    assert same[["value", "ci_low", "ci_high"]].tolist() == pytest.approx([1, 1, 1])


def test_reliabilities_make_the_ceiling(related):
    spaces = related(np.random.default_rng(11), 20, "sparse")
    got = compare_rsa(spaces, reliability={"a": 0.8, "b": 0.5}, n_permutations=0, seed=0).rows("pearson")["ceiling"]
    assert got["a", "b"] == pytest.approx(np.sqrt(0.4)) and np.isnan(got["a", "c"])


def test_an_attenuated_agreement_reaches_its_ceiling():
    rng = np.random.default_rng(12)
    true = rng.gamma(0.5, size=(300, 12))
    one, two, three = (pd.DataFrame(true + 0.35 * rng.normal(size=true.shape)) for _ in range(3))
    alike = compare_rsa({"1": one, "2": two, "3": three}, metric="dot", n_permutations=0, seed=0).matrix("pearson")
    reliability = alike.loc["1", "2"]  # of a space with its repetition
    assert alike.loc["1", "3"] == pytest.approx(np.sqrt(reliability * reliability), abs=0.05)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"b": None}, {}, "1 space has nothing to be compared with"),
        ({"b": pd.DataFrame(np.ones((20, 3)))}, {}, "b: under cosine all pairs of stimuli are equally similar"),
        ({"b": pd.DataFrame(np.arange(1.0, 21.0))}, {}, "b: under cosine all pairs of stimuli are equally similar"),
        ({"b": pd.DataFrame(np.eye(19))}, {}, "1 of its ids are not in b"),
        ({}, {"metric": {"a": "dot"}}, "the metrics and the spaces do not match \\('b'\\)"),
        ({}, {"metric": "cosin"}, "'cosin' is no similarity"),
        ({}, {"level": 1.0}, "level=1.0 makes no interval"),
        ({}, {"n_permutations": -1}, "no number of permutations"),
        ({}, {"reliability": {"a": 1.2}}, "a: reliability 1.2 is not in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_said(related, change, settings, message):
    spaces = related(np.random.default_rng(13), 20, "sparse", names="ab") | change
    with pytest.raises(InputError, match=message):
        compare_rsa({k: v for k, v in spaces.items() if v is not None}, **{"seed": 0, **settings})


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_the_unit_of_a_space_does_not_matter(related, metric):
    spaces = related(np.random.default_rng(4), 30, "sparse", names="ab")
    small = spaces | {"a": spaces["a"] * 2.0**-20}  # a power of two changes no rounding
    one, two = (compare_rsa(s, metric=metric, n_permutations=19, seed=0).table for s in (spaces, small))
    np.testing.assert_allclose(one.to_numpy(float), two.to_numpy(float), rtol=1e-6)


def test_nine_stimuli_are_too_few(related):
    with pytest.raises(InputError, match="9 stimuli are too few"):
        compare_rsa(related(np.random.default_rng(14), 9, "sparse"), seed=0)


def test_progress_reaches_its_end(related):
    said = []
    compare_rsa(related(np.random.default_rng(15), 20, "sparse"), n_permutations=70, seed=0,
                progress=lambda done, total, detail="": said.append((done, total)))  # fmt: skip
    assert said[-1] == (141, 141) and said == sorted(said)
