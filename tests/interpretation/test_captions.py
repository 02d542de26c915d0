import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.interpretation import TypicalCaption, top_stimuli, typical_captions

SPACE = pd.DataFrame(
    {"c1": [0.5, 0.0, 2.0, 0.5], "c2": [0.0, 1.0, 0.0, 0.0]}, index=pd.Index(["a", "b", "c", "d"], name="id")
)
CAPTIONS = {
    "a": ["A cat sleeps.", "A dog runs in the park.", "The dog runs."],
    "b": ["Rain."],
    "c": ["One two three", "one TWO, three!", "four"],
}


def shown(texts):
    return [(text.id, text.weight, text.caption) for text in texts]


def test_the_strongest_stimuli_come_first_with_their_typical_caption():
    got = typical_captions(SPACE, CAPTIONS)
    assert list(got) == ["c1", "c2"]
    assert isinstance(got["c1"][0], TypicalCaption)
    assert shown(got["c1"]) == [("c", 2.0, "One two three"), ("a", 0.5, "A dog runs in the park."), ("d", 0.5, "")]
    assert shown(got["c2"]) == [("b", 1.0, "Rain.")]


def test_no_more_stimuli_are_shown_than_asked_for():
    assert [text.id for text in typical_captions(SPACE, CAPTIONS, n=1)["c1"]] == ["c"]


@settings(deadline=None, max_examples=60)
@given(captions=st.lists(st.lists(st.sampled_from("abcde"), max_size=4).map(" ".join), min_size=1, max_size=6))
def test_the_typical_caption_shares_the_most_words_with_the_others(captions):
    def jaccard(one, other):
        one, other = set(one.split()), set(other.split())
        return len(one & other) / len(one | other) if one | other else 0.0

    closeness = [
        sum(jaccard(text, captions[k]) for k in range(len(captions)) if k != i) + bool(text)
        for i, text in enumerate(captions)
    ]
    (typical,) = typical_captions(pd.DataFrame({"c": [1.0]}, index=["a"]), {"a": captions})["c"]
    near = [text for text, value in zip(captions, closeness, strict=True) if value > max(closeness) - 1e-9]
    assert typical.caption in near


def test_top_stimuli_have_rank_weight_share_and_clip():
    found = top_stimuli(SPACE, CAPTIONS, videos={"c": "clips/c.mp4"})
    assert (found.components, found.n_stimuli) == (("c1", "c2"), 4)
    first = found.of("c1")
    assert first.index.tolist() == [1, 2, 3] and first.index.name == "rank"
    assert first["id"].tolist() == ["c", "a", "d"]  # equal weights in the order of the space
    np.testing.assert_allclose(first["share"], [2 / 3, 1 / 6, 1 / 6])
    np.testing.assert_allclose(first["cumulative"], [2 / 3, 5 / 6, 1])
    assert first["caption"].tolist() == ["One two three", "A dog runs in the park.", ""]
    assert first["video"].tolist() == ["clips/c.mp4", "", ""]
    assert found.ids() == ["c", "a", "d", "b"]


def test_a_stimulus_without_weight_is_never_shown():
    space = pd.DataFrame({"empty": [0.0, 0.0], "signed": [-5.0, 1.0]}, index=["a", "b"])
    found = top_stimuli(space)
    assert found.of("empty").empty
    assert found.of("signed")[["id", "share"]].to_numpy().tolist() == [["b", 1.0]]


def test_shares_are_of_the_whole_component_however_few_are_shown():
    rng = np.random.default_rng(0)
    space = pd.DataFrame(rng.exponential(size=(200, 3)), index=[f"s{k}" for k in range(200)], columns=list("xyz"))
    found = top_stimuli(space, n=8)
    for name in "xyz":
        expected = space[name].sort_values(ascending=False)
        assert found.of(name)["id"].tolist() == expected.index[:8].tolist()
        np.testing.assert_allclose(found.of(name)["share"], expected[:8] / expected.sum(), rtol=1e-6)


def test_the_table_of_top_stimuli_survives_csv(tmp_path):
    table = top_stimuli(SPACE, CAPTIONS).table
    table.to_csv(tmp_path / "top.csv")
    again = pd.read_csv(tmp_path / "top.csv", keep_default_na=False).set_index(["component", "rank"])
    pd.testing.assert_frame_equal(again, table, check_dtype=False)


def test_wrong_requests_are_named():
    with pytest.raises(InputError, match="n=0 shows no stimuli"):
        top_stimuli(SPACE, n=0)
    with pytest.raises(InputError, match="no component 'c9'; choose one of c1, c2"):
        top_stimuli(SPACE).of("c9")
    with pytest.raises(InputError, match="missing"):
        top_stimuli(SPACE.assign(c1=np.nan))
