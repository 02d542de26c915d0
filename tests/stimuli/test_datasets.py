"""The loaders of public data, on small files in the published layouts."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from affectome.errors import InputError
from affectome.stimuli import (
    HORIKAWA_DUPLICATES,
    N_PRESENTATIONS,
    N_VIDEOS,
    load_cowen_keltner,
    load_horikawa_features,
    load_mind_captioning,
    video_id,
)

CATEGORIES = ["Admiration", *(f"c{k}" for k in range(32)), "Triumph"]
DIMENSIONS = ["approach", "arousal", *(f"d{k}" for k in range(11)), "valence"]


def ratings_table(columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(0, 1, (3, len(columns))).round(3), columns=columns)
    frame.insert(0, "Filename", ["0001.mp4", "0002.mp4", "0003.mp4"])
    return frame


def features(n=N_PRESENTATIONS):
    """Feature k of presentation i is i + k / 10; repeated presentations show the features of their clip."""
    clip = np.arange(n) % N_VIDEOS
    return (clip[:, None] + np.arange(2) / 10).astype(np.float32)


def semantic_table(values):
    names = [f"stimulus_{k}" for k in range(1, len(values) + 1)]
    return pd.DataFrame({"stimulus_num": names, "red car": values[:, 0], "sky": values[:, 1]})


def write_features(path, values, names=("red_car", "sky")):
    if path.suffix == ".mat":
        savemat(path, {"L": {"feat": values, "featname": np.array(names, dtype=object)}}, do_compression=True)
    else:
        semantic_table(values).to_csv(path, index=False)
    return path


def test_ids_count_clips_and_repeats_return_to_the_first_eleven():
    assert [video_id(k) for k in (1, 2185, 2186, 2196)] == ["0001", "2185", "0001", "0011"]
    assert len({video_id(k) for k in range(1, N_PRESENTATIONS + 1)}) == N_VIDEOS == 2185
    for beyond in (0, 2197):
        with pytest.raises(InputError, match=f"there is no presentation {beyond}; they are numbered 1 to 2196"):
            video_id(beyond)


def test_horikawas_duplicates_leave_the_2181_stimuli_of_the_paper():
    assert N_PRESENTATIONS - len(set(HORIKAWA_DUPLICATES)) == 2181
    assert all(1 <= k <= N_PRESENTATIONS for k in HORIKAWA_DUPLICATES)


def test_ratings_are_split_into_categories_dimensions_and_terms(tmp_path):
    frame = ratings_table([*CATEGORIES, *DIMENSIONS, "abhorrence", "arousal.1"])
    header = ",".join([*frame.columns[:-1], "arousal"])  # the published file has the name twice
    (tmp_path / "r.csv").write_text(header + "\n" + frame.to_csv(index=False, header=False))
    stimuli = load_cowen_keltner(tmp_path / "r.csv")
    assert stimuli.ids == ("0001", "0002", "0003")
    wanted = {"category": CATEGORIES, "dimension": DIMENSIONS, "terms": ["abhorrence", "arousal"]}
    assert {name: space.columns.tolist() for name, space in stimuli.spaces.items()} == wanted
    np.testing.assert_array_equal(
        np.hstack([space.to_numpy() for space in stimuli.spaces.values()]), frame.iloc[:, 1:].to_numpy(np.float32)
    )


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: f.rename(columns={"Filename": "file"}), ["has no column 'Filename'"]),
        (lambda f: f.iloc[:, :40], ["has 39 rating columns", "download the ratings file again"]),
        (lambda f: f[["Filename", *sorted(f.columns[1:])]], ["its rating column", "in their order"]),
        (lambda f: pd.concat([f, f.iloc[:1]]), ["row 4", "'0001.mp4' was already used in row 1"]),
        (lambda f: f.assign(c3=["0.1", "x", "0"]), ["row 2 (id 0002)", "'c3' is 'x', not a finite number"]),
        (lambda f: f.assign(valence=[1, 2, None]), ["row 3 (id 0003)", "'valence' is missing"]),
    ],
)
def test_a_changed_ratings_file_is_refused(tmp_path, change, parts):
    path = tmp_path / "r.csv"
    change(ratings_table([*CATEGORIES, *DIMENSIONS])).to_csv(path, index=False)
    with pytest.raises(InputError) as caught:
        load_cowen_keltner(path)
    assert all(part in str(caught.value) for part in [path.name, *parts]), str(caught.value)


def test_captions_of_repeated_presentations_are_dropped_or_merged_as_asked(tmp_path):
    path = tmp_path / "caption_ck20.csv"
    path.write_bytes(b"\xef\xbb\xbfvideo_id,description\n1,First.\n2,Other.\n1,Again.\n2186,Repeat.\n")
    assert load_mind_captioning(path) == {"0001": ("First.", "Again."), "0002": ("Other.",)}
    merged = load_mind_captioning(path, repeats="merge")
    assert merged == {"0001": ("First.", "Again.", "Repeat."), "0002": ("Other.",)}
    with pytest.raises(InputError, match="'both' is no way to treat repeats; choose drop or merge"):
        load_mind_captioning(path, repeats="both")


@pytest.mark.parametrize("number", ["0", "2197", "1.5", "clip"])
def test_a_caption_of_no_presentation_is_refused(tmp_path, number):
    (tmp_path / "c.csv").write_text(f"video_id,description\n{number},A dog.\n")
    with pytest.raises(InputError, match=rf"c\.csv: '{number}' is no presentation number; .* 1 to 2196"):
        load_mind_captioning(tmp_path / "c.csv")


@pytest.mark.parametrize("name", ["f.mat", "f.csv"])
def test_features_of_presentations_become_a_space_over_clips(tmp_path, name, caplog):
    space = load_horikawa_features(write_features(tmp_path / name, features()))
    assert space.columns.tolist() == ["red car", "sky"]
    assert space.index.tolist() == [f"{k:04d}" for k in range(1, N_VIDEOS + 1)]
    np.testing.assert_array_equal(space.to_numpy(), features()[:N_VIDEOS])
    assert caplog.messages == []


def test_a_repeat_with_other_features_is_logged_and_the_first_ones_kept(tmp_path, caplog):
    values = features()
    values[-1] += 1
    space = load_horikawa_features(write_features(tmp_path / "f.mat", values))
    np.testing.assert_array_equal(space.to_numpy(), features()[:N_VIDEOS])
    assert "gives repeated clips other features" in caplog.text


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "spoil", "parts"),
    [
        ("f.mat", lambda p: write_features(p, features(100)), ["has 100 rows", "2196 presentations"]),
        ("f.mat", lambda p: write_features(p, features(), ["one"]), ["names 1 features and holds 2", "download"]),
        ("f.mat", lambda p: savemat(p, {"x": 1}), ["has no struct L", "give a feature file"]),
        ("f.mat", cut_in_half, ["is not a whole MATLAB v5 file", "download it again"]),
        ("f.mat", lambda p: p.write_text("hello" * 50), ["is not a whole MATLAB v5 file", "download it again"]),
        ("f.csv", lambda p: p.unlink(), ["there is no such file", "check the path"]),
        ("f.csv", lambda p: write_features(p, features(100)), ["has 100 rows", "2196 presentations"]),
        ("f.csv", lambda p: p.write_text("id,x\na,1\n"), ["has no column 'stimulus_num'", "published file"]),
        (
            "f.csv",
            lambda p: semantic_table(features())[::-1].to_csv(p, index=False),
            ["row 1", "'stimulus_2196', not 'stimulus_1'", "in their order"],
        ),
    ],
)
def test_a_spoilt_feature_file_is_refused(tmp_path, name, spoil, parts):
    path = write_features(tmp_path / name, features())
    spoil(path)
    with pytest.raises(InputError) as caught:
        load_horikawa_features(path)
    assert all(part in str(caught.value) for part in [name, *parts]), str(caught.value)
