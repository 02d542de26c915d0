"""Figures of studies that take little time, for fixtures, and for the processes that tests start.

Figures are made and not drawn: their files are blank. Studies write PNG alone, maps and pages of brains are left out,
and t-SNE stands in for UMAP, which compiles for ten seconds in every process.
"""

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from affectome.interpretation import project_tsne


def save(figure, folder, name, formats=("png", "svg")):
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder) / f"{name}.{suffix}" for suffix in formats]
    width, height = (int(100 * inches) for inches in figure.get_size_inches())
    for path in paths:
        if path.suffix == ".png":
            Image.new("L", (width, height)).save(path)
        else:
            path.write_text(f"{name}, {width} x {height}", encoding="utf-8")
    return paths


def of_values(values, geometry, label, *, significant, title, diverging):
    assert len(values) == len(geometry)
    return Figure()


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
