import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from affectome import InputError, SPoSE, TripletSet, simulate_emotions
from affectome.embedding import _spose, choice_probabilities
from affectome.simulation import match_components


@pytest.fixture(scope="module")
def fitted(trials):
    return SPoSE(5, random_state=0).fit(trials)


def objective_of(model, losses):
    return losses.mean() + model.l1_ / model.n_stimuli_ * model.embedding_.sum(dtype=np.float64)


# What a fit gives back


def test_weights_are_not_negative(fitted, trials):
    assert fitted.embedding_.shape == (trials.n_stimuli, fitted.n_components_)
    assert fitted.embedding_.dtype == np.float32
    assert fitted.embedding_.flags.c_contiguous
    assert fitted.embedding_.min() == 0


def test_objective_equals_its_plain_recomputation(fitted, trials, losses_twin):
    hard = np.tile([0.0, 0.0, 1.0], (len(trials), 1))
    expected = objective_of(fitted, losses_twin(fitted.embedding_, trials.odd_last(), hard))
    assert fitted.objective_ == pytest.approx(expected, rel=1e-6)


def test_soft_objective_equals_its_plain_recomputation(trials, losses_twin):
    model = SPoSE(3, random_state=0).fit(trials, trials.probabilities)
    expected = objective_of(model, losses_twin(model.embedding_, trials.triplets, trials.probabilities))
    assert model.objective_ == pytest.approx(expected, rel=1e-6)


def test_objective_path_falls_towards_the_objective(fitted):
    assert fitted.converged_
    assert fitted.objective_path_.shape == (fitted.n_epochs_ + fitted.n_iter_,)
    assert fitted.objective_path_[0] > fitted.objective_path_[-1]
    assert fitted.objective_path_[-1] == pytest.approx(fitted.objective_, rel=1e-5)
    assert (np.diff(fitted.objective_path_[fitted.n_epochs_ :]) <= 0).all()


def test_no_neighbour_of_the_fit_has_a_lower_objective(fitted, trials, losses_twin):
    hard = np.tile([0.0, 0.0, 1.0], (len(trials), 1))
    rng, x = np.random.default_rng(0), fitted.embedding_.astype(np.float64)
    for size in (0.9, 1.1):  # scaling, where an objective without the right penalty would give way
        moved = x * size
        loss = losses_twin(moved, trials.odd_last(), hard).mean() + fitted.l1_ / len(x) * moved.sum()
        assert loss > fitted.objective_
    for _ in range(10):
        moved = np.maximum(x + rng.normal(0, 0.1, x.shape), 0)
        loss = losses_twin(moved, trials.odd_last(), hard).mean() + fitted.l1_ / len(x) * moved.sum()
        assert loss > fitted.objective_


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_fit_is_no_worse_than_the_best_of_ten_searches_by_scipy(losses_twin, gradient_twin, soft):
    n_components = 3
    world = simulate_emotions(40, 3, seed=4)
    trials = world.sample_answers(4000, seed=5)
    q = trials.probabilities.astype(float) if soft else np.eye(3)[trials.choice]
    penalty = 0.003 / 40

    def objective(flat):
        x = flat.reshape(40, n_components)
        gradient = gradient_twin(x, trials.triplets, q) + penalty
        return losses_twin(x, trials.triplets, q).mean() + penalty * flat.sum(), gradient.ravel()

    searches = [
        minimize(
            objective,
            np.random.default_rng(seed).uniform(0, 1, 40 * n_components),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * (40 * n_components),
            options={"maxiter": 500},
        )
        for seed in range(10)
    ]
    best = min(search.fun for search in searches)
    for seed in range(3):
        model = SPoSE(n_components, 0.003, prune=0.0, random_state=seed).fit(trials, q)
        assert model.objective_ <= best * (1 + 1e-4)


def test_components_are_pruned_by_largest_weight_and_sorted_by_sum(trials):
    everything = SPoSE(5, 0.003, prune=0.0, random_state=0).fit(trials).embedding_
    largest = everything.max(axis=0)
    threshold = float(np.sort(largest)[:2].mean())  # between the weakest and the next
    pruned = SPoSE(5, 0.003, prune=threshold, random_state=0).fit(trials)
    assert np.array_equal(pruned.embedding_, everything[:, largest > threshold])
    assert pruned.n_components_ == 4
    assert (np.diff(pruned.embedding_.sum(axis=0, dtype=np.float64)) <= 0).all()


@pytest.mark.parametrize(("n", "k", "n_trials"), [(60, 3, 10_000), (100, 4, 50_000), (200, 6, 100_000)])
def test_default_sparsity_leaves_the_planted_components_and_no_others(n, k, n_trials):
    world = simulate_emotions(n, k, seed=4)
    model = SPoSE(20, random_state=0).fit(world.sample_answers(n_trials, seed=1))
    assert model.l1_ == pytest.approx(n * max(4, np.sqrt(n_trials / n) / 4) / n_trials)
    assert model.n_components_ == k
    assert match_components(model.to_space(), world.planted).correlation.min() > 0.98


def test_default_sparsity_is_bounded_where_trials_are_few(trials):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert SPoSE(3, random_state=0).fit(trials[:1000]).l1_ == pytest.approx(0.06)


def test_stronger_sparsity_leaves_less_weight_and_more_zeros(trials):
    fits = [SPoSE(5, l1, prune=0.0, random_state=0).fit(trials).embedding_ for l1 in (0.001, 0.01, 0.05)]
    sums, zeros = [x.sum() for x in fits], [40 * 5 - np.count_nonzero(x) for x in fits]
    assert sums[0] > sums[1] > sums[2] > 0
    assert zeros[0] < zeros[1] < zeros[2] < 40 * 5


def test_space_names_stimuli_and_components(fitted, trials):
    space = fitted.to_space(trials.ids)
    assert space.index.tolist() == list(trials.ids)
    assert space.index.name == "id"
    assert space.columns[0] == "component 01"
    assert np.array_equal(space.to_numpy(), fitted.embedding_)
    with pytest.raises(InputError, match="not the ids of the fit"):
        fitted.to_space(trials.ids[:-1])


@pytest.mark.parametrize("seed", range(5))
def test_planted_components_are_found(seed):
    world = simulate_emotions(200, 6, seed=seed)
    trials = world.sample_answers(100_000, temperature=1.0, seed=seed + 100)
    model = SPoSE(6, random_state=seed).fit(trials)
    recovery = match_components(model.to_space(trials.ids), world.planted)
    assert recovery.correlation.min() >= 0.90
    # Fresh trials cost no more than estimation must: a divergence of (weights / 2 trials), by Wilks.
    fresh = world.sample_answers(20_000, seed=seed + 200)
    true, fitted = (choice_probabilities(x, fresh.triplets) for x in (world.planted, model.embedding_))
    np.testing.assert_allclose(true, fresh.probabilities, atol=1e-5)  # the planted judge is the model
    assert (true * np.log(true / fitted)).sum(axis=1).mean() < 1.5 * (200 * 6) / (2 * 100_000)


# The forms its input can take


def test_order_shown_is_irrelevant(fitted, trials):
    odd_last, slot = trials.odd_last(), np.random.default_rng(0).integers(0, 3, len(trials))
    place = np.array([[2, 0, 1], [0, 2, 1], [0, 1, 2]])[slot]  # the odd one into `slot`, the pair in its order
    shown = np.take_along_axis(odd_last, place, axis=1)
    again = SPoSE(5, random_state=0).fit(shown, slot, n_stimuli=trials.n_stimuli)
    assert np.array_equal(again.embedding_, fitted.embedding_)


def test_order_within_the_kept_pair_is_irrelevant_but_for_rounding(trials):
    one, other = (
        SPoSE(3, random_state=0).fit(trials.odd_last()[:, places], n_stimuli=trials.n_stimuli)
        for places in ([0, 1, 2], [1, 0, 2])
    )
    assert other.objective_ == pytest.approx(one.objective_, rel=1e-5)
    np.testing.assert_allclose(other.embedding_, one.embedding_, atol=0.02)


def test_array_without_answers_is_odd_last(fitted, trials):
    again = SPoSE(5, random_state=0).fit(trials.odd_last(), n_stimuli=trials.n_stimuli)
    assert np.array_equal(again.embedding_, fitted.embedding_)


def test_one_hot_probabilities_equal_choices(trials):
    hard = SPoSE(3, random_state=0).fit(trials)
    soft = SPoSE(3, random_state=0).fit(trials, np.eye(3)[trials.choice])
    assert soft.objective_ == pytest.approx(hard.objective_, rel=1e-5)
    np.testing.assert_allclose(soft.embedding_, hard.embedding_, atol=0.02)


def test_unanswered_trials_are_dropped_and_counted(trials):
    some = trials.choice.copy()
    some[::4] = -1
    holes = trials.with_answers(some)
    model = SPoSE(3, random_state=0).fit(holes)
    assert (model.n_trials_, model.n_dropped_) == (4500, 1500)
    assert np.array_equal(model.embedding_, SPoSE(3, random_state=0).fit(trials[some >= 0]).embedding_)
    assert model.score(holes) == model.score(trials[some >= 0])


def test_trials_without_probabilities_are_dropped_and_counted(trials):
    some = trials.probabilities.copy()
    some[:1000] = np.nan
    model = SPoSE(3, random_state=0).fit(trials.triplets, some, n_stimuli=40)
    assert (model.n_trials_, model.n_dropped_) == (5000, 1000)
    assert np.array_equal(model.embedding_, SPoSE(3, random_state=0).fit(trials[1000:], some[1000:]).embedding_)


def test_stimuli_without_trials_get_no_weight(trials):
    model = SPoSE(3, random_state=0).fit(trials.odd_last(), n_stimuli=42)
    assert model.embedding_.shape[0] == model.n_stimuli_ == 42
    assert (model.embedding_[40:] == 0).all()


def test_number_of_stimuli_is_the_highest_index_plus_one_by_default():
    rows = [[0, 1, 4], [1, 0, 4]] * 50
    assert SPoSE(1, random_state=0).fit(rows).n_stimuli_ == 5


# Going on, stopping, reporting


def test_warm_start_begins_where_the_last_fit_stopped(trials):
    model = SPoSE(3, random_state=0).fit(trials)
    stopped, cold = model.objective_, model.objective_path_[0]
    model.set_params(warm_start=True)
    assert model.fit(trials).objective_path_[0] < cold
    assert model.objective_ <= stopped * 1.001
    stopped = model.objective_
    model.set_params(learning_rate=1e-9, n_epochs=1, max_iter=0)  # too slow to move
    with pytest.warns(ConvergenceWarning):
        model.fit(trials)
    assert model.objective_path_[0] == pytest.approx(stopped, rel=1e-6)


def test_warm_start_keeps_the_strongest_and_fills_up(trials):
    model = SPoSE(3, prune=0.0, random_state=0).fit(trials)
    before = model.embedding_
    model.set_params(warm_start=True, n_components=5, learning_rate=1e-9, n_epochs=1, max_iter=0)
    with pytest.warns(ConvergenceWarning):
        grown = model.fit(trials).embedding_
    assert grown.shape == (40, 5)
    gaps = np.abs(grown[:, :, None] - before[:, None, :]).max(axis=0)  # (5, 3)
    assert (gaps.min(axis=0) < 1e-6).all()
    model.set_params(n_components=2)
    with pytest.warns(ConvergenceWarning):
        shrunk = model.fit(trials).embedding_
    assert np.abs(shrunk - grown[:, :2]).max() < 1e-6
    with pytest.raises(InputError, match="was about 40 stimuli, and this one is about 41"):
        model.fit(trials.triplets, trials.choice, n_stimuli=41)


def test_warm_start_begins_at_a_tenth_of_the_learning_rate(trials, monkeypatch):
    rates, anneal = [], SPoSE._anneal

    def recorded(self, engine, n_trials, rate, *rest):
        rates.append(rate)
        return anneal(self, engine, n_trials, rate, *rest)

    monkeypatch.setattr(SPoSE, "_anneal", recorded)
    model = SPoSE(3, learning_rate=0.08, n_init=1, warm_start=True, random_state=0)
    model.fit(trials).fit(trials)
    assert rates == pytest.approx([0.08, 0.008])


def test_a_fit_keeps_the_ids_it_is_about_and_goes_on_with_no_others(fitted, trials):
    assert fitted.ids_ == trials.ids
    pd.testing.assert_frame_equal(fitted.to_space(), fitted.to_space(trials.ids))
    turned = TripletSet(trials.triplets, trials.ids[::-1], trials.choice)
    for use in (fitted.predict, fitted.predict_proba, fitted.score):
        with pytest.raises(
            InputError, match="SPoSE: the triplets are about other stimuli, or the same in another order"
        ):
            use(turned)
    with pytest.raises(InputError, match="not the ids of the fit, in their order; leave them out"):
        fitted.to_space(trials.ids[::-1])
    np.testing.assert_array_equal(fitted.predict(trials.triplets), fitted.predict(trials))  # an array names no stimuli
    warm = SPoSE(3, warm_start=True, random_state=0).fit(trials)
    for other in (turned, trials.triplets):
        with pytest.raises(InputError, match=r"was about 40 stimuli, .* others; set warm_start=False"):
            warm.fit(other, trials.choice)


def test_a_fit_to_an_array_is_about_no_ids(trials):
    model = SPoSE(3, random_state=0).fit(trials.triplets, trials.choice)
    assert model.ids_ is None
    assert model.score(trials) == model.score(trials.triplets, trials.choice)
    assert model.to_space().index.tolist() == [str(k) for k in range(40)]
    assert model.to_space(trials.ids).index.tolist() == list(trials.ids)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_stimuli_in_no_answered_trial_weigh_exactly_nothing(trials, soft):
    choice, probabilities = trials.choice.copy(), trials.probabilities.copy()
    silent = np.isin(trials.triplets, [0, 17]).any(axis=1)
    choice[silent], probabilities[silent] = -1, np.nan
    model = SPoSE(3, prune=0.0, l1=0.0, random_state=0).fit(trials, probabilities if soft else choice)
    present = np.delete(np.arange(40), [0, 17])
    assert (model.embedding_[[0, 17]] == 0).all() and (model.embedding_[present].sum(axis=1) > 0).all()


@pytest.mark.parametrize("max_iter", [0, 2])
def test_fit_stopped_by_max_iter_says_so(trials, max_iter):
    with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter}"):
        model = SPoSE(3, n_epochs=2, max_iter=max_iter, random_state=0).fit(trials)
    assert not model.converged_
    assert (model.n_epochs_, model.n_iter_) == (2, max_iter)


def test_what_is_not_the_fault_of_l1_is_not_blamed_on_it(trials):
    contradictory = np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]] * 1000)
    with pytest.warns(ConvergenceWarning, match="no weight exceeds prune"):
        SPoSE(3, 0.0, random_state=0).fit(contradictory)
    with pytest.warns(ConvergenceWarning, match="no weight exceeds prune"):
        SPoSE(3, prune=100.0, random_state=0).fit(trials)


def test_warm_start_recovers_from_a_fit_that_vanished(trials):
    model = SPoSE(3, l1=100.0, warm_start=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="l1 is too strong"):
        model.fit(trials)
    assert model.set_params(l1=None).fit(trials).n_components_ == 3


def test_a_fit_that_overflows_is_refused(trials):
    with pytest.raises(InputError, match="the weights grew beyond all bounds; lower learning_rate"):
        SPoSE(3, init=(1e25, 0.0), random_state=0).fit(trials)


def test_stimuli_in_no_trial_do_not_weaken_the_default_sparsity():
    trials = simulate_emotions(66, 3, seed=0).sample_answers(45_760, seed=1)
    few, many = (SPoSE(20, random_state=0).fit(trials.triplets, trials.choice, n_stimuli=n) for n in (66, 2185))
    assert few.n_components_ == many.n_components_ == 3
    assert many.l1_ / 2185 == pytest.approx(few.l1_ / 66)


def test_vanished_components_are_said_aloud_and_leave_chance(trials):
    with pytest.warns(ConvergenceWarning, match="Every component vanished: l1 is too strong"):
        model = SPoSE(3, l1=100.0, random_state=0).fit(trials)
    assert model.embedding_.shape == (40, 0)
    assert model.objective_ == pytest.approx(np.log(3))
    assert model.score(trials) == pytest.approx(1 / 3)
    np.testing.assert_allclose(model.predict_proba(trials[:5]), 1 / 3, rtol=1e-6)


def test_progress_is_told_after_every_epoch_and_iteration(trials):
    told = []
    model = SPoSE(3, n_epochs=20, n_init=1, random_state=0).fit(
        trials, progress=lambda done, total, *, detail="": told.append((done, total, detail))
    )
    assert model.n_iter_ > 10
    assert [done for done, _, _ in told] == list(range(1, 20 + model.n_iter_ + 1))
    assert {total for _, total, _ in told} == {20 + 1000}
    assert [detail for *_, detail in told] == [f"objective {value:.4f}" for value in model.objective_path_]


def test_progress_of_several_starts_is_one_display(trials):
    told = []
    with pytest.warns(ConvergenceWarning):
        SPoSE(3, n_init=3, n_epochs=4, max_iter=2, random_state=0).fit(
            trials, progress=lambda done, total, *, detail="": told.append((done, total))
        )
    assert told == [(done, 18) for done in range(1, 19)]


def test_with_few_trials_every_start_is_run_to_the_end_and_the_best_is_kept(trials, monkeypatch):
    ends, run = [], SPoSE._run

    def recorded(self, *parts):
        ends.append(run(self, *parts))
        return ends[-1]

    monkeypatch.setattr(SPoSE, "_run", recorded)
    model = SPoSE(5, prune=0.0, random_state=0).fit(trials)
    assert len(ends) == 4
    assert model.objective_ == pytest.approx(min(end.path[-1] for end in ends), rel=1e-6)


def test_with_many_trials_the_best_of_short_tryouts_goes_on(trials, monkeypatch):
    starts, ends, make, anneal = [], [], SPoSE._engine, SPoSE._anneal

    def made(self, some, weights, rng):
        starts.append(weights.copy())
        return make(self, some, weights, rng)

    def annealed(self, engine, *rest):
        path = anneal(self, engine, *rest)
        ends.append((path[-1], engine.weights.copy()))
        return path

    monkeypatch.setattr(_spose, "_FEW_TRIALS", 1000)
    monkeypatch.setattr(SPoSE, "_engine", made)
    monkeypatch.setattr(SPoSE, "_anneal", annealed)
    SPoSE(3, random_state=0).fit(trials)
    *tries, _ = ends
    assert len({objective for objective, _ in tries}) == 4
    assert np.array_equal(starts[-1], min(tries, key=lambda run: run[0])[1])


# What is refused


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 0},
        {"l1": -0.1},
        {"l1": float("nan")},
        {"learning_rate": 0.0},
        {"batch_size": 0},
        {"tol": -1.0},
        {"n_epochs": 0},
        {"max_iter": -1},
        {"prune": -0.1},
        {"n_init": 0},
        {"init": (0.1, -0.1)},
        {"init": (0.1,)},
    ],
    ids=str,
)
def test_parameter_out_of_range_is_named(trials, parameters):
    with pytest.raises(InputError, match=f"SPoSE: {next(iter(parameters))}=.* is not accepted"):
        SPoSE(**parameters).fit(trials)


TRIPLETS = np.array([[0, 1, 2], [3, 1, 2]])


@pytest.mark.parametrize(
    ("X", "y", "n_stimuli", "message"),
    [
        (np.empty((0, 3), int), None, None, "no answered triplet"),
        (TRIPLETS, [-1, -1], None, "no answered triplet"),
        (TRIPLETS, np.full((2, 3), np.nan), None, "no answered triplet"),
        (TRIPLETS[:, :2], None, None, r"shape \(2, 2\)"),
        ([0, 1, 2], None, None, r"shape \(3,\)"),
        ([[0, 1, 1]], None, None, "row 1: a stimulus appears twice in the triplet 0 1 1"),
        ([[0, 1, -1]], None, None, "index -1 is out of range"),
        (TRIPLETS, None, 40.5, "n_stimuli=40.5 is no whole number"),
        (TRIPLETS, None, "40", "n_stimuli='40' is no whole number"),
        (TRIPLETS, None, 3, "row 2: the stimulus index 3 is out of range; there are 3 stimuli"),
        (TRIPLETS + 0.5, None, None, "row 1: a stimulus index is no whole number; give three"),
        (TRIPLETS, [0], None, r"y has shape \(1,\) for 2 triplets"),
        (TRIPLETS, [0, 3], None, "row 2: the choice 3 is no slot"),
        (TRIPLETS, [[1, 0, 0], [0.5, 0.5, 0.5]], None, "row 2: .* do not sum to 1"),
        (TRIPLETS, [[1, 0, 0], [1.5, -0.5, 0.0]], None, "row 2: the probabilities"),
        (TripletSet(TRIPLETS, ids="abcd"), None, None, "no answered triplet"),
        (TripletSet(TRIPLETS, ids="abcd", choice=[0, 1]), None, 5, "n_stimuli=5, and the triplet set has 4"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_place(X, y, n_stimuli, message):
    with pytest.raises(InputError, match=message):
        SPoSE(2, random_state=0).fit(X, y, n_stimuli=n_stimuli)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 2.5},
        {"n_components": "3"},
        {"n_components": None},
        {"batch_size": 2.5},
        {"init": None},
        {"init": (float("nan"), 0.1)},
        {"learning_rate": float("inf")},
    ],
    ids=str,
)
def test_parameter_of_the_wrong_kind_is_named(trials, parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.raises(InputError, match=next(iter(parameters))):
            SPoSE(**parameters).fit(trials)


@pytest.mark.parametrize("cell", [np.nan, np.inf])
def test_index_that_is_no_number_is_refused(cell):
    with pytest.raises(InputError):
        SPoSE(2, random_state=0).fit([[0.0, 1.0, cell]])
