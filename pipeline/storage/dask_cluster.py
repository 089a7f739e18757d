"""Executors beyond this machine: the workers of a Dask cluster."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.errors import FacemaskError

CONNECT_S = 10.0


@dataclass(frozen=True)
class Cluster:
    executor: Executor
    killed: type[Exception]  # what a result raises whose work killed the workers that tried it


@contextmanager
def dask_cluster(address: str) -> Iterator[Cluster]:
    """Connect to a Dask scheduler, as tcp://HOST:8786. Its workers need facemask installed and the same files.

    No CPU limit holds there (workers.cpu_limit): Dask may run several pieces in one process, and tries a piece that
    kills its worker on three more. What is known to take long, a JPEG of many scans, open_image refuses there too.
    Raises FacemaskError where Dask is not installed, or nobody answers.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise FacemaskError("measuring on Dask needs its packages: run 'pip install facemask[dask]'") from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise FacemaskError(
            f"no Dask scheduler answers at {address} ({error}): start one with 'dask scheduler', "
            "or set measure.executor to processes"
        ) from error
    with client:
        yield Cluster(client.get_executor(pure=False), KilledWorker)  # type: ignore[no-untyped-call]
