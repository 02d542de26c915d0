"""The report of the demo: every planted finding is in its summary, no planted null is."""

import re

import pytest

from affectome.cli import main

pytestmark = pytest.mark.slow  # the whole demo


@pytest.fixture(scope="module")
def told(tmp_path_factory, parsed):
    """The summary of the page as text."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    assert main(["demo", "--out", str(out), "--quiet"]) == 0
    text = " ".join("".join(parsed((out / "results/report.html").read_text(encoding="utf-8")).text).split())
    return text[text.index("Which space predicts behaviour?") : text.index("Methods, as they ran", 500)]


def test_the_observers_components_are_found_again_and_predict_its_choices(told):
    share = re.search(r"Noisy observer: 8 components predict ([\d.]+)% of held-out choices \[", told)
    assert share and float(share[1]) > 68
    assert re.search(r"Noisy observer: [^:]*Components found again from 2 other seeds: 8 of 8 more surely", told)
    matched = re.search(
        r"Noisy observer: 8 of 8 components follow a rating .*? on other stimuli: category ([\d.]+)", told
    )
    assert matched and float(matched[1]) > 0.9  # categories are noisy views of what was planted


@pytest.mark.parametrize(
    ("region", "better"),
    [("MST", "Noisy observer"), ("TPOJ1", "Noisy observer"), ("PGi", "Human (dimension)"), ("AAIC", None)],
)
def test_a_region_follows_the_space_that_was_planted_in_it(told, region, better):
    [encoded] = re.findall(rf"{region} is predicted by .*?\)\.", told)
    [geometry] = re.findall(rf"{region} is followed by .*?\)\.", told)
    for sentence in (encoded, geometry):
        assert better is None or f"; {better} better than " in sentence
        assert better is not None or ("Noisy observer (mean" in sentence and "Human (dimension) (mean" in sentence)


def test_a_region_without_anything_is_not_named(told):
    assert "V1" not in told
    assert told.count("In 1 of 5 regions nothing is found.") == 2
