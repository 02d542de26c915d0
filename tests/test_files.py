"""Whole files or none, and a schema number in everything written."""

import errno
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome._files import (
    SCHEMA,
    atomic_path,
    check_schema,
    file_digest,
    make_folder,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
)
from affectome.errors import EnvironmentFailure, InputError

TABLE = pa.table({"x": [1, 2, 3]})
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def old_file(tmp_path):
    """A file with earlier content, alone in its folder."""
    path = tmp_path / "result.txt"
    path.write_text("old")
    return path


def only_the_old_file_is_there(path):
    return [p.name for p in path.parent.iterdir()] == [path.name] and path.read_text() == "old"


def test_atomic_path_shows_the_new_content_only_when_it_is_whole(old_file):
    with atomic_path(old_file) as temporary:
        temporary.write_text("new")
        assert old_file.read_text() == "old"
        assert temporary.parent == old_file.parent and temporary.suffix == old_file.suffix
    assert old_file.read_text() == "new"
    assert [p.name for p in old_file.parent.iterdir()] == [old_file.name]


def test_atomic_path_makes_the_folders_it_needs(tmp_path):
    with atomic_path(tmp_path / "a" / "b" / "c.txt") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


@pytest.mark.parametrize("error", [InputError("bad"), EnvironmentFailure("gone"), KeyboardInterrupt(), KeyError("k")])
def test_an_interrupted_write_keeps_the_old_file_and_the_reason(old_file, error):
    with pytest.raises(type(error)) as caught, atomic_path(old_file) as temporary:
        temporary.write_text("half")
        raise error
    assert caught.value is error
    assert only_the_old_file_is_there(old_file)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file_and_is_the_machines_fault(old_file, monkeypatch, call):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(EnvironmentFailure, match=r"result\.txt: cannot be written \(No space left.*free space"):
        write_json(old_file, {"a": 1})
    monkeypatch.undo()
    assert only_the_old_file_is_there(old_file)


def test_a_write_that_produces_nothing_fails_and_keeps_the_old_file(old_file):
    with pytest.raises(EnvironmentFailure), atomic_path(old_file):
        pass
    assert only_the_old_file_is_there(old_file)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {}),
        lambda path: write_parquet(path, TABLE, {}),
        make_folder,
    ],
)
def test_a_place_below_a_regular_file_cannot_be_written(old_file, write):
    with pytest.raises(EnvironmentFailure, match=r"result\.txt.*cannot be written.*choose another place"):
        write(old_file / "deeper" / "file")
    assert only_the_old_file_is_there(old_file)


def test_a_target_that_is_a_folder_is_left_alone(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(EnvironmentFailure, match="taken"):
        write_json(tmp_path / "taken", {})
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_file_digest_is_the_published_sha256_test_vector(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@settings(deadline=None, max_examples=40)
@given(content=st.dictionaries(st.text().filter(lambda key: key != "affectome_schema"), JSON_VALUES, max_size=4))
def test_json_reads_back_as_written_with_the_schema_first(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "round.json"
    write_json(path, content)
    assert read_json(path) == {"affectome_schema": SCHEMA, **content}
    assert next(iter(json.loads(path.read_text("utf-8")))) == "affectome_schema"


def test_json_refuses_nan_and_keeps_the_old_file(old_file):
    with pytest.raises(ValueError, match="JSON"):
        write_json(old_file, {"r": float("nan")})
    assert only_the_old_file_is_there(old_file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"a": 1', "is not valid JSON .*delete it or restore"),
        (b"", "is not valid JSON .*delete it or restore"),
        (b'{"a": "\xe4"}', "is not valid JSON .*delete it or restore"),
        (b"[1, 2]", "is not a JSON object; delete it or restore"),
        (b'{"affectome_schema": 2}', "has schema version 2, .* up to 1; install a newer affectome"),
        (b'{"affectome_schema": "next"}', "has schema version next, .*; install a newer affectome"),
    ],
)
def test_a_bad_json_file_is_named_with_its_remedy(tmp_path, content, problem):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"bad\.json: {problem}"):
        read_json(path)


@pytest.mark.parametrize("read", [read_json, read_parquet, file_digest])
def test_a_missing_or_unreadable_file_is_named_with_its_remedy(tmp_path, read):
    with pytest.raises(InputError, match=r"nowhere: there is no such file; check the path"):
        read(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: cannot be read .*; check the path and its permissions"):
        read(tmp_path / "folder")


def test_parquet_carries_its_metadata_inside(tmp_path):
    metadata = {"kind": "test", "ids": ["ä", "b"], "seed": 3}
    write_parquet(tmp_path / "t.parquet", TABLE, metadata)
    table, read = read_parquet(tmp_path / "t.parquet")
    assert table.equals(TABLE)
    assert read == {"affectome_schema": SCHEMA, **metadata}


def test_a_parquet_file_of_other_origin_has_no_metadata_of_ours(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    table, metadata = read_parquet(tmp_path / "t.parquet")
    assert metadata == {} and table.equals(TABLE)


def test_a_parquet_file_of_a_newer_release_is_refused(tmp_path):
    write_parquet(tmp_path / "t.parquet", TABLE, {"affectome_schema": SCHEMA + 1})
    with pytest.raises(InputError, match=r"t\.parquet: has schema version 2.*install a newer affectome"):
        read_parquet(tmp_path / "t.parquet")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_parquet_file_cut_anywhere_is_refused(tmp_path, share):
    write_parquet(tmp_path / "t.parquet", TABLE, {})
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"cut\.parquet: is not a whole Parquet file.*write or copy it again"):
        read_parquet(tmp_path / "cut.parquet")


def test_files_without_a_schema_or_with_an_older_one_are_accepted():
    check_schema({}, "t")
    check_schema({"affectome_schema": SCHEMA}, "t")
    check_schema({"affectome_schema": 0}, "t")
