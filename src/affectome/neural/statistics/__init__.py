"""Is it more than chance, in a person and in a group: permutation, corrections, ceilings, prevalence."""

from affectome.neural.statistics._analytic import correlation_p, effective_trials
from affectome.neural.statistics._blocks import BlockPermutations, block_permutations
from affectome.neural.statistics._group import GroupComparison, compare_group
from affectome.neural.statistics._maximum import family_wise_p, family_wise_threshold
from affectome.neural.statistics._prevalence import Prevalence, prevalence
from affectome.neural.statistics._sign_flip import SignFlip, sign_flip_test
from affectome.neural.statistics._tails import TailP, pareto_tail_p

__all__ = [
    "BlockPermutations",
    "GroupComparison",
    "Prevalence",
    "SignFlip",
    "TailP",
    "block_permutations",
    "compare_group",
    "correlation_p",
    "effective_trials",
    "family_wise_p",
    "family_wise_threshold",
    "pareto_tail_p",
    "prevalence",
    "sign_flip_test",
]
