"""Concurrent download of many files: threads, one download per folder, and the list of failures."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.sources.download.http_source import make_client
from pipeline.sources.download.progress import DownloadProgress
from pipeline.sources.download.remote import Failure, Remote, check_remotes, host_of
from pipeline.sources.download.response import Cancelled
from pipeline.sources.download.settings import DownloadSettings
from pipeline.sources.download.transfer import HostState, Session, transfer
from pipeline.storage.files import locked

THREAD_NAME = "download"
_DEFAULTS = DownloadSettings()


def download(
    files: Iterable[Remote], folder: Path, name: str, at_once: int = 8, settings: DownloadSettings = _DEFAULTS
) -> list[Failure]:
    """Download all files to folder/PATH, `at_once` at a time; return those that failed, in the order of `files`.

    A file that exists is complete and is not downloaded again. After any kind of interruption the same call continues
    where it was. `name` starts each line of progress.

    Raises ValueError for an invalid list (see check_remotes), FacemaskError if the local disk fails or another
    process downloads to the same folder.
    """
    by_path = check_remotes(files)
    try:
        missing = [remote for path, remote in by_path.items() if not (folder / path).exists()]
        if not missing:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        # Two downloads at a time would write the same partial files.
        with locked(folder, f"another process is downloading to {folder}: wait until it ends"):
            return _Downloader(missing, folder, name, settings).run(at_once)
    except OSError as error:
        raise FacemaskError(
            f"{name}: cannot write to {folder} ({error.strerror or error}): free disk space or grant write access, "
            "then run the same command again: finished files are kept"
        ) from error


class _Downloader:
    """State of one call of `download`, shared by its threads."""

    def __init__(self, files: list[Remote], folder: Path, name: str, settings: DownloadSettings) -> None:
        self._queue, self._folder, self._settings = deque(enumerate(files)), folder, settings
        self._progress = DownloadProgress(name, files)
        self._failures: dict[int, Failure] = {}  # by position in the list
        self._hosts: dict[str, HostState] = {}
        self._created: set[Path] = set()  # folders
        self._ended_threads = threading.Semaphore(0)
        self._error: BaseException | None = None  # the first unexpected one of a thread

    def run(self, at_once: int) -> list[Failure]:
        """Run the threads until the list is done or one of them raises, which is raised here."""
        count = min(at_once, len(self._queue))
        session = Session(make_client(self._settings, count), self._settings, self._progress)
        # Daemon threads, not a pool: one that waits for a server must not delay the end of an interrupted program.
        threads = [
            threading.Thread(target=self._work, args=(session,), name=f"{THREAD_NAME}-{number}", daemon=True)
            for number in range(count)
        ]
        try:
            for thread in threads:
                thread.start()
            running = count
            while running and not self._error:
                if self._ended_threads.acquire(timeout=self._settings.progress_every_s):
                    running -= 1
                else:
                    self._progress.report()
        finally:
            session.stop.set()
            deadline = time.monotonic() + self._settings.shutdown_s
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            session.client.close()
            self._progress.report()
        if self._error:
            raise self._error
        return [failure for _, failure in sorted(self._failures.items())]

    def _work(self, session: Session) -> None:
        try:
            while not session.stop.is_set():
                try:
                    number, remote = self._queue.popleft()
                except IndexError:
                    break
                reason = self._transfer(remote, session)
                if reason is not None:
                    self._failures[number] = Failure(remote, reason)
                self._progress.finish_file(succeeded=reason is None)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001  raised again by run()
            self._error = self._error or error
            session.stop.set()
        finally:
            self._ended_threads.release()

    def _transfer(self, remote: Remote, session: Session) -> str | None:
        host = self._hosts.setdefault(host_of(remote.url), HostState(self._settings.host_failures))
        target = self._folder / remote.path
        if not host.given_up and target.parent not in self._created:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._created.add(target.parent)
        return transfer(remote, target, host, session)
