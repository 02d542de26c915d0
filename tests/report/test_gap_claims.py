"""The claims of a gap as rows of a table, and what the page calls the stages behind them."""

from affectome.report._gap_findings import gap_claims
from affectome.report._words import figure_words, stage_title


def test_claims_are_rows_of_a_table_with_those_that_stay_open():
    row = {"first": "mllm", "second": "llm", "measure": "rsa_beyond_controls", "where": "all", "matched": True,
           "difference": -0.02, "ci_low": -0.03, "ci_high": -0.01, "n_subjects": 5, "n_above": 0, "n_below": 4,
           "q": 0.002, "verdict": "llm above mllm"}  # fmt: skip
    choices = {**row, "measure": "choices", "where": "people", "matched": False, "n_subjects": None, "q": None,
               "ci_low": None, "verdict": "undecided"}  # fmt: skip
    claims = [choices, row, {**row, "where": "TPJ"}]
    summary = {"systems": {"mllm": {"label": "MLLM"}, "llm": {"label": "LLM"}}, "people": {"label": "Raters"},
               "gap": {"claims": {"headline": "all", "claims": claims}}}  # fmt: skip
    first, second = gap_claims(summary)
    assert second == {"spaces": "MLLM − LLM", "verdict": "LLM above", "measure": "geometry beyond the controls in all "
                      "voxels", "size": "matched", "difference": "−0.020 [−0.030, −0.010]", "people": "0 / 4 of 5",
                      "q": "0.002"}  # fmt: skip
    assert (first["measure"], first["people"], first["verdict"]) == ("choices of Raters", "–", "undecided")
    assert (first["difference"], first["size"], first["q"]) == ("−0.020", "full", "undefined")
    del summary["gap"]
    assert gap_claims(summary) == []


def test_stages_of_gap_and_reliability_have_words_of_their_own():
    people = ("sub-01",)
    assert stage_title("gap_scores/sub-01", {}, people) == "How well every space predicts this brain"
    assert stage_title("gap_scores/choices", {}, people) == "Choices that every space implies"
    assert stage_title("reliability/halves/sub-01", {}, people) == "Halves of the runs"
    alt, caption = figure_words("reliability/halves/sub-01", "halves", {})
    assert alt.startswith("sub-01. Map of how well the geometry") and "not corrected" in caption
    _, caption = figure_words("gap/table", "gap_mllm", {"mllm": "MLLM"})
    assert caption.startswith("MLLM: Accuracy in predicting these choices")
