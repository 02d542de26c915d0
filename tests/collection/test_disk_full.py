"""A journal that cannot grow: a clear stop, nothing committed is lost, and the same command goes on in a larger one."""

from types import SimpleNamespace

import pytest

FULL_MB = 0.15  # the questions, and some hundred answers


@pytest.fixture
def project(study):
    return study(3_000)


def test_a_full_disk_stops_the_collection_and_room_lets_it_go_on(project, servers, rows, check_answers):
    with servers.running("fault", project.log) as (url, _):
        project.judge(url, concurrency=32)
        code, _, err = project.run("--max-journal-mb", FULL_MB)
        assert code == 3
        assert "journal.sqlite: is full" in err
        assert "give the same command again; every answer before is kept" in err
        assert "Traceback" not in err
        assert project.journal.stat().st_size <= FULL_MB * 2**20
        assert rows(project.journal, "PRAGMA integrity_check") == [("ok",)]
        kept, _ = check_answers(project.journal, project.questions)
        assert 100 < len(kept) < 3_000
        asked_before = len(project.log.read_bytes())
        code, _, err = project.run("--max-journal-mb", FULL_MB)  # no room yet: still clear, still sound
        assert code == 3
        assert "is full" in err
        assert rows(project.journal, "PRAGMA integrity_check") == [("ok",)]
        assert kept <= project.answered()
        code, _, err = project.run()
        assert code == 0, err
    answered, failed = check_answers(project.journal, project.questions)
    assert (answered, failed) == (set(range(3_000)), set())
    later = {entry["q"] for entry in servers.read_log(project.log.read_bytes()[asked_before:])}
    triplets = project.questions.triplets.tolist()
    assert not later & {servers.question(triplets[question]) for question in kept}


def test_a_disk_without_room_for_the_questions_says_so_and_leaves_a_name_to_start_again(project, servers):
    with servers.running("fault", project.log) as (url, _):
        project.judge(url)
        code, _, err = project.run("--max-journal-mb", 0.02)
        assert code == 3
        assert "is full" in err
        assert project.run()[0] == 0
    assert len(project.answered()) == 3_000


def test_status_and_export_work_on_a_full_journal(project, servers, run):
    with servers.running("fault", project.log) as (url, _):
        project.judge(url, concurrency=32)
        assert project.run("--max-journal-mb", FULL_MB)[0] == 3
    n = len(project.answered())
    code, out, _ = run("collect", "status", project.journal)
    assert code == 0
    assert f"{n:,} of 3,000 answered" in out
    code, out, _ = run("collect", "export", project.journal, "--out", project.folder / "answers.parquet", "--quiet")
    assert code == 0
    assert f"{n:,} answers" in out


def test_a_disk_that_fills_up_stops_the_asking_while_what_is_in_flight_still_fits(
    project, servers, run, check_answers, monkeypatch
):
    room = iter([10 * 2**30] + [2**20] * 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=next(room)))
    monkeypatch.chdir(project.folder)
    command = ["collect", "run", "questions.parquet", "--judge", "judge.toml", "--journal", "journal.sqlite"]
    with servers.running("fault", project.log, latency_s=0.02) as (url, _):
        project.judge(url, concurrency=8)
        code, _, err = run(*command)
    assert code == 3
    assert "the disk is nearly full; what was answered is kept; make room and give the same command again" in err
    answered, failed = check_answers(project.journal, project.questions)
    assert 0 < len(answered) < 3_000
    assert not failed
    asked = [entry["q"] for entry in servers.read_log(project.log.read_bytes()) if entry["q"]]
    assert len(asked) == len(answered)
