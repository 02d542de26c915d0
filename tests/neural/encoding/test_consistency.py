import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome._resampling import false_discovery_rate
from affectome.neural import ComponentMaps, VolumeGrid, component_consistency

PEOPLE, COMPONENTS, REGIONS = 5, 8, 26


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def make_maps(values, *, space="MNI152NLin2009cAsym"):
    """Maps whose voxels are the given places, each a region of its own; values (n_people, n_components, n_places)."""
    n_places = values.shape[2]
    ijk = np.stack([np.arange(n_places), np.zeros(n_places), np.zeros(n_places)], axis=1).astype(np.int32)
    grid = VolumeGrid(ijk, np.eye(4), (n_places, 1, 1), space)
    names = [f"c{k}" for k in range(values.shape[1])]
    regions = pd.Index([f"region {k}" for k in range(n_places)], name="region")
    return [
        ComponentMaps(
            f"sub-{person}", "mllm", tuple(names), one.astype(np.float32), np.ones(len(names)),
            np.ones(n_places, bool), pd.DataFrame(one, index=pd.Index(names, name="component"), columns=regions),
            pd.Series(1, index=regions), grid,
        )
        for person, one in enumerate(values)
    ]  # fmt: skip


def draw_maps(seed, *, consistent=0.0, common=0.0, smooth=0.0, people=PEOPLE, places=REGIONS, components=COMPONENTS):
    """Noise per person; `consistent` is what people share per component, `common` what all components share."""
    rng = np.random.default_rng(seed)
    along = np.abs(np.subtract.outer(np.arange(places), np.arange(places)))
    root = np.linalg.cholesky(np.exp(-along / smooth)).T if smooth else np.eye(places)
    values = rng.normal(size=(people, components, places)) @ root
    values += consistent * rng.normal(size=(components, places)) @ root
    return values + common * rng.normal(size=places) @ root


def test_r_equals_corrcoef_over_pairs_of_people():
    values = draw_maps(0, consistent=1.0)
    found = component_consistency(make_maps(values), n_permutations=99, seed=0)
    for place, name in enumerate(found.table.index):
        r = np.corrcoef(values[:, place])
        assert found.table.loc[name, "r"] == pytest.approx(r[np.triu_indices(PEOPLE, 1)].mean())
        pairs = found.pairs[found.pairs["component"] == name]
        np.testing.assert_allclose(pairs["r"], r[np.triu_indices(PEOPLE, 1)])
    assert found.r == pytest.approx(found.table["r"].mean())
    np.testing.assert_allclose(found.table["q"], false_discovery_rate(found.table["p"]))
    assert (found.places, found.chance, found.smallest_p) == (REGIONS, 1 / 8, 0.01)


def test_identification_equals_the_mean_map_of_the_others_by_hand():
    values = draw_maps(1, consistent=0.5)
    units = values - values.mean(axis=2, keepdims=True)
    units /= np.linalg.norm(units, axis=2, keepdims=True)
    hits = np.zeros((PEOPLE, COMPONENTS))
    for person in range(PEOPLE):
        others = np.delete(units, person, axis=0).mean(axis=0)
        r = np.corrcoef(units[person], others)[:COMPONENTS, COMPONENTS:]
        hits[person] = r.argmax(axis=1) == np.arange(COMPONENTS)
    found = component_consistency(make_maps(values), n_permutations=99, seed=0)
    assert found.table["identified"].tolist() == pytest.approx(hits.mean(axis=0).tolist())
    assert found.accuracy == pytest.approx(hits.mean()) and 0.2 < found.accuracy < 1


def test_shared_components_are_found_and_the_others_are_not():
    values = draw_maps(2)
    values[:, :3] += 1.5 * np.random.default_rng(3).normal(size=(3, REGIONS))
    found = component_consistency(make_maps(values), n_permutations=999, seed=0)
    assert (found.table["q"].iloc[:3] < 0.05).all() and (found.table["q"].iloc[3:] > 0.05).all()
    assert (found.table["identified"].iloc[:3] == 1).all()
    assert found.p == 0.001 and found.p_accuracy == 0.001


def test_p_holds_its_level_in_smooth_maps_where_permuting_places_does_not():
    """150 worlds without consistency; neighbouring places are alike."""
    p, of_places, overall = [], [], []
    for seed in range(150):
        values = draw_maps(seed, smooth=8.0, people=3, components=6)
        found = component_consistency(make_maps(values), n_permutations=99, seed=seed)
        p.append(found.table["p"].to_numpy())
        overall.append([found.p, found.p_accuracy])
        rng = np.random.default_rng(seed)
        one = values[:, 0] - values[:, 0].mean(axis=1, keepdims=True)
        one /= np.linalg.norm(one, axis=1, keepdims=True)
        shuffled = rng.permuted(np.tile(one, (99, 1, 1)), axis=2)
        square = (shuffled.sum(axis=1) ** 2).sum(axis=1)  # grows with the mean correlation of pairs
        of_places.append((1 + (square >= (one.sum(axis=0) ** 2).sum()).sum()) / 100)
    for alpha in (0.05, 0.01):
        share = (np.array(p) <= alpha).mean(axis=1)  # components of a world share its permutations
        assert share.mean() == pytest.approx(alpha, abs=4 * share.std() / np.sqrt(150))
    assert (np.array(overall) <= 0.05).mean(axis=0).max() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert np.mean(np.array(of_places) <= 0.05) > 0.15


def test_a_map_that_all_components_share_is_no_consistency_of_its_own():
    p, r = [], []
    for seed in range(100):
        maps = make_maps(draw_maps(seed, common=2.0, people=3))
        found = component_consistency(maps, n_permutations=99, seed=seed)
        p.append(found.table["p"].to_numpy())
        r.append(found.r)
    assert np.mean(r) > 0.7
    share = (np.array(p) <= 0.05).mean(axis=1)
    assert share.mean() == pytest.approx(0.05, abs=4 * share.std() / 10)


@pytest.mark.parametrize("people", [3, 5])
def test_interval_covers_what_other_people_give(people):
    """Components are many worlds at once. Coverage was .95 to .99: somewhat wide where people share nothing."""
    planted = draw_maps(0, people=1, components=150)[0]
    rng = np.random.default_rng(1)
    truth = []
    for one in planted:
        r = np.corrcoef(one + rng.normal(size=(200, REGIONS)))
        truth.append(r[np.triu_indices(200, 1)].mean())
    covered = []
    for _ in range(4):
        values = planted + rng.normal(size=(people, *planted.shape))
        found = component_consistency(make_maps(values), n_permutations=1, seed=0).table
        covered.append((found["low"] <= truth) & (truth <= found["high"]))
    assert 0.95 - 3 * np.sqrt(0.05 * 0.95 / 600) <= np.mean(covered) <= 0.995


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-5, 5))
def test_scale_offset_and_order_of_places_change_nothing(seed, scale, offset):
    values = draw_maps(seed, consistent=0.5, people=3, components=3)
    order = np.random.default_rng(seed).permutation(REGIONS)
    found = component_consistency(make_maps(values), n_permutations=19, seed=0)
    moved = component_consistency(make_maps((scale * values + offset)[:, :, order]), n_permutations=19, seed=0)
    pd.testing.assert_frame_equal(found.table, moved.table, rtol=1e-6)


def test_voxels_of_a_common_space_agree_with_regions_of_one_voxel():
    maps = make_maps(draw_maps(4, consistent=1.0).astype(np.float32))
    by_voxel = component_consistency(maps, by="voxel", n_permutations=99, seed=0)
    by_region = component_consistency(maps, by="region", n_permutations=99, seed=0)
    pd.testing.assert_frame_equal(by_voxel.table, by_region.table, rtol=1e-5)
    kept = np.arange(REGIONS) < 20
    masked = [replace(maps[0], kept=kept), *maps[1:]]
    assert component_consistency(masked, by="voxel", n_permutations=9, seed=0).places == 20


def test_voxels_in_other_places_are_refused():
    maps = make_maps(draw_maps(5))
    native = make_maps(draw_maps(5), space=None)
    other = replace(maps[1], geometry=replace(maps[1].geometry, ijk=maps[1].geometry.ijk + 1))
    for wrong in (native, [maps[0], other], [maps[0], replace(maps[1], geometry=None)]):
        with pytest.raises(InputError, match="not the same places of a common space"):
            component_consistency(wrong, by="voxel", seed=0)


def test_regions_that_somebody_lacks_and_flat_components_are_left_out(caplog):
    maps = make_maps(draw_maps(6, consistent=1.0))
    maps[1].profiles.iloc[:, 3] = np.nan
    maps[2].profiles.iloc[4] = 0.0
    with caplog.at_level(logging.WARNING):
        found = component_consistency(maps, n_permutations=99, seed=0)
    assert found.places == REGIONS - 1
    assert found.table.loc["c4"].isna().all() and found.table.drop(index="c4").notna().all().all()
    assert "1 components are flat in somebody and have no consistency: c4." in caplog.text
    some = [f"region {k}" for k in range(5)]
    assert component_consistency(maps, regions=some, n_permutations=9, seed=0).places == 4


def test_two_people_have_no_interval_and_a_coarse_p(caplog):
    with caplog.at_level(logging.CRITICAL):
        found = component_consistency(make_maps(draw_maps(7, consistent=9.0, people=2)), n_permutations=999, seed=0)
    assert found.smallest_p == 1 / COMPONENTS**2
    assert found.table[["low", "high"]].isna().all().all()
    # Two maps of one component meet in one permutation of eight, and half of those are of a more consistent one.
    assert found.table["p"].mean() == pytest.approx(9 / 16 / COMPONENTS, abs=0.02)
    assert found.p == 0.001


def test_the_null_depends_on_the_seed_alone():
    maps = make_maps(draw_maps(8, consistent=0.3))
    first, same, other = (component_consistency(maps, n_permutations=199, seed=seed).table["p"] for seed in (1, 1, 2))
    assert first.tolist() == same.tolist() and first.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[:1], "1 person has nobody"),
        (lambda m: [m[0], m[0]], "two maps of sub-0"),
        (lambda m: [m[0], replace(m[1], features=m[1].features[::-1])], "in another order"),
        (lambda m: [m[0], replace(m[1], profiles=m[1].profiles.iloc[:, :2])], "2 regions with a value in everybody"),
    ],
)
def test_maps_that_do_not_fit_each_other_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        component_consistency(change(make_maps(draw_maps(0))), n_permutations=9, seed=0)
    with pytest.raises(InputError, match="not everybody has the regions V9"):
        component_consistency(make_maps(draw_maps(0)), regions=["V9"], seed=0)
