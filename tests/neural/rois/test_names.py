import pytest

from affectome.neural.rois._names import area_name, sided_name


@pytest.mark.parametrize(
    ("name", "area", "side"),
    [
        ("hcp180_r_lh.L_TPOJ1_ROI", "TPOJ1", "left"),
        ("hcp180_r_rh.R_9-46d_ROI", "9-46d", "right"),
        ("hcp180_r_lh.L_5L_ROI", "5L", "left"),
        ("L_V1_ROI", "V1", "left"),
        ("rh.fusiform", "fusiform", "right"),
        ("pickatlas_r_waal_MNI_V4_Thalamus_L", "Thalamus", "left"),
        ("pickatlas_r_wTD_hemisphere_Right_Brainstem", "Brainstem", "right"),
        ("pickatlas_r_wTD_label_Caudate", "Caudate", None),
        ("pickatlas_r_wTD_brodmann_brodmann_area_34", "brodmann_area_34", None),
        ("Left-Amygdala", "Amygdala", "left"),
        ("yeo2011_17_r_rh.17Networks_3", "17Networks_3", "right"),
        ("PCV", "PCV", None),
        ("L_", "L_", None),
        ("lh.R_V1", "lh.R_V1", None),
    ],
)
def test_a_name_gives_its_area_and_side(name, area, side):
    assert area_name(name) == (area, side)


def test_a_name_gets_a_side_only_where_it_does_not_say_it():
    assert sided_name("L_V1_ROI", "left") == "L_V1_ROI"
    assert sided_name("fusiform", "right") == "rh.fusiform"
    assert area_name(sided_name("fusiform", "left")) == ("fusiform", "left")
