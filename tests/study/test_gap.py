"""A study that asks for the gap: what is planted is claimed, and what is circular is not."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import InputError, TripletSet
from affectome.embedding import choice_probabilities
from affectome.gap import score_choices
from affectome.simulation import simulate_subjects, write_simulated_recordings
from affectome.spaces import read_space
from affectome.study import read_study, run_study
from affectome.triplets import read_triplets, sample_triplets, write_triplets

STUDY = """
[study]
name = "Gap"
seed = 1
[stimuli]
path = "stimuli.csv"
[spaces.alpha]
path = "alpha.csv"
[spaces.beta]
path = "beta.csv"
[spaces.seen]
path = "seen.csv"
[spaces.joined]
concatenate = ["alpha", "beta"]
[triplets]
train = 3000
test = 400
[systems.video]
label = "MLLM"
judge = { kind = "features", space = "alpha" }
[systems.captions]
judge = { kind = "features", space = "beta" }
[embedding]
components = 4
n_epochs = 16
[behavior]
bootstrap = 50
components_needed = false
[interpretation]
ratings = ["alpha"]
analyses = ["components"]
comparisons = ["rsa"]
permutations = 19
[people]
path = "people.parquet"
[brain]
path = "fmri"
spaces = ["video"]
controls = ["seen"]
partition = false
folds = 3
regions = "regions.toml"
permutations = 20
[gap]
spaces = ["video", "captions", "alpha", "joined"]
region = "MST"
reliability = { alpha = 0.64 }
grounding = { captions = "captions", video = "video" }
"""
AREAS = {"MST": {"alpha": 0.7}, "V1": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """MST, and people, follow alpha."""
    place, rng = tmp_path_factory.mktemp("gap"), np.random.default_rng(0)
    ids = [f"clip{k:02d}" for k in range(60)]
    spaces = {name: pd.DataFrame(rng.gamma(0.6, size=(60, p)), ids, [f"{name}{k}" for k in range(p)])
              for name, p in (("alpha", 6), ("beta", 4), ("seen", 5))}  # fmt: skip
    for name, space in spaces.items():
        space.rename_axis("id").to_csv(place / f"{name}.csv")
    pd.DataFrame({"id": ids}).to_csv(place / "stimuli.csv", index=False)
    write_simulated_recordings(
        simulate_subjects(spaces, AREAS, n_runs=6, radius=6.0, seed=0).recordings, place / "fmri"
    )
    (place / "regions.toml").write_text("[groups]\n" + "".join(f'{area} = ["{area}"]\n' for area in AREAS))
    unit = spaces["alpha"].to_numpy() / np.linalg.norm(spaces["alpha"], axis=1, keepdims=True)
    asked = sample_triplets(ids, 1500, seed=5)
    chances = np.cumsum(choice_probabilities(4 * unit, asked.triplets), axis=1)
    choice = (rng.random((1500, 1)) > chances[:, :2]).sum(axis=1)
    write_triplets(place / "people.parquet", TripletSet(asked.triplets, ids, choice))
    (place / "study.toml").write_text(STUDY)
    return place


@pytest.fixture(scope="module")
def first(folder):
    return run_study(folder / "study.toml")


def claims_of(result):
    return pd.DataFrame(result.summary["gap"]["claims"]["claims"]).set_index(["second", "measure", "where", "matched"])


def test_what_is_planted_is_claimed_and_what_is_not_stays_open(first):
    assert not first.failed
    verdicts = claims_of(first)["verdict"]
    for measure, where in (("choices", "people"), ("encoding", "MST"), ("rsa", "MST"), ("rsa_beyond_controls", "MST")):
        assert verdicts["captions", measure, where, False] == "video above captions"
    assert verdicts["captions", "choices", "people", True] == verdicts["captions", "rsa", "MST", True]
    assert (verdicts[verdicts.index.get_level_values("where") == "V1"] == "undecided").all()
    assert verdicts["alpha", "choices", "people", False] == "alpha above video"  # the truth itself


def test_a_claim_says_all_that_the_docs_say(first):
    asked = {"second": "captions", "measure": "rsa", "where": "MST", "matched": False}
    [row] = [row for row in first.summary["gap"]["claims"]["claims"] if asked.items() <= row.items()]
    assert list(row) == ["first", "second", "measure", "where", "matched", "difference", "ci_low", "ci_high", "level",
                         "n_subjects", "n_above", "n_below", "prevalence_low", "p", "q", "verdict"]  # fmt: skip
    assert (row["n_subjects"], row["n_above"], row["n_below"], row["level"]) == (3, 3, 0, 0.95)
    each = [pd.read_csv(first.results / f"gap/sub-0{k}/differences.csv") for k in (1, 2, 3)]
    own = pd.concat(each).query("measure == 'rsa' and where == 'MST' and size == 'full' and second == 'captions'")
    assert row["difference"] == pytest.approx(own["difference"].mean())
    written = json.loads((first.results / "summary.json").read_text())["gap"]["claims"]["claims"]
    assert row in written


def test_the_table_has_every_space_twice_and_corrects_for_what_is_known(first):
    table = first.summary["gap"]["table"]
    rows = {(row["space"], row["size"]): row for row in table["rows"]}
    assert len(rows) == 8 and table["where"] == "MST" and table["choices_of"] == ["people"]
    ranks = {name: rows[name, "full"]["n_dimensions"] for name in ("video", "captions", "alpha", "joined")}
    assert (ranks["alpha"], ranks["joined"]) == (6, 10)
    assert {rows[name, "matched"]["n_dimensions"] for name in ranks} == {min(ranks.values())}
    alpha = rows["alpha", "full"]["rsa"]
    assert alpha["r_corrected"] == pytest.approx(alpha["r"] / 0.8)
    assert "r_corrected" not in rows["alpha", "matched"]["rsa"] and "r_corrected" not in rows["video", "full"]["rsa"]
    people = [one["r"] for one in alpha["people"].values()]
    assert alpha["r"] == pytest.approx(np.mean(people)) and alpha["n_people"] == 3
    spaces = {name: read_space(first.results / f"spaces/{name}.parquet") for name in ("video", "alpha")}
    expected = score_choices(spaces, read_triplets(first.results.parent / "people.parquet"),
                             metric={"video": "dot", "alpha": "cosine"}).scores["accuracy"]  # fmt: skip
    for name in spaces:
        assert rows[name, "full"]["choices"]["people"]["accuracy"] == pytest.approx(expected[name])


def test_the_specifications_of_a_planted_difference_agree(first):
    told = {row["second"]: row for row in first.summary["gap"]["specifications"]["pairs"]}
    assert set(told) == {"captions", "alpha", "joined"}
    captions = told["captions"]
    assert captions["n_specifications"] == 48 and captions["where"] == "MST"
    assert captions["same_sign"] == 1 and captions["same_and_significant"] > 0.9 and captions["median_difference"] > 0.1
    assert (first.results / "gap/figures/specification_curve_captions.png").stat().st_size > 0


def test_grounding_is_video_less_captions_beyond_controls(first):
    told = first.summary["gap"]["grounding"]
    assert told["controls"] == ["seen"]
    [claim] = [row for row in told["claims"] if row["where"] == "MST"]
    assert claim["verdict"] == "video above captions" and claim["n_above"] == 3
    unique = {row["space"]: row for row in told["spaces"] if (row["measure"], row["where"]) == ("unique_r2", "MST")}
    each = [pd.read_csv(first.results / f"neural/comparison/sub-0{k}/beyond_controls_video/regions.csv",
                        index_col="region").loc["MST", "unique"] for k in (1, 2, 3)]  # fmt: skip
    assert unique["video"]["mean"] == pytest.approx(np.mean(each))
    assert set(unique) == {"video"}  # the one space that [brain] names


def test_a_second_run_does_nothing_and_another_region_asks_people_again(folder, first):
    assert all(record.reused for record in run_study(folder / "study.toml").records)
    other = folder / "other.toml"
    other.write_text(STUDY.replace('region = "MST"', "dimensions = 2\nspecifications = false"))
    again = run_study(other, first.results)
    ran = {record.name for record in again.records if not record.reused}
    of_people = {f"gap_scores/sub-0{k}" for k in (1, 2, 3)}
    assert ran == of_people | {"gap_scores/choices", "gap/table", "gap/claims", "gap/grounding", "report"}
    table = again.summary["gap"]["table"]
    assert table["where"] == "all"
    assert {row["n_dimensions"] for row in table["rows"] if row["size"] == "matched"} == {2}
    assert "specifications" not in again.summary["gap"]


def test_without_people_systems_are_predicted_and_circles_are_marked_and_not_claimed(folder, tmp_path):
    text = STUDY.replace('[people]\npath = "people.parquet"\n', "")
    brain = text[text.index("[brain]") : text.index("[gap]")]
    text = text.replace(brain, "").replace('region = "MST"\n', "")
    text = text[: text.index("grounding")].replace('"joined"]', '"joined", "seen"]')
    (folder / "systems.toml").write_text(text)
    found = run_study(folder / "systems.toml", tmp_path / "results").summary["gap"]
    assert set(found) == {"table", "claims"}
    relation = {(row["space"], who): one["relation"] for row in found["table"]["rows"] if row["size"] == "full"
                for who, one in row["choices"].items()}  # fmt: skip
    assert relation == {
        ("video", "video"): "learned from other answers of it", ("video", "captions"): "",
        ("captions", "video"): "", ("captions", "captions"): "learned from other answers of it",
        ("alpha", "video"): "chosen from", ("alpha", "captions"): "",
        ("joined", "video"): "chosen from", ("joined", "captions"): "chosen from",
        ("seen", "video"): "", ("seen", "captions"): "",
    }  # fmt: skip
    claims = {(row["second"], row["where"]) for row in found["claims"]["claims"]}
    assert claims == {("alpha", "captions"), ("seen", "captions")}  # video is the reference: not of its own choices


def test_other_systems_of_the_same_numbers_and_parts_of_what_was_looked_at_are_circles_too(folder, tmp_path):
    text = STUDY[: STUDY.index("[people]")] + '[gap]\nspaces = ["captions", "video", "twin", "both", "alpha", "seen"]\n'
    more = {"twin": ("alpha", "euclidean"), "both": ("joined", "cosine")}
    judges = [f'[systems.{name}]\njudge = {{ kind = "features", space = "{space}", metric = "{metric}" }}\n'
              for name, (space, metric) in more.items()]  # fmt: skip
    (folder / "circles.toml").write_text(text.replace("[embedding]", "".join(judges) + "[embedding]"))
    found = run_study(folder / "circles.toml", tmp_path / "results").summary["gap"]
    relation = {(row["space"], who): one["relation"] for row in found["table"]["rows"] if row["size"] == "full"
                for who, one in row["choices"].items()}  # fmt: skip
    same = "learned from choices from the same space"
    assert relation["twin", "video"] == relation["video", "twin"] == relation["video", "both"] == same
    assert relation["captions", "both"] == relation["both", "captions"] == same
    assert relation["captions", "twin"] == relation["twin", "captions"] == relation["seen", "both"] == ""
    assert relation["alpha", "both"] == relation["alpha", "twin"] == "chosen from"  # it is a part of joined
    claims = {(row["second"], row["where"]) for row in found["claims"]["claims"]}
    assert claims == {("seen", "video"), ("seen", "twin")}  # captions is the reference, and both saw what it learned


def test_a_region_that_nobody_has_leaves_people_out_with_a_sentence(folder, first):
    other = folder / "region.toml"
    other.write_text(STUDY.replace('region = "MST"', 'region = "TPJ"'))
    found = run_study(other, first.results)
    assert "has no region 'TPJ'" in str(found.failed["gap_scores/sub-01"])
    assert "choose among MST, V1" in str(found.failed["gap_scores/sub-01"])
    assert {row["measure"] for row in found.summary["gap"]["claims"]["claims"]} == {"choices"}


FAULTS = {
    "reliability of another space": (
        "{ alpha = 0.64 }",
        "{ beta = 0.5 }",
        ["[gap] reliability", "'beta' is not among"],
    ),
    "reliability above 1": ("alpha = 0.64", "alpha = 1.2", ["reliability", "less than or equal to 1"]),
    "grounding of another system": ('video = "video"', 'video = "vide"', ["[gap] grounding video", "'vide'"]),
    "grounding beyond nothing": ('controls = ["seen"]\n', "", ["[gap] grounding", "nothing to be grounded beyond"]),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_names_its_key(folder, case):
    old, new, expected = FAULTS[case]
    assert old in STUDY
    path = folder / "fault.toml"
    path.write_text(STUDY.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_study(path)
    for part in expected:
        assert part in str(caught.value)
