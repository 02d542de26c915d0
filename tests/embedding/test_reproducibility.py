"""Components of several fits: the three correlations, their intervals, and a null that knows of the selection."""

import itertools
import warnings
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import pearsonr, t
from sklearn.exceptions import ConvergenceWarning

from affectome import InputError, SPoSE
from affectome.embedding import component_reproducibility, fit_seeds

FORMS = ["best_match", "split_half", "one_to_one"]
FAST = {"n_null": 19, "n_halves": 4}


def names(n):
    return [f"v{k:04d}" for k in range(n)]


def noisy_runs(n=4000, p=4, n_runs=6, noise=0.8, seed=0):
    """A truth of variance 1 and fits of it with noise of a known variance, their components in any order."""
    rng = np.random.default_rng(seed)
    truth = rng.gamma(1.0, 1.0, (n, p))
    return {
        f"seed {k}": pd.DataFrame(
            (truth + noise * rng.standard_normal((n, p)))[:, rng.permutation(p)], names(n), [f"c{j}" for j in range(p)]
        )
        for k in range(n_runs)
    }


def unrelated_runs(seed, n=60, sizes=(5, 4, 6)):
    rng = np.random.default_rng(seed)
    return [pd.DataFrame(np.maximum(rng.normal(-0.5, 1, (n, p)), 0), names(n)) for p in sizes]


@pytest.mark.parametrize("noise", [0.3, 1.0, 2.0])
def test_known_noise_gives_the_correlation_of_theory_in_all_three_forms(noise):
    result = component_reproducibility(noisy_runs(noise=noise), **FAST, seed=0)
    theory = 1 / (1 + noise**2)  # signal variance over total variance
    for form in FORMS:
        assert result.table[form].to_numpy() == pytest.approx(theory, abs=0.04), form
        assert result.table[form].mean() == pytest.approx(theory, abs=0.015), form
    assert (result.table["p_familywise"] == 1 / 20).all()
    assert (result.table["partners"] == 5).all()


def test_every_value_is_what_scipy_gives():
    runs = {"a": noisy_runs(40, 3, 1, seed=1)["seed 0"], "b": noisy_runs(40, 5, 1, seed=2)["seed 0"]}
    runs["c"] = noisy_runs(40, 2, 1, seed=3)["seed 0"]
    result = component_reproducibility(runs, **FAST, seed=0)
    pairs = result.pairs.set_index(["run", "component", "other"])
    for a, b in itertools.permutations(runs, 2):
        r = np.array([[pearsonr(runs[a][i], runs[b][j])[0] for j in runs[b]] for i in runs[a]])
        rows, columns = linear_sum_assignment(-r)
        partner = dict(zip(rows, columns, strict=True))
        for i, name in enumerate(runs[a]):
            row = pairs.loc[(a, name, b)]
            assert row["best_match"] == pytest.approx(r[i].max(), abs=1e-6)
            assert row["match"] == runs[b].columns[r[i].argmax()]
            assert row["partner"] == (runs[b].columns[partner[i]] if i in partner else "")
            assert row["one_to_one"] == pytest.approx(
                r[i, partner[i]] if i in partner else np.nan, abs=1e-6, nan_ok=True
            )
    table = result.table.set_index(["run", "component"])
    z = np.arctanh(pairs.loc[("b", "c3"), "best_match"].to_numpy())
    low, high = t.interval(0.95, 1, z.mean(), z.std(ddof=1) / np.sqrt(2))
    row = table.loc[("b", "c3")]
    assert row[["best_match", "best_match_low", "best_match_high"]].tolist() == pytest.approx(
        [np.tanh(z.mean()), np.tanh(low), np.tanh(high)]
    )
    # Two of five components of b find no partner among three, three none among two: those count as r = 0.
    assert table.loc["b", "partners"].sum() == 3 + 2
    alone = pairs.loc["b"].query("partner == ''")
    assert len(alone) == 2 + 3 and alone["one_to_one"].isna().all()
    both = np.arctanh(np.nan_to_num(pairs.loc[("b", "c3"), "one_to_one"].to_numpy(float)))
    assert row["one_to_one"] == pytest.approx(np.tanh(both.mean()))
    assert table.loc["b", "rank"].tolist() == (-runs["b"].sum()).rank().astype(int).tolist()


def test_split_half_is_what_a_plain_loop_gives():
    runs = noisy_runs(31, 3, 2, noise=1.5, seed=4)
    found = component_reproducibility(runs, n_null=1, n_halves=3, seed=9).pairs.set_index(["run", "component"])
    rng = np.random.default_rng(np.random.SeedSequence(9).spawn(2)[1])
    one, other = (frame.to_numpy() for frame in runs.values())
    z = np.zeros((3, 6))
    for k in range(3):
        order = rng.permutation(31)
        halves = order[:15], order[15:]
        for side, (here, there) in enumerate((halves, halves[::-1])):
            for i in range(3):
                j = np.argmax([pearsonr(one[here, i], other[here, m])[0] for m in range(3)])
                z[i, 2 * k + side] = np.arctanh(pearsonr(one[there, i], other[there, j])[0])
    assert found.loc["seed 0", "split_half"].to_numpy() == pytest.approx(np.tanh(z.mean(axis=1)), abs=1e-6)


def test_unrelated_runs_are_called_reproduced_as_often_as_the_level_says():
    p, smallest, halves = [], [], []
    for seed in range(120):
        table = component_reproducibility(unrelated_runs(seed), n_null=99, n_halves=4, seed=seed).table
        p.append(table["p"].to_numpy())
        smallest.append(table.groupby("run")["p_familywise"].min().to_numpy())
        halves.append(table["split_half"].mean())
        assert table["best_match"].mean() > 0.05  # selected, and so above 0 without any relation
    p, smallest = np.concatenate(p), np.concatenate(smallest)
    # 1,800 components that share runs, and 360 families: four standard errors of independent ones.
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 1800))
    assert (smallest <= 0.05).mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 360))
    assert np.mean(halves) == pytest.approx(0, abs=4 * np.std(halves) / np.sqrt(120))


def test_the_null_is_the_maximum_over_permuted_components():
    # With one component of a run there is nothing to select from; with fifty the chance line is far above it.
    rng = np.random.default_rng(0)
    one, many = ([pd.DataFrame(rng.standard_normal((400, p)), names(400)) for _ in range(2)] for p in (1, 50))
    line = [component_reproducibility(runs, n_null=999, n_halves=1, seed=0).table["chance_95"] for runs in (one, many)]
    z = np.arctanh(line[0].to_numpy())
    assert z == pytest.approx(1.645 / np.sqrt(399), rel=0.1)  # the upper 5% of one correlation
    maximum = np.quantile(np.random.default_rng(1).standard_normal((20_000, 50)).max(axis=1), 0.95) / np.sqrt(399)
    assert np.arctanh(line[1].to_numpy()) == pytest.approx(maximum, rel=0.15)


def test_intervals_cover_the_mean_over_other_seeds():
    rng = np.random.default_rng(5)
    n, p, noise, hit = 200, 25, 1.0, []
    for rep in range(8):
        truth = rng.standard_normal((n, p))
        fits = [truth + noise * rng.standard_normal((n, p)) for _ in range(305)]
        first = fits[0] - fits[0].mean(axis=0)
        # The mean of z over many other runs, for these very components of the first run.
        z = [
            np.arctanh(((x - x.mean(axis=0)) * first).sum(axis=0) / n / x.std(axis=0) / first.std(axis=0))
            for x in fits[5:]
        ]
        runs = [pd.DataFrame(x, names(n)) for x in fits[:5]]
        table = component_reproducibility(runs, n_null=1, n_halves=1, seed=rep).table.query("run == 'run 1'")
        mean = np.tanh(np.mean(z, axis=0))
        hit.append((table["one_to_one_low"] <= mean) & (mean <= table["one_to_one_high"]))
    assert np.mean(hit) == pytest.approx(0.95, abs=0.05)  # 200 components: 3 standard errors


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_order_of_components_and_stimuli_and_their_scale_change_nothing(seed):
    rng = np.random.default_rng(seed)
    runs = noisy_runs(50, 4, 3, seed=1)
    order = rng.permutation(50)
    moved = {
        name: frame.iloc[:, rng.permutation(4)] * (1 if k == 0 else rng.uniform(0.1, 10))
        for k, (name, frame) in enumerate(runs.items())
    }
    # Halves follow the order of the first run; the others may have theirs.
    moved = {name: frame if name == "seed 0" else frame.iloc[order] for name, frame in moved.items()}
    one, two = (
        component_reproducibility(r, n_null=5, n_halves=3, seed=0).table.sort_values(["run", "component"])
        for r in (runs, moved)
    )
    columns = ["best_match", "best_match_low", "split_half", "split_half_high", "one_to_one", "partners", "rank"]
    assert one[columns].to_numpy() == pytest.approx(two[columns].to_numpy(), abs=1e-5)


def test_identical_runs_are_named_and_give_finite_numbers():
    run = noisy_runs(30, 3, 1)["seed 0"]
    result = component_reproducibility([run, run, run], n_null=99, n_halves=4, seed=0)
    assert result.identical == (("run 1", "run 2"), ("run 1", "run 3"), ("run 2", "run 3"))
    assert result.n_clipped == 9
    for form in FORMS:
        assert result.table[form].to_numpy() == pytest.approx(0.9999)
        assert result.table[f"{form}_low"].to_numpy() == pytest.approx(0.9999)
    assert (result.table["p"] == 0.01).all()


def test_a_component_without_spread_matches_nothing_and_is_told():
    runs = noisy_runs(40, 3, 3)
    runs["seed 1"] = runs["seed 1"].assign(c1=np.float32(0.1))
    result = component_reproducibility(runs, **FAST, seed=0)
    flat = result.table[result.table["constant"]]
    assert flat[["run", "component"]].to_numpy().tolist() == [["seed 1", "c1"]]
    assert flat[["best_match", "split_half", "one_to_one", "p", "p_familywise"]].to_numpy().tolist() == [
        [0, 0, 0, 1, 1]
    ]
    numbers = result.table.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy()).all()


def test_two_runs_have_values_but_no_interval():
    table = component_reproducibility(noisy_runs(100, 3, 2), **FAST, seed=0).table
    assert table[FORMS].notna().all(axis=None)
    assert table[[f"{form}_{end}" for form in FORMS for end in ("low", "high")]].isna().all(axis=None)


def test_the_summary_counts_the_table():
    runs = {**noisy_runs(60, 3, 3, noise=0.9), "noise": unrelated_runs(0, 60, (4,))[0]}
    result = component_reproducibility(runs, n_null=99, n_halves=4, seed=0, reference="seed 2")
    assert result.reference == "seed 2" and result.runs == ("seed 0", "seed 1", "seed 2", "noise")
    for run in (*runs, "all"):
        own = result.table if run == "all" else result.table[result.table["run"] == run]
        rows = result.summary[result.summary["run"] == run].set_index("form")
        assert rows["n_components"].tolist() == [len(own)] * 3
        assert rows["median"].to_dict() == pytest.approx(own[FORMS].median().to_dict())
        assert rows["share_above_half"].to_dict() == pytest.approx((own[FORMS] > 0.5).mean().to_dict())
        assert rows.loc["best_match", "share_significant"] == (own["p_familywise"] <= 0.05).mean()
    with pytest.raises(FrozenInstanceError):
        result.level = 0.9


def test_the_same_seed_gives_the_same_numbers_and_progress_is_told():
    told = []
    runs = noisy_runs(40, 3, 3)
    one = component_reproducibility(runs, n_null=120, n_halves=3, seed=4, progress=lambda *a, detail: told.append(a))
    two = component_reproducibility(runs, n_null=120, n_halves=3, seed=4)
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    assert told == [(50, 120), (100, 120), (120, 120)]
    other = component_reproducibility(runs, n_null=120, n_halves=3, seed=5).table
    assert not other["chance_95"].equals(one.table["chance_95"])


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        (lambda r: {}, {}, "no run was given; compare at least two runs"),
        (lambda r: {"a": r["seed 0"]}, {}, "one run was given; compare at least two runs"),
        (lambda r: {**r, "x": r["seed 0"].iloc[1:]}, {}, "x: 1 stimuli of 'seed 0' are missing (v0000)"),
        (lambda r: {**r, "x": pd.concat([r["seed 0"], r["seed 0"].rename(str.upper)])}, {},
         "seed 0: 20 stimuli of 'x' are missing (V0000, V0001, V0002, V0003, V0004 and 15 more)"),
        (lambda r: {**r, "x": r["seed 0"].iloc[:, :0]}, {}, "x: has no components"),
        (lambda r: {**r, "x": r["seed 0"].replace(r["seed 0"].iloc[2, 1], np.nan)}, {},
         "x, row 3 (id v0002): the value in column 'c1' is missing"),
        (lambda r: {**r, "x": pd.concat([r["seed 0"]] * 2)}, {}, "the id 'v0000' was already used"),
        (lambda r: {**r, "x": r["seed 0"].rename(columns={"c1": "c0"})}, {}, "the component 'c0' appears more than"),
        (lambda r: {**r, "x": r["seed 0"].to_numpy()}, {}, "x: is a ndarray, not a table"),
        (lambda r: {k: f.iloc[:7] for k, f in r.items()}, {}, "7 stimuli are too few to be split in halves"),
        (lambda r: r, {"reference": "seed 9"}, "there is no run 'seed 9'; name one of seed 0, seed 1"),
        (lambda r: r, {"reference": 2}, "there is no run 2"),
        (lambda r: r, {"level": 1.0}, "level=1.0 are not accepted"),
        (lambda r: r, {"n_null": 0}, "n_null=0"),
        (lambda r: r, {"n_halves": 0}, "n_halves=0"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(change, options, expected):
    with pytest.raises(InputError) as caught:
        component_reproducibility(change(noisy_runs(20, 3, 2)), **{**FAST, "seed": 0, **options})
    assert expected in str(caught.value)


def test_seeds_are_fitted_as_on_their_own_whatever_the_number_of_jobs(trials):
    model, told, kept = SPoSE(4, l1=0.01, random_state=99), [], []
    for jobs in (1, 2):
        fits = fit_seeds(
            model,
            trials,
            [7, 3, 5],
            n_jobs=jobs,
            finished=lambda seed, fit: kept.append((seed, fit.n_components_)),
            progress=lambda *a, detail="": told.append(a),
        )
        assert list(fits) == [7, 3, 5]
        for seed, fit in fits.items():
            alone = SPoSE(4, l1=0.01, random_state=seed).fit(trials)
            assert np.array_equal(fit.embedding_, alone.embedding_)
            assert fit.get_params() == alone.get_params()
    assert told == [(k, 3) for k in range(4)] * 2
    assert sorted(kept) == sorted([(seed, fit.n_components_) for seed, fit in fits.items()] * 2)
    assert model.random_state == 99 and not hasattr(model, "embedding_")


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_fit_warns_of_is_said_with_its_seed(trials, jobs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_seeds(SPoSE(3, l1=1e6), trials, [4, 8], n_jobs=jobs)
    told = sorted(str(w.message) for w in caught if w.category is ConvergenceWarning)
    assert [text.split(":")[0] for text in told] == ["Seed 4", "Seed 8"]
    assert all("Every component vanished" in text for text in told)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_caller_that_cannot_keep_a_fit_stops_the_others(trials, jobs):
    kept = []

    def keep(seed, fit):
        kept.append(seed)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fit_seeds(SPoSE(3), trials, range(30), n_jobs=jobs, finished=keep)
    assert len(kept) == 1
    assert list(fit_seeds(SPoSE(3), trials, [1, 2], n_jobs=jobs)) == [1, 2]  # and the next call works


@pytest.mark.parametrize(
    ("seeds", "jobs", "expected"),
    [
        ([], 1, "no seed is given"),
        ([1, 2, 1], 1, "the seed 1 is given twice"),
        ([-1], 1, "the seeds -1 are not all accepted"),
        ([1], 0, "n_jobs=0 is no number of cores"),
    ],
)
def test_bad_seeds_get_a_sentence(trials, seeds, jobs, expected):
    with pytest.raises(InputError, match=expected):
        fit_seeds(SPoSE(3), trials, seeds, n_jobs=jobs)
