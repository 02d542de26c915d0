"""Thumbnails show the clip or say why not, and what is blurred cannot be seen by any means."""

import io
import logging
import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from affectome.errors import EnvironmentFailure, InputError
from affectome.stimuli import StimulusSet, _thumbnails, thumbnails

av = pytest.importorskip("av", reason="needs affectome[video]")
SIZE = (96, 64)


def scene(k, seed=0):
    """A left half that tells the frame, a right half of noise."""
    image = np.full((SIZE[1], SIZE[0], 3), 20 * k + 20, np.uint8)
    image[:, 48:] = np.random.default_rng(seed).integers(0, 256, (SIZE[1], 48, 3))
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of nine frames, the same clip cut off, a text that calls itself a clip, and pictures."""
    folder = tmp_path_factory.mktemp("clips")
    with av.open(str(folder / "good.mp4"), "w") as out:
        stream = out.add_stream("mpeg4", rate=Fraction(9))
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 1
        for k in range(9):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(k), format="rgb24")))
        out.mux(stream.encode(None))
    (folder / "torn.mp4").write_bytes((folder / "good.mp4").read_bytes()[:3000])
    (folder / "text.mp4").write_text("This is no clip.")
    Image.fromarray(scene(3)).save(folder / "picture.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "a description that stays at home"
    Image.fromarray(scene(3)).save(folder / "turned.jpg", exif=exif, quality=95)
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(folder / "clear.png")
    (folder / "torn.png").write_bytes((folder / "picture.png").read_bytes()[:400])
    return folder


@pytest.fixture(scope="module")
def stimuli(folder):
    names = ("good.mp4", "torn.mp4", "text.mp4", "picture.png", "turned.jpg", "clear.png", "torn.png", "lost.mp4")
    ids = [name.split(".")[0] if name != "torn.png" else "torn picture" for name in names]
    videos = {name: folder / file for name, file in zip(ids, names, strict=True)}
    return StimulusSet((*ids, "none"), videos=videos, source="the clips")


def pixels(thumbnail):
    opened = Image.open(io.BytesIO(thumbnail.jpeg))
    assert opened.format == "JPEG" and opened.size == (thumbnail.width, thumbnail.height)
    return np.asarray(opened.convert("RGB"), int)


def test_one_frame_is_the_middle_one(stimuli):
    made = thumbnails(stimuli, ["good"], blur=False)["good"]
    assert (made.width, made.height, made.blurred, made.problem) == (96, 64, False, "")  # never enlarged
    assert pixels(made)[:, 8:40].mean() == pytest.approx(20 * 4 + 20, abs=3)


def test_three_frames_stand_side_by_side(stimuli):
    shown = pixels(thumbnails(stimuli, ["good"], frames=3, width=48, blur=False)["good"])
    assert shown.shape == (32, 144, 3)
    middles = [shown[:, 48 * k + 4 : 48 * k + 20].mean() for k in range(3)]
    np.testing.assert_allclose(middles, [20 * k + 20 for k in (1, 4, 7)], atol=3)


def test_pictures_are_upright_and_shown_once(stimuli):
    made = thumbnails(stimuli, ["picture", "turned", "clear"], frames=3, blur=False)
    np.testing.assert_allclose(pixels(made["picture"])[:, 8:40], 80, atol=6)
    assert (made["turned"].width, made["turned"].height) == (64, 96)  # as it is meant to be seen
    assert pixels(made["clear"]).min() > 250


def test_pictures_need_no_video_library(stimuli, monkeypatch):
    def none():
        raise EnvironmentFailure("reading videos needs PyAV")

    monkeypatch.setattr(_thumbnails, "_av", none)
    assert thumbnails(stimuli, ["picture", "none"], blur=False)["picture"].problem == ""
    with pytest.raises(EnvironmentFailure, match="PyAV"):
        thumbnails(stimuli, ["picture", "good"])


def test_what_cannot_be_shown_is_a_grey_tile_that_says_so_and_one_warning(stimuli, caplog):
    with caplog.at_level(logging.WARNING):
        made = thumbnails(stimuli, ["good", "torn", "text", "lost", "none", "torn picture"], width=120, blur=False)
    assert [made[name].problem for name in made] == [
        "", "clip unreadable", "clip unreadable", "clip missing", "no clip", "clip unreadable",
    ]  # fmt: skip
    tile = pixels(made["lost"])
    assert tile.shape == (90, 120, 3)
    assert np.median(tile) == pytest.approx(217, abs=3) and tile.min() < 120  # grey, with something written on it
    assert made["lost"].jpeg != made["none"].jpeg
    (record,) = caplog.records
    assert record.getMessage() == (
        "5 of 6 stimuli have no picture (clip missing, clip unreadable 3 times, no clip): "
        "torn, text, lost, none, torn picture."
    )


def test_everything_is_blurred_unless_asked_otherwise(stimuli):
    assert thumbnails(stimuli, ["good"])["good"].blurred
    made = thumbnails(stimuli, ["good", "picture"], blur={"picture"})
    assert (made["good"].blurred, made["picture"].blurred) == (False, True)
    assert thumbnails(stimuli, ["good"], blur=True)["good"].jpeg == thumbnails(stimuli, ["good"])["good"].jpeg


def shuffled_within_cells(image, seed):
    """The same pixels, in another order within each of the 4 x 3 cells."""
    rng, cells = np.random.default_rng(seed), image.copy()
    for row in np.split(np.arange(image.shape[0]), 3):
        for column in np.split(np.arange(image.shape[1]), 4):
            block = cells[np.ix_(row, column)]
            cells[np.ix_(row, column)] = rng.permutation(block.reshape(-1, 3)).reshape(block.shape)
    return cells


def test_a_blurred_picture_holds_nothing_but_twelve_coarse_colours(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
    image[30:90, 40:120] //= 3
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(shuffled_within_cells(image, 1)).save(tmp_path / "b.png")
    stimuli = StimulusSet(("a", "b"), videos={name: tmp_path / f"{name}.png" for name in "ab"})
    sharp, blurred = thumbnails(stimuli, "ab", blur=False), thumbnails(stimuli, "ab")
    assert sharp["a"].jpeg != sharp["b"].jpeg
    assert blurred["a"].jpeg == blurred["b"].jpeg
    # What is left is a function of 12 colours of 4 bits per channel, so it holds 144 bits at most.
    cells = _thumbnails._cells(Image.fromarray(image))
    assert cells.shape == (3, 4, 3) and cells.max() < 16
    means = image.reshape(3, 40, 4, 40, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(cells, np.round(means) // 16)
    rebuilt = _thumbnails._jpeg(_thumbnails._from_cells(cells, (160, 120)))
    assert rebuilt == blurred["a"].jpeg
    assert len(cells.ravel()) * math.log2(16) == 144


def test_a_blurred_clip_is_blurred_in_each_frame(stimuli):
    shown = pixels(thumbnails(stimuli, ["good"], frames=3)["good"])
    for k in range(3):
        frame = shown[:, 96 * k : 96 * (k + 1)]
        assert np.abs(np.diff(frame[:, 4:-4], axis=1)).max() < 24  # the noise of the right half is gone
    assert shown[:, 4:20].mean() < shown[:, 100:116].mean() < shown[:, 196:212].mean()  # its colours are not


def test_files_hold_no_metadata(stimuli):
    made = thumbnails(stimuli, ["turned"], blur=False)["turned"]
    assert b"stays at home" not in made.jpeg
    assert not Image.open(io.BytesIO(made.jpeg)).getexif()


def test_a_clip_is_decoded_once_and_the_bytes_are_the_same_again(stimuli, monkeypatch):
    asked = []
    original = _thumbnails.sample_frames
    monkeypatch.setattr(
        _thumbnails, "sample_frames", lambda path, *a, **k: asked.append(path.name) or original(path, *a, **k)
    )
    told = []
    first = thumbnails(stimuli, ["good", "picture", "good", "good"], progress=lambda *a, detail: told.append(a))
    assert asked == ["good.mp4"]
    assert list(first) == ["good", "picture"] and told == [(1, 2), (2, 2)]
    again = thumbnails(stimuli, ["picture", "good"])
    assert all(first[name].jpeg == again[name].jpeg for name in first)
    assert thumbnails(stimuli, []) == {}


@pytest.mark.parametrize(
    ("ids", "settings", "message"),
    [
        (["god"], {}, "the clips: thumbnails are wanted of 1 unknown ids \\(god\\)"),
        (["good"], {"blur": {"god"}}, "to be blurred are 1 unknown ids \\(god\\)"),
        (["good"], {"blur": "good"}, "blur is the text 'good'; give \"all\", False, or a list"),
        (["good"], {"frames": 2}, "frames=2 of width 160"),
        (["good"], {"width": 4}, "width 4 make no thumbnail"),
    ],
)
def test_wrong_requests_are_named(stimuli, ids, settings, message):
    with pytest.raises(InputError, match=message):
        thumbnails(stimuli, ids, **settings)
