"""``affectome predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import (
    Json,
    LogFile,
    Quiet,
    command,
    files_by_name,
    left_out_ids,
    null_if_undefined,
    number,
    one_of,
    print_json,
    records,
    start_logging,
    work_progress,
)
from affectome.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from affectome._progress import Progress
    from affectome.prediction import PlacedStimuli, PredictionAccuracy

group = typer.Typer(help="From features or captions of stimuli to their place in a space.", no_args_is_help=True)

Features = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        help="Table of features (.csv, .tsv, .parquet), called by its file name unless written NAME=FILE; several are "
        "put side by side.",
        metavar="[NAME=]FILE",
    ),
]
CaptionTable = Annotated[
    Path | None,
    typer.Option("--captions", help="Stimulus table with captions, which a sentence encoder makes into features."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="Of the encoder: cpu, cuda or mps; by default what there is.")
]
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@group.callback()
def _group() -> None:
    """From features or captions of stimuli to their place in a space."""


@group.command("fit")
@command
def fit(
    space: Annotated[Path, typer.Option("--space", help="The space to predict.")],
    out: Annotated[Path, typer.Option("--out", help="The predictor: .npz.")],
    features: Features = None,
    captions: CaptionTable = None,
    model: Annotated[
        str, typer.Option("--model", help="With --captions: folder or hub id of the sentence encoder.")
    ] = DEFAULT_MODEL,
    device: Device = None,
    triplets: Annotated[
        Path | None, typer.Option("--triplets", help="Answered triplets the space was not learned from.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option("--groups", help="Table with columns id and group: copies of a clip stay on one side of a split."),
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option("--exclude", help="Ids to leave out, one a line, for example duplicated clips.")
    ] = None,
    clip: Annotated[
        str,
        typer.Option("--clip", help="Raise placements below 0 to 0: yes, no, or auto (where no weight is negative)."),
    ] = "auto",
    metric: Annotated[
        str, typer.Option("--metric", help="Of similarities between stimuli: dot, cosine or correlation.")
    ] = "dot",
    folds: Annotated[int, typer.Option("--folds", min=3, help="Outer folds; the inner ones are the others.")] = 5,
    permutations: Annotated[
        int, typer.Option("--permutations", min=1, max=1_000_000, help="Permutations of the test.")
    ] = 1000,
    level: Annotated[float, typer.Option("--level", help="Coverage the intervals aim at.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of folds and permutations.")] = 0,
    table: Annotated[Path | None, typer.Option("--table", help="Accuracy of each component, as CSV.")] = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Held-out placements of the stimuli, as a space.")
    ] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Accuracy per component: .png, .svg or .pdf.")] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Learn a space from features of its stimuli, and say how well unseen stimuli are placed.

    Example: affectome predict fit --features captions.parquet --space spaces/mllm.parquet --out predictor.npz

    With --captions stimuli.csv instead, sentences are encoded. Accuracy is that of placements by models that have not
    seen the stimulus; the predictor itself is learned from all of them.
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.prediction import PREDICTOR_FORMATS, SpacePredictor, prediction_accuracy, write_predictor
    from affectome.spaces import SPACE_FORMATS, read_space, rows_for
    from affectome.triplets import read_triplets

    for path, formats in ((out, PREDICTOR_FORMATS), (table, (".csv",)), (held_out, SPACE_FORMATS),
                          (figure, (".png", ".svg", ".pdf"))):  # fmt: skip
        if path is not None:
            check_output(path, formats)
    clipped = {"yes": True, "no": False, "auto": "auto"}[one_of("--clip", clip, ("auto", "yes", "no"))]
    measure: Any = one_of("--metric", metric, ("dot", "cosine", "correlation"))
    whole = read_space(space)
    wanted = _without(whole, left_out_ids(exclude), space)
    ids = wanted.index.tolist()
    # Triplets of bare numbers count all stimuli of the space.
    counted = None if triplets is None or triplets.suffix == ".parquet" else whole.index.tolist()
    trials = None if triplets is None else read_triplets(triplets, stimuli=counted)
    by_group = None if groups is None else _groups(groups, ids)
    with work_progress("features", quiet) as progress:
        described, bands, origin = _described(features, captions, model, device, progress)
    known = rows_for(described, ids, name="the features")
    settings: Any = {"bands": bands, "clip": clipped}
    with work_progress("accuracy", quiet) as progress:
        found = prediction_accuracy(
            known, wanted, n_folds=folds, n_permutations=permutations, level=level, groups=by_group, trials=trials,
            metric=measure, seed=seed, progress=progress, **settings,
        )  # fmt: skip
    predictor = SpacePredictor(cv=folds, random_state=seed, **settings).fit(known, wanted, groups=by_group)
    made = {**origin, "space": str(space), "components": records(found.components.reset_index()), "level": level}
    write_predictor(out, predictor, made)
    _write_accuracy(found, table, held_out, figure, origin)
    print("\n".join(_accuracy_lines(found)))
    print(f"Predictor: {out}")
    if json:
        print_json(_accuracy_json(found, out))


@group.command("place")
@command
def place(
    predictor: Annotated[Path, typer.Argument(help="What 'affectome predict fit' wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The placed stimuli, as a space: .parquet, .csv or .tsv.")],
    features: Features = None,
    captions: CaptionTable = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Where the sentence encoder lies now; by default where it lay.")
    ] = None,
    device: Device = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="How far each stimulus lies from those learned from, as CSV.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Place new stimuli in a space by their features or captions, and name those that are unlike the known ones.

    Example: affectome predict place predictor.npz --features new.parquet --out placed.parquet
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome._tables import write_csv
    from affectome.prediction import read_predictor
    from affectome.spaces import SPACE_FORMATS, write_space

    check_output(out, SPACE_FORMATS)
    if table is not None:
        check_output(table, (".csv",))
    learned, made = read_predictor(predictor)
    if captions is not None and made.get("encoder") is None:
        raise InputError(
            "was learned from tables of features, not from captions", source=predictor, remedy="give --features"
        )
    encoder = model or made.get("model") or DEFAULT_MODEL
    with work_progress("features", quiet) as progress:
        described, _, origin = _described(features, captions, encoder, device, progress)
    if captions is not None and origin["encoder"] != made["encoder"]:
        raise InputError(
            f"was learned with another sentence encoder ({made['model']})",
            source=predictor,
            remedy=f"give the folder of that one by --model ('{encoder}' is not it)",
        )
    placed = learned.place(described)
    shown = [row["component"] for row in made.get("components", ()) if row["q"] is not None and row["q"] < 0.05]
    write_space(out, placed.space, {"origin": "predicted from features", "predictor": str(predictor), **origin,
                                    "predicted_better_than_chance": shown})  # fmt: skip
    if table is not None:
        write_csv(table, placed.extrapolation)
    print("\n".join(_placement_lines(placed, shown)))
    print(f"Placed: {out}")
    if json:
        far = placed.extrapolation
        print_json({"placed": str(out), "n_stimuli": len(far), "far": far.index[far["far"]].tolist(),
                    "components_better_than_chance": shown,
                    "extrapolation": records(far.reset_index())})  # fmt: skip


def _described(
    features: list[str] | None, captions: Path | None, model: str, device: str | None, progress: Progress
) -> tuple[pd.DataFrame, dict[str, list[str]] | None, dict[str, Any]]:
    """Features of stimuli, their bands where there are several tables, and what they were made from."""
    from affectome.judges import encode_captions, model_identity
    from affectome.prediction import join_features
    from affectome.spaces import read_space
    from affectome.stimuli import read_stimuli

    if bool(features) == (captions is not None):
        raise InputError(
            "what stimuli are described by is not clear", remedy="give --features or --captions, one of them"
        )
    if captions is not None:
        # The mean over stimuli stays in: that of new ones is another.
        made = encode_captions(read_stimuli(captions).captions, model, device=device, centre=False, progress=progress)
        return made, None, {"captions": str(captions), "model": model, "encoder": model_identity(model)}
    pairs = [("", text) if Path(text).exists() or "=" not in text else text.split("=", 1) for text in features or []]
    names = [name.strip() or Path(file).stem for name, file in pairs]
    paths = files_by_name("tables of features", names, [Path(file.strip()) for _, file in pairs],
                          remedy="write NAME=FILE for one of them")  # fmt: skip
    joined, bands = join_features({name: read_space(path) for name, path in paths.items()})
    return joined, bands, {"features": {name: str(path) for name, path in paths.items()}}


def _write_accuracy(
    found: PredictionAccuracy, table: Path | None, held_out: Path | None, figure: Path | None, origin: dict[str, Any]
) -> None:
    """Whatever of it was asked for."""
    from affectome._tables import write_csv
    from affectome.spaces import write_space

    if table is not None:
        write_csv(table, found.components)
    if held_out is not None:
        write_space(held_out, found.predicted, {"origin": "held-out placements", **origin})
    if figure is not None:
        from affectome.plotting import plot_predicted_components, save_figure

        drawn = plot_predicted_components(found)
        save_figure(drawn, figure.parent, figure.stem, (figure.suffix[1:].lower(),))


def _without(space: pd.DataFrame, excluded: tuple[str, ...], source: Path) -> pd.DataFrame:
    kept = space[~space.index.isin(excluded)]
    if kept.empty:
        raise InputError("holds no stimulus that is not left out", source=source, remedy="leave out fewer")
    return kept


def _groups(path: Path, ids: list[str]) -> dict[str, str]:
    """Groups of the stimuli of the space; the table may know more."""
    from affectome._tables import read_indexed_table

    table = read_indexed_table(path, text_columns=("group",))
    if "group" not in table.columns:
        raise InputError("has no column 'group'", source=path, remedy="give it the columns id and group")
    known = {str(name): str(label) for name, label in table["group"].items()}
    return {name: known[name] for name in ids if name in known}


def _accuracy_lines(found: PredictionAccuracy) -> list[str]:
    table = found.components
    shown = table["q"] < 0.05
    ends = f"[{table['r'].min():.2f}, {table['r'].max():.2f}]"
    kept = "Placements below 0 are raised to 0." if found.clipped else "Placements may be below 0."
    alike = found.similarity
    lines = [
        f"{found.n_stimuli:,} stimuli, {found.n_features:,} features, {len(table)} components, {found.n_folds} folds. "
        + kept,
        f"{int(shown.sum())} of {len(table)} components are predicted better than by their mean (FDR .05); "
        f"median held-out r {table['r'].median():.3f} {ends}, R2 {table['r2'].median():.3f}.",
    ]
    best = table.sort_values("r", ascending=False, na_position="last")
    for name, row in [*best.head(3).iterrows(), *(best.tail(1).iterrows() if len(best) > 3 else ())]:
        lines.append(
            f"  {name}: r {number(null_if_undefined(row['r']))} [{row['r_low']:.3f}, {row['r_high']:.3f}], "
            f"R2 {number(null_if_undefined(row['r2']))}, q {number(null_if_undefined(row['q']), 4)}"
        )
    lines.append(
        f"Similarities of unseen stimuli ({alike.metric}, {alike.n_pairs:,} pairs): r {alike.r:.3f} "
        f"[{alike.r_low:.3f}, {alike.r_high:.3f}] with those of the space."
    )
    if (choices := found.choices) is not None:
        told = {name: f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                for name, row in choices.table.iterrows()}  # fmt: skip
        lines.append(
            f"Odd one out of {choices.n_trials:,} trials: {told['placed']} from held-out placements, {told['space']} "
            f"from the space itself, {told['difference']} lost; chance is 0.333."
        )
    return lines


def _accuracy_json(found: PredictionAccuracy, out: Path) -> dict[str, Any]:
    return {
        "predictor": str(out),
        "n_stimuli": found.n_stimuli,
        "n_features": found.n_features,
        "components": records(found.components.reset_index()),
        "similarity": {key: null_if_undefined(value) for key, value in vars(found.similarity).items()},
        "choices": None if found.choices is None else {
            "n_trials": found.choices.n_trials, "n_left_out": found.choices.n_left_out,
            "table": records(found.choices.table.reset_index()),
        },
        "clipped": found.clipped,
        "level": found.level,
    }  # fmt: skip


def _placement_lines(placed: PlacedStimuli, shown: list[str]) -> list[str]:
    from affectome._tables import cut_short

    far = placed.extrapolation[placed.extrapolation["far"]].sort_values("leverage", ascending=False)
    lines = [
        f"{len(placed.space):,} stimuli placed on {placed.space.shape[1]} components, {len(shown)} of which are "
        "predicted better than by their mean.",
        f"{len(far)} of them unlike the stimuli learned from (further off than 99% of those from one another)"
        + (f": {cut_short(far.index)}." if len(far) else "."),
    ]
    lines += [
        f"  {name}: {row['relative']:.1f} times the leverage of a usual stimulus, {int(row['n_outside'])} features "
        "outside the range learned from"
        for name, row in far.head(5).iterrows()
    ]
    return lines
