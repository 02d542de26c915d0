"""Names, terms and words of real ratings and captions, where what must come out is known."""

import pytest

from affectome import load_cowen_keltner, load_mind_captioning
from affectome.interpretation import count_words, distinctive_words, name_components, term_correlations


@pytest.fixture(scope="module")
def stimuli(data):
    return load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv")


@pytest.fixture(scope="module")
def counted(data, stimuli):
    captions = load_mind_captioning(data / "mind_captioning" / "caption_ck20.csv")
    return count_words({name: captions[name] for name in stimuli.ids if name in captions})


CHOSEN = ["Craving", "Fear", "Sexual Desire", "Romance", "Nostalgia", "Aesthetic Appreciation"]


def test_words_of_rated_categories_are_those_of_what_evokes_them(stimuli, counted):
    found = distinctive_words(stimuli.spaces["category"][CHOSEN], counted, seed=0)
    tops = {name: set(found.weights(name).index[:12]) for name in CHOSEN}
    assert {"chocolate", "food"} & tops["Craving"] and {"high", "tall", "edge"} & tops["Fear"]
    assert {"naked", "sex"} <= tops["Sexual Desire"] and {"kissing", "couple"} <= tops["Romance"]
    assert {"cartoon", "character"} & tops["Nostalgia"]
    assert {"landscape", "clouds", "beautiful"} & tops["Aesthetic Appreciation"]
    survives = (found.q < 0.05) & (found.log_odds > 0)
    ratio = (found.z_textbook / found.z).to_numpy()[survives.to_numpy()]
    assert 1.4 < sorted(ratio)[len(ratio) // 2] < 2.2  # twenty captions of a clip are not twenty clips


def test_terms_of_rated_categories_are_their_synonyms(stimuli):
    found = term_correlations(stimuli.spaces["category"][CHOSEN], stimuli.spaces["terms"], seed=0)
    tops = {name: found.r.loc[name].idxmax() for name in CHOSEN}
    assert tops["Craving"] == "hunger" and tops["Nostalgia"] == "nostalgia" and tops["Fear"] == "fear"
    assert tops["Sexual Desire"] == "sexual arousal"
    assert (found.q < 0.05).to_numpy().any(axis=1).all()


def test_dimensions_named_by_categories_say_what_a_scientist_expects(stimuli, counted):
    space = stimuli.spaces["dimension"][["valence", "arousal", "dominance"]]
    found = name_components(
        space, {"category": stimuli.spaces["category"]}, terms=stimuli.spaces["terms"], captions=counted, seed=0
    )
    evidence = found.evidence("valence").set_index("item")["value"]
    assert evidence["Joy"] > 0.2 and evidence[["Horror", "Disgust"]].max() < -0.2
    assert found.table["name"].is_unique and found.table["name"].str.len().max() <= 28
    assert (found.table["first_stability"] > 0.5).all()
