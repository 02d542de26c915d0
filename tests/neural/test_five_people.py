"""What is planted in five simulated people is found, and nothing else."""

from dataclasses import replace

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from affectome.neural import (
    compare_encodings,
    compare_group,
    encode,
    encoding_significance,
    group_regions,
    region_scores,
    region_tests,
)
from affectome.simulation import simulate_emotions, simulate_subjects

AREAS = {
    "MST": {"planted": 0.2},  # "planted" has eight components, "dimension" two
    "PGi": {"dimension": 0.25},
    "AAIC": {"planted": 0.08},
    "V1": {},
    "10r": {},
}


@pytest.fixture(scope="module")
def found():
    spaces = simulate_emotions(300, 8, seed=0).stimuli.spaces
    world = simulate_subjects(spaces, AREAS, n_subjects=5, radius=6.0, shift=2.0, seed=1)
    scores, tests = [], []
    with threadpool_limits(1):
        for recording in world.recordings:
            named = group_regions(recording, {area: [area] for area in AREAS})
            rois = {area: named.rois[area] for area in AREAS}
            known = {s: encode(spaces[s], recording, name=s) for s in ("planted", "dimension")}
            for encoding in known.values():
                tested = encoding_significance(encoding, recording, n_permutations=199, rois=rois, seed=2, n_jobs=1)
                scores.append(region_scores(encoding, recording, significance=tested, rois=rois))
            tests.append(compare_encodings(known["planted"], known["dimension"], replace(recording, rois=rois)))
    return compare_group(pd.concat(scores), reference="planted", tests=region_tests(tests), seed=0)


def test_regions_that_follow_a_space_are_predicted_in_everybody_and_the_others_in_nobody(found):
    table = found.regions.set_index(["region", "space"])
    for region, space in (("MST", "planted"), ("AAIC", "planted"), ("PGi", "dimension")):
        assert table.loc[region, space]["n_significant"] == 5
        assert table.loc[region, space]["prevalence_bound"] == pytest.approx(0.59, abs=0.01)
        assert table.loc[region, space]["q_nobody"] < 0.001
    for region in ("V1", "10r"):
        assert (table.loc[region]["q_nobody"] > 0.05).all()
        assert table.loc[region]["n_significant"].max() <= 1


def test_each_region_prefers_the_space_it_follows_and_none_where_there_is_nothing(found):
    table = found.comparisons.set_index("region")
    for region in ("MST", "AAIC"):
        assert table.loc[region, "n_above"] == 5
        assert table.loc[region, "q_above"] < 0.001
        assert table.loc[region, "low"] > 0
    assert table.loc["PGi", "n_below"] >= 3
    assert table.loc["PGi", "difference"] < 0
    for region in ("V1", "10r"):
        assert table.loc[region, "stars"] in ("", None) or pd.isna(table.loc[region, "stars"])
    assert table.loc["MST", "smallest_p_flip"] == 0.0625
