"""Measuring on a real Dask cluster: a scheduler and two workers, in processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.curation import measuring
from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.stages import measure as stage
from pipeline.storage.dask_cluster import dask_cluster
from pipeline.storage.worker_pool import WorkerPool
from tests.conftest import ROOT, demo_params, inside, measure_here, write_params
from tests.pipeline.test_worker_pool import add, lost

pytest.importorskip("distributed", reason="needs the extra `dask`")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The scheduler's address, two workers, each with a nanny that restarts it, and the folder in which they run."""
    folder = tmp_path_factory.mktemp("dask")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    # A piece is tried twice instead of four times before it counts as the cause: each try kills a worker.
    env = os.environ | {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    port = address.rpartition(":")[2]
    commands = [["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]]
    commands += [["worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]] * 2
    running = []
    try:
        for words in commands:
            with (folder / f"{len(running)}.log").open("w") as log:
                command = [sys.executable, "-m", "dask", *words]
                running.append(
                    subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log, start_new_session=True)
                )
        yield address, running[1:], folder
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)  # with the nanny's worker
            process.wait(20)


@pytest.fixture
def workspace(sample_workspace, tmp_path):
    """The fetched sample, not yet measured."""
    shutil.copytree(sample_workspace / "data/raw", tmp_path / "data/raw")
    with inside(tmp_path):
        yield tmp_path


def use(workspace, address):
    values = demo_params()
    values["measure"] |= {"executor": "dask", "address": address}
    write_params(workspace, values)


def tables(folder):
    return {path.name: pq.read_table(path) for path in (folder / "data/measured/ffhq").glob("*.parquet")}


def test_a_cluster_gives_the_same_tables_as_processes(workspace, sample_workspace, cluster):
    use(workspace, cluster[0])
    measure_here("ffhq")
    assert tables(workspace) == tables(sample_workspace)


def test_a_killed_worker_changes_no_table(workspace, sample_workspace, cluster, monkeypatch):
    use(workspace, cluster[0])
    nanny = cluster[1][0].pid
    worker = int(Path(f"/proc/{nanny}/task/{nanny}/children").read_text().split()[-1])
    killed = []

    class Killing(Progress):
        def add(self, count):
            if not killed:
                os.kill(worker, 9)
                killed.append(worker)
            super().add(count)

    monkeypatch.setattr(measuring, "PIECE", 1)  # so that there are further pieces when the first is done
    monkeypatch.setattr(stage, "Progress", Killing)
    measure_here("ffhq")
    assert killed
    assert tables(workspace) == tables(sample_workspace)


def test_an_item_that_kills_the_workers_loses_no_other_item(cluster):
    with dask_cluster(cluster[0]) as connected, WorkerPool(add, lost, 1, connected) as pool:
        results = dict(pool.run([[1], [2, -4, 5], [6]]))
    assert results == {0: [1], 1: [2, "lost -4", 5], 2: [6]}


def test_a_scheduler_that_does_not_answer_is_an_error(workspace, monkeypatch):
    monkeypatch.setattr("pipeline.storage.dask_cluster.CONNECT_S", 1)
    use(workspace, "tcp://127.0.0.1:9")
    with pytest.raises(FacemaskError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        measure_here("ffhq")


def test_dask_needs_an_address(workspace):
    use(workspace, None)
    with pytest.raises(FacemaskError, match=r"measure\.address is null: set it in params\.yaml"):
        measure_here("ffhq")


def test_another_executor_measures_nothing_again(workspace, cluster, capsys):
    use(workspace, cluster[0])
    measure_here("ffhq")
    write_params(workspace, demo_params())
    capsys.readouterr()
    measure_here("ffhq")
    index = len(pq.read_table("data/raw/ffhq/index.parquet"))
    assert f"{index} images were measured before" in capsys.readouterr().out


def test_workers_read_shards_from_the_dvc_remote(workspace, sample_workspace, cluster, tmp_path_factory):
    """The workers run in a clone without data; the workspace has the index and no archives."""
    project, remote = cluster[2], tmp_path_factory.mktemp("remote")
    shutil.copytree("data/raw", project / "data/raw")

    def run(*command):
        subprocess.run(
            command, cwd=project, env=os.environ | {"DVC_NO_ANALYTICS": "1"}, check=True, capture_output=True
        )

    dvc = (sys.executable, "-m", "dvc")
    run("git", "init", "-q")
    run(*dvc, "init", "-q")
    run(*dvc, "remote", "add", "--default", "there", str(remote))
    run(*dvc, "add", "-q", "data/raw")
    run(*dvc, "push", "-q")
    shutil.rmtree(project / "data/raw")
    shutil.rmtree(project / ".dvc/cache")
    for archive in Path("data/raw").glob("*/*.zip"):
        archive.unlink()

    values = demo_params()
    values["measure"] |= {"executor": "dask", "address": cluster[0], "archives": "dvc://data/raw"}
    write_params(workspace, values)
    measure_here("ffhq")
    assert tables(workspace) == tables(sample_workspace)


def test_archives_that_cannot_be_read_are_a_one_line_error(workspace, cluster):
    values = demo_params()
    values["measure"] |= {"executor": "dask", "address": cluster[0], "archives": "memory://nowhere"}
    write_params(workspace, values)
    with pytest.raises(FacemaskError, match=r"archive memory://nowhere/ffhq/\d+.zip cannot be read .*measure.archives"):
        measure_here("ffhq")
