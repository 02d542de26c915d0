"""A space predicted from features, as a user types it."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from affectome import FeatureJudge, ask, read_space, sample_triplets, write_space, write_triplets
from affectome.prediction import read_predictor

N = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    rng, ids = np.random.default_rng(0), [f"clip{k:03d}" for k in range(N + 6)]
    seen = pd.DataFrame(rng.normal(size=(N + 6, 6)), ids).add_prefix("unit ")
    said = pd.DataFrame(rng.normal(size=(N + 6, 5)), ids).add_prefix("unit ")
    slopes = rng.normal(size=(11, 3))
    weights = np.maximum(np.hstack([seen, said]) @ slopes / 2 + rng.normal(size=(N + 6, 3)) / 2, 0)
    space = pd.DataFrame(weights, ids, ["joy", "awe", "fear"])[:N].assign(noise=rng.gamma(1, size=N))
    write_space(folder / "seen.parquet", seen)
    write_space(folder / "said.csv", said[:N])
    write_space(folder / "space.parquet", space)
    new = seen[N:].copy()
    new.iloc[-1] += 30
    write_space(folder / "new.parquet", new.assign(other=0.0))
    trials = sample_triplets(space.index.tolist(), 300, seed=1)
    write_triplets(folder / "held_out.parquet", ask(FeatureJudge(space, metric="dot"), trials))
    (folder / "copies.csv").write_text("id,group\nclip000,a\nclip001,a\nelsewhere,b\n")
    (folder / "gone.txt").write_text("clip119\n")
    return folder


def fitted(folder, out, *options):
    return (
        "predict", "fit", "--features", folder / "seen.parquet", "--space", folder / "space.parquet", "--out", out,
        "--permutations", 199, "--quiet", *options,
    )  # fmt: skip


@pytest.fixture
def predictor(run, folder, tmp_path):
    assert run(*fitted(folder, tmp_path / "predictor.npz"))[0] == 0
    return tmp_path / "predictor.npz"


def test_fit_tells_accuracy_and_writes_everything_asked_for(run, folder, tmp_path):
    code, out, err = run(
        *fitted(folder, tmp_path / "predictor.npz", "--triplets", folder / "held_out.parquet", "--json"),
        "--groups", folder / "copies.csv", "--exclude", folder / "gone.txt", "--metric", "cosine",
        "--table", tmp_path / "t.csv", "--held-out", tmp_path / "h.parquet", "--figure", tmp_path / "f.png",
    )  # fmt: skip
    assert code == 0, err
    *lines, last = out.splitlines()
    found = json.loads(last)
    assert lines[0] == "119 stimuli, 6 features, 4 components, 5 folds. Placements below 0 are raised to 0."
    assert lines[1].startswith(
        "3 of 4 components are predicted better than by their mean (FDR .05); median held-out r "
    )
    assert lines[-4].split(":")[0].strip() == "noise"
    assert lines[-3].startswith("Similarities of unseen stimuli (cosine, ")
    assert lines[-2].startswith("Odd one out of ") and lines[-2].endswith("chance is 0.333.")
    assert lines[-1] == f"Predictor: {tmp_path / 'predictor.npz'}"
    choices = {row["of"]: row for row in found["choices"]["table"]}
    assert choices["space"]["accuracy"] > 0.99 > 0.8 > choices["placed"]["accuracy"] > 0.4
    assert found["choices"]["n_left_out"] > 0 and found["similarity"]["r"] > 0.2
    table = pd.read_csv(tmp_path / "t.csv", index_col="component")
    assert table["r"].tolist() == [row["r"] for row in found["components"]]
    held = read_space(tmp_path / "h.parquet")
    assert held.shape == (119, 4) and (held >= 0).all(axis=None)
    assert (tmp_path / "f.png").stat().st_size > 5000
    learned, made = read_predictor(tmp_path / "predictor.npz")
    assert learned.components_.tolist() == ["joy", "awe", "fear", "noise"]
    assert [row["component"] for row in made["components"]] == ["joy", "awe", "fear", "noise"]


def test_triplets_of_bare_numbers_count_the_stimuli_that_are_left_out_too(run, folder, tmp_path):
    space = read_space(folder / "space.parquet")
    trials = ask(FeatureJudge(space, metric="dot"), sample_triplets(space.index.tolist(), 200, seed=2))
    np.savetxt(tmp_path / "t.txt", trials.odd_last(), fmt="%d")
    (tmp_path / "first.txt").write_text("clip000\n")
    code, out, _ = run(
        *fitted(folder, tmp_path / "p.npz", "--triplets", tmp_path / "t.txt", "--exclude", tmp_path / "first.txt"),
        "--json",
    )
    choices = json.loads(out.splitlines()[-1])["choices"]
    assert code == 0 and choices["n_left_out"] == (trials.triplets == 0).any(axis=1).sum()
    assert choices["table"][1]["accuracy"] > 0.98


def test_place_puts_new_stimuli_where_the_predictor_says_and_names_the_far_ones(run, folder, predictor, tmp_path):
    code, out, err = run(
        "predict", "place", predictor, "--features", folder / "new.parquet", "--out", tmp_path / "placed.parquet",
        "--table", tmp_path / "far.csv", "--quiet", "--json",
    )  # fmt: skip
    assert code == 0
    assert err == "WARNING: 1 columns that the predictor was not learned from are left out: other.\n"
    placed = read_space(tmp_path / "placed.parquet")
    learned, _ = read_predictor(predictor)
    new = read_space(folder / "new.parquet")
    np.testing.assert_allclose(placed, learned.predict(new.drop(columns="other")), rtol=1e-6)
    assert placed.attrs["origin"] == "predicted from features"
    found = json.loads(out.splitlines()[-1])
    assert "clip125" in found["far"] and found["components_better_than_chance"] == ["joy", "awe", "fear"]
    assert out.startswith("6 stimuli placed on 4 components, 3 of which are predicted better than by their mean.\n")
    assert "  clip125: " in out and "6 features outside the range learned from" in out
    assert pd.read_csv(tmp_path / "far.csv", index_col="id").loc["clip125", "far"]


def test_several_tables_are_bands_and_must_all_be_there_again(run, folder, tmp_path):
    out = tmp_path / "p.npz"
    both = ("--features", f"captions={folder / 'said.csv'}", "--clip", "no")
    code, told, _ = run(*fitted(folder, out, *both))
    assert code == 0 and told.startswith("120 stimuli, 11 features, 4 components, 5 folds. Placements may be below 0.")
    learned, made = read_predictor(out)
    assert list(learned.bands) == ["seen", "captions"] == list(made["features"])
    code, _, err = run("predict", "place", out, "--features", folder / "seen.parquet", "--out", tmp_path / "q.csv")
    assert code == 2 and "11 of the 11 features that the predictor was learned from are missing (seen: unit 0" in err


def test_captions_need_the_encoder_and_its_own(run, folder, predictor, tmp_path, monkeypatch):
    captions = tmp_path / "captions.csv"
    captions.write_text("id,caption\nnew1,A dog runs.\nnew2,The man falls.\n")
    code, _, err = run("predict", "place", predictor, "--captions", captions, "--out", tmp_path / "q.csv")
    assert code == 2 and "was learned from tables of features, not from captions; give --features" in err
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setenv("AFFECTOME_CACHE", str(tmp_path))
    code, _, err = run(
        "predict", "fit", "--captions", captions, "--space", folder / "space.parquet", "--out", tmp_path / "p.npz"
    )
    assert code == 3 and 'install it with: pip install "affectome[local]"' in err


def test_captions_become_features_that_another_encoder_cannot_replace(run, folder, tmp_path, monkeypatch):
    def encoded(captions, model, *, device, centre, progress):
        assert not centre and model == "some/model"  # the mean of new stimuli is another
        rng = np.random.default_rng(0)
        table = {i: rng.normal(size=4) + len(texts[0]) for i, texts in captions.items()}
        return pd.DataFrame(table, [f"dimension {k}" for k in range(4)]).T

    monkeypatch.setattr("affectome.judges.encode_captions", encoded)
    space = read_space(folder / "space.parquet")
    captions = tmp_path / "captions.csv"
    captions.write_text("id,caption\n" + "".join(f"{i},{'very ' * (k % 7)}good\n" for k, i in enumerate(space.index)))
    code, out, _ = run(
        "predict", "fit", "--captions", captions, "--model", "some/model", "--space", folder / "space.parquet",
        "--out", tmp_path / "p.npz", "--permutations", 99, "--quiet",
    )  # fmt: skip
    assert code == 0 and out.startswith("120 stimuli, 4 features, ")
    code, out, _ = run("predict", "place", tmp_path / "p.npz", "--captions", captions, "--out", tmp_path / "q.csv")
    assert code == 0 and read_space(tmp_path / "q.csv").shape == (120, 4)
    monkeypatch.setattr(
        "affectome.judges.encode_captions", lambda captions, model, **rest: read_space(tmp_path / "q.csv")
    )
    code, _, err = run(
        "predict", "place", tmp_path / "p.npz", "--captions", captions, "--model", "other/model", "--out",
        tmp_path / "q.csv",
    )  # fmt: skip
    assert code == 2 and "was learned with another sentence encoder (some/model)" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--features", "seen.parquet", "--captions", "c.csv"), "give --features or --captions, one of them"),
        ((), "give --features or --captions, one of them"),
        (("--features", "new.parquet"), "the features: 120 of 120 stimuli are not in it"),
        (("--features", "seen.parquet", "--features", "seen.parquet"), "two tables of features are called 'seen'"),
        (("--features", "seen.parquet", "--folds", "40"), "120 stimuli are too few for 40 folds"),
        (("--features", "seen.parquet", "--clip", "maybe"), "--clip cannot be 'maybe'"),
        (("--features", "seen.parquet", "--metric", "euclidean"), "--metric cannot be 'euclidean'"),
        (("--features", "seen.parquet", "--groups", "seen.parquet"), "has no column 'group'"),
        (("--features", "seen.parquet", "--table", "t.xls"), "has the extension '.xls'"),
    ],
)
def test_bad_input_is_one_sentence(run, folder, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(folder)
    code, out, err = run("predict", "fit", "--space", "space.parquet", "--out", tmp_path / "p.npz", *options)
    assert code == 2 and out == "" and told in err
    assert not (tmp_path / "p.npz").exists()


def test_what_is_no_predictor_is_named(run, folder, tmp_path):
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04 cut short")
    code, _, err = run(
        "predict", "place", tmp_path / "p.npz", "--features", folder / "new.parquet", "--out", tmp_path / "q.csv"
    )
    assert code == 2 and "p.npz: is not a whole predictor, or it was cut short" in err
