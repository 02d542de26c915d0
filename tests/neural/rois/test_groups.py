import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.neural import (
    HCP_GROUPS,
    SUBCORTICAL,
    Recording,
    group_members,
    group_regions,
    read_region_groups,
)


def test_a_group_is_the_union_of_its_members_in_both_hemispheres(bdpy_record):
    recording = bdpy_record("TPOJ1", "TPOJ2", "TPOJ3", "V1")
    grouped = group_regions(recording, {"TPJ": ["TPOJ1", "TPOJ2", "TPOJ3"]})
    assert grouped.rois["TPJ"].tolist() == [True, True, True, False, True, True, True, False]
    assert list(grouped.rois)[:8] == list(recording.rois)
    assert "TPJ" not in recording.rois


@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=5))
def test_the_union_is_that_of_numpy_whatever_overlaps(masks):
    import pandas as pd

    rois = {f"L_A{k}": np.array(mask) for k, mask in enumerate(masks)} | {"L_rest": np.ones(7, bool)}
    trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    recording = Recording("sub-01", np.zeros((1, 7), np.float32), trials, rois=rois)
    grouped = group_regions(recording, {"all": ["A*"], "rest": ["rest"]}, skip_missing=True)
    union = np.any(masks, axis=0)
    assert np.array_equal(grouped.rois.get("all", np.zeros(7, bool)), union)


def test_hemispheres_apart_make_two_groups(bdpy_record):
    grouped = group_regions(bdpy_record("EC", "H"), {"MTC": ["EC", "H"]}, hemispheres="apart")
    assert grouped.rois["MTC left"].tolist() == [True, True, False, False]
    assert grouped.rois["MTC right"].tolist() == [False, False, True, True]
    assert "MTC" not in grouped.rois


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("TE1a", [1, 0, 0, 1, 0, 0]),
        ("L_TE1a", [1, 0, 0, 0, 0, 0]),
        ("hcp180_r_rh.R_TE1a_ROI", [0, 0, 0, 1, 0, 0]),
        ("TE*", [1, 1, 0, 1, 1, 0]),
        ("R_TE?[am]", [0, 0, 0, 1, 1, 0]),
        ("te1A", [1, 0, 0, 1, 0, 0]),
        ("nowhere|TE1a|MI", [1, 0, 0, 1, 0, 0]),
    ],
)
def test_members_are_areas_sides_whole_names_patterns_or_spellings(bdpy_record, member, expected):
    grouped = group_regions(bdpy_record("TE1a", "TE1m", "MI"), {"group": [member]})
    assert grouped.rois["group"].astype(int).tolist() == expected


def test_case_counts_where_only_case_differs(record):
    recording = record(rois={"L_MI": [1, 0], "L_mi": [0, 1]})
    assert group_regions(recording, {"group": ["mi"]}).rois["group"].tolist() == [False, True]


def test_a_group_added_before_does_not_stand_in_for_an_area_of_its_name(bdpy_record):
    recording = group_regions(bdpy_record("OFC", "pOFC"), {"OFC": ["OFC", "pOFC"]})
    again = group_regions(recording, {"OFC": ["OFC", "pOFC"], "alone": ["OFC"]})
    assert again.rois["OFC"].sum() == 4
    assert again.rois["alone"].tolist() == [True, False, True, False]


def test_the_table_says_which_members_are_missing_on_which_side(bdpy_record, caplog):
    recording = bdpy_record("EC", "H")
    recording = Recording(
        recording.subject,
        recording.responses,
        recording.trials,
        rois={name: mask for name, mask in recording.rois.items() if "R_H" not in name},
    )
    groups = {"MTC": ["EC", "H"], "mixed": ["EC", "PeEc", "TF", "TE1a"]}
    table = group_members(recording, groups)
    assert table.loc["MTC"].tolist() == [2, 1.5, 0.75, "H (right)", 3]
    assert table.loc["mixed"].tolist() == [4, 1.0, 0.25, "PeEc, TF, TE1a", 2]
    with caplog.at_level(logging.WARNING):
        group_regions(recording, groups)
    assert "groups are there in part: MTC has 75% of its members (not H (right))" in caplog.text


def test_a_mask_without_side_counts_for_both(record):
    recording = record(rois={"L_MST": [1, 0, 0], "Hypothalamus": [0, 1, 0]})
    assert group_members(recording, {"hypothalamus": ["Hypothalamus"]})["share"].item() == 1


def test_the_structures_of_the_published_masks_are_found(record):
    published = [
        "pickatlas_r_waal_MNI_V4_Thalamus_L",
        "pickatlas_r_waal_MNI_V4_Thalamus_R",
        "pickatlas_r_waal_MNI_V4_Hippocampus_L",
        "pickatlas_r_waal_MNI_V4_Hippocampus_R",
        "pickatlas_r_wTD_brodmann_Hypothalamus",
        "pickatlas_r_waal_MNI_V4_Pallidum_L",
        "pickatlas_r_waal_MNI_V4_Pallidum_R",
        "pickatlas_r_wTD_hemisphere_Left_Brainstem",
        "pickatlas_r_wTD_hemisphere_Right_Brainstem",
        "pickatlas_r_wTD_label_Caudate",
        "pickatlas_r_wTD_brodmann_Putamen",
        "pickatlas_r_wTD_brodmann_brodmann_area_34",
        "pickatlas_r_waal_MNI_V4_Amygdala_L",
        "pickatlas_r_waal_MNI_V4_Amygdala_R",
        "pickatlas_r_wTD_hemisphere_Left_Cerebellum",
        "pickatlas_r_wTD_hemisphere_Right_Cerebellum",
    ]
    recording = record(rois=dict(zip(published, np.eye(len(published), dtype=bool), strict=True)))
    table = group_members(recording, "subcortical")
    assert len(table) == 10
    assert (table["share"] == 1).all()
    assert table["n_voxels"].tolist() == [2, 2, 1, 2, 2, 1, 1, 1, 2, 2]
    assert list(group_regions(recording, "subcortical").rois)[-10:] == list(SUBCORTICAL)
    # done twice, nothing changes
    twice = group_regions(group_regions(recording, "subcortical"), "subcortical")
    assert {name: int(twice.rois[name].sum()) for name in SUBCORTICAL} == table["n_voxels"].to_dict()


def test_the_built_in_groups_cannot_be_changed():
    with pytest.raises(TypeError):
        HCP_GROUPS["VC"] = ()
    assert [len(HCP_GROUPS[name]) for name in ("VC", "TPJ", "VLPFC")] == [26, 3, 8]
    assert set(HCP_GROUPS["MST"]) < set(HCP_GROUPS["VC"])


def test_groups_without_any_voxel_are_refused_or_left_out(bdpy_record, caplog):
    recording = bdpy_record("EC", "H")
    with pytest.raises(InputError, match=r"the group 'VC' has no member .* 14 more: TPJ, IPL"):
        group_regions(recording, "hcp")
    with caplog.at_level(logging.WARNING):
        grouped = group_regions(recording, "hcp", skip_missing=True)
    assert [name for name in grouped.rois if name in HCP_GROUPS] == ["MTC"]
    assert "15 groups are left out" in caplog.text


def test_skipping_every_group_is_an_error(bdpy_record):
    with pytest.raises(InputError, match="the group 'a' has no member"):
        group_regions(bdpy_record("EC"), {"a": ["V1"], "b": ["V2"]}, skip_missing=True)


def test_an_empty_region_makes_no_group(record):
    recording = record(rois={"L_EC": [0, 0], "L_H": [1, 0]})
    with pytest.raises(InputError, match="the group 'rhinal' has no voxel in this recording"):
        group_regions(recording, {"rhinal": ["EC"]})


def test_a_group_with_the_name_of_another_region_is_refused(bdpy_record, record):
    recording = record(rois={"TPJ": [1, 0], "L_EC": [0, 1]})
    with pytest.raises(InputError, match="the group 'TPJ' has the name of a region with other voxels"):
        group_regions(recording, {"TPJ": ["EC"]})


def test_a_recording_without_regions_is_refused(record):
    with pytest.raises(InputError, match="the recording has no regions"):
        group_regions(record(), "hcp")


def test_unknown_built_in_groups_and_sides_are_named(bdpy_record):
    with pytest.raises(InputError, match="no groups named 'yeo'; use one of hcp, subcortical, paper"):
        group_regions(bdpy_record("EC"), "yeo")
    with pytest.raises(InputError, match="hemispheres is 'both'"):
        group_regions(bdpy_record("EC"), {"a": ["EC"]}, hemispheres="both")


def test_a_toml_file_of_groups_is_read(tmp_path, bdpy_record):
    path = tmp_path / "groups.toml"
    path.write_text('[groups]\nTPJ = ["TPOJ1", "TPOJ2"]\ntemporal = ["TE*"]\n')
    assert read_region_groups(path) == {"TPJ": ("TPOJ1", "TPOJ2"), "temporal": ("TE*",)}
    grouped = group_regions(bdpy_record("TPOJ1", "TPOJ2", "TE1a"), path)
    assert grouped.rois["temporal"].sum() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[groups]\n", "there is no group; name at least one"),
        ("[groups]\nTPJ = []\n", r"\[groups\] TPJ: there is no member"),
        ('[groups]\nTPJ = ["TPOJ1", "TPOJ1"]\n', r"\[groups\] TPJ: TPOJ1 is named twice"),
        ('[groups]\nTPJ = ["TPOJ1", " "]\n', r"\[groups\] TPJ: a member has no name"),
        ('[groups]\nTPJ = "TPOJ1"\n', r"\[groups.TPJ?\] ?.*not accepted|\[groups\] TPJ.*not accepted"),
        ("[groups]\nTPJ = [1]\n", "1 is not accepted"),
        ('[group]\nTPJ = ["a"]\n', "has 2 faults"),
        ("groups = 1\nregions = 2\n", "the key is unknown"),
        (
            '[groups]\n" " = ["a"]\nB = []\n',
            r"has 2 faults:\n  \[groups\]  : a group has no name; give it one\n  \[groups\] B",
        ),
        ("[groups\n", "is not valid TOML"),
    ],
)
def test_every_fault_of_a_toml_file_has_its_line(tmp_path, text, message):
    path = tmp_path / "groups.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_region_groups(path)
    assert "groups.toml" in str(caught.value)


def test_a_text_for_members_is_refused_in_python_too(bdpy_record):
    with pytest.raises(InputError, match=r'the members are one text; write a list, \["EC"\]'):
        group_regions(bdpy_record("EC"), {"MTC": "EC"})
