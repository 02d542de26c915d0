"""The chat judge: what it says, what it believes, and how it reads what comes back."""

import base64
import json

import numpy as np
import pytest

from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import ChatJudge, Judge, ask
from affectome.triplets import TripletSet

CAPTIONS = {"v1": ["A dog runs.", "A happy dog."], "v2": ["A man cries."], "v3": ["A child   laughs\nloudly."]}
ONE = TripletSet([[0, 1, 2]], ids=["v1", "v2", "v3"])


@pytest.fixture
def plain(chat_server):
    """A server that ignores every constraint; `replies` are what it says to the questions, in turn."""

    def start(*replies, probe="Blue."):
        left = list(replies)

        def answer(path, body):
            if path != "/v1/chat/completions":
                return {"data": [{"id": "m", "owned_by": "someone"}]}
            return probe if "Name a colour." in json.dumps(body) else left.pop(0) if len(left) > 1 else left[0]

        return chat_server(answer)

    return start


@pytest.fixture
def obedient(chat_server, answer_json):
    """A vLLM-like server that obeys one constraint and tells log-probabilities."""

    def start(reply, *, constraint="structured_outputs", owner="vllm", on_question=None):
        def answer(path, body):
            if path == "/v1/models":
                return {"data": [{"id": "m", "owned_by": owner}]}
            if path == "/tokenize":
                ids = {"A": [32], "B": [33], "C": [34], "Q": [48], "Z": [57]}
                return {"tokens": ids.get(body["prompt"], [1, 2])}
            if "Name a colour." not in json.dumps(body):
                return (on_question and on_question(body)) or reply
            said = "Blue."
            if constraint in body and constraint != "none":
                given = body[constraint]
                said = {
                    "structured_outputs": lambda: given["choice"][0],
                    "guided_choice": lambda: given[0],
                    "regex": lambda: given.strip("()").split("|")[0],
                    "grammar": lambda: given.split('"')[1],
                    "allowed_token_ids": lambda: {48: "Q", 57: "Z"}[given[0]],
                }[constraint]()
            return answer_json(said, alternatives={said: 0.9, "x": 0.1} if body.get("logprobs") else None)

        return chat_server(answer)

    return start


def judge(server, **settings):
    return ChatJudge("m", server.url, **{"captions": CAPTIONS, "backoff_s": 0.01, **settings})


def test_it_is_a_judge_and_says_everything_that_decides_its_answers():
    made = ChatJudge("m", "http://h/v1/", captions=CAPTIONS, api_key_env="SOME_KEY", concurrency=7)
    assert isinstance(made, Judge) and made.addresses == ("http://h/v1",)
    described = made.describe()
    assert json.loads(json.dumps(described)) == described
    assert "SOME_KEY" not in json.dumps(described) and "http" not in json.dumps(described)
    other = ChatJudge("m", ["http://g/v1"], captions=CAPTIONS, concurrency=9)
    assert other.describe() == described  # who serves it, and how fast, does not decide an answer
    changes = [
        {"captions": {**CAPTIONS, "v1": ["A cat."]}},
        {"captions_per_stimulus": 2},
        {"labels": ("1", "2", "3")},
        {"temperature": 0.5},
        {"mode": "paper"},
        {"extra": {"top_p": 0.9}},
        {"noun": "clip"},
    ]
    for change in changes:
        assert ChatJudge("m", "http://h/v1", **{"captions": CAPTIONS, **change}).describe() != described


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"show": "smell"}, "show='smell' is unknown"),
        ({"mode": "fast"}, "mode='fast' is unknown"),
        ({"captions": None}, "show='captions' needs captions"),
        ({"show": "video"}, "show='video' needs videos"),
        ({"servers": "localhost:8000"}, "are no http addresses"),
        ({"servers": []}, "are no http addresses"),
        ({"concurrency": 0}, "concurrency=0 is too small"),
        ({"temperature": -1}, "temperature=-1 is too small"),
        ({"prompt": "poem"}, "there is no prompt 'poem'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ChatJudge(**{"model": "m", "servers": "http://h/v1", "captions": CAPTIONS, **settings})


def test_captions_stand_in_their_slots_and_nothing_tells_the_id(plain):
    server = plain("B")
    asked = TripletSet([[2, 0, 1]], ids=["v1", "v2", "v3"])
    assert ask(judge(server), asked).choice.tolist() == [1]
    [body] = server.questions()
    said = body["messages"][-1]["content"]
    places = [said.index(text) for text in ("A: A child laughs loudly.", "B: A dog runs.", "C: A man cries.")]
    assert places == sorted(places) and "happy" not in said
    assert not any(name in json.dumps(body) for name in ("v1", "v2", "v3"))
    assert body["model"] == "m" and body["temperature"] == 0 and body["messages"][0]["role"] == "system"


def test_several_captions_are_one_text(plain):
    server = plain("A")
    ask(judge(server, captions_per_stimulus=2), ONE)
    assert "A: A dog runs. A happy dog.\n" in server.questions()[0]["messages"][-1]["content"]


@pytest.mark.parametrize("constraint", ["structured_outputs", "guided_choice", "regex", "grammar"])
def test_a_constraint_that_binds_is_found_and_used(obedient, answer_json, constraint):
    server = obedient(answer_json("B", alternatives={"B": 0.5, "A": 0.3, "C": 0.2}), constraint=constraint)
    answered = ask(judge(server, mode="choice"), ONE)
    assert answered.choice.tolist() == [1]
    np.testing.assert_allclose(answered.probabilities, [[0.3, 0.5, 0.2]], atol=1e-6)
    [body] = server.questions()
    assert json.dumps(body[constraint]).count("A") >= 1 and body["max_tokens"] == 8
    assert body["logprobs"] is True and body["top_logprobs"] == 20


def test_a_constraint_that_is_ignored_is_not_trusted(plain):
    server = plain("The answer is C.")
    with pytest.raises(InputError, match="no constraint on the answer binds here"):
        ask(judge(server, mode="choice"), ONE)
    assert server.questions() == []
    answered = ask(judge(server, mode="auto"), ONE)
    assert answered.choice.tolist() == [2] and answered.probabilities is None
    [body] = server.questions()
    assert not {"structured_outputs", "guided_choice", "regex", "grammar", "logprobs"} & set(body)


def test_raw_mass_keeps_what_lies_outside_the_labels(obedient, answer_json):
    reply = answer_json("A", alternatives={"A": 0.3, "B": 0.2, "C": 0.1, "Sure": 0.4})
    server = obedient(reply, constraint="allowed_token_ids")
    made = judge(server, mode="choice", raw_mass=True)
    [got] = _replies(made)
    np.testing.assert_allclose(got.probabilities, [1 / 2, 1 / 3, 1 / 6])
    assert got.mass == pytest.approx(0.6)
    [body] = server.questions()
    assert body["allowed_token_ids"] == body["logprob_token_ids"] == [32, 33, 34] and body["max_tokens"] == 1


def test_a_constraint_that_renormalises_leaves_the_mass_unknown(obedient, answer_json):
    server = obedient(answer_json("A", alternatives={"A": 0.9, "B": 0.1, "C": 0.0}))
    [got] = _replies(judge(server))
    assert got.mass is None and got.probabilities == pytest.approx((0.9, 0.1, 0.0))


def test_a_label_that_could_hide_below_the_listed_ones_leaves_the_probabilities_unknown(obedient, answer_json):
    server = obedient(answer_json("A", alternatives={"A": 0.4, "B": 0.3, "So": 0.2}), constraint="none", owner="x")
    [got] = _replies(judge(server))
    assert got.choice == 0 and got.probabilities is None and got.mass == pytest.approx(0.7)
    server = obedient(answer_json("A", alternatives={"A": 0.9, " B": 0.09, "x": 1e-6}), constraint="none", owner="x")
    [got] = _replies(judge(server))
    assert got.probabilities == pytest.approx((0.9 / 0.99, 0.09 / 0.99, 0))


def test_paper_mode_describes_first_and_chooses_then_for_clips(plain, tmp_path):
    clips = {name: tmp_path / f"{name}.mp4" for name in CAPTIONS}
    for name, clip in clips.items():
        clip.write_bytes(f"film of {name}".encode())
    server = plain("Clip A is sad ...", "Answer: C")
    made = ChatJudge("m", server.url, videos=clips, show="video", mode="paper")
    # the probe asks with and without a clip whether clips are seen
    counts = iter((10, 1000))
    inner = server.answer
    server.answer = lambda path, body: _counted(inner(path, body), body, counts)
    [got] = _replies(made)
    assert got.choice == 2 and json.loads(got.text) == ["Clip A is sad ...", "Answer: C"]
    first, second = server.questions()
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["messages"][2]["content"] == "Clip A is sad ..."
    parts = [part for part in first["messages"][1]["content"] if part["type"] == "video_url"]
    sent = [base64.b64decode(part["video_url"]["url"].removeprefix("data:video/mp4;base64,")) for part in parts]
    assert sent == [b"film of v1", b"film of v2", b"film of v3"] and "uuid" not in parts[0]


def _counted(answer, body, counts):
    if not isinstance(answer, str):
        return answer
    usage = {"prompt_tokens": 10, "completion_tokens": 1}
    if body.get("max_tokens") == 1 and "Name a colour." in json.dumps(body):
        usage["prompt_tokens"] = next(counts)
    message = {"message": {"content": answer}, "finish_reason": "stop"}
    return {"model": "m", "choices": [message], "usage": usage}


def _replies(made, questions=ONE):
    from affectome._asynchronous import run_to_end

    return run_to_end(made._replies(questions, None))


def test_an_unclear_answer_is_asked_again_and_then_given_up(plain):
    server = plain("A or B", "I mean B")
    [got] = _replies(judge(server, mode="paper"))
    assert got.choice == 1 and got.attempts == 2 and got.failure is None
    assert (got.prompt_tokens, got.completion_tokens) == (20, 2)
    second = server.questions()[1]["messages"]
    assert second[-2] == {"role": "assistant", "content": "A or B"} and "exactly one" in second[-1]["content"]
    server = plain("Hard to say.")
    [got] = _replies(judge(server, mode="paper", clarifications=2))
    assert got.choice == -1 and got.attempts == 3 and got.failure.startswith("unparsed: ")
    assert json.loads(got.text) == ["Hard to say."] * 3


def test_never_a_previous_answer(plain):
    server = plain("A", "hm", "hm", "C")
    asked = TripletSet([[0, 1, 2], [0, 1, 2], [0, 1, 2]], ids=["v1", "v2", "v3"])
    assert judge(server, mode="paper", concurrency=1).answer(asked).choice.tolist() == [0, -1, 2]


def test_silence_is_asked_again_without_a_word_put_in_its_mouth(chat_server, answer_json):
    empty = [{"choices": []}, {"choices": [{"message": {"content": None}}]}, {"model": "m"}]
    for content in empty:
        left = [content, answer_json("B")]
        server = chat_server(
            lambda path, body, left=left: (
                {} if "models" in path else "Blue." if "Name a" in json.dumps(body) else left.pop(0)
            )
        )
        [got] = _replies(judge(server))
        assert got.choice == 1 and got.attempts == 2
        assert server.questions()[0]["messages"] == server.questions()[1]["messages"]


def test_what_was_cut_off_is_not_believed(chat_server, answer_json):
    def start(text):
        return chat_server(
            lambda path, body: {} if "models" in path else answer_json(text, finish="length", usage=(10, 512, 0))
        )

    [got] = _replies(judge(start("The odd one out is B"), mode="paper", clarifications=0))
    assert got.choice == -1 and got.failure == "unparsed: truncated"
    [got] = _replies(judge(start("Answer: B\nThe reason is that"), mode="paper"))
    assert got.choice == 1
    [got] = _replies(judge(start("B"), mode="paper"))  # a whole label, which one token was enough for
    assert got.choice == 1


def test_a_request_the_server_refuses_is_a_failure_of_its_question_alone(chat_server):
    def answer(path, body):
        if "models" in path or "Name a" in json.dumps(body):
            return "Blue." if body else {}
        return (400, {"error": {"message": "too long"}}) if "A: A man" in json.dumps(body) else "C"

    asked = TripletSet([[0, 1, 2], [1, 0, 2]], ids=["v1", "v2", "v3"])
    good, bad = _replies(judge(chat_server(answer)), asked)
    assert good.choice == 2 and bad.choice == -1 and bad.failure == "HTTP 400: too long"


def test_stimuli_that_cannot_be_shown_are_named(plain):
    server = plain("A")
    with pytest.raises(InputError, match=r"1 of 3 stimuli have no caption \(nobody\); make the ids match"):
        judge(server).answer(TripletSet([[0, 1, 2]], ids=["v1", "v2", "nobody"]))
    assert server.requests == []


def test_faults_at_the_start_are_one_sentence(chat_server):
    with pytest.raises(EnvironmentFailure, match=r"cannot be asked \(unreachable.*start the server"):
        judge(type("S", (), {"url": "http://127.0.0.1:9/v1"})).answer(ONE)
    missing = chat_server(lambda path, body: (404, {"error": {"message": "The model `m` does not exist."}}))
    with pytest.raises(InputError, match="does not exist"):
        judge(missing).answer(ONE)
    odd = chat_server(lambda path, body: (400, {"error": {"message": "no key 'temperature'"}}))
    with pytest.raises(InputError, match=r"refuses even a plain request .*no key 'temperature'"):
        judge(odd).answer(ONE)
    locked = chat_server(lambda path, body: (401, {"error": {"message": "no"}}))
    with pytest.raises(InputError, match="refuses access"):
        judge(locked).answer(ONE)


def test_a_server_that_is_away_is_left_out(plain, caplog):
    server = plain("B")
    made = ChatJudge("m", ["http://127.0.0.1:9/v1", server.url], captions=CAPTIONS, mode="paper")
    assert made.answer(ONE).choice.tolist() == [1] and "is left out of this run" in caplog.text


def test_servers_must_be_able_to_do_the_same(plain, obedient):
    with pytest.raises(InputError, match="the servers can do different things"):
        ChatJudge("m", [plain("A").url, obedient("A").url], captions=CAPTIONS).answer(ONE)


def test_extra_keys_and_limits_reach_the_server(plain):
    server = plain("A")
    ask(judge(server, extra={"max_completion_tokens": 9, "top_p": 0.5}, seed=3, max_tokens=77), ONE)
    [body] = server.questions()
    assert body["top_p"] == 0.5 and body["max_completion_tokens"] == 9 and body["seed"] == 3
    assert "max_tokens" not in body
    server = plain("A")
    ask(judge(server, max_tokens=77), ONE)
    assert server.questions()[0]["max_tokens"] == 77


# --- clips ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clips(tmp_path):
    for k in range(6):
        (tmp_path / f"v{k}.mp4").write_bytes(bytes([k]) * 50)
    return {f"v{k}": tmp_path / f"v{k}.mp4" for k in range(6)}


@pytest.fixture
def keeper(obedient, answer_json):
    """A server that keeps clips by uuid, and forgets them when told to."""

    def start():
        kept = {}

        def on_question(body):
            clips = [p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"]]
            clips = [p for p in clips if p["type"] == "video_url"]
            for number, part in enumerate(clips):
                if part["video_url"] is None and part["uuid"] not in kept:
                    message = f"Cache miss for video at index {number} but data is not provided."
                    return 400, {"error": {"message": message, "type": "BadRequestError", "code": 400}}
                if part["video_url"] is not None:
                    kept[part["uuid"]] = part["video_url"]["url"]
            shown = [base64.b64decode(kept[part["uuid"]].partition(",")[2])[0] for part in clips]
            return "ABC"[shown.index(max(shown))]  # the odd one is the clip with the highest number

        server = obedient("A", on_question=on_question)
        inner = server.answer

        def answer(path, body):
            made = inner(path, body)
            if isinstance(made, dict) and "usage" in made and "video_url" in json.dumps(body):
                made["usage"]["prompt_tokens"] = 100
            return made

        server.answer = answer
        return server, kept

    return start


def test_clips_are_sent_once_and_mentioned_after(keeper, clips):
    server, kept = keeper()
    asked = TripletSet([[0, 1, 2], [2, 1, 0], [3, 0, 1], [5, 4, 3]], ids=list(clips))
    made = ChatJudge("m", server.url, videos=clips, show="video", mode="choice", concurrency=1)
    assert made.answer(asked).choice.tolist() == [2, 0, 0, 0]
    sent = [
        [part["video_url"] is not None for part in body["messages"][1]["content"] if part["type"] == "video_url"]
        for body in server.questions()
    ]
    assert sent == [[True] * 3, [False] * 3, [True, False, False], [True, True, False]]
    assert len(kept) == 6 and not any(name in uuid for uuid in kept for name in clips)


def test_a_clip_the_server_dropped_is_sent_again(keeper, clips):
    server, kept = keeper()
    asked = TripletSet([[0, 1, 2], [2, 1, 0], [0, 2, 1]], ids=list(clips))
    made = ChatJudge("m", server.url, videos=clips, show="video", mode="choice", concurrency=1)
    inner, count = server.answer, 0

    def forgetting(path, body):
        nonlocal count
        if "Name a colour." not in json.dumps(body) and path.endswith("completions"):
            count += 1
            if count == 2:
                kept.clear()
        return inner(path, body)

    server.answer = forgetting
    assert made.answer(asked).choice.tolist() == [2, 0, 1]
    assert len(server.questions()) == 4  # one miss, answered by all three clips; the third question mentions again


def test_the_name_of_a_clip_on_the_server_follows_its_content_and_how_it_is_shown(clips, tmp_path):
    from affectome.judges._media import Media

    def uuid(shown="video", n_frames=8, digest="a" * 64):
        return Media(
            clips, {"v0": digest}, shown=shown, n_frames=n_frames, longest_side=336, quality=90, url=None, reuse=True,
            most_mb=1,
        ).uuid("v0")  # fmt: skip

    names = {uuid(), uuid("frames"), uuid("frames", 4), uuid(digest="b" * 64)}
    assert len(names) == 4 and uuid() == uuid(n_frames=4)


def test_a_server_that_drops_clips_without_a_word_is_refused(plain, clips):
    server = plain("A")
    made = ChatJudge("m", server.url, videos=clips, show="video", mode="paper")
    with pytest.raises(InputError, match="takes clips without looking at them"):
        made.answer(TripletSet([[0, 1, 2]], ids=list(clips)))


def test_a_clip_can_be_named_by_address(keeper, clips):
    server, _ = keeper()
    made = ChatJudge("m", server.url, videos=clips, show="video", media_url="https://lab.example/clips/", mode="choice")
    server.answer = (
        lambda inner: lambda path, body: inner(path, body) if path == "/v1/models" else _seen(inner, path, body)
    )(server.answer)
    made.answer(TripletSet([[0, 1, 2]], ids=list(clips)))
    urls = [p["video_url"]["url"] for p in server.questions()[0]["messages"][1]["content"] if p["type"] == "video_url"]
    assert urls == [f"https://lab.example/clips/v{k}.mp4" for k in range(3)]


def _seen(inner, path, body):
    return "A" if "lab.example" in json.dumps(body) and "Name a" not in json.dumps(body) else inner(path, body)


def test_encoded_clips_stay_within_their_memory(clips):
    import asyncio

    from affectome.judges._media import Media

    digests = {name: name * 10 for name in clips}
    media = Media(
        clips, digests, shown="video", n_frames=8, longest_side=336, quality=90, url=None, reuse=False, most_mb=0.0005
    )  # room for about three of them

    async def all_of_them():
        for name in clips:
            await media.part(name)
        return await asyncio.gather(*(media.part("v5") for _ in range(5)))

    same = asyncio.run(all_of_them())
    assert len(set(map(id, same))) == 1 and 1 <= len(media._kept) <= 4 and media._size <= 0.0005 * 2**20
    assert sum(len(part) for part in media._kept.values()) == media._size


@pytest.mark.parametrize("show", ["frames", "images"])
def test_sampled_frames_are_sent_as_one_video_or_as_images(keeper, show, tmp_path):
    av = pytest.importorskip("av", reason="needs affectome[video]")
    from fractions import Fraction

    videos = {}
    for k in range(3):
        videos[f"v{k}"] = tmp_path / f"v{k}.mp4"
        with av.open(str(videos[f"v{k}"]), "w") as out:
            stream = out.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for n in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), 80 * k + n, np.uint8), format="rgb24")
                frame.pts, frame.time_base = n, Fraction(1, 10)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    server, _ = keeper()
    inner = server.answer

    def answer(path, body):
        if "Name a colour." not in json.dumps(body) and path.endswith("completions"):
            return "B"
        made = inner(path, body)
        if isinstance(made, dict) and "usage" in made and "image" in json.dumps(body):
            made["usage"]["prompt_tokens"] = 100
        return made

    server.answer = answer
    made = ChatJudge("m", server.url, videos=videos, show=show, n_frames=4, mode="choice")
    asked = TripletSet([[2, 0, 1]], ids=list(videos))
    assert made.answer(asked).choice.tolist() == [1]
    kind = "video_url" if show == "frames" else "image_url"
    parts = [part for part in server.questions()[0]["messages"][1]["content"] if part["type"] == kind]
    urls = [part[kind]["url"].split(",", 1) for part in parts]
    assert {head for head, _ in urls} == {f"data:{'video' if show == 'frames' else 'image'}/jpeg;base64"}
    pictures = [base64.b64decode(picture) for _, data in urls for picture in data.split(",")]
    assert len(pictures) == 12 and all(picture.startswith(b"\xff\xd8") for picture in pictures)
    import io

    def grey(picture):
        with av.open(io.BytesIO(picture)) as container:
            return next(container.decode(video=0)).to_ndarray(format="rgb24").mean()

    levels = np.array([grey(picture) for picture in pictures]).reshape(3, 4).mean(axis=1)
    np.testing.assert_allclose(levels, [164, 4, 84], atol=6)  # slots as shown: clips 2, 0, 1
    assert len({part["uuid"] for part in parts}) == len(parts)
