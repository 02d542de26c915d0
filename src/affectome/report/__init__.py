"""A results folder in, one HTML page out: self-contained, readable on a phone and in print."""

from affectome.report._io import write_report

__all__ = ["write_report"]
