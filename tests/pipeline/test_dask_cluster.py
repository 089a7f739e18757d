"""Measuring on a real Dask cluster: a scheduler and workers, each a process of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.pipeline.test_workers import add, lost

from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.stages import measure as module
from pipeline.stages.measure import measure
from pipeline.storage.dask_cluster import dask_cluster
from pipeline.storage.worker_pool import WorkerPool
from tests.conftest import ROOT, demo_params, inside, write_params

pytest.importorskip("distributed", reason="needs the extra `dask`")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler's address, its two workers, of which each has a nanny that starts it anew, and their folder."""
    folder = tmp_path_factory.mktemp("dask")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    # A piece is tried twice, not four times, before it is called a killer: each try takes a worker along.
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
            os.killpg(process.pid, signal.SIGKILL)  # a nanny's worker too
            process.wait(20)


@pytest.fixture
def workspace(sample_workspace, tmp_path):
    """The fetched sample, nothing measured yet."""
    shutil.copytree(sample_workspace / "data/raw", tmp_path / "data/raw")
    with inside(tmp_path):
        yield tmp_path


def use(workspace, address):
    values = demo_params()
    values["measure"] |= {"executor": "dask", "address": address}
    write_params(workspace, values)


def tables(folder):
    return {path.name: pq.read_table(path) for path in (folder / "data/measured/ffhq").glob("*.parquet")}


def test_a_cluster_measures_what_this_machine_does(workspace, sample_workspace, cluster):
    use(workspace, cluster[0])
    measure("ffhq")
    assert tables(workspace) == tables(sample_workspace)


def test_a_worker_that_is_killed_changes_nothing(workspace, sample_workspace, cluster, monkeypatch):
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

    monkeypatch.setattr(module, "PIECE", 1)  # pieces enough to be in the midst of them
    monkeypatch.setattr(module, "Progress", Killing)
    measure("ffhq")
    assert killed
    assert tables(workspace) == tables(sample_workspace)


def test_an_item_that_kills_a_cluster_s_workers_takes_nothing_else_along(cluster):
    with dask_cluster(cluster[0]) as there, WorkerPool(add, lost, 1, there) as pool:
        results = dict(pool.run([[1], [2, -4, 5], [6]]))
    assert results == {0: [1], 1: [2, "lost -4", 5], 2: [6]}


def test_a_scheduler_that_does_not_answer_is_told(workspace, monkeypatch):
    monkeypatch.setattr("pipeline.storage.dask_cluster.CONNECT_S", 1)
    use(workspace, "tcp://127.0.0.1:9")
    with pytest.raises(FacemaskError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        measure("ffhq")


def test_dask_needs_an_address(workspace):
    use(workspace, None)
    with pytest.raises(FacemaskError, match=r"params\.yaml must say measure\.address"):
        measure("ffhq")


def test_where_it_is_measured_is_no_reason_to_measure_again(workspace, cluster, capsys):
    use(workspace, cluster[0])
    measure("ffhq")
    write_params(workspace, demo_params())
    capsys.readouterr()
    measure("ffhq")
    index = len(pq.read_table("data/raw/ffhq/index.parquet"))
    assert f"{index} images were measured before" in capsys.readouterr().out


def test_workers_read_the_archives_from_the_dvc_remote(workspace, sample_workspace, cluster, tmp_path_factory):
    """The workers run in a clone that has dvc.lock's like and no data; here lies the index, and no archive."""
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
    measure("ffhq")
    assert tables(workspace) == tables(sample_workspace)


def test_archives_that_cannot_be_read_are_told_in_one_line(workspace, cluster):
    values = demo_params()
    values["measure"] |= {"executor": "dask", "address": cluster[0], "archives": "memory://nowhere"}
    write_params(workspace, values)
    with pytest.raises(FacemaskError, match=r"archive memory://nowhere/ffhq/\d+.zip cannot be read .*measure.archives"):
        measure("ffhq")
