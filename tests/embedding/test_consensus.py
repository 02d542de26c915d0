"""What several fits agree on: closer to the truth than any one of them, without what only one of them holds."""

import numpy as np
import pandas as pd
import pytest

from affectome import InputError, SPoSE
from affectome.embedding import consensus_embedding, fit_seeds
from affectome.simulation import match_components, simulate_emotions


def names(n):
    return [f"v{k:04d}" for k in range(n)]


def planted_runs(n=1000, p=5, n_runs=8, noise=0.7, seed=0):
    """A truth of variance 1 with falling means, and fits of it with noise of a known variance, shuffled."""
    rng = np.random.default_rng(seed)
    truth = rng.gamma(1.0, 1.0, (n, p)) + np.linspace(1, 0, p)
    orders = [rng.permutation(p) for _ in range(n_runs)]
    noisy = [truth + noise * rng.standard_normal((n, p)) for _ in range(n_runs)]
    runs = {
        f"seed {k}": pd.DataFrame(x[:, order], names(n), [f"c{j}" for j in order])
        for k, (x, order) in enumerate(zip(noisy, orders, strict=True))
    }
    return truth, noisy, runs


def r_with(truth, space):
    return np.array([np.corrcoef(truth[:, k], space[:, k])[0, 1] for k in range(truth.shape[1])])


def test_consensus_is_the_mean_of_matched_components_and_as_close_to_the_truth_as_theory_says():
    truth, noisy, runs = planted_runs()
    result = consensus_embedding(runs, seed=0)
    assert result.space.to_numpy() == pytest.approx(np.mean(noisy, axis=0), abs=1e-5)  # the truth falls, as sums must
    assert result.sd.to_numpy() == pytest.approx(np.std(noisy, axis=0, ddof=1), abs=1e-5)
    single = np.mean([r_with(truth, x) for x in noisy], axis=0)
    assert single == pytest.approx(1 / np.sqrt(1 + 0.7**2), abs=0.03)
    assert r_with(truth, result.space.to_numpy()) == pytest.approx(1 / np.sqrt(1 + 0.7**2 / 8), abs=0.01)
    table = result.table
    assert table["component"].tolist() == result.space.columns.tolist() == [f"component 0{k}" for k in range(1, 6)]
    assert table["kept"].all() and (table["n_runs"] == 8).all()
    assert table[["mean_r", "split_half"]].to_numpy() == pytest.approx(1 / (1 + 0.7**2), abs=0.04)
    assert table[list(runs)].to_numpy().tolist() == [[f"c{k}"] * 8 for k in range(5)]
    assert table["sum"].to_numpy() == pytest.approx(result.space.sum().to_numpy(), rel=1e-5)
    assert result.converged and result.n_iterations <= 3


def test_what_one_run_invented_is_dropped_and_what_some_lack_is_averaged_over_the_others():
    _, noisy, runs = planted_runs(n=400, n_runs=6, noise=0.4)
    rng = np.random.default_rng(3)
    for k, (name, frame) in enumerate(runs.items()):
        invented = rng.gamma(1.0, 1.0, len(frame))
        # Every run has a component of its own; in the first the planted component 2 is missing.
        runs[name] = frame.assign(own=invented) if k else frame.drop(columns="c2").assign(own=invented)
    result = consensus_embedding(runs, seed=0)
    assert result.reference != "seed 0"
    table = result.table
    assert table["kept"].tolist() == [True] * 5 + [False]
    assert table["n_runs"].tolist() == [6, 6, 5, 6, 6, 0]
    assert table["component"].iloc[-1] == "" and result.space.shape == (400, 5)
    assert abs(table["split_half"].iloc[-1]) < 0.2
    assert table["split_half"].iloc[2] == pytest.approx(np.tanh(np.arctanh(1 / 1.16) * 20 / 30), abs=0.05)
    without = np.mean([x[:, 2] for x in noisy[1:]], axis=0)
    assert result.space["component 03"].to_numpy() == pytest.approx(without, abs=1e-5)


def test_runs_of_different_sizes_leave_gaps_and_nothing_else():
    _, noisy, runs = planted_runs(n=300, n_runs=4, noise=0.2)
    runs["seed 2"] = runs["seed 2"].drop(columns=["c1", "c4"])
    result = consensus_embedding(runs, threshold=0.3, seed=0)
    assert result.table["n_runs"].tolist() == [4, 3, 4, 4, 3]
    assert result.table["seed 2"].tolist() == ["c0", "", "c2", "c3", ""]
    assert result.space.shape == (300, 5)
    others = [noisy[k][:, 1] for k in (0, 1, 3)]
    assert result.space["component 02"].to_numpy() == pytest.approx(np.mean(others, axis=0), abs=1e-5)


def test_unrelated_runs_have_no_consensus_and_their_split_half_is_zero():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(25):
        runs = [pd.DataFrame(np.maximum(rng.normal(-0.5, 1, (100, 6)), 0), names(100)) for _ in range(5)]
        result = consensus_embedding(runs, n_halves=10, seed=seed)
        assert result.space.shape == (100, 0) and not result.table["kept"].any()
        found.append(result.table[["split_half", "mean_r"]].mean().to_numpy())
    split_half, mean_r = np.mean(found, axis=0)
    assert split_half == pytest.approx(0, abs=0.015)
    assert mean_r > 0.05  # matched and measured on the same stimuli


def test_order_of_runs_components_and_stimuli_changes_no_weight():
    _, _, runs = planted_runs(n=200, n_runs=4)
    rng = np.random.default_rng(1)
    moved = {name: runs[name].iloc[rng.permutation(200), rng.permutation(5)] for name in reversed(runs)}
    one, two = (consensus_embedding(r, seed=0) for r in (runs, moved))
    assert one.reference == two.reference and two.space.index.tolist() == moved["seed 3"].index.tolist()
    pd.testing.assert_frame_equal(one.space, two.space.loc[one.space.index], rtol=1e-5)


def test_the_threshold_is_on_the_split_half_correlation():
    _, _, runs = planted_runs(n=400, n_runs=4, noise=1.0)  # r = .5 between runs
    split_half = consensus_embedding(runs, seed=0).table["split_half"].to_numpy()
    between = np.sort(split_half)[[2, 3]].mean()
    kept = consensus_embedding(runs, threshold=between, seed=0).table.set_index("component")["split_half"]
    assert sorted(kept[kept.index != ""]) == sorted(split_half[split_half >= between])
    assert consensus_embedding(runs, threshold=0.9, seed=0).space.shape == (400, 0)


@pytest.mark.filterwarnings("ignore:Seed .. SPoSE stopped")  # few trials, loose components: they may creep for long
def test_fits_of_noisy_choices_agree_on_what_was_planted():
    world = simulate_emotions(60, 4, seed=3)
    trials = world.sample_answers(2500, seed=4)
    spaces = [fit.to_space() for fit in fit_seeds(SPoSE(8, l1=0.01), trials, range(6)).values()]
    result = consensus_embedding(spaces, seed=0)
    together = match_components(result.space, world.planted).correlation
    single = np.mean([match_components(space, world.planted).correlation for space in spaces], axis=0)
    assert together.min() > 0.85
    assert together.mean() > single.mean() - 0.01  # fits of one optimum have little to average out
    assert result.table["n_runs"].iloc[0] == 6


@pytest.mark.parametrize("options", [{"threshold": 1.5}, {"threshold": float("nan")}, {"n_halves": 0}, {"max_iter": 0}])
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(InputError, match="are not accepted"):
        consensus_embedding(planted_runs(20, 2, 2)[2], seed=0, **options)


def test_one_run_is_no_consensus():
    with pytest.raises(InputError, match="compare at least two runs"):
        consensus_embedding([planted_runs(20, 2, 1)[2]["seed 0"]], seed=0)
