import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment

from affectome import InputError
from affectome.comparison import match_clusters, upset_counts
from affectome.comparison._clusters import _shared, match_p, permuted_profiles, rotated_congruences, unit_rows
from affectome.interpretation import affective_graph, cluster_profiles
from affectome.interpretation._communities import random_rotations
from affectome.interpretation._correlations import unit_columns

FAST = {"n_permutations": 99, "n_subsamples": 10}
ALPHAS = (0.01, 0.05, 0.10)


def planted(seed=0, n=300, shared=3, own=2):
    """Two spaces over sparse, skewed emotions: `shared` of them in both, `own` in each alone; and ratings of all.

    Every emotion has two components of its own, so that it is a cluster.
    """
    rng = np.random.default_rng(seed)
    emotions = np.maximum(rng.normal(size=(n, shared + 2 * own)) - 0.8, 0)
    ids = [f"s{i}" for i in range(n)]

    def space(columns):
        signal = np.repeat(emotions[:, columns] / emotions[:, columns].std(axis=0), 2, axis=1)
        noisy = np.maximum(signal + 0.4 * rng.normal(size=signal.shape), 0)
        return pd.DataFrame(noisy, ids, [f"emotion {c}{side}" for c in columns for side in "ab"])

    pleasant = rng.normal(size=emotions.shape[1])
    loads = np.column_stack([np.eye(emotions.shape[1]), pleasant, pleasant + 0.1])
    rated = emotions @ loads + 0.2 * rng.normal(size=(n, loads.shape[1]))
    names = [f"emotion {c}" for c in range(emotions.shape[1])] + ["valence", "approach"]
    ratings = pd.DataFrame(rated, ids, names)
    spaces = {
        "llm": space([*range(shared), *range(shared, shared + own)]),
        "mllm": space([*range(shared), *range(shared + own, shared + 2 * own)]),
    }
    return spaces, {"category": ratings.iloc[:, :-2], "dimension": ratings.iloc[:, -2:]}


def graphs_of(spaces, **settings):
    quick = {"n_seeds": 3, "n_subsamples": 1, "n_permutations": 1, "seed": 0}
    return {name: affective_graph(space, **quick | settings) for name, space in spaces.items()}


@pytest.fixture(scope="module")
def world():
    spaces, ratings = planted()
    return graphs_of(spaces), ratings


@pytest.fixture(scope="module")
def result(world):
    return match_clusters(*world, **FAST, seed=1)


def test_planted_clusters_are_shared_and_the_others_alone(result):
    shared = result.clusters[result.clusters["n_spaces"] == 2]
    assert sorted(text.split(": ")[1] for text in shared["in llm"]) == [f"emotion {c}a, emotion {c}b" for c in range(3)]
    assert shared["in llm"].str.split(": ").str[1].tolist() == shared["in mllm"].str.split(": ").str[1].tolist()
    assert (shared["links"] == shared["possible_links"]).all()
    assert len(result.clusters) == 3 + 2 + 2
    assert result.membership.sum().to_dict() == {"llm": 5, "mllm": 5}
    assert upset_counts(result.membership).to_dict() == {(True, True): 3, (True, False): 2, (False, True): 2}


def test_shared_cluster_is_named_by_what_it_follows(result):
    shared = result.clusters[result.clusters["n_spaces"] == 2]
    for _, row in shared.iterrows():
        emotion = row["in llm"].split(": ")[1].split(",")[0][:-1]
        assert emotion in row["name"]
    assert result.clusters["name"].is_unique


def test_matches_are_the_hungarian_assignment_of_cosines(result, world):
    graphs, ratings = world
    a, b = (cluster_profiles(graphs[name], ratings).profiles for name in ("llm", "mllm"))
    cosine = np.array([[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b.to_numpy()] for x in a.to_numpy()])
    rows, columns = linear_sum_assignment(-cosine)
    expected = {(a.index[i], b.index[j]): cosine[i, j] for i, j in zip(rows, columns, strict=True)}
    found = {(row.cluster_a, row.cluster_b): row.congruence for row in result.matches.itertuples()}
    assert found == pytest.approx(expected, abs=1e-12)


def test_q_is_benjamini_hochberg_within_a_pair_and_p_the_larger_of_both_nulls(result):
    table = result.matches
    np.testing.assert_array_equal(table["p"], table[["p_unrelated", "p_directions"]].max(axis=1))
    np.testing.assert_allclose(table["q"], stats.false_discovery_control(table["p"]))


def test_pair_of_spaces_has_the_same_p_whatever_else_is_compared(result, world):
    graphs, ratings = world
    three = match_clusters({**graphs, "copy": graphs["llm"]}, ratings, **FAST, seed=1)
    columns = ["cluster_a", "cluster_b", "congruence", "p_unrelated", "p_directions", "q"]
    pair = three.matches[(three.matches["space_a"] == "llm") & (three.matches["space_b"] == "mllm")]
    pd.testing.assert_frame_equal(pair[columns].reset_index(drop=True), result.matches[columns].reset_index(drop=True))
    assert three.clusters["n_spaces"].max() == 3
    assert upset_counts(three.membership)[(True, True, True)] == 3


def test_stable_match_recurs_and_its_congruence_has_a_range(result):
    shared = result.matches[result.matches["q"] < 0.05]
    assert (shared["recurrence"] == 1).all()
    assert (shared["congruence_low"] <= shared["congruence"] + 0.02).all()
    assert (shared["congruence_low"] < shared["congruence_high"]).all()


def test_match_of_unstable_clusters_recurs_in_fewer_subsamples():
    spaces, ratings = planted(seed=3, n=60)
    rng = np.random.default_rng(0)
    noisy = {name: space + 1.2 * rng.normal(size=space.shape) for name, space in spaces.items()}
    found = match_clusters(graphs_of(noisy), ratings, n_permutations=19, n_subsamples=20, seed=0)
    assert found.matches["recurrence"].min() < 0.8
    never = found.matches["recurrence"] == 0
    assert found.matches.loc[never, "congruence_low"].isna().all()


def test_order_of_stimuli_does_not_move_the_matches(world):
    graphs, ratings = world
    turned = {key: frame.iloc[::-1] for key, frame in ratings.items()}
    first, second = (match_clusters(graphs, given, **FAST, seed=1) for given in (ratings, turned))
    pd.testing.assert_frame_equal(first.matches, second.matches)


def test_turning_a_dimension_round_changes_no_congruence(world):
    graphs, ratings = world
    turned = {**ratings, "dimension": -ratings["dimension"]}
    first, second = (match_clusters(graphs, given, **FAST, seed=1).matches for given in (ratings, turned))
    np.testing.assert_allclose(first["congruence"], second["congruence"], atol=1e-12)
    np.testing.assert_array_equal(first["p"], second["p"])


# The nulls


def test_rotated_congruence_is_the_cosine_with_mixed_profiles():
    rng = np.random.default_rng(0)
    a, b = unit_rows(rng.normal(size=(3, 7))), unit_rows(rng.normal(size=(4, 7)))
    drawn = rotated_congruences(a @ b.T, b @ b.T, 5, np.random.default_rng(2))
    for turn, found in zip(random_rotations(4, 5, np.random.default_rng(2)), drawn, strict=True):
        np.testing.assert_allclose(found, a @ unit_rows(turn @ b).T, atol=1e-12)


def test_permuted_profiles_are_correlations_with_permuted_ratings():
    rng = np.random.default_rng(0)
    scores, rated = unit_columns(rng.normal(size=(30, 2))).T, unit_columns(rng.normal(size=(30, 4)))
    drawn = permuted_profiles({"a": scores[:1], "b": scores}, rated, 3, np.random.SeedSequence(5))
    again = np.random.default_rng(np.random.SeedSequence(5))
    for a, b in zip(drawn["a"], drawn["b"], strict=True):
        r = np.corrcoef(np.vstack([scores, rated[again.permutation(30)].T]))[:2, 2:]
        np.testing.assert_allclose(b, r / np.linalg.norm(r, axis=1, keepdims=True), atol=1e-12)
        np.testing.assert_allclose(a, b[:1], atol=1e-12)


def skewed(rng, *shape):
    return np.maximum(rng.normal(size=shape) - 0.8, 0)


def unrelated_p(seed, draw):
    """p of the matches of two spaces, one of which has nothing to do with the ratings; ratings are correlated."""
    rng = np.random.default_rng(seed)
    emotions = draw(rng, 60, 4)
    rated = unit_columns(emotions @ rng.normal(size=(4, 12)) + 0.3 * rng.normal(size=(60, 12)))
    scores = {"a": unit_columns(emotions).T, "b": unit_columns(draw(rng, 60, 5)).T}
    profiles = {name: unit_rows(rows @ rated) for name, rows in scores.items()}
    permuted = permuted_profiles(scores, rated, 99, np.random.SeedSequence(seed))
    a, b = profiles["a"], profiles["b"]
    drawn = (a @ permuted["b"].transpose(0, 2, 1), permuted["a"] @ b.T)
    return match_p(a @ b.T, drawn, (a @ a.T, b @ b.T), 99, rng)[2]


def few_unrelated_p(seed, draw):
    """The same where the unrelated space has fewer clusters, so that matches select among those of the other."""
    rng = np.random.default_rng(seed)
    emotions = draw(rng, 80, 8)
    rated = unit_columns(emotions @ rng.normal(size=(8, 12)) + 0.3 * rng.normal(size=(80, 12)))
    scores = {"a": unit_columns(draw(rng, 80, 2)).T, "b": unit_columns(emotions).T}
    permuted = permuted_profiles(scores, rated, 99, np.random.SeedSequence(seed))
    a, b = (unit_rows(rows @ rated) for rows in scores.values())
    drawn = (a @ permuted["b"].transpose(0, 2, 1), permuted["a"] @ b.T)
    return match_p(a @ b.T, drawn, (a @ a.T, b @ b.T), 99, rng)[2]


def directions_p(seed, spread):
    """p of the matches of two spaces of the same affective axes (some large, some small) along arbitrary directions."""
    rng = np.random.default_rng(seed)
    axes = spread[:, None] * random_rotations(12, 1, np.random.default_rng(99))[0][: len(spread)]
    a, b = (unit_rows(random_rotations(len(spread), 1, rng)[0] @ axes) for _ in range(2))
    nothing = np.full((99, len(spread), len(spread)), -1.0)
    return match_p(a @ b.T, (nothing, nothing), (a @ a.T, b @ b.T), 99, rng)[3]


@pytest.mark.parametrize(
    ("world", "setting"),
    [
        (unrelated_p, skewed),
        (unrelated_p, lambda rng, *shape: rng.normal(size=shape)),
        (few_unrelated_p, skewed),
        (directions_p, np.ones(6)),
        (directions_p, np.array([3.0, 2.0, 1.0, 0.5, 0.3, 0.2])),
    ],
    ids=["unrelated skewed", "unrelated Gaussian", "fewer unrelated", "directions even", "directions of few axes"],
)
def test_p_of_a_match_is_valid_under_its_null(world, setting):
    worlds = 250
    p = np.array([world(seed, setting) for seed in range(worlds)])  # (n_worlds, n_matches)
    for alpha in ALPHAS:
        shares = (p <= alpha).mean(axis=1)  # the matches of one world are not independent
        error = max(shares.std(ddof=1), np.sqrt(alpha * (1 - alpha) / p.shape[1])) / np.sqrt(worlds)
        assert shares.mean() <= alpha + 3 * error
    assert 0.4 < p.mean() < 0.8


def test_every_planted_match_is_found_and_no_other_is_called_shared():
    for seed in range(4):
        spaces, ratings = planted(seed=10 + seed, shared=2)
        found = match_clusters(graphs_of(spaces), ratings, n_permutations=99, n_subsamples=1, seed=seed)
        called = found.matches[found.matches["q"] < 0.05]
        assert set(called["members_a"]) == {"emotion 0a, emotion 0b", "emotion 1a, emotion 1b"}
        assert (called["members_a"] == called["members_b"]).all()


def test_unrelated_null_alone_asks_less(world, result):
    graphs, ratings = world
    less = match_clusters(graphs, ratings, **FAST, seed=1, null="unrelated")
    np.testing.assert_array_equal(less.matches["p"], less.matches["p_unrelated"])
    assert (less.matches["q"] < 0.05).sum() >= (result.matches["q"] < 0.05).sum()


# Shared clusters


def linked(*links):
    """Matches between clusters given as ("space", "cluster") pairs, in the order of their p."""
    rows = [(*a, *b, 0.9, 0.01 * k, 0.5) for k, (a, b) in enumerate(links)]
    columns = ["space_a", "cluster_a", "space_b", "cluster_b", "congruence", "q", "recurrence"]
    return pd.DataFrame(rows, columns=columns)


def test_chain_of_matches_is_one_shared_cluster_with_one_cluster_per_space(world):
    graph = next(iter(world[0].values()))
    graphs, called = {"a": graph, "b": graph, "c": graph}, graph.clusters.index
    profiles = pd.concat(dict.fromkeys(graphs, pd.DataFrame(np.eye(len(called)), called)))
    one, two = called[:2]
    links = linked((("a", one), ("b", one)), (("b", one), ("c", one)), (("a", two), ("c", one)))
    clusters, membership = _shared(graphs, links, profiles)
    assert clusters["n_spaces"].tolist()[:2] == [3, 1]  # a's second cluster comes too late: a is in already
    assert (clusters["links"].iloc[0], clusters["possible_links"].iloc[0]) == (2, 3)
    assert clusters["q"].iloc[0] == 0.01
    assert membership.to_numpy().sum() == 3 * len(called)


# Counting combinations


def test_upset_counts_equal_brute_force_and_fall():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((200, 4)) < 0.4, columns=list("abcd"))
    counts = upset_counts(table)
    for key in itertools.product([False, True], repeat=4):
        assert counts.get(key, 0) == (table == list(key)).all(axis=1).sum()
    assert counts.is_monotonic_decreasing
    assert counts.sum() == 200
    assert counts.index.names == list("abcd")


def test_tied_combinations_are_ordered_by_size_then_by_the_order_of_the_sets():
    table = pd.DataFrame([[True, True], [False, True], [True, False]], columns=["a", "b"])
    assert upset_counts(table).index.tolist() == [(True, False), (False, True), (True, True)]


# What is refused


def test_what_cannot_be_matched_is_refused(world):
    graphs, ratings = world
    with pytest.raises(InputError, match="nothing to be matched with"):
        match_clusters({"llm": graphs["llm"]}, ratings, seed=0)
    with pytest.raises(InputError, match="no ratings"):
        match_clusters(graphs, {}, seed=0)
    with pytest.raises(InputError, match="is no null of a match"):
        match_clusters(graphs, ratings, null="none", seed=0)
    with pytest.raises(InputError, match="make no match"):
        match_clusters(graphs, ratings, alpha=0, seed=0)
    fewer = planted(n=250)[0]
    with pytest.raises(InputError, match=r"the space 'llm': 50 of its ids are not in the space 'mllm'"):
        match_clusters({"llm": graphs["llm"], **graphs_of({"mllm": fewer["mllm"]})}, ratings, seed=0)


def test_membership_that_is_not_true_or_false_is_refused():
    with pytest.raises(InputError, match="hold other values: b"):
        upset_counts(pd.DataFrame({"a": [True], "b": [1]}))
    with pytest.raises(InputError, match="no membership"):
        upset_counts(pd.DataFrame({"a": []}, dtype=bool))
