"""Simulated files in the layouts of the emotion-video data, read back by the loaders of the real ones."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import group_members, match_stimuli, read_bdpy
from affectome.simulation import write_stand_ins
from affectome.spaces import read_space
from affectome.stimuli import load_cowen_keltner, load_horikawa_features, load_mind_captioning
from affectome.triplets import read_triplets


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_stand_ins(tmp_path_factory.mktemp("stand-ins"), n_stimuli=90, n_people=2, n_answers=4000, seed=3)


def test_the_loaders_of_the_real_files_read_them(made):
    stimuli = load_cowen_keltner(made.folder / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv")
    assert stimuli.ids[0] == "0001" and len(stimuli) == 90
    assert [stimuli.spaces[name].shape[1] for name in ("category", "dimension", "terms")] == [34, 14, 34]
    assert np.allclose(stimuli.spaces["category"], made.spaces["category"], atol=1e-4)
    category, dimension = stimuli.spaces["category"].to_numpy(), stimuli.spaces["dimension"].to_numpy()
    assert category.min() >= 0 and category.max() <= 1 and dimension.min() >= 1 and dimension.max() <= 9
    captions = load_mind_captioning(made.folder / "mind_captioning/caption_ck20.csv")
    assert set(captions) == set(stimuli.ids) and {len(texts) for texts in captions.values()} == {20}
    semantic = load_horikawa_features(made.folder / "horikawa_2020/semantic_features.csv")
    assert semantic.shape == (2185, 73)
    assert np.allclose(semantic.loc[list(stimuli.ids)], made.spaces["semantic"])
    for name in ("visual", "motion"):
        assert read_space(made.folder / f"controls/{name}.csv").index.tolist() == list(stimuli.ids)


def test_recordings_have_the_keys_of_the_release_and_every_region_of_the_paper(made):
    bdpy = pytest.importorskip("bdpy", reason="bdpy is not installed: it needs a Python below 3.12")
    path = made.folder / "horikawa_2020/fmri/fmri_Subject2.h5"
    read = bdpy.BData(str(path))
    keys = {"VoxelData", "Run", "Session", "Block", "Label", "stimulus_name", "WholeBrain",
            *(f"voxel_{axis}" for axis in "xyzijk")}  # fmt: skip
    assert keys <= set(read.metadata.key)
    assert {"hcp180_r_lh.L_MST_ROI", "pickatlas_r_waal_MNI_V4_Amygdala_R"} <= set(read.metadata.key)
    shown = read.get("stimulus_name").ravel()
    assert sorted(shown) == [*range(1, 91), *range(2186, 2197)]  # the first eleven clips again
    recording = read_bdpy(path)
    assert (recording.subject, recording.geometry.space) == ("Subject2", None)
    members = group_members(recording, "paper")
    assert len(members) == 26 and (members["n_voxels"] > 0).all()
    _, match = match_stimuli(recording, made.spaces["mllm"].index.tolist())
    assert (match.n_matched, match.n_unmatched) == (90, 11)


def voxel_r2(recording, area, space):
    """Share of the variance of an area's voxels that a linear model of the space explains, adjusted for its size."""
    shown = space.loc[[f"{int(number):04d}" for number in recording.trials["stimulus"] if int(number) < 2186]]
    rows = recording.trials["stimulus"].astype(int) < 2186
    mask = recording.rois[f"hcp180_r_lh.L_{area}_ROI"]
    responses = recording.responses[np.flatnonzero(rows)][:, mask].astype(float)
    design = np.column_stack([np.ones(len(shown)), shown.to_numpy(float)])
    left = responses - design @ np.linalg.lstsq(design, responses, rcond=None)[0]
    n, k = design.shape
    return 1 - (left.var(axis=0).mean() / (n - k)) / (responses.var(axis=0).mean() / (n - 1))


def test_areas_follow_what_truth_says(made):
    truth = pd.read_csv(made.folder / "planted/truth.csv", index_col=0)
    assert truth.loc[["MST", "TPOJ1", "PGi", "EC"], "mllm"].tolist() == [0.3] * 4
    assert truth.loc["46"].sum() == 0
    people = [read_bdpy(made.folder / f"horikawa_2020/fmri/fmri_Subject{k}.h5") for k in (1, 2)]
    for area in ("MST", "TPOJ1", "PGi", "EC"):
        assert np.mean([voxel_r2(one, area, made.spaces["mllm"]) for one in people]) == pytest.approx(0.3, abs=0.12)
    assert abs(np.mean([voxel_r2(one, "46", made.spaces["mllm"]) for one in people])) < 0.1


def share_of_the_mode(repeated):
    """Of every triplet that was asked again, how often its commonest odd one was named."""
    odd = repeated.triplets[np.arange(len(repeated)), repeated.choice]
    table = pd.DataFrame({"key": repeated.keys(), "odd": odd})
    return table.groupby("key")["odd"].agg(lambda named: named.value_counts(normalize=True).iloc[0])


def test_models_answer_as_a_collection_exports_and_people_as_the_first_model(made):
    answers = {path.stem: read_triplets(path) for path in (made.folder / "answers").glob("*.parquet")}
    assert {name: len(found) for name, found in answers.items()} == {
        f"{model}{part}": n for model in ("mllm", "llm")
        for part, n in (("", 4000), ("_validation", 45_760), ("_repeats", 10_000))
    } | {"people": 2000}  # fmt: skip
    assert answers["mllm"].metadata["judge"]["kind"] == "features"
    apart = np.concatenate([answers["mllm_validation"].keys(), answers["mllm_repeats"].keys()])
    assert not np.isin(answers["mllm"].keys(), apart).any()
    assert np.isin(answers["people"].keys(), answers["mllm_validation"].keys()).all()
    # The odd one is the stimulus outside the pair of largest dot product, by a softmax over the three.
    x = made.spaces["mllm"].loc[list(answers["mllm"].ids)].to_numpy()
    i, j, k = answers["mllm"].triplets.T
    similar = np.stack([(x[j] * x[k]).sum(1), (x[i] * x[k]).sum(1), (x[i] * x[j]).sum(1)], axis=1)
    p = np.exp(similar - similar.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    said = p[np.arange(len(p)), answers["mllm"].choice].mean()
    assert said == pytest.approx((p**2).sum(axis=1).mean(), abs=0.02)
    shares = [np.mean(share_of_the_mode(answers[f"{model}_repeats"])) for model in ("llm", "mllm")]
    assert 0.4 < shares[0] < shares[1] < 1  # the one without three emotions guesses more


def test_real_data_are_not_written_over(tmp_path):
    (tmp_path / "cowen_keltner_2017").mkdir()
    with pytest.raises(InputError, match="holds files that are no stand-ins; choose another folder"):
        write_stand_ins(tmp_path, n_stimuli=80, n_people=1)
    with pytest.raises(InputError, match="79 stimuli cannot stand in; ask for 80 to 2185"):
        write_stand_ins(tmp_path / "new", n_stimuli=79)


def test_the_command_tells_where_to_point_and_the_same_seed_writes_the_same(tmp_path, capsys):
    from affectome.cli import main

    given = ["data", "stand-ins", "--stimuli", "80", "--people", "1", "--answers", "200", "--json"]
    assert main([*given, "--out", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert f"export AFFECTOME_DATA={tmp_path / 'a'}" in out
    files = json.loads(out.splitlines()[-1])["files"]
    assert len(files) == 16
    assert main([*given, "--out", str(tmp_path / "b")]) == 0
    for name in ("cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv", "mind_captioning/caption_ck20.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    one, two = (read_triplets(tmp_path / which / "answers/mllm.parquet") for which in "ab")
    assert np.array_equal(one.choice, two.choice)
