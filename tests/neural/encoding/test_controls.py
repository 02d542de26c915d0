"""Control spaces come from tables and arrays, and stand beside each other by name."""

import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.neural import encode, join_spaces, read_control
from affectome.spaces import write_space


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)


def test_an_array_takes_the_ids_in_their_order(tmp_path, features):
    np.save(tmp_path / "vgg19.npy", features)
    space = read_control(tmp_path / "vgg19.npy", ids=list("edcba"))
    assert space.loc["e"].tolist() == features[0].tolist() and space.index.name == "id"
    assert space.columns[[0, -1]].tolist() == ["feature 1", "feature 300"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_gives_the_stimuli_that_are_wanted(tmp_path, features, suffix):
    path = tmp_path / f"vgg19{suffix}"
    write_space(path, pd.DataFrame(features, index=list("abcde"), columns=[f"unit {k}" for k in range(300)]))
    assert read_control(path).shape == (5, 300)
    assert read_control(path, ids=["d", "a"])["unit 7"].tolist() == pytest.approx(features[[3, 0], 7].tolist())
    with pytest.raises(InputError, match=r"vgg19.*1 of 2 stimuli are not in it \(z\)"):
        read_control(path, ids=["a", "z"])


def test_bad_files_are_named(tmp_path, features):
    np.save(tmp_path / "x.npy", features)
    with pytest.raises(InputError, match=r"x\.npy: is an array and has no stimulus ids"):
        read_control(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"x\.npy"):
        read_control(tmp_path / "x.npy", ids=["a", "b"])
    (tmp_path / "torn.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:300])
    with pytest.raises(InputError, match=r"torn\.npy"):
        read_control(tmp_path / "torn.npy", ids=list("abcde"))
    features[2, 2] = np.nan
    np.save(tmp_path / "nan.npy", features)
    with pytest.raises(InputError, match=r"nan\.npy.*row 3"):
        read_control(tmp_path / "nan.npy", ids=list("abcde"))
    with pytest.raises(InputError, match="there is no such file"):
        read_control(tmp_path / "lost.npy", ids=["a"])


def test_joined_spaces_keep_the_stimuli_they_share_and_their_bands(caplog):
    a = pd.DataFrame({"Joy": [1.0, 2, 3]}, index=["x", "y", "z"])
    b = pd.DataFrame({"Joy": [4.0, 5], "Awe": [6.0, 7]}, index=["z", "y"])
    joint, bands = join_spaces({"mllm": a, "human": b})
    assert bands == {"mllm": ["mllm: Joy"], "human": ["human: Joy", "human: Awe"]}
    assert joint.loc["z"].tolist() == [3, 4, 6] and list(joint.index) == ["y", "z"]
    assert "x" in caplog.text
    with pytest.raises(InputError, match="there is no space to join"):
        join_spaces({})


def test_a_control_wider_than_the_trials_predicts_what_it_should(recorded):
    rng = np.random.default_rng(4)
    wide = rng.normal(size=(120, 600)).astype(np.float32)
    wide[:, :300] += 3 * rng.normal(size=(120, 1))
    space = pd.DataFrame(wide, index=[f"s{k}" for k in range(120)])
    signal = wide[:, :300].mean(axis=1, keepdims=True)
    recording = recorded(np.hstack([signal, rng.normal(size=(120, 1))]) + 0.3 * rng.normal(size=(120, 2)), 12)
    found = encode(space, recording, name="vgg19", alphas=np.logspace(1, 6, 6))
    assert found.r[0] > 0.95 and abs(found.r[1]) < 0.4
