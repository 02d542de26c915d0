"""An interactive map is one file that fetches nothing, whose text is text."""

import base64
import io
import json
import re
import shutil
from html import unescape

import numpy as np
import pytest
from matplotlib.pyplot import imread

from affectome.errors import EnvironmentFailure, InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting._brain_paint import value_scale
from affectome.plotting._brain_surface import FSAVERAGE5
from affectome.report import write_brain_view

HOSTILE = "<script>alert('x')</script> & \"friends\" 🧠"
MESH = SurfaceMesh(np.arange(FSAVERAGE5, dtype=np.int32), np.zeros(FSAVERAGE5, bool), (FSAVERAGE5,) * 2, "fsaverage5")


def brain(space="MNI152NLin2009cAsym"):
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = -88, -120, -80
    return VolumeGrid(np.argwhere(np.ones((23, 27, 23))).astype(np.int32), affine, (23, 27, 23), space)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    grid = brain()
    spot = np.exp(-(((grid.coordinates() - [40, -60, 10]) / 20) ** 2).sum(1))
    ijk = np.argwhere(np.ones((6, 5, 1))).astype(np.int32)
    return {
        "slices": write_brain_view(folder / "slices.html", spot, grid, HOSTILE, title=HOSTILE, significant=spot > 0.1),
        "native": write_brain_view(folder / "native.html", np.linspace(-1, 1, 30),
                                   VolumeGrid(ijk, np.diag([-3.0, 3, 4, 1]), (6, 5, 1)), "Weight", diverging=True),
        "surface": write_brain_view(folder / "surface.html", np.linspace(0, 1, FSAVERAGE5), MESH, HOSTILE,
                                    title=HOSTILE),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["slices", "native", "surface"])
def test_a_page_fetches_nothing_and_is_small(pages, name):
    page = pages[name].read_text(encoding="utf-8")
    whole = page + unescape(page)  # and the frame inside
    assert not re.findall(
        r"""<(?:link|script|img|iframe|source)[^>]*(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", whole
    )
    assert not re.findall(r"url\(\s*['\"]?https?:|@import", whole)
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'", page)
    assert len(page) < 2_000_000


@pytest.mark.parametrize("name", ["slices", "surface"])
def test_titles_and_labels_are_text_and_never_markup(pages, name):
    page = pages[name].read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;friends&#34; 🧠") >= 3


def test_the_surface_holds_values_colours_and_places_of_both_hemispheres(pages):
    page = pages["surface"].read_text(encoding="utf-8")
    sides = json.loads(re.search(r"const sides = (\[.*\]);", page)[1])
    kinds = {"positions": "<f4", "faces": "<u2", "colours": "u1", "values": "<f4"}
    unpacked = [
        {key: np.frombuffer(base64.b64decode(side[key]), kind) for key, kind in kinds.items()} for side in sides
    ]
    assert [side["name"] for side in sides] == ["Left", "Right"]
    values = np.linspace(0, 1, FSAVERAGE5)
    np.testing.assert_allclose(unpacked[0]["values"], values, atol=1e-7)
    assert np.isnan(unpacked[1]["values"]).all()
    cmap, norm = value_scale(values, None, diverging=False)
    np.testing.assert_allclose(unpacked[0]["colours"].reshape(-1, 3), 255 * cmap(norm(values))[:, :3], atol=0.51)
    left, right = (side["positions"].reshape(-1, 3)[:, 0] for side in unpacked)
    assert left.max() < 0 < right.min()
    assert all(side["faces"].reshape(-1, 3).shape == (20_480, 3) for side in unpacked)


def test_slices_hold_no_voxel_that_is_not_significant_and_the_page_says_so(pages):
    page = pages["slices"].read_text(encoding="utf-8")
    assert re.search(r"significant: \d+ of 14,283 voxels \(others not shown\)", page)


def test_a_volume_in_standard_space_goes_onto_the_surface_where_asked(tmp_path):
    page = write_brain_view(tmp_path / "a.html", np.ones(14_283), brain(), "r", on="surface").read_text(
        encoding="utf-8"
    )
    assert "const sides" in page and "<iframe" not in page


@pytest.mark.parametrize("shown", [{"threshold": 9.0}, {"significant": np.zeros(14_283, bool)}])
def test_a_map_with_nothing_to_show_is_a_page_that_says_so(tmp_path, shown):
    page = write_brain_view(tmp_path / "a.html", np.ones(14_283), brain(), "r", **shown).read_text(encoding="utf-8")
    assert "|value| ≥ 9: 0 of 14,283 voxels" in page or "none of 14,283 voxels is significant" in page


@pytest.mark.parametrize("space", ["MNI152NLin2009cAsym", None])
def test_the_same_map_is_the_same_page_to_the_byte(tmp_path, space):
    grid = brain(space)
    values = np.linspace(0, 1, len(grid))
    first, second = (write_brain_view(tmp_path / f"{k}.html", values, grid, "r").read_bytes() for k in range(2))
    assert first == second


def test_a_volume_without_anatomy_is_light_grey_where_voxels_were_recorded_and_white_elsewhere(tmp_path, monkeypatch):
    empty = np.empty
    monkeypatch.setattr(np, "empty", lambda *args, **kwargs: _filled(empty(*args, **kwargs)))
    ijk = np.argwhere(np.ones((6, 5, 1))).astype(np.int32) + [2, 3, 1]
    for size in (3.0, 4.0):
        grid = VolumeGrid(ijk, np.diag([-3.0, 3, size, 1]), (9, 11, 3), None)  # nine slices fill a square of pictures
        page = write_brain_view(tmp_path / "a.html", np.zeros(30), grid, "Weight").read_text(encoding="utf-8")
        sprite = re.search(r'id="spriteImg-brain"[^>]*src="data:image/png;base64,([^"]+)"', unescape(page))[1]
        pixels = imread(io.BytesIO(base64.b64decode(sprite)))[..., :3]
        greys, counts = np.unique(np.rint(255 * pixels.reshape(-1, 3)), axis=0, return_counts=True)
        assert greys.tolist() == [[220] * 3, [255] * 3] and 25 <= counts[0] <= 60


def _filled(array):
    """Memory that nobody has set, at its worst."""
    if array.dtype.kind == "f":
        array[...] = np.nan
    return array


@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs a browser")
def test_a_browser_draws_both_kinds_of_page_without_an_error(pages, tmp_path):
    selenium = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = selenium.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
                 "--enable-unsafe-swiftshader", f"--user-data-dir={tmp_path}"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get(pages["surface"].as_uri())
        assert driver.title == HOSTILE
        if not driver.execute_script("return !!gl"):
            pytest.skip("this browser has no WebGL")
        next(b for b in driver.find_elements("css selector", "button") if b.text == "Left, lateral").click()
        pixels = driver.execute_script(
            "const p = new Uint8Array(4 * canvas.width * canvas.height);"
            "gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, p);"
            "return [canvas.width, canvas.height, btoa(Array.from(p, c => String.fromCharCode(c)).join(''))]"
        )
        drawn = np.frombuffer(base64.b64decode(pixels[2]), "u1").reshape(pixels[1], pixels[0], 4)[..., :3]
        inside = np.argwhere((drawn < 250).any(-1))
        assert 0.15 < len(inside) / drawn[..., 0].size < 0.5
        assert np.ptp(inside[:, 1]) / np.ptp(inside[:, 0]) == pytest.approx(216 / 146, rel=0.05)  # mm of the hemisphere
        driver.get(pages["slices"].as_uri())
        driver.switch_to.frame(0)
        assert driver.execute_script("return document.querySelector('canvas').width") > 300
        assert driver.get_log("browser") == []
    finally:
        driver.quit()


def test_what_cannot_be_shown_is_refused_and_nothing_is_written(tmp_path):
    path, grid = tmp_path / "a.html", brain(None)
    large = VolumeGrid(np.zeros((1, 3), np.int32), np.eye(4), (400, 400, 400))
    for call, sentence in (
        (lambda: write_brain_view(path, np.ones(3), grid, "r"), "holds 14,283 voxels"),
        (lambda: write_brain_view(path, np.ones(14_283), grid, "r", on="surface"), "cannot be drawn on fsaverage5"),
        (lambda: write_brain_view(path, np.ones(FSAVERAGE5), MESH, "r", on="slices"), "not drawn on 'slices'"),
        (lambda: write_brain_view(tmp_path / "a.txt", np.ones(14_283), grid, "r"), "html"),
        (lambda: write_brain_view(path, [1.0], large, "r"), "400 × 400 × 400 voxels is too large"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            call()
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure):
        write_brain_view(tmp_path / "file" / "a.html", np.ones(FSAVERAGE5), MESH, "r")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
