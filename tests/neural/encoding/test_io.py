from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import Recording, encode
from affectome.neural.encoding import Encoding, read_encoding, write_encoding


@pytest.fixture(scope="module")
def encoding():
    rng = np.random.default_rng(0)
    ids = [f"s{k:03d}" for k in range(90)]
    space = pd.DataFrame(rng.normal(size=(90, 4)), index=ids, columns=["Joy", "Ärger", "Awe", "Fear"])
    trials = pd.DataFrame({"stimulus": ids, "run": np.arange(90) // 9 + 1, "session": 1})
    recording = Recording("sub-01", rng.normal(size=(90, 7)).astype(np.float32), trials)
    return encode(
        space,
        recording,
        name="planted",
        n_folds=5,
        bands={"one": ["Joy", "Awe"], "two": ["Ärger", "Fear"]},
        weightings=3,
        seed=0,
    )


def _same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    return a == b


def test_an_encoding_comes_back_bit_for_bit(encoding, tmp_path):
    again = read_encoding(write_encoding(tmp_path / "one.npz", encoding))
    for item in fields(Encoding):
        if item.name != "models":
            assert _same(getattr(encoding, item.name), getattr(again, item.name)), item.name
    assert np.array_equal(encoding.predict(), again.predict())
    assert np.array_equal(encoding.baseline(), again.baseline())
    for name, part in encoding.predict_bands().items():
        assert np.array_equal(part, again.predict_bands()[name])


def test_damaged_and_foreign_files_are_named(encoding, tmp_path):
    whole = write_encoding(tmp_path / "whole.npz", encoding)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:-2000])
    other = tmp_path / "other.npz"
    np.savez(other, a=np.ones(2))
    for path in (cut, other):
        with pytest.raises(InputError, match="not a whole encoding"):
            read_encoding(path)
    with pytest.raises(InputError, match="no such file"):
        read_encoding(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"extension '\.npy'; use \.npz"):
        write_encoding(tmp_path / "one.npy", encoding)


def test_a_newer_file_is_refused(encoding, tmp_path, monkeypatch):
    monkeypatch.setattr("affectome.neural.encoding._io.SCHEMA", 99)
    path = write_encoding(tmp_path / "new.npz", encoding)
    with pytest.raises(InputError, match="schema version 99"):
        read_encoding(path)
