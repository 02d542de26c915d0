"""Figures of studies that take little time: PNG alone, maps as histograms; for fixtures, and processes they start."""

from affectome.plotting import plot_voxel_values


def of_values(values, geometry, label, *, significant, title, diverging):
    assert len(values) == len(geometry)
    return plot_voxel_values(values, label, significant=significant, title=title)


def of_difference(result, geometry, *, on, title, labels=None, significant=None):
    return of_values(result.voxels["difference"], geometry, on, significant=significant, title=title, diverging=True)


#: What stands in for what.
QUICK = {
    "affectome.study._written.FORMATS": ("png",),
    "affectome.plotting.plot_glass_brain": of_values,
    "affectome.plotting.plot_surface": of_values,
    "affectome.plotting.plot_difference_map": of_difference,
}
