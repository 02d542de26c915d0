"""``affectome triplets``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Json, LogFile, Quiet, about, command, print_json, start_logging, work_progress

group = typer.Typer(help="The questions, and answers from numbers.", no_args_is_help=True)


@group.command("sample")
@command
def sample(
    stimuli: Annotated[Path, typer.Argument(help="A stimulus table or a folder of clips.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file for the questions.")],
    n: Annotated[int | None, typer.Option("--n", min=1, help="Different triplets; 'exhaustive' needs none.")] = None,
    design: Annotated[str, typer.Option("--design", help="random, exhaustive, repeated or balanced.")] = "random",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Everything random is drawn from it.")] = 0,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Times each triplet is asked (design repeated).")
    ] = 1,
    subset: Annotated[
        int | None, typer.Option("--subset", min=3, help="Use this many stimuli, drawn at random.")
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option("--exclude", help="Triplet file none of whose triplets is asked again.")
    ] = None,
    orders: Annotated[
        int, typer.Option("--orders", help="Ask in 1 order, in 3 (rotations) or in 6 (all), to measure slot bias.")
    ] = 1,
    orders_share: Annotated[
        float, typer.Option("--orders-share", help="Share of the triplets that is asked in all --orders.")
    ] = 1.0,
    id_column: Annotated[str, typer.Option("--id-column", help="Name of the id column.")] = "id",
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Draw the questions of a study.

    Example: affectome triplets sample stimuli.csv --n 1000000 --seed 1 --out questions.parquet

    For a held-out set: --exclude questions.parquet with another seed.

    To measure which slot a judge prefers: --orders 6 --orders-share 0.1
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.stimuli import read_stimuli
    from affectome.triplets import read_triplets, sample_triplets, write_triplets

    check_output(out, (".parquet",))
    ids = read_stimuli(stimuli, id_column=id_column).ids
    taken = None if exclude is None else read_triplets(exclude, stimuli=ids)
    questions = sample_triplets(
        ids,
        n,
        design=design,  # type: ignore[arg-type]
        seed=seed,
        repeats=repeats,
        subset=subset,
        exclude=taken,
        orders=orders,  # type: ignore[arg-type]
        orders_share=orders_share,
    )
    write_triplets(out, questions)
    different, in_orders = questions.metadata["n_different"], questions.metadata.get("n_in_orders", 0)
    made_of = f" ({different:,} different triplets, {in_orders:,} of them in {orders} orders)" if in_orders else ""
    print(f"{len(questions):,} questions{made_of} about {questions.n_stimuli:,} stimuli: {out}")
    if json:
        facts = {"n_trials": len(questions), "n_different": different, "n_stimuli": questions.n_stimuli}
        print_json({"out": str(out), **facts})


@group.command("judge")
@command
def judge(
    questions: Annotated[Path, typer.Argument(help="A triplet file.")],
    space: Annotated[
        Path, typer.Option("--space", help="What the judge knows: a table with an id column and numbers.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Parquet file, or .txt/.npy odd-last.")],
    metric: Annotated[str, typer.Option("--metric", help="cosine, correlation, dot or euclidean.")] = "cosine",
    standardise: Annotated[str, typer.Option("--standardise", help="none, centre, zscore or minmax.")] = "none",
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Choice noise; without it the judge never errs.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Breaks ties and draws the noise.")] = 0,
    id_column: Annotated[str, typer.Option("--id-column", help="Name of the id column.")] = "id",
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Answer questions from a table of numbers: the two most similar stimuli stay, the third is odd.

    Example: affectome triplets judge questions.parquet --space ratings.csv --out answers.parquet
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.judges import FeatureJudge, ask
    from affectome.spaces import read_space
    from affectome.triplets import TRIPLET_FORMATS, read_triplets, write_triplets

    check_output(out, TRIPLET_FORMATS)
    asked = read_triplets(questions)
    answering = FeatureJudge(
        read_space(space, id_column=id_column),
        metric=metric,  # type: ignore[arg-type]
        standardise=standardise,  # type: ignore[arg-type]
        temperature=temperature,
        seed=seed,
    )
    with about(space), work_progress("judging", quiet) as progress:
        answers = ask(answering, asked, progress=progress)
    write_triplets(out, answers)
    print(f"{int(answers.answered.sum()):,} answers: {out}")
    if json:
        print_json({"out": str(out), "n_answered": int(answers.answered.sum())})


@group.command("import")
@command
def import_answers(
    answers: Annotated[
        Path, typer.Argument(help="CSV, TSV or Parquet with one row per trial, or an odd-last .txt or .npy file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Parquet file for the answered triplets.")],
    stimuli: Annotated[
        Path | None, typer.Option("--stimuli", help="A stimulus table or a folder of clips: the ids and their order.")
    ] = None,
    participant_column: Annotated[
        str, typer.Option("--participant-column", help="Who answered; '' where the table does not say.")
    ] = "participant",
    slot_columns: Annotated[
        str, typer.Option("--slot-columns", help="The stimuli in the order shown, three columns by commas.")
    ] = "a,b,c",
    choice_column: Annotated[
        str, typer.Option("--choice-column", help="The odd one; empty where there was no answer.")
    ] = "choice",
    choice: Annotated[
        str,
        typer.Option(
            "--choice", help="How the odd one is written: auto, id, slot, slot0 (0, 1, 2) or slot1 (1, 2, 3)."
        ),
    ] = "auto",
    id_column: Annotated[str, typer.Option("--id-column", help="Name of the id column of the stimuli.")] = "id",
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Turn the answers of people, or of another program, into a triplet file.

    Example: affectome triplets import answers.csv --stimuli stimuli.csv --out human.parquet
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.errors import InputError
    from affectome.stimuli import read_stimuli
    from affectome.triplets import read_answers, read_triplets, write_triplets

    check_output(out, (".parquet",))
    ids = None if stimuli is None else read_stimuli(stimuli, id_column=id_column).ids
    if answers.suffix.lower() in (".txt", ".npy"):
        if ids is None:
            raise InputError(
                "holds bare numbers, odd one last", source=answers, remedy="say with --stimuli which stimuli they count"
            )
        trials = read_triplets(answers, stimuli=ids)
    else:
        trials = read_answers(
            answers,
            stimuli=ids,
            participant_column=participant_column or None,
            slot_columns=[name.strip() for name in slot_columns.split(",")],
            choice_column=choice_column,
            choice=choice,  # type: ignore[arg-type]
        )
    write_triplets(out, trials)
    found = {"n_trials": len(trials), "n_answered": int(trials.answered.sum()), "n_stimuli": trials.n_stimuli}
    people = len(trials.metadata.get("participants", ()))
    by = f" by {people:,} participants" if people else ""
    order = "known" if trials.metadata["order_shown"] == "known" else "unknown"
    print(
        f"{found['n_answered']:,} of {found['n_trials']:,} trials answered{by}, about {found['n_stimuli']:,} stimuli, "
        f"order shown {order}: {out}"
    )
    if json:
        print_json({"out": str(out), **found, "n_participants": people or None, "order_shown": order})
