"""The slot bias of systems whose answers came from a file, as a table of the page."""

import json
from html.parser import HTMLParser

import pytest

from affectome.collection import slot_bias_from_counts
from affectome.report._page import Results, render_page

HOSTILE = "</td><script>console.error('ran')</script>"


class Tables(HTMLParser):
    """Rows of cell texts by the label of the region that holds the table."""

    def __init__(self):
        super().__init__()
        self.tables, self.tags, self._rows, self._cell = {}, [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        known = dict(attrs)
        if known.get("role") == "region":
            self._rows = self.tables.setdefault(known["aria-label"], [])
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._cell:
            self._rows[-1][-1] += data


def tables(summary, provenance):
    reader = Tables()
    reader.feed(render_page(Results(summary, provenance)))
    return reader


@pytest.fixture
def provenance(hostile_study):
    return json.loads((hostile_study / "provenance.json").read_text())


@pytest.fixture
def summary(hostile_study):
    return json.loads((hostile_study / "summary.json").read_text())


@pytest.fixture
def answered(summary):
    """The second system brought its answers: 150, 90 and 60 of 300."""
    bias = slot_bias_from_counts([150, 90, 60])
    summary["systems"]["second"] |= {
        "judge": {"kind": "answers", "described": {"model": HOSTILE}, "held_out": 0.1},
        "label": HOSTILE,
        "n_trials": 304,
        "n_answered": 300,
        "n_unanswered": 4,
        "slot_bias": {
            key: value if isinstance(value, (int, float)) else value.tolist() for key, value in vars(bias).items()
        },
        "slot_prior": {
            "prior": [0.6, 0.25, 0.15],
            "ci_low": [0.55, 0.2, 0.1],
            "ci_high": [0.65, 0.3, 0.2],
            "divided_out": False,
        },
    }
    return summary


def test_the_table_holds_rates_test_and_prior(answered, provenance):
    head, row, prior = tables(answered, provenance).tables["Slot bias"]
    assert len(head) == len(row) == 8
    # Wilson intervals of 150, 90 and 60 of 300; chi-square (50^2 + 10^2 + 40^2) / 100; p = exp(-21); w = sqrt(42 / 300)
    assert row == [
        HOSTILE,
        "300",
        "50.0%(44.4% – 55.6%)",
        "30.0%(25.1% – 35.4%)",
        "20.0%(15.9% – 24.9%)",
        "42.0",
        "8e-10",
        "0.374",
    ]
    assert prior[2:] == [
        "0.600(0.550 – 0.650)",
        "0.250(0.200 – 0.300)",
        "0.150(0.100 – 0.200)",
        "in the likelihood of the embedding",
    ]


def test_what_a_file_says_of_its_judge_is_text(answered, provenance):
    page = tables(answered, provenance)
    assert "script" not in page.tags
    for odd in ("a name", ["model"], {"model": None}, None):
        answered["systems"]["second"]["judge"]["described"] = odd
        assert tables(answered, provenance).tables["Slot bias"] == page.tables["Slot bias"]


def test_no_prior_and_one_divided_out_are_told_apart(answered, provenance):
    answered["systems"]["second"]["slot_prior"] = None
    assert tables(answered, provenance).tables["Slot bias"][2] == ["its slot prior", "", "not estimated"]
    known = {"prior": [0.5, 0.3, 0.2], "ci_low": None, "ci_high": None, "divided_out": True}  # given by hand
    answered["systems"]["second"]["slot_prior"] = known
    told = tables(answered, provenance).tables["Slot bias"][2][2:]
    assert told == ["0.500", "0.300", "0.200", "divided out of the probabilities: the rates are those after it"]


def test_there_is_no_table_without_answer_files(summary, provenance):
    assert "Slot bias" not in tables(summary, provenance).tables
