"""The page as text: complete, escaped, self-contained."""

import base64
import html
import itertools
import json
import re
from urllib.parse import unquote

import pytest

from affectome.errors import InputError
from affectome.report import write_report


@pytest.fixture(scope="module")
def page(hostile_study, parsed):
    return parsed((hostile_study / "report.html").read_text(encoding="utf-8"))


def test_user_text_is_text_and_never_markup(page, hostile_study):
    assert not {"script", "em", "b", "i"} & set(page.tags)
    assert not [attribute for attribute in page.attributes if attribute[1].startswith("on")]
    text = "".join(page.text)
    assert "<script>document.title='broken'" in text
    assert "A <b>bold</b> & hostile study" in text
    assert "{{ 7 * 7 }} {% raw %}" in text
    assert "x" * 10_000 in text
    assert "<em>clip01</em>&\u202e" in text


def test_the_page_loads_nothing_from_outside(page, hostile_study):
    loaded = [value for tag, name, value in page.attributes if name == "src" or (tag == "link" and name == "href")]
    assert loaded
    assert all(value.startswith("data:") for value in loaded)
    linked = [value for value in page.of("a", "href") if not value.startswith(("data:", "#"))]
    papers = [value for value in linked if value.startswith("https:")]
    assert all(value.startswith(("https://doi.org/", "https://arxiv.org/abs/")) for value in papers)
    files = set(linked) - set(papers)
    assert files
    assert all((hostile_study / unquote(name)).is_file() for name in files)


def test_every_figure_that_a_stage_wrote_is_shown_once(page, hostile_study):
    written = {path for path in hostile_study.rglob("*.png") if ".affectome" not in path.parts}
    shown = [value for value in page.of("img", "src") if value.startswith("data:image/png")]
    assert len(written) > 20
    assert sorted(base64.b64decode(value.partition(",")[2]) for value in shown) == sorted(
        path.read_bytes() for path in written
    )


def test_every_picture_has_an_alternative_text_and_a_size(page):
    images = page.tags.count("img")
    for name in ("alt", "width", "height"):
        values = page.of("img", name)
        assert len(values) == images
        assert all(values)
    assert any(text.startswith("First </h2>") and "Heat map" in text for text in page.of("img", "alt"))


def test_every_table_can_be_kept_whole(page, hostile_study):
    kept = dict(zip(page.of("a", "download"), [v for v in page.of("a", "href") if v.startswith("data:")], strict=True))
    address = kept["behavior_agreement.csv"]
    assert address.startswith("data:text/csv;base64,")
    assert base64.b64decode(address.partition(",")[2]) == (hostile_study / "behavior/agreement.csv").read_bytes()
    assert set(page.of("th", "scope")) == {"col"}
    assert len(page.of("th", "scope")) == page.tags.count("th")


def test_headings_go_down_one_level_at_a_time(page):
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_summary_comes_first_and_holds_the_numbers(page, hostile_study):
    summary = json.loads((hostile_study / "summary.json").read_text())
    text = " ".join("".join(page.text).split())
    told = text[text.index("Which space predicts behaviour?") : text.index("Methods, as they ran")]
    for system in summary["systems"].values():
        score = system["held_out_accuracy"]
        numbers = [f"{100 * score[key]:.1f}%" for key in ("value", "ci_low", "ci_high")]
        assert f"{numbers[0]} of held-out choices [{numbers[1]}, {numbers[2]}]" in told
    pair = summary["agreement"]["pairs"][0]
    assert f"{100 * pair['value']:.1f}%" in told
    headings = re.findall("<h2>(.*?)</h2>", (hostile_study / "report.html").read_text(encoding="utf-8"))
    assert headings == [
        "Summary",
        "Left out and warnings",
        "Methods, as they ran",
        "Behaviour",
        "What the spaces mean",
        "Record",
    ]


def test_circular_results_are_called_circular(page):
    text = " ".join("".join(page.text).split())
    assert text.count("so this is circular") == 1
    assert text.count("that they are found again checks the method and is no finding") == 2


def test_methods_name_versions_seed_and_settings(page, hostile_study):
    provenance = json.loads((hostile_study / "provenance.json").read_text())
    text = "".join(page.text)
    assert f"numpy {provenance['software']['numpy']}" in text
    assert "Study seed 1" in text
    assert '"bootstrap": 1000' in html.unescape(text)


def test_the_page_is_small_and_the_same_when_written_again(hostile_study):
    before = (hostile_study / "report.html").read_bytes()
    assert len(before) < 15_000_000
    assert write_report(hostile_study).read_bytes() == before


def test_light_dark_print_and_phone_are_styled(hostile_study):
    text = (hostile_study / "report.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert re.search(r'name="viewport" content="width=device-width', text)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished study"):
        write_report(tmp_path)


@pytest.mark.parametrize("absent", ["left_out", "warnings"])
def test_a_folder_of_an_earlier_release_says_what_to_do(hostile_study, tmp_path, absent):
    summary = json.loads((hostile_study / "summary.json").read_text())
    del summary[absent]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "provenance.json").write_bytes((hostile_study / "provenance.json").read_bytes())
    with pytest.raises(InputError, match=f"earlier release of affectome, which did not write '{absent}'.*study run"):
        write_report(tmp_path)


def test_what_was_left_out_and_what_was_warned_of_is_told(hostile_study, tmp_path, parsed):
    summary = json.loads((hostile_study / "summary.json").read_text())
    summary["left_out"] = {"accuracy/first": "its <b>answers</b> are gone"}
    summary["warnings"] = {name: [f"{name}: too few & too <i>far</i>"] for name in ("types/first", "types/second")}
    del summary["systems"]["first"]["held_out_accuracy"]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "provenance.json").write_bytes((hostile_study / "provenance.json").read_bytes())
    text = " ".join("".join(parsed(write_report(tmp_path).read_text(encoding="utf-8")).text).split())
    assert "accuracy/first: its <b>answers</b> are gone" in text
    assert text.count("too few & too <i>far</i> (types/first, types/second)") == 1
    assert "There was no room for this figure" in text  # its files are not here


def test_claims_of_the_gap_stand_in_a_table_before_its_figures(hostile_study, tmp_path, parsed):
    summary, provenance = (
        json.loads((hostile_study / f"{name}.json").read_text()) for name in ("summary", "provenance")
    )
    row = {"first": "first", "second": "second", "measure": "encoding", "where": "all", "matched": False,
           "difference": 0.2, "ci_low": 0.1, "ci_high": 0.3, "n_subjects": 4, "n_above": 3, "n_below": 0, "q": 0.01,
           "verdict": "first above second"}  # fmt: skip
    told = {"headline": "all", "rule": "A rule <i>.", "correction": "A correction.", "claims": [row]}
    summary["gap"] = {"claims": told}
    stage = {**provenance["stages"][0], "name": "gap_scores/choices", "outputs": {"gap/figures/a.png": ""}}
    provenance["stages"].append(stage)
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    text = " ".join("".join(parsed(write_report(tmp_path).read_text(encoding="utf-8")).text).split())
    section = text[text.index("What may be claimed") :]
    assert "A rule <i>. A correction." in section and "0.200 [0.100, 0.300]" in section and "3 / 0 of 4" in section
    assert section.index("0.200") < section.index("Choices that every space implies")
