"""A results folder in, one HTML page out: self-contained, readable on a phone and in print."""

from affectome.report._brain_view import write_brain_view
from affectome.report._gallery import ComponentCard
from affectome.report._io import write_gallery, write_report

__all__ = ["ComponentCard", "write_brain_view", "write_gallery", "write_report"]
