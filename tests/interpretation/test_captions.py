import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.interpretation import TypicalCaption, typical_captions

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
