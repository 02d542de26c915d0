"""Errors are sentences: what is wrong, where, and what to do."""

import pickle
from pathlib import Path

import pytest

from affectome.errors import AffectomeError, EnvironmentFailure, InputError, Interrupted

KINDS = [AffectomeError, InputError, EnvironmentFailure, Interrupted]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "it broke."),
        ({"source": "t.csv"}, "t.csv: it broke."),
        ({"where": "row 3"}, "row 3: it broke."),
        ({"remedy": "mend it"}, "it broke; mend it."),
        ({"source": Path("t.csv"), "where": "row 3", "remedy": "mend it."}, "t.csv, row 3: it broke; mend it."),
    ],
)
def test_an_error_reads_as_one_sentence_with_place_and_remedy(kind, parts, sentence):
    assert str(kind("it broke", **parts)) == sentence


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_back_from_a_worker_process(kind):
    error = pickle.loads(pickle.dumps(kind("it broke", source=Path("t.csv"), where="row 3", remedy="mend it")))
    assert type(error) is kind
    assert (error.problem, error.source, error.where, error.remedy) == ("it broke", "t.csv", "row 3", "mend it")
    assert str(error) == "t.csv, row 3: it broke; mend it."


@pytest.mark.parametrize(("kind", "base"), [(InputError, ValueError), (EnvironmentFailure, OSError)])
def test_errors_are_caught_by_those_who_expect_the_builtin_kind(kind, base):
    with pytest.raises(base, match="it broke"):
        raise kind("it broke")
    assert issubclass(kind, AffectomeError)


def test_the_three_kinds_are_told_apart():
    kinds = [InputError, EnvironmentFailure, Interrupted]
    assert [[isinstance(one("x"), other) for other in kinds] for one in kinds] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
