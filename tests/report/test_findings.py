"""The summary: what is planted is named with its test, what is null is not."""

import pytest

from affectome.report._findings import findings

LEVEL = {"level": 0.95}


def system(label, **found):
    return {
        "label": label,
        "n_components": 8,
        "held_out_accuracy": {"value": 0.771, "ci_low": 0.762, "ci_high": 0.779, **LEVEL},
        "interpretation": {},
        **found,
    }


def region(name, space, mean, q):
    return {"region": name, "space": space, "mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n_subjects": 5,
            "n_significant": 5 if q < 0.05 else 1, "prevalence_bound": 0.59, "q_nobody": q}  # fmt: skip


def pair(name, difference, q_above=None, q_below=None):
    return {"region": name, "reference": "mllm", "space": "llm", "difference": difference, "n_tested": 5,
            "n_above": 4, "n_below": 3, "q_above": q_above, "q_below": q_below}  # fmt: skip


@pytest.fixture
def summary():
    group = {
        "correction": "Benjamini-Hochberg over 4 regions × 1 spaces.",
        "regions": [
            region("MST", "mllm", 0.31, 0.001), region("MST", "llm", 0.12, 0.3), region("TPJ", "mllm", 0.09, 0.01),
            region("TPJ", "llm", 0.14, 0.02), region("V1", "mllm", 0.01, 0.4), region("V1", "llm", -0.11, 0.9),
            region("OFC", "mllm", 0.05, 0.2), region("OFC", "llm", 0.02, 0.6),
        ],
        "comparisons": [
            pair("MST", 0.19, q_above=0.004), pair("TPJ", -0.05, q_above=1.0, q_below=0.03),
            pair("V1", 0.12, q_above=0.01), pair("OFC", 0.03, q_above=0.2),
        ],
    }  # fmt: skip
    return {
        "systems": {"mllm": system("MLLM"), "llm": system("LLM")},
        "brain": {"settings": {}, "encode": {}, "group": group, "consistency": {}, "comparison": {}, "rsa": {}},
    }


def told(summary, question):
    return next((one.sentences for one in findings(summary) if one.question == question), ())


def test_regions_are_named_where_people_show_it_and_only_there(summary):
    sentences = told(summary, "Which space predicts the brain?")
    assert sentences == (
        "MLLM predicts better than LLM in MST.",
        "LLM predicts better than MLLM in TPJ.",
        "MST is predicted by MLLM (mean held-out r 0.310 [0.300, 0.320], in 5 of 5 people, at least 59.0% of people, "
        "q = 0.001); MLLM better than LLM in 4 of 5 (difference 0.190, q = 0.004).",
        "TPJ is predicted by LLM (mean held-out r 0.140 [0.130, 0.150], in 5 of 5 people, at least 59.0% of people, "
        "q = 0.020) and by MLLM (mean held-out r 0.090 [0.080, 0.100], in 5 of 5 people, at least 59.0% of people, "
        "q = 0.010); LLM better than MLLM in 3 of 5 (difference 0.050, q = 0.030).",
        "In 2 of 4 regions nothing is found.",
    )  # V1, where the LLM is only worse than nothing, is not named although the two differ


def test_nothing_predicted_is_said(summary):
    for row in summary["brain"]["group"]["regions"]:
        row["q_nobody"] = 0.2
    assert told(summary, "Which space predicts the brain?") == (
        "None of 4 regions is predicted by any space in more people than chance would give.",
    )


def test_one_person_is_told_by_corrected_regions_alone(summary):
    summary["brain"]["group"] = {}
    regions = [{"region": name, "r": r, "low": r - 0.1, "high": r + 0.1, "q": q}
               for name, r, q in (("MST", 0.3, 0.01), ("V1", 0.1, 0.06))]  # fmt: skip
    facts = {"n_significant": 0, "n_family": 0, "n_voxels": 90, "best_regions": regions}
    summary["brain"]["encode"] = {"sub-01/mllm": facts}
    assert told(summary, "Which space predicts the brain?") == (
        "sub-01: MLLM predicts MST (r = 0.300 [0.200, 0.400], q = 0.010).",
    )


def test_beyond_controls_counts_people_after_bonferroni(summary):
    for k, p in enumerate((0.001, 0.012, 0.4)):
        summary["brain"]["comparison"][f"beyond_controls/sub-0{k}/mllm"] = {
            "controls": ["vision"], "unique": 0.01 * k, "p": p}  # fmt: skip
    [sentence] = [one for one in told(summary, "Which space predicts the brain?") if "beyond" in one]
    assert sentence.startswith("MLLM explains variance beyond vision in 2 of 3 people, over all voxels (mean R2 0.0100")


def test_choices_are_told_best_first_with_interval_and_ceiling(summary):
    summary["systems"]["llm"]["held_out_accuracy"] = {"value": 0.9, "ci_low": 0.89, "ci_high": 0.91, **LEVEL}
    summary["systems"]["llm"]["ceiling"] = {"lower": {"value": 0.7}, "upper": {"value": 0.95}}
    assert told(summary, "Which space predicts behaviour?") == (
        "LLM: 8 components predict 90.0% of held-out choices [89.0%, 91.0%] under a ceiling of 70.0% to 95.0%.",
        "MLLM: 8 components predict 77.1% of held-out choices [76.2%, 77.9%].",
    )


def test_systems_differ_in_agreement_with_people_where_the_interval_leaves_zero(summary):
    rows = [{"name": name, "kind": "model", "agreement": value, "ci_low": value - 0.02, "ci_high": value + 0.02}
            for name, value in (("mllm", 0.6), ("llm", 0.7))]  # fmt: skip
    difference = {"first": "mllm", "second": "llm", "value": -0.1, "ci_low": -0.14, "ci_high": -0.06}
    summary["people"] = {"label": "Raters", "table": rows, "differences": [difference]}
    sentences = told(summary, "Which space predicts behaviour?")
    assert sentences[-1].startswith("LLM chooses as Raters do more often than MLLM, by 10.0% of triplets [6.0%, 14.0%]")
    difference["ci_high"] = 0.01
    assert not any("more often" in one for one in told(summary, "Which space predicts behaviour?"))


def test_claims_of_the_gap_are_told_with_their_verdicts(summary):
    row = {"first": "mllm", "second": "llm", "measure": "encoding", "where": "all", "matched": True, "level": 0.95,
           "difference": -0.02, "ci_low": -0.03, "ci_high": -0.01, "n_subjects": 5, "n_above": 0, "n_below": 4,
           "prevalence_low": 0.4, "p": 0.001, "q": 0.002, "verdict": "llm above mllm"}  # fmt: skip
    claims = [row, {**row, "verdict": "undecided", "matched": False}, {**row, "where": "TPJ"}]
    summary["gap"] = {"claims": {"headline": "all", "rule": "A rule.", "correction": "BH over 3.", "claims": claims}}
    assert told(summary, "Is there a gap between behaviour and brain?") == (
        "LLM above MLLM (encoding in all voxels, matched: difference 0.020 [0.010, 0.030], in 4 of 5 people, "
        "q = 0.002).",
        "1 of 2 claims stays open: undecided, or too few people.",
        "1 claim about other places: see the table of claims.",
    )
    row["ci_high"] = 0.004  # an interval of a higher level than that of the test
    assert "[−0.004, 0.030]" in told(summary, "Is there a gap between behaviour and brain?")[0]


def test_sentences_name_the_level_that_their_counts_were_made_at(summary):
    tops = {"one": [{"rating": "Joy", "r": 0.3, "q": 0.08}], "two": [{"rating": "Fear", "r": 0.2, "q": 0.2}]}
    summary["systems"]["mllm"]["interpretation"] = {
        "correlations": {"n_components": 2, "alpha": 0.1, "circular": [], "diagonal": {}, "top_ratings": tops},
        "prediction": {"n_predicted": 7, "n_ratings": 34, "alpha": 0.1},
    }
    form = {"run": "seed 1", "form": "best_match", "n_components": 4, "share_significant": 0.5}
    summary["systems"]["mllm"]["reproducibility"] = {
        "reference": "seed 1", "runs": ["seed 1", "seed 2"], "level": 0.99,
        "summary": [form, {**form, "form": "split_half", "share_above_half": 0.75, "median": 0.7}],
    }  # fmt: skip
    [meaning] = told(summary, "What do the spaces mean?")
    assert meaning == (
        "MLLM: 1 of 2 components follow a rating (q < .1). 7 of 34 ratings are predicted from it (q < .1)."
    )
    [sure] = told(summary, "How sure are the spaces?")
    assert "2 of 4 more surely than the best of unrelated ones (p < .01)" in sure
