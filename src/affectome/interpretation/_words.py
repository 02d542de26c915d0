"""The words that set the captions of a component's strongest stimuli apart."""

from __future__ import annotations

import itertools
import logging
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats

from affectome._progress import Progress, silent
from affectome._resampling import (
    check_level,
    check_permutations,
    false_discovery_rate,
    permutation_p,
    warn_of_resolution,
)
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import rows_for

logger = logging.getLogger(__name__)

__all__ = [
    "FOREGROUND",
    "PRIOR",
    "STOP_WORDS",
    "DistinctiveWords",
    "WordCounts",
    "WordOdds",
    "count_words",
    "counted_for",
    "distinctive_words",
    "foregrounds",
    "indicator",
    "least_stimuli",
]

#: English words that tie a sentence together and say nothing of what it is about.
STOP_WORDS: frozenset[str] = frozenset(
    """
    a an the this that these those it its itself he him his himself she her hers herself they them their theirs
    themselves i me my mine myself you your yours yourself we us our ours ourselves one ones who whom whose which what
    where when while why how as at by for from in into of off on onto out over through to toward towards under up upon
    with within without about above across after against along among around before behind below beneath beside between
    beyond down during inside near outside past since until and but or nor so if than then because though although
    am is are was were be been being do does did doing done have has had having can could may might must shall should
    will would not no yes very too also just only even still again already almost some any each every all both either
    neither other others another such same own several many much more most few less least there here now away back
    together however someone something somebody anyone anything everyone everything
    """.split()  # noqa: SIM905
)
FOREGROUND = 0.05  # share of the stimuli that stand for a component
PRIOR = 10.0  # average stimuli added to both sides of a comparison
_WORDS_AT_ONCE = 256  # of which the null is held in memory
_LEAST_FOREGROUND = 5
_FEWEST_INSIDE = 3  # stimuli of the foreground with a word, for an error that can be told
_ASCII_TOKEN = re.compile(r"[a-z]+(?:['-][a-z]+)*")  # what the general pattern comes to, and twice as fast


@dataclass(frozen=True, eq=False)
class WordCounts:
    """How many captions of each stimulus hold each word.

    Attributes
    ----------
    ids : tuple of str
        Stimuli that have a caption.
    words : tuple of str
        In alphabetical order.
    counts : sparse array of shape (n_stimuli, n_words)
        Captions of the stimulus in which the word stands at least once.
    n_captions : array of shape (n_stimuli,)
    """

    ids: tuple[str, ...]
    words: tuple[str, ...]
    counts: sparse.csr_array
    n_captions: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DistinctiveWords:
    """How much more often the captions of a component's foreground hold a word than those of the rest.

    All tables are of shape (n_components, n_words).

    Attributes
    ----------
    log_odds : DataFrame
        Natural logarithm of the ratio of odds, shrunk by the prior; above 0 where the word is commoner in the
        foreground.
    se : DataFrame
        Its standard error by the infinitesimal jackknife over stimuli, foreground and rest apart: however alike the
        captions of one stimulus are, they count as one observation. Undefined (as what follows from it) where fewer
        than 3 stimuli of the foreground have the word.
    ci_low, ci_high : DataFrame
        log_odds -/+ t * se, t of Student's distribution with (foreground - 1) degrees of freedom.
    z : DataFrame
        log_odds / se.
    z_textbook : DataFrame
        The z of Monroe et al., which takes every caption as independent; for comparison, it is too large.
    p : DataFrame
        One-sided: (b + 1) / (B + 1), b the draws whose log_odds reached the observed. The null: which stimuli stand in
        the foreground has nothing to do with their captions (sets of as many stimuli, drawn at random; the captions of
        a stimulus stay together).
    q : DataFrame
        p after Benjamini-Hochberg over all components and words of the table.
    n_foreground : DataFrame of int
        Stimuli of the foreground with a caption that holds the word.
    n_stimuli : Series of int, index words
        Stimuli with such a caption.
    foreground : dict of str to tuple of str
        Ids of each component's foreground, strongest first.
    n_permutations : int
    """

    log_odds: pd.DataFrame
    se: pd.DataFrame
    ci_low: pd.DataFrame
    ci_high: pd.DataFrame
    z: pd.DataFrame
    z_textbook: pd.DataFrame
    p: pd.DataFrame
    q: pd.DataFrame
    n_foreground: pd.DataFrame
    n_stimuli: pd.Series[int]
    foreground: dict[str, tuple[str, ...]]
    n_permutations: int

    def weights(self, component: str, *, alpha: float = 0.05) -> pd.Series[float]:
        """Words with q below `alpha` and a positive z, by falling z, which is their weight (for a cloud)."""
        row = self.z.index.get_loc(component)
        z, q = (table.to_numpy()[row] for table in (self.z, self.q))
        kept = np.flatnonzero((q < alpha) & (z > 0))
        kept = kept[np.argsort(-z[kept], kind="stable")]
        return pd.Series(z[kept], index=self.z.columns[kept], name=component)

    def table(self, n: int = 20, *, alpha: float = 0.05) -> pd.DataFrame:
        """The first `n` words of :meth:`weights` of every component, one per row, with all that is known of each."""
        columns = ["log_odds", "se", "ci_low", "ci_high", "z", "z_textbook", "p", "q", "n_foreground"]
        parts = []
        for component in self.z.index:
            words = self.weights(component, alpha=alpha).index[:n]
            part = pd.DataFrame({name: getattr(self, name).loc[component, words] for name in columns}, index=words)
            part.insert(0, "word", words)
            part["n_stimuli"] = self.n_stimuli[words]
            parts.append(part.set_index(pd.Index([component] * len(words), name="component", dtype=object)))
        return pd.concat(parts)


@cache
def _token() -> re.Pattern[str]:
    """A run of letters of any script with their marks, joined by apostrophes and hyphens."""
    # Python's \w holds no combining marks, without which words of many scripts fall apart.
    marks = "".join(chr(k) for k in range(0x300, 0x20000) if unicodedata.category(chr(k)) in ("Mn", "Mc"))
    letters = rf"(?:[^\W\d_][{marks}]*)+"
    return re.compile(rf"{letters}(?:['\u2019-]{letters})*")


def _tokens(text: str) -> list[str]:
    """Words of a text: NFKC, case folded, an English possessive taken off."""
    pattern = _ASCII_TOKEN if text.isascii() else _token()
    found = pattern.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word.replace("\u2019", "'").removesuffix("'s") for word in found]


def count_words(
    captions: Mapping[str, Sequence[str]],
    *,
    stop_words: Collection[str] = STOP_WORDS,
    longest: Literal[1, 2] = 1,
) -> WordCounts:
    """Count in how many captions of each stimulus every word stands.

    Parameters
    ----------
    captions : mapping from id to texts
        In any language that puts spaces between words. Stimuli without a text are left out.
    stop_words
        Words that are not counted; :data:`STOP_WORDS` are English.
    longest
        2 counts pairs of neighbouring words too, neither of them a stop word.

    Notes
    -----
    A word is a run of letters (of any script, with combining marks) of at least two, which hyphens and apostrophes may
    join; digits and signs are none. Case is folded, nothing is stemmed.

    Examples
    --------
    >>> counted = count_words({"v1": ["A dog runs.", "The dog's ball"], "v2": ["Rain"]})
    >>> counted.words, counted.counts.toarray().tolist()
    (('ball', 'dog', 'rain', 'runs'), [[1, 2, 0, 1], [0, 0, 1, 0]])
    """
    from sklearn.feature_extraction.text import CountVectorizer

    if longest not in (1, 2):
        raise InputError(f"longest={longest} is no length of a phrase", remedy="use 1 for words, 2 for pairs too")
    stopped = {word.casefold() for word in stop_words}

    def analyse(text: str) -> list[str]:
        tokens = [None if len(word) < 2 or word in stopped else word for word in _tokens(text)]
        words = [word for word in tokens if word is not None]
        if longest == 2:
            words += [f"{a} {b}" for a, b in itertools.pairwise(tokens) if a is not None and b is not None]
        return words

    given = {str(name): [text for text in texts if text.strip()] for name, texts in captions.items()}
    ids = [name for name, texts in given.items() if texts]
    n_captions = np.array([len(given[name]) for name in ids], np.int64)
    vectorizer = CountVectorizer(analyzer=analyse, binary=True)
    try:
        held = vectorizer.fit_transform([text for name in ids for text in given[name]])  # (captions, words)
    except ValueError as error:
        raise InputError(
            "the captions hold no words", source="captions", remedy="give texts with words other than stop words"
        ) from error
    of = np.repeat(np.arange(len(ids)), n_captions)
    gather = sparse.csr_array((np.ones(len(of), np.int64), (of, np.arange(len(of)))), shape=(len(ids), len(of)))
    words = tuple(str(word) for word in vectorizer.get_feature_names_out())
    return WordCounts(tuple(ids), words, sparse.csr_array(gather @ held), n_captions.astype(np.float64))


def distinctive_words(
    space: pd.DataFrame,
    captions: Mapping[str, Sequence[str]] | WordCounts,
    *,
    share: float = FOREGROUND,
    prior: float = PRIOR,
    min_stimuli: int | None = None,
    n_permutations: int = 5_000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> DistinctiveWords:
    """Find the words that set a component's strongest stimuli apart: log-odds with an informative prior.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    captions : mapping from id to texts, or what :func:`count_words` made of it
        Count once where several spaces share the captions.
    share
        The foreground of a component are this share of the stimuli, those of its highest weights (at least 5, and
        only weights above 0); the rest is everything else. A cut, since small weights of a dense component say nothing
        of its meaning, and since the foreground of any component is then a set of known size, whose null is drawn once.
    prior
        Stimuli of average wording that are added to the foreground and to the rest. It keeps rare words from
        the top.
    min_stimuli
        Words in the captions of fewer stimuli are left out; by default of fewer than 1%, and never of fewer than 5.
    n_permutations, seed
        Of the null, see :class:`DistinctiveWords`.
    level
        Of the intervals.
    progress

    Raises
    ------
    InputError
        For fewer than 20 stimuli with captions, or when no word is common enough.

    Notes
    -----
    With c_iw the share of stimulus i's captions that hold word w, y_w its sum over the m stimuli of the foreground,
    a_w = `prior` times its mean over all stimuli, and y, a the sums over words,

        log_odds = log((y_w + a_w) / (y + a - y_w - a_w)) - (the same for the rest).

    So a stimulus counts once, however many captions it has. Intervals take foreground and prior as given.

    References
    ----------
    Monroe, Colaresi and Quinn (2008), Fightin' words. Political Analysis 16, 372-403.

    Examples
    --------
    >>> import pandas as pd
    >>> ids = [f"v{k}" for k in range(40)]
    >>> space = pd.DataFrame({"furry": [1.0] * 8 + [0.0] * 32}, index=ids)
    >>> texts = {name: ["A cat sleeps"] if k < 8 else ["A man sleeps"] for k, name in enumerate(ids)}
    >>> found = distinctive_words(space, texts, share=0.2, seed=0)
    >>> found.weights("furry").index.tolist()
    ['cat']
    """
    check_permutations(n_permutations)
    _check_settings(share=share, level=level, prior=prior)
    counted = captions if isinstance(captions, WordCounts) else count_words(captions)
    aligned, words, counts, n_captions = counted_for(space, counted, min_stimuli)
    chosen = foregrounds(aligned.to_numpy(np.float64), share)
    member = indicator(chosen, len(aligned))
    odds = WordOdds(sparse.csr_array(counts.multiply(1 / n_captions[:, None])), prior)
    log_odds, se = odds.compare(member)
    sizes = np.array([len(rows) for rows in chosen])
    few = sizes < _LEAST_FOREGROUND
    if few.any():
        names_of = cut_short(aligned.columns[few])
        logger.warning("These components have too few stimuli of positive weight to have words: %s.", names_of)
    held = (member @ (counts > 0).astype(np.int64)).toarray()
    log_odds[few] = np.nan
    se[few] = np.nan
    se[held < _FEWEST_INSIDE] = np.nan
    t = stats.t.ppf((1 + level) / 2, np.maximum(sizes - 1, 1))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(se == 0, 0.0, log_odds / se)  # a word in every caption there is
    p = _membership_p(odds, log_odds, sizes, n_permutations, named_seed(seed, "distinctive words"), progress)
    warn_of_resolution(p, n_permutations, of="the words")
    components = pd.Index([str(name) for name in aligned.columns], name="component")

    def table(values: NDArray[Any]) -> pd.DataFrame:
        return pd.DataFrame(values, index=components, columns=pd.Index(words, name="word"))

    return DistinctiveWords(
        log_odds=table(log_odds),
        se=table(se),
        ci_low=table(log_odds - t * se),
        ci_high=table(log_odds + t * se),
        z=table(z),
        z_textbook=table(_textbook_z(counts, member, prior)),
        p=table(p),
        q=table(false_discovery_rate(p)),
        n_foreground=table(held),
        n_stimuli=pd.Series(_stimuli_with(counts), index=pd.Index(words, name="word"), name="n_stimuli"),
        foreground={
            name: tuple(str(aligned.index[k]) for k in rows) for name, rows in zip(components, chosen, strict=True)
        },
        n_permutations=n_permutations,
    )


def _check_settings(*, share: float, level: float, prior: float) -> None:
    if not 0 < share <= 0.5:
        raise InputError(f"share={share} leaves no foreground and rest", remedy="use 0 < share <= 0.5")
    check_level(level)
    if not prior > 0:
        raise InputError(f"prior={prior} is no prior", remedy="use prior > 0")


def counted_for(
    space: pd.DataFrame, counted: WordCounts, min_stimuli: int | None
) -> tuple[pd.DataFrame, list[str], sparse.csr_array, NDArray[np.float64]]:
    """The rows of a space that have captions, the words common enough among them, and their counts."""
    row = {name: k for k, name in enumerate(counted.ids)}
    space = rows_for(space, [str(name) for name in space.index])
    ids = [name for name in space.index if name in row]
    if len(ids) < 20:
        raise InputError(
            f"{len(ids)} of the {len(space)} stimuli of the space have captions, too few to compare",
            source="captions",
            remedy="give captions of at least 20, under the ids of the space",
        )
    if len(ids) < len(space):
        lacking = [name for name in space.index if name not in row]
        logger.warning("%d stimuli have no caption and are left out: %s.", len(lacking), cut_short(lacking))
    rows = np.array([row[name] for name in ids])
    counts = sparse.csr_array(counted.counts[rows])
    least = least_stimuli(len(ids), min_stimuli, 5)
    common = np.flatnonzero(_stimuli_with(counts) >= least)
    if len(common) < 2:
        raise InputError(
            f"fewer than two words stand in the captions of at least {least} stimuli",
            source="captions",
            remedy="use a smaller min_stimuli; texts without spaces between words have to be split first",
        )
    words = [counted.words[k] for k in common]
    return space.loc[ids], words, sparse.csr_array(counts[:, common]), counted.n_captions[rows]


def least_stimuli(n: int, given: int | None, floor: int) -> int:
    """Stimuli that must have a word or term for it to be looked at: 1% of n, no fewer than a floor, or as given."""
    if given is not None and given < 1:
        raise InputError(f"min_stimuli={given} is too small", remedy="use at least 1")
    return given if given is not None else max(floor, -(-n // 100))


def _stimuli_with(counts: sparse.csr_array) -> NDArray[np.int64]:
    """In how many rows each column is above zero."""
    return np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1])


def foregrounds(weights: NDArray[np.float64], share: float) -> list[NDArray[np.intp]]:
    """Rows of the highest positive weights of every column, strongest first; ties go to the earlier row."""
    most = max(_LEAST_FOREGROUND, round(share * len(weights)))
    order = np.argsort(-weights, axis=0, kind="stable")[:most]
    return [rows[column[rows] > 0] for rows, column in zip(order.T, weights.T, strict=True)]


def indicator(chosen: Sequence[NDArray[np.intp]], n: int) -> sparse.csr_array:
    """Sets of rows as a matrix of zeros and ones, (sets, n)."""
    ends = np.concatenate([[0], np.cumsum([len(rows) for rows in chosen])])
    columns = np.concatenate(list(chosen)) if chosen else np.empty(0, np.intp)
    return sparse.csr_array((np.ones(len(columns)), columns, ends), shape=(len(chosen), n))


class WordOdds:
    """Compares the wording of sets of stimuli with that of the rest.

    Parameters
    ----------
    use : sparse array of shape (n_stimuli, n_words)
        Share of the captions of a stimulus that hold a word.
    prior
        Average stimuli added to both sides.
    """

    def __init__(self, use: sparse.csr_array, prior: float) -> None:
        self.use = use
        self.length = use.sum(axis=1)  # words of an average caption of each stimulus
        self.total = use.sum(axis=0)
        self.prior = prior * self.total / use.shape[0]

    def log_odds(
        self, inside: NDArray[np.float64], length: NDArray[np.float64], columns: slice = slice(None)
    ) -> NDArray[np.float64]:
        """From the summed use inside the sets, (sets, words), and their summed length, (sets, 1)."""
        prior, everything = self.prior[columns], self.prior.sum()
        a = inside + prior
        c = np.maximum(self.total[columns] - inside, 0.0) + prior
        b, d = length + everything - a, self.length.sum() - length + everything - c
        odds: NDArray[np.float64] = np.log(a * d / (b * c))
        return odds

    def compare(self, member: sparse.csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-odds and standard error of every word in every set; both of shape (sets, words)."""
        squared, crossed = self.use.copy(), self.use.copy()
        squared.data **= 2
        crossed.data *= np.repeat(self.length, np.diff(self.use.indptr))
        parts = (self.use, squared, crossed)
        inside = [(member @ part).toarray() for part in parts]
        outside = [part.sum(axis=0) - there for part, there in zip(parts, inside, strict=True)]
        n, length, length2 = (
            (member @ values)[:, None] for values in (np.ones(len(self.length)), self.length, self.length**2)
        )
        everywhere = (len(self.length), self.length.sum(), (self.length**2).sum())
        rest = [whole - part for whole, part in zip(everywhere, (n, length, length2), strict=True)]
        variance = self._variance(inside, (n, length, length2)) + self._variance(outside, rest)
        return self.log_odds(inside[0], length), np.sqrt(variance)

    def _variance(
        self, sums: Sequence[NDArray[np.float64]], lengths: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Sum of squared influences of a side's stimuli on its log-odds.

        A stimulus that uses the word c of its l words moves log(A / B), A the use of the word and B that of all
        others, by c / A - (l - c) / B = u c - l / B with u = 1 / A + 1 / B.
        """
        use, squares, crossed = sums
        n, length, length2 = lengths
        a = use + self.prior
        b = length + self.prior.sum() - a
        u = 1 / a + 1 / b
        second = u**2 * squares - 2 * u / b * crossed + length2 / b**2
        mean = (u * use - length / b) / np.maximum(n, 1)
        variance: NDArray[np.float64] = np.maximum(second - n * mean**2, 0.0) * n / np.maximum(n - 1, 1)
        return variance


def _textbook_z(counts: sparse.csr_array, member: sparse.csr_array, prior: float) -> NDArray[np.float64]:
    """The z of Monroe et al. (2008), equation 22, every caption an observation."""
    total = counts.sum(axis=0).astype(np.float64)
    odds = WordOdds(sparse.csr_array(counts.astype(np.float64)), prior)
    inside = (member @ counts).toarray()
    length = (member @ odds.length)[:, None]
    variance = 1 / (inside + odds.prior) + 1 / (total - inside + odds.prior)
    z: NDArray[np.float64] = odds.log_odds(inside, length) / np.sqrt(variance)
    return z


def _membership_p(
    odds: WordOdds,
    observed: NDArray[np.float64],
    sizes: NDArray[np.int64],
    n_permutations: int,
    seed: int,
    progress: Progress,
) -> NDArray[np.float64]:
    """Permutation p of log-odds under random foregrounds; components of one size share the draws."""
    n, n_words = odds.use.shape
    starts = range(0, n_words, _WORDS_AT_ONCE)
    different = [int(size) for size in np.unique(sizes) if size >= _LEAST_FOREGROUND]
    p = np.full(observed.shape, np.nan)
    for at, size in enumerate(different):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(size,)))
        drawn = [rng.choice(n, size, replace=False, shuffle=False) for _ in range(n_permutations)]
        member = indicator(drawn, n)
        length = (member @ odds.length)[:, None]
        rows = np.flatnonzero(sizes == size)
        for k, start in enumerate(starts):
            columns = slice(start, min(n_words, start + _WORDS_AT_ONCE))
            null = odds.log_odds((member @ odds.use[:, columns]).toarray(), length, columns)
            for row in rows:
                p[row, columns] = permutation_p(observed[row, columns], null)
            progress(at * len(starts) + k + 1, len(different) * len(starts))
    return p
