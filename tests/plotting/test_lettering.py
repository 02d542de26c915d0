"""Names in letters that the font of the figures lacks are drawn without a warning, and so are their neighbours."""

import warnings

import numpy as np
import pandas as pd
import pytest

from affectome.interpretation import (
    category_gradients,
    category_prototypes,
    category_structure,
    compare_predictions,
    component_types,
    correlate_components,
    describe_rating_map,
    project_tsne,
    shares_above,
    top_categories,
)
from affectome.plotting import (
    plot_category_scores,
    plot_category_structure,
    plot_component_types,
    plot_confusion,
    plot_gradient_lines,
    plot_gradients,
    plot_map,
    plot_maps,
    plot_predictions,
    plot_rating_correlations,
    plot_rating_maps,
    plot_shares_above,
    plot_silhouettes,
    plot_variance_partition,
)
from affectome.plotting._lettering import drawable, drawable_lines

IDS = [f"s{k:03d}" for k in range(120)]
SYSTEM, FAMILY = "系統", "情緒"


def frame(values, names):
    return pd.DataFrame(values, IDS, names)


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    shares = frame(rng.dirichlet([0.6, 0.6, 0.6], 120), ["喜び", "怒り", "Joy"])
    ratings = {FAMILY: shares, "次元": frame(rng.normal(size=(120, 2)), ["快", "valence"])}
    noise = 0.05 * rng.normal(size=(120, 3))
    space = frame(shares.to_numpy() + noise, ["成分一", "成分二", "component 3"])
    few = {"n_permutations": 19, "seed": 0}
    labels = top_categories(shares).labels
    structure = category_structure({SYSTEM: space}, ratings, family=FAMILY, top=2, n_boot=10, **few)
    types = component_types(space, ratings, categories=FAMILY, dimensions="次元", n_subsamples=0, n_repeats=1, **few)
    gradients = category_gradients(space, ratings, family=FAMILY, **few)
    score = structure.details[SYSTEM, "all", "centroid"]
    projection = project_tsne(space, perplexity=10, seed=0)
    return [
        plot_category_scores({SYSTEM: score}, title="分類"),
        plot_category_structure(structure),
        plot_confusion(score),
        plot_silhouettes(structure),
        plot_component_types({SYSTEM: types}),
        plot_variance_partition(types, title=SYSTEM),
        plot_gradients(gradients, title="勾配"),
        plot_gradient_lines(gradients),
        plot_map(projection, labels, prototypes=category_prototypes(space, labels), title="地図"),
        plot_maps([projection] * 2, labels, titles=["一", "二"]),
        plot_predictions(compare_predictions({SYSTEM: space, "b": space}, ratings, reference=SYSTEM, **few)),
        plot_rating_correlations(correlate_components(space, ratings, circular=[FAMILY])),
        plot_rating_maps({SYSTEM: describe_rating_map(space, ratings, **few)}),
        plot_shares_above({SYSTEM: shares_above(space, ratings, **few)}, family=FAMILY),
    ]


def test_letters_that_the_font_lacks_give_no_warning(figures):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures:
            figure.draw_without_rendering()


def test_each_lacking_letter_is_replaced_and_lines_are_kept():
    assert drawable("喜び + Joy\n") == "\N{REPLACEMENT CHARACTER}" * 2 + " + Joy"
    assert drawable_lines("Joy  and\n喜") == "Joy and\n\N{REPLACEMENT CHARACTER}"
