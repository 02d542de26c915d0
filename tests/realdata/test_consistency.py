"""Twenty simulated people who see real category ratings, against models that see other things of 66 real videos."""

import numpy as np
import pandas as pd
import pytest

from affectome import FeatureJudge, ask, read_answers, sample_triplets
from affectome.behavior import choice_consistency
from affectome.stimuli import load_cowen_keltner


@pytest.fixture(scope="module")
def stimuli(data):
    return load_cowen_keltner(data / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv")


@pytest.fixture(scope="module")
def questions(stimuli):
    return sample_triplets(stimuli.ids, 1000, design="repeated", repeats=20, subset=66, seed=0)


@pytest.fixture(scope="module")
def asked(stimuli, questions):
    """Noisy answers, and the chances that they were drawn from."""
    return ask(FeatureJudge(stimuli.spaces["category"], standardise="centre", temperature=0.1, seed=1), questions)


@pytest.fixture(scope="module")
def people(asked, tmp_path_factory):
    """The answers by way of the table that an experiment would leave."""
    names = np.array(asked.ids)[asked.triplets]
    table = pd.DataFrame(names, columns=["a", "b", "c"])
    table["participant"] = [f"person {b:02d}" for b in asked.block]
    table["choice"] = names[np.arange(len(names)), asked.choice]
    path = tmp_path_factory.mktemp("people") / "answers.csv"
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    return read_answers(path)


@pytest.fixture(scope="module")
def result(stimuli, questions, people):
    once = questions[questions.block == 0]
    spaces = {"same": "category", "dimension": "dimension", "terms": "terms"}
    scaling = {"dimension": "zscore"}
    models = {
        name: ask(FeatureJudge(stimuli.spaces[space], standardise=scaling.get(name, "centre"), seed=2), once)
        for name, space in spaces.items()
    }
    models["guess"] = once.with_answers(np.random.default_rng(0).integers(0, 3, len(once)))
    return choice_consistency(people, models, seed=0)


def test_people_are_as_consistent_as_the_chances_they_answered_with(result, asked):
    chances = asked.probabilities.astype(float)
    table = result.table.set_index("name")
    error = np.sqrt(0.25 / 20_000)  # at most
    assert table.loc["people", "agreement"] == pytest.approx((chances**2).sum(axis=1).mean(), abs=4 * error)
    assert table.loc["same", "agreement"] == pytest.approx(chances.max(axis=1).mean(), abs=4 * error)
    assert result.ceiling.lower < chances.max(axis=1).mean() < result.ceiling.upper
    assert result.ceiling.upper - result.ceiling.lower < 0.03  # twenty answers a triplet pin it down
    assert (result.ceiling.n_triplets, result.ceiling.n_answers) == (1000, 20_000)


def test_models_rank_as_their_knowledge_does_and_nothing_is_to_be_warned_of(result):
    table = result.table.set_index("name")
    assert table["agreement"].drop("people").sort_values().index.tolist() == ["guess", "dimension", "terms", "same"]
    assert table.loc["dimension", "agreement"] == pytest.approx(0.49, abs=0.04)  # .51 where people never err
    assert table.loc["guess", "of_lower_ceiling_ci_low"] < 0.05 and table.loc["guess", "of_lower_ceiling"] < 0.1
    assert 0.2 < table.loc["dimension", "of_upper_ceiling"] < table.loc["terms", "of_lower_ceiling"] < 0.6
    difference = result.differences.set_index(["first", "second"]).loc[("dimension", "terms")]
    assert difference.ci_high < 0
    assert result.warnings == ()
    assert (result.slots["p"] > 1e-3).all()


def test_twenty_people_resampled_give_narrower_intervals_than_thousand_triplets(stimuli, questions, people, result):
    model = {"terms": ask(FeatureJudge(stimuli.spaces["terms"], standardise="centre", seed=2), questions[:1000])}
    by_person = choice_consistency(people, model, seed=0, resample="participants").table.iloc[0]
    by_triplet = result.table.set_index("name").loc["terms"]
    assert by_person.agreement == pytest.approx(by_triplet.agreement)
    # These people differ by noise alone: 1,000 answers each have a standard error of .016, twenty people of .0035.
    assert (by_person.ci_high - by_person.ci_low) / 2 == pytest.approx(1.96 * 0.0035, rel=0.5)
    assert by_person.ci_high - by_person.ci_low < by_triplet.ci_high - by_triplet.ci_low
