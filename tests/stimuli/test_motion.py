"""Motion energy peaks at what moves: checked on gratings whose direction, cycles and speed are known."""

import logging
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import EnvironmentFailure, InputError
from affectome.stimuli import StimulusSet, motion_energy
from affectome.stimuli._motion import _lightness

pytest.importorskip("moten", reason="needs affectome[motion]")
FPS, SIZE = 15, (36, 64)
SMALL = {"fps": FPS, "size": SIZE, "spatial_frequencies": (0, 2, 4), "directions": (0, 90, 180, 270)}


def grating(direction, cycles, hertz, *, seconds=2.0, size=SIZE, fps=FPS, contrast=40.0, level=50.0):
    """Luminance of a grating whose crests travel towards `direction` (0 right, 90 up) at hertz / cycles heights/s."""
    y, x = np.mgrid[: size[0], : size[1]] / size[0]
    angle = np.deg2rad(direction)
    phase = cycles * (x * np.cos(angle) - y * np.sin(angle))  # rows count downwards
    time = np.arange(round(seconds * fps)) / fps
    return level + contrast * np.cos(2 * np.pi * (phase - hertz * time[:, None, None]))


def facts(column):
    cycles, hertz, direction = column.split(" at ")[0].replace(" cycles", "").replace(" Hz", "").rstrip("°").split()
    return float(cycles), float(hertz), float(direction)


def strongest(row):
    return facts(row[[name for name in row.index if not name.startswith("0 cycles")]].idxmax())


@pytest.fixture(scope="module")
def drifting():
    wanted = [(2, 2, 0), (2, 2, 180), (4, 4, 90), (4, 4, 270), (4, 2, 0)]
    return wanted, motion_energy({str(k): grating(d, c, h) for k, (c, h, d) in enumerate(wanted)}, **SMALL)


def test_the_strongest_filter_has_the_cycles_the_speed_and_the_direction_of_the_grating(drifting):
    wanted, space = drifting
    assert [strongest(space.loc[name]) for name in space.index] == wanted
    assert space.dtypes.eq(np.float32).all() and space.columns.is_unique


def test_what_moves_backwards_has_the_energy_of_the_opposite_direction(drifting):
    there, back = drifting[1].loc["0"], drifting[1].loc["1"]
    for name in there.index:
        cycles, hertz, direction = facts(name)
        if cycles and hertz and direction in (0, 180):
            opposite = name.replace(f"{direction:g}°", f"{(direction + 180) % 360:g}°")
            assert back[opposite] == pytest.approx(there[name], abs=0.05)  # beginning and end are held
    assert there["2 cycles 2 Hz 0° at (0.889, 0.500) width 0.300"] > there[
        "2 cycles 2 Hz 180° at (0.889, 0.500) width 0.300"
    ] + np.log(3)


def test_nothing_but_motion_lets_a_temporal_filter_answer():
    still = np.repeat(grating(0, 2, 0)[:1], 30, axis=0)
    space = motion_energy({"still": still, "moving": grating(0, 2, 4)}, **SMALL)
    fast = [name for name in space if facts(name) == (2, 4, 0)]
    assert (space.loc["moving", fast] > space.loc["still", fast] + np.log(10)).all()
    assert strongest(space.loc["still"])[:2] == (2, 0)


def test_a_uniform_clip_has_luminance_and_no_energy_whatever_its_level():
    space = motion_energy({"dark": np.full((20, *SIZE), 10.0), "bright": np.full((20, *SIZE), 80.0)}, **SMALL)
    cyclic = [name for name in space if facts(name)[0]]
    np.testing.assert_allclose(space[cyclic], np.log(1e-5), atol=1e-3)
    level = [name for name in space if facts(name)[:2] == (0, 0)]
    np.testing.assert_allclose(np.diff(space[level], axis=0), np.log(8), atol=1e-4)


def test_one_filter_equals_its_definition_written_out():
    frames = np.random.default_rng(3).uniform(0, 100, (21, *SIZE))
    column = "4 cycles 2 Hz 90° at (0.889, 0.500) width 0.150"
    found = motion_energy({"noise": frames}, **SMALL, statistics=("mean", "sd")).loc["noise"]
    height, width = SIZE
    window = int(FPS * 2 / 3)
    x, y = np.meshgrid(np.linspace(0, width / height, width), np.linspace(0, 1, height))
    gauss = np.exp(-((x - width / height / 2) ** 2 + (y - 0.5) ** 2) / (2 * 0.15**2))
    when = np.arange(window) / window - 0.5
    envelope = np.exp(-(when**2) / (2 * 0.3**2))
    wave = 2 * np.pi * (4 * (y - 0.5)[None] + 2 * (window / FPS) * when[:, None, None])  # upwards: y falls with time
    held = np.pad(frames - frames.mean(), ((window, window), (0, 0), (0, 0)), mode="edge")
    energy = []
    for t in range(window, window + len(frames)):
        seen = held[t - window // 2 + 1 : t + window // 2 + 1]
        parts = [(seen * gauss * envelope[:, None, None] * f(wave)).sum() for f in (np.sin, np.cos)]
        energy.append(np.log(np.hypot(*parts) + 1e-5))
    # pymoten leaves out where a Gabor is below .001
    assert found[f"mean {column}"] == pytest.approx(np.mean(energy), abs=1e-3)
    assert found[f"sd {column}"] == pytest.approx(np.std(energy), abs=1e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=5)
def test_no_clip_depends_on_its_neighbours_or_their_order(seed):
    rng = np.random.default_rng(seed)
    clips = {str(k): rng.uniform(0, 100, (int(rng.integers(3, 25)), *SIZE)) for k in range(3)}
    together = motion_energy(clips, **SMALL)
    alone = motion_energy({"2": clips["2"]}, **SMALL)
    np.testing.assert_allclose(together.loc["2"], alone.loc["2"], atol=1e-5)
    turned = motion_energy(dict(reversed(clips.items())), **SMALL)
    np.testing.assert_allclose(turned.loc[together.index], together, atol=1e-5)


def test_chunks_change_nothing(monkeypatch):
    clips = {str(k): grating(90 * k, 2, 2) for k in range(4)}
    whole = motion_energy(clips, **SMALL)
    monkeypatch.setattr("affectome.stimuli._motion._CHUNK", 40)
    heard = []
    parts = motion_energy(clips, **SMALL, progress=lambda done, total, detail="": heard.append((done, total, detail)))
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert heard == [(2, 4, "1"), (4, 4, "3")]


def test_a_clip_from_a_file_is_like_its_frames_and_one_of_another_shape_keeps_its_directions(tmp_path):
    av = pytest.importorskip("av", reason="needs affectome[video]")
    path, size = tmp_path / "up.mp4", (96, 96)  # square: fitted into the middle
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=Fraction(FPS))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 1
        for frame in grating(90, 4, 4, size=size):
            grey = np.repeat(np.clip(2.4 * frame, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
    stimuli = StimulusSet(["a clip"], videos={"a clip": path})
    space = motion_energy(stimuli, **SMALL)
    assert list(space.index) == ["a clip"] and strongest(space.loc["a clip"]) == (4, 4, 90)
    assert space.attrs == {"kind": "motion energy", "fps": FPS, "size": [36, 64], "window_frames": 10}
    middle = "4 cycles 4 Hz 90° at (0.889, 0.500) width 0.150"
    frames = motion_energy({"frames": grating(90, 4, 4)}, **SMALL)
    assert space[middle].item() == pytest.approx(frames[middle].item(), abs=0.25)  # L* is no linear scale


def test_a_picture_is_a_clip_in_which_nothing_moves(tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "still.png"
    pixels = np.repeat(np.clip(2.4 * grating(0, 2, 0)[0], 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    image.fromarray(np.kron(pixels, np.ones((4, 4, 1), np.uint8))).save(path)
    assert strongest(motion_energy({"still": path}, **SMALL).loc["still"])[:2] == (2, 0)


def test_a_short_clip_is_held_and_logged(caplog):
    with caplog.at_level(logging.WARNING, logger="affectome"):
        space = motion_energy({"short": grating(0, 2, 2)[:4], "long": grating(0, 2, 2)}, **SMALL)
    assert "1 clips are shorter than the 0.67 s that a filter looks at" in caplog.text and "short" in caplog.text
    assert np.isfinite(space).all(axis=None)


def test_lightness_is_that_of_the_cie():
    colours = [(255, 255, 255), (0, 0, 0), (119, 119, 119), (255, 0, 0), (0, 255, 0), (0, 0, 255), (1, 1, 1)]
    found = _lightness(np.array(colours, np.uint8)[None, None])[0, 0]
    np.testing.assert_allclose(found, [100, 0, 50.034, 53.24, 87.73, 32.30, 0.2742], atol=0.02)


@pytest.mark.parametrize(
    ("clips", "settings", "words"),
    [
        ({}, {}, "there are no clips"),
        ({"a": np.zeros((5, 36))}, {}, r"a: the frames have the shape \(5, 36\)"),
        ({"a": np.zeros((0, 36, 64))}, {}, "a: the frames have the shape"),
        ({"a": np.full((5, 36, 64), np.nan)}, {}, "finite luminance"),
        ({"a": np.zeros((5, 36, 64))}, {"fps": 7.5}, "fps=7.5"),
        ({"a": np.zeros((5, 36, 64))}, {"spatial_frequencies": (40,)}, "values from 0 to 18"),
        ({"a": np.zeros((5, 36, 64))}, {"temporal_frequencies": (9,)}, "values from 0 to 7.5"),
        ({"a": np.zeros((5, 36, 64))}, {"spatial_frequencies": (0,)}, "nothing to filter for"),
        ({"a": np.zeros((5, 36, 64))}, {"statistics": ("max",)}, "is not known"),
        (StimulusSet(["a", "b"]), {}, r"2 stimuli have no clip \(a, b\)"),
    ],
)
def test_what_cannot_be_described_is_refused(clips, settings, words):
    with pytest.raises(InputError, match=words):
        motion_energy(clips, **{**SMALL, **settings})


def test_a_missing_clip_is_named(tmp_path):
    with pytest.raises(InputError, match=r"lost\.mp4: there is no such file"):
        motion_energy({"a": tmp_path / "lost.mp4"}, **SMALL)


def test_without_pymoten_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "moten", None)
    with pytest.raises(EnvironmentFailure, match=r'pip install "affectome\[motion\]"'):
        motion_energy({"a": grating(0, 2, 2)}, **SMALL)
