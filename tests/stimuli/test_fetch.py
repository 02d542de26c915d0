"""Downloads against a server on loopback whose faults are scripted; no request leaves the machine."""

import errno
import hashlib
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from affectome.errors import EnvironmentFailure, InputError
from affectome.stimuli import PUBLIC_DATASETS, PublicDataset, PublicFile, data_folder, fetch_dataset
from affectome.stimuli import _download as download_module
from affectome.stimuli import _fetch as fetch_module

BODY = np.random.default_rng(0).bytes(1_500_000)
CUT = 18 << 15  # whole chunks; of a chunk that breaks off nothing is kept


class Server(ThreadingHTTPServer):
    """Serves BODY at every path; `script` holds the behaviour of the next answers, then it is well-behaved."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = []
        self.requests = []
        self.body = BODY
        self.etag = '"v1"'
        self.ranges = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/data"

    def asked(self, header):
        return [headers.get(header) for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        step = server.script.pop(0) if server.script else None
        if isinstance(step, int):
            self.send_error(step)
            return
        start = self.wanted_start()
        if start is not None and start >= len(server.body):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            if step != "bare 416":
                self.send_header("Content-Range", f"bytes */{len(server.body)}")
            self.end_headers()
            return
        body = server.body[start or 0 :]
        self.send_response(200 if start is None else 206)
        if server.etag:
            self.send_header("ETag", server.etag)
        if start is not None:
            claimed = start + 1 if step == "wrong range" else start
            self.send_header("Content-Range", f"bytes {claimed}-{len(server.body) - 1}/{len(server.body)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:CUT] if step == "cut" else body)

    def wanted_start(self):
        asked = self.headers.get("Range")
        unchanged = self.headers.get("If-Range") in (None, self.server.etag)
        return (
            int(asked.removeprefix("bytes=").removesuffix("-")) if asked and unchanged and self.server.ranges else None
        )


@pytest.fixture(autouse=True)
def quick_and_local(monkeypatch):
    monkeypatch.setattr(download_module, "_PAUSES", (0.0, 0.0, 0.0))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "AFFECTOME_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def publish(monkeypatch, url, *, names=("one/table.csv",), checksum=None):
    files = tuple(PublicFile(name, url, checksum or sha256(BODY)) for name in names)
    monkeypatch.setattr(fetch_module, "PUBLIC_DATASETS", {"little": PublicDataset("little", "A test.", "none", files)})


@pytest.fixture
def little(monkeypatch, server):
    publish(monkeypatch, server.url)
    return server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "one" / "table.csv"


def left_over(target):
    """Everything beside the target but the lock."""
    return sorted(path.name for path in target.parent.iterdir() if path != target and not path.name.endswith(".lock"))


def test_a_file_arrives_whole_with_progress(little, target, tmp_path):
    told = []
    paths = fetch_dataset("little", tmp_path, progress=lambda done, total, /, *, detail="": told.append((done, total)))
    assert paths == [target]
    assert target.read_bytes() == BODY
    assert left_over(target) == []
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(BODY), len(BODY))
    assert {total for _, total in told} == {len(BODY)}
    assert little.asked("Range") == [None]
    assert little.asked("Accept-Encoding") == ["identity"]


def test_a_body_cut_midway_is_continued_from_the_missing_byte(little, target, tmp_path):
    little.script = ["cut"]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [None, f"bytes={CUT}-"]
    assert little.asked("If-Range") == [None, '"v1"']


def test_tries_that_bring_bytes_are_not_counted(little, target, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "_PAUSES", (0.0, 0.0))
    little.script = ["cut", 503, "cut", 503]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [None, f"bytes={CUT}-", f"bytes={CUT}-", f"bytes={2 * CUT}-", f"bytes={2 * CUT}-"]


def test_a_server_without_ranges_or_etag_sends_all_again(little, target, tmp_path):
    little.ranges, little.etag = False, None
    little.script = ["cut"]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [None, f"bytes={CUT}-"]
    assert little.asked("If-Range") == [None, None]


def test_a_file_that_changed_on_the_server_is_not_pieced_together(little, target, tmp_path):
    target.parent.mkdir()
    target.with_name("table.csv.part").write_bytes(b"old" * 1000)
    target.with_name("table.csv.part.etag").write_text('"v0"')
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("If-Range") == ['"v0"']


def test_a_weak_etag_is_not_used_as_a_condition(little, target, tmp_path):
    little.etag = 'W/"v1"'
    little.script = ["cut"]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("If-Range") == [None, None]


def test_a_part_that_is_whole_already_needs_no_bytes(little, target, tmp_path):
    target.parent.mkdir()
    target.with_name("table.csv.part").write_bytes(BODY)
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [f"bytes={len(BODY)}-"]
    assert left_over(target) == []


@pytest.mark.parametrize("answer", [None, "bare 416"])
def test_a_part_larger_than_the_file_is_started_again(answer, little, target, tmp_path):
    target.parent.mkdir()
    target.with_name("table.csv.part").write_bytes(BODY + b"more")
    little.script = [answer]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [f"bytes={len(BODY) + 4}-", None]


def test_a_range_that_does_not_fit_is_started_again(little, target, tmp_path):
    target.parent.mkdir()
    target.with_name("table.csv.part").write_bytes(BODY[:1000])
    little.script = ["wrong range"]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == ["bytes=1000-", None]


def test_a_wrong_checksum_leaves_nothing(little, target, tmp_path):
    little.body = b"<html>Please log in to the network.</html>"
    with pytest.raises(
        EnvironmentFailure, match="does not have the published sha256 checksum and was deleted"
    ) as caught:
        fetch_dataset("little", tmp_path)
    assert caught.value.source == little.url
    assert str(target) in str(caught.value)
    assert not target.exists()
    assert left_over(target) == []
    assert len(little.requests) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_not_repeated(status, little, target, tmp_path):
    little.script = [status] * 9
    with pytest.raises(EnvironmentFailure, match=f"the server answered {status}") as caught:
        fetch_dataset("little", tmp_path)
    assert len(little.requests) == 1
    assert f"by hand to {target}" in str(caught.value)
    assert not target.exists()


def test_an_error_of_the_server_is_tried_again(little, target, tmp_path):
    little.script = [500, 503, 429]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert len(little.requests) == 4


def test_errors_of_the_server_are_tried_four_times_and_no_more(little, tmp_path):
    little.script = [500] * 9
    with pytest.raises(EnvironmentFailure, match="the server answered 500"):
        fetch_dataset("little", tmp_path)
    assert len(little.requests) == 4


def test_the_right_file_is_not_asked_for_again(little, target, tmp_path):
    target.parent.mkdir()
    target.write_bytes(BODY)
    assert fetch_dataset("little", tmp_path) == [target]
    assert little.requests == []


def test_a_wrong_file_stays_until_the_new_one_is_whole(little, target, tmp_path, caplog):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    little.script = ["cut", 404]
    with caplog.at_level(logging.WARNING), pytest.raises(EnvironmentFailure):
        fetch_dataset("little", tmp_path)
    assert f"{target} does not have the published checksum" in caplog.text
    assert target.read_bytes() == b"mine"
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range")[-1] == f"bytes={CUT}-"


def test_without_a_server_one_sentence_says_what_to_do(monkeypatch, target, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/data"
        publish(monkeypatch, url)
        with pytest.raises(EnvironmentFailure) as caught:
            fetch_dataset("little", tmp_path)
    assert str(caught.value) == (
        f"{url}: cannot be downloaded, because there is no connection to 127.0.0.1; check the network and its proxy "
        f"and try again later, or download the file by hand to {target}."
    )
    assert left_over(target) == []


def test_a_dead_proxy_is_named(monkeypatch, little, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(EnvironmentFailure, match="the proxy does not answer"):
            fetch_dataset("little", tmp_path)
    assert little.requests == []


def test_a_silent_server_is_a_timeout(monkeypatch, tmp_path):
    monkeypatch.setattr(download_module, "_TIMEOUT", (0.2, 0.05))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        publish(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/data")
        with pytest.raises(EnvironmentFailure, match="does not answer in time"):
            fetch_dataset("little", tmp_path)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(InputError, match="'ck' is no dataset") as caught:
        fetch_dataset("ck")
    assert all(name in str(caught.value) for name in PUBLIC_DATASETS)


def test_only_the_files_that_are_wanted(monkeypatch, server, tmp_path):
    publish(monkeypatch, server.url, names=("f/s1.h5", "f/s2.h5", "f/s3.h5"))
    assert fetch_dataset("little", tmp_path, only=["s3.h5", "s1.h5"]) == [tmp_path / "f/s1.h5", tmp_path / "f/s3.h5"]
    assert len(server.requests) == 2
    with pytest.raises(InputError, match=r"'s9.h5' is no file of little; choose from s1.h5, s2.h5, s3.h5"):
        fetch_dataset("little", tmp_path, only=["s9.h5"])


def test_the_folder_is_that_of_the_environment_else_data(little, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(data_folder()) == "data"
    assert [str(path) for path in fetch_dataset("little")] == ["data/one/table.csv"]
    monkeypatch.setenv("AFFECTOME_DATA", str(tmp_path / "elsewhere"))
    assert fetch_dataset("little") == [tmp_path / "elsewhere" / "one" / "table.csv"]
    assert (tmp_path / "elsewhere" / "one" / "table.csv").read_bytes() == BODY


class FullDisk:
    """A file that takes `room` bytes and then fails as a full disk does."""

    def __init__(self, handle, room):
        self.handle, self.room = handle, room

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.handle.close()

    def write(self, chunk):
        if self.handle.tell() + len(chunk) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.handle.write(chunk)


def test_a_full_disk_is_said_and_what_fits_is_kept(little, target, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download_module, "open", lambda path, mode: FullDisk(path.open(mode), 1_000_000), raising=False)
        with pytest.raises(EnvironmentFailure, match="No space left on device") as caught:
            fetch_dataset("little", tmp_path)
    assert caught.value.source == str(target)
    assert "check the free space" in str(caught.value)
    assert not target.exists()
    assert left_over(target) == ["table.csv.part", "table.csv.part.etag"]
    kept = target.with_name("table.csv.part").stat().st_size
    assert 0 < kept <= 1_000_000
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [None, f"bytes={kept}-"]


def test_an_interruption_keeps_the_part_and_the_next_run_asks_for_the_rest(little, target, tmp_path):
    def stop(done, total, /, *, detail=""):
        if done > CUT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_dataset("little", tmp_path, progress=stop)
    assert not target.exists()
    assert left_over(target) == ["table.csv.part", "table.csv.part.etag"]
    kept = target.with_name("table.csv.part").read_bytes()
    assert CUT < len(kept) < len(BODY)
    assert BODY.startswith(kept)
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [None, f"bytes={len(kept)}-"]
    assert little.asked("If-Range") == [None, '"v1"']
    assert left_over(target) == []


def test_an_interruption_while_the_checksum_is_computed_loses_nothing(little, target, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.hash_matches", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_dataset("little", tmp_path)
    assert left_over(target) == ["table.csv.part", "table.csv.part.etag"]
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert little.asked("Range") == [None, f"bytes={len(BODY)}-"]


def test_a_file_system_without_hard_links_will_do(little, target, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    fetch_dataset("little", tmp_path)
    assert target.read_bytes() == BODY
    assert left_over(target) == []


def test_two_downloads_of_one_file_do_not_mix(little, target, tmp_path):
    seen = []

    def second(done, total, /, *, detail=""):
        with pytest.raises(EnvironmentFailure, match="another process is downloading this file") as caught:
            fetch_dataset("little", tmp_path)
        seen.append(caught.value)

    fetch_dataset("little", tmp_path, progress=second)
    assert seen
    assert target.read_bytes() == BODY


def test_a_folder_in_the_way_is_said(little, target, tmp_path):
    target.mkdir(parents=True)
    with pytest.raises(EnvironmentFailure, match="is a folder where a file should go"):
        fetch_dataset("little", tmp_path)


def test_the_table_is_complete():
    assert {name: len(dataset.files) for name, dataset in PUBLIC_DATASETS.items()} == {
        "cowen-keltner-2017": 1,
        "mind-captioning": 1,
        "horikawa-2020-features": 1,
        "horikawa-2020-fmri": 5,
        "horikawa-2020-fmri-tutorial": 1,
        "horikawa-2020-pycortex": 1,
    }
    files = [file for dataset in PUBLIC_DATASETS.values() for file in dataset.files]
    assert len({file.name for file in files}) == len({file.url for file in files}) == len(files)
    for file in files:
        algorithm, _, digits = file.checksum.partition(":")
        assert len(digits) == 2 * hashlib.new(algorithm).digest_size
        assert file.url.startswith("https://")
