"""From a table of human answers to the figure, as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import read_triplets, sample_triplets, write_triplets
from affectome.behavior import choice_consistency

IDS = [f"v{k:02d}" for k in range(20)]


@pytest.fixture
def folder(tmp_path):
    """Stimuli, human answers as a table and as odd-last text, two models; one of them asked in the odd-last order."""
    questions = sample_triplets(IDS, 120, design="repeated", repeats=3, seed=0)
    rng = np.random.default_rng(0)
    truth = questions.triplets.argmax(axis=1)
    people = questions.with_answers(np.where(rng.random(360) < 0.3, rng.integers(0, 3, 360), truth))
    names = np.array(IDS)[questions.triplets]
    pd.DataFrame(
        {
            "subject": [f"p{b}" for b in questions.block],
            **dict(zip(("left", "mid", "right"), names.T, strict=True)),
            "odd": people.choice + 1,
            "rt": 0.5,
        }
    ).to_csv(tmp_path / "answers.csv", index=False)
    pd.DataFrame({"id": IDS}).to_csv(tmp_path / "stimuli.csv", index=False)
    write_triplets(tmp_path / "old.txt", people)
    write_triplets(tmp_path / "fair.parquet", questions.with_answers(truth)[:120])
    leaky = type(people)(people.odd_last()[:120], IDS, np.full(120, 2))
    write_triplets(tmp_path / "leaky.parquet", leaky)
    return tmp_path


def imported(run, folder, *more):
    options = ("--participant-column", "subject", "--slot-columns", "left,mid,right", "--choice-column", "odd")
    return run("triplets", "import", folder / "answers.csv", *options, *more, "--out", folder / "human.parquet")


def test_from_a_table_to_the_figure(run, folder):
    code, out, _ = imported(run, folder, "--choice", "slot1", "--stimuli", folder / "stimuli.csv", "--json")
    assert code == 0
    assert out.startswith("360 of 360 trials answered by 3 participants, about 20 stimuli, order shown known: ")
    assert json.loads(out.splitlines()[-1])["n_participants"] == 3
    human = read_triplets(folder / "human.parquet")
    models = [folder / "fair.parquet", folder / "leaky.parquet"]
    code, out, err = run(
        "behavior", "consistency", folder / "human.parquet", *models, "--bootstrap", 200, "--seed", 3, "--json",
        "--figure", folder / "figures/bars.png", "--out", folder / "table.csv",
    )  # fmt: skip
    assert code == 0
    want = choice_consistency(human, {path.stem: read_triplets(path) for path in models}, n_boot=200, seed=3)
    found = json.loads(out.splitlines()[-1])
    assert [row["agreement"] for row in found["table"]] == want.table["agreement"].tolist()
    assert found["ceiling"]["upper"] == want.ceiling.upper
    assert found["warnings"] == list(want.warnings)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "table.csv"), want.table)
    assert (folder / "figures/bars.png").read_bytes().startswith(b"\x89PNG")
    assert f"fair    {want.table['agreement'].iloc[0]:.3f} [" in out
    assert f"Human ceiling {want.ceiling.lower:.3f} [" in out
    assert "fair minus leaky: " in out and "120 triplets and 360 human answers compared, 95% intervals" in out
    assert "WARNING: Slots and answers are confounded for 'leaky'" in err and "'fair'" not in err


def test_numbers_as_slots_must_be_said(run, folder):
    code, _, err = imported(run, folder)
    assert code == 2
    assert "answers.csv: the choices are numbers that are no ids of stimuli; say which is meant with choice" in err
    assert not (folder / "human.parquet").exists()


def test_an_odd_last_file_imports_with_its_stimuli_and_an_unknown_order(run, folder):
    code, out, _ = run("triplets", "import", folder / "old.txt", "--stimuli", folder / "stimuli.csv", "--out",
                       folder / "old.parquet")  # fmt: skip
    assert (code, "order shown unknown" in out) == (0, True)
    trials = read_triplets(folder / "old.parquet")
    assert trials.ids == tuple(IDS) and trials.metadata["order_shown"] == "unknown"
    code, _, err = run("triplets", "import", folder / "old.txt", "--out", folder / "old.parquet")
    assert code == 2 and "say with --stimuli which stimuli they count" in err
    # As the reference, its order does not matter; as a model, nothing can be said about its slots.
    code, out, err = run("behavior", "consistency", folder / "old.parquet", folder / "old.txt", "--label", "file",
                         "--bootstrap", 10, "--json")  # fmt: skip
    assert code == 0 and "The order in which 'file' was shown the stimuli is unknown" in err
    assert json.loads(out.splitlines()[-1])["slots"][0]["p"] is None


def test_people_can_be_resampled_and_undefined_numbers_are_null(run, folder):
    imported(run, folder, "--choice", "slot1")
    model = folder / "fair.parquet"
    code, out, err = run(
        "behavior", "consistency", folder / "human.parquet", model, "--resample", "participants", "--json"
    )
    assert code == 0 and "resample only 3 people" in err and "intervals over participants" in out
    write_triplets(folder / "once.parquet", read_triplets(folder / "human.parquet")[:120])
    code, out, err = run("behavior", "consistency", folder / "once.parquet", model, "--json")
    found = json.loads(out.splitlines()[-1])
    assert code == 0 and found["ceiling"] is None and found["table"][0]["of_lower_ceiling"] is None
    assert "there is no noise ceiling" in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--label", "one"], "1 labels were given for 2 models; give --label once per file"),
        (["--label", "x", "--label", "x"], "two models bear the name 'x'"),
        (["--figure", "bars.gif"], "use .png or .svg or .pdf"),
        (["--out", "table.xlsx"], "use .csv"),
        (["--resample", "stimuli"], "choose triplets or participants"),
        (["--resample", "participants"], "does not say who answered"),
        (["--level", "1"], "make no interval"),
    ],
)
def test_wrong_options_end_with_a_sentence(run, folder, options, expected):
    models = [folder / "fair.parquet", folder / "leaky.parquet"]
    code, out, err = run("behavior", "consistency", folder / "fair.parquet", *models, *options)
    assert code == 2 and out == "" and expected in err
