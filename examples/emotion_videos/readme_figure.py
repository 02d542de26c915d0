"""The figure of the README, from the results of the study beside this file.

affectome study run examples/emotion_videos/study.toml --out results/
python examples/emotion_videos/readme_figure.py results/ docs/images
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from affectome.plotting import PAGE_WIDTH, house_style, plot_accuracy, plot_category_scores, save_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results folder of the study")
    parser.add_argument("out", type=Path, help="folder for emotion_videos.png")
    options = parser.parse_args()
    systems = json.loads((options.results / "summary.json").read_text(encoding="utf-8"))["systems"]
    labels = {name: system["label"] for name, system in systems.items()}
    with house_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        plot_accuracy({name: system["held_out_accuracy"] for name, system in systems.items()}, labels, ax=left)
        found = {name: system["interpretation"]["categories"] for name, system in systems.items()}
        scores = {name: {**one["centroid"]["all"], "top": one["top"]} for name, one in found.items()}
        plot_category_scores(scores, labels, ax=right)
        right.set_yticklabels([])
    save_figure(figure, options.out, "emotion_videos", formats=("png",))


if __name__ == "__main__":
    main()
