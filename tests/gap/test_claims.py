"""From people to claims: numbers by hand, the rule of the verdict, and how often equal spaces are told apart."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome import InputError, Recording
from affectome.gap import compare_geometries, only_predicted, pool_people, specification_curve, state_claims
from affectome.neural import prevalence

BASE = {"first": "a", "second": "b", "measure": "rsa", "where": "TPJ", "matched": False}
ONE = {"metric": ["correlation"], "statistic": ["pearson"], "within_run": ["exclude"],
       "brain_metric": ["correlation"], "size": ["full"]}  # fmt: skip


def people(differences, se=0.02, p=0.001, df=40, **more):
    rows = [{**BASE, "subject": f"sub-{k}", "difference": d, "se": se, "p": p, "df": df, **more}
            for k, d in enumerate(differences)]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_mean_has_the_standard_error_of_people_who_err_together():
    table = people([0.1, 0.2, -0.03]).assign(se=[0.02, 0.04, 0.06], p=[0.001, 0.04, 0.4], df=[40, 30, 50])
    found = pool_people(table, list(BASE)).iloc[0]
    assert found["difference"] == pytest.approx(0.09) and found["se"] == pytest.approx(0.04)
    assert found["p"] == pytest.approx(2 * stats.t.sf(0.09 / 0.04, 30))
    assert found["ci_low"] == pytest.approx(0.09 - stats.t.ppf(0.975, 30) * 0.04)
    assert found[["n_subjects", "n_above", "n_below"]].tolist() == [3, 2, 0]
    assert found["prevalence_low"] == pytest.approx(float(prevalence(2, 3, alpha=0.025).bound))


def test_a_person_without_a_difference_does_not_count():
    found = pool_people(people([0.1, np.nan, 0.2]).assign(se=[0.02, 0.9, 0.02]), list(BASE)).iloc[0]
    assert found["n_subjects"] == 2 and found["se"] == pytest.approx(0.02)
    nobody = pool_people(people([np.nan, np.nan]), list(BASE)).iloc[0]
    assert nobody["n_subjects"] == 0 and np.isnan(nobody[["difference", "p", "prevalence_low"]].to_numpy(float)).all()


def test_faults_of_the_table_are_told():
    with pytest.raises(InputError, match="no column 'se'"):
        pool_people(people([0.1]).drop(columns="se"), list(BASE))
    with pytest.raises(InputError, match="sub-0 has two differences"):
        pool_people(pd.concat([people([0.1]), people([0.2])]), list(BASE))


def claim(**change):
    row = {**BASE, "difference": 0.1, "ci_low": 0.05, "ci_high": 0.15, "n_subjects": 5, "n_above": 5, "n_below": 0,
           "prevalence_low": 0.6, "p": 0.001}  # fmt: skip
    return {**row, **change}


VERDICTS = {
    "a above b": {},
    "b above a": {"difference": -0.1, "n_above": 0, "n_below": 4},
    "too few people": {"n_subjects": 2, "n_above": 2},
    "undecided: not significant": {"p": 0.2},
    "undecided: in half of the people": {"n_subjects": 4, "n_above": 2},
    "undecided: one shows the reverse": {"n_above": 4, "n_below": 1},
    "undecided: nothing to test": {"p": np.nan},
    "a above b: choices have no people": {"n_subjects": np.nan, "n_above": np.nan, "n_below": np.nan},
}


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_follows_the_rule(case):
    found = state_claims(pd.DataFrame([claim(**VERDICTS[case])]))
    assert found["verdict"].tolist() == [case.split(":")[0]]


def test_p_are_corrected_over_all_claims_that_have_one():
    p = [0.001, 0.02, 0.04, np.nan, 0.9]
    found = state_claims(pd.DataFrame([claim(p=value, where=str(k)) for k, value in enumerate(p)]))
    known = stats.false_discovery_control([0.001, 0.02, 0.04, 0.9])
    np.testing.assert_allclose(found["q"].dropna(), known)
    assert np.isnan(found["q"].iloc[3])


def test_encodings_are_compared_only_where_a_space_predicts_somebody():
    place = {"where": "V1", "size": "full", "first": "a", "second": "b", "p": 0.01}
    pooled = pd.DataFrame([{**place, "measure": kind} for kind in ("encoding", "rsa")])
    scores = pd.DataFrame([{"measure": "encoding", "where": "V1", "size": "full", "space": name, "low": low}
                           for name, low in (("a", -0.1), ("b", -0.2), ("b", -0.3))])  # fmt: skip
    assert only_predicted(pooled, scores)["p"].isna().tolist() == [True, False]
    scores.loc[2, "low"] = 0.01  # one person
    assert only_predicted(pooled, scores)["p"].isna().tolist() == [False, False]
    scores["size"] = "matched"
    assert only_predicted(pooled, scores)["p"].isna().tolist() == [True, False]


def study_of(seed, noise, n_people=3, n=60):
    """People whose one region has the geometry of a truth that two spaces see with some noise."""
    rng = np.random.default_rng(seed)
    ids = [f"s{k:02d}" for k in range(n)]
    truth = rng.normal(size=(n, 4))
    spaces = {name: pd.DataFrame(truth + size * rng.normal(size=(n, 4)), ids)
              for name, size in zip("ab", noise, strict=True)}  # fmt: skip
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(n) // 10, "session": 1})
    parts = []
    for who in range(n_people):
        responses = truth @ rng.normal(size=(4, 20)) + 2 * rng.normal(size=(n, 20))
        recording = Recording(f"sub-{who}", responses.astype(np.float32), trials)
        parts.append(compare_geometries(recording, spaces, pairs=[("a", "b")], n_components=2, specifications=ONE)
                     .assign(subject=f"sub-{who}"))  # fmt: skip
    return pd.concat(parts).assign(measure="rsa", matched=False)


def verdict_of(seed, noise):
    return state_claims(pool_people(study_of(seed, noise), list(BASE)))["verdict"].iloc[0]


def test_a_planted_difference_is_claimed():
    assert [verdict_of(seed, (0.2, 2.0)) for seed in range(5)] == ["a above b"] * 5


def test_equally_related_spaces_stay_undecided():
    found = [verdict_of(seed, (0.7, 0.7)) for seed in range(40)]
    assert found.count("undecided") >= 36


@pytest.mark.slow
def test_equally_related_spaces_stay_undecided_in_95_of_100_small_studies():
    found = [verdict_of(seed, (0.7, 0.7)) for seed in range(400)]
    assert found.count("undecided") / 400 >= 0.95  # s.e. .011


def test_a_specification_curve_counts_signs_and_significance():
    parts = [people([value] * 3, p=p, metric=metric, statistic=statistic, within_run="exclude",
                    brain_metric="correlation", size="full", se=se)
             for metric, statistic, value, se, p in (
                 ("correlation", "pearson", 0.1, 0.01, 0.001), ("correlation", "spearman", 0.06, 0.2, 0.7),
                 ("cosine", "pearson", 0.08, 0.01, 0.001), ("cosine", "spearman", -0.05, 0.001, 0.001),
                 ("euclidean", "pearson", 0.07, 0.01, 0.02))]  # fmt: skip
    found = specification_curve(pd.concat(parts)).summary.iloc[0]
    told = found[["n_specifications", "median_difference", "smallest", "largest"]].tolist()
    assert told == pytest.approx([5, 0.07, -0.05, 0.1])
    shares = found[["same_sign", "same_and_significant", "opposite_and_significant"]].tolist()
    assert shares == pytest.approx([0.8, 0.6, 0.2])
    with pytest.raises(InputError, match="no specification"):
        specification_curve(pd.concat(parts).iloc[:0])


def test_a_mean_over_people_of_whom_one_has_no_error_is_not_tested():
    rows = [(f"sub-{k}", "TPJ", 0.1, se, 0.04, 9) for k, se in enumerate((0.03, 0.03, np.nan))]
    people = pd.DataFrame(rows, columns=["subject", "where", "difference", "se", "p", "df"])
    found = pool_people(people, ["where"]).iloc[0]
    assert found["n_subjects"] == 3 and found["difference"] == pytest.approx(0.1)
    assert np.isnan(found[["se", "ci_low", "ci_high", "p"]].astype(float)).all()
    known = pool_people(people.assign(difference=[0.1, 0.1, np.nan]), ["where"]).iloc[0]  # who has neither is left out
    assert known["n_subjects"] == 2 and known["se"] == pytest.approx(0.03)
