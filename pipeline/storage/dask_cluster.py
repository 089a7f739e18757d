"""Connection to a Dask cluster, to measure images on other machines."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.errors import FacemaskError

CONNECT_S = 10.0


@dataclass(frozen=True)
class Cluster:
    """A connected cluster."""

    executor: Executor
    killed: type[Exception]  # raised by a result if its work killed every worker that tried it


@contextmanager
def dask_cluster(address: str) -> Iterator[Cluster]:
    """Connect to a Dask scheduler at `address`, tcp://HOST:8786. Its workers need facemask and the same files.

    There is no CPU limit there (worker_pool.cpu_limit): Dask may run several pieces in one process, and retries a piece
    that kills its worker on three more. open_image still refuses a JPEG with too many scans.
    Raises FacemaskError if Dask is not installed or the scheduler does not answer.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise FacemaskError("Dask is not installed: pip install -c constraints.txt -e '.[dask]'") from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise FacemaskError(
            f"no Dask scheduler answers at {address} ({error}): start one with 'dask scheduler', "
            "or set measure.executor to processes"
        ) from error
    with client:
        yield Cluster(client.get_executor(pure=False), KilledWorker)  # type: ignore[no-untyped-call]
