"""Worker processes that outlive their work: one that dies is replaced, and takes only the item that killed it along."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context
from typing import Generic, TypeVar

from pipeline.cluster import Cluster

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECES_PER_POOL = 400  # then its processes are replaced: whatever a library leaks is bounded


class Workers(Generic[Item, Result]):
    """A pool for `work`, which takes a list of items to one result; use it in a `with`.

    `lost` gives the result for a single item that kills the process that works on it. With a `cluster` the pieces go
    there, and only those that killed a worker of it are taken apart here.
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
        self._pool: Executor | None = None
        self._worked = 0  # pieces that this pool has done

    def __enter__(self) -> "Workers[Item, Result]":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def run(self, pieces: list[list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        """Work on every piece; yields its number and its results as pieces end: one, or several if a process died."""
        todo = dict(enumerate(pieces))
        if self._cluster:
            yield from self._on(self._cluster, todo)
            return
        while todo:
            if self._worked >= PIECES_PER_POOL:
                self._close()
            try:
                yield from self._until_one_dies(todo)
            except BrokenExecutor:
                self._close()
                # It was one of those that the processes held, or had waiting.
                for number in list(todo)[: self._count + 1]:
                    yield number, self._alone(todo.pop(number))

    def _on(self, cluster: Cluster, todo: dict[int, list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        futures = {cluster.executor.submit(self._work, items): number for number, items in todo.items()}
        for future in as_completed(futures):
            number = futures[future]
            try:
                results = [future.result()]
            except cluster.killed:
                results = self._alone(todo[number])
            yield number, results

    def _until_one_dies(self, todo: dict[int, list[Item]]) -> Iterator[tuple[int, list[Result]]]:
        if self._pool is None:
            self._pool = _open(self._count)
        now = islice(todo.items(), max(1, PIECES_PER_POOL - self._worked))
        futures = {self._pool.submit(self._work, items): number for number, items in now}
        for future in as_completed(futures):
            result = future.result()
            self._worked += 1
            del todo[futures[future]]
            yield futures[future], [result]

    def _alone(self, items: list[Item]) -> list[Result]:
        """Work on a piece in a process of its own; where that dies too, halve it until the guilty item stands alone."""
        try:
            with _open(1) as pool:
                return [pool.submit(self._work, items).result()]
        except BrokenExecutor:
            if len(items) == 1:
                return [self._lost(items[0])]
            middle = len(items) // 2
            return self._alone(items[:middle]) + self._alone(items[middle:])

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._worked = None, 0


def _open(count: int) -> Executor:
    # Spawned: MediaPipe's threads do not survive a fork. Not max_tasks_per_child: Python 3.11 then hangs now and then.
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))
