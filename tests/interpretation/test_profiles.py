import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from affectome import InputError
from affectome.interpretation import compare_profiles, stimulus_profiles
from affectome.interpretation._profiles import _held_out

SPACE = pd.DataFrame({"a": [0.2, 1.0, 0.0], "b": [0.6, 0.0, 0.5], "c": [0.3, 0.1, 0.5]}, index=["x", "y", "z"])


def test_weights_are_those_of_the_stimuli_in_the_order_asked_for():
    got = stimulus_profiles(SPACE, ["y", "x", "y"], names={"b": "joy"})
    assert got.weights.index.tolist() == ["y", "x"]
    np.testing.assert_allclose(got.weights.loc["x"], [0.2, 0.6, 0.3], rtol=1e-6)
    assert got.scale == 1.0
    assert got.names == {"a": "a", "b": "joy", "c": "c"}


@pytest.mark.parametrize(
    ("share", "most", "marked"),
    [
        (0.5, 6, [False, True, False]),
        (0.6, 6, [False, True, True]),
        (1.0, 6, [True] * 3),
        (1.0, 1, [False, True, False]),
    ],
)
def test_the_heaviest_components_that_hold_the_share_are_marked(share, most, marked):
    assert stimulus_profiles(SPACE, ["x"], share=share, most=most).marked.loc["x"].tolist() == marked


def test_a_component_without_weight_is_never_marked():
    assert stimulus_profiles(SPACE, ["z"], share=1.0).marked.loc["z"].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stimuli": []}, "there are no stimuli to show"),
        ({"stimuli": "x"}, "stimuli is one text"),
        ({"stimuli": ["q"]}, "1 of 1 stimuli are not in it (q)"),
        ({"share": 0}, "share=0 and most=6 mark no component"),
        ({"names": {"d": "joy"}}, "names are given for d"),
        ({"space": -SPACE}, "weights below 0"),
        ({"space": SPACE * 0}, "all weights of these stimuli are 0"),
    ],
)
def test_what_makes_no_rose_is_refused(change, said):
    with pytest.raises(InputError) as raised:
        stimulus_profiles(**{"space": SPACE, "stimuli": ["x"], **change})
    assert said in str(raised.value)


# Two systems


@pytest.fixture(scope="module")
def world():
    """Three emotions; one system knows all of them, the other all but the last."""
    rng = np.random.default_rng(0)
    ids = [f"s{k:03d}" for k in range(150)]
    ratings = pd.DataFrame(rng.gamma(0.5, size=(150, 3)), index=ids, columns=["Joy", "Fear", "Awe"])
    noise = [rng.normal(scale=0.05, size=(150, k)) for k in (2, 3)]
    blind = pd.DataFrame(ratings.to_numpy()[:, :2] + noise[0], index=ids, columns=["a", "b"])
    seeing = pd.DataFrame(ratings.to_numpy() + noise[1], index=ids, columns=["a", "b", "c"])
    return {"blind": blind, "seeing": seeing}, ratings


@pytest.fixture(scope="module")
def difference(world):
    spaces, ratings = world
    strongest = ratings["Awe"].nlargest(2).index.tolist()
    return compare_profiles(spaces, ratings, strongest, most=1, seed=0)


def test_the_emotion_that_a_system_lacks_is_the_difference(world, difference):
    _, ratings = world
    assert difference.systems == ("blind", "seeing")
    assert difference.r.loc["Awe", "blind"] < 0.3
    assert difference.r.drop(index="Awe").min().min() > 0.9
    for stimulus in difference.difference.index:
        assert difference.marked.loc[stimulus].tolist() == [False, False, True]
        expected = ratings.loc[stimulus, "Awe"] - ratings["Awe"].mean()
        assert difference.difference.loc[stimulus, "Awe"] == pytest.approx(expected, rel=0.15)
        assert difference.rated.loc[stimulus, "Awe"] == ratings.loc[stimulus, "Awe"]
    every = compare_profiles(*world, ratings.index.tolist(), most=1, seed=0).difference["Awe"].abs()
    expected = [(every >= every[stimulus]).mean() for stimulus in difference.difference.index]
    assert difference.unusual["Awe"].tolist() == expected
    assert expected[0] == 1 / 150
    np.testing.assert_allclose(difference.second - difference.first, difference.difference)
    assert (difference.difference_low <= difference.difference).all().all()
    assert (difference.difference <= difference.difference_high).all().all()


def test_predictions_are_ridge_of_the_other_folds(world):
    spaces, ratings = world
    fold = np.repeat(np.arange(5), 30)
    got = _held_out(spaces["seeing"].to_numpy(), ratings.to_numpy(), fold)
    training, held = spaces["seeing"][fold != 0], spaces["seeing"][fold == 0]
    scaler = StandardScaler().fit(training)
    fits = [
        Ridge(alpha=alpha * len(training)).fit(scaler.transform(training), ratings[fold != 0])
        for alpha in np.logspace(3, -3, 7)
    ]
    by_alpha = np.stack([fit.predict(scaler.transform(held)) for fit in fits])
    assert np.abs(by_alpha - got[fold == 0]).max(axis=1).min(axis=0).max() < 1e-6  # one of the penalties, per rating


def test_same_folds_give_equal_spaces_no_difference(world):
    spaces, ratings = world
    same = compare_profiles({"one": spaces["seeing"], "two": spaces["seeing"]}, ratings, ["s000"], seed=0)
    assert (same.difference == 0).all().all()
    assert not same.marked.any().any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spaces": ["blind"]}, "1 spaces have no difference"),
        ({"ratings": -1}, "ratings below 0 are no petals"),
        ({"ratings": 0}, "all ratings are 0"),
        ({"n_repeats": 0}, "n_repeats=0"),
        ({"stimuli": ["q"]}, "1 of 1 stimuli are not in it (q)"),
    ],
)
def test_what_makes_no_difference_is_refused(world, change, said):
    spaces, ratings = world
    chosen = {name: spaces[name] for name in change.pop("spaces", spaces)}
    scaled = ratings * change.pop("ratings", 1)
    with pytest.raises(InputError) as raised:
        compare_profiles(chosen, scaled, change.pop("stimuli", ["s000"]), **change, seed=0)
    assert said in str(raised.value)
