"""Spaces held against each other: how alike their geometries, their choices and their clusters are."""

__all__: list[str] = []
