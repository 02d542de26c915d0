"""The tables of study.toml, each key with its type, its default and what it means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from affectome._toml import Table
from affectome.spaces import Metric, Standardisation
from affectome.stimuli import DATASETS

__all__ = [
    "About", "AnswersTable", "Behavior", "BrainTable", "Embedding", "FeatureJudgeTable",
    "GapTable", "GroundingTable", "Interpretation", "JudgeFileTable", "Name", "People", "SearchlightTable",
    "SentenceJudgeTable", "SpaceTable", "Stimuli", "System", "Triplets",
]  # fmt: skip

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]
SpaceAnalysis = Literal[
    "components", "names", "correlations", "types", "prediction", "categories", "maps", "graph", "gradients", "stimuli",
]  # fmt: skip
SpaceComparison = Literal[
    "categories", "clusters", "types", "prediction", "rsa", "choices", "geometry", "ratings", "shares", "profiles",
    "components",
]  # fmt: skip
SpaceMetric = Literal["correlation", "cosine", "dot", "euclidean", "sqeuclidean"]


class About(Table):
    """Who the study is."""

    name: str = Field(description="Title, used in the report.")
    seed: Seed = Field(description="Everything random in the study derives from it.")


class Stimuli(Table):
    """What is judged."""

    path: str = Field(description="A stimulus table, a folder of clips, or the file of a dataset.")
    dataset: str | None = Field(default=None, description=f"Name of a public dataset: {', '.join(DATASETS)}.")
    id_column: str = Field(default="id", description="Id column of a stimulus table.")


class SpaceTable(Table):
    """A named space: read from a table, or other spaces side by side."""

    path: str | None = Field(
        default=None, description="CSV, TSV or Parquet: one row per stimulus, an id column, numbers."
    )
    dataset: Literal["horikawa-2020"] | None = Field(
        default=None, description="The path is a feature file of this release, which numbers presentations."
    )
    concatenate: list[str] = Field(
        default_factory=list, description="Instead of a path: spaces side by side, features standardised, equal weight."
    )
    id_column: str = Field(default="id", description="Name of the id column.")
    how: Literal["exact", "intersect"] = Field(
        default="exact", description="Whether other stimuli are a fault, or only the shared ones are kept."
    )


class FeatureJudgeTable(Table):
    """A judge that keeps the two most similar stimuli of a space."""

    kind: Literal["features"]
    space: str = Field(description="Name of the space it looks at.")
    metric: Metric = Field(default="cosine", description="How similarity is measured.")
    standardise: Standardisation = Field(default="none", description="Scaling of the features over all stimuli.")
    temperature: float | None = Field(default=None, gt=0, description="Choice noise; without it the judge never errs.")


class SentenceJudgeTable(Table):
    """A language system: the captions through a sentence encoder, compared by cosine."""

    kind: Literal["sentences"]
    model: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2", description="Model folder, or an id on the Hugging Face hub."
    )
    batch_size: Positive = Field(default=64, description="Sentences encoded together.")
    device: str | None = Field(default=None, description="cpu, cuda, mps; by default what torch finds.")
    temperature: float | None = Field(default=None, gt=0, description="Choice noise; without it the judge never errs.")


class AnswersTable(Table):
    """Answers that were collected elsewhere: by 'affectome collect', from people, or by another program."""

    kind: Literal["answers"]
    path: str = Field(description="A triplet file: Parquet, or odd-last .txt or .npy.")
    held_out: float = Field(default=0.1, gt=0, lt=1, description="Share of the different triplets kept for the score.")
    validation: str | None = Field(default=None, description="Answers to all triplets of some stimuli, for the RSM.")
    repeats: str | None = Field(default=None, description="Answers to triplets that were asked again, for the ceiling.")


class JudgeFileTable(Table):
    """A judge that is asked while the study runs: a chat server, or a model in this process."""

    kind: Literal["file"]
    path: str = Field(description="A judge.toml; see 'affectome collect run'.")
    soft: bool = Field(default=False, description="Learn from the probabilities of the answers, where there are any.")
    budget: float | None = Field(default=None, gt=0, description="Most that the answers may cost, in the file's money.")


class System(Table):
    """One system under study: who answers the questions."""

    label: str | None = Field(default=None, description="How figures and the report call it.")
    judge: Annotated[
        FeatureJudgeTable | SentenceJudgeTable | AnswersTable | JudgeFileTable, Field(discriminator="kind")
    ]


class Triplets(Table):
    """The questions, the same for every system."""

    design: Literal["random", "balanced"] = Field(default="random", description="How the triplets are chosen.")
    train: Positive = Field(description="Different triplets to learn from.")
    test: Positive = Field(description="Different triplets held out; none is among the others.")
    validation: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="Stimuli all of whose triplets are asked, for measured similarities; 66 in the paper."
    )
    repeated: Annotated[int, Field(ge=0, le=100_000_000)] = Field(
        default=0, description="Triplets that are asked several times, for the noise ceiling."
    )
    repeats: Annotated[int, Field(ge=2, le=1000)] = Field(default=20, description="How often each of them is asked.")


class Embedding(Table):
    """How the space behind the answers is learned; see affectome.embedding.SPoSE."""

    method: Literal["spose", "vice"] = Field(default="spose", description="Weights, or weights and how sure they are.")
    components: Count = Field(default=30, description="Components at the start.")
    l1: float | None = Field(default=None, ge=0, description="Weight of the sparsity term; by the number of trials.")
    learning_rate: float = Field(default=0.2, gt=0, description="First learning rate of Adam.")
    n_epochs: Positive | None = Field(default=None, description="Passes of Adam over the triplets; by their number.")
    max_iter: Count = Field(default=1000, description="Most iterations of L-BFGS-B after them.")
    tol: float | None = Field(default=None, ge=0, description="Fall of the objective over ten of them that ends a fit.")
    seeds: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Fits from different seeds; with two or more, which components come back is reported."
    )


class Behavior(Table):
    """How the prediction of choices is scored."""

    bootstrap: Count = Field(default=1000, description="Resamples behind the interval.")
    level: float = Field(default=0.95, gt=0, lt=1, description="Coverage the interval aims at.")
    permutations: Count = Field(default=1000, description="Permutations behind the p of measured similarities.")
    components_needed: bool = Field(default=True, description="Weights needed for 95 to 99% of the accuracy.")


class People(Table):
    """Answers of people, which every system is held against."""

    path: str = Field(description="A triplet file of people's answers, best with repeated triplets.")
    label: str = Field(default="People", description="How figures and the report call them.")


class Interpretation(Table):
    """What the components are held against; see affectome.study.Interpretation."""

    ratings: list[str] = Field(
        default_factory=list, description="Spaces whose columns the components are held against, one family each."
    )
    categories: str | None = Field(
        default=None, description="Family whose largest column labels each stimulus; by default the first."
    )
    dimensions: str | None = Field(default=None, description="Family of broad dimensions; by default the second.")
    terms: str | None = Field(default=None, description="Space of free-response terms, for names.")
    analyses: list[SpaceAnalysis] | None = Field(
        default=None, description="Only these analyses of a space; by default all, and none where the list is empty."
    )
    comparisons: list[SpaceComparison] | None = Field(
        default=None, description="Only these between spaces; by default all, and none where the list is empty."
    )
    reference: str | None = Field(default=None, description="System that the others are held against; the first.")
    judge: str | None = Field(default=None, description="A judge.toml of a chat model that is asked for names too.")
    tau: float = Field(default=0.2, gt=0, lt=1, description="|r| that counts in the threshold rule of types.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="Threshold on q after the correction over a table.")
    ties: Literal["random", "first", "drop"] = Field(default="random", description="How tied labels are resolved.")
    top: Positive = Field(default=3, description="Nearest centroids among which the own category counts as found.")
    most_common: Positive = Field(default=17, description="Categories of the second, smaller classification.")
    drop_duplicates: bool = Field(default=True, description="Leave out the repeated clips of the dataset.")
    permutations: Count = Field(default=1000, description="Permutations behind every p.")
    level: float = Field(default=0.95, gt=0, lt=1, description="Coverage the intervals aim at.")
    perplexity: float = Field(default=30.0, gt=1, description="Of the t-SNE map.")
    captions: Count = Field(default=5, description="Strongest stimuli shown per component, with a caption each.")


class SearchlightTable(Table):
    """How geometries are compared in every place of a brain; see affectome.study.Searching."""

    radius: float = Field(default=3.0, gt=0, description="Of spheres; in mm of discs on a surface.")
    unit: Literal["voxel", "mm"] = Field(default="voxel", description="Of the radius of spheres.")
    statistic: Literal["pearson", "spearman"] = Field(default="pearson", description="Correlation of geometries.")
    metric: SpaceMetric | dict[str, SpaceMetric] = Field(
        default="correlation", description="Of stimuli in a space; one for all, or a table by space."
    )
    brain_metric: Literal["correlation", "cosine", "euclidean", "sqeuclidean"] = Field(
        default="correlation", description="Of patterns."
    )
    within_run: Literal["exclude", "include"] = Field(default="exclude", description="Pairs of stimuli of one run.")
    units: Literal["stimulus", "run"] = Field(default="stimulus", description="What intervals take as independent.")
    test: Literal["closed", "drawn"] = Field(default="closed", description="All permutations, or drawn within runs.")
    intervals: bool = Field(default=True, description="Intervals and differences of every centre.")
    backend: Literal["numpy", "torch", "torch_cuda"] = Field(default="numpy", description="What computes.")


class BrainTable(Table):
    """Which recordings the spaces are held against; see affectome.study.Brain."""

    path: str = Field(description="A recording, a folder of them, or a recordings.toml.")
    spaces: list[str] = Field(default_factory=list, description="Systems and spaces; by default all systems.")
    reference: str | None = Field(default=None, description="The one that the others are held against; the first.")
    controls: list[str] = Field(
        default_factory=list, description="Spaces of what is merely seen or meant; what a space adds to them is asked."
    )
    partition: bool = Field(default=True, description="Cut what spaces explain into what is unique and what is shared.")
    regions: str | None = Field(
        default=None, description="hcp, subcortical, paper, or a file; by default those of the recordings."
    )
    standardise: Literal["zscore", "center", "none"] = Field(default="zscore", description="Responses of each run.")
    folds: Annotated[int, Field(ge=3, le=1000)] = Field(default=6, description="Outer folds, of whole runs.")
    shared_stimuli: Literal["drop", "allow", "raise"] = Field(
        default="drop", description="Training trials whose stimulus is in the held-out fold too."
    )
    block_length: Count | None = Field(default=None, description="Trials that stay together under the null.")
    permutations: Count = Field(default=1000, description="Permutations behind every p.")
    level: float = Field(default=0.95, gt=0, lt=1, description="Coverage the intervals aim at.")
    searchlight: SearchlightTable | None = Field(
        default=None, description="Compare geometries in every place too; left out: it is not done."
    )
    reliability: bool = Field(default=False, description="Split-half reliability and ceilings of geometries too.")


class GroundingTable(Table):
    """The same model with captions, with video and with both; what it sees is then all that differs."""

    captions: str = Field(description="The system that read captions.")
    video: str = Field(description="The system that saw videos.")
    both: str | None = Field(default=None, description="The system that had both.")


class GapTable(Table):
    """Which space follows behaviour, which the brain, and does that stand under other choices of analysis."""

    spaces: list[str] = Field(default_factory=list, description="Systems and spaces; by default those of the brain.")
    reference: str | None = Field(default=None, description="The one that the others are held against; the brain's.")
    dimensions: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=0,
        description="Principal components that every space is cut to, so that size decides nothing; 0: the fewest.",
    )
    region: str | None = Field(default=None, description="Region of the headline; by default all voxels.")
    reliability: dict[Name, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict, description="Reliability of spaces of ratings, for correlations without attenuation."
    )
    grounding: GroundingTable | None = Field(
        default=None, description="Systems that are one model on captions, on video, on both; needs controls."
    )
    specifications: bool = Field(default=True, description="Do it again under every other reasonable choice.")
