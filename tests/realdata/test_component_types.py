import numpy as np
import pandas as pd
import pytest

from affectome import load_cowen_keltner
from affectome.interpretation import compare_predictions, component_types, score_type_rules


@pytest.fixture(scope="module")
def ratings(data):
    spaces = load_cowen_keltner(data / "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv").spaces
    return {family: spaces[family] for family in ("category", "dimension")}


def planted(ratings, n, rectified, seed):
    """n components of each type over the real ratings: one or two columns, noise of as much variance as the signal."""
    rng = np.random.default_rng(seed)
    z = {key: ((frame - frame.mean()) / frame.std()).to_numpy(np.float64) for key, frame in ratings.items()}

    def signal(family):
        chosen = rng.choice(z[family].shape[1], 2, replace=False)
        mixed = z[family][:, chosen] @ rng.uniform(0.2, 1, 2)
        mixed = np.maximum(mixed, 0) if rectified else mixed
        return (mixed - mixed.mean()) / mixed.std()

    columns = {}
    for k in range(n):
        noise = rng.normal(size=(4, len(z["category"])))
        columns[f"categorical {k}"] = signal("category") + noise[0]
        columns[f"dimensional {k}"] = signal("dimension") + noise[1]
        columns[f"hybrid {k}"] = (signal("category") + signal("dimension")) / np.sqrt(2) + noise[2]
        columns[f"unassigned {k}"] = noise[3]
    frame = pd.DataFrame(columns, ratings["category"].index)
    return frame - frame.min()


def confusion(space, result):
    truth = pd.Series([name.split()[0] for name in space], name="planted")
    return pd.crosstab(truth, result.components["type"].to_numpy(), normalize="index")


def test_threshold_rule_calls_pure_columns_hybrid_and_the_partition_does_not(ratings):
    scores = score_type_rules(ratings, n_permutations=199, seed=0).scores
    assert scores.loc[("threshold 0.2", "kept", "category"), "hybrid"] == pytest.approx(0.82, abs=0.01)
    assert scores.loc[("threshold 0.2", "kept", "dimension"), "hybrid"] == 1
    assert (scores.loc["variance partition"].loc["kept", "correct"] == 1).all()  # by construction
    # With the column left out most are hybrid for the partition too: a scale is told by categories as well as scales.
    assert scores.loc[("variance partition", "left out", "category"), "correct"] == pytest.approx(0.26, abs=0.15)


def test_planted_components_over_real_ratings_get_their_type(ratings):
    space = planted(ratings, 10, rectified=False, seed=0)
    result = component_types(space, ratings, n_repeats=2, n_permutations=199, n_subsamples=0, seed=0)
    table = confusion(space, result)
    assert np.diag(table.reindex(columns=table.index, fill_value=0)).min() >= 0.8
    assert result.by_tau.loc[0.2, "hybrid"] > 0.5  # of which a quarter is right


def test_a_space_predicts_what_it_is_and_lacks_what_was_taken_out(ratings):
    whole = ratings["category"]
    result = compare_predictions(
        {"whole": whole, "without": whole.drop(columns=["Fear", "Horror", "Nostalgia"])},
        {"category": whole[["Fear", "Horror", "Nostalgia", "Awe"]]},
        reference="whole",
        n_repeats=1,
        n_permutations=99,
        seed=0,
    )
    assert result.lacking["without"].to_dict() == {"Fear": True, "Horror": True, "Nostalgia": True, "Awe": False}
    r = result.predictions["without"].ratings["r"]
    assert r["Nostalgia"] < 0.6 < r["Fear"]  # fear is told by anxiety and surprise, nostalgia by little else
