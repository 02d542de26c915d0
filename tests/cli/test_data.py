"""``affectome data`` as a user types it; the server is on loopback."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from affectome import stimuli
from affectome.stimuli import PUBLIC_DATASETS, PublicDataset, PublicFile

TABLE = b"Filename,Joy\n0001.mp4,0.5\n"


class Quietly(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A dataset of two files on a server, instead of the real ones."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "table.csv").write_bytes(TABLE)
    (folder / "more.csv").write_bytes(TABLE)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "AFFECTOME_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("affectome.stimuli._download._PAUSES", ())
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quietly, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        checksum = "md5:" + hashlib.md5(TABLE).hexdigest()
        files = tuple(PublicFile(f"little/{name}", f"{base}/{name}", checksum) for name in ("table.csv", "more.csv"))
        datasets = {"little": PublicDataset("little", "A test.", "none at all", files)}
        monkeypatch.setattr(stimuli, "PUBLIC_DATASETS", datasets)
        monkeypatch.setattr("affectome.stimuli._fetch.PUBLIC_DATASETS", datasets)
        yield folder
        server.shutdown()
        thread.join()


def test_list_shows_every_name_its_terms_and_what_is_not_fetched(run):
    code, out, err = run("data", "list", "--json")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert set(PUBLIC_DATASETS) <= set(lines)
    text = " ".join(out.split())
    assert "the authors ask users to request them" in text
    assert "do not redistribute" in text
    assert "https://openneuro.org/datasets/ds002425" in text
    listed = json.loads(lines[-1])
    assert [d["name"] for d in listed["datasets"]] == list(PUBLIC_DATASETS)
    assert listed["datasets"][0]["files"][0]["checksum"].startswith("sha256:")
    assert set(listed["openneuro"]) == {"ds002425", "ds005191"}


def test_fetch_says_where_the_files_are(run, published, tmp_path):
    to = tmp_path / "my data"
    code, out, err = run("data", "fetch", "little", "--to", to, "--json", "--quiet")
    assert (code, err) == (0, "")
    assert (to / "little" / "table.csv").read_bytes() == TABLE
    lines = out.splitlines()
    assert lines[:3] == [str(to / "little/table.csv"), str(to / "little/more.csv"), "Terms: none at all."]
    assert f"export AFFECTOME_DATA='{to}'" in lines[3]
    assert json.loads(lines[4]) == {"name": "little", "folder": str(to), "files": lines[:2]}


def test_fetch_goes_where_the_environment_says(run, published, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTOME_DATA", str(tmp_path / "there"))
    code, out, _ = run("data", "fetch", "little", "--only", "more.csv")
    assert code == 0
    assert f"The data folder is {tmp_path / 'there'}, as AFFECTOME_DATA says." in out
    assert (tmp_path / "there" / "little" / "more.csv").is_file()
    assert not (tmp_path / "there" / "little" / "table.csv").exists()


def test_the_log_file_tells_what_was_downloaded_and_what_was_there(run, published, tmp_path):
    log = tmp_path / "fetch.log"
    for _ in range(2):
        assert run("data", "fetch", "little", "--to", tmp_path, "--quiet", "--log-file", log)[0] == 0
    assert log.read_text().count("Downloading http") == 2
    assert log.read_text().count("already there and whole") == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("videos",), ["'videos' is no dataset that can be downloaded", "choose one of little"]),
        (("little", "--only", "x.csv"), ["'x.csv' is no file of little", "choose from table.csv, more.csv"]),
    ],
)
def test_a_wrong_name_ends_with_code_2_and_one_sentence(arguments, expected, run, published, tmp_path):
    code, out, err = run("data", "fetch", *arguments, "--to", tmp_path, "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("Error: ") and err.endswith(".\n") and err.count("\n") == 1
    assert all(part in err for part in expected)


def test_a_file_that_is_gone_ends_with_code_3_and_one_sentence(run, published, tmp_path):
    (published / "table.csv").unlink()
    code, out, err = run("data", "fetch", "little", "--to", tmp_path, "--quiet")
    assert (code, out) == (3, "")
    assert err.startswith("Error: http://127.0.0.1") and err.endswith(".\n") and err.count("\n") == 1
    assert "the server answered 404" in err
    assert f"download the file by hand to {tmp_path / 'little' / 'table.csv'}" in err


def test_a_changed_file_ends_with_code_3_and_one_sentence(run, published, tmp_path):
    (published / "table.csv").write_bytes(b"something else")
    code, out, err = run("data", "fetch", "little", "--to", tmp_path, "--quiet")
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert "does not have the published md5 checksum and was deleted" in err
    assert not (tmp_path / "little" / "table.csv").exists()


def test_an_unwritable_folder_ends_with_code_3(run, published, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    code, _, err = run("data", "fetch", "little", "--to", tmp_path / "file", "--quiet")
    assert code == 3
    assert "cannot be written" in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["data list", "data fetch"])
def test_help_has_an_example(command, run):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"Example: affectome {command}" in " ".join(out.split())


# Where the tests themselves run in the background, Ctrl-C is ignored by inheritance.
STALLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from affectome.cli import main
from affectome.stimuli import PublicDataset, PublicFile, _fetch
import affectome.stimuli as stimuli
table = {"little": PublicDataset("little", "A test.", "none", (PublicFile("t.csv", sys.argv[1], "md5:" + "0" * 32),))}
_fetch.PUBLIC_DATASETS = stimuli.PUBLIC_DATASETS = table
raise SystemExit(main(["data", "fetch", "little", "--to", sys.argv[2]]))
"""


class Stalling(Quietly):
    """Sends half a megabyte of a body twice as long, then waits until the client is gone."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1048576")
        self.end_headers()
        self.wfile.write(bytes(524288))
        self.connection.settimeout(60)
        self.connection.recv(1)


def test_ctrl_c_ends_with_code_130_and_keeps_the_part(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/t.csv"
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        process = subprocess.Popen(
            [sys.executable, "-c", STALLED, url, str(tmp_path)], stderr=subprocess.PIPE, text=True, env=environment
        )
        part = tmp_path / "t.csv.part"
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        server.shutdown()
        thread.join()
    assert process.returncode == 130, err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert part.stat().st_size > 0
    assert not (tmp_path / "t.csv").exists()
