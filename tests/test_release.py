"""What is released: the wheel and the sdist, one version everywhere, the lowest versions, what SECURITY.md promises."""

import ast
import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import affectome

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "affectome"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def built(root, out):
    """What pip would build in `root`, by the build backend itself: no environment of its own, no network."""
    pytest.importorskip("hatchling", reason="builds the wheel: the extra dev")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=120)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def files(folder):
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@dataclass(frozen=True)
class Release:
    """What was built, and what the checkout held at that moment."""

    wheel: Path
    sdist: Path
    package: set[str]
    tests: set[str]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    held = files(SOURCE), files(ROOT / "tests")
    return Release(*built(ROOT, tmp_path_factory.mktemp("dist")), *held)


@pytest.fixture(scope="module")
def unpacked(release, tmp_path_factory):
    """The folder that the sdist unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(release.sdist) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def test_the_wheel_is_the_package_with_its_templates_and_types_and_nothing_else(release):
    with zipfile.ZipFile(release.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == release.package
    assert {Path(name).suffix for name in names} >= {".py", ".pyi", ".typed", ".j2", ".toml"}


def test_the_wheel_says_what_pyproject_says(release):
    with zipfile.ZipFile(release.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        said = email.message_from_bytes(wheel.read(name))
        (points,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert (said["Name"], said["Version"]) == ("affectome", affectome.__version__)
    assert said["Requires-Python"] == PROJECT["project"]["requires-python"]
    needed = [line for line in said.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(needed) == sorted(PROJECT["project"]["dependencies"])
    assert set(said.get_all("Provides-Extra")) == set(PROJECT["project"]["optional-dependencies"])
    assert "affectome = affectome.cli:main" in points


def test_the_package_in_the_wheel_runs_without_the_checkout(release, tmp_path):
    with zipfile.ZipFile(release.wheel) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import affectome; from affectome.cli import main;"
        "assert affectome.__file__.startswith(sys.argv[1]); main(sys.argv[2:])"
    )

    def run(*words):
        command = [sys.executable, "-c", code, str(tmp_path / "site"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120).stdout

    assert run("--version").strip() == f"affectome {affectome.__version__}"
    run("study", "init", "mine")
    assert tomllib.loads((tmp_path / "mine" / "study.toml").read_text(encoding="utf-8"))


def test_the_sdist_holds_all_that_builds_and_tests_it(release, unpacked):
    names = {path.name for path in unpacked.iterdir()}
    wanted = {path.name for path in ROOT.glob("*.*") if path.suffix in {".md", ".txt", ".toml", ".cff"}}
    assert names >= wanted | {"src", "tests", "docs", "examples", "benchmarks", "LICENSE", "Makefile"}
    assert files(unpacked / "tests") == release.tests


def test_a_wheel_from_the_sdist_is_that_of_the_checkout(release, unpacked, tmp_path):
    wheel, _ = built(unpacked, tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(release.wheel) as other:
        first, second = ({item.filename: item.CRC for item in archive.infolist()} for archive in (one, other))
    assert first == second


def test_one_version_everywhere():
    version = affectome.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version)
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "docs/cite.md", "CHANGELOG.md")
    }
    assert re.search(r"^version: (\S+)$", texts["CITATION.cff"], flags=re.MULTILINE)[1] == version
    assert re.search(r"version = \{(\S+)\}", texts["docs/cite.md"])[1] == version
    assert re.search(r"^## (\S+)", texts["CHANGELOG.md"], flags=re.MULTILINE)[1] == version


def test_every_release_in_the_changelog_has_its_date_or_is_unreleased():
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert heads and all(re.fullmatch(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", head) for head in heads)


def test_the_pythons_that_are_declared_begin_with_the_lowest_and_each_is_type_checked():
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    declared = [line.rsplit(" ", 1)[1] for line in PROJECT["project"]["classifiers"] if ":: 3." in line]
    assert declared[0] == lowest and "python_version" not in PROJECT["tool"]["mypy"]  # that which runs it
    assert [version.split(".")[0] for version in declared] == ["3"] * len(declared)


#: Extras whose lowest versions are tested too. Those of torch follow CUDA; those of docs and dev are pinned, or newest.
TESTED_EXTRAS = ("video", "words", "maps", "motion", "cluster")


def lowest_versions():
    """The constraints that hold every declared requirement at the lowest version it declares."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in TESTED_EXTRAS for line in extras[extra])]
    assert [line for line in lines if not re.fullmatch(r"[\w-]+>=[\d.]+", line)] == []
    return [line.replace(">=", "==") for line in lines]


def test_the_constraints_of_make_test_minimum_are_the_versions_that_pyproject_declares():
    held = (ROOT / "constraints-minimum.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in held if line and not line.startswith("#")]
    assert kept == lowest_versions(), "constraints-minimum.txt is stale: after its comment it holds these lines"


#: What these load may hold code, unless the call says that it must not.
LOADERS = {"np.load": "allow_pickle=False", "numpy.load": "allow_pickle=False", "torch.load": "weights_only=True"}
NEVER = {
    *("eval", "exec", "os.system", "os.popen", "marshal.loads", "shelve.open", "yaml.load"),
    *("pickle.load", "pickle.loads", "joblib.load", "pd.read_pickle", "pandas.read_pickle"),
}


def unsafe_calls(path):
    """Calls of a module that would run what is in a file that it reads."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {ast.unparse(keyword) for keyword in node.keywords}
        if called in NEVER or "shell=True" in given or LOADERS.get(called) not in {None, *given}:
            yield f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"


def test_nothing_that_is_read_is_run():
    assert [call for path in SOURCE.rglob("*.py") for call in unsafe_calls(path)] == []


@pytest.mark.parametrize(
    "line",
    ["np.load(p)", "np.load(p, allow_pickle=True)", "torch.load(p)", "joblib.load(p)", "run(c, shell=True)", "eval(t)"],
)
def test_a_call_that_runs_what_it_reads_is_found_out(line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "module.py"
    path.write_text(line)
    assert len([*unsafe_calls(path)]) == 1


def test_no_template_of_a_page_lets_text_through_unescaped():
    templates = [*(SOURCE / "report").rglob("*.j2")]
    assert len(templates) >= 3
    unescaped = r"\|\s*safe\b|autoescape\s+false"
    assert [path.name for path in templates if re.search(unescaped, path.read_text(encoding="utf-8"))] == []
