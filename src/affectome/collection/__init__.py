"""Asking at scale: a durable journal, the collector, budgets, bias, provider batch files, shards."""

from affectome.collection._batch_records import Batch, BatchRecords
from affectome.collection._batches import Ingested, ingest_batches, poll_batches, submit_batches, write_batches
from affectome.collection._bias import (
    SlotBias,
    check_slot_prior,
    debias,
    slot_bias,
    slot_bias_from_counts,
    undivided_slot_prior,
)
from affectome.collection._collector import Budget, Collected, Collector
from affectome.collection._dispatch import DISPATCHES, Dispatch, dispatch_order, read_shard
from affectome.collection._export import Exported, export_journal
from affectome.collection._journal import Journal
from affectome.collection._merge import Merged, merge_journals
from affectome.collection._slot_prior import SMALLEST_PROBABILITY, SlotPrior, estimate_slot_prior
from affectome.collection._stopping import run_until_stopped
from affectome.collection._totals import Totals

__all__ = [
    "DISPATCHES",
    "SMALLEST_PROBABILITY",
    "Batch",
    "BatchRecords",
    "Budget",
    "Collected",
    "Collector",
    "Dispatch",
    "Exported",
    "Ingested",
    "Journal",
    "Merged",
    "SlotBias",
    "SlotPrior",
    "Totals",
    "check_slot_prior",
    "debias",
    "dispatch_order",
    "estimate_slot_prior",
    "export_journal",
    "ingest_batches",
    "merge_journals",
    "poll_batches",
    "read_shard",
    "run_until_stopped",
    "slot_bias",
    "slot_bias_from_counts",
    "submit_batches",
    "undivided_slot_prior",
    "write_batches",
]
