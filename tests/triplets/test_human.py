"""Answers of people from a table: every reading of a choice, and every fault by its row."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError, read_answers, read_triplets, write_triplets
from affectome.stimuli import StimulusSet

HEADER = "participant,a,b,c,choice\n"


def write(folder, text, name="answers.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def fault(path, **options):
    with pytest.raises(InputError) as caught:
        read_answers(path, **options)
    return str(caught.value).removeprefix(f"{path}, ").removeprefix(f"{path}: ")


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(), form=st.sampled_from(["id", "slot", "slot0", "slot1"]), suffix=st.sampled_from(["csv", "parquet"])
)
def test_what_was_written_is_read_in_every_form(tmp_path_factory, data, form, suffix):
    ids = [f"clip {k:02d}" for k in range(data.draw(st.integers(3, 8)))]
    n = data.draw(st.integers(1, 15))
    rows = np.array([data.draw(st.permutations(range(len(ids))))[:3] for _ in range(n)])
    choice = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)))
    person = data.draw(st.lists(st.sampled_from(["p3", "p1", "NA"]), min_size=n, max_size=n))
    names = np.array(ids)[rows]
    words = {
        "id": names[np.arange(n), choice],
        "slot": np.array(list("abc"))[choice],
        "slot0": choice,
        "slot1": choice + 1,
    }
    cells = [None if c < 0 else str(word) for c, word in zip(choice, words[form], strict=True)]
    table = pd.DataFrame(
        {"session": 1, "who": person, **dict(zip(("l", "m", "r"), names.T, strict=True)), "odd": cells}
    )
    path = tmp_path_factory.getbasetemp() / f"answers.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(table), path)
    named = {"participant_column": "who", "slot_columns": ("l", "m", "r"), "choice_column": "odd"}
    trials = read_answers(path, stimuli=ids, choice=form, **named)
    assert trials.ids == tuple(ids)
    np.testing.assert_array_equal(trials.triplets, rows)
    np.testing.assert_array_equal(trials.choice, choice)
    assert [trials.metadata["participants"][b] for b in trials.block] == person
    assert trials.metadata["order_shown"] == "known"
    if form in ("id", "slot"):  # nothing else fits
        np.testing.assert_array_equal(read_answers(path, stimuli=ids, **named).choice, choice)


def test_ids_are_sorted_as_found_or_as_the_stimuli_say(tmp_path):
    path = write(tmp_path, HEADER + "p,010,9,b,9\nq,b,9,010,\n")
    trials = read_answers(path)
    assert (trials.ids, trials.triplets.tolist(), trials.choice.tolist()) == (
        ("010", "9", "b"), [[0, 1, 2], [2, 1, 0]], [1, -1]
    )  # fmt: skip
    told = read_answers(path, stimuli=StimulusSet(["x", "b", "9", "010"]))
    assert (told.ids, told.triplets.tolist()) == (("x", "b", "9", "010"), [[3, 2, 1], [1, 2, 3]])


def test_people_survive_the_disk_and_a_selection(tmp_path):
    path = write(tmp_path, HEADER + "zoe,u,v,w,u\nadam,w,v,u,v\nzoe,v,w,u,u\n")
    write_triplets(tmp_path / "t.parquet", read_answers(path))
    trials = read_triplets(tmp_path / "t.parquet")[1:]
    assert [trials.metadata["participants"][b] for b in trials.block] == ["adam", "zoe"]
    alone = read_answers(path, participant_column=None)
    assert alone.block is None and "participants" not in alone.metadata


@pytest.mark.parametrize(
    ("columns", "word", "slot"),
    [
        (("left", "middle", "right"), "Middle", 1),
        (("left", "middle", "right"), "B", 1),
        (("c", "b", "a"), "a", 2),
        (("a", "b", "c"), " C ", 2),
        (("s1", "s2", "s3"), "s3", 2),
    ],
)
def test_a_slot_goes_by_the_name_of_its_column_or_by_a_letter(tmp_path, columns, word, slot):
    path = write(tmp_path, f"participant,{','.join(columns)},choice\np,u,v,w,{word}\n")
    assert read_answers(path, slot_columns=columns).choice.tolist() == [slot]


def test_a_column_called_b_that_comes_first_is_no_second_slot(tmp_path):
    path = write(tmp_path, "participant,b,x,y,choice\np,u,v,w,b\n")
    assert read_answers(path, slot_columns=("b", "x", "y")).choice.tolist() == [0]
    path = write(tmp_path, "participant,b,x,y,choice\np,u,v,w,c\n")
    assert fault(path, slot_columns=("b", "x", "y")).startswith("row 1: the choice 'c' is not")


def test_choices_that_can_be_read_in_two_ways_are_refused_until_said(tmp_path):
    path = write(tmp_path, HEADER + "p,2,3,1,2\nq,1,3,2,3\n")
    assert fault(path) == (
        "the choices can be read as ids of stimuli or as slots counted from 1; "
        "say which is meant with choice (id or slot1)."
    )
    assert read_answers(path, choice="id").choice.tolist() == [0, 1]
    assert read_answers(path, choice="slot1").choice.tolist() == [1, 2]
    path = write(tmp_path, HEADER + "p,b,a,c,a\n")
    assert "ids of stimuli or as names of slots" in fault(path)
    assert read_answers(path, choice="slot").choice.tolist() == [0]
    assert read_answers(path, choice="id").choice.tolist() == [1]


def test_readings_that_say_the_same_need_no_word(tmp_path):
    assert read_answers(write(tmp_path, HEADER + "p,a,b,c,b\nq,a,b,c,c\n")).choice.tolist() == [1, 2]
    assert read_answers(write(tmp_path, HEADER + "p,17,4,1,4\nq,2,17,1,17\n")).choice.tolist() == [1, 1]


@pytest.mark.parametrize("cells", ["12", "01", "13"])
def test_numbers_are_never_taken_for_slots_unless_told(tmp_path, cells):
    path = write(tmp_path, HEADER + "".join(f"p,u,v,w,{cell}\n" for cell in cells))
    assert fault(path) == (
        "the choices are numbers that are no ids of stimuli; say which is meant with choice (slot0 or slot1)."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty; give it a header line and one line per stimulus."),
        (HEADER, "holds no answers; give it one row per trial."),
        (HEADER + "p,u,v,w,u\n ,u,v,w,u\n", "row 2: the participant is missing; fill it in."),
        (HEADER + "p,u,v,w,u\np,u,,w,u\n", "row 2: the stimulus in column 'b' is missing; fill it in."),
        (HEADER + "p,u,v,w,u\np,u,w,u,u\n", "row 2: a stimulus is shown twice (u, w, u); correct or delete the row."),
        (
            HEADER + "p,u,v,w,u\np,u,v,w,x\np,u,v,x,x\n",
            "row 2: the choice 'x' is not among the three stimuli shown (u, v, w); "
            "correct it, or leave it empty where there was no answer.",
        ),
        (
            HEADER + "p,u,v,w,a\np,u,v,w,d\n",
            "row 2: the choice 'd' is not one of the names of slots; "
            "correct it, or leave it empty where there was no answer.",
        ),
        (HEADER + "p,u,v,w,u\np,u,v\n", "row 2: the stimulus in column 'c' is missing; fill it in."),
        (
            HEADER + "p,u,v,w,u\np,u,v,w",
            "row 2: the last line has no choice and no line break, and may be torn; "
            "complete it, or add the line break if it is whole.",
        ),
        (
            "who,a,b,c,choice\np,u,v,w,u\n",
            "has no column 'participant'; name the columns of participant, slots and choice "
            "(the table has who, a, b, c, choice).",
        ),
    ],
)
def test_a_fault_is_named_by_its_row(tmp_path, text, expected):
    assert fault(write(tmp_path, text)) == expected


def test_an_unknown_id_is_named_by_its_row_and_column(tmp_path):
    path = write(tmp_path, HEADER + "p,u,v,w,u\np,u,v,z,u\n")
    assert fault(path, stimuli=["u", "v", "w"]) == (
        "row 2: the stimulus 'z' in column 'c' is none of the 3 stimuli; correct the id (they are u, v, w)."
    )


def test_wrong_options_and_files_are_refused(tmp_path):
    path = write(tmp_path, HEADER + "p,u,v,w,u\n")
    assert "choice='word' is unknown" in fault(path, choice="word")
    assert "do not name three slots" in fault(path, slot_columns=("a", "b"))
    assert "do not name three slots" in fault(path, slot_columns=("a", "b", "choice"))
    write_triplets(tmp_path / "t.parquet", read_answers(path))
    assert fault(tmp_path / "t.parquet").startswith("is a triplet file of affectome already")
    assert "no such file" in fault(tmp_path / "none.csv")


def test_a_row_written_twice_is_kept_and_said(tmp_path, caplog):
    rows = "p,u,v,w,u,12\n"
    path = write(tmp_path, "participant,a,b,c,choice,trial\n" + rows + "p,u,v,w,u,13\n" + rows)
    assert len(read_answers(path)) == 3
    assert "1 rows are copies of an earlier row in every column (the first is row 3); they are kept" in caplog.text
    caplog.clear()
    read_answers(write(tmp_path, HEADER + "p,u,v,w,u\nq,u,v,w,u\n"))
    assert caplog.messages == []
    read_answers(write(tmp_path, HEADER + "p,u,v,w,\n"))
    assert "no trial is answered" in caplog.text


def test_null_and_whole_numbers_of_parquet_are_cells(tmp_path):
    table = pa.table({"participant": [1, 2], "a": [10, 11], "b": [11, 12], "c": [12, 10], "choice": [11.0, None],
                      "eyes": [[1.0], [2.0]]})  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    trials = read_answers(tmp_path / "a.parquet")
    assert (trials.ids, trials.choice.tolist()) == (("10", "11", "12"), [1, -1])
    assert trials.metadata["participants"] == ["1", "2"]
