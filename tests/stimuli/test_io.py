"""Stimuli come from a table or a folder of clips; faults are named by file, row and remedy."""

import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.stimuli import read_captions, read_stimuli


@pytest.fixture
def folder(tmp_path):
    """A folder with two clips."""
    for name in ("b.mp4", "a.MOV"):
        (tmp_path / name).write_bytes(b"clip")
    return tmp_path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_gives_ids_captions_and_videos(folder, suffix):
    frame = pd.DataFrame(
        {
            "id": ["001", "NA", "z"],
            "caption": ["A dog.", "", " None "],
            "caption_2": ["", "", "A cat."],
            "video": ["a.MOV", "", " b.mp4 "],
        }
    )
    path = folder / f"stimuli{suffix}"
    if suffix == ".parquet":
        frame.replace("", None).to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="," if suffix == ".csv" else "\t", encoding="utf-8-sig")
    stimuli = read_stimuli(path)
    assert stimuli.ids == ("001", "NA", "z")
    assert stimuli.captions == {"001": ("A dog.",), "NA": (), "z": ("None", "A cat.")}
    assert stimuli.videos == {"001": folder / "a.MOV", "z": folder / "b.mp4"}


def test_a_table_may_call_its_id_column_otherwise(tmp_path):
    (tmp_path / "s.csv").write_text("clip,caption\n01,A dog.\n02\n")
    stimuli = read_stimuli(tmp_path / "s.csv", id_column="clip")
    assert stimuli.ids == ("01", "02") and stimuli.captions["02"] == ()


def test_a_folder_gives_one_stimulus_per_clip_with_the_captions_beside_it(folder):
    (folder / "a.txt").write_bytes("\ufeffA dog.\r\n\r\n Happy dog. \n".encode())
    (folder / "notes.txt").write_text("not a clip")
    stimuli = read_stimuli(folder)
    assert stimuli.ids == ("a", "b")
    assert stimuli.captions == {"a": ("A dog.", "Happy dog."), "b": ()}
    assert stimuli.videos == {"a": folder / "a.MOV", "b": folder / "b.mp4"}


def test_a_folder_without_clips_or_with_two_of_one_name_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no clips; put video files there \(\.mp4, "):
        read_stimuli(folder / "empty")
    (folder / "b.webm").write_bytes(b"clip")
    with pytest.raises(InputError, match=r"'b\.mp4' and 'b\.webm' would share the id 'b'; rename one"):
        read_stimuli(folder)


def test_captions_are_gathered_by_id_in_the_order_of_the_table(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes('\ufeffid,caption\n10,One.\n2, Two. \n10,NA\n2,"Four, five."\n'.encode())
    captions = read_captions(path)
    assert list(captions.items()) == [("10", ("One.", "NA")), ("2", ("Two.", "Four, five."))]


TABLES = {
    "duplicate id": (read_stimuli, "id,caption\na,x\na,y\n", ["row 2", "'a' was already used in row 1", "rename"]),
    "no id column": (read_stimuli, "name,caption\na,x\n", ["has no column 'id'", "name the id column"]),
    "no rows": (read_stimuli, "id,caption\n", ["holds no rows", "one line per stimulus"]),
    "no such video": (
        read_stimuli,
        "id,video\na,b.mp4\nc,gone.mp4\n",
        ["row 2 (id c)", "the video 'gone.mp4' does not exist", "relative to the table"],
    ),
    "no caption column": (read_captions, "id,text\na,x\n", ["has no column 'caption'", "it has id, text"]),
    "no captions": (read_captions, "id,caption\n", ["holds no captions", "one line per caption"]),
    "blank caption": (read_captions, "id,caption\na,x\na, \n", ["row 2", "the caption is empty", "fill it in"]),
    "blank caption id": (read_captions, "id,caption\n,x\n", ["row 1", "the id is empty", "delete the row"]),
    "short row": (read_captions, "id,caption\na,x\nb\n", ["row 2", "the caption is empty", "fill it in"]),
}


@pytest.mark.parametrize(("read", "content", "parts"), TABLES.values(), ids=TABLES)
def test_a_bad_table_is_refused_with_file_row_and_remedy(folder, read, content, parts):
    path = folder / "table.csv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and all(part in message for part in parts), message
