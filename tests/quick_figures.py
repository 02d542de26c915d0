"""Figures of studies that take little time, for fixtures, and for the processes that tests start.

Nothing is laid out, studies have PNG alone, maps are histograms, pages of brains say what they would show, and t-SNE
stands in for UMAP, which compiles for ten seconds in every process.
"""

from pathlib import Path

from affectome.interpretation import project_tsne
from affectome.plotting import house_style, plot_voxel_values


def save(figure, folder, name, formats=("png", "svg")):
    figure.set_layout_engine("none")
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder) / f"{name}.{suffix}" for suffix in formats]
    with house_style():
        for path in paths:
            figure.savefig(path, dpi=50)
    return paths


def of_values(values, geometry, label, *, significant, title, diverging):
    assert len(values) == len(geometry)
    return plot_voxel_values(values, label, significant=significant, title=title)


def of_difference(result, geometry, *, on, title, labels=None, significant=None):
    return of_values(result.voxels["difference"], geometry, on, significant=significant, title=title, diverging=True)


def page(path, values, geometry, label, *, significant, title):
    assert len(values) == len(geometry)
    Path(path).write_text(f"{title}: {label}", encoding="utf-8")


def umap(space, *, seed):
    return project_tsne(space, seed=seed)


#: What stands in for what.
QUICK = {
    "affectome.study._written.FORMATS": ("png",),
    "affectome.plotting.save_figure": save,
    "affectome.plotting.plot_glass_brain": of_values,
    "affectome.plotting.plot_surface": of_values,
    "affectome.plotting.plot_difference_map": of_difference,
    "affectome.report.write_brain_view": page,
    "affectome.study._interpret_shape.project_umap": umap,
}
