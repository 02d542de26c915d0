import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError, read_space, read_stimuli, simulate_emotions
from affectome.embedding import choice_probabilities
from affectome.simulation import write_simulated_tables
from affectome.simulation._emotions import VOCABULARY


@given(n=st.integers(12, 150), k=st.integers(1, 12), seed=st.integers(0, 2**32 - 1), strength=st.floats(0.5, 4))
@settings(deadline=None, max_examples=30)
def test_planted_weights_have_one_main_and_at_most_one_weaker_component(n, k, seed, strength):
    world = simulate_emotions(n, k, strength=strength, seed=seed)
    weights = world.planted.to_numpy()
    assert weights.shape == (n, k)
    assert weights.dtype == np.float32
    ranked = np.sort(weights, axis=1)[:, ::-1] / strength
    eps = 1e-5
    assert ((ranked[:, 0] >= 0.6 - eps) & (ranked[:, 0] <= 1.4 + eps)).all()
    if k > 1:
        weaker = ranked[:, 1]
        assert ((weaker == 0) | ((weaker >= 0.2 - eps) & (weaker <= 0.6 + eps))).all()
    assert (ranked[:, 2:] == 0).all()
    turns = np.bincount(weights.argmax(axis=1), minlength=k)
    assert turns.max() - turns.min() <= 1


def test_half_of_the_stimuli_have_a_second_component():
    planted = simulate_emotions(5000, 6, seed=0).planted.to_numpy()
    assert ((planted > 0).sum(axis=1) == 2).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(5000))


def test_planted_judge_repeats_its_modal_answer_two_times_in_three():
    shares, repeats = [], []
    for seed in range(8):
        trials = simulate_emotions(seed=seed).sample_answers(10_000, seed=seed)
        p = trials.probabilities
        shares.append(p.max(axis=1).mean())
        repeats.append((trials.choice == p.argmax(axis=1)).mean())
    assert np.mean(shares) == pytest.approx(0.67, abs=0.02)
    assert np.mean(repeats) == pytest.approx(np.mean(shares), abs=4 * 0.5 / np.sqrt(80_000))


def test_judge_at_temperature_one_is_the_spose_model():
    world = simulate_emotions(50, 4, seed=3)
    trials = world.sample_answers(500, seed=0)
    np.testing.assert_allclose(trials.probabilities, choice_probabilities(world.planted, trials.triplets), atol=1e-6)
    noiseless = world.sample_answers(500, temperature=None, seed=0)
    assert np.array_equal(noiseless.triplets, trials.triplets)
    assert noiseless.probabilities is None
    best = np.isclose(trials.probabilities, trials.probabilities.max(axis=1, keepdims=True), atol=1e-6)
    assert best[np.arange(500), noiseless.choice].all()


def test_design_of_the_questions_reaches_the_sampler():
    trials = simulate_emotions(30, 3, seed=0).sample_answers(100, design="balanced", seed=0)
    counts = np.bincount(trials.triplets.ravel(), minlength=30)
    assert counts.max() - counts.min() <= 1
    assert trials.metadata["design"] == "balanced"


def test_ratings_are_noisy_readings_of_the_planted_weights():
    world = simulate_emotions(400, 6, rating_noise=0.05, seed=1)
    share = world.planted.div(world.planted.sum(axis=1), axis=0).to_numpy()
    category, dimension = world.stimuli.spaces["category"].to_numpy(), world.stimuli.spaces["dimension"].to_numpy()
    assert category.min() >= 0
    assert category.max() <= 1
    assert dimension.min() >= 1
    assert dimension.max() <= 9
    inside = (share > 0.2) & (share < 0.8)  # where clipping does not bite
    assert (category - share)[inside].std() == pytest.approx(0.05, rel=0.2)
    exact = simulate_emotions(400, 6, rating_noise=0.0, seed=1)
    np.testing.assert_allclose(exact.stimuli.spaces["category"], share, atol=1e-6)
    assert np.array_equal(exact.planted, world.planted)


def test_captions_speak_only_of_the_emotions_a_stimulus_has():
    world = simulate_emotions(100, 6, seed=2)
    emotions = world.stimuli.spaces["category"].columns
    for name, captions in world.stimuli.captions.items():
        present = emotions[world.planted.loc[name].to_numpy() > 0]
        phrases = [phrase for emotion in present for phrase in VOCABULARY[emotion]]
        assert len(captions) == 3
        assert all(any(phrase in caption for phrase in phrases) for caption in captions)


def test_seed_decides_everything():
    a, b, c = (simulate_emotions(40, 4, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(a.planted, b.planted)
    assert a.stimuli.captions == b.stimuli.captions
    for name in ("category", "dimension"):
        pd.testing.assert_frame_equal(a.stimuli.spaces[name], b.stimuli.spaces[name])
    assert not a.planted.equals(c.planted)
    one, same, other = (a.sample_answers(300, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.triplets, same.triplets)
    assert np.array_equal(one.choice, same.choice)
    assert not np.array_equal(one.keys(), other.keys())


def test_tables_come_back_as_they_were(tmp_path):
    world = simulate_emotions(25, 4, seed=0)
    write_simulated_tables(world, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "category.csv", "dimension.csv", "planted.csv", "stimuli.csv",
    ]  # fmt: skip
    stimuli = read_stimuli(tmp_path / "stimuli.csv")
    assert stimuli.ids == world.stimuli.ids
    assert stimuli.captions == world.stimuli.captions
    for name, space in world.stimuli.spaces.items():
        pd.testing.assert_frame_equal(read_space(tmp_path / f"{name}.csv"), space)


@pytest.mark.parametrize(("n", "k"), [(100, 0), (100, 13), (2, 1), (5, 6)])
def test_impossible_worlds_are_refused(n, k):
    with pytest.raises(InputError, match="ask for"):
        simulate_emotions(n, k, seed=0)
