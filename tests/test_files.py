"""Whole files or none, and a schema number in everything written."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome._files import (
    SCHEMA,
    atomic_path,
    check_output,
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


@pytest.mark.parametrize("value", [float("nan"), np.float32("nan"), np.array(np.inf)], ids=repr)
def test_json_refuses_nan_and_keeps_the_old_file(old_file, value):
    for write in (write_json, lambda path, content: write_parquet(path, TABLE, content)):
        with pytest.raises(ValueError, match="JSON"):
            write(old_file, {"r": value})
        assert only_the_old_file_is_there(old_file)


@pytest.mark.parametrize("name", ["t.csv", "t.PARQUET", "deep/er/t.parquet"])
def test_a_good_output_passes_and_nothing_is_written_yet(tmp_path, name):
    check_output(tmp_path / name, (".parquet", ".csv"))
    assert (tmp_path / name).parent.is_dir() and not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.csv.gz"])
def test_an_output_of_another_extension_is_refused_before_anything_is_made(tmp_path, name):
    suffix = Path(name).suffix
    with pytest.raises(InputError, match=rf"{name}: has the extension '{suffix}'; use \.parquet or \.csv\."):
        check_output(tmp_path / "new" / name, (".parquet", ".csv"))
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_refused_beforehand(old_file, monkeypatch):
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        check_output(old_file / "t.csv", (".csv",))
    (old_file.parent / "t.csv").mkdir()
    with pytest.raises(InputError, match=r"t\.csv: is a folder; name a file"):
        check_output(old_file.parent / "t.csv", (".csv",))
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    with pytest.raises(EnvironmentFailure, match=r"u\.csv: is in a folder that cannot be written; choose another"):
        check_output(old_file.parent / "u.csv", (".csv",))


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


@pytest.mark.parametrize("header", [b'{"kind": "space"', b"[1, 2]", b"\xff\xfe\xfd", b""])
def test_damaged_metadata_inside_a_parquet_file_are_refused(tmp_path, header):
    pq.write_table(TABLE.replace_schema_metadata({b"affectome": header}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet: has damaged affectome metadata; write or copy it again"):
        read_parquet(tmp_path / "t.parquet")


def test_what_the_caller_knows_cannot_pass_for_the_schema(tmp_path):
    write_parquet(tmp_path / "t.parquet", TABLE, {"affectome_schema": SCHEMA + 1, "seed": 3})
    assert read_parquet(tmp_path / "t.parquet")[1] == {"affectome_schema": SCHEMA, "seed": 3}
    write_json(tmp_path / "t.json", {"affectome_schema": SCHEMA + 1, "seed": 3})
    assert read_json(tmp_path / "t.json") == {"affectome_schema": SCHEMA, "seed": 3}


def test_numpy_scalars_are_written_as_plain_numbers(tmp_path):
    content = {"n": np.int64(3), "r": np.float32(0.5), "yes": np.bool_(True), "deep": [{"k": np.uint8(7)}, np.array(2)]}
    plain = {"affectome_schema": SCHEMA, "n": 3, "r": 0.5, "yes": True, "deep": [{"k": 7}, 2]}
    write_json(tmp_path / "t.json", content)
    write_parquet(tmp_path / "t.parquet", TABLE, content)
    for read in (read_json(tmp_path / "t.json"), read_parquet(tmp_path / "t.parquet")[1]):
        assert read == plain and type(read["yes"]) is bool
    with pytest.raises(TypeError, match="ndarray cannot be written as JSON"):
        write_json(tmp_path / "u.json", {"many": np.arange(3)})
    assert not (tmp_path / "u.json").exists()


def test_a_parquet_file_of_a_newer_release_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr("affectome._files.SCHEMA", SCHEMA + 1)
        write_parquet(tmp_path / "t.parquet", TABLE, {})
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
