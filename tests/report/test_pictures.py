"""Figures that are too many for one file: smaller first, then the last of the last persons are left out and linked."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from affectome.report import _io, write_report
from affectome.report._pictures import fitting_pictures

SIZE = (60, 1200)  # rows, columns


def noise(rng, height, width):
    return Image.fromarray((51 * rng.integers(0, 6, (height, width, 3))).astype(np.uint8))


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Six pictures of noise in 216 colours, which do not compress."""
    folder, rng = tmp_path_factory.mktemp("figures"), np.random.default_rng(0)
    for k in range(6):
        noise(rng, *SIZE).save(folder / f"{k}.png")
    return folder


def contents(pictures):
    return {path: base64.b64decode(one.address.partition(",")[2]) for path, one in pictures.items()}


def widths(pictures):
    return {path: Image.open(io.BytesIO(content)).width for path, content in contents(pictures).items()}


def modes(pictures):
    return {Image.open(io.BytesIO(content)).mode for content in contents(pictures).values()}


def total(pictures):
    return sum(len(one.address) for one in pictures.values())


def test_figures_that_fit_are_the_files_as_they_are(figures):
    paths = [f"{k}.png" for k in range(6)]
    found = fitting_pictures(figures, [*paths, "0.png", "absent.png"], 100_000_000)
    assert list(found) == paths
    assert contents(found) == {path: (figures / path).read_bytes() for path in paths}
    assert {(one.width, one.height) for one in found.values()} == {(600, 30)}


def test_figures_get_fewer_colours_then_narrower_then_fewer_and_the_first_stay(figures):
    paths = [f"{k}.png" for k in range(6)]
    whole = total(fitting_pictures(figures, paths, 100_000_000))
    painted = fitting_pictures(figures, paths, whole - 1)
    assert list(painted) == paths and modes(painted) == {"P"} and set(widths(painted).values()) == {1200}
    narrow = fitting_pictures(figures, paths, total(painted) - 1)
    assert list(narrow) == paths and set(widths(narrow).values()) == {900}
    assert {(one.width, one.height) for one in narrow.values()} == {(600, 30)}  # as large on the page as before
    fewer = fitting_pictures(figures, paths, total(narrow) - 1)
    assert list(fewer) == paths[:5]
    for budget in (total(narrow) - 1, 1000, 0, -5):
        assert total(fitting_pictures(figures, paths, budget)) <= max(0, budget)


def test_transparent_ground_becomes_white(tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (40, 40, 4)).astype(np.uint8)
    drawn[:20, :, 3], drawn[20:, :, 3] = 0, 255
    Image.fromarray(drawn).save(tmp_path / "a.png")
    full = total(fitting_pictures(tmp_path, ["a.png"], 10_000_000))
    [content] = contents(fitting_pictures(tmp_path, ["a.png"], full - 1)).values()
    seen = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert (seen[:20] == 255).all()


def test_a_study_of_many_people_fits_the_page_and_links_the_last_of_them(hostile_study, tmp_path, parsed, monkeypatch):
    summary = json.loads((hostile_study / "summary.json").read_text())
    provenance = json.loads((hostile_study / "provenance.json").read_text())
    rng, people = np.random.default_rng(0), [f"sub-{k:02d}" for k in range(20)]
    facts = {
        "n_significant": 0,
        "n_family": 0,
        "n_voxels": 9,
        "n_trials": 9,
        "n_runs": 3,
        "null": "",
        "best_regions": [],
    }
    settings = {"standardise": "zscore", "folds": 3, "permutations": 9, "regions": None}
    summary["brain"] = {"settings": settings, "encode": {f"{who}/first": facts for who in people}}
    for who in people:
        path = f"neural/{who}/first/figures/r.png"
        (tmp_path / path).parent.mkdir(parents=True)
        noise(rng, 80, 800).save(tmp_path / path)
        provenance["stages"].append(
            {"name": f"encode/{who}/first", "seconds": 1.0, "finished": "", "outputs": {path: ""}}
        )
    for name, content in (("summary.json", summary), ("provenance.json", provenance)):
        (tmp_path / name).write_text(json.dumps(content))
    largest = write_report(tmp_path).stat().st_size // 3
    assert _io._LARGEST < 15_000_000
    monkeypatch.setattr(_io, "_LARGEST", largest)
    page = write_report(tmp_path)
    assert 0.8 * largest < page.stat().st_size <= largest
    read = parsed(page.read_text(encoding="utf-8"))
    shown = [text for text in read.of("img", "alt") if text.startswith("sub-")]
    linked = [value for value in read.of("a", "href") if value.startswith("neural/sub-")]
    assert len(shown) + len(linked) == 20 and linked
    assert shown[0].startswith("sub-00,")
    assert linked == [f"neural/{who}/first/figures/r.png" for who in people[len(shown) :]]
