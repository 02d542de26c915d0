"""A predictor on disk is whole, plain data, and places as the one in memory."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import SpacePredictor
from affectome.errors import InputError
from affectome.prediction import join_features, read_predictor, write_predictor


@pytest.fixture
def fitted():
    rng = np.random.default_rng(0)
    ids = [f"v{k}" for k in range(60)]
    tables = {name: pd.DataFrame(rng.normal(size=(60, 4)), ids, list("wxyz")) for name in ("seen", "said")}
    features, bands = join_features(tables)
    space = pd.DataFrame(np.abs(rng.normal(size=(60, 3))) + features.to_numpy()[:, :3].clip(min=0), ids, list("abc"))
    return SpacePredictor(bands=bands, cv=4).fit(features, space), features


def test_predictor_that_was_read_places_as_the_one_that_was_written(fitted, tmp_path):
    predictor, features = fitted
    write_predictor(tmp_path / "p.npz", predictor, {"space": "mllm"})
    back, made = read_predictor(tmp_path / "p.npz")
    assert made == {"space": "mllm"}
    assert back.get_params() == {**predictor.get_params(), "alphas": list(predictor.alphas)}
    pd.testing.assert_frame_equal(back.place(features).space, predictor.place(features).space)
    pd.testing.assert_frame_equal(back.place(features).extrapolation, predictor.place(features).extrapolation)
    np.testing.assert_array_equal(back.predict(features), predictor.predict(features))


def test_damaged_newer_and_foreign_files_are_named(fitted, tmp_path):
    path = tmp_path / "p.npz"
    write_predictor(path, fitted[0])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"p.npz: is not a whole predictor"):
        read_predictor(path)
    np.savez(path, other=np.ones(3))
    with pytest.raises(InputError, match=r"p.npz: is not a whole predictor"):
        read_predictor(path)
    newer = json.dumps({"affectome_schema": 999}).encode()
    np.savez(path, facts=np.frombuffer(newer, np.uint8))
    with pytest.raises(InputError, match="schema version 999"):
        read_predictor(path)
    with pytest.raises(InputError, match="there is no such file"):
        read_predictor(tmp_path / "none.npz")


def test_what_cannot_be_written_is_said(fitted, tmp_path):
    predictor, features = fitted
    with pytest.raises(InputError, match=r"extension '.pkl'"):
        write_predictor(tmp_path / "p.pkl", predictor)
    nameless = SpacePredictor().fit(features.to_numpy(), np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(InputError, match="knows no names"):
        write_predictor(tmp_path / "p.npz", nameless)


def test_tables_of_features_are_joined_over_shared_stimuli():
    one = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=["a", "b", "c"])
    other = pd.DataFrame({"x": [5.0, 4.0], "y": [0.0, 1.0]}, index=["c", "b"])
    joined, bands = join_features({"one": one, "other": other})
    assert joined.loc["b"].tolist() == [2.0, 4.0, 1.0] and joined.index.tolist() == ["b", "c"]
    assert bands == {"one": ["one: x"], "other": ["other: x", "other: y"]}
    assert join_features({"one": one})[1] is None
    with pytest.raises(InputError, match="share no stimulus"):
        join_features({"one": one, "other": other.add_prefix("z", axis=0)})
