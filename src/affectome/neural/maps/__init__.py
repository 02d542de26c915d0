"""Maps of the brain as files that other programs open."""

from affectome.neural.maps._group_maps import GroupMap, average_maps, common_geometry
from affectome.neural.maps._read import map_facts, map_files, read_map
from affectome.neural.maps._write import write_map

__all__ = [
    "GroupMap",
    "average_maps",
    "common_geometry",
    "map_facts",
    "map_files",
    "read_map",
    "write_map",
]
