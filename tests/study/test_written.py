"""What a stage leaves behind, as users get it."""

import pandas as pd

from affectome._progress import silent
from affectome.plotting import plot_voxel_values
from affectome.study._written import Written, written_stage

FIGURES_AS_USERS_GET_THEM = True


def test_figures_come_in_three_formats_and_what_was_not_announced_is_in_the_summary(tmp_path):
    def run(progress):
        drawn = plot_voxel_values([0.1, 0.2, 0.4], "r")
        return Written({"t": pd.DataFrame({"a": [1]}), "u": pd.DataFrame()}, {"f": drawn, "g": drawn}, {"n": 3})

    stage = written_stage("s", tmp_path, "sub", run, tables=["t"], figures=["f"], parameters={})
    announced = ["sub/t.csv", *(f"sub/figures/f.{suffix}" for suffix in ("png", "pdf", "svg"))]
    assert list(stage.outputs) == announced
    summary = stage.run(silent)
    further = ["sub/u.csv", *(f"sub/figures/g.{suffix}" for suffix in ("png", "pdf", "svg"))]
    assert summary == {"n": 3, "files": further}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == {*announced, *further}
    for name in ("f", "g"):
        starts = [(tmp_path / f"sub/figures/{name}.{suffix}").read_bytes()[:5] for suffix in ("png", "pdf", "svg")]
        assert starts == [b"\x89PNG\r", b"%PDF-", b"<?xml"]
