"""Parts of work on Dask workers: the same as here, placed once, and done again where a worker is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectome import SPoSE, fit_seeds, on_cluster, select_embedding, simulate_emotions
from affectome._cluster import _Dask, job_script
from affectome._cluster_tables import AddressTable, LocalTable, read_cluster
from affectome._processes import in_parallel, sent_elsewhere, workers_for
from affectome.errors import EnvironmentFailure, InputError
from affectome.neural import Recording, VolumeGrid, searchlight, sphere_neighbourhoods
from affectome.neural.searchlight._chunks import CHUNK
from affectome.triplets import write_triplets

psutil = pytest.importorskip("psutil", reason="it comes with the extra 'cluster'")
distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def dask():
    """Four workers of this machine."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.syspath_prepend(str(HERE))  # workers have the search path of whoever starts them
        yield _Dask(LocalTable(kind="local", workers=4), stack)


@pytest.fixture(scope="module")
def parts(dask):
    dask.client  # noqa: B018 - the workers are there, and know the path
    import parts_on_workers

    return parts_on_workers


def each(dask, function, shared, parts, **options):
    with sent_elsewhere(dask):
        workers = workers_for(None, 1)
    assert not workers.here and workers.n == 4
    with closing(in_parallel(function, shared, parts, workers, **options)) as results:
        return list(results)


def test_parts_come_back_in_order_and_what_workers_log_is_heard(dask, parts, caplog):
    values = np.arange(1000.0)
    assert each(dask, parts.summed, values, range(20), ordered=True) == [(k, 499_500.0 + k) for k in range(20)]
    said = [record.message for record in caplog.records if record.name == "affectome.far"]
    assert sorted(said) == sorted(f"part {k} is summed" for k in range(20))
    assert sorted(each(dask, parts.summed, values, iter(range(20)))) == [(k, 499_500.0 + k) for k in range(20)]
    assert each(dask, parts.summed, values, []) == []


def test_what_parts_share_reaches_each_worker_once_and_not_with_every_part(dask, parts):
    parts.Counted.packed = 0
    found = each(dask, parts.unpacked_here, parts.Counted(np.ones(500_000)), range(60))
    assert parts.Counted.packed == 1
    assert {times for _, times in found} == {1} and len({process for process, _ in found}) <= 4


def test_a_part_has_the_threads_it_is_given_and_its_own_loops_stay_in_it(dask, parts):
    assert set(each(dask, parts.blas_threads, None, range(4))) == {1}
    assert set(each(dask, parts.blas_threads, None, range(4), threads=2)) == {2}
    assert all(each(dask, parts.stays_here, None, range(4)))


def test_a_fault_in_a_part_is_told_as_here(dask, parts):
    with pytest.raises(InputError, match=r"^ratings.csv, row 3: the rating is missing; fill it in\.$"):
        each(dask, parts.fails, None, range(3))


@pytest.fixture(scope="module")
def trials():
    return simulate_emotions(n_stimuli=30, n_components=3, seed=0).sample_answers(2_000, seed=1)


def test_fits_from_several_seeds_have_the_bits_of_fits_here(dask, trials):
    model = SPoSE(n_components=4, n_epochs=30)
    here = fit_seeds(model, trials, range(5), n_jobs=1)
    with sent_elsewhere(dask):
        there = fit_seeds(model, trials, range(5))
    assert list(there) == list(here)
    for seed in here:
        assert there[seed].embedding_.tobytes() == here[seed].embedding_.tobytes()
        assert there[seed].get_params() == here[seed].get_params()


def test_a_selection_has_the_bits_of_one_here(dask, trials):
    asked = {"components": (1, 3), "l1": (0.01, 0.03), "n_folds": 2, "seed": 0}
    here = select_embedding(trials, **asked, n_jobs=1)
    with sent_elsewhere(dask):
        there = select_embedding(trials, **asked)
    assert there.scores.equals(here.scores) and there.chosen == here.chosen


def test_a_searchlight_has_the_bits_of_one_here(dask):
    rng, ids = np.random.default_rng(0), [f"s{k:02d}" for k in range(24)]
    places = np.argwhere(np.ones((7, 7, 6), bool)).astype(np.int32)
    trials = pd.DataFrame({"stimulus": ids, "run": np.repeat([1, 2, 3], 8), "session": 1})
    grid = VolumeGrid(places, np.eye(4), (7, 7, 6))
    recording = Recording("sub-01", rng.normal(size=(24, len(places))).astype(np.float32), trials, grid)
    spaces = {"mllm": pd.DataFrame(rng.normal(size=(24, 3)).astype(np.float32), ids)}
    spheres = sphere_neighbourhoods(grid, 2)
    assert len(spheres) > 2 * CHUNK
    here = searchlight(recording, spaces, spheres)
    with sent_elsewhere(dask):
        there = searchlight(recording, spaces, spheres)
    for name in ("r", "p", "q"):
        assert getattr(there, name).tobytes() == getattr(here, name).tobytes()


def test_a_worker_that_is_killed_midway_costs_its_parts_only(dask, parts, tmp_path, caplog):
    values = np.arange(100.0) ** 2
    found = each(dask, parts.dies_once, (tmp_path, values), range(30), ordered=True)
    assert (tmp_path / "died").exists()
    assert found == [(k, float(k * k)) for k in range(30)]
    assert "is gone; what it was doing is done by others." in caplog.text


def test_what_was_placed_is_placed_again_when_every_worker_that_had_it_was_lost(dask, parts):
    with sent_elsewhere(dask):
        workers = workers_for(None, 1)
    with closing(in_parallel(parts.summed, np.arange(10.0), range(40), workers, ordered=True)) as results:
        found = [next(results)]
        placed = [key for key in dask.client.futures if not str(key).startswith("affectome-")]
        dask.client.cancel([distributed.Future(key, dask.client) for key in placed], force=True)
        found += results
    assert found == [(k, 45.0 + k) for k in range(40)]


def test_a_part_that_every_worker_dies_of_ends_in_one_sentence(dask, parts, monkeypatch):
    monkeypatch.setattr(dask.client.cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(EnvironmentFailure, match=r"1 workers died .* at the same part, the last at tcp://.*memory"):
        each(dask, parts.dies, None, range(1))


def test_a_worker_writes_only_where_it_sees_the_folder(dask, parts, tmp_path, monkeypatch):
    (tmp_path / "begin").mkdir()
    (tmp_path / "begin/space.csv").write_text("id,joy", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "begin")
    folder = tmp_path / "results"
    assert each(dask, parts.reads, None, ["space.csv"], folder=folder) == [(tmp_path / "begin", "id,joy")]
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(Path, "touch", lambda path: None)  # as on a disk of this machine alone
    with pytest.raises(EnvironmentFailure, match=r"results: the worker on .* does not see this folder; use one on a"):
        each(dask, parts.reads, None, ["space.csv"], folder=folder)


def test_workers_are_those_of_a_scheduler_that_runs(dask, parts):
    address = dask.client.scheduler.address
    with on_cluster(AddressTable(kind="address", address=address)):
        workers = workers_for(None, 1)
        assert workers.n >= 1 and workers.elsewhere is not dask
        assert list(in_parallel(parts.summed, np.arange(4.0), range(2), workers, ordered=True)) == [(0, 6.0), (1, 7.0)]
    assert dask.client.nthreads()  # it is not ours, and goes on


def test_nothing_to_do_opens_no_cluster():
    with on_cluster(AddressTable(kind="address", address="tcp://127.0.0.1:9")):
        pass
    with on_cluster(None):
        assert workers_for(1, 3).here


def test_a_scheduler_that_does_not_answer_is_one_sentence(run, tmp_path, trials, monkeypatch):
    monkeypatch.setattr("affectome._cluster._ANSWER", 1)
    write_triplets(tmp_path / "t.parquet", trials)
    (tmp_path / "c.toml").write_text('[cluster]\nkind = "address"\naddress = "tcp://127.0.0.1:9"\n', encoding="utf-8")
    asked = ["embed", "reproducibility", tmp_path / "t.parquet", "--seeds", 2, "--out", tmp_path / "out"]
    code, _, said = run(*asked, "--cluster", tmp_path / "c.toml")
    assert code == 3 and "tcp://127.0.0.1:9: no Dask scheduler answers; check the address" in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('kind = "slurm"\nquue = "long"', "[cluster] quue: the key is unknown; did you mean 'queue'?"),
        ('kind = "kubernetes"', "[cluster] kind: 'kubernetes' is not known; choose among local, address, slurm, pbs"),
        ("workers = 3", "[cluster] kind: the key is missing; add it"),
        ('kind = "local"\nworkers = 0', "[cluster] workers: 0 is not accepted"),
        ('kind = "local"\nworkers = 2\nmemory = "8"', 'a size is written as "16GB"'),
        ('kind = "address"\naddress = "node7"', 'an address is written as "tcp://10.0.0.1:8786"'),
        ('kind = "slurm"\njobs = { min = 3, max = 2 }', "min is more than max"),
        ('kind = "slurm"\njobs = 0', "[cluster.jobs] max: 0 is not accepted"),
        ('kind = "slurm"\njobs=1\ncores=2\nthreads=3\nmemory="1GB"\nwalltime="1"', "more threads than a job has cores"),
    ],
)
def test_what_a_table_may_not_say_is_named_with_its_key(tmp_path, lines, said):
    (tmp_path / "c.toml").write_text(f"[cluster]\n{lines}\n", encoding="utf-8")
    with pytest.raises(InputError) as fault:
        read_cluster(tmp_path / "c.toml")
    assert said in str(fault.value) and "c.toml" in str(fault.value)


def test_a_file_without_the_table_is_refused(tmp_path):
    (tmp_path / "c.toml").write_text("[study]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds no table \[cluster\]"):
        read_cluster(tmp_path / "c.toml")


def jobs_table(folder, kind="slurm", **change):
    """A table of jobs, by way of its file."""
    lines = {"kind": kind, "jobs": 2, "cores": 8, "threads": 2, "memory": "32GB", "walltime": "04:00:00",
             "queue": "long", "account": "emotion", "directives": ["--nodes=1"], "prologue": ["module load python"],
             "logs": str(folder / "logs"), **change}  # fmt: skip
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in lines.items() if name != "options")
    options = [f"{name} = {json.dumps(value)}" for name, value in lines.get("options", {}).items()]
    (folder / "c.toml").write_text("\n".join(["[cluster]", text, "[cluster.options]", *options]), encoding="utf-8")
    return read_cluster(folder / "c.toml")


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("slurm", ["#SBATCH -p long", "#SBATCH -A emotion", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=30G",
                   "#SBATCH -t 04:00:00", "#SBATCH --nodes=1"]),
        ("pbs", ["#PBS -q long", "#PBS -A emotion", "#PBS -l select=1:ncpus=8:mem=30GB", "#PBS -l walltime=04:00:00",
                 "#PBS --nodes=1"]),
        ("sge", ["#$ -q long", "#$ -P emotion", "#$ -l h_rt=04:00:00", "#$ --nodes=1"]),
        ("lsf", ["#BSUB -q long", '#BSUB -P "emotion"', "#BSUB -n 8", "#BSUB -W 04:00:00", "#BSUB --nodes=1"]),
    ],
)  # fmt: skip
def test_the_script_of_a_job_says_what_the_table_says(tmp_path, kind, lines):
    script = job_script(jobs_table(tmp_path, kind)).splitlines()
    assert [line for line in lines if line not in script] == []
    assert "module load python" in script and "export NUMBA_NUM_THREADS=2" in script
    command = script[-1]
    assert "--nworkers 4" in command and "--memory-limit 7.45GiB" in command
    assert command.endswith("--nthreads 1")  # the last one counts: a worker does one part at a time


def test_further_options_go_to_dask_jobqueue_and_it_says_what_it_does_not_take(tmp_path):
    script = job_script(jobs_table(tmp_path, options={"job_mem": "12GB", "worker_extra_args": ["--lifetime", "55m"]}))
    assert "#SBATCH --mem=12GB" in script and "--lifetime 55m --nthreads 1" in script
    with pytest.raises(InputError, match=r"dask-jobqueue does not take it .*'jobmem'.*SLURMCluster"):
        job_script(jobs_table(tmp_path, options={"jobmem": "12GB"}))
    with pytest.raises(InputError, match=r"\[cluster.options\] cores: is a key of the table itself"):
        job_script(jobs_table(tmp_path, options={"cores": 3}))


def test_a_machine_that_cannot_submit_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailure, match=r"there is no 'sbatch' here"), on_cluster(jobs_table(tmp_path)):
        pass


def test_a_job_that_the_batch_system_refuses_is_one_sentence(tmp_path, monkeypatch):
    as_command(tmp_path / "sbatch", "echo 'sbatch: error: invalid partition specified: long' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    refused = r"batch system took no job \(sbatch: error: invalid partition specified: long\); correct the table"
    with pytest.raises(EnvironmentFailure, match=refused), on_cluster(jobs_table(tmp_path)):
        list(in_parallel(max, 1, [2], workers_for(None, 1)))


def test_an_interrupt_means_what_it_meant_before_dask_jobqueue_was_loaded(tmp_path):
    meant = signal.getsignal(signal.SIGINT)
    job_script(jobs_table(tmp_path))
    assert signal.getsignal(signal.SIGINT) is meant


def test_dask_that_is_not_installed_is_told_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(EnvironmentFailure, match=r"needs distributed.*pip install 'affectome\[cluster\]'"),
        on_cluster(LocalTable(kind="local", workers=2)),
    ):
        pass


def as_command(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.slow
def test_jobs_of_a_batch_system_do_the_work_and_are_cancelled(tmp_path, monkeypatch, trials):
    as_command(tmp_path / "sbatch", f'sh "$1" > {tmp_path}/job.out 2>&1 & echo "Submitted batch job $!"')
    as_command(tmp_path / "scancel", f'echo "$1" >> {tmp_path}/cancelled; kill "$1"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    model = SPoSE(n_components=3, n_epochs=10)
    here = fit_seeds(model, trials, range(3), n_jobs=1)
    table = jobs_table(tmp_path, jobs=1, cores=2, threads=1, memory="2GB", prologue=[])
    with on_cluster(table):
        there = fit_seeds(model, trials, range(3))
    assert all(there[k].embedding_.tobytes() == here[k].embedding_.tobytes() for k in here)
    assert len((tmp_path / "cancelled").read_text(encoding="utf-8").split()) == 1


@pytest.mark.slow
def test_an_interrupt_closes_the_cluster_and_leaves_what_is_done(tmp_path, trials):
    write_triplets(tmp_path / "t.parquet", trials)
    (tmp_path / "c.toml").write_text('[cluster]\nkind = "local"\nworkers = 2\n', encoding="utf-8")
    asked = ["embed", "reproducibility", "t.parquet", "--out", "out", "--cluster", "c.toml", "--seeds", "60"]
    run = [sys.executable, "-c", "import sys, affectome.cli; sys.exit(affectome.cli.main(sys.argv[1:]))", *asked]
    with subprocess.Popen(run, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(list((tmp_path / "out").glob("runs/seed_*.parquet"))) < 3:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to workers too
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Interrupted; files that were finished are kept" in said
    assert "Traceback" not in said
    left = [other for other in psutil.process_iter(["status"]) if os.getpgid(other.pid) == process.pid]
    psutil.wait_procs(left, timeout=20)
    assert [other.cmdline() for other in left if other.is_running() and other.status() != psutil.STATUS_ZOMBIE] == []
    assert 3 <= len(list((tmp_path / "out").glob("runs/seed_*.parquet"))) < 60
