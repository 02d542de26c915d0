"""``kill -9`` at random moments: nothing committed is lost or asked again, and little is asked twice."""

import random
import signal
import time

import pytest

CONCURRENCY = 32


def torn_to_the_end(study, servers, n_questions, n_kills, seed, ended):
    """Kill the collector again and again, then let it finish; what was committed, and logged, at each kill."""
    moments = sorted(random.Random(seed).sample(range(n_questions * 9 // 10), n_kills))
    project, kills = study(n_questions), []
    with servers.running("fault", project.log, latency_s=0.02) as (url, _), project.log.open("rb") as log:
        project.judge(url, concurrency=CONCURRENCY)
        sent = 0
        for moment in moments:
            process = project.start("--quiet")
            # The moment is counted in requests: some kills fall in the start-up of a run, which took that many already.
            wait = time.monotonic() + random.Random(moment).uniform(0.3, 1.5)
            while time.monotonic() < wait or sent < moment:
                sent += log.read().count(b"\n")
                assert process.poll() is None, ended(process)
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            assert ended(process)[0] == -signal.SIGKILL
            kills.append((project.log.stat().st_size, project.answered() if project.journal.is_file() else set()))
        code, _, err = project.run("--quiet", "--json")
        assert code == 0, err
    return project, kills


def check_torn(project, kills, servers, check_answers):
    n = len(project.questions)
    answered, failed = check_answers(project.journal, project.questions)
    assert (answered, failed) == (set(range(n)), set())
    names = [servers.question(row) for row in project.questions.triplets.tolist()]
    content = project.log.read_bytes()
    for size, committed in kills:
        later = {entry["q"] for entry in servers.read_log(content[size:])}
        again = [question for question in committed if names[question] in later]
        assert not again
    sent_in_all = [entry["q"] for entry in servers.read_log(content) if entry["q"]]
    asked_again = len(sent_in_all) - n
    assert set(sent_in_all) == set(names)
    assert 0 <= asked_again <= len(kills) * CONCURRENCY  # what was in flight, and nothing else
    return asked_again


def test_no_kill_loses_an_answer_or_asks_it_again(study, servers, check_answers, ended):
    project, kills = torn_to_the_end(study, servers, 5_000, 5, 1, ended)
    check_torn(project, kills, servers, check_answers)
    done = [len(committed) for _, committed in kills]
    assert done == sorted(done)
    assert 0 < done[-1] < 5_000


@pytest.mark.slow
def test_thirty_kills_during_fifty_thousand_questions(study, servers, check_answers, ended):
    project, kills = torn_to_the_end(study, servers, 50_000, 30, 0, ended)
    asked_again = check_torn(project, kills, servers, check_answers)
    assert asked_again < 30 * CONCURRENCY
    print(f"30 kills at {[len(committed) for _, committed in kills]} answers; {asked_again} questions asked again")
