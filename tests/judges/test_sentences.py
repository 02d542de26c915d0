"""Captions through a sentence encoder become a space; what was encoded once is not encoded again."""

import hashlib
import sys

import numpy as np
import pandas as pd
import pytest

from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import _sentences, encode_captions, model_identity
from affectome.judges._io import cache_folder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "dog", "cat", "man", "woman", "runs", "falls", "."]
CAPTIONS = {
    "v1": ["A dog runs.", "A happy dog."],
    "v2": ["The man falls."],
    "v3": ["A woman laughs, the cat cries.", "  ", "A dog runs.", "A sad sad sad woman."],
}
DIFFERENT = 5  # sentences

pytestmark = pytest.mark.filterwarnings(
    "ignore:Importing from 'sentence_transformers.models' is deprecated:DeprecationWarning",
)


@pytest.fixture(scope="module")
def library():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        module = pytest.importorskip("sentence_transformers", reason="needs affectome[local]")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield module


@pytest.fixture(scope="module")
def make_model(library, tmp_path_factory):
    """Save a tiny encoder of random weights and return its folder."""
    import torch
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    def make(seed):
        folder = tmp_path_factory.mktemp("model")
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        torch.manual_seed(seed)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        model = BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **sizes))
        model.save_pretrained(folder / "bert")
        BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
        modules = [Transformer(str(folder / "bert")), Pooling(16)]
        library.SentenceTransformer(modules=modules, device="cpu").save(str(folder / "encoder"))
        return str(folder / "encoder")

    return make


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(0)


@pytest.fixture(scope="module")
def expected(library, model):
    """Plain means of the embeddings of each stimulus's captions."""
    encoder = library.SentenceTransformer(model, device="cpu")
    means = {i: encoder.encode([t for t in texts if t.strip()]).mean(axis=0) for i, texts in CAPTIONS.items()}
    return pd.DataFrame(means).T


@pytest.fixture
def encoded(monkeypatch):
    """The sentences that went through a model, in their order."""
    texts, load = [], _sentences._load_encoder

    def recorded(*arguments):
        encode = load(*arguments)
        return lambda sentences, size: (texts.extend(sentences), encode(sentences, size))[1]

    monkeypatch.setattr(_sentences, "_load_encoder", recorded)
    return texts


def no_model(*_arguments):
    raise AssertionError("a model was loaded")


def test_the_space_is_the_mean_over_captions_less_the_mean_over_stimuli(model, expected, tmp_path, encoded):
    space = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path)
    np.testing.assert_allclose(space, expected - expected.mean(), atol=1e-5)
    assert space.index.tolist() == list(CAPTIONS) and space.index.name == "id"
    assert space.columns[[0, -1]].tolist() == ["dimension 01", "dimension 16"]
    assert set(space.dtypes) == {np.dtype("float32")}
    assert sorted(encoded) == sorted({text for texts in CAPTIONS.values() for text in texts if text.strip()})
    plain = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path, centre=False)
    np.testing.assert_allclose(plain, expected, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_neither_the_batch_nor_the_order_of_stimuli_matters(model, expected, tmp_path, batch_size):
    turned = dict(reversed(CAPTIONS.items()))
    space = encode_captions(turned, model, device="cpu", cache=tmp_path, batch_size=batch_size, centre=False)
    np.testing.assert_allclose(space.loc[list(CAPTIONS)], expected, atol=1e-5)


def test_what_was_encoded_before_needs_no_model(model, tmp_path, monkeypatch, encoded):
    once = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path)
    more = {**CAPTIONS, "v4": ["A cat falls."]}
    encode_captions(more, model, device="cpu", cache=tmp_path)
    assert encoded[DIFFERENT:] == ["A cat falls."]
    monkeypatch.setattr(_sentences, "_load_encoder", no_model)
    pd.testing.assert_frame_equal(encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path), once)


def test_an_interrupted_run_keeps_what_it_had(model, expected, tmp_path, monkeypatch, encoded):
    monkeypatch.setattr(_sentences, "_KEPT", 2)

    def interrupt(_done, _total, *, detail=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path, progress=interrupt)
    assert len(encoded) == 2
    told = []
    space = encode_captions(
        CAPTIONS,
        model,
        device="cpu",
        cache=tmp_path,
        progress=lambda done, total, *, detail="": told.append((done, total)),
    )
    assert len(encoded) == len(set(encoded)) == DIFFERENT
    assert told == [(2, 3), (3, 3)]
    np.testing.assert_allclose(space, expected - expected.mean(), atol=1e-5)


DAMAGES = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "other bytes": lambda whole: b"\x00" * len(whole),
    "flipped inside": lambda whole: whole[:300] + bytes(255 - b for b in whole[300:340]) + whole[340:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_file_is_said_aloud_and_encoded_again(model, tmp_path, caplog, encoded, damage):
    once = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(damage(path.read_bytes()))
    again = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path)
    assert f"{path} is damaged and is not used" in caplog.text
    pd.testing.assert_frame_equal(again, once)
    assert len(encoded) == 2 * DIFFERENT
    caplog.clear()
    encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path)
    assert len(encoded) == 2 * DIFFERENT and "damaged" not in caplog.text


def test_a_cache_file_of_unequal_halves_is_said_aloud_and_encoded_again(model, tmp_path, caplog, encoded):
    once = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    with np.load(path) as content:
        names, vectors = content["names"], content["vectors"]
    np.savez(path, names=names, vectors=vectors[:-1])
    pd.testing.assert_frame_equal(encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path), once)
    assert f"{path} is damaged and is not used" in caplog.text and len(encoded) == 2 * DIFFERENT


def test_another_model_has_another_cache_and_a_copy_the_same(model, make_model, tmp_path, monkeypatch, encoded):
    import shutil

    once = encode_captions(CAPTIONS, model, device="cpu", cache=tmp_path / "cache")
    other = encode_captions(CAPTIONS, make_model(1), device="cpu", cache=tmp_path / "cache")
    assert len(encoded) == 2 * DIFFERENT and np.abs(once - other).to_numpy().max() > 0.01
    assert len(list((tmp_path / "cache" / "sentences").iterdir())) == 2
    shutil.copytree(model, tmp_path / "copy")
    monkeypatch.setattr(_sentences, "_load_encoder", no_model)
    pd.testing.assert_frame_equal(encode_captions(CAPTIONS, str(tmp_path / "copy"), cache=tmp_path / "cache"), once)


def test_a_model_is_known_by_its_name_or_by_the_content_of_its_folder(tmp_path):
    assert model_identity("somebody/some-model") == "hub:somebody/some-model"
    (tmp_path / "config.json").write_text("{}")
    first = model_identity(str(tmp_path))
    listed = f"config.json {hashlib.sha256(b'{}').hexdigest()}\n"
    assert first == f"folder:{hashlib.sha256(listed.encode()).hexdigest()}"
    (tmp_path / "config.json").write_text("{ }")
    assert model_identity(str(tmp_path)) != first


def test_the_cache_lies_where_the_environment_says(model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("AFFECTOME_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "affectome"
    monkeypatch.setenv("AFFECTOME_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    encode_captions(CAPTIONS, model, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert len(list((tmp_path / "mine" / "sentences").rglob("*.npz"))) == 1


def test_stimuli_without_captions_are_named(tmp_path):
    with pytest.raises(InputError) as caught:
        encode_captions({"a": ["A dog."], "b": [], "c": ["  ", ""]}, "m", cache=tmp_path)
    assert str(caught.value) == "captions: 2 stimuli have no caption (b, c); add one or leave them out."
    with pytest.raises(InputError, match="there are no captions to encode; give stimuli with captions"):
        encode_captions({}, "m", cache=tmp_path)


def test_captions_given_as_one_text_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_sentences, "_load_encoder", no_model)
    with pytest.raises(InputError, match="'b' are one text; give a list of texts"):
        encode_captions({"a": ["A dog."], "b": "A dog."}, "m", cache=tmp_path)


def test_a_folder_that_is_no_model_is_refused(library, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: there is no such model folder; correct the path or give a hub id"):
        encode_captions(CAPTIONS, str(tmp_path / "nowhere"), cache=tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: is no sentence-transformers model; give the folder with modules"):
        encode_captions(CAPTIONS, str(tmp_path / "empty"), cache=tmp_path / "cache")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"other: the sentence encoder cannot be used \(.*; give another model"):
        encode_captions(CAPTIONS, str(tmp_path / "other"), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_a_device_that_does_not_exist_is_refused(model, tmp_path):
    with pytest.raises(InputError, match=r"cannot be used \(.*nodevice\); give another model or device"):
        encode_captions(CAPTIONS, model, device="nodevice", cache=tmp_path)


def test_a_hub_that_cannot_be_reached_is_the_machines_fault(library, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        EnvironmentFailure, match=r"^nobody/no-such-model: the sentence encoder cannot be loaded \(.*netw"
    ):
        encode_captions(CAPTIONS, "nobody/no-such-model", cache=tmp_path)


def test_a_missing_package_is_named_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(
        EnvironmentFailure, match=r"needs sentence-transformers; install it with: pip .*affectome\[local\]"
    ):
        encode_captions(CAPTIONS, "somebody/some-model", cache=tmp_path)
