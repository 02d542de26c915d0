"""Regions of the brain: names and masks, and what is found in each."""

__all__: list[str] = []
