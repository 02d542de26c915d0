"""Asking at scale: a durable journal, the collector, budgets, bias, provider batch files, shards."""
