"""The profile of a centre shows what was computed, in the order it was computed for."""

import numpy as np
import pandas as pd
import pytest

from affectome.neural import Patterns, centre_profile
from affectome.plotting import plot_centre_profile


@pytest.fixture(scope="module")
def profile():
    rng, ids = np.random.default_rng(0), tuple(f"clip{k:02d}" for k in range(40))
    spaces = {name: pd.DataFrame(rng.normal(size=(40, 4)), list(ids)) for name in ("mllm", "llm", "human_category")}
    responses = spaces["mllm"].to_numpy() @ rng.normal(size=(4, 30)) + rng.normal(size=(40, 30))
    given = Patterns("sub-01", ids, responses.astype(np.float32), np.arange(40) // 10)
    return centre_profile(given, spaces, np.arange(5, 25))


def test_everything_in_the_result_is_drawn(profile, assert_readable):
    figure = plot_centre_profile(profile, {"mllm": "MLLM"}, title="sub-01, voxel 12")
    patterns, space, scores, stimuli = figure.axes[:2] + figure.axes[4:]
    for ax, rsm in ((patterns, profile.rsm), (space, profile.space_rsm)):
        np.testing.assert_array_equal(np.ma.filled(ax.images[0].get_array(), np.nan), rsm)
    assert patterns.get_title() == "Patterns of 20 voxels" and space.get_title() == "Nearest space: MLLM"
    assert space.get_xlabel() == "40 stimuli, along the leading factor of mllm"
    table = profile.scores.sort_values("r", ascending=False)
    assert [bar.get_width() for bar in scores.patches] == pytest.approx(table["r"].tolist())
    assert scores.get_yticklabels()[0].get_text() == "MLLM"
    intervals = next(part for part in scores.collections if part.get_gid() == "intervals").get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in intervals], table[["low", "high"]])
    assert "95% interval over stimuli" in scores.get_xlabel()
    assert [bar.get_width() for bar in stimuli.patches] == pytest.approx(profile.carried.iloc[:8].tolist())
    assert_readable(figure)


def test_stimuli_have_the_names_they_are_given_and_long_ones_are_cut(profile, assert_readable):
    best = profile.carried.index[0]
    figure = plot_centre_profile(profile, stimuli={best: "a dog that waits at the door for its friend"}, n_stimuli=3)
    names = [text.get_text() for text in figure.axes[-1].get_yticklabels()]
    assert names == ["a dog that waits at the…", *profile.carried.index[1:3]]
    assert_readable(figure)
