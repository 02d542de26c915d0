"""A key is in the environment and in the requests, and nowhere else: no file, no output, no process title."""

import base64
import os
import sqlite3
import time
from pathlib import Path

import pytest

from affectome.cli import main

KEY = "sk-canary-7f3a91c2d4e85b60"
VARIABLE = "COLLECT_CANARY_KEY"
#: A server that repeats the key in whatever it refuses, as some do.
LEAKY = {"key": KEY, "leaky": True}


def traces(key=KEY):
    """The key as it could be written: plain, as base64, percent-encoded or by its telling part."""
    return [key.encode(), base64.b64encode(key.encode()).rstrip(b"="), key[:14].encode(), key[-10:].encode()]


def assert_clean(*contents):
    for content in contents:
        raw = content if isinstance(content, bytes) else content.encode()
        for trace in traces():
            assert trace not in raw


def assert_folder_is_clean(folder, *, apart=()):
    """No file holds the key; WAL, lock and log files are looked at as well."""
    looked_at = [path for path in Path(folder).rglob("*") if path.is_file() and path.name not in apart]
    assert looked_at
    for path in looked_at:
        assert_clean(path.read_bytes(), path.name)


@pytest.fixture
def project(study, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # where a crash writes its traceback
    (tmp_path / "temporary").mkdir()
    return study(400)


def test_the_key_reaches_the_server_and_nothing_else(project, servers, ended):
    faults = {"500": 0.1, "malformed": 0.05, "reset": 0.05, "429 bare": 0.05}
    settings = {"faults": faults, "always": {"400": 0.05}, "latency_s": 0.05, **LEAKY}
    with servers.running("fault", project.log, **settings) as (url, _):
        project.judge(url, api_key_env=VARIABLE, concurrency=16, backoff_s=0.01, retries=1)
        process = project.start("--log-file", "run.log", "--json")
        while project.log.read_bytes().count(b"\n") < 100:
            assert process.poll() is None, ended(process)
            time.sleep(0.01)
        for name in ("cmdline", "comm", "status"):
            place = Path(f"/proc/{process.pid}/{name}")
            assert_clean(place.read_bytes() if place.is_file() else b"")
        assert_folder_is_clean(project.folder)  # while the log of the database is not folded in
        code, out, err = ended(process)
    assert code == 4, err  # some were given up, in which the server repeats the key
    assert_clean(out, err)
    assert b'"said": "401"' not in project.log.read_bytes()
    for arguments in (
        ["status", "journal.sqlite", "--failures", "50", "--json"],
        ["export", "journal.sqlite", "--out", "a.parquet", "--details", "--all"],
    ):
        code, out, err = ended(project.begin("collect", *arguments))
        assert code == 0, err
        assert_clean(out, err)
    assert_folder_is_clean(project.folder)
    kept = sqlite3.connect(project.journal)
    reasons = [row[0] for row in kept.execute("SELECT reason FROM failures WHERE reason LIKE 'HTTP 400%'")]
    kept.close()
    assert reasons
    assert all("[key]" in reason for reason in reasons)  # it did come back, and was taken out


def test_a_refused_key_is_not_repeated(project, servers):
    with servers.running("fault", project.log, key="another", leaky=True) as (url, _):
        project.judge(url, api_key_env=VARIABLE)
        code, out, err = project.run("--log-file", "run.log", "--json")
    assert code == 2
    assert "refuses access" in err
    assert_clean(out, err)
    assert_folder_is_clean(project.folder)


def test_a_crash_writes_a_traceback_without_the_key(project, servers, monkeypatch, capsys):
    """Whatever breaks inside, the traceback shows lines of code, not the values of variables."""

    def broken(self, replies):
        raise ZeroDivisionError("a mistake of ours")

    from affectome.collection import Journal

    monkeypatch.setattr(Journal, "record", broken)
    monkeypatch.setattr("tempfile.tempdir", os.environ["TMPDIR"])
    monkeypatch.chdir(project.folder)
    with servers.running("fault", project.log, key=KEY) as (url, _):
        project.judge(url, api_key_env=VARIABLE)
        command = "collect run questions.parquet --judge judge.toml --journal journal.sqlite --log-file run.log --json"
        code = main(command.split())
    shown = capsys.readouterr()
    assert code == 1
    assert_clean(shown.out, shown.err)
    written = list((project.folder / "temporary").glob("affectome-*.log"))
    assert "ZeroDivisionError" in written[0].read_text()
    assert_folder_is_clean(project.folder)


def test_a_key_written_into_the_judge_file_is_refused_and_not_repeated(project):
    project.judge("http://127.0.0.1:9/v1", api_key_env=KEY)
    code, out, err = project.run("--log-file", "run.log")
    assert code == 2
    assert "api_key_env is not the name of an environment variable" in err
    assert_clean(out, err)
    assert_folder_is_clean(project.folder, apart=("judge.toml",))


@pytest.mark.parametrize("key", [f"{KEY}\nX-Other: 1", f"{KEY}\u2026", f"{KEY}\x07"])
def test_a_key_that_would_break_its_header_is_refused_and_not_repeated(project, key):
    project.judge("http://127.0.0.1:9/v1", api_key_env=VARIABLE)
    code, out, err = project.run("--log-file", "run.log", environment={VARIABLE: key})
    assert code == 2
    assert f"the environment variable {VARIABLE} holds more than an API key" in err
    assert_clean(out, err)
    assert_folder_is_clean(project.folder)
