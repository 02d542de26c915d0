"""Names by rule: each clause of it, that names differ, how stable they are, and the evidence behind them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectome import InputError, correlate_components, simulate_emotions
from affectome.interpretation import distinctive_words, name_components, term_correlations
from affectome.interpretation._names import shorten

N = 300
IDS = [f"s{k:03d}" for k in range(N)]
FAST = {"n_subsamples": 10, "n_permutations": 200, "n_word_permutations": 2000, "seed": 0}


@pytest.fixture(scope="module")
def ratings():
    """Independent categories and dimensions."""
    rng = np.random.default_rng(0)
    names = ["Joy", "Aesthetic Appreciation", "Fear", "Empathic Pain"]
    category = pd.DataFrame(rng.gamma(0.5, size=(N, 4)), index=IDS, columns=names)
    dimension = pd.DataFrame(rng.normal(5, 1.5, (N, 3)), index=IDS, columns=["valence", "arousal", "obstruction"])
    return {"category": category, "dimension": dimension}


@pytest.fixture(scope="module")
def mix(ratings):
    """A component from z-scored ratings: mix(Joy=1, valence=-0.5)."""
    every = pd.concat(ratings.values(), axis=1)
    every = (every - every.mean()) / every.std()
    noise = np.random.default_rng(1).normal(size=(N, 50))

    def make(number=0, spread=0.5, **weights):
        value = sum(weight * every[name.replace("_", " ")] for name, weight in weights.items())
        return value + spread * noise[:, number]

    return make


@pytest.fixture(scope="module")
def captions():
    """The first fifteen stimuli show cats, the next fifteen dogs, all a man."""

    def of(k):
        animal = "kitten cats cat" if k < 15 else "dog" if k < 30 else "road"
        return [f"A man and a {animal}", f"The {animal} and the man", "a man"]

    return {name: of(k) for k, name in enumerate(IDS)}


def names_of(columns, ratings, **settings):
    space = pd.DataFrame({f"c{k}": column for k, column in enumerate(columns)}, index=IDS)
    return name_components(space, ratings, **{**FAST, **settings})


# The rule


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ({"Joy": 1}, "Joy"),
        ({"Joy": 1, "Fear": 0.5}, "Joy"),
        ({"Joy": 0.9, "Fear": 1}, "Fear + Joy"),
        ({"Joy": 1, "Fear": 0.85, "valence": 0.8}, "Joy + Fear …"),
        ({"valence": 1}, "high valence"),
        ({"valence": -1}, "low valence"),
        ({"arousal": -1, "valence": -0.9}, "low arousal/valence"),
        ({"arousal": 1, "obstruction": -0.9}, "high arousal …"),
        ({"Fear": -1}, "no Fear"),
        ({"Joy": 1, "arousal": -0.9}, "Joy + low arousal"),
        ({"Aesthetic_Appreciation": 1, "Empathic_Pain": 0.9}, "Aesthetic Appreciation …"),
    ],
)
def test_ratings_make_the_name(mix, ratings, weights, name):
    assert names_of([mix(**weights)], ratings).names == {"c0": name}


def test_the_table_says_what_the_name_rests_on(mix, ratings):
    space = pd.DataFrame({"a": mix(Joy=1, Fear=0.95, valence=-0.9), "b": mix(1, valence=1)}, index=IDS)
    found = name_components(space, ratings, circular=["dimension"], **FAST)
    reference = correlate_components(space, ratings)
    first = found.table.loc["a"]
    best = reference.r.loc["a"].abs().idxmax()
    assert first["strength"] == reference.r.loc["a", best] and first["ci_low"] == reference.ci_low.loc["a", best]
    assert first["n_close"] == 3 and first["ambiguous"] and not first["circular"]
    assert found.table.loc["b", ["n_close", "ambiguous", "circular", "family"]].tolist() == [
        1, False, True, "dimension",
    ]  # fmt: skip
    evidence = found.evidence("a")
    assert evidence["item"].tolist()[:3] == reference.r.loc["a"].abs().sort_values(ascending=False).index[:3].tolist()
    assert evidence["in_name"].tolist()[:3] == [True, True, False]
    np.testing.assert_allclose(evidence["value"], reference.r.loc["a", evidence["item"]])
    with pytest.raises(InputError, match="there is no component 'z'"):
        found.evidence("z")


def test_weak_ratings_do_not_count_and_the_threshold_can_be_set(mix, ratings):
    column = mix(spread=3.5, Joy=1)
    r = correlate_components(pd.DataFrame({"c0": column}), ratings).r.loc["c0", "Joy"]
    assert 0.15 < r < 0.4
    assert names_of([column], ratings, min_r=r + 0.01).names["c0"] == "unnamed"
    assert names_of([column], ratings, min_r=r - 0.01).names["c0"].startswith("Joy")


def test_terms_name_what_no_rating_does(mix, ratings):
    rng = np.random.default_rng(4)
    terms = pd.DataFrame(rng.random((N, 3)) < 0.2, index=IDS, columns=["giggling", "dread", "hunger"]).astype(float)
    column = terms["giggling"] + 0.3 * rng.random(N)
    found = names_of([column, -column, mix(Joy=1)], ratings, terms=terms)
    assert list(found.names.values()) == ["giggling", "unnamed", "Joy"]
    assert found.table["basis"].tolist() == ["term", "none", "rating"]
    reference = term_correlations(pd.DataFrame({"c0": column}), terms, n_permutations=200, seed=0)
    assert found.table.loc["c0", "strength"] == pytest.approx(reference.r.loc["c0", "giggling"])
    assert found.terms is not None and found.words is None


def test_words_stand_in_where_nothing_survives(ratings, captions):
    cats = np.where(np.arange(N) < 15, 1.0, 0.01)
    found = names_of([cats], {"category": ratings["category"]}, captions=captions, min_r=0.5)
    assert found.names["c0"].startswith("unnamed: ") and "cat" in found.names["c0"]
    assert not {"cat", "cats"} <= set(found.table.loc["c0", "words"].split(", "))  # forms of one word
    assert "man" not in found.table.loc["c0", "words"]
    reference = distinctive_words(pd.DataFrame({"c0": cats}, index=IDS), captions, n_permutations=2000, seed=0)
    words = found.evidence("c0")
    assert (words["kind"] == "word").all() and words["in_name"].any()
    np.testing.assert_allclose(words["z"], reference.z.loc["c0", words["item"]])


def test_components_of_one_name_are_told_apart_by_words_then_numbers(mix, ratings, captions):
    first, second = (np.where((np.arange(N) >= start) & (np.arange(N) < start + 15), 4.0, 0) for start in (0, 15))
    joyful = [mix(1, Joy=1) + first, mix(2, Joy=1) + second]
    found = names_of(joyful, ratings, captions=captions)
    marks = [name.removeprefix("Joy: ") for name in found.names.values()]
    assert marks[0] in ("cat", "cats", "kitten") and marks[1] == "dog"
    bare = names_of(joyful, ratings)
    assert sorted(bare.names.values()) == ["Joy: 1", "Joy: 2"]
    stronger = bare.table["strength"].idxmax()
    assert bare.names[stronger] == "Joy: 1"
    assert sorted(names_of([mix(3), mix(4)], ratings).names.values()) == ["unnamed 1", "unnamed 2"]


@pytest.mark.parametrize("longest", [12, 16, 20, 28])
def test_names_are_unique_and_short(mix, ratings, longest):
    both = {"Aesthetic_Appreciation": 1, "Empathic_Pain": 0.95, "arousal": 0.9}
    columns = [mix(k, **both) for k in range(4)] + [mix(5 + k, Joy=1, arousal=-0.95) for k in range(3)] + [mix(20)]
    names = list(names_of(columns, ratings, longest=longest).names.values())
    assert len(set(names)) == 8 and max(map(len, names)) <= longest


@given(st.text(st.characters(codec="utf-8", categories=["Ll", "Lu", "Zs"]), max_size=60), st.integers(12, 40))
def test_shortened_text_fits_and_short_text_stays(text, longest):
    got = shorten(text, longest)
    assert len(got) <= longest and (got == text if len(text) <= longest else True)


# Stability and order


def test_a_clear_name_recurs_and_a_tossup_does_not(mix, ratings):
    found = names_of([mix(Joy=1), mix(spread=1.5, Fear=1, valence=1.01)], ratings, n_subsamples=60)
    assert found.table.loc["c0", ["stability", "unmarked_stability", "first_stability"]].tolist() == [1, 1, 1]
    assert found.table.loc["c1", "unmarked_stability"] > 0.9 and 0.1 < found.table.loc["c1", "first_stability"] < 0.95


def test_noise_has_no_name(ratings):
    rng = np.random.default_rng(8)
    named = 0
    for world in range(40):
        space = pd.DataFrame(rng.gamma(0.5, size=(N, 5)), index=IDS, columns=list("abcde"))
        found = name_components(space, ratings, min_r=0.0, n_subsamples=1, seed=world)
        named += (found.table["basis"] != "none").any()
    assert named / 40 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)  # FDR holds the chance of any name where none is right


def test_order_of_stimuli_and_of_components_does_not_matter(mix, ratings, captions):
    space = pd.DataFrame({"a": mix(Joy=1), "b": mix(1, Fear=1, valence=-1), "c": mix(2, Joy=0.9)}, index=IDS)
    names = name_components(space, ratings, captions=captions, **FAST).names
    other = {family: frame.sample(frac=1, random_state=3) for family, frame in ratings.items()}
    moved = space[["c", "a", "b"]].sample(frac=1, random_state=1)
    assert name_components(moved, other, captions=captions, **FAST).names == names
    again = name_components(space, ratings, captions=captions, **FAST)
    pd.testing.assert_frame_equal(again.table, name_components(space, ratings, captions=captions, **FAST).table)


def test_planted_components_get_their_emotion():
    world = simulate_emotions(200, 6, seed=0)
    found = name_components(world.planted, {"category": world.stimuli.spaces["category"]}, **FAST)
    assert list(found.names.values()) == world.stimuli.spaces["category"].columns.tolist()


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0}, "alpha=0 is out of range"),
        ({"joined": 1.5}, "joined=1.5 is out of range"),
        ({"min_r": 1}, "min_r=1 is out of range"),
        ({"longest": 5}, "longest=5 is too short for a name"),
        ({"n_subsamples": 0}, "no stability without subsamples"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(mix, ratings, settings, message):
    with pytest.raises(InputError, match=message):
        names_of([mix(Joy=1)], ratings, **settings)


def test_nothing_to_name_by_is_refused(mix, ratings):
    with pytest.raises(InputError, match="nothing to name components by"):
        names_of([mix(Joy=1)], {})
    with pytest.raises(InputError, match="circular names mood"):
        names_of([mix(Joy=1)], ratings, circular=["mood"])
