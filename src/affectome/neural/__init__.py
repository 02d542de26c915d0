"""Does a space predict the brain: recordings, regions, encoding, statistics, maps."""

from affectome.neural.recordings import Recording, SurfaceMesh, VolumeGrid
from affectome.neural.rois import (
    HCP_GROUPS,
    SUBCORTICAL,
    group_members,
    group_regions,
    read_region_groups,
    read_regions,
    regions_from_image,
    regions_from_surface,
    summarise_regions,
)

__all__ = [
    "HCP_GROUPS",
    "SUBCORTICAL",
    "Recording",
    "SurfaceMesh",
    "VolumeGrid",
    "group_members",
    "group_regions",
    "read_region_groups",
    "read_regions",
    "regions_from_image",
    "regions_from_surface",
    "summarise_regions",
]
