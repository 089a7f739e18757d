"""Work on several cores in one process, for code that computes outside Python's lock: NumPy, OpenCV, faiss."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_threads(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """The results of `work` for each piece, in the order of the pieces; one piece is done in the caller's thread."""
    if len(pieces) < 2:
        return [work(piece) for piece in pieces]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(work, pieces))
