"""Seeds of fits to choices made from the published ratings of 2,185 videos (Cowen & Keltner 2017)."""

import numpy as np
import pytest

from affectome import FeatureJudge, SPoSE, ask, fit_seeds, held_out_accuracy, sample_triplets, split_triplets
from affectome.embedding import component_reproducibility, consensus_embedding
from affectome.stimuli import load_cowen_keltner

# How near a fit comes to its optimum is not what is asked here.
pytestmark = pytest.mark.filterwarnings("ignore:Seed .. SPoSE stopped")


@pytest.fixture(scope="module")
def choices(data):
    stimuli = load_cowen_keltner(data / "cowen_keltner_2017" / "CowenKeltnerEmotionalVideos.csv")
    questions = sample_triplets(stimuli.ids, 220_000, seed=0)
    return split_triplets(ask(FeatureJudge(stimuli.spaces["category"], seed=0), questions), [200_000, 20_000], seed=1)


@pytest.fixture(scope="module")
def spaces(choices):
    fits = fit_seeds(SPoSE(20), choices[0], range(4))
    return {f"seed {seed}": fit.to_space() for seed, fit in fits.items()}


def test_most_components_come_back_above_chance_and_selection_costs_little(spaces):
    result = component_reproducibility(spaces, n_null=99, n_halves=10, seed=0)
    overall = result.summary[result.summary["run"] == "all"].set_index("form")
    assert (overall["median"] > 0.55).all() and (overall["share_above_half"] > 0.55).all()
    assert overall.loc["best_match", "share_significant"] > 0.95
    table = result.table
    # Almost nothing: with 2,185 stimuli the match is clear, and the halves drawn move the two as much as selection.
    assert -0.001 <= (table["best_match"] - table["split_half"]).mean() < 0.02
    # By chance r has an s.d. of 1 / sqrt(2185); here it is the largest of 20, averaged over three runs.
    assert np.arctanh(table["chance_95"]).between(1.5 / np.sqrt(2185), 4 / np.sqrt(2185)).all()


def test_the_consensus_predicts_about_as_well_as_its_components_in_one_run(spaces, choices):
    result = consensus_embedding(spaces, seed=0)
    kept = result.table[result.table["kept"]]
    assert 8 <= len(kept) < 20
    alone = spaces[result.reference][kept[result.reference].tolist()]
    together, one = (held_out_accuracy(space, choices[1], seed=0).value for space in (result.space, alone))
    assert together > max(one - 0.02, 0.6)
