"""Tables are read so that every fault is named by file, row and remedy."""

import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome._tables import check_unique, cut_short, numeric_columns, read_indexed_table, read_table, row_name
from affectome.errors import InputError

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@pytest.fixture
def write(tmp_path):
    """Write bytes or text to a named file and return its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_text_columns_are_kept_letter_for_letter(write):
    frame = read_table(write("t.csv", "id,x\n0001,1\nNA,2\n1e3,3\n"))
    assert frame["id"].tolist() == ["0001", "NA", "1e3"]
    assert frame["x"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,x\na,1.5\nb,2\n"),
        ("t.CSV", "id,x\r\na,1.5\r\nb,2\r\n"),
        ("bom.csv", b"\xef\xbb\xbfid,x\na,1.5\nb,2\n"),
        ("torn.csv", "id,x\na,1.5\nb,2"),
        ("quoted.csv", '"id","x"\n"a","1.5"\n"b","2"\n'),
        ("late.csv", "\n\r\n\nid,x\na,1.5\nb,2\n"),
        ("t.tsv", "id\tx\na\t1.5\nb\t2\n"),
        ("t.txt", "id\tx\na\t1.5\nb\t2\n"),
        ("t.tab", "id\tx\na\t1.5\nb\t2\n"),
    ],
)
def test_one_table_reads_the_same_in_every_text_form(write, name, content):
    frame = read_indexed_table(write(name, content))
    assert frame.index.tolist() == ["a", "b"] and frame.index.name == "id"
    assert frame["x"].tolist() == [1.5, 2.0]


@pytest.mark.parametrize("as_index", [False, True])
def test_a_parquet_table_gives_text_ids_from_a_column_or_an_index(tmp_path, as_index):
    frame = pd.DataFrame({"id": [1, 20], "x": [0.5, 1.0]})
    (frame.set_index("id") if as_index else frame).to_parquet(tmp_path / "t.parquet")
    read = read_indexed_table(tmp_path / "t.parquet")
    assert read.index.tolist() == ["1", "20"]
    assert read["x"].tolist() == [0.5, 1.0]


@settings(deadline=None, max_examples=50)
@given(ids=st.lists(PRINTABLE, min_size=1, max_size=6, unique=True))
def test_any_printable_id_survives_a_csv_file(tmp_path_factory, ids):
    path = tmp_path_factory.getbasetemp() / "ids.csv"
    with open(path, "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([["id", "x"], *([name, 1] for name in ids)])
    assert read_indexed_table(path).index.tolist() == ids


BAD_TABLES = {
    "missing column": ("t.csv", "name,x\na,1\n", ["has no column 'id'", "name the id column", "name, x"]),
    "empty file": ("t.csv", "", ["is empty", "give it a header line"]),
    "only a header": ("t.csv", "id,x\n", ["holds no rows", "one line per stimulus"]),
    "duplicate id": ("t.csv", "id,x\na,1\nb,2\na,3\n", ["row 3", "'a' was already used in row 1", "rename or delete"]),
    "blank id": ("t.csv", "id,x\na,1\n  ,2\n", ["row 2", "the id is empty", "give it an id"]),
    "duplicate column": ("t.csv", "id,x,x\na,1,2\n", ["'x' appears 2 times", "rename one"]),
    "ragged row": ("t.csv", "id,x\na,1\nb,2,3\n", ["cannot be parsed", "line 3", "repair that line"]),
    "ragged first row": ("t.csv", "id,x\na,1,9\nb,2\n", ["more cells than the 2 of the header", "repair that row"]),
    "all rows ragged": ("t.csv", "id,x\na,1,9\nb,2,9\n", ["more cells than the 2 of the header", "repair that row"]),
    "only blank lines": ("t.csv", "\n\n", ["is empty", "give it a header line"]),
    "open quote": ("t.csv", 'id,x\n"a,1\n', ["cannot be parsed", "row 1", "repair that line"]),
    "non-UTF-8 header": ("t.csv", b"id,\xe4\na,1\n", ["is not UTF-8 text", "save it as UTF-8"]),
    "non-UTF-8 cell": ("t.csv", b"id,x\n" + 9000 * b"a,1\n" + b"\xe4,1\n", ["is not UTF-8 text", "save it as UTF-8"]),
    "UTF-16": ("t.csv", "id,x\na,1\n".encode("utf-16"), ["is not UTF-8 text", "save it as UTF-8"]),
    "unknown extension": ("t.xlsx", "id,x\n", ["'.xlsx'", ".csv, .tsv", "convert or rename"]),
    "not Parquet": ("t.parquet", "id,x\na,1\n", ["is not a whole Parquet file", "write or copy it again"]),
}


@pytest.mark.parametrize(("name", "content", "parts"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_refused_with_file_place_and_remedy(write, name, content, parts):
    path = write(name, content)
    with pytest.raises(InputError) as caught:
        read_indexed_table(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and all(part in message for part in parts), message


def test_a_missing_table_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv: there is no such file; check the path"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"nowhere: there is no such file; check the path"):
        read_table(tmp_path / "nowhere")
    (tmp_path / "f.csv").mkdir()
    with pytest.raises(InputError, match=r"f\.csv: cannot be read .*; check the path"):
        read_table(tmp_path / "f.csv")


def test_a_missing_id_in_parquet_is_refused_with_its_row(tmp_path):
    pd.DataFrame({"id": ["a", None], "x": [1.0, 2.0]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet, row 2: the id is empty"):
        read_indexed_table(tmp_path / "t.parquet")


def test_repeated_columns_are_numbered_only_when_asked_for(write):
    path = write("t.csv", "id,x,x\na,1,2\n")
    assert read_table(path, repeated_columns=True).columns.tolist() == ["id", "x", "x.1"]


def test_check_unique_names_both_rows():
    check_unique(["a", "b"], source=None)
    with pytest.raises(InputError, match="t, row 4: the id 'b' was already used in row 2; rename or delete"):
        check_unique(["a", "b", "c", "b"], source="t")


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "is missing"),
        ("nan", "is missing"),
        ("NaN", "is missing"),
        (np.nan, "is missing"),
        ("NA", "is 'NA', not a finite number"),
        ("1,5", "is '1,5', not a finite number"),
        ("high", "is 'high', not a finite number"),
        ("inf", "is 'inf', not a finite number"),
        (-np.inf, "is '-inf', not a finite number"),
        (1e300, "is '1e+300', not a finite number"),
        ("-1e39", "is '-1e39', not a finite number"),
    ],
)
def test_a_cell_that_is_no_number_is_named_by_row_id_and_column(cell, problem):
    frame = pd.DataFrame({"Joy": [1, 2, 3], "Fear": ["1", cell, "bad too"]}, index=["a", "b", "c"])
    with pytest.raises(InputError) as caught:
        numeric_columns(frame, source="t.csv")
    assert str(caught.value) == (
        f"t.csv, row 2 (id b): the value in column 'Fear' {problem}; fill it in, or remove the row or the column."
    )


def test_numeric_columns_turns_numbers_in_text_into_float32():
    frame = numeric_columns(pd.DataFrame({1: ["0.1", " 2 ", "-3e-2"], "y": [1, 2, 3]}, index=list("abc")), source=None)
    assert frame.columns.tolist() == ["1", "y"] and set(frame.dtypes) == {np.dtype("float32")}
    assert np.array_equal(frame["1"], np.array([0.1, 2, -0.03], np.float32))


def test_names_are_counted_from_one_and_lists_are_cut_short():
    assert row_name(pd.Index(["a", "b"]), 1) == "row 2 (id b)"
    assert cut_short(list("abcde")) == "a, b, c, d, e"
    assert cut_short(list("abcdefg"), 2) == "a, b and 5 more"
