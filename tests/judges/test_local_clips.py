"""Clips before a model in this process: as video for Qwen-VL, as images for others, each encoded once."""

import numpy as np
import pytest

from affectome.errors import InputError
from affectome.judges import LocalJudge, _local_clips, load_prompt
from affectome.triplets import TripletSet, sample_triplets

N_FRAMES = 4
PATCH, STEP, MERGE = 14, 2, 2


@pytest.fixture(scope="module")
def clips():
    """Frames of twelve clips in two sizes, which the model's processor need not resize."""
    rng = np.random.default_rng(5)
    sizes = [(56, 84) if k % 3 else (56, 56) for k in range(12)]
    return {f"s{k:02d}": rng.integers(256, size=(N_FRAMES, *size, 3), dtype=np.uint8) for k, size in enumerate(sizes)}


@pytest.fixture(scope="module")
def questions(clips):
    return sample_triplets(list(clips), 30, seed=2)


@pytest.fixture
def make_judge(clips, monkeypatch):
    """A judge of the clips; `seen` lists the clips whose frames were taken, and how."""
    seen = []

    def sample_frames(path, n_frames, *, longest_side):
        seen.append((path.stem, longest_side))
        return clips[path.stem][:n_frames]

    monkeypatch.setattr("affectome.stimuli.sample_frames", sample_frames, raising=False)

    def make(folder, **given):
        videos = {name: f"{name}.mp4" for name in clips}
        return LocalJudge(folder, videos=videos, show="frames", **{"n_frames": N_FRAMES, "batch_size": 4, **given})

    make.seen = seen
    return make


@pytest.fixture(scope="module", params=["Qwen2VL", "Qwen2_5_VL"])
def tiny_qwen(request, offline, tiny_sizes, tiny_tokenizer, save_model):
    """Folder of an image-text model of random weights: two layers of language, two of vision."""
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [8, 12, 12]}
    marks = {
        "image_token_id": "<image>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    text = {**tiny_sizes, "hidden_size": 128, "num_attention_heads": 2, "initializer_range": 0.2}
    vision = {"depth": 2, "num_heads": 2, "patch_size": PATCH, "initializer_range": 0.2}
    if request.param == "Qwen2VL":
        vision |= {"embed_dim": 32, "hidden_size": 128}
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 128}
        vision |= {**sizes, "window_size": 56, "fullatt_block_indexes": [1]}
    config = getattr(offline, f"{request.param}Config")(
        text_config={**text, "rope_parameters": rope},
        vision_config=vision,
        **{name: tiny_tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()},
    )
    processor = offline.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=28 * 28 * 100)
    return save_model(f"{request.param}ForConditionalGeneration", config, processor)


def patches(frames, mean, std):
    """Patches of a video, written out from their definition."""
    scaled = (frames / 255 - mean) / std  # (frames, height, width, channels)
    n, height, width, _ = scaled.shape
    rows, found = range(0, height, PATCH * MERGE), []
    for start in range(0, n, STEP):
        for top in rows:
            for left in range(0, width, PATCH * MERGE):
                for y in range(top, top + PATCH * MERGE, PATCH):
                    for x in range(left, left + PATCH * MERGE, PATCH):
                        block = scaled[start : start + STEP, y : y + PATCH, x : x + PATCH]
                        found.append(block.transpose(3, 0, 1, 2).ravel())
    return np.array(found, np.float32), (n // STEP, height // PATCH, width // PATCH)


@pytest.fixture(scope="module")
def in_one_pass(offline, tiny_qwen, tiny_tokenizer, clips, questions):
    """Label probabilities and mass of each question from the whole model at once, pixels in, logits out."""
    import torch

    model = offline.AutoModelForImageTextToText.from_pretrained(tiny_qwen).eval()
    processor = offline.AutoImageProcessor.from_pretrained(tiny_qwen)
    labels = tiny_tokenizer.convert_tokens_to_ids(["A", "B", "C"])
    prompt = load_prompt("choice")
    rows = []
    for triplet in questions.triplets:
        names = [questions.ids[k] for k in triplet]
        made = [patches(clips[name], processor.image_mean, processor.image_std) for name in names]
        marks = [f"<|vision_start|>{'<|video_pad|>' * (np.prod(grid) // MERGE**2)}<|vision_end|>" for _, grid in made]
        said = "".join(marks[part] if isinstance(part, int) else part for part in prompt.turns[0])
        text = f"<s>system : {prompt.system}\nuser : {said}\nassistant : "
        ids = tiny_tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        token = tiny_tokenizer.convert_tokens_to_ids("<|video_pad|>")
        with torch.no_grad():
            logits = model(
                input_ids=ids,
                pixel_values_videos=torch.from_numpy(np.concatenate([p for p, _ in made])),
                video_grid_thw=torch.tensor([grid for _, grid in made]),
                mm_token_type_ids=torch.where(ids == token, 2, 0),
            ).logits[0, -1]
        rows.append(logits.softmax(-1)[labels].numpy().astype(float))
    weights = np.array(rows)
    return weights / weights.sum(axis=1, keepdims=True), weights.sum(axis=1)


def test_probabilities_of_clips_are_those_of_the_whole_model(make_judge, tiny_qwen, questions, in_one_pass):
    replies = make_judge(tiny_qwen).replies(questions)
    probabilities = np.array([reply.probabilities for reply in replies])
    np.testing.assert_allclose(probabilities, in_one_pass[0], atol=1e-4)
    np.testing.assert_allclose([reply.mass for reply in replies], in_one_pass[1], atol=1e-4)
    assert np.ptp(in_one_pass[0], axis=0).min() > 0.05  # answers depend on the clips
    assert sum(reply.cached_tokens for reply in replies) > 0.2 * sum(reply.prompt_tokens for reply in replies)


def test_each_clip_is_decoded_and_encoded_once(make_judge, tiny_qwen, questions):
    judge = make_judge(tiny_qwen, longest_side=84)
    judge.replies(questions)
    judge.replies(questions[::-1])
    used = {questions.ids[k] for k in questions.triplets.ravel()}
    assert sorted(make_judge.seen) == sorted((name, 84) for name in used)


def test_clips_that_memory_does_not_hold_are_encoded_again(make_judge, tiny_qwen, questions, in_one_pass, monkeypatch):
    monkeypatch.setattr(_local_clips, "KEPT_BYTES", 3 * 12 * 128 * 4)  # three clips of 12 tokens
    replies = make_judge(tiny_qwen).replies(questions)
    np.testing.assert_allclose([reply.probabilities for reply in replies], in_one_pass[0], atol=1e-4)
    assert len(make_judge.seen) > len(set(make_judge.seen))


def test_an_odd_number_of_frames_ends_on_the_last_one_twice(make_judge, clips, tiny_qwen, questions, monkeypatch):
    three = make_judge(tiny_qwen, n_frames=3).replies(questions[:5])
    for name, frames in clips.items():
        monkeypatch.setitem(clips, name, frames[[0, 1, 2, 2]])
    four = make_judge(tiny_qwen).replies(questions[:5])
    np.testing.assert_allclose([r.probabilities for r in three], [r.probabilities for r in four], atol=1e-6)


def test_labels_of_several_tokens_follow_clips(make_judge, tiny_qwen, questions):
    replies = make_judge(tiny_qwen, labels=("clip One", "clip Two", "Three")).replies(questions[:4])
    one_by_one = make_judge(tiny_qwen, labels=("clip One", "clip Two", "Three"), batch_size=1).replies(questions[:4])
    np.testing.assert_allclose([r.probabilities for r in replies], [r.probabilities for r in one_by_one], atol=1e-5)


def test_the_same_model_reads_captions_too(make_judge, tiny_qwen, questions):
    captions = {name: [f"w{k} w{k + 1}"] for k, name in enumerate(questions.ids)}
    replies = LocalJudge(tiny_qwen, captions, batch_size=5).replies(questions)
    one_by_one = LocalJudge(tiny_qwen, captions, batch_size=1).replies(questions)
    np.testing.assert_allclose([r.probabilities for r in replies], [r.probabilities for r in one_by_one], atol=1e-5)
    assert make_judge.seen == []


def test_stimuli_without_video_are_named(make_judge, tiny_qwen, questions):
    asked = TripletSet([[0, 1, 2]], ids=["s00", "s01", "nobody"])
    with pytest.raises(InputError, match=r"the judge's videos: 1 of 3 stimuli are not in it \(nobody\)"):
        make_judge(tiny_qwen).answer(asked)


@pytest.fixture(scope="module")
def tiny_llava(offline, tiny_sizes, tiny_tokenizer, save_model):
    """Folder of a Llava of random weights, whose family is shown frames as images."""
    vision = offline.CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    token = tiny_tokenizer.convert_tokens_to_ids("<image>")
    config = offline.LlavaConfig(
        text_config=offline.LlamaConfig(**tiny_sizes), vision_config=vision, image_token_index=token
    )
    processor = offline.LlavaProcessor(
        image_processor=offline.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tiny_tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=tiny_tokenizer.chat_template,
        num_additional_image_tokens=1,
    )
    return save_model("LlavaForConditionalGeneration", config, processor)


def test_other_families_see_each_frame_as_an_image(offline, make_judge, tiny_llava, tiny_tokenizer, clips, questions):
    import torch

    replies = make_judge(tiny_llava, n_frames=2).replies(questions)
    model = offline.AutoModelForImageTextToText.from_pretrained(tiny_llava).eval()
    processor = offline.AutoProcessor.from_pretrained(tiny_llava)
    labels = tiny_tokenizer.convert_tokens_to_ids(["A", "B", "C"])
    prompt = load_prompt("choice")
    said = "".join("<image>" * 2 if isinstance(part, int) else part for part in prompt.turns[0])
    text = f"<s>system : {prompt.system}\nuser : {said}\nassistant : "
    for reply, triplet in zip(replies, questions.triplets, strict=True):
        frames = [frame for k in triplet for frame in clips[questions.ids[k]][:2]]
        given = processor(text=[text], images=[frames], return_tensors="pt")
        with torch.no_grad():
            chosen = model(**given).logits[0, -1].softmax(-1)[labels].numpy()
        assert reply.prompt_tokens == given["input_ids"].shape[1]
        assert reply.mass == pytest.approx(chosen.sum(), abs=1e-5)
        np.testing.assert_allclose(reply.probabilities, chosen / chosen.sum(), atol=1e-4)
    with pytest.raises(InputError, match="a label takes more than one token of this model"):
        make_judge(tiny_llava, labels=("clip One", "clip Two", "Three")).answer(questions)
