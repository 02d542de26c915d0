"""Asking at scale: a durable journal, the collector, budgets, bias, provider batch files, shards."""

from affectome.collection._bias import SlotBias, check_slot_prior, debias, slot_bias, slot_bias_from_counts
from affectome.collection._slot_prior import SMALLEST_PROBABILITY, SlotPrior, estimate_slot_prior

__all__ = [
    "SMALLEST_PROBABILITY",
    "SlotBias",
    "SlotPrior",
    "check_slot_prior",
    "debias",
    "estimate_slot_prior",
    "slot_bias",
    "slot_bias_from_counts",
]
