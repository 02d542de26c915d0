"""Components that features predict, each where its numbers say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from affectome import prediction_accuracy
from affectome.plotting import plot_predicted_components


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    ids = [f"v{k}" for k in range(90)]
    features = pd.DataFrame(rng.normal(size=(90, 4)), ids).add_prefix("f")
    space = pd.DataFrame({"joy": features["f0"] + 0.3 * rng.normal(size=90), "$ noise": rng.normal(size=90)})
    space["flat"] = 1.0
    space["awe"] = features["f1"] + rng.normal(size=90)
    return prediction_accuracy(features, space, n_permutations=99, seed=0)


def test_dots_stand_at_r_from_best_to_worst_and_fill_where_found(result):
    axes = plot_predicted_components(result).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["joy", "awe", "$ noise", "flat"]
    dots = axes.collections[-1]
    np.testing.assert_allclose(dots.get_offsets()[:3, 0], result.components.loc[["joy", "awe", "$ noise"], "r"])
    filled = [to_hex(colour) != "#ffffff" for colour in dots.get_facecolors()]
    assert filled[:3] == (result.components.loc[["joy", "awe", "$ noise"], "q"] < 0.05).tolist() == [True, True, False]
    low, high = axes.collections[0].get_segments()[0][:, 0]
    assert (low, high) == (result.components.loc["joy", "r_low"], result.components.loc["joy", "r_high"])
    assert "2 of 4" in axes.get_title() and "95% interval (90 stimuli)" in axes.get_xlabel()


def test_other_bound_and_title(result):
    axes = plot_predicted_components(result, alpha=1e-6, title="Captions").axes[0]
    assert axes.get_title() == "Captions\nfilled: q < 1e-06 (0 of 4)"
