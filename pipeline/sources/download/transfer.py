"""The download of one file: request, copy, verify, and repeat with exponential back-off."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pipeline.proxies import unusable_variable
from pipeline.sources.download.drive_source import discard_partial, fetch_drive_file
from pipeline.sources.download.fsspec_source import open_fsspec
from pipeline.sources.download.http_source import open_http
from pipeline.sources.download.partial_file import PartialFile
from pipeline.sources.download.progress import DownloadProgress
from pipeline.sources.download.remote import DRIVE_PREFIX, Remote
from pipeline.sources.download.response import (
    Cancelled,
    PermanentError,
    RemoteChanged,
    Response,
    ResumeInfo,
    TransientError,
    WrongContent,
)
from pipeline.sources.download.settings import DownloadSettings


@dataclass(frozen=True)
class Session:
    """What all transfers of one call of `download` share; `stop` ends them."""

    client: httpx.Client
    settings: DownloadSettings
    progress: DownloadProgress
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass
class HostState:
    """Failures of one host, shared by all threads. A host is given up after several failed files in a row."""

    limit: int
    reached: bool = False
    failures: int = 0  # in a row
    given_up: str | None = None  # the reason, which then holds for all its files

    def record_answer(self) -> None:
        """Note that the host answered, which ends a row of failures."""
        self.reached, self.failures = True, 0

    def record_failure(self, reason: str) -> None:
        """Note that the host refused a file or could not be reached."""
        self.failures += 1
        if self.failures >= self.limit:
            self.given_up = reason


def transfer(remote: Remote, target: Path, host: HostState, session: Session) -> str | None:
    """Download one file to `target`; return None on success, otherwise the reason of the failure.

    Raises Cancelled when the session is stopped, and OSError for the local disk.
    """
    if host.given_up:
        return host.given_up
    part = PartialFile(remote, target, session.progress, session.settings.resume_info_from_bytes)
    try:
        return _with_retries(part, host, session)
    finally:
        part.close()


def _with_retries(part: PartialFile, host: HostState, session: Session) -> str | None:
    settings = session.settings
    fruitless, wrong = 0, 0  # tries
    for _ in range(settings.tries):
        if host.given_up:
            return host.given_up
        high_water = part.high_water
        try:
            _attempt(part, session)
            host.record_answer()
            return None
        except PermanentError as permanent:
            if permanent.whole_host:
                host.record_failure(permanent.reason)
            else:
                host.record_answer()
            return permanent.reason
        except TransientError as transient:
            error = transient
        fruitless = 0 if part.high_water > high_water else fruitless + 1
        wrong += isinstance(error, WrongContent)
        if not error.unreachable:
            host.record_answer()
        if fruitless >= _fruitless_limit(error, host, settings) or wrong >= settings.tries_with_wrong_content:
            break
        # Full jitter: downloads that failed together are not repeated together.
        back_off_s = random.uniform(0, min(settings.longest_back_off_s, settings.back_off_s * 2**fruitless))
        if session.stop.wait(error.wait_s + back_off_s):
            raise Cancelled
    reason = f"{error.reason}: run the same command again"
    if error.unreachable:
        host.record_failure(reason)
    return reason


def _fruitless_limit(error: TransientError, host: HostState, settings: DownloadSettings) -> int:
    """Return how many tries in a row may add no byte."""
    if not error.unreachable:
        return settings.tries_without_progress
    return settings.tries_to_reconnect if host.reached else settings.tries_to_connect


def _attempt(part: PartialFile, session: Session) -> None:
    """Download the rest of a file, verify it and move it to its target."""
    if not part.is_complete:
        try:
            _fetch_rest(part, session)
        except RemoteChanged:
            part.restart()
            raise
    if part.info and part.info.total not in (None, part.size):
        raise TransientError("the connection was closed before the end of the file")
    if mismatch := part.mismatch():
        part.restart()
        raise WrongContent(mismatch)
    part.finish()


def _fetch_rest(part: PartialFile, session: Session) -> None:
    url = part.remote.url
    if part.size and not part.can_resume:
        part.restart()
    on_web = part.remote.on_drive or url.lower().startswith(("http://", "https://"))
    if on_web and (variable := unusable_variable()):
        raise PermanentError(f"{variable} cannot be used: set another, or unset it", whole_host=True)
    if part.remote.on_drive:
        _fetch_from_drive(part, session)
    elif on_web:
        with open_http(session.client, url, part.size, part.info) as response:
            _append(response, part, session.stop)
    else:
        with open_fsspec(url, part.size, part.info) as response:
            _append(response, part, session.stop)


def _append(response: Response, part: PartialFile, stop: threading.Event) -> None:
    """Append the content of a response; a file that is known to have the wrong size is not read to its end."""
    expected = part.remote.bytes
    if expected is not None and response.info.total not in (None, expected):
        part.restart()
        raise WrongContent(f"the remote file has {response.info.total:,} bytes, expected {expected:,}")
    if response.start != part.size:  # the file changed, or the server does not support ranges
        part.restart()
    part.set_info(response.info)
    for chunk in response.chunks:
        if stop.is_set():
            raise Cancelled
        part.append(chunk)
        if expected is not None and part.size > expected:
            break


def _fetch_from_drive(part: PartialFile, session: Session) -> None:
    """Let gdown write the file beside the partial one, then adopt it."""
    file_id = part.remote.url.removeprefix(DRIVE_PREFIX)
    beside = part.target.with_name(f".{part.target.name}.drive")
    counted = 0

    def on_progress(on_disk: int, total: int | None) -> None:
        nonlocal counted
        # gdown resumes without checking that the file is the same: another size shows that it changed.
        if part.info and None not in (total, part.info.total) and total != part.info.total:
            raise RemoteChanged("the remote file changed during the download")
        part.set_info(ResumeInfo(part.remote.url, file_id, total))
        part.save_info()
        part.high_water = max(part.high_water, on_disk)
        session.progress.receive(on_disk - counted)
        counted = on_disk

    try:
        fetch_drive_file(file_id, beside, session.settings, session.stop, on_progress)
    except RemoteChanged:
        discard_partial(beside)
        part.info = None
        raise
    finally:
        session.progress.correct(-counted)  # the complete file is counted when it is adopted
    part.adopt(beside)
