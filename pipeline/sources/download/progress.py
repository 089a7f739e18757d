"""Progress of a download on stdout."""

import threading
import time

from pipeline import messages
from pipeline.sources.download.remote import Remote


class DownloadProgress:
    """Counters shared by all threads.

    `report` prints `NAME: 10 of 40 files, 9.9 of 41.2 MB, 3.3 MB/s, 9 s left, 2 failed`.
    """

    def __init__(self, name: str, files: list[Remote]) -> None:
        sizes = [remote.bytes for remote in files]
        self.name, self.files = name, len(files)
        self.total_bytes = None if None in sizes else sum(size or 0 for size in sizes)
        self.done, self.failed = 0, 0
        self.bytes_on_disk = 0  # including those of earlier runs
        self.bytes_received = 0  # over the network, in this run
        self.started = time.monotonic()
        self._lock = threading.Lock()

    def receive(self, count: int) -> None:
        """Count bytes that arrived over the network."""
        with self._lock:
            self.bytes_received += count
            self.bytes_on_disk += count

    def correct(self, count: int) -> None:
        """Count bytes that were found on disk, or (negative) discarded."""
        with self._lock:
            self.bytes_on_disk += count

    def finish_file(self, succeeded: bool) -> None:
        """Count a file as done or failed."""
        with self._lock:
            self.done += succeeded
            self.failed += not succeeded

    def report(self) -> None:
        """Print one line; the remaining time is estimated from bytes where all sizes are known, else from files."""
        elapsed = max(time.monotonic() - self.started, 1e-3)
        finished = self.done + self.failed
        of_total = "" if self.total_bytes is None else f" of {self.total_bytes / 1e6:,.1f}"
        line = f"{self.name}: {self.done:,} of {self.files:,} files, {self.bytes_on_disk / 1e6:,.1f}{of_total} MB"
        line += f", {self.bytes_received / elapsed / 1e6:.1f} MB/s"
        if finished < self.files and self.total_bytes is not None and self.bytes_received:
            left_s = max(0, self.total_bytes - self.bytes_on_disk) * elapsed / self.bytes_received
            line += f", {left_s:.0f} s left"
        elif 0 < finished < self.files:
            line += f", {(self.files - finished) * elapsed / finished:.0f} s left"
        line += f", {self.failed:,} failed" if self.failed else ""
        messages.progress(line, finished, self.files)
