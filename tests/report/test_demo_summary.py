"""The report of the demo: every planted finding is in its summary, no planted null is."""

import re

import pytest
from typer.testing import CliRunner

from affectome.cli import app


@pytest.fixture(scope="module")
def told(tmp_path_factory, parsed):
    """The summary of the page as text."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    run = CliRunner().invoke(app, ["demo", "--out", str(out), "--quiet"])
    assert run.exit_code == 0, run.output
    assert "found again by the noisy observer's embedding: 8 of 8" in run.output
    text = " ".join("".join(parsed((out / "results/report.html").read_text(encoding="utf-8")).text).split())
    return text[text.index("Which space predicts behaviour?") : text.index("Methods, as they ran")]


@pytest.mark.slow
def test_the_observers_space_predicts_its_choices_and_follows_what_was_planted(told):
    share = re.search(r"Noisy observer: 8 components predict ([\d.]+)% of held-out choices", told)
    assert share and float(share[1]) > 65  # of about 72%, the best that anything does with these choices
    assert re.search(r"Noisy observer: 8 of 8 components follow a rating \(q < \.05\)", told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("region", "better"),
    [("MST", "Noisy observer"), ("TPJ", ""), ("TPOJ1", "Noisy observer"), ("PGi", "Human (dimension)"), ("AAIC", "")],
)
def test_regions_follow_the_space_that_was_planted_in_them(told, region, better):
    sentence = re.search(rf"\b{region} is predicted by .*?\.(?= [A-Z])", told)
    if region == "TPJ":  # no area of the demo
        assert sentence is None
        return
    assert sentence
    if better:
        assert f"; {better} better than " in sentence[0]
    else:
        assert "Noisy observer (" in sentence[0] and "Human (dimension) (" in sentence[0]  # both are planted in it


@pytest.mark.slow
def test_a_region_without_anything_is_not_named(told):
    assert "V1" not in told
    assert "In 1 of 5 regions nothing is found." in told
