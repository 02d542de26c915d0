"""Is it more than chance, in a person and in a group: permutation, corrections, ceilings, prevalence."""

from affectome.neural.statistics._group import GroupComparison, compare_group
from affectome.neural.statistics._prevalence import Prevalence, prevalence
from affectome.neural.statistics._sign_flip import SignFlip, sign_flip_test

__all__ = [
    "GroupComparison",
    "Prevalence",
    "SignFlip",
    "compare_group",
    "prevalence",
    "sign_flip_test",
]
