"""Templates: what they must hold, and what is said of them."""

import pytest

from affectome.errors import InputError
from affectome.judges import PROMPTS, load_prompt


@pytest.mark.parametrize("name", PROMPTS)
def test_built_in_prompts_show_each_stimulus_once_in_its_slot(name):
    prompt = load_prompt(name, ["eins", "zwei", "drei"], noun="film")
    said = [part for turn in prompt.turns for part in turn]
    assert [part for part in said if isinstance(part, int)] == [0, 1, 2]
    for slot, label in enumerate(("eins", "zwei", "drei")):
        assert said[said.index(slot) - 1].rstrip().endswith(f"{label}:")
        assert label in said[-1] and label in prompt.clarify
    text = "".join(part for part in said if isinstance(part, str)) + prompt.system
    assert "film" in text and "video" not in text and "{" not in text
    assert prompt.version == "1" and len(prompt.turns) == (2 if name == "paper-video" else 1)


def test_a_description_holds_wording_and_version():
    described = load_prompt("choice").describe()
    assert described["name"] == "choice" and described["labels"] == ["A", "B", "C"]
    assert "stimuli[0]" in described["source"] and len(described["sha256"]) == 64


GOOD = """{# my prompt, version 2.1 #}
{% block turn1 %}1 {{ stimuli[0] }} 2 {{ stimuli[1] }} 3 {{ stimuli[2] }}?{% endblock %}
{% block clarify %}again{% endblock %}"""


def test_a_prompt_of_the_users_own(tmp_path):
    path = tmp_path / "mine.j2"
    path.write_text(GOOD)
    prompt = load_prompt(str(path))
    assert (prompt.name, prompt.version, prompt.system) == ("mine", "2.1", "")
    assert prompt.turns == (("1 ", 0, " 2 ", 1, " 3 ", 2, "?"),)
    path.write_text(GOOD.replace("{# my prompt, version 2.1 #}", ""))
    assert load_prompt(str(path)).version == "unstated"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{{ stimuli[2] }}", ""), "does not show each of the three stimuli once"),
        (("{{ stimuli[2] }}", "{{ stimuli[0] }}"), "does not show each"),
        (("block clarify", "block other"), "lacks one of its blocks"),
        (("block turn1", "block turn2"), "lacks one of its blocks"),
        (("?", "{{ mood }}"), "cannot be rendered .*mood"),
        (("?", "{% if %}"), "cannot be rendered"),
    ],
)
def test_templates_that_cannot_be_used_are_refused(tmp_path, change, message):
    path = tmp_path / "mine.j2"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(InputError, match=message) as error:
        load_prompt(str(path))
    assert "mine.j2" in str(error.value)


def test_prompts_and_labels_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no prompt 'nope'; choose one of choice"):
        load_prompt("nope")
    with pytest.raises(InputError, match="there is no such file"):
        load_prompt(str(tmp_path / "none.j2"))
    for labels in (("A", "B"), ("A", "a", "B"), ("A", "B", " ")):
        with pytest.raises(InputError, match="not three different texts"):
            load_prompt("choice", labels)


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__[1].__subclasses__()",
        "self.__init__.__globals__",
        "labels.append('d')",
        "stimuli.clear()",
        "1 / 0",
        "stimuli + 1",
    ],
)
def test_a_template_of_someone_else_reaches_nothing_beyond_what_it_is_given(tmp_path, expression):
    path = tmp_path / "theirs.j2"
    path.write_text(GOOD.replace("again", "{{ " + expression + " }}"), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be rendered") as caught:
        load_prompt(str(path))
    assert str(path) in str(caught.value)
