"""The stages of a study, from its stimuli to what its components mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectome._files import atomic_path
from affectome._progress import Progress
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import read_space, write_space
from affectome.stimuli import DATASETS, StimulusSet, read_stimuli
from affectome.study._engine import Stage
from affectome.study._schema import Study
from affectome.triplets import read_triplets, sample_triplets, split_triplets, write_triplets

__all__ = ["study_stages"]


@dataclass(frozen=True, eq=False)
class _Builder:
    """Turns a study into stages; every path it gives a stage lies in the results folder."""

    study: Study
    results: Path
    n_jobs: int | None

    def seed(self, *names: str) -> int:
        return named_seed(self.study.study.seed, *names)

    def stages(self) -> list[Stage]:
        return [
            self.stimuli(),
            self.questions(),
            *(make(name) for name in self.study.systems for make in (self.answers, self.embedding, self.accuracy)),
            *(self.meaning(name) for name in self.study.systems if self.study.interpretation.ratings),
        ]

    def stimuli(self) -> Stage:
        study, wanted = self.study, self.study.spaces_used()
        outputs = tuple(f"spaces/{name}.parquet" for name in wanted)

        def run(progress: Progress) -> Mapping[str, Any]:
            stimuli = _load_stimuli(study)
            for name in wanted:
                write_space(self.results / f"spaces/{name}.parquet", stimuli.spaces[name], {"origin": "stimuli"})
            return {"n": len(stimuli), "spaces": {name: stimuli.spaces[name].shape[1] for name in wanted}}

        files = (Path(study.stimuli.path), *(Path(table.path) for table in study.spaces.values()))
        parameters = {
            "stimuli": study.stimuli.model_dump(exclude={"path"}),
            "spaces": {name: table.model_dump(exclude={"path"}) for name, table in study.spaces.items()},
        }
        return Stage("stimuli", run, outputs, parameters, files)

    def questions(self) -> Stage:
        design, seed = self.study.triplets, self.seed("questions")
        outputs = ("triplets/train.parquet", "triplets/test.parquet")
        first_space = f"spaces/{self.study.spaces_used()[0]}.parquet"

        def run(progress: Progress) -> Mapping[str, Any]:
            ids = read_space(self.results / first_space).index.tolist()
            both = sample_triplets(ids, design.train + design.test, design=design.design, seed=seed)
            parts = split_triplets(both, [design.train, design.test], seed=self.seed("split"))
            for path, part in zip(outputs, parts, strict=True):
                write_triplets(self.results / path, part)
            return design.model_dump()

        parameters = {**design.model_dump(), "seed": seed}
        return Stage("questions", run, outputs, parameters, after=("stimuli",))

    def answers(self, name: str) -> Stage:
        from affectome.judges import FeatureJudge, ask

        table = self.study.systems[name].judge
        outputs = (f"triplets/{name}_train.parquet", f"triplets/{name}_test.parquet")

        def run(progress: Progress) -> Mapping[str, Any]:
            space = read_space(self.results / f"spaces/{table.space}.parquet")
            for part, path in zip(("train", "test"), outputs, strict=True):
                judge = FeatureJudge(
                    space,
                    metric=table.metric,
                    standardise=table.standardise,
                    temperature=table.temperature,
                    seed=self.seed("answers", name, part),
                )
                questions = read_triplets(self.results / f"triplets/{part}.parquet")
                write_triplets(self.results / path, ask(judge, questions, progress=progress))
            return {"judge": table.model_dump(exclude_none=True)}

        parameters = {**table.model_dump(), "seed": self.seed("answers", name)}
        return Stage(f"answers/{name}", run, outputs, parameters, after=("stimuli", "questions"))

    def embedding(self, name: str) -> Stage:
        from affectome.embedding import SPoSE

        table, seed = self.study.embedding, self.seed("embedding", name)
        path = f"spaces/{name}.parquet"
        settings = {**table.model_dump(exclude={"components"}), "n_components": table.components}

        def run(progress: Progress) -> Mapping[str, Any]:
            trials = read_triplets(self.results / f"triplets/{name}_train.parquet")
            model = SPoSE(**settings, random_state=seed % 2**32, n_jobs=self.n_jobs)
            model.fit(trials, progress=progress)
            if model.n_components_ == 0:
                raise InputError(
                    f"every component of '{name}' vanished",
                    source="study.toml",
                    where="[embedding] l1",
                    remedy="lower it",
                )
            summary = {
                "method": "spose",
                "n_components": model.n_components_,
                "objective": model.objective_,
                "epochs": model.n_epochs_,
                "converged": model.converged_,
                "n_trials": model.n_trials_,
            }
            write_space(
                self.results / path, model.to_space(trials.ids), {"settings": {**settings, "seed": seed}, **summary}
            )
            return summary

        return Stage(f"embedding/{name}", run, (path,), {**settings, "seed": seed}, after=(f"answers/{name}",))

    def accuracy(self, name: str) -> Stage:
        from affectome._files import write_json
        from affectome.behavior import held_out_accuracy

        table, seed = self.study.behavior, self.seed("accuracy", name)
        path = f"behavior/{name}_accuracy.json"

        def run(progress: Progress) -> Mapping[str, Any]:
            space = read_space(self.results / f"spaces/{name}.parquet")
            trials = read_triplets(self.results / f"triplets/{name}_test.parquet")
            score = held_out_accuracy(
                space, trials, n_boot=table.bootstrap, level=table.level, seed=seed, n_jobs=self.n_jobs
            )
            summary = {**vars(score), "chance": 1 / 3}
            write_json(self.results / path, summary)
            return summary

        after = (f"embedding/{name}", f"answers/{name}")
        return Stage(f"behavior/{name}", run, (path,), {**table.model_dump(), "seed": seed}, after=after)

    def meaning(self, name: str) -> Stage:
        table, label = self.study.interpretation, self.study.label(name)
        judged = self.study.systems[name].judge.space
        outputs = (
            f"interpretation/{name}_ratings.csv",
            f"figures/{name}_ratings.png",
            f"figures/{name}_ratings.svg",
        )

        def run(progress: Progress) -> Mapping[str, Any]:
            from affectome.interpretation import correlate_components
            from affectome.plotting import plot_rating_correlations, save_figure

            space = read_space(self.results / f"spaces/{name}.parquet")
            ratings = {key: read_space(self.results / f"spaces/{key}.parquet") for key in table.ratings}
            result = correlate_components(space, ratings)
            tidy = pd.concat({"r": result.r.stack(), "p": result.p.stack(), "q": result.q.stack()}, axis=1)
            tidy.index.names = ["component", "rating"]
            tidy.insert(0, "family", [result.family[rating] for _, rating in tidy.index])
            with atomic_path(self.results / outputs[0]) as temporary:
                tidy.to_csv(temporary, lineterminator="\n")
            figure = plot_rating_correlations(result, title=f"{label}: components and ratings", alpha=table.alpha)
            save_figure(figure, self.results / "figures", f"{name}_ratings")
            tops = result.top_ratings(3, table.alpha)
            return {
                "judged_from_these_ratings": judged in table.ratings,
                "components": [
                    {
                        "name": component,
                        "weight_sum": float(space[component].sum()),
                        "top_ratings": [
                            {"rating": rating, "r": round(r, 4), "q": float(result.q[rating][component])}
                            for rating, r in top
                        ],
                    }
                    for component, top in tops.items()
                ],
            }

        parameters = {**table.model_dump(), "label": label, "judged": judged}
        return Stage(f"interpretation/{name}", run, outputs, parameters, after=("stimuli", f"embedding/{name}"))


def study_stages(study: Study, results: Path, *, n_jobs: int | None = None) -> list[Stage]:
    """All stages of a study in the order they run."""
    return _Builder(study, results, n_jobs).stages()


def _load_stimuli(study: Study) -> StimulusSet:
    table = study.stimuli
    if table.dataset is None:
        stimuli = read_stimuli(table.path, id_column=table.id_column)
    else:
        stimuli = DATASETS[table.dataset](table.path)
    for name, space in study.spaces.items():
        stimuli = stimuli.with_space(name, read_space(space.path, id_column=space.id_column))
    missing = [name for name in study.spaces_used() if name not in stimuli.spaces]
    if missing:
        raise InputError(f"has no space {cut_short(missing)}", source=table.path, remedy="download the whole file")
    return stimuli
