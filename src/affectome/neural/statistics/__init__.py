"""Is it more than chance, in a person and in a group: permutation, corrections, ceilings, prevalence."""

from affectome.neural.statistics._analytic import correlation_p, effective_trials
from affectome.neural.statistics._blocks import BlockPermutations, block_permutations
from affectome.neural.statistics._ceilings import (
    ExplainableVariance,
    SubjectCeiling,
    across_subject_ceiling,
    explainable_variance,
    normalised_scores,
)
from affectome.neural.statistics._group import GroupComparison, compare_group
from affectome.neural.statistics._maximum import family_wise_p, family_wise_threshold
from affectome.neural.statistics._prevalence import Prevalence, prevalence
from affectome.neural.statistics._sign_flip import SignFlip, sign_flip_test
from affectome.neural.statistics._tails import TailP, pareto_tail_p

__all__ = [
    "BlockPermutations",
    "ExplainableVariance",
    "GroupComparison",
    "Prevalence",
    "SignFlip",
    "SubjectCeiling",
    "TailP",
    "across_subject_ceiling",
    "block_permutations",
    "compare_group",
    "correlation_p",
    "effective_trials",
    "explainable_variance",
    "family_wise_p",
    "family_wise_threshold",
    "normalised_scores",
    "pareto_tail_p",
    "prevalence",
    "sign_flip_test",
]
