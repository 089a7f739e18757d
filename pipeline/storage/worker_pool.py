"""Process pool that replaces crashed workers and isolates the item that crashed them.

The worker processes end with the process that opened the pool, even if that one is killed.
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

from pipeline import messages
from pipeline.storage.dask_cluster import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECES_PER_POOL = 400  # then the processes are replaced, which bounds memory leaks of libraries
IMAGE_CPU_S = 60.0
"""CPU time limit of one image. 100 megapixels take up to 8 s (an RGBA PNG on a 2.5 GHz core). CPU time and not
wall-clock time: on a busy machine no image becomes unreadable."""
_STOP_GRACE_S = 5.0  # for a stopping worker to remove its half-written files

_is_worker = False  # whether this process is a worker of a pool
_is_busy = False  # whether it is processing a piece


class WorkerPool(Generic[Item, Result]):
    """A pool for `work`, which takes a list of items and returns one result; use it in a `with`.

    A worker that crashes or runs out of memory is replaced, and the items of its piece are repeated one by one in a
    single process; `lost` returns the result for an item that crashes that process too. With a `cluster` the pieces run
    there, and only those that killed one of its workers are repeated here.
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
        self._done = 0  # pieces that the present processes have done

    def __enter__(self) -> "WorkerPool[Item, Result]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(stop=kind is not None)

    def run(self, pieces: list[list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        """Process every piece; yield its number and its results, in the order in which pieces end.

        A piece has one result, or one for each item if a process crashed.
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
                # One of the pieces that were running or queued in a process caused the crash.
                for number in list(todo)[: self._count + 1]:
                    yield number, self._run_one_by_one(todo.pop(number))

    def _run_on(self, cluster: Cluster, todo: dict[int, list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        futures = {cluster.executor.submit(self._work, items): number for number, items in todo.items()}
        for future in as_completed(futures):
            number = futures[future]
            try:
                results = [future.result()]
            except (cluster.killed, MemoryError):
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
        """Process the items one by one in one process; an item that crashes it is lost, and a new process continues."""
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
    """In a worker of a pool, kill the process when the block has used `seconds` of CPU time; elsewhere do nothing.

    The kernel enforces it, so it works within C code too. Windows has no such timer: nothing is limited there.
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
    """Worker processes that stop when `_ours` is closed, by this process or by its end."""

    def __init__(self, count: int) -> None:
        # spawn: MediaPipe's threads do not survive a fork.
        # No max_tasks_per_child: with it, Python 3.11 sometimes hangs.
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
        """Wait until all processes have ended; `stop` interrupts their work."""
        if stop:
            self._ours.close()
        self._executor.shutdown(cancel_futures=True)
        self._ours.close()
        self._theirs.close()


def _start_worker(pool: Connection) -> None:
    """Prepare this process as a worker of the pool that holds the other end of `pool`."""
    global _is_worker
    _is_worker = True
    messages.print_any_text()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes: the main one decides
    signal.signal(signal.SIGTERM, _stop)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # cpu_limit's signal kills the process
    threading.Thread(target=_stop_with, args=(pool,), daemon=True).start()


def _stop_with(pool: Connection) -> None:
    """Wait until the other end of `pool` is closed, then end this process; after _STOP_GRACE_S by force."""
    with suppress(EOFError, OSError):
        pool.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)  # to _stop, in the main thread
    threading.Event().wait(_STOP_GRACE_S)
    os._exit(1)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Interrupt the piece in progress, so that its half-written files are removed; between pieces end at once."""
    if _is_busy:
        raise KeyboardInterrupt
    os._exit(1)


def _work_on(work: Callable[[list[Item]], Result], items: list[Item]) -> Result:
    """Run `work` in a worker.

    Out of memory, the worker ends as if it had crashed: the items are then repeated in one process with all the memory.
    """
    global _is_busy
    try:
        _is_busy = True
        return work(items)
    except (KeyboardInterrupt, MemoryError):  # from _stop; the executor's process would continue with the next piece
        os._exit(1)
    finally:
        _is_busy = False
