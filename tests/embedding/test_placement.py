"""New stimuli in a fixed space: the optimum that L-BFGS-B finds, what training would give, the planted place."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from affectome import SPoSE, TripletSet, place_stimuli, simulate_emotions
from affectome.errors import InputError


def study(n, p, m, n_new=4, seed=0, offsets=(0, 0, 0), kept_similarities=None):
    """A random space of n stimuli and m answered trials for each of some new ones, in random slots."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(0.2, 0.6, (n + n_new, p)), 0).astype(np.float32)
    pairs = rng.permuted(np.tile(np.arange(n), (n_new * m, 1)), axis=1)[:, :2]
    shown = rng.permuted(np.column_stack([np.repeat(np.arange(n, n + n_new), m), pairs]), axis=1)
    ids = [f"s{k:03d}" for k in range(n + n_new)]
    choice = (kept_similarities(x, shown) + offsets + rng.gumbel(size=shown.shape)).argmax(axis=1)
    return pd.DataFrame(x[:n], index=ids[:n]), TripletSet(shown, ids, choice), x


def reference(space, trials, k, q, l1, offsets, losses):
    """The placement of stimulus k by scipy's L-BFGS-B with bounds, its gradient by the chain rule."""
    rows = np.flatnonzero((trials.triplets == k).any(axis=1))
    x = np.zeros((len(trials.ids), space.shape[1]))
    x[: len(space)] = space.to_numpy()
    shown = trials.triplets[rows]

    def objective(row):
        x[k] = row
        return losses(x, shown, q[rows], offsets).mean() + l1 / 3 * row.sum()

    def slope(row):
        x[k] = row
        grad = np.zeros_like(row)
        a, b, c = x[shown.T]
        s = np.stack([(b * c).sum(1), (a * c).sum(1), (a * b).sum(1)], axis=1) + offsets
        d = np.exp(s - s.max(1, keepdims=True))
        d = d / d.sum(1, keepdims=True) - q[rows]
        for slot in range(3):  # calling `slot` odd keeps the two others
            i, j = (shown[:, other] for other in range(3) if other != slot)
            grad += (d[:, [slot]] * x[j])[i == k].sum(0) + (d[:, [slot]] * x[i])[j == k].sum(0)
        return grad / len(rows) + l1 / 3

    start = np.full(space.shape[1], 0.3)
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-11, "maxcor": 30}
    return minimize(objective, start, jac=slope, method="L-BFGS-B", bounds=[(0, None)] * len(start), options=options)


@pytest.mark.parametrize(
    ("n", "p", "m", "l1", "offsets"),
    [(60, 5, 40, 0.003, (0, 0, 0)), (80, 30, 100, 0.003, (0.4, -0.3, -0.1)), (80, 30, 15, 0.03, (0, 0, 0))],
)
def test_placement_is_the_optimum_that_scipy_finds(n, p, m, l1, offsets, losses_twin, similarities_twin):
    space, trials, _ = study(n, p, m, offsets=offsets, kept_similarities=similarities_twin)
    found = place_stimuli(space, trials, l1=l1, slot_offsets=offsets)
    assert found.space.index.tolist() == list(trials.ids[n:]) and found.table["converged"].all()
    assert found.table["residual"].max() <= 1e-8
    q = np.eye(3)[trials.choice]
    for k, (row, value) in enumerate(zip(found.space.to_numpy(), found.table["objective"], strict=True), start=n):
        want = reference(space, trials, k, q, l1, offsets, losses_twin)
        assert value == pytest.approx(want.fun, abs=1e-6) and value <= want.fun + 1e-9
        assert np.allclose(row, want.x, atol=1e-4)
        assert (row == 0).any()  # the bound is met, not passed


def test_probabilities_take_the_place_of_choices(losses_twin, similarities_twin):
    space, trials, x = study(60, 5, 60, kept_similarities=similarities_twin)
    s = similarities_twin(x, trials.triplets)
    q = np.exp(s - s.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    found = place_stimuli(space, trials, l1=0, y=q)
    # Without noise and sparsity the row that made the probabilities is the optimum itself.
    assert np.allclose(found.space, x[60:], atol=1e-3)
    assert not np.allclose(place_stimuli(space, trials, l1=0).space, x[60:], atol=0.05)


def test_a_stimulus_of_the_fit_comes_back_to_where_training_left_it():
    world = simulate_emotions(60, 4, seed=3)
    trials = world.sample_answers(30_000, seed=1)
    model = SPoSE(4, 0.01, tol=1e-5, random_state=0).fit(trials)
    space = model.to_space()
    for name in space.index[:3]:
        again = place_stimuli(space.drop(index=name), trials, l1=0.01)
        assert np.allclose(again.space.loc[name], space.loc[name], atol=0.1)
        assert again.n_left_out == (~(trials.triplets == trials.ids.index(name)).any(axis=1)).sum()


def test_new_stimuli_land_near_their_planted_place():
    world = simulate_emotions(100, 4, seed=0)
    trials = world.sample_answers(60_000, seed=1)
    new = world.planted.index[:10]
    found = place_stimuli(world.planted.drop(index=new), trials, l1=0.003)
    # Trials with two of the ten new ones cannot be used.
    count = np.isin(trials.triplets, np.arange(10)).sum(axis=1)
    assert found.n_left_out == (count != 1).sum() and found.table["n_trials"].sum() == (count == 1).sum()
    errors = (found.space - world.planted.loc[new]).to_numpy()
    assert np.sqrt((errors**2).mean()) < 0.15  # the weights are about 2


def test_threads_and_batches_change_no_bit(similarities_twin, monkeypatch):
    space, trials, _ = study(60, 5, 50, n_new=30, kept_similarities=similarities_twin)
    monkeypatch.setattr("affectome.embedding._placement._CELLS", 4000)  # several batches
    one, two = (place_stimuli(space, trials, l1=0.003, n_jobs=n) for n in (1, 2))
    assert one.space.equals(two.space) and one.table.equals(two.table)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_order_of_trials_slots_and_ids_does_not_matter(seed):
    world = simulate_emotions(20, 2, seed=0)
    trials = world.sample_answers(300, seed=1)
    space = world.planted.iloc[:-1]
    want = place_stimuli(space, trials, l1=0.003)
    rng = np.random.default_rng(seed)
    rows, turn, names = rng.permutation(300), rng.permutation(3), rng.permutation(20)
    shown = np.argsort(names)[trials.triplets[rows][:, turn]]
    choice = np.argsort(turn)[trials.choice[rows]]
    found = place_stimuli(
        space.iloc[rng.permutation(19)], TripletSet(shown, np.array(trials.ids)[names], choice), l1=0.003
    )
    assert np.allclose(found.space, want.space, atol=1e-5)


def test_what_the_partners_lack_stays_zero_and_no_evidence_warns():
    space = pd.DataFrame({"joy": [2.0, 2.0, 0.0, 0.0], "none": 0.0}, index=list("abcd"))
    trials = TripletSet([[4, 0, 2], [4, 1, 2], [4, 1, 3]], ids=list("abcde"), choice=[2, 2, 2])
    found = place_stimuli(space, trials, l1=0.01)
    assert found.space.loc["e", "none"] == 0 and found.space.loc["e", "joy"] > 1
    # Every answer can be predicted: without l1 the weight grows for ever.
    with pytest.warns(ConvergenceWarning, match=r"1 of 1 stimuli are not yet at their optimum after 3 steps \(e\)"):
        assert not place_stimuli(space, trials, l1=0, max_iter=3).table["converged"].any()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"space": slice(0, 20)}, "every stimulus of the trials is in the space already"),
        ({"space": slice(0, 1)}, "19 of 19 new stimuli are in no answered trial with two stimuli of the space"),
        ({"l1": -1}, "l1=-1 is not accepted"),
        ({"tol": 0}, "tol=0 is not accepted"),
        ({"max_iter": 0}, "max_iter=0 is not accepted"),
        ({"cell": np.nan}, "a weight is missing or infinite"),
        ({"cell": "high"}, "a column is not numeric"),
        ({"twice": True}, "the id 'clip01' is there twice"),
        ({"y": np.ones((300, 3))}, "do not sum to 1"),
    ],
)
def test_unusable_input_is_named(change, expected):
    world = simulate_emotions(20, 2, seed=0)
    trials = world.sample_answers(300, seed=1)
    space = world.planted.iloc[change.pop("space", slice(0, 15))].astype(object)
    if "cell" in change:
        space.iloc[0, 0] = change.pop("cell")
    if change.pop("twice", False):
        space = pd.concat([space, space.iloc[:1]])
    with pytest.raises(InputError, match=expected.replace("(", r"\(")):
        place_stimuli(space, trials, **{"l1": 0.003, **change})
