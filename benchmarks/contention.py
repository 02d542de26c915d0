"""Two fits at once on one machine: what sleeping instead of spinning idle threads is worth.

    python benchmarks/contention.py

Each pair of processes fits the same simulated study at the same time, once with OpenMP's idle threads spinning
(OMP_WAIT_POLICY=active), once asleep (passive, what affectome sets). The last line is JSON: contention_ratio, the
median time of the spinning fits over that of the sleeping ones, and alone_ratio, the same for one process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

FIT = """
import time
from affectome import SPoSE, simulate_emotions
trials = simulate_emotions(200, 6, seed=0).sample_answers(50_000, seed=1)
SPoSE(6, random_state=0).fit(trials)
begin = time.perf_counter()
SPoSE(6, random_state=1).fit(trials)
print(time.perf_counter() - begin)
"""


def seconds(policy: str, processes: int) -> list[float]:
    """Seconds of one fit in each of several processes that run at once."""
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    command = [sys.executable, "-c", FIT]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return [float(process.communicate()[0]) for process in running]


def main() -> None:
    report = {}
    for name, processes in (("alone_ratio", 1), ("contention_ratio", 2)):
        rounds = [(seconds("active", processes), seconds("passive", processes)) for _ in range(3)]
        spinning = statistics.median(s for active, _ in rounds for s in active)
        sleeping = statistics.median(s for _, passive in rounds for s in passive)
        print(f"{processes} at once: spinning {spinning:.3f} s, sleeping {sleeping:.3f} s")
        report[name] = round(spinning / sleeping, 2)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
