"""What the components of a space mean."""

from affectome.interpretation._correlations import RatingCorrelations, correlate_components

__all__ = ["RatingCorrelations", "correlate_components"]
