"""Distinctive words: what is counted, log-odds and error against brute force, and whether p and interval hold."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from affectome import InputError
from affectome.interpretation import STOP_WORDS, WordCounts, count_words, distinctive_words

WORDS = ["cat", "dog", "fire", "man", "rain"]


def counts_of(shares, n_captions=20, seed=0):
    """Counts of made-up words: of each stimulus's captions, this share in expectation holds the word."""
    rng = np.random.default_rng(seed)
    counts = rng.binomial(n_captions, shares)
    ids = tuple(f"s{k:04d}" for k in range(len(counts)))
    words = tuple(f"w{k:02d}" for k in range(counts.shape[1]))
    return WordCounts(ids, words, sparse.csr_array(counts), np.full(len(ids), float(n_captions)))


def space_of(*columns):
    """A space whose components have these weights."""
    values = np.column_stack(columns)
    return pd.DataFrame(
        values, index=[f"s{k:04d}" for k in range(len(values))], columns=list("ABCDEFG")[: len(columns)]
    )


@pytest.fixture(scope="module")
def world():
    """Sixty stimuli with one to four captions of known words, and two components."""
    rng = np.random.default_rng(3)
    captions = {
        f"s{k:04d}": [" ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in range(rng.integers(1, 5))]
        for k in range(60)
    }
    weights = [np.where(np.arange(60) < 30, rng.random(60), 0), rng.random(60)]
    return space_of(*weights), captions


# What is counted


def test_a_word_counts_once_per_caption_and_stop_words_never():
    found = count_words(
        {"a": ["The dog and the dog", "Dog!"], "b": ["", "A cat is near"], "c": ["  "], "d": ["of the"]}
    )
    assert found.ids == ("a", "b", "d") and found.words == ("cat", "dog")
    assert found.counts.toarray().tolist() == [[0, 2], [1, 0], [0, 0]] and found.n_captions.tolist() == [2, 1, 1]
    assert count_words({"a": ["the dog"]}, stop_words=["dog"]).words == ("the",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The dog\u2019s well-known bone", ["bone", "dog", "well-known"]),
        ("ÉCOLE naïve Straße", ["naïve", "strasse", "école"]),
        ("हिन्दी फ़िल्म", ["फ़िल्म", "हिन्दी"]),
        ("E\u0301cole 2 x2 3-D", ["école"]),
        ("snake_case 'quoted' a-b", ["a-b", "case", "quoted", "snake"]),
    ],
)
def test_words_of_any_script_stay_whole(text, words):
    import unicodedata

    assert list(count_words({"a": [text]}).words) == sorted(unicodedata.normalize("NFKC", word) for word in words)


def test_pairs_are_of_neighbours_without_stop_words_between():
    found = count_words({"a": ["A young man in the hot rain"]}, longest=2)
    assert found.words == ("hot", "hot rain", "man", "rain", "young", "young man")


def test_stop_words_hold_nothing_that_a_component_may_be_about():
    assert not {"fire", "cry", "man", "woman", "top", "interest", "found", "bottom"} & STOP_WORDS
    assert {"the", "is", "of", "another"} <= STOP_WORDS


# The numbers


def brute_force(space, captions, component, share, prior):
    """Log-odds as a function of weights on stimuli, word by word, from the texts."""
    ids = list(space.index)
    use = np.array([[np.mean([w in c.split() for c in captions[i]]) for w in WORDS] for i in ids])
    order = sorted(range(len(ids)), key=lambda k: -space[component].iloc[k])[: round(share * len(ids))]
    inside = np.array([k in order and space[component].iloc[k] > 0 for k in range(len(ids))])
    a = prior * use.mean(axis=0)

    def log_odds(weight, inside=inside):
        y, z = ((use * weight[:, None])[rows].sum(axis=0) for rows in (inside, ~inside))
        odds = [(v + a) / (v.sum() + a.sum() - v - a) for v in (y, z)]
        return np.log(odds[0]) - np.log(odds[1])

    return log_odds, inside


@pytest.mark.parametrize("component", ["A", "B"])
def test_log_odds_and_error_equal_brute_force(world, component):
    space, captions = world
    found = distinctive_words(space, captions, share=0.2, prior=4, min_stimuli=1, n_permutations=9, seed=0)
    log_odds, inside = brute_force(space, captions, component, 0.2, 4)
    ones = np.ones(60)
    np.testing.assert_allclose(found.log_odds.loc[component, WORDS], log_odds(ones), rtol=1e-12)
    moved = np.array([(log_odds(ones + 1e-6 * row) - log_odds(ones - 1e-6 * row)) / 2e-6 for row in np.eye(60)])
    variance = sum(rows.sum() * moved[rows].var(axis=0, ddof=1) for rows in (inside, ~inside))
    np.testing.assert_allclose(found.se.loc[component, WORDS], np.sqrt(variance), rtol=1e-5)
    half = stats.t.ppf(0.975, inside.sum() - 1) * found.se
    np.testing.assert_allclose(found.ci_high.loc[component], (found.log_odds + half).loc[component])
    np.testing.assert_allclose(found.ci_low.loc[component], (found.log_odds - half).loc[component])
    np.testing.assert_allclose(found.z, found.log_odds / found.se)


def test_p_is_the_share_of_random_foregrounds_that_reach_the_log_odds(world):
    space, captions = world
    found = distinctive_words(space, captions, share=0.1, prior=4, min_stimuli=1, n_permutations=3000, seed=1)
    log_odds, inside = brute_force(space, captions, "B", 0.1, 4)
    rng = np.random.default_rng(9)
    null = np.array([log_odds(np.ones(60), rng.permutation(inside)) for _ in range(3000)])
    expected = ((null >= found.log_odds.loc["B", WORDS].to_numpy() - 1e-12).sum(axis=0) + 1) / 3001
    error = np.sqrt(2 * expected * (1 - expected) / 3000)
    assert (np.abs(found.p.loc["B", WORDS] - expected) < 4 * error).all()
    q = stats.false_discovery_control(found.p.to_numpy().ravel()).reshape(found.p.shape)
    np.testing.assert_allclose(found.q, q)


def test_a_word_of_fewer_than_three_foreground_stimuli_has_a_p_but_no_error():
    shares = np.zeros((100, 4))
    shares[:2, 0] = shares[:3, 1] = 1.0
    shares[10:50, :] = 0.5
    found = distinctive_words(space_of(np.arange(100) < 10), counts_of(shares), share=0.1, n_permutations=9, seed=0)
    assert found.n_foreground.loc["A"].tolist() == [2, 3, 0, 0]
    assert found.se.loc["A"].isna().tolist() == found.z.loc["A"].isna().tolist() == [True, False, True, True]
    assert found.ci_low.loc["A"].isna().tolist() == [True, False, True, True] and found.p.notna().all(axis=None)


def test_counts_of_stimuli_and_the_foreground_are_told(world):
    space, captions = world
    found = distinctive_words(space, captions, share=0.1, min_stimuli=1, n_permutations=9, seed=0)
    strongest = space["A"].sort_values(ascending=False).index[:6]
    assert found.foreground["A"] == tuple(strongest)
    assert found.n_foreground.loc["A", "cat"] == sum(any("cat" in c for c in captions[i]) for i in strongest)
    assert found.n_stimuli["cat"] == sum(any("cat" in c for c in texts) for texts in captions.values())


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=10)
def test_order_of_stimuli_and_repeated_captions_change_no_log_odds(seed, world):
    space, captions = world
    shuffled = space.sample(frac=1, random_state=seed)
    twice = {name: list(texts) * 3 for name, texts in captions.items()}
    one = distinctive_words(space, captions, min_stimuli=1, n_permutations=1, seed=0)
    other = distinctive_words(shuffled, twice, min_stimuli=1, n_permutations=1, seed=0)
    np.testing.assert_allclose(one.log_odds, other.log_odds, rtol=1e-9)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-9)


def test_planted_words_come_first_and_make_a_cloud():
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.5, size=200)
    shares = np.full((200, 30), 0.1)
    strong = np.argsort(-weights)[:10]
    shares[strong, 4], shares[strong, 7] = 0.9, 0.6
    found = distinctive_words(space_of(weights, rng.gamma(0.5, size=200)), counts_of(shares), seed=0)
    cloud = found.weights("A")
    assert cloud.index[:2].tolist() == ["w04", "w07"] and (np.diff(cloud) <= 0).all() and cloud.name == "A"
    assert (found.q.loc["A", cloud.index] < 0.05).all() and found.weights("B", alpha=0.01).empty
    table = found.table(1, alpha=0.01)
    assert table.index.tolist() == ["A"] and table.index.name == "component" and table["word"].tolist() == ["w04"]
    assert table["log_odds"].iloc[0] == found.log_odds.loc["A", "w04"] and table["z"].iloc[0] == cloud.iloc[0]


def test_the_same_seed_gives_the_same_and_another_component_changes_nothing(world):
    space, captions = world
    one, two = (distinctive_words(space, captions, min_stimuli=1, n_permutations=50, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(one.p, two.p)
    alone = distinctive_words(space[["B"]], captions, min_stimuli=1, n_permutations=50, seed=5)
    pd.testing.assert_frame_equal(alone.p, one.p.loc[["B"]])
    assert not distinctive_words(space, captions, min_stimuli=1, n_permutations=50, seed=6).p.equals(one.p)


# Whether p and interval hold


def draw_weights(rng, n, kind):
    if kind == "gaussian":
        return rng.normal(size=n)
    return np.maximum(rng.gamma(0.4, size=n) - 0.15, 0)


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_p_is_valid_where_words_have_nothing_to_do_with_weights(kind):
    rng = np.random.default_rng(11)
    p, first = [], []
    for world in range(200):
        # Captions of a stimulus are nearly alike, and words differ in how common they are.
        shares = (rng.random((40, 6)) < [0.1, 0.2, 0.3, 0.4, 0.6, 0.8]) * 0.9 + 0.02
        space = space_of(draw_weights(rng, 40, kind), draw_weights(rng, 40, kind))
        found = distinctive_words(
            space, counts_of(shares, 10, world), share=0.2, min_stimuli=1, n_permutations=99, seed=world
        )
        p.append(found.p.to_numpy().ravel())
        first.append((found.q.to_numpy() < 0.05).any())
    for alpha in (0.01, 0.05, 0.10):
        shares = (np.array(p) <= alpha).mean(axis=1)  # of each world: its tests are not independent
        assert shares.mean() <= alpha + 3 * shares.std() / np.sqrt(len(p))
        assert shares.mean() > alpha / 3  # and the test is not just silent
    assert np.mean(first) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(first))


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_interval_covers_at_its_rate_with_alike_captions(kind):
    """Target: the log-odds at the expected counts of a foreground and rest of this size."""
    n, size, n_worlds = 400, 40, 200
    low, high = np.array([0.1, 0.2, 0.3, 0.5]), np.array([0.3, 0.2, 0.6, 0.3])  # shares of stimuli with the word

    def draw(rng, n, n_captions, size):
        weights = draw_weights(rng, n, kind)
        strong = np.zeros(n, bool)
        strong[np.argsort(-weights, kind="stable")[:size]] = True
        has = rng.random((n, 4)) < np.where(strong[:, None], high, low)
        return weights, rng.binomial(n_captions, has * rng.choice([0.3, 0.9], (n, 1)) * 0.9 + 0.02)

    expected = [size * (rate * 0.6 * 0.9 + 0.02) for rate in (high, low)]
    rest = expected[1] * (n - size) / size
    prior = 10 * (expected[0] + rest) / n
    sides = [(v + prior) / ((v + prior).sum() - v - prior) for v in (expected[0], rest)]
    target = np.log(sides[0] / sides[1])
    covered = []
    for world in range(n_worlds):
        weights, counts = draw(np.random.default_rng(world), n, 10, size)
        counted = WordCounts(
            tuple(f"s{k:04d}" for k in range(n)), ("a", "b", "c", "d"), sparse.csr_array(counts), np.full(n, 10.0)
        )
        found = distinctive_words(space_of(weights), counted, share=0.1, n_permutations=1, seed=0)
        covered.append(((found.ci_low <= target) & (target <= found.ci_high)).to_numpy()[0])
    error = np.sqrt(0.95 * 0.05 / n_worlds)
    assert (np.abs(np.mean(covered, axis=0) - 0.95) <= 3 * error).all()


def test_the_textbook_z_is_overconfident_where_captions_repeat_each_other_and_ours_is_not():
    rng = np.random.default_rng(2)
    ours, textbook = [], []
    for world in range(100):
        shares = (rng.random((200, 4)) < 0.3) * 1.0
        found = distinctive_words(
            space_of(rng.random(200)), counts_of(shares, 20, world), share=0.2, n_permutations=1, seed=0
        )
        ours.append(found.z.to_numpy()[0])
        textbook.append(found.z_textbook.to_numpy()[0])
    assert np.std(ours) == pytest.approx(1, abs=0.15)
    assert np.std(textbook) > 2


# What is refused or said


def test_stimuli_without_captions_are_left_out_and_said(world, caplog):
    space, captions = world
    some = {name: texts for name, texts in captions.items() if name != "s0007"}
    with caplog.at_level(logging.WARNING, logger="affectome"):
        found = distinctive_words(space, some, min_stimuli=1, n_permutations=9, seed=0)
    assert "1 stimuli have no caption and are left out: s0007." in caplog.text
    assert all("s0007" not in ids for ids in found.foreground.values())


def test_a_component_without_positive_weights_has_no_words(world, caplog):
    space, captions = world
    with caplog.at_level(logging.WARNING, logger="affectome"):
        found = distinctive_words(space.assign(A=0.0), captions, min_stimuli=1, n_permutations=9, seed=0)
    assert "too few stimuli of positive weight to have words: A." in caplog.text
    assert found.p.loc["A"].isna().all() and found.weights("A").empty and found.p.loc["B"].notna().all()


def test_a_null_too_short_to_find_anything_is_said(caplog):
    shares = np.full((100, 40), 0.1)
    shares[:5, 0] = 1.0
    with caplog.at_level(logging.WARNING, logger="affectome"):
        distinctive_words(space_of(np.arange(100) < 5), counts_of(shares), n_permutations=19, seed=0)
    assert "19 permutations are too few: no q of the words falls below 0.05" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0.6}, "share=0.6 leaves no foreground and rest"),
        ({"level": 1.0}, "level=1.0 makes no interval"),
        ({"prior": 0}, "prior=0 is no prior"),
        ({"n_permutations": 0}, "no null without permutations"),
        ({"min_stimuli": 0}, "min_stimuli=0 is too small"),
        ({"min_stimuli": 61}, "fewer than two words stand in the captions of at least 61 stimuli"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(world, settings, message):
    with pytest.raises(InputError, match=message):
        distinctive_words(*world, **{"seed": 0, "n_permutations": 9, **settings})


def test_texts_that_cannot_be_used_are_refused(world):
    space, captions = world
    with pytest.raises(InputError, match="19 of the 60 stimuli of the space have captions, too few"):
        distinctive_words(space, dict(list(captions.items())[:19]), seed=0)
    with pytest.raises(InputError, match="the captions hold no words"):
        count_words({"a": ["the of 12"]})
    with pytest.raises(InputError, match="the captions hold no words"):
        count_words({})
    with pytest.raises(InputError, match="longest=3 is no length"):
        count_words(captions, longest=3)
