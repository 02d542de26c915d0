"""``affectome embed fit`` with its methods, from choices and from probabilities."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import VICE, SPoSE, read_weights, simulate_emotions
from affectome.spaces import read_space
from affectome.triplets import TripletSet, read_triplets, write_triplets

TRIALS = simulate_emotions(30, 3, seed=0).sample_answers(4000, seed=1)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    path = tmp_path_factory.mktemp("answers") / "answers.parquet"
    write_triplets(path, TRIALS)
    return path


def test_the_space_is_that_of_the_estimator_and_its_file_says_how_it_was_made(run, answers, tmp_path):
    code, out, _ = run(
        "embed", "fit", answers, "--components", 5, "--seed", 2, "--out", tmp_path / "s.parquet", "--json"
    )
    assert code == 0
    told = json.loads(out.splitlines()[-1])
    model = SPoSE(5, random_state=2).fit(TRIALS)
    space = read_space(tmp_path / "s.parquet")
    assert np.array_equal(space.to_numpy(), model.embedding_)
    assert told["l1"] == model.l1_ == space.attrs["settings"]["l1"] == pytest.approx(4 * 30 / 4000)
    assert (told["epochs"], told["iterations"]) == (model.n_epochs_, model.n_iter_)
    assert space.attrs["settings"]["method"] == "spose" and space.attrs["settings"]["soft"] is False


def test_soft_learns_from_the_probabilities(run, answers, tmp_path):
    assert run("embed", "fit", answers, "--components", 3, "--soft", "--out", tmp_path / "s.csv")[0] == 0
    model = SPoSE(3, random_state=0).fit(TRIALS, TRIALS.probabilities)
    np.testing.assert_allclose(read_space(tmp_path / "s.csv").to_numpy(), model.embedding_, rtol=1e-6)


def test_vice_writes_means_and_deviations_that_convert_together(run, answers, tmp_path):
    out = tmp_path / "v.parquet"
    code, said, _ = run("embed", "fit", answers, "--method", "vice", "--components", 12, "--out", out)
    assert code == 0 and f"{tmp_path / 'v.scale.parquet'}" in said
    model = VICE(12, random_state=0).fit(TRIALS)
    means, deviations = read_space(out), read_space(tmp_path / "v.scale.parquet")
    assert np.array_equal(means.to_numpy(), model.embedding_) and means.shape == (30, 3)
    assert np.array_equal(deviations.to_numpy(), model.scale_)
    pd.testing.assert_index_equal(means.columns, deviations.columns)
    assert run("embed", "convert", out, "--out", tmp_path / "v.npz")[0] == 0
    assert np.array_equal(read_weights(tmp_path / "v.npz").scale, model.scale_)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--method", "tsne"), "--method tsne is unknown; choose spose or vice"),
        (("--method", "vice", "--l1", 0.1), "--l1 is for spose"),
        (("--method", "vice", "--device", "cuda"), "vice does not run on cuda"),
        (("--device", "nonsense"), "Error: --device nonsense is unknown; choose cpu, cuda"),
        (("--l1", "inf"), "--l1 inf is no weight"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(run, answers, tmp_path, options, sentence):
    code, _, err = run("embed", "fit", answers, *options, "--out", tmp_path / "s.parquet")
    assert code == 2 and sentence in err


def test_soft_without_probabilities_is_refused(run, tmp_path):
    np.savetxt(tmp_path / "t.txt", TRIALS.odd_last()[:50], fmt="%d")
    code, _, err = run("embed", "fit", tmp_path / "t.txt", "--soft", "--out", tmp_path / "s.parquet")
    assert code == 2 and "t.txt: holds no probabilities; leave out --soft" in err


@pytest.mark.parametrize(
    ("answers", "out", "options"),
    [("a.parquet", "a.parquet", ()), ("x.scale.parquet", "x.parquet", ("--method", "vice"))],
    ids=["space", "deviations"],
)
def test_the_answers_are_never_overwritten(run, tmp_path, answers, out, options):
    write_triplets(tmp_path / answers, TRIALS)
    code, _, err = run("embed", "fit", tmp_path / answers, *options, "--out", tmp_path / out)
    assert code == 2 and "would be overwritten by the result; choose another --out" in err
    assert len(read_triplets(tmp_path / answers)) == len(TRIALS)


def test_probabilities_without_choices_are_enough_for_soft(run, tmp_path):
    write_triplets(tmp_path / "p.parquet", TripletSet(TRIALS.triplets, TRIALS.ids, None, TRIALS.probabilities))
    code, out, _ = run(
        "embed", "fit", tmp_path / "p.parquet", "--soft", "--components", 3, "--out", tmp_path / "s.csv", "--json"
    )
    model = SPoSE(3, random_state=0).fit(TRIALS, TRIALS.probabilities)
    assert code == 0
    assert json.loads(out.splitlines()[-1])["training_accuracy"] == model.score(TRIALS, TRIALS.probabilities)
