"""Triplets on disk: Parquet keeps everything, odd-last files what other programs understand."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome._files import SCHEMA, read_parquet, write_parquet
from affectome.errors import EnvironmentFailure, InputError
from affectome.stimuli import StimulusSet
from affectome.triplets import TRIPLET_FORMATS, TripletSet, read_triplets, write_triplets


def sets(draw):
    n = draw(st.integers(1, 12))
    m = draw(st.integers(3, 9))
    rows = draw(st.lists(st.permutations(range(m)).map(lambda p: p[:3]), min_size=n, max_size=n))
    choice = draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n))
    weights = np.random.default_rng(draw(st.integers(0, 99))).dirichlet([1, 1, 1], n)
    ids = draw(st.lists(st.text(min_size=1, max_size=4), min_size=m, max_size=m, unique=True))
    return TripletSet(
        rows,
        ids,
        choice,
        probabilities=draw(st.sampled_from([None, weights])),
        block=draw(st.sampled_from([None, np.arange(n)])),
        metadata=draw(st.dictionaries(st.sampled_from(["seed", "judge"]), st.integers() | st.text(max_size=4))),
    )


@settings(deadline=None, max_examples=50)
@given(trials=st.composite(sets)())
def test_parquet_gives_back_everything_as_it_was(tmp_path_factory, assert_same, trials):
    path = tmp_path_factory.getbasetemp() / "t.parquet"
    write_triplets(path, trials)
    assert_same(read_triplets(path), trials)


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_an_odd_last_file_holds_the_answers_and_is_read_by_numpy(tmp_path, trials, suffix, caplog):
    path = tmp_path / f"t{suffix}"
    write_triplets(path, trials)
    plain = np.load(path) if suffix == ".npy" else np.loadtxt(path, dtype=int)
    np.testing.assert_array_equal(plain, trials.odd_last())
    assert "2 unanswered trials are not in" in caplog.text
    read = read_triplets(path, stimuli=trials.ids)
    assert read.ids == trials.ids and set(read.choice.tolist()) == {2}
    np.testing.assert_array_equal(read.odd_last(), trials.odd_last())
    assert read.metadata == {"order_shown": "unknown", "imported_from": path.name}
    assert read_triplets(path).n_stimuli == trials.odd_last().max() + 1
    assert read_triplets(path, stimuli=40).ids[-1] == "39"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.txt", "0 1 2\n3 0 4\n"),
        ("t.txt", "\ufeff0 1 2\n3 0 4\n"),
        ("t.txt", "0\t1\t2\r\n3\t0\t4\r\n"),
        ("t.tsv", "0\t1\t2\n3\t0\t4\n"),
        ("t.csv", "0,1,2\n3, 0, 4\n"),
        ("t", "# odd last\n0 1 2\n\n3 0 4\n"),
        ("t.txt", "0.000e+00 1.000e+00 2.000e+00\n3. 0.0 4E0\n"),
    ],
)
def test_odd_last_text_is_read_in_its_usual_forms(tmp_path, name, content, caplog):
    (tmp_path / name).write_bytes(content.encode())
    assert read_triplets(tmp_path / name).odd_last().tolist() == [[0, 1, 2], [3, 0, 4]]
    assert caplog.messages == []


@pytest.mark.parametrize(("name", "content"), [("t.txt", "0 1 2\n3 0 4"), ("t.csv", "0,1,2\r\n3,0,4")])
def test_a_last_line_without_its_line_break_may_be_torn_and_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(InputError) as caught:
        read_triplets(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name}, row 2: the last line does not end with a line break and may be torn; "
        "complete it, or add the line break if it is whole."
    )


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_an_index_far_beyond_the_others_needs_the_number_of_stimuli(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"

    def write(highest):
        rows = np.array([[0, 1, 2], [3, highest, 4], [1, 2, 3]])  # six different stimuli
        np.save(path, rows) if suffix == ".npy" else np.savetxt(path, rows, fmt="%d")

    write(1059)
    assert read_triplets(path).n_stimuli == 1060
    write(1060)
    with pytest.raises(InputError) as caught:
        read_triplets(path)
    assert str(caught.value) == (
        f"{path}, row 2: the stimulus index 1060 is far beyond the 6 stimuli of the file; "
        "correct it, or say how many stimuli there are."
    )
    assert read_triplets(path, stimuli=1061).n_stimuli == 1061


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_indices_counted_from_one_are_refused_or_where_the_number_is_unknown_warned_of(tmp_path, suffix, caplog):
    path = tmp_path / f"t{suffix}"
    rows = np.array([[1, 2, 3], [4, 2, 5]])
    np.save(path, rows) if suffix == ".npy" else np.savetxt(path, rows)
    with pytest.raises(InputError) as caught:
        read_triplets(path, stimuli=5)
    assert str(caught.value) == (
        f"{path}: its indices run from 1 to 5, the number of stimuli, and seem to be counted from 1; "
        "subtract 1 from every index."
    )
    assert read_triplets(path, stimuli=6).n_stimuli == 6 and caplog.messages == []
    assert read_triplets(path).n_stimuli == 6
    assert "its indices run from 1 to 5; if they are counted from 1, subtract 1 from each" in caplog.text


def test_what_an_odd_last_file_has_no_room_for_is_said(tmp_path, trials, caplog):
    shown, n = trials.triplets[trials.answered], int(trials.answered.sum())
    soft = TripletSet(shown, trials.ids, [2] * n, probabilities=np.full((n, 3), 1 / 3), block=np.zeros(n))
    caplog.set_level("INFO")
    write_triplets(tmp_path / "t.txt", soft)
    assert caplog.messages == [
        f"The probabilities and blocks are not in {tmp_path / 't.txt'}, which holds choices alone.",
        f"{tmp_path / 't.txt'} does not keep the order in which the stimuli were shown, nor their ids.",
    ]
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "t.txt"), shown)


TEXT = {
    "torn": ("0 1 2\n3 0", "row 2: '3 0' is not three stimulus indices (the last line is torn); complete or delete"),
    "ragged": ("0 1 2\n3 0 4 5\n", "row 2: '3 0 4 5' is not three stimulus indices; complete or delete the line"),
    "two columns": ("0 1\n3 0\n", "row 1: '0 1' is not three stimulus indices; complete or delete the line"),
    "a name": ("0 1 2\n3 cat 4\n", "row 2: '3 cat 4' is not three stimulus indices; complete or delete the line"),
    "header": ("a b c\n0 1 2\n", "row 1: 'a b c' is not three stimulus indices; complete or delete the line"),
    "NaN": ("0 1 2\n3 nan 4\n", "row 2: a stimulus index is no whole number; give three stimulus indices."),
    "fraction": ("0 1 2\n3 1.5 4\n", "row 2: a stimulus index is no whole number; give three stimulus indices."),
    "infinite": ("0 1 2\n3 inf 4\n", "row 2: a stimulus index is no whole number; give three stimulus indices."),
    "non-UTF-8": (b"0 1 2\n3 \xe4 4\n", "row 2: '3 \ufffd 4' is not three stimulus indices; complete or delete"),
    "empty": ("", "holds no triplets; give it at least one row"),
    "beyond": ("0 1 2\n3 0 9\n", "row 2: the stimulus index 9 is out of range; there are 5 stimuli, counted from 0"),
    "negative": ("0 1 2\n3 0 -1\n", "row 2: the stimulus index -1 is out of range; there are 5 stimuli"),
    "twice": ("0 1 2\n3 3 4\n", "row 2: a stimulus appears twice in the triplet 3 3 4; show three different stimuli"),
}


@pytest.mark.parametrize(("content", "message"), TEXT.values(), ids=TEXT)
def test_a_bad_text_file_is_refused_with_file_row_and_remedy(tmp_path, content, message):
    path = tmp_path / "t.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_triplets(path, stimuli=5)
    assert str(caught.value).replace(f"{path}, ", "").replace(f"{path}: ", "").startswith(message)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.99])
def test_a_cut_npy_file_is_refused(tmp_path, trials, share):
    write_triplets(tmp_path / "t.npy", trials)
    whole = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"cut\.npy: is not a whole \.npy array, or it was cut short; write it again"):
        read_triplets(tmp_path / "cut.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 3), int), "holds no triplets; give it at least one row"),
        (np.zeros((4, 2), int), "the triplets have shape (4, 2); give an array of shape (n, 3)"),
        (np.array([["a", "b", "c"]]), "the triplets are not numbers; give stimulus indices"),
        (np.array([[0, 1, None]]), "is not a whole .npy array"),
    ],
)
def test_an_npy_file_of_something_else_is_refused(tmp_path, array, message):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(InputError) as caught:
        read_triplets(tmp_path / "t.npy")
    assert str(caught.value).startswith(f"{tmp_path / 't.npy'}: {message}")


def test_an_npy_file_with_a_fraction_is_refused_with_its_row(tmp_path):
    np.save(tmp_path / "t.npy", [[0, 1, 2], [0, 1, 1.5]])
    with pytest.raises(InputError, match=r"t\.npy, row 2: a stimulus index is no whole number; give three stimulus"):
        read_triplets(tmp_path / "t.npy")


GOOD = {"a": [0, 3], "b": [1, 4], "c": [2, 0], "choice": [0, -1]}
PARQUET = {
    "no column c": ({"a": [0], "b": [1]}, {}, "has no column 'c'; a triplet table has a, b, c and choice"),
    "no rows": ({name: [] for name in GOOD}, {}, "holds no triplets"),
    "another kind": (GOOD, {"kind": "space"}, "holds a space, not triplets; give a triplet file"),
    "damaged ids": (GOOD, {"ids": "vwxyz"}, "has damaged affectome metadata; write it again"),
    "out of range": (GOOD, {"ids": list("wxyz")}, "row 2: the stimulus index 4 is out of range; there are 4 stimuli"),
    "twice": (GOOD | {"c": [2, 3]}, {}, "row 2: a stimulus appears twice in the triplet 3 4 3; show three"),
    "text": (GOOD | {"b": ["x", "y"]}, {}, "the column 'b' has cells that are no whole number; mend them"),
    "null": (GOOD | {"b": [1, None]}, {}, "the column 'b' has cells that are no whole number; mend them"),
    "null block": (GOOD | {"block": [1, None]}, {}, "the column 'block' has cells that are no whole number; mend them"),
    "choice": (GOOD | {"choice": [0, 7]}, {}, "row 2: the choice 7 is no slot; use 0, 1 or 2"),
    "no choice": (
        GOOD | {"choice": [0, None]},
        {},
        "the column 'choice' has cells that are no whole number; mend them",
    ),
    "sum": (
        GOOD | {"p_a": [1.0, 0.5], "p_b": [0.0, 0.5], "p_c": [0.0, 0.5]},
        {},
        "row 2: the probabilities [0.5, 0.5, 0.5] do not sum to 1; divide each row by its sum",
    ),
}


@pytest.mark.parametrize(("columns", "metadata", "message"), PARQUET.values(), ids=PARQUET)
def test_a_bad_parquet_file_is_refused_with_file_row_and_remedy(tmp_path, columns, metadata, message):
    path = tmp_path / "t.parquet"
    write_parquet(path, pa.table(columns), metadata)
    with pytest.raises(InputError) as caught:
        read_triplets(path)
    assert str(caught.value).replace(f"{path}, ", "").replace(f"{path}: ", "").startswith(message)
    assert str(path) in str(caught.value)


def test_triplets_of_a_newer_release_are_refused(tmp_path, trials, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr("affectome._files.SCHEMA", SCHEMA + 1)
        write_triplets(tmp_path / "t.parquet", trials)
    with pytest.raises(
        InputError, match=r"t\.parquet: has schema version 2, and this affectome reads up to 1; install"
    ):
        read_triplets(tmp_path / "t.parquet")


def test_metadata_of_the_trials_override_neither_schema_nor_kind_nor_ids(tmp_path, trials):
    false = {"affectome_schema": SCHEMA + 1, "kind": "space", "ids": ["x"], "seed": np.int64(3)}
    write_triplets(tmp_path / "t.parquet", TripletSet(trials.triplets, trials.ids, trials.choice, metadata=false))
    kept = read_parquet(tmp_path / "t.parquet")[1]
    assert kept == {"affectome_schema": SCHEMA, "kind": "triplets", "ids": list(trials.ids), "seed": 3}
    read = read_triplets(tmp_path / "t.parquet")
    assert read.ids == trials.ids and read.metadata == {"seed": 3}


def test_a_parquet_file_of_other_origin_takes_its_ids_from_the_caller(tmp_path):
    write_parquet(tmp_path / "t.parquet", pa.table({name: GOOD[name] for name in "abc"}), {})
    assert read_triplets(tmp_path / "t.parquet").ids == tuple("01234")
    assert read_triplets(tmp_path / "t.parquet", stimuli=list("vwxyz")).ids == tuple("vwxyz")
    assert not read_triplets(tmp_path / "t.parquet").answered.any()


def test_ids_that_do_not_match_those_in_the_file_are_refused(tmp_path, trials):
    write_triplets(tmp_path / "t.parquet", trials)
    for fitting in (trials.ids, 9, np.int64(9), StimulusSet(trials.ids)):
        assert read_triplets(tmp_path / "t.parquet", stimuli=fitting).ids == trials.ids
    for other, n in ((trials.ids[::-1], 9), (trials.ids[:-1], 8), (8, 8), (10, 10), (np.int64(10), 10)):
        with pytest.raises(InputError) as caught:
            read_triplets(tmp_path / "t.parquet", stimuli=other)
        assert str(caught.value) == (
            f"{tmp_path / 't.parquet'}: was made for 9 other stimuli than the {n} given; leave them out."
        )


@pytest.mark.parametrize("name", ["t.parquet", "t.npy", "t.txt", "t.csv"])
def test_a_missing_file_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="there is no such file; check the path"):
        read_triplets(tmp_path / name)


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".txt"])
def test_triplets_cannot_be_written_below_a_file(tmp_path, trials, suffix):
    (tmp_path / "file").write_text("old")
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        write_triplets(tmp_path / "file" / f"t{suffix}", trials)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_is_written_for_an_unknown_format_or_without_answers(tmp_path, trials):
    with pytest.raises(InputError, match=r"'\.xlsx' is no triplet format; use \.parquet, \.npy or \.txt"):
        read_triplets(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=r"t\.xlsx: has the extension '\.xlsx'; use \.parquet or \.npy or \.txt\."):
        write_triplets(tmp_path / "t.xlsx", trials)
    assert TRIPLET_FORMATS == (".parquet", ".npy", ".txt")
    with pytest.raises(InputError, match=r"no trial is answered.*use \.parquet"):
        write_triplets(tmp_path / "t.txt", trials[:2])
    assert list(tmp_path.iterdir()) == []
