"""Process pool that replaces crashed workers and isolates the item that crashed them.

Its processes end with the process that opened the pool, however that one ends.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import FrameType, TracebackType
from typing import Generic, TypeVar

from pipeline.storage.dask_cluster import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECES_PER_POOL = 400  # then its processes are replaced: whatever a library leaks is bounded
IMAGE_CPU_S = 60.0
"""The CPU time that one image may take. 100 megapixels take up to 8 s (an RGBA PNG on a 2.5 GHz core): a machine may be
seven times as slow. CPU time, not wall-clock time: a busy machine makes no image unreadable."""
_STOP_GRACE_S = 5.0  # from the request to stop to the end of a worker: time to remove what it has half written

_is_worker = False  # whether this process is a worker of a pool
_is_busy = False  # whether it works on a piece right now


class WorkerPool(Generic[Item, Result]):
    """A pool for `work`, which takes a list of items and returns one result; use it in a `with`.

    `lost` returns the result for a single item that kills the process that works on it. With a `cluster` the pieces
    are sent there, and only those that killed one of its workers are processed here, item by item.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Result],
        lost: Callable[[Item], Result],
        count: int | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self._work, self._lost, self._cluster = work, lost, cluster
        self._count = count or os.cpu_count() or 1
        self._pool: _Pool | None = None
        self._done = 0  # pieces that this pool has done

    def __enter__(self) -> "WorkerPool[Item, Result]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(stop=kind is not None)

    def run(self, pieces: list[list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        """Process every piece; yields its number and its results as pieces end.

        That is one result, or one for each item where a process died.
        """
        todo = dict(enumerate(pieces))
        if self._cluster:
            yield from self._run_on(self._cluster, todo)
            return
        while todo:
            if self._done >= PIECES_PER_POOL:
                self._close()
            try:
                yield from self._run_until_crash(todo)
            except BrokenExecutor:
                self._close(stop=True)
                # The crash was caused by one of the pieces that the processes had, or had waiting.
                for number in list(todo)[: self._count + 1]:
                    yield number, self._run_one_by_one(todo.pop(number))

    def _run_on(self, cluster: Cluster, todo: dict[int, list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        futures = {cluster.executor.submit(self._work, items): number for number, items in todo.items()}
        for future in as_completed(futures):
            number = futures[future]
            try:
                results = [future.result()]
            except cluster.killed:
                results = self._run_one_by_one(todo[number])
            yield number, results

    def _run_until_crash(self, todo: dict[int, list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        if self._pool is None:
            self._pool = _Pool(self._count)
        pool = self._pool
        batch = islice(todo.items(), max(1, PIECES_PER_POOL - self._done))
        futures = {pool.submit(self._work, items): number for number, items in batch}
        for future in as_completed(futures):
            result = future.result()
            self._done += 1
            del todo[futures[future]]
            yield futures[future], [result]

    def _run_one_by_one(self, items: list[Item]) -> list[Result]:
        """Process each item alone, in one process until an item crashes it: that one is lost, and known at once."""
        results: list[Result] = []
        while len(results) < len(items):
            try:
                with _Pool(1) as pool:
                    for item in items[len(results) :]:
                        results.append(pool.submit(self._work, [item]).result())
            except BrokenExecutor:
                results.append(self._lost(items[len(results)]))
        return results

    def _close(self, *, stop: bool = False) -> None:
        if self._pool is not None:
            self._pool.close(stop=stop)
        self._pool, self._done = None, 0


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """In a worker of a pool, kill the process once the block has used `seconds` of CPU time; elsewhere do nothing.

    The kernel does it, so that it works within C code too. Windows has no such timer: there nothing is limited.
    """
    if not (_is_worker and hasattr(signal, "setitimer")):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


class _Pool:
    """Worker processes that stop as soon as `_ours` is closed: by this process, or by its death."""

    def __init__(self, count: int) -> None:
        # Spawned: MediaPipe's threads do not survive a fork.
        # Not max_tasks_per_child: Python 3.11 then hangs now and then.
        context = get_context("spawn")
        self._theirs, self._ours = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            count, mp_context=context, initializer=_start_worker, initargs=(self._theirs,)
        )

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, _value: object, _traceback: TracebackType | None) -> None:
        self.close(stop=kind is not None)

    def submit(self, work: Callable[[list[Item]], Result], items: list[Item]) -> Future[Result]:
        return self._executor.submit(_work_on, work, items)

    def close(self, *, stop: bool) -> None:
        """Wait until all processes have ended: `stop` interrupts their work."""
        if stop:
            self._ours.close()
        self._executor.shutdown(cancel_futures=True)
        self._ours.close()
        self._theirs.close()


def _start_worker(pool: Connection) -> None:
    """Prepare this process as a worker of the pool that holds the other end of `pool`."""
    global _is_worker
    _is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all: the pool's process decides
    signal.signal(signal.SIGTERM, _stop)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # of cpu_limit: it kills
    threading.Thread(target=_stop_with, args=(pool,), daemon=True).start()


def _stop_with(pool: Connection) -> None:
    """Wait until the other end of `pool` is closed, then end this process, by force after _STOP_GRACE_S."""
    with suppress(EOFError, OSError):
        pool.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)  # to _stop, in the main thread
    threading.Event().wait(_STOP_GRACE_S)
    os._exit(1)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Interrupt the piece that is worked on, so that its half-written files are removed; between pieces end at once."""
    if _is_busy:
        raise KeyboardInterrupt
    os._exit(1)


def _work_on(work: Callable[[list[Item]], Result], items: list[Item]) -> Result:
    """What a worker runs."""
    global _is_busy
    try:
        _is_busy = True
        return work(items)
    except KeyboardInterrupt:  # of _stop: an executor's process would go on with the next piece
        os._exit(1)
    finally:
        _is_busy = False
