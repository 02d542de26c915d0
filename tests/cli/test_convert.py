"""Weights of other programs become spaces, and spaces weights; triplets leave odd-last."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome.simulation import simulate_emotions
from affectome.spaces import read_space, write_space
from affectome.triplets import TripletSet, read_triplets, write_triplets

IDS = ["v1", "v2", "v3", "v4", "v5"]
LOC = np.array([[0.9, 0, 0.02], [0.7, 1.5, -0.01], [0, 0.4, 0], [0.2, 0.25, -0.03], [0, 1, 0.05]], np.float32)
SCALE = np.full((5, 3), 0.125, np.float32)


@pytest.fixture
def stimuli(tmp_path):
    path = tmp_path / "stimuli.csv"
    path.write_text("clip,caption\n" + "".join(f"{i},x\n" for i in IDS))
    return path


def last_json(out):
    return json.loads(out.splitlines()[-1])


def test_penalised_text_weights_become_a_space_and_every_finding_is_said(run, tmp_path, stimuli):
    source, space = tmp_path / "sparse_embed_epoch0500.txt", tmp_path / "space.parquet"
    np.savetxt(source, LOC.T)
    code, out, _ = run("embed", "convert", source, "--ids", stimuli, "--id-column", "clip", "--out", space, "--json")
    assert code == 0
    assert out.splitlines()[:-1] == [
        f"5 stimuli × 3 components: {space}",
        "The file has components in its rows; it was turned.",
        "2 of 15 weights are below 0 (lowest -0.03); they are kept (--clip: 0).",
    ]
    facts = last_json(out)
    assert (facts["n_negative"], facts["transposed"], facts["scale_out"]) == (2, True, None)
    read = read_space(space)
    np.testing.assert_array_equal(read.to_numpy(), LOC)
    assert read.index.tolist() == IDS
    assert read.attrs["imported_from"] == "sparse_embed_epoch0500.txt" and read.attrs["n_negative"] == 2


def test_prune_and_clip_do_what_they_say(run, tmp_path):
    np.save(tmp_path / "w.npy", LOC)
    out_path = tmp_path / "s.csv"
    code, out, _ = run("embed", "convert", tmp_path / "w.npy", "--prune", 0.1, "--clip", "--out", out_path)
    assert code == 0
    assert "1 of 3 components have no weight above --prune and were dropped." in out
    assert "The stimuli are called 0 to 4; --ids names them." in out and "below 0" not in out
    np.testing.assert_array_equal(read_space(out_path).to_numpy(), LOC[:, [1, 0]])
    code, out, _ = run("embed", "convert", tmp_path / "w.npy", "--clip", "--out", out_path)
    assert "2 of 15 weights are below 0 (lowest -0.03); they were set to 0." in out
    np.testing.assert_array_equal(read_space(out_path).to_numpy(), np.maximum(LOC, 0))


def test_posterior_deviations_travel_beside_a_space_and_inside_an_archive(run, tmp_path):
    np.savez(tmp_path / "pruned_params.npz", pruned_loc=LOC, pruned_scale=SCALE)
    ids = tmp_path / "unique_id.txt"
    ids.write_text("\n".join(IDS) + "\n")
    space, beside = tmp_path / "vice.parquet", tmp_path / "vice.scale.parquet"
    code, out, _ = run("embed", "convert", tmp_path / "pruned_params.npz", "--ids", ids, "--out", space)
    assert code == 0
    assert f"The posterior standard deviations are in {beside}." in out
    np.testing.assert_array_equal(read_space(beside).to_numpy(), SCALE)
    assert read_space(beside).index.tolist() == IDS
    # Back: the space names the file of its deviations.
    assert run("embed", "convert", space, "--out", tmp_path / "back.npz")[0] == 0
    with np.load(tmp_path / "back.npz") as archive:
        np.testing.assert_array_equal(archive["pruned_loc"], LOC)
        np.testing.assert_array_equal(archive["pruned_scale"], SCALE)
        assert archive["ids"].tolist() == IDS
    code, out, _ = run("embed", "convert", space, "--out", tmp_path / "w.npy", "--scale-out", tmp_path / "d.txt")
    assert code == 0 and f"{tmp_path / 'w.npy'} holds the numbers alone: keep the list of ids with it." in out
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "d.txt"), SCALE)
    beside.unlink()
    code, _, err = run("embed", "convert", space, "--out", tmp_path / "again.npz")
    assert code == 0 and "deviations vice.scale.parquet are not beside" in err
    assert "pruned_scale" not in np.load(tmp_path / "again.npz").files


def test_a_table_with_ids_is_a_space_and_one_without_is_weights(run, tmp_path):
    frame = pd.DataFrame(LOC, index=pd.Index(IDS, name="id"), columns=["joy", "awe", "fear"])
    write_space(tmp_path / "space.csv", frame)
    assert run("embed", "convert", tmp_path / "space.csv", "--out", tmp_path / "w.txt")[0] == 0
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "w.txt", dtype=np.float32), LOC)
    np.savetxt(tmp_path / "bare.csv", LOC, delimiter=",")
    assert run("embed", "convert", tmp_path / "bare.csv", "--out", tmp_path / "s.tsv")[0] == 0
    np.testing.assert_allclose(read_space(tmp_path / "s.tsv").to_numpy(), LOC)


def test_an_old_embedding_is_scored_on_answers_as_it_would_be_by_numpy(run, tmp_path):
    world = simulate_emotions(30, 3, seed=0)
    trials = world.sample_answers(2000, seed=1)
    np.savetxt(tmp_path / "sparse_embed.txt", world.planted.to_numpy().T)
    (tmp_path / "ids.txt").write_text("\n".join(trials.ids) + "\n")
    write_triplets(tmp_path / "test_10.txt", trials)
    space = tmp_path / "space.parquet"
    old = tmp_path / "sparse_embed.txt"
    assert run("embed", "convert", old, "--ids", tmp_path / "ids.txt", "--out", space)[0] == 0
    code, out, _ = run("behavior", "score", space, tmp_path / "test_10.txt", "--json", "--bootstrap", 10)
    x = world.planted.to_numpy()
    i, j, k = trials.odd_last().T
    similarities = np.stack([(x[a] * x[b]).sum(1) for a, b in ((i, j), (i, k), (j, k))])
    best = similarities == similarities.max(axis=0)  # ties, which zeros make, are shared
    assert code == 0
    assert last_json(out)["value"] == pytest.approx((best[0] / best.sum(axis=0)).mean(), abs=1e-6)


def convert(t, *options, values=LOC, out="o.csv"):
    return "embed", "convert", array(t / "w.npy", values), *options, "--out", t / out


def with_ids(t, lines):
    return convert(t, "--ids", text(t / "i.txt", lines))


def from_one(t):
    stimuli = text(t / "x.csv", TABLE)
    return "triplets", "import", text(t / "t.txt", "1 2 3\n5 4 1\n"), "--stimuli", stimuli, "--out", t / "o.parquet"


def export(t, *options):
    return "triplets", "export", questions(t / "q.parquet"), "--out", t / "o.txt", *options


BAD = {
    "wrong ids": (
        lambda t: with_ids(t, "a\nb\n"),
        ["w.npy: has 5 rows and 3 columns, which does not fit 2 ids; give one"],
    ),
    "repeated id": (lambda t: with_ids(t, "a\na\n"), ["i.txt, row 2: the id 'a' was already used in row 1"]),
    "no ids": (lambda t: with_ids(t, "\n"), ["i.txt: holds no ids; give one id a line"]),
    "ambiguous": (lambda t: convert(t, values=LOC[:3]), ["w.npy: has 3 rows and 3 columns", "say whether rows are"]),
    "ids of a space": (
        lambda t: ("embed", "convert", text(t / "s.csv", "id,a\nx,1\n"), "--rows", "stimuli", "--out", t / "o.npy"),
        ["s.csv: is a space, which knows its stimuli; leave out --ids"],
    ),
    "no deviations": (
        lambda t: convert(t, "--scale-out", t / "d.npy"),
        ["w.npy: has no posterior deviations to write; leave out --scale-out"],
    ),
    "one file for both": (lambda t: convert(t, "--scale-out", t / "o.csv"), ["o.csv: --out and --scale-out name one"]),
    "no such file": (
        lambda t: ("embed", "convert", t / "w.csv", "--out", t / "o.npy"),
        ["w.csv: there is no such file"],
    ),
    "everything pruned": (lambda t: convert(t, "--prune", 9), ["w.npy: no component has a weight above 9; lower"]),
    "unknown output": (lambda t: convert(t, out="o.pt"), ["o.pt: has the extension '.pt'"]),
    "counted from 1": (from_one, ["t.txt: its indices run from 1 to 5", "counted from 1; subtract 1 from every index"]),
    "export of questions": (export, ["o.txt: no trial is answered"]),
    "share": (lambda t: export(t, "--test-out", t / "u.txt", "--test-share", 1), ["--test-share 1 is no share"]),
}
TABLE = "id\n" + "".join(f"{i}\n" for i in IDS)


def text(path, content):
    path.write_text(content)
    return path


def array(path, values):
    np.save(path, values)
    return path


def questions(path):
    write_triplets(path, TripletSet([[0, 1, 2]], ids=["a", "b", "c"]))
    return path


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_code_2_and_one_sentence_and_leaves_nothing(case, run, tmp_path):
    arguments, expected = BAD[case]
    code, out, err = run(*arguments(tmp_path), "--quiet")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("Error: "), err
    assert all(part in err for part in expected), err
    assert not list(tmp_path.glob("o.*"))


def test_exported_triplets_are_read_by_numpy_and_no_triplet_is_on_both_sides(run, tmp_path):
    trials = simulate_emotions(15, 2, seed=0).sample_answers(400, seed=0)
    doubled = TripletSet(
        np.vstack([trials.triplets, trials.triplets[:, ::-1]]), trials.ids, np.r_[trials.choice, np.full(400, -1)]
    )
    write_triplets(tmp_path / "a.parquet", doubled)
    train, test = tmp_path / "train_90.txt", tmp_path / "test_10.npy"
    code, out, err = run("triplets", "export", tmp_path / "a.parquet", "--out", train, "--test-out", test, "--json")
    assert code == 0 and "400 unanswered trials are in neither file" in err
    a, b = np.loadtxt(train, dtype=int), np.load(test)
    assert len(a) + len(b) == 400 and last_json(out)["n_answered"] == [len(a), len(b)]
    sides = [{tuple(row) for row in np.sort(part).tolist()} for part in (a, b)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(0.1 * len(sides[0] | sides[1]))
    expected = {tuple(row) for row in trials.odd_last().tolist()}
    assert {tuple(row) for row in np.vstack([a, b]).tolist()} == expected
    assert run("triplets", "export", tmp_path / "a.parquet", "--out", tmp_path / "all.txt")[0] == 0
    np.testing.assert_array_equal(read_triplets(tmp_path / "all.txt").odd_last(), trials.odd_last())


def test_help_has_an_example(run):
    for command in ("embed convert", "triplets export"):
        code, out, _ = run(*command.split(), "--help")
        assert code == 0 and f"Example: affectome {command}" in " ".join(out.split())
