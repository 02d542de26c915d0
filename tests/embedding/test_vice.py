import hashlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from affectome import VICE, simulate_emotions
from affectome.embedding import choice_probabilities
from affectome.embedding._engine import VariationalEngine
from affectome.embedding._posterior import Prior
from affectome.embedding._trials import as_trials
from affectome.errors import InputError
from affectome.simulation import match_components

FIT = """
import hashlib
from affectome import VICE, simulate_emotions
trials = simulate_emotions(60, 4, seed=2).sample_answers(12_000, seed=5)
fit = VICE(12, batch_size=6_000, n_epochs=12, learning_rate=0.2, random_state=3, min_stimuli=0, alpha=0.9).fit(trials)
print(hashlib.sha256(fit.loc_.tobytes() + fit.scale_.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def fit(trials):
    return VICE(12, random_state=0).fit(trials)


@pytest.fixture(scope="module")
def columns(fit, planted):
    """The found component of every planted one."""
    return [fit.to_space().columns.get_loc(name) for name in match_components(fit.to_space(), planted.planted).match]


def uninformed(n, t, seed=0):
    """Triplets of n stimuli with the odd one drawn by lot."""
    rng = np.random.default_rng(seed)
    return np.argsort(rng.random((t, n)), axis=1)[:, :3], rng.integers(0, 3, t)


# --- how many components --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("world", [(40, 3, 4_000), (80, 5, 12_000)], ids=str)
def test_planted_components_are_found_from_sixty(world, seed):
    n, p, n_trials = world
    study = simulate_emotions(n, p, seed=seed)
    model = VICE(random_state=seed).fit(study.sample_answers(n_trials, seed=seed + 50))
    assert model.n_components == 60 and abs(model.n_components_ - p) <= 1
    assert match_components(model.to_space(), study.planted).correlation.min() > 0.93


def test_halves_of_one_component_are_put_together_and_like_components_are_not(planted, trials):
    weights = planted.planted.to_numpy(np.float64)
    alike = weights.copy()
    alike[:, 1] = weights[:, 0] * 0.8 + weights[:, 1] * 0.6  # cosine about .8 to the first, and yet another
    world = simulate_emotions(40, 3, seed=0)
    prior = Prior(0.25, 1.0, 0.5)

    def united(start, given):
        engine = VariationalEngine(
            given, start.astype(np.float32), scale=0.15, prior=prior, offsets=np.zeros(3, np.float32),
            rng=np.random.default_rng(0), batch=64, n_jobs=1,
        )  # fmt: skip
        VICE()._unite_halves(engine, prior, len(given.triplets))
        return engine.weights.astype(np.float64)

    noise = np.random.default_rng(1).normal(0, 0.05, (40, 2))
    split = np.column_stack([weights, np.zeros(40)])
    split[:, [0, 3]] = np.outer(weights[:, 0], [np.cos(0.6), np.sin(0.6)]) + noise * (weights[:, [0]] > 0)
    back = united(split, as_trials(trials))
    assert (back[:, 3] == 0).all()
    np.testing.assert_allclose(back[:, 0], weights[:, 0], atol=0.2)
    assert np.array_equal(back[:, 1:3], split[:, 1:3].astype(np.float32))

    asked = trials.triplets
    cosine = alike[:, 0] @ alike[:, 1] / np.linalg.norm(alike[:, 0]) / np.linalg.norm(alike[:, 1])
    assert cosine > 0.7 and world.planted.equals(planted.planted)
    answers = choice_probabilities(alike, asked)
    kept = united(alike, as_trials(asked, answers, n_stimuli=40))
    assert np.array_equal(kept, alike.astype(np.float32))


def test_answers_by_lot_make_no_component():
    triplets, choice = uninformed(30, 3_000)
    with pytest.warns(ConvergenceWarning, match="No component is carried by more than min_stimuli=5 stimuli"):
        model = VICE(10, random_state=0).fit(triplets, choice)
    assert model.n_components_ == 0 and model.embedding_.shape == model.loc_.shape == (30, 0)
    np.testing.assert_allclose(model.predict_proba(triplets), 1 / 3)
    assert model.score(triplets, choice) == pytest.approx(1 / 3)
    low, high = model.weight_intervals(triplets, choice)
    assert low.shape == high.shape == (30, 0)


def test_a_component_is_kept_when_more_than_min_stimuli_carry_it(trials, fit):
    fewest = int(fit.support_.min())
    assert fit.n_components_ == 3 and fewest > 5
    just = VICE(12, min_stimuli=fewest - 1, random_state=0).fit(trials)
    assert np.array_equal(just.embedding_, fit.embedding_)
    above = VICE(12, min_stimuli=fewest, random_state=0).fit(trials)
    assert above.n_components_ == (fit.support_ > fewest).sum() < 3
    assert fit.n_supported_path_[-1] == 3 and len(fit.n_supported_path_) == fit.n_epochs_


def test_too_few_epochs_are_said_to_be_too_few(trials):
    with pytest.warns(ConvergenceWarning, match="still changing; allow more than n_epochs=4"):
        model = VICE(60, n_epochs=4, random_state=0).fit(trials)
    assert not model.converged_ and len(set(model.n_supported_path_[-3:])) > 1


def test_a_fit_that_came_to_rest_says_nothing(trials):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert VICE(6, random_state=1).fit(trials).converged_


# --- the posterior -------------------------------------------------------------------------------


def test_means_are_the_embedding_and_sorted(fit):
    assert np.array_equal(fit.embedding_, np.maximum(fit.loc_, 0)) and (fit.loc_ < 0).any()
    assert (np.diff(fit.embedding_.sum(axis=0)) <= 0).all()
    assert (fit.scale_ > 0).all()


def test_planted_weights_lie_about_the_means_as_the_deviations_say(fit, planted, columns):
    truth = planted.planted.to_numpy(np.float64)
    z = ((fit.loc_[:, columns] - truth) / fit.scale_[:, columns])[truth > 0.3]
    assert 0.8 < np.sqrt((z**2).mean()) < 1.6
    four_times = VICE(12, random_state=0).fit(planted.sample_answers(9_880, seed=9))
    assert four_times.n_components_ == 3
    ratio = np.median(four_times.scale_[four_times.loc_ > 0.5]) / np.median(fit.scale_[fit.loc_ > 0.5])
    assert ratio == pytest.approx(np.sqrt(6_000 / 9_880), rel=0.1)


def test_the_posterior_is_at_a_minimum_of_the_expected_objective(trials, losses_twin):
    # min_stimuli and alpha keep every component, so that all of the objective can be seen.
    model = VICE(3, min_stimuli=0, alpha=0.999, random_state=0).fit(trials)
    odd_last = as_trials(trials).triplets
    loc, scale = model.loc_.astype(np.float64), model.scale_.astype(np.float64)
    eps = np.random.default_rng(0).standard_normal((60, *loc.shape))
    q = np.tile([0.0, 0.0, 1.0], (len(odd_last), 1))

    def objective(mean, deviation):
        drawn = mean + deviation * np.concatenate([eps, -eps])
        log_p = np.logaddexp(np.log(0.5) + norm.logpdf(drawn, 0, 0.25), np.log(0.5) + norm.logpdf(drawn, 0, 1))
        apart = (norm.logpdf(drawn, mean, deviation) - log_p).sum(axis=(1, 2)).mean() / len(odd_last)
        return np.mean([losses_twin(np.maximum(x, 0), odd_last, q).mean() for x in drawn]) + apart

    here = objective(loc, scale)
    assert model.objective_ == pytest.approx(here, abs=0.01)
    for other in [(loc * 1.05, scale), (loc * 0.95, scale), (loc, scale * 1.25), (loc, scale * 0.8)]:
        assert objective(*other) > here


def test_stimuli_in_no_trial_keep_the_uncertainty_of_the_prior(trials):
    grid = np.linspace(-12, 12, 48_001)
    log_p = np.logaddexp(np.log(0.5) + norm.logpdf(grid, 0, 0.25), np.log(0.5) + norm.logpdf(grid, 0, 1))

    def divergence(mean_and_log_scale):
        mean, scale = mean_and_log_scale[0], np.exp(mean_and_log_scale[1])
        return trapezoid(norm.pdf(grid, mean, scale) * (norm.logpdf(grid, mean, scale) - log_p), grid)

    best = minimize(divergence, [0.1, -1.0], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9}).x
    model = VICE(3, min_stimuli=0, alpha=0.999, random_state=0).fit(trials.triplets, trials.choice, n_stimuli=60)
    np.testing.assert_allclose(model.loc_[40:], best[0], atol=0.15)
    assert np.sqrt((model.loc_[40:] ** 2).mean()) < 0.1 and abs(model.loc_[40:].mean()) < 0.03
    assert model.scale_[40:].mean() == pytest.approx(np.exp(best[1]), rel=0.05)
    assert np.median(model.scale_[:40]) < 0.7 * np.exp(best[1])
    low, high = model.weight_intervals(trials.triplets, trials.choice)
    assert (low[40:] == 0).all() and (high[40:] > 0.7).all()


def test_probabilities_tell_more_than_choices(planted, trials):
    # From the same triplets with the probabilities themselves: nothing but the pull of the prior is left to err.
    soft = VICE(12, random_state=0).fit(trials, trials.probabilities)
    hard = VICE(12, random_state=0).fit(trials)
    truth = choice_probabilities(planted.planted, trials.triplets)
    errors = [np.abs(choice_probabilities(m.embedding_, trials.triplets) - truth).mean() for m in (soft, hard)]
    assert soft.n_components_ == 3 and errors[0] < 0.4 * errors[1]


def test_slot_offsets_are_taken_out_of_the_weights(planted, trials):
    offsets = np.array([1.5, 0.0, -1.5])
    logit = np.log(trials.probabilities.astype(np.float64)) + offsets
    choice = (logit + np.random.default_rng(3).gumbel(size=logit.shape)).argmax(axis=1)
    told = VICE(12, slot_offsets=tuple(offsets), random_state=0).fit(trials.triplets, choice)
    truth = choice_probabilities(planted.planted, trials.triplets)
    blind = VICE(12, random_state=0).fit(trials.triplets, choice)
    error = [np.abs(choice_probabilities(m.embedding_, trials.triplets) - truth).mean() for m in (told, blind)]
    assert told.n_components_ == 3 and error[0] < 0.75 * error[1]
    low, high = told.weight_intervals(trials.triplets, choice)
    match = match_components(told.to_space(), planted.planted.set_axis([str(i) for i in range(40)])).match
    where = [told.to_space().columns.get_loc(name) for name in match]
    weights = planted.planted.to_numpy()
    held = (low[:, where] <= weights) & (weights <= high[:, where])
    assert held[weights > 0.3].mean() > 0.85


# --- intervals --------------------------------------------------------------------------------------


def test_calibrated_intervals_hold_the_planted_weights_more_often():
    # Four studies, some 560 clear weights; benchmarks/vice_coverage.py measures it properly.
    held = {"mean-field": [], "calibrated": []}
    for seed in range(4):
        study = simulate_emotions(40, 3, seed=seed)
        trials = study.sample_answers(6_000, seed=seed + 20)
        model = VICE(10, random_state=seed).fit(trials)
        space = model.to_space()
        where = [space.columns.get_loc(name) for name in match_components(space, study.planted).match]
        truth = study.planted.to_numpy()
        for name, (low, high) in {
            "mean-field": model.weight_intervals(),
            "calibrated": model.weight_intervals(trials),
        }.items():
            held[name].append(((low[:, where] <= truth) & (truth <= high[:, where]))[truth > 0.3])
    mean_field, calibrated = (np.concatenate(held[name]).mean() for name in ("mean-field", "calibrated"))
    assert 0.90 <= calibrated < 0.99
    assert mean_field < calibrated


def test_intervals_are_those_of_the_gaussians_and_widen_with_the_level(fit, trials):
    low, high = fit.weight_intervals(level=0.9)
    np.testing.assert_allclose(low, np.maximum(norm.ppf(0.05, fit.loc_, fit.scale_), 0), atol=1e-5)
    np.testing.assert_allclose(high, np.maximum(norm.ppf(0.95, fit.loc_, fit.scale_), 0), atol=1e-5)
    widths = [np.subtract(*fit.weight_intervals(trials, level=level)[::-1]) for level in (0.5, 0.8, 0.99)]
    clear = fit.loc_ > 0.5
    assert (widths[0][clear] < widths[1][clear]).all() and (widths[1][clear] < widths[2][clear]).all()


def test_calibration_puts_clear_weights_where_the_likelihood_is_highest(fit, trials, gradient_twin):
    given, loc, scale = as_trials(trials), fit.loc_.astype(np.float64), fit.scale_.astype(np.float64)
    centre, width = fit._calibrated(given, loc, scale)
    clear = loc > 2 * scale
    assert np.array_equal(centre[~clear], loc[~clear]) and np.array_equal(width[~clear], scale[~clear])
    x, n_trials, q = np.maximum(centre, 0), 6_000, np.tile([0.0, 0.0, 1.0], (6_000, 1))

    def slope(at):
        return -gradient_twin(at, given.triplets, q) * n_trials

    # The normal of ten slabs is all that is left of the prior.
    assert np.abs((slope(x) - x / 100) * width)[clear].max() < 0.02
    assert np.abs((slope(fit.embedding_.astype(np.float64)) * width)[clear]).max() > 0.3
    # Width: second differences of the likelihood by the clear weights of one stimulus, the one with most of them.
    i = int(clear.sum(axis=1).argmax())
    own, h = np.flatnonzero(clear[i]), 1e-5
    information = np.empty((len(own), len(own)))
    for row, column in enumerate(own):
        sides = [x.copy(), x.copy()]
        sides[0][i, column] -= h
        sides[1][i, column] += h
        information[row] = np.subtract(*(slope(side)[i, own] for side in sides)) / (2 * h)
    deviation = np.sqrt(np.diag(np.linalg.inv(information + np.eye(len(own)) / 100)))
    np.testing.assert_allclose(width[i, own], np.maximum(deviation, scale[i, own]), rtol=1e-3)
    low, high = fit.weight_intervals(trials, level=0.5)
    reach = norm.ppf(0.75) * width
    np.testing.assert_allclose(low, np.maximum(centre - reach, 0), atol=1e-5)
    np.testing.assert_allclose(high, np.maximum(centre + reach, 0), atol=1e-5)


def test_calibration_undoes_a_prior_that_is_far_too_narrow():
    study = simulate_emotions(60, 3, strength=4.0, seed=1)  # weights of 2.4 to 5.6, and a slab of 1
    trials = study.sample_answers(8_000, seed=4)
    model = VICE(8, random_state=0).fit(trials)
    space, truth = model.to_space(), study.planted.to_numpy()
    where = [space.columns.get_loc(name) for name in match_components(space, study.planted).match]
    held = []
    for low, high in (model.weight_intervals(), model.weight_intervals(trials)):
        held.append(((low[:, where] <= truth) & (truth <= high[:, where]))[truth > 0.3].mean())
    assert held[0] < 0.3 and held[1] > 0.8


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_refused(fit, level):
    with pytest.raises(InputError, match=f"level={level} makes no interval"):
        fit.weight_intervals(level=level)


# --- predictions ------------------------------------------------------------------------------------


def test_predictive_probabilities_by_moments_and_by_draws_agree(fit, trials):
    moments = fit.predict_proba(trials)
    drawn = fit.predict_proba(trials, method="sampling", n_samples=400, seed=1)
    np.testing.assert_allclose(drawn, moments, atol=0.05)
    assert np.abs(drawn - moments).mean() < 0.005
    plain = choice_probabilities(fit.embedding_, trials.triplets)
    assert moments.max(axis=1).mean() < plain.max(axis=1).mean()  # doubt makes predictions less sure
    truth = trials.probabilities.astype(np.float64)
    excess = [(truth * np.log(truth / p)).sum(axis=1).mean() for p in (moments, drawn, plain)]
    assert max(excess) < 0.02 and excess[0] == pytest.approx(excess[1], abs=5e-4)


def test_draws_depend_on_their_seed_alone(fit, trials):
    few = trials.triplets[:50]
    one, same, other = (fit.predict_proba(few, method="sampling", n_samples=3, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"method": "laplace"}, "method='laplace' is unknown"), ({"method": "sampling", "n_samples": 0}, "n_samples=0")],
)
def test_unknown_ways_to_predict_are_refused(fit, trials, given, message):
    with pytest.raises(InputError, match=message):
        fit.predict_proba(trials, **given)


def test_deviations_stand_under_the_names_of_the_means(fit, trials):
    means, deviations = fit.to_space(), fit.to_scale_space()
    assert list(deviations.index) == list(trials.ids) and deviations.columns.equals(means.columns)
    assert np.array_equal(deviations.to_numpy(), fit.scale_)
    named = VICE(3, n_epochs=12, random_state=0).fit(trials.triplets, trials.choice).to_scale_space(range(100, 140))
    assert named.index[0] == "100"


# --- what is given ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "false",
    [
        {"n_components": 0}, {"spike": 0.0}, {"slab": 0.1}, {"spike_share": 1.0}, {"spike_share": 0}, {"alpha": 0},
        {"alpha": 1.0}, {"min_stimuli": -1}, {"learning_rate": 0}, {"batch_size": 0}, {"n_epochs": 0}, {"init": 0.3},
        {"init": (np.nan, 0.1)}, {"init": (-np.inf, 0.1)}, {"init_scale": 0}, {"slot_offsets": (0, 1)}, {"n_jobs": 0},
        {"spike": np.nan}, {"n_components": True},
    ],
    ids=str,
)  # fmt: skip
def test_false_parameters_are_named(trials, false):
    with pytest.raises(InputError, match=next(iter(false)) + "="):
        VICE(**{"n_components": 3, **false}).fit(trials)


def test_nothing_answered_is_nothing_to_learn(fit, trials):
    empty = trials.triplets[:5], np.full(5, -1)
    with pytest.raises(InputError, match="no answered triplet to learn from"):
        VICE(3).fit(*empty)
    with pytest.raises(InputError, match="no answered triplet to calibrate on"):
        fit.weight_intervals(*empty)


def test_trials_about_other_stimuli_are_refused(fit):
    other = simulate_emotions(41, 3, seed=0).sample_answers(50, seed=1)
    for asked in (fit.predict_proba, fit.weight_intervals, fit.score):
        with pytest.raises(InputError, match="about other stimuli"):
            asked(other)


def test_a_rate_that_breaks_the_fit_is_said(trials):
    with pytest.raises(InputError, match="grew beyond all numbers in epoch 1; lower learning_rate"):
        VICE(3, learning_rate=1e4, random_state=0).fit(trials)


def test_progress_hears_of_every_epoch(trials):
    heard = []
    VICE(3, n_epochs=12, random_state=0).fit(trials, progress=lambda *given, **named: heard.append((given, named)))
    assert [given for given, _ in heard] == [(k, 12) for k in range(1, 13)]
    assert heard[-1][1]["detail"].endswith("3 components")


# --- the same bits --------------------------------------------------------------------------------------


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def bits():
    trials = simulate_emotions(60, 4, seed=2).sample_answers(12_000, seed=5)

    def fitted(n_jobs):
        settings = {"batch_size": 6_000, "n_epochs": 12, "learning_rate": 0.2, "min_stimuli": 0, "alpha": 0.9}
        model = VICE(12, **settings, random_state=3, n_jobs=n_jobs).fit(trials)
        ends = b"".join(end.tobytes() for end in model.weight_intervals(trials))
        return model.loc_.tobytes() + model.scale_.tobytes(), ends, model.objective_

    return fitted


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_number_of_threads_changes_no_bit(bits):
    assert bits(1) == bits(2) == bits(None)


@pytest.mark.slow  # tests of determinism do the same for SPoSE
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_process_that_compiles_gives_the_bits_of_one_that_loads_the_cache(bits, tmp_path):
    loaded = hashlib.sha256(bits(2)[0]).hexdigest()
    assert run_python(FIT, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_NUM_THREADS="1") == loaded


def test_random_state_object_is_the_same_as_its_seed(trials):
    given = {"n_components": 3, "n_epochs": 12}
    a, b, c = (VICE(**given, random_state=s).fit(trials).loc_ for s in (np.random.RandomState(7), 7, 8))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
