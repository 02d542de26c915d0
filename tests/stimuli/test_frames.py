"""Frames are those of the documented rule, whatever the file; a file that has none is named."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from affectome.errors import EnvironmentFailure, InputError
from affectome.stimuli import StimulusSet, check_stimuli, encode_jpeg, probe_clip, sample_frames

av = pytest.importorskip("av", reason="needs affectome[video]")


def write_clip(path, times, *, codec="mpeg4", size=(64, 48), step=8):
    """Frame k is grey of level step * k and appears at times[k] seconds (thousandths)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(1000))
        stream.width, stream.height, stream.pix_fmt = *size, "rgb8" if codec == "gif" else "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "mpeg4":  # every frame by itself, as fine as the codec can
            stream.codec_context.gop_size, stream.codec_context.qmin, stream.codec_context.qmax = 1, 1, 1
        for k, time in enumerate(times):
            grey = np.full((size[1], size[0], 3), step * k % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def numbers(frames, step=8):
    return np.round(frames.mean(axis=(1, 2, 3)) / step).astype(int).tolist()


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "c.mp4", np.arange(30) / 10)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 29, 30])
def test_frames_stand_in_the_middle_of_equal_parts(clip, n):
    duration = probe_clip(clip).duration
    assert duration == pytest.approx(2.9, abs=0.11)
    wanted = (np.arange(n) + 0.5) / n * duration
    assert numbers(sample_frames(clip, n)) == np.floor(wanted * 10 + 1e-6).astype(int).tolist()


def test_a_clip_shorter_than_the_parts_repeats_its_frames(tmp_path):
    path = write_clip(tmp_path / "c.mp4", [0, 0.5, 1.0])  # the last one is on screen for a moment only
    frames = sample_frames(path, 6, longest_side=None)
    assert numbers(frames) == [0, 0, 0, 1, 1, 1] and frames.shape == (6, 48, 64, 3)


def test_a_variable_rate_is_followed_by_time_not_by_count(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 0.4, 2.4, 4.4]
    path = write_clip(tmp_path / "c.mp4", times, step=20)
    duration = probe_clip(path).duration
    wanted = (np.arange(4) + 0.5) / 4 * duration
    assert numbers(sample_frames(path, 4), 20) == (np.searchsorted(times, wanted, side="right") - 1).tolist()


def test_other_containers_and_pictures(tmp_path):
    webm = write_clip(tmp_path / "c.mkv", np.arange(20) / 10)
    assert numbers(sample_frames(webm, 4)) == [2, 7, 11, 16]  # of 1.901 seconds
    gif = write_clip(tmp_path / "c.gif", np.arange(10) / 10, codec="gif", step=24)
    found = numbers(sample_frames(gif, 5), 24)
    assert found == sorted(found) and len(set(found)) == 5
    jpeg = tmp_path / "p.jpg"
    jpeg.write_bytes(encode_jpeg(np.full((48, 64, 3), 80, np.uint8)))
    assert numbers(sample_frames(jpeg, 3)) == [10, 10, 10]


@pytest.mark.parametrize(
    ("size", "longest", "shape"),
    [
        ((64, 48), 32, (24, 32)),
        ((48, 64), 32, (32, 24)),
        ((64, 48), 336, (48, 64)),
        ((64, 48), None, (48, 64)),
        ((100, 38), 50, (20, 50)),
    ],
)
def test_large_frames_are_scaled_small_ones_stay(tmp_path, size, longest, shape):
    path = write_clip(tmp_path / "c.mp4", [0, 0.1, 0.2], size=size)
    assert sample_frames(path, 2, longest_side=longest).shape == (2, *shape, 3)


@pytest.mark.parametrize(
    ("matrix", "bright"),  # of the display matrix in the track header: clockwise, half, counterclockwise
    [((0, 1, -1, 0), (0, 1)), ((-1, 0, 0, -1), (1, 1)), ((0, -1, 1, 0), (1, 0))],
)
def test_a_clip_filmed_with_a_turned_camera_comes_out_upright(tmp_path, matrix, bright):
    path = tmp_path / "c.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        grey = np.zeros((48, 64, 3), np.uint8)
        grey[:24, :32] = 240  # the upper left quarter
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (cell << 16 for cell in matrix)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content = path.read_bytes()
    at = content.index(straight, content.index(b"tkhd"))
    path.write_bytes(content[:at] + turned + content[at + len(turned) :])
    (frame,) = sample_frames(path, 1)
    assert frame.shape == ((64, 48, 3) if a == 0 else (48, 64, 3))
    h, w = frame.shape[0] // 2, frame.shape[1] // 2
    quarters = frame[: 2 * h, : 2 * w].reshape(2, h, 2, w, 3).mean(axis=(1, 3, 4))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == bright and quarters.max() > 200


def test_jpeg_keeps_the_picture_and_quality_costs_bytes():
    x = np.linspace(0, 255, 160)
    frame = np.stack([np.tile(x, (120, 1)), np.tile(x[::-1], (120, 1)), np.full((120, 160), 90)], -1).astype(np.uint8)
    frame[40:80, 60:100] = 20
    sizes = {quality: len(encode_jpeg(frame, quality)) for quality in (100, 90, 30, 1)}
    assert sizes[100] > sizes[90] > sizes[30] >= sizes[1]
    import io

    with av.open(io.BytesIO(encode_jpeg(frame, 90))) as container:
        back = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(back.astype(int) - frame).mean() < 4
    for quality in (0, 101):
        with pytest.raises(InputError, match="the JPEG quality"):
            encode_jpeg(frame, quality)
    with pytest.raises(InputError, match="a frame has shape"):
        encode_jpeg(frame[0])


def test_files_that_are_no_clips_are_named(tmp_path, clip):
    text = tmp_path / "t.mp4"
    text.write_text("this is no film\n" * 100)
    empty = tmp_path / "e.mp4"
    empty.touch()
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(clip.read_bytes()[:400])
    for path in (text, empty, torn):
        with pytest.raises(InputError, match=rf"{path.name}: (is no video|cannot be decoded|holds no)"):
            sample_frames(path)
    with pytest.raises(InputError, match="there is no such file"):
        sample_frames(tmp_path / "none.mp4")
    sound = tmp_path / "s.wav"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        tone.rate, tone.pts = 8000, 0
        out.mux(stream.encode(tone))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match="holds no video"):
        sample_frames(sound)
    with pytest.raises(InputError, match="makes no frames"):
        sample_frames(clip, 0)


def test_a_clip_that_ends_early_is_named(tmp_path):
    path = write_clip(tmp_path / "c.mkv", np.arange(200) / 50, size=(320, 240))
    whole = path.read_bytes()
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match=r"torn\.mkv: .*cut short or damaged"):
        sample_frames(torn)


def test_the_check_of_stimuli_names_clips_that_cannot_be_opened(tmp_path, clip):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no film")
    report = check_stimuli(StimulusSet(("a", "b"), videos={"a": clip, "b": bad}))
    assert report.warnings == ("1 videos cannot be opened (b).",)


def test_the_missing_library_is_named(monkeypatch, clip):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(EnvironmentFailure, match=r'pip install "affectome\[video\]"'):
        sample_frames(clip)
