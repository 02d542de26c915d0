"""Regions of the brain: names and masks, and what is found in each."""

from affectome.neural.rois._groups import group_members, group_regions, read_region_groups
from affectome.neural.rois._hcp import HCP_GROUPS, SUBCORTICAL
from affectome.neural.rois._images import regions_from_image
from affectome.neural.rois._read import read_regions
from affectome.neural.rois._summary import summarise_regions
from affectome.neural.rois._surfaces import regions_from_surface

__all__ = [
    "HCP_GROUPS",
    "SUBCORTICAL",
    "group_members",
    "group_regions",
    "read_region_groups",
    "read_regions",
    "regions_from_image",
    "regions_from_surface",
    "summarise_regions",
]
