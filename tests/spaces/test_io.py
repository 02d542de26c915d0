"""Spaces on disk keep every id, number and note of how they were made."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectome._files import SCHEMA, read_parquet
from affectome.errors import EnvironmentFailure, InputError
from affectome.spaces import SPACE_FORMATS, read_space, write_space

IDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
FORMATS = sorted(SPACE_FORMATS)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), ids=st.lists(IDS, min_size=1, max_size=5, unique=True))
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_space_reads_back_bit_for_bit(tmp_path_factory, suffix, data, ids):
    values = data.draw(arrays(np.float32, (len(ids), 2), elements=FLOATS))
    space = pd.DataFrame(values, index=pd.Index(ids, name="id"), columns=["Joy", "Aesthetic Appreciation"])
    path = tmp_path_factory.getbasetemp() / f"space{suffix}"
    write_space(path, space)
    read = read_space(path)
    assert read.index.tolist() == ids and read.columns.tolist() == space.columns.tolist()
    assert np.array_equal(read.to_numpy(), values) and set(read.dtypes) == {np.dtype("float32")}


def test_parquet_keeps_how_the_space_was_made(tmp_path, space):
    made = {"method": "spose", "seed": 3, "lambda": 0.008}
    write_space(tmp_path / "s.parquet", space, made)
    assert read_space(tmp_path / "s.parquet").attrs == made


def test_a_space_can_be_read_by_another_id_column(tmp_path):
    (tmp_path / "s.csv").write_text("clip,Joy\n01,0.5\n")
    assert read_space(tmp_path / "s.csv", id_column="clip").index.tolist() == ["01"]


BAD = {
    "missing column": ("clip,Joy\na,1\n", ["has no column 'id'", "name the id column"]),
    "duplicate id": ("id,Joy\na,1\na,2\n", ["row 2", "already used in row 1", "rename or delete"]),
    "missing rating": ("id,Joy\na,1\nb,\n", ["row 2 (id b)", "'Joy' is missing", "fill it in"]),
    "short row": ("id,Joy,Awe\na,1,2\nb,1\n", ["row 2 (id b)", "'Awe' is missing", "fill it in"]),
    "no number": ("id,Joy\na,much\n", ["row 1 (id a)", "'Joy' is 'much', not a finite number", "fill it in"]),
    "ids alone": ("id\na\n", ["has no feature columns", "at least one"]),
}


@pytest.mark.parametrize(("content", "parts"), BAD.values(), ids=BAD)
def test_a_bad_space_file_is_refused_with_file_row_and_remedy(tmp_path, content, parts):
    path = tmp_path / "s.csv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_space(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and all(part in message for part in parts), message


def test_metadata_of_the_caller_override_neither_schema_nor_kind(tmp_path, space):
    made = {"kind": "triplets", "affectome_schema": SCHEMA + 1, "n": np.int64(3), "rate": np.float32(0.5)}
    write_space(tmp_path / "s.parquet", space, made)
    metadata = read_parquet(tmp_path / "s.parquet")[1]
    assert (metadata["kind"], metadata["affectome_schema"]) == ("space", SCHEMA)
    assert read_space(tmp_path / "s.parquet").attrs == {"n": 3, "rate": 0.5}


def test_the_formats_of_a_space_are_listed():
    assert FORMATS == [".csv", ".parquet", ".tsv"]


def test_a_space_of_a_newer_release_is_refused(tmp_path, space, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr("affectome._files.SCHEMA", SCHEMA + 1)
        write_space(tmp_path / "s.parquet", space)
    with pytest.raises(InputError, match=r"s\.parquet: has schema version 2.*install a newer affectome"):
        read_space(tmp_path / "s.parquet")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_space_cannot_be_written_below_a_file(tmp_path, space, suffix):
    (tmp_path / "file").write_text("old")
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        write_space(tmp_path / "file" / f"s{suffix}", space)
    assert (tmp_path / "file").read_text() == "old"


def test_nothing_is_written_for_an_unknown_format_or_a_bad_space(tmp_path, space):
    with pytest.raises(InputError, match=r"s\.xlsx: has the extension '\.xlsx'; use \.parquet or \.csv or \.tsv\."):
        write_space(tmp_path / "s.xlsx", space)
    space.iloc[3, 2] = np.nan
    with pytest.raises(InputError, match=r"row 4 \(id 0003\): the value in column 'r' is missing"):
        write_space(tmp_path / "s.csv", space)
    assert list(tmp_path.iterdir()) == []
