"""judge.toml: every parameter is a key, every fault names file, key and remedy, and no secret gets in."""

import pytest

from affectome.errors import InputError
from affectome.judges import ChatJudge, FeatureJudge, Prices, read_judge
from affectome.stimuli import StimulusSet


@pytest.fixture
def write(tmp_path):
    (tmp_path / "stimuli.csv").write_text("id,caption,caption_2\nv1,A dog runs.,A dog.\nv2,A man cries.,\n")
    (tmp_path / "ratings.csv").write_text("id,Joy,Fear\nv1,1,0\nv2,0,1\n")
    (tmp_path / "said.csv").write_text("id,caption\nv1,One.\nv1,Two.\nv2,Three.\nv9,Nine.\n")

    def put(text):
        (tmp_path / "judge.toml").write_text(text)
        return tmp_path / "judge.toml"

    return put


CHAT = 'kind = "chat"\nmodel = "m"\nservers = ["http://h/v1"]\nstimuli = "stimuli.csv"\n'


def test_a_chat_judge_takes_its_parameters_as_keys(write):
    made = read_judge(
        write(
            CHAT
            + 'mode = "paper"\nlabels = ["1", "2", "3"]\ncaptions_per_stimulus = 2\ntemperature = 1\nconcurrency = 9\n'
            + 'api_key_env = "SOME_KEY"\nextra = { top_p = 0.5 }\n[prices]\ninput = 0.15\noutput = 0.6\n'
        )
    )
    assert isinstance(made, ChatJudge)
    assert (made.model, made.addresses, made.mode, made.concurrency) == ("m", ("http://h/v1",), "paper", 9)
    assert made.captions["v1"] == ("A dog runs.", "A dog.") and made.extra == {"top_p": 0.5}
    assert made.prices == Prices(0.15, 0.6) and made.temperature == 1 and made.api_key_env == "SOME_KEY"
    assert made.timeout_s == ChatJudge("m", "http://h", captions={"a": ["b"]}).timeout_s


def test_captions_may_come_from_a_table_of_their_own(write):
    made = read_judge(write(CHAT + '[captions]\npath = "said.csv"\n'))
    assert dict(made.captions) == {"v1": ("One.", "Two."), "v2": ("Three.",)}  # the stimuli decide which are used
    alone = CHAT.replace('stimuli = "stimuli.csv"\n', "") + '[captions]\npath = "said.csv"\n'
    assert set(read_judge(write(alone)).captions) == {"v1", "v2", "v9"}


def test_stimuli_may_be_given_in_place_of_the_files(write, tmp_path):
    given = StimulusSet(("x",), captions={"x": ["Text."]})
    assert set(read_judge(write(CHAT), stimuli=given).captions) == {"x"}
    assert set(read_judge(write(CHAT), stimuli=tmp_path / "stimuli.csv").captions) == {"v1", "v2"}


def test_a_prompt_beside_the_file_is_found(write, tmp_path):
    shown = "".join(f"{{{{ stimuli[{slot}] }}}}" for slot in range(3))
    text = f"{{% block turn1 %}}{shown}{{% endblock %}}{{% block clarify %}}?{{% endblock %}}"
    (tmp_path / "mine.j2").write_text(text)
    assert read_judge(write(CHAT + 'prompt = "mine.j2"\n')).loaded_prompt.name == "mine"


def test_a_feature_judge_looks_at_a_table(write):
    made = read_judge(write('kind = "features"\nspace = "ratings.csv"\nmetric = "dot"\nseed = 4\n'))
    assert isinstance(made, FeatureJudge) and made.metric == "dot" and made.seed == 4
    assert made.space.columns.tolist() == ["Joy", "Fear"]


def test_the_environment_fills_in(write):
    path = write(CHAT.replace("http://h/v1", "http://${JUDGE_HOST}/v1"))
    assert read_judge(path, environment={"JUDGE_HOST": "g"}).addresses == ("http://g/v1",)
    with pytest.raises(InputError, match="the environment variable JUDGE_HOST is not set"):
        read_judge(path, environment={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"judge\.toml, \[kind\]: the key is missing"),
        ('kind = "oracle"', r"judge\.toml, \[kind\].*is not accepted"),
        (CHAT + "concurency = 3", "concurency.*did you mean 'concurrency'"),
        (CHAT + 'concurrency = "many"', r"\[concurrency\]: 'many' is not accepted"),
        (CHAT + "concurrency = 0", r"judge\.toml: concurrency=0 is too small|concurrency=0 is too small"),
        (CHAT + 'mode = "fast"', r"\[mode\]: 'fast' is not accepted"),
        (CHAT.replace("model", "mdl"), "mdl.*did you mean 'model'"),
        (CHAT + "[prices]\ninput = -1", r"\[prices\] input"),
        (CHAT.replace("stimuli.csv", "none.csv"), "there is no such file"),
        (CHAT.replace('stimuli = "stimuli.csv"', ""), "the judge has no stimuli to show"),
        (CHAT + 'show = "video"', "needs videos"),
        ("kind = ", "is not valid TOML"),
        ('kind = "features"\nspace = "none.csv"', "there is no such file"),
    ],
)
def test_faults_are_one_sentence(write, text, message):
    with pytest.raises(InputError, match=message):
        read_judge(write(text))


def test_secrets_are_refused_and_not_repeated(write):
    for line in ('api_key_env = "sk-canary-77"', 'api_key = "sk-canary-77"', 'token = "sk-canary-77"'):
        with pytest.raises(InputError, match="variable") as error:
            read_judge(write(CHAT + line))
        assert "canary" not in str(error.value)
