"""The page as text: complete, escaped, self-contained."""

import html
import json
import re

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


def test_the_page_loads_nothing_from_outside(page):
    addresses = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith(("data:", "#")) for value in addresses)


def test_every_picture_has_an_alternative_text_and_a_size(page):
    images = page.tags.count("img")
    # accuracy, agreement, categories, sizes; and a heat map and a map for each of two systems
    assert images == 8
    for name in ("alt", "width", "height"):
        values = [value for tag, key, value in page.attributes if tag == "img" and key == name]
        assert len(values) == images
        assert all(values)


def test_the_summary_comes_first_and_holds_the_numbers(page, hostile_study):
    summary = json.loads((hostile_study / "summary.json").read_text())
    text = " ".join("".join(page.text).split())
    for system in summary["systems"].values():
        assert f"{100 * system['held_out_accuracy']['value']:.1f}%" in text
    assert text.index("Summary") < text.index("Comparisons") < text.index("Methods, as they ran")
    pair = summary["agreement"]["pairs"][0]
    assert f"{100 * pair['value']:.1f}%" in text


def test_circular_results_are_called_circular(page):
    text = " ".join("".join(page.text).split())
    assert text.count("so this is circular") == 1
    assert "the match checks the method and is no finding" in text


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
