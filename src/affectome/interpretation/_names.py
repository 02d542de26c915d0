"""A name for every component, from the evidence and with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from affectome._progress import Progress, silent
from affectome._resampling import false_discovery_rate
from affectome._seeds import named_seed
from affectome.errors import InputError
from affectome.interpretation._correlations import RatingCorrelations, correlate_components, unit_columns
from affectome.interpretation._permuted_correlations import permuted_p
from affectome.interpretation._terms import TermCorrelations, term_correlations
from affectome.interpretation._words import (
    FOREGROUND,
    PRIOR,
    DistinctiveWords,
    WordCounts,
    WordOdds,
    count_words,
    counted_for,
    distinctive_words,
    foregrounds,
    indicator,
)
from affectome.spaces import align, rows_for

__all__ = ["ComponentNames", "name_components", "shorten"]

_KEPT = 0.8  # share of the stimuli in a subsample
_SHOWN = 5  # entries of evidence of each kind
_FEWEST_LETTERS = 4  # to which a word of a name is cut
_LONGEST_MARK = 12  # characters
_STABILITIES = ("stability", "unmarked_stability", "first_stability")
_POLES = ("high", "low", "no")


@dataclass(frozen=True, eq=False)
class ComponentNames:
    """Names of the components of a space, and what they rest on.

    Attributes
    ----------
    table : DataFrame, index components, with columns

        ``name``: unique within the space;
        ``basis``: ``"rating"``, ``"term"``, or ``"none"`` where nothing survived and the name says *unnamed*;
        ``family``: of the first rating of the name;
        ``strength``, ``ci_low``, ``ci_high``, ``q``: of the first rating or term of the name, NaN where there is none;
        ``n_close``: ratings (or terms) within the ratio `joined` of the first, itself counted;
        ``ambiguous``: whether there are more of them than the name says (shown there by an ellipsis);
        ``stability``: share of random subsamples of 80% of the stimuli in which the same name is given (the order of
        two joined ratings and the ellipsis apart);
        ``unmarked_stability``: the same for the name without the mark after a colon;
        ``first_stability``: share in which the same rating, term or *unnamed* comes first;
        ``circular``: whether the first rating belongs to a family that the space itself was made from;
        ``words``, ``terms``: the strongest that survive, separated by commas.
    evidence_table : DataFrame, index components
        The strongest ratings, terms and words of every component that survive, and what they are worth: columns
        ``kind`` (``"rating"``, ``"term"``, ``"word"``), ``family``, ``item``, ``value`` (r, or log-odds of a word),
        ``ci_low``, ``ci_high``, ``z`` (of words), ``q``, ``in_name``.
    terms : TermCorrelations or None
    words : DistinctiveWords or None
        Of all terms and words.
    n_subsamples : int
    """

    table: pd.DataFrame
    evidence_table: pd.DataFrame
    terms: TermCorrelations | None
    words: DistinctiveWords | None
    n_subsamples: int

    @property
    def names(self) -> dict[str, str]:
        """Name of each component."""
        return {str(component): str(name) for component, name in self.table["name"].items()}

    def evidence(self, component: str) -> pd.DataFrame:
        """The rows of ``evidence_table`` about one component."""
        if component not in self.table.index:
            raise InputError(f"there is no component '{component}'", remedy=f"as in '{self.table.index[0]}'")
        return self.evidence_table[self.evidence_table.index == component]


@dataclass(frozen=True, eq=False)
class _Reading:
    """What some stimuli say of every component: values (n_components, n_items), and which of them survive."""

    rating: NDArray[np.float64]
    rating_survives: NDArray[np.bool_]
    term: NDArray[np.float64]
    term_survives: NDArray[np.bool_]
    word: NDArray[np.float64]
    word_survives: NDArray[np.bool_]


@dataclass(frozen=True)
class _Name:
    """A name in its parts."""

    basis: str
    parts: tuple[str, ...]
    items: tuple[int, ...]  # columns of the parts
    n_close: int
    qualifier: str = ""

    def text(self, longest: int) -> str:
        """The name as it is written."""
        if self.basis == "none":
            said = f"unnamed {self.qualifier}".strip()
            whole = [f"{said}: {', '.join(self.parts[:n])}" for n in range(len(self.parts), 0, -1)]
            return next((text for text in whole if len(text) <= longest), shorten([*whole, said][-2:][0], longest))
        mark = f": {self.qualifier}" if self.qualifier else ""
        for n in range(len(self.parts), 0, -1):  # a part left out reads better than words cut short
            dots = " …" if self.n_close > n else ""
            text = _joined(self.parts[:n])
            if len(text + dots + mark) <= longest:
                return text + dots + mark
        return shorten(text, longest - len(dots) - len(mark)) + dots + mark

    def shared(self, other: _Name) -> tuple[bool, bool, bool]:
        """Whether another name is the same (in any order), is so up to its mark, and begins alike."""
        parts = self.basis == other.basis and set(self.parts) == set(other.parts)
        first = self.basis == other.basis and (self.basis == "none" or self.parts[0] == other.parts[0])
        return parts and self.qualifier == other.qualifier, parts, first


@dataclass(frozen=True, eq=False)
class _Rule:
    """How evidence becomes names."""

    ratings: tuple[str, ...]
    bipolar: tuple[bool, ...]
    terms: tuple[str, ...]
    words: tuple[str, ...]
    joined: float
    longest: int

    def names(self, reading: _Reading) -> list[_Name]:
        """One name per component, told apart where they are the same."""
        named = [self._base(reading, k) for k in range(len(reading.rating))]
        groups: dict[str, list[int]] = {}
        for k, name in enumerate(named):
            groups.setdefault(name.text(self.longest), []).append(k)
        for twins in groups.values():
            if len(twins) > 1:
                self._tell_apart(reading, named, twins)
        return named

    def phrase(self, column: int, r: float) -> str:
        """What a rating says with this sign."""
        label = self.ratings[column]
        if self.bipolar[column]:
            return f"{'high' if r > 0 else 'low'} {label}"
        return label if r > 0 else f"no {label}"

    def _base(self, reading: _Reading, k: int) -> _Name:
        kept = _falling(np.abs(reading.rating[k]), reading.rating_survives[k])
        if len(kept):
            close = self._close(np.abs(reading.rating[k]), kept)
            parts = tuple(self.phrase(column, reading.rating[k, column]) for column in close[:2])
            return _Name("rating", parts, tuple(close[:2]), len(close))
        kept = self.surviving_terms(reading, k)
        if len(kept):
            close = self._close(reading.term[k], kept)
            return _Name("term", tuple(self.terms[column] for column in close[:2]), tuple(close[:2]), len(close))
        kept = self.different_words(reading, k, 2)
        return _Name("none", tuple(self.words[column] for column in kept), tuple(kept), 0)

    def _close(self, strength: NDArray[np.float64], kept: Sequence[int]) -> list[int]:
        return [column for column in kept if strength[column] >= self.joined * strength[kept[0]]]

    def different_words(self, reading: _Reading, k: int, most: int = _SHOWN) -> list[int]:
        """The first words of a component by falling z, without other forms of one that came before."""
        chosen: list[int] = []
        for column in _falling(reading.word[k], reading.word_survives[k]):
            if len(chosen) == most:
                break
            if not any(_akin(self.words[column], self.words[other]) for other in chosen):
                chosen.append(column)
        return chosen

    def surviving_terms(self, reading: _Reading, k: int) -> list[int]:
        """Terms of a component by falling r."""
        return _falling(reading.term[k], reading.term_survives[k])

    def _tell_apart(self, reading: _Reading, named: list[_Name], twins: list[int]) -> None:
        """Give each of some components with one name a mark of its own: a word, a term, a rating, or a number."""
        strength = [-abs(reading.rating[k, named[k].items[0]]) if named[k].basis == "rating" else 0.0 for k in twins]
        used: set[str] = set()
        room = min(_LONGEST_MARK, self.longest // 2 - 2)
        for number, at in enumerate(np.argsort(strength, kind="stable"), start=1):
            k = twins[int(at)]
            said = " ".join(named[k].parts).casefold()
            marks = [self.words[column] for column in self.different_words(reading, k, _SHOWN + len(twins))]
            marks += [self.terms[column] for column in self.surviving_terms(reading, k)]
            rest = _falling(np.abs(reading.rating[k]), reading.rating_survives[k])
            marks += [self.phrase(column, reading.rating[k, column]) for column in rest if column not in named[k].items]
            fit = [mark for mark in marks if mark not in used and mark.casefold() not in said and len(mark) <= room]
            mark = fit[0] if fit and named[k].basis != "none" else str(number)
            used.add(mark)
            named[k] = _Name(named[k].basis, named[k].parts, named[k].items, named[k].n_close, mark)


def _falling(strength: NDArray[np.float64], survives: NDArray[np.bool_]) -> list[int]:
    """Columns that survive, the strongest first; ties go to the earlier one."""
    kept = np.flatnonzero(survives)
    return [int(column) for column in kept[np.argsort(-strength[kept], kind="stable")]]


def _joined(parts: Sequence[str]) -> str:
    """Parts of a name as one text; those that begin with the same pole say it once."""
    poles = {part.split(" ", 1)[0] for part in parts}
    if len(parts) > 1 and len(poles) == 1 and poles <= set(_POLES):
        return f"{poles.pop()} {'/'.join(part.split(' ', 1)[1] for part in parts)}"
    return " + ".join(parts)


def _akin(one: str, other: str) -> bool:
    """Whether two words are likely forms of one, by their beginnings: a hint that keeps lists short, no more."""
    short, long = sorted((one, other), key=len)
    return len(long) - len(short) <= 4 and long.startswith(short if len(short) < 5 else short[: max(4, len(short) - 2)])


def name_components(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    terms: pd.DataFrame | None = None,
    captions: Mapping[str, Sequence[str]] | WordCounts | None = None,
    circular: Collection[str] = (),
    bipolar: Collection[str] = ("dimension",),
    alpha: float = 0.05,
    min_r: float = 0.2,
    joined: float = 0.75,
    longest: int = 28,
    n_subsamples: int = 100,
    n_permutations: int = 1000,
    n_word_permutations: int = 5_000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> ComponentNames:
    """Name every component by a fixed rule from ratings, free-response terms and captions.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family ("category", "dimension", ...) to DataFrame
        Over the same stimuli as `space`.
    terms : DataFrame, optional
        Free-response terms over the same stimuli, see :func:`term_correlations`.
    captions : mapping from id to texts, or what :func:`count_words` made of it, optional
        See :func:`distinctive_words`.
    circular
        Families of ratings that the choices behind the space were made from: a name that rests on them is circular,
        a check of the method and no finding, and the table says so.
    bipolar
        Families whose ratings have two poles: they are named "high valence" or "low valence", the others "Joy" or
        "no Joy".
    alpha, min_r
        A rating or term survives with q < `alpha` and |r| >= `min_r` (a term only with a positive r), a word with
        q < `alpha` and positive log-odds.
    joined
        A second rating joins the first in the name where its |r| is at least this share of the first's.
    longest
        Characters of a name; longer ones are shortened, see Notes.
    n_subsamples
        Of the stability.
    n_permutations, n_word_permutations
        Of the nulls of terms and words.
    level
        Of the intervals.
    seed
    progress

    Notes
    -----
    1. The surviving ratings of all families are put in order of |r|, a negative r counting as much as a positive one.
       The first names the component; the second is joined with " + " where it is within the ratio `joined`. Where a
       third is too, the name ends in an ellipsis: it holds less than the component does. Two that share a pole say it
       once: "low attention/arousal".
    2. Where no rating survives, surviving terms do the same.
    3. Where neither does, the component is *unnamed*, followed by its two most distinctive words, if any.
    4. Components of one name are told apart by a mark after a colon: the first surviving word that is not in the name
       and no mark of another, else a term, else the next rating, else a number. They are served in order of |r|.
    5. Words of a name that is too long are cut, equally far.

    Benjamini-Hochberg runs over all components and ratings, over all components and terms, and over all components and
    words. Intervals of r are jackknife intervals over stimuli on the scale of Fisher's z. Names are no smooth statistic
    and have no interval: the whole rule is applied to subsamples of 80% of the stimuli, drawn without replacement
    (`alpha` applied to the subsample's q for ratings, to the whole table's q for terms and words), and the share in
    which the name recurs is their stability.

    Examples
    --------
    >>> from affectome import simulate_emotions
    >>> world = simulate_emotions(200, 6, seed=0)
    >>> named = name_components(world.planted, {"category": world.stimuli.spaces["category"]}, seed=0)
    >>> named.table[["name", "basis"]].iloc[0].tolist()
    ['Joy', 'rating']
    """
    from threadpoolctl import threadpool_limits

    _check_settings(alpha=alpha, min_r=min_r, joined=joined, longest=longest, n_subsamples=n_subsamples, level=level)
    if not ratings and terms is None and captions is None:
        raise InputError("there is nothing to name components by", remedy="give ratings, terms or captions")
    space = align(space, names=["the space"]).spaces[0]  # checked, with its numbers as they were
    counted = count_words(captions) if captions is not None and not isinstance(captions, WordCounts) else captions
    found = correlate_components(space, ratings, level=level, circular=circular) if ratings else None
    found_terms = found_words = None
    if terms is not None:
        found_terms = term_correlations(space, terms, n_permutations=n_permutations, level=level, seed=seed)
    if counted is not None:
        found_words = distinctive_words(
            space, counted, n_permutations=n_word_permutations, level=level, seed=seed, progress=progress
        )
    sources = _sources(found, found_terms, found_words)
    material = _Material.gather(space, ratings, terms, counted, found_terms)
    rule = _Rule(
        ratings=sources["rating"].items,
        bipolar=tuple(family in bipolar for family in sources["rating"].family),
        terms=sources["term"].items,
        words=sources["word"].items,
        joined=joined,
        longest=longest,
    )
    reading = _whole(sources, alpha, min_r, space.shape[1])
    named = rule.names(reading)
    rng = np.random.default_rng(named_seed(seed, "subsamples of names"))
    recurs = np.zeros((3, len(named)))
    with threadpool_limits(1):  # the products are small: threads would wait for each other
        for draw in range(n_subsamples):
            rows = np.sort(rng.permutation(len(space))[: round(_KEPT * len(space))])
            again = rule.names(material.part(rows, reading, alpha, min_r))
            recurs += np.transpose([name.shared(other) for name, other in zip(named, again, strict=True)])
            progress(draw + 1, n_subsamples)
    stable = dict(zip(_STABILITIES, recurs / n_subsamples, strict=True))
    table = _table(space.columns, named, rule, reading, sources, stable)
    table["circular"] = [
        basis == "rating" and family in circular for basis, family in table[["basis", "family"]].to_numpy()
    ]
    evidence = _evidence(space.columns, named, rule, reading, sources)
    return ComponentNames(table, evidence, found_terms, found_words, n_subsamples)


def _check_settings(
    *, alpha: float, min_r: float, joined: float, longest: int, n_subsamples: int, level: float
) -> None:
    for name, value in (("alpha", alpha), ("joined", joined), ("level", level)):
        if not 0 < value < 1:
            raise InputError(f"{name}={value} is out of range", remedy=f"use 0 < {name} < 1")
    if not 0 <= min_r < 1:
        raise InputError(f"min_r={min_r} is out of range", remedy="use 0 <= min_r < 1")
    if longest < 12:
        raise InputError(f"longest={longest} is too short for a name", remedy="use at least 12")
    if n_subsamples < 1:
        raise InputError("there is no stability without subsamples", remedy="use n_subsamples >= 1")


@dataclass(frozen=True, eq=False)
class _Material:
    """What evidence is computed from, on all stimuli or on some.

    space (n, components), ratings (n, ratings) and terms (n, terms); of the `captioned` stimuli, the share of captions
    that hold a word.
    """

    space: NDArray[np.float64]
    ratings: NDArray[np.float64]
    terms: NDArray[np.float64]
    captioned: NDArray[np.intp]
    use: sparse.csr_array

    @classmethod
    def gather(
        cls,
        space: pd.DataFrame,
        ratings: Mapping[str, pd.DataFrame],
        terms: pd.DataFrame | None,
        counted: WordCounts | None,
        found_terms: TermCorrelations | None,
    ) -> _Material:
        ids = [str(name) for name in space.index]
        none = np.empty((len(ids), 0))
        rated = [rows_for(frame, ids).to_numpy(np.float64) for frame in ratings.values()]
        given, captioned, use = none, np.empty(0, np.intp), sparse.csr_array((0, 0))
        if terms is not None and found_terms is not None:
            given = rows_for(terms, ids)[list(found_terms.r.columns)].to_numpy(np.float64)
        if counted is not None:
            with_captions, _, counts, n_captions = counted_for(space, counted, None)
            captioned = pd.Index(ids).get_indexer(with_captions.index)
            use = sparse.csr_array(counts.multiply(1 / n_captions[:, None]))
        return cls(space.to_numpy(np.float64), np.column_stack([none, *rated]), given, captioned, use)

    def part(self, rows: NDArray[np.intp], whole: _Reading, alpha: float, min_r: float) -> _Reading:
        """The evidence of some stimuli; terms and words that survived in all of them may survive here."""
        x, y = unit_columns(self.space[rows]), unit_columns(self.ratings[rows])
        rating, term = np.nan_to_num(x.T @ y), np.nan_to_num(x.T @ unit_columns(self.terms[rows]))
        word = np.zeros_like(whole.word)
        if word.size:
            there = np.isin(self.captioned, rows)
            chosen = foregrounds(self.space[self.captioned[there]], FOREGROUND)
            log_odds, se = WordOdds(self.use[there], PRIOR).compare(indicator(chosen, int(there.sum())))
            word = np.divide(log_odds, se, out=word, where=se > 0)
        return _Reading(
            rating=rating,
            rating_survives=(false_discovery_rate(permuted_p(x.T @ y, x, y)) < alpha) & (np.abs(rating) >= min_r),
            term=term,
            term_survives=whole.term_survives & (term >= min_r),
            word=word,
            word_survives=whole.word_survives & (word > 0),
        )


class _Source(NamedTuple):
    """Tables of one kind of evidence, (n_components, n_items), and what the items are called."""

    value: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    z: NDArray[np.float64]
    q: NDArray[np.float64]
    items: tuple[str, ...]
    family: tuple[str, ...]

    def row(self, component: int, item: int) -> dict[str, Any]:
        """All that is known of one item."""
        numbers = ("value", "ci_low", "ci_high", "z", "q")
        known = {name: float(getattr(self, name)[component, item]) for name in numbers}
        return {"family": self.family[item], "item": self.items[item], **known}


def _sources(
    ratings: RatingCorrelations | None, terms: TermCorrelations | None, words: DistinctiveWords | None
) -> dict[str, _Source]:
    """What was found, by kind; a kind that was not given has no items."""
    none = np.empty((0, 0))
    found = {kind: _Source(none, none, none, none, none, (), ()) for kind in ("rating", "term", "word")}
    for kind, given in (("rating", ratings), ("term", terms)):
        if given is not None:
            r, low, high, q = (table.to_numpy(np.float64) for table in (given.r, given.ci_low, given.ci_high, given.q))
            family = tuple(given.family) if isinstance(given, RatingCorrelations) else (kind,) * given.r.shape[1]
            undefined = np.full(given.r.shape, np.nan)
            found[kind] = _Source(r, low, high, undefined, q, tuple(given.r.columns), family)
    if words is not None:
        value, low, high, z, q = (
            table.to_numpy(np.float64) for table in (words.log_odds, words.ci_low, words.ci_high, words.z, words.q)
        )
        names = tuple(str(word) for word in words.z.columns)
        found["word"] = _Source(value, low, high, z, q, names, ("caption",) * len(names))
    return found


def _whole(sources: Mapping[str, _Source], alpha: float, min_r: float, n_components: int) -> _Reading:
    """The evidence of all stimuli, which was computed with its tests."""

    def shaped(values: NDArray[Any]) -> NDArray[Any]:
        return values if values.size else np.empty((n_components, 0), values.dtype)

    rating, term, word = (sources[kind] for kind in ("rating", "term", "word"))
    return _Reading(
        rating=shaped(np.nan_to_num(rating.value)),
        rating_survives=shaped((rating.q < alpha) & (np.abs(rating.value) >= min_r)),
        term=shaped(np.nan_to_num(term.value)),
        term_survives=shaped((term.q < alpha) & (term.value >= min_r)),
        word=shaped(np.nan_to_num(word.z)),
        word_survives=shaped((word.q < alpha) & (word.z > 0)),
    )


def _table(
    components: pd.Index[str],
    named: Sequence[_Name],
    rule: _Rule,
    reading: _Reading,
    sources: Mapping[str, _Source],
    stable: Mapping[str, NDArray[np.float64]],
) -> pd.DataFrame:
    """The table of names."""
    rows = []
    for k, name in enumerate(named):
        first: dict[str, Any] = {"family": "", "value": np.nan, "ci_low": np.nan, "ci_high": np.nan, "q": np.nan}
        if name.basis != "none":
            first = sources[name.basis].row(k, name.items[0])
        text = name.text(rule.longest)
        row: dict[str, Any] = {"name": text, "basis": name.basis, "family": first["family"]}
        row |= {"strength": first["value"], **{end: first[end] for end in ("ci_low", "ci_high", "q")}}
        row |= {"n_close": name.n_close, "ambiguous": " …" in text}
        row |= {what: share[k] for what, share in stable.items()}
        row["words"] = ", ".join(rule.words[column] for column in rule.different_words(reading, k))
        row["terms"] = ", ".join(rule.terms[column] for column in rule.surviving_terms(reading, k)[:_SHOWN])
        rows.append(row)
    table = pd.DataFrame(rows, index=pd.Index([str(name) for name in components], name="component"))
    twice = table["name"].duplicated(keep=False)
    table.loc[twice, "name"] = [  # what shortening has made alike
        f"{shorten(name, rule.longest - 4)} {number}" for number, name in enumerate(table.loc[twice, "name"], start=1)
    ]
    return table


def _evidence(
    components: pd.Index[str],
    named: Sequence[_Name],
    rule: _Rule,
    reading: _Reading,
    sources: Mapping[str, _Source],
) -> pd.DataFrame:
    """The strongest ratings, terms and words of every component, one per row."""
    rows, of = [], []
    for k, name in enumerate(named):
        strongest = {
            "rating": _falling(np.abs(reading.rating[k]), reading.rating_survives[k]),
            "term": rule.surviving_terms(reading, k),
            "word": _falling(reading.word[k], reading.word_survives[k]),
        }
        basis = "word" if name.basis == "none" else name.basis
        for kind, columns in strongest.items():
            for column in columns[:_SHOWN]:
                row = {"kind": kind, **sources[kind].row(k, column)}
                row["in_name"] = row["item"] == name.qualifier or (kind == basis and column in name.items)
                rows.append(row)
                of.append(str(components[k]))
    columns_of = ["kind", "family", "item", "value", "ci_low", "ci_high", "z", "q", "in_name"]
    return pd.DataFrame(rows, index=pd.Index(of, name="component", dtype=object), columns=columns_of)


def shorten(text: str, longest: int) -> str:
    """Cut the longest words of a text, equally far and with a full stop, until it is no longer than `longest`.

    Examples
    --------
    >>> shorten("Aesthetic Appreciation + Awe", 28), shorten("Aesthetic Appreciation + Awe", 20)
    ('Aesthetic Appreciation + Awe', 'Aesth. Appre. + Awe')
    """
    most = max(map(len, re.findall(r"[^\W\d_]+", text)), default=0)
    short = text
    for letters in range(most, _FEWEST_LETTERS - 1, -1):
        if len(short) <= longest:
            return short
        short = re.sub(rf"([^\W\d_]{{{letters - 1}}})[^\W\d_]{{2,}}", r"\1.", text)
    return short if len(short) <= longest else short[: longest - 1].rstrip() + "…"
