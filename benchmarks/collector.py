"""The collector at scale: judgements per second and memory, and how it opens and exports a large journal.

The server is in another process and answers at once, so that what is measured is the client. Ours keeps every answer
in its journal; the other side is the official ``openai`` client (AsyncOpenAI, as many coroutines as we have requests in
flight, over aiohttp or httpx, whichever is faster), which keeps its answers in memory. Both ask the same questions with
the same words and the same constraint, in turn.

    pip install "openai[aiohttp]"
    python benchmarks/collector.py

The last line is JSON: judgements_per_s, rss_mb, open_s_5m, export_s_5m, ratio_openai_client, and what is behind them.
Smaller: --asked 20000 --early 5000 --planned 100000 --client-asked 2000 --journal 100000.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from affectome.collection import Budget, Collected, Collector, Journal, export_journal
from affectome.judges import Abilities, ChatJudge, Reply
from affectome.triplets import sample_triplets

N_STIMULI, CONCURRENCY, MEGABYTE = 2180, 64, 1e6
BACKENDS = ("httpx", "aiohttp")
WORDS = """a man woman child dog crowd in the red dark empty old bright narrow street room train garden field runs
cries laughs waits falls sings looks holds breaks slowly suddenly alone together while behind under before rain night"""


def running(kind: str) -> Any:
    """A local server in another process, of those that the tests use too."""
    place = Path(__file__).resolve().parent.parent / "tests" / "collection"
    sys.path.insert(0, str(place))
    import servers

    return servers.running(kind)


def captions() -> dict[str, list[str]]:
    """Captions of real length, about 15 words."""
    rng = np.random.default_rng(0)
    return {str(k): [" ".join(rng.choice(WORDS.split(), rng.integers(11, 20)))] for k in range(N_STIMULI)}


def resident_mb() -> float:
    """Memory of this process as it stands."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def peak_mb() -> float:
    """Most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


# --- in processes of their own ----------------------------------------------------------------------------------------


def ours(url: str, journal: str, planned: int, asked: int, early: int) -> dict[str, float]:
    """Ask with the collector; its rate, and its memory at two moments."""
    questions = sample_triplets(N_STIMULI, planned, seed=0)
    judge = ChatJudge("m", url, captions=captions(), mode="choice", concurrency=CONCURRENCY)
    seen: dict[str, float] = {}

    def watch(stand: Collected) -> None:
        if stand.n_answered >= early:
            seen.setdefault("rss_early_mb", resident_mb())

    collector = Collector(questions, judge, journal, budget=Budget(trials=asked), watch=watch)
    begin = time.perf_counter()
    collected = collector.run_sync()
    seconds = time.perf_counter() - begin
    assert collected.n_answered >= asked
    return {
        **seen,
        "rss_late_mb": resident_mb(),
        "rss_peak_mb": peak_mb(),
        "judgements_per_s": collected.n_asked / collected.seconds,
        "start_s": seconds - collected.seconds,
    }


def theirs(url: str, asked: int, backend: str) -> dict[str, float]:
    """Ask with the official client."""
    import openai

    from affectome.judges._prompts import load_prompt

    known, prompt = captions(), load_prompt("choice")
    triplets = sample_triplets(N_STIMULI, asked, seed=0).triplets.tolist()

    async def run() -> float:
        clients = {"aiohttp": openai.DefaultAioHttpClient, "httpx": openai.DefaultAsyncHttpxClient}
        todo, kept = iter(triplets), []

        async def work(client: openai.AsyncOpenAI) -> None:
            for triplet in todo:
                shown = [known[str(k)][0] for k in triplet]
                text = "".join(part if isinstance(part, str) else shown[part] for part in prompt.turns[0])
                answer = await client.chat.completions.create(
                    model="m",
                    messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": text}],
                    temperature=0,
                    max_tokens=8,
                    logprobs=True,
                    top_logprobs=20,
                    extra_body={"structured_outputs": {"choice": list(prompt.labels)}},
                )
                first = answer.choices[0]
                assert first.logprobs is not None
                assert first.logprobs.content is not None
                listed = {entry.token: math.exp(entry.logprob) for entry in first.logprobs.content[0].top_logprobs}
                kept.append((first.message.content, [listed.get(label, 0.0) for label in prompt.labels]))

        async with openai.AsyncOpenAI(api_key="none", base_url=url, http_client=clients[backend]()) as client:
            begin = time.perf_counter()
            await asyncio.gather(*(work(client) for _ in range(CONCURRENCY)))
            seconds = time.perf_counter() - begin
        assert len(kept) == asked
        return seconds

    return {"judgements_per_s": asked / asyncio.run(run())}


def write_journal(journal: str, answers: int, batches: int = 10) -> dict[str, float]:
    """A journal of many answers, in the order of a real collection: scattered over the questions."""
    rng = np.random.default_rng(0)
    planned = answers * 7 // 5
    judge = ChatJudge("m", "http://localhost:1/v1", captions=captions(), mode="choice")
    begin = time.perf_counter()
    with Journal.create(journal, sample_triplets(N_STIMULI, planned, seed=0), judge.describe()) as made:
        made.begin_run(Abilities("structured_outputs", None, 20, False).describe())  # as the local server is
        for part in np.array_split(rng.permutation(planned)[:answers], batches):
            rows = np.sort(part)
            soft = rng.dirichlet((1, 1, 1), len(rows))
            made.record(
                [
                    (
                        row,
                        Reply(slot, tuple(p), None, "ABC"[slot], 311, 1, 160, 0.21, 1, "a-model", "http://localhost:1"),
                    )
                    for row, slot, p in zip(rows.tolist(), soft.argmax(axis=1).tolist(), soft.tolist(), strict=True)
                ]
            )
    return {"write_s": time.perf_counter() - begin, "journal_mb": Path(journal).stat().st_size / MEGABYTE}


def reopen(url: str, journal: str, answers: int) -> dict[str, float]:
    """From the start of a run on an old journal to its first new answer on disk."""
    questions = sample_triplets(N_STIMULI, answers * 7 // 5, seed=0)
    judge = ChatJudge("m", url, captions=captions(), mode="choice", concurrency=CONCURRENCY)
    collector = Collector(questions, judge, journal, budget=Budget(trials=answers + 1))
    begin = time.perf_counter()
    collector.run_sync()
    return {"open_s": time.perf_counter() - begin, "open_peak_mb": peak_mb()}


def export(journal: str, out: str) -> dict[str, float]:
    """Write the journal's answers as Parquet."""
    before = resident_mb()
    begin = time.perf_counter()
    with Journal.open(journal) as opened:
        exported = export_journal(opened, out)
    assert exported.n_answered > 0
    return {"export_s": time.perf_counter() - begin, "export_before_mb": before, "export_peak_mb": peak_mb()}


def _send(pipe: Any, work: Callable[..., dict[str, float]], arguments: tuple[Any, ...]) -> None:
    pipe.send(work(*arguments))


def apart(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Do it in a fresh process, whose memory is its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        result: dict[str, float] = here.recv()
    except EOFError:
        raise SystemExit(f"{work.__name__} failed") from None
    process.join()
    return result


def measure_rate(url: str, folder: str, given: argparse.Namespace) -> dict[str, float]:
    """Ours against the official client, in turn; the client counts with the better of two goes."""
    rates = {backend: apart(theirs, url, given.client_asked, backend)["judgements_per_s"] for backend in BACKENDS}
    best = max(rates, key=lambda backend: rates[backend])
    mine = apart(ours, url, f"{folder}/rate.sqlite", given.planned, given.asked, given.early)
    rates[best] = max(rates[best], apart(theirs, url, given.client_asked, best)["judgements_per_s"])
    for backend, rate in rates.items():
        print(f"openai over {backend}: {rate:,.0f} judgements/s")
    for name, value in mine.items():
        print(f"ours, {name}: {value:,.1f}")
    return {
        "judgements_per_s": round(mine["judgements_per_s"]),
        "rss_mb": round(mine["rss_late_mb"]),
        "ratio_openai_client": round(mine["judgements_per_s"] / rates[best], 2),
        "rss_early_mb": round(mine["rss_early_mb"]),
        "rss_peak_mb": round(mine["rss_peak_mb"]),
        **{f"openai_{backend}_per_s": round(rate) for backend, rate in rates.items()},
    }


def measure_journal(url: str, folder: str, answers: int) -> dict[str, float]:
    """Open and export a journal of many answers."""
    large = f"{folder}/large.sqlite"
    found = apart(write_journal, large, answers)
    found |= apart(reopen, url, large, answers)
    found |= apart(export, large, f"{folder}/large.parquet")
    for name, value in found.items():
        print(f"a journal of {answers:,} answers, {name}: {value:,.1f}")
    report = {"open_s_5m": round(found.pop("open_s"), 2), "export_s_5m": round(found.pop("export_s"), 2)}
    return report | {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--asked", type=int, default=300_000, help="judgements of our side")
    parser.add_argument("--early", type=int, default=50_000, help="judgements at which memory is looked at first")
    parser.add_argument("--planned", type=int, default=2_000_000, help="questions in the journal")
    parser.add_argument("--client-asked", type=int, default=10_000, help="judgements of the official client")
    parser.add_argument("--journal", type=int, default=5_000_000, help="answers in the large journal")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="affectome-benchmark-") as folder, running("echo") as (url, _):
        report = measure_rate(url, folder, given) | measure_journal(url, folder, given.journal)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
