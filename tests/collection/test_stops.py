"""How a collection ends before its end, and what the user is told: one sentence and an exit code, never a traceback."""

import signal
import sqlite3
import time
from contextlib import closing

import pytest


def wait_for(condition, process, timeout=60):
    """Wait while a process runs until something is so."""
    limit = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.005)


def said(log):
    return log.read_bytes().count(b'"said": "answer"') if log.is_file() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_code_130_and_every_reply_on_disk(study, servers, check_answers, ended, number):
    project = study(4_000)
    with servers.running("fault", project.log, latency_s=0.05) as (url, _):
        project.judge(url)
        process = project.start()
        wait_for(lambda: said(project.log) > 500, process)
        process.send_signal(number)
        code, _, err = ended(process)
        assert code == 130, err
        assert "the same command goes on from there" in err
        assert "Traceback" not in err
        # Nothing was dropped: whatever the server was asked is on disk.
        asked = {entry["q"] for entry in servers.read_log(project.log.read_bytes()) if entry["q"]}
        answered, _ = check_answers(project.journal, project.questions)
        assert 500 < len(answered) < 4_000
        assert len(asked) == len(answered)
        code, _, err = project.run()
        assert code == 0, err
        entries = [entry["q"] for entry in servers.read_log(project.log.read_bytes()) if entry["q"]]
    assert len(entries) == len(set(entries)) == 4_000


def test_a_second_ctrl_c_does_not_wait_for_the_server(study, servers, ended):
    project = study(200)
    with servers.running("fault", project.log, faults={"stall": 1.0}) as (url, _):
        project.judge(url)
        process = project.start()
        wait_for(lambda: project.log.read_bytes().count(b"stall") >= 10, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code, _, err = ended(process)
        assert time.monotonic() - began < 20
        assert code == 130
        assert "Traceback" not in err


def test_a_second_collector_on_the_same_journal_is_refused(study, servers, ended):
    project = study(2_000)
    with servers.running("fault", project.log, latency_s=0.1) as (url, _):
        project.judge(url)
        first = project.start()
        wait_for(lambda: said(project.log) > 100, first)
        code, _, err = project.run()
        assert code == 3
        assert "journal.sqlite: is being written by another process; wait for it or stop it." in err
        assert first.poll() is None
        assert ended(first)[0] == 0
    assert len(project.answered()) == 2_000


@pytest.mark.parametrize("content", [b"a letter to my aunt\n" * 300, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(study, content):
    project = study(50)
    project.judge("http://127.0.0.1:1/v1")
    project.journal.write_bytes(content)
    code, _, err = project.run()
    assert code == 2
    assert "journal.sqlite: is no affectome journal" in err
    assert project.journal.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_left_alone(study):
    project = study(50)
    project.judge("http://127.0.0.1:1/v1")
    with closing(sqlite3.connect(project.journal)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    before = project.journal.read_bytes()
    code, _, err = project.run()
    assert code == 2
    assert "is no affectome journal" in err
    assert project.journal.read_bytes() == before


def test_a_torn_journal_is_refused_in_a_sentence(study, servers):
    project = study(3_000)
    with servers.running("fault", project.log) as (url, _):
        project.judge(url)
        assert project.run()[0] == 0
        content = project.journal.read_bytes()
        project.journal.write_bytes(content[: len(content) // 2])
        code, _, err = project.run()
    assert code == 2
    assert "journal.sqlite: is damaged" in err
    assert "restore it from a copy" in err


def test_a_dead_server_at_the_start_is_said_within_seconds(study):
    project = study(50)
    project.judge("http://127.0.0.1:9/v1")
    began = time.monotonic()
    code, _, err = project.run()
    assert code == 3
    assert "http://127.0.0.1:9/v1: cannot be asked (unreachable" in err
    assert time.monotonic() - began < 30


def test_a_server_that_dies_ends_the_run_after_the_patience_and_the_next_run_goes_on(
    study, servers, check_answers, ended
):
    project = study(3_000)
    with servers.running("fault", project.log, latency_s=0.01) as (url, server):
        project.judge(url, patience_s=2.0, timeout_s=2.0)
        process = project.start()
        wait_for(lambda: said(project.log) > 500, process)
        server.kill()
        began = time.monotonic()
        code, _, err = ended(process)
        assert code == 3, err
        assert "no server has answered for" in err
        assert "start it and give the same command again; every answer before is kept" in err
        assert 2 <= time.monotonic() - began < 40
    answered, failed = check_answers(project.journal, project.questions)
    assert len(answered) >= 400
    assert not failed  # a question is not given up because its server is gone
    port = int(url.split(":")[2].split("/")[0])
    with servers.running("fault", project.log, port=port):
        assert project.run()[0] == 0
    assert len(project.answered()) == 3_000


def test_a_server_that_comes_back_within_the_patience_is_asked_on(study, servers, ended):
    project = study(3_000)
    with servers.running("fault", project.log, latency_s=0.01) as (url, server):
        project.judge(url, patience_s=30.0)
        process = project.start()
        wait_for(lambda: said(project.log) > 500, process)
        server.kill()
        time.sleep(1.0)
    with servers.running("fault", project.log, port=int(url.split(":")[2].split("/")[0])):
        code, _, err = ended(process)
    assert code == 0, err
    assert len(project.answered()) == 3_000


@pytest.mark.parametrize(
    ("keys", "settings", "sentence"),
    [
        ({"api_key_env": "COLLECT_TEST_KEY"}, {"key": "right"}, "refuses access (HTTP 401)"),
        ({"model": "another"}, {}, "another"),
    ],
)
def test_a_wrong_key_and_an_unknown_model_end_at_once(study, servers, keys, settings, sentence):
    project = study(500)
    with servers.running("fault", project.log, **settings) as (url, _):
        project.judge(url, **keys)
        began = time.monotonic()
        code, _, err = project.run(environment={"COLLECT_TEST_KEY": "wrong"})
        assert time.monotonic() - began < 30
    assert code == 2, err
    assert sentence in err
    assert len(project.log.read_bytes().splitlines()) <= 4


def test_a_budget_of_trials_ends_with_code_4_and_a_higher_one_goes_on(study, servers):
    project = study(2_000)
    with servers.running("fault", project.log) as (url, _):
        project.judge(url, concurrency=16)
        code, _, err = project.run("--max-trials", "500")
        assert code == 4
        assert "budget of 500 trials is spent" in err
        assert 500 <= len(project.answered()) < 516
        assert project.run("--max-trials", "1000")[0] == 4
        assert 1_000 <= len(project.answered()) < 1_016
        assert project.run()[0] == 0
    assert len(project.answered()) == 2_000


def test_questions_given_up_end_with_code_4_and_can_be_asked_again(study, servers):
    project = study(1_000)
    with servers.running("fault", project.log, always={"400": 0.05}) as (url, _):
        project.judge(url)
        code, out, err = project.run()
        assert code == 4
        given_up = 1_000 - len(project.answered())
        assert given_up > 20
        assert f"{given_up} questions got no answer (HTTP 400 {given_up})" in err
        asked = len(project.log.read_bytes().splitlines())
        assert project.run()[0] == 0  # what was given up is not asked by itself
        assert len(project.log.read_bytes().splitlines()) - asked <= 4
    with servers.running("fault", project.log) as (url, _):
        project.judge(url)
        code, out, err = project.run("--retry-failed")
        assert code == 0, err
        assert "1,000 of 1,000 questions answered, 0 given up, 0 open" in out
