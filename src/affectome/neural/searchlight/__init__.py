"""Where the geometry of a space is that of brain patterns: representational similarity in every neighbourhood."""

from affectome.neural.searchlight._inputs import ModelGeometry, Neighbourhoods, Patterns

__all__ = ["ModelGeometry", "Neighbourhoods", "Patterns"]
