import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.neural import summarise_regions


def test_statistics_are_those_of_pandas_over_the_defined_voxels():
    rng = np.random.default_rng(1)
    values = rng.normal(size=200)
    values[::7] = np.nan
    rois = {name: rng.random(200) < share for name, share in (("V1", 0.3), ("MST", 0.05), ("TPJ", 0.6))}
    found = summarise_regions(values, rois, statistics=("mean", "sd", "min", "median", "max"))
    for name, mask in rois.items():
        twin = pd.Series(values[mask])
        wanted = [mask.sum(), twin.count(), twin.isna().mean(), twin.mean(), twin.std(), twin.min(), twin.median()]
        np.testing.assert_allclose(found.loc[name].tolist(), [*wanted, twin.max()], rtol=1e-12)


def test_several_maps_make_one_table():
    maps = pd.DataFrame({"joy": [1.0, 2, 3], "awe": [4.0, np.nan, np.nan]})
    found = summarise_regions(
        maps, {"all": np.ones(3, bool), "end": np.array([False, True, True])}, statistics=["mean"]
    )
    assert found.index.names == ["map", "region"]
    assert found["mean"].tolist()[:3] == [2.0, 2.5, 4.0]
    assert np.isnan(found.at[("awe", "end"), "mean"])
    assert found["undefined"].tolist() == [0, 0, pytest.approx(2 / 3), 1]


def test_a_single_voxel_has_no_sd_and_an_empty_region_nothing():
    found = summarise_regions([1.0, 2.0], {"one": np.array([True, False]), "none": np.zeros(2, bool)})
    assert found.loc["one", "mean"] == 1
    assert np.isnan(found.loc["one", "sd"])
    assert found.loc["none", ["n_voxels", "n_defined"]].tolist() == [0, 0]
    assert found.loc["none", ["undefined", "mean", "sd", "max"]].isna().all()


@pytest.mark.parametrize(
    ("values", "rois", "statistics", "message"),
    [
        ([1.0, np.inf], {"a": np.ones(2, bool)}, ["mean"], "the map is infinite in 1 voxels"),
        ([1.0], {"a": np.ones(2, bool)}, ["mean"], "the region 'a' is no mask over the 1 voxels"),
        ([1.0], {"a": np.ones(1)}, ["mean"], "the region 'a' is no mask"),
        ([[1.0]], {"a": np.ones(1, bool)}, ["mean"], r"shape \(1, 1\)"),
        ([1.0], {}, ["mean"], "there is no region"),
        ([1.0], {"a": np.ones(1, bool)}, ["mode"], "there is no statistic 'mode'; use mean, sd"),
        ([1.0], {"a": np.ones(1, bool)}, [], "no statistic is asked for"),
        (pd.DataFrame(index=[0]), {"a": np.ones(1, bool)}, ["mean"], "holds no map"),
        (pd.DataFrame([[1.0, 2.0]], columns=["x", "x"]), {"a": np.ones(1, bool)}, ["mean"], "two maps"),
    ],
)
def test_bad_input_is_named(values, rois, statistics, message):
    with pytest.raises(InputError, match=message):
        summarise_regions(values, rois, statistics=statistics)
