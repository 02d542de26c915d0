"""The methods of a study in sentences, made from what ran and with which values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from affectome.report._references import Citations, Reference
from affectome.report._telling import counted, joined, number, percent

__all__ = ["Methods", "methods"]


class Methods(NamedTuple):
    """Paragraphs under their headings, and the papers that they cite."""

    paragraphs: list[tuple[str, list[str]]]
    references: list[Reference]


def methods(summary: Mapping[str, Any], provenance: Mapping[str, Any]) -> Methods:
    """What was done, stage by stage; what did not run is not told."""
    cite, study = Citations(), provenance["study"]
    parts = [
        ("Stimuli and questions", _questions(summary, study, cite)),
        ("Systems", _systems(summary, study, cite)),
        ("Spaces", _spaces(summary, study, cite)),
        ("Behaviour", _behavior(summary, study)),
        ("Meaning", _meaning(summary, study, cite)),
        ("The brain", _brain(summary, study, cite)),
        ("The gap", _gap(summary, cite)),
        ("Software and seeds", _software(summary, provenance)),
    ]
    return Methods([(heading, told) for heading, told in parts if told], cite.listed)


def _questions(summary: Mapping[str, Any], study: Mapping[str, Any], cite: Citations) -> list[str]:
    triplets, n = summary["triplets"], summary["stimuli"]["n"]
    dataset = study["stimuli"].get("dataset")
    source = f" of the data set {dataset} {cite('cowen')}" if dataset == "cowen-keltner-2017" else (
        f" of the data set {dataset}" if dataset else "")  # fmt: skip
    told = [f"{n:,} stimuli{source} were judged in odd-one-out triplets {cite('du')}."]
    if _asked(summary):
        told.append(
            f"{triplets['train'] + triplets['test']:,} different triplets were drawn ({triplets['design']} design) "
            f"and put to every system that does not bring answers of its own; {triplets['test']:,} were held out. No "
            "unordered triplet is in two sets."
        )
    else:
        told.append("Every system brings answers of its own; no unordered triplet is both learned from and held out.")
    design = study["triplets"]
    if design.get("validation"):
        told.append(
            f"All triplets of {design['validation']} stimuli drawn at random were asked for measured similarities."
        )
    if design.get("repeated"):
        told.append(
            f"{design['repeated']:,} triplets were asked {design['repeats']} times each, in orders drawn anew, for "
            "the noise ceiling."
        )
    return told


def _asked(summary: Mapping[str, Any]) -> bool:
    return any(system["judge"]["kind"] != "answers" for system in summary["systems"].values())


def _systems(summary: Mapping[str, Any], study: Mapping[str, Any], cite: Citations) -> list[str]:
    told = [f"{system['label']}: {_judge(system, cite)}." for system in summary["systems"].values()]
    kinds = {system["judge"]["kind"] for system in summary["systems"].values()}
    if kinds & {"features", "sentences"}:
        told.append(
            "A judge that looks at features keeps the two most similar stimuli; exact ties are broken at random."
        )
    return told


def _judge(system: Mapping[str, Any], cite: Citations) -> str:
    judge, kind = system["judge"], system["judge"]["kind"]
    if kind == "features":
        scaled = (
            f" after scaling of the features ({judge['standardise']})"
            if judge.get("standardise", "none") != "none"
            else ""
        )
        sentence = f"the space “{judge['space']}”, compared by {judge['metric']}{scaled}"
    elif kind == "sentences":
        sentence = (
            f"captions through the sentence encoder {judge['model']} {cite('reimers')}, averaged per stimulus, "
            "centred, compared by cosine"
        )
    else:
        sentence = _given(system)
    if judge.get("temperature") is not None:
        sentence += f", with choice noise at temperature {judge['temperature']:g}"
    prior = system.get("slot_prior")
    if prior:
        where = "divided out of the probabilities" if prior["divided_out"] else "put into the likelihood of the fit"
        sentence += f"; its slot prior was estimated from triplets in several orders {cite('slots')} and {where}"
    return sentence


def _given(system: Mapping[str, Any]) -> str:
    """Answers that a file brought, or that a model was asked for."""
    judge, described = system["judge"], system["judge"].get("described")
    model = described.get("model") if isinstance(described, Mapping) else None
    of_model = f" of the model {model}" if model else ""
    missing = f", {system['n_unanswered']:,} without an answer left out" if system.get("n_unanswered") else ""
    if judge["kind"] == "file":
        return f"{system['n_answered']:,} answers{of_model}, asked by this study{missing}"
    sentence = (
        f"{system['n_answered']:,} answers from a file{of_model} to triplets of its own, {percent(judge['held_out'])} "
        f"of the different ones held out{missing}"
    )
    if not system.get("slot_bias"):
        sentence += (
            "; the file does not say in which slots the stimuli were shown, so nothing is known of its slot bias"
        )
    return sentence


def _spaces(summary: Mapping[str, Any], study: Mapping[str, Any], cite: Citations) -> list[str]:
    table = study["embedding"]
    fits = [system["embedding"] for system in summary["systems"].values() if "embedding" in system]
    if not fits:
        return []
    if table.get("method", "spose") == "vice":
        told = [
            f"Each space is a VICE embedding {cite('muttenthaler')}: a Gaussian posterior per weight under a "
            f"spike-and-slab prior; {table['components']} components at the start, pruned by their posterior."
        ]
    else:
        l1 = "chosen by the number of trials" if table.get("l1") is None else f"{table['l1']:g}"
        told = [
            f"Each space is a SPoSE embedding {cite('zheng', 'hebart')}: softmax choice likelihood of dot products, "
            f"non-negative by projection, L1 weight {l1}, {table['components']} components at the start; those whose "
            "largest weight stayed below 0.1 were dropped."
        ]
    told += [
        f"{system['label']}: {counted(fit['n_components'], 'component')} from {fit['n_trials']:,} answers, "
        f"{fit['epochs']} epochs to an objective of "
        f"{number(fit['objective'], 4)}{'' if fit['converged'] else ', stopped before it came to rest'}."
        for system in summary["systems"].values() if (fit := system.get("embedding"))
    ]  # fmt: skip
    if any("reproducibility" in system for system in summary["systems"].values()):
        told.append(
            f"Fits from {table['seeds']} seeds: each component was matched with its best in every other run, against "
            "a null that knows the best was picked, and in split halves of the stimuli. The space of the system is "
            "that of the first seed."
        )
    return told


def _behavior(summary: Mapping[str, Any], study: Mapping[str, Any]) -> list[str]:
    table, systems = study["behavior"], summary["systems"].values()
    level, resamples = f"{100 * table['level']:g}%", f"{table['bootstrap']:,} resamples"
    told = [
        "Accuracy: share of held-out triplets whose odd one the space names; percentile bootstrap over triplets "
        f"({resamples}, {level}), stimuli, judge and fit taken as fixed."
    ]
    if any("ceiling" in system for system in systems):
        told.append(
            "Ceiling: from the leave-one-out share of repeats (biased downward) to the share of the modal answer "
            "(biased upward)."
        )
    if any("rsm" in system for system in systems):
        told.append(
            "Similarities: Pearson r over pairs of validation stimuli of measured and predicted shares of triplets "
            f"in which the pair is kept; the bootstrap resamples stimuli, p from {table['permutations']:,} "
            "permutations of stimuli."
        )
    if any("components_needed" in system for system in systems):
        told.append("Components needed: the k largest weights of each stimulus are kept and the others set to zero.")
    if "agreement" in summary:
        told.append("Agreement of systems: the same choice on the same held-out triplets; bootstrap over triplets.")
    if summary.get("people") or any("people" in system for system in systems):
        told.append(
            "People: agreement on the triplets that people answered, beside their own ceiling, chance taken off both; "
            "bootstrap over triplets."
        )
    return told


def _meaning(summary: Mapping[str, Any], study: Mapping[str, Any], cite: Citations) -> list[str]:
    done = {name for system in summary["systems"].values() for name in system["interpretation"]}
    together, table = set(summary.get("together", {})), study["interpretation"]
    told = []
    if "correlations" in done:
        told.append(
            f"Components and ratings: Pearson over stimuli, two-sided t, Benjamini-Hochberg {cite('benjamini')} over "
            "each table."
        )
    if "names" in done:
        told.append(
            f"Names: from ratings, terms and distinctive words of captions {cite('words')}, by rule; stability over "
            "subsamples of stimuli."
        )
    if "types" in done:
        told.append(
            "Types: cross-validated unique R2 of the categories and of the dimensions (one, the other, both or "
            f"neither); beside it the threshold rule at |r| ≥ {table['tau']:g}."
        )
    if "prediction" in done | together:
        told.append("Prediction of ratings: cross-validated ridge; Benjamini-Hochberg over ratings.")
    if "categories" in done | together:
        label, first = table["categories"] or (table["ratings"] or ["the first family"])[0], _first_categories(summary)
        told.append(
            f"Categories: the label of a stimulus is its highest rating in “{label}”; "
            f"ties{f' ({first} stimuli)' if first is not None else ''} resolved: {table['ties']}; categories with a "
            "single stimulus left out; "
            f"{'duplicated clips left out where they are known; ' if table['drop_duplicates'] else ''}leave-one-out "
            f"centroids; silhouettes {cite('silhouette')}; {table['permutations']:,} permutations of the labels, p = "
            "(b + 1) / (B + 1)."
        )
    if "maps" in done:
        told.append(
            f"Maps: t-SNE {cite('tsne')}, perplexity {table['perplexity']:g}; for looking, nothing is computed from "
            "them."
        )
    if "graph" in done:
        told.append(
            f"Graph: edges where components correlate above .2, Louvain communities {cite('louvain')}, against "
            "rewired and rotated graphs."
        )
    if "gradients" in done:
        told.append(f"Gradients: stimuli between pairs of category centroids {cite('cowen')}, corrected over pairs.")
    if "rsa" in together:
        told.append(f"Systems side by side: correlation of similarities {cite('rsa')}, intervals over stimuli.")
    if "geometry" in together:
        told.append(f"CKA {cite('cka')}, Procrustes and canonical correlation of spaces, intervals over stimuli.")
    if "clusters" in together:
        told.append(
            "Clusters shared by systems: matched by rating profiles against permuted ones, shown as sets "
            f"{cite('upset')}."
        )
    return told


def _first_categories(summary: Mapping[str, Any]) -> int | None:
    found = [system["interpretation"].get("categories", {}) for system in summary["systems"].values()]
    return next((one["n_tied"] for one in found if "n_tied" in one), None)


def _brain(summary: Mapping[str, Any], study: Mapping[str, Any], cite: Citations) -> list[str]:
    brain = summary.get("brain")
    if brain is None:
        return []
    settings, told = brain["settings"], []
    encoded = next(iter(brain.get("encode", {}).values()), None)
    people = {name.split("/")[0] for name in brain.get("encode", {})}
    responses = "standardised" if settings["standardise"] == "zscore" else (
        "centred" if settings["standardise"] == "center" else "taken as they are")  # fmt: skip
    if encoded is not None:
        told.append(
            f"Recordings of {len(people)} {'person' if len(people) == 1 else 'people'} ({encoded['n_trials']:,} "
            f"trials in {encoded['n_runs']} runs and {encoded['n_voxels']:,} voxels of the first); responses "
            f"{responses} within runs."
        )
        told.append(
            f"Encoding: ridge from every space to every voxel {cite('horikawa', 'himalaya')}, features standardised "
            f"within each training fold, {settings['folds']} outer folds of whole runs, the others as inner folds, a "
            f"penalty per voxel; score: Pearson r of pooled held-out predictions. Null: {encoded['null']}; "
            f"{settings['permutations']:,} permutations at most {cite('winkler')}. Voxels: Benjamini-Hochberg "
            f"{cite('benjamini')}, and the maximum over voxels (family-wise). Regions of a person: interval over runs "
            "with the models held fixed."
        )
    if settings.get("regions") in ("hcp", "paper"):
        told.append(f"Regions: the parcellation of the human connectome project {cite('glasser')}.")
    if brain.get("group"):
        told.append(
            f"Over people: tests of each person and Bayesian prevalence {cite('ince')}; t and sign-flip are "
            "descriptive."
        )
    if brain.get("weights"):
        told.append(
            f"Directions of the weights: principal components of all voxels' weights {cite('huth')} against permuted "
            "recordings."
        )
    if brain.get("comparison"):
        told.append(
            "Shared and unique variance: held-out R2 of every subset of the spaces, whose differences are the parts; "
            "beyond controls: R2 of space and controls together minus that of the controls."
        )
    if brain.get("rsa"):
        told.append(_searched(brain, settings, cite))
    if brain.get("reliability") or any(name.startswith("people") for name in brain.get("rsa", {})):
        told.append(f"Ceilings of geometries: each person against the mean of the others, and of all {cite('nili')}.")
    return told


def _searched(brain: Mapping[str, Any], settings: Mapping[str, Any], cite: Citations) -> str:
    how = settings.get("searchlight") or {}
    found = next((one for name, one in brain["rsa"].items() if name.startswith("searchlight/")), None)
    null = f" Null: {found['null']}" if found else ""
    tested = f", in closed form {cite('mantel')}" if how.get("test") == "closed" else ""
    runs = "left out" if how.get("within_run") == "exclude" else "kept"
    return (
        f"Geometry: {str(how.get('statistic', '')).capitalize()} correlation of similarities of patterns in spheres "
        f"of radius {how.get('radius'):g} {'mm' if how.get('unit') == 'mm' else 'voxels'} and in regions "
        f"{cite('searchlight', 'rsa')} with those of each space; pairs of stimuli within a run {runs}.{null} p by "
        f"permutation of stimuli{tested}; Benjamini-Hochberg over centres, or over regions; differences of spaces by "
        "the jackknife over stimuli."
    )


def _gap(summary: Mapping[str, Any], cite: Citations) -> list[str]:
    gap = summary.get("gap", {})
    told = []
    if "table" in gap:
        told.append(
            "Every space predicts choices by its most similar pair, and the brain as above; at full size, and cut to "
            "as many principal components as the smallest space has or as was asked for, found without choices and "
            "responses."
        )
    if "claims" in gap:
        told.append(f"{gap['claims']['rule']} {gap['claims']['correction']}")
    if "specifications" in gap:
        told.append(
            f"Specification curve {cite('simonsohn')}: the same differences under every other reasonable choice. "
            f"{gap['specifications']['note']}"
        )
    return told


def _software(summary: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[str]:
    versions = joined(f"{name} {version}" for name, version in provenance["software"].items())
    machine = provenance["platform"]
    return [
        f"Study seed {summary['study']['seed']}; every other seed derives from it by purpose. Software: {versions}. "
        f"Machine: {machine['system']}{f', {m}' if (m := machine.get('machine')) else ''}. All stages together took "
        f"{summary['seconds']:,.0f} s when they ran."
    ]
