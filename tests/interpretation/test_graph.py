import itertools

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from affectome import InputError
from affectome._progress import silent
from affectome.interpretation import affective_graph, cluster_profiles
from affectome.interpretation._communities import (
    agreement,
    best_partition,
    edge_weights,
    modularity,
    overlap,
    random_rotations,
    rewired,
    rotated,
)
from affectome.interpretation._graph import _chance, name_profiles

FAST = {"n_seeds": 5, "n_subsamples": 10, "n_permutations": 19}


def grouped_space(sizes, seed=0, n=200, noise=0.5):
    """Components in groups that share a sparse, non-negative, skewed signal; columns dealt over the groups in turn."""
    rng = np.random.default_rng(seed)
    signals = np.maximum(rng.normal(size=(n, len(sizes))) - 0.5, 0)
    columns = [(group, signals[:, group] + noise * np.maximum(rng.normal(size=n) - 0.5, 0)) for group, size in
               enumerate(sizes) for _ in range(size)]  # fmt: skip
    names = [f"g{group}.{k}" for k, (group, _) in enumerate(columns)]
    return pd.DataFrame(np.column_stack([x for _, x in columns]), [f"s{i}" for i in range(n)], names)


@pytest.fixture(scope="module")
def space():
    return grouped_space([4, 3, 2, 1])


@pytest.fixture(scope="module")
def graph(space):
    return affective_graph(space, **FAST, seed=1)


def test_planted_groups_are_the_communities_largest_first(graph):
    assert [sorted({name[:2] for name in inside}) for inside in graph.members().values()] == [
        ["g0"],
        ["g1"],
        ["g2"],
        ["g3"],
    ]
    assert graph.clusters["size"].tolist() == [4, 3, 2, 1]
    assert graph.clusters["recurrence"].min() == 1
    assert graph.seed_agreement == graph.subsample_agreement == 1


def test_edges_are_the_correlations_above_the_threshold(graph, space):
    r = np.corrcoef(space.to_numpy().T)
    np.testing.assert_allclose(graph.correlations, r, atol=1e-12)
    expected = {(a, b) for a, b in itertools.combinations(range(10), 2) if r[a, b] > 0.2}
    place = {name: k for k, name in enumerate(space.columns)}
    assert {(place[a], place[b]) for a, b in zip(graph.edges["source"], graph.edges["target"], strict=True)} == expected
    assert graph.edges["r"].is_monotonic_decreasing
    assert graph.edges["recurrence"].between(0, 1).all()


def test_modularity_and_pagerank_equal_networkx(graph, space):
    weights = edge_weights(np.corrcoef(space.to_numpy().T), 0.2)
    same = nx.from_numpy_array(weights)
    groups = [set(np.flatnonzero(graph.components["cluster"] == name).tolist()) for name in graph.clusters.index]
    assert graph.modularity == pytest.approx(nx.community.modularity(same, groups), abs=1e-12)
    ranks = nx.pagerank(same)
    np.testing.assert_allclose(graph.components["pagerank"], [ranks[k] for k in range(10)], atol=1e-5)
    labels = graph.components["cluster"].factorize()[0].astype(np.intp)
    for resolution in (0.5, 2.0):
        assert modularity(weights, labels, resolution) == pytest.approx(
            nx.community.modularity(same, groups, resolution=resolution)
        )


def test_component_without_edge_is_a_community_of_one_with_the_least_pagerank(graph):
    lonely = graph.components.iloc[-1]
    assert (lonely["degree"], lonely["strength"], lonely["cluster"]) == (0, 0, "cluster 04")
    assert lonely["pagerank"] == graph.components["pagerank"].min() > 0


def test_threshold_sensitivity_holds_the_reported_graph(graph):
    assert graph.sensitivity.index.tolist() == [0.1, 0.2, 0.3]
    row = graph.sensitivity.loc[0.2]
    assert (row["n_edges"], row["n_clusters"], row["agreement"]) == (len(graph.edges), 4, 1)
    assert row["modularity"] == graph.modularity == graph.subsamples.at["modularity", "value"]
    assert graph.subsamples.at["n_clusters", "lowest"] <= 4 <= graph.subsamples.at["n_clusters", "highest"]


def test_weak_groups_come_back_in_fewer_subsamples():
    noisy = affective_graph(
        grouped_space([3, 3, 3], n=40, noise=3.0), n_seeds=5, n_subsamples=30, n_permutations=1, seed=0
    )
    assert noisy.subsample_agreement < 0.9
    assert noisy.clusters["recurrence"].min() < 1
    off = noisy.subsample_coassignment.to_numpy()[~np.eye(9, dtype=bool)]
    assert ((off > 0) & (off < 1)).any()


def test_result_depends_on_the_seed_alone(space, graph):
    again = affective_graph(space.rename(columns=lambda name: name + "x"), **FAST, seed=1)
    pd.testing.assert_frame_equal(again.chance, graph.chance)
    np.testing.assert_array_equal(again.subsample_coassignment, graph.subsample_coassignment)
    assert not affective_graph(space, **FAST, seed=2).chance["null_mean"].equals(graph.chance["null_mean"])


def test_best_partition_has_the_highest_modularity_found_and_does_not_depend_on_the_order_of_seeds():
    weights = edge_weights(np.corrcoef(np.random.default_rng(3).normal(size=(30, 40))), 0.0)
    seeds = list(range(30))
    best, counts = best_partition(weights, 1.0, seeds)
    assert len(counts) > 1
    assert modularity(weights, best, 1.0) == pytest.approx(max(modularity(weights, np.array(p), 1.0) for p in counts))
    np.testing.assert_array_equal(best_partition(weights, 1.0, seeds[::-1])[0], best)


def test_agreement_and_overlap_equal_their_definitions():
    first, second = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    assert agreement(first, second) == pytest.approx(adjusted_rand_score(first, second))
    np.testing.assert_allclose(overlap(first, second), [[2 / 4, 1 / 5], [0, 2 / 3], [1 / 3, 0]])


# Chance


def test_rewired_graphs_keep_degrees_and_weights_and_are_uniform():
    path = np.zeros((4, 4))
    for (a, b), weight in zip([(0, 1), (1, 2), (2, 3)], [0.3, 0.5, 0.9], strict=True):
        path[a, b] = path[b, a] = weight
    graphs = rewired(path, 2000, np.random.default_rng(0))
    np.testing.assert_array_equal((graphs > 0).sum(axis=2), np.tile([1, 2, 2, 1], (2000, 1)))
    np.testing.assert_array_equal(graphs, graphs.transpose(0, 2, 1))
    upper = np.sort(graphs[:, *np.triu_indices(4, 1)], axis=1)[:, -3:]
    np.testing.assert_allclose(upper, np.tile([0.3, 0.5, 0.9], (2000, 1)))
    # Two graphs have these degrees: 0-1-2-3 and 0-2-1-3.
    assert (graphs[:, 0, 1] > 0).mean() == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(2000))


def test_rotated_graphs_hold_the_highest_correlations_of_turned_components():
    r = np.corrcoef(np.random.default_rng(0).normal(size=(5, 12)))
    graphs = rotated(r, 3, 50, np.random.default_rng(7))
    turns = random_rotations(5, 50, np.random.default_rng(7))
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(5), (50, 1, 1)), atol=1e-12)
    for graph, turn in zip(graphs, turns, strict=True):
        mixed = turn.T @ r @ turn
        mixed /= np.sqrt(np.outer(np.diag(mixed), np.diag(mixed)))
        upper = mixed[np.triu_indices(5, 1)]
        kept = upper[np.argsort(-upper)[:3]]
        np.testing.assert_allclose(np.sort(graph[np.triu_indices(5, 1)])[-3:], np.sort(np.maximum(kept, 0)), atol=1e-12)


def random_graph(rng):
    """Edges anywhere, weights anywhere: as the rewired null has it."""
    weights = np.zeros((8, 8))
    rows, columns = np.triu_indices(8, 1)
    chosen = rng.choice(len(rows), 9, replace=False)
    weights[rows[chosen], columns[chosen]] = rng.uniform(0.2, 0.9, 9)
    return np.eye(8), weights + weights.T


def turned_correlations(rng):
    """Eigenvectors anywhere: as the rotated null has it."""
    turn = random_rotations(8, 1, rng)[0]
    r = turn.T @ np.diag([3.0, 1.5, 1.0, 0.8, 0.6, 0.5, 0.4, 0.2]) @ turn
    r /= np.sqrt(np.outer(np.diag(r), np.diag(r)))
    return r, edge_weights(r, 0.2)


@pytest.mark.parametrize(("null", "draw"), [("rewired", random_graph), ("rotated", turned_correlations)])
def test_p_of_modularity_is_valid_under_its_null(null, draw):
    worlds, p = 80, []
    for seed in range(worlds):
        r, weights = draw(np.random.default_rng(seed))
        streams = np.random.SeedSequence(seed).spawn(1)
        p.append(_chance(r, weights, 1.0, 39, seed, streams, 0, silent, (null,)).at[null, "p"])
    for alpha in (0.025, 0.05, 0.10):
        assert np.mean(np.array(p) <= alpha + 1e-9) <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / worlds)
    assert 0.3 < np.mean(p) < 0.75  # and not by never rejecting


def test_planted_communities_exceed_both_nulls():
    graph = affective_graph(grouped_space([5, 5, 5]), n_seeds=2, n_subsamples=1, n_permutations=99, seed=0)
    assert graph.chance["p"].max() <= 0.02
    assert (graph.chance["modularity"] > graph.chance["null_high"]).all()


def test_graph_without_edges_has_no_modularity_and_no_p():
    lonely = affective_graph(grouped_space([1, 1, 1]), **FAST, seed=0)
    assert np.isnan(lonely.modularity)
    assert lonely.chance["p"].isna().all()
    assert len(lonely.edges) == 0
    np.testing.assert_allclose(lonely.components["pagerank"], 1 / 3)


# Names


def test_profile_is_the_pagerank_weighted_mean_correlation(graph, space):
    rng = np.random.default_rng(4)
    rated = pd.DataFrame({"Joy": space["g0.0"] + rng.normal(size=200), "calm": -space["g1.4"]}, space.index)
    found = cluster_profiles(graph, {"category": rated[["Joy"]], "dimension": rated[["calm"]]}, n_ratings=1)
    inside = graph.components[graph.components["cluster"] == "cluster 02"]
    r = [np.corrcoef(space[name], rated["calm"])[0, 1] for name in inside.index]
    assert found.profiles.at["cluster 02", "calm"] == pytest.approx(np.average(r, weights=inside["pagerank"]))
    assert found.names["cluster 01"].startswith("Joy")
    assert found.names["cluster 02"].startswith("low calm")
    assert found.family.tolist() == ["category", "dimension"]


def test_names_are_unique_whatever_their_order():
    table = pd.DataFrame([[0.9, 0.8, 0.1], [0.8, 0.9, -0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], columns=list("abc"))
    assert name_profiles(table).is_unique
    assert name_profiles(table.iloc[:2]).tolist() == ["a, b, c", "b, a, low c"]


def test_names_of_components_are_kept_for_figures(space):
    graph = affective_graph(space, **FAST, seed=1, names={"g0.0": "Joy"})
    assert graph.components["name"].tolist()[:2] == ["Joy", "g0.1"]
    with pytest.raises(InputError, match=r"not there \(x\)"):
        affective_graph(space, **FAST, seed=1, names={"x": "Joy"})


# What is refused


def test_constant_component_is_logged_and_alone(space, caplog):
    graph = affective_graph(space.assign(flat=1.0), **FAST, seed=1)
    assert graph.components.at["flat", "degree"] == 0
    assert "1 components are constant and stay without an edge: flat." in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.0}, "make no communities"),
        ({"resolution": 0.0}, "make no communities"),
        ({"n_seeds": 1}, "show no stability"),
        ({"subsample": 1.0}, "show no stability"),
        ({"n_permutations": 0}, "no null without permutations"),
    ],
)
def test_settings_out_of_range_are_refused(space, change, message):
    with pytest.raises(InputError, match=message):
        affective_graph(space, **FAST | change, seed=0)


def test_spaces_that_make_no_graph_are_refused(space):
    with pytest.raises(InputError, match="one component makes no graph"):
        affective_graph(space.iloc[:, :1], seed=0)
    with pytest.raises(InputError, match="9 stimuli are too few"):
        affective_graph(space.iloc[:9], seed=0)
    with pytest.raises(InputError, match=r"the value in column 'g0.0' is missing"):
        affective_graph(space.mask(space == space.at["s2", "g0.0"]), seed=0)
