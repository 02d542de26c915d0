"""The gallery: complete, escaped, self-contained, and without what is blurred."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from affectome.errors import InputError
from affectome.interpretation import top_stimuli
from affectome.report import ComponentCard, write_gallery
from affectome.stimuli import StimulusSet, thumbnails

pytest.importorskip("wordcloud", reason="needs affectome[words]")


@pytest.fixture(scope="module")
def page(hostile_gallery, parsed):
    return parsed(hostile_gallery.read_text(encoding="utf-8"))


def test_user_text_is_text_and_never_markup(page):
    assert not {"script", "em", "b", "i"} & set(page.tags)
    assert not [attribute for attribute in page.attributes if attribute[1].startswith("on")]
    text = "".join(page.text)
    for hostile in ("<script>document.title='broken'", "<em>clip</em>&", "{{ 7 * 7 }} {% raw %}", "<b>name</b>"):
        assert hostile in text
    assert [label for label in page.of("svg", "aria-label") if '"quoted" & <word>' in label]


def test_the_page_loads_nothing_from_outside_and_forbids_it(page):
    addresses = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert addresses and all(value.startswith(("data:", "#")) for value in addresses)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page.of("meta", "content")


def test_the_index_leads_to_every_component(page):
    links = [value for value in page.of("a", "href") if value.startswith("#component-")]
    assert links == ["#component-1", "#component-2"]
    assert {link[1:] for link in links} <= set(page.of("article", "id"))
    assert len(page.of("a", "href")) - len(links) == 2 + 1  # back from each, and past the index
    assert set(page.of("article", "aria-labelledby")) <= set(page.of("h2", "id"))


def test_pictures_have_alternative_texts_and_sizes(page):
    addresses, alts = page.of("img", "src"), page.of("img", "alt")
    assert len(addresses) == len(alts) == len(page.of("img", "width")) == 5
    assert alts[0] == "<em>clip</em>&, blurred beyond recognition."
    assert alts[1] == "Frame of a: A dog <runs>."
    assert "No picture of b: clip missing." in alts
    sizes = [Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).size for address in addresses]
    assert [size[0] for size in sizes] == [int(width) for width in page.of("img", "width")]


def test_numbers_stand_beside_their_names(page):
    text = " ".join(" ".join(page.text).split())
    assert "Joy ( category ) 0.71 0.66 to 0.75 < 0.001" in text
    assert "control ( dimension ) −0.30 – 0.200" in text
    assert "share of all weights 6.1%" in text
    assert "happiness 0.40" in text and "( log-odds z )" in text and "dog 9.10" in text
    assert "1. <em>clip</em>& , weight 3.00 (60.0% of all)" in text
    assert "Names were made from these very ratings." in text


def test_what_is_blurred_is_counted_and_its_sharp_picture_is_not_in_the_file(page, hostile_gallery, gallery_stimuli):
    text = " ".join("".join(page.text).split())
    assert "1 of the 3 stimuli shown are blurred beyond recognition" in text
    assert "The sharp pictures are not in this file." in text
    assert "1 of the 3 stimuli shown have no picture" in text
    hidden = gallery_stimuli.ids[0]
    sharp = thumbnails(gallery_stimuli, [hidden], blur=False)[hidden]
    assert base64.b64encode(sharp.jpeg).decode()[100:400] not in hostile_gallery.read_text(encoding="utf-8")
    for address in page.of("img", "src")[:1]:  # the one that is blurred: no edge is left of a noise picture
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))), int)
        assert np.abs(np.diff(shown, axis=1)).max() < 24 < np.abs(np.diff(decoded(sharp), axis=1)).max()


def decoded(thumbnail):
    return np.asarray(Image.open(io.BytesIO(thumbnail.jpeg)), int)


def test_words_of_a_cloud_keep_their_sizes_whatever_the_font(page):
    sizes, lengths = page.of("text", "font-size"), page.of("text", "textlength")
    assert len(sizes) == len(lengths) == 3
    assert float(sizes[0]) > float(sizes[1]) > 7
    assert page.of("text", "class") == ["minus"]
    assert all(float(length) < 220 for length in lengths)


def test_what_a_card_lacks_is_left_out(tmp_path, parsed):
    path = write_gallery(
        tmp_path / "g.html",
        [ComponentCard("c1", clouds={"empty": pd.Series({"a": 0.0}), "foreign": pd.Series({"愛": 1.0})})],
    )
    reader = parsed(path.read_text(encoding="utf-8"))
    assert not {"img", "table", "svg", "h3", "dl"} & set(reader.tags)
    assert "blurred" not in "".join(reader.text)


def test_thirty_components_of_eight_stimuli_stay_small(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"{k:03d}" for k in range(40)]
    for name in ids:  # noise is what JPEG files hold worst
        Image.fromarray(rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)).save(tmp_path / f"{name}.png")
    stimuli = StimulusSet(tuple(ids), videos={name: tmp_path / f"{name}.png" for name in ids})
    made = thumbnails(stimuli, ids, blur=False)
    space = pd.DataFrame(rng.exponential(size=(40, 30)), index=ids, columns=[f"c{k}" for k in range(30)])
    top = top_stimuli(space)
    path = write_gallery(
        tmp_path / "g.html", [ComponentCard(c, stimuli=top.of(c)) for c in top.components], thumbnails=made
    )
    page = path.read_text(encoding="utf-8")
    assert len(re.findall("<img ", page)) == 240
    assert 2_000_000 < path.stat().st_size < 15_000_000


def test_the_same_cards_give_the_same_bytes(tmp_path):
    card = ComponentCard("c1", clouds={"words": pd.Series({"a": 1.0, "b": 0.5})})
    one, two = (write_gallery(tmp_path / f"{k}.html", [card]).read_bytes() for k in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ([], "the gallery has no components"),
        ([ComponentCard("c"), ComponentCard("c")], "the gallery, row 2: the id 'c' was already used"),
        ([ComponentCard("c", ratings=pd.DataFrame({"rho": [1]}))], "the ratings of 'c' have no column 'r'; add it"),
        ([ComponentCard("c", stimuli=pd.DataFrame({"id": ["a"]}))], "the stimuli of 'c' have no column 'weight'"),
    ],
)
def test_wrong_cards_are_named_and_nothing_is_written(tmp_path, cards, message):
    with pytest.raises(InputError, match=message):
        write_gallery(tmp_path / "g.html", cards)
    assert list(tmp_path.iterdir()) == []


def test_another_extension_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has the extension '\.pdf'; use \.html"):
        write_gallery(tmp_path / "g.pdf", [ComponentCard("c")])
