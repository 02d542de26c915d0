"""The documentation holds together: it builds without a warning, its links lead somewhere, its commands exist."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from typer.main import get_command

import affectome
from affectome.cli._app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in [*PAGES, *ROOT.glob("*.md")]}


def blocks(text, language):
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


class Page(HTMLParser):
    """What can be linked to in a page of the site, and what it links to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        target = given.get({"a": "href", "img": "src"}.get(tag), "")
        if target and not urlsplit(target).scheme:
            self.links.append(unquote(target))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, made in a process of its own, as ``make docs`` does."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"make docs fails, or warns:\n{done.stderr}"
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_is_in_a_menu():
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "{toctree}"):
            entries = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith(":")]
            listed |= {found for entry in entries for found in page.parent.glob(f"{entry}.md")}
    missing = [page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES if page not in listed]
    assert not missing, f"these pages are in no menu: {missing}; add their names to a toctree of docs/index.md"


def test_every_link_within_the_site_leads_somewhere(site, pages):
    assert len(pages) > len(PAGES)
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / parts.path).resolve() if parts.path else path
            if not target.exists() or (target in pages and parts.fragment not in pages[target].ids):
                dead.append(f"{path.relative_to(site)} -> {link}")
    assert dead == []


def test_every_public_name_has_an_entry_on_an_api_page(site, pages):
    public = set()
    for node in ast.parse((ROOT / "src" / "affectome" / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "affectome":
            for room in (alias.name for alias in node.names):
                public |= {f"affectome.{room}.{name}" for name in importlib.import_module(f"affectome.{room}").__all__}
        elif isinstance(node, ast.ImportFrom):
            home = "affectome" if "._" in node.module else node.module
            public |= {f"{home}.{alias.name}" for alias in node.names}
    api = [page for path, page in pages.items() if path.relative_to(site).as_posix().startswith("api")]
    entries = {name for page in api for name in page.ids}
    assert len(public) > 400
    missing = sorted(public - entries)
    assert not missing, f"{missing}: a new room needs its docs/api/<room>.md, made like the others"


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_text_links_to_is_in_the_repository(name):
    prose = re.sub(r"^```.*?^```", "", TEXTS[name], flags=re.DOTALL | re.MULTILINE)
    linked = [urlsplit(target) for target in re.findall(r"\]\(([^)\s]+)\)", prose)]
    here = (ROOT / name).parent
    assert [link.path for link in linked if not link.scheme and link.path and not (here / link.path).exists()] == []


def typed(text):
    """Every affectome command of the shell blocks and within the sentences of a text, without what is the shell's."""
    within = re.findall(r"`(affectome [a-z][^`]*)`", text)
    for block in (*blocks(text, "(?:sh|bash|console)"), *within):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=";&|<>")
            words.whitespace_split = True
            yield from _commands(words)


def _commands(words):
    command = []
    for word in (*words, ";"):
        if word and set(word) <= set(";&|<>"):
            if command[:1] == ["affectome"]:
                yield command[1:]
            command = []
        else:
            command.append(word)


COMMANDS = get_command(app)


def resolved(words):
    """The command that the words name, with the words left for it."""
    command, words = COMMANDS, list(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    return command, words


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if any(typed(text))])
def test_every_command_that_a_text_shows_exists_with_its_options(name):
    for words in typed(TEXTS[name]):
        command, rest = resolved(words)
        context = command.context_class(command, info_name=command.name)
        _, left, _ = command.make_parser(context).parse_args(rest)  # raises for an option that does not exist
        assert left == [], f"affectome {' '.join(words)}: nothing takes {left}"


def test_a_command_that_does_not_exist_is_found_out():
    assert [*typed("```sh\naffectome embed fit a.txt --out b & wait; affectome x > y\n```\n")] == [
        ["embed", "fit", "a.txt", "--out", "b"],
        ["x"],
    ]
    with pytest.raises(AssertionError, match="no command fitt"):
        resolved(["embed", "fitt"])
    command, rest = resolved(["embed", "fit", "a.txt", "--outt", "b"])
    with pytest.raises(Exception, match="--outt"):
        command.make_parser(command.context_class(command)).parse_args(rest)


@pytest.mark.parametrize("name", TEXTS)
def test_python_that_is_shown_and_not_run_names_what_exists(name):
    for block in blocks(TEXTS[name], "python"):
        if ">>>" in block:  # run as a doctest
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "affectome":
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_version_of_the_site_is_that_of_the_package(site):
    assert f"affectome {affectome.__version__}" in (site / "index.html").read_text(encoding="utf-8")
